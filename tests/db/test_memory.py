"""Memory stays flat: caches are bounded, streams hold one chunk, a statement leaves nothing behind."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import dorm
from dorm.db.backends.postgresql import pool
from dorm.db.connection import get_async_connection, get_connection
from tests.support.faces import Face
from tests.support.models import Author

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.slow]


def growth(work: Callable[[int], Any], warm_up: int, steps: int) -> float:
    """Return the bytes that one step leaves behind, measured over *steps* after *warm_up*."""
    for number in range(warm_up):
        work(number)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(warm_up, warm_up + 50):
            work(number)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(warm_up + 50, warm_up + 50 + steps):
            work(number)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / steps
    finally:
        tracemalloc.stop()


def test_gets_leave_nothing() -> None:
    keys = [Author.objects.create(name=f"{number}").pk for number in range(10)]
    assert growth(lambda number: Author.objects.get(pk=keys[number % 10]), 300, 3000) < 4


def test_saves_and_blocks_leave_nothing() -> None:
    author = Author.objects.create(name="a")

    def work(number: int) -> None:
        with dorm.atomic():
            author.age = number
            author.save()

    assert growth(work, 200, 500) < 50


def test_raw_sql_leaves_nothing() -> None:
    assert growth(lambda number: get_connection().execute("SELECT %s AS m", [number]), 200, 1500) < 8


async def test_the_same_in_asyncio_code() -> None:
    author = await Author.objects.acreate(name="a")

    async def work(number: int) -> None:
        assert (await Author.objects.aget(pk=author.pk)).name == "a"
        async with dorm.atomic():
            author.age = number
            await author.asave()
        assert [row.pk async for row in Author.objects.aiterator(chunk_size=1)] == [author.pk]

    for number in range(200):
        await work(number)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(50):
            await work(number)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(500):
            await work(number)
        gc.collect()
        assert (tracemalloc.get_traced_memory()[0] - before) / 500 < 60
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_prepared_statements_are_forgotten(
    face: Face, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the server and in the driver; plans and statements have a bound of their own."""
    monkeypatch.setattr(pool, "MOST_PREPARED", 40)
    dorm.configure(DATABASES={"default": {**database, "MIN_POOL_SIZE": 1, "MAX_POOL_SIZE": 1, "PREPARE_THRESHOLD": 1}})
    conditions = {"age": 1, "age__gt": 1, "age__lt": 1, "name": "a", "name__gt": "a", "email": "e", "email__lt": "e"}
    for number in range(1, 128):
        chosen = {name: value for bit, (name, value) in enumerate(conditions.items()) if number >> bit & 1}
        for _ in range(3):
            assert await face.rows(Author.objects.filter(**chosen)) == []
    text = "SELECT count(*) FROM pg_prepared_statements"
    rows = await get_async_connection().execute(text) if face.is_async else get_connection().execute(text)
    assert 20 <= rows[0][0] <= 45


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_different_queries_are_forgotten() -> None:
    plans = Author._meta.plan.root.statistics

    def work(number: int) -> None:
        # Each is a structure of its own: an alias that nobody used before.
        str(Author.objects.annotate(**{f"n{number}": dorm.F("age")}).filter(age=1).query)

    for number in range(2500):
        work(number)
    assert plans.turns > 0
    most = 0
    for number in range(2500, 4000):
        work(number)
        most = max(most, plans.plans)
    assert most <= 2100


def test_a_stream_holds_one_chunk() -> None:
    Author.objects.bulk_create([Author(name=f"author {number}") for number in range(20_000)])

    def peak(chunk_size: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            count = sum(1 for _ in Author.objects.iterator(chunk_size=chunk_size))
            assert count == 20_000
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(500)
    assert peak(500) < 3 * 1024 * 1024
    everything = peak(20_000)
    assert peak(500) < everything / 4
