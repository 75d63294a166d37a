"""From models to tables, and the operations that make and drop them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dorm.db.connection import Database, connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import Execute, Query as Fetch
from dorm.db.schema import (
    ColumnDef,
    ForeignKeyDef,
    IndexDef,
    TableDef,
    UniqueDef,
    create_table,
    drop_table,
)
from dorm.db.statement import Statement, Template
from dorm.indexes import automatic_name
from dorm.transaction import in_transaction


def table_of(model: Any) -> TableDef:
    """Return the table of a model."""
    meta = model._meta
    indexes = [
        IndexDef(automatic_name(meta.db_table, [field.column], "idx"), (field.column,))
        for field in meta.fields
        if field.db_index and not field.unique
    ]
    for index in meta.indexes:
        columns = tuple(_column_of(meta, name) for name in index.fields)
        indexes.append(IndexDef(index.name_for(meta.db_table, columns), columns, index.unique))
    uniques = []
    for names in meta.unique_together:
        columns = tuple(_column_of(meta, name) for name in names)
        uniques.append(UniqueDef(automatic_name(meta.db_table, columns, "uniq"), columns))
    return TableDef(meta.db_table, tuple(map(_column, meta.fields)), tuple(indexes), tuple(uniques))


def _column_of(meta: Any, name: str) -> str:
    descending = "-" if name.startswith("-") else ""
    return f"{descending}{meta.get_field(name.removeprefix('-')).column}"


def _column(field: Any) -> ColumnDef:
    references = None
    if field.is_relation and field.db_constraint:
        target = field.target._meta.db_table
        references = ForeignKeyDef(
            target,
            field.target_field.column,
            automatic_name(field.model._meta.db_table, [field.column, target], "fk"),
        )
    return ColumnDef(
        field.column,
        field.sql_type,
        null=field.null,
        primary_key=field.primary_key,
        unique=field.unique,
        references=references,
    )


def in_order(models: Iterable[Any]) -> list[Any]:
    """Return *models* such that each comes after those it points at, where that can be."""
    left = [model for model in models if model._meta.managed]
    found: list[Any] = []
    while left:
        ready = [model for model in left if not _waits_for(model, left)] or left[:1]
        found.extend(ready)
        left = [model for model in left if model not in ready]
    return found


def _waits_for(model: Any, others: Sequence[Any]) -> bool:
    return any(
        field.is_relation and field.target is not model and field.target in others for field in model._meta.fields
    )


@operation
def _create(models: Sequence[Any], database: Database) -> Operation[None]:
    for model in in_order(models):
        for sql in create_table(database.dialect, table_of(model)):
            yield from perform(Execute(database, Statement(Template(sql, prepare=False))))


@operation
def _drop(models: Sequence[Any], database: Database) -> Operation[None]:
    for model in reversed(in_order(models)):
        sql, params = database.dialect.table_exists(model._meta.db_table)
        if (yield from perform(Fetch(database, Statement(Template(sql), params)))):
            statement = Statement(Template(drop_table(database.dialect, model._meta.db_table), prepare=False))
            yield from perform(Execute(database, statement))


def create_tables(models: Sequence[Any], using: str = "default") -> None:
    """Create the tables of *models* with their indexes and constraints, in one transaction.

    Raises: ProgrammingError: a table exists already.
    """
    run(in_transaction(_create(models, connections[using]), using))


async def acreate_tables(models: Sequence[Any], using: str = "default") -> None:
    """Async twin of `create_tables`."""
    await arun(in_transaction(_create(models, connections[using]), using))


def drop_tables(models: Sequence[Any], using: str = "default") -> None:
    """Drop the tables of *models* that exist, in one transaction."""
    run(in_transaction(_drop(models, connections[using]), using))


async def adrop_tables(models: Sequence[Any], using: str = "default") -> None:
    """Async twin of `drop_tables`."""
    await arun(in_transaction(_drop(models, connections[using]), using))
