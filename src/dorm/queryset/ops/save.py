"""Saving, refreshing and deleting one instance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dorm.db.connection import Database, connections
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import CallUser, Execute, Query as Fetch
from dorm.db.router import router
from dorm.exceptions import DatabaseError, choices_text, nearest
from dorm.fields.defaults import DatabaseDefault
from dorm.models.state import ORIGIN, is_adding, origin_of
from dorm.queryset import selects
from dorm.queryset.ops import announce, rowwrite, write
from dorm.signals import post_save, pre_save
from dorm.sql.node import Node

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet


def alias_for_write(instance: Any, using: str | None) -> str:
    """Return the alias an instance is written to: the one given, its own, or the routers' answer."""
    if using is not None:
        return using
    origin = instance.__dict__.get(ORIGIN)
    if origin is not None:
        alias: str = origin.alias
        return alias
    return router.db_for_write(type(instance), {"instance": instance})


@operation
def save(
    instance: Any, force_insert: bool, force_update: bool, using: str | None, update_fields: Iterable[str] | None
) -> Operation[None]:
    """Insert or update the row of *instance*."""
    meta = instance._meta
    chosen = _chosen(meta, update_fields)
    if force_insert and (force_update or chosen is not None):
        raise ValueError("Cannot force both insert and updating in model saving.")
    if chosen is not None and not chosen:
        return
    for field in meta.fields:
        if field.is_relation:
            field.check_saved(instance)
    database = connections[alias_for_write(instance, using)]
    listened = pre_save.has_listeners or post_save.has_listeners
    told = {"instance": instance, "raw": False, "using": database.alias, "update_fields": _names(chosen)}
    if listened:
        yield from announce.announce(pre_save, type(instance), **told)
    created = yield from _write(instance, database, chosen, force_insert, force_update)
    instance.__dict__[ORIGIN] = origin_of(database.alias)
    if listened:
        yield from announce.announce(post_save, type(instance), created=created, **told)


def _chosen(meta: Any, update_fields: Iterable[str] | None) -> tuple[Any, ...] | None:
    """Return the fields of ``update_fields``, None when all are meant."""
    if update_fields is None:
        return None
    names = [update_fields] if isinstance(update_fields, str) else list(update_fields)
    unknown = [name for name in names if meta.find(name) is None or meta.find(name).primary_key]
    if unknown:
        possible = [field.name for field in meta.fields if not field.primary_key]
        raise ValueError(
            f"update_fields names {unknown[0]!r}, which is no non-key field of {meta.object_name}."
            f"{nearest(unknown[0], possible)} Fields: {choices_text(possible)}."
        )
    wanted = {meta.find(name) for name in names}
    return tuple(field for field in meta.fields if field in wanted)


def _names(fields: tuple[Any, ...] | None) -> frozenset[str] | None:
    return None if fields is None else frozenset(field.name for field in fields)


@operation
def _write(
    instance: Any, database: Database, chosen: tuple[Any, ...] | None, force_insert: bool, force_update: bool
) -> Operation[bool]:
    """Write the row; return True when it was inserted."""
    meta = instance._meta
    values = instance.__dict__
    adding = is_adding(values)
    insist = force_update or chosen is not None
    fields = chosen or tuple(
        field for field in meta.fields if not field.primary_key and not field.generated and field.attname in values
    )
    if not adding and chosen is None and len(fields) < len(meta.fields) - 1:
        # Columns that were not loaded are not written.
        insist = insist or bool(instance.get_deferred_fields())
    key = values.get(meta.pk.attname)
    if key is None and insist:
        raise ValueError("Cannot force an update in save() with no primary key.")
    fresh_key = adding and meta.pk.has_default() and not insist
    if key is not None and not force_insert and not fresh_key:
        if (yield from _update(instance, database, fields, key)):
            return False
        if insist:
            what = "Save with update_fields" if chosen is not None else "Forced update"
            raise DatabaseError(f"{what} did not affect any rows: {meta.object_name} is not in {database.alias!r}.")
    yield from _insert(instance, database)
    return True


@operation
def _update(instance: Any, database: Database, fields: tuple[Any, ...], key: Any) -> Operation[bool]:
    """Update the row; return whether there was one."""
    values = [field.pre_save(instance, False) for field in fields]
    if not fields or any(isinstance(value, Node) for value in values):
        qs = type(instance)._base_manager.get_queryset().using(database.alias).filter(pk=key)
        if not fields:
            return bool((yield from perform(Fetch(database, _exists(qs, database)))))
        new = {field.name: value for field, value in zip(fields, values, strict=True)}
        return bool((yield from write.update(qs, new)))
    wanted = rowwrite.update(type(instance), database.dialect, fields)
    return bool((yield from perform(Execute(database, wanted.statement([*values, key])))))


def _exists(qs: QuerySet[Any, Any], database: Database) -> Any:
    return selects.existing(qs._plan, database.dialect).statement(qs._values)


@operation
def _insert(instance: Any, database: Database) -> Operation[None]:
    """Insert the row; take back what the database made."""
    meta = instance._meta
    fields = insert_fields(meta, instance)
    values = [field.pre_save(instance, True) for field in fields]
    if any(isinstance(value, Node) for value in values):
        name = next(field.name for field, value in zip(fields, values, strict=True) if isinstance(value, Node))
        raise ValueError(
            f"{meta.object_name}.{name} holds an expression, which a row that is only inserted cannot refer to: "
            "give a value, or save first and update then."
        )
    wanted = rowwrite.insert(type(instance), database.dialect, fields)
    if wanted.back and database.dialect.supports_returning:
        rows = yield from perform(Fetch(database, wanted.statement(values)))
        wanted.take_back(instance, rows[0])
    else:
        yield from perform(Execute(database, wanted.statement(values)))


def insert_fields(meta: Any, instance: Any) -> tuple[Any, ...]:
    """Return the fields whose columns an INSERT of *instance* names: all but those the database fills."""
    values = instance.__dict__
    return tuple(
        field
        for field in meta.fields
        if field.attname in values
        and not field.generated
        and not (field.sql_type.auto and values[field.attname] is None)
        and not isinstance(values[field.attname], DatabaseDefault)
    )


@operation
def create(qs: QuerySet[Any, Any], values: dict[str, Any]) -> Operation[Any]:
    """Make an instance and save it, honouring an overridden ``save`` or ``asave``."""
    model = qs.model
    instance = model(**values)
    yield from saved(instance, using=qs._alias, force_insert=True)
    return instance


@operation
def saved(
    instance: Any, using: str | None, update_fields: Iterable[str] | None = None, force_insert: bool = False
) -> Operation[None]:
    """Save *instance*, honouring an overridden ``save`` or ``asave``."""
    model = type(instance)
    from_base = model._base_save
    if model.save is from_base[0] and model.asave is from_base[1]:
        yield from instance._save_operation(force_insert, False, using, update_fields)
        return
    told: dict[str, Any] = {"using": using}
    if force_insert:
        told["force_insert"] = True
    if update_fields is not None:
        told["update_fields"] = update_fields
    one = "asave" if model.save is not from_base[0] else "save"
    both = model.save is not from_base[0] and model.asave is not from_base[1]
    sync_fn = instance.save if both or one == "asave" else None
    async_fn = instance.asave if both or one == "save" else None
    refuse = announce.missing_twin(model, one)
    yield CallUser(sync_fn or refuse, async_fn or announce.awaited(refuse), **told)
