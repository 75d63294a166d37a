"""INSERT and UPDATE of one instance's row in one table, expressions among its values included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dorm.db.connection import Database
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Execute, Query as Fetch
from dorm.exceptions import FieldError, IntegrityError
from dorm.fields.defaults import DatabaseDefault
from dorm.queryset import selects, totals
from dorm.queryset.assigning import assigned
from dorm.queryset.ops import ordering, rowwrite, write as queryset_writes
from dorm.record import Record
from dorm.sql.compiler import Compiler
from dorm.sql.node import Column, Node

_ABSENT = object()


class Write(Record):
    """One save.

    Args:
        chosen: the fields to write, None for all.
        raw: values are written as they stand, `pre_save` of the fields is not asked.
    """

    instance: Any
    database: Database
    chosen: tuple[Any, ...] | None = None
    raw: bool = False

    def values(self, fields: Sequence[Any], add: bool) -> list[Any]:
        """Return the values to write."""
        if self.raw:
            return [getattr(self.instance, field.attname) for field in fields]
        instance = self.instance
        return [field.pre_save(instance, add) for field in fields]


def key_of(instance: Any, meta: Any) -> Any:
    """Return the key of the row in the table of *meta*, None where the database makes it; defaults are applied."""
    pk = meta.pk
    key = getattr(instance, pk.attname)
    if key is None:
        if not pk.has_default():
            return None
        key = pk.get_default()
        setattr(instance, pk.attname, key)
    if isinstance(key, DatabaseDefault):
        return None
    return None if isinstance(key, tuple) and None in key else key


# -- UPDATE ------------------------------------------------------------------------------------------------------


@operation
def update(write: Write, meta: Any, key: Any, insist: bool) -> Operation[bool]:
    """Update the row with that key; return whether there was one."""
    fields = meta.written_fields
    if write.chosen is not None:
        fields = tuple(field for field in fields if field in write.chosen)
        if not fields:
            return True
    if not fields:
        return (yield from _exists(write, meta, key))
    if meta.select_on_save and not insist:
        if not (yield from _exists(write, meta, key)):
            return False
        # A trigger may answer that nothing was updated: the row is there all the same.
        return (yield from _update(write, meta, fields, key)) or (yield from _exists(write, meta, key))
    return (yield from _update(write, meta, fields, key))


@operation
def _update(write: Write, meta: Any, fields: tuple[Any, ...], key: Any) -> Operation[bool]:
    values = write.values(fields, False)
    if any(isinstance(value, Node) for value in values):
        new = {field.name: value for field, value in zip(fields, values, strict=True)}
        found = _base(write, meta).filter(pk=key)
        return bool((yield from queryset_writes.update_table(found, new, write.database)))
    wanted = rowwrite.update(meta, write.database.dialect, fields)
    statement = wanted.statement([*values, *rowwrite.key_values(meta, key)])
    if not wanted.back:
        return bool((yield from perform(Execute(write.database, statement))))
    rows = yield from perform(Fetch(write.database, statement))
    if rows:
        wanted.take_back(write.instance, rows[0])
    return bool(rows)


@operation
def _exists(write: Write, meta: Any, key: Any) -> Operation[bool]:
    found = _base(write, meta).filter(pk=key)
    compiled = totals.existing(found._plan, write.database.dialect)
    return bool((yield from perform(Fetch(write.database, compiled.statement(found._values)))))


def _base(write: Write, meta: Any) -> Any:
    return meta.base_manager.get_queryset().using(write.database.alias)


# -- INSERT ------------------------------------------------------------------------------------------------------


def insert_fields(meta: Any, instance: Any) -> tuple[Any, ...]:
    """Return the fields whose columns an INSERT of *instance* names: all but those the database fills."""
    values = instance.__dict__
    counted = meta.counted_fields
    return tuple(
        [
            field
            for field in meta.inserted_fields
            if (value := values.get(field.attname, _ABSENT)) is not _ABSENT
            and not (value is None and field in counted)
            and value.__class__ is not DatabaseDefault
        ]
    )


def check_key(meta: Any, instance: Any) -> None:
    """Refuse a row whose key is a relation without an object: SQLite would make up a key, which refers to nothing."""
    if meta.pk.is_relation and instance.__dict__.get(meta.pk.attname) is None:
        raise IntegrityError(
            f"{meta.pk} is the primary key and points at nothing: give it a saved {meta.pk.target.__name__}."
        )


@operation
def insert(write: Write, meta: Any) -> Operation[None]:
    """Insert the row; take back what the database made."""
    instance, database = write.instance, write.database
    check_key(meta, instance)
    if meta.row_order is not None:
        yield from ordering.place_last(instance, meta, database)
    fields = insert_fields(meta, instance)
    yield from insert_row(instance, meta, database, fields, write.values(fields, True))
    take_key(meta, instance)


def take_key(meta: Any, instance: Any) -> None:
    """Let a new row carry its number for a key that was given as the text of one."""
    values = instance.__dict__
    if values.get(meta.pk.attname).__class__ is str and meta.pk in meta.counted_fields:
        values[meta.pk.attname] = meta.pk.prepare(values[meta.pk.attname])


@operation
def insert_row(
    instance: Any, meta: Any, database: Database, fields: tuple[Any, ...], values: list[Any]
) -> Operation[None]:
    """Insert these values of *fields*; take back what the database made."""
    if any(isinstance(value, Node) for value in values):
        wanted, statement = _with_expressions(meta, database, dict(zip(fields, values, strict=True)))
    else:
        wanted = rowwrite.insert(meta, database.dialect, fields)
        statement = wanted.statement(values)
    if wanted.back and database.dialect.supports_returning:
        rows = yield from perform(Fetch(database, statement))
        if not rows:
            raise rowwrite.dropped(meta, 1, 0)
        wanted.take_back(instance, rows[0])
    else:
        yield from perform(Execute(database, statement))


def _with_expressions(meta: Any, database: Database, new: dict[Any, Any]) -> tuple[rowwrite.RowWrite, Any]:
    """Return the INSERT of values of which some are expressions; what they come to is brought back."""
    for field, value in new.items():
        if isinstance(value, Node) and value.contains_aggregate:
            raise FieldError(f"Aggregate functions are not allowed in this query ({field.name}={value!r}).")
    plan, given = assigned(meta.plan, (), {field.name: value for field, value in new.items()})
    computed = tuple(field for field, value in new.items() if isinstance(value, Node))
    dialect = database.dialect
    named = tuple(new)

    def make() -> tuple[tuple[rowwrite.RowWrite, selects.Compiled], int]:
        for field, (_, node) in zip(named, plan.query.assigned, strict=True):
            if any(isinstance(part, Column) and part.alias == plan.query.alias for part in node.walk()):
                raise ValueError(
                    f"Failed to insert expression {new[field]!r} on {field}. "
                    "F() expressions can only be used to update, not to insert."
                )
        compiler = Compiler(dialect)
        places = [node.sql(compiler) for _, node in plan.query.assigned]
        shape = rowwrite.insert_shape(meta, dialect, named, places, computed)
        return (shape, selects.Compiled(shape.template, compiler.binder(plan.slots))), 4 * len(shape.template.sql)

    shape, compiled = plan.derive(("insert", dialect.fingerprint, named), make)
    return shape, compiled.statement(given)
