"""Which session of PostgreSQL a statement gets: the warm one, until it is too old or the pool is closed."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import psycopg
import pytest

import dorm
from dorm.db.backends.postgresql import pool
from dorm.db.connection import connections, get_async_connection, get_connection
from tests.support.faces import Face

MARK = "dorm-warm"
OPEN = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
def configured(empty_database: dict[str, Any]) -> dict[str, Any]:
    return empty_database


async def session(face: Face) -> int:
    """Return the number of the server's process that serves a statement."""
    text = "SELECT pg_backend_pid()"
    rows = await get_async_connection().execute(text) if face.is_async else get_connection().execute(text)
    number: int = rows[0][0]
    return number


async def several_sessions(face: Face) -> set[int]:
    """Make the pool hold three sessions, all idle; return them."""
    database = connections["default"]
    leases = []
    for _ in range(3):
        leases.append(await database.aacquire() if face.is_async else database.acquire())
    found = {lease.connection.raw.info.backend_pid for lease in leases}  # type: ignore[union-attr]
    for lease in leases:
        if face.is_async:
            await database.arelease(lease)
        else:
            database.release(lease)
    return found


def configure(settings: dict[str, Any], **options: Any) -> None:
    name = {"OPTIONS": {"application_name": MARK}}
    dorm.configure(DATABASES={"default": {**settings, "MIN_POOL_SIZE": 1, "MAX_POOL_SIZE": 4, **name, **options}})


async def closed(face: Face) -> None:
    if face.is_async:
        await connections["default"].aclose()
    else:
        connections["default"].close()


async def test_the_session_that_came_back_last_serves_next(configured: dict[str, Any], face: Face) -> None:
    configure(configured)
    assert len(await several_sessions(face)) == 3
    assert len({await session(face) for _ in range(20)}) == 1
    stats = dorm.pool_stats("default")
    # One too many may have been asked for in a rush, and be on its way.
    assert stats["pool_size"] >= stats["pool_available"] >= 3
    assert stats["in_use"] == 0
    assert stats["requests_num"] >= 23
    await closed(face)


async def test_waiting_for_a_new_session_is_no_error_in_the_statistics(
    configured: dict[str, Any], face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_LOOK", 0.0005)
    configure(configured, MIN_POOL_SIZE=0)
    assert len(await several_sessions(face)) == 3
    stats = dorm.pool_stats("default")
    assert (stats["requests_num"], stats["requests_errors"]) == (3, 0)
    await closed(face)


async def test_a_session_that_is_too_old_is_replaced(
    configured: dict[str, Any], face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_AT_HAND", 0.05)
    configure(configured, MAX_LIFETIME=0.2)
    first = await session(face)
    assert await session(face) == first
    seen = set()
    for _ in range(40):
        if face.is_async:
            await asyncio.sleep(0.02)
        else:
            time.sleep(0.02)
        seen.add(await session(face))
    assert seen - {first}
    await closed(face)


async def test_closing_ends_the_session_at_hand(configured: dict[str, Any], face: Face) -> None:
    configure(configured)
    await session(face)
    await closed(face)
    with psycopg.connect(configured["URL"], autocommit=True) as other:
        for _ in range(100):
            left = other.execute(OPEN, (MARK,)).fetchone()
            if left == (0,):
                break
            other.execute("SELECT pg_sleep(0.02)")
    assert left == (0,)


async def test_a_session_that_comes_back_to_a_closed_pool_is_ended(configured: dict[str, Any], face: Face) -> None:
    configure(configured)
    database = connections["default"]
    lease = await database.aacquire() if face.is_async else database.acquire()
    holder: Any = database.async_pool if face.is_async else database.sync_pool
    await closed(face)
    if face.is_async:
        await holder.release(lease.connection)
    else:
        holder.release(lease.connection)
    assert lease.connection.raw.closed  # type: ignore[union-attr]
    assert holder.at_hand == []


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of pools, without the library's own log: it may be cut off while it connects."""
    found = [each for each in caplog.records if each.name == "dorm.db.lifecycle.postgresql"]
    assert {each.levelname for each in found} == {"INFO"}
    return [each.getMessage() for each in found]


async def test_opening_and_closing_are_logged(
    configured: dict[str, Any], face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dorm.db.lifecycle.postgresql")
    configure(configured)
    for _ in range(3):
        await session(face)
    whose = "an event loop" if face.is_async else "blocking code"
    told = [f"opened the pool of 'default' for {whose}, 1 to 4 connections"]
    assert _told(caplog) == told
    await closed(face)
    await closed(face)
    told.append(f"closed the pool of 'default' for {whose}, 1 to 4 connections")
    assert _told(caplog) == told


def test_the_pool_of_a_loop_that_ended_is_logged_as_closed(
    configured: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dorm.db.lifecycle.postgresql")
    configure(configured)
    asyncio.run(session(Face("async")))
    assert [each.split(" the pool")[0] for each in _told(caplog)] == ["opened", "closed"]
