"""What pools of all backends share: fair permits, and the ends of event loops and forked processes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from weakref import WeakSet

from dorm.db.forks import in_child
from dorm.db.limits import is_over
from dorm.exceptions import DeadlineExceeded, PoolTimeout

if TYPE_CHECKING:
    import asyncio

Holder: TypeAlias = "asyncio.Task[Any] | int"
"""Who holds a permit: a task, or the number of a thread."""


class ForkAware:
    """Something that must be told in the child of a fork(); held weakly."""

    def __init__(self) -> None:
        in_child(self, lambda aware: aware.forked())

    def forked(self) -> None:
        """Forget what belongs to the parent, without closing it."""
        raise NotImplementedError


class Holders(Protocol):
    """Something whose users hold permits of a `FairSemaphore`."""

    def holders(self) -> list[tuple[Holder, float]]:
        """Return who holds one since when, in seconds of the monotonic clock."""
        ...


class Waiter:
    """Somebody in the queue; `grant` and `cancel` may come from any thread."""

    __slots__ = ("granted", "wake")

    def __init__(self, wake: Callable[[], Any]) -> None:
        self.granted = False
        self.wake = wake


class FairSemaphore(ForkAware):
    """A number of permits for threads and asyncio tasks alike, first come, first served.

    Args:
        permits: how many may be held at once.
        what: name of the thing, for the message of a time-out.
    """

    def __init__(self, permits: int, what: str) -> None:
        super().__init__()
        self.permits = permits
        self.what = what
        self.pools: WeakSet[Holders] = WeakSet()
        self.forked()

    def forked(self) -> None:
        self._free = self.permits
        self._queue: deque[Waiter] = deque()
        self._lock = threading.Lock()

    @property
    def in_use(self) -> int:
        """Permits held now."""
        return self.permits - self._free

    @property
    def waiting(self) -> int:
        """How many are in the queue."""
        return len(self._queue)

    def try_acquire(self) -> bool:
        """Take a permit if nobody has to be waited for."""
        with self._lock:
            if self._free <= 0 or self._queue:
                return False
            self._free -= 1
            return True

    def acquire(self, timeout: float, cancelled: Callable[[Waiter], None] | None = None) -> None:
        """Take a permit from a thread; *cancelled* is given the waiter, so that another thread may `give_up` for it."""
        event: threading.Event | None = None
        with self._lock:
            if self._free > 0 and not self._queue:
                self._free -= 1
                return
            event = threading.Event()
            waiter = Waiter(event.set)
            self._queue.append(waiter)
        if cancelled is not None:
            cancelled(waiter)
        try:
            event.wait(timeout)
        except BaseException:
            self._leave(waiter)
            raise
        if not waiter.granted and self._forget(waiter):
            raise self._timed_out(timeout)

    async def aacquire(self, timeout: float) -> None:
        """Take a permit from a task."""
        with self._lock:
            if self._free > 0 and not self._queue:
                self._free -= 1
                return
            import asyncio

            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            waiter = Waiter(lambda: loop.call_soon_threadsafe(_done, future))
            self._queue.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            if self._forget(waiter):
                raise self._timed_out(timeout) from None
        except BaseException:
            self._leave(waiter)
            raise

    def _timed_out(self, timeout: float) -> PoolTimeout | DeadlineExceeded:
        text = f"{self.what} was not free within {timeout:.3g} s{self.holders()}."
        return DeadlineExceeded(f"the deadline passed: {text}") if is_over() else PoolTimeout(text)

    def release(self) -> None:
        """Give a permit back: to the first in the queue, if there is one."""
        while True:
            with self._lock:
                if not self._queue or self._free < 0:
                    self._free += 1
                    return
                waiter = self._queue.popleft()
                waiter.granted = True
            try:
                waiter.wake()
            except RuntimeError:
                # The loop of that task is closed: nobody will use the permit.
                continue
            return

    def resize(self, permits: int, what: str) -> None:
        """Have *permits* from now on; those held beyond them are not given out again when they come back."""
        with self._lock:
            more = permits - self.permits
            self.permits, self.what = permits, what
            self._free += min(more, 0)
        for _ in range(more):
            self.release()

    def give_up(self, waiter: Waiter) -> None:
        """Take *waiter* out of the queue and wake it; it finds that it was not granted."""
        if self._forget(waiter):
            waiter.wake()

    def _forget(self, waiter: Waiter) -> bool:
        """Take *waiter* out of the queue; False when it was granted meanwhile."""
        with self._lock:
            if waiter.granted:
                return False
            if waiter in self._queue:
                self._queue.remove(waiter)
            return True

    def _leave(self, waiter: Waiter) -> None:
        """Give up for good: what was granted meanwhile goes to the next one."""
        if not self._forget(waiter):
            self.release()

    def holders(self) -> str:
        """Return who holds permits since when, as the end of a message."""
        now, names = time.monotonic(), {thread.ident: thread.name for thread in threading.enumerate()}
        held = [each for pool in list(self.pools) for each in pool.holders()]
        listed = [f"{_named(who, names)} since {now - since:.1f} s" for who, since in held]
        return f" (held by {', '.join(listed)})" if listed else ""


def _named(who: Holder, threads: dict[int | None, str]) -> str:
    return f"thread {threads.get(who, who)}" if isinstance(who, int) else f"task {who.get_name()}"


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# -- the ends of loops -------------------------------------------------------------------------------------------


class LoopEnd:
    """Calls *close* when the running event loop ends.

    It is an asynchronous generator that waits at its ``yield``: the loop closes those at its end, after all tasks are
    done (``asyncio.run`` does it, and so does every runner that calls ``shutdown_asyncgens``). A task that waits for
    its cancellation would be one that user code sees in ``asyncio.all_tasks()``.
    """

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self.is_over = False
        self._close = close
        self._generator = self._wait()
        with contextlib.suppress(StopIteration):
            # Nothing is awaited before the yield, so it is reached at once.
            self._generator.__anext__().send(None)

    async def _wait(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.is_over = True
            await self._close()

    async def close(self) -> None:
        """Close now."""
        await self._generator.aclose()
