"""Processes, loops and threads: fork, kill -9, asyncio.run, several loops at once, exhausted pools."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

import dorm
from dorm import transaction
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import TransactionManagementError
from tests.support.faces import Face
from tests.support.models import Author

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.usefixtures("database")

UNDER_LOAD = {"postgresql": 60.0, "sqlite": 8.0}
"""Seconds that the pool is used by all at once; writers of SQLite stand in one queue, so there is less to see."""


def in_child(work: Any) -> None:
    """Run *work* in a forked child and check that it was well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as exc:
            os.write(2, f"child: {type(exc).__name__}: {exc}\n".encode())
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def pid_of_server() -> int:
    return int(get_connection().execute("SELECT pg_backend_pid() AS pid")[0]["pid"])


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_makes_its_own_connections(backend: str) -> None:
    Author.objects.create(name="parent")
    before = pid_of_server() if backend == "postgresql" else 0

    def work() -> None:
        assert Author.objects.count() == 1
        with transaction.atomic():
            Author.objects.create(name="child")
        if backend == "postgresql":
            assert pid_of_server() != before
        assert dorm.pool_stats()["in_use"] == 0
        asyncio.run(_count(2))

    for _ in range(2):
        in_child(work)
        Author.objects.filter(name="child").delete()
    if backend == "postgresql":
        assert pid_of_server() == before
    assert Author.objects.count() == 1


async def _count(wanted: int) -> None:
    assert await Author.objects.acount() == wanted


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_may_not_use_the_parents_block() -> None:
    def work() -> None:
        with pytest.raises(TransactionManagementError, match="forked"):
            Author.objects.count()
        # A fresh context is the way out.
        contextvars.Context().run(lambda: Author.objects.count())

    with transaction.atomic():
        Author.objects.create(name="a")
        in_child(work)
        Author.objects.create(name="b")
    assert Author.objects.count() == 2


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_of_a_process_whose_threads_wait_for_connections() -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            Author.objects.count()

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            in_child(lambda: Author.objects.create(name="child"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert Author.objects.count() == 3


_WRITER = """
import asyncio, sys, dorm
from tests.support.models import Author
from dorm import transaction
dorm.configure(DATABASES={"default": {"ENGINE": "sqlite", "NAME": sys.argv[1]}})

def write(number):
    while True:
        with transaction.atomic():
            Author.objects.create(name=f"{number} a")
            Author.objects.create(name=f"{number} b")
        print(number, flush=True)
        number += 1

async def awrite(number):
    while True:
        async with transaction.atomic():
            await Author.objects.acreate(name=f"{number} a")
            await Author.objects.acreate(name=f"{number} b")
        print(number, flush=True)
        number += 1

number = int(sys.argv[2])
asyncio.run(awrite(number)) if sys.argv[3] == "async" else write(number)
"""


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_killed_writers_lose_nothing_that_was_acknowledged(face: Face, database: dict[str, Any]) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    acknowledged: list[str] = []
    for turn in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, database["NAME"], str(turn * 1_000_000), face.name],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert writer.stdout is not None
        for _ in range(3 + turn * 5):
            acknowledged.append(writer.stdout.readline().strip())
        time.sleep(0.003 * turn)
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        with apsw.Connection(database["NAME"]) as db:
            assert db.pragma("integrity_check") == "ok"
        names = set(Author.objects.values_list("name", flat=True))
        for number in acknowledged:
            assert {f"{number} a", f"{number} b"} <= names
        # Both or none: a transaction that was under way is gone as a whole.
        assert {name[:-2] for name in names if name.endswith("a")} == {name[:-2] for name in names if name[-1] == "b"}
        Author.objects.create(name="after a")
        Author.objects.create(name="after b")


def test_asyncio_run_ends_cleanly_with_open_pools(backend: str) -> None:
    async def work() -> None:
        await Author.objects.acreate(name="a")
        await asyncio.gather(*[Author.objects.acount() for _ in range(5)])

    for _ in range(3):
        start = time.monotonic()
        asyncio.run(work())
        assert time.monotonic() - start < 20
    assert Author.objects.count() == 3


def test_asyncio_run_ends_while_a_block_is_open() -> None:
    async def left_open() -> None:
        async with transaction.aatomic():
            await Author.objects.acreate(name="never")
            await asyncio.sleep(60)

    async def work() -> None:
        task = asyncio.create_task(left_open())
        while not dorm.pool_stats()["in_use"]:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        del task

    asyncio.run(work())
    assert Author.objects.count() == 0


def test_a_loop_that_is_closed_without_its_ends() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(Author.objects.acreate(name="a"))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()
    asyncio.run(_count(1))


def test_several_loops_in_several_threads() -> None:
    async def work(number: int) -> int:
        for turn in range(5):
            async with transaction.aatomic():
                await Author.objects.acreate(name=f"{number} {turn}")
            await asyncio.gather(*[Author.objects.acount() for _ in range(3)])
        return await Author.objects.filter(name__startswith=f"{number} ").acount()

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda number: asyncio.run(work(number)), range(6)))
    assert found == [5] * 6
    assert Author.objects.count() == 30
    assert dorm.pool_stats()["in_use"] == 0


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_threads_and_tasks_share_one_ceiling(database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**database, "MAX_POOL_SIZE": 4}})
    most: list[int] = []
    count = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"

    def thread(_: int) -> None:
        for _ in range(6):
            most.append(get_connection().execute(count)[0]["n"])

    async def task() -> None:
        for _ in range(3):
            most.append((await get_async_connection().execute(count))[0]["n"])

    async def tasks() -> None:
        await asyncio.gather(*[task() for _ in range(20)])

    with ThreadPoolExecutor(12) as pool:
        loops = [pool.submit(asyncio.run, tasks()) for _ in range(2)]
        list(pool.map(thread, range(10)))
        for loop in loops:
            loop.result(60)
    assert len(most) == 10 * 6 + 2 * 20 * 3
    assert 1 <= max(most) <= 4
    assert dorm.pool_stats()["in_use"] == 0
    assert dorm.pool_stats()["requests_waiting"] == 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_pool_of_ten_under_two_hundred_tasks_and_fifty_threads(backend: str) -> None:
    end = time.monotonic() + UNDER_LOAD[backend]
    done = {"threads": 0, "tasks": 0}
    lock = threading.Lock()

    def thread(number: int) -> None:
        while time.monotonic() < end:
            with transaction.atomic():
                Author.objects.create(name=f"thread {number}")
                assert Author.objects.filter(name=f"thread {number}").exists()
            with lock:
                done["threads"] += 1

    async def task(number: int) -> None:
        while time.monotonic() < end:
            async with transaction.aatomic():
                await Author.objects.acreate(name=f"task {number}")
            assert await Author.objects.filter(name=f"task {number}").aexists()
            done["tasks"] += 1

    async def tasks() -> None:
        async with asyncio.timeout(UNDER_LOAD[backend] + 60):
            await asyncio.gather(*[task(number) for number in range(200)])

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(50)]
    for each in threads:
        each.start()
    asyncio.run(tasks())
    for each in threads:
        each.join(60)
        assert not each.is_alive()
    assert Author.objects.count() == done["threads"] + done["tasks"]
    assert done["threads"] >= 50
    assert done["tasks"] >= 200
    assert dorm.pool_stats()["in_use"] == 0
