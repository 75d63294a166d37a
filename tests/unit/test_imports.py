"""What `import dorm` and a first query load: a script that touches SQLite pays for nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

_NEVER = (
    "psycopg",
    "psycopg_pool",
    "rich",
    "click",
    "sqlglot",
    "redis",
    "duckdb",
    "pymysql",
    "asyncmy",
    "cryptography",
    "prometheus_client",
    "opentelemetry",
    "importlib.metadata",
    "unittest",
    "sqlite3",
    "http",
    "email",
)

_FIRST_QUERY = """
import dorm
dorm.configure(DATABASES={"default": {"ENGINE": "sqlite", "NAME": ":memory:"}})
class Note(dorm.Model):
    text = dorm.TextField()
    class Meta:
        app_label = "first"
dorm.get_connection().execute_script("CREATE TABLE first_note (id INTEGER PRIMARY KEY, text TEXT)")
Note.objects.create(text="a")
assert Note.objects.get(pk=1).text == "a"
"""


def loaded(source: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after *source*."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", f"{source}\nimport sys\nprint(*sorted(sys.modules))"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return set(done.stdout.split())


def test_import_dorm_loads_no_part_of_it() -> None:
    mine = {name for name in loaded("import dorm") if name.startswith("dorm.")}
    assert mine == set()


def test_a_first_query_on_sqlite_loads_no_optional_driver() -> None:
    modules = loaded(_FIRST_QUERY)
    found = {name for name in modules if name in _NEVER or name.partition(".")[0] in _NEVER}
    assert found == set()
    assert "dorm.db.backends.sqlite" in modules
    assert not any(name.startswith(("dorm.cli", "dorm.contrib", "dorm.demo")) for name in modules)
    assert not any(name.startswith("dorm.db.backends.postgresql") for name in modules)


PUBLIC = [
    "models",
    "fields",
    "expressions",
    "functions",
    "aggregates",
    "lookups",
    "queryset",
    "manager",
    "constraints",
    "indexes",
    "transaction",
    "signals",
    "exceptions",
    "validators",
    "conf",
    "db.connection",
    "migrations.operations",
    "cache",
    "search",
    "tree",
    "test",
    "serialize",
    "inspect",
    "budget",
    "choices",
    "storage",
    "timezone",
    "contrib.contenttypes",
    "contrib.nplusone",
]


@pytest.mark.parametrize("name", PUBLIC)
def test_any_public_module_may_be_imported_first(name: str) -> None:
    assert f"dorm.{name}" in loaded(f"import dorm.{name}")


def test_a_star_import_gives_every_public_name() -> None:
    loaded("from dorm import *\nassert Model and F and atomic and CharField and functions and ValidationError")
