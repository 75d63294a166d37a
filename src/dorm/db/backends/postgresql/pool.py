"""Pools over psycopg_pool: one for blocking code, one an event loop, one ceiling for all of them.

What dorm adds: permits that are handed out first come, first served, over all pools of a database; who holds what, for
the message of a time-out; the connection that came back last handed out first, so that a warm session of the server
stays warm; an unreachable server as an error at once, where the library goes on trying; the ends of event loops and
forked processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar
from weakref import WeakSet

import psycopg
import psycopg_pool

from dorm.conf.databases import DatabaseConfig
from dorm.db.backends.postgresql.aio import PostgresAsyncConnection
from dorm.db.backends.postgresql.connect import MOST_PREPARED, closed, failure, parameters
from dorm.db.backends.postgresql.driver import PostgresConnection
from dorm.db.driver import AsyncConnection, AsyncPool, SyncConnection, SyncPool
from dorm.db.limits import within
from dorm.db.pool import FairSemaphore, ForkAware, Holder

C = TypeVar("C", PostgresConnection, PostgresAsyncConnection)

IDLE_BEFORE_PING: Final = 30.0
"""Seconds a connection may have been idle before it is pinged at checkout (with POOL_CHECK)."""

_LOOK: Final = 0.05
"""Seconds between two looks at whether connecting has failed. Permits keep a pool from being empty for longer than a
connection takes to be made, so nobody waits for anything else."""

_AT_HAND: Final = 1.0
"""Seconds that a connection may stay at hand before the library has it again, which ends those that are too old. Its
own checkout and check-in cost a point read a tenth of its time, and it hands out whatever has waited longest."""

_CLOSING: Final = 2.0
"""Seconds that closing waits for the library's threads: they may be busy with a server that does not answer."""

_BLOCKING: Final = "blocking code"
_ASYNC: Final = "an event loop"
_lifecycle = logging.getLogger("dorm.db.lifecycle.postgresql")

# The library's threads log what dorm raises in the caller. Without a handler it would spill on stderr.
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())


class Made:
    """The connections that a pool has made, and the last failure to make one."""

    def __init__(self) -> None:
        self.raw: WeakSet[Any] = WeakSet()
        self.failures = 0
        self.reason: psycopg.Error | None = None

    def failed(self, reason: psycopg.Error) -> None:
        """Note why a connection could not be made."""
        self.reason = reason
        self.failures += 1


def ceiling(alias: str, maximum: int) -> str:
    """Return what the permits of a database are for, for messages."""
    return f"a connection of {alias!r} ({maximum} in all)"


class _Raw(psycopg.Connection[Any]):
    """A connection that remembers its face of dorm; a subclass for each pool knows where failures are noted."""

    dorm: PostgresConnection | None = None
    made: Made
    made_at = 0.0

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            raw = super().connect(*args, **kwargs)
        except psycopg.Error as exc:
            cls.made.failed(exc)
            raise
        raw.prepared_max = MOST_PREPARED
        raw.made_at = time.monotonic()
        cls.made.raw.add(raw)
        return raw


class _AsyncRaw(psycopg.AsyncConnection[Any]):
    """The asyncio face of `_Raw`."""

    dorm: PostgresAsyncConnection | None = None
    made: Made
    made_at = 0.0

    @classmethod
    async def connect(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            raw = await super().connect(*args, **kwargs)
        except psycopg.Error as exc:
            cls.made.failed(exc)
            raise
        raw.prepared_max = MOST_PREPARED
        raw.made_at = time.monotonic()
        cls.made.raw.add(raw)
        return raw


class _Common:
    """What pools of both faces know."""

    def __init__(self, config: DatabaseConfig, permits: FairSemaphore) -> None:
        self.config = config
        self.permits = permits
        self.made = Made()
        self.suspect_before = 0.0
        self.held: dict[int, tuple[PostgresConnection | PostgresAsyncConnection, Holder, float]] = {}
        self.at_hand: list[Any] = []
        self.is_closed = False
        self._served_at_hand = 0
        self._looks_in_vain = 0
        permits.pools.add(self)

    def tell(self, what: str, whose: str) -> None:
        """Log that the pool was opened or closed."""
        least, most = self.config.min_pool_size, self.config.max_pool_size
        _lifecycle.info("%s the pool of %r for %s, %d to %d connections", what, self.config.alias, whose, least, most)

    def options(self, raw: type[Any]) -> dict[str, Any]:
        """Return the arguments of the library's pool."""
        config = self.config
        given = parameters(config, config.pool_timeout)
        return {
            "conninfo": given.pop("conninfo"),
            "connection_class": type(raw.__name__, (raw,), {"made": self.made}),
            "kwargs": given,
            "min_size": config.min_pool_size,
            "max_size": config.max_pool_size,
            "timeout": config.pool_timeout,
            "max_idle": config.max_idle,
            "max_lifetime": config.max_lifetime,
            "reconnect_timeout": 0.0,
            "open": False,
            "name": f"dorm-{config.alias}",
        }

    def not_yet(self, failures: int, until: float) -> None:
        """Raise when connecting has failed since there were *failures*, or the time for a checkout is over."""
        reason = self.made.reason
        if self.made.failures != failures and reason is not None:
            raise failure(self.config, reason) from reason
        if time.monotonic() > until:
            raise failure(self.config, None)

    def handed_out(self, raw: Any, connection: C) -> C:
        """Note that the library handed *raw* out now; *connection* is its face of dorm, for as long as it lives."""
        if raw.dorm is None:
            raw.dorm = connection
            # It may have waited for long since it was made, as those do that keep the pool at its least size.
            connection.returned_at = raw.made_at
            connection.rides = not self.config.shares_sessions
        connection.handed_out_at = time.monotonic()
        return connection

    def must_ping(self, returned_at: float, now: float) -> bool:
        """True for a connection that was idle for long, or was returned before one was found dead."""
        if returned_at < self.suspect_before:
            return True
        return now - returned_at > IDLE_BEFORE_PING and self.config.pool_check

    def holders(self) -> list[tuple[Holder, float]]:
        """Return who holds a connection since when."""
        return [(who, since) for _, who, since in list(self.held.values())]

    def returned(self, connection: PostgresConnection | PostgresAsyncConnection) -> bool:
        """Forget who held *connection*; close it unless somebody else may have it. False when it came back before."""
        if self.held.pop(id(connection), None) is None:
            return False
        if not connection.is_clean:
            connection.abort()
        connection.returned_at = time.monotonic()
        return True

    def kept(self, connection: PostgresConnection | PostgresAsyncConnection) -> bool:
        """Keep what came back at hand, for the next one to ask; False when the library must have it."""
        if (
            len(self.at_hand) >= self.config.min_pool_size
            or connection.returned_at - connection.handed_out_at > _AT_HAND
            or not connection.usable
            or self.is_closed
        ):
            return False
        self._served_at_hand += 1
        self.at_hand.append(connection)
        return True

    def resize(self, maximum: int) -> None:
        # The library's pools follow when they are asked for a connection: those of other loops can't be told here.
        self.permits.resize(maximum, ceiling(self.config.alias, maximum))

    def suspect(self) -> None:
        self.suspect_before = time.monotonic()

    def numbers(self, stats: dict[str, int]) -> dict[str, Any]:
        """Return psycopg_pool's numbers under dorm's keys, beside its own."""
        return {
            **stats,
            "pool_min": self.config.min_pool_size,
            "pool_max": self.permits.permits,
            "pool_size": stats.get("pool_size", 0),
            "pool_available": stats.get("pool_available", 0) + len(self.at_hand),
            "requests_waiting": self.permits.waiting,
            "requests_num": stats.get("requests_num", 0) + self._served_at_hand - self._looks_in_vain,
            # The library counts each look of `_of_the_library` as a request that failed.
            "requests_errors": max(0, stats.get("requests_errors", 0) - self._looks_in_vain),
            "max_size": self.permits.permits,
            "in_use": len(self.held),
        }


class PostgresPool(_Common, ForkAware, SyncPool):
    """The pool of blocking code."""

    def __init__(self, config: DatabaseConfig, permits: FairSemaphore) -> None:
        _Common.__init__(self, config, permits)
        ForkAware.__init__(self)
        self._pool = self._opened()
        self._parents: list[Any] = []

    def _opened(self) -> psycopg_pool.ConnectionPool[_Raw]:
        pool: psycopg_pool.ConnectionPool[_Raw] = psycopg_pool.ConnectionPool(**self.options(_Raw))
        pool.open()
        self.tell("opened", _BLOCKING)
        return pool

    def forked(self) -> None:
        # The parent's sockets are kept unread and unclosed: closing one would end the parent's session.
        self._parents += [self._pool, self.made, self.held, self.at_hand]
        self.made, self.held, self.at_hand = Made(), {}, []
        self._pool = self._opened()

    def acquire(self) -> PostgresConnection:
        self.permits.acquire(within(self.config.pool_timeout))
        try:
            connection = self._checked_out()
        except BaseException:
            self.permits.release()
            raise
        return connection

    def _checked_out(self) -> PostgresConnection:
        while True:
            try:
                connection: PostgresConnection = self.at_hand.pop()
            except IndexError:
                connection = self._of_the_library()
            now = time.monotonic()
            if self.must_ping(connection.returned_at, now) and not connection.ping():
                self._put(connection)
                continue
            self.held[id(connection)] = connection, threading.get_ident(), now
            return connection

    def _of_the_library(self) -> PostgresConnection:
        if self._pool.max_size != self.permits.permits:
            self._pool.resize(min(self._pool.min_size, self.permits.permits), self.permits.permits)
        failures, until = self.made.failures, time.monotonic() + within(self.config.pool_timeout)
        while True:
            try:
                raw = self._pool.getconn(_LOOK)
            except psycopg_pool.PoolTimeout:
                self._looks_in_vain += 1
                self.not_yet(failures, until)
                continue
            except psycopg_pool.PoolClosed as exc:
                raise closed(self.config) from exc
            return self.handed_out(raw, raw.dorm or PostgresConnection(raw, self.config.alias))

    def release(self, connection: SyncConnection) -> None:
        assert isinstance(connection, PostgresConnection), "what was acquired comes back"
        if not self.returned(connection):
            return
        try:
            if not self.kept(connection):
                self._put(connection)
            elif self.is_closed:
                self._empty_hand()
        finally:
            self.permits.release()

    def _put(self, connection: PostgresConnection) -> None:
        self._pool.putconn(connection.raw)  # type: ignore[arg-type]  # the pool's own connections

    def _empty_hand(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._put(self.at_hand.pop())

    def close(self) -> None:
        # In this order: whoever comes back between the two finds the pool closed, and empties the hand itself.
        was_open, self.is_closed = not self.is_closed, True
        self._empty_hand()
        self._pool.close(_CLOSING)
        if was_open:
            self.tell("closed", _BLOCKING)

    def stats(self) -> dict[str, Any]:
        return self.numbers(self._pool.get_stats())


class PostgresAsyncPool(_Common, AsyncPool):
    """The pool of one event loop; it is closed when the loop ends."""

    def __init__(self, config: DatabaseConfig, permits: FairSemaphore) -> None:
        super().__init__(config, permits)
        self._pool: psycopg_pool.AsyncConnectionPool[_AsyncRaw] = psycopg_pool.AsyncConnectionPool(
            **self.options(_AsyncRaw)
        )
        self._opening: asyncio.Task[None] | None = None
        self._returning: set[asyncio.Task[None]] = set()
        # A task, not a LoopEnd: the library's own tasks live in this loop and may swallow their cancellation while they
        # connect, so closing must begin when the loop cancels its tasks, not after they have all ended.
        self._end = asyncio.get_running_loop().create_task(self._until_the_end(), name="dorm-postgresql-pool")

    async def _until_the_end(self) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.is_closed = True
            if self._opening is not None:
                self.tell("closed", _ASYNC)
            while self.at_hand:
                await self.at_hand.pop().close()
            await self._pool.close(_CLOSING)

    async def _open(self) -> None:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._pool.open())
            self.tell("opened", _ASYNC)
        await asyncio.shield(self._opening)

    async def acquire(self) -> PostgresAsyncConnection:
        if self._pool.closed:
            await self._open()
        await self.permits.aacquire(within(self.config.pool_timeout))
        try:
            connection = await self._checked_out()
        except BaseException:
            self.permits.release()
            raise
        return connection

    async def _checked_out(self) -> PostgresAsyncConnection:
        while True:
            try:
                connection: PostgresAsyncConnection = self.at_hand.pop()
            except IndexError:
                connection = await self._of_the_library()
            now = time.monotonic()
            if self.must_ping(connection.returned_at, now) and not await self._pinged(connection):
                continue
            self.held[id(connection)] = connection, asyncio.current_task() or threading.get_ident(), now
            return connection

    async def _of_the_library(self) -> PostgresAsyncConnection:
        if self._pool.max_size != self.permits.permits:
            await self._pool.resize(min(self._pool.min_size, self.permits.permits), self.permits.permits)
        failures, until = self.made.failures, time.monotonic() + within(self.config.pool_timeout)
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task is not None else 0
        while True:
            try:
                raw = await self._pool.getconn(_LOOK)
            except psycopg_pool.PoolTimeout:
                self._looks_in_vain += 1
                self.not_yet(failures, until)
                continue
            except psycopg_pool.PoolClosed as exc:
                raise closed(self.config) from exc
            if task is not None and task.cancelling() > cancelled_before:
                # The library waits with wait_for: Python 3.11 forgets a cancellation that comes with the answer.
                self._later(self._put_again(raw))
                raise asyncio.CancelledError
            return self.handed_out(raw, raw.dorm or PostgresAsyncConnection(raw, self.config.alias))

    async def _pinged(self, connection: PostgresAsyncConnection) -> bool:
        alive = False
        try:
            alive = await connection.ping()
        finally:
            if not alive:
                connection.abort()
                await self._pool.putconn(connection.raw)  # type: ignore[arg-type]  # the pool's own connections
        return alive

    async def release(self, connection: AsyncConnection) -> None:
        assert isinstance(connection, PostgresAsyncConnection), "what was acquired comes back"
        if not self.returned(connection):
            return
        if self.kept(connection):
            self.permits.release()
        else:
            await self._put(connection)

    async def _put(self, connection: PostgresAsyncConnection) -> None:
        # putconn never waits for the server here: the connection is idle, or closed already. It waits for a lock of
        # the library's, though: a cancellation there must not lose the connection's place in the pool.
        raw: Any = connection.raw
        try:
            await self._pool.putconn(raw)
        except asyncio.CancelledError:
            self._later(self._put_again(raw))
            raise
        finally:
            self.permits.release()

    async def _put_again(self, raw: _AsyncRaw) -> None:
        with contextlib.suppress(ValueError):
            # ValueError: it came back all the same.
            await self._pool.putconn(raw)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    def discard(self, connection: AsyncConnection) -> None:
        assert isinstance(connection, PostgresAsyncConnection), "what was acquired comes back"
        connection.abort()
        if self.returned(connection):
            self._later(self._put(connection))

    async def close(self) -> None:
        self._end.cancel()
        await asyncio.wait({self._end})

    def loop_is_gone(self) -> None:
        for raw in list(self.made.raw):
            raw.pgconn.finish()
        for connection, _, _ in list(self.held.values()):
            if self.returned(connection):
                self.permits.release()

    def stats(self) -> dict[str, Any]:
        return self.numbers(self._pool.get_stats())
