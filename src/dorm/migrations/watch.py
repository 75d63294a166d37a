"""Saying how far a statement is that takes long: another session asks the server, beside it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dorm.db.lease import Connect, Disconnect
from dorm.db.operation import Operation, arun, run
from dorm.db.request import Query, Request
from dorm.db.statement import Statement, Template
from dorm.exceptions import DormError

if TYPE_CHECKING:
    from dorm.db.connection import Database

T = TypeVar("T")

_log = logging.getLogger("dorm.migrations")


class Watch:
    """An operation that goes on beside a statement until the statement ends.

    It has no context of the caller's: what it asks goes to a session of its own, whatever transaction is open.
    """

    PAUSE: ClassVar[float] = 1.0
    """Seconds between questions, and before the first: short statements are not asked about."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.thread: threading.Thread | None = None
        self.task: asyncio.Task[None] | None = None


# The requests of a watch are what the faces have two of: a thread that may block, or a task. All else is `_telling`.


class _Begin(Request[Watch]):
    __slots__ = ("make",)

    def __init__(self, make: Callable[[Watch], Operation[None]]) -> None:
        self.make = make

    def perform(self) -> Watch:
        watch = Watch()
        watch.thread = threading.Thread(target=lambda: run(self.make(watch)), name="dorm-progress", daemon=True)
        watch.thread.start()
        return watch

    async def aperform(self) -> Watch:
        watch = Watch()

        async def tell() -> None:
            await arun(self.make(watch))

        watch.task = asyncio.create_task(tell(), context=Context())
        return watch

    def abandon(self, reply: object) -> None:
        if isinstance(reply, Watch):
            _End(reply).abandon(None)


class _End(Request[None]):
    __slots__ = ("watch",)
    ends_hold = True

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def perform(self) -> None:
        self.watch.done.set()
        if self.watch.thread is not None:
            self.watch.thread.join()

    async def aperform(self) -> None:
        self.abandon(None)
        if self.watch.task is not None:
            await asyncio.wait([self.watch.task])

    def abandon(self, reply: object) -> None:
        self.watch.done.set()
        if self.watch.task is not None:
            self.watch.task.cancel()


class _Pause(Request[bool]):
    """Wait a while; the reply says whether the watch is over."""

    __slots__ = ("watch",)

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def perform(self) -> bool:
        return self.watch.done.wait(Watch.PAUSE)

    def aperform(self) -> Awaitable[bool]:
        return asyncio.sleep(Watch.PAUSE, False)


def watched(op: Operation[T], database: Database, sql: str, subject: str, tell: Callable[[str], None]) -> Operation[T]:
    """Drive *op*, which sends the statement *sql*, and tell from time to time how far the server is with it.

    Args:
        subject: what it is about, for the words.
    """
    watch = yield _Begin(lambda watch: _telling(watch, database, sql, subject, tell))
    try:
        return (yield from op)
    finally:
        yield _End(watch)


def _telling(watch: Watch, database: Database, sql: str, subject: str, tell: Callable[[str], None]) -> Operation[None]:
    question = Statement(Template(database.dialect.index_progress, prepare=False), (sql,), internal=True)
    session: Any = None
    try:
        while not (yield _Pause(watch)):
            if session is None:
                session = yield Connect(database)
            for row in (yield Query(database, question, session)):
                tell(progress_text(subject, row))
    except DormError as exc:
        # The statement goes on, whether somebody can watch it or not.
        _log.info("how far %s is cannot be told: %s", subject, exc)
    finally:
        if session is not None:
            yield Disconnect(session)


def progress_text(subject: str, row: Any) -> str:
    """Return the phase, and how much of it is done: of what it waits for, of rows, or of pages."""
    phase, lockers_done, lockers, tuples_done, tuples, blocks_done, blocks = row
    text = f"{subject}: {phase}"
    if lockers:
        return f"{text} ({lockers_done} of {lockers})"
    done, total = (tuples_done, tuples) if tuples else (blocks_done, blocks)
    return f"{text}, {min(100, 100 * done // total)} %" if total else text
