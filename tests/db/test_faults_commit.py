"""What breaks while COMMIT is on its way, or right after it: the outcome is the one that the callbacks are told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import IntegrityError
from tests.support.faces import Face
from tests.support.models import Author, Book

pytestmark = pytest.mark.usefixtures("database")

_SLOW_COMMIT = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(1); IF NEW.name = 'refused' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON library_publisher DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow();
"""
"""COMMIT takes a second, and refuses one name."""

_PROLOGUE = """
import json, os, signal, sys, threading, time
import dorm
from dorm import transaction
settings, name, how_often = json.loads(sys.argv[1])
dorm.configure(DATABASES={"default": settings})
connection = dorm.get_connection()
told = []

def interrupt():
    for _ in range(how_often):
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

def commits():
    with dorm.atomic():
        connection.execute_write("INSERT INTO library_publisher (name) VALUES (%s)", [name])
        transaction.on_commit(lambda: told.append("committed"))
        transaction.on_rollback(lambda: told.append("rolled back"))
        threading.Thread(target=interrupt).start()
"""
_POSTGRESQL = """
pid = connection.execute("SELECT pg_backend_pid()")[0][0]
try:
    commits()
except KeyboardInterrupt as error:
    told.append(" ".join(["interrupted", *getattr(error, "__notes__", [])]))
if how_often > 1:
    connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
rows = connection.execute("SELECT count(*) FROM library_publisher")[0][0]
print(*told, rows, dorm.pool_stats()["in_use"], sep="; ")
"""
_SQLITE = """
import apsw
reader = apsw.Connection(settings["NAME"])
reader.execute("BEGIN")
reader.execute("SELECT count(*) FROM library_publisher").fetchall()

def leave():
    time.sleep(0.8)
    reader.close(True)

threading.Thread(target=leave).start()
try:
    commits()
except KeyboardInterrupt:
    told.append("interrupted")
rows = connection.execute("SELECT count(*) FROM library_publisher")[0][0]
print(*told, rows, dorm.pool_stats()["in_use"], sep="; ")
"""


def interrupted(text: str, *arguments: Any) -> str:
    """Run *text* in a process that gets Ctrl-C while it commits; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROLOGUE + text, json.dumps(arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.strip()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("name", "how_often", "expected"),
    [
        ("kept", 1, "committed; interrupted; 1; 0"),
        (
            "refused",
            1,
            "rolled back; interrupted COMMIT failed (IntegrityError): the transaction was rolled ",
        ),
        ("kept", 2, "rolled back; interrupted The connection was given up during COMMIT: whether the transaction "),
    ],
    ids=["commits", "is refused", "twice"],
)
def test_ctrl_c_while_commit_runs(database: dict[str, Any], name: str, how_often: int, expected: str) -> None:
    """The server is not told to cancel it; a second Ctrl-C does not wait any longer."""
    get_connection().execute_script(_SLOW_COMMIT)
    assert interrupted(_POSTGRESQL, database, name, how_often).startswith(expected)


_RIDES = """
from dorm.db.backends.postgresql.session import SessionState
SessionState.is_far = property(lambda self: self.rides, lambda self, value: None)
for turn in range(2):
    threading.Thread(target=interrupt).start()
    try:
        with dorm.atomic():
            with dorm.atomic():
                transaction.on_rollback(lambda: told.append("rolled back"))
                connection.execute("SELECT pg_sleep(60)")
    except KeyboardInterrupt:
        told.append("interrupted")
    with dorm.atomic():
        connection.execute_write("INSERT INTO library_publisher (name) VALUES (%s)", [f"{turn}"])
rows = connection.execute("SELECT count(*) FROM library_publisher")[0][0]
print(*told, rows, dorm.pool_stats()["in_use"], sep="; ")
"""


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_ctrl_c_while_a_block_rides_with_its_first_statement(database: dict[str, Any]) -> None:
    told = "rolled back; interrupted; " * 2
    assert interrupted(_RIDES, database, "", 1) == f"{told}2; 0"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_ctrl_c_while_commit_waits_for_a_reader(database: dict[str, Any]) -> None:
    get_connection().execute("PRAGMA journal_mode = DELETE")
    settings = {**database, "OPTIONS": {"journal_mode": "DELETE", "timeout": 30}}
    assert interrupted(_SQLITE, settings, "kept", 1) == "committed; interrupted; 1; 0"


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("name", "expected"), [("kept", ["committed"]), ("refused", ["rolled back"])])
async def test_a_task_cancelled_while_commit_runs(name: str, expected: list[str]) -> None:
    """It is cancelled in any case, also where COMMIT fails."""
    get_connection().execute_script(_SLOW_COMMIT)
    seen: list[str] = []

    async def work() -> None:
        async with transaction.atomic():
            await get_async_connection().execute("INSERT INTO library_publisher (name) VALUES (%s)", [name])
            await transaction.aon_commit(lambda: seen.append("committed"))
            await transaction.aon_rollback(lambda: seen.append("rolled back"))
            asyncio.get_running_loop().call_later(0.2, task.cancel)

    task = asyncio.ensure_future(work())
    await asyncio.wait({task})
    assert task.cancelled()
    assert seen == expected
    rows = await get_async_connection().execute("SELECT count(*) FROM library_publisher")
    assert rows[0][0] == int(name == "kept")
    assert dorm.pool_stats()["in_use"] == 0


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, asyncio.CancelledError])
async def test_what_a_callback_raises_leaves_nothing_open(face: Face, error: type[BaseException]) -> None:
    later: list[str] = []

    def fail() -> None:
        raise error

    with pytest.raises(error):
        async with face.atomic():
            await face(Author.objects.create)(name="kept")
            await face(transaction.on_commit)(fail)
            await face(transaction.on_commit)(lambda: later.append("not called"))
    assert later == []
    assert dorm.pool_stats()["in_use"] == 0
    assert not dorm.connections["default"].in_block
    assert await face(Author.objects.count)() == 1
    await face(Author.objects.create)(name="next")


async def test_after_a_failed_commit_by_hand_nothing_is_on_its_own(face: Face) -> None:
    await face(transaction.set_autocommit)(False)
    try:
        await face(Book.objects.create)(title="t", author_id=404)
        with pytest.raises(IntegrityError):
            await face(transaction.commit)()
        await face(Author.objects.create)(name="undone")
        await face(transaction.rollback)()
        assert await face(Author.objects.count)() == 0
        await face(Author.objects.create)(name="kept")
        await face(transaction.commit)()
    finally:
        await face(transaction.set_autocommit)(True)
    assert [row.name for row in await face.rows(Author.objects.all())] == ["kept"]
    assert dorm.pool_stats()["in_use"] == 0
