"""Expressions over columns and values: F, Value, arithmetic, ordering."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Self, cast

from dorm.db.types import INTEGER, INTEGER_RANGES, JSON, LONG_NUMERIC, SqlType
from dorm.exceptions import FieldError, NotSupportedError
from dorm.expressions.types import PLAIN_NUMERIC, as_asked, combined_output
from dorm.expressions.written import Written
from dorm.sql.convert import LONG, PLAIN, as_type, comparable_text, kind_of
from dorm.sql.node import (
    BOOLEAN_OUTPUT,
    FLOAT_OUTPUT,
    Literals,
    Node,
    Output,
    Param,
    QueryLike,
    Scope,
    Text,
    TypedOutput,
    output_key,
    output_of_value,
)
from dorm.sql.row import without_rows
from dorm.sql.select import Nulls

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class Expression(Written):
    """A node that a user can write; it knows arithmetic and ordering."""

    _made_of: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        made._made_of = (args, kwargs)
        return made

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return import path, arguments and keywords from which an equal expression can be made."""
        args, kwargs = self._made_of
        return f"{type(self).__module__}.{type(self).__qualname__}", args, dict(kwargs)

    # -- arithmetic ----------------------------------------------------------------------------------------------
    def __add__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "+", other)

    def __radd__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(other, "+", self)

    def __sub__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "-", other)

    def __rsub__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(other, "-", self)

    def __mul__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "*", other)

    def __rmul__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(other, "*", self)

    def __truediv__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "/", other)

    def __rtruediv__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(other, "/", self)

    def __mod__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "%", other)

    def __rmod__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(other, "%", self)

    def __neg__(self) -> CombinedExpression:
        return CombinedExpression(self, "*", -1)

    def __pow__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "^", other)

    def __rpow__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(other, "^", self)

    # -- bits ----------------------------------------------------------------------------------------------------
    def bitand(self, other: Any) -> CombinedExpression:
        """Return the bits that both numbers have."""
        return CombinedExpression(self, "&", other)

    def bitor(self, other: Any) -> CombinedExpression:
        """Return the bits that either number has."""
        return CombinedExpression(self, "|", other)

    def bitxor(self, other: Any) -> CombinedExpression:
        """Return the bits that one of the numbers has."""
        return CombinedExpression(self, "#", other)

    def bitleftshift(self, other: Any) -> CombinedExpression:
        """Return the bits moved up by *other* places."""
        return CombinedExpression(self, "<<", other)

    def bitrightshift(self, other: Any) -> CombinedExpression:
        """Return the bits moved down by *other* places."""
        return CombinedExpression(self, ">>", other)

    # -- conditions ----------------------------------------------------------------------------------------------
    @property
    def is_boolean(self) -> bool:
        """True when the value is known to be true or false."""
        output = self.output
        if output is None:
            try:
                output = self.infer_output()
            except FieldError:
                return False
        return output is not None and output.sql_type.kind == "boolean"

    @property
    def is_condition(self) -> bool:  # type: ignore[override]  # a class attribute elsewhere, a matter of types here
        return self.is_boolean

    def _both(self, other: Any, connector: Any) -> Any:
        if not (self.is_condition and getattr(other, "is_condition", False)):
            raise NotImplementedError("Use .bitand(), .bitor(), and .bitxor() for bitwise logical operations.")
        from dorm.expressions.predicate import Q

        return Q(self)._combined(other if isinstance(other, Q) else Q(other), connector)

    def __and__(self, other: Any) -> Any:
        return self._both(other, "AND")

    def __or__(self, other: Any) -> Any:
        return self._both(other, "OR")

    def __xor__(self, other: Any) -> Any:
        return self._both(other, "XOR")

    def __invert__(self) -> Any:
        return Negated(self)

    # -- equality ------------------------------------------------------------------------------------------------
    def _said(self) -> tuple[Hashable, list[tuple[type, Any]]]:
        """Return what this expression says: its structure, and its literals with their types."""
        values = Literals()
        key = self.key(values)
        return key, [(type(value), value) for value in values]

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Expression) or type(other) is not type(self):
            return NotImplemented
        return self._said() == other._said()

    def __hash__(self) -> int:
        try:
            return hash(self._said()[0])
        except TypeError:
            return hash(type(self))

    # -- functions -----------------------------------------------------------------------------------------------
    def apply(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Return ``func(self, *args, **kwargs)``: nested functions written in the order in which they are applied.

        Args:
            func: an expression class, or a callable that returns an expression
                (``lambda e: Concat(Value("x"), e)`` where this expression is not the first argument).
        Raises: TypeError: *func* is neither.
        """
        wanted = "apply() takes an expression class or a callable that returns an expression"
        if not callable(func) or isinstance(func, Node) or (isinstance(func, type) and not issubclass(func, Node)):
            name = func.__name__ if isinstance(func, type) else type(func).__name__
            raise TypeError(f"{wanted}, got {name}")
        made = cast("Any", func)(self, *args, **kwargs)
        if not isinstance(made, Node):
            raise TypeError(f"{wanted}: {getattr(func, '__name__', func)!r} returned {type(made).__name__}")
        return made

    # -- ordering ------------------------------------------------------------------------------------------------
    def asc(self, nulls_first: bool | None = None, nulls_last: bool | None = None) -> OrderBy:
        """Return ascending order by this expression."""
        return OrderBy(self, nulls_first=nulls_first, nulls_last=nulls_last)

    def desc(self, nulls_first: bool | None = None, nulls_last: bool | None = None) -> OrderBy:
        """Return descending order by this expression."""
        return OrderBy(self, descending=True, nulls_first=nulls_first, nulls_last=nulls_last)


class Negated(Expression):
    """NOT of a boolean expression: ``~F("active")``."""

    binds_loosely = True

    def __init__(self, expression: Node) -> None:
        self.args = (expression,)
        self.output = BOOLEAN_OUTPUT

    def sql(self, compiler: Compiler) -> str:
        return f"NOT ({self.args[0].sql(compiler)})"

    def __invert__(self) -> Any:
        return self.args[0]


class F(Expression):
    """A field of the query's model, a path over relations (``"author__name"``), or an annotation."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"F() takes the name of a field or a path, not {type(name).__name__}")
        self.name = name

    def options(self) -> tuple[Hashable, ...]:
        return (self.name,)

    def resolve(self, scope: Scope) -> Node:
        return scope.reference(self.name)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.name == self.name

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __getitem__(self, part: int | slice) -> Sliced:
        return Sliced(self, part)

    def __contains__(self, item: object) -> bool:
        raise TypeError(f"argument of type '{type(self).__name__}' is not iterable")

    __iter__ = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Sliced(Expression):
    """A part of a text or of an array, by Python's indices: ``F("name")[:3]``, ``F("name")[0]``; of an array a list."""

    def __init__(self, expression: Node, part: int | slice) -> None:
        if isinstance(part, int):
            start, length = part, cast("int | None", 1)
        elif isinstance(part, slice):
            if part.step is not None:
                raise ValueError("Step argument is not supported.")
            start = part.start or 0
            length = part.stop - start if part.stop is not None else None
        else:
            raise TypeError("Argument to slice must be either int or slice instance.")
        if start < 0 or (isinstance(part, slice) and part.stop is not None and part.stop < 0):
            raise ValueError("Negative indexing is not supported.")
        if length is not None and length <= 0:
            raise ValueError("Slice stop must be greater than slice start.")
        self.args = (expression,)
        self.start = start
        self.length = length

    def options(self) -> tuple[Hashable, ...]:
        return (self.start, self.length)

    def __getitem__(self, part: int | slice) -> Sliced:
        return Sliced(self, part)

    __iter__ = None

    def resolve(self, scope: Scope) -> Node:
        node = self.args[0].resolve(scope)
        slicing = getattr(node.output, "slice_expression", None)
        if slicing is not None:
            sliced: Node = slicing(node, self.start + 1, self.length).resolve(scope)
            return sliced
        if node.output is None or node.output.sql_type.kind not in ("text", "varchar", "array"):
            raise NotSupportedError("This field does not support slicing.")
        return self.rebuilt((node,))

    def infer_output(self) -> Output | None:
        return self.args[0].output

    def sql(self, compiler: Compiler) -> str:
        whole = self.args[0].sql(compiler)
        if kind_of(self.args[0]) == "array":
            return f"({whole})[{self.start + 1}:{'' if self.length is None else self.start + self.length}]"
        length = f", {self.length}" if self.length is not None else ""
        return f"SUBSTR({whole}, {self.start + 1}{length})"


class Value(Expression):
    """A literal; always a parameter, never spliced into the text.

    Args:
        value: any value that its type, or *output_field*, can bind. None is SQL NULL; with a JSONField as
            *output_field* it is JSON's null.
        output_field: a field instance that says how it travels; else its Python type does.
    """

    def __init__(self, value: Any, output_field: Output | None = None) -> None:
        self.value = value
        self.output = output_field

    def infer_output(self) -> Output | None:
        return FEW_DIGITS if self._is_short() else output_of_value(self.value)

    def _is_short(self) -> bool:
        return type(self.value) is int and -SHORTEST_LONG < self.value < SHORTEST_LONG

    def key(self, values: Literals) -> Hashable:
        if self.value is not None:
            values.append(self.value)
        return (Value, type(self.value), self._is_short(), output_key(self.output))

    def resolve(self, scope: Scope) -> Node:
        if self.value is None:
            is_json = self.output is not None and self.output.sql_type.kind == "json"
            return JsonNull(self.output) if is_json else Text("NULL", self.output)
        output = self.output or self.infer_output()
        if output is None:
            raise FieldError(
                f"Value() of type {type(self.value).__name__} has no SQL type of its own: give output_field."
            )
        made = Param(scope.slot(output.prepare if output.prepares else None), output)
        return made if self.output is None else _Typed(made)

    def __repr__(self) -> str:
        return f"Value(<{type(self.value).__name__}>)"


class _Typed(Node):
    """A literal whose type was given: it has that type also where nothing beside it says so."""

    def __init__(self, param: Node) -> None:
        self.args = (param,)
        self.output = param.output

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        assert self.output is not None, "a literal without the type that it was given"
        return compiler.dialect.typed_literal(self.args[0].sql(compiler), self.output.sql_type)

    @property
    def nullable(self) -> bool:
        return False


class WholeLiteral(Value):
    """A whole number as SQL's own text has it: an integer where it fits one, for functions that take no bigint."""

    def key(self, values: Literals) -> Hashable:
        values.append(self.value)
        return (WholeLiteral, self._is_short())

    def resolve(self, scope: Scope) -> Node:
        made = Param(scope.slot(None), self.infer_output())
        return _Whole(made)


class _Whole(_Typed):
    def sql(self, compiler: Compiler) -> str:
        return compiler.dialect.typed_literal(self.args[0].sql(compiler), INTEGER)


_SMALLEST, _LARGEST = INTEGER_RANGES["integer"]


def as_written(node: Node) -> Node:
    """Return an argument of SQL that the user wrote, its whole numbers typed as those of SQL's text."""
    if type(node) is Value:
        value = node.value
        fits = type(value) is int and node.output is None and _SMALLEST <= value <= _LARGEST
        return WholeLiteral(value) if fits else node
    if type(node) is CombinedExpression:
        args = tuple(map(as_written, node.args))
        if any(one is not other for one, other in zip(args, node.args, strict=True)):
            node = copy.copy(node)
            node.args = args
    return node


SHORTEST_LONG = 10**4
FEW_DIGITS = TypedOutput(SqlType("bigint", precision=4))
"""A whole number below that: structure, since a decimal times it has digits that are known before its value is."""


class JsonNull(Node):
    """JSON's null, which SQL's NULL is not."""

    def __init__(self, output: Output | None) -> None:
        self.output = output

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return compiler.dialect.cast("'null'", JSON)

    @property
    def nullable(self) -> bool:
        return False


def as_expression(value: Any) -> Node:
    """Return *value* if it is a node, a queryset as a `Subquery`, else a `Value` of it."""
    if isinstance(value, QueryLike):
        from dorm.expressions.subquery import Subquery

        return Subquery(value)
    return value if isinstance(value, Node) else Value(value)


def as_reference(value: Any) -> Node:
    """Return *value* if it is a node, a string as the field it names, else a `Value`."""
    if isinstance(value, str):
        return F(value)
    return as_expression(value)


_PLAIN = TypedOutput(PLAIN_NUMERIC)


def _operand(arg: Node, other: SqlType | None, compiler: Compiler) -> str:
    """Return the text of *arg* beside an operand of type *other*."""
    text = arg.sql(compiler)
    if other is None or arg.output is None or not isinstance(arg, (Param, _Typed)):
        return text
    return compiler.dialect.literal_beside(text, arg.output.sql_type, other)


def _number(arg: Node) -> SqlType | None:
    """Return the type of an operand; that of the number in an operation of a number and a text, which has no output."""
    if arg.output is not None or not isinstance(arg, CombinedExpression):
        return arg.output.sql_type if arg.output is not None else None
    found = [kind for kind in map(_number, arg.args) if kind is not None and kind.kind not in ("text", "varchar")]
    return found[0] if found else None


class CombinedExpression(Expression):
    """Two operands and an operator."""

    def __init__(self, lhs: Any, operator: str, rhs: Any, output_field: Output | None = None) -> None:
        self.args = (as_expression(lhs), as_expression(rhs))
        self.operator = operator
        self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (self.operator, output_key(self.output))

    def __repr__(self) -> str:
        return f" {self.operator} ".join(
            f"({arg!r})" if isinstance(arg, CombinedExpression) else repr(arg) for arg in self.args
        )

    def infer_output(self) -> Output | None:
        lhs, rhs = self.args
        return combined_output(self.operator, lhs.output, rhs.output)

    def resolve(self, scope: Scope) -> Node:
        return self._over(tuple(arg.resolve(scope) for arg in self.args))

    def retyped(self, args: tuple[Node, ...]) -> Node:
        untyped = copy.copy(self)
        untyped.output = None
        made = untyped._over(args)
        if made.output is None:
            made.output = self.output
        if self.output is None or made.output is None or self.output.sql_type == made.output.sql_type:
            return made
        # Whoever reads the result was told another type: a decimal in a form that needs none.
        is_decimal = kind_of(made) == "numeric"
        return as_type(made, LONG if kind_of(self) == "numeric" else PLAIN) if is_decimal else made

    def _over(self, args: tuple[Node, ...]) -> Node:
        without_rows(args, type(self).__name__)
        try:
            made = self.rebuilt(args)
        except FieldError as exc:
            # Said where the type is needed: an ExpressionWrapper or a Cast around this gives it.
            made = copy.copy(self)
            made.args = args
            made.untyped = exc
        kinds = [arg.output.sql_type for arg in made.args if arg.output is not None]
        if not any(kind.kind == "numeric" for kind in kinds):
            return made
        computed = (
            combined_output(self.operator, made.args[0].output, made.args[1].output) if self._infers(made) else _PLAIN
        )
        # Factors of known digits are multiplied as they are: the digits behind the point add up.
        if computed is not None and (self.operator != "*" or computed.sql_type in (PLAIN_NUMERIC, LONG_NUMERIC)):
            made.args = tuple(as_type(arg, computed) for arg in made.args)
        if self.output is None or computed is None:
            return made
        # The type that was asked for may have another form than what is computed.
        wanted, made.output = self.output, computed
        converted = as_type(made, wanted)
        converted.output = wanted
        return converted

    def _infers(self, made: Node) -> bool:
        """True when the type of the operation follows from its operands."""
        try:
            return combined_output(self.operator, made.args[0].output, made.args[1].output) is not None
        except FieldError:
            return False

    def sql(self, compiler: Compiler) -> str:
        lhs, rhs = self.args
        left = lhs.output.sql_type if lhs.output is not None else None
        right = rhs.output.sql_type if rhs.output is not None else None
        one, other = _operand(lhs, _number(rhs), compiler), _operand(rhs, _number(lhs), compiler)
        return compiler.dialect.combined(self.operator, one, other, left, right)

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


class ExpressionWrapper(Expression):
    """An expression with its type said."""

    def __init__(self, expression: Any, output_field: Output) -> None:
        self.args = (as_expression(expression),)
        self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (output_key(self.output),)

    def resolve(self, scope: Scope) -> Node:
        node = self.args[0].resolve(scope)
        without_rows((node,), type(self).__name__)
        if node.output is None and node.untyped is not None:
            node.output = FLOAT_OUTPUT
        made = self.rebuilt((as_type(node, self.output),))
        if self.output is not None:
            made.output = as_asked(self.output)
        made.binds_loosely = made.args[0].binds_loosely
        return made

    def sql(self, compiler: Compiler) -> str:
        return self.args[0].sql(compiler)

    @property
    def nullable(self) -> bool:
        return self.args[0].nullable


class OrderBy(Expression):
    """An expression as a key of ORDER BY."""

    is_part = True

    def __init__(
        self,
        expression: Any,
        descending: bool = False,
        nulls_first: bool | None = None,
        nulls_last: bool | None = None,
    ) -> None:
        if nulls_first and nulls_last:
            raise ValueError("nulls_first and nulls_last are mutually exclusive")
        if nulls_first is False or nulls_last is False:
            raise ValueError("nulls_first and nulls_last values must be True or None.")
        if isinstance(expression, OrderBy):
            raise ValueError("An order has no order: call asc() or desc() on the expression itself, once.")
        self.args = (as_reference(expression),)
        self.descending = descending
        self.nulls_first, self.nulls_last = nulls_first, nulls_last
        self.nulls: Nulls | None = "first" if nulls_first else "last" if nulls_last else None

    def options(self) -> tuple[Hashable, ...]:
        return (self.descending, self.nulls)

    def reverse_ordering(self) -> OrderBy:
        """Turn the direction round, in place, NULLs included; return this."""
        self.descending = not self.descending
        self.nulls_first, self.nulls_last = self.nulls_last, self.nulls_first
        self.nulls = "first" if self.nulls_first else "last" if self.nulls_last else None
        return self


def order_key_sql(compiler: Compiler, key: Node) -> str:
    """Return one key of an order that stands inside an expression."""
    if not isinstance(key, OrderBy):
        return comparable_text(compiler, key)
    direction = " DESC" if key.descending else ""
    nulls = f" NULLS {key.nulls.upper()}" if key.nulls is not None else ""
    return f"{comparable_text(compiler, key.args[0])}{direction}{nulls}"
