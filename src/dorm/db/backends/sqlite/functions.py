"""Functions and collations that dorm registers on every connection, because SQLite lacks them."""

from __future__ import annotations

import decimal
import functools
import re
from typing import Any

import apsw


@functools.lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _regexp(*args: Any) -> bool | None:
    """``text REGEXP pattern``."""
    pattern, text = args
    if pattern is None or text is None:
        return None
    return _compiled(pattern).search(str(text)) is not None


def _compare_decimals(one: str, other: str) -> int:
    """Order texts that are decimals by their value; texts that are none come after all decimals."""
    try:
        left, right = decimal.Decimal(one), decimal.Decimal(other)
    except decimal.InvalidOperation:
        return (one > other) - (one < other)
    return (left > right) - (left < right)


class _AverageOfScaled:
    """AVG over scaled whole numbers, exact: the mean goes back as text, still scaled."""

    def __init__(self) -> None:
        self.total = 0
        self.count = 0

    def step(self, value: int | None) -> None:
        if value is not None:
            self.total += value
            self.count += 1

    def final(self) -> int | None:
        # As PostgreSQL does with numeric, the mean keeps the digits of the column; ties go to even.
        return round(decimal.Decimal(self.total) / self.count) if self.count else None


def register(db: apsw.Connection) -> None:
    """Register everything on a new connection."""
    db.create_scalar_function("regexp", _regexp, 2, deterministic=True)
    db.create_collation("dorm_decimal", _compare_decimals)
    db.create_aggregate_function("dorm_avg_scaled", _average, 1)


def _average() -> tuple[_AverageOfScaled, Any, Any]:
    return _AverageOfScaled(), _AverageOfScaled.step, _AverageOfScaled.final
