"""A TCP proxy in a thread of its own, which delays, cuts, half-closes or swallows, and counts round trips."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Stands before a server; ``url`` leads through it.

    Attributes:
        latency: seconds that each flight of bytes waits, in both directions.
        trips: times that a client sent something after the server had answered: round trips.
        silent: bytes are read and thrown away in both directions (a black hole).
    """

    def __init__(self, url: str, latency: float = 0.0) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._parts = parts
        self.latency = latency
        self.trips = 0
        self.silent = False
        self.refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._accepted: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """The address of the server through the proxy."""
        user = f"{self._parts.username}@" if self._parts.username else ""
        return urlunsplit(self._parts._replace(netloc=f"{user}127.0.0.1:{self.port}"))

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(10), "the proxy did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    # -- faults --------------------------------------------------------------------------------------------------
    def cut(self) -> None:
        """Close every connection at once, both ends."""
        self._everywhere(lambda writer: writer.transport.abort())

    def half_close(self) -> None:
        """End what each side sends to the other; what is on its way still arrives."""
        self._everywhere(lambda writer: writer.write_eof() if writer.can_write_eof() else None)

    def _everywhere(self, act: object) -> None:
        done = threading.Event()

        def run() -> None:
            for writer in list(self._writers):
                with contextlib.suppress(OSError, RuntimeError):
                    act(writer)  # type: ignore[operator]
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(5)

    # -- the thread ----------------------------------------------------------------------------------------------
    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accepts, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for _ in range(5):
            # What asyncio has just accepted reaches us first: cancelled before, its socket would stay open.
            await asyncio.sleep(0)
        tasks = list(self._serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._accepted:  # a task that is cancelled before its first step closes nothing
            writer.transport.abort()
        await asyncio.sleep(0)

    def _accepts(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted.add(writer)
        task = asyncio.create_task(self._accept(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_connection(*self._target)
        except BaseException as exc:
            writer.transport.abort()
            if not isinstance(exc, OSError):
                raise
            return
        self._writers |= {writer, to_server}
        answered = [True]
        try:
            await asyncio.gather(
                self._pump(reader, to_server, answered, counts=True),
                self._pump(from_server, writer, answered, counts=False),
            )
        finally:
            self._writers -= {writer, to_server}
            self._accepted.discard(writer)
            for each in (writer, to_server):
                each.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: list[bool], counts: bool
    ) -> None:
        try:
            while data := await reader.read(65536):
                if self.silent:
                    continue
                if counts and answered[0]:
                    self.trips += 1
                answered[0] = not counts
                if self.latency:
                    await asyncio.sleep(self.latency)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            # Reset by one side (a server process that ends with bytes unread does it), or written to after
            # `half_close`: the other side must not wait for what will never come.
            writer.transport.abort()
