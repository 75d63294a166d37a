"""Inserting many instances by few statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dorm.db.connection import Database
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Execute, ExecuteMany, Query as Fetch, QueryMany
from dorm.db.statement import Statement, Template
from dorm.models.state import ORIGIN, origin_of
from dorm.queryset.ops import announce, rowwrite
from dorm.queryset.ops.tables import insert_fields
from dorm.queryset.ops.write import writing
from dorm.sql.node import Node
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

_ROWS_A_BATCH = 5_000
"""Rows bound and sent together where the caller names no number: bounds the memory of one statement."""


@operation
def bulk_create(
    qs: QuerySet[Any, Any], objs: Iterable[Any], batch_size: int | None, ignore_conflicts: bool
) -> Operation[list[Any]]:
    """Insert *objs*; return them, keys filled in."""
    if batch_size is not None and batch_size <= 0:
        raise ValueError("Batch size must be a positive integer.")
    announce.refuse_read_only(qs.model._meta, "bulk_create()")
    if qs.model._meta.parents:
        raise ValueError(f"Can't bulk create a multi-table inherited model: {qs.model._meta.label} has several tables.")
    found = list(objs)
    if not found:
        return found
    for obj in found:
        if not isinstance(obj, qs.model):
            raise TypeError(f"bulk_create() of {qs.model.__name__} got an instance of {type(obj).__name__}.")
    database = writing(qs)
    yield from in_transaction(_batches(database, found, batch_size or _ROWS_A_BATCH, ignore_conflicts), database.alias)
    origin = origin_of(database.alias)
    for obj in found:
        obj.__dict__[ORIGIN] = origin
    return found


@operation
def _batches(database: Database, objs: list[Any], size: int, ignore_conflicts: bool) -> Operation[None]:
    for fields, same in _by_columns(objs):
        for start in range(0, len(same), size):
            yield from _insert(database, fields, same[start : start + size], ignore_conflicts)


def _by_columns(objs: list[Any]) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
    """Yield the instances that name the same columns together, order kept within each group."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    meta = objs[0]._meta
    relations = [field for field in meta.fields if field.is_relation]
    pk = meta.pk
    varied = any(field.has_db_default for field in meta.fields)
    common: dict[bool, tuple[Any, ...]] = {}
    for obj in objs:
        for field in relations:
            field.check_saved(obj)
        values = obj.__dict__
        keyed = values.get(pk.attname) is not None
        fields = common.get(keyed)
        if varied or fields is None or len(values) < len(fields):
            fields = common[keyed] = insert_fields(meta, obj)
        groups.setdefault(fields, []).append(obj)
    yield from groups.items()


@operation
def _insert(database: Database, fields: tuple[Any, ...], objs: list[Any], ignore_conflicts: bool) -> Operation[None]:
    """Insert one batch by the road that the dialect has."""
    dialect = database.dialect
    model = type(objs[0])
    ending = " ON CONFLICT DO NOTHING" if ignore_conflicts else ""
    rows = [_values(obj, fields) for obj in objs]
    if dialect.supports_unnest_insert and fields and all(dialect.unnests(field.sql_type) for field in fields):
        wanted = _from_arrays(model, dialect, fields, ending)
        statement = Statement(wanted.template, _columns(wanted, dialect, fields, rows))
        if wanted.back:
            _take_back(wanted, objs, (yield from perform(Fetch(database, statement))))
        else:
            yield from perform(Execute(database, statement))
        return
    wanted = rowwrite.insert(model._meta, dialect, fields, ending)
    many = Statement(wanted.template, [wanted.bound(row) for row in rows])
    if wanted.back and dialect.supports_returning:
        _take_back(wanted, objs, (yield from perform(QueryMany(database, many))))
    else:
        yield from perform(ExecuteMany(database, many))


def _values(obj: Any, fields: Sequence[Any]) -> list[Any]:
    values = [field.pre_save(obj, True) for field in fields]
    for field, value in zip(fields, values, strict=True):
        if isinstance(value, Node):
            raise ValueError(
                f"{type(obj).__name__}.{field.name} holds an expression: bulk_create() takes values. "
                "Insert first and set it with update()."
            )
    return values


def _from_arrays(model: Any, dialect: Any, fields: tuple[Any, ...], ending: str) -> rowwrite.RowWrite:
    """Return INSERT of many rows from one array a column."""
    plain = rowwrite.insert(model._meta, dialect, fields, ending)
    table = dialect.quote(model._meta.db_table)

    def make() -> tuple[rowwrite.RowWrite, int]:
        returning = ", ".join(dialect.quote(field.column) for field, _ in plain.back)
        columns = [dialect.quote(field.column) for field in fields]
        sql = dialect.insert_from_arrays(table, columns, [field.sql_type for field in fields], returning, ending)
        template = Template(sql, binary=plain.template.binary, model=plain.template.model)
        return replace(plain, template=template), 4 * len(sql)

    made: rowwrite.RowWrite = model._meta.plan.derive(("insert many", dialect.fingerprint, fields, ending), make)
    return made


def _columns(wanted: rowwrite.RowWrite, dialect: Any, fields: Sequence[Any], rows: list[list[Any]]) -> list[Any]:
    """Return one array parameter a column."""
    arrays = []
    for field, bind, column in zip(fields, wanted.binders, zip(*rows, strict=True), strict=True):
        values = list(column) if bind is None else [rowwrite.bound_value(value, bind, None) for value in column]
        whole = dialect.array_binder(field.sql_type)
        arrays.append(values if whole is None else whole(values))
    return arrays


def _take_back(wanted: rowwrite.RowWrite, objs: list[Any], rows: list[Any]) -> None:
    """Put what the database made on the instances, matched by position."""
    if len(rows) != len(objs):
        raise AssertionError(f"{len(objs)} rows were inserted and {len(rows)} came back")
    for obj, row in zip(objs, rows, strict=True):
        wanted.take_back(obj, row)
