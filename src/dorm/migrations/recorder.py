"""The table of what is applied, and of how far a migration came that runs outside transactions."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from dorm.db.operation import Operation
from dorm.db.perform import perform
from dorm.db.request import Execute
from dorm.db.schema import Ddl
from dorm.db.statement import Statement, Template
from dorm.db.tables import ColumnDef, TableDef, UniqueDef
from dorm.db.types import INTEGER, TIMESTAMPTZ, SqlType

if TYPE_CHECKING:
    from dorm.migrations.editor import Editor
    from dorm.migrations.migration import Node

_NAME = SqlType("varchar", length=255)
APPLIED = TableDef(
    "dorm_migrations",
    (
        ColumnDef("id", SqlType("bigint", auto=True)),
        ColumnDef("app", _NAME),
        ColumnDef("name", _NAME),
        ColumnDef("applied_at", TIMESTAMPTZ),
    ),
    ("id",),
    uniques=(UniqueDef("dorm_migrations_app_name_uniq", ("app", "name")),),
)
PROGRESS = TableDef(
    "dorm_migration_progress",
    (ColumnDef("app", _NAME), ColumnDef("name", _NAME), ColumnDef("done", INTEGER)),
    ("app", "name"),
)
"""Operations that are done of a migration which has begun and not ended; no row for one that runs in a transaction."""


def applied(editor: Editor) -> Operation[dict[Node, datetime.datetime]]:
    """Return what is applied and since when, in that order; nothing where the table is not there."""
    if not (yield from editor.dialect.schema.table_exists(editor, APPLIED.name)):
        return {}
    rows = yield from editor.read(f"SELECT app, name, applied_at FROM {APPLIED.name} ORDER BY id")
    load = editor.dialect.loader(TIMESTAMPTZ)
    return {(app, name): load(moment) if load else moment for app, name, moment in rows}


def ensure(editor: Editor, table: TableDef = APPLIED) -> Operation[None]:
    """Make a table of dorm's own where it is absent."""
    if not (yield from editor.dialect.schema.table_exists(editor, table.name)):
        text = editor.dialect.schema.create_table_text(table).replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)
        yield from editor.send(Ddl(text, table=table.name))


def _with_placeholders(editor: Editor, sql: str) -> str:
    first, *rest = sql.split("?")
    return first + "".join(f"{editor.dialect.placeholder(n, None)}{text}" for n, text in enumerate(rest, 1))


def _change(editor: Editor, sql: str, *params: object) -> Operation[int]:
    template = Template(_with_placeholders(editor, sql), prepare=False)
    return (yield from perform(Execute(editor.database, Statement(template, params, internal=True))))


def is_applied(editor: Editor, node: Node) -> Operation[bool]:
    """Tell whether a migration is recorded."""
    sql = f"SELECT 1 FROM {APPLIED.name} WHERE app = ? AND name = ?"
    return bool((yield from editor.read(_with_placeholders(editor, sql), node)))


def record(editor: Editor, node: Node) -> Operation[None]:
    """Record a migration as applied."""
    bind = editor.dialect.binder(TIMESTAMPTZ)
    now = datetime.datetime.now(datetime.UTC)
    sql = f"INSERT INTO {APPLIED.name} (app, name, applied_at) VALUES (?, ?, ?)"
    yield from _change(editor, sql, *node, bind(now) if bind else now)


def forget(editor: Editor, node: Node) -> Operation[None]:
    """Record a migration as not applied."""
    yield from _change(editor, f"DELETE FROM {APPLIED.name} WHERE app = ? AND name = ?", *node)


# -- progress ----------------------------------------------------------------------------------------------------


def progress(editor: Editor, node: Node) -> Operation[int | None]:
    """Return how many operations of a migration are done; None when it has not begun."""
    if not (yield from editor.dialect.schema.table_exists(editor, PROGRESS.name)):
        return None
    sql = f"SELECT done FROM {PROGRESS.name} WHERE app = ? AND name = ?"
    rows = yield from editor.read(_with_placeholders(editor, sql), node)
    return int(rows[0][0]) if rows else None


def begun(editor: Editor) -> Operation[dict[Node, int]]:
    """Return the migrations that began and did not end, with the operations that are done."""
    if not (yield from editor.dialect.schema.table_exists(editor, PROGRESS.name)):
        return {}
    rows = yield from editor.read(f"SELECT app, name, done FROM {PROGRESS.name}")
    return {(app, name): int(done) for app, name, done in rows}


def advance(editor: Editor, node: Node, done: int) -> Operation[None]:
    """Note that *done* operations of a migration are done."""
    if not (yield from _change(editor, f"UPDATE {PROGRESS.name} SET done = ? WHERE app = ? AND name = ?", done, *node)):
        yield from _change(editor, f"INSERT INTO {PROGRESS.name} (app, name, done) VALUES (?, ?, ?)", *node, done)


def finish(editor: Editor, node: Node) -> Operation[None]:
    """Forget how far a migration came: it is done, or undone."""
    if (yield from editor.dialect.schema.table_exists(editor, PROGRESS.name)):
        yield from _change(editor, f"DELETE FROM {PROGRESS.name} WHERE app = ? AND name = ?", *node)
