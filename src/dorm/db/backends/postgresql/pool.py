"""Pools over psycopg_pool: one for blocking code, one an event loop, one ceiling for all of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from dorm.conf.databases import DatabaseConfig
from dorm.db.backends.postgresql.adapt import ADAPTERS
from dorm.db.backends.postgresql.driver import PostgresAsyncConnection, PostgresConnection
from dorm.db.backends.postgresql.errors import DRIVER_ERRORS, translated
from dorm.db.driver import AsyncConnection, AsyncPool, SyncConnection, SyncPool
from dorm.db.pool import FairSemaphore, ForkAware, LoopEnd, holder_name

IDLE_BEFORE_PING = 30.0
"""Seconds a connection may have been idle before it is pinged at checkout (with POOL_CHECK)."""

_MOST_PREPARED = 1_000
"""Prepared statements a connection keeps; the driver forgets the oldest beyond."""


class _Raw(psycopg.Connection[Any]):
    """A connection that remembers its face of dorm."""

    dorm: PostgresConnection | None = None


class _AsyncRaw(psycopg.AsyncConnection[Any]):
    """A connection that remembers its face of dorm."""

    dorm: PostgresAsyncConnection | None = None


def _conninfo(config: DatabaseConfig) -> str:
    known = {"dbname": config.name, "user": config.user, "password": config.password, "host": config.host}
    options = {key: value for key, value in config.options.items() if key != "options"}
    given = {key: value for key, value in known.items() if value}
    if config.port is not None:
        given["port"] = str(config.port)
    through_bouncer = config.pgbouncer_mode in (True, "transaction", "statement")
    if not through_bouncer:
        given["options"] = f"-c TimeZone=UTC {config.options.get('options', '')}".strip()
    return make_conninfo("", **{**given, **options})


def _pool_options(config: DatabaseConfig, raw: type[Any]) -> dict[str, Any]:
    prepares = config.pgbouncer_mode in (False, "session")
    return {
        "conninfo": _conninfo(config),
        "connection_class": raw,
        "kwargs": {
            "autocommit": True,
            "context": ADAPTERS,
            "prepare_threshold": config.prepare_threshold if prepares else None,
        },
        "min_size": config.min_pool_size,
        "max_size": config.max_pool_size,
        "timeout": config.pool_timeout,
        "max_idle": config.max_idle,
        "max_lifetime": config.max_lifetime,
        "open": False,
        "name": f"dorm-{config.alias}",
    }


class _Common:
    """What pools of both faces know."""

    def __init__(self, config: DatabaseConfig, permits: FairSemaphore) -> None:
        self.config = config
        self.permits = permits
        self.suspect_before = 0.0
        self.in_use = 0

    def must_ping(self, returned_at: float) -> bool:
        """True for a connection that was idle for long, or was returned before one was found dead."""
        if returned_at < self.suspect_before:
            return True
        return self.config.pool_check and time.monotonic() - returned_at > IDLE_BEFORE_PING

    def numbers(self, stats: dict[str, int]) -> dict[str, Any]:
        """Return psycopg_pool's numbers under dorm's keys, beside its own."""
        return {
            **stats,
            "pool_min": self.config.min_pool_size,
            "pool_max": self.config.max_pool_size,
            "pool_size": stats.get("pool_size", 0),
            "pool_available": stats.get("pool_available", 0),
            "requests_waiting": self.permits.waiting,
            "max_size": self.config.max_pool_size,
            "in_use": self.in_use,
        }


class PostgresPool(_Common, ForkAware, SyncPool):
    """The pool of blocking code."""

    def __init__(self, config: DatabaseConfig, permits: FairSemaphore) -> None:
        _Common.__init__(self, config, permits)
        ForkAware.__init__(self)
        self._pool = self._opened()
        self._parents: list[Any] = []

    def _opened(self) -> ConnectionPool[_Raw]:
        pool: ConnectionPool[_Raw] = ConnectionPool(
            **_pool_options(self.config, _Raw), configure=_set_up, reconnect_timeout=self.config.pool_timeout
        )
        pool.open()
        return pool

    def forked(self) -> None:
        # The parent's sockets are kept unread and unclosed: closing one would end the parent's session.
        self._parents.append(self._pool)
        self._pool = self._opened()
        self.in_use = 0

    def acquire(self) -> PostgresConnection:
        self.permits.acquire(self.config.pool_timeout)
        try:
            connection = self._checked_out()
        except BaseException:
            self.permits.release()
            raise
        self.in_use += 1
        self.permits.held(connection, holder_name())
        return connection

    def _checked_out(self) -> PostgresConnection:
        while True:
            try:
                raw = self._pool.getconn()
            except DRIVER_ERRORS as exc:
                raise translated(_cause(self.config, exc), None, self.config.alias, True) from exc
            connection = raw.dorm
            if connection is None:
                connection = raw.dorm = PostgresConnection(raw, self.config.alias)
            elif self.must_ping(connection.returned_at) and not connection.ping():
                self._pool.putconn(raw)
                continue
            return connection

    def release(self, connection: SyncConnection) -> None:
        assert isinstance(connection, PostgresConnection), "what was acquired comes back"
        self.permits.returned(connection)
        self.in_use -= 1
        if not connection.usable or connection.in_transaction:
            connection.abort()
        connection.returned_at = time.monotonic()
        try:
            self._pool.putconn(connection.raw)  # type: ignore[arg-type]  # the pool's own connections
        finally:
            self.permits.release()

    def close(self) -> None:
        self._pool.close()

    def suspect(self) -> None:
        self.suspect_before = time.monotonic()

    def stats(self) -> dict[str, Any]:
        return self.numbers(self._pool.get_stats())


class PostgresAsyncPool(_Common, AsyncPool):
    """The pool of one event loop; it is closed when the loop ends."""

    def __init__(self, config: DatabaseConfig, permits: FairSemaphore) -> None:
        _Common.__init__(self, config, permits)
        self._pool: AsyncConnectionPool[_AsyncRaw] = AsyncConnectionPool(
            **_pool_options(config, _AsyncRaw), configure=_aset_up, reconnect_timeout=config.pool_timeout
        )
        self._opening: asyncio.Task[None] | None = None
        self._end = LoopEnd(self._close, "dorm-postgresql-pool")
        self._returning: set[asyncio.Task[None]] = set()

    async def _open(self) -> None:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._pool.open())
        await asyncio.shield(self._opening)

    async def acquire(self) -> PostgresAsyncConnection:
        if self._pool.closed:
            await self._open()
        await self.permits.aacquire(self.config.pool_timeout)
        try:
            connection = await self._checked_out()
        except BaseException:
            self.permits.release()
            raise
        self.in_use += 1
        self.permits.held(connection, holder_name())
        return connection

    async def _checked_out(self) -> PostgresAsyncConnection:
        while True:
            try:
                raw = await self._pool.getconn()
            except DRIVER_ERRORS as exc:
                raise translated(_cause(self.config, exc), None, self.config.alias, True) from exc
            connection = raw.dorm
            if connection is None:
                connection = raw.dorm = PostgresAsyncConnection(raw, self.config.alias)
            elif self.must_ping(connection.returned_at) and not await connection.ping():
                await self._pool.putconn(raw)
                continue
            return connection

    async def release(self, connection: AsyncConnection) -> None:
        assert isinstance(connection, PostgresAsyncConnection), "what was acquired comes back"
        self._given_up(connection)
        if not connection.usable or connection.in_transaction:
            connection.abort()
        connection.returned_at = time.monotonic()
        await self._put(connection)

    async def _put(self, connection: PostgresAsyncConnection) -> None:
        # putconn never waits for the server here: the connection is idle, or closed already.
        try:
            await self._pool.putconn(connection.raw)  # type: ignore[arg-type]  # the pool's own connections
        finally:
            self.permits.release()

    def _given_up(self, connection: PostgresAsyncConnection) -> None:
        self.permits.returned(connection)
        self.in_use -= 1

    def discard(self, connection: AsyncConnection) -> None:
        assert isinstance(connection, PostgresAsyncConnection), "what was acquired comes back"
        self._given_up(connection)
        connection.abort()
        task = asyncio.ensure_future(self._put(connection))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def close(self) -> None:
        await self._end.close()

    async def _close(self) -> None:
        await self._pool.close()

    def suspect(self) -> None:
        self.suspect_before = time.monotonic()

    def stats(self) -> dict[str, Any]:
        return self.numbers(self._pool.get_stats())


def _set_up(raw: psycopg.Connection[Any]) -> None:
    raw.prepared_max = _MOST_PREPARED


async def _aset_up(raw: psycopg.AsyncConnection[Any]) -> None:
    raw.prepared_max = _MOST_PREPARED


def _cause(config: DatabaseConfig, exc: Exception) -> Exception:
    """Return what connecting failed with, asked once more directly: the pool's time-out hides it."""
    try:
        psycopg.Connection.connect(_conninfo(config), connect_timeout=2).close()
    except psycopg.Error as reason:
        return reason
    return exc
