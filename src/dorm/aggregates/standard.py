"""Count, Sum, Avg, Min, Max, StdDev, Variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.aggregates.base import STAR, Aggregate
from dorm.db.types import BIGINT, DOUBLE, LONG_NUMERIC, SqlType
from dorm.functions.base import FLOAT_RESULT, NUMERIC_RESULT, kind_of, number
from dorm.sql.convert import LONG, as_type
from dorm.sql.node import FLOAT_OUTPUT, INTEGER_OUTPUT, Column, Node, Output, Text, TypedOutput, typed
from dorm.sql.row import Row

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler

_INTEGERS = ("smallint", "integer", "bigint", "boolean")


class Count(Aggregate):
    """Number of rows (``Count("*")``) or of values that are not NULL."""

    arity = 1
    function = "COUNT"
    output = INTEGER_OUTPUT
    allow_distinct = True
    empty_result_set_value = 0

    def __init__(self, expression: Any = "*", filter: Any = None, **extra: Any) -> None:
        super().__init__(STAR if isinstance(expression, str) and expression == "*" else expression, filter=filter,
                         **extra)  # fmt: skip

    def infer_output(self) -> Output | None:
        return INTEGER_OUTPUT

    def taking(self, args: tuple[Node, ...]) -> tuple[Node, ...]:
        if not isinstance(args[0], Row):
            return args
        if self.distinct:
            raise ValueError(
                "COUNT(DISTINCT) doesn't support composite primary keys. Name the fields of the key instead."
            )
        # A row of the table has them all or, outer-joined, none.
        return (args[0].args[0], *args[1:])

    @property
    def default_alias(self) -> str:
        return "count" if isinstance(self.args[0], Text) else super().default_alias


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

    arity = 1
    function = "SUM"
    computes = True
    allow_distinct = True

    def infer_output(self) -> Output | None:
        output = typed(self.args[0]).output
        if output is None:
            return None
        if output.sql_type.kind in _INTEGERS:
            # What is said of a computed number need not be the type in which the server has it.
            stored = output.sql_type if isinstance(self.args[0], Column) else BIGINT
            return _NumberOutput("Sum", stored, BIGINT)
        return TypedOutput(LONG_NUMERIC if _may_overflow(output.sql_type) else output.sql_type)

    def argument(self, compiler: Compiler, node: Node) -> str:
        long = node.output is not None and _may_overflow(node.output.sql_type)
        return super().argument(compiler, as_type(node, LONG) if long else node)

    def named(self, compiler: Compiler) -> str:
        output = self.args[0].output
        exact = ""
        if output is not None and self.output is not None and self.output.sql_type.kind == "numeric":
            exact = compiler.dialect.exact_sum(LONG_NUMERIC if _may_overflow(output.sql_type) else output.sql_type)
        return exact or super().named(compiler)


def _may_overflow(sql_type: SqlType) -> bool:
    """Return whether some million decimals of *sql_type* may add up to more than 64 bits."""
    return sql_type.kind == "numeric" and sql_type.precision is not None and sql_type.precision > 12


class Avg(Aggregate):
    """Mean of the values: a float, or a Decimal or timedelta for a column of these; None over no rows."""

    arity = 1
    function = "AVG"
    computes = True
    allow_distinct = True

    def infer_output(self) -> Output | None:
        output = typed(self.args[0]).output
        if output is not None and output.sql_type.kind == "numeric":
            return NUMERIC_RESULT
        if output is not None and output.sql_type.kind == "interval":
            return TypedOutput(output.sql_type)
        return FLOAT_OUTPUT if output is None else _NumberOutput("Avg", output.sql_type, DOUBLE)

    def call(self, compiler: Compiler, arguments: list[str]) -> str:
        output = self.args[0].output
        if output is None or output.sql_type.kind != "numeric":
            return super().call(compiler, arguments)
        name, inner = compiler.dialect.average(arguments[0], output.sql_type, self.distinct)
        return f"{name}({'DISTINCT ' if self.distinct else ''}{inner})"


class Min(Aggregate):
    """Smallest value; None over no rows."""

    arity = 1
    function = "MIN"


class Max(Aggregate):
    """Largest value; None over no rows."""

    arity = 1
    function = "MAX"


class _Spread(Aggregate):
    """A measure of how far the values lie apart: a float, or a Decimal for a column of these.

    Args:
        sample: True takes the values as a sample of a larger population.
    """

    arity = 1
    computes = True
    population, of_sample = "", ""

    def __init__(self, expression: Any, sample: bool = False, **extra: Any) -> None:
        self.function = self.of_sample if sample else self.population
        super().__init__(expression, **extra)

    def options(self) -> tuple[Any, ...]:
        return (*super().options(), self.function)

    def infer_output(self) -> Output | None:
        return NUMERIC_RESULT if kind_of(self.args[0]) == "numeric" else FLOAT_RESULT

    def argument(self, compiler: Compiler, node: Node) -> str:
        return number(compiler, node)

    def named(self, compiler: Compiler) -> str:
        name = str(self.function)
        return compiler.dialect.functions.get(name, name)


class StdDev(_Spread):
    """Standard deviation; None over no rows, and over one row with *sample*."""

    population, of_sample = "STDDEV_POP", "STDDEV_SAMP"


class Variance(_Spread):
    """Variance; None over no rows, and over one row with *sample*."""

    population, of_sample = "VAR_POP", "VAR_SAMP"
