"""Each statement of each operation locks the tables that a plan says, and no other: told by pg_locks."""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

import dorm
from dorm.cli.commands.migrate import migrate
from dorm.db.schema import Ddl
from dorm.migrations import api, operations as ops
from dorm.migrations.executor import MigrationExecutor
from dorm.migrations.render import locks_of
from tests.migrations.test_locks import CASES, STRENGTH, documented, mode
from tests.migrations.test_printed_operations import STORIES
from tests.support.projects import Project

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("backend", ["postgresql"], indirect=True)]

ROWS = STRENGTH.index("ROW EXCLUSIVE")
"""What is stronger stops somebody who reads or writes rows."""
RELATIONS = "SELECT oid, relname, relkind IN ('r', 'p', 'm') FROM pg_class WHERE relnamespace = 'public'::regnamespace"
FILE = "SELECT pg_relation_filenode(oid) FROM pg_class WHERE relname = %s AND relkind IN ('r', 'm')"
LOCKS = "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'"


def observed(connection: Any, ddl: Ddl) -> dict[str, str]:
    """Send a statement in a transaction of its own; return the strongest lock on each relation that was there before.

    Indexes and weak locks on tables that it only reads are left out, but for those that it names.
    """
    relations = {oid: (name, is_table) for oid, name, is_table in connection.execute(RELATIONS).fetchall()}
    found: dict[str, str] = {}
    with connection.transaction():
        before = connection.execute(FILE, (ddl.table,)).fetchall()
        connection.execute(ddl.sql)
        after = connection.execute(FILE, (ddl.table,)).fetchall()
        if before and after:
            assert ddl.rewrites == (before != after), ddl.sql
        for oid, name in connection.execute(LOCKS).fetchall():
            relation, is_table = relations.get(oid, ("", False))
            lock = mode(name)
            if relation and (relation == ddl.table or (is_table and STRENGTH.index(lock) > ROWS)):
                found[relation] = max(found.get(relation, STRENGTH[0]), lock, key=STRENGTH.index)
        there = {name for name, _ in relations.values()}
    said = {table: lock for table, lock in locks_of(ddl).items() if table in there}
    if ddl.sql.startswith("DROP TRIGGER IF EXISTS") and not found:
        return {}  # what is not there is not locked to the end of the transaction
    assert found == said, ddl.sql
    return found


@pytest.mark.parametrize("story", STORIES)
def test_each_statement_locks_what_the_plan_says(
    project: Project, database_settings: dict[str, Any], story: str
) -> None:
    steps, filled, data = STORIES[story]
    project.steps("shop", steps)
    dorm.configure(INSTALLED_APPS=["shop"])
    seen: dict[str, str] = {}
    names = documented()
    with psycopg.connect(database_settings["URL"], autocommit=True) as connection:
        forwards = [(number, False) for number in range(1, len(steps) + 1)]
        for number, backwards in [*forwards, *[(number, True) for number, _ in reversed(forwards)]]:
            notes = api.sql_for("default", "shop", str(number), backwards=backwards)
            for part in notes.parts:
                for ddl in part.notes:
                    if not isinstance(ddl, Ddl) or re.match("BEGIN|COMMIT|SET LOCAL", ddl.sql):
                        continue
                    if ddl.concurrent or not part.operation.tells_locks:
                        connection.execute(ddl.sql)
                    else:
                        strongest = max(observed(connection, ddl).values(), key=STRENGTH.index, default="")
                        name = type(part.operation).__name__
                        if strongest and not backwards and name in names and name not in CASES:
                            seen[name] = max(seen.get(name, strongest), strongest, key=STRENGTH.index)
            if number == filled and not backwards:
                connection.execute(data)
    assert seen
    assert seen == {name: names[name] for name in seen}


def test_a_plan_tells_locks_sizes_and_what_is_written_anew(
    project: Project, database_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.steps(
        "shop",
        [
            'ops.CreateModel("Owner", [("id", dorm.BigAutoField(primary_key=True))]),'
            'ops.CreateModel("Item", [("id", dorm.BigAutoField(primary_key=True)), ("size", dorm.IntegerField()),'
            ' ("owner", dorm.ForeignKey("shop.owner", dorm.CASCADE))])',
            'ops.AlterField("Item", "size", dorm.BigIntegerField()), ops.RunSQL("SELECT 1"),'
            'ops.AlterField("Item", "size", dorm.BigIntegerField(default=1)), ops.DeleteModel("Item")',
        ],
    )
    MigrationExecutor("default", 0).migrate_to("shop", folder, "1")
    entry = {"default": database_settings}
    (project.folder / "settings.py").write_text(f"DATABASES = {entry!r}\nINSTALLED_APPS = ['shop']\n")
    monkeypatch.chdir(project.folder)
    lines = CliRunner().invoke(migrate, ["--plan"]).stdout.splitlines()
    (found,) = json.loads(CliRunner().invoke(migrate, ["--plan", "--json"]).stdout)
    assert found["operations"][-1]["locks"] == [{"shop_item": "ACCESS EXCLUSIVE", "shop_owner": "ACCESS EXCLUSIVE"}]
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"\([\d,]+ bytes\)", "(N bytes)", line)
    assert lines == [
        "-- Apply shop.0002_step",
        "BEGIN;",
        "SET LOCAL lock_timeout = '5s';",
        "-- AlterField: Alter field size on Item",
        "-- lock: ACCESS EXCLUSIVE on shop_item (N bytes), writes the table anew",
        'ALTER TABLE "shop_item" ALTER COLUMN "size" TYPE bigint;',
        "-- RunSQL: Raw SQL operation",
        "-- lock: what these statements take; dorm does not read SQL of yours",
        "SELECT 1;",
        "-- AlterField: Alter field size on Item",
        "-- DeleteModel: Delete model Item",
        "-- lock: ACCESS EXCLUSIVE on shop_item (N bytes)",
        "-- lock: ACCESS EXCLUSIVE on shop_owner (N bytes)",
        'DROP TABLE "shop_item";',
        "COMMIT;",
    ]


NO_TABLE = {
    *("AddPGEnumValue", "CreatePGEnum", "DropPGEnum", "CreateMaterializedView", "CreatePartitionedTable"),
    *("AlterConstraint", "AlterModelManagers", "AlterModelOptions", "SeparateDatabaseAndState"),
    *("Operation", "OperationCategory", "RunPython", "RunSQL", "SetLockTimeout"),
}


@pytest.mark.usefixtures("backend")
def test_the_page_tells_the_lock_of_every_operation() -> None:
    told = {name.partition(",")[0] for name in documented()}
    names = {name for name in ops.__all__ if isinstance(getattr(ops, name), type)}
    assert names - told == NO_TABLE
    assert told <= names
