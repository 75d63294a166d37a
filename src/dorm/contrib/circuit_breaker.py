"""Stop calling what keeps failing: closed, open for a while, one trial, closed again. In both faces, for any call."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from dorm.db import hooks
from dorm.db.operation import Operation
from dorm.db.request import StatementRequest
from dorm.exceptions import OperationalError

_log = logging.getLogger("dorm.contrib.circuit_breaker")


class CircuitState(enum.Enum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitOpenError(OperationalError):
    """The call was not made: the breaker is open. ``retry_after`` is in seconds."""

    retry_after: float = 0.0


class CircuitBreaker:
    """Counts failures in a row; at *failure_threshold* it opens for *open_window_s*, then lets one trial through.

    ``with breaker:`` around blocking code, ``async with breaker.aprotect():`` around asyncio code. Cancellation and
    other interrupts are no failures.

    Args:
        clock: seconds, growing; for tests.
    """

    def __init__(
        self,
        name: str,
        *,
        failure_threshold: int = 5,
        open_window_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(failure_threshold, bool) or not isinstance(failure_threshold, int) or failure_threshold < 1:
            raise ValueError(f"failure_threshold must be a whole number from 1, not {failure_threshold!r}")
        if isinstance(open_window_s, bool) or not open_window_s >= 0:
            raise ValueError(f"open_window_s must be a number of seconds from 0, not {open_window_s!r}")
        self.name = name
        self.failure_threshold = failure_threshold
        self.open_window_s = open_window_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._trial = False

    @property
    def state(self) -> CircuitState:
        """Where the breaker stands now."""
        with self._lock:
            if self._opened_at is None:
                return CircuitState.CLOSED
            is_over = self._clock() - self._opened_at >= self.open_window_s
            return CircuitState.HALF_OPEN if is_over else CircuitState.OPEN

    def admit(self) -> None:
        """Ask for a call; raise `CircuitOpenError` while the breaker is open or its one trial is under way."""
        with self._lock:
            if self._opened_at is None:
                return
            left = self.open_window_s - (self._clock() - self._opened_at)
            if left <= 0 and not self._trial:
                self._trial = True
                return
        error = CircuitOpenError(f"circuit {self.name!r} is open: the call was not made")
        error.retry_after = max(left, 0.0)
        raise error

    def succeeded(self) -> None:
        """Report a call that went well."""
        with self._lock:
            was_open = self._opened_at is not None
            self._failures, self._opened_at, self._trial = 0, None, False
        if was_open:
            _log.info("circuit %r is closed again", self.name)

    def failed(self) -> None:
        """Report a call that failed."""
        with self._lock:
            self._failures += 1
            opens = self._opened_at is None and self._failures >= self.failure_threshold
            if opens or self._trial:
                self._opened_at, self._trial = self._clock(), False
        if opens:
            _log.warning("circuit %r is open after %d failures in a row", self.name, self._failures)

    def interrupted(self) -> None:
        """Report a call that ended without an answer: neither good nor bad."""
        with self._lock:
            self._trial = False

    def reset(self) -> None:
        """Close it and forget the failures."""
        with self._lock:
            self._failures, self._opened_at, self._trial = 0, None, False

    def _ended(self, error: BaseException | None) -> None:
        if error is None:
            self.succeeded()
        elif isinstance(error, Exception):
            self.failed()
        else:
            self.interrupted()

    def __enter__(self) -> Self:
        self.admit()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended(error)

    @asynccontextmanager
    async def aprotect(self) -> AsyncGenerator[CircuitBreaker]:
        """Protect a block of asyncio code."""
        self.admit()
        try:
            yield self
        except BaseException as exc:
            self._ended(exc)
            raise
        self._ended(None)

    def guard(self, using: str) -> hooks.Uninstall:
        """Protect every statement of a database, lost connections and time-outs counting as failures.

        Returns: the function that ends that.
        """

        def hook(request: StatementRequest[Any], proceed: hooks.Proceed) -> Operation[Any]:
            self.admit()
            try:
                reply = yield from proceed(request)
            except OperationalError:
                self.failed()
                raise
            except Exception:
                self.succeeded()
                raise
            except BaseException:
                self.interrupted()
                raise
            self.succeeded()
            return reply

        return hooks.install(hook, alias=using)


_breakers: dict[str, CircuitBreaker] = {}
_lock = threading.Lock()


def circuit_breaker(name: str, **options: Any) -> CircuitBreaker:
    """Return the breaker of that name in this process; options count when it is made."""
    with _lock:
        found = _breakers.get(name)
        if found is None:
            found = _breakers[name] = CircuitBreaker(name, **options)
        return found


def get_state(name: str) -> CircuitState | None:
    """Return where the breaker of that name stands; None when there is none."""
    found = _breakers.get(name)
    return found.state if found is not None else None


def reset_circuit_breakers() -> None:
    """Forget every breaker."""
    with _lock:
        _breakers.clear()
