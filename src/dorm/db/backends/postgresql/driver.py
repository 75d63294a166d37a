"""One PostgreSQL connection, blocking and asynchronous: thin faces over psycopg's, which share their state's rules."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any, Generic, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from dorm.db.backends.postgresql.errors import DRIVER_ERRORS, translated
from dorm.db.deferred import Deferred
from dorm.db.driver import AsyncConnection, AsyncCursor, Rows, SyncConnection, SyncCursor
from dorm.db.statement import Statement, Template
from dorm.exceptions import DatabaseError

C = TypeVar("C", bound="psycopg.Connection[Any] | psycopg.AsyncConnection[Any]")

_cursor_names = itertools.count(1)

_IDLE = TransactionStatus.IDLE
_IN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE)
_NO_NAMES: tuple[str, ...] = ()
_COMMIT = Statement(Template("COMMIT", prepare=False), (), internal=True)
_ROLLBACK = Statement(Template("ROLLBACK", prepare=False), (), internal=True)


class _State(Generic[C]):
    """What both faces know of their connection."""

    def __init__(self, raw: C, alias: str) -> None:
        self.raw = raw
        self.alias = alias
        self.deferred = Deferred()
        self.returned_at = time.monotonic()
        self._broken = False
        self._stale_plans = False

    @property
    def usable(self) -> bool:
        return not self._broken and not self.raw.closed and not self._stale_plans

    @property
    def is_clean(self) -> bool:
        """True when the connection may be handed to somebody else: usable, and in no transaction."""
        return (
            not self._broken
            and not self._stale_plans
            and not self.deferred
            and self.raw.pgconn.transaction_status == _IDLE
        )

    @property
    def in_transaction(self) -> bool:
        return bool(self.deferred) or self.raw.pgconn.transaction_status in _IN_TRANSACTION

    @property
    def is_doomed(self) -> bool:
        return self.raw.pgconn.transaction_status == TransactionStatus.INERROR

    def ends_unbegun(self) -> bool:
        """Forget what waits, since the transaction ends; True when BEGIN is among it, so that nothing need be sent."""
        unbegun = bool(self.deferred) and self.raw.pgconn.transaction_status == _IDLE
        self.deferred.clear()
        return unbegun

    def abort(self) -> None:
        self._broken = True
        self.raw.pgconn.finish()

    def failed(self, exc: Exception, statement: Statement | None) -> DatabaseError:
        """Return the error to raise for what psycopg raised."""
        lost = self.raw.closed or self.raw.pgconn.transaction_status == TransactionStatus.UNKNOWN
        self._broken = self._broken or lost
        if getattr(exc, "sqlstate", None) == "0A000" and "cached plan" in str(exc):
            # After an ALTER the plans of this connection are wrong: it is not handed on.
            self._stale_plans = True
        return translated(exc, statement, self.alias, lost)

    def is_stale(self, exc: Exception) -> bool:
        """True when the statement did not run, because its prepared plan belongs to a former shape of the table."""
        return (
            getattr(exc, "sqlstate", None) == "0A000"
            and "cached plan" in str(exc)
            and self.raw.pgconn.transaction_status == TransactionStatus.IDLE
        )


def _prepare(statement: Statement) -> bool | None:
    return None if statement.template.prepare else False


class PostgresConnection(_State["psycopg.Connection[Any]"], SyncConnection):
    """A blocking connection."""

    def __init__(self, raw: psycopg.Connection[Any], alias: str) -> None:
        super().__init__(raw, alias)
        self._cursor = psycopg.RawCursor(raw)
        # psycopg types a query as LiteralString; dorm's texts are compiled, never spliced.
        self._run: Any = self._cursor.execute
        self._run_many: Any = self._cursor.executemany

    def _send(self, statement: Statement) -> None:
        if self.deferred:
            self._flush()
        template = statement.template
        try:
            self._run(template.sql, statement.params, prepare=_prepare(statement), binary=template.binary)
        except DRIVER_ERRORS as exc:
            if self.is_stale(exc):
                self._send_unprepared(statement)
                return
            raise self.failed(exc, statement) from exc

    def _flush(self) -> None:
        """Send what waits; what fails goes on waiting, so that nothing after it happens outside the transaction."""
        while self.deferred:
            statement = self.deferred.first()
            try:
                self._run(statement.sql, (), prepare=False)
            except DRIVER_ERRORS as exc:
                raise self.failed(exc, statement) from exc
            self.deferred.sent()

    def _send_unprepared(self, statement: Statement) -> None:
        self._stale_plans = True
        try:
            self._run(statement.sql, statement.params, prepare=False, binary=statement.template.binary)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc

    def query(self, statement: Statement) -> Rows:
        self._send(statement)
        return self._cursor.fetchall()

    def execute(self, statement: Statement) -> int:
        self._send(statement)
        return self._cursor.rowcount

    def table(self, statement: Statement) -> tuple[tuple[str, ...], Rows]:
        self._send(statement)
        described = self._cursor.description
        if described is None:
            return _NO_NAMES, []
        return tuple(column.name for column in described), self._cursor.fetchall()

    def execute_many(self, statement: Statement) -> int:
        self._flush()
        try:
            self._run_many(statement.sql, statement.params)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return self._cursor.rowcount

    def query_many(self, statement: Statement) -> Rows:
        found: Rows = []
        for params in statement.params:
            self._send(Statement(statement.template, params))
            found.extend(self._cursor.fetchall())
        return found

    def script(self, statement: Statement) -> int:
        self._flush()
        try:
            self.raw.execute(statement.sql.encode())
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return -1

    def open(self, statement: Statement, chunk_size: int) -> SyncCursor:
        self._flush()
        cursor = psycopg.RawServerCursor(self.raw, f"dorm_{next(_cursor_names)}")
        try:
            run: Any = cursor.execute
            run(statement.sql, statement.params, binary=statement.template.binary)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return PostgresCursor(self, cursor, statement, chunk_size)

    def control(self, statement: Statement) -> None:
        self._send(statement)

    def commit(self) -> None:
        if not self.ends_unbegun():
            self._send(_COMMIT)

    def rollback(self) -> None:
        self.deferred.clear()
        if self.in_transaction:
            self._send(_ROLLBACK)

    def ping(self) -> bool:
        """Return whether the server answers."""
        try:
            self.raw.execute("SELECT 1")
        except psycopg.Error:
            self._broken = True
        return self.usable

    def close(self) -> None:
        self.raw.close()


class PostgresCursor(SyncCursor):
    """A server-side cursor of the open transaction."""

    def __init__(
        self, connection: PostgresConnection, cursor: psycopg.RawServerCursor[Any], statement: Statement, size: int
    ) -> None:
        self.connection = connection
        self._failed = connection.failed
        self._cursor = cursor
        self._statement = statement
        self._size = size

    def fetch(self) -> Rows:
        try:
            return self._cursor.fetchmany(self._size)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc, self._statement) from exc

    def close(self) -> None:
        if self.connection.usable:
            self._cursor.close()


class PostgresAsyncConnection(_State["psycopg.AsyncConnection[Any]"], AsyncConnection):
    """An asyncio connection; psycopg cancels the statement on the server when the task is cancelled."""

    def __init__(self, raw: psycopg.AsyncConnection[Any], alias: str) -> None:
        super().__init__(raw, alias)
        self._cursor = psycopg.AsyncRawCursor(raw)
        # psycopg types a query as LiteralString; dorm's texts are compiled, never spliced.
        self._run: Any = self._cursor.execute
        self._run_many: Any = self._cursor.executemany

    async def _send(self, statement: Statement) -> None:
        if self.deferred:
            await self._flush()
        template = statement.template
        try:
            await self._run(template.sql, statement.params, prepare=_prepare(statement), binary=template.binary)
        except DRIVER_ERRORS as exc:
            if self.is_stale(exc):
                await self._send_unprepared(statement)
                return
            raise self.failed(exc, statement) from exc

    async def _flush(self) -> None:
        """Send what waits; what fails goes on waiting, so that nothing after it happens outside the transaction."""
        while self.deferred:
            statement = self.deferred.first()
            try:
                await self._run(statement.sql, (), prepare=False)
            except DRIVER_ERRORS as exc:
                raise self.failed(exc, statement) from exc
            self.deferred.sent()

    async def _send_unprepared(self, statement: Statement) -> None:
        self._stale_plans = True
        try:
            await self._run(statement.sql, statement.params, prepare=False, binary=statement.template.binary)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc

    async def query(self, statement: Statement) -> Rows:
        await self._send(statement)
        return await self._cursor.fetchall()

    async def execute(self, statement: Statement) -> int:
        await self._send(statement)
        return self._cursor.rowcount

    async def table(self, statement: Statement) -> tuple[tuple[str, ...], Rows]:
        await self._send(statement)
        described = self._cursor.description
        if described is None:
            return _NO_NAMES, []
        return tuple(column.name for column in described), await self._cursor.fetchall()

    async def execute_many(self, statement: Statement) -> int:
        await self._flush()
        try:
            await self._run_many(statement.sql, statement.params)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return self._cursor.rowcount

    async def query_many(self, statement: Statement) -> Rows:
        found: Rows = []
        for params in statement.params:
            await self._send(Statement(statement.template, params))
            found.extend(await self._cursor.fetchall())
        return found

    async def script(self, statement: Statement) -> int:
        await self._flush()
        try:
            await self.raw.execute(statement.sql.encode())
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return -1

    async def open(self, statement: Statement, chunk_size: int) -> AsyncCursor:
        await self._flush()
        cursor = psycopg.AsyncRawServerCursor(self.raw, f"dorm_{next(_cursor_names)}")
        try:
            run: Any = cursor.execute
            await run(statement.sql, statement.params, binary=statement.template.binary)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return PostgresAsyncCursor(self, cursor, statement, chunk_size)

    async def control(self, statement: Statement) -> None:
        await self._send(statement)

    async def commit(self) -> None:
        """Commit; a cancellation waits for the outcome, since COMMIT is never cancelled."""
        if self.ends_unbegun():
            return
        task = asyncio.ensure_future(self._send(_COMMIT))
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as exc:
                cancelled = cancelled or exc
        task.result()
        if cancelled is not None:
            raise cancelled

    async def rollback(self) -> None:
        self.deferred.clear()
        if self.in_transaction:
            await self._send(_ROLLBACK)

    async def ping(self) -> bool:
        """Return whether the server answers."""
        try:
            await self.raw.execute("SELECT 1")
        except psycopg.Error:
            self._broken = True
        return self.usable

    async def close(self) -> None:
        await self.raw.close()


class PostgresAsyncCursor(AsyncCursor):
    """A server-side cursor of the open transaction."""

    def __init__(
        self,
        connection: PostgresAsyncConnection,
        cursor: psycopg.AsyncRawServerCursor[Any],
        statement: Statement,
        size: int,
    ) -> None:
        self.connection = connection
        self._failed = connection.failed
        self._cursor = cursor
        self._statement = statement
        self._size = size

    async def fetch(self) -> Rows:
        try:
            return await self._cursor.fetchmany(self._size)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc, self._statement) from exc

    async def close(self) -> None:
        if self.connection.usable:
            await self._cursor.close()
