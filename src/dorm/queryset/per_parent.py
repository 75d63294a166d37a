"""A slice of the rows of each parent: what a sliced queryset means where it is prefetched."""

from __future__ import annotations

from typing import Any

from dorm.expressions.core import F, OrderBy
from dorm.expressions.window import Window
from dorm.lookups.core import Comparison
from dorm.models.resolve import Resolver
from dorm.queryset import build, selects
from dorm.queryset.build import Built, Values
from dorm.queryset.query import Query
from dorm.record import replace
from dorm.sql.node import INTEGER_OUTPUT, Node, Param
from dorm.sql.plan import Plan, Prepares
from dorm.sql.select import Order

Bounds = tuple[int, int | None]


def taken_off(plan: Plan[Query], values: Values) -> tuple[Plan[Query], Bounds]:
    """Return the plan without its slice, and the slice: how many rows are left out, and up to which they go."""
    query = plan.query
    low = values[query.offset] if query.offset is not None else 0
    high = low + values[query.limit] if query.limit is not None else None
    return build.fixed(plan, "unsliced", lambda each: replace(each, limit=None, offset=None)), (low, high)


def sliced(plan: Plan[Query], values: Values, path: str, bounds: Bounds) -> Built:
    """Keep, of the rows that share a value of *path*, those within *bounds* in the order of the query."""
    low, high = bounds
    own = (low,) if high is None else (low, high)

    def make() -> tuple[Query, Prepares]:
        from dorm.functions.window import RowNumber

        # The slots of the order's values were taken when it was asked for; those of the bounds are new.
        ordering = Resolver(plan.query, plan.slots, "prefetch_related")
        order = [_order_by(each) for each in selects.order_of(plan.query, ordering)]
        resolver = Resolver(ordering.applied(), plan.slots, "prefetch_related")
        position = Window(RowNumber(), partition_by=F(path), order_by=order or "pk").resolve(resolver)
        conditions: list[Node] = [Comparison("gt", position, Param(resolver.slot(None), INTEGER_OUTPUT))]
        if high is not None:
            conditions.append(Comparison("lte", position, Param(resolver.slot(None), INTEGER_OUTPUT)))
        return resolver.applied(qualify=(*plan.query.qualify, *conditions)), resolver.taken

    return plan.step(("per parent", path, high is None), make), (*values, *own)


def _order_by(order: Order) -> Any:
    first, last = order.nulls == "first" or None, order.nulls == "last" or None
    return OrderBy(order.node, order.descending, first, last)
