"""One runner at a time: a lock that is polled, never waited for.

A session that waits in ``pg_advisory_lock`` has a snapshot, for which ``CREATE INDEX CONCURRENTLY`` of the lock's
holder waits in turn: a deadlock. So the lock is asked for again and again, in autocommit, on a connection of its own.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from dorm.db.lease import Connect, Disconnect
from dorm.db.operation import Operation
from dorm.db.request import Query, Request, Sleep
from dorm.db.statement import Statement, Template
from dorm.exceptions import MigrationError, OperationalError

if TYPE_CHECKING:
    from dorm.db.connection import Database

T = TypeVar("T")

KEY = 0x646F726D
"""The advisory lock of a run: "dorm"."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


def locked(
    database: Database, op: Operation[T], timeout: float | None = None, waiting: Callable[[], Any] | None = None
) -> Operation[T]:
    """Drive *op* while nobody else migrates *database*.

    Args:
        timeout: seconds to wait for the others; None waits as long as they take.
        waiting: called once when there is somebody to wait for.
    """
    if database.in_block:
        # Whoever opened the transaction has the database to himself, as far as that goes.
        return (yield from op)
    path = database.dialect.lock_file(database.config)
    if path is not None:
        return (yield from _with_file(path, op, timeout, waiting))
    statements = database.dialect.migration_lock(KEY)
    if statements is None:
        return (yield from op)
    return (yield from _with_session(database, statements, op, timeout, waiting))


def _with_session(
    database: Database,
    statements: tuple[str, str],
    op: Operation[T],
    timeout: float | None,
    waiting: Callable[[], Any] | None,
) -> Operation[T]:
    if database.config.shares_sessions:
        raise MigrationError(
            f"migrations of {database.alias!r} need a session's lock, which PgBouncer's transaction mode cannot keep: "
            "give the migration an alias of its own that connects to the server directly (dorm migrate --database)."
        )
    session = yield Connect(database)
    try:

        def ask(sql: str) -> Operation[bool]:
            rows = yield Query(database, Statement(Template(sql, prepare=False), (), internal=True), session)
            return bool(rows and rows[0][0])

        yield from _poll(lambda: ask(statements[0]), timeout, waiting)
        try:
            return (yield from op)
        finally:
            with contextlib.suppress(OperationalError):
                yield from ask(statements[1])
    finally:
        yield Disconnect(session)


def _poll(
    ask: Callable[[], Operation[bool]], timeout: float | None, waiting: Callable[[], Any] | None
) -> Operation[None]:
    until = None if timeout is None else time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while not (yield from ask()):
        if waiting is not None:
            waiting()
            waiting = None
        if until is not None and time.monotonic() > until:
            raise MigrationError(
                f"somebody else has been migrating this database for {timeout:g} s: wait for them, or find out who "
                "holds the lock and end that process."
            )
        yield Sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


class _LockFile(Request[int | None]):
    """Take the lock of a file; the reply is its descriptor, None while somebody else has it."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def perform(self) -> int | None:
        import fcntl

        descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def aperform(self) -> Awaitable[int | None]:
        async def now() -> int | None:
            return self.perform()

        return now()

    def abandon(self, reply: object) -> None:
        if isinstance(reply, int):
            os.close(reply)


def _with_file(path: str, op: Operation[T], timeout: float | None, waiting: Callable[[], Any] | None) -> Operation[T]:
    try:
        import fcntl  # noqa: F401  # absent on Windows, where the file's own lock has to do
    except ImportError:
        return (yield from op)
    held: list[int] = []

    def ask() -> Operation[bool]:
        try:
            found = yield _LockFile(path)
        except OSError:
            # A folder that may not be written: the database cannot be migrated either, and says so itself.
            return True
        if found is not None:
            held.append(found)
        return found is not None

    yield from _poll(ask, timeout, waiting)
    try:
        return (yield from op)
    finally:
        for descriptor in held:
            os.close(descriptor)
