"""Streams of PostgreSQL whose next rows are asked for before they are wanted: read to the end, left early, broken."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
import pytest

import dorm
from dorm import F
from dorm.db.backends.postgresql import ahead
from dorm.db.connection import get_async_connection, get_connection
from tests.support.faces import Face
from tests.support.models import Author


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def asked(database: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Twenty authors; the list gets the size of each chunk that is asked for by a cursor that may ask ahead."""
    dorm.configure(DATABASES={"default": {**database, "MIN_POOL_SIZE": 1}})
    Author.objects.bulk_create([Author(name=f"a{number:02}", age=number) for number in range(20)])
    with psycopg.connect(database["URL"], autocommit=True) as connection:
        connection.execute("CREATE FUNCTION slow(n float) RETURNS float LANGUAGE sql AS 'SELECT n FROM pg_sleep(n)'")
    sizes: list[int] = []
    ask = ahead._Ahead._ask

    def watched(cursor: Any, number: int) -> None:
        sizes.append(number)
        ask(cursor, number)

    monkeypatch.setattr(ahead._Ahead, "_ask", watched)
    return sizes


def stream(face: Face, rows: Any = None, size: int = 4) -> Any:
    rows = Author.objects.order_by("name") if rows is None else rows
    return rows.aiterator(chunk_size=size) if face.is_async else rows.iterator(chunk_size=size)


async def take(face: Face, rows: Any, number: int) -> list[Any]:
    return [await anext(rows) if face.is_async else next(rows) for _ in range(number)]


async def leave(face: Face, rows: Any) -> None:
    if face.is_async:
        await rows.aclose()
    else:
        rows.close()


async def pid(face: Face) -> int:
    text = "SELECT pg_backend_pid()"
    found = await get_async_connection().execute(text) if face.is_async else get_connection().execute(text)
    number: int = found[0][0]
    return number


def busy(url: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(
            "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND state <> 'idle'"
        ).fetchall()


def slow_after(number: int, seconds: float) -> Any:
    """Authors whose rows behind *number* take their time."""
    wait = dorm.RawSQL("CASE WHEN age >= %s THEN slow(%s) ELSE 0 END", [number, seconds])
    return Author.objects.order_by().annotate(wait=wait).values_list("age", "wait")


@pytest.mark.parametrize("size", [1, 3, 4, 20, 21, 100])
async def test_all_rows_come_once(face: Face, size: int) -> None:
    rows = await face.stream(Author.objects.order_by("name"), chunk_size=size)
    assert [row.age for row in rows] == list(range(20))
    assert dorm.pool_stats()["in_use"] == 0


async def test_the_second_chunk_is_the_first_that_is_followed_by_a_question(face: Face, asked: list[int]) -> None:
    rows = stream(face)
    await take(face, rows, 4)
    assert len(asked) == 1, "perhaps nobody wants more"
    await take(face, rows, 1)
    assert len(asked) == 3, "the next one is under way"
    assert len([row async for row in rows] if face.is_async else list(rows)) == 15
    assert asked == [4] * 6


async def test_a_statement_timeout_does_not_count_the_time_of_the_reader(
    face: Face, asked: list[int], database: dict[str, Any]
) -> None:
    dorm.configure(DATABASES={"default": {**database, "OPTIONS": {"options": "-c statement_timeout=60000"}}})
    rows = stream(face)
    await take(face, rows, 5)
    assert len(asked) == 2, "what fills the sockets would be a statement that lasts until it is read"
    assert all(state == "idle in transaction" for state, _ in busy(database["URL"]))
    assert len([row async for row in rows] if face.is_async else list(rows)) == 15
    assert dorm.pool_stats()["in_use"] == 0


@pytest.mark.parametrize("number", [1, 5, 9, 20])
async def test_a_stream_that_is_left_early_frees_its_connection(
    face: Face, number: int, database: dict[str, Any]
) -> None:
    before = await pid(face)
    rows = stream(face)
    assert len(await take(face, rows, number)) == number
    await leave(face, rows)
    assert dorm.pool_stats()["in_use"] == 0
    assert busy(database["URL"]) == []
    assert await pid(face) == before
    assert await face(Author.objects.count)() == 20


async def test_what_takes_long_is_told_to_stop(face: Face, database: dict[str, Any]) -> None:
    before = await pid(face)
    rows = stream(face, slow_after(8, 60))
    await take(face, rows, 5)
    start = time.monotonic()
    await leave(face, rows)
    assert time.monotonic() - start < 30, "the server worked for nobody"
    assert dorm.pool_stats()["in_use"] == 0
    assert busy(database["URL"]) == []
    assert await pid(face) == before
    assert await face(Author.objects.count)() == 20


async def test_what_comes_soon_is_waited_for(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dorm.db.backends.postgresql.cursors.PATIENCE", 30.0)
    rows = stream(face, slow_after(8, 0.02))
    await take(face, rows, 5)
    await leave(face, rows)
    assert await face(Author.objects.count)() == 20


async def test_within_a_block_the_connection_is_for_others_too(face: Face, asked: list[int]) -> None:
    async with face.atomic():
        rows = stream(face)
        for number in range(20):
            (author,) = await take(face, rows, 1)
            await face(Author.objects.filter(pk=author.pk).update)(age=number + 100)
        await leave(face, rows)
    assert asked == []
    assert await face(Author.objects.filter(age__gte=100).count)() == 20


async def test_an_error_comes_after_the_rows_before_it(face: Face, database: dict[str, Any]) -> None:
    parts = Author.objects.order_by().annotate(part=dorm.Value(10) / (F("age") - 10)).values_list("age", "part")
    rows = stream(face, parts)
    assert len(await take(face, rows, 8)) == 8
    with pytest.raises(dorm.exceptions.DataError, match="division by zero"):
        await take(face, rows, 1)
    assert dorm.pool_stats()["in_use"] == 0
    assert busy(database["URL"]) == []
    rows = stream(face, parts)
    await take(face, rows, 8)
    await leave(face, rows)
    assert dorm.pool_stats()["in_use"] == 0
    assert await face(Author.objects.count)() == 20


@pytest.mark.parametrize("reads_on", [True, False])
async def test_a_session_that_is_ended_meanwhile(face: Face, reads_on: bool, database: dict[str, Any]) -> None:
    number = await pid(face)
    rows = stream(face)
    await take(face, rows, 5)
    with psycopg.connect(database["URL"], autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [number])
    if reads_on:
        # The chunk that was under way has come, or went with the session.
        with pytest.raises(dorm.OperationalError):
            await take(face, rows, 15)
    else:
        await leave(face, rows)
    assert dorm.pool_stats()["in_use"] == 0
    assert await face(Author.objects.count)() == 20


async def test_a_deadline_while_rows_are_waited_for(face: Face, database: dict[str, Any]) -> None:
    rows = stream(face, slow_after(8, 60))
    await take(face, rows, 8)
    with pytest.raises(dorm.OperationalError, match="deadline"), dorm.deadline(0.2):
        await take(face, rows, 1)
    assert dorm.pool_stats()["in_use"] == 0
    assert busy(database["URL"]) == []
    assert await face(Author.objects.count)() == 20


async def test_a_task_that_is_cancelled_while_rows_are_waited_for(database: dict[str, Any]) -> None:
    async def read() -> None:
        async for _ in slow_after(8, 60).aiterator(chunk_size=4):
            pass

    task = asyncio.ensure_future(read())
    while not [query for state, query in busy(database["URL"]) if state == "active" and "FETCH" in query]:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert dorm.pool_stats()["in_use"] == 0
    assert busy(database["URL"]) == []
    assert await Author.objects.acount() == 20


async def test_raw_streams_too(face: Face, asked: list[int], database: dict[str, Any]) -> None:
    handle: Any = get_async_connection() if face.is_async else get_connection()
    text = "SELECT n FROM generate_series(1, 20) AS s(n)"
    rows = handle.execute_streaming(text, None, 4)
    assert [row["n"] for row in await take(face, rows, 20)] == list(range(1, 21))
    await leave(face, rows)
    assert asked[:5] == [4] * 5
    rows = handle.execute_streaming(
        "SELECT CASE WHEN n > 8 THEN slow(60) END AS w FROM generate_series(1, 20) s(n)", None, 4
    )
    await take(face, rows, 5)
    await leave(face, rows)
    assert busy(database["URL"]) == []
    assert await face(Author.objects.count)() == 20
