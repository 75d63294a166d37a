"""Pools of PostgreSQL connections: one for blocking code, one an event loop, one ceiling for all of them.

Whoever needs a connection and finds none idle makes one, in its own thread or task: an unreachable server is an error
there and at once, no thread works in the background, and there is nothing that a fork() could break.
"""

from __future__ import annotations

from typing import Any

import psycopg

from dorm.conf.databases import DatabaseConfig
from dorm.db.backends.postgresql.connect import MOST_PREPARED, failure, parameters
from dorm.db.backends.postgresql.driver import PostgresAsyncConnection, PostgresConnection
from dorm.db.driver import AsyncConnection, AsyncPool, SyncConnection, SyncPool
from dorm.db.pool import C, FairSemaphore, ForkAware, LoopEnd, Shelf


def _shelf(config: DatabaseConfig) -> Shelf[Any]:
    return Shelf(config.min_pool_size, config.max_idle, config.max_lifetime, config.pool_check)


class _Numbers:
    """What a pool counts."""

    def __init__(self) -> None:
        self.in_use = 0
        self.requests = 0
        self.made = 0
        self.failed = 0
        self.bad = 0

    def told(self, config: DatabaseConfig, shelf: Shelf[C], permits: FairSemaphore) -> dict[str, Any]:
        """Return the numbers under their public names."""
        return {
            "pool_min": config.min_pool_size,
            "pool_max": config.max_pool_size,
            "pool_size": len(shelf) + self.in_use,
            "pool_available": len(shelf),
            "requests_waiting": permits.waiting,
            "requests_num": self.requests,
            "connections_num": self.made,
            "connections_errors": self.failed,
            "returns_bad": self.bad,
            "max_size": config.max_pool_size,
            "in_use": self.in_use,
        }


class PostgresPool(ForkAware, SyncPool):
    """The pool of blocking code."""

    def __init__(self, config: DatabaseConfig, permits: FairSemaphore) -> None:
        super().__init__()
        self.config = config
        self.permits = permits
        self._shelf: Shelf[PostgresConnection] = _shelf(config)
        self._numbers = _Numbers()
        self._parents: list[PostgresConnection] = []

    def forked(self) -> None:
        # The parent's sockets are kept, unread and unclosed: closing one would end the parent's session.
        self._parents += self._shelf.emptied()
        self._shelf = _shelf(self.config)
        self._numbers = _Numbers()

    def acquire(self) -> PostgresConnection:
        self.permits.acquire(self.config.pool_timeout)
        try:
            connection = self._shelf.take()
            while connection is not None and self._shelf.must_ping(connection) and not connection.ping():
                connection.abort()
                connection = self._shelf.take()
            if connection is None:
                connection = self._made()
        except BaseException:
            self.permits.release()
            raise
        self._numbers.requests += 1
        self._numbers.in_use += 1
        self.permits.held(connection)
        return connection

    def _made(self) -> PostgresConnection:
        try:
            raw = psycopg.Connection.connect(**parameters(self.config, self.config.pool_timeout))
        except psycopg.Error as exc:
            self._numbers.failed += 1
            raise failure(self.config, exc) from exc
        raw.prepared_max = MOST_PREPARED
        self._numbers.made += 1
        return PostgresConnection(raw, self.config.alias)

    def release(self, connection: SyncConnection) -> None:
        assert isinstance(connection, PostgresConnection), "what was acquired comes back"
        self.permits.returned(connection)
        self._numbers.in_use -= 1
        try:
            if connection.is_clean:
                self._shelf.put(connection)
            else:
                self._numbers.bad += 1
                connection.abort()
        finally:
            self.permits.release()

    def close(self) -> None:
        self._shelf.close()

    def suspect(self) -> None:
        self._shelf.suspect()

    def stats(self) -> dict[str, Any]:
        return self._numbers.told(self.config, self._shelf, self.permits)


class PostgresAsyncPool(AsyncPool):
    """The pool of one event loop; it is closed when the loop ends."""

    def __init__(self, config: DatabaseConfig, permits: FairSemaphore) -> None:
        self.config = config
        self.permits = permits
        self._shelf: Shelf[PostgresAsyncConnection] = _shelf(config)
        self._numbers = _Numbers()
        self._held: set[PostgresAsyncConnection] = set()
        self._end = LoopEnd(self._close)

    async def acquire(self) -> PostgresAsyncConnection:
        await self.permits.aacquire(self.config.pool_timeout)
        connection: PostgresAsyncConnection | None = None
        try:
            connection = self._shelf.take()
            while connection is not None and self._shelf.must_ping(connection) and not await connection.ping():
                connection.abort()
                connection = self._shelf.take()
            if connection is None:
                connection = await self._made()
        except BaseException:
            if connection is not None:
                connection.abort()
            self.permits.release()
            raise
        self._numbers.requests += 1
        self._numbers.in_use += 1
        self._held.add(connection)
        self.permits.held(connection)
        return connection

    async def _made(self) -> PostgresAsyncConnection:
        try:
            raw = await psycopg.AsyncConnection.connect(**parameters(self.config, self.config.pool_timeout))
        except psycopg.Error as exc:
            self._numbers.failed += 1
            raise failure(self.config, exc) from exc
        raw.prepared_max = MOST_PREPARED
        self._numbers.made += 1
        return PostgresAsyncConnection(raw, self.config.alias)

    async def release(self, connection: AsyncConnection) -> None:
        self._returned(connection)

    def discard(self, connection: AsyncConnection) -> None:
        connection.abort()
        self._returned(connection)

    def _returned(self, connection: AsyncConnection) -> None:
        assert isinstance(connection, PostgresAsyncConnection), "what was acquired comes back"
        if connection not in self._held:
            return
        self._held.discard(connection)
        self.permits.returned(connection)
        self._numbers.in_use -= 1
        try:
            if connection.is_clean:
                self._shelf.put(connection)
            else:
                self._numbers.bad += 1
                connection.abort()
        finally:
            self.permits.release()

    async def close(self) -> None:
        await self._end.close()

    async def _close(self) -> None:
        self._shelf.close()

    def loop_is_gone(self) -> None:
        """Give everything up, from any thread: the loop was closed without asking anybody."""
        self._shelf.close()
        for connection in list(self._held):
            self.discard(connection)

    def suspect(self) -> None:
        self._shelf.suspect()

    def stats(self) -> dict[str, Any]:
        return self._numbers.told(self.config, self._shelf, self.permits)
