"""From names to columns: the one translator of paths like ``author__name__icontains`` into nodes and joins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dorm.exceptions import FieldError, NotSupportedError, choices_text, nearest
from dorm.expressions.core import F
from dorm.expressions.filtered import Filtered, FilteredStep
from dorm.expressions.predicate import Q
from dorm.expressions.subquery import NameOfKey, OuterReference
from dorm.fields.kinds import tell
from dorm.lookups.core import (
    BUILDERS,
    NUMBER_LOOKUPS,
    Comparison,
    InSelect,
    IsNull,
    build_lookup,
    holds_whole_numbers,
)
from dorm.lookups.json import KeyTransform, order_key, source_and_keys
from dorm.lookups.registry import find_lookup, looked_up, names as lookup_names, transformed
from dorm.lookups.rows import row_condition
from dorm.lookups.values import AnyNumber, value_key
from dorm.models.joins import ANY_CALL, Joins, condition_of
from dorm.models.negation import negatable, without_null
from dorm.models.partners import key_of, of_partner, related_value
from dorm.models.paths import NoSuchName, Route, leading_up, relation_of, steps_of, walk
from dorm.record import replace
from dorm.sql.boolean import (
    And,
    Enclosed,
    Everything,
    Junction,
    Nothing,
    disjunction,
    junction,
    negation,
)
from dorm.sql.node import Column, Fixed, FixedSlots, Literals, Node, Param, QueryLike, Text
from dorm.sql.plan import Prepares, Unkept
from dorm.sql.row import Row
from dorm.sql.select import ExistsSelect, Order, Select, SubSelect

if TYPE_CHECKING:
    from dorm.queryset.query import Query

_ONE = Text("1")


class _Random(Text):
    """What rows are ordered by where any order is as good."""

    is_volatile = True


_ANY_ORDER = _Random("RANDOM()")
tell()
_OF_TEXTS = frozenset(
    (
        "iexact",
        "contains",
        "icontains",
        "startswith",
        "istartswith",
        "endswith",
        "iendswith",
        "regex",
        "iregex",
        "range",
    )
)


class Resolver:
    """Resolves the names of one step of a query; collects the joins and slots that the step adds.

    It is the `Scope` of the nodes it resolves. Joins over at most one partner are shared by the whole query. Joins over
    several partners are shared by the lookups of one ``filter()`` call; annotations, orders and columns use the latest.
    """

    def __init__(self, query: Query, slots: int, where: str, filtering: bool = False) -> None:
        self.query = query
        self.joins = Joins(query.joins)
        self.prepares: list[Callable[[Any], Any] | None] = []
        self.outers: dict[Any, None] = dict.fromkeys(query.outers)
        self.call = query.calls + 1 if filtering else ANY_CALL
        self._first_slot = slots
        self._where = where
        self._filtering = filtering
        self._negated = False
        self._below_not = False
        self._subqueries = 0
        self._last: Route | None = None
        self._inside: tuple[tuple[Any, ...], str, Joins] | None = None
        self._endless = False
        self._partner: Any = None
        self._declared: list[Any] | None = None
        self._below: tuple[str, ...] = ()
        self._followed: tuple[Any, ...] = ()
        self.aliases: frozenset[str] = query.aliases

    @property
    def taken(self) -> Prepares:
        """What is applied to the value of each slot this step took."""
        return Unkept(self.prepares) if self._endless else tuple(self.prepares)

    def met(self, node: Node) -> None:
        """Count the path within a document that *node* is: of endlessly many some are kept."""
        if isinstance(node, KeyTransform):
            source, keys = source_and_keys(node)
            field = (source.alias, source.column) if isinstance(source, Column) else type(source)
            self._endless |= not self.query.model._meta.plan.root.is_worth(field, keys)

    def applied(self, **changes: Any) -> Query:
        """Return the query with the joins and outer references of this step, and *changes*."""
        return replace(self.query, joins=tuple(self.joins), outers=tuple(self.outers), aliases=self.aliases, **changes)

    # -- Scope ---------------------------------------------------------------------------------------------------
    def slot(self, prepare: Callable[[Any], Any] | None, /) -> int:
        if self._declared is not None:
            value = self._declared.pop()
            return Fixed.of(value if prepare is None else prepare(value))
        self.prepares.append(prepare if self._partner is None else of_partner(self._partner, prepare))
        return self._first_slot + len(self.prepares) - 1

    def reference(self, name: str, /) -> Node:
        names = name.split("__")
        if self._where == "aggregate":
            self._refuse_aliases(names)
        reached, left = self._path(names, name)
        node, rest = transformed(reached, left, self)
        if rest:
            raise self._unknown(rest[0], name, node)
        self.met(node)
        return node

    def _refuse_aliases(self, names: list[str]) -> None:
        """Refuse to aggregate what `alias` named; a condition on it says which rows take part."""
        name = "__".join(names[: self._annotated(names)])
        if name in self.query.hidden:
            raise FieldError(
                f"Cannot aggregate over the {name!r} alias. Use annotate() to promote it: "
                f".annotate({name}=F({name!r})).aggregate(...)."
            )

    def predicate(self, condition: Any, /) -> Node:
        before = self._filtering, self._negated, self._below_not
        self._filtering, self._negated, self._below_not = False, False, False
        try:
            node = self._condition(condition) or Everything()
        finally:
            self._filtering, self._negated, self._below_not = before
        return Enclosed(node) if isinstance(node, (Junction, Comparison)) else node

    def literal(self, output: Any, value: Any) -> Node:
        """Return the node of a literal for a place of type *output*: a slot, or NULL."""
        if value is None:
            return Text("NULL", output)
        return Param(self.slot(output.prepare if output.prepares else None), output)

    def subquery(self, query: QueryLike, width: int = 1, /) -> Node:
        return self._embedded(SubSelect, query, width)

    def exists(self, query: QueryLike, /) -> Node:
        return self._embedded(ExistsSelect, query, 0)

    def _embedded(self, node: type[SubSelect], query: QueryLike, width: int) -> Node:
        part = query.as_part(width)
        if self._declared is None:
            base = self._first_slot + len(self.prepares)
            self.prepares.extend([None] * part.slots)
        else:
            base = FixedSlots.all_of(tuple([self._declared.pop() for _ in range(part.slots)]))
        outer = {name: self.reference(name) if isinstance(name, str) else name.resolve(self) for name in part.outers}
        for name, meant in outer.items():
            if isinstance(name, NameOfKey) and not isinstance(meant, (Row, OuterReference)):
                raise FieldError(f"{name!r} is no composite key, with which alone another one can be compared.")
        self.aliases |= part.aliases
        return node(part.select, base, outer, part.aliases, part.empty)

    def outer(self, name: Any, /) -> Node:
        self.outers[name] = None
        return OuterReference(name)

    # -- conditions ----------------------------------------------------------------------------------------------
    def conditions(self, q: Q) -> tuple[tuple[Node, ...], tuple[Node, ...], tuple[Node, ...]]:
        """Return what *q* demands of rows, of groups, and of what window functions compute over them."""
        node = self._condition(q)
        if node is None or isinstance(node, Everything):
            return (), (), ()
        for each in node.walk():
            if not each.filterable:
                raise NotSupportedError(f"{type(each).__name__} is disallowed in the filter clause.")
        parts = node.args if isinstance(node, And) else (node,)
        windows = tuple(part for part in parts if part.contains_window)
        groups = tuple(part for part in parts if part.contains_aggregate and not part.contains_window)
        rows = tuple(part for part in parts if not part.contains_aggregate and not part.contains_window)
        return rows, groups, windows

    def _condition(self, condition: Any) -> Node | None:
        """Return the node of a condition, None when it demands nothing."""
        if not isinstance(condition, Q):
            if not getattr(condition, "is_condition", False):
                raise TypeError("Cannot filter against a non-conditional expression.")
            resolved: Node = condition.resolve(self)
            return resolved
        before = self._negated, self._below_not
        if condition.negated:
            self._negated, self._below_not = not self._negated, True
        try:
            parts = [self._child(child) for child in condition.children]
        finally:
            self._negated, self._below_not = before
        return junction(parts, condition.connector, condition.negated)

    def _child(self, child: Any) -> Node | None:
        return self._lookup(*child) if isinstance(child, tuple) else self._condition(child)

    def _lookup(self, path: str, value: Any) -> Node:
        names = path.split("__")
        if self._below_not and self._filtering:
            across = self._across(names, path, value)
            if across is not None:
                return across
        node, rest = self._path(names, path)
        return self._compared(node, rest, path, value)

    def _compared(self, node: Node, rest: list[str], path: str, value: Any) -> Node:
        """Return the condition that the lookup in *rest* states, safe against NULL where a NOT stands above it."""
        if isinstance(node, Row):
            return self._row(node, rest, path, value)
        # An annotation is negated as it stands, also one that is a column (F): as Django does.
        column = node if isinstance(node, Column) and self._last is not None else None
        found = looked_up(node, rest, self)
        if found is None:
            reached, left = transformed(node, rest, self)
            raise self._unknown((left or rest)[0], path, reached)
        node, lookup = found
        self.met(node)
        if column is not None and node is column and lookup in _OF_TEXTS:
            self._refuse_for_relation(lookup, rest, path, node)
        before = self._partner, self._declared
        self._partner = self._partner_met()
        if isinstance(value, AnyNumber) and not (holds_whole_numbers(node) and lookup in NUMBER_LOOKUPS):
            value, literals = value.value, Literals()
            value_key(lookup, value, literals)
            self._declared = list(reversed(literals))
        try:
            condition = build_lookup(lookup, node, related_value(node, value, self._partner), self)
        finally:
            self._partner, self._declared = before
        if isinstance(condition, InSelect):
            return self._within(condition, column)
        # As in Django, what equals None (JSON's null) is negated as it stands.
        return negatable(condition, column) if self._negated and value is not None else condition

    def _row(self, row: Row, rest: list[str], path: str, value: Any) -> Node:
        """Return the condition that a lookup on the columns of a composite key states."""
        lookup, last = rest[0] if rest else "exact", self._last
        if len(rest) > 1:
            lookup = "__".join(rest)
        if value is None and last is not None and last.relation is not None and lookup == "exact":
            lookup, value = "isnull", True
        if isinstance(value, AnyNumber):
            # A column of the key cannot hold its number.
            return Nothing()
        condition = row_condition(lookup, row, key_of(row), related_value(row, value), self)
        if isinstance(condition, InSelect):
            return self._within(condition, None)
        if not self._negated or isinstance(condition, IsNull):
            return condition
        nullable = [column for column in row.args if column.nullable][:1]
        return And((condition, *[IsNull(column, False) for column in nullable])) if nullable else condition

    def _refuse_for_relation(self, lookup: str, rest: list[str], path: str, node: Node) -> None:
        """Refuse dorm's own lookups of texts and ranges where a path ends at a relation: what it means is an object."""
        last = self._last
        if last is None or last.relation is None or list(last.rest) != rest:
            return
        if find_lookup(node, node.output, lookup) is BUILDERS[lookup]:
            raise FieldError(
                f"Unsupported lookup {lookup!r} for {type(node.output).__name__} or join on the field not permitted: "
                f"{path!r} ends at a relation (in {self.query.model.__name__}.objects.{self._where}). Name a field of "
                f"{last.meta.object_name} before the lookup."
            )

    def _partner_met(self) -> Any:
        """Return the options of the model whose objects the last path is about, None where a key of ours says which."""
        last = self._last
        met = last is not None and last.relation is not None and last.output is last.meta.pk and len(last.rest) < 2
        return last.meta if last is not None and met else None

    def _within(self, condition: InSelect, column: Column | None) -> Node:
        inner = condition.args[1]
        if not isinstance(inner, SubSelect):
            return negatable(condition, column) if self._negated else condition
        if inner.empty:
            return Nothing()
        if not self._negated:
            return condition
        # x NOT IN (1, NULL) is never true: https://www.postgresql.org/docs/current/functions-subquery.html
        safe = InSelect(condition.args[0], (inner.replaced(without_null(inner.select)),))
        return And((safe, IsNull(safe.args[0], False))) if safe.args[0].nullable else safe

    # -- conditions across several partners, negated -------------------------------------------------------------
    def _across(self, names: list[str], path: str, value: Any) -> Node | None:
        """Return EXISTS for a lookup below a NOT whose path meets several partners; None for other paths."""
        if self._annotated(names):
            return None
        if type(value) is F:
            # What it names is joined before: over the same relation it means the partner of this condition.
            self.reference(value.name)
        route = self._route(names, path)
        first = next((number for number, step in enumerate(route.steps) if step.multi), None)
        if first is None:
            return None
        step = route.steps[first]
        parent, pairs, shared = self.joins.before(self.query.alias, route.steps[:first], step, self.call)
        self._subqueries += 1
        alias = f"U{self._subqueries}"
        link: list[Node] = [
            Comparison("exact", Column(alias, theirs, None, False), Column(parent, ours, None, False))
            for ours, theirs in pairs
        ]
        link += [Comparison("exact", Column(alias, column, None, False), _constant(it)) for column, it in step.extra]
        given = getattr(step, "given", ())
        link += [Comparison("exact", Column(parent, column, None, False), _constant(it)) for column, it in given]
        condition = condition_of(step, alias)
        if condition is not None:
            link.append(condition)
        # With JSON None is a value, null.
        is_json = not route.output.is_composite and route.output.sql_type.kind == "json"
        is_none = value is None and not is_json
        is_missing = route.rest[-1:] == ("isnull",) or is_none
        wanted = is_none or value is True
        if shared is not None and not (is_missing and wanted):
            # Another condition of this very call joined the partners: the partner meant is that one.
            for pk in [field.column for field in step.target._meta.pk_fields]:
                link.append(Comparison("exact", Column(alias, pk, None, False), Column(shared, pk, None, True)))
        related = ExistsSelect(Select(step.table, alias, (_ONE,), where=And(link)))
        # Django groups by the condition where it starts behind another table or compares with a column there.
        related.is_one_part = first > 0 or (type(value) is F and "__" in value.name)
        ends_here = len(route.steps) == first + 1 and not route.null
        if is_missing and route.relation is not None and len(route.rest) < 2 and ends_here:
            return negation(related) if wanted else related
        inner = Joins(prefix=f"{alias}_")
        last = inner.follow(alias, route.steps[first + 1 :], self.call)
        node, rest = self._finished(reached_by(last, route), list(route.rest), path)
        before, self._negated = self._negated, False
        if isinstance(value, Node) and type(value) is not F:
            # What an expression names over the same partners is a column of the partner that the subquery is about.
            self._inside = (route.steps[: first + 1], alias, inner)
        try:
            condition = self._compared(node, rest, path, value)
        finally:
            self._negated, self._inside = before, None
        found = ExistsSelect(Select(step.table, alias, (_ONE,), joins=tuple(inner), where=And((*link, condition))))
        found.is_one_part = related.is_one_part
        if is_missing and wanted:
            # No partner at all counts as a partner whose columns are NULL, as an outer join gives it.
            return disjunction([negation(related), found])
        return found

    # -- paths ---------------------------------------------------------------------------------------------------
    def _path(self, names: list[str], path: str) -> tuple[Node, list[str]]:
        """Return the node that *names* lead to, and the names left (a lookup)."""
        if self._below:
            names = [*self._below, *names]
        if self.query.combined is not None:
            self._last = None
            taken = self.query.output_width(names)
            return self._finished(self.query.output_column("__".join(names[:taken])), names[taken:], path)
        width = self._annotated(names)
        if width:
            self._last = None
            name = "__".join(names[:width])
            return self._finished(self.query.annotations[name], names[width:], path)
        route = self._route(names, path)
        alias = self._inner_alias(route)
        if alias is None:
            alias = self.joins.follow(self.query.alias, route.steps, self.call)
        return self._finished(reached_by(alias, route), list(route.rest), path)

    def _annotated(self, names: list[str]) -> int:
        """Return how many of *names* make up the name of an annotation, as ``books__count`` is one; 0 for none."""
        annotations = self.query.annotations
        if not annotations:
            return 0
        if names[0] in annotations:
            return 1
        return next((width for width in range(2, len(names) + 1) if "__".join(names[:width]) in annotations), 0)

    def _inner_alias(self, route: Route) -> str | None:
        """Return the alias that *route* ends at in the subquery that is being made; None where it leads elsewhere."""
        if self._inside is None:
            return None
        steps, alias, joins = self._inside
        width = len(steps)
        if [step.key for step in route.steps[:width]] != [step.key for step in steps]:
            return None
        return joins.follow(alias, route.steps[width:], self.call)

    def _route(self, names: list[str], path: str) -> Route:
        filtered = self.query.filtered.get(names[0])
        try:
            self._last = walk(self.query.model._meta, names) if filtered is None else _through(filtered, names[1:])
        except NoSuchName as exc:
            raise self._no_field(exc.meta, exc.name, path) from None
        return self._last

    def filtered(self, name: str, relation_name: str, condition: Q) -> Filtered:
        """Return the relation *relation_name* joined as *name* where *condition*, in terms of *name*, holds."""
        route = self._route(relation_name.split("__"), relation_name)
        if route.relation is None or route.rest:
            raise ValueError(f"FilteredRelation's relation_name cannot contain lookups (got {relation_name!r}).")
        steps = self._all_steps(relation_name)
        last = steps[-1]
        extra, given = tuple(getattr(last, "extra", ())), tuple(getattr(last, "given", ()))
        step = FilteredStep(last.table, last.pairs, last.multi, (name,), extra, name, None, given)
        plain = Filtered((*steps[:-1], step), route.relation.target._meta, route.relation)
        inner = Resolver(
            replace(self.query, filtered={**self.query.filtered, name: plain}), self._first_slot, self._where
        )
        node = inner._condition(condition)
        self.prepares.extend(inner.prepares)
        allowed = {self.query.alias, name}
        for part in node.walk() if node is not None else ():
            if isinstance(part, Column) and part.alias not in allowed:
                raise ValueError(
                    "FilteredRelation's condition doesn't support nested relations deeper than the relation_name "
                    f"(got a condition on {part.column!r} of {part.alias!r} for {relation_name!r})."
                )
        return replace(plain, steps=(*steps[:-1], replace(step, condition=node)))

    def _all_steps(self, relation_name: str) -> tuple[Any, ...]:
        """Return the joins of a path of relations, none left out because a key says the same."""
        names = relation_name.split("__")
        known = self.query.filtered.get(names[0])
        steps: list[Any] = list(known.steps) if known is not None else []
        meta = known.meta if known is not None else self.query.model._meta
        for name in names[1:] if known is not None else names:
            relation = relation_of(meta, name)
            assert relation is not None, "a path of relations"
            steps.extend((*leading_up(meta, getattr(relation, "model", None)), *steps_of(relation)))
            meta = relation.target._meta
        return tuple(steps)

    def _finished(self, node: Node, rest: list[str], path: str) -> tuple[Node, list[str]]:
        """Apply the transforms in *rest* to *node*; return what is left, a lookup at most."""
        return node, rest

    def join(self, parent: str, step: Any) -> str:
        """Return the alias of the table that *step* leads to, joining it unless a join can be shared."""
        return self.joins.join(parent, step, self.call)

    # -- order ---------------------------------------------------------------------------------------------------
    def order(self, keys: Iterable[Any]) -> tuple[Order, ...]:
        """Return the ORDER BY of names (``-name``, paths, ``?``) and expressions."""
        return tuple(order for key in keys for order in self._order(key))

    def declared_order(self, keys: Iterable[Any], below: tuple[str, ...] = ()) -> tuple[Order, ...]:
        """Return the ORDER BY of a model's ``Meta.ordering``, as seen from the path *below* that leads to the model."""
        found: list[Order] = []
        for key in keys:
            if isinstance(key, str):
                sign, name = ("-", key[1:]) if key.startswith("-") else ("", key)
                found.extend(self._order(key if name == "?" else sign + "__".join((*below, name))))
                continue
            literals = Literals()
            key.key(literals)
            before = self._declared, self._below
            self._declared, self._below = list(reversed(literals)), below
            try:
                found.extend(self._order(key))
            finally:
                self._declared, self._below = before
        return tuple(found)

    def order_at(self, base: int, keys: Iterable[Any]) -> tuple[Order, ...]:
        """Return the ORDER BY of keys whose values' slots were taken before, from *base* on."""
        self._first_slot, self.prepares = base, []
        return self.order(keys)

    def _order(self, key: Any) -> Iterable[Order]:
        if isinstance(key, str):
            descending, name = key.startswith("-"), key.removeprefix("-")
            if name == "?":
                yield Order(_ANY_ORDER)
                return
            relation = self._ordering_of_relation(name)
            if relation is not None:
                for order in relation:
                    yield order.reversed() if descending else order
                return
            node = self.reference(name)
            for each in node.args if isinstance(node, Row) else (node,):
                yield Order(order_key(each), descending)
            return
        if not isinstance(key, Node):
            raise FieldError(f"Invalid order_by arguments: {[key]}: they are names of fields and expressions.")
        inner = key.args[0] if hasattr(key, "descending") else key
        if any(part.is_aggregate for part in inner.walk()):
            raise FieldError(
                "Using an aggregate in order_by() without also including it in annotate() is not allowed: annotate it "
                "and order by its name."
            )
        node = inner.resolve(self)
        for each in node.args if isinstance(node, Row) else (node,):
            yield Order(order_key(each), getattr(key, "descending", False), getattr(key, "nulls", None))

    def _ordering_of_relation(self, name: str) -> tuple[Order, ...] | None:
        """Return the order of the target's Meta.ordering when *name* ends at a foreign key, as Django documents it."""
        names = name.split("__")
        if self._annotated(names) or self.query.combined is not None:
            return None
        meta, step = self.query.model._meta, None
        for part in names:
            step = relation_of(meta, part)
            if step is None:
                return None
            meta = step.target._meta
        if not meta.ordering:
            return None
        if step in self._followed:
            raise FieldError(f"Infinite loop caused by ordering: {name!r} leads to a model that is ordered by it.")
        before, self._followed = self._followed, (*self._followed, step)
        try:
            return self.declared_order(meta.ordering, tuple(names))
        finally:
            self._followed = before

    # -- errors --------------------------------------------------------------------------------------------------
    def _no_field(self, meta: Any, name: str, path: str) -> FieldError:
        names = [*meta.names(), *(self.query.annotations if meta is self.query.model._meta else ())]
        where = f" (in {self.query.model.__name__}.objects.{self._where}: {path!r})"
        return FieldError(
            f"Cannot resolve keyword {name!r} into field. {meta.object_name} has no field {name!r}{where}."
            f"{nearest(name, names)} Choices are: {choices_text(names)}."
        )

    def _unknown(self, name: str, path: str, node: Node) -> FieldError:
        last = self._last
        if last is not None and last.relation is not None and last.rest[:1] == (name,):
            return self._no_field(last.meta, name, path)
        field = getattr(node.output, "name", None)
        what = f"{field!r} has no lookup or further field {name!r}" if field else f"there is no lookup {name!r}"
        where = f" (in {self.query.model.__name__}.objects.{self._where}: {path!r})"
        known = lookup_names(node.output)
        if name in known:
            return FieldError(
                f"Unsupported lookup {name!r}: it is a condition, not a value{where}. Put it into filter()."
            )
        return FieldError(
            f"Unsupported lookup {name!r}: {what}{where}.{nearest(name, known)} Lookups: {choices_text(known, 40)}."
        )


def reached_by(alias: str, route: Route) -> Node:
    """Return the column that *route* reaches in the table called *alias*; those of a composite key as a row."""
    if route.output.is_composite:
        return Row(Column(alias, field.column, field, route.optional) for field in route.output.fields)
    return Column(alias, route.column, route.output, route.optional, route.null)


def _through(filtered: Filtered, rest: list[str]) -> Route:
    """Return the route of a path that starts at a filtered relation."""
    meta = filtered.meta
    if rest:
        try:
            route = walk(meta, rest)
        except NoSuchName:
            pass
        else:
            return replace(route, steps=(*filtered.steps, *route.steps))
    return Route(filtered.steps, meta.pk.column, meta.pk, False, tuple(rest), filtered.relation, meta)


def _constant(value: Any) -> Node:
    if isinstance(value, Node):
        return value
    return Text("'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value))


def constant(number: int) -> Node:
    """Return a number as text of the statement."""
    return Text(str(int(number)))


def slot_node(slot: int | None, output: Any) -> Node | None:
    """Return the node of a slot, None for no slot."""
    return None if slot is None else Param(slot, output)
