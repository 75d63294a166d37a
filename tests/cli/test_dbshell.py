"""``dorm dbshell``: which client is run with what, and that no password stands among the arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Scratch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the clients here are shell scripts")

CLIENT = """#!/bin/sh
echo "$(basename $0) $*"
env | grep -E '^(PG|MYSQL_)' | sort
exit 5
"""


@pytest.fixture
def clients(blog: Scratch) -> dict[str, str]:
    """Clients that say what they were given, and the PATH on which they stand."""
    for name in ("psql", "mysql", "sqlite3"):
        blog.write(f"bin/{name}", CLIENT).chmod(0o755)
    return {"PATH": f"{blog.folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"}


@pytest.mark.parametrize(
    ("settings", "printed"),
    [
        (
            "postgresql://ann:s%2Fcret@db.example.com:6432/shop?sslmode=require",
            ["psql -U ann -h db.example.com -p 6432 shop -c x", "PGPASSWORD=s/cret", "PGSSLMODE=require"],
        ),
        (
            {"ENGINE": "postgresql", "NAME": "shop", "OPTIONS": {"user": "bob", "dbname": "other", "service": "s"}},
            ["psql -U bob -h localhost -p 5432 other -c x", "PGSERVICE=s"],
        ),
        ({"ENGINE": "postgresql", "NAME": ""}, ["psql -h localhost -p 5432 postgres -c x"]),
        ("sqlite:///shop.db", ["sqlite3 shop.db -c x"]),
        (
            "mysql://ann:secret@db.example.com/shop",
            ["mysql --user=ann --host=db.example.com --port=3306 shop -c x", "MYSQL_PWD=secret"],
        ),
    ],
    ids=["url", "options", "no name", "sqlite", "mysql"],
)
def test_the_client_gets_address_and_password(
    blog: Scratch, clients: dict[str, str], settings: Any, printed: list[str]
) -> None:
    blog.write("settings.py", f"DATABASES = {{'default': {settings!r}}}\nINSTALLED_APPS = []\n")
    ran = blog.run("dbshell", "--", "-c", "x", env=clients)
    assert (ran.code, ran.out.splitlines(), ran.err) == (5, printed, "")


def test_engines_without_a_client_and_clients_that_are_not_installed(blog: Scratch, tmp_path: Path) -> None:
    blog.write("settings.py", "DATABASES = {'default': {'ENGINE': 'duckdb', 'NAME': 'x.db'}}\nINSTALLED_APPS = []\n")
    ran = blog.run("dbshell")
    assert (ran.code, ran.err) == (2, "dbshell: there is no client for the engine 'duckdb'.\n")
    blog.settings()
    ran = blog.run("dbshell", env={"PATH": str(tmp_path / "nowhere")})
    assert (ran.code, "the client 'sqlite3' is not installed" in ran.err, len(ran.err.splitlines())) == (127, True, 1)
