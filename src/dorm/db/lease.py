"""Requests about connections: the block in force, holding one, and the ends of a transaction."""

from __future__ import annotations

from collections.abc import Awaitable

from dorm.conf.settings import settings
from dorm.db.block import Block, Lease
from dorm.db.database import Database
from dorm.db.driver import AsyncConnection, SyncConnection
from dorm.db.operation import Operation, ask, operation
from dorm.db.perform import pause
from dorm.db.request import Connection, Request, asynchronous, blocking
from dorm.db.seeing import seen
from dorm.db.statement import Statement
from dorm.exceptions import ConnectionFailed, DatabaseError


class CurrentBlock(Request[Block | None]):
    """The block that code of the calling face is in, after the checks of owner and face; None outside."""

    __slots__ = ("database",)

    def __init__(self, database: Database) -> None:
        self.database = database

    def perform(self) -> Block | None:
        return self.database.current_block("sync")

    async def aperform(self) -> Block | None:
        return self.database.current_block("async")


class Acquire(Request[Lease]):
    """Hold a connection: the block's, or one of the pool until `Release`.

    Args:
        bare: its session is left as it is; the transaction that begins on it, or each statement, tells the search path.
    """

    __slots__ = ("bare", "database")

    def __init__(self, database: Database, bare: bool = False) -> None:
        self.database = database
        self.bare = bare

    def perform(self) -> Lease:
        return self.database.acquire(self.bare)

    def aperform(self) -> Awaitable[Lease]:
        return self.database.aacquire(self.bare)

    def abandon(self, reply: object) -> None:
        if isinstance(reply, Lease):
            self.database.discard(reply)


class Release(Request[None]):
    """Give a held connection back."""

    __slots__ = ("database", "lease")
    ends_hold = True

    def __init__(self, database: Database, lease: Lease) -> None:
        self.database = database
        self.lease = lease

    def perform(self) -> None:
        self.database.release(self.lease)

    def aperform(self) -> Awaitable[None]:
        return self.database.arelease(self.lease)

    def abandon(self, reply: object) -> None:
        if self.lease.owned:
            self.database.discard(self.lease)


class Connect(Request[Connection]):
    """A session of its own, outside the pool, until `Disconnect`."""

    __slots__ = ("database",)

    def __init__(self, database: Database) -> None:
        self.database = database

    def perform(self) -> Connection:
        return self.database.session()

    async def aperform(self) -> Connection:
        return await self.database.session_async()

    def abandon(self, reply: object) -> None:
        if isinstance(reply, (SyncConnection, AsyncConnection)):
            reply.abort()


class _OnConnection(Request[None]):
    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def abandon(self, reply: object) -> None:
        self.connection.abort()


class Disconnect(_OnConnection):
    """Close a session of its own."""

    __slots__ = ()

    def perform(self) -> None:
        blocking(self.connection).close()

    def aperform(self) -> Awaitable[None]:
        return asynchronous(self.connection).close()


class Begin(_OnConnection):
    """Start a transaction, at the next statement."""

    __slots__ = ("statement",)

    def __init__(self, connection: Connection, statement: Statement) -> None:
        super().__init__(connection)
        self.statement = statement

    def perform(self) -> None:
        blocking(self.connection).begin(self.statement)

    async def aperform(self) -> None:
        asynchronous(self.connection).begin(self.statement)


class _Savepoint(Request[None]):
    """Something about a savepoint of a block; a pinned one is reached by both faces."""

    __slots__ = ("block", "database", "name", "statement")

    def __init__(self, database: Database, block: Block, name: str, statement: Statement) -> None:
        self.database = database
        self.block = block
        self.name = name
        self.statement = statement

    def abandon(self, reply: object) -> None:
        self.block.connection.abort()


class SetSavepoint(_Savepoint):
    """Set a savepoint, at the next statement."""

    __slots__ = ()

    def perform(self) -> None:
        blocking(self.block.connection).savepoint(self.name, self.statement)

    async def aperform(self) -> None:
        self.database.async_connection(self.block).savepoint(self.name, self.statement)


class ReleaseSavepoint(_Savepoint):
    """Release a savepoint."""

    __slots__ = ()

    def perform(self) -> None:
        blocking(self.block.connection).release(self.name, self.statement)

    def aperform(self) -> Awaitable[None]:
        return self.database.async_connection(self.block).release(self.name, self.statement)


class RollbackToSavepoint(_Savepoint):
    """Undo what was done since a savepoint, which stays."""

    __slots__ = ()

    def perform(self) -> None:
        blocking(self.block.connection).rollback_to(self.name, self.statement)

    def aperform(self) -> Awaitable[None]:
        return self.database.async_connection(self.block).rollback_to(self.name, self.statement)


class Commit(_OnConnection):
    """Commit the transaction; once it is on its way it is not cancelled."""

    __slots__ = ()

    def perform(self) -> None:
        blocking(self.connection).commit()

    def aperform(self) -> Awaitable[None]:
        return asynchronous(self.connection).commit()


class Rollback(_OnConnection):
    """Roll the transaction back."""

    __slots__ = ()

    def perform(self) -> None:
        blocking(self.connection).rollback()

    def aperform(self) -> Awaitable[None]:
        return asynchronous(self.connection).rollback()


@operation
def acquired(database: Database, bare: bool = False) -> Operation[Lease]:
    """Hold a connection; a server that may be back in a moment is asked again."""
    attempt = 0
    while True:
        try:
            return (yield from ask(Acquire(database, bare)))
        except ConnectionFailed as exc:
            attempt, attempts = attempt + 1, settings.current_knobs().retry_attempts
            if not exc.passing or attempt >= attempts:
                raise
            failed = exc
        yield from pause(database, failed, attempt, attempts)


@operation
def begun(database: Database, statement: Statement) -> Operation[Lease]:
    """Hold a connection with a transaction on it, which the first statement begins."""
    lease = yield from acquired(database, bare=True)
    try:
        yield Begin(lease.connection, statement)
        if lease.path is not None:
            lease.connection.deferred.add(seen(database.dialect, lease.path, local=True))
    except BaseException:
        yield Release(database, lease)
        raise
    lease.in_transaction = True
    return lease


@operation
def given_back(database: Database, lease: Lease) -> Operation[None]:
    """Give a connection back that was read from, and end the transaction that it was read in (`begun`)."""
    try:
        if lease.in_transaction:
            yield Rollback(lease.connection)
    except DatabaseError:
        # Nothing was written, and the rows are there: that the connection was lost since is nobody's concern.
        lease.connection.abort()
    finally:
        yield Release(database, lease)
