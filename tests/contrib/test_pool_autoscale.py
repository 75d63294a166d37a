"""Pools that are opened before they are needed."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.contrib.pool_autoscale import read_pool_stats, warmup_pool
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
