"""SQLite's file and the disk below it: another process keeps it too long, the system takes no more."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

import dorm
from dorm.db.backends.sqlite import driver
from dorm.db.connection import close_all, get_connection
from dorm.exceptions import OperationalError
from tests.support.faces import Face
from tests.support.models import Author

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.parametrize("backend", ["sqlite"], indirect=True)]


async def test_another_process_keeps_the_file_for_longer_than_the_timeout(face: Face, database: dict[str, Any]) -> None:
    dorm.configure(
        DATABASES={"default": {**database, "OPTIONS": {"timeout": 0.1, "synchronous": "OFF"}}},
        RETRY_ATTEMPTS=2,
        RETRY_BACKOFF=0.01,
    )
    await face(Author.objects.create)(name="before")
    other = apsw.Connection(database["NAME"])
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(OperationalError, match="longer than the busy timeout") as caught:
            await face(Author.objects.create)(name="never")
        assert caught.value.retryable
        with pytest.raises(OperationalError, match="longer than the busy timeout"):
            async with face.atomic():
                await face(Author.objects.create)(name="never")
        # Who reads waits for nobody.
        assert await face(Author.objects.count)() == 1
        assert len(await face.stream(Author.objects.all(), chunk_size=1)) == 1
        async with face.atomic(read_only=True):
            assert await face(Author.objects.count)() == 1
    finally:
        other.execute("ROLLBACK")
        other.close()
    await face(Author.objects.create)(name="after")
    assert await face(Author.objects.count)() == 2
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_file_that_is_replaced(face: Face, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written goes to the file that has the name, never into the removed one."""
    monkeypatch.setattr(driver, "_LOOK", 0.0)
    close_all()
    dorm.configure(RETRY_BACKOFF=0.001)
    name = Path(database["NAME"])
    await face(Author.objects.create)(name="former")
    get_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = name.with_name("copy.db")
    shutil.copy(name, copy)
    for turn in range(3):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{name}{suffix}").unlink(missing_ok=True)
        shutil.copy(copy, name)
        if turn == 1:
            with pytest.raises(OperationalError, match="was moved, removed or replaced") as caught:
                async with face.atomic():
                    await face(Author.objects.create)(name="run again")
            assert caught.value.retryable
        else:
            await face(Author.objects.create)(name="alone")
        async with face.atomic():
            await face(Author.objects.create)(name="in a block")
        with apsw.Connection(str(name)) as other:
            found = {row[0] for row in other.execute("SELECT name FROM library_author")}
        assert found == {"former", "in a block"} | ({"alone"} if turn != 1 else set())
        assert {row.name for row in await face.rows(Author.objects.all())} == found
        assert dorm.pool_stats()["in_use"] == 0
    for suffix in ("", "-wal", "-shm"):
        Path(f"{name}{suffix}").unlink(missing_ok=True)
    with pytest.raises(dorm.DatabaseError, match="does not exist"):
        await face(Author.objects.create)(name="nowhere")


_LIMITED = """
import asyncio, json, os, resource, signal, sys
import dorm
from tests.support.models import Author
settings, is_async = json.loads(sys.argv[1])
dorm.configure(DATABASES={"default": settings})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = os.path.getsize(settings["NAME"]) + 200_000
resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
acknowledged = 0

def work():
    global acknowledged
    while True:
        with dorm.atomic():
            for number in range(20):
                Author.objects.create(name="x" * 90)
        acknowledged += 20

async def awork():
    global acknowledged
    while True:
        async with dorm.atomic():
            for number in range(20):
                await Author.objects.acreate(name="x" * 90)
        acknowledged += 20

async def acounts():
    try:
        await awork()
    except dorm.OperationalError as error:
        print(type(error).__name__, await Author.objects.acount() - acknowledged, dorm.pool_stats()["in_use"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await Author.objects.acreate(name="after")

if is_async:
    asyncio.run(acounts())
else:
    try:
        work()
    except dorm.OperationalError as error:
        print(type(error).__name__, Author.objects.count() - acknowledged, dorm.pool_stats()["in_use"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    Author.objects.create(name="after")
print(acknowledged > 0, Author.objects.filter(name="after").count())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
def test_the_system_refuses_to_write_on(face: Face, database: dict[str, Any]) -> None:
    """Not SQLite says that there is no room, but the system, in the middle of a write to the log."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _LIMITED, json.dumps([database, face.is_async])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == "OperationalError 0 0\nTrue 1\n"
    assert get_connection().execute("PRAGMA integrity_check")[0][0] == "ok"
