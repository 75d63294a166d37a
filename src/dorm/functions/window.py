"""Functions that have a meaning over windows only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dorm.expressions.core import Value
from dorm.expressions.func import Func
from dorm.functions.base import in_type
from dorm.sql.node import FLOAT_OUTPUT, INTEGER_OUTPUT, Node, Output

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class _OverRows(Func):
    window_compatible: ClassVar[bool] = True
    needs_order: ClassVar[bool] = False
    """Without an order every row would be equal."""


class RowNumber(_OverRows):
    """Number of the row in its partition, from 1."""

    function = "ROW_NUMBER"
    arity = 0
    output = INTEGER_OUTPUT


class Rank(_OverRows):
    """Rank of the row, with gaps behind equal ones."""

    function = "RANK"
    arity = 0
    output = INTEGER_OUTPUT
    needs_order = True


class DenseRank(_OverRows):
    """Rank of the row, without gaps."""

    function = "DENSE_RANK"
    arity = 0
    output = INTEGER_OUTPUT
    needs_order = True


class PercentRank(_OverRows):
    """(rank - 1) / (rows - 1), from 0.0 to 1.0."""

    function = "PERCENT_RANK"
    arity = 0
    output = FLOAT_OUTPUT
    needs_order = True


class CumeDist(_OverRows):
    """Share of the rows that come before the row or are equal to it."""

    function = "CUME_DIST"
    arity = 0
    output = FLOAT_OUTPUT
    needs_order = True


class NTile(_OverRows):
    """Number of the bucket when the partition is split into *num_buckets* of equal size.

    Raises: ValueError: *num_buckets* below 1.
    """

    function = "NTILE"
    output = INTEGER_OUTPUT

    def __init__(self, num_buckets: Any = 1, **extra: Any) -> None:
        if not isinstance(num_buckets, Node) and num_buckets <= 0:
            raise ValueError("num_buckets must be greater than 0.")
        super().__init__(num_buckets, **extra)

    def infer_output(self) -> Output | None:
        return INTEGER_OUTPUT

    def render(self, compiler: Compiler) -> str:
        return f"NTILE({compiler.dialect.window_offset(self.args[0].sql(compiler))})"


Ntile = NTile


class _OfOne(_OverRows):
    arity = 1

    def infer_output(self) -> Output | None:
        return self.args[0].output


class FirstValue(_OfOne):
    """The value in the first row of the frame."""

    function = "FIRST_VALUE"


class LastValue(_OfOne):
    """The value in the last row of the frame."""

    function = "LAST_VALUE"


class Lag(_OverRows):
    """The value in the row *offset* rows before; *default* where there is none.

    Raises: ValueError: no expression, or an *offset* that is no positive number.
    """

    function = "LAG"

    def __init__(self, expression: Any, offset: int = 1, default: Any = None, **extra: Any) -> None:
        if expression is None:
            raise ValueError(f"{type(self).__name__} requires a non-null source expression.")
        if offset is None or offset <= 0:
            raise ValueError(f"{type(self).__name__} requires a positive integer for the offset.")
        args = [expression, offset]
        if default is not None:
            args.append(default if isinstance(default, Node) else Value(default))
        super().__init__(*args, **extra)

    def infer_output(self) -> Output | None:
        return self.args[0].output

    def render(self, compiler: Compiler) -> str:
        value, offset, *default = self.args
        texts = [value.sql(compiler), compiler.dialect.window_offset(offset.sql(compiler))]
        texts += [in_type(compiler, each, value.output) for each in default]
        return f"{self.function}({', '.join(texts)})"


class Lead(Lag):
    """The value in the row *offset* rows after; *default* where there is none.

    Raises: ValueError: no expression, or an *offset* that is no positive number.
    """

    function = "LEAD"


class NthValue(_OverRows):
    """The value in the *nth* row of the frame, counted from 1; None where there is none.

    Raises: ValueError: no expression, or an *nth* that is no positive number.
    """

    function = "NTH_VALUE"

    def __init__(self, expression: Any, nth: int = 1, **extra: Any) -> None:
        if expression is None:
            raise ValueError(f"{type(self).__name__} requires a non-null source expression.")
        if nth is None or nth <= 0:
            raise ValueError(f"{type(self).__name__} requires a positive integer as for nth.")
        super().__init__(expression, nth, **extra)

    def infer_output(self) -> Output | None:
        return self.args[0].output

    def render(self, compiler: Compiler) -> str:
        value, nth = self.args
        return f"{self.function}({value.sql(compiler)}, {compiler.dialect.window_offset(nth.sql(compiler))})"
