"""The methods that return a queryset, as functions from a plan and its values to another plan and its values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dorm.aggregates.base import refuse_nested
from dorm.exceptions import FieldDoesNotExist, FieldError, OutOfRange
from dorm.expressions.filtered import FilteredRelation
from dorm.expressions.predicate import Q
from dorm.expressions.subquery import Subquery
from dorm.expressions.window import refuse_as_groups
from dorm.lookups.values import answered, with_any_number
from dorm.models.joins import ANY_CALL
from dorm.models.resolve import Resolver
from dorm.queryset.columns import orderable, with_columns
from dorm.queryset.combine import refuse
from dorm.queryset.outputs import output_names
from dorm.queryset.query import Asked, Kind, Query
from dorm.queryset.taking import taking
from dorm.record import replace
from dorm.sql.node import Literals, Node, QueryLike, typed
from dorm.sql.plan import Plan, Prepares, Unkept
from dorm.sql.select import Lock

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

Built: TypeAlias = "tuple[Plan[Query], tuple[Any, ...]]"
Values: TypeAlias = "tuple[Any, ...]"


def step(
    plan: Plan[Query], values: Values, key: Hashable, own: Literals, build: Callable[[], tuple[Query, Prepares]]
) -> Built:
    """Return the child for *key* and the values with those of the step, as their fields want them."""
    structure: Hashable | None = key if own.cacheable else None
    try:
        hash(structure)
    except TypeError:
        structure = None
    child = plan.step(structure, build)
    return child, values + child.prepared(tuple(own)) if own else values


def fixed(plan: Plan[Query], key: Hashable, build: Callable[[Query], Query]) -> Plan[Query]:
    """Return the child for a step without values."""
    return plan.step(key, lambda: (build(plan.query), ()))


# -- filter ------------------------------------------------------------------------------------------------------


def filtered(plan: Plan[Query], values: Values, args: Values, kwargs: dict[str, Any], negated: bool = False) -> Built:
    """`filter` and `exclude`. A call whose values are all plain literals is looked up by names and types alone."""
    quick: Hashable
    if args:
        quick, given = _outline(negated, args, kwargs)
    elif len(kwargs) == 1:  # most calls are of one lookup or two, and these lines a tenth of them
        [name] = kwargs
        value = kwargs[name]
        quick, given = (negated, name, type(value)), (value,)
    elif len(kwargs) == 2:
        one, other = kwargs
        first, second = given = tuple(kwargs.values())
        quick = (negated, one, other, type(first), type(second))
    else:
        given = tuple(kwargs.values())
        quick = (negated, *kwargs, *map(type, given))
    found = plan.quick(quick)
    if found is not None:
        child, take = found
        try:
            return child, values + (given if take is None else take(given))
        except OutOfRange:
            quick = None
    built, taken = _filtered(plan, values, "filter", _condition(plan.query, args, kwargs, negated))
    if quick is not None and taken.cacheable:
        _remember(plan, quick, built[0], given, kwargs, taken)
    return built


def filtered_together(
    plan: Plan[Query], values: Values, kwargs: dict[str, Any], how: Literal["sticky", "joined"]
) -> Built:
    """`filter` whose joins serve the next one as well (sticky), or which takes the joins that are there (joined)."""
    return _filtered(plan, values, how, _condition(plan.query, (), kwargs, False))[0]


def _condition(query: Query, args: Values, kwargs: dict[str, Any], negated: bool) -> Q:
    if query.combined is not None:
        refuse(query, "exclude" if negated else "filter")
    if query.is_sliced and (args or kwargs):
        raise TypeError("Cannot filter a query once a slice has been taken.")
    condition = Q(*args, **kwargs).normalised()
    return ~condition if negated else condition


def _filtered(plan: Plan[Query], values: Values, how: str, condition: Q) -> tuple[Built, Literals]:
    """Take the step of *condition*; return also the literals that were found in it."""
    own = Literals()
    try:
        return step(plan, values, (how, condition.key(own)), own, lambda: _filter(plan, condition, how)), own
    except OutOfRange:
        answered = with_any_number(condition)
        own = Literals()
        return step(plan, values, (how, answered.key(own)), own, lambda: _filter(plan, answered, how)), own


def _outline(negated: bool, args: Values, kwargs: dict[str, Any]) -> tuple[Hashable | None, Values]:
    """Return what a call consists of without its values (None for what Q cannot outline), and the values."""
    given: list[Any] = []
    if len(args) == 1 and not kwargs:
        condition = args[0]
        inner = condition.outline(given) if type(condition) is Q else None
        return None if inner is None else (negated, inner), tuple(given)
    parts: list[Hashable] = [negated]
    for arg in args:
        inner = arg.outline(given) if type(arg) is Q else None
        if inner is None:
            return None, ()
        parts.append(inner)
    return (*parts, *kwargs, *map(type, kwargs.values())), (*given, *kwargs.values())


def _remember(
    plan: Plan[Query], quick: Hashable, child: Plan[Query], given: Values, kwargs: dict[str, Any], own: Literals
) -> None:
    """Let *quick* lead to *child*, where each value *given* is None or one literal that is bound as it stands.

    Q sorts the names in *kwargs*, behind the conditions before them.
    """
    missing = 0
    for value in given:
        if value is None:
            missing += 1
        elif isinstance(value, _TAKEN_APART):
            return
    if len(own) + missing != len(given):
        return
    first = len(given) - len(kwargs)
    named = {name: place for place, name in enumerate(kwargs, first)}
    places = [*range(first), *[named[name] for name in sorted(kwargs)]]
    places = [place for place in places if given[place] is not None]
    if all(given[place] is value for place, value in zip(places, own, strict=True)):
        plan.remember(quick, child, taking(given, places, child.prepares or (None,) * len(own)))


_TAKEN_APART = (Node, QueryLike, tuple, list, set, dict)


def _filter(plan: Plan[Query], condition: Q, how: str) -> tuple[Query, Prepares]:
    query = plan.query
    resolver = Resolver(query, plan.slots, "exclude" if condition.negated else "filter", filtering=True)
    if how == "joined":
        resolver.call = ANY_CALL
    where, having, windows = resolver.conditions(condition)
    if having and query.group is None:
        raise FieldError(
            f"An aggregate in a condition of {query.model.__name__}.objects needs groups: annotate() it and filter by "
            "its name, or compare with a Subquery."
        )
    changed = resolver.applied(
        where=query.where + where,
        having=query.having + having,
        qualify=query.qualify + windows,
        calls=query.calls + (how != "sticky"),
    )
    return changed, resolver.taken


# -- order, slices, distinct -------------------------------------------------------------------------------------


def ordered(plan: Plan[Query], values: Values, keys: tuple[Any, ...]) -> Built:
    """`order_by`. Names alone are looked up as they stand."""
    quick = ("order_by", keys)
    if not keys or type(keys[0]) is str:  # expressions take long to hash
        found = plan.quick(quick)
        if found is not None:
            return found[0], values
    wrong = [key for key in keys if not isinstance(key, (str, Node))]
    if wrong:
        kinds = ", ".join(type(key).__name__ for key in wrong)
        raise FieldError(f"Invalid order_by arguments: order_by() takes names and expressions, got {kinds}.")
    if plan.query.is_sliced:
        raise TypeError("Cannot reorder a query once a slice has been taken.")
    built = answered(lambda given: _ordered(plan, values, given), keys)
    if _are_texts(keys):
        plan.remember(quick, built[0])
    return built


def _ordered(plan: Plan[Query], values: Values, names: tuple[Any, ...]) -> Built:
    collected = Literals()
    key = ("order_by", *[name.key(collected) if isinstance(name, Node) else name for name in names])

    def build() -> tuple[Query, Prepares]:
        query = orderable(plan.query, names)
        resolver = Resolver(query, plan.slots, "order_by")
        order: tuple[Any, ...] = resolver.order(names)
        if query.combined is None and order:
            order = (Asked(names, plan.slots),)
        changed = resolver.applied(order=order)
        return replace(changed, joins=query.joins), resolver.taken

    return step(plan, values, key, collected, build)


def reversed_(plan: Plan[Query]) -> Plan[Query]:
    """`reverse`."""
    if plan.query.is_sliced:
        raise TypeError("Cannot reverse a query once a slice has been taken.")
    return fixed(plan, "reverse", lambda query: replace(query, backwards=not query.backwards))


def distinct(plan: Plan[Query], names: tuple[str, ...]) -> Plan[Query]:
    """`distinct`."""
    refuse(plan.query, "distinct")
    if plan.query.is_sliced:
        raise TypeError("Cannot create distinct fields once a slice has been taken.")

    def build() -> tuple[Query, Prepares]:
        # Checked here; joined with the order, which must begin with the same columns, when the statement is made.
        for name in names:
            Resolver(plan.query, plan.slots, "distinct").reference(name)
        return replace(plan.query, distinct=True, distinct_on=names), ()

    return plan.step(("distinct", *names), build)


def sliced(plan: Plan[Query], values: Values, start: int | None, stop: int | None) -> Built:
    """Slicing: limits and offsets are values; a slice of a slice combines them."""
    begin = start or 0
    if begin < 0 or (stop is not None and stop < 0):
        raise ValueError("Negative indexing is not supported.")
    query = plan.query
    if query.limit is not None or query.offset is not None:
        return _sliced_again(plan, values, begin, stop)
    if stop is None:
        return _bounded(plan, False, begin > 0), (*values, begin) if begin else values
    if stop <= begin:
        return nothing(plan), values
    return _bounded(plan, True, begin > 0), (*values, stop - begin, begin) if begin else (*values, stop - begin)


def _sliced_again(plan: Plan[Query], values: Values, start: int, stop: int | None) -> Built:
    query = plan.query
    low = values[query.offset] if query.offset is not None else 0
    high = low + values[query.limit] if query.limit is not None else None
    begin = low + start
    end = high if stop is None else low + stop if high is None else min(high, low + stop)
    if end is not None and end <= begin:
        return nothing(plan), values
    limit, offset = end is not None, begin > 0 or query.offset is not None
    changed = list(values)
    for wanted, slot, value in ((limit, query.limit, end and end - begin), (offset, query.offset, begin)):
        if wanted and slot is not None:
            changed[slot] = value
        elif wanted:
            changed.append(value or 0)
    return _bounded(plan, limit, offset), tuple(changed)


def _bounded(plan: Plan[Query], limit: bool, offset: bool) -> Plan[Query]:
    key = ("slice", limit, offset)
    return plan.known(key) or plan.step(key, partial(_slice, plan, limit, offset))


def _slice(plan: Plan[Query], limit: bool, offset: bool) -> tuple[Query, Prepares]:
    query, free = plan.query, itertools.count(plan.slots)
    new_limit = query.limit if query.limit is not None or not limit else next(free)
    new_offset = query.offset if query.offset is not None or not offset else next(free)
    return replace(query, limit=new_limit, offset=new_offset), (None,) * (next(free) - plan.slots)


def nothing(plan: Plan[Query]) -> Plan[Query]:
    """`none`: no row, no statement."""
    return fixed(plan, "none", lambda query: replace(query, empty=True))


def at_most_one(plan: Plan[Query], how: str) -> Plan[Query]:
    """Return the plan with a limit that stands in the text (`first`, `last`)."""
    key = (how, 1)
    return plan.known(key) or fixed(plan, key, lambda query: _at_most_one(plan, query, how))


def _at_most_one(plan: Plan[Query], query: Query, how: str) -> Query:
    pk = query.model._meta.pk
    unordered = not query.is_ordered and not isinstance(query.group, tuple)
    if not query.is_ordered and isinstance(query.group, tuple):
        if not any(node.output is pk for node in query.group):
            raise TypeError(
                f"Cannot use QuerySet.{how}() on an unordered queryset performing aggregation. "
                "Add an ordering with order_by()."
            )
        unordered = True
    if query.combined is not None and pk.attname not in output_names(query):
        unordered = False
    order = Resolver(query, plan.slots, "order_by").order([pk.name]) if unordered else query.order
    return replace(query, ceiling=1, order=order, backwards=query.backwards ^ (how == "last"))


# -- annotations and columns -------------------------------------------------------------------------------------


def annotated(plan: Plan[Query], values: Values, expressions: Mapping[str, Any], hidden: bool = False) -> Built:
    """`annotate` and `alias`."""
    query = plan.query
    refuse(query, "alias" if hidden else "annotate")
    expressions = {
        name: Subquery(given) if isinstance(given, QueryLike) else given for name, given in expressions.items()
    }
    for name, expression in expressions.items():
        _check_annotation(query, name, expression)
    return answered(lambda given: _annotated(plan, values, given, hidden), expressions)


def _annotated(plan: Plan[Query], values: Values, expressions: Mapping[str, Any], hidden: bool) -> Built:
    query, collected = plan.query, Literals()
    key = ("alias" if hidden else "annotate", *[(name, node.key(collected)) for name, node in expressions.items()])

    def build() -> tuple[Query, Prepares]:
        changed, taken, kept = query, list[Any](), True
        for name, expression in expressions.items():
            resolver = Resolver(changed, plan.slots + len(taken), "annotate")
            if isinstance(expression, FilteredRelation):
                found = resolver.filtered(name, expression.relation_name, expression.named(name))
                changed = resolver.applied(filtered={**changed.filtered, name: found})
            else:
                node = typed(expression.resolve(resolver))
                for part in node.walk():
                    resolver.met(part)
                if node.contains_aggregate:
                    refuse_nested(node, name)
                changed = _with_annotation(resolver.applied(), name, node, hidden)
            taken.extend(resolver.taken)
            kept &= not isinstance(resolver.taken, Unkept)
        return changed, tuple(taken) if kept else Unkept(taken)

    return step(plan, values, key, collected, build)


def _with_annotation(query: Query, name: str, node: Node, hidden: bool) -> Query:
    group = query.group
    if node.contains_aggregate and query.kind != "object":
        # By what values() selects now, whatever an earlier aggregate was grouped by.
        group = tuple(column for _, column in query.columns if not column.contains_aggregate)
        refuse_as_groups(query.columns)
    elif node.contains_aggregate and group is None:
        group = "key"
    columns = query.columns
    if query.kind != "object" and not hidden:
        columns = (*columns, (name, node))
    return replace(
        query,
        annotations={**query.annotations, name: node},
        hidden=query.hidden | {name} if hidden else query.hidden - {name},
        group=group,
        columns=columns,
    )


def _check_annotation(query: Query, name: str, expression: Any) -> None:
    meta = query.model._meta
    if not isinstance(expression, (Node, FilteredRelation)):
        raise TypeError(
            f"QuerySet.annotate() received a non-expression for {name!r}: {type(expression).__name__}. "
            "Wrap literals in Value()."
        )
    if getattr(expression, "is_part", False):
        raise TypeError(
            f"QuerySet.annotate() received a part of an expression for {name!r}: {type(expression).__name__} stands "
            "within another one (When in Case, an order in order_by)."
        )
    if query.kind == "object":
        taken = meta.find(name) is not None or name in meta.relations or name == "pk"
    else:
        # As Django: what values() chose are the names of the rows; those of other fields are free.
        taken = any(name == chosen for chosen, _ in query.columns) and name not in query.annotations
    if taken:
        raise ValueError(f"The annotation {name!r} conflicts with a field on the model {meta.object_name}.")
    check_alias(name)


_FORBIDDEN = set("\"'`;%[](){}\\") | set(map(chr, range(33)))


def check_alias(name: str) -> None:
    """Refuse names that could not stand in SQL or in generated code as they are."""
    if not name or _FORBIDDEN.intersection(name) or "--" in name or "/*" in name:
        raise ValueError(
            "Column aliases cannot contain whitespace characters, quotation marks, semicolons, percent signs, "
            f"brackets, control characters, or SQL comments: {name!r}"
        )


def valued(
    plan: Plan[Query], values: Values, kind: Kind, names: tuple[Any, ...], expressions: Mapping[str, Any]
) -> Built:
    """`values` and `values_list`. Names alone are looked up as they stand."""
    quick = (kind, names)
    if not expressions and (not names or type(names[0]) is str):
        found = plan.quick(quick)
        if found is not None:
            return found[0], values
    if kind != "dict":
        names, expressions = _named_references(names)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"values() takes names of fields, and expressions as keywords, not {type(name).__name__} by position."
            )
    if expressions:
        plan, values = annotated(plan, values, expressions)
        names = (*names, *[name for name in expressions if name not in names])
    if kind == "flat" and len(names) > 1:
        raise TypeError("'flat' is not valid when values_list is called with more than one field.")
    if kind == "flat" and not names:
        names = (_first_name(plan.query),)
    made = plan.step((kind, *names), lambda: _valued(plan, kind, names))
    if not expressions and _are_texts(names):
        plan.remember(quick, made)
    return made, values


def _are_texts(names: tuple[Any, ...]) -> bool:
    return all(type(name) is str for name in names)


def _first_name(query: Query) -> str:
    """Return the name of the first column that the rows of *query* have."""
    if query.combined is not None:
        return output_names(query)[0]
    return query.columns[0][0] if query.columns else query.model._meta.fields[0].attname


def _valued(plan: Plan[Query], kind: Kind, names: tuple[str, ...]) -> tuple[Query, Prepares]:
    changed = with_columns(plan.query, kind, names)
    resolver = Resolver(changed, plan.slots, "values")
    for _, node in changed.columns:
        resolver.met(node)
    return changed, resolver.taken


def _named_references(names: Iterable[Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Split what ``values_list`` was given into names and expressions, naming the latter."""
    plain: list[str] = []
    expressions: dict[str, Any] = {}
    taken = {name for name in names if isinstance(name, str)}
    number = 0
    for name in names:
        if isinstance(name, Node):
            number += 1
            label = f"{_alias_of(name)}{number}"
            while label in taken:
                number += 1
                label = f"{_alias_of(name)}{number}"
            expressions[label] = name
            plain.append(label)
        else:
            plain.append(name)
    return tuple(plain), expressions


def _alias_of(expression: Node) -> str:
    """Return how the name of a column begins that holds *expression*, whose place among the expressions follows."""
    try:
        alias = getattr(expression, "default_alias", None)
    except TypeError:
        alias = None
    return alias or type(expression).__name__.lower()


# -- locks, and as part of another query --------------------------------------------------------------------------


def locking(plan: Plan[Query], nowait: bool, skip_locked: bool, of: tuple[str, ...], no_key: bool) -> Plan[Query]:
    """`select_for_update`."""
    if nowait and skip_locked:
        raise ValueError("The nowait option cannot be used with skip_locked.")
    refuse(plan.query, "select_for_update")
    lock = Lock(nowait, skip_locked, of, no_key)
    return fixed(plan, ("select_for_update", lock), lambda query: replace(query, lock=lock))


def as_lookup(qs: QuerySet[Any, Any], column: str | None) -> Subquery:
    """`lookup`."""
    query = qs._plan.query
    if column is None:
        if query.kind == "object":
            column = "pk"
        elif len(query.columns) == 1:
            return Subquery(qs)
        else:
            width = len(query.columns)
            raise ValueError(f"lookup() takes one column, these rows have {width}: name it, as lookup('pk').")
    if not isinstance(column, str):
        raise TypeError(f"lookup() takes the name of a column, not {type(column).__name__}.")
    meta = query.model._meta
    if column in ("pk", meta.pk.name) and meta.pk.is_composite:
        names = ", ".join(repr(field.name) for field in meta.pk.fields)
        raise ValueError(
            f"lookup({column!r}): the key of {query.model.__name__} has several columns; name one of {names}, or "
            f"compare the whole key: pk__in={query.model.__name__}.objects.filter(...)."
        )
    try:
        return Subquery(qs.values(column))
    except FieldError as exc:
        raise FieldDoesNotExist(f"{query.model.__name__} has no column {column!r} to look up: {exc}") from exc
