"""Databases that may only be read: what looks works, what writes says so in one line and with exit code 1."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence

import psycopg
import pytest

from tests.contrib.test_replica import cluster  # noqa: F401  # a fixture
from tests.support.cli import Scratch

TAG = "\nclass Tag(dorm.Model):\n    name = dorm.SlugField()\n"


def as_nobody_special() -> Sequence[str]:
    """Return what goes before a command that is to obey the permissions of files, which root does not."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everything, and setpriv is not installed")
    without = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"]


def waits_for_a_migration(project: Scratch) -> None:
    """Let a project have one migration that is applied and one that is not."""
    project.ok("makemigrations")
    project.ok("migrate")
    path = project.folder / "blog/models.py"
    path.write_text(path.read_text() + TAG)
    project.ok("makemigrations")


def looks_and_writes(project: Scratch, said: str, under: Sequence[str] = ()) -> None:
    """Check that all that only looks works, and that what writes fails with *said* in its one line."""
    ran = project.run("migrate", "--check", under=under)
    assert (ran.code, ran.out, ran.err) == (1, "blog.0002_tag\n", "")
    ran = project.run("showmigrations", under=under)
    assert (ran.code, ran.out, ran.err) == (0, "blog\n [X] 0001_initial\n [ ] 0002_tag\n", "")
    ran = project.run("migrate", "--plan", under=under)
    assert (ran.code, 'CREATE TABLE "blog_tag"' in ran.out, ran.err) == (0, True, "")
    for arguments in (("doctor", "--connect"), ("sqlmigrate", "blog", "2"), ("inspectdb",), ("dumpdata", "blog.Post")):
        ran = project.run(*arguments, under=under)
        assert (ran.code, ran.err) == (0, ""), arguments
    for arguments in (("migrate",), ("migrate", "blog", "zero"), ("migrate", "--fake"), ("flush", "--noinput")):
        ran = project.run(*arguments, under=under)
        assert (ran.code, len(ran.err.splitlines())) == (1, 1), (arguments, ran.err)
        assert said in ran.err
    assert project.run("showmigrations", under=under).out == "blog\n [X] 0001_initial\n [ ] 0002_tag\n"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of files are those of POSIX")
@pytest.mark.parametrize("what", ["file", "folder", "both"])
def test_permissions_of_the_file_and_its_folder(blog: Scratch, what: str) -> None:
    blog.settings("sqlite:///data/db.sqlite3")
    folder = blog.folder / "data"
    folder.mkdir()
    waits_for_a_migration(blog)
    under = as_nobody_special()
    if what in ("file", "both"):
        (folder / "db.sqlite3").chmod(0o444)
    if what in ("folder", "both"):
        folder.chmod(0o555)
    try:
        if what != "file":
            # To read a file with a log SQLite makes one, unless it is told that nobody writes.
            for arguments in (("showmigrations",), ("migrate", "--check"), ("migrate",), ("flush", "--noinput")):
                ran = blog.run(*arguments, under=under)
                assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1), ran.err
                assert "immutable=1 reads without a log" in ran.err or "may this process write there" in ran.err
            blog.settings(more="DATABASES = {'default': {'NAME': 'file:data/db.sqlite3?immutable=1'}}")
        looks_and_writes(blog, "may this process write the file and its folder", under)
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("query", ["mode=ro", "immutable=1"])
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_name_that_says_so(blog: Scratch, query: str, journal: str) -> None:
    waits_for_a_migration(blog)
    with sqlite3.connect(blog.folder / "db.sqlite3") as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    blog.settings(more=f"DATABASES = {{'default': {{'ENGINE': 'sqlite', 'NAME': 'file:db.sqlite3?{query}'}}}}")
    looks_and_writes(blog, "With mode=ro or immutable=1 in NAME it may not")
    assert not list(blog.folder.glob("file:*"))
    both = """
with transaction.atomic():
    print(Author.objects.count())
async with transaction.atomic():
    print(await Author.objects.acount())
"""
    assert blog.ok("shell", "-c", both) == "0\n0\n"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of files are those of POSIX")
def test_files_that_cannot_be_made_are_told_with_their_place(blog: Scratch) -> None:
    blog.settings("sqlite:///data/db.sqlite3")
    folder = blog.folder / "data"
    ran = blog.run("showmigrations")
    assert (ran.code, len(ran.err.splitlines()), "'data/db.sqlite3'" in ran.err) == (1, 1, True)
    assert "does its folder exist" in ran.err
    blog.ok("makemigrations")
    migrations = blog.folder / "blog/migrations"
    under = as_nobody_special()
    folder.mkdir()
    for each in (folder, migrations):
        each.chmod(0o555)
    try:
        ran = blog.run("migrate", under=under)
        assert (ran.code, len(ran.err.splitlines()), "may this process write there" in ran.err) == (1, 1, True)
        ran = blog.run("makemigrations", "--empty", "blog", under=under)
        assert (ran.code, len(ran.err.splitlines()), str(migrations) in ran.err) == (1, 1, True)
    finally:
        for each in (folder, migrations):
            each.chmod(0o755)


PRIMARY = "Send it to the primary, in a session that may write"


@pytest.fixture
def reader(postgresql_database: str) -> Iterator[str]:
    """The address of an empty database; that its sessions only read is taken back at the end."""
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        name = postgresql_database.rpartition("/")[2]
        yield postgresql_database
        connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')


def test_a_server_whose_sessions_only_read(blog: Scratch, reader: str) -> None:
    blog.settings(reader)
    with psycopg.connect(reader, autocommit=True) as connection:
        waits_for_a_migration(blog)
        name = reader.rpartition("/")[2]
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    looks_and_writes(blog, PRIMARY)


@pytest.mark.slow
def test_a_hot_standby(blog: Scratch, cluster: object) -> None:  # noqa: F811  # the fixture
    from tests.contrib.test_replica import Cluster

    assert isinstance(cluster, Cluster)
    blog.settings(cluster.url("primary"))
    waits_for_a_migration(blog)
    written = cluster.execute("primary", "SELECT pg_current_wal_lsn()")[0][0]
    blog.settings(cluster.url("replica"))
    for _ in range(600):
        (row,) = cluster.execute("replica", f"SELECT pg_last_wal_replay_lsn() >= '{written}'")
        if row[0]:
            break
        time.sleep(0.1)
    looks_and_writes(blog, PRIMARY)


def test_databases_in_memory_have_one_name(blog: Scratch) -> None:
    for name in ("file::memory:?cache=shared", "file:x?mode=memory", "file:/x?vfs=memdb"):
        blog.settings(more=f"DATABASES = {{'default': {{'ENGINE': 'sqlite', 'NAME': {name!r}}}}}")
        ran = blog.run("showmigrations")
        assert (ran.code, len(ran.err.splitlines()), "NAME ':memory:' is one that they share" in ran.err) == (
            2,
            1,
            True,
        )
