"""What `dorm sqlmigrate` prints, run by the database's own client, makes what `dorm migrate` makes."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.cli import Scratch

FIRST = """
import dorm
from dorm import migrations

dependencies = []
operations = [
    migrations.CreateModel(
        "Author",
        [("id", dorm.BigAutoField(primary_key=True)), ("name", dorm.CharField(max_length=50)),
         ("born", dorm.DateField(null=True)), ("email", dorm.EmailField(unique=True))],
        {"indexes": [dorm.Index(fields=["name"], name="by_name")]},
    ),
    migrations.CreateModel(
        "Book",
        [("id", dorm.BigAutoField(primary_key=True)), ("title", dorm.TextField()),
         ("author", dorm.ForeignKey("blog.Author", on_delete=dorm.CASCADE)),
         ("price", dorm.DecimalField(max_digits=8, decimal_places=2, default=0))],
        {"unique_together": [("author", "title")]},
    ),
    migrations.CreateModel(
        "Tag",
        [("id", dorm.BigAutoField(primary_key=True)), ("word", dorm.SlugField()),
         ("books", dorm.ManyToManyField("blog.Book"))],
    ),
    migrations.CreateModel("Log", [("id", dorm.BigAutoField(primary_key=True)), ("text", dorm.TextField())]),
]
"""

SECOND = """
import dorm
from dorm import migrations


def fill(app_label, registry):
    raise AssertionError("printing runs no code")


dependencies = [("blog", "0001_first")]
operations = [
    migrations.AddField("Author", "rank", dorm.IntegerField(default=3)),
    migrations.AddField("Book", "editor", dorm.ForeignKey("blog.Author", null=True, related_name="edited",
                                                          on_delete=dorm.SET_NULL)),
    migrations.AlterField("Book", "title", dorm.CharField(max_length=200)),
    migrations.AlterField("Author", "born", dorm.DateField(null=True, db_index=True)),
    migrations.RenameField("Author", "name", "full_name"),
    migrations.RemoveField("Book", "price"),
    migrations.AddIndex("Book", dorm.Index(fields=["title", "author"], name="by_title")),
    migrations.RemoveIndex("Author", "by_name"),
    migrations.AddConstraint("Author", dorm.CheckConstraint(condition=dorm.Q(rank__gte=0), name="rank_from_0")),
    migrations.AlterUniqueTogether("Book", []),
    migrations.MakeTableAppendOnly("blog_log"),
    migrations.RenameModel("Log", "Entry"),
    migrations.AlterModelTable("Tag", "words"),
    migrations.RunSQL("CREATE VIEW authors AS SELECT id FROM blog_author", "DROP VIEW authors"),
    migrations.RunPython(fill, migrations.RunPython.noop),
]
"""


@pytest.fixture
def copy(database_settings: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """An empty database beside that of the test: a path, or a URL."""
    if "URL" not in database_settings:
        yield str(tmp_path / "copy.sqlite3")
        return
    url = database_settings["URL"]
    name = url.rpartition("/")[2] + "_copy"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")
        yield url.rpartition("/")[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def schema(where: str) -> set[str]:
    """Return the lines of the definition of all tables but dorm's own."""
    if "://" not in where:
        with sqlite3.connect(where) as connection:
            found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        return {sql for (sql,) in found if "dorm_migrations" not in sql and "sqlite_sequence" not in sql}
    done = subprocess.run(["pg_dump", "-s", "-O", "-d", where], capture_output=True, text=True, check=True)
    statements = re.split(r";\n", re.sub(r"(?m)^(--|\\).*$", "", done.stdout))
    # What stands there of the schema depends on who made the database, and the settings of the session on the tables.
    made = [" ".join(each.split()) for each in statements if not re.search("dorm_migrations|SCHEMA public", each)]
    return {each for each in made if not each.startswith(("SET ", "SELECT "))}


def run(where: str, script: str) -> None:
    if "://" not in where:
        with sqlite3.connect(where) as connection:
            connection.executescript(script)
        return
    command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", where]
    done = subprocess.run(command, input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_printed_sql_makes_what_migrate_makes(blog: Scratch, database_settings: dict[str, Any], copy: str) -> None:
    if "URL" in database_settings and not (shutil.which("pg_dump") and shutil.which("psql")):
        pytest.skip("pg_dump and psql are not installed")
    blog.settings(more=f"DATABASES = {{'default': {database_settings!r}}}")
    blog.write("blog/migrations/__init__.py", "")
    blog.write("blog/migrations/0001_first.py", FIRST)
    blog.write("blog/migrations/0002_second.py", SECOND)
    real = database_settings.get("URL") or database_settings["NAME"]
    states = []
    for name in ("0001", "0002"):
        printed = blog.ok("sqlmigrate", "blog", name)
        assert printed == blog.ok("sqlmigrate", "blog", name)
        if name == "0002":
            assert "RunPython blog.migrations.0002_second.fill: not executed" in printed
        run(copy, printed)
        states.append(schema(copy))
    blog.write("blog/migrations/0002_second.py", SECOND.replace("raise AssertionError", "return # "))
    blog.ok("migrate", "blog", "0001")
    assert schema(real) == states[0]
    blog.ok("migrate", "blog", "0002")
    assert schema(real) == states[1]
    run(copy, blog.ok("sqlmigrate", "blog", "0002", "--backwards"))
    blog.ok("migrate", "blog", "0001")
    assert schema(real) == schema(copy)
    blog.ok("migrate", "blog", "0002")
    run(copy, blog.ok("sqlmigrate", "blog", "0002"))
    assert schema(real) == schema(copy)
    run(copy, blog.ok("migrate", "blog", "zero", "--dry-run"))
    blog.ok("migrate", "blog", "zero")
    assert schema(real) == schema(copy)


@pytest.mark.parametrize("backend", ["postgresql"])
def test_who_may_only_read_is_told_so_and_can_print(blog: Scratch, database_settings: dict[str, Any]) -> None:
    url = database_settings["URL"]
    blog.settings(url)
    blog.ok("makemigrations")
    role = "dorm_test_reader"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}")
        connection.execute(f"CREATE ROLE {role} LOGIN")
        try:
            blog.settings(re.sub("//[^@]*@", f"//{role}@", url))
            assert 'CREATE TABLE "blog_author"' in blog.ok("sqlmigrate", "blog", "0001")
            connection.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
            refused = blog.run("migrate")
            assert refused.code == 1
            assert "cannot execute CREATE TABLE in a read-only transaction: the server is a standby" in refused.err
            assert "Send it to the primary" in refused.err
            assert "Traceback" not in refused.err
        finally:
            connection.execute(f"DROP ROLE {role}")


def test_a_field_changed_online_leaves_nothing_to_make(blog: Scratch) -> None:
    blog.ok("makemigrations")
    blog.app(
        "blog",
        blog.folder.joinpath("blog/models.py")
        .read_text()
        .replace("import dorm\n\n", "")
        .replace("max_length=100)", "max_length=70)", 1),
    )
    assert blog.run("makemigrations", "--check").code == 1
    online = """
    import dorm
    from dorm import migrations

    dependencies = [("blog", "0001_initial")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.AlterColumnTypeOnline("Author", "name", "varchar(70)")],
            state_operations=[migrations.AlterField("Author", "name", dorm.CharField(max_length=70))],
        ),
    ]
    """
    blog.write("blog/migrations/0002_online.py", online)
    assert blog.run("makemigrations", "--check").code == 0


def test_dependants_that_are_undone_too_are_listed(blog: Scratch) -> None:
    blog.app("shop", "class Order(dorm.Model):\n    author = dorm.ForeignKey('blog.Author', on_delete=dorm.CASCADE)\n")
    blog.settings(apps="['blog', 'shop']")
    blog.ok("makemigrations")
    blog.ok("migrate")
    ran = blog.run("migrate", "blog", "zero", "--dry-run")
    assert "warning: shop depends on what is undone, and is undone too." in ran.err
    assert "-- Unapply shop.0001_initial" in ran.out
    assert ran.out.index("-- Unapply shop.0001_initial") < ran.out.index("-- Unapply blog.0001_initial")
    assert "warning" not in blog.run("migrate", "shop", "zero", "--dry-run").err


def test_what_cannot_be_rendered_is_said_at_its_place(blog: Scratch) -> None:
    broken = """
    from dorm import migrations


    class Broken(migrations.Operation):
        def database_forwards(self, app_label, connection, from_state, to_state):
            raise RuntimeError("not today")

        def database_backwards(self, app_label, connection, from_state, to_state):
            pass

        def describe(self):
            return "Break"


    dependencies = []
    operations = [migrations.RunSQL("SELECT 1"), Broken(), migrations.RunSQL("SELECT 2")]
    """
    blog.write("blog/migrations/__init__.py", "")
    blog.write("blog/migrations/0001_broken.py", broken)
    ran = blog.run("sqlmigrate", "blog", "0001")
    assert ran.code == 1
    parts = [line for line in ran.out.splitlines() if line.startswith(("SELECT", "-- Broken"))]
    assert parts == [
        "SELECT 1;",
        "-- Broken: Break",
        "-- Broken: cannot be rendered: RuntimeError: not today",
        "SELECT 2;",
    ]
    back = blog.run("sqlmigrate", "blog", "0001", "--backwards")
    assert back.code == 1
    assert back.out.count("-- RunSQL: irreversible") == 2
