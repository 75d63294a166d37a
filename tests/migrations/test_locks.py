"""The lock that each statement is said to take is the one that PostgreSQL shows in pg_locks."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

import dorm
from dorm.db.connection import connections
from dorm.db.operation import run
from dorm.db.schema import Ddl
from dorm.migrations import operations as ops
from dorm.migrations.editor import Editor
from dorm.migrations.state import ProjectState

pytestmark = [
    pytest.mark.usefixtures("empty_database"),
    pytest.mark.parametrize("backend", ["postgresql"], indirect=True),
]

STRENGTH = (
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
PAGE = Path(__file__).parent.parent.parent / "docs/migrations-live.md"


def mode(name: str) -> str:
    """Return ``AccessExclusiveLock`` as ``ACCESS EXCLUSIVE``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Lock")).upper()


def start() -> ProjectState:
    state = ProjectState()
    for operation in (
        ops.CreateModel("Owner", [("id", dorm.BigAutoField(primary_key=True)), ("name", dorm.CharField(max_length=9))]),
        ops.CreateModel(
            "Item",
            [
                ("id", dorm.BigAutoField(primary_key=True)),
                ("code", dorm.CharField(max_length=9)),
                ("count", dorm.IntegerField(default=0)),
                ("note", dorm.TextField(null=True)),
                ("owner", dorm.ForeignKey("shop.owner", dorm.CASCADE, null=True)),
            ],
            {"indexes": [dorm.Index(fields=["count"], name="by_count")]},
        ),
    ):
        before = state.clone()
        operation.state_forwards("shop", state)
        operation.database_forwards("shop", "default", before, state)
    return state


CHECK = dorm.CheckConstraint(condition=dorm.Q(count__gte=0), name="count_positive")
CASES: dict[str, ops.Operation] = {
    "AddField": ops.AddField("Item", "age", dorm.IntegerField(null=True)),
    "AddField, filled": ops.AddField("Item", "size", dorm.IntegerField(default=1)),
    "AddField, foreign key": ops.AddField(
        "Item", "other", dorm.ForeignKey("shop.owner", dorm.CASCADE, null=True, related_name="+")
    ),
    "RemoveField": ops.RemoveField("Item", "note"),
    "AlterField, type": ops.AlterField("Item", "code", dorm.TextField()),
    "AlterField, NOT NULL": ops.AlterField("Item", "note", dorm.TextField(default="")),
    "AlterField, unique": ops.AlterField("Item", "code", dorm.CharField(max_length=9, unique=True)),
    "RenameField": ops.RenameField("Item", "code", "name"),
    "RenameModel": ops.RenameModel("Item", "Thing"),
    "AlterModelTable": ops.AlterModelTable("Item", "things"),
    "DeleteModel": ops.DeleteModel("Item"),
    "AddIndex": ops.AddIndex("Item", dorm.Index(fields=["code"], name="by_code")),
    "RemoveIndex": ops.RemoveIndex("Item", "by_count"),
    "RenameIndex": ops.RenameIndex("Item", "by_number", "by_count"),
    "AddConstraint": ops.AddConstraint("Item", CHECK),
    "AddConstraintNotValid": ops.AddConstraintNotValid("Item", CHECK),
    "AlterUniqueTogether": ops.AlterUniqueTogether("Item", {("code", "count")}),
    "AlterModelTableComment": ops.AlterModelTableComment("Item", "things"),
    "AddFieldOnline": ops.AddFieldOnline("Item", "age", dorm.IntegerField(default=1)),
    "SetNotNullOnline": ops.SetNotNullOnline("Item", "note"),
    "MakeTableAppendOnly": ops.MakeTableAppendOnly("shop_item"),
}


def documented() -> dict[str, str]:
    """Return the table of the page: operation and strongest lock."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if len(cells) >= 2 and cells[1] in STRENGTH:
            names = [cells[0].replace("`", "")] if cells[0].count("`") <= 2 else re.findall("`?(\\w+)`?", cells[0])
            found.update(dict.fromkeys(names, cells[1]))
    return found


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_statement_takes_the_lock_it_is_said_to_take(name: str, database_settings: dict[str, Any]) -> None:
    state = start()
    after = state.clone()
    operation = CASES[name]
    operation.state_forwards("shop", after)
    notes: list[Any] = []
    run(operation.forwards("shop", Editor(connections["default"], notes, inside=False), state, after))
    strongest = "ACCESS SHARE"
    with psycopg.connect(database_settings["URL"], autocommit=True) as connection:
        for ddl in notes:
            assert isinstance(ddl, Ddl)
            seen = observed(connection, ddl)
            if ddl.sql.startswith("DROP TRIGGER IF EXISTS"):
                # What is not there is not locked to the end of the transaction.
                assert seen in ("", ddl.lock)
            elif ddl.table:
                assert seen == ddl.lock, ddl.sql
                strongest = max(strongest, seen, key=STRENGTH.index)
    assert documented()[name] == strongest


def observed(connection: Any, ddl: Ddl) -> str:
    """Send a statement in a transaction of its own; return the strongest lock on its table."""
    oid = connection.execute("SELECT to_regclass(quote_ident(%s))::oid", (ddl.table,)).fetchone()[0]
    with connection.transaction():
        connection.execute(ddl.sql)
        modes = connection.execute(
            "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = %s", (oid,)
        ).fetchall()
    return max((mode(name) for (name,) in modes), key=STRENGTH.index, default="")


def test_a_concurrent_index_lets_writers_go_on(database_settings: dict[str, Any]) -> None:
    state = start()
    after = state.clone()
    operation = ops.AddIndex("Item", dorm.Index(fields=["code"], name="by_code"), concurrently=True)
    operation.state_forwards("shop", after)
    with psycopg.connect(database_settings["URL"]) as holder:
        holder.execute("INSERT INTO shop_item (code, count) VALUES ('a', 1)")
        builder = threading.Thread(target=operation.database_forwards, args=("shop", "default", state, after))
        builder.start()
        with psycopg.connect(database_settings["URL"], autocommit=True) as other:
            seen: set[str] = set()
            until = time.monotonic() + 10
            while not seen and time.monotonic() < until:
                found = other.execute(
                    "SELECT mode FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                    "WHERE relation = 'shop_item'::regclass AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
                ).fetchall()
                seen = {mode(name) for (name,) in found}
            assert seen == {"SHARE UPDATE EXCLUSIVE"}
            other.execute("INSERT INTO shop_item (code, count) VALUES ('b', 2)")
        holder.commit()
    builder.join(timeout=20)
    assert not builder.is_alive()
    assert documented()["AddIndex, concurrently"] == "SHARE UPDATE EXCLUSIVE"
