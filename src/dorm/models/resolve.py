"""From names to columns: the one translator of paths like ``author__name__icontains`` into nodes and joins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dorm.exceptions import FieldError, choices_text, nearest
from dorm.expressions.predicate import Q
from dorm.lookups.core import Comparison, IsNull, build_lookup, is_lookup, lookup_names
from dorm.sql.boolean import And, conjunction, disjunction, negation
from dorm.sql.node import Column, Node, Param, QueryLike, Text
from dorm.sql.plan import Prepares
from dorm.sql.select import ExistsSelect, Join, Order, Select, SubSelect

if TYPE_CHECKING:
    from dorm.fields.base import Field
    from dorm.queryset.query import Query

_ONE = Text("1")


class Resolver:
    """Resolves the names of one step of a query; collects the joins and slots that the step adds.

    It is the `Scope` of the nodes it resolves. Joins over at most one partner are shared by the whole query, joins over
    several partners by the lookups of one call.
    """

    def __init__(self, query: Query, slots: int, where: str) -> None:
        self.query = query
        self.joins: list[Join] = list(query.joins)
        self.prepares: list[Callable[[Any], Any] | None] = []
        self.call = query.calls + 1
        self._first_slot = slots
        self._where = where
        self._negated = False
        self._subqueries = 0

    @property
    def taken(self) -> Prepares:
        """What is applied to the value of each slot this step took."""
        return tuple(self.prepares)

    # -- Scope ---------------------------------------------------------------------------------------------------
    def slot(self, prepare: Callable[[Any], Any] | None, /) -> int:
        self.prepares.append(prepare)
        return self._first_slot + len(self.prepares) - 1

    def reference(self, name: str, /) -> Node:
        node, rest = self._path(name.split("__"), name)
        if rest:
            raise self._unknown(rest[0], name, node)
        return node

    def predicate(self, condition: Any, /) -> Node:
        return self._condition(condition) or And(())

    def literal(self, output: Any, value: Any) -> Node:
        """Return the node of a literal for a place of type *output*: a slot, or NULL."""
        if value is None:
            return Text("NULL", output)
        return Param(self.slot(output.prepare if output.prepares else None), output)

    def subquery(self, query: QueryLike, /) -> Node:
        base = self._first_slot + len(self.prepares)
        select, prepared = query.as_subquery()  # type: ignore[attr-defined]  # every QueryLike is a queryset
        self.prepares.extend([None] * prepared)
        return SubSelect(select, base)

    def outer(self, name: str, /) -> Node:
        raise FieldError(f"OuterRef({name!r}) stands in a query that no other query surrounds.")

    # -- conditions ----------------------------------------------------------------------------------------------
    def conditions(self, q: Q) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        """Return what *q* demands of rows and of groups."""
        node = self._condition(q)
        if node is None:
            return (), ()
        parts = node.args if isinstance(node, And) else (node,)
        rows = tuple(part for part in parts if not part.contains_aggregate)
        return rows, tuple(part for part in parts if part.contains_aggregate)

    def _condition(self, condition: Any) -> Node | None:
        """Return the node of a condition, None when it demands nothing."""
        if not isinstance(condition, Q):
            resolved: Node = condition.resolve(self)
            return resolved
        before = self._negated
        if condition.negated:
            self._negated = not before
        try:
            parts = [self._child(child) for child in condition.children]
        finally:
            self._negated = before
        demanding = [part for part in parts if part is not None]
        if not demanding:
            return None
        if condition.connector == "XOR":
            node: Node | None = _odd(demanding)
        elif condition.connector == "OR":
            node = disjunction(demanding)
        else:
            node = conjunction(demanding)
        if node is None or not condition.negated:
            return node
        return negation(node)

    def _child(self, child: Any) -> Node | None:
        return self._lookup(*child) if isinstance(child, tuple) else self._condition(child)

    def _lookup(self, path: str, value: Any) -> Node:
        names = path.split("__")
        if self._negated:
            across = self._across(names, path, value)
            if across is not None:
                return across
        node, rest = self._path(names, path)
        lookup = self._lookup_name(rest, path, node)
        condition = build_lookup(lookup, node, value, self)
        if self._negated and condition.nullable and node.nullable and not isinstance(condition, IsNull):
            # NOT (x = 1) would lose the rows where x is NULL.
            return And((condition, IsNull(node, False)))
        return condition

    def _lookup_name(self, rest: list[str], path: str, node: Node) -> str:
        if not rest:
            return "exact"
        if len(rest) > 1 or not is_lookup(rest[0]):
            raise self._unknown(rest[0], path, node)
        return rest[0]

    # -- conditions across several partners, negated -------------------------------------------------------------
    def _across(self, names: list[str], path: str, value: Any) -> Node | None:
        """Return EXISTS for a negated lookup whose path meets several partners; None for other paths."""
        split = self._first_multi(names)
        if split is None:
            return None
        parent, step, rest = split
        self._subqueries += 1
        alias = f"U{self._depth()}{self._subqueries}"
        link = And(
            tuple(
                _equal(Column(alias, theirs, None, False), Column(parent, ours, None, False))
                for ours, theirs in step.pairs
            )
        )
        inner = Resolver(self._inner_query(step.target, alias), self._first_slot + len(self.prepares), self._where)
        condition = inner._lookup("__".join(rest) or "pk", value) if rest != ["isnull"] else None
        self.prepares.extend(inner.prepares)
        related = ExistsSelect(Select(step.table, alias, (_ONE,), where=link))
        if condition is None:
            return negation(related) if value else related
        matching = Select(step.table, alias, (_ONE,), joins=tuple(inner.joins), where=And((link, condition)))
        found = ExistsSelect(matching)
        if rest[-1:] == ["isnull"] and value is True:
            # No partner at all counts as a partner whose columns are NULL, as an outer join gives it.
            return disjunction([negation(related), found])
        return found

    def _first_multi(self, names: list[str]) -> tuple[str, Any, list[str]] | None:
        """Walk *names* up to the first relation with several partners; return (alias before it, relation, rest)."""
        if names[0] in self.query.annotations:
            return None
        meta = self.query.model._meta
        steps: list[Any] = []
        for number, name in enumerate(names):
            step = _relation(meta, name)
            if step is None:
                return None
            if step.multi:
                alias = self.query.alias
                for earlier in steps:
                    alias = self.join(alias, earlier)
                return alias, step, names[number + 1 :]
            steps.append(step)
            meta = step.target._meta
        return None

    def _inner_query(self, model: Any, alias: str) -> Query:
        root: Query = model._meta.plan.query
        return replace(root, alias=alias)

    def _depth(self) -> int:
        return self.query.alias.count("U") if self.query.alias.startswith("U") else 0

    # -- paths ---------------------------------------------------------------------------------------------------
    def _path(self, names: list[str], path: str) -> tuple[Node, list[str]]:
        """Walk *names* as far as they are fields; return the node reached and the names left (a lookup)."""
        annotation = self.query.annotations.get(names[0])
        if annotation is not None:
            return annotation, names[1:]
        meta = self.query.model._meta
        alias, optional = self.query.alias, False
        for number, name in enumerate(names):
            rest = names[number + 1 :]
            field = meta.pk if name == "pk" else meta.find(name)
            step = _relation(meta, name)
            if step is None:
                if field is None:
                    raise self._no_field(meta, name, path)
                return Column(alias, field.column, field, field.null or optional), rest
            if field is not None and (not rest or is_lookup(rest[0])):
                return Column(alias, field.column, field, field.null or optional), rest
            if field is not None and self._is_key(step, rest[0]):
                # The key of the target stands in this very table: no join.
                optional = optional or field.null
                return Column(alias, field.column, field, optional), rest[1:]
            alias = self.join(alias, step)
            optional = optional or step.nullable
            meta = step.target._meta
            if not rest or (is_lookup(rest[0]) and meta.find(rest[0]) is None and rest[0] not in meta.relations):
                return Column(alias, meta.pk.column, meta.pk, optional), rest
        raise AssertionError("a path of no names")

    def _is_key(self, step: Any, name: str) -> bool:
        target: Field[Any] = step.target_field
        return name in (target.name, target.attname) or (name == "pk" and target.primary_key)

    def join(self, parent: str, step: Any) -> str:
        """Return the alias of the table that *step* leads to, joining it unless a join can be shared."""
        for join in self.joins:
            if join.parent == parent and join.relation is step.key and (not join.multi or join.scope == self.call):
                return join.alias
        prefix = self.query.alias if self.query.alias.startswith("U") else "T"
        alias = f"{prefix}{len(self.joins) + 1}"
        self.joins.append(Join(alias, step.table, parent, step.pairs, step.nullable, step.multi, step.key, self.call))
        return alias

    # -- order ---------------------------------------------------------------------------------------------------
    def order(self, keys: Iterable[Any]) -> tuple[Order, ...]:
        """Return the ORDER BY of names (``-name``, paths, ``?``) and expressions."""
        return tuple(order for key in keys for order in self._order(key))

    def _order(self, key: Any) -> Iterable[Order]:
        if isinstance(key, str):
            descending, name = key.startswith("-"), key.lstrip("-+")
            if name == "?":
                yield Order(Text("RANDOM()"))
                return
            relation = self._ordering_of_relation(name)
            if relation is not None:
                for order in relation:
                    yield order.reversed() if descending else order
                return
            yield Order(self.reference(name), descending)
            return
        inner = key.args[0] if hasattr(key, "descending") else key
        yield Order(inner.resolve(self), getattr(key, "descending", False), getattr(key, "nulls", None))

    def _ordering_of_relation(self, name: str) -> tuple[Order, ...] | None:
        """Return the order of the target's Meta.ordering when *name* ends at a foreign key, as Django documents it."""
        names = name.split("__")
        if names[0] in self.query.annotations:
            return None
        meta = self.query.model._meta
        for part in names:
            step = _relation(meta, part)
            if step is None or (part == meta.find(part).attname if meta.find(part) is not None else False):
                return None
            meta = step.target._meta
        if not meta.ordering:
            return None
        keys = [
            f"{'-' if key.startswith('-') else ''}{name}__{key.lstrip('-')}"
            for key in meta.ordering
            if isinstance(key, str)
        ]
        return self.order(keys) if len(keys) == len(meta.ordering) else None

    # -- errors --------------------------------------------------------------------------------------------------
    def _no_field(self, meta: Any, name: str, path: str) -> FieldError:
        names = [*meta.names(), *(self.query.annotations if meta is self.query.model._meta else ())]
        where = f" (in {self.query.model.__name__}.objects.{self._where}: {path!r})"
        return FieldError(
            f"{meta.object_name} has no field {name!r}{where}.{nearest(name, names)} Fields: {choices_text(names)}."
        )

    def _unknown(self, name: str, path: str, node: Node) -> FieldError:
        field = getattr(node.output, "name", None)
        what = f"{field!r} has no lookup or further field {name!r}" if field else f"there is no lookup {name!r}"
        where = f" (in {self.query.model.__name__}.objects.{self._where}: {path!r})"
        return FieldError(f"{what}{where}.{nearest(name, lookup_names())} Lookups: {choices_text(lookup_names(), 30)}.")


def _relation(meta: Any, name: str) -> Any | None:
    """Return the relation that *name* is on a model: a foreign key by its name, or a reverse relation."""
    field = meta.pk if name == "pk" else meta.find(name)
    if field is not None:
        return field.relation if field.is_relation and name != field.attname else None
    return meta.relations.get(name)


def _equal(one: Node, other: Node) -> Node:
    return Comparison("exact", one, other)


def _odd(parts: list[Node]) -> Node:
    """Return XOR: an odd number of *parts* hold."""
    node = parts[0]
    for part in parts[1:]:
        either = disjunction([conjunction([node, negation(part)]) or part, conjunction([negation(node), part]) or part])
        assert either is not None, "XOR of two conditions"
        node = either
    return node


def constant(number: int) -> Node:
    """Return a number as text of the statement."""
    return Text(str(int(number)))


def slot_node(slot: int | None, output: Any) -> Node | None:
    """Return the node of a slot, None for no slot."""
    return None if slot is None else Param(slot, output)
