"""PostgreSQL through a proxy: how many trips things take, and what cuts, half-closes and black holes do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import dorm
from dorm import transaction
from dorm.db.connection import get_async_connection, get_connection
from dorm.db.request import blocking
from dorm.db.scope import set_search_path
from dorm.db.statement import Statement, Template
from dorm.exceptions import DeadlineExceeded, IntegrityError, OperationalError, TransactionManagementError
from tests.support.cluster import free_port
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


@pytest.fixture
def elsewhere(proxy: Proxy, database: dict[str, Any]) -> Iterator[None]:
    """Code sees another schema, which has its own table of authors."""
    before = set_search_path("default", ("elsewhere", "public"))
    yield
    set_search_path("default", before)
    with psycopg.connect(database["URL"], autocommit=True) as connection:
        connection.execute("DROP SCHEMA elsewhere CASCADE")


async def made_elsewhere(face: Face) -> None:
    """Make the other schema, open the connection and let it find out how far the server is."""
    before = set_search_path("default", None)
    await sql(face, "CREATE SCHEMA elsewhere")
    await sql(face, "CREATE TABLE elsewhere.library_author (LIKE library_author INCLUDING ALL)")
    await sql(face, "ALTER TABLE elsewhere.library_author ADD UNIQUE (age) DEFERRABLE INITIALLY DEFERRED")
    await warmed_up(face)
    set_search_path("default", before)


async def test_a_setting_and_its_one_statement_are_one_trip(face: Face, proxy: Proxy, elsewhere: None) -> None:
    """Only the trips are fewer: BEGIN, SET LOCAL, the statement and COMMIT are what they are one by one."""
    await made_elsewhere(face)
    with Trips(proxy) as written:
        author = await face(Author.objects.create)(name="a", age=1)
    with Trips(proxy) as read:
        assert [row.pk for row in await face.rows(Author.objects.all())] == [author.pk]
    with Trips(proxy) as changed:
        assert await face(Author.objects.filter(name="a").update)(age=2) == 1
    assert (written.number, read.number, changed.number) == (1, 1, 1)
    set_search_path("default", None)
    assert await face(Author.objects.count)() == 0
    assert (await sql(face, "SHOW search_path"))[0][0] == '"$user", public'
    assert (await sql(face, "SELECT count(*) FROM elsewhere.library_author"))[0][0] == 1


async def test_an_error_of_the_one_statement_or_of_its_commit(face: Face, proxy: Proxy, elsewhere: None) -> None:
    await made_elsewhere(face)
    first = await face(Author.objects.create)(name="a", age=1)
    with pytest.raises(IntegrityError, match="pkey"):
        await face(Author(pk=first.pk, name="b").save)(force_insert=True)
    with pytest.raises(IntegrityError, match="age"):
        # Found by COMMIT.
        await face(Author.objects.create)(name="c", age=1)
    assert await face(Author.objects.count)() == 1
    assert dorm.pool_stats()["pool_size"] == 1
    set_search_path("default", None)
    assert (await sql(face, "SHOW search_path"))[0][0] == '"$user", public'


async def test_what_may_not_run_in_a_transaction_gets_none(face: Face, proxy: Proxy, elsewhere: None) -> None:
    await made_elsewhere(face)
    await sql(face, "VACUUM library_author")
    await sql(face, "CREATE INDEX CONCURRENTLY there ON library_author (name)")
    async with face.atomic():
        # The pending BEGIN goes out first, so the server refuses it, as it would after an eager BEGIN.
        with pytest.raises(dorm.DatabaseError, match="cannot run inside a transaction block"):
            await sql(face, "CREATE INDEX CONCURRENTLY here ON library_author (name)")
        transaction.set_rollback(True) if not face.is_async else await transaction.aset_rollback(True)
    set_search_path("default", None)
    where = "SELECT schemaname FROM pg_indexes WHERE indexname IN ('there', 'here')"
    assert await sql(face, where) == [("elsewhere",)]


async def test_a_table_that_changed_under_the_one_statement(
    face: Face, proxy: Proxy, elsewhere: None, database: dict[str, Any]
) -> None:
    await made_elsewhere(face)
    await face(Author.objects.create)(name="a")
    for _ in range(7):
        # Often enough for the driver to prepare it.
        assert len(await face.rows(Author.objects.filter(name="a"))) == 1
    with psycopg.connect(database["URL"], autocommit=True) as other:
        other.execute("ALTER TABLE elsewhere.library_author ALTER COLUMN age TYPE bigint")
    assert len(await face.rows(Author.objects.filter(name="a"))) == 1


async def test_a_table_that_changed_before_a_block_went_on(face: Face, proxy: Proxy, database: dict[str, Any]) -> None:
    """What a transaction has done is lost with it, so only whoever wrote it can run it again, or `retry` for them."""
    await warmed_up(face)
    for _ in range(7):
        assert await face.rows(Author.objects.filter(name="a")) == []
    with psycopg.connect(database["URL"], autocommit=True) as other:
        other.execute("ALTER TABLE library_author ALTER COLUMN age TYPE bigint")
    with pytest.raises(OperationalError, match="altered since") as caught:
        async with face.atomic():
            await face.rows(Author.objects.filter(name="a"))
    assert caught.value.retryable
    async with face.atomic():
        assert await face.rows(Author.objects.filter(name="a")) == []


async def test_a_cut_under_the_one_statement(face: Face, proxy: Proxy, elsewhere: None) -> None:
    """A read is repeated, a write never: what became of its COMMIT is not known."""
    await made_elsewhere(face)
    proxy.cut()
    assert await face(Author.objects.count)() == 0
    for _ in range(6):
        await face(Author.objects.count)()
    proxy.cut()
    with pytest.raises(OperationalError) as caught:
        await face(Author.objects.create)(name="a")
    assert caught.value.connection_lost
    assert not caught.value.nothing_done
    assert await face(Author.objects.count)() == 0


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
    await face(Author.objects.create)(name="there before")
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
        assert len(await face.stream(Author.objects.all(), chunk_size=2)) == 1
    number = "SELECT pg_current_xact_id()::text AS number"
    handle: Any = get_async_connection() if face.is_async else get_connection()
    for read in (handle.execute_streaming, handle.copy_to):
        async with face.atomic():
            rows = read(number)
            first = [row async for row in rows] if face.is_async else list(rows)
            assert first == await sql(face, number)
    assert await face(Author.objects.count)() == 1


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
    assert time.monotonic() - start < 30
    proxy.silent = False
    proxy.cut()
    assert await face(Author.objects.count)() == 0
    assert dorm.pool_stats()["in_use"] == 0


@pytest.mark.slow
async def test_a_black_hole_within_a_block_ends_at_the_deadline(face: Face, proxy: Proxy) -> None:
    """There the server keeps the time, and this one does not answer any more."""
    await warmed_up(face)
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        async with face.atomic():
            await face(Author.objects.create)(name="a")
            proxy.silent = True
            with dorm.deadline(0.5):
                await face(Author.objects.count)()
    assert time.monotonic() - start < 40
    proxy.silent = False
    proxy.cut()
    assert await face(Author.objects.count)() == 0
    assert dorm.pool_stats()["in_use"] == 0


@pytest.mark.slow
def test_a_connection_that_is_given_up_while_the_deadline_asks_to_cancel(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that asks is not answered, finds no connection any more, and ends without a traceback."""
    failed: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    database = dorm.connections["default"]
    lease = database.acquire()
    connection = blocking(lease.connection)
    connection.query(Statement(Template("SELECT 1"), ()))
    proxy.silent = True
    asking = threading.Thread(target=connection.cancel)
    asking.start()
    asking.join(0.5)
    assert asking.is_alive()
    connection.abort()
    asking.join(30)
    proxy.silent = False
    database.release(lease)
    assert failed == []


async def test_retries_end_at_the_deadline(face: Face, proxy: Proxy, database: dict[str, Any]) -> None:
    nowhere = database["URL"].replace(":5432", f":{free_port()}")
    dorm.configure(
        DATABASES={"default": {**database, "URL": nowhere}, "near": {**database, "URL": proxy.url}},
        RETRY_ATTEMPTS=10_000,
        RETRY_BACKOFF=0.02,
    )
    start = time.monotonic()
    for enters in (False, True):
        with pytest.raises(DeadlineExceeded):
            with dorm.deadline(0.4):
                if enters:
                    async with face.atomic():
                        raise AssertionError("entered")
                await face(Author.objects.count)()
    assert 0.8 <= time.monotonic() - start < 40
    assert dorm.pool_stats()["in_use"] == 0
    assert await face(Author.objects.using("near").count)() == 0


async def test_a_cut_between_the_beginning_of_a_block_and_its_first_statement(face: Face, proxy: Proxy) -> None:
    """BEGIN has not been sent, so nothing is lost; neither is a savepoint that waits with it."""
    for latency in (0.0, 0.001):
        proxy.latency = latency
        await warmed_up(face)
        async with face.atomic():
            with pytest.raises(ZeroDivisionError):
                async with face.atomic():
                    proxy.cut()
                    await face(Author.objects.create)(name="undone")
                    raise ZeroDivisionError
            await face(Author.objects.create)(name="kept")
    assert [row.name for row in await face.rows(Author.objects.all())] == ["kept", "kept"]
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_server_that_refuses_for_a_moment(face: Face, proxy: Proxy) -> None:
    await warmed_up(face)
    proxy.refuses = True
    proxy.cut()
    with pytest.raises(OperationalError):
        await face(Author.objects.count)()
    proxy.refuses = False
    assert await face(Author.objects.count)() == 0
