"""Requests about connections: the block in force, holding one, and the ends of a transaction."""

from __future__ import annotations

from collections.abc import Awaitable
from itertools import count

from dorm.conf.settings import settings
from dorm.db.block import Block, Lease
from dorm.db.connection import Database
from dorm.db.operation import Operation, ask, operation
from dorm.db.perform import pause
from dorm.db.request import Connection, Request, asynchronous, blocking
from dorm.db.statement import Statement
from dorm.exceptions import ConnectionFailed, OperationalError


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
    """Hold a connection: the block's, or one of the pool until `Release`."""

    __slots__ = ("database",)

    def __init__(self, database: Database) -> None:
        self.database = database

    def perform(self) -> Lease:
        return self.database.acquire()

    def aperform(self) -> Awaitable[Lease]:
        return self.database.aacquire()

    def abandon(self, reply: object) -> None:
        if isinstance(reply, Lease):
            self.database.discard(reply)


class Release(Request[None]):
    """Give a held connection back."""

    __slots__ = ("database", "lease")

    def __init__(self, database: Database, lease: Lease) -> None:
        self.database = database
        self.lease = lease

    def perform(self) -> None:
        self.database.release(self.lease)

    def aperform(self) -> Awaitable[None]:
        return self.database.arelease(self.lease)

    def abandon(self, reply: object) -> None:
        self.database.discard(self.lease)


class _OnConnection(Request[None]):
    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def abandon(self, reply: object) -> None:
        self.connection.abort()


class Begin(_OnConnection):
    """Start a transaction."""

    __slots__ = ("statement",)

    def __init__(self, connection: Connection, statement: Statement) -> None:
        super().__init__(connection)
        self.statement = statement

    def perform(self) -> None:
        blocking(self.connection).begin(self.statement)

    def aperform(self) -> Awaitable[None]:
        return asynchronous(self.connection).begin(self.statement)


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
def acquired(database: Database) -> Operation[Lease]:
    """Hold a connection; a server that may be back in a moment is asked again."""
    attempts = settings.knobs.retry_attempts
    for attempt in range(1, attempts):
        try:
            return (yield from ask(Acquire(database)))
        except ConnectionFailed as exc:
            if not exc.passing:
                raise
            yield from pause(database, exc, attempt, attempts)
    return (yield from ask(Acquire(database)))


@operation
def begun(database: Database, statement: Statement) -> Operation[Lease]:
    """Hold a connection with a transaction begun on it.

    A connection found dead by BEGIN is thrown away: nothing was done on it yet.
    """
    attempts = settings.knobs.retry_attempts
    for attempt in count(1):
        lease = yield from acquired(database)
        try:
            yield Begin(lease.connection, statement)
        except BaseException as exc:
            owned = lease.owned
            yield Release(database, lease)
            if not (isinstance(exc, OperationalError) and exc.connection_lost and owned and attempt < attempts):
                raise
            database.suspect()
            yield from pause(database, exc, attempt, attempts)
        else:
            lease.in_transaction = True
            return lease
    raise AssertionError("counting does not end")
