"""Circuit breakers, sharding, and reads from replicas with a fake clock; a real replica is in test_replica."""

from __future__ import annotations

import asyncio
import math
import os
import random
import threading
import time
from typing import Any

import pytest

import dorm
from dorm.contrib import circuit_breaker, lag_router, sharding
from dorm.contrib.circuit_breaker import CircuitBreaker, CircuitOpenError, CircuitState
from dorm.contrib.lag_router import LagAwareReadRouter
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import ImproperlyConfigured
from tests.contrib.models import Customer
from tests.support.faces import Face


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# -- breakers ----------------------------------------------------------------------------------------------------


def test_a_breaker_opens_and_lets_one_trial_through() -> None:
    clock = Clock()
    breaker = CircuitBreaker("x", failure_threshold=2, open_window_s=10, clock=clock)
    for _ in range(2):
        with pytest.raises(OSError), breaker:
            raise OSError
    assert breaker.state is CircuitState.OPEN
    with pytest.raises(CircuitOpenError) as caught, breaker:
        pytest.fail("not called")
    assert caught.value.retry_after == 10
    clock.now = 10
    assert breaker.state is CircuitState.HALF_OPEN
    breaker.admit()
    with pytest.raises(CircuitOpenError):
        breaker.admit()
    breaker.failed()
    assert breaker.state is CircuitState.OPEN
    clock.now = 20

    async def good() -> None:
        async with breaker.aprotect():
            pass

    asyncio.run(good())
    assert breaker.state is CircuitState.CLOSED
    assert circuit_breaker.circuit_breaker("y") is circuit_breaker.circuit_breaker("y")
    assert circuit_breaker.get_state("y") is CircuitState.CLOSED
    circuit_breaker.reset_circuit_breakers()
    assert circuit_breaker.get_state("y") is None


@pytest.mark.usefixtures("shop")
def test_a_breaker_guards_a_database() -> None:
    breaker = CircuitBreaker("db", failure_threshold=1)
    end = breaker.guard("default")
    try:
        assert Customer.objects.count() == 0
        breaker.failed()
        with pytest.raises(CircuitOpenError):
            Customer.objects.count()
        breaker.reset()
        assert asyncio.run(Customer.objects.acount()) == 0
    finally:
        end()


# -- shards ------------------------------------------------------------------------------------------------------


def test_shards_are_stable() -> None:
    assert [sharding.shard_for(key, 4) for key in (1, "a", 99)] == [sharding.shard_for(key, 4) for key in (1, "a", 99)]
    assert {sharding.shard_for(key, 3, aliases=["x", "y", "z"]) for key in range(100)} == {"x", "y", "z"}
    router = sharding.HashShardRouter(num_shards=2, shard_models=[Customer])
    assert router.db_for_read(Customer) is None
    with sharding.with_shard_key(5):
        assert router.db_for_write(Customer) == sharding.shard_for(5, 2)
        assert sharding.get_shard_key() == 5
    assert sharding.for_each_shard(str.upper, num_shards=2) == {"shard_0": "SHARD_0", "shard_1": "SHARD_1"}
    with pytest.raises(ValueError, match="num_shards"):
        sharding.shard_for(1, 0)


# -- replicas ----------------------------------------------------------------------------------------------------


class Probed(LagAwareReadRouter):
    """A router whose probes answer what the test says."""

    answer: Any = (0.0, 0, None)
    probes = 0
    seconds = 0.0

    def probe(self, alias: str) -> tuple[float, int, str | None]:
        self.probes += 1
        if self.seconds:
            self._clock.now += self.seconds  # type: ignore[attr-defined]
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]


@pytest.fixture
def aliases(empty_database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": empty_database, "r1": empty_database})


@pytest.mark.usefixtures("aliases")
def test_the_breaker_of_a_replica_by_a_fake_clock() -> None:
    clock = Clock()
    router = Probed(replicas=["r1"], failure_threshold=2, cooldown_seconds=10, cache_seconds=1, clock=clock)
    router.answer = OSError("down")
    assert router.db_for_read(Customer) == "default"
    assert router.snapshot()["r1"]["consecutive_failures"] == 1
    clock.now, router.seconds = 2, 3
    router.db_for_read(Customer)
    assert router.snapshot()["r1"]["breaker_open"]
    assert router.snapshot()["r1"]["lag_seconds"] == math.inf
    for now in (6, 10, 14.9):
        clock.now = now
        assert router.db_for_read(Customer) == "default"
    assert router.probes == 2
    clock.now, router.seconds = 15, 1
    router.db_for_read(Customer)
    assert router.probes == 3
    clock.now = 25.9
    router.db_for_read(Customer)
    assert router.probes == 3
    clock.now, router.answer, router.seconds = 26, (0.0, 0, None), 0
    assert router.db_for_read(Customer) == "r1"
    assert router.snapshot()["r1"] == {
        "lag_seconds": 0.0,
        "healthy": True,
        "checked_at": 26,
        "consecutive_failures": 0,
        "breaker_open": False,
    }


@pytest.mark.usefixtures("aliases")
def test_without_a_cooldown_each_cache_time_has_its_probe() -> None:
    clock = Clock()
    router = Probed(replicas=["r1"], failure_threshold=1, cooldown_seconds=0, cache_seconds=1, clock=clock)
    router.answer = OSError("down")
    for number in range(1, 6):
        clock.now = number * 2.0
        for _ in range(3):
            assert router.db_for_read(Customer) == "default"
        assert router.probes == number
        assert not router.snapshot()["r1"]["breaker_open"]
    assert router.snapshot()["r1"]["consecutive_failures"] == 5


@pytest.mark.usefixtures("aliases")
@pytest.mark.parametrize("options", [{"replicas": ["r1", "r2"]}, {"replicas": ["r1"], "primary": "r2"}])
def test_aliases_that_nobody_configured_are_named(options: dict[str, Any]) -> None:
    router = Probed(**options)
    with pytest.raises(ImproperlyConfigured, match="'r2'"):
        router.db_for_read(Customer)
    assert router.probes == 0


@pytest.mark.usefixtures("aliases")
def test_lag_is_no_failure_and_positions_are_obeyed(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    router = Probed(replicas=["r1"], failure_threshold=1, clock=clock, rng=random.Random(1))
    router.answer = (9.0, 0, None)
    for _ in range(10):
        clock.now += 6
        assert router.db_for_read(Customer) == "default"
    assert not router.snapshot()["r1"]["breaker_open"]
    assert "no replica is healthy" in caplog.text
    router.answer = (0.0, lag_router.position_number("0/100"), None)
    clock.now += 6
    assert router.db_for_read(Customer) == "r1"
    with lag_router.reading_after("0/101"):
        assert router.db_for_read(Customer) == "default"
    with lag_router.reading_after("0/100"):
        assert router.db_for_read(Customer) == "r1"
    assert router.db_for_write(Customer) == "default"
    assert router.allow_migrate("r1", "x") is False
    router.report_failure("r1")
    assert router.snapshot()["r1"]["breaker_open"]
    router.reset()
    assert not router.snapshot()["r1"]["healthy"]


@pytest.mark.usefixtures("aliases")
def test_one_trial_under_many_threads() -> None:
    clock = Clock()
    router = Probed(replicas=["r1"], failure_threshold=1, cooldown_seconds=10, clock=clock)
    router.answer = OSError("down")
    router.db_for_read(Customer)
    clock.now = 10
    threads = [threading.Thread(target=router.db_for_read, args=(Customer,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert router.probes == 2


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_dead_port_costs_a_few_probes(empty_database: dict[str, Any]) -> None:
    dead = {"ENGINE": "postgresql", "NAME": "x", "USER": "x", "HOST": "127.0.0.1", "PORT": 1}
    dorm.configure(DATABASES={"default": empty_database, "r1": dead})
    router = LagAwareReadRouter(replicas=["r1"], failure_threshold=2, cooldown_seconds=5, cache_seconds=0.001)
    for _ in range(2):
        router.db_for_read(Customer)
        time.sleep(0.01)
    start = time.perf_counter()
    assert [router.db_for_read(Customer) for _ in range(20)] == ["default"] * 20
    assert time.perf_counter() - start < 10

    async def in_a_loop() -> float:
        router.reset()
        began = time.perf_counter()
        assert router.db_for_read(Customer) == "default"
        return time.perf_counter() - began

    assert asyncio.run(in_a_loop()) < 10


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"replicas": []}, "replicas"),
        ({"replicas": ["a"], "max_lag_seconds": 0}, "max_lag_seconds"),
        ({"replicas": ["a"], "cache_seconds": -1}, "cache_seconds"),
        ({"replicas": ["a"], "failure_threshold": 0}, "failure_threshold"),
        ({"replicas": ["a"], "failure_threshold": 1.5}, "failure_threshold"),
        ({"replicas": ["a"], "cooldown_seconds": math.nan}, "cooldown_seconds"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        LagAwareReadRouter(**options)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_probes_by_itself_and_a_report_admits_no_second_probe(empty_database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": empty_database, "replica": empty_database})
    begun, go_on = threading.Event(), threading.Event()
    probes: list[str] = []

    class Router(LagAwareReadRouter):
        def probe(self, alias: str) -> tuple[float, int, str | None]:
            probes.append(alias)
            begun.set()
            go_on.wait(30)
            return 0.0, 0, None

    router = Router(replicas=["replica"], cache_seconds=0.01)
    thread = threading.Thread(target=lambda: router.db_for_read(None))
    thread.start()
    assert begun.wait(10)
    router.report_failure("replica")
    assert router.db_for_read(None) == "default"
    assert probes == ["replica"]
    pid = os.fork()
    if pid == 0:
        go_on.set()
        time.sleep(0.05)
        router.db_for_read(None)
        os._exit(0 if probes == ["replica", "replica"] and router.snapshot()["replica"]["healthy"] else 1)
    _, status = os.waitpid(pid, 0)
    go_on.set()
    thread.join(10)
    assert os.waitstatus_to_exitcode(status) == 0


TABLE = "contrib_tests_customer"


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        (f"SELECT id FROM {TABLE}", False),
        (f"WITH c AS (SELECT id FROM {TABLE}) SELECT * FROM c", False),
        (f"WITH c AS (SELECT id FROM {TABLE} FOR UPDATE) SELECT * FROM c", False),
        (f"EXPLAIN DELETE FROM {TABLE}", False),
        ("SHOW wal_level", False),
        (f"WITH c AS (INSERT INTO {TABLE} (name, email) VALUES ('Ann', '') RETURNING id) SELECT * FROM c", True),
        (f"WITH c AS (DELETE FROM {TABLE} RETURNING id) SELECT count(*) FROM c", True),
        (f"SELECT id INTO copied FROM {TABLE}", True),
        (f"EXPLAIN ANALYZE DELETE FROM {TABLE}", True),
        (f"UPDATE {TABLE} SET name = 'Bob'", True),
    ],
)
async def test_what_writes_is_noted_whatever_it_begins_with(
    shop: dict[str, Any], face: Face, sql: str, writes: bool
) -> None:
    if dorm.connections["default"].vendor != "postgresql":
        with pytest.raises(ImproperlyConfigured, match="no log positions"):
            lag_router.read_your_writes("default")
        return
    end = lag_router.read_your_writes("default")
    try:
        with lag_router.reading_after(None):
            await _execute(face, sql)
            assert (lag_router.position.get() is not None) is writes
            lag_router.position.set(None)
            async with face.atomic():
                await _execute(face, sql.replace("copied", "copied_too"))
                assert lag_router.position.get() is None  # others may read it once it is committed
            assert (lag_router.position.get() is not None) is writes
    finally:
        end()


async def _execute(face: Face, sql: str) -> None:
    if face.is_async:
        await get_async_connection("default").execute(sql)
    else:
        get_connection("default").execute(sql)
