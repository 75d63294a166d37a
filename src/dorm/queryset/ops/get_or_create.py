"""`get_or_create` and `update_or_create`: one row found or made, whoever else does the same at that time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from dorm.db.connection import Database
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Query as Fetch
from dorm.exceptions import FieldError, IntegrityError, OperationalError, choices_text, nearest
from dorm.fields.base import Field
from dorm.models.state import ORIGIN
from dorm.queryset.ops import announce, fetch, rowwrite, save, tables, write
from dorm.signals import post_save, pre_save
from dorm.sql.node import Node
from dorm.transaction import in_savepoint, in_transaction

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

Values: TypeAlias = "dict[str, Any]"
Create: TypeAlias = "Callable[[QuerySet[Any, Any], Values], Operation[Any]]"
"""Makes a row: `save.created`, or what a related manager adds to it."""


@operation
def get_or_create(
    qs: QuerySet[Any, Any],
    defaults: Mapping[str, Any] | None,
    lookups: Values,
    initial: Callable[[Values], Values],
    create: Create | None = None,
) -> Operation[tuple[Any, bool]]:
    """Return the row that meets *lookups*, or a new one, and whether it is new.

    Args:
        initial: adds what the starting point implies (the instance of a related manager).
        create: makes the row, honouring overridden methods; in a savepoint, so that losing a race costs nothing.
    """
    announce.refuse_read_only(qs.model._meta, "get_or_create()")
    qs = qs.using(write.writing(qs).alias)
    params = _params(qs.model, defaults, lookups)
    try:
        return (yield from fetch.get(qs, (), lookups)), False
    except qs.model.DoesNotExist:
        pass
    values = initial(_called(params))
    if create is None and _inserts_quietly(qs, lookups, values):
        made = yield from _insert_unless_there(qs, values)
        if made is not None:
            return made, True
    try:
        return (yield from in_savepoint((create or save.created)(qs, values), qs.db)), True
    except IntegrityError as exc:
        # Somebody else made it in the meantime, or the values break another constraint.
        try:
            return (yield from fetch.get(qs, (), lookups)), False
        except qs.model.DoesNotExist:
            if _is_hidden(qs, lookups):
                raise _hidden(qs) from exc
            raise exc from None


@operation
def update_or_create(
    qs: QuerySet[Any, Any],
    defaults: Mapping[str, Any] | None,
    create_defaults: Mapping[str, Any] | None,
    lookups: Values,
    initial: Callable[[Values], Values],
    create: Create | None = None,
) -> Operation[tuple[Any, bool]]:
    """Set *defaults* on the row that meets *lookups*, or make one with *create_defaults*; one transaction."""
    announce.refuse_read_only(qs.model._meta, "update_or_create()")
    qs = qs.using(write.writing(qs).alias)
    changes = dict(defaults or {})
    made = changes if create_defaults is None else create_defaults
    _params(qs.model, changes, {})
    work = _update_or_create(qs, changes, made, lookups, initial, create)
    return (yield from in_transaction(work, qs.db))


@operation
def _update_or_create(
    qs: QuerySet[Any, Any],
    changes: Values,
    made: Mapping[str, Any],
    lookups: Values,
    initial: Callable[[Values], Values],
    create: Create | None,
) -> Operation[tuple[Any, bool]]:
    found, created = yield from get_or_create(_locked(qs), made, lookups, initial, create)
    if created:
        return found, True
    for name, value in _called(changes).items():
        setattr(found, name, value)
    yield from save.saved(found, qs.db, _saved_names(qs.model._meta, changes))
    return found, False


def _locked(qs: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """Return *qs* with its rows locked until the end of the transaction."""
    lock: Callable[[], QuerySet[Any, Any]] | None = getattr(qs, "select_for_update", None)
    return qs if lock is None else lock()


def _saved_names(meta: Any, changes: Values) -> Iterable[str] | None:
    """Return the fields to save: those changed and those that set themselves; None where not all are columns."""
    columns = {name for field in meta.fields if not field.primary_key for name in (field.name, field.attname)}
    if not columns.issuperset(changes):
        return None
    moving = [
        field.name
        for field in meta.table_columns
        if type(field).pre_save is not Field.pre_save and not field.primary_key and not field.generated
    ]
    return [*changes, *moving]


# -- values ------------------------------------------------------------------------------------------------------


def _params(model: Any, defaults: Mapping[str, Any] | None, lookups: Values) -> Values:
    """Return the values of a new row: lookups without suffix and the defaults; unknown names are refused."""
    params = {name: value for name, value in lookups.items() if "__" not in name}
    params.update(defaults or {})
    meta = model._meta
    invalid = [
        name
        for name in params
        if name != "pk" and meta.find(name) is None and not isinstance(getattr(model, name, None), property)
    ]
    if invalid:
        names = [field.name for field in meta.fields]
        raise FieldError(
            f"Invalid field name(s) for model {meta.object_name}: {', '.join(map(repr, sorted(invalid)))}."
            f"{nearest(invalid[0], names)} Fields: {choices_text(names)}."
        )
    return params


def _called(values: Mapping[str, Any]) -> Values:
    """Return *values* with those that are functions called."""
    return {name: value() if callable(value) else value for name, value in values.items()}


# -- inserting without a savepoint -------------------------------------------------------------------------------


def _inserts_quietly(qs: QuerySet[Any, Any], lookups: Values, values: Values) -> bool:
    """Return whether ON CONFLICT DO NOTHING decides the race: the lookups name a unique set, saving is dorm's own."""
    model = qs.model
    meta = model._meta
    base = model.__mro__[-2]
    if any(getattr(model, name) is not getattr(base, name) for name in ("save", "asave", "_save_operation")):
        return False
    if meta.parents or (type(qs).create, type(qs).acreate) != type(qs)._base_create:
        return False
    if any(isinstance(value, Node) for value in values.values()) or meta.row_order is not None:
        return False
    return _names_one(meta, lookups)


def _names_one(meta: Any, lookups: Values) -> bool:
    """Return whether *lookups* give values for a set of fields of which the database holds each combination once."""
    given = {meta.find(name).name for name in lookups if meta.find(name) is not None and lookups[name] is not None}
    if lookups.get("pk") is not None:
        given.update(field.name for field in meta.pk_fields)
    return any(given.issuperset(names) for names in unique_sets(meta))


def _is_hidden(qs: QuerySet[Any, Any], lookups: Values) -> bool:
    """Return whether the row that is there, as the database says, may be one that the transaction cannot see."""
    block = write.writing(qs).block_for_callbacks()
    return block is not None and block.sees_snapshot and _names_one(qs.model._meta, lookups)


def _hidden(qs: QuerySet[Any, Any]) -> OperationalError:
    made = OperationalError(
        f"{qs.model._meta.object_name}.get_or_create(): another transaction made the row in the meantime, and this one "
        "sees the data of its beginning: run the whole transaction again (atomic(retry=...) does)."
    )
    made.retryable = True
    return made


def unique_sets(meta: Any) -> list[tuple[str, ...]]:
    """Return the sets of field names of which the database holds each combination once."""
    found: list[tuple[str, ...]] = [(field.name,) for field in meta.table_columns if field.unique]
    if len(meta.pk_fields) > 1:
        found.append(tuple(field.name for field in meta.pk_fields))
    found.extend(tuple(names) for names in meta.unique_together)
    found.extend(
        tuple(constraint.fields)
        for constraint in meta.constraints
        if getattr(constraint, "fields", None)
        and getattr(constraint, "condition", None) is None
        and not getattr(constraint, "deferrable", None)
        and hasattr(constraint, "nulls_distinct")
    )
    return found


@operation
def _insert_unless_there(qs: QuerySet[Any, Any], values: Values) -> Operation[Any]:
    """Insert the row by one statement that does nothing on a conflict; return the instance, None on a conflict."""
    database = write.writing(qs)
    if not database.dialect.supports_returning:
        return None
    instance = qs.model(**values)
    meta = instance._meta.concrete_model._meta
    for field in meta.checked_fields:
        field.check_saved(instance)
    listened = pre_save.is_connected or post_save.is_connected
    told = {"instance": instance, "raw": False, "using": database.alias, "update_fields": None}
    if listened:
        yield from announce.announce(pre_save, type(instance), **told)
    if not (yield from _insert(instance, meta, database)):
        return None
    instance.__dict__[ORIGIN] = database.alias
    if listened:
        yield from announce.announce(post_save, type(instance), created=True, **told)
    return instance


@operation
def _insert(instance: Any, meta: Any, database: Database) -> Operation[bool]:
    fields = tables.insert_fields(meta, instance)
    data = tables.Write(instance, database).values(fields, True)
    # A row that comes back was inserted: something is asked for in any case.
    back = rowwrite.left_to_database(meta, fields) or meta.pk_fields
    wanted = rowwrite.insert(meta, database.dialect, fields, rowwrite.Conflict(), back)
    rows = yield from perform(Fetch(database, wanted.statement(data)))
    if rows:
        wanted.take_back(instance, rows[0])
    return bool(rows)
