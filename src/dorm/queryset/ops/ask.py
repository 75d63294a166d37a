"""Questions about rows: the earliest, whether an object is among them, pages, and how the database would find them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Query as Fetch
from dorm.db.statement import Statement, Template
from dorm.exceptions import FieldError, ObjectDoesNotExist, UnsavedInstance
from dorm.expressions.core import F
from dorm.expressions.predicate import Q
from dorm.models.resolve import Resolver
from dorm.queryset import selects
from dorm.queryset.combine import refuse
from dorm.queryset.ops import fetch
from dorm.record import Record

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

T = TypeVar("T")

_MARK = "_cursor_"


@operation
def extreme(qs: QuerySet[Any, Any], fields: tuple[Any, ...], latest: bool) -> Operation[Any]:
    """Return the first row by *fields* (``Meta.get_latest_by``), or the last one; raise DoesNotExist."""
    keys: Any = fields or qs.model._meta.get_latest_by
    if not keys:
        raise ValueError(
            "earliest() and latest() require either fields as positional arguments or 'get_latest_by' in the model's "
            "Meta."
        )
    if qs._plan.query.is_sliced:
        raise TypeError("Cannot change a query once a slice has been taken.")
    ordered = qs.order_by(*([keys] if isinstance(keys, str) else keys))
    found = yield from fetch.first(ordered.reverse() if latest else ordered, "first")
    if found is None:
        raise qs.model.DoesNotExist(f"{qs.model.__name__} matching query does not exist.")
    return found


@operation
def contains(qs: QuerySet[Any, Any], obj: Any) -> Operation[bool]:
    """Return whether *obj* is among the rows; by the rows that were fetched, else by one statement."""
    query = qs._plan.query
    refuse(query, "contains")
    if query.kind != "object":
        raise TypeError("Cannot call QuerySet.contains() after .values() or .values_list().")
    meta = getattr(obj, "_meta", None)
    if meta is None or isinstance(obj, type):
        raise TypeError("'obj' must be a model instance.")
    if meta.concrete_model is not query.model._meta.concrete_model:
        return False
    if not obj._is_pk_set():
        raise UnsavedInstance("QuerySet.contains() cannot be used on unsaved objects.")
    if qs._rows is not None:
        return obj in qs._rows
    if query.is_sliced:
        rows: QuerySet[Any, Any] = qs.model._base_manager.using(fetch.alias_for_read(qs)).filter(pk__in=qs)
        return (yield from fetch.exists(rows.filter(pk=obj.pk)))
    return (yield from fetch.exists(qs.filter(pk=obj.pk)))


@operation
def get_or_none(qs: QuerySet[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation[Any]:
    """Return the one row that matches, None where there is none."""
    try:
        return (yield from fetch.get(qs, args, kwargs))
    except ObjectDoesNotExist:
        return None


@operation
def explain(qs: QuerySet[Any, Any], fmt: str | None, options: dict[str, Any]) -> Operation[str]:
    """Return how the database would find the rows."""
    database = fetch.reading(qs)
    prefix = database.dialect.explain(fmt, options)
    compiled = selects.rows(qs._plan, database.dialect)
    if compiled.empty:
        return ""
    statement = compiled.statement(qs._values)
    template = Template(prefix + statement.sql, prepare=False, model=compiled.template.model)
    found = yield from perform(Fetch(database, Statement(template, statement.params)))
    return "\n".join(" ".join(map(_shown, row)) for row in found)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


# -- pages -------------------------------------------------------------------------------------------------------


class CursorPage(Record, Generic[T]):
    """One page of rows.

    Attributes:
        items: the rows.
        next_cursor: what ``after=`` takes for the next page; None on the last one.
    """

    items: list[T]
    next_cursor: str | None

    @property
    def has_next(self) -> bool:
        """True when there are rows behind this page."""
        return self.next_cursor is not None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@operation
def cursor_page(
    qs: QuerySet[Any, Any], after: str | None, order_by: str | Sequence[str], page_size: int
) -> Operation[CursorPage[Any]]:
    """Return the page behind the cursor *after*: found by comparing keys, so no offset is counted off."""
    if page_size <= 0:
        raise ValueError("page_size must be positive.")
    if qs._plan.query.kind != "object":
        raise TypeError("Cannot call cursor_paginate() after .values() or .values_list()")
    keys = _keys(qs, order_by)
    marks = {f"{_MARK}{number}": F(name) for number, (name, _, _) in enumerate(keys)}
    rows = qs.annotate(**marks)
    if after is not None:
        rows = rows.filter(_behind(keys, _decoded(after, rows, keys)))
    order = [
        F(name).desc(nulls_last=optional or None) if down else F(name).asc(nulls_last=optional or None)
        for name, down, optional in keys
    ]
    found = yield from fetch.fetch(rows.order_by(*order)[: page_size + 1])
    items = found[:page_size]
    cursor = _encoded(items[-1], len(keys)) if len(found) > page_size else None
    for item in found:
        for mark in marks:
            item.__dict__.pop(mark, None)
    return CursorPage(items, cursor)


Key = tuple[str, bool, bool]
"""Name, descending, may be NULL."""


def _keys(qs: QuerySet[Any, Any], order_by: str | Sequence[str]) -> list[Key]:
    names = [order_by] if isinstance(order_by, str) else list(order_by)
    if not names or "?" in names:
        raise ValueError("cursor_paginate() needs an order: name at least one field, and none at random.")
    pk = qs.model._meta.pk.name
    if not {name.lstrip("-") for name in names} & {"pk", pk}:
        names.append("-pk" if names[-1].startswith("-") else "pk")
    resolver = Resolver(qs._plan.query, 0, "cursor_paginate")
    return [(name.lstrip("-"), name.startswith("-"), resolver.reference(name.lstrip("-")).nullable) for name in names]


def _behind(keys: list[Key], values: list[Any]) -> Q:
    """Return the condition that a row comes after one with these *values*; NULLs come last."""
    (name, down, optional), value = keys[0], values[0]
    rest = _behind(keys[1:], values[1:]) if len(keys) > 1 else None
    if value is None:
        return Q((f"{name}__isnull", True)) & rest if rest is not None else Q(pk__in=[])
    further = Q((f"{name}__{'lt' if down else 'gt'}", value))
    if optional:
        further |= Q((f"{name}__isnull", True))
    return further if rest is None else further | (Q((name, value)) & rest)


def _encoded(item: Any, number: int) -> str:
    values = [item.__dict__[f"{_MARK}{position}"] for position in range(number)]
    plain = [value if value is None or isinstance(value, (bool, int, float)) else str(value) for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def _decoded(cursor: str, rows: QuerySet[Any, Any], keys: list[Key]) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, TypeError) as exc:
        raise ValueError("Invalid cursor: it is none that cursor_paginate() gave.") from exc
    if not isinstance(values, list) or len(values) != len(keys):
        raise ValueError("Invalid cursor: it belongs to another order.")
    annotations = rows._plan.query.annotations
    outputs = [annotations[f"{_MARK}{number}"].output for number in range(len(keys))]
    try:
        return [
            value if value is None or output is None or not output.prepares else output.prepare(value)
            for value, output in zip(values, outputs, strict=True)
        ]
    except (FieldError, ValueError) as exc:
        raise ValueError("Invalid cursor: its values are none of this order's.") from exc
