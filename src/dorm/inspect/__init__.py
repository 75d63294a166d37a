"""From a database to models: what ``dorm inspectdb`` prints, and what ``dorm diff`` compares."""

from __future__ import annotations

from typing import Any

from dorm.db.introspect import FoundTable
from dorm.db.operation import Operation, arun, operation, run
from dorm.inspect.render import render_models
from dorm.migrations.editor import Editor, editor_of

__all__ = ["aintrospect_tables", "introspect_tables", "render_models"]

_OWN = ("dorm_migrations", "dorm_migration_progress")


@operation
def _tables(editor: Editor) -> Operation[list[FoundTable]]:
    found = yield from editor.dialect.schema.read_tables(editor)
    return [table for table in found if table.name not in _OWN]


def introspect_tables(connection: Any = "default") -> list[FoundTable]:
    """Return the tables and views that a database has, without dorm's own.

    Args:
        connection: a connection, or its alias.
    """
    return run(_tables(editor_of(connection)))


async def aintrospect_tables(connection: Any = "default") -> list[FoundTable]:
    """Async twin of `introspect_tables`."""
    return await arun(_tables(editor_of(connection)))
