"""Cursors of PostgreSQL: rows of a SELECT or a COPY, read in chunks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import psycopg

from dorm.db.backends.postgresql.ahead import LOOK, PATIENCE, STOPPING
from dorm.db.backends.postgresql.errors import DRIVER_ERRORS
from dorm.db.driver import AsyncCursor, Rows, SyncCursor
from dorm.db.statement import Statement
from dorm.db.streams import over

if TYPE_CHECKING:
    from dorm.db.backends.postgresql.ahead import AheadCursor, AsyncAheadCursor
    from dorm.db.backends.postgresql.aio import PostgresAsyncConnection
    from dorm.db.backends.postgresql.driver import PostgresConnection


class PostgresCursor(SyncCursor):
    """A server-side cursor of the open transaction; it is there before its statement is sent."""

    def __init__(self, connection: PostgresConnection, cursor: AheadCursor, statement: Statement, size: int) -> None:
        self.connection = connection
        self._failed = connection.failed
        self._cursor = cursor
        self._statement = statement
        self._size = size
        self._session = connection
        self.is_over = False
        connection.streams.opened(self)

    def described(self) -> Self:
        """Take the names of the columns, once the statement was sent."""
        self.columns = tuple(column.name for column in self._cursor.description or ())
        return self

    def fetch(self) -> Rows:
        if self.is_over and not self._session._broken:
            raise over(self._session.alias)
        try:
            self._cursor.asks_ahead = self.asks_ahead
            return self._cursor.fetchmany(self._size)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc, self._statement) from exc

    def close(self) -> None:
        if self._session.raw.lock.locked():
            # The garbage collector found it while the connection reads for somebody, whom it interrupts: who waited for
            # the end of that here would wait for ever. The cursor ends with its transaction.
            return
        try:
            with contextlib.suppress(*DRIVER_ERRORS):
                if self._cursor.is_under_way:
                    self._settle()
                self._cursor.close()
        finally:
            if self._cursor.closed:
                self._session.streams.closed(self)
            else:
                # Interrupted: nobody knows whether the server has closed it.
                self._session.abort()

    def _settle(self) -> None:
        """Free the connection: what is under way is read if it comes at once, else the server is told to stop."""
        wait: Any = self._session.raw.wait
        if wait(self._cursor.rest(PATIENCE), LOOK):
            return
        self._session.cancel()
        if not wait(self._cursor.rest(STOPPING), LOOK):
            self._session.abort()

    def lost(self) -> None:
        """Tell the driver that the server has no such cursor any more, and send nothing."""
        # The close of its class for server-side cursors would wait for whoever is reading just now.
        psycopg.Cursor.close(self._cursor)


class PostgresCopy(SyncCursor):
    """Rows of a COPY ... TO STDOUT, read in chunks; closed early, the rest is thrown away by cancelling the COPY."""

    def __init__(
        self,
        connection: PostgresConnection,
        context: Any,
        rows: Iterator[tuple[Any, ...]],
        statement: Statement,
        columns: tuple[str, ...],
        size: int,
    ) -> None:
        self.connection = connection
        self.columns = columns
        self._failed = connection.failed
        self._context = context
        self._rows = rows
        self._statement = statement
        self._size = size

    def fetch(self) -> Rows:
        try:
            return list(islice(self._rows, self._size))
        except DRIVER_ERRORS as exc:
            raise self._failed(exc, self._statement) from exc

    def close(self) -> None:
        context, self._context = self._context, None
        if context is not None and self.connection.usable:
            with contextlib.suppress(*DRIVER_ERRORS):
                context.__exit__(None, None, None)


class PostgresAsyncCursor(AsyncCursor):
    """A server-side cursor of the open transaction; it is there before its statement is sent."""

    def __init__(
        self,
        connection: PostgresAsyncConnection,
        cursor: AsyncAheadCursor,
        statement: Statement,
        size: int,
    ) -> None:
        self.connection = connection
        self._failed = connection.failed
        self._cursor = cursor
        self._statement = statement
        self._size = size
        self._session = connection
        self.is_over = False
        connection.streams.opened(self)

    def described(self) -> Self:
        """Take the names of the columns, once the statement was sent."""
        self.columns = tuple(column.name for column in self._cursor.description or ())
        return self

    async def fetch(self) -> Rows:
        if self.is_over and not self._session._broken:
            raise over(self._session.alias)
        try:
            self._cursor.asks_ahead = self.asks_ahead
            return await self._cursor.fetchmany(self._size)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc, self._statement) from exc

    async def close(self) -> None:
        try:
            with contextlib.suppress(*DRIVER_ERRORS):
                if self._cursor.is_under_way:
                    await self._settle()
                await self._cursor.close()
        finally:
            if self._cursor.closed:
                self._session.streams.closed(self)
            else:
                # Interrupted: nobody knows whether the server has closed it.
                self._session.abort()

    async def _settle(self) -> None:
        """Free the connection: what is under way is read if it comes at once, else the server is told to stop."""
        wait: Any = self._session.raw.wait
        if await wait(self._cursor.rest(PATIENCE), LOOK):
            return
        with contextlib.suppress(*DRIVER_ERRORS):
            await self._session.raw.cancel_safe(timeout=STOPPING)
        if not await wait(self._cursor.rest(STOPPING), LOOK):
            self._session.abort()

    def lost(self) -> None:
        """Tell the driver that the server has no such cursor any more, from code that cannot wait; send nothing."""
        # The close of its class for server-side cursors may give the loop a turn, although nothing is to be sent. Left
        # in the middle the cursor would count as open, and its CLOSE would go into whatever transaction comes next.
        closing = psycopg.AsyncCursor.close(self._cursor)
        with contextlib.suppress(StopIteration):
            closing.send(None)


class PostgresAsyncCopy(AsyncCursor):
    """The asyncio face of `PostgresCopy`."""

    def __init__(
        self,
        connection: PostgresAsyncConnection,
        context: Any,
        rows: AsyncIterator[tuple[Any, ...]],
        statement: Statement,
        columns: tuple[str, ...],
        size: int,
    ) -> None:
        self.connection = connection
        self.columns = columns
        self._failed = connection.failed
        self._context = context
        self._rows = rows
        self._statement = statement
        self._size = size

    async def fetch(self) -> Rows:
        found: Rows = []
        try:
            async for row in self._rows:
                found.append(row)
                if len(found) == self._size:
                    break
        except DRIVER_ERRORS as exc:
            raise self._failed(exc, self._statement) from exc
        return found

    async def close(self) -> None:
        context, self._context = self._context, None
        if context is not None and self.connection.usable:
            with contextlib.suppress(*DRIVER_ERRORS):
                await context.__aexit__(None, None, None)
