"""The server itself: stopped and started, frozen; a full disk and a long WAL on SQLite."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.conf.settings import settings
from dorm.db.connection import close_all, get_connection
from dorm.exceptions import ConnectionFailed, DeadlineExceeded, OperationalError
from dorm.migrations.schema import create_tables
from tests.support.cluster import Cluster
from tests.support.faces import Face
from tests.support.models import MODELS, Author


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server of our own."""
    with Cluster() as made:
        yield made


@pytest.fixture
def on_cluster(cluster: Cluster) -> Iterator[Cluster]:
    """dorm configured on it, with tables."""
    before = dict(settings._given)
    dorm.configure(
        DATABASES={"default": {"URL": cluster.url, "MIN_POOL_SIZE": 0, "POOL_TIMEOUT": 5.0}},
        RETRY_BACKOFF=0.02,
    )
    get_connection().execute_script("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
    create_tables(MODELS)
    yield cluster
    close_all()
    dorm.connections.reset()
    settings._given.clear()
    settings._given.update(before)


@pytest.mark.slow
async def test_a_server_that_is_restarted(face: Face, on_cluster: Cluster) -> None:
    await face(Author.objects.create)(name="acknowledged")
    on_cluster.stop("fast")
    start = time.monotonic()
    with pytest.raises(OperationalError) as caught:
        await face(Author.objects.count)()
    assert time.monotonic() - start < 20
    assert isinstance(caught.value, ConnectionFailed)
    assert f"127.0.0.1:{on_cluster.port}" in str(caught.value)
    with pytest.raises(OperationalError):
        async with face.atomic():
            await face(Author.objects.create)(name="never")
    assert dorm.pool_stats()["in_use"] == 0
    on_cluster.start()
    assert await face(Author.objects.count)() == 1
    await face(Author.objects.create)(name="after")
    assert await face(Author.objects.count)() == 2


@pytest.mark.slow
async def test_a_server_that_is_restarted_between_two_blocks(face: Face, on_cluster: Cluster) -> None:
    async with face.atomic():
        await face(Author.objects.create)(name="before")
    on_cluster.stop("immediate")
    on_cluster.start()
    async with face.atomic():
        await face(Author.objects.create)(name="after")
    assert await face(Author.objects.count)() == 2


@pytest.mark.slow
async def test_a_frozen_server(face: Face, on_cluster: Cluster) -> None:
    await face(Author.objects.create)(name="a")
    on_cluster.freeze()
    try:
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            with dorm.deadline(0.3):
                await face(Author.objects.count)()
        assert time.monotonic() - start < 30
        answer = await face(dorm.health_check)(timeout=0.2)
        assert answer["status"] == "error"
    finally:
        on_cluster.thaw()
    assert await face(Author.objects.count)() == 1
    await face(Author.objects.create)(name="b")
    assert dorm.pool_stats()["in_use"] == 0


# -- SQLite ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_full_disk(face: Face, database: dict[str, Any]) -> None:
    await face(Author.objects.create)(name="acknowledged")
    pages = os.path.getsize(database["NAME"]) // 4096
    full = {**database["OPTIONS"], "init_command": f"PRAGMA max_page_count = {pages + 4}"}
    dorm.configure(DATABASES={"default": {**database, "OPTIONS": full}})
    with pytest.raises(OperationalError, match="full"):
        async with face.atomic():
            await face(Author.objects.create)(name="half of a transaction")
            for number in range(400):
                await face(Author.objects.create)(name=f"{number}" * 50)
    # Nothing of the transaction is there, and what was acknowledged is.
    assert await face(Author.objects.count)() == 1
    with pytest.raises(OperationalError, match="full"):
        await face(Author.objects.bulk_create)([Author(name=f"{number}" * 50) for number in range(400)])
    assert await face(Author.objects.count)() == 1
    dorm.configure(DATABASES={"default": database})
    await face(Author.objects.bulk_create)([Author(name=f"{number}" * 50) for number in range(400)])
    assert await face(Author.objects.count)() == 401
    assert get_connection().execute("PRAGMA integrity_check")[0][0] == "ok"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_wal_that_cannot_be_checkpointed(database: dict[str, Any]) -> None:
    Author.objects.create(name="a")
    wal = database["NAME"] + "-wal"
    begun, leave = threading.Event(), threading.Event()
    seen: list[int] = []

    def read() -> None:
        with transaction.atomic(read_only=True):
            seen.append(Author.objects.count())
            begun.set()
            leave.wait(30)
            seen.append(Author.objects.count())

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(10)
    for _ in range(4):
        Author.objects.bulk_create([Author(name="x" * 90) for _ in range(5000)])
    long = os.path.getsize(wal)
    assert long > 1000 * 4096
    leave.set()
    reader.join(30)
    # The reader saw one moment all the time, writers were not held up, and afterwards the log starts over.
    assert seen == [1, 1]
    assert Author.objects.count() == 20_001
    busy, _, _ = get_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")[0]
    assert busy == 0
    assert os.path.getsize(wal) == 0
    Author.objects.create(name="b")
    assert os.path.getsize(wal) < long
