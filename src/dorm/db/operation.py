"""Operations: what dorm does to databases, written once for both faces.

An operation is a generator that yields requests (`dorm.db.request`) and is sent their replies. It holds no connection,
awaits nothing and sleeps never; `run` drives one in blocking code, `await arun` in asyncio code. Operations compose
with ``yield from``; errors of a request are raised at its ``yield``.

What happens to an operation that is interrupted:

- A cancellation or interrupt that falls into a request is raised at the operation's ``yield``, so its ``except`` and
  ``finally`` run. Every further request is clean-up: in asyncio it runs shielded, with one time limit for all of them,
  and further cancellations are absorbed. When the operation ends, however it ends, the first interrupt is raised.
- What falls into the driver itself (a coroutine that is closed, Ctrl-C between two requests, clean-up that takes too
  long) cannot be answered with I/O: the request's connection is closed on the spot, and the operation gets `Abandoned`
  at each further ``yield`` until it ends.
"""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, Protocol, TypeAlias, TypeVar

from dorm.db.request import Request
from dorm.exceptions import OperationNotDriven

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
P = ParamSpec("P")

Operation: TypeAlias = Generator[Request[Any], Any, T]

CLEAN_UP_SECONDS: Final = 10.0
"""Time limit for all clean-up requests of one cancelled operation together."""

_MOST_ABANDONED_REQUESTS: Final = 1000

_log = logging.getLogger("dorm.db")


class Abandoned(BaseException):
    """Raised at every ``yield`` of an operation whose driver is gone: no request will be performed any more."""


class SyncIO(Protocol):
    """Performs requests, blocking."""

    def perform(self, request: Request[T], /) -> T: ...


class AsyncIO(Protocol):
    """Performs requests, awaited."""

    def perform(self, request: Request[T], /) -> Awaitable[T]: ...


class _Blocking:
    """Has each request perform itself; the drivers know that, and ask it without a call in between."""

    def perform(self, request: Request[T], /) -> T:
        return request.perform()


class _Asyncio:
    """As `_Blocking`."""

    def perform(self, request: Request[T], /) -> Awaitable[T]:
        return request.aperform()


BLOCKING: Final[SyncIO] = _Blocking()
ASYNCIO: Final[AsyncIO] = _Asyncio()


def ask(request: Request[T]) -> Operation[T]:
    """Yield one request and return its reply, typed; hot paths yield by themselves."""
    reply: T = yield request
    return reply


def run(op: Operation[T]) -> T:
    """Drive *op* to its end in blocking code and return its value."""
    return drive(op, BLOCKING)


def arun(op: Operation[T]) -> Awaitable[T]:
    """Drive *op* to its end in asyncio code; await the result for its value."""
    return adrive(op, ASYNCIO)


# -- the two drivers ---------------------------------------------------------------------------------------------


def drive(op: Operation[T], io: SyncIO) -> T:
    """Drive *op* with a blocking *io*."""
    direct = type(io) is _Blocking
    request: Request[Any] | None = None
    reply: Any = None
    try:
        request = op.send(None)
        while True:
            try:
                reply = request.perform() if direct else io.perform(request)
            except Exception as exc:
                request = op.throw(_throwable(exc))
            except BaseException as exc:
                if request.ends_hold:
                    request.abandon(None)
                _wind_up(op, exc, io)
            else:
                request = op.send(reply)
                reply = None
    except StopIteration as stop:
        value: T = stop.value
        return value
    except BaseException:
        if _suspended(op):
            _abandon(op, request, reply)
        raise


async def adrive(op: Operation[T], io: AsyncIO) -> T:
    """Drive *op* with an asynchronous *io*."""
    direct = type(io) is _Asyncio
    request: Request[Any] | None = None
    reply: Any = None
    try:
        request = op.send(None)
        while True:
            try:
                reply = await (request.aperform() if direct else io.perform(request))
            except Exception as exc:
                request = op.throw(_throwable(exc))
            except GeneratorExit:
                reply = None
                raise
            except BaseException as exc:
                if request.ends_hold:
                    request.abandon(None)
                await _awind_up(op, exc, io)
            else:
                request = op.send(reply)
                reply = None
    except StopIteration as stop:
        value: T = stop.value
        return value
    except BaseException:
        if _suspended(op):
            _abandon(op, request, reply)
        raise


# -- interrupted operations --------------------------------------------------------------------------------------


def _wind_up(op: Operation[Any], first: BaseException, io: SyncIO) -> NoReturn:
    """Raise *first* in *op*, perform its clean-up, and raise *first* whatever the operation made of it."""
    request: Request[Any] | None = None
    reply: Any = None
    try:
        request = op.throw(first)
        while True:
            try:
                reply = io.perform(request)
            except Exception as exc:
                request = op.throw(_throwable(exc))
            else:
                request = op.send(reply)
                reply = None
    except StopIteration:
        raise first from None
    except BaseException as exc:
        if _suspended(op):
            _abandon(op, request, reply)
        _report(exc, first)
        raise first from None


async def _awind_up(op: Operation[Any], first: BaseException, io: AsyncIO) -> NoReturn:
    """Async form of `_wind_up`: shielded, within `CLEAN_UP_SECONDS`, further cancellations absorbed."""
    import asyncio

    end = asyncio.get_running_loop().time() + CLEAN_UP_SECONDS
    request: Request[Any] | None = None
    reply: Any = None
    try:
        request = op.throw(first)
        while True:
            task = asyncio.ensure_future(_awaited(io.perform(request)))
            await _settle(task, end)
            try:
                reply = task.result()
            except GeneratorExit:
                raise
            except BaseException as exc:
                request = op.throw(_throwable(exc))
            else:
                request = op.send(reply)
                reply = None
    except StopIteration:
        raise first from None
    except GeneratorExit:
        _abandon(op, request, None)
        raise
    except BaseException as exc:
        if _suspended(op):
            _abandon(op, request, reply)
        _report(exc, first)
        raise first from None


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _settle(task: asyncio.Future[Any], end: float) -> None:
    """Wait until *task* is done, deaf to cancellations; raise TimeoutError at loop time *end*."""
    import asyncio

    try:
        while not task.done():
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                raise TimeoutError(f"clean-up took longer than {CLEAN_UP_SECONDS:g} s")
            try:
                await asyncio.wait({task}, timeout=left)
            except asyncio.CancelledError:
                # Absorbed: Task.cancelling() has counted it, and the first cancellation is raised at the end.
                continue
    except BaseException:
        task.add_done_callback(_forget)
        task.cancel()
        raise


def _forget(task: asyncio.Future[Any]) -> None:
    """Read the result of a task nobody waits for, so that asyncio does not complain about it."""
    if not task.cancelled():
        task.exception()


def _abandon(op: Operation[Any], request: Request[Any] | None, reply: object) -> None:
    """End *op* without I/O: undo the request under way, then raise `Abandoned` at every further yield."""
    for _ in range(_MOST_ABANDONED_REQUESTS):
        if request is not None:
            request.abandon(reply)
        reply = None
        try:
            request = op.throw(Abandoned())
        except (StopIteration, Abandoned):
            return
        except BaseException as exc:
            _log.warning("%s while an abandoned operation ended", type(exc).__name__)
            return
    _log.error(
        "an operation catches BaseException in a loop: it was left after %d x Abandoned", _MOST_ABANDONED_REQUESTS
    )


def _report(exc: BaseException, first: BaseException) -> None:
    """Keep what clean-up ended with, when it is not the interrupt itself."""
    if exc is not first:
        first.add_note(f"dorm: clean-up after this ended with {type(exc).__name__}")


def _throwable(exc: BaseException) -> BaseException:
    """Wrap what a generator would take for its own end (PEP 479)."""
    if isinstance(exc, (StopIteration, StopAsyncIteration)):
        wrapped = RuntimeError(f"code called by an operation raised {type(exc).__name__}")
        wrapped.__cause__ = exc
        return wrapped
    return exc


def _suspended(op: Operation[Any]) -> bool:
    """True when *op* waits at a yield: the exception under way did not come out of it."""
    return bool(getattr(op, "gi_suspended", False))


# -- a forgotten `yield from` ------------------------------------------------------------------------------------


class _Checked(Generator[Request[Any], Any, T]):
    """Stands in for an operation's generator and complains when it was never driven."""

    def __init__(self, inner: Generator[Request[Any], Any, T], name: str) -> None:
        self._inner = inner
        self._name = name
        self._driven = False

    def send(self, value: Any, /) -> Request[Any]:
        self._driven = True
        return self._inner.send(value)

    def throw(self, *exc: Any) -> Request[Any]:
        self._driven = True
        return self._inner.throw(*exc)

    def close(self) -> None:
        self._driven = True
        self._inner.close()

    @property
    def gi_suspended(self) -> bool:
        return bool(getattr(self._inner, "gi_suspended", False)) and self._driven

    def __del__(self) -> None:
        if not self._driven:
            warnings.warn(
                f"operation {self._name} was built and never driven: is a `yield from`, run() or arun() missing?",
                OperationNotDriven,
                stacklevel=2,
            )


def _checked(fn: Callable[P, Operation[T]]) -> Callable[P, Operation[T]]:
    @functools.wraps(fn)
    def build(*args: P.args, **kwargs: P.kwargs) -> Operation[T]:
        return _Checked(fn(*args, **kwargs), fn.__qualname__)

    return build


def _unchecked(fn: Callable[P, Operation[T]]) -> Callable[P, Operation[T]]:
    return fn


operation = _checked if os.environ.get("DORM_CHECK_OPERATIONS") == "1" else _unchecked
"""Decorator of generator functions that are operations.

The identity, unless DORM_CHECK_OPERATIONS=1 is set when dorm is imported: then an operation that was built and never
driven is reported as an `OperationNotDriven` warning.
"""
