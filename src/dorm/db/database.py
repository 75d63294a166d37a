"""Databases by alias: configuration, dialect, pools, and the block in force."""

from __future__ import annotations

import logging
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from dorm.conf.databases import DatabaseConfig
from dorm.conf.settings import settings
from dorm.db import loops
from dorm.db.backends import load_backend
from dorm.db.block import Block, Lease
from dorm.db.driver import AsyncConnection, AsyncPool, Face, SyncConnection, SyncPool
from dorm.db.limits import SERVER_GRACE, Limit, in_use, limit_of, told
from dorm.db.request import StatementRequest, asynchronous, blocking
from dorm.db.scope import search_path_of
from dorm.db.seeing import aseeing, aunseen, seeing, seen, unseen
from dorm.db.timed import Watch
from dorm.exceptions import DatabaseError, TransactionManagementError

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

_blocks: dict[str, ContextVar[Block | None]] = {}
"""One context variable an alias: they live as long as the process, so a new Database of an alias takes over its own."""


def _block_variable(alias: str) -> ContextVar[Block | None]:
    return _blocks.setdefault(alias, ContextVar(f"dorm_block_{alias}", default=None))


def _is_alone(request: StatementRequest[Any]) -> bool:
    return request.is_single and bool(request.statement.template.model)


def _sync_pool_of(lease: Lease) -> SyncPool:
    """Return where a connection of blocking code goes back to: the database may have another pool by now."""
    assert isinstance(lease.pool, SyncPool), "an owned connection of blocking code has its pool"
    return lease.pool


def _async_pool_of(lease: Lease) -> AsyncPool:
    """Return where a connection of asyncio code goes back to."""
    assert isinstance(lease.pool, AsyncPool), "an owned connection of asyncio code has its pool"
    return lease.pool


class Database:
    """One entry of ``DATABASES``: everything that belongs to it, made on first use.

    Statements go to the open block's connection; outside blocks each checks one out of the pool and in again.
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self.alias = config.alias
        self.config = config
        self.backend = load_backend(config.engine)
        self.dialect = self.backend.dialect(config)
        self.vendor = self.dialect.vendor
        self.logger = logging.getLogger(f"dorm.db.backends.{self.vendor}")
        self._shared = self.backend.shared(config)
        self._block = _block_variable(config.alias)
        self._pinned: Block | None = None
        self._pinned_async: AsyncConnection | None = None
        self._sync_pool: SyncPool | None = None
        self._async_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncPool] = WeakKeyDictionary()
        self._latest: tuple[asyncio.AbstractEventLoop, AsyncPool] | None = None
        self._lock = threading.Lock()
        self.handles: Any = None
        """The public handles of both faces, made on first use."""

    # -- pools ---------------------------------------------------------------------------------------------------
    @property
    def sync_pool(self) -> SyncPool:
        """The pool of blocking code."""
        pool = self._sync_pool
        if pool is None:
            with self._lock:
                pool = self._sync_pool
                if pool is None:
                    pool = self._sync_pool = self.backend.sync_pool(self.config, self.dialect, self._shared)
        return pool

    @property
    def async_pool(self) -> AsyncPool:
        """The pool of the running event loop."""
        loop = loops.running_loop()
        latest = self._latest
        if latest is not None and latest[0] is loop:
            return latest[1]
        if loop is None:
            raise RuntimeError("no running event loop")
        with self._lock:
            pool = self._async_pools.get(loop)
            if pool is None:
                for other in [each for each in self._async_pools if each.is_closed()]:
                    self._async_pools.pop(other).loop_is_gone()
                pool = self.backend.async_pool(self.config, self.dialect, self._shared)
                self._async_pools[loop] = pool
            self._latest = (loop, pool)
        return pool

    # -- statements ----------------------------------------------------------------------------------------------
    def perform(self, request: StatementRequest[T], /) -> T:
        """Send a statement from blocking code."""
        if in_use.ever:
            limit, path = limit_of(self.alias), search_path_of(self.alias)
            if limit is not None or path is not None:
                return self._bound(request, limit, path)
        block = self._pinned
        if block is None:
            block = self._block.get()
            if block is None:
                return (self._sync_pool or self.sync_pool).perform(request)
            block.check("sync")
        block.admit(request.statement)
        if block.timeout_ms is not None or block.path is not None:
            block.keep(self.dialect, None, None)
        try:
            return request.on(block.connection)  # type: ignore[arg-type]  # of the face that was checked
        except DatabaseError as exc:
            block.failed(request.statement, exc)
            raise

    def _bound(self, request: StatementRequest[T], limit: Limit | None, path: tuple[str, ...] | None) -> T:
        """Send a statement from blocking code that may take so long only, or sees other schemas."""
        since = time.monotonic()
        block = self.current_block("sync")
        try:
            if block is None:
                return self._bound_outside(request, None if limit is None else since + limit.seconds, path)
            block.admit(request.statement)
            connection = blocking(block.connection)
            kept, path = block.keep(self.dialect, None if limit is None else limit.seconds, path)
            with seeing(self.dialect, connection, path, _is_alone(request)):
                if limit is None:
                    return request.on(connection)
                # Also where the server keeps the time: it may be one that does not answer any more.
                with Watch(connection, limit.seconds + (SERVER_GRACE if kept else 0)) as watch:
                    reply = request.on(connection)
                if watch.fired:
                    # Done just then, but the connection was given up, and the transaction with it.
                    raise limit.exceeded(self.alias)
                return reply
        except DatabaseError as exc:
            if block is not None:
                block.failed(request.statement, exc)
            made = exc if limit is None else told(exc, limit, self.alias, since)
            if made is exc:
                raise
            raise made from exc

    def _bound_outside(self, request: StatementRequest[T], end: float | None, path: tuple[str, ...] | None) -> T:
        pool = self.sync_pool
        connection = pool.acquire()
        try:
            with seeing(self.dialect, connection, path, _is_alone(request)):
                if end is None:
                    return request.on(connection)
                with Watch(connection, max(0.001, end - time.monotonic())):
                    return request.on(connection)
        finally:
            pool.release(connection)

    async def aperform(self, request: StatementRequest[T], /) -> T:
        """Send a statement from asyncio code."""
        if in_use.ever:
            limit, path = limit_of(self.alias), search_path_of(self.alias)
            if limit is not None or path is not None:
                return await self._abound(request, limit, path)
        if self._block.get() is not None or self._pinned is not None:
            block = self.current_block("async")
            if block is not None:
                block.admit(request.statement)
                if block.timeout_ms is not None or block.path is not None:
                    block.keep(self.dialect, None, None)
                try:
                    return await request.aon(self.async_connection(block))
                except DatabaseError as exc:
                    block.failed(request.statement, exc)
                    raise
        return await self.async_pool.perform(request)

    async def _abound(self, request: StatementRequest[T], limit: Limit | None, path: tuple[str, ...] | None) -> T:
        """Send a statement from asyncio code that may take so long only, or sees other schemas."""
        import asyncio

        since = time.monotonic()
        block = self.current_block("async")
        try:
            if block is None:
                async with asyncio.timeout(None if limit is None else limit.seconds):
                    return await self._abound_outside(request, path)
            block.admit(request.statement)
            kept, path = block.keep(self.dialect, None if limit is None else limit.seconds, path)
            connection = self.async_connection(block)
            async with asyncio.timeout(None if limit is None else limit.seconds + (SERVER_GRACE if kept else 0)):
                async with aseeing(self.dialect, connection, path, _is_alone(request)):
                    return await request.aon(connection)
        except DatabaseError as exc:
            if block is not None:
                block.failed(request.statement, exc)
            made = exc if limit is None else told(exc, limit, self.alias, since)
            if made is exc:
                raise
            raise made from exc
        except TimeoutError as exc:
            if limit is None:
                raise
            made = limit.exceeded(self.alias)
            made.statement = request.statement.sql
            if block is not None:
                block.failed(request.statement, made)
            raise made from exc

    async def _abound_outside(self, request: StatementRequest[T], path: tuple[str, ...] | None) -> T:
        pool = self.async_pool
        if path is None:
            return await pool.perform(request)
        connection = await pool.acquire()
        try:
            async with aseeing(self.dialect, connection, path, _is_alone(request)):
                reply = await request.aon(connection)
        except GeneratorExit:
            pool.discard(connection)
            raise
        except BaseException:
            await pool.release(connection)
            raise
        await pool.release(connection)
        return reply

    # -- blocks --------------------------------------------------------------------------------------------------
    def current_block(self, face: Face) -> Block | None:
        """Return the block in force after the checks of owner and face; None outside blocks."""
        if self._pinned is not None:
            return self._pinned
        block = self._block.get()
        if block is not None:
            block.check(face)
        return block

    def block_for_callbacks(self) -> Block | None:
        """Return the open block of the code running now, of either face: helpers of one may serve the other."""
        block = self._pinned or self._block.get()
        if block is not None and block is not self._pinned:
            block.check(block.face)
        return block

    @property
    def in_block(self) -> bool:
        """True when a block is in force here, whoever owns it."""
        return self._pinned is not None or self._block.get() is not None

    @property
    def block_identity(self) -> int:
        """A number that tells the block in force here from others; 0 outside blocks."""
        block = self._pinned or self._block.get()
        return id(block) if block is not None and not block.ended else 0

    @property
    def in_transaction(self) -> bool:
        """True when the block in force here is a transaction, and not only a connection that is kept."""
        block = self._pinned or self._block.get()
        return block is not None and block.in_transaction

    def enter(self, block: Block) -> None:
        """Put *block* in force here."""
        if self._pinned is None:
            self._block.set(block)

    def leave(self, block: Block) -> None:
        """End *block*; whoever still holds it gets an error from now on."""
        block.ended = True
        if self._block.get() is block:
            self._block.set(None)

    def pin(self, block: Block | None) -> None:
        """Make *block* (of blocking code) the one that both faces of the process use, for tests; None ends that."""
        if block is not None and block.face != "sync":
            raise TransactionManagementError("only a block that blocking code opened can be pinned.")
        if self._pinned is not None:
            self._pinned.pinned = False
        if block is not None:
            block.pinned = True
        self._pinned = block
        self._pinned_async = None

    def async_connection(self, block: Block) -> AsyncConnection:
        """Return the connection of a block for asyncio code; a pinned one is served by a thread."""
        connection = block.connection
        if isinstance(connection, SyncConnection) and block is self._pinned:
            if self._pinned_async is None:
                self._pinned_async = self.backend.threaded(connection)
            return self._pinned_async
        return asynchronous(connection)

    # -- held connections ----------------------------------------------------------------------------------------
    # Methods of both faces, here and above: requests end in them, and what is below requests cannot be an operation.
    # They differ in nothing but `await` and the pool of the face.
    def acquire(self, bare: bool = False) -> Lease:
        """Hold a connection from blocking code; *bare* as `Acquire` has it."""
        if in_use.ever:
            limit_of(self.alias)
        block = self.current_block("sync")
        if block is not None:
            lease = Lease(self.alias, block.connection, owned=False)
        else:
            pool = self.sync_pool
            lease = Lease(self.alias, pool.acquire(), owned=True, pool=pool)
        path = self._path_of(lease, block, bare) if in_use.ever else None
        if path is not None:
            try:
                blocking(lease.connection).control(seen(self.dialect, path))
            except BaseException:
                self.discard(lease)
                raise
            lease.alters_session = True
        return lease

    async def aacquire(self, bare: bool = False) -> Lease:
        """Asyncio form of `acquire`."""
        if in_use.ever:
            limit_of(self.alias)
        block = self.current_block("async")
        if block is not None:
            lease = Lease(self.alias, self.async_connection(block), owned=False)
        else:
            pool = self.async_pool
            lease = Lease(self.alias, await pool.acquire(), owned=True, pool=pool)
        path = self._path_of(lease, block, bare) if in_use.ever else None
        if path is not None:
            try:
                await asynchronous(lease.connection).control(seen(self.dialect, path))
            except BaseException:
                self.discard(lease)
                raise
            lease.alters_session = True
        return lease

    def _path_of(self, lease: Lease, block: Block | None, bare: bool) -> tuple[str, ...] | None:
        """Return the search path that the session of *lease* is to be given; None where a transaction keeps it."""
        path = search_path_of(self.alias)
        if block is not None and block.in_transaction:
            block.keep_path(self.dialect, path)
            return None
        if bare:
            lease.path = path
            return None
        return path

    def release(self, lease: Lease) -> None:
        """Give a held connection back from blocking code."""
        if lease.alters_session:
            lease.alters_session = False
            unseen(self.dialect, blocking(lease.connection))
        if lease.owned:
            lease.owned = False
            _sync_pool_of(lease).release(blocking(lease.connection))

    async def arelease(self, lease: Lease) -> None:
        """Give a held connection back from asyncio code."""
        if lease.alters_session:
            lease.alters_session = False
            await aunseen(self.dialect, asynchronous(lease.connection))
        if lease.owned:
            lease.owned = False
            await _async_pool_of(lease).release(asynchronous(lease.connection))

    def discard(self, lease: Lease) -> None:
        """Give a held connection up without waiting: it is closed."""
        if not lease.owned:
            lease.connection.abort()
            return
        lease.owned = False
        if isinstance(lease.connection, AsyncConnection):
            _async_pool_of(lease).discard(lease.connection)
        else:
            lease.connection.abort()
            _sync_pool_of(lease).release(lease.connection)

    def replace(self, block: Block) -> None:
        """Give a block of blocking code another connection, for the dead one on which it did nothing yet."""
        _sync_pool_of(block.owned_lease()).release(blocking(block.connection))
        pool = self.sync_pool
        block.move(pool.acquire(), pool)

    async def areplace(self, block: Block) -> None:
        """Async twin of `replace`."""
        await _async_pool_of(block.owned_lease()).release(asynchronous(block.connection))
        pool = self.async_pool
        block.move(await pool.acquire(), pool)

    # -- sessions of their own -----------------------------------------------------------------------------------
    def session(self, seconds: float | None = None) -> SyncConnection:
        """Return a session outside the pool, for locks and listening; whoever asked for it closes it."""
        return self.backend.connect(self.config, self._shared, self.config.pool_timeout if seconds is None else seconds)

    async def session_async(self, seconds: float | None = None) -> AsyncConnection:
        """Asyncio form of `session`."""
        wait = self.config.pool_timeout if seconds is None else seconds
        return await self.backend.aconnect(self.config, self._shared, wait)

    # -- ends ----------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Close the connections of blocking code; they are made again when they are needed."""
        with self._lock:
            pool, self._sync_pool = self._sync_pool, None
        if pool is not None:
            pool.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        loop = loops.running_loop()
        with self._lock:
            pool = None if loop is None else self._async_pools.pop(loop, None)
            self._latest = None
        if pool is not None:
            await pool.close()

    def suspect(self) -> None:
        """A connection was found dead: have the idle ones checked before they are used."""
        for pool in (self._sync_pool, *self._async_pools.values()):
            if pool is not None:
                pool.suspect()

    def _pool_here(self) -> SyncPool | AsyncPool | None:
        loop = loops.running_loop()
        return self._sync_pool if loop is None else self._async_pools.get(loop) or self._sync_pool

    def resize_pool(self, maximum: int) -> None:
        """Let at most *maximum* connections be in use at once, over the pools of both faces and all event loops.

        Raises: NotSupportedError: the backend's pool has no limit.
        """
        (self._pool_here() or self.sync_pool).resize(maximum)

    def pool_stats(self) -> dict[str, Any]:
        """Return the numbers of the pool of the running face."""
        pool = self._pool_here()
        if pool is None:
            return {"alias": self.alias, "status": "uninitialised"}
        return {"alias": self.alias, "vendor": self.vendor, "has_pool": True, **pool.stats()}

    def pools_stats(self) -> list[dict[str, Any]]:
        """Return the numbers of every open pool, the one of blocking code and one for each event loop; opens none."""
        return [pool.stats() for pool in (self._sync_pool, *list(self._async_pools.values())) if pool is not None]

    def __repr__(self) -> str:
        return f"<Database {self.alias!r} ({self.vendor})>"


class Connections:
    """The databases of this process by alias."""

    def __init__(self) -> None:
        self._open: dict[str, Database] = {}
        self._lock = threading.Lock()
        settings.on_change(self._changed)

    def __getitem__(self, alias: str) -> Database:
        found = self._open.get(alias)
        if found is not None:
            return found
        config = settings.database(alias)
        with self._lock:
            return self._open.setdefault(alias, Database(config))

    def __iter__(self) -> Any:
        return iter(settings.DATABASES)

    def __contains__(self, alias: object) -> bool:
        return alias in settings.DATABASES

    def opened(self) -> list[Database]:
        """Return the databases that were used."""
        return list(self._open.values())

    def _changed(self, names: frozenset[str]) -> None:
        if "DATABASES" in names:
            self.reset()

    def reset(self) -> None:
        """Close and forget every database; they are made anew from the settings."""
        with self._lock:
            former, self._open = self._open, {}
        for database in former.values():
            database.close()


connections = Connections()


def pool_stats(alias: str = "default") -> dict[str, Any]:
    """Return the numbers of the pool of an alias; ``status`` is "uninitialised" before its first use."""
    return connections[alias].pool_stats()


def close_all() -> None:
    """Close every connection of blocking code."""
    for database in connections.opened():
        database.close()


async def close_all_async() -> None:
    """Close every connection of the running event loop."""
    for database in connections.opened():
        await database.aclose()


def reset_connections() -> None:
    """Close and forget everything; what is used next is made anew from the settings."""
    connections.reset()
