"""``Meta.order_with_respect_to``: the place of a row among those that share its relation."""

from __future__ import annotations

from typing import Any

from dorm.aggregates import Max
from dorm.db.connection import Database
from dorm.db.operation import Operation, operation
from dorm.queryset.ops import aggregate


@operation
def place_last(instance: Any, meta: Any, database: Database) -> Operation[None]:
    """Give a row that is to be inserted the place after its siblings."""
    siblings = related_rows(instance, meta).using(database.alias)
    found = yield from aggregate.aggregate(siblings, (), {"last": Max("_order")})
    instance.__dict__["_order"] = 0 if found["last"] is None else found["last"] + 1


@operation
def place_all_last(objs: list[Any], meta: Any, database: Database) -> Operation[None]:
    """Give rows that are to be inserted together places after their siblings, in their own order."""
    field = meta.row_order
    places: dict[Any, int] = {}
    for obj in objs:
        key = getattr(obj, field.attname)
        if key in places:
            places[key] += 1
            obj.__dict__["_order"] = places[key]
        else:
            yield from place_last(obj, meta, database)
            places[key] = obj.__dict__["_order"]


def related_rows(instance: Any, meta: Any) -> Any:
    """Return the rows of the model that share the instance's relation."""
    field = meta.row_order
    return meta.base_manager.get_queryset().filter(**{field.attname: getattr(instance, field.attname)})
