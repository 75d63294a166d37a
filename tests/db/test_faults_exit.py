"""The end of a process that left pools, blocks, streams and loops open: it says nothing and keeps nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.models import Author

pytestmark = pytest.mark.usefixtures("database")

ROOT = Path(__file__).parent.parent.parent

_PROLOGUE = """
import asyncio, contextvars, json, os, signal, sys, threading, time
import dorm
from dorm.db.connection import get_async_connection, get_connection
from tests.support.models import Author
dorm.configure(DATABASES={"default": json.loads(sys.argv[1])})
connection, aconnection = get_connection(), get_async_connection()
rows = "SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3"
"""
_LEFT_OPEN = """
block = dorm.atomic()
block.__enter__()
Author.objects.create(name="never")
stream = connection.execute_streaming(rows, None, 1)
next(stream)

def hold():
    with dorm.atomic(read_only=True):
        Author.objects.count()
        held.set()
        time.sleep(600)

held = threading.Event()
threading.Thread(target=hold, daemon=True).start()
held.wait(30)

async def left():
    global astream
    astream = aconnection.execute_streaming(rows, None, 1)
    await anext(astream)
    async with dorm.atomic(read_only=True):
        await Author.objects.acount()
        entered.set()
        await asyncio.sleep(600)

entered = asyncio.Event()
loop = asyncio.new_event_loop()
task = loop.create_task(left(), context=contextvars.Context())
loop.run_until_complete(entered.wait())
print("open")
"""
_EXITS = """
async def main():
    stream = aconnection.execute_streaming(rows, None, 1)
    await anext(stream)
    async with dorm.atomic():
        await Author.objects.acreate(name="never")
        print("open", flush=True)
        sys.exit(3)

asyncio.run(main())
"""
_INTERRUPTED = """
slow = {"sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"}
async def main():
    async with dorm.atomic():
        await Author.objects.acreate(name="never")
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        await aconnection.execute(slow.get(connection.vendor, "SELECT pg_sleep(600)"))

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("open", flush=True)
    sys.exit(3)
"""


@pytest.mark.parametrize(
    ("text", "code"), [(_LEFT_OPEN, 0), (_EXITS, 3), (_INTERRUPTED, 3)], ids=["left open", "sys.exit", "Ctrl-C"]
)
def test_a_process_that_ends(text: str, code: int, database: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", _PROLOGUE + text, json.dumps(database)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("open\n", "", code)
    # What it held is free, and nothing of its open blocks is there.
    assert Author.objects.count() == 0
    Author.objects.create(name="after")
