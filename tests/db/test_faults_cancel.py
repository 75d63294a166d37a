"""A task that is cancelled at any await, a thread that is interrupted at any request: nothing is left open."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.db import operation
from dorm.db.lease import Acquire
from dorm.db.request import OpenCursor
from tests.support.models import Author, Book, Publisher
from tests.support.servers import busy_sessions

pytestmark = pytest.mark.usefixtures("database")

Work = Callable[[], Awaitable[Any]]


async def save() -> None:
    author = Author(name="new")
    await author.asave()
    author.name = "changed"
    await author.asave()


async def atomic() -> None:
    async with transaction.aatomic():
        await Author.objects.acreate(name="outer")
        async with transaction.aatomic():
            await Author.objects.acreate(name="inner")
        await Author.objects.acount()


async def iterator() -> None:
    async for author in Author.objects.order_by("pk").aiterator(chunk_size=2):
        assert author.name


async def bulk_create() -> None:
    await Author.objects.abulk_create([Author(name=f"bulk {number}") for number in range(5)], batch_size=2)


async def prefetch() -> None:
    async for author in Author.objects.prefetch_related("books").order_by("pk"):
        assert author.name


async def get_or_create() -> None:
    await Publisher.objects.aget_or_create(name="p")
    await Author.objects.aupdate_or_create(name="p", defaults={"age": 3})


async def delete() -> None:
    await Author.objects.filter(name__startswith="seed").adelete()


WORK = [save, atomic, iterator, bulk_create, prefetch, delete]
if hasattr(Publisher.objects, "aget_or_create"):
    WORK.append(get_or_create)


async def cancelled_after(work: Work, turns: int) -> bool:
    """Run *work*, cancel it after so many turns of the loop; True when it was done before."""
    task = asyncio.ensure_future(work())
    for _ in range(turns):
        await asyncio.sleep(0)
        if task.done():
            break
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.wait({task}, timeout=60)
    assert task.done()
    assert task.cancelled() or task.exception() is None
    return False


async def check_nothing_is_open(database: dict[str, Any], backend: str) -> None:
    assert dorm.pool_stats()["in_use"] == 0
    assert not dorm.connections["default"].in_block
    if backend == "postgresql":
        for _ in range(200):
            # The loop has generators to close meanwhile.
            if not busy_sessions(database["URL"], 0.0):
                break
            await asyncio.sleep(0.01)
        assert busy_sessions(database["URL"]) == []
    else:
        # Nobody holds the writer's place or a lock of the file.
        async with asyncio.timeout(60):
            await Publisher.objects.acreate(name=f"free {time.monotonic_ns()}")


@pytest.mark.parametrize("work", WORK, ids=lambda work: str(work.__name__))
async def test_cancelled_at_every_await(work: Work, database: dict[str, Any], backend: str) -> None:
    dorm.configure(DATABASES={"default": {**database, "MAX_POOL_SIZE": 3} if backend == "postgresql" else database})
    for number in range(5):
        author = await Author.objects.acreate(name=f"seed {number}")
        await Book.objects.acreate(title="t", author=author)
    turns, done = 0, False
    while not done:
        turns += 1 if turns < 25 else 7
        done = await cancelled_after(work, turns)
        await check_nothing_is_open(database, backend)
        assert turns < 3000
    names = [row.name async for row in Author.objects.all()]
    assert ("inner" in names) <= ("outer" in names)
    # More than the pool holds, so that a leaked permit would be seen.
    async with asyncio.timeout(60):
        await asyncio.gather(*[Author.objects.acount() for _ in range(6)])


class _Interrupts:
    """A blocking io that raises KeyboardInterrupt instead of performing request number *at*, or after it."""

    def __init__(self, at: int, after: bool) -> None:
        self.at = at
        self.after = after
        self.number = 0

    def perform(self, request: Any, /) -> Any:
        self.number += 1
        # What hands something over (a lease, a cursor) cannot be interrupted between doing it and saying so.
        hands_over = self.after and isinstance(request, (Acquire, OpenCursor))
        self.number -= hands_over
        hit = self.number == self.at and not hands_over
        if hit and not self.after:
            raise KeyboardInterrupt
        reply = request.perform()
        if hit:
            raise KeyboardInterrupt
        return reply


def _blocking_save() -> None:
    Author(name="new").save()


def _blocking_atomic() -> None:
    with transaction.atomic():
        Author.objects.create(name="outer")
        with transaction.atomic():
            Author.objects.create(name="inner")


def _blocking_bulk() -> None:
    Author.objects.bulk_create([Author(name=f"bulk {number}") for number in range(5)], batch_size=2)


def _blocking_iterator() -> None:
    assert list(Author.objects.iterator(chunk_size=2))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("work", [_blocking_save, _blocking_atomic, _blocking_bulk, _blocking_iterator])
def test_interrupted_at_every_request(
    work: Callable[[], None], after: bool, backend: str, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Author.objects.create(name="seed")
    count = Author.objects.count()
    for at in range(1, 60):
        io = _Interrupts(at, after)
        with monkeypatch.context() as patch:
            patch.setattr(operation, "BLOCKING", io)
            try:
                work()
            except KeyboardInterrupt:
                pass
            else:
                break
        database_ = dorm.connections["default"]
        assert not database_.in_block, at
        assert dorm.pool_stats()["in_use"] == 0, at
        Author.objects.create(name="still works")
        if backend == "postgresql":
            assert busy_sessions(database["URL"]) == []
    else:
        raise AssertionError("the work has more requests than was thought")
    assert Author.objects.count() >= count


def test_the_callbacks_of_a_block_interrupted_at_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before COMMIT is begun, on a connection whose last transaction was committed."""
    for at in range(1, 60):
        Author.objects.create(name="before")
        with transaction.atomic():
            Author.objects.create(name="before")
        count, told = Author.objects.count(), list[str]()
        with monkeypatch.context() as patch:
            patch.setattr(operation, "BLOCKING", _Interrupts(at, after=False))
            try:
                with transaction.atomic():
                    transaction.on_commit(lambda told=told: told.append("committed"))
                    transaction.on_rollback(lambda told=told: told.append("rolled back"))
                    Author.objects.create(name="new")
            except KeyboardInterrupt:
                pass
            else:
                break
        if told:
            assert told == ["committed" if Author.objects.count() > count else "rolled back"], at
    else:
        raise AssertionError("the work has more requests than was thought")


def test_an_interrupt_between_two_statements_rolls_back() -> None:
    with pytest.raises(KeyboardInterrupt):
        with transaction.atomic():
            Author.objects.create(name="a")
            raise KeyboardInterrupt
    assert not Author.objects.exists()


async def test_a_closed_coroutine_leaves_nothing() -> None:
    async def work() -> None:
        async with transaction.aatomic():
            await Author.objects.acreate(name="a")
            await asyncio.sleep(30)

    task = asyncio.ensure_future(work())
    for _ in range(300):
        await asyncio.sleep(0.001)
        if dorm.pool_stats()["in_use"]:
            break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Author.objects.acount() == 0
    assert dorm.pool_stats()["in_use"] == 0


_INTERRUPTED = """
import json, os, signal, sys, threading
import dorm
settings, slow = json.loads(sys.argv[1])
dorm.configure(DATABASES={"default": settings})
connection = dorm.get_connection()
try:
    with dorm.atomic():
        connection.execute_write("INSERT INTO library_publisher (name) VALUES (%s)", ["inside"])
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        connection.execute(slow)
except KeyboardInterrupt:
    rows = connection.execute("SELECT count(*) FROM library_publisher")
    print("interrupted", rows[0][0], dorm.pool_stats()["in_use"])
"""
_SLOW = {
    "postgresql": "SELECT pg_sleep(60)",
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 9e9) SELECT max(x) FROM n",
}


def test_ctrl_c_ends_the_statement_that_runs(database: dict[str, Any], backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _INTERRUPTED, json.dumps([database, _SLOW[backend]])],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted 0 0\n", "", 0)
    if backend == "postgresql":
        assert busy_sessions(database["URL"]) == []
