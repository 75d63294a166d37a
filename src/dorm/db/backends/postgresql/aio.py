"""An asyncio PostgreSQL connection: what `driver` is for blocking code; `session` has the rules that both share."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Any

import psycopg

from dorm.db.backends.postgresql.adapt import natural
from dorm.db.backends.postgresql.ahead import AsyncAheadCursor
from dorm.db.backends.postgresql.cursors import PostgresAsyncCopy, PostgresAsyncCursor
from dorm.db.backends.postgresql.errors import DRIVER_ERRORS
from dorm.db.backends.postgresql.prepared import AsyncPreparedCursor, as_they_are
from dorm.db.backends.postgresql.session import (
    COMMIT,
    IDLE,
    IN_TRANSACTION,
    NO_NAMES,
    ROLLBACK,
    SessionState,
    cursor_names,
    prepares,
)
from dorm.db.driver import AsyncConnection, AsyncCursor, Notified, Rows, Take
from dorm.db.statement import Statement, Template


class PostgresAsyncConnection(SessionState["psycopg.AsyncConnection[Any]"], AsyncConnection):
    """An asyncio connection; psycopg cancels the statement on the server when the task is cancelled."""

    def __init__(self, raw: psycopg.AsyncConnection[Any], alias: str) -> None:
        super().__init__(raw, alias)
        self._typed = AsyncPreparedCursor(raw)
        self._control = psycopg.AsyncRawCursor(raw)
        self._natural: AsyncPreparedCursor | None = None
        self._cursor = self._typed
        # psycopg types a query as LiteralString; dorm's texts are compiled, never spliced.
        self._run: Any = self._typed.execute
        self._run_many: Any = self._typed.executemany

    def _choose(self, template: Template) -> Any:
        """Make the cursor that types parameters as *template* wants it the one in use; return its ``execute``."""
        if template.natural:
            chosen = self._natural = self._natural or natural(AsyncPreparedCursor(self.raw))
            self._cursor = chosen
            return chosen.execute
        self._cursor = self._typed
        return self._run

    async def _send(self, statement: Statement, take: Take | None = None) -> None:
        if self.deferred:
            if self.is_far:
                await self._ride(statement)
                return
            await self._flush()
        template = statement.template
        run = self._choose(template)
        self._cursor.take = take
        try:
            await run(template.sql, statement.params, prepare=prepares(statement), binary=template.binary)
        except DRIVER_ERRORS as exc:
            if self.is_stale(exc):
                await self._send_unprepared(statement)
                return
            raise self.failed(exc, statement) from exc

    async def _flush(self) -> None:
        """Send what waits; what fails goes on waiting, so that nothing after it happens outside the transaction."""
        begins = self.raw.pgconn.transaction_status == IDLE
        while self.deferred:
            statement = self.deferred.first()
            start = time.perf_counter()
            try:
                await self._run(statement.sql, (), prepare=False)
            except DRIVER_ERRORS as exc:
                made = self.failed(exc, statement)
                made.nothing_done = begins
                raise made from exc
            self.deferred.sent()
            begins = False
            self.took(time.perf_counter() - start)

    async def _ride(self, statement: Statement) -> None:
        """Send what waits and *statement* in one trip; results are read after the pipeline is left.

        Of several errors psycopg raises the first, the others being consequences. While BEGIN has not succeeded it goes
        on waiting, so that nothing after it happens outside the transaction.
        """
        waiting = self.deferred.all()
        begins = self.raw.pgconn.transaction_status == IDLE
        template = statement.template
        run = self._choose(template)
        control: Any = self._control.execute
        try:
            async with self.raw.pipeline():
                for each in waiting:
                    await control(each.sql, prepare=False)
                await run(template.sql, statement.params, prepare=prepares(statement), binary=template.binary)
                if self._commit_rides:
                    await control(COMMIT.sql, prepare=False)
        except DRIVER_ERRORS as exc:
            raise self.failed_riding(exc, statement, begins) from exc
        finally:
            self.left_pipeline()
            if self._commit_rides or self.raw.pgconn.transaction_status in IN_TRANSACTION:
                self.deferred.sent(len(waiting))

    async def _send_unprepared(self, statement: Statement) -> None:
        self._stale_plans = True
        run: Any = self._cursor.execute
        try:
            await run(statement.sql, statement.params, prepare=False, binary=statement.template.binary)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc

    async def query(self, statement: Statement) -> Rows:
        await self._send(statement, as_they_are if statement.template.large else None)
        return self.answer(statement)

    async def query_in_pieces(self, statement: Statement, take: Take) -> list[Any]:
        await self._send(statement, take)
        return self.answer(statement, take)

    async def query_all(self, statements: Sequence[Statement]) -> list[Rows]:
        found: list[Rows] = []
        if self.deferred or not self.is_far:
            trips = []
            for statement in statements if not self.is_far else statements[:1]:
                start = time.perf_counter()
                found.append(await self.query(statement))
                trips.append(time.perf_counter() - start)
            if not self.is_far:
                # The quickest one tells most of the way, and least of the server's work.
                self.took(min(trips))
                return found
        return found + await self._piped(statements[len(found) :])

    async def _piped(self, statements: Iterable[Statement]) -> list[Rows]:
        """Send statements in one pipeline, each while the server works on those before it."""
        statement: Statement | None = None
        cursors: list[Any] = []
        try:
            async with self.raw.pipeline():
                for statement in statements:
                    template = statement.template
                    cursor: Any = psycopg.AsyncRawCursor(self.raw)
                    cursors.append(cursor)
                    await cursor.execute(
                        template.sql, statement.params, prepare=prepares(statement), binary=template.binary
                    )
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        finally:
            self.left_pipeline()
        return [await cursor.fetchall() for cursor in cursors]

    async def execute(self, statement: Statement) -> int:
        await self._send(statement)
        return self._cursor.rowcount

    async def table(self, statement: Statement) -> tuple[tuple[str, ...], Rows]:
        await self._send(statement)
        described = self._cursor.description
        if described is None:
            return NO_NAMES, []
        return tuple(column.name for column in described), self.answer(statement)

    async def execute_many(self, statement: Statement) -> int:
        await self._flush()
        try:
            await self._run_many(statement.sql, statement.params)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return self._typed.rowcount

    async def query_many(self, statement: Statement) -> Rows:
        each = (Statement(statement.template, params) for params in statement.params)
        found: Rows = []
        if len(statement.params) == 1 or (self.deferred and self.is_far):
            for first in itertools.islice(each, 1):
                found = await self.query(first)
        if len(statement.params) > 1:
            await self._flush()
            for rows in await self._piped(each):
                found.extend(rows)
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
        cursor = AsyncAheadCursor(self.raw, f"dorm_{next(cursor_names)}")
        opened = PostgresAsyncCursor(self, cursor, statement, chunk_size)
        try:
            run: Any = cursor.execute
            await run(statement.sql, statement.params, binary=statement.template.binary)
        except BaseException as exc:
            await opened.close()
            if not isinstance(exc, DRIVER_ERRORS):
                raise
            raise self.failed(exc, statement) from exc
        return opened.described()

    async def copy_in(
        self, statement: Statement, rows: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]], types: tuple[str, ...]
    ) -> int:
        await self._flush()
        count = 0
        try:
            async with psycopg.AsyncCursor(self.raw).copy(statement.sql.encode()) as copy:
                if types:
                    copy.set_types(types)
                if isinstance(rows, AsyncIterable):
                    async for row in rows:
                        await copy.write_row(row)
                        count += 1
                else:
                    for row in rows:
                        await copy.write_row(row)
                        count += 1
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return count

    async def open_copy(
        self, statement: Statement, sql: str, params: Any, binary: bool, chunk_size: int
    ) -> AsyncCursor:
        await self._flush()
        cursor = psycopg.AsyncCursor(self.raw)
        run: Any = cursor.execute
        try:
            await run(f"SELECT * FROM ({sql.rstrip().rstrip(';')}) q LIMIT 0", params)
            described = cursor.description or []
            text = f"COPY ({sql.rstrip().rstrip(';')}) TO STDOUT{' (FORMAT BINARY)' if binary else ''}"
            copying: Any = cursor.copy
            context = copying(text, params)
            copy = await context.__aenter__()
            copy.set_types([column.type_code for column in described])
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return PostgresAsyncCopy(self, context, copy.rows(), statement, tuple(c.name for c in described), chunk_size)

    async def listen(self, channel: str) -> AsyncIterator[tuple[str, str, int]]:
        try:
            await self.raw.execute(f"LISTEN {channel}".encode())
            async for each in self.raw.notifies():
                yield each.channel, each.payload, each.pid
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, None) from exc

    async def release(self, name: str, statement: Statement) -> None:
        if not self.release_deferred(name, statement):
            await self.control(statement)

    async def control(self, statement: Statement) -> None:
        await self._send(statement)

    async def commit(self) -> None:
        """Commit; a cancellation waits for the outcome, since COMMIT is never cancelled."""
        self.has_committed = False
        if self.ends_unbegun():
            self.has_committed = True
            return
        task = asyncio.ensure_future(self._send(COMMIT))
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as exc:
                cancelled = cancelled or exc
        self.end_streams()
        error = task.exception()
        self.has_committed = error is None
        if cancelled is not None:
            raise cancelled from error
        if error is not None:
            raise error

    async def rollback(self) -> None:
        self.deferred.clear()
        if self.in_transaction:
            try:
                await self._send(ROLLBACK)
            finally:
                self.end_streams()

    async def ping(self) -> bool:
        """Return whether the server answers."""
        try:
            await self.raw.execute("SELECT 1")
        except psycopg.Error:
            self._broken = True
        return self.usable

    async def close(self) -> None:
        await self.raw.close()

    async def notified(self, seconds: float) -> AsyncIterator[Notified]:
        try:
            async for found in self.raw.notifies(timeout=seconds):
                yield Notified(found.channel, found.payload, found.pid)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, None) from exc
