"""LISTEN: waiting for notifications on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from dorm.db.database import Database
from dorm.db.driver import AsyncConnection, SyncConnection
from dorm.db.hooks import Observation, chain
from dorm.db.request import StatementRequest
from dorm.db.statement import Statement, Template
from dorm.exceptions import NotSupportedError


class Notification(NamedTuple):
    """What arrived: its channel, what was sent with it, and the server process it comes from."""

    channel: str
    payload: str
    pid: int


def _check(database: Database) -> None:
    database.dialect.notify_sql()
    if not database.dialect.has_sessions:
        raise NotSupportedError(f"PGBOUNCER_MODE of {database.alias!r} keeps no session: LISTEN would be lost.")


def _announce(database: Database, channel: str) -> None:
    """Have the gates judge the LISTEN before a connection is taken, and the observers told of it."""
    if chain.active:
        statement = Statement(Template(f"LISTEN {database.dialect.quote(channel)}", natural=True))
        chain.admit(StatementRequest(database, statement))
        chain.tell(Observation(statement, database.alias, database.vendor, 0.0, kind="control"))


def listen(database: Database, channel: str) -> Iterator[Notification]:
    """Give the notifications of *channel* as they come; the connection goes back when the iterator is closed."""
    _check(database)
    return _listened(database, channel)


def _listened(database: Database, channel: str) -> Iterator[Notification]:
    _announce(database, channel)
    pool = database.sync_pool
    connection: SyncConnection = pool.acquire()
    try:
        for each in connection.listen(database.dialect.quote(channel)):
            yield Notification(*each)
    finally:
        # What else arrives is nobody's: the connection is not handed on.
        connection.abort()
        pool.release(connection)


def alisten(database: Database, channel: str) -> AsyncIterator[Notification]:
    """Async twin of `listen`."""
    _check(database)
    return _alistened(database, channel)


async def _alistened(database: Database, channel: str) -> AsyncIterator[Notification]:
    _announce(database, channel)
    pool = database.async_pool
    connection: AsyncConnection = await pool.acquire()
    try:
        async for each in connection.listen(database.dialect.quote(channel)):
            yield Notification(*each)
    finally:
        connection.abort()
        await pool.release(connection)
