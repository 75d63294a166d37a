"""Operations for a live PostgreSQL, and what they are elsewhere."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

import dorm
from dorm.db.connection import connections
from dorm.exceptions import MigrationError
from dorm.migrations import operations as ops
from dorm.migrations.serializer import Source
from dorm.migrations.speaker import Speaker
from tests.migrations.conftest import Executor
from tests.migrations.test_executor import execute, rows, tables
from tests.support.projects import Project

FIRST = """
dependencies = []
operations = [
    ops.CreateModel(
        "Item",
        [
            ("id", dorm.BigAutoField(primary_key=True)),
            ("code", dorm.CharField(max_length=10)),
            ("note", dorm.CharField(max_length=10, null=True)),
        ],
        {"db_table": "items"},
    ),
]
"""


@pytest.fixture
def shop(project: Project) -> Any:
    return project.app("shop", {"0001_initial": FIRST})


def second(project: Project, operations: str, atomic: bool = True) -> None:
    flag = "" if atomic else "atomic = False\n"
    project.migration(
        "shop", "0002_second", f'dependencies = [("shop", "0001_initial")]\n{flag}operations = [{operations}]\n'
    )


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_type_changes_and_comes_back(project: Project, shop: Any, executor: Executor) -> None:
    second(project, 'ops.AlterColumnTypeOnline("Item", "code", "text", old_type="varchar(10)")')
    await executor.migrate("shop", shop)
    kind = (
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'items'::regclass AND attname = 'code'"
    )
    assert rows(kind) == [("text",)]
    await executor.rollback("shop", shop, "1")
    assert rows(kind) == [("character varying(10)",)]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_reader_makes_it_give_up_soon(
    project: Project, shop: Any, executor: Executor, database_settings: dict[str, Any]
) -> None:
    second(project, 'ops.AlterColumnTypeOnline("Item", "code", "text", lock_timeout="200ms")')
    await executor.migrate_to("shop", shop, "1")
    with psycopg.connect(database_settings["URL"]) as reader:
        reader.execute("SELECT * FROM items")
        start = time.monotonic()
        with pytest.raises(dorm.OperationalError, match=r"items.*code.*200ms"):
            await executor.migrate("shop", shop)
        assert time.monotonic() - start < 20
    assert rows("SELECT name FROM dorm_migrations") == [("0001_initial",)]
    await executor.migrate("shop", shop)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_its_time_out_is_not_that_of_the_next_and_its_lock_is_gone(
    project: Project, shop: Any, executor: Executor, database_settings: dict[str, Any]
) -> None:
    """What follows runs with the server's own time-out, and while it runs the table can be read."""
    follows = """
        ops.AlterColumnTypeOnline("Item", "code", "text", lock_timeout="123ms"),
        ops.RunSQL("CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS value"),
        ops.RunSQL("CREATE TABLE locks AS SELECT count(*) FROM pg_locks WHERE relation = 'items'::regclass "
                   "AND mode = 'AccessExclusiveLock'"),
    """
    second(project, follows, atomic=False)
    await executor.migrate_to("shop", shop, "1")
    with psycopg.connect(database_settings["URL"], autocommit=True) as connection:
        ((default,),) = connection.execute("SHOW lock_timeout").fetchall()
    await executor.migrate("shop", shop)
    assert rows("SELECT value FROM seen") != [("123ms",)]
    assert rows("SELECT value FROM seen") in ([(default,)], [("5s",)])  # the second is the runner's own
    assert rows("SELECT * FROM locks") == [(0,)]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_without_the_old_type_there_is_no_way_back(project: Project, shop: Any, executor: Executor) -> None:
    operation = ops.AlterColumnTypeOnline("Item", "code", "text")
    assert (operation.reversible, ops.AlterColumnTypeOnline("Item", "code", "text", old_type="varchar").reversible) == (
        False,
        True,
    )
    second(project, 'ops.AlterColumnTypeOnline("Item", "code", "text")')
    await executor.migrate("shop", shop)
    with pytest.raises(NotImplementedError, match=r"irreversible.*old_type"):
        await executor.rollback("shop", shop, "1")
    assert rows("SELECT name FROM dorm_migrations ORDER BY name") == [("0001_initial",), ("0002_second",)]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_other_backends_refuse_it(project: Project, shop: Any, executor: Executor) -> None:
    second(project, 'ops.AlterColumnTypeOnline("Item", "code", "text")')
    with pytest.raises(NotImplementedError, match="PostgreSQL-only"):
        await executor.migrate("shop", shop)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_it_is_refused_inside_the_transaction_of_others(project: Project, shop: Any, executor: Executor) -> None:
    second(project, 'ops.AlterColumnTypeOnline("Item", "code", "text"), ops.RunSQL("SELECT 1")')
    with pytest.raises(MigrationError, match="atomic = False"):
        await executor.migrate("shop", shop)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"new_type": ""}, "new_type"),
        ({"new_type": "text; DROP TABLE x"}, "new_type"),
        ({"new_type": "text", "lock_timeout": "0"}, "lock_timeout"),
        ({"new_type": "text", "lock_timeout": "soon"}, "lock_timeout"),
        ({"new_type": "text", "lock_timeout": True}, "lock_timeout"),
        ({"new_type": "text", "old_type": ""}, "old_type"),
    ],
)
def test_bad_arguments_name_the_argument(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ops.AlterColumnTypeOnline("Item", "code", **arguments)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_migration_that_waited_for_a_lock_is_run_again_as_a_whole(
    project: Project, shop: Any, executor: Executor, database_settings: dict[str, Any]
) -> None:
    dorm.configure(MIGRATION_LOCK_TIMEOUT="100ms")
    try:
        second(project, 'ops.AddField("Item", "age", dorm.IntegerField(null=True))')
        await executor.migrate_to("shop", shop, "1")
        holder = psycopg.connect(database_settings["URL"])
        holder.execute("SELECT * FROM items")
        threading.Timer(0.8, holder.close).start()
        await executor.migrate("shop", shop)
        assert rows("SELECT count(*) FROM dorm_migrations") == [(2,)]
    finally:
        dorm.configure(MIGRATION_LOCK_TIMEOUT="5s")


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_data_migrations_are_not_repeated(
    project: Project, shop: Any, executor: Executor, database_settings: dict[str, Any]
) -> None:
    dorm.configure(MIGRATION_LOCK_TIMEOUT="100ms")
    try:
        second(project, 'ops.RunSQL("UPDATE items SET note = code"), ops.RunSQL("LOCK TABLE items")')
        await executor.migrate_to("shop", shop, "1")
        with psycopg.connect(database_settings["URL"]) as holder:
            holder.execute("SELECT * FROM items")
            with pytest.raises(MigrationError, match="RunPython, RunSQL"):
                await executor.migrate("shop", shop)
    finally:
        dorm.configure(MIGRATION_LOCK_TIMEOUT="5s")


async def test_a_column_is_added_filled_and_made_required(project: Project, shop: Any, executor: Executor) -> None:
    await executor.migrate("shop", shop)
    execute("INSERT INTO items (code) VALUES " + ", ".join(f"('c{n}')" for n in range(25)))
    second(
        project,
        'ops.AddFieldOnline("Item", "slug", dorm.CharField(max_length=20, default="new")),'
        'ops.BackfillBatch("items", update_sql="slug = code WHERE slug IS NULL OR slug = \'new\'", batch_size=10),'
        'ops.SetNotNullOnline("Item", "slug"),',
        atomic=False,
    )
    await executor.migrate("shop", shop)
    assert rows("SELECT count(*) FROM items WHERE slug = code") == [(25,)]
    with pytest.raises(dorm.IntegrityError):
        execute("INSERT INTO items (code, slug) VALUES ('x', NULL)")
    await executor.rollback("shop", shop, "1")
    with pytest.raises(dorm.DatabaseError):
        rows("SELECT slug FROM items")


async def test_a_long_fill_says_how_far_it_is(
    project: Project, shop: Any, executor: Executor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await executor.migrate("shop", shop)
    execute("INSERT INTO items (code) VALUES " + ", ".join(f"('c{n}')" for n in range(25)))
    second(
        project,
        """
        ops.BackfillBatch(
            "items",
            update_sql="code = (SELECT i.code || ')' FROM items i WHERE i.id = items.id) WHERE code NOT LIKE '%)'",
            batch_size=10,
        ),
        """,
    )
    monkeypatch.setattr(Speaker, "PAUSE", 0.0)
    executor.inner.verbosity = 1
    await executor.migrate("shop", shop)
    assert rows("SELECT count(*) FROM items WHERE code LIKE '%)'") == [(25,)]
    out = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert out == [
        "Applying shop.0002_second...",
        "items: 10 rows filled, 40 %",
        "items: 20 rows filled, 80 %",
        "items: 25 rows filled, 100 % OK",
    ]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_an_index_is_built_concurrently(project: Project, shop: Any, executor: Executor) -> None:
    index = 'ops.AddIndex("Item", dorm.Index(fields=["code"], name="by_code"), concurrently=True)'
    second(project, index)
    with pytest.raises(MigrationError, match="atomic = False"):
        await executor.migrate("shop", shop)
    second(project, index, atomic=False)
    found = await executor.migrate("shop", shop, dry_run=True)
    assert any("CREATE INDEX CONCURRENTLY" in sql for sql, _ in found)
    await executor.migrate("shop", shop)
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_code'::regclass") == [(True,)]
    await executor.rollback("shop", shop, "1")
    assert rows("SELECT to_regclass('by_code')") == [(None,)]


@pytest.mark.parametrize("allow_delete", [False, True])
async def test_append_only_tables(project: Project, shop: Any, executor: Executor, allow_delete: bool) -> None:
    second(project, f'ops.MakeTableAppendOnly("items", allow_delete={allow_delete})')
    await executor.migrate("shop", shop)
    execute("INSERT INTO items (id, code) VALUES (1, 'a'), (2, 'b')")
    refused = ["UPDATE items SET code = 'x'"]
    refused += [] if allow_delete else ["DELETE FROM items WHERE id = 2"]
    refused += ["INSERT INTO items (id, code) VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET code = 'z'"]
    if connections["default"].vendor == "postgresql":
        refused.append("TRUNCATE items")
    else:
        refused.append("INSERT OR REPLACE INTO items (id, code) VALUES (1, 'z')")
    for sql in refused:
        with pytest.raises(dorm.IntegrityError, match="append-only"):
            execute(sql)
    assert rows("SELECT code FROM items WHERE id = 1") == [("a",)]
    if allow_delete:
        execute("DELETE FROM items WHERE id = 2")
    project.migration(
        "shop",
        "0003_third",
        """
        dependencies = [("shop", "0002_second")]
        operations = [
            ops.AlterField("Item", "code", dorm.CharField(max_length=30, default="x")),
            ops.AlterModelTable("Item", "things"),
        ]
        """,
    )
    await executor.migrate("shop", shop)
    with pytest.raises(dorm.IntegrityError, match="append-only") as caught:
        execute("UPDATE things SET code = 'x'")
    assert "table things is append-only" in str(caught.value)
    await executor.rollback("shop", shop, "1")
    execute("UPDATE items SET code = 'x'")
    if connections["default"].vendor == "postgresql":
        assert rows("SELECT count(*) FROM pg_proc WHERE proname LIKE '%block_mod%'") == [(0,)]
    await executor.migrate_to("shop", shop, "2")
    await executor.rollback("shop", shop, "zero")
    assert tables() == {"dorm_migrations"}


@pytest.mark.parametrize("table", ["", "a'b", 'a"b', "x" * 64, None, "a.b.c"])
def test_append_only_refuses_bad_names(table: Any) -> None:
    with pytest.raises(ValueError, match="table"):
        ops.MakeTableAppendOnly(table)
    with pytest.raises(TypeError, match="allow_delete"):
        ops.MakeTableAppendOnly("x", allow_delete=1)  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_what_only_postgresql_has(project: Project, shop: Any, executor: Executor) -> None:
    second(
        project,
        """
        ops.CreateMaterializedView("codes", "SELECT code FROM items"),
        ops.RefreshMaterializedView("codes"),
        ops.CreatePGEnum("mood", ["sad", "it's ok"]),
        ops.CreatePartitionedTable("logs", columns_sql="id bigint, at date", method="range", key="at"),
        ops.CreatePartition("logs", "logs_2026", for_values="FROM ('2026-01-01') TO ('2027-01-01')"),
        ops.DetachPartition("logs", "logs_2026", for_values="FROM ('2026-01-01') TO ('2027-01-01')"),
        ops.AttachPartition("logs", "logs_2026", for_values="FROM ('2026-01-01') TO ('2027-01-01')"),
        ops.EnableRowLevelSecurity("items"),
        ops.ForceRowLevelSecurity("items"),
        ops.CreatePolicy("own", "items", using="note = current_user", roles=["public"]),
        ops.AlterPolicy("own", "items", using="true", previous_using="note = current_user"),
        ops.DropPolicy("own", "items", reverse_using="true"),
        """,
    )
    await executor.migrate("shop", shop)
    assert rows("SELECT enumlabel FROM pg_enum ORDER BY enumsortorder") == [("sad",), ("it's ok",)]
    await executor.rollback("shop", shop, "1")
    assert rows("SELECT count(*) FROM pg_enum") == [(0,)]
    assert tables() == {"dorm_migrations", "items"}


@pytest.mark.parametrize(
    "operation",
    [
        ops.AlterColumnTypeOnline("Item", "code", "text", using="code::text", lock_timeout="1s", old_type="int"),
        ops.MakeTableAppendOnly("items", allow_delete=True),
        ops.BackfillBatch("items", update_sql="a = 1", batch_size=5),
        ops.SetNotNullOnline("Item", "code"),
        ops.ValidateConstraint(table="items", name="x"),
        ops.AddPGEnumValue("mood", "new", before="old"),
        ops.CreatePolicy("p", "items", using="true"),
        ops.RunSQL("SELECT 1", "SELECT 2"),
    ],
)
def test_operations_are_written_and_read(operation: ops.Operation) -> None:
    source = Source()
    text = source.operation(operation).strip().rstrip(",")
    namespace: dict[str, Any] = {}
    exec("\n".join(source.imports), namespace)
    assert eval(text, namespace) == operation
    assert type(operation).__name__ in repr(operation)
