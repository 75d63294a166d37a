"""Options of the commands that no other file tells of: other databases, orders, names, what goes not together."""

from __future__ import annotations

import json

import pytest

from tests.support.cli import Scratch


@pytest.fixture
def two(blog: Scratch) -> Scratch:
    """A project whose alias ``other`` is migrated, and whose default database is empty."""
    blog.settings(more="DATABASES['other'] = 'sqlite:///other.db'")
    blog.ok("makemigrations", "--name", "begin")
    blog.ok("migrate", "--database", "other", "-v", "0")
    return blog


def test_every_command_takes_another_database(two: Scratch) -> None:
    assert " [X] 0001_begin" in two.ok("showmigrations", "--database", "other")
    assert " [ ] 0001_begin" in two.ok("showmigrations")
    assert two.ok("migrate", "--check", "--database", "other") == ""
    assert two.ok("diff", "--alias", "other") == two.ok("diff", "--database", "other") == "No differences.\n"
    assert two.ok("dbcheck", "--database", "other") == "The database has the columns of the models.\n"
    assert two.run("dbcheck").out == "missing table blog_author\nmissing table blog_post\n"
    two.write("rows.json", '[{"model": "blog.author", "pk": 7, "fields": {"name": "Ann"}}]')
    two.ok("loaddata", "rows.json", "--database", "other")
    assert json.loads(two.ok("dumpdata", "blog", "--database", "other"))[0]["pk"] == 7
    assert "class BlogAuthor(dorm.Model)" in two.ok("inspectdb", "blog_author", "--database", "other")
    assert "BlogPost" not in two.ok("inspectdb", "blog_author", "--database", "other")
    assert two.ok("flush", "--noinput", "--database", "other") == "Flushed 2 tables.\n"
    assert two.ok("dumpdata", "--database", "other") == "[]\n"
    for arguments in (
        ("migrate",), ("showmigrations",), ("sqlmigrate", "blog", "1"), ("sql", "--all"), ("dbcheck",), ("diff",),
        ("inspectdb",), ("dbshell",), ("dumpdata",), ("loaddata", "rows.json"), ("flush", "--noinput"), ("reset",),
    ):  # fmt: skip
        ran = two.run(*arguments, "--database", "third")
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1), arguments
        assert "there is no database 'third' in DATABASES. Did you mean 'other'? Aliases: default, other." in ran.err


def test_parts_of_a_project_are_chosen(two: Scratch) -> None:
    two.settings(apps="['blog', 'news']", more="DATABASES['other'] = 'sqlite:///other.db'")
    two.app("news", "class Letter(dorm.Model):\n    pass\n")
    assert two.ok("diff", "--alias", "other", "--apps", "blog") == "No differences.\n"
    assert two.run("diff", "--alias", "other", "--apps", "blog,news").out == "missing table news_letter\n"
    for command in (
        ("diff", "--apps"),
        ("dbcheck",),
        ("sql",),
        ("showmigrations",),
        ("lint-migrations",),
        ("dumpdata",),
    ):
        ran = two.run(*command, "nwes")
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1), command
        assert "news" in ran.err, command
    assert two.ok("migrate", "--run-syncdb").splitlines()[0] == "Creating table news_letter"
    assert two.ok("showmigrations", "news") == "news\n (no migrations)\n"
    two.ok("makemigrations", "news")
    assert two.ok("showmigrations", "-p").splitlines() == ["[X]  blog.0001_begin", "[ ]  news.0001_initial"]
    assert two.ok("migrate", "--fake-initial") == "Applying news.0001_initial... FAKED OK\n"
    assert [each["name"] for each in json.loads(two.ok("showmigrations", "blog", "--format", "json"))] == ["0001_begin"]


def test_squashed_migrations_have_names_and_keep_their_operations(blog: Scratch) -> None:
    blog.ok("makemigrations", "--name", "begin")
    for number in (1, 2):
        sql = f"operations = [migrations.RunSQL('SELECT {number}', migrations.RunSQL.noop)]"
        blog.ok("makemigrations", "--empty", "blog", "--name", f"step{number}")
        path = blog.folder / f"blog/migrations/000{number + 1}_step{number}.py"
        path.write_text(path.read_text().partition("operations")[0] + sql + "\n")
    out = blog.ok("squashmigrations", "blog", "0002", "0003", "--squashed-name", "steps", "--no-optimize")
    assert "Squashed 2 migrations, 2 operations, into 2" in out
    assert (blog.folder / "blog/migrations/0002_steps.py").exists()
    ran = blog.run("squashmigrations", "blog", "0009")
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "Migrations: 0001_begin" in ran.err
    blog.ok("migrate")


def test_the_extension_of_vectors_comes_first(blog: Scratch) -> None:
    blog.settings("postgresql://u:p@unreachable.invalid/shop")
    blog.ok("makemigrations", "--enable-pgvector")
    shown = blog.ok("sqlmigrate", "blog", "1")
    assert shown.index("CREATE EXTENSION IF NOT EXISTS vector;") < shown.index("CREATE TABLE")


def test_what_does_not_exist_is_left_out_on_demand(two: Scratch) -> None:
    two.write(
        "rows.json",
        '[{"model": "blog.gone", "pk": 1, "fields": {}},'
        ' {"model": "blog.author", "pk": 1, "fields": {"name": "Ann", "gone": 1}}]',
    )
    assert two.run("loaddata", "rows.json", "--database", "other").code == 1
    assert two.ok("loaddata", "-i", "rows.json", "--database", "other") == "rows.json: 1 record(s)\n"
    assert two.ok("shell", "-c", "print(Author.objects.using('other').get().name)") == "Ann\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("migrate", "--plan", "--fake"), "it goes with none of --fake, --prune and --run-syncdb"),
        (("migrate", "--plan", "--prune", "blog"), "it goes with none of --fake, --prune and --run-syncdb"),
        (("migrate", "--dry-run", "--run-syncdb"), "it goes with none of --fake, --prune and --run-syncdb"),
        (("migrate", "--tenant", "a", "--all-tenants"), "give one of them"),
        (("migrate", "--json"), "goes with --plan and --check"),
        (("migrate", "--plan", "--json", "--tenant", "a"), "goes without --tenant"),
        (("migrate", "--prune"), "takes the label of an app"),
        (("makemigrations", "--empty"), "takes the labels of the apps"),
        (("reset", "--drop-schema", "--app", "blog"), "goes without --app"),
        (("lint-migrations", "--format", "xml"), "'text', 'json'"),
        (("sql",), "give --all"),
        (("loaddata",), "Missing argument"),
        (("migrate", "--nothing"), "No such option"),
    ],
)
def test_wrong_use_says_what_goes(blog: Scratch, arguments: tuple[str, ...], said: str) -> None:
    ran = blog.run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err
