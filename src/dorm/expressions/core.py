"""Expressions over columns and values: F, Value, arithmetic, functions, ordering."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.exceptions import FieldError
from dorm.sql.node import Literals, Node, Output, Param, Scope, Text, common_output, output_key, output_of_value
from dorm.sql.select import Nulls

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class Expression(Node):
    """A node that a user can write; it knows arithmetic and ordering."""

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

    # -- ordering ------------------------------------------------------------------------------------------------
    def asc(self, nulls_first: bool | None = None, nulls_last: bool | None = None) -> OrderBy:
        """Return ascending order by this expression."""
        return OrderBy(self, nulls_first=nulls_first, nulls_last=nulls_last)

    def desc(self, nulls_first: bool | None = None, nulls_last: bool | None = None) -> OrderBy:
        """Return descending order by this expression."""
        return OrderBy(self, descending=True, nulls_first=nulls_first, nulls_last=nulls_last)


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
        return isinstance(other, F) and other.name == self.name

    def __hash__(self) -> int:
        return hash((F, self.name))


class Value(Expression):
    """A literal; always a parameter, never spliced into the text.

    Args:
        value: any value that its type, or *output_field*, can bind. None is SQL NULL.
        output_field: a field instance that says how it travels; else its Python type does.
    """

    def __init__(self, value: Any, output_field: Output | None = None) -> None:
        self.value = value
        self.output = output_field

    def key(self, values: Literals) -> Hashable:
        if self.value is not None:
            values.append(self.value)
        return (Value, type(self.value), output_key(self.output))

    def resolve(self, scope: Scope) -> Node:
        if self.value is None:
            return Text("NULL", self.output)
        output = self.output or output_of_value(self.value)
        if output is None:
            raise FieldError(
                f"Value() of type {type(self.value).__name__} has no SQL type of its own: give output_field."
            )
        return Param(scope.slot(output.prepare if output.prepares else None), output)

    def __repr__(self) -> str:
        return f"Value(<{type(self.value).__name__}>)"


def as_expression(value: Any) -> Node:
    """Return *value* if it is a node, else a `Value` of it."""
    return value if isinstance(value, Node) else Value(value)


def as_reference(value: Any) -> Node:
    """Return *value* if it is a node, a string as the field it names, else a `Value`."""
    if isinstance(value, str):
        return F(value)
    return as_expression(value)


class CombinedExpression(Expression):
    """Two operands and an operator."""

    def __init__(self, lhs: Any, operator: str, rhs: Any, output_field: Output | None = None) -> None:
        self.args = (as_expression(lhs), as_expression(rhs))
        self.operator = operator
        self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (self.operator, output_key(self.output))

    def infer_output(self) -> Output | None:
        return common_output(self.args, f"Expression with operator {self.operator!r}")

    def sql(self, compiler: Compiler) -> str:
        lhs, rhs = self.args
        return f"({lhs.sql(compiler)} {self.operator} {rhs.sql(compiler)})"

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


class Func(Expression):
    """A call of a database function.

    Class attributes: *function* (name), *template* (with ``%(function)s`` and ``%(expressions)s``), *arg_joiner*,
    *arity* (number of arguments, None for any). Strings given as arguments are names of fields.
    """

    function: ClassVar[str] = ""
    template: ClassVar[str] = "%(function)s(%(expressions)s)"
    arg_joiner: ClassVar[str] = ", "
    arity: ClassVar[int | None] = None

    def __init__(self, *expressions: Any, output_field: Output | None = None, **extra: Any) -> None:
        if self.arity is not None and len(expressions) != self.arity:
            raise TypeError(
                f"{type(self).__name__} takes exactly {self.arity} argument{'s' * (self.arity != 1)} "
                f"({len(expressions)} given)"
            )
        self.args = tuple(as_reference(expression) for expression in expressions)
        self.extra = extra
        self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (output_key(self.output), *sorted(self.extra.items()))

    def infer_output(self) -> Output | None:
        return common_output(self.args, type(self).__name__)

    def sql(self, compiler: Compiler) -> str:
        expressions = self.arg_joiner.join(arg.sql(compiler) for arg in self.args)
        name = compiler.dialect.functions.get(type(self).__name__, self.function)
        return self.template % {"function": name, "expressions": expressions, **self.extra}


class ExpressionWrapper(Expression):
    """An expression with its type said."""

    def __init__(self, expression: Any, output_field: Output) -> None:
        self.args = (as_expression(expression),)
        self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (output_key(self.output),)

    def sql(self, compiler: Compiler) -> str:
        return self.args[0].sql(compiler)


class Cast(Expression):
    """An expression converted to another type by the database."""

    def __init__(self, expression: Any, output_field: Output) -> None:
        self.args = (as_reference(expression),)
        self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (output_key(self.output),)

    def sql(self, compiler: Compiler) -> str:
        assert self.output is not None, "Cast without a type"
        return compiler.dialect.cast(self.args[0].sql(compiler), self.output.sql_type)


class OrderBy(Expression):
    """An expression as a key of ORDER BY."""

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
        self.args = (as_reference(expression),)
        self.descending = descending
        self.nulls: Nulls | None = "first" if nulls_first else "last" if nulls_last else None

    def options(self) -> tuple[Hashable, ...]:
        return (self.descending, self.nulls)
