"""Several runners at once, and runners that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.migrations.test_executor import execute, rows
from tests.support.cli import Scratch

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_database")]

FIRST = """
import time

import dorm
from dorm import migrations

dependencies = []
operations = [
    migrations.CreateModel(
        "Item", [("id", dorm.BigAutoField(primary_key=True)), ("code", dorm.CharField(max_length=9))]
    ),
    migrations.RunSQL("INSERT INTO shop_item (code) VALUES ('one')", migrations.RunSQL.noop),
    migrations.RunPython(lambda app_label, registry: time.sleep(0.5), migrations.RunPython.noop),
]
"""
INDEX = """
import dorm
from dorm import migrations

dependencies = [("shop", "0001_initial")]
atomic = False
operations = [migrations.AddIndex("Item", dorm.Index(fields=["code"], name="by_code"), concurrently=True)]
"""


@pytest.fixture
def shop(tmp_path: Path, database_settings: dict[str, Any]) -> Scratch:
    scratch = Scratch(tmp_path / "project")
    scratch.folder.mkdir()
    entry = {key: str(value) if key == "NAME" else value for key, value in database_settings.items()}
    scratch.write("settings.py", f"DATABASES = {{'default': {entry!r}}}\nINSTALLED_APPS = ['shop']\n")
    scratch.write("shop/__init__.py", "")
    scratch.write("shop/migrations/__init__.py", "")
    scratch.write("shop/migrations/0001_initial.py", FIRST)
    return scratch


def start(scratch: Scratch) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent / "src")}
    return subprocess.Popen(
        [sys.executable, "-m", "dorm", "migrate"],
        cwd=scratch.folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_deploys_at_once_apply_each_migration_once(shop: Scratch) -> None:
    shop.write("shop/migrations/0002_index.py", INDEX)
    running = [start(shop) for _ in range(3)]
    said = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert sum(out.count("Applying shop.0001_initial") for out, _ in said) == 1
    assert sum(out.count("Applying shop.0002_index") for out, _ in said) == 1
    assert rows("SELECT count(*) FROM shop_item") == [(1,)]
    assert rows("SELECT name FROM dorm_migrations ORDER BY id") == [("0001_initial",), ("0002_index",)]


def kill_when(process: subprocess.Popen[str], reached: Any) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        if reached():
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)


def test_a_runner_killed_in_a_transaction_leaves_nothing(shop: Scratch) -> None:
    marker = shop.folder / "reached"
    text = FIRST.replace("time.sleep(0.5)", f"(open({str(marker)!r}, 'w').close(), time.sleep(30))")
    shop.write("shop/migrations/0001_initial.py", text)
    kill_when(start(shop), marker.exists)
    shop.write("shop/migrations/0001_initial.py", FIRST)
    assert "Applying shop.0001_initial... OK" in shop.ok("migrate")
    assert rows("SELECT count(*) FROM shop_item") == [(1,)]


def test_a_runner_killed_between_steps_is_taken_up_again(shop: Scratch) -> None:
    shop.ok("migrate")
    marker = shop.folder / "reached"
    second = f"""
import time

import dorm
from dorm import migrations

dependencies = [("shop", "0001_initial")]
atomic = False


def wait(app_label, registry):
    open({str(marker)!r}, "a").write("x")
    time.sleep(WAIT)


operations = [
    migrations.RunSQL("INSERT INTO shop_item (code) VALUES ('two')"),
    migrations.RunPython(wait),
    migrations.AddField("Item", "age", dorm.IntegerField(default=1)),
]
"""
    shop.write("shop/migrations/0002_steps.py", second.replace("WAIT", "30"))
    kill_when(start(shop), marker.exists)
    assert "begun: 1 of 3" in shop.ok("showmigrations")
    shop.write("shop/migrations/0002_steps.py", second.replace("WAIT", "0"))
    assert "had begun: 1 of 3 operations are done" in shop.ok("migrate")
    assert rows("SELECT code, age FROM shop_item ORDER BY id") == [("one", 1), ("two", 1)]
    assert "begun" not in shop.ok("showmigrations")


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_an_index_left_invalid_is_built_anew(shop: Scratch) -> None:
    shop.ok("migrate")
    execute("INSERT INTO shop_item (code) VALUES ('one')")
    shop.write("shop/migrations/0002_index.py", INDEX.replace('name="by_code")', 'name="by_code", unique=True)'))
    ran = shop.run("migrate")
    assert ran.code == 1
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_code'::regclass") == [(False,)]
    execute("DELETE FROM shop_item WHERE id > 1")
    shop.ok("migrate")
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_code'::regclass") == [(True,)]
