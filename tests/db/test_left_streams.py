"""Iterators that are left behind: none outlives the block it was opened in, none disturbs a later one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import dorm
from dorm.db.connection import get_async_connection, get_connection
from tests.support.faces import Face
from tests.support.models import Author

pytestmark = pytest.mark.usefixtures("database")

OVER = r"the block on 'default' that these rows were streamed in has ended, or was rolled back\. Read them inside"


class Rows:
    """An iterator of either face, read step by step; the generator lives as long as this."""

    def __init__(self, face: Face, raw: bool = False) -> None:
        self.face = face
        text = "SELECT id FROM library_author ORDER BY id"
        queryset = Author.objects.order_by("pk")
        self.rows: Any
        if face.is_async:
            self.rows = get_async_connection().execute_streaming(text, None, 2) if raw else queryset.aiterator(2)
        else:
            self.rows = iter(get_connection().execute_streaming(text, None, 2) if raw else queryset.iterator(2))

    async def next(self) -> Any:
        return await anext(self.rows) if self.face.is_async else next(self.rows)

    async def rest(self) -> int:
        return len([row async for row in self.rows]) if self.face.is_async else len(list(self.rows))

    async def close(self) -> None:
        if self.face.is_async:
            await self.rows.aclose()
        else:
            self.rows.close()


async def filled(face: Face) -> None:
    await face(Author.objects.bulk_create)([Author(name=f"seed {number}") for number in range(10)])


@pytest.mark.parametrize("raw", [False, True], ids=["objects", "raw"])
async def test_rows_are_not_read_on_after_the_block(face: Face, raw: bool) -> None:
    await filled(face)
    async with face.atomic():
        rows = Rows(face, raw)
        await rows.next()
        await rows.next()
    with pytest.raises(dorm.TransactionManagementError, match=OVER):
        await rows.rest()
    assert dorm.pool_stats()["in_use"] == 0
    assert await face(Author.objects.count)() == 10


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("raw", [False, True], ids=["objects", "raw"])
async def test_an_iterator_that_is_closed_late_does_not_disturb_another_block(
    face: Face, raw: bool, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if busy:
        # psycopg gives the loop a turn after what needed no waiting, when it had none for long: here each time.
        monkeypatch.setattr("psycopg.waiting.MAX_BUSY_TIME", 0.0, raising=False)
    await filled(face)
    for ending in ("commit", "rollback"):
        try:
            async with face.atomic():
                rows = Rows(face, raw)
                await rows.next()
                if ending == "rollback":
                    raise KeyError
        except KeyError:
            pass
        async with face.atomic():
            await face(Author.objects.create)(name="before")
            await rows.close()
            await face(Author.objects.create)(name="after")
    assert await face(Author.objects.count)() == 14
    assert dorm.pool_stats()["in_use"] == 0


async def test_an_iterator_that_is_used_after_its_connection(database: dict[str, Any]) -> None:
    """SQLite keeps fewer connections than these: the last ones to come back are closed under their iterators."""
    if "URL" in database:
        dorm.configure(DATABASES={"default": {**database, "MAX_POOL_SIZE": 15}})
    await Author.objects.abulk_create([Author(name=f"seed {number}") for number in range(10)])
    together = asyncio.Barrier(15)

    async def work() -> Any:
        async with dorm.atomic(read_only=True):
            rows = Author.objects.order_by("pk").aiterator(2)
            await anext(rows)
            await together.wait()
        return rows

    async with asyncio.timeout(60):
        left = await asyncio.gather(*[asyncio.create_task(work()) for _ in range(15)])
        for number, rows in enumerate(left):
            if number % 2:
                await rows.aclose()
                continue
            with pytest.raises(dorm.TransactionManagementError, match=OVER):
                async for _ in rows:
                    pass
    assert dorm.pool_stats()["in_use"] == 0


async def test_rows_go_with_the_savepoint_that_is_rolled_back(face: Face) -> None:
    await filled(face)
    async with face.atomic():
        outer = Rows(face)
        await outer.next()
        try:
            async with face.atomic():
                await face(Author.objects.create)(name="inner")
                inner = Rows(face)
                await inner.next()
                await inner.next()
                raise KeyError
        except KeyError:
            pass
        with pytest.raises(dorm.TransactionManagementError, match=OVER):
            await inner.rest()
        assert await outer.rest() == 9
        await face(Author.objects.create)(name="outer")
    assert await face(Author.objects.count)() == 11


async def test_rows_stay_when_a_savepoint_is_released(face: Face) -> None:
    await filled(face)
    async with face.atomic():
        async with face.atomic():
            rows = Rows(face)
            await rows.next()
        assert await rows.rest() == 9


async def test_an_error_inside_a_loop_ends_the_savepoint_alone(face: Face) -> None:
    await filled(face)

    async def fail() -> None:
        if face.is_async:
            async for _ in Author.objects.order_by("pk").aiterator(chunk_size=2):
                raise KeyError
        for _ in Author.objects.order_by("pk").iterator(chunk_size=2):
            raise KeyError

    async with face.atomic():
        await face(Author.objects.create)(name="before")
        for _ in range(3):
            with pytest.raises(KeyError):
                async with face.atomic():
                    await fail()
        if face.is_async:
            # asyncio closes the generators that were left in tasks of their own.
            await asyncio.sleep(0.02)
        await face(Author.objects.create)(name="after")
    assert await face(Author.objects.count)() == 12
    assert dorm.pool_stats()["in_use"] == 0
