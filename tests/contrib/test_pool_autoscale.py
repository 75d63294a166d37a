"""Pools that are opened before they are needed."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import dorm
from dorm.contrib.pool_autoscale import autoscale_pool, read_pool_stats, warmup_pool
from tests.support.faces import Face


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_connections_are_there_before_they_are_needed(face: Face, empty_database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**empty_database, "MIN_POOL_SIZE": 0, "MAX_POOL_SIZE": 4}})
    assert read_pool_stats().size == 0
    assert await face(warmup_pool)(target=3) == 3
    stats = read_pool_stats()
    assert (stats.size, stats.in_use, stats.maximum, stats.utilization) == (3, 0, 4, 0.0)
    async with face.atomic():
        await face(dorm.health_check)()
        assert read_pool_stats().utilization == 0.25
    with pytest.raises(ValueError, match="target"):
        await face(warmup_pool)(target=5)


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.usefixtures("empty_database")
async def test_files_have_no_limit(face: Face) -> None:
    assert await face(warmup_pool)(target=2) == 2
    assert read_pool_stats().utilization == 0.0


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_the_limit_follows_the_load(face: Face, empty_database: dict[str, Any]) -> None:
    dorm.configure(
        DATABASES={"default": {**empty_database, "MIN_POOL_SIZE": 0, "MAX_POOL_SIZE": 2, "POOL_TIMEOUT": 0.5}}
    )
    database = dorm.connections["default"]
    held: list[Any] = []

    async def hold() -> None:
        held.append(await database.async_pool.acquire() if face.is_async else database.sync_pool.acquire())

    async def give_back() -> None:
        if face.is_async:
            await database.async_pool.release(held.pop())
        else:
            database.sync_pool.release(held.pop())

    await hold()
    assert autoscale_pool(max_ceiling=5) == 2  # 1 of 2 is below 0.7
    await hold()
    assert autoscale_pool(max_ceiling=5) == 4
    assert read_pool_stats().maximum == 4
    await hold()
    await hold()
    assert [autoscale_pool(max_ceiling=5) for _ in range(3)] == [5, 5, 5]
    await hold()
    for _ in range(4):
        await give_back()
    assert [autoscale_pool() for _ in range(3)] == [3, 2, 2]
    await hold()
    with pytest.raises(dorm.exceptions.PoolTimeout, match=r"a connection of 'default' \(2 in all\)"):
        await hold()
    while held:
        await give_back()
    assert read_pool_stats().in_use == 0


@pytest.mark.parametrize("backend", ["postgresql"])
def test_whoever_waits_is_served_when_the_limit_grows(empty_database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**empty_database, "MIN_POOL_SIZE": 0, "MAX_POOL_SIZE": 1}})
    pool = dorm.connections["default"].sync_pool
    first = pool.acquire()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(pool.acquire())) for _ in range(2)]
    for thread in threads:
        thread.start()
    while read_pool_stats().waiting < 2:
        time.sleep(0.01)
    assert autoscale_pool(min_floor=1) == 3
    for thread in threads:
        thread.join(10)
    assert len(found) == 2
    assert autoscale_pool(min_floor=1, max_ceiling=1) == 1
    for each in (first, *found):
        pool.release(each)
    assert read_pool_stats().in_use == 0
    again = pool.acquire()
    assert read_pool_stats().utilization == 1.0
    pool.release(again)


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.usefixtures("empty_database")
def test_what_has_no_limit_is_not_scaled() -> None:
    with pytest.raises(dorm.exceptions.NotSupportedError, match="no limit"):
        autoscale_pool()


@pytest.mark.parametrize(
    ("name", "value"),
    [("target_utilization", 0), ("target_utilization", 1.1), ("min_floor", 0), ("step", True), ("max_ceiling", 1)],
)
def test_wrong_arguments_are_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        autoscale_pool(**{name: value})
