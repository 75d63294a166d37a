"""`update`: what is written into which column."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from dorm.db.types import Range
from dorm.exceptions import FieldError
from dorm.expressions.core import Value
from dorm.expressions.subquery import Subquery
from dorm.lookups.values import answered, value_key
from dorm.models.resolve import Resolver
from dorm.queryset.build import Built, Values, step
from dorm.queryset.combine import refuse
from dorm.sql.convert import as_read, as_type
from dorm.sql.node import Column, Literals, Node, QueryLike

if TYPE_CHECKING:
    from dorm.queryset.query import Query
    from dorm.sql.plan import Plan, Prepares


_CONTAINERS = (list, tuple, dict, Range)


def assigned(plan: Plan[Query], values: Values, new: Mapping[str, Any]) -> Built:
    """`update`: the new values of columns, as literals or expressions."""
    refuse(plan.query, "update")
    if plan.query.distinct_on:
        raise TypeError("Cannot call update() after .distinct(*fields).")
    new = {name: Subquery(value) if isinstance(value, QueryLike) else value for name, value in new.items()}
    return answered(lambda given: _assigning(plan, values, given), new)


def _assigning(plan: Plan[Query], values: Values, new: Mapping[str, Any]) -> Built:
    collected = Literals()
    parts: list[tuple[str, Hashable]] = []
    for name, value in new.items():
        if isinstance(value, Node):
            parts.append((name, value.key(collected)))
        elif value is None:
            parts.append((name, None))
        else:
            collected.append(value)
            parts.append((name, value_key("", value, Literals())))
    return step(plan, values, ("update", *parts), collected, lambda: _assigned(plan, new))


def _assigned(plan: Plan[Query], new: Mapping[str, Any]) -> tuple[Query, Prepares]:
    query = plan.query
    meta = query.model._meta
    resolver = Resolver(query, plan.slots, "update")
    pairs = []
    for name, value in new.items():
        field = meta.pk if name == "pk" else meta.get_field(name, where="update()")
        if getattr(field, "column", None) is None:
            if getattr(field, "is_composite", False):
                raise FieldError("Composite primary key fields must be updated individually.")
            raise FieldError(
                f"Cannot update model field {field!r} (only non-relations and foreign keys permitted): "
                f"{meta.object_name}.{name}."
            )
        if field.generated:
            raise FieldError(f"{field} is generated: the database computes it, and update() cannot set it.")
        if type(value) is Value and value.output is None and isinstance(value.value, _CONTAINERS):
            # A list may be an array, a dict an hstore: the column knows.
            value = value.value
        node = value.resolve(resolver) if isinstance(value, Node) else resolver.literal(field, value)
        if node.contains_aggregate:
            raise FieldError(f"Aggregate functions are not allowed in update(): {meta.object_name}.{name}")
        if node.contains_window:
            raise FieldError(f"Window expressions are not allowed in update(): {meta.object_name}.{name}")
        if any(isinstance(part, Column) and part.alias != query.alias for part in node.walk()):
            raise FieldError(f"Joined field references are not permitted in update(): {meta.object_name}.{name}")
        pairs.append((field.column, as_type(as_read(node, field), field)))
    return resolver.applied(assigned=tuple(pairs)), resolver.taken
