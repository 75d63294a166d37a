"""Conditions over values that are given rather than stored: `Q.check`, and what validation asks a database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dorm.db.connection import Database, connections
from dorm.db.lease import CurrentBlock
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Query as Fetch
from dorm.db.statement import Statement, Template
from dorm.exceptions import DatabaseError, FieldError, choices_text, nearest
from dorm.lookups.core import build_lookup
from dorm.lookups.registry import looked_up, names as lookup_names, transformed
from dorm.sql.boolean import Everything, junction
from dorm.sql.compiler import Compiler
from dorm.sql.node import Literals, Node, Param, QueryLike, Text, output_of_value
from dorm.sql.select import ExistsSelect, SubSelect
from dorm.transaction import in_savepoint

if TYPE_CHECKING:
    from dorm.expressions.predicate import Q

_log = logging.getLogger("dorm.queries")


class Standing(Node):
    """A value in place of a column: compares as the column would."""

    def __init__(self, param: Param) -> None:
        self.args = (param,)
        self.output = param.output

    def sql(self, compiler: Compiler) -> str:
        text = self.args[0].sql(compiler)
        return text if self.output is None else compiler.dialect.in_place_of_column(text, self.output.sql_type)

    @property
    def nullable(self) -> bool:
        return False


class Given:
    """Resolves names to values that are given by name; the `Scope` of what is resolved.

    Attributes:
        values: what stands in the slots, prepared, in their order.
    """

    def __init__(self, against: Mapping[str, Any]) -> None:
        self.values: list[Any] = []
        self._against = against
        self._literals: list[Any] = []

    def resolved(self, expression: Any) -> Node:
        """Return *expression* with values for its names."""
        literals = Literals()
        expression.key(literals)
        before, self._literals = self._literals, list(reversed(literals))
        try:
            made: Node = expression.resolve(self)
            return made
        finally:
            self._literals = before

    # -- Scope ---------------------------------------------------------------------------------------------------
    def slot(self, prepare: Callable[[Any], Any] | None, /) -> int:
        value = self._literals.pop()
        return self._place(value if prepare is None else prepare(value))

    def reference(self, name: str, /) -> Node:
        first, *rest = name.split("__")
        node, left = transformed(self._value(first), rest, self)
        if left:
            raise self._unknown(name, left[0], node)
        return node

    def predicate(self, condition: Any, /) -> Node:
        return self._condition(condition) or Everything()

    def subquery(self, query: QueryLike, width: int = 1, /) -> Node:
        return self._embedded(SubSelect, query, width)

    def exists(self, query: QueryLike, /) -> Node:
        return self._embedded(ExistsSelect, query, 0)

    def outer(self, name: Any, /) -> Node:
        raise FieldError("OuterRef names a query around this one, and given values stand in none.")

    # -- parts ---------------------------------------------------------------------------------------------------
    def _embedded(self, node: type[SubSelect], query: QueryLike, width: int) -> Node:
        part = query.as_part(width)
        base = len(self.values)
        self.values.extend([self._literals.pop() for _ in range(part.slots)])
        outer = {name: self.reference(name) if isinstance(name, str) else name.resolve(self) for name in part.outers}
        return node(part.select, base, outer, part.aliases, part.empty)

    def _place(self, value: Any) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def _condition(self, condition: Any) -> Node | None:
        if not hasattr(condition, "connector"):
            resolved: Node = condition.resolve(self)
            return resolved
        parts = [
            self._lookup(*child) if isinstance(child, tuple) else self._condition(child) for child in condition.children
        ]
        return junction(parts, condition.connector, condition.negated)

    def _lookup(self, path: str, value: Any) -> Node:
        first, *rest = path.split("__")
        node = self._value(first)
        found = looked_up(node, rest, self)
        if found is None:
            reached, left = transformed(node, rest, self)
            raise self._unknown(path, (left or rest)[0], reached)
        reached, lookup = found
        return build_lookup(lookup, reached, value, self)

    def _value(self, name: str) -> Node:
        if name not in self._against:
            names = sorted(self._against)
            raise FieldError(
                f"Cannot resolve keyword {name!r} into field: no value is given for it.{nearest(name, names)} "
                f"Choices are: {choices_text(names)}."
            )
        value = self._against[name]
        if isinstance(value, Node):
            return self.resolved(value)
        if value is None:
            return Text("NULL")
        return Standing(Param(self._place(value), output_of_value(value)))

    def _unknown(self, path: str, name: str, node: Node) -> FieldError:
        known = lookup_names(node.output)
        return FieldError(
            f"Unsupported lookup {name!r} (in {path!r}).{nearest(name, known)} Lookups: {choices_text(known, 40)}."
        )


@operation
def truth(node: Node, given: Sequence[Any], database: Database) -> Operation[bool | None]:
    """Ask *database* whether *node* is true with the values *given*; None is SQL's "unknown"."""
    compiler = Compiler(database.dialect)
    sql = f"SELECT {node.sql(compiler)}"
    bind = compiler.binder(len(given))
    values = tuple(given)
    statement = Statement(Template(sql, reads=True, prepare=False), values if bind is None else bind(values))
    found = (yield from perform(Fetch(database, statement)))[0][0]
    return None if found is None else bool(found)


@operation
def checked(condition: Q, against: Mapping[str, Any], using: str) -> Operation[bool]:
    """`Q.check`."""
    scope = Given(against)
    node = scope.resolved(condition.normalised())
    database = connections[using]
    block = yield CurrentBlock(database)
    asked = truth(node, scope.values, database)
    try:
        # An error must not break the block around it.
        found = yield from (in_savepoint(asked, using) if block is not None and block.in_transaction else asked)
    except DatabaseError as exc:
        _log.warning("Q.check() of %r: the database cannot tell, so it holds: %s", condition, type(exc).__name__)
        return True
    return found is not False
