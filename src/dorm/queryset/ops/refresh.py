"""Loading the row of an instance again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dorm.db.connection import connections
from dorm.db.operation import Operation, operation
from dorm.db.router import router
from dorm.models.state import PREFETCHED, settle
from dorm.queryset.ops import fetch

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet


@operation
def refresh(
    instance: Any,
    using: str | None = None,
    fields: Iterable[str] | None = None,
    from_queryset: QuerySet[Any, Any] | None = None,
) -> Operation[None]:
    """Load columns of *instance* again; drop its cached relations."""
    meta = instance._meta
    names = None if fields is None else _columns(instance, [fields] if isinstance(fields, str) else list(fields))
    if names is not None and not names:
        return
    deferred = instance.get_deferred_fields()
    if names is None and deferred:
        names = [field.attname for field in meta.fields if field.attname not in deferred]
    qs = type(instance)._base_manager.get_queryset() if from_queryset is None else from_queryset
    alias = using or (qs._alias if from_queryset is not None else None) or instance._state.db
    database = connections[alias or router.db_for_read(type(instance), {"instance": instance})]
    qs = qs.using(database.alias)
    if names is not None:
        qs = qs.only(*names)
    fresh = yield from fetch.get(qs, (), {"pk": instance.pk})
    _take(instance, fresh, names is None or fields is None)
    settle(instance.__dict__, database.alias)


def _columns(instance: Any, names: list[str]) -> list[str]:
    """Return the names that are columns; what was prefetched for the others is dropped from the instance."""
    meta = instance._meta
    prefetched = instance.__dict__.get(PREFETCHED, {})
    found: list[str] = []
    for name in names:
        if "__" in name:
            raise ValueError(
                f'Found "__" in fields argument: {name!r}. Relations and transforms are not allowed in fields.'
            )
        if prefetched.pop(name, None) is not None:
            continue
        field = meta.get_field(name, where="refresh_from_db()")
        if getattr(field, "accessor", None) is not None:
            instance.__dict__.pop(field.object_key, None)
        if field in meta.fields:
            found.append(field.attname)
    return found


def _take(instance: Any, fresh: Any, everything: bool) -> None:
    """Take over the columns of *fresh*, and forget what was cached along with them."""
    meta = instance._meta
    target, loaded = instance.__dict__, fresh.__dict__
    for field in meta.fields:
        if field.attname in loaded:
            target[field.attname] = loaded[field.attname]
            if field.is_relation:
                target.pop(field.object_key, None)
                if loaded.get(field.object_key) is not None:
                    # select_related of the queryset it was loaded from.
                    target[field.object_key] = loaded[field.object_key]
    if everything:
        target.pop(PREFETCHED, None)
    for field in meta.private_fields:
        if field.is_relation:
            # The object of a generic foreign key, whose columns say what it is.
            target.pop(field.name, None)
            if field.name in loaded:
                target[field.name] = loaded[field.name]
    for relation in meta.related_objects:
        if not relation.multi:
            target.pop(relation.object_key, None)
