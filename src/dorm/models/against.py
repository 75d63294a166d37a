"""Conditions and expressions with the values of one instance in place of fields: what validation asks a database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import TYPE_CHECKING, Any

from dorm.db.connection import Database
from dorm.db.operation import Operation, operation
from dorm.exceptions import FieldError
from dorm.expressions.predicate import Q
from dorm.lookups.core import Comparison, IsNull
from dorm.lookups.given import Standing, truth
from dorm.models.resolve import Resolver
from dorm.sql.boolean import And, Condition, Or
from dorm.sql.node import Literals, Node, Param, Scope, Text

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler as CompilerType


class Excluded(FieldError):
    """A field that takes no part in this validation was named."""


class InstanceResolver(Resolver):
    """Resolves names to the values of an instance.

    Attributes:
        values: what stands in the slots, prepared, in their order.

    Args:
        take: takes a slot for a value that is prepared already; None counts from 0.
    """

    def __init__(
        self,
        model: Any,
        instance: Any,
        exclude: Collection[str] | None = None,
        take: Callable[[None], int] | None = None,
    ) -> None:
        super().__init__(model._meta.plan.query, 0, "Meta.constraints")
        self.values: list[Any] = []
        self._instance = instance
        self._exclude = frozenset(exclude or ())
        self._take = take
        self._literals: list[Any] = []

    def resolved(self, expression: Node) -> Node:
        """Return *expression* with values for its fields."""
        written = expression.normalised() if isinstance(expression, Q) else expression
        literals = Literals()
        written.key(literals)
        before, self._literals = self._literals, list(reversed(literals))
        try:
            return self.predicate(written) if isinstance(written, Q) else written.resolve(self)
        finally:
            self._literals = before

    def slot(self, prepare: Callable[[Any], Any] | None, /) -> int:
        value = self._literals.pop()
        return self._place(value if prepare is None else prepare(value))

    def _place(self, value: Any) -> int:
        self.values.append(value)
        return len(self.values) - 1 if self._take is None else self._take(None)

    def _path(self, names: list[str], path: str) -> tuple[Node, list[str]]:
        meta = self.query.model._meta
        field = meta.pk if names[0] == "pk" else meta.find(names[0])
        if field is None or field.column is None:
            raise self._no_field(meta, names[0], path)
        if field.name in self._exclude:
            raise Excluded(f"{field} is excluded from validation.")
        return self._finished(self._value(field), names[1:], path)

    def _value(self, field: Any) -> Node:
        if field.generated:
            if isinstance(field.expression, str):
                raise Excluded(f"{field} is computed by SQL text.")
            return self.resolved(field.expression)
        value = getattr(self._instance, field.attname)
        if isinstance(value, Node):
            return self.resolved(value)
        if value is None:
            return Text("NULL", field)
        return Standing(Param(self._place(field.prepare(value) if field.prepares else value), field))


class Matches(Node):
    """``expression <operator> the same expression of an instance``, over the rows of a queryset.

    Args:
        compare: makes the condition of both sides.
    """

    is_condition = True

    def __init__(
        self,
        expression: Node,
        model: Any,
        instance: Any,
        exclude: Collection[str] | None,
        compare: Callable[[Node, Node], Node],
    ) -> None:
        self.expression = expression
        self._of = (model, instance, exclude)
        self._compare = compare

    @property
    def is_excluded(self) -> bool:
        """True when the expression is about a field that takes no part."""
        try:
            InstanceResolver(*self._of).resolved(self.expression)
        except Excluded:
            return True
        return False

    def key(self, values: Literals) -> Hashable:
        # The instance's values are read twice: here for their order, and when slots are taken.
        self.expression.key(values)
        resolver = InstanceResolver(*self._of)
        resolver.resolved(self.expression)
        values.extend(resolver.values)
        values.cacheable = False
        return (Matches,)

    def resolve(self, scope: Scope) -> Node:
        row = self.expression.resolve(scope)
        own = InstanceResolver(*self._of, take=scope.slot).resolved(self.expression)
        return self._compare(row, own)


def equal(row: Node, own: Node) -> Node:
    """Return ``row = own``."""
    return Comparison("exact", row, own)


def equal_or_null(row: Node, own: Node) -> Node:
    """Return ``row = own``, NULL being equal to NULL."""
    return Or((Comparison("exact", row, own), And((IsNull(row, True), IsNull(own, True)))))


class OperatorCondition(Condition):
    """Two sides and an operator of the database, written down by the author of a model."""

    def __init__(self, lhs: Node, operator: str, rhs: Node) -> None:
        self.args = (lhs, rhs)
        self.operator = operator

    def options(self) -> tuple[Hashable, ...]:
        return (self.operator,)

    def sql(self, compiler: CompilerType) -> str:
        lhs, rhs = self.args
        return f"{lhs.sql(compiler)} {self.operator} {rhs.sql(compiler)}"


@operation
def holds(
    condition: Q, model: Any, instance: Any, exclude: Collection[str] | None, database: Database
) -> Operation[bool | None]:
    """Ask *database* whether *condition* is true of the values of *instance*; None is SQL's "unknown".

    Raises: FieldError: the condition names a field that is excluded, or that another table has.
    """
    resolver = InstanceResolver(model, instance, exclude)
    node = resolver.resolved(condition)
    return (yield from truth(node, resolver.values, database))
