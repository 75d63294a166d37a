"""The other commands, in a project."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest

from dorm.cli.main import COMMANDS, main
from tests.support.cli import Scratch


@pytest.fixture
def migrated(blog: Scratch) -> Scratch:
    blog.ok("makemigrations")
    blog.ok("migrate", "--verbosity", "0")
    return blog


def add_rows(scratch: Scratch) -> None:
    code = "a = Author.objects.create(name='Ann'); Post.objects.create(author=a, title='One')"
    scratch.ok("shell", "-c", code)


def test_a_new_project_runs_at_once(scratch: Scratch) -> None:
    assert "created  settings.py" in scratch.ok("init", "--app", "notes")
    scratch.ok("makemigrations")
    scratch.ok("migrate")
    out = scratch.ok("shell", "-c", "await Note.objects.acreate(title='x'); print(await Note.objects.acount())")
    assert out.strip() == "1"
    assert "kept     settings.py" in scratch.ok("init", "--app", "notes")
    scratch.write("helpers.py", "")
    for name in ("no-name", "class", "os", "dorm", "settings", "helpers"):
        ran = scratch.run("init", "--app", name)
        assert (ran.code, ran.out, f"{name!r}" in ran.err) == (2, "", True)
        assert not (scratch.folder / name).exists()


def test_rows_go_out_and_come_back(migrated: Scratch) -> None:
    add_rows(migrated)
    migrated.ok("dumpdata", "--indent", "1", "-o", "rows.json")
    found = json.loads((migrated.folder / "rows.json").read_text())
    assert [each["model"] for each in found] == ["blog.author", "blog.post"]
    assert found[1]["fields"] == {"author": 1, "title": "One"}
    assert json.loads(migrated.ok("dumpdata", "blog.Post")) == found[1:]
    assert "Flushed 2 tables" in migrated.ok("flush", "--noinput")
    assert json.loads(migrated.ok("dumpdata")) == []
    assert "rows.json: 2 record(s)" in migrated.ok("loaddata", "rows.json")
    assert json.loads(migrated.ok("dumpdata")) == found
    migrated.write("bad.json", '[{"model": "blog.nothing", "pk": 1, "fields": {}}]')
    ran = migrated.run("loaddata", "bad.json")
    assert ran.code == 1
    assert "no model 'blog.nothing'" in ran.err
    assert migrated.run("flush", stdin="no\n").code == 1


def test_the_models_and_the_database_are_compared(migrated: Scratch) -> None:
    assert migrated.ok("diff") == "No differences.\n"
    migrated.ok("dbcheck")
    models = (migrated.folder / "blog/models.py").read_text()
    migrated.write("blog/models.py", models + "\nclass Tag(dorm.Model):\n    name = dorm.SlugField()\n")
    code = "from dorm.migrations.schema import SchemaEditor as E; "
    migrated.ok("shell", "-c", code + "E().execute('ALTER TABLE blog_author ADD COLUMN more TEXT')")
    ran = migrated.run("diff")
    assert ran.code == 1
    assert "missing table blog_tag" in ran.out
    assert "extra column blog_author.more" in ran.out
    kinds = {each["kind"] for each in json.loads(migrated.run("diff", "--json").out)}
    assert kinds == {"missing table", "extra column"}
    assert migrated.run("dbcheck", "blog").code == 1


def test_inspected_models_describe_the_same_tables(migrated: Scratch) -> None:
    source = migrated.ok("inspectdb")
    assert "class BlogPost(dorm.Model)" in source
    migrated.write("other/__init__.py", "")
    migrated.write("other/models.py", source)
    migrated.settings(apps="['other']")
    assert migrated.ok("diff") == "No differences.\n"
    assert migrated.run("inspectdb", "nothing").code == 1


def test_sql_prints_the_tables(blog: Scratch) -> None:
    out = blog.ok("sql", "--all")
    assert 'CREATE TABLE "blog_author"' in out
    assert 'TABLE "blog_author"' not in blog.ok("sql", "blog.Post")
    assert blog.run("sql").code == 2
    assert blog.run("sql", "nope").code == 1


def test_scripts_run_with_the_project(migrated: Scratch) -> None:
    migrated.write(
        "script.py",
        """
        from blog.models import Author

        async def run(name):
            await Author.objects.acreate(name=name)
            print(await Author.objects.acount(), name)
        """,
    )
    assert migrated.ok("runscript", "script.py", "Zoe").strip() == "1 Zoe"
    assert migrated.run("runscript", "nothing.py").code == 2


def test_the_shell_echoes_statements(migrated: Scratch) -> None:
    ran = migrated.run("shell", "--print-sql", "-c", "print(Author.objects.count())")
    assert (ran.code, ran.out) == (0, "0\n")
    assert "SELECT COUNT(*)" in ran.err


def test_dbshell_says_what_is_missing(migrated: Scratch, tmp_path: Path) -> None:
    assert migrated.run("dbshell", "--database", "no").code == 2
    nowhere = {"PATH": str(Path(sys.executable).parent / "nowhere")}
    ran = migrated.run("dbshell", env=nowhere)
    assert ran.code == 127
    assert "sqlite3" in ran.err


@pytest.mark.parametrize("command", ["migrate", "showmigrations", "diff", "inspectdb", "dumpdata", "dbshell", "reset"])
def test_an_engine_without_a_backend_is_one_line_and_wrong_use(blog: Scratch, command: str) -> None:
    blog.write("settings.py", "DATABASES = {'default': {'ENGINE': 'postgres15', 'NAME': 'x_dev'}}\nDEBUG = True\n")
    ran = blog.run(command)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1), ran.err
    assert "there is no backend for ENGINE 'postgres15'. Did you mean 'postgresql'? Engines: sqlite" in ran.err


def test_lint_finds_what_stops_a_live_database(migrated: Scratch) -> None:
    assert migrated.ok("lint-migrations") == "No findings.\n"
    text = """
    import dorm
    from dorm import migrations

    dependencies = [("blog", "0001_initial")]
    operations = [
        migrations.AddField("Author", "age", dorm.IntegerField(default=0)),
        migrations.AlterField("Author", "name", dorm.TextField()),
        migrations.AddIndex("Author", dorm.Index(fields=["name"], name="by_name")),
        migrations.RunPython(migrations.RunPython.noop),
        migrations.RemoveField("Post", "title"),
    ]
    """
    migrated.write("blog/migrations/0002_bad.py", text)
    ran = migrated.run("lint-migrations", "--format", "json")
    assert ran.code == 1
    codes = [each["code"] for each in json.loads(ran.out)["findings"]]
    assert codes == [f"DORM-M00{n}" for n in (1, 2, 3, 4, 5)]
    assert migrated.run("lint-migrations", "--exit-zero").code == 0
    assert len(json.loads(migrated.run("lint-migrations", "--format", "json", "--rule", "M003").out)["findings"]) == 1
    assert migrated.run("lint-migrations", "--rule", "M999").code == 2
    migrated.write("blog/migrations/0002_bad.py", f"# noqa: DORM-M001, DORM-M005\n{text}")
    assert "M001" not in migrated.run("lint-migrations").out


def test_the_graph_is_read_without_importing(migrated: Scratch) -> None:
    migrated.write(
        "blog/migrations/0002_more.py",
        """
        import a_package_that_is_not_there

        dependencies: list[tuple[str, str]] = [("blog", "0001_initial")] + [("gone", "0001_x")]
        operations = []
        """,
    )
    ran = migrated.run("migrations-graph")
    assert ran.code == 0
    assert ran.out.startswith("graph TD\n")
    assert 'blog_0001_initial["blog.0001_initial"]' in ran.out
    assert "blog_0001_initial --> blog_0002_more" in ran.out
    assert "class gone_0001_x missing" in ran.out
    assert "gone.0001_x" in ran.err
    assert migrated.run("migrations-graph", "--check").code == 1
    dot = migrated.ok("migrations-graph", "--format", "dot")
    assert dot.startswith("digraph migrations {\n    rankdir=LR;")
    assert migrated.run("migrations-graph", "--format", "png").code == 2
    assert len(json.loads(migrated.ok("migrations-graph", "--format", "json"))["edges"]) == 2
    migrated.write("blog/migrations/0001_initial.py", "dependencies = [('blog', '0002_more')]\noperations = []\n")
    assert "cycle: blog." in migrated.run("migrations-graph").err


def test_reset_runs_on_files_and_refuses_servers(migrated: Scratch) -> None:
    add_rows(migrated)
    out = migrated.ok("reset")
    assert "Unapplying blog.0001_initial... OK" in out
    assert "Applying blog.0001_initial... OK" in out
    assert json.loads(migrated.ok("dumpdata")) == []
    migrated.settings("postgresql://u:p@db.example.com/inventory")
    ran = migrated.run("reset")
    assert ran.code == 2
    assert "Refusing to reset" in ran.err
    assert "--force" in ran.err
    assert migrated.run("reset", "--database", "no").code == 2
    migrated.write("settings.py", "DEBUG = True\n")
    assert migrated.run("reset").code == 2


@pytest.mark.parametrize(
    ("settings", "env", "code", "severity"),
    [
        ("DEBUG_NPLUSONE = True", {}, "D421", "warnings"),
        ("", {"DORM_SLOW_QUERY_EXPLAIN": "1", "DORM_SLOW_QUERY_MS": "10"}, "D422", "warnings"),
        ("POOL_SATURATION_WARN = 1.5", {}, "D423", "warnings"),
        ("class R:\n    cooldown_seconds = 0\nDATABASE_ROUTERS = [R()]", {}, "D424", "warnings"),
        ("", {}, "D425", "notes"),
        ("SQL_ALLOWLIST = {'path': 'x', 'allow_ddl': True}", {}, "D426", "warnings"),
        ("DEBUG_NPLUSONE = 'loud'", {}, "D427", "warnings"),
        ("DATABASE_ROUTERS = 'x'", {}, "D428", "warnings"),
        ("STORAGES = {'other': {}}", {}, "D408", "warnings"),
        ("STORAGES = {'default': {}}", {}, "D408", "warnings"),
        ("RETRY_ATTEMPTS = 1", {}, "D405", "notes"),
        ("DATABASE_ROUTERS = [object()]\nREAD_AFTER_WRITE_WINDOW = 0", {}, "D406", "notes"),
        ("DATABASES['pg'] = {'URL': 'postgresql://u:p@db.example.com/x', 'MAX_POOL_SIZE': 1}", {}, "D401", "warnings"),
        ("DATABASES['pg'] = {'URL': 'postgresql://u:p@db.example.com/x', 'POOL_TIMEOUT': 90}", {}, "D402", "warnings"),
        ("DATABASES['pg'] = {'URL': 'postgresql://u:p@db.example.com/x'}", {}, "D403", "warnings"),
        ("DATABASES['pg'] = {'URL': 'postgresql://u:p@/x', 'PGBOUNCER_MODE': 'transaction'}", {}, "D404", "notes"),
        ("FIELD_ENCRYPTION_KEYS = ['a' * 44, 'b' * 44]", {}, "D411", "notes"),
    ],
)
def test_doctor_finds(blog: Scratch, settings: str, env: dict[str, str], code: str, severity: str) -> None:
    blog.settings(more=settings)
    ran = blog.run("doctor", "--json", env=env)
    found = json.loads(ran.out)
    assert code in [each["code"] for each in found[severity]], (ran.out, ran.err)
    assert all(each["hint"] for each in [*found["warnings"], *found["notes"]])
    assert ran.code == (1 if found["warnings"] else 0)
    assert code not in blog.run("doctor", "--ignore", code, env=env).out


def test_doctor_looks_at_models(blog: Scratch) -> None:
    models = """
    from dorm.contrib.tenants_row import TenantModel

    class Author(dorm.Model):
        pass

    class Post(TenantModel):
        objects = dorm.Manager()
        slug = dorm.SlugField(unique=True)
        author = dorm.ForeignKey(Author, dorm.CASCADE, db_index=False)
        editor = dorm.ForeignKey(Author, dorm.CASCADE, db_index=False, related_name="+")

        class Meta:
            read_only = True
            constraints = [dorm.UniqueConstraint(fields=["editor", "tenant_id"], name="one_a_tenant")]
    """
    blog.app("blog", models)
    found = json.loads(blog.run("doctor", "--json").out)
    said = {each["code"]: each["message"] for each in [*found["warnings"], *found["notes"]]}
    assert said["D407"].startswith("blog.Post.author has no index")
    assert len([each for each in found["warnings"] if each["code"] == "D407"]) == 1
    assert [each["message"] for each in found["warnings"] if each["code"] == "D410"] == [
        "blog.Post.objects shows the rows of all tenants."
    ]
    assert said["D410"].endswith("unique over all tenants (slug).")
    assert "blog.Post" in said["D409"]


def test_doctor_reads_only_and_says_how_many(blog: Scratch) -> None:
    blog.settings("postgresql://u:p@unreachable.invalid/shop_dev?sslmode=require", more="DEBUG = True")
    out = blog.ok("doctor")
    assert out.startswith("dorm doctor ")
    assert "0 warning(s)" in out
    assert blog.run("doctor", "--ignore", "X1").code == 2
    blog.write("settings.py", "raise RuntimeError('broken')\n")
    assert blog.run("doctor").code == 2


def test_each_command_has_a_page_with_an_example() -> None:
    folder = Path(__file__).parent.parent.parent / "docs/cli"
    pages = {page.stem: page.read_text() for page in folder.glob("*.md")}
    assert {*pages, "shell_plus"} == {*COMMANDS, "index"}
    for name in set(COMMANDS) - {"shell_plus"}:
        assert f"$ dorm {name}" in pages[name].partition("```console run\n")[2], name
        assert f"]({name}.md)" in pages["index"]
        command = main.get_command(click.Context(main), name)
        assert command is not None
        options = [each.opts for each in command.params if each.opts[0] not in (each.name, "--settings", "--traceback")]
        assert [flags for flags in options if not any(flag in pages[name] for flag in flags)] == [], name
