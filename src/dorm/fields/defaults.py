"""Values that the database makes, as a new instance holds them before it is saved."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from dorm.expressions.core import Expression, Value
from dorm.sql.node import Literals, Node, Scope

if TYPE_CHECKING:
    from dorm.fields.base import Field
    from dorm.sql.compiler import Compiler


class DatabaseDefault(Expression):
    """The ``db_default`` of a field: an INSERT leaves the column to the database, and brings back what it made."""

    def __init__(self, field: Field[Any]) -> None:
        self.field = field
        self.output = field

    @property
    def expression(self) -> Node:
        """The default as an expression."""
        given = self.field.db_default
        return given if isinstance(given, Node) else Value(given, self.field)

    def key(self, values: Literals) -> Hashable:
        return (DatabaseDefault, self.expression.key(values))

    def resolve(self, scope: Scope) -> Node:
        return self.expression.resolve(scope)

    def sql(self, compiler: Compiler) -> str:
        raise AssertionError("a default is rendered as what it resolves to")

    def __repr__(self) -> str:
        return f"<DatabaseDefault of {self.field}>"
