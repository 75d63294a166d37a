"""Telling a session which schemas code sees (`dorm.db.scope`), and taking that back before anybody else has it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache

from dorm.db.dialect import Dialect
from dorm.db.driver import AsyncConnection, SyncConnection
from dorm.db.statement import Statement
from dorm.exceptions import DatabaseError


@lru_cache(1024)
def seen(dialect: Dialect, path: Sequence[str] | None, local: bool = False) -> Statement:
    """Return what makes the session (*local*: the open transaction) search *path*; None is the session's own."""
    return Statement(dialect.search_path(path, local), (), internal=True)


def unseen(dialect: Dialect, connection: SyncConnection) -> None:
    """Give a session its own path back; one that can't be given it is closed."""
    try:
        connection.control(seen(dialect, None))
    except DatabaseError:
        connection.abort()
    except BaseException:
        connection.abort()
        raise


async def aunseen(dialect: Dialect, connection: AsyncConnection) -> None:
    """Asyncio form of `unseen`."""
    try:
        await connection.control(seen(dialect, None))
    except DatabaseError:
        connection.abort()
    except BaseException:
        connection.abort()
        raise


def undone(connection: SyncConnection) -> None:
    """Roll back what a statement failed in; a connection where that fails too is closed."""
    try:
        connection.rollback()
    except DatabaseError:
        connection.abort()


async def aundone(connection: AsyncConnection) -> None:
    """Asyncio form of `undone`."""
    try:
        await connection.rollback()
    except DatabaseError:
        connection.abort()


@contextmanager
def seeing(dialect: Dialect, connection: SyncConnection, path: tuple[str, ...] | None, alone: bool) -> Generator[None]:
    """Let *connection*, on which no transaction is open, search *path* for one request.

    Behind a PgBouncer that keeps no session the request gets a transaction of its own; so does a statement on a server
    that is some way off, where BEGIN, the path, the statement and COMMIT are one trip.

    Args:
        alone: it is one statement of dorm's, which may run in a transaction.
    """
    if path is None:
        yield
    elif not connection.ride_commit(alone) and dialect.has_sessions:
        try:
            connection.control(seen(dialect, path))
            yield
        finally:
            unseen(dialect, connection)
    else:
        connection.begin(Statement(dialect.begin(), (), internal=True))
        connection.deferred.add(seen(dialect, path, local=True))
        try:
            yield
            if connection.in_transaction:
                connection.commit()
        except DatabaseError:
            undone(connection)
            raise
        except BaseException:
            connection.abort()
            raise
        finally:
            connection.ride_commit(False)


@asynccontextmanager
async def aseeing(
    dialect: Dialect, connection: AsyncConnection, path: tuple[str, ...] | None, alone: bool
) -> AsyncGenerator[None]:
    """Asyncio form of `seeing`."""
    if path is None:
        yield
    elif not connection.ride_commit(alone) and dialect.has_sessions:
        try:
            await connection.control(seen(dialect, path))
            yield
        except GeneratorExit:
            connection.abort()
            raise
        except BaseException:
            await aunseen(dialect, connection)
            raise
        await aunseen(dialect, connection)
    else:
        connection.begin(Statement(dialect.begin(), (), internal=True))
        connection.deferred.add(seen(dialect, path, local=True))
        try:
            yield
            if connection.in_transaction:
                await connection.commit()
        except DatabaseError:
            await aundone(connection)
            raise
        except BaseException:
            connection.abort()
            raise
        finally:
            connection.ride_commit(False)
