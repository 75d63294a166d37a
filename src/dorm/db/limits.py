"""Limits of time: how long the code running now may wait for a database, in all and for one statement.

``deadline`` is the public one; budgets (`dorm.budget`) limit single statements. Pool waits, statements and retries
obey; COMMIT, ROLLBACK and clean-up do not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import Final, NamedTuple

from dorm.exceptions import BudgetExceeded, DatabaseError, DeadlineExceeded, PoolTimeout, QueryCanceled

_NONE: Mapping[str, float] = MappingProxyType({})
_end: ContextVar[float | None] = ContextVar("dorm_deadline", default=None)
_each: ContextVar[Mapping[str, float]] = ContextVar("dorm_statement_seconds", default=_NONE)


SERVER_GRACE: Final = 0.5
"""Seconds that a server which keeps the time by itself is given beyond it."""


class _InUse:
    """Whether any limit was ever set in this process: until then a statement pays one look at an attribute."""

    def __init__(self) -> None:
        # Of the instance, where CPython finds it faster than on the class.
        self.ever = False


in_use = _InUse()


class Limit(NamedTuple):
    """What one statement may take: seconds, and whether a budget says so (else a deadline)."""

    seconds: float
    is_budget: bool

    def exceeded(self, alias: str) -> DatabaseError:
        """Return the error for a statement that took longer."""
        made: DatabaseError
        if self.is_budget:
            made = BudgetExceeded(
                f"a statement on {alias!r} took longer than its budget of {self.seconds * 1000:g} ms."
            )
        else:
            made = DeadlineExceeded(f"the deadline passed before the work on {alias!r} was done.")
        made.alias = alias
        return made


def limit_of(alias: str) -> Limit | None:
    """Return what a statement on *alias* may take from now on; None for as long as it wants.

    Raises: DeadlineExceeded: no time is left at all.
    """
    if not in_use.ever:
        return None
    end = _end.get()
    each = _each.get().get(alias)
    if end is None:
        return Limit(each, True) if each is not None else None
    left = end - time.monotonic()
    if left <= 0:
        raise Limit(0.0, False).exceeded(alias)
    return Limit(each, True) if each is not None and each < left else Limit(left, False)


def within(seconds: float) -> float:
    """Return *seconds*, or what is left until the deadline where that is less."""
    end = _end.get() if in_use.ever else None
    return seconds if end is None else max(0.0, min(seconds, end - time.monotonic()))


def is_over() -> bool:
    """True once the deadline in force has passed."""
    end = _end.get() if in_use.ever else None
    return end is not None and time.monotonic() >= end


def set_each(seconds: Mapping[str, float]) -> Mapping[str, float]:
    """Limit each statement by alias; return what was in force before."""
    in_use.ever = True
    before = _each.get()
    _each.set(seconds)
    return before


class deadline:  # noqa: N801  # it reads as a verb: with deadline(2)
    """Let all work on databases in a ``with`` or ``async with`` block end within *seconds*; inner ones only shorten.

    Waits for a connection, statements and retries obey. What is not done by then raises `DeadlineExceeded` (an
    `OperationalError` and a `TimeoutError`); a statement that runs is cancelled on the server. Inside an ``atomic``
    block of PostgreSQL the server keeps the time (``SET LOCAL statement_timeout``); an interrupted write on SQLite
    rolls the whole block back. COMMIT and clean-up are exempt.

    Raises: ValueError: *seconds* is negative.
    """

    def __init__(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("a deadline takes seconds from now, not negative.")
        self._seconds = seconds
        self._before: list[float | None] = []

    def __enter__(self) -> deadline:
        in_use.ever = True
        before = _end.get()
        own = time.monotonic() + self._seconds
        self._before.append(before)
        _end.set(own if before is None else min(own, before))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _end.set(self._before.pop())

    async def __aenter__(self) -> deadline:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    @staticmethod
    def remaining() -> float | None:
        """Return the seconds left until the deadline in force, 0 once it has passed; None where there is none."""
        end = _end.get()
        return None if end is None else max(0.0, end - time.monotonic())


def told(exc: DatabaseError, limit: Limit, alias: str, since: float) -> DatabaseError:
    """Return the error for a statement under *limit* that failed: *exc*, unless the limit is what made it fail."""
    if isinstance(exc, DeadlineExceeded) or not (isinstance(exc, (QueryCanceled, PoolTimeout)) or exc.connection_lost):
        return exc
    if time.monotonic() - since < limit.seconds * 0.9 and not is_over():
        return exc
    made = limit.exceeded(alias)
    made.statement, made.sqlstate, made.connection_lost = exc.statement, exc.sqlstate, exc.connection_lost
    return made
