"""The types of SQL that dorm knows, as values.

A `SqlType` names a type without saying how a backend spells or converts it: that is the dialect's table
(`Dialect.column_type`, `Dialect.binder`, `Dialect.loader`). Fields, functions and casts refer to these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

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


@dataclass(frozen=True, slots=True)
class SqlType:
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


@dataclass(frozen=True, slots=True)
class RangeValue:
    """A range as drivers and dialects exchange it; None as a bound is "without end".

    Args:
        bounds: ``"["`` or ``"("`` and ``"]"`` or ``")"``; empty for the range that holds nothing.
    """

    lower: Any
    upper: Any
    bounds: str = "[)"


INTEGER_RANGES: Final[dict[Kind, tuple[int, int]]] = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
"""Smallest and largest value of each integer type (SQL standard sizes, kept on backends that would store more)."""
