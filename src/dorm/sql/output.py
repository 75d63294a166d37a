"""What the values of a query are: their SQL types, how they travel, and the type that several have in common."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Protocol

from dorm.classes import is_uuid
from dorm.db.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTERVAL,
    JSON,
    LONG_NUMERIC,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    SqlType,
    is_long,
)
from dorm.exceptions import FieldError, InvalidValue, OutOfRange
from dorm.sql.ours import is_ours
from dorm.sql.reading import READ

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.node import Node


class Output(Protocol):
    """What a value of a query is: its SQL type and how it travels. Every field is one."""

    @property
    def sql_type(self) -> SqlType: ...
    @property
    def prepares(self) -> bool: ...
    def prepare(self, value: Any, /) -> Any: ...
    def bind(self, dialect: Dialect, /) -> Converter | None: ...
    def load(self, dialect: Dialect, /) -> Converter | None: ...


class TypedOutput:
    """An output that is nothing but a SQL type."""

    __slots__ = ("sql_type",)

    def __init__(self, sql_type: SqlType) -> None:
        self.sql_type = sql_type

    @property
    def prepares(self) -> bool:
        return self.sql_type.kind in READ

    def prepare(self, value: Any, /) -> Any:
        """Return *value* as a field of the type would take it.

        Raises: InvalidValue: it is none of the type's values.
        """
        read = READ.get(self.sql_type.kind)
        if read is None:
            return value
        try:
            found = read(value)
        except OutOfRange:
            raise
        except (TypeError, ValueError, ArithmeticError) as exc:
            why: Exception | None = exc
        else:
            if found is not None:
                return found
            why = None
        raise InvalidValue(
            f"a value to compare with a {output_name(self)} is a {type(value).__name__} that is none of its values."
        ) from why

    def bind(self, dialect: Dialect, /) -> Converter | None:
        return dialect.binder(self.sql_type)

    def load(self, dialect: Dialect, /) -> Converter | None:
        return dialect.loader(self.sql_type)

    def __repr__(self) -> str:
        return f"TypedOutput({self.sql_type.kind})"


class NumberResult(TypedOutput):
    """A float or a whole number that was computed, in whatever type the backend sends it."""

    __slots__ = ("wanted",)

    def __init__(self, sql_type: SqlType, wanted: type[float] | type[int]) -> None:
        super().__init__(sql_type)
        self.wanted = wanted

    def load(self, dialect: Dialect, /) -> Converter | None:
        return self.wanted


def is_computed(output: Output) -> bool:
    """True for a type that a function gives back whatever the backend sends."""
    return isinstance(output, TypedOutput) and type(output) is not TypedOutput


INTEGER_OUTPUT = TypedOutput(BIGINT)
FLOAT_OUTPUT = TypedOutput(DOUBLE)
BOOLEAN_OUTPUT = TypedOutput(BOOLEAN)
TEXT_OUTPUT = TypedOutput(TEXT)
_UUID_OUTPUT = TypedOutput(UUID)

_OUTPUTS: dict[type, TypedOutput] = {
    bool: BOOLEAN_OUTPUT,
    int: INTEGER_OUTPUT,
    float: FLOAT_OUTPUT,
    str: TEXT_OUTPUT,
    bytes: TypedOutput(BYTES),
    datetime.date: TypedOutput(DATE),
    datetime.time: TypedOutput(TIME),
    datetime.timedelta: TypedOutput(INTERVAL),
    decimal.Decimal: TypedOutput(SqlType("numeric")),
    dict: TypedOutput(JSON),
    list: TypedOutput(JSON),
}


def output_of_value(value: Any) -> Output | None:
    """Return the output of a literal by its Python type; None for None and for types nobody knows."""
    if isinstance(value, datetime.datetime):
        return TypedOutput(TIMESTAMP if value.tzinfo is None else TIMESTAMPTZ)
    for cls in type(value).__mro__:
        if cls in _OUTPUTS:
            return _OUTPUTS[cls]
    return _UUID_OUTPUT if is_uuid(type(value)) else None


class _Itself:
    """Holds what is equal to itself only, so that its identity is not given to another object meanwhile."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


def output_key(output: Output | None) -> Hashable:
    """Return the structural key of an ``output_field``; one of an unknown class is equal to itself only."""
    if output is None:
        return None
    if not is_ours(type(output)):
        return _Itself(output)
    return (type(output), output.sql_type, getattr(output, "decoder", None))


def spoken(output: Output) -> Output:
    """Return the field that says what the values of *output* are: of a generated column its output field."""
    found: Output = getattr(output, "output_field", output)
    return found


def common_output(args: tuple[Node, ...], what: str) -> Output | None:
    """Return the output that all *args* with one share; raise FieldError (as Django does) when they differ.

    A later one must be of the class of the first one or of a class above it.
    """
    found: Output | None = None
    for arg in args:
        if arg.output is None:
            continue
        output = spoken(arg.output)
        if found is None:
            found = output
        elif not _is_like(found, output):
            raise FieldError(
                f"{what} contains mixed types: {output_name(found)}, {output_name(output)}. You must set output_field."
            )
        elif type(found) is not type(output) or found.sql_type != output.sql_type:
            found = _wider(found, output) or found
    known = [arg.output for arg in args if arg.output is not None]
    if found is not None and found.sql_type.kind in _INTEGERS and len(known) > 1 and any(map(is_computed, known)):
        # A sum of large numbers is a numeric on a server, which gives all of them that type.
        return NumberResult(found.sql_type, int)
    return found


def _is_like(first: Output, other: Output) -> bool:
    """True when *first* is of the class of field that *other* is, or of one below it."""
    if getattr(first, "is_relation", False) or getattr(other, "is_relation", False):
        return _wider(first, other) is not None
    name = output_name(other)
    if isinstance(first, TypedOutput) and first.sql_type.kind not in _FIELD_NAMES:
        return first.sql_type.kind == other.sql_type.kind
    return name in _class_names(first) or output_name(first) == name


def _class_names(output: Output) -> set[str]:
    """Return the names of an output's field class and of those above it, as Django's hierarchy has them."""
    if isinstance(output, TypedOutput):
        names = {output_name(output)}
    else:
        names = {cls.__name__ for cls in type(output).__mro__}
    if "CharField" in names:
        names.discard("TextField")
    if "SmallIntegerField" in names or "AutoField" in names:
        names |= {"IntegerField"}
    if names & {"BigAutoField", "PositiveBigIntegerField"}:
        names |= {"BigIntegerField", "IntegerField"}
    if "DateTimeField" in names:
        names |= {"DateField"}
    return names


_INTEGERS = ("smallint", "integer", "bigint")
_WIDTH = {"smallint": 0, "integer": 1, "bigint": 2, "numeric": 3, "double": 4}


def _wider(one: Output, other: Output) -> Output | None:
    """Return the wider of two outputs of compatible types, None when their types do not mix."""
    a, b = one.sql_type.kind, other.sql_type.kind
    if "numeric" in (a, b) and a in _WIDTH and b in _WIDTH:
        # Decimals of different digits, or a decimal and another number: a decimal of any digits.
        if "double" in (a, b):
            return None
        return TypedOutput(LONG_NUMERIC if is_long(one.sql_type) or is_long(other.sql_type) else SqlType("numeric"))
    if a in _WIDTH and b in _WIDTH:
        return one if _WIDTH[a] >= _WIDTH[b] else other
    if {a, b} <= {"varchar", "text"}:
        return one if a == "text" else other
    return one if a == b else None


_FIELD_NAMES = {
    "smallint": "SmallIntegerField",
    "integer": "IntegerField",
    "bigint": "IntegerField",
    "boolean": "BooleanField",
    "double": "FloatField",
    "numeric": "DecimalField",
    "varchar": "CharField",
    "text": "CharField",
    "date": "DateField",
    "time": "TimeField",
    "timestamp": "DateTimeField",
    "timestamptz": "DateTimeField",
    "interval": "DurationField",
    "uuid": "UUIDField",
    "json": "JSONField",
    "bytes": "BinaryField",
}


def output_name(output: Output) -> str:
    """Return the name of the field class that an output is, or is like."""
    if not isinstance(output, TypedOutput):
        return type(output).__name__
    return _FIELD_NAMES.get(output.sql_type.kind, output.sql_type.kind)
