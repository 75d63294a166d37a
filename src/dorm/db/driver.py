"""What a backend's driver must offer: connections, cursors and pools, blocking and asynchronous.

A backend package gives one `Backend` object; everything that does I/O is reached through it. The compiler and the
schema part talk to its dialect (`dorm.db.dialect`) and never to a connection.

Contract of every connection, in both faces:

- Connections are in autocommit mode; a transaction exists between `begin` and `commit` or `rollback`. BEGIN and
  savepoints wait in `deferred` until something is sent; what fails before BEGIN was sent has done nothing.
- Errors are raised as `dorm.exceptions.DatabaseError` subclasses with the driver's exception as ``__cause__`` and with
  ``statement`` and ``sqlstate`` set; values of parameters never stand in messages.
- Being cancelled or interrupted inside a call, the connection first cancels the statement on the server and reads its
  end; when it cannot know its own state afterwards, ``usable`` is False and the pool will close it.
- `abort` closes the socket at once, without waiting and from any thread, and may be called twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from dorm.db.deferred import Deferred
from dorm.db.statement import Row, Statement
from dorm.db.streams import Streams
from dorm.exceptions import NotSupportedError

if TYPE_CHECKING:
    from dorm.conf.databases import DatabaseConfig
    from dorm.db.dialect import Dialect
    from dorm.db.request import StatementRequest

T = TypeVar("T")
Rows: TypeAlias = "list[Row]"
Take: TypeAlias = "Callable[[Rows], list[Any]]"
Face: TypeAlias = Literal["sync", "async"]


class _ConnectionState(ABC):
    """What both faces of a connection tell about themselves."""

    face: ClassVar[Face]
    deferred: Deferred
    streams: Streams
    has_committed: bool = False
    """The last `commit` took place: what an interrupt or a cancellation that fell into it leaves open otherwise."""

    @property
    @abstractmethod
    def usable(self) -> bool:
        """False once the connection is closed, lost, or in a state nobody knows."""

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """True between BEGIN and its end, a failed transaction included."""

    @property
    @abstractmethod
    def is_doomed(self) -> bool:
        """True when the database will do nothing but roll the open transaction back."""

    def begin(self, statement: Statement) -> None:
        """Start a transaction with the text the dialect made, at the next statement."""
        # An interrupt may come before COMMIT is begun, and finds what became of the transaction before.
        self.has_committed = False
        self.deferred.add(statement)

    def ride_commit(self, wanted: bool) -> bool:
        """Let COMMIT go out with the next statement, the only one of its transaction; True where that saves a trip."""
        return False

    def savepoint(self, name: str, statement: Statement) -> None:
        """Set a savepoint, at the next statement."""
        self.deferred.add(statement, name)
        self.streams.mark(name)

    @abstractmethod
    def abort(self) -> None:
        """Close the socket or handle now, without waiting for anything."""


class SyncConnection(_ConnectionState):
    """One blocking connection."""

    face: ClassVar[Face] = "sync"

    @abstractmethod
    def query(self, statement: Statement) -> Rows:
        """Send a statement and fetch all rows as tuples."""

    def query_in_pieces(self, statement: Statement, take: Take) -> list[Any]:
        """Send a statement and return what *take* makes of its rows; of some at a time, where they are read so."""
        return take(self.query(statement))

    def query_all(self, statements: Sequence[Statement]) -> list[Rows]:
        """Send several SELECTs and fetch all of their rows; by one trip where that is worth it."""
        return [self.query(statement) for statement in statements]

    @abstractmethod
    def execute(self, statement: Statement) -> int:
        """Send a statement; return the number of rows touched, -1 when there is none."""

    @abstractmethod
    def table(self, statement: Statement) -> tuple[tuple[str, ...], Rows]:
        """Send a statement; return column names and rows, both empty when it gives no rows."""

    @abstractmethod
    def execute_many(self, statement: Statement) -> int:
        """Send ``statement.template`` with each row of ``statement.params``; return the rows touched in all."""

    @abstractmethod
    def query_many(self, statement: Statement) -> Rows:
        """Send ``statement.template`` with each row of ``statement.params``; return all rows given, in order."""

    @abstractmethod
    def script(self, statement: Statement) -> int:
        """Send text of several statements without parameters; return -1."""

    @abstractmethod
    def open(self, statement: Statement, chunk_size: int) -> SyncCursor:
        """Send a SELECT whose rows are fetched *chunk_size* at a time."""

    def copy_in(self, statement: Statement, rows: Iterable[Sequence[Any]], types: tuple[str, ...]) -> int:
        """Send *rows* with a COPY ... FROM STDIN, in binary form when *types* are given; return their number."""
        raise NotSupportedError("this backend has no COPY.")

    def open_copy(self, statement: Statement, sql: str, params: Any, binary: bool, chunk_size: int) -> SyncCursor:
        """Send COPY ... TO STDOUT of a query, which is given as the user wrote it."""
        raise NotSupportedError("this backend has no COPY.")

    def listen(self, channel: str) -> Iterator[tuple[str, str, int]]:
        """Listen on a quoted channel; give channel, payload and process of each notification, for ever."""
        raise NotSupportedError("this backend has no LISTEN.")

    @abstractmethod
    def control(self, statement: Statement) -> None:
        """Send a statement of transaction control, after everything that waits."""

    def release(self, name: str, statement: Statement) -> None:
        """Release a savepoint; one that was never set is forgotten."""
        if not self.deferred.released(name):
            self.control(statement)

    def rollback_to(self, name: str, statement: Statement) -> None:
        """Undo everything since a savepoint, which stays."""
        if not self.deferred.rolled_back(name):
            for cursor in self.streams.since(name):
                cursor.close()
            self.control(statement)

    @abstractmethod
    def commit(self) -> None:
        """Commit; once sent it is never cancelled. Nothing is sent for a transaction in which nothing was.

        An interrupt is raised once the outcome is known; `has_committed` tells it.
        """

    @abstractmethod
    def rollback(self) -> None:
        """Roll the transaction back; do nothing when there is none."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the statement under way, from any thread; return when it is cancelled or has ended."""

    @abstractmethod
    def close(self) -> None:
        """Close in good order."""


class SyncCursor(ABC):
    """Rows of one SELECT, read in chunks."""

    connection: SyncConnection
    columns: tuple[str, ...]
    """Names of the columns; empty where there are no rows."""

    asks_ahead: bool = False
    """Nobody else uses the connection until the cursor is closed: a chunk may be asked for before it is wanted."""

    @abstractmethod
    def fetch(self) -> Rows:
        """Return the next chunk, empty at the end."""

    @abstractmethod
    def close(self) -> None:
        """Free what the cursor holds; may be called twice."""


class AsyncConnection(_ConnectionState):
    """One asynchronous connection; the same contract as `SyncConnection`."""

    face: ClassVar[Face] = "async"

    @abstractmethod
    def query(self, statement: Statement) -> Awaitable[Rows]: ...
    async def query_in_pieces(self, statement: Statement, take: Take) -> list[Any]:
        return take(await self.query(statement))

    async def query_all(self, statements: Sequence[Statement]) -> list[Rows]:
        return [await self.query(statement) for statement in statements]

    @abstractmethod
    def execute(self, statement: Statement) -> Awaitable[int]: ...
    @abstractmethod
    def table(self, statement: Statement) -> Awaitable[tuple[tuple[str, ...], Rows]]: ...
    @abstractmethod
    def execute_many(self, statement: Statement) -> Awaitable[int]: ...
    @abstractmethod
    def query_many(self, statement: Statement) -> Awaitable[Rows]: ...
    @abstractmethod
    def script(self, statement: Statement) -> Awaitable[int]: ...
    @abstractmethod
    def open(self, statement: Statement, chunk_size: int) -> Awaitable[AsyncCursor]: ...
    async def copy_in(
        self, statement: Statement, rows: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]], types: tuple[str, ...]
    ) -> int:
        raise NotSupportedError("this backend has no COPY.")

    async def open_copy(
        self, statement: Statement, sql: str, params: Any, binary: bool, chunk_size: int
    ) -> AsyncCursor:
        raise NotSupportedError("this backend has no COPY.")

    def listen(self, channel: str) -> AsyncIterator[tuple[str, str, int]]:
        raise NotSupportedError("this backend has no LISTEN.")

    @abstractmethod
    def control(self, statement: Statement) -> Awaitable[None]: ...

    async def release(self, name: str, statement: Statement) -> None:
        if not self.deferred.released(name):
            await self.control(statement)

    async def rollback_to(self, name: str, statement: Statement) -> None:
        if not self.deferred.rolled_back(name):
            for cursor in self.streams.since(name):
                await cursor.close()
            await self.control(statement)

    @abstractmethod
    def commit(self) -> Awaitable[None]: ...
    @abstractmethod
    def rollback(self) -> Awaitable[None]: ...
    @abstractmethod
    def close(self) -> Awaitable[None]: ...

    def notified(self, seconds: float) -> AsyncIterator[Notified]:
        """Yield the notifications that arrive within *seconds*, for sessions that LISTEN."""
        raise NotSupportedError("this backend has no LISTEN")


class Notified(NamedTuple):
    """One notification of LISTEN."""

    channel: str
    payload: str
    pid: int


class AsyncCursor(ABC):
    """The same contract as `SyncCursor`."""

    connection: AsyncConnection
    columns: tuple[str, ...]
    asks_ahead: bool = False

    @abstractmethod
    def fetch(self) -> Awaitable[Rows]: ...
    @abstractmethod
    def close(self) -> Awaitable[None]: ...


class SyncPool(ABC):
    """Connections of one database for blocking code; made once a process, used by all threads."""

    def perform(self, request: StatementRequest[T], /) -> T:
        """Send one statement on a connection checked out for it alone."""
        connection = self.acquire()
        try:
            return request.on(connection)
        finally:
            self.release(connection)

    @abstractmethod
    def acquire(self) -> SyncConnection:
        """Check a connection out; raise `PoolTimeout`, which says who holds what since when."""

    @abstractmethod
    def release(self, connection: SyncConnection) -> None:
        """Check a connection in; one that is not usable or still in a transaction is closed, never handed on."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection that is checked in now, and the others when they come back."""

    @abstractmethod
    def stats(self) -> dict[str, Any]:
        """Return ``pool_min pool_max pool_size pool_available requests_waiting max_size in_use``."""

    def resize(self, maximum: int) -> None:
        """Let at most *maximum* connections be in use, over all pools of the database; connections that are too many
        end when they come back or have been idle. Raises: NotSupportedError: this pool has no limit."""
        raise NotSupportedError("this backend's pool has no limit that could be changed.")

    @abstractmethod
    def suspect(self) -> None:
        """A connection was found dead: check the idle ones before they are handed out again."""


class AsyncPool(ABC):
    """Connections of one database for one event loop."""

    async def perform(self, request: StatementRequest[T], /) -> T:
        """Send one statement on a connection checked out for it alone."""
        connection = await self.acquire()
        try:
            reply = await request.aon(connection)
        except GeneratorExit:
            self.discard(connection)
            raise
        except BaseException:
            await self.release(connection)
            raise
        await self.release(connection)
        return reply

    @abstractmethod
    def acquire(self) -> Awaitable[AsyncConnection]: ...
    @abstractmethod
    def release(self, connection: AsyncConnection) -> Awaitable[None]: ...
    @abstractmethod
    def discard(self, connection: AsyncConnection) -> None:
        """Give up a connection from code that cannot wait: it is aborted and its place becomes free."""

    @abstractmethod
    def close(self) -> Awaitable[None]: ...
    @abstractmethod
    def loop_is_gone(self) -> None:
        """Give everything up, from any thread: the loop was closed and ran none of its ends."""

    @abstractmethod
    def stats(self) -> dict[str, Any]: ...
    def resize(self, maximum: int) -> None:
        raise NotSupportedError("this backend's pool has no limit that could be changed.")

    @abstractmethod
    def suspect(self) -> None: ...


class Backend(Protocol):
    """What the entry-point group ``dorm.backends`` hands out: an object that makes the parts of one engine.

    `shared` is whatever both faces of one database must share in a process (a ceiling on connections, a writer's
    lock); it is made once a database and handed to every pool.
    """

    def dialect(self, config: DatabaseConfig) -> Dialect: ...
    def shared(self, config: DatabaseConfig) -> Any: ...
    def sync_pool(self, config: DatabaseConfig, dialect: Dialect, shared: Any) -> SyncPool: ...
    def async_pool(self, config: DatabaseConfig, dialect: Dialect, shared: Any) -> AsyncPool: ...
    def connect(self, config: DatabaseConfig, shared: Any, seconds: float) -> SyncConnection:
        """Return a session of its own, outside every pool; give up after about *seconds*."""
        ...

    def aconnect(self, config: DatabaseConfig, shared: Any, seconds: float) -> Awaitable[AsyncConnection]:
        """Async form of `connect`."""
        ...

    def threaded(self, connection: SyncConnection) -> AsyncConnection:
        """Return the async face of a blocking connection, served by a thread (for `Database.pin`)."""
        ...
