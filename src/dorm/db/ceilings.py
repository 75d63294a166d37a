"""How many rows a statement may give, and how long it may take, by alias: the budgets in force (`dorm.budget`)."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from dorm.exceptions import BudgetExceeded
from dorm.record import Record


class Budget(Record):
    """What is in force: milliseconds for a statement and rows it may give, None where there is no limit."""

    timeout_ms: float | None
    max_rows: int | None
    using: str = "default"

    def tightened(self, other: Budget | None) -> Budget:
        """Return the stricter of both in each respect."""
        if other is None:
            return self
        return Budget(_least(self.timeout_ms, other.timeout_ms), _least(self.max_rows, other.max_rows), self.using)


def _least(one: Any, other: Any) -> Any:
    return min((each for each in (one, other) if each is not None), default=None)


budgets: ContextVar[Mapping[str, Budget]] = ContextVar("dorm_budgets", default=MappingProxyType({}))


def current(using: str = "default") -> Budget | None:
    """Return the budget in force here for an alias, None when there is none."""
    return budgets.get().get(using)


def check_rowcount(n: int, using: str = "default") -> None:
    """Raise `BudgetExceeded` when *n* rows are more than the budget in force allows."""
    found = current(using)
    if found is not None and found.max_rows is not None and n > found.max_rows:
        raise BudgetExceeded(
            f"a statement on {using!r} gave {n} rows, more than its budget of {found.max_rows}: narrow the query, or "
            "slice it."
        )
