"""Pickled querysets: their rows, and enough to ask further questions about them; pickled queries, without rows."""

from __future__ import annotations

import io
import pickle
from collections import namedtuple
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dorm.conf.registry import registry
from dorm.db.operation import run
from dorm.models.options import Options
from dorm.models.rows import distinct_names
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
        row_class = make("Row", distinct_names(names))
        rows = [row_class(*row) for row in rows]
    return made._filled(rows)


# -- queries -----------------------------------------------------------------------------------------------------


class _QueryPickler(pickle.Pickler):
    """Writes a description of a query; what models declare is named, not copied."""

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        if isinstance(obj, type):
            meta = getattr(obj, "_meta", None)
            named = isinstance(meta, Options) and meta.apps is registry and not meta.abstract
            return ("model", meta.app_label, meta.object_name) if named and meta is not None else None
        if isinstance(obj, Options):
            return ("meta", obj.model)
        field = getattr(obj, "field", None)
        if field is not None and getattr(field, "model", None) is not None:
            for attribute in ("relation", "remote_field"):
                if getattr(field, attribute, None) is obj:
                    return (attribute, field)
        if getattr(obj, "contribute_to_class", None) is not None and getattr(obj, "model", None) is not None:
            return ("field", obj.model, obj.name)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, MappingProxyType):
            return _fixed, (dict(obj),)
        return NotImplemented


def _fixed(given: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(given)


class _QueryUnpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        kind, of, *rest = pid
        if kind == "model":
            return registry.get(of, rest[0])
        if kind == "meta":
            return of._meta
        return of._meta.get_field(rest[0]) if kind == "field" else getattr(of, kind)


def pickled_query(model: Any, query: Any, values: tuple[Any, ...]) -> bytes:
    """Return a query and its values as bytes."""
    buffer = io.BytesIO()
    _QueryPickler(buffer).dump((model, query, values))
    return buffer.getvalue()


def restored_query(data: bytes) -> Any:
    """Return what `pickled_query` was given, as something to assign to the `query` of a queryset."""
    from dorm.db.connection import connections
    from dorm.db.router import router
    from dorm.queryset.selects import Shown

    model, query, values = _QueryUnpickler(io.BytesIO(data)).load()
    plan = model._meta.plan.step(("unpickled", data), lambda: (query, (None,) * len(values)))
    return Shown(plan, values, connections[router.db_for_read(model, None)].dialect)
