"""INSERT and UPDATE of single rows by instance: the statements, compiled once a set of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from dorm.db.dialect import Dialect
from dorm.db.statement import Many, Statement, Template
from dorm.exceptions import DatabaseError
from dorm.fields.overrides import save_binder, takes_null
from dorm.queryset.ops import rowbind
from dorm.record import Record

Converter: TypeAlias = "Callable[[Any], Any]"


class RowWrite(Record):
    """A statement that writes the columns of one instance.

    Args:
        binders: what each value goes through, in the order of the placeholders; None where it passes.
        nulls: what is bound for None in each place.
        back: fields whose values the statement gives back, with their converters.
        sees_null: some binders are to be called for None too (fields of users).
    """

    template: Template
    binders: tuple[Converter | None, ...]
    nulls: tuple[Any, ...]
    back: tuple[tuple[Any, Converter | None], ...] = ()
    sees_null: bool = False

    def bound(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Return the parameters for these values."""
        if self.sees_null:
            return tuple(map(bound_value, values, self.binders, self.nulls))
        return tuple(
            [
                null if value is None else value if bind is None else bind(value)
                for value, bind, null in zip(values, self.binders, self.nulls, strict=True)
            ]
        )

    def statement(self, values: Sequence[Any]) -> Statement:
        """Return the statement for these values."""
        return Statement(self.template, self.bound(values))

    def take_back(self, instance: Any, row: Sequence[Any]) -> None:
        """Put the values the database made on *instance*."""
        target = instance.__dict__
        for (field, load), value in zip(self.back, row, strict=True):
            target[field.attname] = value if load is None or (value is None and not takes_null(load)) else load(value)


class UsualInsert(Record):
    """INSERT of the columns that a new row of a model mostly has: all but those the database counts.

    Args:
        bind_one: takes attributes to parameters; None for models whose rows must be looked at value by value.
        bind: takes instances to their parameters, with plain None for NULL where they go as arrays.
        unnests: many rows go as arrays of their columns.
        key: attribute that gets the one value brought back as it is; None where `RowWrite.take_back` must see the row.
        one: the text for a single row.
    """

    write: RowWrite
    fields: tuple[Any, ...]
    bind_one: rowbind.OneBinder | None
    bind: rowbind.Binder | None
    unnests: bool
    key: str | None
    one: Template


class UsualDelete(Record):
    """DELETE of a row by its key.

    Args:
        bind_one: takes attributes to parameters; None for models whose keys must be looked at.
    """

    write: RowWrite
    bind_one: rowbind.OneBinder | None

    def statement(self, instance: Any) -> Statement:
        """Return the statement for the row of *instance*."""
        if self.bind_one is not None:
            try:
                return Statement(self.write.template, self.bind_one(instance.__dict__))
            except (KeyError, rowbind.Unusual):
                pass
        return self.write.statement(key_values(instance._meta, instance.pk))


class Conflict(Record):
    """What an INSERT does with a row that a unique constraint refuses: skip it, or update the row in the way.

    Args:
        updates: fields to set to the refused row's values; none to skip it.
        targets: fields of the unique constraint that is meant; none for any.
    """

    updates: tuple[Any, ...] = ()
    targets: tuple[Any, ...] = ()

    def added_to(self, insert: str, dialect: Dialect) -> str:
        """Return *insert* with this clause."""
        if not self.updates:
            return dialect.on_conflict_ignore(insert)
        return dialect.on_conflict_update(
            insert,
            [dialect.quote(field.column) for field in self.targets],
            [dialect.quote(field.column) for field in self.updates],
        )


def insert(
    meta: Any,
    dialect: Dialect,
    fields: tuple[Any, ...],
    conflict: Conflict | None = None,
    back: tuple[Any, ...] | None = None,
) -> RowWrite:
    """Return INSERT of *fields* into the table of *meta*.

    Args:
        back: fields whose values are brought back; None for those that the INSERT leaves to the database.
    """

    def make() -> tuple[RowWrite, int]:
        places = [dialect.placeholder(number, field.sql_type) for number, field in enumerate(fields, 1)]
        made = insert_shape(meta, dialect, fields, places, conflict=conflict, back=back)
        return made, 4 * len(made.template.sql)

    found: RowWrite = meta.plan.derive(("insert", dialect.fingerprint, fields, conflict, back), make)
    return found


def usual_insert(meta: Any, dialect: Dialect) -> UsualInsert:
    """Return the INSERT of a usual row into the table of *meta*."""
    key = ("usual insert", dialect.fingerprint)
    plan = meta.plan
    found: UsualInsert = plan.derived.get(key) or plan.derive(key, lambda: _usual_insert(meta, dialect))
    return found


def _usual_insert(meta: Any, dialect: Dialect) -> tuple[UsualInsert, int]:
    counted = meta.counted_fields
    fields = tuple(field for field in meta.inserted_fields if field not in counted)
    write = insert(meta, dialect, fields)
    unnests = dialect.supports_unnest_insert and all(dialect.unnests(field.sql_type) for field in fields)
    bind_one = bind = None
    if not meta.parents and (dialect.supports_returning or not write.back):
        keys = [field for field in meta.pk_fields if field in fields]
        bind_one = rowbind.one_binder(fields, counted, keys, write.binders, write.nulls, dialect)
        nulls = [None] * len(fields) if unnests else write.nulls
        bind = rowbind.row_binder(fields, counted, write.binders, nulls, dialect)
    alone = len(write.back) == 1 and write.back[0][1] is None
    key = write.back[0][0].attname if alone else None
    one = write.template
    if alone and fields and dialect.tells_counted_key and write.back[0][0] in counted:
        one = insert(meta, dialect, fields, back=()).template
        one = Template(one.sql, model=one.model, tells_key=True, one_row=True)
    return UsualInsert(write, fields, bind_one, bind, unnests, key, one), 400 * len(fields)


def insert_shape(
    meta: Any,
    dialect: Dialect,
    fields: tuple[Any, ...],
    places: Sequence[str],
    computed: tuple[Any, ...] = (),
    conflict: Conflict | None = None,
    back: tuple[Any, ...] | None = None,
) -> RowWrite:
    """Return INSERT of *fields* with the text *places* as their values.

    Args:
        computed: fields among them whose values are made by the database too, and brought back.
    """
    table = dialect.quote(meta.db_table)
    if back is None:
        back = left_to_database(meta, fields, computed)
    if fields:
        columns = ", ".join(dialect.quote(field.column) for field in fields)
        sql = f"INSERT INTO {table} ({columns}) VALUES ({', '.join(places)})"
    else:
        sql = dialect.insert_defaults(table)
    if conflict is not None:
        sql = conflict.added_to(sql, dialect)
    many = None
    if back and dialect.supports_returning:
        ending = returning(dialect, back)
        if fields and conflict is None and not computed and back[0] in meta.counted_fields:
            alone = len(back) == 1 and dialect.tells_counted_key and back[0].load(dialect) is None
            start = f"INSERT INTO {table} ({columns}) VALUES "  # pyright: ignore[reportPossiblyUnboundVariable]
            many = _many(dialect, meta.db_table, start, fields, ending, alone)
        sql += ending
    return row_write(sql, dialect, fields, back, meta.label, many)


def _many(dialect: Dialect, table: str, start: str, fields: Sequence[Any], ending: str, alone: bool) -> Many | None:
    """Return the INSERT of as many rows as go best at once; None where one at a time is as good."""
    width = len(fields)
    number = min(dialect.rows_at_once, dialect.max_parameters // width)
    if number < 2:
        return None
    rows = []
    for first in range(1, number * width + 1, width):
        places = [dialect.placeholder(first + at, field.sql_type) for at, field in enumerate(fields)]
        rows.append(f"({', '.join(places)})")
    sql = start + ", ".join(rows)
    return Many(sql + ending, number, sql if alone else None, table)


def left_to_database(meta: Any, fields: Sequence[Any], computed: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Return the columns that an INSERT of *fields* leaves to the database."""
    return tuple(field for field in meta.table_columns if field not in fields or field in computed)


def returning(dialect: Dialect, fields: Iterable[Any]) -> str:
    """Return the RETURNING clause for *fields*."""
    return " RETURNING " + ", ".join(dialect.quote(field.column) for field in fields)


def dropped(meta: Any, sent: int, back: int) -> DatabaseError:
    """Return the error of an INSERT that gave fewer rows back than it was sent."""
    return DatabaseError(
        f"{meta.object_name}: {sent} {'row was' if sent == 1 else 'rows were'} sent to {meta.db_table} and {back} came "
        "back: a trigger or a rule of the table dropped or redirected the rest, and the values that the database makes "
        "are not known. Have the trigger raise an error instead, or give the rows keys and leave nothing else to the "
        "database."
    )


def update(meta: Any, dialect: Dialect, fields: tuple[Any, ...], quiet: bool = False) -> RowWrite:
    """Return UPDATE of *fields* of one row; its key (see `key_values`) comes last. Generated columns come back.

    Args:
        quiet: nothing comes back.
    """

    def make() -> tuple[RowWrite, int]:
        pairs = ", ".join(
            f"{dialect.quote(field.column)} = {dialect.placeholder(number, field.sql_type)}"
            for number, field in enumerate(fields, 1)
        )
        keys = " AND ".join(
            f"{dialect.quote(field.column)} = {dialect.placeholder(number, field.sql_type)}"
            for number, field in enumerate(meta.pk_fields, len(fields) + 1)
        )
        back = meta.generated_fields if dialect.supports_returning and not quiet else ()
        sql = f"UPDATE {dialect.quote(meta.db_table)} SET {pairs} WHERE {keys}"
        sql += returning(dialect, back) if back else ""
        return row_write(sql, dialect, (*fields, *meta.pk_fields), back, meta.label), 4 * len(sql)

    found: RowWrite = meta.plan.derive(("update row", dialect.fingerprint, fields, quiet), make)
    return found


def usual_delete(meta: Any, dialect: Dialect) -> UsualDelete:
    """Return DELETE of one row of *meta* by its key."""
    key = ("delete row", dialect.fingerprint)
    plan = meta.plan
    found: UsualDelete = plan.derived.get(key) or plan.derive(key, lambda: _usual_delete(meta, dialect))
    return found


def _usual_delete(meta: Any, dialect: Dialect) -> tuple[UsualDelete, int]:
    keys = meta.pk_fields
    table = dialect.quote(meta.db_table)
    conditions = " AND ".join(
        f"{table}.{dialect.quote(field.column)} = {dialect.placeholder(number, field.sql_type)}"
        for number, field in enumerate(keys, 1)
    )
    sql = f"DELETE FROM {table} WHERE {conditions}"
    write = row_write(sql, dialect, keys, (), meta.label)
    bind_one = None
    if not meta.parents:
        bind_one = rowbind.one_binder(keys, (), keys, write.binders, write.nulls, dialect)
    return UsualDelete(write, bind_one), 4 * len(sql) + 400


def key_values(meta: Any, key: Any) -> tuple[Any, ...]:
    """Return the values of the key's columns."""
    return tuple(key) if len(meta.pk_fields) > 1 else (key,)


def row_write(
    sql: str,
    dialect: Dialect,
    fields: tuple[Any, ...],
    back: tuple[Any, ...],
    label: str,
    many: Many | None = None,
) -> RowWrite:
    """Return *sql* with what its placeholders and its answer go through."""
    binary = all(dialect.has_binary_loader(field.sql_type) for field in back)
    binders = tuple(binder(field, dialect) for field in fields)
    return RowWrite(
        Template(sql, binary=binary, model=label, many=many, one_row=True),
        binders,
        tuple(dialect.null(field.sql_type) for field in fields),
        tuple((field, field.load(dialect)) for field in back),
        any(map(takes_null, binders)),
    )


def bound_value(value: Any, bind: Converter | None, null: Any) -> Any:
    """Return the parameter for one value."""
    if value is None and not takes_null(bind):
        return null
    return value if bind is None else bind(value)


def binder(field: Any, dialect: Dialect) -> Converter | None:
    """Return what takes a user's value for *field* to the driver: the field's `prepare`, then its `bind`."""
    if field.is_customised:
        return save_binder(field, dialect)
    prepare: Converter | None = field.prepare if field.prepares else None
    bind: Converter | None = field.bind(dialect)
    if prepare is None or bind is None:
        return prepare or bind
    return lambda value: bind(prepare(value))
