"""The type of an operation from those of its operands, as Django infers it."""

from __future__ import annotations

import decimal
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dorm.db.types import (
    BIGINT,
    DOUBLE,
    INTERVAL,
    LONG_NUMERIC,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    WHOLE_DIGITS,
    SqlType,
    digits_of,
)
from dorm.exceptions import FieldError
from dorm.sql.node import Node, Output, TypedOutput, output_name
from dorm.sql.ours import is_ours
from dorm.sql.output import NumberResult, is_computed

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect

_INTEGERS = ("smallint", "integer", "bigint")
_NUMBERS = (*_INTEGERS, "numeric", "double")
_MOMENTS = ("date", "timestamp", "timestamptz")
_ARITHMETIC = ("+", "-", "*", "/", "%", "^")

PLAIN_NUMERIC = SqlType("numeric")
"""A decimal of any digits: what arithmetic over decimals gives."""


class DecimalResult(TypedOutput):
    """A decimal, also where the backend sends another number."""

    __slots__ = ()

    def load(self, dialect: Dialect, /) -> Converter | None:
        return dialect.loader(self.sql_type) or _decimal


class ListOutput(TypedOutput):
    """A list whose items travel as *item* says."""

    __slots__ = ("item",)

    def __init__(self, item: Output) -> None:
        super().__init__(SqlType("array", element=item.sql_type))
        self.item = item

    def load(self, dialect: Dialect, /) -> Converter | None:
        load = self.item.load(dialect)
        if load is None:
            return list
        each = load
        return lambda values: [None if value is None else each(value) for value in values]


def _decimal(value: Any) -> decimal.Decimal:
    return value if isinstance(value, decimal.Decimal) else decimal.Decimal(str(value))


_NUMBER_FIELDS = {
    "IntegerField": int,
    "SmallIntegerField": int,
    "BigIntegerField": int,
    "PositiveIntegerField": int,
    "PositiveSmallIntegerField": int,
    "PositiveBigIntegerField": int,
    "FloatField": float,
}


def as_asked(output: Output, args: Iterable[Node] | None = None) -> Output:
    """Return the output of an expression whose type was asked for: as Django does, a number is made of that type.

    Args:
        args: the arguments of a function that the user wrote. A decimal that it makes of none is no stored decimal.
    """
    if type(output).__name__ == "DecimalField":
        kinds = ["numeric"] if args is None else [arg.output.sql_type.kind for arg in args if arg.output is not None]
        return DecimalResult(output.sql_type if "numeric" in kinds else PLAIN_NUMERIC)
    wanted = _NUMBER_FIELDS.get(type(output).__name__)
    if wanted is None or not is_ours(type(output)):
        return output
    return NumberResult(output.sql_type, wanted)


def combined_output(operator: str, lhs: Output | None, rhs: Output | None) -> Output | None:
    """Return the output of ``lhs operator rhs``; None when neither side has a type.

    Raises: FieldError: the two do not go together.
    """
    if lhs is None or rhs is None:
        known = lhs if rhs is None else rhs
        is_decimal = known is not None and known.sql_type.kind == "numeric"
        return TypedOutput(PLAIN_NUMERIC) if is_decimal else known
    left, right = lhs.sql_type.kind, rhs.sql_type.kind
    if left in _NUMBERS and right in _NUMBERS:
        found = _of_numbers(operator, lhs, rhs)
    else:
        found = _of_moments(operator, left, right)
    if found is None:
        raise FieldError(
            f"Cannot infer type of {operator!r} expression involving these types: {output_name(lhs)}, "
            f"{output_name(rhs)}. You must set output_field."
        )
    return found


def _of_numbers(operator: str, lhs: Output, rhs: Output) -> Output | None:
    left, right = lhs.sql_type, rhs.sql_type
    if operator not in _ARITHMETIC:
        return TypedOutput(BIGINT) if left.kind in _INTEGERS and right.kind in _INTEGERS else None
    if {left.kind, right.kind} == {"numeric", "double"}:
        return None
    if "double" in (left.kind, right.kind):
        # A mean of whole numbers is a float here, whatever number the server computes it as.
        return NumberResult(DOUBLE, float) if is_computed(lhs) or is_computed(rhs) else TypedOutput(DOUBLE)
    if "numeric" in (left.kind, right.kind):
        return TypedOutput(PLAIN_NUMERIC if operator == "^" else _of_decimals(operator, left, right))
    # A power of whole numbers is whole, though PostgreSQL computes it as a float, and a sum of large ones as a numeric.
    computed = operator == "^" or is_computed(lhs) or is_computed(rhs)
    return NumberResult(BIGINT, int) if computed else TypedOutput(BIGINT)


def _of_decimals(operator: str, left: SqlType, right: SqlType) -> SqlType:
    """Return the type that has every digit of the result: one of known digits where these are few, else any number."""
    one, other = digits_of(left), digits_of(right)
    if one is None or other is None or operator == "/":
        return LONG_NUMERIC
    if operator == "*":
        digits, scale = one[0] + other[0] + one[1] + other[1], one[1] + other[1]
    else:
        # A carry makes one digit more.
        scale = max(one[1], other[1])
        digits = max(one[0], other[0]) + (operator != "%") + scale
    return SqlType("numeric", precision=digits, scale=scale) if digits <= WHOLE_DIGITS else LONG_NUMERIC


def _of_moments(operator: str, left: str, right: str) -> Output | None:
    if operator not in ("+", "-"):
        return None
    kinds = {left, right}
    if left == right == "interval":
        return TypedOutput(INTERVAL)
    if operator == "-" and (left == right == "time" or kinds <= set(_MOMENTS)):
        return TypedOutput(INTERVAL)
    if "interval" not in kinds or (operator == "-" and left == "interval"):
        return None
    other = right if left == "interval" else left
    if other == "time":
        return TypedOutput(TIME)
    if other == "timestamptz":
        return TypedOutput(TIMESTAMPTZ)
    return TypedOutput(TIMESTAMP) if other in _MOMENTS else None
