"""Faults under shards, warm-up, breakers, idempotency keys and the outbox: servers that go, hang and come back."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.contrib.circuit_breaker import CircuitBreaker, CircuitOpenError, CircuitState
from dorm.contrib.idempotency import IdempotencyRecord, idempotency_key
from dorm.contrib.outbox import OutboxEvent, OutboxRelay, record_event
from dorm.contrib.pool_autoscale import awarmup_pool, read_pool_stats, warmup_pool
from dorm.contrib.sharding import HashShardRouter, for_each_shard, shard_for, with_shard_key
from dorm.migrations.schema import create_tables
from tests.contrib.raw import raw
from tests.support.faces import Face
from tests.support.proxy import Proxy


class Parcel(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "faults"


class Event(OutboxEvent):
    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]
        app_label = "faults"


class Key(IdempotencyRecord):
    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]
        app_label = "faults"


@pytest.fixture
def proxy(empty_database: dict[str, Any]) -> Iterator[Proxy]:
    """A way to the database that can be cut; alias ``default`` takes it, ``direct`` goes past it."""
    create_tables([Parcel, Event, Key])
    with Proxy(empty_database["URL"]) as made:
        far = {"URL": made.url, "MIN_POOL_SIZE": 0, "MAX_POOL_SIZE": 4, "POOL_TIMEOUT": 2.0}
        dorm.configure(DATABASES={"default": far, "direct": empty_database}, RETRY_BACKOFF=0.01)
        yield made
        made.refuses = made.silent = False
        dorm.connections.reset()


def _gone(proxy: Proxy) -> None:
    proxy.refuses = True
    proxy.cut()


postgresql = pytest.mark.parametrize("backend", ["postgresql"])


# -- shards ------------------------------------------------------------------------------------------------------


def _keys() -> dict[str, str]:
    """Return a key for each of two shards."""
    return {shard_for(key, 2): key for key in "abcdefgh"}


async def _dead_shard(face: Face, die: Any, revive: Any) -> None:
    keys = _keys()
    with with_shard_key(keys["shard_1"]):
        assert (await face(Parcel.objects.create)(name="before"))._state.db == "shard_1"
    die()
    with with_shard_key(keys["shard_1"]):
        with pytest.raises(dorm.OperationalError) as caught:
            await face(Parcel.objects.create)(name="lost")
        assert caught.value.alias == "shard_1"
        with pytest.raises(dorm.OperationalError):
            await face(Parcel.objects.count)()
    with with_shard_key(keys["shard_0"]):  # the other goes on
        assert (await face(Parcel.objects.create)(name="here"))._state.db == "shard_0"
        assert await face(Parcel.objects.filter(name="lost").count)() == 0
    revive()
    with with_shard_key(keys["shard_1"]):
        assert await face(Parcel.objects.filter(name__in=["before", "lost"]).count)() == 1
        assert (await face(Parcel.objects.create)(name="after"))._state.db == "shard_1"


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.usefixtures("empty_database")
async def test_a_shard_whose_file_is_gone(face: Face, tmp_path: Path) -> None:
    shelves = [tmp_path / "shelf_0", tmp_path / "shelf_1"]
    for shelf in shelves:
        shelf.mkdir()
    shards = {f"shard_{n}": {"ENGINE": "sqlite", "NAME": str(shelf / "db")} for n, shelf in enumerate(shelves)}
    dorm.configure(DATABASES={"default": shards["shard_0"], **shards}, DATABASE_ROUTERS=[HashShardRouter(num_shards=2)])
    try:
        for_each_shard(lambda alias: create_tables([Parcel], using=alias), num_shards=2)
        away = tmp_path / "away"

        def die() -> None:
            dorm.connections.reset()
            shelves[1].rename(away)

        await _dead_shard(face, die, lambda: away.rename(shelves[1]))
    finally:
        dorm.configure(DATABASE_ROUTERS=[])


@postgresql
async def test_a_shard_whose_server_is_gone(face: Face, proxy: Proxy) -> None:
    databases = dorm.settings.DATABASES
    shards = {"shard_0": databases["direct"], "shard_1": databases["default"]}
    dorm.configure(DATABASES={**databases, **shards}, DATABASE_ROUTERS=[HashShardRouter(num_shards=2)])

    def back() -> None:
        proxy.refuses = False

    try:
        await _dead_shard(face, lambda: _gone(proxy), back)
        proxy.refuses = True
        proxy.cut()
        with pytest.raises(dorm.OperationalError):
            for_each_shard(lambda alias: Parcel.objects.using(alias).count(), num_shards=2)
    finally:
        dorm.configure(DATABASE_ROUTERS=[])


# -- warm-up -----------------------------------------------------------------------------------------------------


@postgresql
async def test_warming_up_a_server_that_is_gone_leaves_nothing(face: Face, proxy: Proxy) -> None:
    _gone(proxy)
    with pytest.raises(dorm.OperationalError, match="default"):
        await face(warmup_pool)(target=3)
    assert (read_pool_stats().in_use, read_pool_stats().size) == (0, 0)


@postgresql
async def test_warming_up_a_server_that_does_not_answer_ends_in_time(face: Face, proxy: Proxy) -> None:
    proxy.silent = True
    with pytest.raises(dorm.OperationalError, match="default"):
        await face(warmup_pool)(target=3)
    assert read_pool_stats().in_use == 0


@postgresql
async def test_warming_up_a_slow_server_waits_for_it(face: Face, proxy: Proxy) -> None:
    proxy.latency = 0.02
    assert await face(warmup_pool)(target=3) == 3
    assert (read_pool_stats().in_use, read_pool_stats().size) == (0, 3)


@postgresql
async def test_a_server_that_goes_while_the_pool_is_warmed_up(face: Face, proxy: Proxy) -> None:
    pings: list[str] = []

    def go_after_the_second(sql: str, **told: Any) -> None:
        pings.append(sql)
        if len(pings) == 2:
            _gone(proxy)

    dorm.post_query.connect(go_after_the_second)
    try:
        with pytest.raises(dorm.OperationalError):
            await face(warmup_pool)(target=4)
    finally:
        dorm.post_query.disconnect(go_after_the_second)
    assert len(pings) >= 2
    assert read_pool_stats().in_use == 0
    proxy.refuses = False
    assert await face(warmup_pool)(target=4) == 4


@postgresql
def test_a_cancelled_warm_up_holds_nothing(proxy: Proxy) -> None:
    async def main() -> None:
        proxy.silent = True
        warming = asyncio.create_task(awarmup_pool(target=3))
        for _ in range(20):
            await asyncio.sleep(0)
        warming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await warming
        proxy.silent = False
        proxy.cut()
        assert read_pool_stats().in_use == 0
        assert await awarmup_pool(target=2) == 2
        assert read_pool_stats().in_use == 0

    asyncio.run(main())


# -- breakers ----------------------------------------------------------------------------------------------------


@postgresql
async def test_a_breaker_spares_a_server_that_is_gone(face: Face, proxy: Proxy) -> None:
    now = [0.0]
    breaker = CircuitBreaker("db", failure_threshold=2, open_window_s=10, clock=lambda: now[0])
    end = breaker.guard("default")
    try:
        assert await face(Parcel.objects.count)() == 0
        with pytest.raises(dorm.ProgrammingError):  # the server answers: no failure of its
            await raw(face, "SELECT nothing FROM nowhere")
        assert breaker.state is CircuitState.CLOSED
        _gone(proxy)
        for _ in range(2):
            with pytest.raises(dorm.OperationalError) as caught:
                await face(Parcel.objects.count)()
            assert not isinstance(caught.value, CircuitOpenError)
        trips = proxy.trips
        with pytest.raises(CircuitOpenError):
            await face(Parcel.objects.count)()
        now[0] = 10
        with pytest.raises(dorm.OperationalError):  # the trial fails: open again for a whole window
            await face(Parcel.objects.count)()
        now[0] = 19
        proxy.refuses = False
        with pytest.raises(CircuitOpenError):
            await face(Parcel.objects.count)()
        assert proxy.trips == trips
        now[0] = 20
        assert await face(Parcel.objects.count)() == 0
        assert breaker.state is CircuitState.CLOSED
    finally:
        end()


# -- outbox ------------------------------------------------------------------------------------------------------


@postgresql
async def test_a_relay_whose_connection_is_cut_in_mid_batch_sends_again(face: Face, proxy: Proxy) -> None:
    for number in range(4):
        await face(record_event)(Event, "made", {"number": number})
    sent: list[int] = []

    def publish(event: Any) -> None:
        sent.append(event.payload["number"])
        if len(sent) == 2:
            proxy.cut()

    relay = OutboxRelay(Event, publish)
    with pytest.raises(dorm.OperationalError):
        await face(relay.drain_once)()
    assert await face(Event.objects.filter(status="pending").count)() == 4
    assert await face(relay.drain_once)() == 4
    assert set(sent) == {0, 1, 2, 3}
    assert await face(Event.objects.filter(status="published", attempts=1).count)() == 4


@postgresql
@pytest.mark.parametrize("form", ["sync", "async"])
def test_a_running_relay_outlives_its_server(form: str, proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    record_event(Event, "made", using="direct")
    sent: list[int] = []
    told = threading.Event()

    def publish(event: Any) -> None:
        sent.append(event.pk)
        relay.stop()

    relay = OutboxRelay(Event, publish, poll_interval_s=0.01)
    _gone(proxy)

    class Back(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            proxy.refuses = False
            told.set()

    handler = Back()
    logger = logging.getLogger("dorm.contrib.outbox")
    logger.addHandler(handler)
    try:
        if form == "async":
            asyncio.run(relay.arun())
        else:
            relay.run()
    finally:
        logger.removeHandler(handler)
    assert told.is_set()
    assert len(sent) == 1
    assert "could not be reached" in caplog.text
    assert Event.objects.using("direct").get().status == "published"


# -- idempotency -------------------------------------------------------------------------------------------------


_WORKER = """
import json, sys, time
import dorm
from dorm.contrib.idempotency import IdempotencyRecord, idempotency_key

dorm.configure(DATABASES={"default": json.loads(sys.argv[1])})

class Parcel(dorm.Model):
    name = dorm.CharField(max_length=20)
    class Meta:
        app_label = "faults"

class Key(IdempotencyRecord):
    class Meta:
        app_label = "faults"

with idempotency_key("k", model=Key) as key:
    Parcel.objects.create(name="half done")
    key.store({"by": "the dead"})
    print("inside", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_within_its_key_leaves_the_work_to_the_next(
    empty_database: dict[str, Any], database_settings: dict[str, Any]
) -> None:
    create_tables([Parcel, Key])
    env = {**os.environ, "PYTHONPATH": str(Path(dorm.__file__).parent.parent)}
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER, json.dumps(database_settings)], env=env, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "inside\n"
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate(timeout=30)
    with idempotency_key("k", model=Key) as key:
        assert not key.replay
        Parcel.objects.create(name="done")
        key.store({"by": "the heir"})
    with idempotency_key("k", model=Key) as key:
        assert key.replay
        assert key.response == {"by": "the heir"}
    assert list(Parcel.objects.values_list("name", flat=True)) == ["done"]
