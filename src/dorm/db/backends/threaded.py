"""A blocking connection as an asynchronous one: a thread of its own does the work, one call at a time."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from dorm.db.driver import AsyncConnection, AsyncCursor, Rows, SyncConnection, SyncCursor
from dorm.db.statement import Statement

T = TypeVar("T")


class Worker:
    """A thread that runs what it is given, in order; it ends with `stop` and never keeps the interpreter alive."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def submit(self, fn: Callable[[], T]) -> asyncio.Future[T]:
        """Run *fn* on the thread; the future is of the running loop.

        After `stop` it runs here and now: the connection is closed, and what is left to do with it takes no time.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = fn()
            except BaseException as exc:  # noqa: BLE001  # it is handed to whoever awaits the future
                _tell(loop, future.set_exception, future, exc)
            else:
                _tell(loop, future.set_result, future, result)

        if self._is_stopped:
            job()
        else:
            self._jobs.put(job)
        return future

    def stop(self) -> None:
        """End the thread after what it was given already."""
        self._is_stopped = True
        self._jobs.put(None)


def _tell(
    loop: asyncio.AbstractEventLoop, settle: Callable[[Any], None], future: asyncio.Future[Any], value: Any
) -> None:
    def deliver() -> None:
        if not future.done():
            settle(value)

    try:
        loop.call_soon_threadsafe(deliver)
    except RuntimeError:
        # The loop is closed: nobody waits for the result any more.
        return


class ThreadedConnection(AsyncConnection):
    """The asynchronous face of *inner*. A cancelled call interrupts the statement and waits for its end."""

    def __init__(self, inner: SyncConnection, worker: Worker | None = None) -> None:
        self.inner = inner
        self.deferred = inner.deferred
        self.streams = inner.streams
        self._worker = worker or Worker("dorm-connection")

    @property
    def usable(self) -> bool:
        return self.inner.usable

    @property
    def in_transaction(self) -> bool:
        return self.inner.in_transaction

    @property
    def is_doomed(self) -> bool:
        return self.inner.is_doomed

    @property
    def has_committed(self) -> bool:  # type: ignore[override]  # it is the inner one's to set
        return self.inner.has_committed

    def abort(self) -> None:
        self.inner.abort()
        self._worker.stop()

    # -- calls ---------------------------------------------------------------------------------------------------
    async def call(self, fn: Callable[[], T], interruptible: bool = True) -> T:
        """Run *fn* on the thread. When cancelled, wait for its end (interrupting it first) and then be cancelled."""
        future = self._worker.submit(fn)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError as exc:
                cancelled = cancelled or exc
                if interruptible:
                    self._interrupt()
        if cancelled is not None:
            if not future.cancelled():
                future.exception()
            raise cancelled
        return future.result()

    def _interrupt(self) -> None:
        interrupt = getattr(self.inner, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def query(self, statement: Statement) -> Coroutine[Any, Any, Rows]:
        return self.call(lambda: self.inner.query(statement))

    def execute(self, statement: Statement) -> Coroutine[Any, Any, int]:
        return self.call(lambda: self.inner.execute(statement))

    async def table(self, statement: Statement) -> tuple[tuple[str, ...], Rows]:
        return await self.call(lambda: self.inner.table(statement))

    async def execute_many(self, statement: Statement) -> int:
        return await self.call(lambda: self.inner.execute_many(statement))

    async def query_many(self, statement: Statement) -> Rows:
        return await self.call(lambda: self.inner.query_many(statement))

    async def script(self, statement: Statement) -> int:
        return await self.call(lambda: self.inner.script(statement))

    async def open(self, statement: Statement, chunk_size: int) -> AsyncCursor:
        made: list[SyncCursor] = []
        try:
            await self.call(lambda: made.append(self.inner.open(statement, chunk_size)))
        except BaseException:
            # Cancelled just then: a SELECT that is never ended would hand its interrupt on to the next statement.
            for cursor in made:
                await self.call(cursor.close, interruptible=False)
            raise
        return ThreadedCursor(self, made[0])

    def begin(self, statement: Statement) -> None:
        self.inner.begin(statement)

    async def control(self, statement: Statement) -> None:
        await self.call(lambda: self.inner.control(statement), interruptible=False)

    async def rollback_to(self, name: str, statement: Statement) -> None:
        await self.call(lambda: self.inner.rollback_to(name, statement), interruptible=False)

    async def commit(self) -> None:
        await self.call(self.inner.commit, interruptible=False)

    async def rollback(self) -> None:
        await self.call(self.inner.rollback, interruptible=False)

    async def close(self) -> None:
        try:
            await self.call(self.inner.close, interruptible=False)
        finally:
            self._worker.stop()


class ThreadedCursor(AsyncCursor):
    """The asynchronous face of a blocking cursor."""

    def __init__(self, connection: ThreadedConnection, inner: SyncCursor) -> None:
        self.connection = connection
        self._call = connection.call
        self._inner = inner
        self.columns = inner.columns

    async def fetch(self) -> Rows:
        return await self._call(self._inner.fetch)

    async def close(self) -> None:
        await self._call(self._inner.close, interruptible=False)
