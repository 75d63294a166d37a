"""PostgreSQL through a proxy: how many trips things take, and what cuts, half-closes and black holes do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import DeadlineExceeded, IntegrityError, OperationalError, TransactionManagementError
from tests.support.faces import Face
from tests.support.models import Author, Publisher
from tests.support.proxy import Proxy

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.parametrize("backend", ["postgresql"], indirect=True),
]


@pytest.fixture
def proxy(database: dict[str, Any]) -> Iterator[Proxy]:
    """The test's database, two milliseconds away."""
    with Proxy(database["URL"], latency=0.001) as made:
        dorm.configure(DATABASES={"default": {**database, "URL": made.url, "POOL_TIMEOUT": 5.0}}, RETRY_BACKOFF=0.01)
        yield made
        made.silent = False


async def sql(face: Face, text: str) -> Any:
    return await get_async_connection().execute(text) if face.is_async else get_connection().execute(text)


class Trips:
    """Counts the round trips of a block."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def __enter__(self) -> Trips:
        self._before = self._proxy.trips
        return self

    def __exit__(self, *exc: object) -> None:
        self.number = self._proxy.trips - self._before


async def warmed_up(face: Face) -> None:
    """Open the connection and let it find out how far the server is."""
    async with face.atomic():
        await face(Author.objects.count)()
    for _ in range(6):
        await face(Author.objects.count)()


async def test_trips(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    with Trips(proxy) as single:
        await face(Author.objects.create)(name="a")
    assert single.number == 1
    with Trips(proxy) as empty:
        async with face.atomic():
            pass
    assert empty.number == 0
    with Trips(proxy) as one:
        async with face.atomic():
            await face(Author.objects.create)(name="b")
    assert one.number == 2
    with Trips(proxy) as nested:
        async with face.atomic():
            async with face.atomic():
                await face(Author.objects.create)(name="c")
    assert nested.number == 2
    with Trips(proxy) as limited:
        async with face.atomic():
            with dorm.deadline(5):
                await face(Author.objects.create)(name="d")
    assert limited.number == 2
    with Trips(proxy) as two_levels:
        async with face.atomic():
            await face(Author.objects.create)(name="e")
            async with face.atomic():
                await face(Author.objects.create)(name="f")
            await face(Author.objects.create)(name="g")
    assert two_levels.number == 4
    assert await face(Author.objects.count)() == 7


# -- rules of the pipeline ---------------------------------------------------------------------------------------


async def test_the_statements_own_error_is_raised(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    await face(Publisher.objects.create)(name="one")
    with pytest.raises(IntegrityError) as caught:
        async with face.atomic():
            await face(Publisher.objects.create)(name="one")
    assert caught.value.sqlstate == "23505"
    with pytest.raises(dorm.ProgrammingError, match="nope"):
        async with face.atomic():
            await sql(face, "SELECT nope")
    assert dorm.pool_stats()["in_use"] == 0
    assert await face(Publisher.objects.count)() == 1


async def test_a_savepoint_that_rode_with_a_failing_statement(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    await face(Publisher.objects.create)(name="one")
    async with face.atomic():
        await face(Author.objects.create)(name="before")
        with pytest.raises(IntegrityError):
            async with face.atomic():
                await face(Publisher.objects.create)(name="one")
        await face(Author.objects.create)(name="after")
    assert await face(Author.objects.count)() == 2
    async with face.atomic():
        with pytest.raises(IntegrityError):
            async with face.atomic():
                await face(Publisher.objects.create)(name="one")
        await face(Author.objects.create)(name="first of all")
    assert await face(Author.objects.count)() == 3


async def test_rows_that_ride_are_the_statements(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    await face(Author.objects.bulk_create)([Author(name=f"{number}") for number in range(5)])
    async with face.atomic():
        assert len(await face.rows(Author.objects.all())) == 5
    async with face.atomic():
        assert await face(Author.objects.filter(name__lt="3").update)(age=4) == 3
    async with face.atomic(isolation="serializable", read_only=True):
        assert (await sql(face, "SHOW transaction_isolation"))[0][0] == "serializable"
        assert (await sql(face, "SHOW transaction_read_only"))[0][0] == "on"


async def test_what_cannot_ride_begins_first(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    with pytest.raises(ZeroDivisionError):
        async with face.atomic():
            if face.is_async:
                await get_async_connection().copy_from("library_author", ["name", "email"], [("a", "e")])
            else:
                get_connection().copy_from("library_author", ["name", "email"], [("a", "e")])
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        async with face.atomic():
            if face.is_async:
                await get_async_connection().execute_script("DELETE FROM library_author; SELECT 1")
            else:
                get_connection().execute_script("DELETE FROM library_author; SELECT 1")
            raise ZeroDivisionError
    async with face.atomic():
        assert await face.stream(Author.objects.all(), chunk_size=2) == []
    assert await face(Author.objects.count)() == 0


async def test_a_ride_that_is_cancelled(proxy: Proxy) -> None:
    face = Face("async")
    await warmed_up(face)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            async with transaction.aatomic():
                await get_async_connection().execute("SELECT pg_sleep(20)")
    assert dorm.pool_stats()["in_use"] == 0
    assert await Author.objects.acount() == 0


async def test_a_cancellation_while_commit_is_on_the_wire(proxy: Proxy) -> None:
    face = Face("async")
    await warmed_up(face)
    seen: list[str] = []
    proxy.latency = 0.1

    async def work() -> None:
        async with transaction.aatomic():
            await Author.objects.acreate(name="a")
            await transaction.aon_commit(lambda: seen.append("committed"))
            asyncio.get_running_loop().call_later(0.05, task.cancel)

    task = asyncio.ensure_future(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    proxy.latency = 0
    # COMMIT was sent, so its outcome was waited for, and what hangs on it was called.
    assert await Author.objects.acount() == 1
    assert seen == ["committed"]


# -- faults ------------------------------------------------------------------------------------------------------


async def test_a_cut_between_statements(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    proxy.cut()
    assert await face(Author.objects.count)() == 0
    proxy.cut()
    async with face.atomic():
        await face(Author.objects.create)(name="a")
    assert await face(Author.objects.count)() == 1
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_cut_in_the_middle_of_a_block(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    with pytest.raises((OperationalError, TransactionManagementError)):
        async with face.atomic():
            await face(Author.objects.create)(name="a")
            proxy.cut()
            await face(Author.objects.create)(name="b")
    assert await face(Author.objects.count)() == 0


async def test_a_half_closed_connection(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    proxy.half_close()
    time.sleep(0.05)
    assert await face(Author.objects.count)() == 0
    await face(Author.objects.create)(name="a")
    assert await face(Author.objects.count)() == 1


@pytest.mark.slow
async def test_a_black_hole_ends_at_the_deadline(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    proxy.silent = True
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        with dorm.deadline(0.5):
            await face(Author.objects.count)()
    assert time.monotonic() - start < 15
    proxy.silent = False
    proxy.cut()
    assert await face(Author.objects.count)() == 0
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_server_that_refuses_for_a_moment(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    proxy.refuses = True
    proxy.cut()
    with pytest.raises(OperationalError):
        await face(Author.objects.count)()
    proxy.refuses = False
    assert await face(Author.objects.count)() == 0
