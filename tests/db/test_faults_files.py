"""SQLite's file and the disk below it: another process keeps it too long, the system takes no more."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import apsw
import pytest

import dorm
from dorm.db.connection import get_connection
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
