"""Functions of numbers."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from dorm.db.types import LONG_NUMERIC, is_long
from dorm.expressions.func import Func
from dorm.functions.base import FLOAT_RESULT, INTEGER_RESULT, NUMERIC_RESULT, kind_of, number
from dorm.lookups.classes import Transform
from dorm.sql.convert import LONG, as_type
from dorm.sql.node import FLOAT_OUTPUT, Node, Output

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


def _real(args: tuple[Node, ...]) -> Output | None:
    """Return the output of a function of real numbers: a Decimal if an argument is one, else a float."""
    return NUMERIC_RESULT if any(kind_of(arg) == "numeric" for arg in args) else FLOAT_RESULT


class _Rendered(Func):
    """A function of plain numbers, spelled by the dialect's table.

    Decimals of more digits than a float holds stay exact by the entry ``<name>:long`` of the table, where there is one.
    """

    def _is_long(self) -> bool:
        return any(arg.output is not None and is_long(arg.output.sql_type) for arg in self.args)

    def _long(self, compiler: Compiler, *others: str) -> str | None:
        """Return the function of long decimals, None where this backend needs none."""
        if not self._is_long() or not compiler.dialect.stores_as_text(LONG_NUMERIC):
            return None
        spelled = compiler.dialect.functions.get(f"{type(self).__name__}:long")
        if spelled is None:
            return None
        texts = [as_type(arg, LONG).sql(compiler) for arg in self.args[: len(self.args) - len(others)]]
        return spelled.format(*texts, *others)

    def render(self, compiler: Compiler) -> str:
        long = self._long(compiler)
        if long is not None:
            return long
        texts = [number(compiler, arg) for arg in self.args]
        spelled = self._spelled(compiler.dialect)
        if spelled is not None:
            return spelled.format(*texts, args=", ".join(texts))
        return f"{self.function}({', '.join(texts)})"


class _OfReal(_Rendered, Transform):
    """A function of one real number."""

    def infer_output(self) -> Output | None:
        return _real(self.args)


class _Kept(_Rendered, Transform):
    """A function whose result has the type of its argument."""

    def infer_output(self) -> Output | None:
        kind = kind_of(self.args[0])
        if kind == "numeric":
            return LONG if self._is_long() else NUMERIC_RESULT
        if kind == "double":
            return FLOAT_RESULT
        return INTEGER_RESULT if kind in ("smallint", "integer", "bigint") else self.args[0].output


class Abs(_Kept):
    """The number without its sign."""

    function = "ABS"
    lookup_name = "abs"


class Ceil(_Kept):
    """The smallest whole number not below it."""

    function = "CEILING"
    lookup_name = "ceil"


class Floor(_Kept):
    """The largest whole number not above it."""

    function = "FLOOR"
    lookup_name = "floor"


class Sign(_Kept):
    """-1, 0 or 1."""

    function = "SIGN"
    lookup_name = "sign"


class Round(_Kept):
    """The number rounded to *precision* digits behind the point (before it, when negative; not on SQLite).

    Raises: ValueError: a negative precision on SQLite.
    """

    function = "ROUND"
    lookup_name = "round"
    arity = None

    def __init__(self, expression: Any, precision: Any = 0, **extra: Any) -> None:
        self.precision = precision if isinstance(precision, int) else None
        super().__init__(expression, precision, **extra)

    def options(self) -> tuple[Hashable, ...]:
        # Whether it is negative is structure: some backends refuse it.
        return (*super().options(), self.precision is not None and self.precision < 0)

    def render(self, compiler: Compiler) -> str:
        if self.precision is not None and self.precision < 0 and not compiler.dialect.rounds_before_point:
            raise ValueError(f"{compiler.dialect.vendor} does not support negative precision.")
        places = self.args[1].sql(compiler)
        long = self._long(compiler, places)
        if long is not None:
            return long
        value = number(compiler, self.args[0])
        if kind_of(self.args[0]) == "double":
            return compiler.dialect.functions["Round:double"].format(value, places)
        return compiler.dialect.functions["Round"].format(value, places)


class Sqrt(_OfReal):
    """Square root; NULL of a negative number on SQLite, DataError on PostgreSQL."""

    function = "SQRT"
    lookup_name = "sqrt"


class Exp(_OfReal):
    """e to that power."""

    function = "EXP"
    lookup_name = "exp"


class Ln(_OfReal):
    """Natural logarithm."""

    function = "LN"
    lookup_name = "ln"


class Sin(_OfReal):
    """Sine of an angle in radians."""

    function = "SIN"
    lookup_name = "sin"


class Cos(_OfReal):
    """Cosine of an angle in radians."""

    function = "COS"
    lookup_name = "cos"


class Tan(_OfReal):
    """Tangent of an angle in radians."""

    function = "TAN"
    lookup_name = "tan"


class Cot(_OfReal):
    """Cotangent of an angle in radians."""

    function = "COT"
    lookup_name = "cot"


class ASin(_OfReal):
    """Arc sine, in radians."""

    function = "ASIN"
    lookup_name = "asin"


class ACos(_OfReal):
    """Arc cosine, in radians."""

    function = "ACOS"
    lookup_name = "acos"


class ATan(_OfReal):
    """Arc tangent, in radians."""

    function = "ATAN"
    lookup_name = "atan"


class Degrees(_OfReal):
    """Radians as degrees."""

    function = "DEGREES"
    lookup_name = "degrees"


class Radians(_OfReal):
    """Degrees as radians."""

    function = "RADIANS"
    lookup_name = "radians"


class _OfTwo(_Rendered):
    arity = 2

    def infer_output(self) -> Output | None:
        return _real(self.args)


class Power(_OfTwo):
    """The first number to the power of the second."""

    function = "POWER"


class ATan2(_OfTwo):
    """Arc tangent of first / second, in radians, in the right quadrant."""

    function = "ATAN2"


class Log(_OfTwo):
    """Logarithm of the second number to the base of the first."""

    function = "LOG"


class Mod(_OfTwo):
    """Remainder of first / second, with the sign of the first."""

    function = "MOD"

    def infer_output(self) -> Output | None:
        return LONG if self._is_long() and "double" not in map(kind_of, self.args) else super().infer_output()


class Pi(Func):
    """The number pi."""

    function = "PI"
    arity = 0
    output = FLOAT_OUTPUT


class Random(Func):
    """A random number from 0.0 up to, but not including, 1.0; another one for each row."""

    function = "RANDOM"
    is_volatile = True
    arity = 0
    output = FLOAT_OUTPUT
