"""Objects, and querysets of objects, as what a condition on a relation or a key compares with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dorm.sql.node import Node, QueryLike
from dorm.sql.row import Row


def of_partner(meta: Any, prepare: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Return *prepare* for objects of the model of *meta* as well as for their keys; other objects are refused."""

    def key(value: Any) -> Any:
        if not hasattr(type(value), "_meta"):
            return value
        given = type(value)
        if not issubclass(given, meta.concrete_model) and not issubclass(meta.concrete_model, given):
            raise ValueError(f'Cannot query "{given.__name__} object": Must be "{meta.object_name}" instance.')
        if value.pk is None:
            raise ValueError(f"This {given.__name__} has no key, which a condition on it needs. Save it first.")
        return value.pk

    def prepared(value: Any) -> Any:
        value = [key(each) for each in value] if isinstance(value, (list, tuple, set, frozenset)) else key(value)
        return value if prepare is None else prepare(value)

    return prepared


def related_value(node: Node, value: Any, partner: Any = None) -> Any:
    """Return the right side of a lookup; a queryset of objects as that of the keys that *node* holds."""
    target = getattr(node.output, "target_field", None) if partner is None else partner.pk
    if isinstance(value, QueryLike) and target is not None:
        return value.selecting(target)
    return value


def key_of(row: Row) -> Any:
    """Return the composite key whose columns *row* holds."""
    return row.args[0].output.model._meta.pk  # type: ignore[union-attr]  # it holds the columns of fields
