"""``dorm doctor`` beyond single findings: its output, its exit codes, what it leaves alone, checks from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dorm.cli import checks
from tests.support.cli import Scratch

CLEAN = "DEBUG = True"


def plug_in(scratch: Scratch, group: str, name: str, source: str) -> None:
    """Make a package that is installed as far as the entry points go, with one of them."""
    scratch.write("extra.py", source)
    scratch.write("extra-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    scratch.write("extra-1.0.dist-info/entry_points.txt", f"[{group}]\n{name} = extra:{name}\n")


def test_a_clean_project_is_clear(blog: Scratch) -> None:
    blog.settings(more=CLEAN)
    ran = blog.run("doctor")
    assert (ran.code, ran.out, ran.err) == (0, "dorm doctor — 0 warning(s), 0 note(s)\nAll clear.\n", "")
    assert json.loads(blog.ok("doctor", "--format", "json")) == {"warnings": [], "notes": []}


def test_without_settings_of_their_own_projects_have_one_note(blog: Scratch) -> None:
    ran = blog.run("doctor")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "dorm doctor — 0 warning(s), 1 note(s)")
    assert re.search(r"^notes:\n  · D425 sql_allowlist is not active", ran.out, re.MULTILINE)
    assert "start-up code installs is not seen here" in ran.out
    assert blog.run("doctor", "--strict").code == 1


def test_warnings_come_first_each_with_its_code(blog: Scratch) -> None:
    blog.settings(more="DEBUG_NPLUSONE = True\nPOOL_SATURATION_WARN = True")
    ran = blog.run("doctor")
    lines = ran.out.splitlines()
    assert (ran.code, lines[:2]) == (1, ["dorm doctor — 2 warning(s), 1 note(s)", "warnings:"])
    assert lines[4] == "notes:"
    assert all(re.match(r"  [!·] D\d{3} ", line) for line in [*lines[2:4], *lines[5:]])
    assert "DEBUG_NPLUSONE is active outside DEBUG" in ran.out


def test_an_ascii_terminal_is_spared_other_characters(blog: Scratch) -> None:
    ran = blog.run("doctor", env={"PYTHONIOENCODING": "ascii"})
    assert ran.out.startswith("dorm doctor - 0 warning(s), 1 note(s)\nnotes:\n  | D425")


@pytest.mark.parametrize(
    ("settings", "code", "phrase"),
    [
        ("SLOW_QUERY_EXPLAIN = True\nSLOW_QUERY_MS = None", "D422", "SLOW_QUERY_EXPLAIN=True"),
        ("SLOW_QUERY_EXPLAIN = True\nSLOW_QUERY_MS = 99.9", "D422", "SLOW_QUERY_EXPLAIN=True"),
        ("SLOW_QUERY_EXPLAIN = True\nSLOW_QUERY_MS = 100", None, ""),
        ("SLOW_QUERY_EXPLAIN = True\nSLOW_QUERY_MS = 1\nDEBUG = True", None, ""),
        ("POOL_SATURATION_WARN = 0", "D423", "POOL_SATURATION_WARN"),
        ("POOL_SATURATION_WARN = 'x'", "D423", "POOL_SATURATION_WARN"),
        ("POOL_SATURATION_WARN = float('nan')", "D423", "POOL_SATURATION_WARN"),
        ("POOL_SATURATION_WARN = None", None, ""),
        ("DEBUG_NPLUSONE_THRESHOLD = 0", "D427", "DEBUG_NPLUSONE_THRESHOLD"),
        ("DEBUG_NPLUSONE_THRESHOLD = 'many'", "D427", "DEBUG_NPLUSONE_THRESHOLD"),
        ("DEBUG_NPLUSONE = 7", "D427", "DEBUG_NPLUSONE"),
        ("DEBUG_NPLUSONE = True\nDEBUG = True", None, ""),
        ("class R:\n    cooldown_seconds = 0\nDATABASE_ROUTERS = [R]", "D424", "R has cooldown_seconds=0"),
        ("DATABASE_ROUTERS = ['replicas.Router']", "D424", "Router has cooldown_seconds=0"),
        ("import replicas\nDATABASE_ROUTERS = [replicas.Around()]", "D424", "Router has cooldown_seconds=0"),
        ("DATABASE_ROUTERS = 'replicas.Router'", "D428", "DATABASE_ROUTERS"),
        ("DATABASES = ['sqlite:///x.db']", "D428", "DATABASES"),
        ("DATABASES = {'default': 7}", "D428", "DATABASES['default']"),
        ("DATABASES = {'default': {'ENGINE': 'oracle', 'NAME': 'x'}}", "D412", "no backend"),
        ("SQL_ALLOWLIST = {'path': 'x.txt', 'allow_ddl': True}", "D426", "allows DDL"),
        ("DATABASE_ROUTERS = ['nowhere.Router']", "D424", "'nowhere.Router', which cannot be imported"),
        ("DATABASE_ROUTERS = ['replicas.Nothing']", "D424", "'replicas.Nothing', which cannot be imported"),
        ("STORAGES = {'default': {'BACKEND': 'nowhere.Storage'}}", "D408", "which cannot be imported"),
        ("STORAGES = {'default': {'BACKEND': 'dorm.storage.FileSystemStorage'}}", None, ""),
        ("DATABASES = {'default': {'ENGINE': 'postgresql', 'HOST': 'localhost,db.example.com'}}", "D403", "db.example"),
        ("DATABASES = {'default': {'ENGINE': 'postgresql', 'OPTIONS': {'host': '10.0.0.5'}}}", "D403", "to 10.0.0.5"),
        ("DATABASES = {'default': {'ENGINE': 'postgresql', 'HOST': '127.0.0.5'}}", None, ""),
        ("DATABASES = {'default': {'ENGINE': 'postgresql', 'HOST': '/run/postgresql'}}", None, ""),
        ("DATABASES = {'default': 'postgresql://db.example.com/x?sslmode=require'}", None, ""),
        ("SQL_ALLOWLIST = {'path': 'x.txt', 'allow_ddl': True}\nDEBUG = True", None, ""),
    ],
)
def test_values_are_judged(blog: Scratch, settings: str, code: str | None, phrase: str) -> None:
    blog.write(
        "replicas.py",
        """
        from dorm.contrib.lag_router import LagAwareReadRouter

        class Router(LagAwareReadRouter):
            cooldown_seconds = 0

            def __init__(self):
                super().__init__(replicas=["default"])
                self.cooldown_seconds = 0

        class Around:
            inner = Router()
        """,
    )
    blog.settings(more=settings)
    ran = blog.run("doctor", "--json")
    assert "Traceback" not in ran.err
    found = json.loads(ran.out)["warnings"]
    assert [each["code"] for each in found] == ([code] if code else [])
    assert phrase in "".join(each["message"] for each in found)
    assert all(each["hint"] for each in found)
    assert ran.code == (1 if code else 0)


def test_the_environment_counts_as_settings_do(blog: Scratch) -> None:
    ran = blog.run("doctor", env={"DORM_SLOW_QUERY_EXPLAIN": "yes", "DORM_SLOW_QUERY_MS": "10"})
    assert (ran.code, "D422" in ran.out) == (1, True)
    assert blog.run("doctor", env={"DORM_SLOW_QUERY_EXPLAIN": "no", "DORM_SLOW_QUERY_MS": "10"}).code == 0
    blog.settings("postgresql://u:p@db.example.com/x", more=CLEAN)
    assert "D403" in blog.run("doctor").out
    assert "All clear" in blog.ok("doctor", env={"PGSSLMODE": "verify-full"})


def test_a_database_that_cannot_be_reached_changes_nothing_unless_asked(blog: Scratch) -> None:
    url = "postgresql://u:p@127.0.0.1:1/shop_dev"
    blog.settings(url, more=CLEAN)
    assert blog.ok("doctor").endswith("All clear.\n")
    ran = blog.run("doctor", "--connect")
    assert (ran.code, "D420" in ran.out) == (1, True)


def test_nothing_is_installed_by_looking(blog: Scratch) -> None:
    blog.settings(more="DEBUG_NPLUSONE = 'raise'\nDEBUG = True")
    blog.write(
        "look.py",
        """
        from dorm.cli.main import main
        from dorm.db.hooks import chain
        try:
            main(["doctor"])
        except SystemExit as exc:
            assert exc.code in (0, None), exc.code
        assert not any(chain._entries.values()), chain._entries
        """,
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "look.py"], cwd=blog.folder, env=blog._environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_wrong_use_and_what_cannot_be_loaded_exit_with_two(blog: Scratch) -> None:
    ran = blog.run("doctor", "--format", "yaml")
    assert (ran.code, "'text', 'json'" in ran.err) == (2, True)
    ran = blog.run("doctor", "--ignore", "D999")
    assert (ran.code, "D421" in ran.err) == (2, True)
    blog.write("blog/models.py", "import nothing_of_that_name\n")
    ran = blog.run("doctor")
    assert (ran.code, ran.out, "nothing_of_that_name" in ran.err) == (2, "", True)
    assert blog.run("doctor", "--settings", "no.such").code == 2


def test_checks_come_from_other_packages_and_one_that_fails_is_seen(blog: Scratch) -> None:
    blog.settings(more=CLEAN)
    plug_in(
        blog,
        "dorm.checks",
        "audit",
        """
        from dorm.cli.checks import Finding

        def audit(settings):
            yield Finding("X001", "note", f"DEBUG is {settings.DEBUG}.", "Fine.")
            raise RuntimeError("oh")
        """,
    )
    ran = blog.run("doctor")
    assert (ran.code, "! audit check audit failed: RuntimeError: oh" in ran.out) == (1, True)
    assert "X001 DEBUG is True. Fine." in ran.out
    assert blog.ok("doctor", "--ignore", "audit", "--ignore", "X001").endswith("All clear.\n")


def test_the_page_has_every_code() -> None:
    page = (Path(__file__).parent.parent.parent / "docs/cli/doctor.md").read_text()
    assert [code for code in checks.codes() if code not in page] == []
