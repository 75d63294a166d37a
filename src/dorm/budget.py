"""Budgets: how long a statement may run and how many rows it may give, for a part of the code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from dorm.db.ceilings import Budget, budgets, check_rowcount, current
from dorm.db.database import connections
from dorm.db.forks import in_child
from dorm.db.hooks import Proceed, chain
from dorm.db.limits import set_each
from dorm.db.operation import Operation, arun, run
from dorm.db.request import StatementRequest
from dorm.db.statement import Table
from dorm.exceptions import BudgetExceeded
from dorm.transaction.blocks import Handle, Options, enter, leave

__all__ = ["Budget", "BudgetExceeded", "abudget", "budget", "check_rowcount", "current"]


def _ceiling(request: StatementRequest[Any], proceed: Proceed) -> Operation[Any]:
    reply = yield from proceed(request)
    if type(reply) is list:
        check_rowcount(len(reply), request.source.alias)
    elif isinstance(reply, Table):
        check_rowcount(len(reply.rows), request.source.alias)
    return reply


class _Ceilings:
    """Keeps the hook installed while any budget limits rows."""

    def __init__(self) -> None:
        self._number = 0
        self._uninstall: Callable[[], None] | None = None
        self._forked()
        in_child(self, _Ceilings._forked)

    def _forked(self) -> None:
        self._lock = threading.Lock()

    def changed(self, by: int) -> None:
        with self._lock:
            self._number += by
            if self._number and self._uninstall is None:
                self._uninstall = chain.install(_ceiling)
            elif not self._number and self._uninstall is not None:
                self._uninstall()
                self._uninstall = None


_ceilings = _Ceilings()


class _State:
    """What one entry into a budget has to undo."""

    __slots__ = ("budgets", "handle", "seconds")

    def __init__(self, budgets: Mapping[str, Budget], seconds: Mapping[str, float]) -> None:
        self.budgets = budgets
        self.seconds = seconds
        self.handle: Handle | None = None


class budget:  # noqa: N801  # it reads as a verb: with budget(timeout_ms=50)
    """Limit the statements in a ``with`` (or ``async with``) block; a nested budget can only be stricter.

    Args:
        timeout_ms: a statement that takes longer is cancelled. On PostgreSQL the block is a transaction, in which the
            server keeps the time.
        max_rows: a statement that gives more rows fails.
        using: alias that it is about.
        transaction: False never opens one: the client keeps the time. For blocks that other tasks and threads work in.
    Raises: BudgetExceeded (a DatabaseError): from the statement that went too far.
    """

    def __init__(
        self,
        *,
        timeout_ms: float | None = None,
        max_rows: int | None = None,
        using: str = "default",
        transaction: bool = True,
    ) -> None:
        if timeout_ms is not None and timeout_ms <= 0:
            raise ValueError("timeout_ms takes a positive number of milliseconds.")
        if max_rows is not None and max_rows < 0:
            raise ValueError("max_rows takes a number of rows, not negative.")
        self._own = Budget(timeout_ms, max_rows, using)
        self._transaction = transaction
        self._states: list[_State] = []

    def _begin(self) -> tuple[Budget, bool]:
        """Put the budget in force; return it, and whether its block shall be a transaction."""
        before = budgets.get()
        own = self._own
        found = own.tightened(before.get(own.using))
        budgets.set({**before, own.using: found})
        limits = {alias: each.timeout_ms / 1000 for alias, each in budgets.get().items() if each.timeout_ms}
        self._states.append(_State(before, set_each(limits)))
        if own.max_rows is not None:
            _ceilings.changed(1)
        if not self._transaction or own.timeout_ms is None:
            return found, False
        return found, connections[own.using].dialect.statement_timeout(1) is not None

    def _undo(self) -> Handle | None:
        state = self._states.pop()
        budgets.set(state.budgets)
        set_each(state.seconds)
        if self._own.max_rows is not None:
            _ceilings.changed(-1)
        return state.handle

    def __enter__(self) -> Budget:
        found, transaction = self._begin()
        if transaction:
            try:
                self._states[-1].handle = run(enter(Options(self._own.using)))
            except BaseException:
                self._undo()
                raise
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        handle = self._undo()
        if handle is not None:
            run(leave(handle, error))

    async def __aenter__(self) -> Budget:
        found, transaction = self._begin()
        if transaction:
            try:
                self._states[-1].handle = await arun(enter(Options(self._own.using)))
            except BaseException:
                self._undo()
                raise
        return found

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        handle = self._undo()
        if handle is not None:
            await arun(leave(handle, error))


abudget = budget
