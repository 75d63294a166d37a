"""``dorm plans`` and ``dorm rotate-keys``."""

from __future__ import annotations

import base64
import json
import re
import sqlite3

import psycopg
import pytest

from tests.support.cli import Scratch

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def _database(scratch: Scratch, *statements: str) -> None:
    connection = sqlite3.connect(scratch.folder / "db.sqlite3")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_plans_are_recorded_and_checked(scratch: Scratch) -> None:
    scratch.settings(apps="[]")
    _database(scratch, "CREATE TABLE t (a int)", "CREATE INDEX by_a ON t (a)")
    assert "by_a" in scratch.ok("plans", "record", "t.by_a", "SELECT a FROM t WHERE a = %s", "--params", "[1]")
    assert "t.by_a" in scratch.ok("plans", "show")
    scratch.ok("plans", "check")
    _database(scratch, "DROP INDEX by_a")
    ran = scratch.run("plans", "check")
    assert ran.code == 1
    assert "--- baseline:t.by_a" in ran.out
    assert "1 of 1 plans drifted" in ran.err
    assert json.loads(scratch.run("plans", "check", "--format", "json").out)[0]["drifted"] is True
    assert scratch.run("plans", "record", "x", "DROP TABLE t").code == 1
    assert scratch.run("plans", "record", "x", "SELECT 1", "--params", "{").code == 2
    for command in ("check", "show"):
        ran = scratch.run("plans", command, "nothing")
        assert (ran.code, ran.out) == (2, "")
        assert "plans.json has no plan 'nothing'; it has t.by_a" in ran.err
        ran = scratch.run("plans", command, "--file", "none.json")
        assert ran.code == 2
        assert "there is no file none.json: `dorm plans record` makes it" in ran.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "plans.json is no JSON: .* at line 1, column 2"),
        (b"\xff", "plans.json is no UTF-8: byte 0 cannot be read"),
        (b"[]", "plans.json holds a list instead of an object"),
        (b'{"version": 9, "plans": {}}', "plans.json has version 9; this dorm reads 1: record it again"),
        (b'{"version": 1, "plans": {"x": 3}}', "plans.json: the entry 'x' has no 'plan' of text or lines"),
    ],
)
def test_a_file_of_plans_that_cannot_be_used_is_no_drift(scratch: Scratch, content: bytes, said: str) -> None:
    """A build tells a plan that drifted (1) from a file that nobody can read (2)."""
    scratch.settings(apps="[]")
    file = scratch.folder / "plans.json"
    file.write_bytes(content)
    for arguments in (["check"], ["show"], ["record", "x", "SELECT 1"]):
        ran = scratch.run("plans", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert re.match(said, ran.err), ran.err
    assert file.read_bytes() == content


def test_plans_of_named_parameters_and_wrong_arguments(scratch: Scratch) -> None:
    scratch.settings(apps="[]")
    _database(scratch, "CREATE TABLE t (a int)")
    scratch.ok("plans", "record", "named", "SELECT a FROM t WHERE a = %(number)s", "--params", '{"number": 1}')
    file = json.loads((scratch.folder / "plans.json").read_text())
    assert file["plans"]["named"]["params"] == {"number": 1}
    scratch.ok("plans", "check", "named")
    for arguments, said in [
        (["--params", "3"], "--params takes a JSON list, or an object"),
        (["--file", "nowhere/plans.json"], "there is no folder nowhere for plans.json"),
        (["--database", "other"], "there is no database 'other'"),
    ]:
        ran = scratch.run("plans", "record", "x", "SELECT 1", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err
    del file["plans"]["named"]["sql"]
    (scratch.folder / "plans.json").write_text(json.dumps(file))
    ran = scratch.run("plans", "check")
    assert (ran.code, ran.out) == (2, "")
    assert "the entry 'named' has no statement 'sql'" in ran.err
    assert "named" in scratch.ok("plans", "show")


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_migrations_pass_an_allow_list_that_lets_ddl_pass(
    scratch: Scratch, engine: str, request: pytest.FixtureRequest
) -> None:
    """What changes of schema need beside DDL (switches, limits, copies of a rebuild) is no business of the list."""
    url = "sqlite:///db.sqlite3"
    if engine == "postgresql":
        url = request.getfixturevalue("postgresql_database")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET client_min_messages = error")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def enforce(allow_ddl: bool | None) -> None:
        names = "DATABASES=DATABASES, INSTALLED_APPS=INSTALLED_APPS"
        installed = f"sql_allowlist.install([], allow_ddl={allow_ddl})" if allow_ddl is not None else ""
        more = f"import dorm\nfrom dorm.contrib import sql_allowlist\ndorm.configure({names})\n{installed}"
        scratch.settings(url, more=more)

    models = """
        class Author(dorm.Model):
            name = dorm.CharField(max_length=100)

        class Post(dorm.Model):
            title = dorm.CharField(max_length=100, db_index=True)
            number = dorm.IntegerField({options})
            author = dorm.ForeignKey(Author)
        """
    scratch.app("blog", models.format(options="null=True"))
    enforce(None)
    scratch.ok("makemigrations")
    scratch.ok("migrate")
    scratch.app("blog", models.format(options="default=3"))
    scratch.ok("makemigrations")
    enforce(False)
    refused = scratch.run("migrate")
    assert refused.code == 1
    assert "not on the allow-list of 'default'" in refused.err
    enforce(True)
    assert "OK" in scratch.ok("migrate")
    assert "Unapplying blog.0001_initial... OK" in scratch.ok("migrate", "blog", "zero")
    scratch.ok("migrate")


def test_keys_are_rotated(scratch: Scratch) -> None:
    scratch.app(
        "blog",
        """
        from dorm.contrib.encrypted import EncryptedCharField

        class Patient(dorm.Model):
            number = EncryptedCharField(max_length=40)
        """,
    )
    scratch.settings(more=f"FIELD_ENCRYPTION_KEYS = [{OLD!r}]")
    scratch.write(
        "fill.py",
        """
        from blog.models import Patient
        from dorm.migrations.schema import create_tables
        create_tables([Patient])
        Patient.objects.create(number="1")
        """,
    )
    scratch.write("load.py", "from dorm.conf.project import load_settings, import_models\nload_settings(None)\n"
                             "import_models()\nimport fill\n")  # fmt: skip
    import subprocess
    import sys

    from tests.support.cli import _SRC

    subprocess.run([sys.executable, "load.py"], cwd=scratch.folder, env={"PYTHONPATH": _SRC}, check=True)
    scratch.settings(more=f"FIELD_ENCRYPTION_KEYS = [{NEW!r}, {OLD!r}]")
    assert "key 1: 1" in scratch.ok("rotate-keys", "--verify")
    assert "1 rows would be rewritten" in scratch.ok("rotate-keys", "--dry-run")
    assert "1 rows rewritten" in scratch.ok("rotate-keys", "--model", "blog.Patient")
    assert "key 0: 1" in scratch.ok("rotate-keys", "--verify")
