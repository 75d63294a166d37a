"""A request that is sent twice does its work once: its answer is kept under a key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import dorm
from dorm import timezone
from dorm.exceptions import IntegrityError
from dorm.transaction import atomic


class IdempotencyRecord(dorm.Model):
    """Abstract: one key and the answer that was given."""

    key = dorm.CharField(max_length=200, unique=True)
    response = dorm.JSONField(null=True)
    created_at = dorm.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        abstract = True


class Idempotent:
    """What the block gets.

    Attributes:
        replay: the key is known: give *response* again, do nothing else. response: what was stored, None while nothing.
    """

    def __init__(self, row: Any, replay: bool, using: str) -> None:
        self._row = row
        self._using = using
        self.replay = replay

    @property
    def response(self) -> Any:
        """The stored answer."""
        return self._row.response

    def store(self, response: Any) -> None:
        """Keep the answer; it leaves with the transaction of the block."""
        self._row.response = response
        self._row.save(using=self._using, update_fields=["response"])

    async def astore(self, response: Any) -> None:
        """Async twin of `store`."""
        self._row.response = response
        await self._row.asave(using=self._using, update_fields=["response"])


def _checked(key: Any) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= 200:
        raise ValueError("a key is a text of 1 to 200 characters")
    return key


@contextmanager
def idempotency_key(key: str, *, model: Any, using: str = "default") -> Generator[Idempotent]:
    """Run the block in a transaction that owns *key*: a second request waits for the first and then replays it.

    When the block raises, key and work are rolled back together, so that a retry does the work.
    """
    _checked(key)
    with atomic(using):
        try:
            with atomic(using):
                row, replay = model._base_manager.using(using).create(key=key), False
        except IntegrityError:
            row, replay = model._base_manager.using(using).get(key=key), True
        yield Idempotent(row, replay, using)


@asynccontextmanager
async def aidempotency_key(key: str, *, model: Any, using: str = "default") -> AsyncGenerator[Idempotent]:
    """Async twin of `idempotency_key`."""
    _checked(key)
    async with atomic(using):
        try:
            async with atomic(using):
                row, replay = await model._base_manager.using(using).acreate(key=key), False
        except IntegrityError:
            row, replay = await model._base_manager.using(using).aget(key=key), True
        yield Idempotent(row, replay, using)


def _expired(model: Any, seconds: float, using: str) -> Any:
    if isinstance(seconds, bool) or not seconds >= 0:
        raise ValueError(f"older_than_seconds must be a number from 0, not {seconds!r}")
    return model._base_manager.using(using).filter(created_at__lt=timezone.now() - timedelta(seconds=seconds))


def purge_expired(model: Any, *, older_than_seconds: float, using: str = "default") -> int:
    """Delete keys older than that; return how many."""
    number: int = _expired(model, older_than_seconds, using).delete()[0]
    return number


async def apurge_expired(model: Any, *, older_than_seconds: float, using: str = "default") -> int:
    """Async twin of `purge_expired`."""
    number: int = (await _expired(model, older_than_seconds, using).adelete())[0]
    return number
