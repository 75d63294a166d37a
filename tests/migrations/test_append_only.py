"""Append-only tables: names, renames, what passes and what does not, and a schema of their own."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

import dorm
from dorm.db.connection import connections
from tests.migrations.conftest import Executor
from tests.migrations.test_executor import execute, rows
from tests.migrations.test_online import second, shop  # noqa: F401  # a fixture
from tests.support.projects import Project

RENAMES = {
    "things": 'ops.AlterModelTable("Item", "things")',
    "shop_thing": 'ops.AlterModelTable("Item", None), ops.RenameModel("Item", "Thing")',
}


def is_sqlite() -> bool:
    return connections["default"].vendor == "sqlite"


def leftovers() -> list[Any]:
    """Return the triggers and functions that append-only tables have."""
    if is_sqlite():
        return rows("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    return rows("SELECT proname FROM pg_proc WHERE proname LIKE '%block_mod%'")


def refused(sql: str, table: str) -> None:
    with pytest.raises(dorm.IntegrityError, match=f"table {table} is append-only"):
        execute(sql)


@pytest.mark.parametrize("renamed", RENAMES)
async def test_a_renamed_table_and_the_next_of_its_name_are_apart(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    renamed: str,
) -> None:
    second(project, 'ops.MakeTableAppendOnly("items")')
    project.migration(
        "shop",
        "0003_third",
        f"""
        dependencies = [("shop", "0002_second")]
        operations = [
            {RENAMES[renamed]},
            ops.CreateModel(
                "New",
                [("id", dorm.BigAutoField(primary_key=True)), ("code", dorm.TextField())],
                {{"db_table": "items"}},
            ),
        ]
        """,
    )
    fourth = 'dependencies = [("shop", "0003_third")]\noperations = [ops.MakeTableAppendOnly("items")]\n'
    project.migration("shop", "0004_fourth", fourth)
    await executor.migrate_to("shop", shop, "2")
    execute("INSERT INTO items (id, code) VALUES (1, 'a')")
    await executor.migrate("shop", shop)
    execute("INSERT INTO items (id, code) VALUES (1, 'b')")
    for table in ("items", renamed):
        refused(f"UPDATE {table} SET code = 'x'", table)
    await executor.rollback("shop", shop, "3")
    execute("UPDATE items SET code = 'x'")
    refused(f"DELETE FROM {renamed}", renamed)
    replaced = f"INSERT OR REPLACE INTO {renamed} (id, code) VALUES (1, 'z')"
    refused(replaced if is_sqlite() else f"TRUNCATE {renamed}", renamed)
    await executor.rollback("shop", shop, "2")
    refused("UPDATE items SET code = 'x'", "items")
    await executor.rollback("shop", shop, "1")
    execute("UPDATE items SET code = 'x'")
    assert leftovers() == []


async def test_a_dry_run_names_what_protects_a_renamed_table_too(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    second(project, 'ops.MakeTableAppendOnly("items"), ops.AlterModelTable("Item", "things")')
    await executor.migrate_to("shop", shop, "1")
    printed = str(await executor.migrate("shop", shop, dry_run=True))
    if is_sqlite():
        assert 'CREATE TRIGGER "things_block_mod_trg_update"' in printed
    else:
        assert 'ALTER TRIGGER "items_block_mod_trg" ON "things" RENAME TO "things_block_mod_trg"' in printed
        assert 'ALTER FUNCTION "items_block_mod"() RENAME TO "things_block_mod"' in printed
    await executor.migrate("shop", shop)
    assert all("things" in name for (name,) in leftovers())


async def test_long_names_that_begin_alike_are_apart(project: Project, executor: Executor) -> None:
    one, other = ("a" * 60 + end for end in ("_1", "_2"))
    tables = "".join(
        f'ops.CreateModel("{name}", [("id", dorm.BigAutoField(primary_key=True)), ("code", dorm.TextField())],'
        f' {{"db_table": "{table}"}}), ops.MakeTableAppendOnly("{table}"),'
        for name, table in (("One", one), ("Other", other))
    )
    third = f"dependencies = []\noperations = [{tables}]\n"
    undone = f'dependencies = [("log", "0001_initial")]\noperations = [ops.MakeTableAppendOnly("{one}")]\n'
    app = project.app("log", {"0001_initial": third, "0002_again": undone})
    await executor.migrate("log", app)  # made twice, which replaces
    await executor.rollback("log", app, "1")
    for table in (one, other):
        execute(f"INSERT INTO {table} (id, code) VALUES (1, 'a')")
    execute(f"UPDATE {one} SET code = 'x'")
    refused(f"UPDATE {other} SET code = 'x'", other)
    await executor.rollback("log", app, "zero")
    assert leftovers() == []


async def test_what_passes(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    database_settings: dict[str, Any],
) -> None:
    second(project, 'ops.MakeTableAppendOnly("items", block_truncate=False)')
    await executor.migrate("shop", shop)
    execute("INSERT INTO items (id, code) VALUES (1, 'a'), (2, 'b')")
    execute("UPDATE items SET code = 'x' WHERE id = 99")
    if is_sqlite():
        refused("INSERT OR IGNORE INTO items (id, code) VALUES (1, 'z')", "items")
        execute("INSERT OR IGNORE INTO items (id, code) VALUES (3, 'c')")
    else:
        execute("INSERT INTO items (id, code) VALUES (1, 'z') ON CONFLICT DO NOTHING")
        with psycopg.connect(database_settings["URL"], autocommit=True) as connection:
            with connection.cursor() as cursor, cursor.copy("COPY items (id, code) FROM STDIN") as copy:
                copy.write_row((3, "c"))
    assert rows("SELECT id, code FROM items ORDER BY id") == [(1, "a"), (2, "b"), (3, "c")]
    refused("DELETE FROM items", "items")
    if not is_sqlite():
        execute("TRUNCATE items")
        assert rows("SELECT count(*) FROM items") == [(0,)]


async def test_it_can_be_undone_when_the_table_is_gone(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    second(project, 'ops.MakeTableAppendOnly("items")')
    await executor.migrate("shop", shop)
    execute("DROP TABLE items")
    await executor.rollback("shop", shop, "1")
    assert leftovers() == []


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_schema_of_its_own(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    second(project, 'ops.MakeTableAppendOnly("audit.entries")')
    await executor.migrate_to("shop", shop, "1")
    with pytest.raises(dorm.ProgrammingError, match="audit"):
        await executor.migrate("shop", shop)
    execute("CREATE SCHEMA audit")
    with pytest.raises(dorm.ProgrammingError, match=r"audit\.entries"):
        await executor.migrate("shop", shop)
    execute("CREATE TABLE audit.entries (a int)")
    execute("INSERT INTO audit.entries VALUES (1)")
    try:
        await executor.migrate("shop", shop)
        refused("DELETE FROM audit.entries", r"audit\.entries")
        execute("DROP TABLE audit.entries")
        await executor.rollback("shop", shop, "1")
        assert leftovers() == []
    finally:
        execute("DROP SCHEMA audit CASCADE")


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_partitions_of_now_and_later(project: Project, executor: Executor) -> None:
    made = (
        "CREATE TABLE logs (id bigint, day date) PARTITION BY RANGE (day);"
        "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')"
    )
    first = f"""
    dependencies = []
    operations = [ops.RunSQL({made!r}, "DROP TABLE logs"), ops.MakeTableAppendOnly("logs")]
    """
    await executor.migrate("log", project.app("log", {"0001_initial": first}))
    execute("CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')")
    execute("INSERT INTO logs VALUES (1, '2024-02-03'), (2, '2025-02-03')")
    refused("UPDATE logs SET id = 3", "logs_1")
    for partition in ("logs_1", "logs_2"):
        refused(f"DELETE FROM {partition}", partition)
    refused("TRUNCATE logs", "logs")
    assert rows("SELECT count(*) FROM logs") == [(2,)]
