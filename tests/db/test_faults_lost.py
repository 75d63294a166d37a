"""Server processes that are ended under a connection: what is repeated, what is raised, and that nothing is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import dorm
from dorm import transaction
from dorm.db.backends.postgresql.cursors import PostgresAsyncCursor, PostgresCursor
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import OperationalError
from tests.support.faces import Face
from tests.support.models import Author

pytestmark = [
    pytest.mark.usefixtures("database", "quick_retries"),
    pytest.mark.parametrize("backend", ["postgresql"], indirect=True),
]


@pytest.fixture
def quick_retries() -> None:
    dorm.configure(RETRY_BACKOFF=0.01)


class Killer:
    """Ends the server processes of this test's database from outside."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, application_name="killer")

    def kill(self) -> int:
        """End all of them; return how many there were."""
        rows = self._connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name <> 'killer'"
        ).fetchall()
        return len(rows)

    def activity(self) -> list[tuple[Any, ...]]:
        """Return state and statement of what is not idle."""
        return self._connection.execute(
            "SELECT state, query FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name <> 'killer' AND state <> 'idle'"
        ).fetchall()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def killer(database: dict[str, Any]) -> Iterator[Killer]:
    made = Killer(database["URL"])
    yield made
    made.close()


def handle(face: Face) -> Any:
    return get_async_connection() if face.is_async else get_connection()


async def sql(face: Face, text: str) -> Any:
    return await get_async_connection().execute(text) if face.is_async else get_connection().execute(text)


async def test_a_read_is_repeated_on_a_fresh_connection(
    face: Face, killer: Killer, caplog: pytest.LogCaptureFixture
) -> None:
    await face(Author.objects.create)(name="a")
    assert killer.kill() >= 1
    assert await face(Author.objects.count)() == 1
    assert "the connection was lost" in caplog.text


async def test_one_try_means_no_repetition(face: Face, killer: Killer) -> None:
    dorm.configure(RETRY_ATTEMPTS=1)
    await face(Author.objects.count)()
    killer.kill()
    with pytest.raises(OperationalError) as caught:
        await face(Author.objects.count)()
    assert caught.value.connection_lost
    assert await face(Author.objects.count)() == 0


async def test_a_write_is_not_repeated(face: Face, killer: Killer) -> None:
    await face(Author.objects.count)()
    killer.kill()
    with pytest.raises(OperationalError, match="lost") as caught:
        await face(Author.objects.create)(name="a")
    assert caught.value.connection_lost
    assert caught.value.alias == "default"
    assert caught.value.statement is not None
    assert await face(Author.objects.count)() == 0
    await face(Author.objects.create)(name="a")
    assert await face(Author.objects.count)() == 1


async def test_raw_sql_is_not_repeated(face: Face, killer: Killer) -> None:
    await face(Author.objects.count)()
    killer.kill()
    with pytest.raises(OperationalError):
        await sql(face, "SELECT nextval('library_author_id_seq')")


async def test_a_block_starts_on_a_fresh_connection(face: Face, killer: Killer) -> None:
    await face(Author.objects.count)()
    killer.kill()
    async with face.atomic():
        await face(Author.objects.create)(name="a")
        await face(Author.objects.create)(name="b")
    assert await face(Author.objects.count)() == 2
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_nested_block_that_is_the_first_keeps_its_savepoint(face: Face, killer: Killer) -> None:
    await face(Author.objects.count)()
    killer.kill()
    async with face.atomic():
        with pytest.raises(ZeroDivisionError):
            async with face.atomic():
                await face(Author.objects.create)(name="a")
                raise ZeroDivisionError
        await face(Author.objects.create)(name="b")
    assert await face(Author.objects.count)() == 1


async def test_in_the_middle_of_a_block_nothing_is_repeated(face: Face, killer: Killer) -> None:
    with pytest.raises(OperationalError) as caught:
        async with face.atomic():
            await face(Author.objects.create)(name="a")
            killer.kill()
            await face(Author.objects.count)()
    assert caught.value.connection_lost
    assert await face(Author.objects.count)() == 0
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_connection_lost_before_an_inner_block_is_undone_is_told_by_the_outer_one(
    face: Face, killer: Killer
) -> None:
    """The error of the inner block was caught, as it may be: the outer one must not pass for committed."""
    seen: list[str] = []
    with pytest.raises(OperationalError) as caught:
        async with face.atomic():
            await face(Author.objects.create)(name="outer")
            transaction.on_commit(lambda: seen.append("committed"))
            transaction.on_rollback(lambda: seen.append("rolled back"))
            with pytest.raises(KeyError):
                async with face.atomic():
                    await face(Author.objects.create)(name="inner")
                    killer.kill()
                    raise KeyError
    assert caught.value.connection_lost
    assert seen == ["rolled back"]
    assert await face(Author.objects.count)() == 0
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_block_whose_connection_died_cannot_go_on(face: Face, killer: Killer) -> None:
    async with face.atomic():
        await face(Author.objects.create)(name="a")
        killer.kill()
        for _ in range(2):
            with pytest.raises((OperationalError, dorm.TransactionManagementError)):
                await face(Author.objects.create)(name="b")
    assert await face(Author.objects.count)() == 0


async def test_a_connection_lost_at_commit_is_told_as_unknown(face: Face, killer: Killer) -> None:
    seen: list[str] = []
    with pytest.raises(OperationalError) as caught:
        async with face.atomic():
            await face(Author.objects.create)(name="a")
            transaction.on_commit(lambda: seen.append("commit"))
            killer.kill()
    assert any("is not known" in note for note in caught.value.__notes__)
    assert seen == []
    assert dorm.pool_stats()["in_use"] == 0


async def test_the_idle_connections_are_checked_after_one_was_found_dead(face: Face, killer: Killer) -> None:
    database = dorm.connections["default"]
    if face.is_async:
        held = [await database.aacquire() for _ in range(4)]
        for lease in held:
            await database.arelease(lease)
    else:
        held = [database.acquire() for _ in range(4)]
        for lease in held:
            database.release(lease)
    assert killer.kill() >= 4
    assert await face(Author.objects.count)() == 0
    # A write would be raised to the user if it met one of the other three.
    for number in range(4):
        await face(Author.objects.create)(name=f"{number}")


async def test_idle_connections_that_nobody_has_used_yet_are_checked_too(
    face: Face, killer: Killer, database: dict[str, Any]
) -> None:
    # As many as there are attempts: each would be met by one of them.
    dorm.configure(DATABASES={"default": {**database, "MIN_POOL_SIZE": 4, "MAX_POOL_SIZE": 4}})
    await face(Author.objects.count)()
    for _ in range(500):
        if dorm.pool_stats()["pool_available"] == 4:
            break
        if face.is_async:
            await asyncio.sleep(0.01)
        else:
            time.sleep(0.01)
    assert dorm.pool_stats()["pool_available"] == 4
    assert killer.kill() >= 4
    assert await face(Author.objects.count)() == 0
    await face(Author.objects.create)(name="a")


async def test_a_connection_that_dies_under_a_stream(face: Face, killer: Killer) -> None:
    await face(Author.objects.bulk_create)([Author(name=f"{number}") for number in range(50)])
    with pytest.raises(OperationalError):
        if face.is_async:
            async for _ in Author.objects.aiterator(chunk_size=10):
                killer.kill()
        else:
            for _ in Author.objects.iterator(chunk_size=10):
                killer.kill()
    assert dorm.pool_stats()["in_use"] == 0
    assert await face(Author.objects.count)() == 50


@pytest.mark.parametrize("raw", [False, True], ids=["objects", "raw"])
async def test_a_connection_that_dies_when_its_rows_were_read(
    face: Face, killer: Killer, raw: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to be lost any more when the cursor is closed, and nothing to be told."""
    await face(Author.objects.bulk_create)([Author(name=f"{number}") for number in range(50)])
    close, aclose = PostgresCursor.close, PostgresAsyncCursor.close

    def closes(self: PostgresCursor) -> None:
        close(self)
        killer.kill()

    async def acloses(self: PostgresAsyncCursor) -> None:
        await aclose(self)
        killer.kill()

    monkeypatch.setattr(PostgresCursor, "close", closes)
    monkeypatch.setattr(PostgresAsyncCursor, "close", acloses)
    if raw:
        rows = handle(face).execute_streaming("SELECT id FROM library_author", None, 10)
        read = [row async for row in rows] if face.is_async else list(rows)
    else:
        read = await face.stream(Author.objects.all(), chunk_size=10)
    assert len(read) == 50
    assert dorm.pool_stats()["in_use"] == 0
    assert await face(Author.objects.count)() == 50


async def test_a_running_statement_that_is_killed(killer: Killer) -> None:
    task = asyncio.create_task(get_async_connection().execute("SELECT pg_sleep(30)"))
    while not killer.activity():
        await asyncio.sleep(0.02)
    killer.kill()
    with pytest.raises(OperationalError) as caught:
        await asyncio.wait_for(task, 10)
    assert caught.value.connection_lost
    assert await Author.objects.acount() == 0


async def test_autocommit_off_begins_on_a_fresh_connection(face: Face, killer: Killer) -> None:
    await face(Author.objects.count)()
    killer.kill()
    await face(transaction.set_autocommit)(False)
    try:
        await face(Author.objects.create)(name="a")
        await face(transaction.commit)()
    finally:
        await face(transaction.set_autocommit)(True)
    assert await face(Author.objects.count)() == 1
