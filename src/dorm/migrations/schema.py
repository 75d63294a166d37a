"""Making and dropping tables by hand: what migrations do, without migrations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dorm.db.connection import connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.migrations.editor import Editor
from dorm.migrations.tables import table_of
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.migrations.schema_editor import AsyncSchemaEditor as AsyncSchemaEditor, SchemaEditor as SchemaEditor


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


def automatic_throughs(model: Any) -> list[Any]:
    """Return the models of the many-to-many tables that *model* brings with it."""
    throughs = [getattr(field, "through", None) for field in getattr(model._meta, "local_many_to_many", ())]
    return [through for through in throughs if through is not None and through._meta.auto_created]


def with_throughs(models: Iterable[Any]) -> list[Any]:
    """Return *models* and the automatic many-to-many models that they bring with them; proxies have no table."""
    found: list[Any] = []
    for model in models:
        if model._meta.proxy:
            continue
        for each in (model, *automatic_throughs(model)):
            if each not in found:
                found.append(each)
    return found


# -- operations --------------------------------------------------------------------------------------------------


@operation
def create_models(editor: Editor, models: Sequence[Any]) -> Operation[None]:
    """Create the tables of *models* in an order that works; references come last, so that they may go in circles."""
    schema = editor.dialect.schema
    tables = [table_of(model, editor.database) for model in in_order(with_throughs(models))]
    for table in tables:
        yield from schema.create_table(editor, table, references=False)
    for table in tables:
        yield from schema.add_references(editor, table)


@operation
def drop_models(editor: Editor, models: Sequence[Any]) -> Operation[None]:
    """Drop the tables of *models* that exist."""
    for model in reversed(in_order(with_throughs(models))):
        name = model._meta.db_table
        if (yield from editor.dialect.schema.table_exists(editor, name)):
            yield from editor.dialect.schema.drop_table(editor, editor.table(model))
            yield from editor.dialect.schema.drop_types(editor, editor.table(model).columns)


# -- functions ---------------------------------------------------------------------------------------------------


def _create(models: Sequence[Any], using: str) -> Operation[None]:
    return in_transaction(create_models(Editor(connections[using]), models), using)


def _drop(models: Sequence[Any], using: str) -> Operation[None]:
    return in_transaction(drop_models(Editor(connections[using]), models), using)


def create_tables(models: Sequence[Any], using: str = "default") -> None:
    """Create the tables of *models* with their indexes and constraints, in one transaction.

    Raises: ProgrammingError: a table exists already.
    """
    run(_create(models, using))


async def acreate_tables(models: Sequence[Any], using: str = "default") -> None:
    """Async twin of `create_tables`."""
    await arun(_create(models, using))


def drop_tables(models: Sequence[Any], using: str = "default") -> None:
    """Drop the tables of *models* that exist, in one transaction."""
    run(_drop(models, using))


async def adrop_tables(models: Sequence[Any], using: str = "default") -> None:
    """Async twin of `drop_tables`."""
    await arun(_drop(models, using))


def __getattr__(name: str) -> Any:
    # The editors stand on the operations, which stand on this module.
    if name in ("SchemaEditor", "AsyncSchemaEditor"):
        return getattr(import_module("dorm.migrations.schema_editor"), name)
    raise AttributeError(f"module 'dorm.migrations.schema' has no attribute {name!r}")
