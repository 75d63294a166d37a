"""Deadlines and budgets: what is cut short, what is told, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.budget import abudget, budget, check_rowcount, current
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import BudgetExceeded, DeadlineExceeded, OperationalError, TransactionManagementError
from tests.support.faces import Face
from tests.support.models import Author, Publisher
from tests.support.servers import busy_sessions

pytestmark = pytest.mark.usefixtures("database")

_SLOW = {
    "sqlite": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1e9) SELECT count(*) FROM c",
    "postgresql": "SELECT pg_sleep(30)",
}


@pytest.fixture
def slow(backend: str) -> str:
    """A statement that takes half a minute."""
    return _SLOW[backend]


async def sql(face: Face, text: str) -> Any:
    return await get_async_connection().execute(text) if face.is_async else get_connection().execute(text)


class took:
    """Check how long a block takes."""

    def __init__(self, most: float) -> None:
        self.most = most

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, *exc: object) -> None:
        assert time.monotonic() - self.start < self.most


def nothing_runs(database: dict[str, Any]) -> None:
    """Check that the server has nothing to do, and that no connection is in use."""
    assert dorm.pool_stats()["in_use"] == 0
    if "URL" in database:
        assert busy_sessions(database["URL"]) == []


async def test_a_statement_is_cancelled_at_the_deadline(face: Face, slow: str, database: dict[str, Any]) -> None:
    with took(20), pytest.raises(DeadlineExceeded) as caught:
        with dorm.deadline(0.2):
            await sql(face, slow)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, OperationalError)
    assert caught.value.alias == "default"
    nothing_runs(database)
    assert (await sql(face, "SELECT 1 AS a"))[0]["a"] == 1


async def test_a_deadline_that_passed_sends_nothing(face: Face) -> None:
    with dorm.deadline(0):
        assert dorm.deadline.remaining() == 0
        with pytest.raises(DeadlineExceeded):
            await face(Author.objects.count)()
        with pytest.raises(DeadlineExceeded):
            async with face.atomic():
                raise AssertionError("entered")
    assert dorm.deadline.remaining() is None
    assert await face(Author.objects.count)() == 0


async def test_the_inner_deadline_can_only_be_earlier(face: Face, slow: str) -> None:
    async with dorm.deadline(0.2):
        with dorm.deadline(50):
            left = dorm.deadline.remaining()
            assert left is not None
            assert left <= 0.2
            with took(20), pytest.raises(DeadlineExceeded):
                await sql(face, slow)
    with dorm.deadline(50):
        assert await face(Author.objects.count)() == 0
    with pytest.raises(ValueError, match="negative"):
        dorm.deadline(-1)


async def test_a_deadline_inside_a_block(face: Face, slow: str, database: dict[str, Any]) -> None:
    with took(20), pytest.raises(DeadlineExceeded):
        async with face.atomic():
            await face(Author.objects.create)(name="a")
            with dorm.deadline(0.3):
                assert await face(Author.objects.count)() == 1
                await sql(face, slow)
    nothing_runs(database)
    assert await face(Author.objects.count)() == 0


async def test_a_deadline_around_a_block(face: Face, slow: str, database: dict[str, Any]) -> None:
    with took(20), pytest.raises(DeadlineExceeded):
        with dorm.deadline(0.3):
            async with face.atomic():
                await face(Author.objects.create)(name="a")
                await sql(face, slow)
    nothing_runs(database)
    assert await face(Author.objects.count)() == 0


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_the_servers_limit_ends_with_the_deadline(face: Face) -> None:
    async def limit() -> str:
        return str((await sql(face, "SHOW statement_timeout"))[0][0])

    async with face.atomic():
        assert await limit() == "0"
        with dorm.deadline(5):
            assert await limit() == "5s"
            async with face.atomic():
                with dorm.deadline(2):
                    assert await limit() == "2s"
        assert await limit() == "0"
        with pytest.raises(ZeroDivisionError):
            async with face.atomic():
                with dorm.deadline(5):
                    assert await limit() == "5s"
                raise ZeroDivisionError
        assert await limit() == "0"
    assert await limit() == "0"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_an_interrupted_write_on_sqlite_rolls_the_block_back(face: Face, slow: str) -> None:
    async with face.atomic():
        await face(Author.objects.create)(name="a")
        write = f"INSERT INTO library_author (name, email) {slow.replace('count(*)', 'x, x')}"
        with pytest.raises(DeadlineExceeded):
            with dorm.deadline(0.2):
                await sql(face, write)
        with pytest.raises(TransactionManagementError, match="rolled"):
            await face(Author.objects.create)(name="b")
    assert await face(Author.objects.count)() == 0


async def test_the_wait_for_a_connection_obeys(face: Face, database: dict[str, Any], backend: str) -> None:
    if backend == "sqlite":
        options = {**database, "OPTIONS": {**database["OPTIONS"], "timeout": 30}}
    else:
        options = {**database, "MAX_POOL_SIZE": 1}
    dorm.configure(DATABASES={"default": options})
    held = asyncio.Event() if face.is_async else None
    if held is None:
        entered, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with transaction.atomic():
                Author.objects.create(name="held")
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        entered.wait(10)
        try:
            with took(20), pytest.raises(DeadlineExceeded):
                with dorm.deadline(0.2):
                    Author.objects.create(name="waits")
        finally:
            leave.set()
            thread.join()
        return

    async def ahold() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="held")
            held.set()
            await asyncio.sleep(10)

    task = asyncio.create_task(ahold())
    await held.wait()
    with took(20), pytest.raises(DeadlineExceeded):
        with dorm.deadline(0.2):
            await Author.objects.acreate(name="waits")
    task.cancel()
    await asyncio.wait({task})
    assert await Author.objects.acount() == 0


async def test_a_task_that_is_cancelled_stops_the_statement(slow: str, database: dict[str, Any]) -> None:
    task = asyncio.create_task(get_async_connection().execute(slow))
    await asyncio.sleep(0.2)
    task.cancel()
    with took(20), pytest.raises(asyncio.CancelledError):
        await task
    nothing_runs(database)


async def test_asyncio_timeout_stops_the_statement(slow: str, database: dict[str, Any]) -> None:
    with took(20), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await get_async_connection().execute(slow)
    nothing_runs(database)
    with took(20), pytest.raises(TimeoutError):
        async with transaction.atomic():
            await Author.objects.acreate(name="a")
            async with asyncio.timeout(0.2):
                await get_async_connection().execute(slow)
    nothing_runs(database)
    assert await Author.objects.acount() == 0


async def test_health_check_has_a_time_limit(face: Face) -> None:
    answer = await face(dorm.health_check)(timeout=0)
    assert answer["status"] == "error"
    assert "deadline" in answer["error"]
    answer = await face(dorm.health_check)("default", 5.0, True)
    assert answer["status"] == "ok"
    assert answer["pool"]["alias"] == "default"
    assert (await face(dorm.health_check)("nothing"))["status"] == "error"


# -- budgets -----------------------------------------------------------------------------------------------------


async def test_a_statement_over_its_time(face: Face, slow: str, database: dict[str, Any]) -> None:
    with took(20), pytest.raises(BudgetExceeded, match="budget of 200 ms") as caught:
        if face.is_async:
            async with abudget(timeout_ms=200):
                await sql(face, slow)
        else:
            with budget(timeout_ms=200):
                await sql(face, slow)
    assert isinstance(caught.value, dorm.DatabaseError)
    nothing_runs(database)


async def test_a_statement_with_too_many_rows(face: Face) -> None:
    await face(Author.objects.bulk_create)([Author(name=f"{number}") for number in range(5)])
    with dorm.budget.budget(max_rows=3) as found:
        assert found.max_rows == 3
        assert len(await face.rows(Author.objects.all()[:3])) == 3
        with pytest.raises(BudgetExceeded, match="5 rows, more than its budget of 3"):
            await face.rows(Author.objects.all())
        with pytest.raises(BudgetExceeded):
            await sql(face, "SELECT * FROM library_author")
        with pytest.raises(BudgetExceeded):
            await face.rows(Author.objects.values_list("name"))
        check_rowcount(3)
        with pytest.raises(BudgetExceeded):
            check_rowcount(4)
    assert len(await face.rows(Author.objects.all())) == 5
    check_rowcount(100)


async def test_nested_budgets_take_the_strictest(face: Face, backend: str) -> None:
    assert current() is None
    async with (
        budget(timeout_ms=5000, max_rows=10) if face.is_async else _entered(budget(timeout_ms=5000, max_rows=10))
    ):
        outer = current()
        assert outer is not None
        assert (outer.timeout_ms, outer.max_rows) == (5000, 10)
        async with (
            budget(timeout_ms=9000, max_rows=2) if face.is_async else _entered(budget(timeout_ms=9000, max_rows=2))
        ):
            inner = current()
            assert inner is not None
            assert (inner.timeout_ms, inner.max_rows) == (5000, 2)
            if backend == "postgresql":
                assert (await sql(face, "SHOW statement_timeout"))[0][0] == "5s"
        assert current() == outer
        assert current("other") is None
    assert current() is None
    for options in ({"timeout_ms": 0}, {"max_rows": -1}):
        with pytest.raises(ValueError, match="takes a"):
            budget(**options)  # type: ignore[arg-type]


class _entered:
    """A blocking context manager for ``async with`` in the blocking face."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aenter__(self) -> Any:
        return self._inner.__enter__()

    async def __aexit__(self, *exc: Any) -> Any:
        return self._inner.__exit__(*exc)


async def test_without_limits_nothing_is_paid(face: Face) -> None:
    from dorm.db.hooks import chain

    with budget(max_rows=1):
        assert chain.active
    assert not chain.active
    assert await face(Author.objects.count)() == 0


async def test_streams_obey_between_their_chunks(face: Face) -> None:
    await face(Author.objects.bulk_create)([Author(name=f"{number}") for number in range(30)])
    with budget(max_rows=20):
        with pytest.raises(BudgetExceeded):
            await face.stream(Author.objects.all(), chunk_size=10)
        assert len(await face.stream(Author.objects.all()[:20], chunk_size=10)) == 20
    with dorm.deadline(30):
        assert len(await face.stream(Author.objects.all(), chunk_size=10)) == 30
    with pytest.raises(DeadlineExceeded):
        with dorm.deadline(0.3):
            if face.is_async:
                async for _ in Author.objects.aiterator(chunk_size=1):
                    await asyncio.sleep(0.05)
            else:
                for _ in Author.objects.iterator(chunk_size=1):
                    time.sleep(0.05)
    assert dorm.pool_stats()["in_use"] == 0


@pytest.mark.parametrize("within", [False, True], ids=["alone", "in a block"])
@pytest.mark.parametrize("kind", ["stream", "copy"])
async def test_what_a_stream_waits_for_is_cancelled(
    face: Face, kind: str, within: bool, slow: str, database: dict[str, Any], backend: str
) -> None:
    if kind == "copy" and backend == "sqlite":
        pytest.skip("SQLite has no COPY")
    handle: Any = get_async_connection() if face.is_async else get_connection()

    async def read() -> None:
        rows = handle.copy_to(slow) if kind == "copy" else handle.execute_streaming(slow)
        if face.is_async:
            await anext(rows)
        else:
            next(rows)

    with took(20), pytest.raises(DeadlineExceeded) as caught:
        with dorm.deadline(0.3):
            if within:
                async with face.atomic():
                    await face(Author.objects.create)(name="a")
                    await read()
            else:
                await read()
    assert caught.value.alias == "default"
    nothing_runs(database)
    with took(20), pytest.raises(BudgetExceeded, match="budget of 200 ms"):
        async with abudget(timeout_ms=200) if face.is_async else _entered(budget(timeout_ms=200)):
            await read()
    nothing_runs(database)
    assert await face(Author.objects.count)() == 0


def test_many_deadlines_at_once_each_end_their_own_statement(slow: str, database: dict[str, Any]) -> None:
    """One thread watches over all of them; what has none, or a later one, goes on."""
    ended: list[object] = []

    def work(seconds: float) -> None:
        for _ in range(2):
            with dorm.deadline(30):
                assert Author.objects.count() == 0
            try:
                with dorm.deadline(seconds):
                    get_connection().execute(slow)
            except DeadlineExceeded:
                ended.append(seconds)

    threads = [threading.Thread(target=work, args=(0.1 + number / 20,)) for number in range(8)]
    with took(40):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(ended) == 16
    nothing_runs(database)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_deadline_that_passes_when_the_statement_is_done(database: dict[str, Any]) -> None:
    """SQLite does not look once more whether it was interrupted: the write is done, its connection is given up."""

    def slow() -> str:
        time.sleep(0.5)
        return "slow"

    with pytest.raises(DeadlineExceeded):
        with transaction.atomic():
            block = dorm.connections["default"].current_block("sync")
            assert block is not None
            block.connection._db.create_scalar_function("slow", slow)  # type: ignore[union-attr]
            with dorm.deadline(0.1):
                get_connection().execute_write("INSERT INTO library_publisher (name) VALUES (slow())")
    assert dorm.pool_stats()["in_use"] == 0
    assert not Publisher.objects.exists()
    Publisher.objects.create(name="still works")


async def test_a_stream_on_a_pinned_connection(face: Face) -> None:
    await face(Author.objects.bulk_create)([Author(name=f"{number}") for number in range(5)])
    if face.is_async:
        async with get_async_connection().pin():
            assert len(await face.stream(Author.objects.all(), chunk_size=2)) == 5
    else:
        with get_connection().pin():
            assert len(await face.stream(Author.objects.all(), chunk_size=2)) == 5
