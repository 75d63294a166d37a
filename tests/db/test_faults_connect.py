"""A server that cannot be reached: the error comes at once, and says which database, why, and what to look at."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.conf.settings import settings
from dorm.db.connection import close_all
from dorm.exceptions import ConnectionFailed, PoolTimeout
from tests.support.faces import Face
from tests.support.models import Author

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def configured() -> Iterator[Any]:
    """What configures alias ``default``, and undoes it."""
    before = dict(settings._given)
    yield lambda **entry: dorm.configure(DATABASES={"default": entry})
    close_all()
    dorm.connections.reset()
    settings._given.clear()
    settings._given.update(before)


async def test_a_refused_connection_fails_at_once_and_says_where(face: Face, free_port: int, configured: Any) -> None:
    configured(ENGINE="postgresql", NAME="shop", USER="me", PASSWORD="hush", HOST="127.0.0.1", PORT=free_port)
    start = time.monotonic()
    with pytest.raises(ConnectionFailed) as caught:
        await face(Author.objects.count)()
    assert time.monotonic() - start < 20
    text = str(caught.value)
    assert "DATABASES['default']" in text
    assert f"127.0.0.1:{free_port}" in text
    assert "refused" in text
    assert "HOST and PORT" in text
    assert "hush" not in text
    assert caught.value.alias == "default"
    assert caught.value.__cause__ is not None


async def test_a_block_is_not_opened_without_a_connection(face: Face, free_port: int, configured: Any) -> None:
    configured(ENGINE="postgresql", NAME="shop", HOST="127.0.0.1", PORT=free_port)
    with pytest.raises(ConnectionFailed):
        async with face.atomic():
            await face(Author.objects.count)()
    assert not dorm.connections["default"].in_block
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_missing_database_is_named(face: Face, postgresql_database: str, configured: Any) -> None:
    configured(URL=postgresql_database.rpartition("/")[0] + "/dorm_no_such_database")
    start = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"dorm_no_such_database.*does not exist.*Create it"):
        await face(Author.objects.count)()
    assert time.monotonic() - start < 20


async def test_a_missing_role_is_named(face: Face, postgresql_database: str, configured: Any) -> None:
    configured(URL=postgresql_database, USER="dorm_no_such_role")
    with pytest.raises(ConnectionFailed, match=r"dorm_no_such_role"):
        await face(Author.objects.count)()


async def test_health_check_tells_instead_of_raising(face: Face, free_port: int, configured: Any) -> None:
    configured(ENGINE="postgresql", NAME="shop", HOST="127.0.0.1", PORT=free_port)
    answer = await face(dorm.health_check)()
    assert answer["status"] == "error"
    assert answer["alias"] == "default"
    assert f"127.0.0.1:{free_port}" in answer["error"]
    assert answer["elapsed_ms"] < 20_000


async def test_a_silent_server_is_given_up_after_the_time_for_a_checkout(face: Face, configured: Any) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        configured(
            ENGINE="postgresql",
            NAME="shop",
            HOST="127.0.0.1",
            PORT=silent.getsockname()[1],
            POOL_TIMEOUT=1.0,
            OPTIONS={"connect_timeout": 2},
        )
        dorm.configure(RETRY_ATTEMPTS=1)
        start = time.monotonic()
        with pytest.raises(ConnectionFailed, match="timeout"):
            await face(Author.objects.count)()
        assert time.monotonic() - start < 20


def test_nothing_spills_on_stderr(free_port: int, tmp_path: Path) -> None:
    source = f"""
import dorm
dorm.configure(DATABASES={{"default": "postgresql://me:hush@127.0.0.1:{free_port}/shop"}}, RETRY_ATTEMPTS=1)
class Note(dorm.Model):
    class Meta:
        app_label = "spill"
try:
    Note.objects.count()
except dorm.OperationalError as error:
    print(type(error).__name__)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.stdout.strip() == "ConnectionFailed"
    assert done.stderr == ""


async def test_a_full_pool_says_who_holds_what_since_when(
    face: Face, postgresql_database: str, configured: Any
) -> None:
    configured(URL=postgresql_database, MAX_POOL_SIZE=1, MIN_POOL_SIZE=0, POOL_TIMEOUT=0.2)
    database = dorm.connections["default"]
    if face.is_async:
        held = await database.aacquire()
    else:
        held = database.acquire()
    try:
        with pytest.raises(
            PoolTimeout, match=r"'default' \(1 in all\).*0\.2 s.*held by (task|thread) .* since 0\.\d s"
        ):
            await face(Author.objects.count)()
    finally:
        if face.is_async:
            await database.arelease(held)
        else:
            database.release(held)
    assert dorm.pool_stats()["in_use"] == 0
    assert dorm.pool_stats()["requests_waiting"] == 0
