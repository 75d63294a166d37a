"""Each operation, printed by `dorm sqlmigrate` and run by the database's own client, does what `dorm migrate` does."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

import dorm
from dorm.cli.commands.migrate import sqlmigrate
from dorm.db.connection import connections
from dorm.inspect import introspect_tables
from dorm.migrations.executor import MigrationExecutor
from tests.cli.test_printed import copy  # noqa: F401  # a fixture
from tests.migrations.test_every_operation import EVERYWHERE, POSTGRESQL
from tests.migrations.test_long_history import STEPS
from tests.support.projects import Project

STORIES = {
    "models": (STEPS, 3, "INSERT INTO shop_author (id, name) VALUES (1, 'Ann'), (2, 'Bob');"
               "INSERT INTO shop_book (id, title, author_id) VALUES (1, 'One', 1), (2, 'Two', 2);"
               "INSERT INTO shop_tag (code) VALUES ('x');"),
    "others": ([*EVERYWHERE, *POSTGRESQL], 3, "INSERT INTO shop_group (id) VALUES (1);"
               "INSERT INTO shop_item (id, code, size, group_id) VALUES (1, 'a', 5, 1), (2, 'b', 6, 1);"),
}  # fmt: skip
"""Steps, the one after which there are rows, and the rows."""


def content(where: str) -> list[str]:
    """Return all that stands in a database but dorm's own tables."""
    if "://" not in where:
        with sqlite3.connect(f"file:{where}?mode=ro", uri=True) as connection:
            lines = list(connection.iterdump())
        return sorted(line for line in lines if "dorm_migration" not in line)
    own = ["-T", "dorm_migration*"]
    done = subprocess.run(["pg_dump", "-d", where, *own], capture_output=True, text=True, check=True)
    # Newer ones guard the script by a word of chance; what stands there of the schema depends on who made it.
    text = re.sub(r"(?m)^(--|\\(un)?restrict|SET|SELECT pg_catalog.set_config).*\n", "", done.stdout)
    return sorted(each.strip() for each in re.split(r";\n", text) if "SCHEMA public" not in each)


def client(where: str, script: str) -> None:
    """Run a script by psql, or by SQLite's shell, up to the first error; there must be none."""
    if "://" in where:
        command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", where]
    else:
        command = [sys.executable, "-m", "apsw", "-bail", where]
    quiet = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
    done = subprocess.run(command, input=script, capture_output=True, text=True, env=quiet)
    assert (done.returncode, done.stderr) == (0, ""), script


def printed(number: int, *options: str) -> str:
    ran = CliRunner().invoke(sqlmigrate, ["shop", str(number), *options])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("story", STORIES)
def test_it_does_what_migrate_does(
    project: Project,
    database_settings: dict[str, Any],
    copy: str,  # noqa: F811
    story: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps, filled, rows = STORIES[story]
    if connections["default"].vendor != "postgresql":
        steps = [step for step in steps if step not in POSTGRESQL]
    folder = project.steps("shop", steps)
    other = {"URL": copy} if "URL" in database_settings else {"NAME": copy}
    entry = {"default": database_settings, "copy": {**database_settings, **other}}
    dorm.configure(DATABASES=entry)
    (project.folder / "settings.py").write_text(f"DATABASES = {entry!r}\nINSTALLED_APPS = ['shop']\n")
    monkeypatch.chdir(project.folder)
    real = database_settings.get("URL") or database_settings["NAME"]

    def compare(number: int) -> None:
        assert introspect_tables("copy") == introspect_tables(), steps[number - 1]
        if number % 4 == 1 or steps[number - 1] in POSTGRESQL:
            assert content(copy) == content(real), steps[number - 1]

    numbers = range(1, len(steps) + 1)
    ahead = {number: (printed(number), printed(number, "--backwards")) for number in numbers}
    executor = MigrationExecutor("default", 0)
    for number in numbers:
        assert number % 4 or printed(number) == ahead[number][0]
        client(copy, ahead[number][0])
        executor.migrate_to("shop", folder, str(number))
        if number == filled:
            for where in (real, copy):
                client(where, rows)
        compare(number)
    for number in reversed(numbers):
        assert number % 4 or printed(number, "--backwards") == ahead[number][1]
        client(copy, ahead[number][1])
        executor.migrate_to("shop", folder, str(number - 1) if number > 1 else "zero")
        compare(number)
