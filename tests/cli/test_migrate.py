"""The commands around migrations, in a project."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.cli import Scratch


def test_from_models_to_tables_and_back(blog: Scratch) -> None:
    assert "Create model Author" in blog.ok("makemigrations")
    assert blog.run("makemigrations", "--check").code == 0
    assert " [ ] 0001_initial" in blog.ok("showmigrations")
    assert blog.ok("migrate") == "Applying blog.0001_initial... OK\n"
    assert "No migrations to apply" in blog.ok("migrate")
    assert " [X] 0001_initial" in blog.ok("showmigrations", "blog")
    assert blog.ok("migrate", "blog", "zero") == "Unapplying blog.0001_initial... OK\n"


def test_changes_are_found_and_gated(blog: Scratch) -> None:
    blog.ok("makemigrations")
    models = (blog.folder / "blog/models.py").read_text()
    blog.write("blog/models.py", models + "\nclass Tag(dorm.Model):\n    name = dorm.SlugField()\n")
    ran = blog.run("makemigrations", "--check")
    assert (ran.code, "Create model Tag" in ran.out) == (1, True)
    assert not (blog.folder / "blog/migrations/0002_tag.py").exists()
    assert "class Tag" not in blog.ok("makemigrations", "--dry-run")
    blog.ok("makemigrations", "-n", "tags")
    assert (blog.folder / "blog/migrations/0002_tags.py").exists()
    assert "have changes" not in blog.ok("migrate")


def test_a_required_column_without_a_value_is_refused(blog: Scratch) -> None:
    blog.ok("makemigrations")
    models = (blog.folder / "blog/models.py").read_text()
    blog.write("blog/models.py", models.replace("    class Meta", "    stars = dorm.IntegerField()\n\n    class Meta"))
    ran = blog.run("makemigrations", "--noinput")
    assert ran.code == 1
    assert "Post.stars" in ran.err
    assert "default=" in ran.err
    assert "Traceback" not in ran.err
    assert len(list((blog.folder / "blog/migrations").glob("0*.py"))) == 1


def test_sqlmigrate_prints_what_would_run_and_runs_nothing(blog: Scratch) -> None:
    blog.ok("makemigrations")
    out = blog.ok("sqlmigrate", "blog", "0001")
    assert out.startswith("-- blog.0001_initial (forwards)\nBEGIN;\n-- CreateModel: Create model Author\nCREATE TABLE")
    assert out.rstrip().endswith("COMMIT;")
    back = blog.ok("sqlmigrate", "blog", "1", "--backwards")
    assert back.index('DROP TABLE "blog_post"') < back.index('DROP TABLE "blog_author"')
    found = json.loads(blog.ok("sqlmigrate", "blog", "1", "--format", "json"))
    assert found[0]["operations"][0]["operation"] == "CreateModel"
    assert " [ ] 0001_initial" in blog.ok("showmigrations")


def test_a_plan_names_locks_and_changes_nothing(blog: Scratch) -> None:
    blog.ok("makemigrations")
    out = blog.ok("migrate", "--plan")
    assert "-- Apply blog.0001_initial" in out
    assert all(line.startswith("--") or "Apply" not in line for line in out.splitlines())
    assert " [ ] 0001_initial" in blog.ok("showmigrations")
    assert "Nothing to rollback" in blog.ok("migrate", "blog", "zero", "--dry-run")


def test_irreversible_steps_are_shown_and_make_it_fail(blog: Scratch) -> None:
    blog.ok("makemigrations")
    blog.write(
        "blog/migrations/0002_sql.py",
        """
        from dorm import migrations

        dependencies = [("blog", "0001_initial")]
        operations = [migrations.RunSQL("INSERT INTO blog_author (name) VALUES (%s)", params=["O'Hara"])]
        """,
    )
    out = blog.ok("sqlmigrate", "blog", "2")
    assert "VALUES ('O''Hara');" in out
    assert blog.run("sqlmigrate", "blog", "2", "--backwards").code == 1
    blog.ok("migrate")
    ran = blog.run("migrate", "blog", "zero", "--dry-run")
    assert ran.code == 1
    assert "-- RunSQL: irreversible" in ran.out
    ran = blog.run("migrate", "blog", "zero")
    assert ran.code == 1
    assert "irreversible" in ran.err
    assert "Nothing was changed" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("migrate", "nope"), 1, "No installed app with label 'nope'"),
        (("migrate", "blog", "0009"), 1, "no migration '0009'"),
        (("migrate", "blog", "--dry-run", "--fake"), 2, "--dry-run"),
        (("migrate", "--database", "other"), 2, "no database 'other'"),
        (("sqlmigrate", "blog", "0009"), 1, "Migrations: 0001_initial"),
        (("sqlmigrate", "shop", "0001"), 1, "Apps: blog"),
        (("showmigrations", "--settings", "no.such"), 2, "no settings module"),
        (("showmigrations", "--settings", "a/b.py"), 2, "dotted path"),
        (("migarte",), 2, "Did you mean 'migrate'?"),
    ],
)
def test_wrong_use_is_one_line_and_an_exit_code(
    blog: Scratch, arguments: tuple[str, ...], code: int, said: str
) -> None:
    blog.ok("makemigrations")
    ran = blog.run(*arguments)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_broken_migration_names_file_and_line(blog: Scratch) -> None:
    blog.ok("makemigrations")
    path = blog.write("blog/migrations/0002_bad.py", "import dorm\n\noperations = [dorm.nothing()]\n")
    ran = blog.run("migrate")
    assert ran.code == 1
    assert f"{path}:3" in ran.err
    assert "Traceback" in blog.run("migrate", "--traceback").err


def test_two_last_migrations_are_merged(blog: Scratch) -> None:
    blog.ok("makemigrations")
    for name in ("one", "two"):
        blog.write(
            f"blog/migrations/0002_{name}.py",
            f"""
            import dorm
            from dorm import migrations

            dependencies = [("blog", "0001_initial")]
            operations = [migrations.AddField("Author", "{name}", dorm.IntegerField(null=True))]
            """,
        )
    ran = blog.run("migrate")
    assert ran.code == 1
    assert "makemigrations --merge" in ran.err
    assert "0003_merge_0002_0002" in blog.ok("makemigrations", "--merge")
    blog.ok("migrate")


def test_squashing_and_its_bookkeeping(blog: Scratch) -> None:
    blog.ok("makemigrations")
    blog.ok("makemigrations", "--empty", "blog", "--name", "nothing")
    blog.ok("migrate")
    assert "Squashed 2 migrations" in blog.ok("squashmigrations", "blog", "0002")
    assert "squashed" in blog.ok("showmigrations")
    blog.ok("migrate")
    for path in (blog.folder / "blog/migrations").glob("000[12]_[in]*.py"):
        path.unlink()
    squashed = next((blog.folder / "blog/migrations").glob("0001_squashed*.py"))
    squashed.write_text(re.sub(r"replaces = \[.*?\]\n", "", squashed.read_text(), flags=re.DOTALL))
    assert "No migrations to apply" in blog.ok("migrate")
    assert "Pruning blog.0002_nothing" in blog.ok("migrate", "blog", "--prune")


def test_version_needs_no_project(scratch: Scratch) -> None:
    scratch.write("settings.py", "raise RuntimeError('broken')")
    assert re.fullmatch(r"dormdb \d+\.\d+\.\d+\n", scratch.ok("version"))
    assert scratch.ok("--version") == scratch.ok("version")
    assert json.loads(scratch.ok("version", "--json"))["dorm"] in scratch.ok("version")
    assert scratch.run("version", "more").code == 2


def test_an_edited_history_and_newer_databases_are_told_with_the_way_out(blog: Scratch) -> None:
    blog.ok("makemigrations")
    head = "from dorm import migrations\nimport dorm\n\n"
    blog.write("blog/migrations/0002_a.py", f"{head}dependencies = [('blog', '0001_initial')]\noperations = []\n")
    blog.ok("migrate")
    blog.write("blog/migrations/0002_0_new.py", f"{head}dependencies = [('blog', '0001_initial')]\noperations = []\n")
    blog.write("blog/migrations/0002_a.py", f"{head}dependencies = [('blog', '0002_0_new')]\noperations = []\n")
    ran = blog.run("migrate")
    assert (ran.code, "dorm migrate blog 0002_0_new --fake" in ran.err) == (1, True)
    blog.ok("migrate", "blog", "0002_0_new", "--fake")
    assert "No migrations to apply" in blog.ok("migrate")
    (blog.folder / "blog/migrations/0002_a.py").unlink()
    assert " [X] 0002_a (recorded; there is no file)" in blog.ok("showmigrations")
    ran = blog.run("migrate", "blog", "zero")
    assert (ran.code, ran.out) == (1, "")
    assert "blog.0002_a" in ran.err
    assert "--prune" in ran.err
    blog.ok("migrate", "blog", "--prune")
    blog.ok("migrate", "blog", "zero")


def test_errors_name_the_file_they_come_from(blog: Scratch) -> None:
    blog.ok("makemigrations")
    blog.write(
        "blog/migrations/0002_a.py",
        "from dorm import migrations\n\ndependencies = [('blog', '0001_initial')]\n"
        "operations = [migrations.RemoveField('Nobody', 'name')]\n",
    )
    ran = blog.run("migrate")
    assert ran.err.startswith("migrate: blog.0002_a: Remove field name from Nobody: app 'blog' has no model 'Nobody'")
    assert len(ran.err.splitlines()) == 1
    blog.write("blog/models.py", "import dorm\n\nclass Author(dorm.Model)\n    pass\n")
    ran = blog.run("migrate")
    assert (ran.code, "blog/models.py:3: SyntaxError" in ran.err, len(ran.err.splitlines())) == (2, True, 1)
    blog.write("blog/models.py", "import dorm\n\n\nclass Author(dorm.Model):\n    name = dorm.CharFeld()\n")
    ran = blog.run("migrate")
    assert (ran.code, "blog/models.py:5)" in ran.err, len(ran.err.splitlines())) == (2, True, 1)


def test_tables_of_apps_without_migrations_are_made_when_asked(blog: Scratch) -> None:
    assert blog.ok("migrate").startswith("No migrations to apply.\n")
    out = blog.ok("migrate", "--run-syncdb").splitlines()
    assert out[:2] == ["Creating table blog_author", "Creating table blog_post"]
    assert "Creating" not in blog.ok("migrate", "--run-syncdb")
    assert blog.ok("shell", "-c", "print(Post.objects.count())") == "0\n"
    blog.ok("makemigrations")
    assert "Creating" not in blog.ok("migrate", "--run-syncdb", "--fake-initial")


def test_what_is_there_may_be_recorded_without_running(blog: Scratch) -> None:
    blog.ok("makemigrations")
    blog.ok("migrate", "--run-syncdb", "blog")
    blog.ok("migrate", "blog", "zero", "--fake")
    ran = blog.run("migrate")
    assert (ran.code, "blog_author" in ran.err, len(ran.err.splitlines())) == (1, True, 1)
    assert blog.ok("migrate", "--fake-initial") == "Applying blog.0001_initial... FAKED OK\n"
    assert blog.ok("migrate", "blog", "zero", "--fake", "-v", "0") == ""
    assert " [ ] 0001_initial" in blog.ok("showmigrations")
