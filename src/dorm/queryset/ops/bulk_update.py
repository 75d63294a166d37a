"""Updating many rows by few statements: each to its own values, or by conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dorm.db.connection import Database
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Execute, ExecuteMany
from dorm.db.statement import Statement, Template
from dorm.exceptions import FieldError, UnsavedInstance
from dorm.expressions.conditional import Case, When
from dorm.expressions.core import F, Value
from dorm.expressions.predicate import Q
from dorm.queryset.ops import announce, arrays, files, rowbind, rowwrite, write
from dorm.queryset.ops.bulk import check_batch_size
from dorm.record import Record
from dorm.sql.node import Node
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect
    from dorm.queryset.queryset import QuerySet

_ROWS_A_BATCH = 5_000
_CASES_A_BATCH = 200
"""Rows a statement where each row is a WHEN of its own: the text grows with them."""

Cases: TypeAlias = "Iterable[tuple[Q | Mapping[str, Any], Mapping[str, Any]]]"


@operation
def bulk_update(
    qs: QuerySet[Any, Any], objs: Iterable[Any], names: Iterable[str], batch_size: int | None
) -> Operation[int]:
    """Write some columns of *objs*; return how many rows matched."""
    meta = qs.model._meta
    announce.refuse_read_only(meta, "bulk_update()")
    check_batch_size(batch_size)
    fields = _fields(meta, list(names))
    found = list(objs)
    keys = [obj.pk for obj in found]
    if None in keys or (meta.pk.is_composite and any(not obj._is_pk_set() for obj in found)):
        raise UnsavedInstance("All bulk_update() objects must have a primary key set.")
    if not found:
        return 0
    for field in meta.checked_fields:
        if field in fields:
            for obj in found:
                field.check_saved(obj, "bulk_update")
    database = write.writing(qs)
    once = list(dict(zip(reversed(keys), reversed(found), strict=True)).values())[::-1]
    return (yield from in_transaction(_batches(qs, once, fields, batch_size, database), database.alias))


def _fields(meta: Any, names: list[str]) -> list[Any]:
    if not names:
        raise ValueError("Field names must be given to bulk_update().")
    fields = [meta.pk if name == "pk" else meta.get_field(name, where="bulk_update()") for name in names]
    if any(field not in meta.concrete_fields or field.generated for field in fields if field is not meta.pk):
        raise ValueError("bulk_update() can only be used with concrete fields.")
    if any(field.primary_key or field in meta.pk_fields for field in fields):
        raise ValueError("bulk_update() cannot be used with primary key fields.")
    return list(dict.fromkeys(fields))


@operation
def _batches(
    qs: QuerySet[Any, Any], objs: list[Any], fields: list[Any], size: int | None, database: Database
) -> Operation[int]:
    if qs.model._meta.file_fields:
        for obj in objs:
            yield from files.keep(obj, database.alias, tuple(fields))
    plain = qs._plan is qs.model._meta.plan
    number = 0
    if plain:
        usual = _usual(qs.model._meta.concrete_model._meta, database.dialect, tuple(fields))
        number, objs = yield from _update_usual(usual, objs, size or _ROWS_A_BATCH, database)
    rows = [[field.pre_save(obj, False) for field in fields] for obj in objs]
    plain = plain and not any(isinstance(value, Node) for row in rows for value in row)
    step = size or (_ROWS_A_BATCH if plain else _CASES_A_BATCH)
    for start in range(0, len(objs), step):
        part, values = objs[start : start + step], rows[start : start + step]
        if plain:
            number += yield from _update_values(qs.model._meta, part, fields, values, database)
        else:
            number += yield from _update_cases(qs.using(database.alias), part, fields, values)
    return number


# -- usual rows --------------------------------------------------------------------------------------------------


class _Usual(Record):
    """UPDATE of many rows of one table that hold plain values.

    Args:
        bind: takes instances to parameters; None where values must be looked at one by one.
        whole: what makes an array of a column's parameters, by column; None to send row by row.
    """

    template: Template
    bind: rowbind.Binder | None
    whole: tuple[Any, ...] | None


def _usual(meta: Any, dialect: Dialect, fields: tuple[Any, ...]) -> _Usual:
    def make() -> tuple[_Usual, int]:
        every = (*fields, *meta.pk_fields)
        unnested = _goes_by_arrays(meta, dialect, every)
        if unnested:
            template, binders = _from_arrays(meta, dialect, fields)
            nulls: tuple[Any, ...] = (None,) * len(every)
            whole = tuple(dialect.array_binder(field.sql_type) for field in every)
        else:
            row = rowwrite.update(meta, dialect, fields, quiet=True)
            template, binders, nulls, whole = row.template, row.binders, row.nulls, None
        bind = rowbind.row_binder(every, (), binders, nulls, dialect) if _is_of_one_table(meta, every) else None
        return _Usual(template, bind, whole if unnested else None), 400 * len(every)

    found: _Usual = meta.plan.derive(("update usual", dialect.fingerprint, fields), make)
    return found


def _is_of_one_table(meta: Any, fields: Sequence[Any]) -> bool:
    return not meta.parents and all(field in meta.table_fields for field in fields)


@operation
def _update_usual(usual: _Usual, objs: list[Any], size: int, database: Database) -> Operation[tuple[int, list[Any]]]:
    """Update the rows at the head of *objs* that hold plain values; return their number and the other objects."""
    number = 0
    if usual.bind is None:
        return number, objs
    for start in range(0, len(objs), size):
        try:
            rows = usual.bind(objs[start : start + size])
        except (KeyError, rowbind.Unusual):
            return number, objs[start:]
        if usual.whole is not None:
            statement = Statement(usual.template, arrays.from_rows(usual.whole, rows))
            number += yield from perform(Execute(database, statement))
        else:
            number += yield from perform(ExecuteMany(database, Statement(usual.template, rows)))
    return number, []


# -- values ------------------------------------------------------------------------------------------------------


@operation
def _update_values(
    meta: Any, objs: list[Any], fields: list[Any], rows: list[list[Any]], database: Database
) -> Operation[int]:
    """Update each table that has some of the fields; return the rows of the last, which are those of all."""
    number = 0
    for owner in dict.fromkeys(field.model for field in fields):
        places = [place for place, field in enumerate(fields) if field.model is owner]
        own = tuple(fields[place] for place in places)
        steps = meta.link_to(owner)
        key = steps[-1].field if steps else meta.pk
        values = [
            [*[row[place] for place in places], *rowwrite.key_values(owner._meta, getattr(obj, key.attname))]
            for row, obj in zip(rows, objs, strict=True)
        ]
        number = yield from _update_table(owner._meta, own, values, database)
    return number


@operation
def _update_table(meta: Any, fields: tuple[Any, ...], rows: list[list[Any]], database: Database) -> Operation[int]:
    dialect = database.dialect
    every = (*fields, *meta.pk_fields)
    if _goes_by_arrays(meta, dialect, every):
        template, binders = _from_arrays(meta, dialect, fields)
        statement = Statement(template, arrays.from_values(binders, dialect, every, rows))
        return (yield from perform(Execute(database, statement)))
    wanted = rowwrite.update(meta, dialect, fields, quiet=True)
    many = Statement(wanted.template, [wanted.bound(row) for row in rows])
    return (yield from perform(ExecuteMany(database, many)))


def _goes_by_arrays(meta: Any, dialect: Dialect, fields: Sequence[Any]) -> bool:
    one = len(meta.pk_fields) == 1
    return one and dialect.supports_unnest_insert and all(dialect.unnests(field.sql_type) for field in fields)


def _from_arrays(meta: Any, dialect: Any, fields: tuple[Any, ...]) -> tuple[Template, tuple[Any, ...]]:
    """Return UPDATE of many rows from one array a column, the key's last."""
    every = (*fields, meta.pk)

    def make() -> tuple[tuple[Template, tuple[Any, ...]], int]:
        sql = dialect.update_from_arrays(
            dialect.quote(meta.db_table),
            [dialect.quote(field.column) for field in every],
            [field.sql_type for field in every],
        )
        binders = tuple(rowwrite.binder(field, dialect) for field in every)
        return (Template(sql, model=meta.label), binders), 4 * len(sql)

    made: tuple[Template, tuple[Any, ...]] = meta.plan.derive(("update many", dialect.fingerprint, fields), make)
    return made


# -- cases -------------------------------------------------------------------------------------------------------


@operation
def _update_cases(qs: QuerySet[Any, Any], objs: list[Any], fields: list[Any], rows: list[list[Any]]) -> Operation[int]:
    """Update by one CASE a column: with expressions, and where the rows must be among those of *qs*."""
    new: dict[str, Any] = {}
    for place, field in enumerate(fields):
        whens = [When(_is_row(obj), then=_value(field, row[place])) for obj, row in zip(objs, rows, strict=True)]
        new[field.name] = Case(*whens, output_field=field)
    return (yield from write.update(qs.filter(pk__in=[obj.pk for obj in objs]), new))


def _is_row(obj: Any) -> Q:
    return Q(*[(field.attname, getattr(obj, field.attname)) for field in obj._meta.pk_fields])


def _value(field: Any, value: Any) -> Any:
    return value if isinstance(value, Node) else Value(value, output_field=field)


@operation
def bulk_update_when(qs: QuerySet[Any, Any], cases: Cases, default: Mapping[str, Any] | None) -> Operation[int]:
    """Set columns by condition in one statement; return how many rows matched."""
    meta = qs.model._meta
    announce.refuse_read_only(meta, "bulk_update_when()")
    known = [(_condition(condition), dict(values)) for condition, values in cases]
    if not known:
        raise ValueError("bulk_update_when() needs at least one case: a pair of a condition and values.")
    fields = dict.fromkeys(name for _, values in [*known, (None, default or {})] for name in values)
    if not fields:
        raise ValueError("bulk_update_when() needs values to set.")
    new: dict[str, Any] = {}
    for name in fields:
        field = meta.get_field(name, where="bulk_update_when()")
        if field not in meta.concrete_fields or field.primary_key:
            raise FieldError(f"bulk_update_when() sets columns other than the key: {meta.object_name}.{name} is none.")
        whens = [
            When(condition, then=_value(field, values[name]) if name in values else F(name))
            for condition, values in known
        ]
        other = _value(field, default[name]) if default is not None and name in default else F(name)
        new[name] = Case(*whens, default=other, output_field=field)
    if default is None:
        met = Q()
        for condition, _ in known:
            met |= condition
        qs = qs.filter(met)
    return (yield from write.update(qs, new))


def _condition(condition: Q | Mapping[str, Any]) -> Q:
    found = condition if isinstance(condition, Q) else Q(**dict(condition))
    if not found:
        raise ValueError("an empty condition in bulk_update_when() would match every row: use default=.")
    return found
