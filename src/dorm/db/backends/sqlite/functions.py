"""Functions and collations that dorm registers on every connection, because SQLite lacks them."""

from __future__ import annotations

import datetime
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


def _moment(text: str) -> datetime.datetime:
    """Return a stored date, time or datetime as a moment; times are on the first of January 1970."""
    if len(text) <= 15 and text[2:3] == ":":
        return datetime.datetime.combine(datetime.date(1970, 1, 1), datetime.time.fromisoformat(text))
    return datetime.datetime.fromisoformat(text)


def _moment_add(*args: Any) -> str | None:
    """``dorm_moment_add(kind, moment, microseconds)``: a date becomes a datetime, a time goes round the clock."""
    kind, text, microseconds = args
    if text is None or microseconds is None:
        return None
    moved = _moment(text) + datetime.timedelta(microseconds=int(microseconds))
    return moved.time().isoformat() if kind == "time" else moved.isoformat(" ")


def _moment_difference(*args: Any) -> int | None:
    """``dorm_moment_difference(later, earlier)`` in microseconds."""
    later, earlier = args
    if later is None or earlier is None:
        return None
    return (_moment(later) - _moment(earlier)) // datetime.timedelta(microseconds=1)


def _bitxor(*args: Any) -> int | None:
    """``dorm_bitxor(a, b)``."""
    one, other = args
    return None if one is None or other is None else one ^ other


def register(db: apsw.Connection) -> None:
    """Register everything on a new connection."""
    db.create_scalar_function("regexp", _regexp, 2, deterministic=True)
    db.create_scalar_function("dorm_bitxor", _bitxor, 2, deterministic=True)
    db.create_scalar_function("dorm_moment_add", _moment_add, 3, deterministic=True)
    db.create_scalar_function("dorm_moment_difference", _moment_difference, 2, deterministic=True)
    db.create_collation("dorm_decimal", _compare_decimals)
    db.create_aggregate_function("dorm_avg_scaled", _average, 1)


def _average() -> tuple[_AverageOfScaled, Any, Any]:
    return _AverageOfScaled(), _AverageOfScaled.step, _AverageOfScaled.final
