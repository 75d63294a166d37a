"""What is wrong with a project's migrations is one line that says what to do, and an exit code; nothing is changed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.support.cli import Scratch

HEAD = "import dorm\nfrom dorm import migrations\n\n"
CREATE = "migrations.CreateModel('Author', [('id', dorm.BigAutoField(primary_key=True))])"


def migration(blog: Scratch, app: str, name: str, dependencies: str = "", operations: str = "") -> None:
    body = f"{HEAD}dependencies = [{dependencies}]\noperations = [{operations}]\n"
    blog.write(f"{app}/migrations/__init__.py", "")
    blog.write(f"{app}/migrations/{name}.py", body)


@pytest.fixture
def two(scratch: Scratch) -> Scratch:
    """Two apps, the second of which has no migration."""
    scratch.settings(apps="['blog', 'shop']")
    for app in ("blog", "shop"):
        scratch.write(f"{app}/__init__.py", "")
    migration(scratch, "blog", "0001_initial", operations=CREATE)
    return scratch


COMMANDS = [
    ("migrate",),
    ("migrate", "--plan"),
    ("migrate", "blog", "zero"),
    ("sqlmigrate", "shop", "1"),
    ("showmigrations",),
    ("makemigrations", "--check"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_dependency_that_is_not_there_is_named_with_what_is(two: Scratch, command: tuple[str, ...]) -> None:
    migration(two, "shop", "0001_initial", "('blog', '0009_gone')")
    ran = two.run(*command)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"{command[0]}: shop.0001_initial depends on blog.0009_gone, which does not exist. "
        "Migrations of 'blog': 0001_initial.\n"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_circle_is_told_as_a_way_through_it(two: Scratch, command: tuple[str, ...]) -> None:
    migration(two, "blog", "0002_b", "('blog', '0001_initial'), ('shop', '0001_initial')")
    migration(two, "shop", "0001_initial", "('blog', '0002_b')")
    ran = two.run(*command)
    assert (ran.code, ran.out) == (1, "")
    assert "blog.0002_b -> shop.0001_initial -> blog.0002_b. Take one of these dependencies away." in ran.err
    assert len(ran.err.splitlines()) == 1


def test_two_last_migrations_stop_whatever_goes_to_the_end(two: Scratch) -> None:
    for name in ("0002_a", "0002_b"):
        migration(two, "blog", name, "('blog', '0001_initial')")
    for command in (("migrate",), ("migrate", "blog"), ("migrate", "--plan"), ("makemigrations",)):
        ran = two.run(*command)
        assert (ran.code, len(ran.err.splitlines())) == (1, 1), command
        assert "0002_a, 0002_b" in ran.err
        assert "makemigrations --merge" in ran.err
    assert "-- blog.0002_a (forwards)" in two.ok("sqlmigrate", "blog", "0002_a")


def test_targets_that_mean_nothing_are_refused(two: Scratch) -> None:
    migration(two, "shop", "0001_initial", operations=CREATE)
    for arguments, said in (
        (("blog", ""), "target takes a migration's name, a prefix, a number or 'zero', not an empty text"),
        (("--dry-run", "0001"), "'0001' is no app, and the name of a migration in 2 apps. Apps: blog, shop."),
        (("--dry-run", "0007"), "'0007' is no app, and the name of a migration in 0 apps. Apps: blog, shop."),
        (("0001_initial",), "0001_initial"),
        (("blog", "7", "--plan"), "app 'blog' has no migration '7'. Migrations: 0001_initial."),
    ):
        ran = two.run("migrate", *arguments)
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1), arguments
        assert said in ran.err
        assert "Traceback" not in ran.err


def test_a_dry_run_of_a_target_that_one_app_has_is_meant_for_it(two: Scratch) -> None:
    migration(two, "blog", "0002_more", "('blog', '0001_initial')", "migrations.RunSQL('SELECT 1', 'SELECT 2')")
    two.ok("migrate", "blog")
    out = two.ok("migrate", "--dry-run", "0001")
    assert [line for line in out.splitlines() if not line.startswith("--")] == ["BEGIN;", "SELECT 2;", "COMMIT;"]
    assert out.startswith("-- Unapply blog.0002_more\n")


@pytest.mark.parametrize("flag", ["--fake", "--prune", "--run-syncdb"])
def test_a_dry_run_goes_with_nothing_that_writes(two: Scratch, flag: str) -> None:
    for arguments in (("blog", "zero", "--dry-run", flag), ("--plan", flag)):
        ran = two.run("migrate", *arguments)
        assert ran.code == 2
        assert "--dry-run does nothing" in ran.err


def test_without_a_folder_of_migrations_there_is_nothing_to_do(two: Scratch) -> None:
    assert two.ok("migrate", "shop", "zero", "--dry-run") == "-- Nothing to rollback\n"
    assert two.ok("migrate", "shop").startswith("No migrations to apply.\n")
    ran = two.run("migrate", "shop", "1")
    assert (ran.code, ran.err) == (1, "migrate: app 'shop' has no migration '1'. Migrations: none.\n")


def test_a_database_that_takes_no_writes_is_told_as_such_and_can_be_planned_for(two: Scratch) -> None:
    """A standby and a user who may only read are in test_printed.py."""
    two.ok("migrate")
    migration(two, "blog", "0002_more", "('blog', '0001_initial')", "migrations.RunSQL('CREATE TABLE x (id integer)')")
    entry = {"ENGINE": "sqlite", "NAME": "db.sqlite3", "OPTIONS": {"init_command": "PRAGMA query_only = ON"}}
    (two.folder / "settings.py").write_text(f"DATABASES = {{'default': {entry!r}}}\nINSTALLED_APPS = ['blog']\n")
    assert "CREATE TABLE x" in two.ok("migrate", "--plan")
    assert "CREATE TABLE x" in two.ok("sqlmigrate", "blog", "2")
    ran = two.run("migrate")
    assert ran.code == 1
    assert ran.err.startswith("migrate: attempt to write a readonly database: may this process write the file")
    assert "[ ] 0002_more" in two.ok("showmigrations")


@pytest.mark.parametrize(
    "read",
    [
        "WITH gone AS (DELETE FROM blog_author RETURNING id) SELECT count(*) FROM gone",
        "SELECT nextval('blog_author_id_seq')",
        "SELECT pg_advisory_xact_lock(1), setval('blog_author_id_seq', 99)",
    ],
)
@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_dry_run_reads_where_nothing_can_be_written(
    two: Scratch, database_settings: dict[str, Any], read: str
) -> None:
    """What begins like a read need not be one."""
    two.settings(more=f"DATABASES = {{'default': {database_settings!r}}}", apps="['blog']")
    two.ok("migrate")
    own = f"""
    from dorm import migrations


    class Own(migrations.Operation):
        reversible = True

        def database_forwards(self, app_label, connection, from_state, to_state):
            connection.execute({read!r})

        database_backwards = database_forwards


    dependencies = [("blog", "0001_initial")]
    operations = [Own()]
    """
    two.write("blog/migrations/0002_own.py", own)
    with psycopg.connect(database_settings["URL"], autocommit=True) as connection:
        connection.execute("INSERT INTO blog_author DEFAULT VALUES")
        looked = "SELECT count(*), max(id), (SELECT last_value FROM blog_author_id_seq) FROM blog_author"
        before = connection.execute(looked).fetchall()
        for arguments in (
            ("migrate", "--plan"),
            ("sqlmigrate", "blog", "2"),
            ("sqlmigrate", "blog", "2", "--backwards"),
        ):
            ran = two.run(*arguments)
            assert ran.code == 1
            assert "-- Own: cannot be rendered: cannot execute" in ran.out
            assert "in a read-only transaction" in ran.out
            assert connection.execute(looked).fetchall() == before


def test_text_is_printed_without_a_server(two: Scratch) -> None:
    """Of a migration that asks the server for nothing, that is."""
    two.settings("postgresql://nobody@127.0.0.1:1/nothing", apps="['blog']")
    migration(two, "blog", "0002_more", "('blog', '0001_initial')", "migrations.AlterColumnTypeOnline('Author', 'id', "
              "'integer', old_type='bigint')")  # fmt: skip
    assert 'CREATE TABLE "blog_author"' in two.ok("sqlmigrate", "blog", "1")
    assert 'DROP TABLE "blog_author"' in two.ok("sqlmigrate", "blog", "1", "--backwards")
    alter = 'BEGIN;\nSET LOCAL lock_timeout = \'5s\';\nALTER TABLE "blog_author" ALTER COLUMN "id" TYPE'
    assert f"{alter} integer;\nCOMMIT;\n" in two.ok("sqlmigrate", "blog", "2")
    assert f"{alter} bigint;\nCOMMIT;\n" in two.ok("sqlmigrate", "blog", "2", "--backwards")
    for command in ("migrate", "showmigrations"):
        ran = two.run(command)
        assert (ran.code, "cannot connect to DATABASES['default']" in ran.err) == (1, True)


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_lock_that_is_not_to_be_had_exits_with_one_and_can_be_tried_again(
    two: Scratch, database_settings: dict[str, Any]
) -> None:
    two.settings(more=f"DATABASES = {{'default': {database_settings!r}}}", apps="['blog']")
    two.ok("migrate")
    online = "migrations.AlterColumnTypeOnline('Author', 'id', 'integer', lock_timeout='300ms')"
    migration(two, "blog", "0002_more", "('blog', '0001_initial')", online)
    with psycopg.connect(database_settings["URL"]) as reader:
        reader.execute("SELECT * FROM blog_author")
        ran = two.run("migrate")
    assert (ran.code, ran.out) == (1, "Applying blog.0002_more... FAILED\n")
    assert "the lock on blog_author for changing column id was not to be had within 300ms" in ran.err
    assert "[ ] 0002_more" in two.ok("showmigrations")
    assert two.ok("migrate").endswith("OK\n")
