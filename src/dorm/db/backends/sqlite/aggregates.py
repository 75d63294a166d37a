"""Aggregates that dorm adds to SQLite; loaded when a statement calls one."""

from __future__ import annotations

import collections
import decimal
import functools
import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from dorm.db.backends.sqlite.functions import EXACT


class _SumOfDecimals:
    """SUM over decimals kept as text, exact."""

    def __init__(self) -> None:
        self.total = Fraction(0)
        self.count = 0
        self.places = 0

    def _add(self, value: Any, sign: int) -> None:
        if value is not None:
            number = decimal.Decimal(str(value))
            self.places = max(self.places, -int(number.as_tuple().exponent))
            self.total += sign * Fraction(number)
            self.count += sign

    def step(self, *values: Any) -> None:
        self._add(values[0], 1)

    def inverse(self, *values: Any) -> None:
        self._add(values[0], -1)

    def value(self) -> str | None:
        if not self.count:
            return None
        scaled = int(self.total * 10**self.places)
        return str(decimal.Decimal(scaled).scaleb(-self.places, EXACT))

    final = value


class _AverageOfScaled:
    """AVG over decimals that are whole numbers of their last digit: the nearest float to the exact mean."""

    def __init__(self) -> None:
        self.total = 0
        self.count = 0
        self.scale = 0

    def step(self, *values: Any) -> None:
        self._add(values, 1)

    def inverse(self, *values: Any) -> None:
        self._add(values, -1)

    def _add(self, values: tuple[Any, ...], sign: int) -> None:
        value, self.scale = values
        if value is not None:
            self.total += sign * value
            self.count += sign

    def value(self) -> float | None:
        return float(Fraction(self.total, self.count * 10**self.scale)) if self.count else None

    final = value


class _Spread:
    """Variance or standard deviation of numbers, kept as exact fractions while rows come and go."""

    def __init__(self, sample: bool, root: bool) -> None:
        self.sample = sample
        self.root = root
        self.count = 0
        self.total = Fraction(0)
        self.squares = Fraction(0)

    def _add(self, value: Any, sign: int) -> None:
        if value is not None:
            exact = Fraction(str(value) if isinstance(value, str) else value)
            self.count += sign
            self.total += sign * exact
            self.squares += sign * exact * exact

    def step(self, *values: Any) -> None:
        self._add(values[0], 1)

    def inverse(self, *values: Any) -> None:
        self._add(values[0], -1)

    def value(self) -> float | None:
        rows = self.count - self.sample
        if rows <= 0:
            return None
        variance = (self.squares - self.total * self.total / self.count) / rows
        return math.sqrt(variance) if self.root else float(variance)

    final = value


class _Mode:
    """The most frequent value, the smallest of several; NULLs do not count."""

    def __init__(self) -> None:
        self.counts: collections.Counter[Any] = collections.Counter()

    def step(self, *values: Any) -> None:
        if values[0] is not None:
            self.counts[values[0]] += 1

    def inverse(self, *values: Any) -> None:
        if values[0] is not None:
            self.counts[values[0]] -= 1

    def value(self) -> Any:
        most = max(self.counts.values(), default=0)
        return min((value for value, count in self.counts.items() if count == most), default=None) if most else None

    final = value


class _Fold:
    """A bitwise AND, OR or XOR of whole numbers; NULL over none."""

    def __init__(self, fold: Callable[[int, int], int]) -> None:
        self.fold = fold
        self.values: list[int] = []

    def step(self, *values: Any) -> None:
        if values[0] is not None:
            self.values.append(int(values[0]))

    def inverse(self, *values: Any) -> None:
        if values[0] is not None:
            self.values.remove(int(values[0]))

    def value(self) -> int | None:
        return functools.reduce(self.fold, self.values) if self.values else None

    final = value


class _AverageOfDecimals:
    """AVG over decimals kept as text: the nearest float to the exact mean."""

    def __init__(self) -> None:
        self.total = Fraction(0)
        self.count = 0

    def _add(self, value: Any, sign: int) -> None:
        if value is not None:
            self.total += sign * Fraction(str(value))
            self.count += sign

    def step(self, *values: Any) -> None:
        self._add(values[0], 1)

    def inverse(self, *values: Any) -> None:
        self._add(values[0], -1)

    def value(self) -> float | None:
        return float(self.total / self.count) if self.count else None

    final = value


AGGREGATES: dict[str, Callable[[], Any]] = {
    "dorm_avg_decimal": _AverageOfDecimals,
    "dorm_avg_scaled": _AverageOfScaled,
    "dorm_mode": _Mode,
    "dorm_sum_decimal": _SumOfDecimals,
    "dorm_var_pop": lambda: _Spread(False, False),
    "dorm_var_samp": lambda: _Spread(True, False),
    "dorm_stddev_pop": lambda: _Spread(False, True),
    "dorm_stddev_samp": lambda: _Spread(True, True),
    "dorm_bit_and": lambda: _Fold(operator.and_),
    "dorm_bit_or": lambda: _Fold(operator.or_),
    "dorm_bit_xor": lambda: _Fold(operator.xor),
}
