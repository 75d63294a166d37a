"""Events that leave exactly when their transaction commits: written as rows, sent by a relay.

`record_event` inside ``atomic()`` writes a row beside the change; an `OutboxRelay` in any process sends what is
pending and marks it. An event is sent at least once: a relay that is killed between sending and marking sends again.
Two relays never send one event at the same time: each holds the rows of its batch locked until it has marked them
(SKIP LOCKED), and where a database has no row locks its transaction excludes the other.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

import dorm
from dorm import timezone
from dorm.db.connection import connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import CallUser
from dorm.exceptions import OperationalError
from dorm.transaction import in_savepoint, in_transaction

_log = logging.getLogger("dorm.contrib.outbox")

PENDING: Final = "pending"
PUBLISHED: Final = "published"
DEAD: Final = "dead"


class OutboxEvent(dorm.Model):
    """Abstract: one event. ``status`` is pending, published or dead (given up after *max_attempts*)."""

    event_type = dorm.CharField(max_length=200)
    payload = dorm.JSONField(default=dict)
    status = dorm.CharField(max_length=10, default=PENDING, db_index=True)
    attempts = dorm.IntegerField(default=0)
    last_error = dorm.CharField(max_length=200, default="")
    created_at = dorm.DateTimeField(default=timezone.now)
    published_at = dorm.DateTimeField(null=True)

    class Meta:
        abstract = True


def _event(model: Any, event_type: Any, payload: Any) -> Any:
    if not isinstance(event_type, str) or not event_type:
        raise ValueError(f"event_type must be a text, not {event_type!r}")
    return model(event_type=event_type, payload={} if payload is None else payload)


def record_event(model: Any, event_type: str, payload: Any = None, *, using: str = "default") -> Any:
    """Write an event; inside ``atomic()`` it exists if and only if the block commits. Return its row."""
    row = _event(model, event_type, payload)
    row.save(using=using)
    return row


async def arecord_event(model: Any, event_type: str, payload: Any = None, *, using: str = "default") -> Any:
    """Async twin of `record_event`."""
    row = _event(model, event_type, payload)
    await row.asave(using=using)
    return row


class OutboxRelay:
    """Sends pending events in the order of their keys.

    Args:
        publish: called with each event's row; a coroutine function for the async forms. What it raises counts as an
            attempt; after *max_attempts* the event is dead.
        batch_size: events of one transaction. poll_interval_s: pause when nothing is pending.
    """

    def __init__(
        self,
        model: Any,
        publish: Callable[[Any], Any] | None = None,
        *,
        batch_size: int = 100,
        poll_interval_s: float = 1.0,
        max_attempts: int = 5,
        using: str = "default",
    ) -> None:
        for name, value in (("batch_size", batch_size), ("max_attempts", max_attempts)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, not {value!r}")
        self.model = model
        self._publish = publish
        self.batch_size = batch_size
        self.poll_interval_s = poll_interval_s
        self.max_attempts = max_attempts
        self.using = using
        self._stopped = threading.Event()

    def publish(self, event: Any) -> Any:
        """Send one event; override it, or give *publish*."""
        if self._publish is None:
            raise NotImplementedError("give OutboxRelay a publish function, or override publish()")
        return self._publish(event)

    @operation
    def _drained(self) -> Operation[int]:
        qs = self.model._base_manager.using(self.using).filter(status=PENDING).order_by("pk")
        if connections[self.using].dialect.supports_row_locks:
            qs = qs.select_for_update(skip_locked=True)
        else:
            # A write first: the transaction has the database for itself, and no other relay reads the same events.
            lock = self.model._base_manager.using(self.using).filter(pk=None)
            yield CallUser(lock.update, lock.aupdate, attempts=0)
        rows = qs[: self.batch_size]
        events = yield CallUser(lambda: list(rows), _fetched(rows))
        sent = 0
        for event in events:
            sent += yield from self._sent(event)
        return sent

    def _sent(self, event: Any) -> Operation[int]:
        publish = self._publish if self._publish is not None else self.publish
        is_async = inspect.iscoroutinefunction(publish)
        event.attempts += 1
        try:
            # A publisher that fails in this very database must not doom the batch. A savepoint in which nothing is
            # sent is never sent either.
            yield from in_savepoint(_published(publish, is_async, event), self.using)
        except Exception as exc:  # noqa: BLE001  # a publisher's failure is an attempt, and is kept on the row
            event.last_error = type(exc).__name__
            event.status = DEAD if event.attempts >= self.max_attempts else PENDING
            _log.warning("event %s was not sent (attempt %d): %s", event.pk, event.attempts, event.last_error)
            # Its text may tell what is in the event.
            _log.debug("what the publisher of event %s raised", event.pk, exc_info=True)
        else:
            event.status, event.published_at, event.last_error = PUBLISHED, timezone.now(), ""
        names = ["attempts", "status", "published_at", "last_error"]
        yield CallUser(event.save, event.asave, using=self.using, update_fields=names)
        return int(event.status == PUBLISHED)

    def drain_once(self) -> int:
        """Send one batch in one transaction; return how many were sent."""
        return run(in_transaction(self._drained(), self.using))

    async def adrain_once(self) -> int:
        """Async twin of `drain_once`."""
        return await arun(in_transaction(self._drained(), self.using))

    @operation
    def _patiently(self) -> Operation[int]:
        """Send one batch; a database that is away is asked again after the pause."""
        try:
            return (yield from in_transaction(self._drained(), self.using))
        except OperationalError as exc:
            _log.warning("%r could not be reached, nothing of the batch counts: %s", self.using, type(exc).__name__)
            return 0

    def run(self) -> None:
        """Send batches until `stop` is called; a database that goes away is waited for."""
        while not self._stopped.is_set():
            if not run(self._patiently()):
                self._stopped.wait(self.poll_interval_s)

    async def arun(self) -> None:
        """Async twin of `run`; cancelling it is fine, too."""
        while not self._stopped.is_set():
            if not await arun(self._patiently()):
                await asyncio.sleep(self.poll_interval_s)

    def stop(self) -> None:
        """Have `run` end after its batch."""
        self._stopped.set()


def _published(publish: Any, is_async: bool, event: Any) -> Operation[Any]:
    return (yield CallUser(None if is_async else publish, publish if is_async else None, event))


def _fetched(rows: Any) -> Callable[[], Any]:
    async def fetch() -> list[Any]:
        return [row async for row in rows]

    return fetch
