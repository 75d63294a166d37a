"""The pool of one event loop: what is short runs on the loop itself, everything else on connections with a thread.

Short are reads that end within a time budget, and writes of one row: outside a transaction under the same budget, where
a COMMIT waits for no disk; inside one where they were short before, since an interrupted write undoes all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from time import perf_counter
from typing import Any, TypeVar, cast

import apsw

from dorm.db.backends.sqlite.driver import SqliteConnection
from dorm.db.backends.sqlite.pool import MOST_IDLE
from dorm.db.backends.sqlite.store import Store
from dorm.db.backends.threaded import ThreadedConnection
from dorm.db.driver import AsyncConnection, AsyncPool, Rows
from dorm.db.pool import LoopEnd
from dorm.db.request import StatementRequest
from dorm.db.statement import Statement
from dorm.exceptions import OperationalError, QueryCanceled

T = TypeVar("T")

_STEPS = 500
"""Instructions of SQLite's virtual machine between two looks at the clock."""

_OVERRUNS = 2
"""A statement that overran its budget so often goes to a thread at once."""

_RETRY_AFTER = 200
"""Every so many times it is tried inline again: the data may have become smaller."""

_MOST_SLOW = 1_000

_CHECKPOINT_PAGES = 1_000
"""Pages in the write-ahead log from which a thread's COMMIT copies them into the database (SQLite's default)."""


_OUTSIDE = ""
"""In place of the text of writes outside transactions, whose time is bounded."""


class Inline:
    """A connection that the loop alone uses, for statements within a time budget."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: SqliteConnection | None = None
        self._budget = store.inline_seconds
        self._deadline = 0.0
        self._slow: dict[str, int] = {}
        self._writes = False
        self._log_pages = 0

    def _made(self) -> SqliteConnection:
        connection = self._connection = SqliteConnection(self._store)
        connection.never_wait(self._is_over, _STEPS)
        connection.tell_commits(self._commits, self._committed)
        self._writes = connection.commits_to_memory()
        return connection

    def _commits(self) -> None:
        # SQLite looks at the clock once more when a statement is through: a COMMIT must not be called an interruption.
        self._deadline = inf

    def _committed(self, pages: int) -> None:
        self._log_pages = pages

    def _is_over(self) -> bool:
        return perf_counter() > self._deadline

    def query(self, statement: Statement) -> Rows | None:
        """Return the rows, or None when the statement belongs on a thread: too long, or the database is busy."""
        return self._within(statement.template.sql, lambda connection: connection.query(statement))

    def write(self, request: StatementRequest[T]) -> T | None:
        """Do a write outside a transaction; None when it belongs on a thread, and then nothing has been done."""
        if self._connection is None:
            self._made()
        if not self._writes:
            return None
        if self._log_pages >= _CHECKPOINT_PAGES:
            # The thread's COMMIT copies the log; the next one here tells how many pages it has then.
            self._log_pages = 0
            return None
        sql = request.statement.template.sql
        return self._within(sql, lambda connection: connection.write_at_once(request.on))

    def _within(self, sql: str, send: Callable[[SqliteConnection], T | None]) -> T | None:
        slow = self._slow
        if slow and self._belongs_on_a_thread(sql):
            return None
        connection = self._connection or self._made()
        self._deadline = perf_counter() + self._budget
        try:
            reply = send(connection)
        except QueryCanceled:
            if len(slow) >= _MOST_SLOW:
                slow.clear()
            slow[sql] = slow.get(sql, 0) + 1
        except OperationalError as exc:
            if not isinstance(exc.__cause__, (apsw.BusyError, apsw.LockedError)):
                raise
        else:
            if slow:
                # Only overruns in a row count: sooner or later every statement meets a slow moment of the machine.
                slow.pop(sql, None)
            return reply
        return None

    def _belongs_on_a_thread(self, sql: str) -> bool:
        overruns = self._slow.get(sql, 0)
        if overruns < _OVERRUNS:
            return False
        self._slow[sql] = overruns + 1
        return (overruns - _OVERRUNS) % _RETRY_AFTER != _RETRY_AFTER - 1

    def suspect(self) -> None:
        """Forget a connection to a file that is gone; whoever uses it just now keeps it until then."""
        connection = self._connection
        if connection is not None and connection.is_stale:
            self._connection = None

    def close(self) -> None:
        """Close the connection; it is made again when it is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Pace:
    """How long writes of one row took inside transactions, and how long writes kept the loop since its last turn."""

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._short: dict[str, bool] = {}
        self._spent = 0.0

    def is_short(self, sql: str) -> bool:
        """True for a statement that ended within the budget when it ran last."""
        return self._short.get(sql, False)

    def on_thread(self, sql: str, send: Callable[[], T]) -> T:
        """Run *send*, which sends *sql*, and remember whether it was short."""
        start = perf_counter()
        try:
            return send()
        finally:
            self._note(sql, perf_counter() - start)

    def on_loop(self, sql: str, send: Callable[[], T]) -> T:
        """As `on_thread`, where the loop waits meanwhile."""
        start = perf_counter()
        try:
            return send()
        finally:
            elapsed = perf_counter() - start
            self._spent += elapsed
            self._note(sql, elapsed)

    def _note(self, sql: str, elapsed: float) -> None:
        if len(self._short) >= _MOST_SLOW:
            self._short.clear()
        self._short[sql] = elapsed <= self._budget

    def owes_a_turn(self) -> bool:
        """True once writes spent a budget on the loop since its last turn; who asks gives it one, before it writes."""
        if self._spent <= self._budget:
            return False
        self._spent = 0.0
        return True


class BlockConnection(ThreadedConnection):
    """A connection with a thread, whose short writes inside a transaction run on the loop.

    The thread has nothing to do then: one task uses the connection, and awaits each call.
    """

    inner: SqliteConnection

    def __init__(self, inner: SqliteConnection, pace: Pace) -> None:
        super().__init__(inner)
        self._pace = pace

    def query(self, statement: Statement) -> Coroutine[Any, Any, Rows]:
        return self._sent(statement, self.inner.query)

    def execute(self, statement: Statement) -> Coroutine[Any, Any, int]:
        return self._sent(statement, self.inner.execute)

    async def _sent(self, statement: Statement, send: Callable[[Statement], T]) -> T:
        if not statement.template.one_row or not self.inner.has_turn:
            return await self.call(lambda: send(statement))
        pace, sql = self._pace, statement.template.sql
        if not pace.is_short(sql):
            return await self.call(lambda: pace.on_thread(sql, lambda: send(statement)))
        if pace.owes_a_turn():
            await asyncio.sleep(0)
        return pace.on_loop(sql, lambda: send(statement))


class SqliteAsyncPool(AsyncPool):
    """Connections of one event loop; a task of its own closes them when the loop ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._inline = Inline(store)
        self._pace = Pace(store.inline_seconds)
        self._idle: list[ThreadedConnection] = []
        self._in_use = 0
        self._end = LoopEnd(self._close)
        store.pools.add(self)

    async def perform(self, request: StatementRequest[T], /) -> T:
        statement = request.statement
        if statement.template.reads and request.fetches_rows:
            rows = self._inline.query(statement)
            if rows is not None:
                return cast("T", rows)
        elif statement.template.one_row and request.is_single:
            if self._pace.owes_a_turn():
                await asyncio.sleep(0)
            reply = self._pace.on_loop(_OUTSIDE, lambda: self._inline.write(request))
            if reply is not None:
                return reply
        return await super().perform(request)

    async def acquire(self) -> ThreadedConnection:
        self._in_use += 1
        if self._idle:
            return self._idle.pop()
        try:
            return BlockConnection(SqliteConnection(self._store), self._pace)
        except BaseException:
            self._in_use -= 1
            raise

    async def release(self, connection: AsyncConnection) -> None:
        self._in_use -= 1
        if not connection.usable or connection.in_transaction or len(self._idle) >= MOST_IDLE or self._end.is_over:
            connection.abort()
        else:
            self._idle.append(connection)  # type: ignore[arg-type]  # what was acquired comes back

    def discard(self, connection: AsyncConnection) -> None:
        self._in_use -= 1
        connection.abort()

    async def close(self) -> None:
        await self._end.close()

    async def _close(self) -> None:
        self._inline.close()
        while self._idle:
            await self._idle.pop().close()

    def loop_is_gone(self) -> None:
        self._inline.close()
        while self._idle:
            self._idle.pop().abort()

    def suspect(self) -> None:
        self._inline.suspect()
        for _ in range(len(self._idle)):
            try:
                connection = self._idle.pop(0)
            except IndexError:  # another thread may ask, the loop goes on
                return
            if connection.inner.is_stale:  # type: ignore[attr-defined]  # its own connections
                connection.abort()
            else:
                self._idle.append(connection)

    def stats(self) -> dict[str, Any]:
        idle = len(self._idle)
        return {
            "pool_min": 0,
            "pool_max": None,
            "pool_size": idle + self._in_use,
            "pool_available": idle,
            "requests_waiting": self._store.writer.waiting,
            "max_size": None,
            "in_use": self._in_use,
        }
