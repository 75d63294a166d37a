"""Ending what takes too long, from outside: a connection cancels what it does, and says so in dorm's words."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from dorm.db.forks import in_child
from dorm.db.limits import Limit, told
from dorm.exceptions import DatabaseError

if TYPE_CHECKING:
    from dorm.db.driver import SyncConnection


class Watch:
    """Cancels what *connection* is doing once *seconds* are over, from another thread (`_Clock`).

    After the ``with`` block it cancels nothing any more: whoever uses the connection next is safe.
    """

    __slots__ = ("_connection", "_lock", "_over", "end", "fired")

    def __init__(self, connection: SyncConnection, seconds: float) -> None:
        self.fired = False
        self.end = time.monotonic() + seconds
        self._connection = connection
        self._over = False
        self._lock = threading.Lock()

    def fire(self) -> None:
        """Cancel it, unless it has ended meanwhile."""
        with self._lock:
            if not self._over:
                self.fired = True
                self._connection.cancel()

    def __enter__(self) -> Watch:
        _clock.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _clock.remove(self)
        with self._lock:
            self._over = True
        if self.fired and error is None:
            # The request to cancel came too late for this statement and must not meet another one.
            self._connection.abort()


class _Clock:
    """The one thread of a process that waits for the ends of its watches; a thread for each would cost a statement."""

    def __init__(self) -> None:
        self.forget()
        in_child(self, _Clock.forget)

    def forget(self) -> None:
        """Begin anew: in a child of fork() the thread is gone, and the lock may be held for ever."""
        self._changed = threading.Condition(threading.Lock())
        self._watches: set[Watch] = set()
        self._wakes = math.inf
        self._thread: threading.Thread | None = None

    def add(self, watch: Watch) -> None:
        """Let *watch* fire at its end."""
        with self._changed:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._wait, name="dorm-deadlines", daemon=True)
                self._thread.start()
            elif watch.end < self._wakes:
                self._changed.notify()

    def remove(self, watch: Watch) -> None:
        """Forget *watch*; it may be firing already."""
        with self._changed:
            self._watches.discard(watch)

    def _wait(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for watch in [each for each in self._watches if each.end <= now]:
                    self._watches.discard(watch)
                    # A server that does not answer keeps who asks it to cancel waiting; others must not wait with it.
                    threading.Thread(target=watch.fire, name="dorm-deadline", daemon=True).start()
                self._wakes = min([each.end for each in self._watches], default=math.inf)
                self._changed.wait(None if self._wakes == math.inf else max(0.0, self._wakes - now))


_clock = _Clock()


@contextmanager
def timed(connection: SyncConnection, alias: str, limit: Limit) -> Generator[None]:
    """Let what *connection* does in this block take as long as *limit* says; what ends just then has failed as well."""
    since = time.monotonic()
    try:
        with Watch(connection, limit.seconds) as watch:
            yield
        if watch.fired:
            raise limit.exceeded(alias)
    except DatabaseError as exc:
        made = told(exc, limit, alias, since)
        if made is exc:
            raise
        raise made from exc


@asynccontextmanager
async def atimed(alias: str, limit: Limit) -> AsyncGenerator[None]:
    """Asyncio form of `timed`: the task is cancelled, and its statement with it."""
    import asyncio

    since = time.monotonic()
    try:
        async with asyncio.timeout(limit.seconds):
            yield
    except DatabaseError as exc:
        made = told(exc, limit, alias, since)
        if made is exc:
            raise
        raise made from exc
    except TimeoutError as exc:
        raise limit.exceeded(alias) from exc
