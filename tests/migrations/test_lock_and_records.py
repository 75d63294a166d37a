"""What a run of migrations keeps in the database, and how runs keep out of each other's way."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

import dorm
from dorm.db.connection import connections
from dorm.db.operation import run
from dorm.exceptions import MigrationError
from dorm.inspect import introspect_tables
from dorm.migrations.executor import MigrationExecutor, Runner
from dorm.migrations.lock import KEY
from dorm.migrations.run import Options
from tests.migrations.conftest import Executor
from tests.support.projects import Project

INITIAL = """
dependencies = []
operations = [ops.CreateModel("Author", [("id", dorm.BigAutoField(primary_key=True))])]
"""


async def test_records_stand_in_one_table(project: Project, executor: Executor, backend: str) -> None:
    folder = project.app("shop", {"0001_initial": INITIAL, "0002_more": "dependencies = [('shop', '0001_initial')]\n"
                                  "operations = []\n"})  # fmt: skip
    await executor.migrate("shop", folder)
    columns = {
        row["name"]
        for row in dorm.get_connection().execute(
            "SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'dorm_migrations'"
            if backend == "postgresql"
            else "SELECT name FROM pragma_table_info('dorm_migrations')"
        )
    }
    assert columns == {"id", "app", "name", "applied_at"}
    rows = dorm.get_connection().execute("SELECT app, name FROM dorm_migrations ORDER BY name")
    assert [tuple(row.values()) for row in rows] == [("shop", "0001_initial"), ("shop", "0002_more")]
    with pytest.raises(dorm.IntegrityError):
        dorm.get_connection().execute_write(
            "INSERT INTO dorm_migrations (app, name, applied_at) SELECT app, name, applied_at FROM dorm_migrations"
        )
    assert [name for name, applied in await executor.show_migrations("shop", folder) if applied] == [
        "0001_initial",
        "0002_more",
    ]
    # A target is a full name, the beginning of one, a number with or without its zeros, or "zero".
    for target, left in (("1", 1), ("0002_more", 2), ("0001", 1), ("0002_m", 2), ("2", 2), ("zero", 0)):
        await executor.migrate_to("shop", folder, target)
        assert len(dorm.get_connection().execute("SELECT 1 AS one FROM dorm_migrations")) == left, target


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_run_asks_again_and_again_for_the_lock_and_holds_nothing_meanwhile(
    project: Project, empty_database: dict[str, Any]
) -> None:
    project.app("shop", {"0001_initial": INITIAL})
    dorm.configure(INSTALLED_APPS=["shop"])
    waits = threading.Event()

    def report(event: str, subject: Any) -> None:
        if event == "waiting":
            waits.set()

    runner = Runner(connections["default"], options=Options(report=report))
    done = threading.Thread(target=lambda: run(runner.migrate("shop")))
    assert KEY == 0x646F726D
    with psycopg.connect(empty_database["URL"], autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        done.start()
        assert waits.wait(30)
        # One that waited inside the server would have a snapshot, for which CREATE INDEX CONCURRENTLY waits in turn.
        locks = (
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database AND d.datname = current_database()"
            " WHERE locktype = 'advisory'"
        )
        assert other.execute(f"{locks} AND NOT granted").fetchall() == [(0,)]
        held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        assert other.execute(held).fetchall() == [(0,)]
        assert introspect_tables() == []
        other.execute("SELECT pg_advisory_unlock(%s)", (KEY,))
        done.join(30)
        assert other.execute(locks).fetchall() == [(0,)]
    assert [table.name for table in introspect_tables()] == ["shop_author"]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_it_is_refused_where_no_session_can_hold_the_lock(project: Project, empty_database: dict[str, Any]) -> None:
    folder = project.app("shop", {"0001_initial": INITIAL})
    dorm.configure(DATABASES={"default": {**empty_database, "PGBOUNCER_MODE": "transaction"}})
    with pytest.raises(MigrationError, match=r"connects to the server directly \(dorm migrate --database\)"):
        MigrationExecutor("default", 0).migrate("shop", folder)
    dorm.configure(DATABASES={"default": empty_database})
    assert introspect_tables() == []
