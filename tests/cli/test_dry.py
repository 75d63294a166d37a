"""Commands that only look change nothing: no row, no table, no record, no sequence; told by dumps before and after."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from typing import Any

import pytest

from tests.support.cli import Scratch

LOOKING = [
    ("version",),
    ("doctor", "--connect"),
    ("migrations-graph",),
    ("showmigrations",),
    ("migrate", "--check"),
    ("migrate", "--plan"),
    ("migrate", "blog", "zero", "--plan"),
    ("sqlmigrate", "blog", "0001"),
    ("sqlmigrate", "blog", "0002", "--backwards"),
    ("reset", "--dry-run"),
    ("reset", "--drop-schema", "--dry-run"),
    ("makemigrations", "--check"),
    ("makemigrations", "--dry-run"),
    ("lint-migrations",),
    ("sql", "--all"),
    ("diff",),
    ("dbcheck",),
    ("inspectdb",),
    ("dumpdata",),
]


def dump(settings: dict[str, Any]) -> str:
    """All that a database holds, as text."""
    if "URL" not in settings:
        with sqlite3.connect(f"file:{settings['NAME']}?mode=ro", uri=True) as connection:
            return "\n".join(connection.iterdump())
    done = subprocess.run(["pg_dump", "-d", settings["URL"]], capture_output=True, text=True, check=True)
    # Newer ones guard the script by a word of chance.
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


@pytest.mark.slow
@pytest.mark.parametrize("applied", [False, True])
def test_what_only_looks_changes_nothing(blog: Scratch, database_settings: dict[str, Any], applied: bool) -> None:
    if "URL" in database_settings and shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    blog.settings(more=f"DEBUG = True\nDATABASES = {{'default': {database_settings!r}}}")
    blog.ok("makemigrations")
    data = (
        "from dorm import migrations\n\ndef fill(app_label, registry):\n"
        "    registry.get_model('blog', 'Author').objects.create(name='Ann')\n\n"
        "dependencies = [('blog', '0001_initial')]\n"
        "operations = [migrations.RunPython(fill, migrations.RunPython.noop)]\n"
    )
    blog.write("blog/migrations/0002_data.py", data)
    if applied:
        blog.ok("migrate")
    else:
        blog.ok("shell", "-c", "dorm.get_connection().execute_script('CREATE TABLE other (id integer)')")
    files = sorted((path, path.read_bytes()) for path in blog.folder.rglob("*.py"))
    before = dump(database_settings)
    for arguments in LOOKING:
        ran = blog.run(*arguments)
        assert "Traceback" not in ran.err, arguments
        assert ran.code in (0, 1), (arguments, ran.err)
        assert dump(database_settings) == before, arguments
    assert sorted((path, path.read_bytes()) for path in blog.folder.rglob("*.py")) == files
