"""PostgreSQL by psycopg 3, in both faces."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any, Final

import psycopg
from psycopg import sql

from dorm.conf.databases import DatabaseConfig
from dorm.db.backends.postgresql.aio import PostgresAsyncConnection
from dorm.db.backends.postgresql.connect import failure, parameters
from dorm.db.backends.postgresql.dialect import PostgresDialect
from dorm.db.backends.postgresql.driver import PostgresConnection
from dorm.db.backends.postgresql.pool import PostgresAsyncPool, PostgresPool, ceiling
from dorm.db.backends.threaded import ThreadedConnection
from dorm.db.dialect import Dialect
from dorm.db.driver import AsyncConnection, SyncConnection
from dorm.db.pool import FairSemaphore

_MARK: Final = "made by dorm for tests, "
"""What the comment of a database for tests begins with; host and process follow."""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class PostgresBackend:
    """Makes the parts of a PostgreSQL database; pools of both faces share one ceiling of connections in use."""

    def dialect(self, config: DatabaseConfig) -> PostgresDialect:
        dialect = PostgresDialect()
        dialect.has_sessions = not config.shares_sessions
        dialect.has_transactions = config.pgbouncer_mode != "statement"
        return dialect

    def shared(self, config: DatabaseConfig) -> FairSemaphore:
        return FairSemaphore(config.max_pool_size, ceiling(config.alias, config.max_pool_size))

    def sync_pool(self, config: DatabaseConfig, dialect: Dialect, shared: FairSemaphore) -> PostgresPool:
        return PostgresPool(config, shared)

    def async_pool(self, config: DatabaseConfig, dialect: Dialect, shared: FairSemaphore) -> PostgresAsyncPool:
        return PostgresAsyncPool(config, shared)

    def connect(self, config: DatabaseConfig, shared: FairSemaphore, seconds: float) -> SyncConnection:
        try:
            raw: psycopg.Connection[Any] = psycopg.Connection.connect(**parameters(config, seconds))
        except psycopg.Error as exc:
            raise failure(config, exc) from exc
        return PostgresConnection(raw, config.alias)

    async def aconnect(self, config: DatabaseConfig, shared: FairSemaphore, seconds: float) -> AsyncConnection:
        try:
            raw: psycopg.AsyncConnection[Any] = await psycopg.AsyncConnection.connect(**parameters(config, seconds))
        except psycopg.Error as exc:
            raise failure(config, exc) from exc
        return PostgresAsyncConnection(raw, config.alias)

    def threaded(self, connection: SyncConnection) -> AsyncConnection:
        return ThreadedConnection(connection)

    clones_databases: Final = True
    """`create_database` takes a template."""

    # -- databases for tests -------------------------------------------------------------------------------------
    def create_database(self, config: DatabaseConfig, name: str, template: str | None = None) -> None:
        """Make an empty database (or a copy of *template*); one of that name is dropped first."""
        with self._server(config) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            made = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
            if template is not None:
                made = sql.SQL("{} TEMPLATE {}").format(made, sql.Identifier(template))
            connection.execute(made)

    def has_database(self, config: DatabaseConfig, name: str) -> bool:
        """True when the server has a database of that name."""
        with self._server(config) as connection:
            return bool(connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchall())

    def mark_database(self, config: DatabaseConfig, name: str, owner: int | None = None) -> None:
        """Note as a database's comment which process it was made for, for tests (None: this one).

        `drop_stale_databases` drops it when that process is gone.
        """
        with self._server(config) as connection:
            text = f"{_MARK}{socket.gethostname()} {owner or os.getpid()}"
            connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text)))

    def drop_stale_databases(self, config: DatabaseConfig) -> list[str]:
        """Drop what processes of this machine made for tests and left behind when they were killed; return the names.

        What somebody is connected to stays.
        """
        dropped = []
        with self._server(config) as connection:
            found = connection.execute(
                "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database "
                "WHERE starts_with(shobj_description(oid, 'pg_database'), %s) ORDER BY 1",
                (_MARK,),
            ).fetchall()
            for name, text in found:
                host, _, pid = text.removeprefix(_MARK).partition(" ")
                if host == socket.gethostname() and pid.isdigit() and not _is_alive(int(pid)):
                    with contextlib.suppress(psycopg.errors.ObjectInUse, psycopg.errors.InsufficientPrivilege):
                        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
                        dropped.append(str(name))
        return dropped

    def drop_database(self, config: DatabaseConfig, name: str) -> None:
        """Drop a database with whoever is connected to it."""
        with self._server(config) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _server(self, config: DatabaseConfig) -> psycopg.Connection[Any]:
        """Connect to the server's own database, from which others can be made and dropped."""
        given = {"host": config.host, "port": config.port, "user": config.user, "password": config.password}
        options: dict[str, Any] = {key: value for key, value in {**given, **config.options}.items() if value}
        return psycopg.connect(dbname="postgres", autocommit=True, **options)


backend = PostgresBackend()
