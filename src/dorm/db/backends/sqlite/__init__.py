"""SQLite by apsw, in both faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dorm.conf.databases import DatabaseConfig
from dorm.db.backends.sqlite.dialect import SqliteDialect
from dorm.db.backends.sqlite.driver import SqliteConnection
from dorm.db.backends.sqlite.pool import SqlitePool, Store
from dorm.db.dialect import Dialect
from dorm.db.driver import AsyncConnection, SyncConnection

if TYPE_CHECKING:
    from dorm.db.backends.sqlite.aio import SqliteAsyncPool


class SqliteBackend:
    """Makes the parts of a SQLite database."""

    def dialect(self, config: DatabaseConfig) -> SqliteDialect:
        return SqliteDialect()

    def shared(self, config: DatabaseConfig) -> Store:
        return Store(config)

    def sync_pool(self, config: DatabaseConfig, dialect: Dialect, shared: Store) -> SqlitePool:
        return SqlitePool(shared)

    def async_pool(self, config: DatabaseConfig, dialect: Dialect, shared: Store) -> SqliteAsyncPool:
        from dorm.db.backends.sqlite.aio import SqliteAsyncPool

        return SqliteAsyncPool(shared)

    def connect(self, config: DatabaseConfig, shared: Store, seconds: float) -> SyncConnection:
        return SqliteConnection(shared)

    async def aconnect(self, config: DatabaseConfig, shared: Store, seconds: float) -> AsyncConnection:
        from dorm.db.backends.threaded import ThreadedConnection

        return ThreadedConnection(SqliteConnection(shared))

    def threaded(self, connection: SyncConnection) -> AsyncConnection:
        from dorm.db.backends.threaded import ThreadedConnection

        return ThreadedConnection(connection)


backend = SqliteBackend()

__all__ = ["SqliteBackend", "SqliteConnection", "backend"]
