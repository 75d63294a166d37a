"""The pool of one event loop: short reads run on the loop itself, everything else on connections with a thread."""

from __future__ import annotations

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


class InlineReader:
    """A connection that the loop alone uses, for reads within a time budget."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: SqliteConnection | None = None
        self._budget = store.inline_seconds
        self._deadline = 0.0
        self._slow: dict[str, int] = {}

    def _made(self) -> SqliteConnection:
        connection = self._connection = SqliteConnection(self._store)
        connection.never_wait(self._is_over, _STEPS)
        return connection

    def _is_over(self) -> bool:
        return perf_counter() > self._deadline

    def query(self, statement: Statement) -> Rows | None:
        """Return the rows, or None when the statement belongs on a thread: too long, or the database is busy."""
        slow = self._slow
        sql = statement.template.sql
        if slow and self._belongs_on_a_thread(sql):
            return None
        connection = self._connection or self._made()
        self._deadline = perf_counter() + self._budget
        try:
            return connection.query(statement)
        except QueryCanceled:
            if len(slow) >= _MOST_SLOW:
                slow.clear()
            slow[sql] = slow.get(sql, 0) + 1
        except OperationalError as exc:
            if not isinstance(exc.__cause__, (apsw.BusyError, apsw.LockedError)):
                raise
        return None

    def _belongs_on_a_thread(self, sql: str) -> bool:
        overruns = self._slow.get(sql, 0)
        if overruns < _OVERRUNS:
            return False
        self._slow[sql] = overruns + 1
        return (overruns - _OVERRUNS) % _RETRY_AFTER != _RETRY_AFTER - 1

    def close(self) -> None:
        """Close the connection; it is made again when it is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class SqliteAsyncPool(AsyncPool):
    """Connections of one event loop; a task of its own closes them when the loop ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._inline = InlineReader(store)
        self._idle: list[ThreadedConnection] = []
        self._in_use = 0
        self._end = LoopEnd(self._close)

    async def perform(self, request: StatementRequest[T], /) -> T:
        statement = request.statement
        if statement.template.reads and request.fetches_rows:
            rows = self._inline.query(statement)
            if rows is not None:
                return cast("T", rows)
        return await super().perform(request)

    async def acquire(self) -> ThreadedConnection:
        self._in_use += 1
        if self._idle:
            return self._idle.pop()
        try:
            return ThreadedConnection(SqliteConnection(self._store))
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
        """Files do not die between two statements."""

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
