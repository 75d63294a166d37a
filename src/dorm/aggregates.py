"""Aggregates: Count, Sum, Avg, Min, Max."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.db.types import BIGINT, DOUBLE, SqlType
from dorm.exceptions import FieldError, NotSupportedError
from dorm.expressions.core import Expression, as_reference
from dorm.sql.node import FLOAT_OUTPUT, INTEGER_OUTPUT, Output, Text, TypedOutput, output_key, typed

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler


_INTEGERS = ("smallint", "integer", "bigint", "boolean")


class Aggregate(Expression):
    """A function over the rows of a group.

    Args:
        expression: a field name, a path, or an expression.
        distinct: count each value once.
        filter: a condition (``Q``) on the rows that take part.
        output_field: type of the result, where it does not follow from the argument.
    """

    function: ClassVar[str] = ""
    is_aggregate = True
    allows_distinct: ClassVar[bool] = True

    def __init__(
        self, expression: Any, *, distinct: bool = False, filter: Any = None, output_field: Output | None = None
    ) -> None:
        if distinct and not self.allows_distinct:
            raise TypeError(f"{type(self).__name__} does not allow distinct.")
        if isinstance(expression, Aggregate):
            raise FieldError(f"Cannot compute {type(self).__name__}: its argument is an aggregate itself.")
        self.args = (as_reference(expression),) if filter is None else (as_reference(expression), filter)
        self.distinct = distinct
        self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (self.distinct, output_key(self.output))

    def infer_output(self) -> Output | None:
        return typed(self.args[0]).output

    @property
    def default_alias(self) -> str:
        """Name of the result where none is given: ``<path>__<function>``."""
        name = getattr(self.args[0], "name", None)
        if not isinstance(name, str):
            raise TypeError("Complex aggregates require an alias: give it as a keyword.")
        return f"{name}__{type(self).__name__.lower()}"

    def sql(self, compiler: Compiler) -> str:
        argument, condition = self.args[0], self.args[1] if len(self.args) > 1 else None
        name = compiler.dialect.functions.get(self._dialect_name(), self.function)
        distinct = "DISTINCT " if self.distinct else ""
        text = f"{name}({distinct}{argument.sql(compiler)})"
        if condition is None:
            return text
        if not compiler.dialect.supports_filter_clause:
            raise NotSupportedError(f"{compiler.dialect.vendor} has no FILTER for aggregates")
        return f"{text} FILTER (WHERE {condition.sql(compiler)})"

    def _dialect_name(self) -> str:
        output = self.args[0].output
        kind = output.sql_type.kind if output is not None else ""
        return f"{type(self).__name__}:{kind}"


class Count(Aggregate):
    """Number of rows (``Count("*")``) or of values that are not NULL."""

    function = "COUNT"
    output = INTEGER_OUTPUT

    def __init__(self, expression: Any = "*", **options: Any) -> None:
        super().__init__(Text("*") if expression == "*" else expression, **options)
        self.output = self.output or INTEGER_OUTPUT

    @property
    def default_alias(self) -> str:
        return "count" if isinstance(self.args[0], Text) else super().default_alias

    @property
    def nullable(self) -> bool:
        return False


class _NumberOutput(TypedOutput):
    """The result of SUM or AVG over *argument*, given back as *wanted* whatever the server sends."""

    __slots__ = ("argument", "function")

    def __init__(self, function: str, argument: SqlType, wanted: SqlType) -> None:
        super().__init__(wanted)
        self.function = function
        self.argument = argument

    def load(self, dialect: Dialect, /) -> Converter | None:
        sent = dialect.numeric_result(self.function, self.argument)
        if sent is None or sent.kind == self.sql_type.kind:
            return dialect.loader(self.sql_type)
        return float if self.sql_type.kind == "double" else int


class Sum(Aggregate):
    """Sum of the values; None over no rows."""

    function = "SUM"

    def infer_output(self) -> Output | None:
        output = typed(self.args[0]).output
        if output is None:
            return None
        if output.sql_type.kind in _INTEGERS:
            return _NumberOutput("Sum", output.sql_type, BIGINT)
        return TypedOutput(output.sql_type)


class Avg(Aggregate):
    """Mean of the values: a float, or a Decimal or timedelta for a column of these; None over no rows."""

    function = "AVG"

    def infer_output(self) -> Output | None:
        output = typed(self.args[0]).output
        if output is not None and output.sql_type.kind in ("numeric", "interval"):
            return TypedOutput(output.sql_type)
        return FLOAT_OUTPUT if output is None else _NumberOutput("Avg", output.sql_type, DOUBLE)


class Min(Aggregate):
    """Smallest value; None over no rows."""

    function = "MIN"


class Max(Aggregate):
    """Largest value; None over no rows."""

    function = "MAX"
