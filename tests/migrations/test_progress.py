"""Long builds of indexes say how far they are, asked of the server by a session of its own."""

from __future__ import annotations

import logging
from typing import Any

import psycopg
import pytest

import dorm
from dorm.db.connection import connections
from dorm.db.operation import arun, run
from dorm.migrations.executor import Runner
from dorm.migrations.run import Options
from dorm.migrations.watch import Watch, progress_text
from tests.migrations.test_executor import execute, rows
from tests.support.faces import Face
from tests.support.projects import Project

FIRST = """
dependencies = []
operations = [
    ops.CreateModel("Item", [("id", dorm.BigAutoField(primary_key=True)), ("code", dorm.CharField(max_length=9))]),
]
"""
INDEX = """
atomic = False
dependencies = [("shop", "0001_initial")]
operations = [ops.AddIndex("Item", dorm.Index(fields=["code"], name="by_code"), concurrently=True)]
"""


@pytest.fixture
def migrate(project: Project, face: Face, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Migrate in one face, asking often; what is told goes to a function."""
    project.app("shop", {"0001_initial": FIRST})
    dorm.configure(INSTALLED_APPS=["shop"])
    monkeypatch.setattr(Watch, "PAUSE", 0.02)

    async def now(report: Any = lambda event, subject: None) -> None:
        runner = Runner(connections["default"], options=Options(report=report))
        if face.is_async:
            await arun(runner.migrate("shop"))
        else:
            run(runner.migrate("shop"))

    return now


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_concurrent_build_says_whom_it_waits_for(
    project: Project, migrate: Any, database_settings: dict[str, Any]
) -> None:
    await migrate()
    project.migration("shop", "0002_index", INDEX)
    told: list[str] = []
    with psycopg.connect(database_settings["URL"]) as writer:
        writer.execute("INSERT INTO shop_item (code) VALUES ('a')")

        def report(event: str, subject: Any) -> None:
            if event == "progress":
                told.append(subject)
                if "waiting for writers" in subject:
                    writer.commit()

        await migrate(report)  # it would wait for the writer for ever, who goes on when that is told
    assert "index by_code: waiting for writers before build (0 of 1)" in told
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_code'::regclass") == [(True,)]
    others = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT phase%' AND pid <> pg_backend_pid()"
    assert rows(others) == [(0,)]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_build_in_a_transaction_says_how_many_rows_it_has(project: Project, migrate: Any) -> None:
    await migrate()
    execute("INSERT INTO shop_item (code) SELECT md5(n::text)::varchar(9) FROM generate_series(1, 150000) n")
    project.migration("shop", "0002_index", INDEX.replace("atomic = False\n", "").replace(", concurrently=True", ""))
    told: list[str] = []
    await migrate(lambda event, subject: told.append(subject) if event == "progress" else None)
    assert all(text.startswith("index by_code: ") for text in told)
    assert any("%" in text for text in told)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_what_cannot_be_watched_goes_on(
    project: Project, migrate: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate()
    execute("INSERT INTO shop_item (code) SELECT md5(n::text)::varchar(9) FROM generate_series(1, 100000) n")
    project.migration("shop", "0002_index", INDEX)
    monkeypatch.setattr(type(connections["default"].dialect), "index_progress", "SELECT nothing FROM nowhere")
    with caplog.at_level(logging.INFO, "dorm.migrations"):
        await migrate()
    assert "how far index by_code is cannot be told" in caplog.text
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_code'::regclass") == [(True,)]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (("waiting for old snapshots", 1, 3, 0, 0, 0, 0), "x: waiting for old snapshots (1 of 3)"),
        (("building index", 0, 0, 5, 20, 7, 9), "x: building index, 25 %"),
        (("building index", 0, 0, 0, 0, 9, 9), "x: building index, 100 %"),
        (("initializing", 0, 0, 0, 0, 0, 0), "x: initializing"),
        (("building index", 0, 0, 21, 20, 0, 0), "x: building index, 100 %"),
    ],
)
def test_the_words(row: Any, text: str) -> None:
    assert progress_text("x", row) == text
