"""The types of SQL that dorm knows, as values.

A `SqlType` names a type without saying how a backend spells or converts it: that is the dialect's table
(`Dialect.column_type`, `Dialect.binder`, `Dialect.loader`). Fields, functions and casts refer to these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

from dorm.record import Record

Kind: TypeAlias = Literal[
    "smallint",
    "integer",
    "bigint",
    "boolean",
    "double",
    "numeric",
    "varchar",
    "text",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "json",
    "bytes",
    "inet",
    "citext",
    "hstore",
    "array",
    "enum",
    "int4range",
    "int8range",
    "numrange",
    "daterange",
    "tsrange",
    "tstzrange",
    "custom",
]


class SqlType(Record):
    """One type of SQL.

    Args:
        kind: name of the family.
        length: characters, for ``varchar``.
        precision, scale: digits in all and behind the point, for ``numeric``.
        auto: the database makes the value (an auto key).
        unsigned: negative values are refused (by the type where there is one, else by a CHECK).
        element: type of the elements, for ``array`` and ranges.
        name: name of the type in the database, for ``enum``. values: its values in their order.
    """

    kind: Kind
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    auto: bool = False
    unsigned: bool = False
    element: SqlType | None = None
    name: str | None = None
    values: tuple[str, ...] = ()


SMALLINT: Final = SqlType("smallint")
INTEGER: Final = SqlType("integer")
BIGINT: Final = SqlType("bigint")
BOOLEAN: Final = SqlType("boolean")
DOUBLE: Final = SqlType("double")
TEXT: Final = SqlType("text")
DATE: Final = SqlType("date")
TIME: Final = SqlType("time")
TIMESTAMP: Final = SqlType("timestamp")
TIMESTAMPTZ: Final = SqlType("timestamptz")
INTERVAL: Final = SqlType("interval")
UUID: Final = SqlType("uuid")
JSON: Final = SqlType("json")
BYTES: Final = SqlType("bytes")
INET: Final = SqlType("inet")
CITEXT: Final = SqlType("citext")
HSTORE: Final = SqlType("hstore")
CUSTOM: Final = SqlType("custom")
"""A type that only a field's ``db_type`` can spell; its values travel as they are."""


class Range(Record, eq=False):
    """The values between two bounds; None as a bound is "without end".

    Args:
        bounds: ``"["`` or ``"("`` and ``"]"`` or ``")"``: a square bracket takes the bound in.
        empty: the range that holds nothing.
    """

    lower: Any = None
    upper: Any = None
    bounds: str = "[)"
    empty: bool = False

    def __post_init__(self) -> None:
        if self.bounds not in ("[)", "[]", "()", "(]"):
            raise ValueError(f"bounds must be one of '[)', '[]', '()', '(]', not {self.bounds!r}")

    @property
    def lower_inc(self) -> bool:
        """True when the lower bound belongs to the range."""
        return not self.empty and self.lower is not None and self.bounds[0] == "["

    @property
    def upper_inc(self) -> bool:
        """True when the upper bound belongs to the range."""
        return not self.empty and self.upper is not None and self.bounds[1] == "]"

    @property
    def lower_inf(self) -> bool:
        """True when the range has no lower end."""
        return not self.empty and self.lower is None

    @property
    def upper_inf(self) -> bool:
        """True when the range has no upper end."""
        return not self.empty and self.upper is None

    def is_empty(self) -> bool:
        """Return whether the range holds nothing: it says so, or its bounds leave nothing between them."""
        if self.empty:
            return True
        if self.lower is None or self.upper is None:
            return False
        return bool(self.lower > self.upper) or (bool(self.lower == self.upper) and self.bounds != "[]")

    @property
    def isempty(self) -> bool:
        """The same as a property, as drivers have it."""
        return self.is_empty()

    def _identity(self) -> tuple[Any, ...]:
        # Whether an end that is not there is taken in means nothing.
        return (self.empty,) if self.empty else (self.lower, self.upper, self.lower_inc, self.upper_inc)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Range) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __contains__(self, value: Any) -> bool:
        if self.is_empty() or value is None:
            return False
        above = self.lower is None or value > self.lower or (self.lower_inc and value == self.lower)
        below = self.upper is None or value < self.upper or (self.upper_inc and value == self.upper)
        return bool(above and below)


INTEGER_RANGES: Final[dict[Kind, tuple[int, int]]] = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
"""Smallest and largest value of each integer type (SQL standard sizes, kept on backends that would store more)."""

LONG_NUMERIC: Final = SqlType("numeric", precision=1_000)
"""A decimal of any number of digits, all of which count: what arithmetic over decimals gives."""

WHOLE_DIGITS: Final = 18
"""Digits that any whole number of 64 bits may have."""

_DIGITS: Final[dict[str, int]] = {"smallint": 5, "integer": 10, "bigint": 19}


def digits_of(sql_type: SqlType) -> tuple[int, int] | None:
    """Return how many digits numbers of an exact *sql_type* have before the point and behind it; None where any."""
    if sql_type.kind != "numeric":
        return (sql_type.precision or _DIGITS[sql_type.kind], 0) if sql_type.kind in _DIGITS else None
    if sql_type.precision is None or sql_type == LONG_NUMERIC:
        return None
    scale = sql_type.scale or 0
    return sql_type.precision - scale, scale


def common_decimal(types: Iterable[SqlType]) -> SqlType | None:
    """Return the type that has every digit of numbers of *types*; None where it does not fit a 64-bit integer."""
    known = [digits_of(sql_type) for sql_type in types]
    digits = [each for each in known if each is not None]
    if len(digits) < len(known):
        return None
    scale = max(each[1] for each in digits)
    precision = max(each[0] for each in digits) + scale
    return SqlType("numeric", precision=precision, scale=scale) if precision <= WHOLE_DIGITS else None


def is_whole(sql_type: SqlType) -> bool:
    """Return whether decimals of *sql_type* fit a 64-bit integer, counted in units of their last digit."""
    return sql_type.kind == "numeric" and sql_type.precision is not None and sql_type.precision <= WHOLE_DIGITS


def is_long(sql_type: SqlType) -> bool:
    """Return whether decimals of *sql_type* may have more digits than a double holds."""
    return sql_type.kind == "numeric" and sql_type.precision is not None and sql_type.precision > 15
