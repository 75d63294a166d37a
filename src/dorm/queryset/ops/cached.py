"""Single rows through the cache, each under its key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dorm.cache.wanted import CacheSettings, fetched_each
from dorm.db.connection import Database
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Query as Fetch
from dorm.exceptions import InvalidValue
from dorm.queryset import build, selects
from dorm.queryset.hydration import hydrated
from dorm.queryset.ops import fetch
from dorm.queryset.ops.write import parts

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet


@operation
def get(qs: QuerySet[Any, Any], pk: Any, wanted: CacheSettings) -> Operation[Any]:
    """Return the row with that key."""
    found = yield from get_many(qs, (pk,), wanted)
    for row in found.values():
        return row
    raise qs.model.DoesNotExist(f"{qs.model.__name__} matching query does not exist (pk).")


@operation
def get_many(qs: QuerySet[Any, Any], pks: Iterable[Any], wanted: CacheSettings) -> Operation[dict[Any, Any]]:
    """Return the rows with these keys, by key, in the order asked for; those missing in the cache by one statement."""
    qs = qs.order_by()
    database = fetch.reading(qs)
    keys = [key for key in dict.fromkeys(_plain_key(qs.model._meta, pk) for pk in pks) if key is not None]
    if not keys:
        return {}
    built = [build.filtered(qs._plan, qs._values, (), {"pk": key}) for key in keys]
    plan = built[0][0]
    one = selects.rows(plan, database.dialect)
    statements = [one.statement(values) for _, values in built]

    def missing(positions: list[int]) -> Operation[list[list[Any]]]:
        return _rows_of(qs, [keys[position] for position in positions], database)

    raw = yield from fetched_each(database, statements, plan, wanted, missing)
    found = hydrated(one, plan.query, [row for rows in raw for row in rows], database.alias)
    if found and qs._follows:
        yield from qs._prefetching(found, database.alias)
    return {row.pk: row for row in found}


@operation
def _rows_of(qs: QuerySet[Any, Any], keys: list[Any], database: Database) -> Operation[list[list[Any]]]:
    """Return the driver's rows for each key: one, or none."""
    by_key: dict[Any, list[Any]] = {}
    for some in parts(keys, database, len(qs.model._meta.pk_fields)):
        plan, values = build.filtered(qs._plan, qs._values, (), {"pk__in": some})
        compiled = selects.rows(plan, database.dialect)
        raw = yield from perform(Fetch(database, compiled.statement(values)))
        # Of a copy: an instance takes the place of its row in the list.
        for row, instance in zip(raw, hydrated(compiled, plan.query, list(raw), database.alias), strict=True):
            by_key[instance.pk] = [row]
    return [by_key.get(key, []) for key in keys]


def _plain_key(meta: Any, pk: Any) -> Any:
    """Return a key as rows have it, None for one that no row can have."""
    try:
        if not meta.pk.is_composite:
            return None if pk is None else meta.pk.to_python(meta.pk.prepare(pk))
        return tuple(field.to_python(field.prepare(value)) for field, value in zip(meta.pk_fields, pk, strict=True))
    except InvalidValue as exc:
        if exc.code == "invalid" and type(exc) is InvalidValue:
            raise
        return None
