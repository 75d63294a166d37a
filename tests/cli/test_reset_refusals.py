"""Which databases ``dorm reset`` empties at once, asks about, or refuses: nothing is connected to before that."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.cli.test_reset import ROWS, SHOP
from tests.support.cli import Scratch
from tests.support.servers import postgresql_url

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals are opened as POSIX has them")


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A port of this machine at which nobody may knock."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    ("name", "host", "debug", "reasons"),
    [
        ("inventory", "db.example.com", False, ("DEBUG is off", "'inventory'", "'db.example.com'")),
        ("device_inventory", "10.0.0.5", False, ("'device_inventory' says neither test nor dev", "'10.0.0.5'")),
        ("prod", "localhost", False, ("DEBUG is off", "'prod'")),
        ("latest", "", False, ("'latest'",)),
        ("shop_dev", "db.example.com", True, ("'db.example.com' is not this machine",)),
        ("shop_dev", "localhost,10.0.0.5", True, ("'localhost, 10.0.0.5'",)),
    ],
)
def test_a_refusal_gives_each_reason_and_connects_to_nothing(
    blog: Scratch, trap: socket.socket, name: str, host: str, debug: bool, reasons: tuple[str, ...]
) -> None:
    port = trap.getsockname()[1]
    config = {"ENGINE": "postgresql", "NAME": name, "HOST": host, "PORT": port, "USER": "u"}
    blog.write("settings.py", f"DEBUG = {debug}\nDATABASES = {{'default': {config!r}}}\nINSTALLED_APPS = ['blog']\n")
    for arguments in ([], ["--noinput"], ["--drop-schema"]):
        ran = blog.run("reset", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("Refusing to reset 'default': ")
        assert "--force" in ran.err
        assert [reason for reason in reasons if reason not in ran.err] == []


@pytest.mark.parametrize(
    ("options", "env", "reason"),
    [
        ({"host": "db.example.com"}, {}, "db.example.com"),
        ({"hostaddr": "10.0.0.5", "host": "localhost"}, {}, "10.0.0.5"),
        ({"service": "shop"}, {}, "service file"),
        ({"dbname": "prod"}, {}, "'prod' says neither"),
        ({}, {"PGHOSTADDR": "10.0.0.5"}, "10.0.0.5"),
        ({}, {"PGSERVICE": "shop"}, "service file"),
    ],
)
def test_where_a_connection_goes_is_told_from_every_form(
    blog: Scratch, trap: socket.socket, options: dict[str, str], env: dict[str, str], reason: str
) -> None:
    url = f"postgresql://u:p@localhost:{trap.getsockname()[1]}/shop_dev"
    blog.settings(more=f"DATABASES = {{'default': {{'URL': {url!r}, 'OPTIONS': {options!r}}}}}")
    ran = blog.run("reset", env=env)
    assert ran.code == 2
    assert reason in ran.err


def test_the_name_may_stand_in_the_environment(blog: Scratch, trap: socket.socket) -> None:
    config = {"ENGINE": "postgresql", "HOST": "localhost", "PORT": trap.getsockname()[1]}
    blog.settings(more=f"DATABASES = {{'default': {config!r}}}")
    assert "'prod' says neither" in blog.run("reset", env={"PGDATABASE": "prod"}).err


@pytest.fixture
def inventory(blog: Scratch) -> Iterator[Scratch]:
    """Two apps with a row each on a server of this machine; neither DEBUG nor the name says that it may be emptied."""
    server = postgresql_url()
    if server is None:
        pytest.skip("PostgreSQL is neither running nor installed")
    with psycopg.connect(server, autocommit=True) as connection:
        name = sql.Identifier("inventory_of_dorm")
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        blog.settings(f"{server.rpartition('/')[0]}/inventory_of_dorm", "['blog', 'shop']")
        blog.app("shop", SHOP)
        blog.ok("makemigrations")
        blog.ok("migrate")
        blog.write("fill.py", ROWS)
        blog.write("count.py", "from shop.models import Order\nprint(Order.objects.count())")
        blog.ok("runscript", "fill.py")
        yield blog
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_somebody_on_a_terminal_types_the_name(inventory: Scratch) -> None:
    def rows() -> str:
        return inventory.ok("runscript", "count.py").strip()

    assert inventory.run("reset", stdin="inventory_of_dorm\n").code == 2  # not a terminal
    for forced in ([], ["--force"]):
        ran = inventory.on_terminal("reset", *forced, typed="inventory\n")
        assert (ran.code, ran.out, "Aborted" in ran.err) == (1, "", True)
        assert "Every row of 'inventory_of_dorm' will be lost" in ran.err
    assert inventory.on_terminal("reset", "--noinput").code == 2
    assert rows() == "1"
    ran = inventory.on_terminal("reset", typed="inventory_of_dorm\n")
    assert (ran.code, "Reset 'default': 2 undone, 2 applied." in ran.out) == (0, True)
    assert rows() == "0"
    assert inventory.on_terminal("reset", "--force", "--noinput").code == 0
    assert inventory.run("reset", "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--app", "blug"), "Did you mean 'blog'? Apps: blog"),
        (("--database", "other"), "there is no database 'other' in DATABASES. Aliases: default"),
        (("--settings", "nothing"), "no settings module 'nothing'"),
    ],
)
def test_wrong_use_exits_with_two(blog: Scratch, arguments: tuple[str, ...], said: str) -> None:
    blog.ok("makemigrations")
    ran = blog.run("reset", *arguments)
    assert (ran.code, ran.out, said in ran.err) == (2, "", True), ran.err


def test_without_databases_it_names_the_alias(blog: Scratch) -> None:
    for text in ("DEBUG = True\n", "DATABASES = {}\n"):
        blog.write("settings.py", text)
        ran = blog.run("reset")
        assert (ran.code, "'default'" in ran.err, len(ran.err.splitlines())) == (2, True, 1)


def test_another_alias_and_tables_to_which_rows_are_only_added(
    blog: Scratch, database_settings: dict[str, Any]
) -> None:
    databases = {"default": "sqlite:///db.sqlite3", "other": database_settings}
    blog.settings(more=f"DATABASES = {databases!r}")
    blog.ok("makemigrations")
    blog.write(
        "blog/migrations/0002_kept.py",
        "from dorm import migrations\n\ndependencies = [('blog', '0001_initial')]\n"
        "operations = [migrations.MakeTableAppendOnly('blog_author')]\n",
    )
    for alias in databases:
        blog.ok("migrate", "--database", alias)
        blog.ok("shell", "-c", f"Author.objects.using({alias!r}).create(name='Ann')")
    assert "Reset 'other': 2 undone, 2 applied." in blog.ok("reset", "--database", "other")
    counts = "print(*[Author.objects.using(alias).count() for alias in ('default', 'other')])"
    assert blog.ok("shell", "-c", counts) == "1 0\n"


def test_one_app_and_what_depends_on_it(blog: Scratch) -> None:
    blog.settings(apps="['blog', 'shop', 'alone']")
    blog.app("shop", SHOP)
    blog.app("alone", "class Note(dorm.Model):\n    text = dorm.TextField()\n")
    blog.ok("makemigrations")
    blog.ok("migrate")
    shown = blog.ok("reset", "--app", "blog")
    assert "Unapplying shop.0001_initial... OK\nUnapplying blog.0001_initial... OK\n" in shown
    assert "alone" not in shown
    assert "alone" in blog.ok("reset", "--app", "alone")
