"""Aggregates over all rows of a queryset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.aggregates.base import is_known_over_nothing, over_nothing, refuse_nested
from dorm.cache.wanted import fetched
from dorm.db.operation import Operation, operation
from dorm.exceptions import NotSupportedError
from dorm.lookups.values import answered
from dorm.models.resolve import Resolver
from dorm.models.rows import RowShape, hydrator
from dorm.queryset import build, selects, totals
from dorm.queryset.ops.fetch import reading
from dorm.record import replace
from dorm.sql.node import Literals, Node, typed

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect
    from dorm.queryset.query import Query
    from dorm.queryset.queryset import QuerySet
    from dorm.sql.plan import Plan, Prepares


def named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the aggregates by name; those given by position are named after their path and function."""
    found: dict[str, Any] = {}
    for expression in args:
        alias = getattr(expression, "default_alias", None)
        if alias is None:
            raise TypeError("Complex annotations require an alias: give the expression as a keyword.")
        if alias in kwargs or found.get(alias, expression) != expression:
            raise ValueError(f"The named annotation {alias!r} conflicts with the default name for another annotation.")
        found[alias] = expression
    return {**found, **kwargs}


@operation
def aggregate(qs: QuerySet[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation[dict[str, Any]]:
    """Return the aggregates of all rows by name."""
    aggregates = named(args, kwargs)
    if not aggregates:
        return {}
    for name, expression in aggregates.items():
        if not isinstance(expression, Node):
            raise TypeError(
                f"QuerySet.aggregate() received a non-expression for {name!r}: {type(expression).__name__}."
            )
        build.check_alias(name)
    plan, values = answered(lambda given: _asked(qs, given), aggregates)
    database = reading(qs, locks=False)
    dialect = database.dialect
    compiled = plan.derive(("aggregate", dialect.fingerprint), lambda: selects.sized(_compiled(plan, dialect)))
    if compiled.empty and all(is_known_over_nothing(node) for _, node in plan.query.aggregates):
        return {name: over_nothing(node, values) for name, node in plan.query.aggregates}
    found = yield from fetched(database, compiled.statement(values), plan, qs._cache)
    result: dict[str, Any] = compiled.hydrate(found, database.alias)[0]
    return result


def _asked(qs: QuerySet[Any, Any], aggregates: dict[str, Any]) -> build.Built:
    """Return the plan of the aggregates and the values of the whole."""
    collected = Literals()
    key = ("aggregate", *[(name, node.key(collected)) for name, node in aggregates.items()])
    return build.step(qs._plan, qs._values, key, collected, lambda: _resolved(qs._plan, aggregates))


def _resolved(plan: Plan[Query], aggregates: dict[str, Any]) -> tuple[Query, Prepares]:
    if plan.query.distinct_on:
        raise NotSupportedError("aggregate() + distinct(fields) not implemented.")
    resolver = Resolver(plan.query, plan.slots, "aggregate")
    found: dict[str, Node] = {}
    for name, expression in aggregates.items():
        node = typed(expression.resolve(resolver))
        if not node.contains_aggregate:
            raise TypeError(f"{name} is not an aggregate expression")
        refuse_nested(node, name, found.values())
        found[name] = node
        # What follows may refer to it by its name.
        known = plan.query.annotations
        resolver.query = replace(resolver.query, annotations={**known, **found})
    changed = resolver.applied(aggregates=tuple(found.items()))
    return replace(changed, annotations=plan.query.annotations), resolver.taken


def _compiled(plan: Plan[Query], dialect: Dialect) -> selects.Compiled:
    query = plan.query
    select = totals.aggregate_select(query, query.aggregates)
    outputs = [node.output for _, node in query.aggregates]
    made = selects.compiled(plan, dialect, select, outputs)
    shape = RowShape("dict", tuple(name for name, _ in query.aggregates))
    made.hydrate, made.source, made.is_plain = hydrator(shape, outputs, dialect)
    return made
