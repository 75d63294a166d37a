"""Append-only tables as programs meet them: models, transactions, what is refused before, and what can't protect."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import pytest

import dorm
from dorm.db.connection import connections
from dorm.db.schema import Schema
from dorm.migrations import operations as ops
from dorm.migrations.autodetector import MigrationAutodetector
from dorm.migrations.state import ProjectState
from dorm.migrations.writer import MigrationWriter
from tests.migrations.conftest import Executor
from tests.migrations.test_append_only import leftovers
from tests.migrations.test_executor import execute, rows, tables
from tests.migrations.test_online import second, shop  # noqa: F401  # a fixture
from tests.support.faces import Face
from tests.support.projects import Project

MODELS = """
class Owner(dorm.Model):
    class Meta:
        app_label = "log"

class Entry(dorm.Model):
    code = dorm.CharField(max_length=20, unique=True)
    owner = dorm.ForeignKey(Owner, dorm.CASCADE, null=True)

    class Meta:
        app_label = "log"
"""


@pytest.fixture
def log(project: Project) -> Any:
    """An app with a table that only grows; the folder of its migrations."""
    folder = project.app("log", models=MODELS)
    import_module("log.models")
    (made,) = MigrationAutodetector(ProjectState(), ProjectState.from_apps("log")).migrations()
    (folder / "0001_initial.py").write_text(MigrationWriter(made).as_string())
    body = 'dependencies = [("log", "0001_initial")]\noperations = [ops.MakeTableAppendOnly("log_entry")]\n'
    project.migration("log", "0002_protected", body)
    return folder


async def test_models_write_new_rows_and_change_none(log: Any, executor: Executor, face: Face) -> None:
    await executor.migrate("log", log)
    models: Any = import_module("log.models")
    entries = models.Entry.objects
    made = await face(entries.bulk_create)([models.Entry(code=f"c{number}") for number in range(50)])
    assert len({each.pk for each in made}) == 50
    one = await face(entries.create)(code="one")
    one.code = "two"
    two, again = models.Entry(code="one"), models.Entry(code="c1")
    refused = [
        face(one.save)(),
        face(one.delete)(),
        face(entries.filter(code="one").update)(code="x"),
        face(entries.all().delete)(),
        face(entries.bulk_update)([one], ["code"]),
        face(entries.bulk_create)([two], update_conflicts=True, update_fields=["owner"], unique_fields=["code"]),
        face(entries.update_or_create)(code="one", defaults={"code": "x"}),
    ]
    for call in refused:
        with pytest.raises(dorm.IntegrityError, match="append-only"):
            await call
    with pytest.raises(dorm.IntegrityError):  # what no append-only table would take either
        await face(entries.create)(code="one")
    if connections["default"].vendor == "sqlite":  # triggers cannot tell IGNORE from REPLACE there
        with pytest.raises(dorm.IntegrityError, match="append-only"):
            await face(entries.bulk_create)([again], ignore_conflicts=True)
    else:
        await face(entries.bulk_create)([again], ignore_conflicts=True)
    assert await face(entries.filter(code="one").count)() == 1
    assert await face(entries.count)() == 51


async def test_what_a_parents_delete_would_take_along_stops_it(log: Any, executor: Executor, face: Face) -> None:
    await executor.migrate("log", log)
    models: Any = import_module("log.models")
    owner = await face(models.Owner.objects.create)()
    await face(models.Entry.objects.create)(code="one", owner=owner)
    with pytest.raises(dorm.IntegrityError, match="append-only"):
        await face(owner.delete)()
    assert await face(models.Owner.objects.count)() == 1


async def test_a_transaction_that_was_refused_is_rolled_back_as_any(log: Any, executor: Executor, face: Face) -> None:
    await executor.migrate("log", log)
    models: Any = import_module("log.models")
    await face(models.Entry.objects.create)(code="one")
    with pytest.raises(dorm.IntegrityError, match="append-only"):
        async with face.atomic():
            await face(models.Entry.objects.create)(code="two")
            await face(models.Entry.objects.all().delete)()
    assert await face.rows(models.Entry.objects.values_list("code", flat=True)) == ["one"]


async def test_a_table_that_is_not_there_is_named_and_nothing_recorded(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    second(project, 'ops.AddField("Item", "age", dorm.IntegerField(null=True)), ops.MakeTableAppendOnly("itmes")')
    with pytest.raises(dorm.ProgrammingError, match="itmes"):
        await executor.migrate("shop", shop)
    assert rows("SELECT name FROM dorm_migrations") == [("0001_initial",)]
    with pytest.raises(dorm.DatabaseError):
        rows("SELECT age FROM items")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_table_of_a_schema_is_not_taken_for_one_without(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    second(project, 'ops.MakeTableAppendOnly("audit.items")')
    with pytest.raises(dorm.NotSupportedError, match="no schemas"):
        await executor.migrate("shop", shop)
    execute("INSERT INTO items (id, code) VALUES (1, 'a')")
    execute("UPDATE items SET code = 'b'")


async def test_its_undoing_takes_what_is_left(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    """Somebody dropped a trigger by hand; nothing of the rest stays behind."""
    second(project, 'ops.MakeTableAppendOnly("items")')
    await executor.migrate("shop", shop)
    if connections["default"].vendor == "sqlite":
        execute("DROP TRIGGER items_block_mod_trg_update")
    else:
        execute("DROP TRIGGER items_block_mod_trg ON items")
    await executor.rollback("shop", shop, "1")
    assert leftovers() == []
    execute("INSERT INTO items (id, code) VALUES (1, 'a')")
    execute("UPDATE items SET code = 'b'")
    execute("DELETE FROM items")


@pytest.mark.parametrize("table", ["100%", "%s items", "Größe", "a b"])
async def test_names_with_marks_are_told_as_they_are(project: Project, executor: Executor, table: str) -> None:
    made, gone = f'CREATE TABLE "{table}" (id bigint PRIMARY KEY)', f'DROP TABLE "{table}"'
    body = f'dependencies = []\noperations = [ops.RunSQL({made!r}, {gone!r}), ops.MakeTableAppendOnly("{table}")]\n'
    folder = project.app("log", {"0001_initial": body})
    await executor.migrate("log", folder)
    quoted = f'"{table}"'
    execute(f"INSERT INTO {quoted} (id) VALUES (1)")
    with pytest.raises(dorm.IntegrityError) as caught:
        execute(f"DELETE FROM {quoted}")
    assert f"table {table} is append-only" in str(caught.value)
    await executor.rollback("log", folder, "zero")
    assert (leftovers(), tables()) == ([], {"dorm_migrations"})


async def test_a_backend_without_triggers_warns_and_goes_on(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    second(project, 'ops.MakeTableAppendOnly("items")')
    kind = type(connections["default"].dialect.schema)
    for name in ("append_only", "append_only_off"):
        monkeypatch.setattr(kind, name, getattr(Schema, name))
    with caplog.at_level(logging.WARNING, "dorm.migrations"):
        await executor.migrate("shop", shop)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("dorm.migrations", "WARNING")
    assert "MakeTableAppendOnly('items')" in record.getMessage()
    assert connections["default"].vendor in record.getMessage()
    assert rows("SELECT count(*) FROM dorm_migrations") == [(2,)]
    execute("INSERT INTO items (id, code) VALUES (1, 'a')")
    execute("UPDATE items SET code = 'b'")
    await executor.rollback("shop", shop, "1")
    assert rows("SELECT count(*) FROM dorm_migrations") == [(1,)]


@pytest.mark.parametrize(
    "operation",
    [
        ops.MakeTableAppendOnly("items"),
        ops.MakeTableAppendOnly("audit.items", allow_delete=True, block_truncate=False),
        ops.MakeTableAppendOnly("items", schema="audit"),
        ops.AlterColumnTypeOnline("Item", "code", "bigint"),
        ops.AlterColumnTypeOnline(
            "Item", "code", "bigint", using="code::bigint", lock_timeout=300, old_type="text", old_using="code::text"
        ),
    ],
)
def test_what_is_shown_makes_an_equal_one(operation: ops.Operation) -> None:
    again = eval(repr(operation), vars(ops).copy())
    assert again == operation
    assert repr(again) == repr(operation)
    assert again.reversible == operation.reversible
