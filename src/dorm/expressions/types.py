"""The type of an operation from those of its operands, as Django infers it."""

from __future__ import annotations

from dorm.db.types import (
    BIGINT,
    DOUBLE,
    INTERVAL,
    LONG_NUMERIC,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    SqlType,
    is_long,
)
from dorm.exceptions import FieldError
from dorm.sql.node import Output, TypedOutput, output_name

_INTEGERS = ("smallint", "integer", "bigint")
_NUMBERS = (*_INTEGERS, "numeric", "double")
_MOMENTS = ("date", "timestamp", "timestamptz")
_ARITHMETIC = ("+", "-", "*", "/", "%", "^")

PLAIN_NUMERIC = SqlType("numeric")
"""A decimal of any digits: what arithmetic over decimals gives."""


def combined_output(operator: str, lhs: Output | None, rhs: Output | None) -> Output | None:
    """Return the output of ``lhs operator rhs``; None when neither side has a type.

    Raises: FieldError: the two do not go together.
    """
    if lhs is None or rhs is None:
        return lhs if rhs is None else rhs
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
        return TypedOutput(DOUBLE)
    if "numeric" in (left.kind, right.kind):
        if operator != "^" and (is_long(left) or is_long(right)):
            return TypedOutput(LONG_NUMERIC)
        same = operator in "+-" and (left.precision, left.scale) == (right.precision, right.scale)
        return TypedOutput(left if same else PLAIN_NUMERIC)
    return TypedOutput(BIGINT)


def _of_moments(operator: str, left: str, right: str) -> Output | None:
    if operator not in ("+", "-"):
        return None
    kinds = {left, right}
    if left == right == "interval":
        return TypedOutput(INTERVAL)
    if operator == "-" and left == right and left in (*_MOMENTS, "time"):
        return TypedOutput(INTERVAL)
    if "interval" not in kinds or (operator == "-" and left == "interval"):
        return None
    other = right if left == "interval" else left
    if other == "time":
        return TypedOutput(TIME)
    if other == "timestamptz":
        return TypedOutput(TIMESTAMPTZ)
    return TypedOutput(TIMESTAMP) if other in _MOMENTS else None
