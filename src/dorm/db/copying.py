"""Requests for COPY: rows into a table and out of a query, past INSERT and SELECT."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Iterable, Sequence
from typing import Any

from dorm.db.driver import AsyncConnection, SyncConnection
from dorm.db.request import Connection, Cursor, OpenCursor, Source, StatementRequest
from dorm.db.statement import Statement


class CopyIn(StatementRequest[int]):
    """Send rows with a COPY ... FROM STDIN; the reply is their number."""

    __slots__ = ("rows", "types")

    def __init__(
        self,
        source: Source,
        statement: Statement,
        rows: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]],
        types: tuple[str, ...],
    ) -> None:
        super().__init__(source, statement)
        self.rows = rows
        self.types = types

    def on(self, connection: SyncConnection) -> int:
        if not isinstance(self.rows, Iterable):
            raise TypeError("rows are an asynchronous iterable: await the connection of asyncio code.")
        return connection.copy_in(self.statement, self.rows, self.types)

    def aon(self, connection: AsyncConnection) -> Awaitable[int]:
        return connection.copy_in(self.statement, self.rows, self.types)


class OpenCopy(OpenCursor):
    """Send COPY ... TO STDOUT of a query; its rows are read in chunks, with the types of the query.

    COPY takes no parameters on the server: the driver puts *params* into *sql* as literals.
    """

    __slots__ = ("binary", "params", "sql")

    def __init__(
        self,
        source: Source,
        statement: Statement,
        connection: Connection,
        chunk_size: int,
        sql: str,
        params: Any,
        binary: bool,
    ) -> None:
        super().__init__(source, statement, connection, chunk_size)
        self.sql = sql
        self.params = params
        self.binary = binary

    def on(self, connection: SyncConnection) -> Cursor:
        return connection.open_copy(self.statement, self.sql, self.params, self.binary, self.chunk_size)

    def aon(self, connection: AsyncConnection) -> Awaitable[Cursor]:
        return connection.open_copy(self.statement, self.sql, self.params, self.binary, self.chunk_size)
