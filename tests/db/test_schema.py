"""Changing tables: the statements of each backend keep rows, indexes, triggers and references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import dorm
from dorm.db.connection import connections
from dorm.db.operation import Operation, arun, run
from dorm.db.perform import perform
from dorm.db.request import Execute, Query
from dorm.db.statement import Statement, Template
from dorm.db.tables import CheckDef, ColumnDef, ForeignKeyDef, IndexDef, TableDef, UniqueDef
from dorm.db.types import BIGINT, BOOLEAN, INTEGER, TEXT, SqlType
from dorm.migrations.editor import Editor
from dorm.transaction import in_transaction
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("empty_database")

KEY = ColumnDef("id", SqlType("bigint", auto=True))
PARENT = TableDef("parent", (KEY, ColumnDef("name", SqlType("varchar", length=20))), ("id",))
CHILD = TableDef(
    "child",
    (
        KEY,
        ColumnDef("parent_id", BIGINT),
        ColumnDef("amount", SqlType("numeric", precision=8, scale=2), null=True),
        ColumnDef("note", TEXT, null=True),
    ),
    ("id",),
    uniques=(UniqueDef("child_uniq", ("parent_id", "note")),),
    checks=(CheckDef("child_check", '"amount" >= 0'),),
    foreign_keys=(ForeignKeyDef("child_fk", ("parent_id",), "parent", ("id",)),),
    indexes=(IndexDef("child_idx", ('"note" DESC',), columns=("note",)),),
)


async def do(face: Face, op: Operation[Any]) -> Any:
    op = in_transaction(op, "default")
    return await arun(op) if face.is_async else run(op)


async def execute(face: Face, sql: str) -> None:
    await do(face, perform(Execute(connections["default"], Statement(Template(sql, prepare=False)))))


async def rows(face: Face, sql: str) -> list[Any]:
    found: list[Any] = await do(face, perform(Query(connections["default"], Statement(Template(sql, prepare=False)))))
    return [tuple(row) for row in found]


async def make(face: Face, *tables: TableDef) -> None:
    editor = Editor(connections["default"])
    for table in tables:
        await do(face, editor.dialect.schema.create_table(editor, table))


async def alter(face: Face, *pairs: tuple[TableDef, TableDef]) -> None:
    editor = Editor(connections["default"])
    await do(face, editor.dialect.schema.alter_tables(editor, pairs))


async def family(face: Face) -> None:
    await make(face, PARENT, CHILD)
    await execute(face, "INSERT INTO parent (id, name) VALUES (1, 'p')")
    amount = "12.34" if connections["default"].vendor == "postgresql" else "1234"
    await execute(face, f"INSERT INTO child (parent_id, amount, note) VALUES (1, {amount}, 'a'), (1, NULL, NULL)")


def with_column(table: TableDef, column: ColumnDef) -> TableDef:
    kept = tuple(each for each in table.columns if each.name != column.name)
    return replace(table, columns=(*kept, column))


def changed(table: TableDef, column: ColumnDef) -> TableDef:
    return replace(table, columns=tuple(column if each.name == column.name else each for each in table.columns))


async def test_a_table_refuses_what_its_constraints_forbid(face: Face) -> None:
    await family(face)
    for values in ("1, 0, 'a'", "1, -1, 'b'", "7, 0, 'c'", "NULL, 0, 'd'"):
        with pytest.raises(dorm.IntegrityError):
            await execute(face, f"INSERT INTO child (parent_id, amount, note) VALUES ({values})")
    assert len(await rows(face, "SELECT id FROM child")) == 2


async def test_added_columns_get_their_fill_and_keep_no_default(face: Face) -> None:
    await family(face)
    new = with_column(CHILD, ColumnDef("rank", INTEGER, fill="7"))
    await alter(face, (CHILD, new))
    assert await rows(face, "SELECT rank FROM child") == [(7,), (7,)]
    with pytest.raises(dorm.IntegrityError):
        await execute(face, "INSERT INTO child (parent_id) VALUES (1)")
    await alter(face, (new, CHILD))
    assert await rows(face, "SELECT note FROM child ORDER BY id") == [("a",), (None,)]


async def test_a_column_becomes_required(face: Face) -> None:
    await family(face)
    await alter(face, (CHILD, changed(CHILD, ColumnDef("note", TEXT, fill="'none'"))))
    assert await rows(face, "SELECT note FROM child ORDER BY id") == [("a",), ("none",)]


async def test_types_change_with_their_values(face: Face) -> None:
    await family(face)
    wider = changed(CHILD, ColumnDef("amount", SqlType("numeric", precision=10, scale=4), null=True))
    await alter(face, (CHILD, wider))
    text = changed(wider, ColumnDef("amount", TEXT, null=True))
    await alter(face, (wider, replace(text, checks=())))
    assert await rows(face, "SELECT amount FROM child ORDER BY id") == [("12.3400",), (None,)]


async def test_a_key_and_what_refers_to_it_change_their_type_together(face: Face) -> None:
    await family(face)
    parent = changed(PARENT, ColumnDef("id", SqlType("varchar", length=10)))
    child = changed(CHILD, ColumnDef("parent_id", SqlType("varchar", length=10)))
    await alter(face, (PARENT, parent), (CHILD, child))
    assert await rows(face, "SELECT p.id FROM parent p JOIN child c ON c.parent_id = p.id") == [("1",), ("1",)]
    with pytest.raises(dorm.IntegrityError):
        await execute(face, "INSERT INTO child (parent_id, note) VALUES ('2', 'x')")


async def test_booleans_and_numbers(face: Face) -> None:
    table = TableDef("flags", (KEY, ColumnDef("flag", INTEGER, default="2")), ("id",))
    await make(face, table)
    await execute(face, "INSERT INTO flags (id) VALUES (1)")
    truth = "true" if connections["default"].vendor == "postgresql" else "1"
    await alter(face, (table, changed(table, ColumnDef("flag", BOOLEAN, default=truth))))
    await execute(face, "INSERT INTO flags (id) VALUES (2)")
    assert await rows(face, f"SELECT count(*) FROM flags WHERE flag = {truth}") == [(2,)]


async def test_a_rebuild_keeps_rows_that_others_refer_to(face: Face) -> None:
    await family(face)
    await execute(face, "CREATE VIEW names AS SELECT name FROM parent")
    await alter(face, (PARENT, with_column(PARENT, ColumnDef("rank", INTEGER, fill="1"))))
    assert await rows(face, "SELECT name FROM names") == [("p",)]
    assert await rows(face, "SELECT count(*) FROM child") == [(2,)]
    with pytest.raises(dorm.IntegrityError):
        await execute(face, "DELETE FROM parent")


async def test_generated_columns(face: Face) -> None:
    table = TableDef("sums", (KEY, ColumnDef("a", INTEGER, null=True)), ("id",))
    await make(face, table)
    await execute(face, "INSERT INTO sums (a) VALUES (2)")
    new = with_column(table, ColumnDef("twice", INTEGER, null=True, generated='"a" * 2'))
    await alter(face, (table, new))
    required = with_column(new, ColumnDef("b", INTEGER, fill="5"))
    await alter(face, (new, required))
    assert await rows(face, "SELECT a, twice, b FROM sums") == [(2, 4, 5)]


async def test_counting_goes_on_after_a_rebuild(face: Face) -> None:
    await family(face)
    await execute(face, "DELETE FROM child")
    await alter(face, (CHILD, with_column(CHILD, ColumnDef("rank", INTEGER, fill="1"))))
    await execute(face, "INSERT INTO child (parent_id, rank) VALUES (1, 1)")
    assert await rows(face, "SELECT id FROM child") == [(3,)]


async def test_indexes_and_constraints_come_and_go(face: Face) -> None:
    await family(face)
    bare = replace(CHILD, uniques=(), checks=(), indexes=(), foreign_keys=())
    await alter(face, (CHILD, bare))
    await execute(face, "INSERT INTO child (parent_id, amount, note) VALUES (99, -1, 'a'), (99, -1, 'a')")
    with pytest.raises(dorm.IntegrityError):
        await alter(face, (bare, CHILD))
    await execute(face, "DELETE FROM child WHERE parent_id = 99")
    await alter(face, (bare, CHILD))
    with pytest.raises(dorm.IntegrityError):
        await execute(face, "INSERT INTO child (parent_id) VALUES (99)")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_sqlite_keeps_triggers_foreign_indexes_and_unknown_columns(face: Face) -> None:
    await family(face)
    await execute(face, "CREATE TRIGGER no_delete BEFORE DELETE ON child BEGIN SELECT RAISE(ABORT, 'append-only'); END")
    await execute(face, "CREATE INDEX by_hand ON child (amount)")
    await execute(face, "ALTER TABLE child ADD COLUMN hidden TEXT DEFAULT 'h'")
    await alter(face, (CHILD, with_column(CHILD, ColumnDef("rank", INTEGER, fill="1"))))
    with pytest.raises(dorm.IntegrityError, match="append-only"):
        await execute(face, "DELETE FROM child")
    assert await rows(face, "SELECT name FROM sqlite_master WHERE name = 'by_hand'") == [("by_hand",)]
    assert await rows(face, "SELECT hidden FROM child") == [("h",), ("h",)]


async def test_renames_take_the_names_of_constraints_along(face: Face) -> None:
    await family(face)
    new = replace(
        CHILD,
        name="kid",
        uniques=(UniqueDef("kid_uniq", ("parent_id", "note")),),
        checks=(CheckDef("kid_check", '"amount" >= 0'),),
        foreign_keys=(ForeignKeyDef("kid_fk", ("parent_id",), "parent", ("id",)),),
        indexes=(IndexDef("kid_idx", ('"note" DESC',), columns=("note",)),),
    )
    editor = Editor(connections["default"])
    await do(face, editor.dialect.schema.rename_table(editor, CHILD, new))
    await alter(face, (new, replace(new, uniques=(), checks=(), foreign_keys=(), indexes=())))
    await execute(face, "INSERT INTO kid (parent_id, amount, note) VALUES (99, -1, 'a')")


def test_a_dry_run_sends_nothing(database_settings: dict[str, Any]) -> None:
    notes: Sequence[Any] = []
    editor = Editor(connections["default"], notes)  # type: ignore[arg-type]  # read as a sequence below
    run(editor.dialect.schema.create_table(editor, PARENT))
    assert len(notes) == 1
    assert not run(editor.dialect.schema.table_exists(editor, "parent"))
