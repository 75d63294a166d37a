"""Cursors of PostgreSQL: rows of a SELECT or a COPY, read in chunks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import psycopg

from dorm.db.backends.postgresql.errors import DRIVER_ERRORS
from dorm.db.driver import AsyncCursor, Rows, SyncCursor
from dorm.db.statement import Statement

if TYPE_CHECKING:
    from dorm.db.backends.postgresql.driver import PostgresAsyncConnection, PostgresConnection


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
        self.columns = tuple(column.name for column in cursor.description or ())

    def fetch(self) -> Rows:
        try:
            return self._cursor.fetchmany(self._size)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc, self._statement) from exc

    def close(self) -> None:
        # On a connection that is gone nothing is sent; the driver only wants to be told.
        with contextlib.suppress(*DRIVER_ERRORS):
            self._cursor.close()


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
        self.columns = tuple(column.name for column in cursor.description or ())

    async def fetch(self) -> Rows:
        try:
            return await self._cursor.fetchmany(self._size)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc, self._statement) from exc

    async def close(self) -> None:
        with contextlib.suppress(*DRIVER_ERRORS):
            await self._cursor.close()


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
