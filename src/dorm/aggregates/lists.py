"""Aggregates that gather values, fold booleans and bits, and pick a value by its rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dorm.aggregates.base import Aggregate
from dorm.db.types import BOOLEAN, JSON
from dorm.exceptions import NotSupportedError
from dorm.expressions.core import Value
from dorm.expressions.types import ListOutput
from dorm.functions.base import FLOAT_RESULT, INTEGER_RESULT, NUMERIC_RESULT, kind_of, number
from dorm.sql.node import TEXT_OUTPUT, Node, Output, TypedOutput, typed

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


def _order_given(extra: dict[str, Any]) -> dict[str, Any]:
    """Return *extra* with Django's former name of ``order_by``."""
    ordering = extra.pop("ordering", None)
    if ordering is not None:
        extra["order_by"] = ordering
    return extra


class StringAgg(Aggregate):
    """The texts of the rows, one after the other with *separator* between them; NULLs are left out.

    Args:
        separator: text between the values, or an expression. Django's name *delimiter* is taken as well.
    """

    function = "STRING_AGG"
    output = TEXT_OUTPUT
    allow_distinct = True
    allow_order_by = True

    def __init__(self, expression: Any, separator: Any = ", ", **extra: Any) -> None:
        separator = extra.pop("delimiter", separator)
        between = separator if isinstance(separator, Node) else Value(str(separator))
        super().__init__(expression, between, **_order_given(extra))

    def infer_output(self) -> Output | None:
        return TEXT_OUTPUT

    @property
    def default_alias(self) -> str:
        name = getattr(self.args[0], "name", None)
        return f"{name}__stringagg" if isinstance(name, str) else super().default_alias

    def call(self, compiler: Compiler, arguments: list[str]) -> str:
        return compiler.dialect.string_agg(arguments[0], arguments[1], self.distinct, self.ordered(compiler))

    def argument(self, compiler: Compiler, node: Node) -> str:
        text = node.sql(compiler)
        if node.output is None or kind_of(node) in ("text", "varchar"):
            return text
        return compiler.dialect.cast_from(text, node.output.sql_type, TEXT_OUTPUT.sql_type)


class _ServerOnly(Aggregate):
    """An aggregate that some backends only have."""

    feature: ClassVar[str] = "supports_server_aggregates"

    def call(self, compiler: Compiler, arguments: list[str]) -> str:
        if not getattr(compiler.dialect, self.feature):
            raise NotSupportedError(f"{compiler.dialect.display_name} has no aggregate {type(self).__name__}.")
        return super().call(compiler, arguments)


class ArrayAgg(_ServerOnly):
    """The values of the rows as a list, NULLs among them; None over no rows."""

    function = "ARRAY_AGG"
    allow_distinct = True
    allow_order_by = True

    def __init__(self, expression: Any, **extra: Any) -> None:
        super().__init__(expression, **_order_given(extra))

    def infer_output(self) -> Output | None:
        item = typed(self.args[0]).output
        return ListOutput(item) if item is not None else None


class JSONBAgg(_ServerOnly):
    """The values of the rows as a JSON list; None over no rows."""

    function = "JSONB_AGG"
    output = TypedOutput(JSON)
    allow_distinct = True
    allow_order_by = True

    def __init__(self, expression: Any, **extra: Any) -> None:
        super().__init__(expression, **_order_given(extra))

    def infer_output(self) -> Output | None:
        return TypedOutput(JSON)


class BoolAnd(Aggregate):
    """True when every value that is not NULL is true; None over none."""

    function = "BOOL_AND"
    output = TypedOutput(BOOLEAN)

    def infer_output(self) -> Output | None:
        return TypedOutput(BOOLEAN)


class BoolOr(BoolAnd):
    """True when a value is true; None over no value that is not NULL."""

    function = "BOOL_OR"


class BitAnd(Aggregate):
    """Bitwise AND of the values that are not NULL; None over none."""

    function = "BIT_AND"

    def infer_output(self) -> Output | None:
        return INTEGER_RESULT


class BitOr(BitAnd):
    """Bitwise OR of the values that are not NULL; None over none."""

    function = "BIT_OR"


class BitXor(BitAnd):
    """Bitwise XOR of the values that are not NULL; None over none."""

    function = "BIT_XOR"


class Mode(Aggregate):
    """The most frequent value (one of them when there are several); None over no rows."""

    function = "MODE"
    window_compatible = False

    def call(self, compiler: Compiler, arguments: list[str]) -> str:
        return compiler.dialect.ordered_set("mode", arguments[0], None)


class PercentileCont(Aggregate):
    """The value below which *fraction* of the values lie, interpolated between neighbours; a float.

    Args:
        fraction: from 0 to 1; 0.5 is the median.

    Raises: ValueError: another fraction.
    """

    function = "PERCENTILE_CONT"
    window_compatible = False
    name_in_dialect: ClassVar[str] = "percentile_cont"

    def __init__(self, expression: Any, *, fraction: float, **extra: Any) -> None:
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise ValueError(f"{type(self).__name__} takes a fraction from 0 to 1, got {fraction!r}.")
        super().__init__(expression, Value(float(fraction)), **extra)

    @property
    def default_alias(self) -> str:
        name = getattr(self.args[0], "name", None)
        return f"{name}__{type(self).__name__.lower()}" if isinstance(name, str) else super().default_alias

    def infer_output(self) -> Output | None:
        return FLOAT_RESULT

    def argument(self, compiler: Compiler, node: Node) -> str:
        return number(compiler, node)

    def call(self, compiler: Compiler, arguments: list[str]) -> str:
        return compiler.dialect.ordered_set(self.name_in_dialect, arguments[0], arguments[1])


class PercentileDisc(PercentileCont):
    """The first value at or above which *fraction* of the values lie: one of them, of their type.

    Args:
        fraction: from 0 to 1; 0.5 is the median.

    Raises: ValueError: another fraction.
    """

    function = "PERCENTILE_DISC"
    name_in_dialect = "percentile_disc"

    def infer_output(self) -> Output | None:
        output, kind = typed(self.args[0]).output, kind_of(self.args[0])
        if kind == "numeric":
            return NUMERIC_RESULT
        return INTEGER_RESULT if kind in ("smallint", "integer", "bigint") else output


# -- two columns -------------------------------------------------------------------------------------------------


class _OfPairs(_ServerOnly):
    """A statistic of pairs (*y*, *x*); pairs with a NULL are left out."""

    def __init__(self, y: Any, x: Any, **extra: Any) -> None:
        if not x or not y:
            raise ValueError("Both y and x must be provided.")
        super().__init__(y, x, **extra)

    def infer_output(self) -> Output | None:
        return FLOAT_RESULT


class Corr(_OfPairs):
    """Correlation coefficient."""

    function = "CORR"


class CovarPop(_OfPairs):
    """Covariance of the population, of a sample with *sample*."""

    function = "COVAR_POP"

    def __init__(self, y: Any, x: Any, sample: bool = False, **extra: Any) -> None:
        self.function = "COVAR_SAMP" if sample else "COVAR_POP"
        super().__init__(y, x, **extra)

    def options(self) -> tuple[Any, ...]:
        return (*super().options(), self.function)


class RegrAvgX(_OfPairs):
    """Mean of x."""

    function = "REGR_AVGX"


class RegrAvgY(_OfPairs):
    """Mean of y."""

    function = "REGR_AVGY"


class RegrCount(_OfPairs):
    """Number of pairs without a NULL."""

    function = "REGR_COUNT"
    empty_result_set_value = 0

    def infer_output(self) -> Output | None:
        return INTEGER_RESULT


class RegrIntercept(_OfPairs):
    """Where the regression line meets the y axis."""

    function = "REGR_INTERCEPT"


class RegrR2(_OfPairs):
    """Square of the correlation coefficient."""

    function = "REGR_R2"


class RegrSlope(_OfPairs):
    """Slope of the regression line."""

    function = "REGR_SLOPE"


class RegrSXX(_OfPairs):
    """Sum of squares of x around its mean."""

    function = "REGR_SXX"


class RegrSXY(_OfPairs):
    """Sum of products of x and y around their means."""

    function = "REGR_SXY"


class RegrSYY(_OfPairs):
    """Sum of squares of y around its mean."""

    function = "REGR_SYY"
