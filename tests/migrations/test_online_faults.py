"""Online operations that wait, are killed, run again, or stand where they should not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import dorm
from dorm.db.connection import connections
from dorm.exceptions import MigrationError
from dorm.migrations import api, operations as ops
from dorm.migrations.executor import MigrationExecutor
from dorm.migrations.render import step_lines
from dorm.migrations.state import ProjectState
from tests.migrations.conftest import Executor
from tests.migrations.test_concurrency import kill_when, start
from tests.migrations.test_executor import execute, rows
from tests.migrations.test_online import FIRST, second, shop  # noqa: F401  # a fixture
from tests.support.cli import Scratch
from tests.support.projects import HEADER, Project

native = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
TYPE = (
    "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'code'"
)
NOT_NULL = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'note'"


@pytest.fixture
def limit() -> Iterator[Any]:
    """Set how long migrations wait for locks."""
    yield lambda value: dorm.configure(MIGRATION_LOCK_TIMEOUT=value)
    dorm.configure(MIGRATION_LOCK_TIMEOUT="5s")


@native
async def test_each_short_step_gives_up_when_it_waits_and_the_next_run_goes_on(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    database_settings: dict[str, Any],
    limit: Any,
) -> None:
    limit("200ms")
    second(project, 'ops.SetNotNullOnline("Item", "note")')
    await executor.migrate_to("shop", shop, "1")
    for direction in ("forwards", "backwards"):
        target = "2" if direction == "forwards" else "1"
        with psycopg.connect(database_settings["URL"]) as reader:
            reader.execute("SELECT * FROM items")
            begun = time.monotonic()
            with pytest.raises(MigrationError, match=r"200ms.*not repeated by itself.*pg_blocking_pids"):
                await executor.migrate_to("shop", shop, target)
            assert time.monotonic() - begun < 20
        assert rows(NOT_NULL) == [(direction == "backwards",)]
        await executor.migrate_to("shop", shop, target)
        assert rows(NOT_NULL) == [(direction == "forwards",)]
    assert rows("SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'items'::regclass") == [(0,)]


@native
async def test_what_a_stopped_run_left_is_taken_up(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    """A row without a value stops the validation; the CHECK that is there by then is dropped by the next run."""
    second(project, 'ops.SetNotNullOnline("Item", "note")')
    await executor.migrate_to("shop", shop, "1")
    execute("INSERT INTO items (code, note) VALUES ('a', NULL)")
    for _ in range(2):
        with pytest.raises(dorm.IntegrityError, match="items_note_not_null"):
            await executor.migrate("shop", shop)
        with pytest.raises(dorm.IntegrityError, match="items_note_not_null"):
            execute("INSERT INTO items (code, note) VALUES ('b', NULL)")
    execute("UPDATE items SET note = 'x'")
    await executor.migrate("shop", shop)
    assert rows(NOT_NULL) == [(True,)]


@native
async def test_readers_and_writers_go_on_while_the_rows_are_checked(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    database_settings: dict[str, Any],
) -> None:
    """The CHECK is committed before it is validated, and validating stops nobody."""
    second(project, 'ops.SetNotNullOnline("Item", "note")')
    await executor.migrate_to("shop", shop, "1")
    found = await executor.migrate("shop", shop, dry_run=True)
    texts = [sql for sql, _ in found]
    checked = next(number for number, sql in enumerate(texts) if "VALIDATE" in sql)
    with psycopg.connect(database_settings["URL"], autocommit=True) as one:
        for sql in texts[: checked + 1]:
            one.execute(sql)
        assert one.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        with psycopg.connect(database_settings["URL"], autocommit=True) as other:
            other.execute("SET lock_timeout = '2s'")
            other.execute("INSERT INTO items (code, note) VALUES ('a', 'b')")
            assert other.execute("SELECT count(*) FROM items").fetchall() == [(1,)]
        for sql in texts[checked + 1 :]:
            one.execute(sql)
    assert rows(NOT_NULL) == [(True,)]


@native
async def test_without_a_limit_of_its_own_the_next_operation_has_the_servers(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    limit: Any,
) -> None:
    limit(None)
    shown = "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS value"
    changed = 'ops.AlterColumnTypeOnline("Item", "code", "text", lock_timeout="123ms"),'
    second(project, f'{changed} ops.RunSQL("{shown}")', atomic=False)
    await executor.migrate("shop", shop)
    assert rows("SELECT value FROM seen") == rows("SELECT reset_val FROM pg_settings WHERE name = 'lock_timeout'")


FIELD = 'ops.AlterField("Item", "code", dorm.TextField())'
ONLINE = 'ops.AlterColumnTypeOnline("Item", "code", "text", old_type="varchar(10)")'


@native
@pytest.mark.parametrize(
    "operations",
    [
        f"ops.SeparateDatabaseAndState([{ONLINE}], [{FIELD}])",
        f"{ONLINE}, ops.SeparateDatabaseAndState(state_operations=[{FIELD}])",
    ],
)
@pytest.mark.parametrize("atomic", [True, False])
async def test_the_field_changes_in_the_state_beside_it(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    operations: str,
    atomic: bool,
) -> None:
    second(project, operations, atomic)
    await executor.migrate("shop", shop)
    assert rows(TYPE) == [("text",)]
    await executor.rollback("shop", shop, "1")
    assert rows(TYPE) == [("character varying(10)",)]


@native
def test_it_is_refused_in_a_transaction_of_the_callers(project: Project, shop: Any) -> None:  # noqa: F811
    """The time-out would be that of the rest of the transaction too."""
    MigrationExecutor("default", 0).migrate("shop", shop)
    state = ProjectState()
    operation = ops.AlterColumnTypeOnline("Item", "code", "text")
    with dorm.transaction.atomic(), pytest.raises(MigrationError, match="inside a transaction"):
        operation.database_forwards("shop", "default", state, state)


@native
async def test_in_the_migrations_transaction_the_log_says_so(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    second(project, 'ops.SetNotNullOnline("Item", "note"), ops.RunSQL("SELECT 1")')
    with caplog.at_level(logging.WARNING, "dorm.migrations"):
        await executor.migrate("shop", shop)
    assert "SetNotNullOnline" in caplog.text
    assert "atomic = False" in caplog.text
    assert rows(NOT_NULL) == [(True,)]


@native
async def test_steps_of_a_migration_without_a_transaction_are_shown_in_theirs(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
    limit: Any,
) -> None:
    limit("7s")
    added = 'ops.AddField("Item", "age", dorm.IntegerField(null=True)),'
    second(project, f"{added} {ONLINE}, ops.SetNotNullOnline('Item', 'note')", atomic=False)
    dorm.configure(INSTALLED_APPS=["shop"])
    notes = api.sql_for("default", "shop", "2")
    lines = [line for line in step_lines(notes, connections["default"].dialect, "") if not line.startswith("--")]
    alter = 'ALTER TABLE "items"'
    check = '"items_note_not_null"'
    assert [line for line in lines if line] == [
        "BEGIN;",
        "SET LOCAL lock_timeout = '7s';",
        f'{alter} ADD COLUMN "age" integer NULL;',
        "COMMIT;",
        "BEGIN;",
        "SET LOCAL lock_timeout = '5s';",
        f'{alter} ALTER COLUMN "code" TYPE text;',
        "COMMIT;",
        "BEGIN;",
        "SET LOCAL lock_timeout = '7s';",
        f"{alter} DROP CONSTRAINT IF EXISTS {check};",
        f'{alter} ADD CONSTRAINT {check} CHECK ("note" IS NOT NULL) NOT VALID;',
        "COMMIT;",
        "BEGIN;",
        "SET LOCAL lock_timeout = '7s';",
        f"{alter} VALIDATE CONSTRAINT {check};",
        "COMMIT;",
        "BEGIN;",
        "SET LOCAL lock_timeout = '7s';",
        f'{alter} ALTER COLUMN "note" SET NOT NULL;',
        f"{alter} DROP CONSTRAINT {check};",
        "COMMIT;",
    ]


@native
async def test_a_type_that_needs_a_cast_gets_one_and_no_other_cuts_values(
    project: Project,
    shop: Any,  # noqa: F811
    executor: Executor,
) -> None:
    second(project, 'ops.AlterColumnTypeOnline("Item", "code", "bigint", old_type="varchar(10)")')
    for target in ("zero", "1"):  # before the table is there the state says what type the column has
        await executor.migrate_to("shop", shop, target)
        ((sql, _),) = [each for each in await executor.migrate("shop", shop, dry_run=True) if "ALTER" in each[0]]
        assert sql == 'ALTER TABLE "items" ALTER COLUMN "code" TYPE bigint USING ("code"::bigint)'
        ((back, _),) = [
            each for each in await executor.sql_for("shop", shop, "2", backwards=True) if "ALTER" in each[0]
        ]
        assert back == 'ALTER TABLE "items" ALTER COLUMN "code" TYPE varchar(10)'
    execute("INSERT INTO items (code, note) VALUES ('12345', 'long note')")
    await executor.migrate("shop", shop)
    assert rows("SELECT code FROM items") == [(12345,)]
    await executor.rollback("shop", shop, "1")
    assert (rows(TYPE), rows("SELECT code FROM items")) == ([("character varying(10)",)], [("12345",)])
    second(project, 'ops.AlterColumnTypeOnline("Item", "note", "varchar(4)")')
    with pytest.raises(dorm.DataError, match="too long"):
        await executor.migrate("shop", shop)
    assert rows("SELECT note FROM items") == [("long note",)]
    second(project, 'ops.AlterColumnTypeOnline("Item", "note", "varchar(40)")')
    file = "SELECT pg_relation_filenode('items')"
    before = rows(file)
    await executor.migrate("shop", shop)
    assert rows(file) == before  # nothing is written anew for a longer text


@native
def test_writers_wait_no_longer_than_it_does(
    project: Project,
    shop: Any,  # noqa: F811
    database_settings: dict[str, Any],
) -> None:
    second(project, 'ops.AlterColumnTypeOnline("Item", "code", "text", lock_timeout="2s")')
    executor = MigrationExecutor("default", 0)
    executor.migrate_to("shop", shop, "1")
    caught: list[BaseException] = []

    def migrate() -> None:
        try:
            executor.migrate("shop", shop)
        except dorm.OperationalError as exc:
            caught.append(exc)

    url = database_settings["URL"]
    with psycopg.connect(url) as reader, psycopg.connect(url, autocommit=True) as writer:
        reader.execute("SELECT * FROM items")
        running = threading.Thread(target=migrate)
        running.start()
        waits = "SELECT count(*) FROM pg_locks WHERE relation = 'items'::regclass AND NOT granted"
        until = time.monotonic() + 20
        while rows(waits) == [(0,)] and time.monotonic() < until:
            time.sleep(0.01)
        writer.execute("SET lock_timeout = '20s'")
        writer.execute("INSERT INTO items (code) VALUES ('a')")  # queued behind the change, which gives up
        running.join(20)
    assert isinstance(caught[0].__cause__, psycopg.errors.LockNotAvailable)
    assert rows("SELECT code FROM items") == [("a",)]
    assert rows("SELECT name FROM dorm_migrations") == [("0001_initial",)]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("direction", ["database_forwards", "database_backwards"])
def test_elsewhere_it_is_refused_in_both_directions(
    project: Project,
    shop: Any,  # noqa: F811
    direction: str,
) -> None:
    MigrationExecutor("default", 0).migrate("shop", shop)
    before = rows("SELECT sql FROM sqlite_master")
    state = ProjectState()
    operation = ops.AlterColumnTypeOnline("Item", "code", "text", old_type="varchar(10)")
    with pytest.raises(NotImplementedError, match="PostgreSQL-only"):
        getattr(operation, direction)("shop", "default", state, state)
    assert rows("SELECT sql FROM sqlite_master") == before


def test_it_says_what_it_changes() -> None:
    assert "Item.code to varchar(70)" in ops.AlterColumnTypeOnline("Item", "code", "varchar(70)").describe()


# -- killed ------------------------------------------------------------------------------------------------------


@pytest.fixture
def scratch(tmp_path: Path, empty_database: dict[str, Any]) -> Scratch:
    made = Scratch(tmp_path / "project")
    made.folder.mkdir()
    made.write("settings.py", f"DATABASES = {{'default': {empty_database!r}}}\nINSTALLED_APPS = ['shop']\n"
               "MIGRATION_LOCK_TIMEOUT = None\n")  # fmt: skip
    made.write("shop/__init__.py", "")
    made.write("shop/migrations/__init__.py", "")
    made.write("shop/migrations/0001_initial.py", HEADER + FIRST)
    return made


def step(made: Scratch, number: int, before: str, operations: str) -> None:
    body = f"dependencies = [('shop', '{before}')]\natomic = False\noperations = [{operations}]\n"
    made.write(f"shop/migrations/{number:04}_step.py", HEADER + body)


@pytest.mark.slow
@native
def test_killed_before_it_is_noted_a_change_of_type_is_undone_and_done_once(
    scratch: Scratch, database_settings: dict[str, Any]
) -> None:
    """What USING computes must not be computed twice: change and note are one transaction."""
    step(scratch, 2, "0001_initial", 'ops.RunSQL("ALTER TABLE items ADD COLUMN price integer")')
    scratch.ok("migrate")
    execute("INSERT INTO items (code, price) VALUES ('a', 7)")
    using = 'ops.AlterColumnTypeOnline("Item", "price", "bigint", using="price * 100", lock_timeout="1min")'
    step(scratch, 3, "0002_step", using)
    with psycopg.connect(database_settings["URL"]) as holder:
        holder.execute("LOCK TABLE dorm_migration_progress IN EXCLUSIVE MODE")  # it may be read, and not written
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%progress%'"
        kill_when(start(scratch), lambda: rows(waits) != [(0,)])
        assert rows(waits) != [(0,)]
    until = time.monotonic() + 20
    while rows("SELECT price FROM items") != [(7,)] and time.monotonic() < until:
        time.sleep(0.05)
    assert rows("SELECT price FROM items") == [(7,)]
    scratch.ok("migrate")
    assert rows("SELECT price FROM items") == [(700,)]


@pytest.mark.slow
@native
def test_killed_while_rows_are_checked_a_column_is_made_required_by_the_next_run(
    scratch: Scratch, database_settings: dict[str, Any]
) -> None:
    scratch.ok("migrate")
    execute("INSERT INTO items (code, note) VALUES ('a', 'b')")
    step(scratch, 2, "0001_initial", 'ops.SetNotNullOnline("Item", "note")')
    check = "SELECT count(*) FROM pg_constraint WHERE conname = 'items_note_not_null'"
    with psycopg.connect(database_settings["URL"], autocommit=True) as holder:
        holder.execute(
            "CREATE FUNCTION hold() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF current_query() LIKE '%VALIDATE%' THEN PERFORM pg_advisory_xact_lock(42); END IF; END $$"
        )
        holder.execute("CREATE EVENT TRIGGER hold ON ddl_command_start EXECUTE FUNCTION hold()")
        try:
            holder.execute("SELECT pg_advisory_lock(42)")
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%VALIDATE%'"
            kill_when(start(scratch), lambda: rows(waits) == [(1,)])
            assert (rows(waits), rows(check), rows(NOT_NULL)) == ([(1,)], [(1,)], [(False,)])
        finally:
            holder.execute("DROP EVENT TRIGGER hold")
    scratch.ok("migrate")
    assert (rows(NOT_NULL), rows(check)) == ([(True,)], [(0,)])


@pytest.mark.slow
def test_killed_between_batches_a_fill_keeps_them_and_the_next_run_does_the_rest(scratch: Scratch) -> None:
    scratch.ok("migrate")
    execute("INSERT INTO items (code) VALUES " + ", ".join(f"('c{n}')" for n in range(30)))
    fill = "note = coalesce(note, '') || 'x' WHERE note IS NULL"
    batches = f'ops.BackfillBatch("items", update_sql="{fill}", batch_size=10, sleep_seconds=PAUSE)'
    step(scratch, 2, "0001_initial", batches.replace("PAUSE", "30"))
    kill_when(start(scratch), lambda: rows("SELECT count(*) FROM items WHERE note = 'x'") == [(10,)])
    assert rows("SELECT count(*) FROM items WHERE note IS NULL") == [(20,)]
    assert rows("SELECT name FROM dorm_migrations") == [("0001_initial",)]
    step(scratch, 2, "0001_initial", batches.replace("PAUSE", "0"))
    scratch.ok("migrate")
    assert rows("SELECT count(*) FROM items WHERE note = 'x'") == [(30,)]
