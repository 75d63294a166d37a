"""Emptying tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dorm.conf.registry import registry
from dorm.db.connection import connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.schema import Ddl
from dorm.migrations.editor import Editor
from dorm.migrations.schema import with_throughs
from dorm.transaction import in_savepoint


@operation
def _flush(alias: str, models: Sequence[Any] | None) -> Operation[int]:
    editor = Editor(connections[alias])
    chosen = [
        model
        for model in with_throughs(registry.all() if models is None else models)
        if not model._meta.proxy and editor.allows(model._meta.app_label, model)
    ]
    names = []
    for name in dict.fromkeys(model._meta.db_table for model in chosen):
        if (yield from editor.dialect.schema.table_exists(editor, name)):
            names.append(name)
    yield from in_savepoint(_empty(editor, names), alias)
    return len(names)


def _empty(editor: Editor, names: Sequence[str]) -> Operation[None]:
    for text in editor.dialect.schema.empty_tables(names):
        yield from editor.send(Ddl(text))


def flush(alias: str = "default", models: Sequence[Any] | None = None) -> int:
    """Remove all rows of *models* (None: of all), and let counters begin anew; return the number of tables."""
    return run(_flush(alias, models))


async def aflush(alias: str = "default", models: Sequence[Any] | None = None) -> int:
    """Async twin of `flush`."""
    return await arun(_flush(alias, models))
