"""PostgreSQL's LISTEN and NOTIFY, and a broadcaster: one session that many subscribers of a process share.

Notifications inside a transaction leave with its commit, never on rollback; PostgreSQL sends identical ones of a
transaction once. Listening sessions are outside the pool.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Literal, Self

from dorm.db.connection import Database, connections
from dorm.db.driver import AsyncConnection, Notified as Notification
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import Query
from dorm.db.statement import Statement, Template
from dorm.exceptions import DatabaseError, ImproperlyConfigured, NotSupportedError, OperationalError

__all__ = ["Broadcaster", "Notification", "Subscription", "anotify", "listen", "notify"]

_log = logging.getLogger("dorm.contrib.listen_notify")

LONGEST_CHANNEL: Final = 63
PAYLOAD_LIMIT: Final = 8000
"""A payload must be shorter than this, in bytes of UTF-8."""

KEEPALIVE_SECONDS: Final = 20.0
_ANSWER_SECONDS = 10.0
_FIRST_BACKOFF = 0.1
_FATAL = ("28", "3D", "42")
_NOTIFY = Template("SELECT pg_notify($1::text, $2::text)")
_PING = Statement(Template("SELECT 1"), (), internal=True)

Overflow = Literal["drop_oldest", "drop_newest", "disconnect"]
OVERFLOWS: Final = ("drop_oldest", "drop_newest", "disconnect")


# -- publishing --------------------------------------------------------------------------------------------------


def _listening(using: str, what: str) -> Database:
    database = connections[using]
    if not database.dialect.supports_listen:
        raise NotSupportedError(f"{what} is PostgreSQL-only: {using!r} is {database.vendor}")
    return database


def checked_channel(channel: Any) -> str:
    """Return *channel* if it may be the name of one, else raise TypeError or ValueError."""
    if not isinstance(channel, str):
        raise TypeError(f"a channel is a text, not {type(channel).__name__}")
    if not channel or "\0" in channel or len(channel.encode()) > LONGEST_CHANNEL:
        raise ValueError(f"a channel's name has 1 to {LONGEST_CHANNEL} bytes and no NUL: {channel[:80]!r}")
    return channel


@operation
def _notify(channel: str, payload: str, using: str) -> Operation[None]:
    checked_channel(channel)
    if not isinstance(payload, str):
        raise TypeError(f"payload must be a text shorter than {PAYLOAD_LIMIT} bytes, not {type(payload).__name__}")
    size = len(payload.encode())
    if size >= PAYLOAD_LIMIT:
        raise ValueError(f"payload has {size} bytes; PostgreSQL takes fewer than {PAYLOAD_LIMIT}: send a reference")
    database = _listening(using, "notify")
    yield from perform(Query(database, Statement(_NOTIFY, (channel, payload))))


def notify(channel: str, payload: str = "", *, using: str = "default") -> None:
    """Notify whoever listens on *channel*; inside a transaction at its commit.

    Raises: ValueError, TypeError: a name or payload that PostgreSQL would refuse, before anything is sent.
    """
    run(_notify(channel, payload, using))


async def anotify(channel: str, payload: str = "", *, using: str = "default") -> None:
    """Async twin of `notify`."""
    await arun(_notify(channel, payload, using))


# -- subscribing -------------------------------------------------------------------------------------------------


class Subscription:
    """Notifications of one subscriber, as an async iterator.

    Attributes:
        dropped: notifications that found the queue full. gaps: times the session was lost, when some may be missing.
    """

    def __init__(self, channels: frozenset[str], maxsize: int, overflow: str, on_gap: Callable[[], Any] | None) -> None:
        self.channels = channels
        self.maxsize = maxsize
        self.overflow = overflow
        self.dropped = 0
        self.gaps = 0
        self._on_gap = on_gap
        self._queue: deque[Notification] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None
        self._overflowing = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification:
        while not self._queue:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        found = self._queue.popleft()
        if len(self._queue) < self.maxsize:
            self._overflowing = False
        return found

    def _deliver(self, found: Notification) -> None:
        if self._ended:
            return
        if len(self._queue) >= self.maxsize:
            self._overflowed(found.channel)
            if self.overflow == "drop_newest" or self._ended:
                return
            self._queue.popleft()
        self._queue.append(found)
        self._arrived.set()

    def _overflowed(self, channel: str) -> None:
        self.dropped += 1
        if not self._overflowing:
            self._overflowing = True
            _log.warning("a subscriber of %r is too slow: %d notifications dropped so far", channel, self.dropped)
        if self.overflow == "disconnect":
            self._end(OperationalError(f"this subscriber of {channel!r} was too slow and was disconnected"))

    def _gap(self) -> None:
        self.gaps += 1
        if self._on_gap is not None:
            try:
                self._on_gap()
            except Exception:  # noqa: BLE001  # a stated boundary: one subscriber never costs the others
                _log.exception("on_gap raised")

    def _end(self, error: BaseException | None = None) -> None:
        """Let the iterator end once it has delivered what is queued; with an error, raise that instead."""
        self._ended = True
        self._error = error
        self._arrived.set()

    def _forget(self) -> None:
        self._queue.clear()
        self._end()


class Broadcaster:
    """One LISTEN session, any number of subscribers in this event loop; an async context manager, for one use.

    Args:
        channels: names to listen on; case counts.
        maxsize: notifications that a subscriber may be behind.
        overflow: what happens then: ``"drop_oldest"``, ``"drop_newest"``, or ``"disconnect"`` (its iteration raises
            OperationalError). Others are never held up.
        reconnect: make a new session after a loss; False, or an error that won't pass, ends every iteration with
            OperationalError.
        max_backoff: longest pause between tries, seconds.
    After a loss notifications may be missing: each subscription's ``gaps`` grows and its ``on_gap`` is called.
    """

    def __init__(
        self,
        channels: Sequence[str],
        *,
        using: str = "default",
        maxsize: int = 100,
        overflow: Overflow = "drop_oldest",
        reconnect: bool = True,
        max_backoff: float = 30.0,
        keepalive: float = KEEPALIVE_SECONDS,
    ) -> None:
        if isinstance(channels, str):
            raise TypeError("channels takes a list of channel names, not one text")
        if not channels:
            raise ValueError("channels is empty: name at least one channel")
        if isinstance(maxsize, bool) or not isinstance(maxsize, int) or maxsize < 1:
            raise ValueError(f"maxsize must be a whole number from 1, not {maxsize!r}")
        for name, value in (("max_backoff", max_backoff), ("keepalive", keepalive)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f"{name} must be a number of seconds above 0, not {value!r}")
        if overflow not in OVERFLOWS:
            raise ValueError(f"overflow takes one of {', '.join(OVERFLOWS)}, not {overflow!r}")
        self.channels = tuple(dict.fromkeys(checked_channel(channel) for channel in channels))
        self.using = using
        self.maxsize = maxsize
        self.overflow = overflow
        self.reconnect = reconnect
        self.max_backoff = max_backoff
        self.keepalive = keepalive
        self.connected = False
        self._subscriptions: set[Subscription] = set()
        self._connection: AsyncConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._state: Literal["new", "open", "closed"] = "new"

    # -- session -------------------------------------------------------------------------------------------------
    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError("a broadcaster is for one use: make a new one")
        database = _listening(self.using, "Broadcaster")
        if database.config.shares_sessions:
            mode = database.config.pgbouncer_mode
            raise ImproperlyConfigured(
                f"Broadcaster needs a session of its own, which PGBOUNCER_MODE={mode!r} of {self.using!r} doesn't give"
            )
        self._connection = await self._connected(database)
        self._state = "open"
        self._reader = asyncio.create_task(self._read(database))
        return self

    async def _connected(self, database: Database) -> AsyncConnection:
        connection = await database.session_async()
        try:
            for channel in self.channels:
                listen = Template(f"LISTEN {database.dialect.quote(channel)}", prepare=False)
                await connection.execute(Statement(listen, (), internal=True))
        except BaseException:
            connection.abort()
            raise
        self.connected = True
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening; iterations end once they have delivered what is queued. May be called twice."""
        self._state = "closed"
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait({reader})
        connection, self._connection = self._connection, None
        self.connected = False
        if connection is not None:
            connection.abort()
        for subscription in self._subscriptions:
            subscription._end()

    # -- subscribers ---------------------------------------------------------------------------------------------
    @asynccontextmanager
    async def subscribe(self, channel: str, *, on_gap: Callable[[], Any] | None = None) -> AsyncGenerator[Subscription]:
        """Give an async iterator of the notifications on *channel* that are committed from now on.

        Raises: KeyError: a channel that is not listened on. RuntimeError: the broadcaster is not open.
        """
        if channel not in self.channels:
            raise KeyError(f"nobody listens on {channel!r} here; channels: {', '.join(map(repr, self.channels))}")
        async with self._subscribed(frozenset([channel]), on_gap) as subscription:
            yield subscription

    @asynccontextmanager
    async def _subscribed(
        self, channels: frozenset[str], on_gap: Callable[[], Any] | None
    ) -> AsyncGenerator[Subscription]:
        if self._state != "open":
            raise RuntimeError("the broadcaster is not open: subscribe inside 'async with'")
        subscription = Subscription(channels, self.maxsize, self.overflow, on_gap)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            subscription._forget()

    def _deliver(self, found: Notification) -> None:
        for subscription in tuple(self._subscriptions):
            if found.channel in subscription.channels:
                subscription._deliver(found)

    # -- reading -------------------------------------------------------------------------------------------------
    async def _read(self, database: Database) -> None:
        try:
            await self._read_on(database)
        except Exception as exc:  # noqa: BLE001  # a stated boundary: whatever ended it, nobody goes on waiting
            _log.exception("reading the notifications on %s ended", self.using)
            self._broken(exc)

    def _broken(self, cause: BaseException) -> None:
        """End every subscriber with an error: the session is gone for good."""
        ended = OperationalError(f"the listening session on {self.using!r} was lost and won't be made again")
        ended.__cause__ = cause
        self._state = "closed"
        self.connected = False
        for subscription in tuple(self._subscriptions):
            subscription._end(ended)

    async def _read_on(self, database: Database) -> None:
        while True:
            connection = self._connection
            assert connection is not None, "an open broadcaster has a session"
            try:
                async for found in connection.notified(self.keepalive):
                    self._deliver(found)
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await connection.query(_PING)
            except (DatabaseError, TimeoutError, OSError) as exc:
                connection.abort()
                self.connected = False
                _log.warning("the listening session on %s was lost: %s", self.using, type(exc).__name__)
                if not await self._recovered(database, exc):
                    return

    async def _recovered(self, database: Database, lost: BaseException) -> bool:
        """Make a new session, waiting longer each time; end the subscribers where that is not wanted or hopeless."""
        pause = _FIRST_BACKOFF
        error = lost
        while self.reconnect:
            try:
                self._connection = await self._connected(database)
            except (DatabaseError, OSError) as exc:
                error = exc
                if str(getattr(exc, "sqlstate", None) or "")[:2] in _FATAL:
                    break
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, self.max_backoff)
                continue
            for subscription in tuple(self._subscriptions):
                subscription._gap()
            _log.info("the listening session on %s is back", self.using)
            return True
        self._broken(error)
        return False


@asynccontextmanager
async def listen(*channels: str, using: str = "default") -> AsyncGenerator[AsyncIterator[Notification]]:
    """Give an async iterator of the notifications on *channels*; a lost session raises OperationalError.

    Raises: ValueError: no channel; NotSupportedError: another engine than PostgreSQL.
    """
    if not channels:
        raise ValueError("listen() needs at least one channel")
    _listening(using, "listen")
    broadcaster = Broadcaster(list(channels), using=using, maxsize=100_000, reconnect=False)
    async with broadcaster, broadcaster._subscribed(frozenset(broadcaster.channels), None) as subscription:
        yield subscription
