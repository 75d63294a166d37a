"""Case and When: values that depend on conditions."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from dorm.expressions.core import Expression, Value, as_reference
from dorm.expressions.predicate import Q
from dorm.expressions.types import as_asked
from dorm.sql.convert import as_type
from dorm.sql.node import Node, Output, Scope, common_output, output_key
from dorm.sql.row import without_rows

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class When(Expression):
    """A condition and the value where it holds; for use in `Case`.

    Args:
        condition: a Q, a boolean expression; keywords are lookups that must hold as well.
        then: a value, an expression, or the name of a field.
    """

    is_part = True

    def __init__(self, condition: Any = None, then: Any = None, **lookups: Any) -> None:
        conditional = getattr(condition, "is_condition", False)
        if lookups and (condition is None or conditional):
            condition = Q(**lookups) if condition is None else Q(condition, **lookups)
        elif condition is None or not conditional or lookups:
            raise TypeError("When() supports a Q object, a boolean expression, or lookups as a condition.")
        if isinstance(condition, Q) and not condition:
            raise ValueError("An empty Q() can't be used as a When() condition.")
        if isinstance(condition, Q):
            condition = condition.normalised()
        self.args = (condition, as_reference(then))

    def rebuilt(self, args: tuple[Node, ...]) -> When:
        without_rows(args[1:], type(self).__name__)
        made = super().rebuilt(args)
        made.output = args[1].output
        return made

    def sql(self, compiler: Compiler) -> str:
        condition, then = self.args
        return f"WHEN {condition.sql(compiler)} THEN {then.sql(compiler)}"


class Case(Expression):
    """The value of the first `When` whose condition holds, else *default* (None: NULL).

    Args:
        default: a value, an expression, or the name of a field.
        output_field: type of the result, where the values' types differ.
    """

    def __init__(self, *cases: When, default: Any = None, output_field: Output | None = None) -> None:
        if not all(isinstance(case, When) for case in cases):
            raise TypeError("Positional arguments must all be When objects.")
        self.args = (*cases, as_reference(default))
        self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (output_key(self.output),)

    @property
    def is_boolean(self) -> bool:
        if self.output is not None:
            return super().is_boolean
        values = [case.args[1] if isinstance(case, When) else case for case in self.args]
        known = [value for value in values if not isinstance(value, Value) or value.value is not None]
        return bool(known) and all(getattr(value, "is_boolean", value.is_condition) for value in known)

    def infer_output(self) -> Output | None:
        values = [case.args[1] if isinstance(case, When) else case for case in self.args]
        return common_output(tuple(values), "Expression")

    def resolve(self, scope: Scope) -> Node:
        made = super().resolve(scope)
        without_rows(made.args, type(self).__name__)
        output = made.output
        made.args = tuple(
            arg.rebuilt((arg.args[0], as_type(arg.args[1], output))) if isinstance(arg, When) else as_type(arg, output)
            for arg in made.args
        )
        if output is not None and output is self.output:
            made.output = as_asked(output)
        return made

    def sql(self, compiler: Compiler) -> str:
        *cases, default = self.args
        if not cases:
            return default.sql(compiler)
        whens = " ".join(case.sql(compiler) for case in cases)
        return f"CASE {whens} ELSE {default.sql(compiler)} END"
