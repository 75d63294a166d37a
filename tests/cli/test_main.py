"""``dorm`` itself: help, version, commands of other packages, the shell on a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import dorm
from dorm.cli.main import COMMANDS
from tests.support.cli import Scratch


def plug_in(scratch: Scratch, name: str, target: str, source: str) -> None:
    """Make a package that is installed as far as the entry points go, with one command."""
    scratch.write("extra.py", source)
    scratch.write("extra-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    scratch.write("extra-1.0.dist-info/entry_points.txt", f"[dorm.commands]\n{name} = {target}\n")


GREET = """
import click
from dorm.cli.project import project_command

@project_command()
@click.argument("name")
def greet(name):
    "Greet somebody."
    from blog.models import Author
    click.echo(f"{Author.__name__} greets {name}")
"""


def test_the_version_is_that_of_the_distribution(scratch: Scratch) -> None:
    scratch.write("settings.py", "raise RuntimeError('broken')\n")
    scratch.write("empty/keep", "")
    for arguments in (("version",), ("--version",)):
        ran = scratch.run(*arguments)
        assert (ran.code, ran.out, ran.err) == (0, f"dormdb {metadata.version('dormdb')}\n", "")
        assert re.match(r"^\S+ \d+\.\d+\.\d+", ran.out)
    assert metadata.version("dormdb") == dorm.__version__
    script = Path(sys.executable).parent / "dorm"
    done = subprocess.run(
        [str(script), "version"],
        cwd=scratch.folder / "empty",
        env=scratch._environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dormdb {dorm.__version__}\n", "")


def test_drivers_and_platform_are_told_on_demand(scratch: Scratch) -> None:
    found = json.loads(scratch.ok("version", "--json"))
    assert set(found) == {"dorm", "python", "platform", "drivers"}
    assert found["drivers"]["apsw"] == metadata.version("apsw")
    lines = scratch.ok("version", "--verbose").splitlines()
    assert lines[0] == f"dormdb {dorm.__version__}"
    assert lines[1:3] == [f"python {found['python']}", f"platform {found['platform']}"]
    assert f"apsw {found['drivers']['apsw']}" in lines
    ran = scratch.run("version", "more")
    assert (ran.code, ran.out, "Usage:" in ran.err) == (2, "", True)


def test_every_command_has_help_without_a_project(scratch: Scratch) -> None:
    shown = scratch.ok("--help")
    assert [name for name in COMMANDS if f"  {name} " not in shown] == []
    scratch.write(
        "every.py",
        """
        from dorm.cli.main import COMMANDS, main
        import sys
        for name in COMMANDS:
            try:
                main([name, "--help"])
            except SystemExit as exc:
                assert exc.code == 0, name
        assert not {"apsw", "psycopg", "dorm.models"} & set(sys.modules)
        """,
    )
    done = subprocess.run(
        [sys.executable, "every.py"], cwd=scratch.folder, env=scratch._environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage:") == len(COMMANDS)


def test_help_lists_commands_and_loads_nothing_dear(scratch: Scratch) -> None:
    """What it loads is what it takes: entry points are told from files, the modules of commands are left alone."""
    assert "makemigrations" in scratch.ok("help")
    assert "--fake-initial" in scratch.ok("help", "migrate")
    scratch.write(
        "probe.py",
        """
        import sys
        from dorm.cli.main import main
        for arguments in (["--help"], ["version"]):
            try:
                main(arguments)
            except SystemExit:
                pass
        own = {name for name in sys.modules if name.partition(".")[0] == "dorm"}
        print(sorted(own), file=sys.stderr)
        dear = {"apsw", "psycopg", "rich", "json", "email", "asyncio", "importlib.metadata", "tempfile", "subprocess"}
        print(sorted(dear & set(sys.modules)), file=sys.stderr)
        """,
    )
    done = subprocess.run(
        [sys.executable, "probe.py"], cwd=scratch.folder, env=scratch._environment(), capture_output=True, text=True
    )
    assert done.stderr == (
        "['dorm', 'dorm.cli', 'dorm.cli.commands', 'dorm.cli.commands.version', 'dorm.cli.main', 'dorm.conf', "
        "'dorm.conf.plug_ins']\n[]\n"
    )
    assert "makemigrations" in done.stdout


def test_commands_are_found_in_archives_too(blog: Scratch) -> None:
    plug_in(blog, "greet", "extra:greet", GREET)
    with zipfile.ZipFile(blog.folder / "extra.zip", "w") as archive:
        for name in ("extra.py", "extra-1.0.dist-info/METADATA", "extra-1.0.dist-info/entry_points.txt"):
            archive.write(blog.folder / name, name)
            (blog.folder / name).unlink()
    (blog.folder / "extra-1.0.dist-info").rmdir()
    path = {"PYTHONPATH": os.pathsep.join((blog._environment()["PYTHONPATH"], "extra.zip"))}
    assert blog.ok("greet", "Ann", env=path) == "Author greets Ann\n"
    assert "greet" in blog.ok("--help", env=path)


def test_other_packages_bring_commands(blog: Scratch) -> None:
    plug_in(blog, "greet", "extra:greet", GREET)
    assert re.search(r"^  greet +from extra$", blog.ok("--help"), re.MULTILINE)
    assert blog.ok("greet", "Ann") == "Author greets Ann\n"
    assert "Greet somebody." in blog.ok("help", "greet")
    assert "Did you mean 'greet'?" in blog.run("gret").err
    # dorm's own names win.
    plug_in(blog, "version", "extra:greet", GREET)
    assert blog.ok("version").startswith("dormdb ")


def test_a_command_that_cannot_be_loaded_is_named_and_no_other_is_hindered(blog: Scratch) -> None:
    plug_in(blog, "greet", "extra:greet", "import nothing_of_that_name\n")
    assert "greet" in blog.ok("--help")
    assert blog.ok("showmigrations") == "blog\n (no migrations)\n"
    ran = blog.run("greet")
    assert (ran.code, ran.out, "Traceback" in ran.err) == (2, "", False)
    assert "the command 'greet' of extra cannot be loaded: ModuleNotFoundError" in ran.err


def test_the_shell_awaits_on_a_terminal_and_goes_on_after_errors(blog: Scratch) -> None:
    blog.ok("makemigrations")
    blog.ok("migrate")
    typed = (
        "await Author.objects.acreate(name='Ann')\n"
        "1 / 0\n"
        "await Author.objects.aget(name='Bob')\n"
        "print('there are', await Author.objects.acount(), 'and', Author.objects.count())\n"
        "\x04"
    )
    ran = blog.on_terminal("shell", "--plain", "--print-sql", typed=typed)
    assert ran.code == 0
    shown = ran.out + ran.err
    assert "there are 1 and 1" in shown
    assert "ZeroDivisionError" in shown
    assert "DoesNotExist" in shown
    assert re.search(r"\(\d+\.\d ms\) SELECT COUNT\(\*\)", shown)
    assert "dorm shell: Author" in shown


def test_a_name_of_several_models_is_that_of_the_first_app(blog: Scratch) -> None:
    blog.app("news", "class Author(dorm.Model):\n    pass\n\n\nclass Letter(dorm.Model):\n    pass\n")
    show = "print(Author._meta.label, Post._meta.label, Letter._meta.label)"
    for module, apps, label in (("one", "['blog', 'news']", "blog.Author"), ("two", "['news', 'blog']", "news.Author")):
        blog.write(f"{module}.py", f"DATABASES = {{'default': 'sqlite:///db.sqlite3'}}\nINSTALLED_APPS = {apps}\n")
        assert blog.ok("shell", "-c", show, "--settings", module) == f"{label} blog.Post news.Letter\n"


def test_a_reader_that_has_enough_is_no_error(blog: Scratch) -> None:
    """As with "| head": nothing is said, and the exit code tells that not all was written."""
    running = subprocess.Popen(
        [sys.executable, "-m", "dorm", "sql", "--all"],
        cwd=blog.folder,
        env=blog._environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    running.stdout.close()
    _, said = running.communicate()
    assert (running.returncode, said) == (1, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX has them")
def test_an_interrupt_leaves_nothing_of_a_migration(blog: Scratch) -> None:
    blog.ok("makemigrations")
    blog.write(
        "blog/migrations/0002_long.py",
        """
        import time
        from dorm import migrations


        def work(app_label, registry):
            print("working", flush=True)
            time.sleep(300)


        dependencies = [("blog", "0001_initial")]
        operations = [
            migrations.RunSQL("CREATE TABLE half (id integer)", "DROP TABLE half"),
            migrations.RunPython(work, migrations.RunPython.noop),
        ]
        """,
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "dorm", "migrate"],
        cwd=blog.folder,
        env=blog._environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # It is ignored where tests run in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stdout is not None
    while "working" not in running.stdout.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, said = running.communicate()
    assert (running.returncode, said.strip()) == (1, "Aborted!")
    assert blog.ok("showmigrations") == "blog\n [X] 0001_initial\n [ ] 0002_long\n"
    assert "half" not in blog.ok("inspectdb")


def test_code_may_come_from_a_pipe(blog: Scratch) -> None:
    blog.ok("makemigrations")
    blog.ok("migrate")
    ran = blog.run("shell", stdin="async def f():\n    return await Author.objects.acount()\nprint(await f())\n")
    assert (ran.code, ran.out) == (0, "0\n")
    ran = blog.run("shell", "-c", "1 / 0")
    assert (ran.code, "ZeroDivisionError" in ran.err) == (1, True)


def test_scripts_have_arguments_and_exit_codes(blog: Scratch) -> None:
    blog.write("main.py", "import sys\n\nif __name__ == '__main__':\n    print(sys.argv)\n    sys.exit(3)\n")
    ran = blog.run("runscript", "main.py", "a", "-b")
    assert (ran.code, ran.out) == (3, "['main.py', 'a', '-b']\n")
    blog.write("once.py", "async def main():\n    print('once')\n\nimport asyncio\nasyncio.run(main())\n")
    assert blog.ok("runscript", "once.py") == "once\n"
    blog.write("fails.py", "def run():\n    raise KeyError('x')\n")
    ran = blog.run("runscript", "fails.py")
    assert (ran.code, "fails.py" in ran.err, "KeyError" in ran.err) == (1, True, True)


def test_settings_are_named_by_option_variable_or_habit(blog: Scratch) -> None:
    blog.ok("makemigrations")
    for name in ("settings", "by_variable", "by_option"):
        blog.write(f"{name}.py", f"DATABASES = {{'default': 'sqlite:///{name}.db'}}\nINSTALLED_APPS = ['blog']\n")
    show = "print(dorm.settings.database('default').name)"
    variable = {"DORM_SETTINGS": "by_variable"}
    assert blog.ok("shell", "-c", show) == "settings.db\n"
    assert blog.ok("shell", "-c", show, env=variable) == "by_variable.db\n"
    assert blog.ok("shell", "-c", show, env={"DORM_SETTINGS_MODULE": "by_variable"}) == "by_variable.db\n"
    assert blog.ok("shell", "-c", show, "--settings", "by_option", env=variable) == "by_option.db\n"
    for named in ("a/b.py", "no.such"):
        ran = blog.run("migrate", env={"DORM_SETTINGS": named})
        assert (ran.code, len(ran.err.splitlines()), named in ran.err) == (2, 1, True)
