"""Pickled querysets: their rows, and enough to ask further questions about them."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

from dorm.db.operation import run
from dorm.queryset.ops import fetch

if TYPE_CHECKING:
    from dorm.queryset.query import Kind
    from dorm.queryset.queryset import QuerySet


def pickled(qs: QuerySet[Any, Any]) -> tuple[Any, ...]:
    """Return what `restored` needs; fetches the rows."""
    query = qs._plan.query
    rows = run(fetch.fetch(qs))
    names = tuple(name for name, _ in query.columns)
    plain = [tuple(row) for row in rows] if query.kind == "named" else list(rows)
    return query.model, qs._alias, query.kind, names, plain


def restored(
    cls: type[QuerySet[Any, Any]], model: Any, alias: str | None, kind: Kind, names: tuple[str, ...], rows: list[Any]
) -> QuerySet[Any, Any]:
    """Return a queryset with *rows*; further methods start from objects with their keys, for rows that are objects."""
    made = cls(model=model, using=alias)
    if kind == "object":
        made = made.filter(pk__in=[row.pk for row in rows])
    elif kind == "named":
        make: Any = namedtuple
        row_class = make("Row", names)
        rows = [row_class(*row) for row in rows]
    return made._filled(rows)
