"""Pools that are closed or waited for: what was held goes back to where it came from, and nobody waits in vain."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from psycopg_pool.pool_async import WaitingClient

import dorm
from dorm import transaction
from dorm.db.connection import close_all, close_all_async, reset_connections
from tests.support.faces import Face
from tests.support.models import Author

pytestmark = pytest.mark.usefixtures("database")

on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def narrow(database: dict[str, Any], connections: int) -> None:
    dorm.configure(DATABASES={"default": {**database, "MAX_POOL_SIZE": connections}})


async def test_a_pool_that_is_closed_within_a_block(face: Face, backend: str, database: dict[str, Any]) -> None:
    if backend == "postgresql":
        narrow(database, 1)
    for number in range(3):
        async with face.atomic():
            await face(Author.objects.create)(name=f"{number}")
            await close_all_async() if face.is_async else close_all()
            await face(Author.objects.create)(name=f"{number} too")
        # One connection is all there is: the permit of the block came back.
        assert await face(Author.objects.count)() == 2 * number + 2
        assert dorm.pool_stats()["in_use"] == 0
        assert dorm.pool_stats()["requests_waiting"] == 0


@on_postgresql
@pytest.mark.parametrize("close", [close_all, reset_connections])
def test_threads_that_wait_for_a_pool_that_is_closed(close: Any, database: dict[str, Any]) -> None:
    narrow(database, 1)
    entered, leave = threading.Event(), threading.Event()
    found: list[object] = []

    def hold() -> None:
        with transaction.atomic():
            Author.objects.create(name="held")
            entered.set()
            leave.wait(60)

    def wait() -> None:
        try:
            found.append(Author.objects.count())
        except dorm.DatabaseError as exc:
            found.append(exc)

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert entered.wait(60)
    threads += [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads[1:]:
        thread.start()
    while dorm.pool_stats()["requests_waiting"] < 3:
        time.sleep(0.01)
    close()
    leave.set()
    for thread in threads:
        thread.join(60)
    assert found == [1, 1, 1]
    assert Author.objects.count() == 1
    assert dorm.pool_stats()["in_use"] == 0


@on_postgresql
async def test_tasks_that_wait_for_a_pool_that_is_closed(database: dict[str, Any]) -> None:
    narrow(database, 1)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="held")
            entered.set()
            await leave.wait()

    holder = asyncio.create_task(hold())
    await entered.wait()
    waiting = [asyncio.create_task(Author.objects.acount()) for _ in range(3)]
    while dorm.pool_stats()["requests_waiting"] < 3:
        await asyncio.sleep(0.01)
    await close_all_async()
    leave.set()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*waiting) == [1, 1, 1]
        await holder
        assert await Author.objects.acount() == 1
    assert dorm.pool_stats()["in_use"] == 0


@on_postgresql
async def test_tasks_that_are_cancelled_while_they_wait(database: dict[str, Any]) -> None:
    """Those before, at and after the moment in which a connection is handed to them."""
    narrow(database, 2)

    async def hold() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="held")
            await asyncio.sleep(0.01)

    for turn in range(12):
        holders = [asyncio.create_task(hold()) for _ in range(2)]
        await asyncio.sleep(0.005)
        waiting = [asyncio.create_task(Author.objects.acount()) for _ in range(20)]
        await asyncio.sleep(0.002 * turn)
        for task in waiting[::2]:
            task.cancel()
        async with asyncio.timeout(60):
            found = await asyncio.gather(*holders, *waiting, return_exceptions=True)
        assert all(each is None or isinstance(each, (int, asyncio.CancelledError)) for each in found)
        assert all(isinstance(each, int) for each in found[3::2])
    stats = dorm.pool_stats()
    assert (stats["in_use"], stats["requests_waiting"]) == (0, 0)
    # No permit is lost: two blocks fit side by side, and a third one waits for them.
    async with asyncio.timeout(60):
        await asyncio.gather(*[hold() for _ in range(6)])


@on_postgresql
@pytest.mark.parametrize("turns", range(12))
async def test_a_cancellation_that_arrives_with_a_new_connection_is_seen(
    turns: int, monkeypatch: pytest.MonkeyPatch, database: dict[str, Any]
) -> None:
    """The library waits with `asyncio.wait_for`, which in Python 3.11 forgets one that comes with the answer."""
    await close_all_async()

    async def work() -> None:
        async with transaction.aatomic():
            await Author.objects.acreate(name="a")
            await asyncio.sleep(600)

    task = asyncio.ensure_future(work())
    loop = asyncio.get_running_loop()
    handed_over = WaitingClient.set

    def cancel_in(number: int) -> None:
        if number:
            loop.call_soon(cancel_in, number - 1)
        else:
            task.cancel()

    async def cancelled_as_well(client: Any, connection: Any) -> bool:
        accepted = await handed_over(client, connection)
        cancel_in(turns)
        return accepted

    monkeypatch.setattr(WaitingClient, "set", cancelled_as_well)
    await asyncio.wait([task], timeout=30)
    monkeypatch.undo()
    # One that was forgotten leaves the task asleep in its block.
    assert task.cancelled()
    assert await Author.objects.acount() == 0
    assert dorm.pool_stats()["in_use"] == 0
