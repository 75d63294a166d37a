"""Reads from a real streaming replica: idle, paused, stopped, brought back; one's own writes."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import glob
import math
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import dorm
from dorm.conf.settings import settings
from dorm.contrib import lag_router
from dorm.contrib.lag_router import LagAwareReadRouter
from dorm.db.connection import close_all
from tests.contrib.models import Customer

pytestmark = pytest.mark.slow


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """A primary and a replica of our own, in a folder of their own."""

    def __init__(self) -> None:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not found:
            pytest.skip("PostgreSQL's server programs are not installed")
        self.bin = os.path.dirname(found[-1])
        self.folder = tempfile.mkdtemp(prefix="dorm-replica-")
        self.as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self.as_user = ["runuser", "-u", "postgres", "--"]
        self.ports = {"primary": _free_port(), "replica": _free_port()}
        self._run("initdb", "-D", self._data("primary"), "-U", "postgres", "-A", "trust", "--no-sync")
        self.start("primary", "-c fsync=off -c wal_level=replica")
        source = f"host=127.0.0.1 port={self.ports['primary']} user=postgres"
        self._run("pg_basebackup", "-D", self._data("replica"), "-R", "-X", "stream", "-c", "fast", "-d", source)
        self.start("replica", "-c hot_standby=on")

    def _data(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self.as_user, f"{self.bin}/{program}", *arguments], check=True, capture_output=True, timeout=60
        )

    def start(self, name: str, more: str = "") -> None:
        options = f"-p {self.ports[name]} -k {self.folder} -c listen_addresses=127.0.0.1 {more}"
        self._run("pg_ctl", "-D", self._data(name), "-w", "-o", options, "-l", f"{self.folder}/{name}.log", "start")

    def stop(self, name: str) -> None:
        if Path(self._data(name), "postmaster.pid").exists() or os.geteuid() == 0:
            subprocess.run(
                [*self.as_user, f"{self.bin}/pg_ctl", "-D", self._data(name), "-m", "immediate", "-w", "stop"],
                capture_output=True,
                timeout=60,
            )

    def processes(self, name: str) -> list[int]:
        postmaster = Path(self._data(name), "postmaster.pid").read_text().split()[0]
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", postmaster], capture_output=True, text=True).stdout
        return [int(postmaster), *map(int, children.split())]

    def signal(self, name: str, number: int) -> None:
        for pid in self.processes(name):
            with contextlib.suppress(ProcessLookupError):  # it may have ended since it was listed
                os.kill(pid, number)

    def kill(self, name: str) -> None:
        """End all processes of a server (SIGKILL) and what says that it runs."""
        ended = self.processes(name)
        self.signal(name, signal.SIGKILL)
        listed = ["ps", "-o", "stat=", "-p", ",".join(map(str, ended))]
        for _ in range(200):
            states = subprocess.run(listed, capture_output=True, text=True).stdout.split()
            if all(state.startswith("Z") for state in states):  # nobody may be there to reap them
                break
            time.sleep(0.05)
        Path(self._data(name), "postmaster.pid").unlink(missing_ok=True)
        Path(self.folder, f".s.PGSQL.{self.ports[name]}.lock").unlink(missing_ok=True)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.ports[name]}/postgres"

    def execute(self, name: str, sql: str) -> Any:
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            cursor = connection.execute(sql)  # type: ignore[call-overload]  # texts of this test
            return cursor.fetchall() if cursor.description else None


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    for name in ("replica", "primary"):
        made.stop(name)
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture
def router(cluster: Cluster) -> Iterator[LagAwareReadRouter]:
    before = dict(settings._given)
    made = LagAwareReadRouter(
        replicas=["replica"], max_lag_seconds=0.5, cache_seconds=0.05, failure_threshold=2, cooldown_seconds=0.5
    )
    databases = {"default": cluster.url("primary"), "replica": cluster.url("replica")}
    dorm.configure(DATABASES=databases, DATABASE_ROUTERS=[made], READ_AFTER_WRITE_WINDOW=None)
    yield made
    close_all()
    dorm.connections.reset()
    dorm.configure(DATABASE_ROUTERS=[])
    settings._given.clear()
    settings._given.update(before)


def _until(router: LagAwareReadRouter, alias: str, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while router.db_for_read(Customer) != alias:
        assert time.monotonic() < end, f"reads never went to {alias}: {router.snapshot()}"
        time.sleep(0.06)


def test_the_life_of_a_replica(cluster: Cluster, router: LagAwareReadRouter, caplog: pytest.LogCaptureFixture) -> None:
    _until(router, "replica")
    # Nothing written for longer than the lag allowed: an idle primary is no lag.
    cluster.execute("primary", "CREATE TABLE IF NOT EXISTS ticks (a int)")
    time.sleep(1.0)
    _until(router, "replica")
    # Replay paused while the primary goes on: lag.
    cluster.execute("replica", "SELECT pg_wal_replay_pause()")
    cluster.execute("primary", "INSERT INTO ticks VALUES (1)")
    time.sleep(0.8)
    _until(router, "default")
    assert not router.snapshot()["replica"]["breaker_open"]
    cluster.execute("replica", "SELECT pg_wal_replay_resume()")
    _until(router, "replica")
    # Gone: the breaker opens; back: one trial closes it.
    cluster.stop("replica")
    _until(router, "default")
    end = time.monotonic() + 10
    while not router.snapshot()["replica"]["breaker_open"]:
        assert time.monotonic() < end
        router.db_for_read(Customer)
        time.sleep(0.06)
    cluster.start("replica", "-c hot_standby=on")
    _until(router, "replica")
    assert "is left alone" in caplog.text


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_the_last_probe_failed_by_is_told(
    empty_database: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    dorm.configure(DATABASES={"default": empty_database, "replica": empty_database})

    class Own(LagAwareReadRouter):
        def probe(self, alias: str) -> tuple[float, int, str | None]:
            answer: dict[str, float] = {}
            return answer["lag"], 0, None

    own = Own(replicas=["replica"], cache_seconds=0.01, failure_threshold=2)
    while not own.snapshot()["replica"]["breaker_open"]:
        assert own.db_for_read(Customer) == "default"
        time.sleep(0.02)
    assert "after 2 failed probes, the last by KeyError: 'lag'" in caplog.text


def test_one_reads_what_one_wrote(cluster: Cluster, router: LagAwareReadRouter) -> None:
    cluster.execute("primary", "DROP TABLE IF EXISTS contrib_tests_customer")
    cluster.execute(
        "primary",
        "CREATE TABLE contrib_tests_customer "
        "(id bigserial PRIMARY KEY, name varchar(100), email varchar(254), phone int)",
    )
    _until(router, "replica")
    time.sleep(0.3)
    end = lag_router.read_your_writes()
    try:
        cluster.execute("replica", "SELECT pg_wal_replay_pause()")
        Customer.objects.create(name="Ann")
        assert Customer.objects.filter(name="Ann").count() == 1
        with dorm.transaction.atomic():
            Customer.objects.create(name="Bob")
            Customer.objects.create(name="Cid")
        assert Customer.objects.count() == 3
        assert Customer.objects.using("replica").count() == 0
        cluster.execute("replica", "SELECT pg_wal_replay_resume()")
        _until(router, "replica")
        assert Customer.objects.count() == 3
    finally:
        end()
        lag_router.position.set(None)


def test_requests_of_an_event_loop_read_what_they_wrote(cluster: Cluster, router: LagAwareReadRouter) -> None:
    cluster.execute("primary", "DROP TABLE IF EXISTS contrib_tests_customer")
    cluster.execute(
        "primary",
        "CREATE TABLE contrib_tests_customer "
        "(id bigserial PRIMARY KEY, name varchar(100), email varchar(254), phone int)",
    )
    router.max_lag_seconds = 600  # only positions keep reads away from the replica here
    _until(router, "replica")
    time.sleep(0.3)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/write":
            async with dorm.atomic():
                await Customer.objects.acreate(name="Zed")
        body = str(await Customer.objects.acount()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    served = lag_router.ReadYourWritesMiddleware(app)

    async def request(path: str, cookie: str | None = None) -> tuple[str, str | None]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"cookie", cookie.encode())] if cookie else []
        scope = {"type": "http", "path": path, "headers": headers}
        # Each request has a context of its own, as servers give it.
        await asyncio.create_task(served(scope, None, send), context=contextvars.Context())
        found = [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]
        return sent[1]["body"].decode(), found[0].partition(";")[0] if found else None

    async def main() -> None:
        end = lag_router.read_your_writes()
        try:
            cluster.execute("replica", "SELECT pg_wal_replay_pause()")
            body, cookie = await request("/write")
            assert body == "1"
            assert cookie is not None
            assert cookie.startswith("dorm_position=")
            assert await request("/read", cookie) == ("1", None)
            assert await request("/read") == ("0", None)  # somebody else may read a little later
            assert await request("/read", "dorm_position=nonsense; a=b") == ("0", None)
            cluster.execute("replica", "SELECT pg_wal_replay_resume()")
            for _ in range(100):
                if (await request("/read"))[0] == "1":
                    break
                await asyncio.sleep(0.1)
            assert await request("/read", cookie) == ("1", None)
        finally:
            end()

    asyncio.run(main())


def test_an_event_loop_never_waits_for_a_replica_that_does_not_answer(
    cluster: Cluster, router: LagAwareReadRouter
) -> None:
    cluster.execute("primary", "DROP TABLE IF EXISTS contrib_tests_customer")
    cluster.execute("primary", "CREATE TABLE contrib_tests_customer (id bigserial, name text, email text, phone int)")
    with socket.socket() as hole:  # accepts connections and never says a word
        hole.bind(("127.0.0.1", 0))
        hole.listen(50)
        patient = LagAwareReadRouter(replicas=["replica"], cache_seconds=0.01, probe_timeout=20.0)
        databases = {
            "default": cluster.url("primary"),
            "replica": f"postgresql://postgres@127.0.0.1:{hole.getsockname()[1]}/postgres",
        }
        dorm.configure(DATABASES=databases, DATABASE_ROUTERS=[patient], READ_AFTER_WRITE_WINDOW=None)

        async def main() -> float:
            began = time.perf_counter()
            for _ in range(20):
                assert await Customer.objects.acount() == 0
                await asyncio.sleep(0.02)
            return time.perf_counter() - began

        assert asyncio.run(main()) < 15
        assert not patient.snapshot()["replica"]["healthy"]


def _until_open(router: LagAwareReadRouter) -> None:
    end = time.monotonic() + 15
    while not router.snapshot()["replica"]["breaker_open"]:
        assert time.monotonic() < end, router.snapshot()
        assert router.db_for_read(Customer) == "default" or router.snapshot()["replica"]["healthy"]
        time.sleep(0.06)


def test_a_replica_that_hangs_or_is_killed_comes_back(cluster: Cluster, router: LagAwareReadRouter) -> None:
    router.probe_timeout = 0.3
    cluster.execute("primary", "CREATE TABLE IF NOT EXISTS ticks (a int)")
    _until(router, "replica")
    cluster.signal("replica", signal.SIGSTOP)
    try:
        _until_open(router)
        router.probe_timeout = 60.0  # whoever asks now waits for it
        began = time.perf_counter()
        assert router.db_for_read(Customer) == "default"
        assert time.perf_counter() - began < 20  # nobody is asked while the breaker is open
        router.probe_timeout = 0.3
    finally:
        cluster.signal("replica", signal.SIGCONT)
    _until(router, "replica", 30)
    cluster.kill("replica")
    _until_open(router)
    cluster.start("replica", "-c hot_standby=on")
    _until(router, "replica", 30)


def test_a_standby_that_lost_its_primary_is_behind(cluster: Cluster, router: LagAwareReadRouter) -> None:
    cluster.execute("primary", "CREATE TABLE IF NOT EXISTS ticks (a int)")
    cluster.execute("primary", "INSERT INTO ticks VALUES (2)")
    _until(router, "replica")
    cluster.execute("primary", "CHECKPOINT")
    _until(router, "replica")
    cluster.execute("replica", "CHECKPOINT")  # it will begin here when it is restarted, with nothing to replay
    cluster.stop("primary")
    try:
        # It has replayed all it received, and knows nothing of what it missed.
        _until(router, "default")
        assert router.snapshot()["replica"]["lag_seconds"] > 0.5
        assert router.snapshot()["replica"]["consecutive_failures"] == 0
        # Restarted, it does not even know when it last replayed something.
        cluster.stop("replica")
        cluster.start("replica", "-c hot_standby=on")
        end = time.monotonic() + 20
        while router.snapshot()["replica"]["lag_seconds"] != math.inf or router.snapshot()["replica"]["breaker_open"]:
            assert time.monotonic() < end, router.snapshot()
            assert router.db_for_read(Customer) == "default"
            time.sleep(0.06)
        assert router.probe("replica")[0] == math.inf
        assert router.snapshot()["replica"]["consecutive_failures"] == 0
    finally:
        cluster.start("primary", "-c fsync=off -c wal_level=replica")
    _until(router, "replica", 30)


def test_a_standby_restarted_under_an_idle_primary_is_current(cluster: Cluster, router: LagAwareReadRouter) -> None:
    for _ in range(5):  # the server's own housekeeping may commit something in between
        cluster.execute("primary", "CHECKPOINT")
        ((written,),) = cluster.execute("primary", "SELECT pg_current_wal_lsn()::text")
        end = time.monotonic() + 20
        while cluster.execute("replica", f"SELECT pg_last_wal_replay_lsn() < '{written}'") != [(False,)]:
            assert time.monotonic() < end
            time.sleep(0.05)
        cluster.execute("replica", "CHECKPOINT")  # it will begin here, with no transaction to replay
        cluster.stop("replica")
        cluster.start("replica", "-c hot_standby=on")
        _until(router, "replica", 30)
        if cluster.execute("replica", "SELECT pg_last_xact_replay_timestamp()") == [(None,)]:
            break
    assert router.probe("replica")[0] == 0.0
    assert cluster.execute("replica", "SELECT pg_last_xact_replay_timestamp()") == [(None,)]


def test_a_replica_that_is_none_and_a_role_that_sees_nothing_are_told(
    cluster: Cluster, router: LagAwareReadRouter, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.execute("primary", "DROP ROLE IF EXISTS watcher")
    cluster.execute("primary", "CREATE ROLE watcher LOGIN")
    databases = {
        "default": cluster.url("primary"),
        "replica": cluster.url("replica").replace("postgres@", "watcher@"),
        "other": cluster.url("primary"),
    }
    dorm.configure(DATABASES=databases, DATABASE_ROUTERS=[router])
    _until(router, "replica")
    assert caplog.text.count("pg_read_all_stats") == 1
    misplaced = LagAwareReadRouter(replicas=["other"], cache_seconds=0.01)
    for _ in range(3):
        assert misplaced.db_for_read(Customer) == "default"
        time.sleep(0.02)
    assert caplog.text.count("not in recovery") == 1
    assert misplaced.snapshot()["other"]["consecutive_failures"] == 0
    unknown = LagAwareReadRouter(replicas=["nowhere"])
    with pytest.raises(dorm.ImproperlyConfigured, match="nowhere"):
        unknown.db_for_read(Customer)


def test_that_all_replicas_are_out_is_said_once_for_each_cache_time(
    empty_database: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"postgresql://postgres@127.0.0.1:{closed.getsockname()[1]}/postgres"
        dorm.configure(DATABASES={"default": empty_database, "replica": url})
        router = LagAwareReadRouter(replicas=["replica"], cache_seconds=5.0, clock=lambda: now[0])
        for said in (1, 2):
            for _ in range(50):
                assert router.db_for_read(Customer) == "default"
            assert caplog.text.count("no replica is healthy") == said
            now[0] += 5.0
