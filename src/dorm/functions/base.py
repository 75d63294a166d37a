"""What the functions share: checked arguments, results of a fixed type, decimals that were computed."""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, Any

from dorm.db.types import BIGINT, DOUBLE, SqlType
from dorm.expressions.core import Value
from dorm.sql.convert import kind_of as kind_of
from dorm.sql.node import Node, Output, TypedOutput
from dorm.sql.output import NumberResult

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler

NUMERIC = SqlType("numeric")


class NumericResult(TypedOutput):
    """A decimal that a function computed: whatever number the backend sends becomes a Decimal."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(NUMERIC)

    def bind(self, dialect: Dialect, /) -> Converter | None:
        # Where decimals are stored scaled, a computed one is a plain number.
        return float if dialect.scales_decimals else dialect.binder(NUMERIC)

    def load(self, dialect: Dialect, /) -> Converter | None:
        return _decimal


def _decimal(value: Any) -> decimal.Decimal:
    return value if isinstance(value, decimal.Decimal) else decimal.Decimal(str(value))


NUMERIC_RESULT = NumericResult()
FLOAT_RESULT = NumberResult(DOUBLE, float)
INTEGER_RESULT = NumberResult(BIGINT, int)


def at_least(value: Any, least: int, message: str) -> Node:
    """Return *value* as an expression; a plain number below *least* raises ValueError."""
    if isinstance(value, Node):
        return value
    if value < least:
        raise ValueError(message)
    return Value(value)


def number(compiler: Compiler, node: Node) -> str:
    """Return the text of *node* as a plain number, also where its type is stored in another form."""
    text = node.sql(compiler)
    return compiler.dialect.plain_number(text, node.output.sql_type) if node.output is not None else text


def in_type(compiler: Compiler, node: Node, wanted: Output | None) -> str:
    """Return the text of *node* in the stored form of type *wanted*."""
    text = node.sql(compiler)
    if wanted is None or node.output is None:
        return text
    return compiler.dialect.converted(text, node.output.sql_type, wanted.sql_type)
