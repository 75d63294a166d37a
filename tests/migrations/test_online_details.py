"""The zero-downtime operations one by one: what they fill, what they leave, and where they are taken up again."""

from __future__ import annotations

import time
from typing import Any

import pytest

import dorm
from dorm.db.connection import connections
from dorm.migrations import operations as ops
from tests.migrations.conftest import Executor
from tests.migrations.test_executor import execute, rows
from tests.migrations.test_online import second, shop  # noqa: F401  # a fixture
from tests.support.projects import Project

native = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def third(project: Project, operations: str) -> None:
    body = f'dependencies = [("shop", "0002_second")]\natomic = False\noperations = [{operations}]\n'
    project.migration("shop", "0003_third", body)


# -- AddFieldOnline ----------------------------------------------------------------------------------------------


@native
@pytest.mark.parametrize("required", [False, True])
async def test_a_field_comes_without_writing_a_row_and_with_a_default_for_new_ones(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    required: bool,
) -> None:
    await executor.migrate("shop", shop)
    now = ", set_not_null_now=True" if required else ""
    second(project, f'ops.AddFieldOnline("Item", "age", dorm.IntegerField(default=7){now})', atomic=False)
    file = "SELECT pg_relation_filenode('items')"
    before = rows(file)
    if not required:
        execute("INSERT INTO items (id, code) VALUES (1, 'old')")
    await executor.migrate("shop", shop)
    assert rows(file) == before
    execute("INSERT INTO items (id, code) VALUES (2, 'new')")
    assert rows("SELECT id, age FROM items ORDER BY id") == ([] if required else [(1, None)]) + [(2, 7)]
    wanted = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'age'"
    assert rows(wanted) == [(required,)]
    await executor.rollback("shop", shop, "1")
    with pytest.raises(dorm.ProgrammingError):
        rows("SELECT age FROM items")


@native
async def test_a_reference_comes_not_validated_and_holds_for_new_rows(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    key = 'dorm.ForeignKey("shop.item", dorm.CASCADE, null=True, related_name="+")'
    second(project, f'ops.AddFieldOnline("Item", "parent", {key})', atomic=False)
    await executor.migrate("shop", shop)
    state = "SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid = 'items'::regclass"
    ((name, valid),) = rows(state)
    assert valid is False
    with pytest.raises(dorm.IntegrityError):
        execute("INSERT INTO items (id, code, parent_id) VALUES (1, 'a', 9)")
    third(project, f'ops.ValidateConstraint(table="items", name="{name}")')
    await executor.migrate("shop", shop)
    assert rows(state) == [(name, True)]


async def test_a_unique_field_is_unique_everywhere(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    second(project, 'ops.AddFieldOnline("Item", "slug", dorm.CharField(max_length=9, null=True, unique=True))')
    await executor.migrate("shop", shop)
    execute("INSERT INTO items (id, code, slug) VALUES (1, 'a', 'x'), (2, 'b', NULL), (3, 'c', NULL)")
    with pytest.raises(dorm.IntegrityError):
        execute("INSERT INTO items (id, code, slug) VALUES (4, 'd', 'x')")


# -- BackfillBatch -----------------------------------------------------------------------------------------------

FILLS = {
    "a comparison of its own": "note = CASE WHEN id > 3 THEN 'high' ELSE 'low' END WHERE note IS NULL",
    "a whole statement": "UPDATE items SET note = CASE WHEN id > 3 THEN 'high' ELSE 'low' END WHERE note IS NULL;",
    "a subquery": "note = (SELECT CASE WHEN i.id > 3 THEN 'high' ELSE 'low' END FROM items i WHERE i.id = items.id)"
    " where note IS NULL OR note = 'where'",
}


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize("fill", FILLS)
async def test_every_row_is_filled_once_whatever_the_sql(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    fill: str,
    size: int,
) -> None:
    second(project, f'ops.BackfillBatch("items", update_sql="{FILLS[fill]}", batch_size={size})')
    await executor.migrate_to("shop", shop, "1")
    execute("INSERT INTO items (id, code) VALUES (-4, 'a'), (0, 'b'), (3, 'c'), (4, 'd'), (90000, 'e')")
    execute("INSERT INTO items (id, code, note) VALUES (5, 'f', 'kept')")
    await executor.migrate("shop", shop)
    found = rows("SELECT id, note FROM items ORDER BY id")
    assert found == [(-4, "low"), (0, "low"), (3, "low"), (4, "high"), (5, "kept"), (90000, "high")]
    await executor.rollback("shop", shop, "1")
    assert rows("SELECT id, note FROM items ORDER BY id") == found  # the column goes with the operation that made it


async def test_batches_are_counted_and_paused_between(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    fill = 'ops.BackfillBatch("items", update_sql="note = code", batch_size=2, max_batches=3, sleep_seconds=0.1)'
    second(project, fill)
    await executor.migrate_to("shop", shop, "1")
    execute("INSERT INTO items (code) VALUES " + ", ".join(f"('c{number}')" for number in range(10)))
    begun = time.monotonic()
    await executor.migrate("shop", shop)
    assert time.monotonic() - begun >= 0.2
    assert rows("SELECT count(*) FROM items WHERE note = code") == [(6,)]


async def test_an_empty_table_and_keys_that_are_texts_are_filled(project: Project, executor: Executor) -> None:
    made = 'ops.CreateModel("Tag", [("code", dorm.CharField(max_length=9, primary_key=True)), '
    made += '("note", dorm.TextField(null=True))])'
    folder = project.app("shop", {"0001_initial": f"dependencies = []\noperations = [{made}]\n"})
    fill = 'ops.BackfillBatch("shop_tag", update_sql="note = upper(code)", pk_column="code", batch_size=2)'
    second(project, fill)
    await executor.migrate("shop", folder)
    execute("INSERT INTO shop_tag (code) VALUES ('a'), ('b'), ('c'), ('d'), ('e')")
    await executor.migrate_to("shop", folder, "1")
    await executor.migrate("shop", folder)
    assert rows("SELECT note FROM shop_tag ORDER BY code") == [("A",), ("B",), ("C",), ("D",), ("E",)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"update_sql": ""},
        {"update_sql": None},
        {"batch_size": 0},
        {"batch_size": True},
        {"sleep_seconds": -1},
        {"max_batches": 0},
    ],
)
def test_arguments_that_mean_nothing_are_refused_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ops.BackfillBatch("items", **{"update_sql": "a = 1", **arguments})


# -- the rest ----------------------------------------------------------------------------------------------------


@native
async def test_a_limit_for_locks_is_that_of_one_migration(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    seen = "ops.RunSQL(\"CREATE TABLE {} AS SELECT current_setting('lock_timeout') AS value\")"
    second(project, f"ops.SetLockTimeout(150), {seen.format('one')}")
    third(project, seen.format("two"))
    await executor.migrate("shop", shop)
    assert rows("SELECT one.value, two.value FROM one, two") == [("150ms", "5s")]
    with pytest.raises(ValueError, match="ms"):
        ops.SetLockTimeout(-1)


async def test_where_ddl_is_not_transactional_a_run_is_taken_up_where_it_failed(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(type(connections["default"].dialect), "supports_transactional_ddl", False)
    added = 'ops.AddField("Item", "{}", dorm.IntegerField(null=True))'
    steps = f"{added.format('one')}, ops.RunSQL('INSERT INTO nowhere VALUES (1)', ''), {added.format('two')}"
    second(project, steps)
    with pytest.raises(dorm.DatabaseError, match="nowhere"):
        await executor.migrate("shop", shop)
    assert rows("SELECT one FROM items") == []
    assert rows("SELECT done FROM dorm_migration_progress") == [(1,)]
    assert rows("SELECT name FROM dorm_migrations") == [("0001_initial",)]
    second(project, steps.replace("INSERT INTO nowhere VALUES (1)", "INSERT INTO items (code) VALUES (1)"))
    executor.inner.verbosity = 1
    await executor.migrate("shop", shop)
    assert "shop.0002_second had begun: 1 of 3 operations are done" in capsys.readouterr().out
    assert rows("SELECT code, one, two FROM items") == [("1", None, None)]
    assert rows("SELECT count(*) FROM dorm_migration_progress") == [(0,)]
