"""Saving one instance: which of INSERT and UPDATE, of which tables, and who is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from dorm.db.connection import connections
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Execute, Query as Fetch
from dorm.db.router import router
from dorm.db.statement import Statement
from dorm.exceptions import DatabaseError, InvalidFieldName, UnsavedInstance, choices_text, nearest
from dorm.models.blank import new_instance
from dorm.models.state import ORIGIN, alias_in, is_adding
from dorm.queryset.ops import announce, files, refresh, rowbind, rowwrite, tables, write
from dorm.signals import post_save, pre_save
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

ForceInsert: TypeAlias = "bool | tuple[type[Any], ...]"


def alias_for_write(instance: Any, using: str | None) -> str:
    """Return the alias an instance is written to: the one given, its own, or the routers' answer."""
    if router.is_idle:
        # As the routers' answer comes to when there are none.
        return using or alias_in(instance.__dict__) or "default"
    model = type(instance)
    alias = using or router.db_for_write(model, {"instance": instance})
    router.wrote(model)
    return alias


def save(
    instance: Any,
    force_insert: ForceInsert,
    force_update: bool,
    using: str | None,
    update_fields: Iterable[str] | None,
) -> Operation[None]:
    """Insert or update the row of *instance*."""
    if update_fields is None and not force_update and force_insert.__class__ is bool:
        meta = instance._meta
        if meta.inserts_plainly and not (pre_save.is_connected or post_save.is_connected):
            return _insert_or_save(instance, meta, force_insert, using)
    return _save(instance, force_insert, force_update, using, update_fields)


@operation
def _insert_or_save(instance: Any, meta: Any, force_insert: ForceInsert, using: str | None) -> Operation[None]:
    """Insert a row as most are: a new one with plain values, of a model without anything that takes part in saving."""
    for field in meta.checked_fields:
        field.check_saved(instance)
    alias = alias_for_write(instance, using)
    if force_insert or tables.key_of(instance, meta) is None:
        database = connections[alias]
        usual = rowwrite.usual_insert(meta, database.dialect)
        if usual.bind_one is not None:
            values = instance.__dict__
            try:
                params = usual.bind_one(values)
            except (KeyError, rowbind.Unusual):
                params = None
            if params is not None:
                statement = Statement(usual.one, params)
                if usual.write.back:
                    rows = yield from perform(Fetch(database, statement))
                    if not rows:
                        raise rowwrite.dropped(meta, 1, 0)
                    if usual.key is not None:
                        values[usual.key] = rows[0][0]
                    else:
                        usual.write.take_back(instance, rows[0])
                else:
                    yield from perform(Execute(database, statement))
                values[ORIGIN] = alias
                return
    yield from _save(instance, force_insert, False, using, None)


@operation
def _save(
    instance: Any,
    force_insert: ForceInsert,
    force_update: bool,
    using: str | None,
    update_fields: Iterable[str] | None,
) -> Operation[None]:
    meta = instance._meta
    announce.refuse_read_only(meta, "save()")
    for field in meta.checked_fields:
        field.check_saved(instance)
    if force_insert and (force_update or update_fields is not None):
        raise ValueError("Cannot force both insert and updating in model saving.")
    chosen = _chosen(meta, update_fields)
    if chosen is not None and not chosen:
        return
    alias = alias_for_write(instance, using)
    for field in meta.private_fields:
        if hasattr(field, "before_save"):
            yield from field.before_save(instance, alias)
    values = instance.__dict__
    if chosen is None and not meta.attnames <= values.keys() and not force_insert:
        if not is_adding(values) and alias_in(values) == alias:
            # Columns that were not loaded are not written.
            keys = meta.pk_fields
            loaded = (field for field in meta.fields if field.attname in values)
            chosen = tuple(field for field in loaded if not field.primary_key and field not in keys)
        elif not is_adding(values):
            yield from refresh.refresh(instance, fields=instance.get_deferred_fields())
    yield from save_base(instance, False, force_insert, force_update, alias, chosen)


@operation
def save_raw(instance: Any, alias: str) -> Operation[None]:
    """Write the row of the model's own table as it stands: update it where its key exists, else insert it.

    No receiver is told, no overridden method called: rows come from a fixture.
    """
    meta = type(instance)._meta.concrete_model._meta
    yield from _table(tables.Write(instance, connections[alias], None, True), meta, False, False)


def save_unchecked(
    instance: Any,
    raw: bool,
    force_insert: ForceInsert,
    force_update: bool,
    using: str | None,
    update_fields: Iterable[str] | None,
) -> Operation[None]:
    """`Model.save_base`."""
    chosen = _chosen(instance._meta, update_fields)
    return save_base(instance, raw, force_insert, force_update, alias_for_write(instance, using), chosen)


@operation
def save_base(
    instance: Any,
    raw: bool,
    force_insert: ForceInsert,
    force_update: bool,
    alias: str,
    chosen: tuple[Any, ...] | None,
) -> Operation[None]:
    """Write the row and tell the receivers; *raw* writes the model's own table alone and values as they stand."""
    database = connections[alias]
    model = type(instance)
    forced = _forced(model, force_insert)
    listened = (pre_save.is_connected or post_save.is_connected) and not model._meta.auto_created
    told = {"instance": instance, "raw": raw, "using": alias, "update_fields": _names(chosen)}
    if listened:
        yield from announce.announce(pre_save, model, **told)
    meta = model._meta.concrete_model._meta
    write = tables.Write(instance, database, chosen, raw)
    if model._meta.file_fields and not raw:
        yield from files.keep(instance, alias, chosen)
    if meta.parents and not raw:
        created = yield from in_transaction(_with_parents(write, meta, forced, force_update), alias)
    else:
        created = yield from _table(write, meta, meta.model in forced, force_update)
    instance.__dict__[ORIGIN] = alias
    if listened:
        yield from announce.announce(post_save, model, created=created, **told)


def _chosen(meta: Any, update_fields: Iterable[str] | None) -> tuple[Any, ...] | None:
    """Return the fields of ``update_fields``, None when all are meant."""
    if update_fields is None:
        return None
    names = [update_fields] if isinstance(update_fields, str) else list(update_fields)
    wanted = {meta.find(name) for name in names}
    keys = {field for field in meta.fields if field.primary_key}.union(meta.pk_fields)
    unknown = [name for name in names if meta.find(name) not in meta.fields or meta.find(name) in keys]
    if unknown:
        possible = [field.name for field in meta.fields if field not in keys]
        raise InvalidFieldName(
            "The following fields do not exist in this model, are m2m fields, primary keys, or are non-concrete "
            f"fields: {', '.join(map(str, unknown))} (update_fields of {meta.object_name}.save())."
            f"{nearest(str(unknown[0]), possible)} Fields: {choices_text(possible)}."
        )
    return tuple(field for field in meta.fields if field in wanted)


def _names(fields: tuple[Any, ...] | None) -> frozenset[str] | None:
    return None if fields is None else frozenset(field.name for field in fields)


def _forced(model: Any, force_insert: Any) -> tuple[Any, ...]:
    """Return the models whose rows must be inserted."""
    if force_insert is False:
        return ()
    if force_insert is True:
        return (model._meta.concrete_model,)
    if not isinstance(force_insert, tuple):
        raise TypeError("force_insert must be a bool or tuple.")
    for member in force_insert:
        if not isinstance(member, type(model)):
            raise TypeError(f"Invalid force_insert member. {member!r} must be a model subclass.")
        if not issubclass(model, member):
            raise TypeError(
                f"Invalid force_insert member. {member.__qualname__} must be a base of {model.__qualname__}."
            )
    return tuple(force_insert)


# -- tables ------------------------------------------------------------------------------------------------------


@operation
def _with_parents(write: tables.Write, meta: Any, forced: tuple[Any, ...], force_update: bool) -> Operation[bool]:
    """Write the tables of the parents and the model's own; return whether its row was inserted."""
    above = yield from _parents(write, meta, forced)
    insert = above or any(issubclass(meta.model, each) for each in forced)
    return (yield from _table(write, meta, insert, force_update))


@operation
def _parents(write: tables.Write, meta: Any, forced: tuple[Any, ...]) -> Operation[bool]:
    """Write the rows in the parents' tables; return whether one was inserted."""
    instance, inserted = write.instance, False
    for parent, link in meta.parents.items():
        up = parent._meta
        if getattr(instance, up.pk.attname) is None and getattr(instance, link.attname) is not None:
            setattr(instance, up.pk.attname, getattr(instance, link.attname))
        above = yield from _parents(write, up, forced)
        insert = above or any(issubclass(parent, each) for each in forced)
        inserted = (yield from _table(write, up, insert, False)) or inserted
        instance.__dict__[link.attname] = getattr(instance, up.pk.attname)
        instance.__dict__.pop(link.object_key, None)
    return inserted


@operation
def _table(write: tables.Write, meta: Any, force_insert: bool, force_update: bool) -> Operation[bool]:
    """Write the row in one table; return True when it was inserted."""
    key = tables.key_of(write.instance, meta)
    insist = force_update or write.chosen is not None
    if key is None and insist:
        raise UnsavedInstance("Cannot force an update in save() with no primary key.")
    if key is not None and not force_insert and (insist or write.raw or not _fresh_key(write.instance, meta)):
        if (yield from tables.update(write, meta, key, insist)):
            return False
        if insist:
            what = "Forced update" if force_update else "Save with update_fields"
            where = f"{meta.object_name} is not in {write.database.alias!r}"
            raise DatabaseError(f"{what} did not affect any rows. {where}.")
    yield from tables.insert(write, meta)
    return True


def _fresh_key(instance: Any, meta: Any) -> bool:
    """True for a new instance whose key is made by a default: nobody has that row yet."""
    return is_adding(instance.__dict__) and all(field.has_default() or field.has_db_default for field in meta.pk_fields)


def creating(qs: QuerySet[Any, Any], values: dict[str, Any]) -> tuple[Any, Operation[None]]:
    """Return a new instance, and the operation that saves it, honouring an overridden ``save`` or ``asave``."""
    instance = new_instance(qs._plan.query.model, values)
    return instance, saved(instance, using=write.alias_of(qs), force_insert=True)


@operation
def create(qs: QuerySet[Any, Any], values: dict[str, Any]) -> Operation[Any]:
    """Make an instance and save it, as `creating`."""
    instance, saving = creating(qs, values)
    yield from saving
    return instance


@operation
def created(qs: QuerySet[Any, Any], values: dict[str, Any]) -> Operation[Any]:
    """Make a row, honouring a ``create`` or ``acreate`` that the class of *qs* overrides."""
    cls = type(qs)
    if (cls.create, cls.acreate) == cls._base_create:
        return (yield from create(qs, values))
    return (yield announce.overridden(qs, "create", cls._base_create, **values))


def saved(
    instance: Any, using: str | None, update_fields: Iterable[str] | None = None, force_insert: bool = False
) -> Operation[None]:
    """Save *instance*, honouring an overridden ``save`` or ``asave``."""
    model = type(instance)
    if (model.save, model.asave) == model._base_save:
        operation: Operation[None] = instance._save_operation(force_insert, False, using, update_fields)
        return operation
    return _told_to_save(instance, using, update_fields, force_insert)


@operation
def _told_to_save(
    instance: Any, using: str | None, update_fields: Iterable[str] | None, force_insert: bool
) -> Operation[None]:
    model = type(instance)
    told: dict[str, Any] = {"using": using}
    if force_insert:
        told["force_insert"] = True
    if update_fields is not None:
        told["update_fields"] = update_fields
    yield announce.overridden(instance, "save", model._base_save, **told)
