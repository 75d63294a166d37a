"""Streams and COPY that break in the middle, on the server's side or on ours, or are dropped: nothing stays open."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import DatabaseError
from tests.support.faces import Face
from tests.support.models import Author
from tests.support.servers import busy_sessions

pytestmark = pytest.mark.usefixtures("database")

on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

_FAILS = {
    "postgresql": "SELECT 10 / (5000 - n) AS x FROM generate_series(1, 10000) AS g(n)",
    "sqlite": (
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 10000) "
        "SELECT CASE WHEN n = 5000 THEN abs(-9223372036854775807 - 1) ELSE n END FROM s"
    ),
}
"""A query of ten thousand rows whose five thousandth cannot be had."""


def handle(face: Face) -> Any:
    return get_async_connection() if face.is_async else get_connection()


async def count_of(face: Face, rows: Any) -> int:
    return sum([1 async for _ in rows]) if face.is_async else sum(1 for _ in rows)


async def first_of(face: Face, rows: Any) -> Any:
    return await anext(rows) if face.is_async else next(rows)


async def check_nothing_is_open(face: Face, database: dict[str, Any]) -> None:
    """Check it, once asyncio had time to close the generators that nobody holds any more."""
    for _ in range(500):
        if not face.is_async or not dorm.pool_stats()["in_use"]:
            break
        await asyncio.sleep(0.01)
    assert dorm.pool_stats()["in_use"] == 0
    if "URL" in database:
        assert busy_sessions(database["URL"]) == []


async def in_savepoint(face: Face, rows: Any) -> None:
    """Read *rows*, which fail, in a savepoint of a block that goes on."""
    async with face.atomic():
        await face(Author.objects.create)(name="before")
        with pytest.raises(DatabaseError):
            async with face.atomic():
                await face(Author.objects.create)(name="undone")
                await count_of(face, rows())
        await face(Author.objects.create)(name="after")
    assert await face(Author.objects.count)() == 2


async def test_the_server_fails_in_the_middle_of_a_stream(face: Face, backend: str, database: dict[str, Any]) -> None:
    def rows() -> Any:
        return handle(face).execute_streaming(_FAILS[backend], None, 100)

    with pytest.raises(DatabaseError):
        await count_of(face, rows())
    await check_nothing_is_open(face, database)
    await in_savepoint(face, rows)
    await check_nothing_is_open(face, database)


@on_postgresql
async def test_the_server_fails_in_the_middle_of_a_copy(face: Face, database: dict[str, Any]) -> None:
    def rows() -> Any:
        return handle(face).copy_to(_FAILS["postgresql"])

    with pytest.raises(dorm.exceptions.DataError, match="division by zero"):
        await count_of(face, rows())
    await check_nothing_is_open(face, database)
    await in_savepoint(face, rows)
    await check_nothing_is_open(face, database)


@on_postgresql
async def test_the_server_refuses_a_row_in_the_middle_of_a_copy(face: Face, database: dict[str, Any]) -> None:
    def rows() -> Iterator[tuple[str, str]]:
        return (("x" * (300 if number == 5000 else 3), "e") for number in range(10_000))

    async def copied() -> None:
        found = handle(face).copy_from("library_author", ["name", "email"], rows())
        assert await found if face.is_async else found

    with pytest.raises(DatabaseError, match="too long"):
        await copied()
    await check_nothing_is_open(face, database)
    async with face.atomic():
        with pytest.raises(DatabaseError, match="too long"):
            async with face.atomic():
                await copied()
        await face(Author.objects.create)(name="after")
    assert await face(Author.objects.count)() == 1


@on_postgresql
@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, ZeroDivisionError])
async def test_whoever_gives_the_rows_of_a_copy_fails(
    face: Face, error: type[BaseException], database: dict[str, Any]
) -> None:
    def rows() -> Iterator[tuple[str, str]]:
        yield from [("x", "e")] * 5000
        raise error

    with pytest.raises(error):
        found = handle(face).copy_from("library_author", ["name", "email"], rows())
        assert await found if face.is_async else found
    await check_nothing_is_open(face, database)
    assert await face(Author.objects.count)() == 0


@pytest.mark.parametrize("kind", ["objects", "raw", "copy"])
async def test_an_iterator_that_nobody_holds_any_more(
    face: Face, kind: str, backend: str, database: dict[str, Any]
) -> None:
    if kind == "copy" and backend == "sqlite":
        pytest.skip("SQLite has no COPY")
    await face(Author.objects.bulk_create)([Author(name=f"{number}") for number in range(30)])
    for _ in range(4):
        rows: Any
        if kind == "copy":
            rows = handle(face).copy_to("SELECT n FROM generate_series(1, 100000) AS g(n)")
        elif kind == "raw":
            rows = handle(face).execute_streaming("SELECT id FROM library_author", None, 3)
        elif face.is_async:
            rows = Author.objects.aiterator(chunk_size=3)
        else:
            rows = iter(Author.objects.iterator(chunk_size=3))
        assert await first_of(face, rows) is not None
        del rows
        gc.collect()
    await check_nothing_is_open(face, database)
    await face(Author.objects.create)(name="still works")
