"""What an operation can ask for: the requests.

A request is data with two ways to be performed, one a face. `perform` blocks; `aperform` is awaited. Which of the two
runs is decided by the driver of the operation (`dorm.db.operation`), never by the operation itself. What connects,
pools and pins lives in `dorm.db.connection`; the statements that most requests carry in `dorm.db.statement`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from dorm.db.driver import AsyncConnection, AsyncCursor, Face, SyncConnection, SyncCursor, Take
from dorm.db.limits import Limit, limit_of
from dorm.db.statement import Row, Statement, Table
from dorm.db.timed import atimed, timed
from dorm.exceptions import DormError, TransactionManagementError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Connection: TypeAlias = "SyncConnection | AsyncConnection"
Cursor: TypeAlias = "SyncCursor | AsyncCursor"


class Request(Generic[T_co]):
    """Something that an operation wants done; the reply is a `T_co`."""

    __slots__ = ()

    ends_hold: ClassVar[bool] = False
    """It gives something back: an interrupt that falls into it must not leave that held (`abandon` is called then)."""

    def perform(self) -> T_co:
        """Do it, blocking."""
        raise NotImplementedError

    def aperform(self) -> Awaitable[T_co]:
        """Return an awaitable that does it."""
        raise NotImplementedError

    def abandon(self, reply: object) -> None:
        """Undo what can be undone without waiting: nobody will read the reply (None when there was none)."""


# -- statements --------------------------------------------------------------------------------------------------


class Source(Protocol):
    """Where a statement without a connection of its own goes: finds the block's connection or checks one out."""

    @property
    def alias(self) -> str: ...
    @property
    def vendor(self) -> str: ...
    def perform(self, request: StatementRequest[T], /) -> T: ...
    def aperform(self, request: StatementRequest[T], /) -> Awaitable[T]: ...


class StatementRequest(Request[T]):
    """A request that sends one statement to *source*.

    With *connection* it goes to that very connection and no owner is checked (kernel, clean-up, streaming); else to the
    connection of the source's open block, else to one checked out for this statement alone.

    Attributes:
        timed: False where the time it takes is told by another request, with which it shares a trip.
    """

    __slots__ = ("connection", "source", "statement", "timed")
    fetches_rows: ClassVar[bool] = False
    """The reply is all rows of one statement."""
    is_single: ClassVar[bool] = False
    """It is one statement, so that outside a transaction it happens as a whole or not at all."""

    def __init__(self, source: Source, statement: Statement, connection: Connection | None = None) -> None:
        self.source = source
        self.statement = statement
        self.connection = connection
        self.timed = True

    def on(self, connection: SyncConnection) -> T:
        """Send it to *connection*."""
        raise NotImplementedError

    def aon(self, connection: AsyncConnection) -> Awaitable[T]:
        """Send it to *connection*, asynchronously."""
        raise NotImplementedError

    def perform(self) -> T:
        if self.connection is None:
            return self.source.perform(self)
        return self.on(blocking(self.connection))

    def aperform(self) -> Awaitable[T]:
        if self.connection is None:
            return self.source.aperform(self)
        return self.aon(asynchronous(self.connection))

    def abandon(self, reply: object) -> None:
        if self.connection is not None:
            self.connection.abort()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source.alias!r}, {self.statement!r})"


class Query(StatementRequest[list[Row]]):
    """Send a statement and fetch all of its rows."""

    __slots__ = ()
    is_single = True
    fetches_rows = True

    def on(self, connection: SyncConnection) -> list[Row]:
        return connection.query(self.statement)

    def aon(self, connection: AsyncConnection) -> Awaitable[list[Row]]:
        return connection.query(self.statement)


class QueryInPieces(Query):
    """Send a statement that gives many rows; the reply is what *take* makes of them.

    Where the driver can it is given the rows in pieces, each while the server sends the next. The connection is busy
    then, so *take* runs no code of the user.
    """

    __slots__ = ("take",)
    fetches_rows = False

    def __init__(self, source: Source, statement: Statement, take: Take) -> None:
        super().__init__(source, statement)
        self.take = take

    def on(self, connection: SyncConnection) -> list[Any]:
        return connection.query_in_pieces(self.statement, self.take)

    def aon(self, connection: AsyncConnection) -> Awaitable[list[Any]]:
        return connection.query_in_pieces(self.statement, self.take)


class QueryAll(StatementRequest[list[list[Row]]]):
    """Send several SELECTs on one connection, in one trip where the driver can, and fetch all of their rows."""

    __slots__ = ("statements",)

    def __init__(self, source: Source, statements: Sequence[Statement]) -> None:
        super().__init__(source, statements[0])
        self.statements = statements

    def on(self, connection: SyncConnection) -> list[list[Row]]:
        return connection.query_all(self.statements)

    def aon(self, connection: AsyncConnection) -> Awaitable[list[list[Row]]]:
        return connection.query_all(self.statements)


class Execute(StatementRequest[int]):
    """Send a statement; the reply is the number of rows it touched, -1 where there is no such number."""

    __slots__ = ()
    is_single = True

    def on(self, connection: SyncConnection) -> int:
        return connection.execute(self.statement)

    def aon(self, connection: AsyncConnection) -> Awaitable[int]:
        return connection.execute(self.statement)


class FetchTable(StatementRequest[Table]):
    """Send a statement and fetch its rows with the names of the columns; no columns when it gives no rows."""

    __slots__ = ()
    is_single = True

    def on(self, connection: SyncConnection) -> Table:
        return Table(*connection.table(self.statement))

    async def _atable(self, connection: AsyncConnection) -> Table:
        return Table(*await connection.table(self.statement))

    def aon(self, connection: AsyncConnection) -> Awaitable[Table]:
        return self._atable(connection)


class ExecuteMany(StatementRequest[int]):
    """Send one template with each of many parameter rows (``statement.params`` is the sequence of rows)."""

    __slots__ = ()

    def on(self, connection: SyncConnection) -> int:
        return connection.execute_many(self.statement)

    def aon(self, connection: AsyncConnection) -> Awaitable[int]:
        return connection.execute_many(self.statement)


class QueryMany(StatementRequest[list[Row]]):
    """Send one template with each of many parameter rows and fetch all rows it gives, in order."""

    __slots__ = ()

    def on(self, connection: SyncConnection) -> list[Row]:
        return connection.query_many(self.statement)

    def aon(self, connection: AsyncConnection) -> Awaitable[list[Row]]:
        return connection.query_many(self.statement)


class Script(StatementRequest[int]):
    """Send SQL text that may hold several statements and no parameters; the reply is -1."""

    __slots__ = ()

    def on(self, connection: SyncConnection) -> int:
        return connection.script(self.statement)

    def aon(self, connection: AsyncConnection) -> Awaitable[int]:
        return connection.script(self.statement)


# -- cursors -----------------------------------------------------------------------------------------------------


class OpenCursor(StatementRequest[Cursor]):
    """Send a SELECT whose rows are read in chunks; *connection* is busy with it until the cursor is closed."""

    __slots__ = ("chunk_size",)

    def __init__(self, source: Source, statement: Statement, connection: Connection, chunk_size: int) -> None:
        super().__init__(source, statement, connection)
        self.chunk_size = chunk_size

    def on(self, connection: SyncConnection) -> Cursor:
        return connection.open(self.statement, self.chunk_size)

    def aon(self, connection: AsyncConnection) -> Awaitable[Cursor]:
        return connection.open(self.statement, self.chunk_size)

    def perform(self) -> Cursor:
        limit = limit_of(self.source.alias)
        if limit is None or self.connection is None:
            return super().perform()
        connection = blocking(self.connection)
        with timed(connection, self.source.alias, limit):
            return self.on(connection)

    def aperform(self) -> Awaitable[Cursor]:
        limit = limit_of(self.source.alias)
        return super().aperform() if limit is None else self._atimed(limit)

    async def _atimed(self, limit: Limit) -> Cursor:
        async with atimed(self.source.alias, limit):
            return await super().aperform()


class FetchChunk(Request[list[Row]]):
    """Fetch the next rows of an open cursor on *alias*, at most the chunk size it was opened with; empty at the end."""

    __slots__ = ("alias", "cursor")

    def __init__(self, cursor: Cursor, alias: str) -> None:
        self.cursor = cursor
        self.alias = alias

    def perform(self) -> list[Row]:
        if isinstance(self.cursor, AsyncCursor):
            raise wrong_face("sync", "async")
        limit = limit_of(self.alias)
        if limit is None:
            return self.cursor.fetch()
        with timed(self.cursor.connection, self.alias, limit):
            return self.cursor.fetch()

    def aperform(self) -> Awaitable[list[Row]]:
        if isinstance(self.cursor, SyncCursor):
            raise wrong_face("async", "sync")
        limit = limit_of(self.alias)
        return self.cursor.fetch() if limit is None else self._atimed(self.cursor, limit)

    async def _atimed(self, cursor: AsyncCursor, limit: Limit) -> list[Row]:
        async with atimed(self.alias, limit):
            return await cursor.fetch()

    def abandon(self, reply: object) -> None:
        self.cursor.connection.abort()


class CloseCursor(Request[None]):
    """Close a cursor; its connection may be used for something else afterwards."""

    __slots__ = ("cursor",)
    ends_hold = True

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor

    def perform(self) -> None:
        if isinstance(self.cursor, AsyncCursor):
            raise wrong_face("sync", "async")
        self.cursor.close()

    def aperform(self) -> Awaitable[None]:
        if isinstance(self.cursor, SyncCursor):
            raise wrong_face("async", "sync")
        return self.cursor.close()

    def abandon(self, reply: object) -> None:
        self.cursor.connection.abort()
        if isinstance(self.cursor, SyncCursor):
            # Nothing is sent on a connection that is gone; the driver only wants to be told.
            self.cursor.close()


# -- faces of operations -----------------------------------------------------------------------------------------


class CurrentFace(Request[Face]):
    """Which of the two drives the operation: ``"sync"`` or ``"async"``."""

    __slots__ = ()

    def perform(self) -> Face:
        return "sync"

    async def aperform(self) -> Face:
        return "async"


class Replaceable(Protocol):
    """What has blocks whose connection can be replaced."""

    def replace(self, block: Any, /) -> None: ...
    def areplace(self, block: Any, /) -> Awaitable[None]: ...


class Replace(Request[None]):
    """Give a block another connection, for the dead one on which it did nothing yet."""

    __slots__ = ("block", "database")

    def __init__(self, database: Replaceable, block: Any) -> None:
        self.database = database
        self.block = block

    def perform(self) -> None:
        self.database.replace(self.block)

    def aperform(self) -> Awaitable[None]:
        return self.database.areplace(self.block)


# -- time and user code ------------------------------------------------------------------------------------------


class Sleep(Request[None]):
    """Wait for some seconds."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def perform(self) -> None:
        time.sleep(self.seconds)

    def aperform(self) -> Awaitable[None]:
        import asyncio

        return asyncio.sleep(self.seconds)


class CallUser(Request[T]):
    """Call code of the user: an overridden method, a receiver, a callback.

    Args:
        sync_fn: called by the blocking driver, and by the asyncio one where there is no *async_fn*.
        async_fn: awaited by the asyncio driver. Given alone, the blocking driver refuses.
        args, kwargs: arguments of either.
    """

    __slots__ = ("args", "async_fn", "kwargs", "sync_fn")

    def __init__(
        self,
        sync_fn: Callable[..., T] | None,
        async_fn: Callable[..., Awaitable[T]] | None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self.sync_fn = sync_fn
        self.async_fn = async_fn
        self.args = args
        self.kwargs = kwargs

    def perform(self) -> T:
        if self.sync_fn is None:
            name = getattr(self.async_fn, "__qualname__", repr(self.async_fn))
            raise DormError(
                f"{name} is a coroutine function and was reached from blocking code. "
                "Call the async twin of the method you used, or give a plain function."
            )
        return self.sync_fn(*self.args, **self.kwargs)

    async def aperform(self) -> T:
        if self.async_fn is not None:
            return await self.async_fn(*self.args, **self.kwargs)
        assert self.sync_fn is not None, "CallUser without a function"
        return self.sync_fn(*self.args, **self.kwargs)


# -- faces -------------------------------------------------------------------------------------------------------


def wrong_face(used: str, opened: str) -> TransactionManagementError:
    """Return the error for a *used* ("sync" or "async") call on a connection *opened* by the other face."""
    form = {"sync": "a blocking call", "async": "an awaited call"}
    return TransactionManagementError(
        f"{form[used]} reached a connection that {form[opened]} opened: a transaction, cursor or pinned connection "
        f"belongs to one face. Use the {'a-prefixed' if opened == 'async' else 'plain'} methods inside this block."
    )


def blocking(connection: Connection) -> SyncConnection:
    """Return *connection* if the blocking driver may use it, else raise `TransactionManagementError`."""
    # Not by isinstance(), which goes to Python code for abstract classes, and this runs for every statement of a block.
    if connection.face == "sync":
        return connection  # type: ignore[return-value]
    raise wrong_face("sync", "async")


def asynchronous(connection: Connection) -> AsyncConnection:
    """Return *connection* if the asyncio driver may use it, else raise `TransactionManagementError`."""
    if connection.face == "async":
        return connection  # type: ignore[return-value]
    raise wrong_face("async", "sync")
