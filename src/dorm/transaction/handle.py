"""What users hold of a database: raw SQL, transactions and numbers, in two faces with the same names.

A handle is no connection: outside a block each statement checks one out of the pool and in again. Handles are made once
a database and may be used by every thread and task.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

from dorm.db import raw
from dorm.db.database import Database, connections
from dorm.db.listening import Notification, alisten, listen
from dorm.db.operation import arun, run
from dorm.db.row import Row
from dorm.exceptions import ProgrammingError
from dorm.transaction import manual
from dorm.transaction.atomic import Atomic
from dorm.transaction.blocks import Options

_CHUNK = 1_000


class _Handle:
    """What both faces know without sending anything."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def alias(self) -> str:
        """Key of ``DATABASES``."""
        return self.database.alias

    @property
    def vendor(self) -> str:
        """``"postgresql"``, ``"sqlite"``, ...: the engine's family."""
        return self.database.vendor

    @property
    def dialect(self) -> str:
        """Name of the dialect; the vendor, but for relatives of one (CockroachDB)."""
        return self.database.dialect.name or self.vendor

    @property
    def in_atomic_block(self) -> bool:
        """True inside an ``atomic`` block of the code running now."""
        block = self.database.block_for_callbacks()
        return block is not None and bool(block.levels)

    @property
    def needs_rollback(self) -> bool:
        """True when the open block can only be rolled back."""
        block = self.database.block_for_callbacks()
        return block is not None and block.needs_rollback

    def pool_stats(self) -> dict[str, Any]:
        """Return the numbers of the pool."""
        return self.database.pool_stats()

    def atomic(self, **options: Any) -> Atomic:
        """Return an ``atomic`` of this database; options as `dorm.transaction.atomic` has them."""
        return Atomic(Options(using=self.alias, **options))

    aatomic = atomic

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias!r} ({self.vendor})>"


class ConnectionHandle(_Handle):
    """A database in blocking code.

    ``%s`` in SQL are places of *params* on every backend, ``%(name)s`` those of a mapping; a percent sign is ``%%``
    where params are given. Text in quotes and comments is left alone.
    """

    def execute(self, sql: str, params: Any = None) -> list[Row]:
        """Send a statement; return its rows, which answer to positions and names. Empty when it gives none."""
        return run(raw.execute(self.database, sql, params))

    def execute_write(self, sql: str, params: Any = None) -> int:
        """Send a statement; return the number of rows it touched."""
        return run(raw.execute_write(self.database, sql, params))

    def execute_insert(self, sql: str, params: Any = None, pk_col: str = "id") -> Any:
        """Send an INSERT of one row; return the value of *pk_col* in it, None when no row was inserted."""
        found = run(raw.execute_returning(self.database, sql, params, [pk_col]))
        return found[0][0] if found else None

    def execute_bulk_insert(self, sql: str, params: Any = None, pk_col: str = "id", count: int = 0) -> list[Any]:
        """Send an INSERT of many rows; return the values of *pk_col* in them. *count*, when given, is checked."""
        return _keys(run(raw.execute_returning(self.database, sql, params, [pk_col])), count)

    def execute_bulk_insert_returning(
        self, sql: str, params: Any = None, returning: Sequence[str] = ("id",), count: int = 0
    ) -> list[dict[str, Any]]:
        """Send an INSERT of many rows; return the columns *returning* of each as a dict."""
        return _dicts(run(raw.execute_returning(self.database, sql, params, returning)), count)

    def execute_script(self, sql: str) -> None:
        """Send several statements without parameters; inside a block they are part of its transaction."""
        run(raw.execute_script(self.database, sql))

    def execute_streaming(self, sql: str, params: Any = None, chunk_size: int = _CHUNK) -> Iterator[Row]:
        """Give the rows of a SELECT one by one, *chunk_size* in memory at a time."""
        return _streamed(raw.opened(self.database, sql, params, chunk_size))

    def table_exists(self, name: str) -> bool:
        """Return whether a table or view of that name can be seen."""
        return run(raw.table_exists(self.database, name))

    def get_table_columns(self, name: str) -> list[dict[str, Any]]:
        """Return the columns of a table: dicts of ``name``, ``type``, ``null``, ``default``, ``primary_key``."""
        return run(raw.table_columns(self.database, name))

    def copy_from(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, binary: bool = False
    ) -> int:
        """Write *rows* into *columns* of *table* by COPY; return how many. NotSupportedError where there is no COPY."""
        return run(raw.copy_from(self.database, table, columns, rows, binary))

    def copy_to(self, sql: str, params: Any = None, *, binary: bool = False) -> Iterator[Row]:
        """Give the rows of a query, read by COPY. NotSupportedError where there is no COPY."""
        return _streamed(raw.copy_opened(self.database, sql, params, binary, _CHUNK))

    def listen(self, channel: str) -> Iterator[Notification]:
        """Wait for notifications of *channel*, for ever, on a connection of its own."""
        return listen(self.database, channel)

    def notify(self, channel: str, payload: str = "") -> None:
        """Send a notification; inside a block it goes out with the commit."""
        run(raw.notify(self.database, channel, payload))

    def pin(self) -> AbstractContextManager[ConnectionHandle]:
        """Keep one connection for a ``with`` block: session locks, temporary tables, settings of the session."""
        return self._pinned()

    @contextmanager
    def _pinned(self) -> Generator[ConnectionHandle]:
        entered = not self.database.in_block
        block = run(raw.held(self.database))
        try:
            yield self
        finally:
            run(raw.let_go(self.database, block, entered))

    def get_autocommit(self) -> bool:
        """Return whether each statement is a transaction of its own here."""
        return manual.get_autocommit(self.alias)

    def set_autocommit(self, autocommit: bool) -> None:
        """Turn autocommit off or on (`dorm.transaction.set_autocommit`)."""
        manual.set_autocommit(autocommit, self.alias)

    def commit(self) -> None:
        """Commit what was done without autocommit."""
        manual.commit(self.alias)

    def rollback(self) -> None:
        """Undo what was done without autocommit."""
        manual.rollback(self.alias)

    def close(self) -> None:
        """Close the connections of blocking code; they are made again when they are needed."""
        self.database.close()


class AsyncConnectionHandle(_Handle):
    """A database in asyncio code: the methods of `ConnectionHandle`, to be awaited. Awaiting a handle gives itself."""

    def __await__(self) -> Generator[Any, None, AsyncConnectionHandle]:
        yield from ()
        return self

    async def execute(self, sql: str, params: Any = None) -> list[Row]:
        """See `ConnectionHandle.execute`."""
        return await arun(raw.execute(self.database, sql, params))

    async def execute_write(self, sql: str, params: Any = None) -> int:
        """See `ConnectionHandle.execute_write`."""
        return await arun(raw.execute_write(self.database, sql, params))

    async def execute_insert(self, sql: str, params: Any = None, pk_col: str = "id") -> Any:
        """See `ConnectionHandle.execute_insert`."""
        found = await arun(raw.execute_returning(self.database, sql, params, [pk_col]))
        return found[0][0] if found else None

    async def execute_bulk_insert(self, sql: str, params: Any = None, pk_col: str = "id", count: int = 0) -> list[Any]:
        """See `ConnectionHandle.execute_bulk_insert`."""
        return _keys(await arun(raw.execute_returning(self.database, sql, params, [pk_col])), count)

    async def execute_bulk_insert_returning(
        self, sql: str, params: Any = None, returning: Sequence[str] = ("id",), count: int = 0
    ) -> list[dict[str, Any]]:
        """See `ConnectionHandle.execute_bulk_insert_returning`."""
        return _dicts(await arun(raw.execute_returning(self.database, sql, params, returning)), count)

    async def execute_script(self, sql: str) -> None:
        """See `ConnectionHandle.execute_script`."""
        await arun(raw.execute_script(self.database, sql))

    def execute_streaming(self, sql: str, params: Any = None, chunk_size: int = _CHUNK) -> AsyncIterator[Row]:
        """See `ConnectionHandle.execute_streaming`; an asynchronous iterator."""
        return _astreamed(raw.opened(self.database, sql, params, chunk_size))

    async def table_exists(self, name: str) -> bool:
        """See `ConnectionHandle.table_exists`."""
        return await arun(raw.table_exists(self.database, name))

    async def get_table_columns(self, name: str) -> list[dict[str, Any]]:
        """See `ConnectionHandle.get_table_columns`."""
        return await arun(raw.table_columns(self.database, name))

    async def copy_from(
        self,
        table: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]],
        *,
        binary: bool = False,
    ) -> int:
        """See `ConnectionHandle.copy_from`; *rows* may be an asynchronous iterable."""
        return await arun(raw.copy_from(self.database, table, columns, rows, binary))

    def copy_to(self, sql: str, params: Any = None, *, binary: bool = False) -> AsyncIterator[Row]:
        """See `ConnectionHandle.copy_to`; an asynchronous iterator."""
        return _astreamed(raw.copy_opened(self.database, sql, params, binary, _CHUNK))

    def listen(self, channel: str) -> AsyncIterator[Notification]:
        """See `ConnectionHandle.listen`; an asynchronous iterator."""
        return alisten(self.database, channel)

    async def notify(self, channel: str, payload: str = "") -> None:
        """See `ConnectionHandle.notify`."""
        await arun(raw.notify(self.database, channel, payload))

    def pin(self) -> AbstractAsyncContextManager[AsyncConnectionHandle]:
        """See `ConnectionHandle.pin`; for ``async with``."""
        return self._pinned()

    @asynccontextmanager
    async def _pinned(self) -> AsyncGenerator[AsyncConnectionHandle]:
        entered = not self.database.in_block
        block = await arun(raw.held(self.database))
        try:
            yield self
        finally:
            await arun(raw.let_go(self.database, block, entered))

    async def get_autocommit(self) -> bool:
        """See `ConnectionHandle.get_autocommit`."""
        return await manual.aget_autocommit(self.alias)

    async def set_autocommit(self, autocommit: bool) -> None:
        """See `ConnectionHandle.set_autocommit`."""
        await manual.aset_autocommit(autocommit, self.alias)

    async def commit(self) -> None:
        """See `ConnectionHandle.commit`."""
        await manual.acommit(self.alias)

    async def rollback(self) -> None:
        """See `ConnectionHandle.rollback`."""
        await manual.arollback(self.alias)

    async def close(self) -> None:
        """Close the connections of the running event loop; they are made again when they are needed."""
        await self.database.aclose()


def _keys(rows: list[Row], count: int) -> list[Any]:
    _check(rows, count)
    return [row[0] for row in rows]


def _dicts(rows: list[Row], count: int) -> list[dict[str, Any]]:
    _check(rows, count)
    return [dict(row.items()) for row in rows]


def _check(rows: list[Row], count: int) -> None:
    if count and len(rows) != count:
        raise ProgrammingError(f"{count} rows were to be inserted, and {len(rows)} were.")


def _streamed(opening: Any) -> Iterator[Row]:
    stream = run(opening)
    try:
        while rows := run(raw.chunk(stream)):
            yield from rows
    finally:
        run(raw.closed(stream))


async def _astreamed(opening: Any) -> AsyncIterator[Row]:
    stream = await arun(opening)
    try:
        while rows := await arun(raw.chunk(stream)):
            for row in rows:
                yield row
    finally:
        await arun(raw.closed(stream))


def _of(alias: str | None) -> tuple[ConnectionHandle, AsyncConnectionHandle]:
    database = connections[alias or "default"]
    if database.handles is None:
        database.handles = ConnectionHandle(database), AsyncConnectionHandle(database)
    found: tuple[ConnectionHandle, AsyncConnectionHandle] = database.handles
    return found


def get_connection(alias: str = "default") -> ConnectionHandle:
    """Return the handle of a database for blocking code."""
    return _of(alias)[0]


def get_async_connection(alias: str = "default") -> AsyncConnectionHandle:
    """Return the handle of a database for asyncio code."""
    return _of(alias)[1]


def connection_for(using: str = "default") -> ConnectionHandle:
    """Return the handle of a database for blocking code (the name under which transactions know it)."""
    return _of(using)[0]


def aconnection_for(using: str = "default") -> AsyncConnectionHandle:
    """Async twin of `connection_for`: the handle for asyncio code, which may be awaited and need not be."""
    return _of(using)[1]
