"""Plans of slow statements: what is explained, what never is, and that nothing of it touches the user's work."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

import dorm
from dorm.contrib import nplusone, querystats, slow_explain, sql_allowlist as allowlist
from dorm.contrib.querylog import QueryLog
from dorm.db import hooks
from dorm.db.connection import get_async_connection, get_connection
from dorm.db.dialect import Dialect
from dorm.db.lease import Acquire, Release
from dorm.db.operation import adrive, arun, ask, drive, run
from dorm.db.perform import perform
from dorm.db.probe import probe
from dorm.db.request import FetchTable
from dorm.db.statement import Statement, Template
from dorm.db.template import is_read
from dorm.expressions import RawSQL, Value
from tests.contrib.models import Customer
from tests.contrib.raw import script
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def plans(caplog: pytest.LogCaptureFixture) -> Iterator[list[slow_explain.SlowPlan]]:
    found: list[slow_explain.SlowPlan] = []
    remove = slow_explain.on_plan(found.append)
    dorm.configure(SLOW_QUERY_MS=0, SLOW_QUERY_EXPLAIN=True)
    caplog.set_level(logging.DEBUG, logger="dorm.db.slow_explain")
    yield found
    remove()


async def _raw(face: Face, sql: str, *params: Any) -> Any:
    request = FetchTable(dorm.connections["default"], Statement(Template(sql), params))
    return await arun(perform(request)) if face.is_async else run(perform(request))


async def test_a_slow_read_is_explained_once_a_template(
    face: Face, plans: list[slow_explain.SlowPlan], caplog: pytest.LogCaptureFixture
) -> None:
    await face(Customer.objects.filter(name="Ann").count)()
    await face(Customer.objects.filter(name="Bob").count)()
    assert len(plans) == 1
    assert plans[0].alias == "default"
    assert "contrib_tests_customer" in plans[0].plan
    (record,) = [each for each in caplog.records if each.name == "dorm.db.slow_explain"]
    assert record.levelname == "WARNING"
    vendor = dorm.connections["default"].vendor
    assert record.getMessage().startswith(f"slow query plan on default ({vendor}), ")
    assert record.getMessage().endswith(f" ms:\n{plans[0].plan}\n{plans[0].sql}")
    assert ("$1" if vendor == "postgresql" else "?") in plans[0].sql
    assert "Ann" not in plans[0].sql
    assert slow_explain.recent_plans()[-1] is plans[0]


async def test_inside_a_block_the_transaction_goes_on(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    async with face.atomic():
        await face(Customer.objects.create)(name="Ann")
        assert await face(Customer.objects.filter(name="Ann").count)() == 1
        await face(Customer.objects.create)(name="Bob")
    assert await face(Customer.objects.count)() == 2
    assert len(plans) >= 1


async def test_writes_are_never_explained(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    await face(Customer.objects.create)(name="Ann")
    await face(Customer.objects.filter(name="Ann").update)(name="Bob")
    await face(Customer.objects.filter(name="Bob").delete)()
    assert [each for each in plans if not each.sql.startswith("SELECT")] == []


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_writing_cte_runs_once_and_is_not_explained(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    await _raw(
        face,
        "WITH d AS (INSERT INTO contrib_tests_customer (name, email) VALUES ($1, '') RETURNING id) SELECT id FROM d",
        "Ann",
    )
    assert await face(Customer.objects.filter(name="Ann").count)() == 1
    assert all("INSERT" not in each.sql for each in plans)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_values_of_personal_data_are_masked(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    await face(Customer.objects.filter(email="ann@example.com").count)()
    await face(Customer.objects.filter(phone=5551234).count)()
    assert len(plans) == 2
    for found in plans:
        assert "ann@example.com" not in found.plan
        assert "5551234" not in found.plan
        assert "***" in found.plan


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_one_connection_is_enough_and_analyze_is_asked_for(face: Face, shop: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**shop, "MAX_POOL_SIZE": 1}})
    found: list[slow_explain.SlowPlan] = []
    remove = slow_explain.on_plan(found.append)
    dorm.configure(SLOW_QUERY_MS=0, SLOW_QUERY_EXPLAIN=True, SLOW_QUERY_EXPLAIN_ANALYZE=True)
    try:
        await face(Customer.objects.count)()
        await _raw(face, "SELECT 1 AS one")
    finally:
        remove()
        dorm.configure(SLOW_QUERY_EXPLAIN_ANALYZE=False)
    assert "actual time" in found[0].plan
    assert "actual time" not in found[1].plan


async def test_a_capture_that_fails_leaves_the_transaction_alone(
    face: Face, plans: list[slow_explain.SlowPlan], caplog: pytest.LogCaptureFixture
) -> None:
    dialect = dorm.connections["default"].dialect
    dialect.plan_sql = lambda sql, **options: f"EXPLAIN NONSENSE {sql}"  # type: ignore[method-assign]
    async with face.atomic():
        await face(Customer.objects.create)(name="Ann")
        assert await face(Customer.objects.count)() == 1
        await face(Customer.objects.create)(name="Bob")
    assert await face(Customer.objects.count)() == 2
    assert plans == []
    assert "no plan for a slow query" in caplog.text


@pytest.mark.parametrize("backend", ["postgresql"])
def test_the_loop_is_never_blocked() -> None:
    dorm.configure(SLOW_QUERY_MS=400, SLOW_QUERY_EXPLAIN=True, SLOW_QUERY_EXPLAIN_INTERVAL_S=0)
    found: list[slow_explain.SlowPlan] = []
    remove = slow_explain.on_plan(found.append)

    async def heartbeat(stop: asyncio.Event) -> float:
        """Return the longest that a beat came late, in seconds."""
        worst = 0.0
        while not stop.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            worst = max(worst, time.perf_counter() - before - 0.01)
        return worst

    async def main() -> float:
        stop = asyncio.Event()
        beat = asyncio.create_task(heartbeat(stop))
        await _raw(Face("async"), "SELECT pg_sleep(0.5)")
        stop.set()
        return await beat

    # A machine that is busy stalls a loop too, but not each time: what the capture did would be seen in every turn.
    stalls: list[float] = []
    while not stalls or (stalls[-1] > 0.05 and len(stalls) < 10):
        stalls.append(asyncio.run(main()))
    remove()
    assert len(found) == len(stalls)
    assert min(stalls) <= 0.05


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT 1", True),
        ("select a from t for update", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("WITH a AS (DELETE FROM t RETURNING id) SELECT * FROM a", False),
        ("SELECT 1 INTO x", False),
        ("SELECT 1; DROP TABLE t", False),
        ("SELECT 1;", True),
        ("UPDATE t SET a = 1", False),
        ("EXPLAIN SELECT 1", False),
        ("SELECT 'unterminated", False),
    ],
)
def test_only_single_reads_are_explained(sql: str, reads: bool) -> None:
    assert is_read(sql, "postgresql") is reads


def test_the_environment_switches_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORM_SLOW_QUERY_EXPLAIN", "yes")
    dorm.settings._given.pop("SLOW_QUERY_EXPLAIN", None)
    dorm.configure(SLOW_QUERY_MS=0)
    slow_explain.apply_settings()
    before = len(slow_explain.recent_plans())
    Customer.objects.count()
    assert len(slow_explain.recent_plans()) > before or before == slow_explain.MOST_PLANS


async def test_outside_a_block_a_plan_is_read_in_a_transaction_of_its_own_that_only_reads(face: Face) -> None:
    database = dorm.connections["default"]
    asked: list[str] = []

    def noted(request: Any) -> Any:
        statement = getattr(request, "statement", None)
        asked.append(statement.sql if statement is not None else type(request).__name__)
        return request

    class Blocking:
        def perform(self, request: Any) -> Any:
            return noted(request).perform()

    class Asyncio:
        def perform(self, request: Any) -> Any:
            return noted(request).aperform()

    found = probe(database, Statement(Template("SELECT 1"), (), internal=True), 1000)
    table = await adrive(found, Asyncio()) if face.is_async else drive(found, Blocking())
    assert table.rows == [(1,)]
    begins, asks, ends = (next(at for at, text in enumerate(asked) if text.startswith(word))
                          for word in ("BEGIN", "SELECT 1", "Rollback"))  # fmt: skip
    assert begins < asks < ends
    assert asked[begins] == database.dialect.begin(read_only=True).sql
    assert asked[begins] != database.dialect.begin().sql
    assert "COMMIT" not in asked


async def test_the_environment_may_change_its_mind(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    dorm.settings._given.pop("SLOW_QUERY_EXPLAIN", None)
    monkeypatch.delenv("DORM_SLOW_QUERY_EXPLAIN", raising=False)
    dorm.configure(SLOW_QUERY_MS=0, SLOW_QUERY_EXPLAIN_INTERVAL_S=0)
    found: list[slow_explain.SlowPlan] = []
    remove = slow_explain.on_plan(found.append)
    try:
        await face(Customer.objects.count)()
        assert not slow_explain.is_installed()
        for times, said in enumerate(["on", "1", "yes"], 1):
            monkeypatch.setenv("DORM_SLOW_QUERY_EXPLAIN", said)
            await face(Customer.objects.count)()
            assert len(found) == times, "the first statement is explained already"
            monkeypatch.setenv("DORM_SLOW_QUERY_EXPLAIN", "no")
            await face(Customer.objects.count)()
            assert len(found) == times
            assert not slow_explain.is_installed()
        dorm.configure(SLOW_QUERY_EXPLAIN=False)
        monkeypatch.setenv("DORM_SLOW_QUERY_EXPLAIN", "yes")
        await face(Customer.objects.count)()
        assert len(found) == 3, "what is configured counts, not the environment"
    finally:
        remove()


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_full_pool_is_not_waited_for_beyond_the_limit(
    face: Face, shop: dict[str, Any], plans: list[slow_explain.SlowPlan], caplog: pytest.LogCaptureFixture
) -> None:
    dorm.configure(
        DATABASES={"default": {**shop, "MAX_POOL_SIZE": 1, "POOL_TIMEOUT": 30.0}}, SLOW_QUERY_EXPLAIN_TIMEOUT_MS=200
    )
    database = dorm.connections["default"]
    taken: list[Any] = []

    def take(request: Any, proceed: Any) -> Any:
        """Stand for somebody who gets the connection as soon as the user's statement gave it back."""
        reply = yield from proceed(request)
        taken.append((yield Acquire(database)))
        return reply

    # Hooks run in the order of their installation: this one is inside of the one that explains.
    remove = hooks.install(take)
    start = time.perf_counter()
    try:
        assert await face(Customer.objects.count)() == 0
        elapsed = time.perf_counter() - start
    finally:
        remove()
        for lease in taken:
            request = ask(Release(database, lease))
            _ = await arun(request) if face.is_async else run(request)
        dorm.configure(SLOW_QUERY_EXPLAIN_TIMEOUT_MS=5000)
    assert elapsed < 20
    assert plans == []
    assert "no plan for a slow query" in caplog.text


async def test_the_alias_of_the_statement_is_explained(
    face: Face, postgresql_database: str, tmp_path: Any, plans: list[slow_explain.SlowPlan], backend: str
) -> None:
    second = "sqlite:///" + str(tmp_path / "second.db") if backend == "postgresql" else postgresql_database
    dorm.configure(DATABASES={"default": dorm.settings.DATABASES["default"], "second": second})
    other = dorm.connections["second"]
    request = FetchTable(other, Statement(Template("SELECT 41 + 1"), ()))
    _ = await arun(perform(request)) if face.is_async else run(perform(request))
    assert [(each.alias, each.vendor) for each in plans] == [("second", other.vendor)]
    assert plans[0].at == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_numbers_in_the_text_are_masked_beside_personal_data(
    face: Face, plans: list[slow_explain.SlowPlan]
) -> None:
    await _raw(face, "SELECT name FROM contrib_tests_customer WHERE phone = 41424344 AND phone <> -5")
    assert "41424344" not in plans[-1].plan
    assert "-5" not in plans[-1].plan
    assert "cost=" in plans[-1].plan
    assert "rows=" in plans[-1].plan


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_what_locks_rows_is_planned_and_not_run_again(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    dorm.configure(SLOW_QUERY_EXPLAIN_ANALYZE=True)
    try:
        await face(Customer.objects.create)(name="Ann")
        async with face.atomic():
            assert len(await face.rows(Customer.objects.select_for_update().filter(name="Ann"))) == 1
        locking = [each for each in plans if "FOR UPDATE" in each.sql]
        assert len(locking) == 1
        assert "LockRows" in locking[0].plan
        assert "actual time" not in locking[0].plan
        await _raw(face, "SELECT pg_sleep(0)")
        assert "actual time" not in plans[-1].plan, "volatile functions are not called again"
        await face(Customer.objects.filter(name="Ann").count)()
        assert "actual time" in plans[-1].plan
    finally:
        dorm.configure(SLOW_QUERY_EXPLAIN_ANALYZE=False)


async def test_without_a_limit_nothing_is_slow(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    dorm.configure(SLOW_QUERY_MS=None)
    await face(Customer.objects.count)()
    assert plans == []


async def test_a_capture_is_seen_by_nobody(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    with nplusone.detect(threshold=1) as detector, QueryLog() as log:
        allowlist.install([], raise_on_violation=False)
        try:
            await face(Customer.objects.count)()
            rejected = allowlist.rejected_templates()
        finally:
            allowlist.uninstall()
    assert len(plans) == 1
    assert log.count == len(rejected) == sum(detector.counts.values()) == 1


async def test_the_plan_is_an_event_of_the_span(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("request") as span:
        await face(Customer.objects.count)()
    assert isinstance(span, ReadableSpan)
    (event,) = span.events
    assert event.name == "dorm.slow_query.plan"
    assert (event.attributes or {})["db.sql.plan"] == plans[0].plan
    assert (event.attributes or {})["db.system"] == dorm.connections["default"].vendor


async def test_what_breaks_while_a_plan_is_told_is_logged_as_an_error(
    face: Face, plans: list[slow_explain.SlowPlan], caplog: pytest.LogCaptureFixture
) -> None:
    class Full(trace.NonRecordingSpan):
        def is_recording(self) -> bool:
            return True

        def add_event(self, *args: Any, **options: Any) -> None:
            raise OverflowError("no more events")

    with trace.use_span(Full(trace.INVALID_SPAN_CONTEXT)):
        assert await face(Customer.objects.count)() == 0
    assert plans == []
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage() == "no plan for a slow query on default: OverflowError"
    assert record.exc_info is not None


async def test_what_failed_is_not_explained(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    with pytest.raises(dorm.DatabaseError):
        await _raw(face, "SELECT nothing FROM contrib_tests_customer")
    assert plans == []


async def test_each_template_has_its_turn_again_after_the_interval(
    face: Face, plans: list[slow_explain.SlowPlan]
) -> None:
    dorm.configure(SLOW_QUERY_EXPLAIN_INTERVAL_S=0)
    try:
        for name in ("Ann", "Bob", "Cid"):
            await face(Customer.objects.filter(name=name).count)()
        await face(Customer.objects.filter(id=1).count)()
    finally:
        dorm.configure(SLOW_QUERY_EXPLAIN_INTERVAL_S=60.0)
    assert len(plans) == 4


async def test_a_sink_that_fails_costs_nobody_anything(
    face: Face, plans: list[slow_explain.SlowPlan], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(found: slow_explain.SlowPlan) -> None:
        raise ValueError("full")

    before, after = slow_explain.on_plan(broken), slow_explain.on_plan(plans.append)
    try:
        assert await face(Customer.objects.count)() == 0
    finally:
        before()
        after()
    assert len(plans) == 2
    assert "broken raised when it was told" in caplog.text


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_stream_is_explained_on_its_own_connection(face: Face, shop: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**shop, "MAX_POOL_SIZE": 1}})
    await face(Customer.objects.bulk_create)([Customer(name=str(number)) for number in range(10)])
    found: list[slow_explain.SlowPlan] = []
    remove = slow_explain.on_plan(found.append)
    dorm.configure(SLOW_QUERY_MS=0, SLOW_QUERY_EXPLAIN=True)
    handle: Any = get_async_connection() if face.is_async else get_connection()
    begin = time.perf_counter()
    try:
        assert len(await face.stream(Customer.objects.order_by("id"), chunk_size=3)) == 10
        copied = handle.copy_to("SELECT name FROM contrib_tests_customer")
        assert len([row async for row in copied] if face.is_async else list(copied)) == 10
    finally:
        remove()
    assert [each.sql.split(" ", 1)[0] for each in found] == ["SELECT"], "what is copied out keeps its connection busy"
    assert time.perf_counter() - begin < 4, "nobody waited for a second connection"


class _Locking(dorm.Func):
    function = "pg_advisory_xact_lock"


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_what_may_have_effects_is_not_run_again_for_its_plan(
    face: Face, plans: list[slow_explain.SlowPlan]
) -> None:
    await _raw(face, "CREATE SEQUENCE numbers")
    await face(Customer.objects.create)(name="Ann")
    dorm.configure(SLOW_QUERY_EXPLAIN_ANALYZE=True)
    queries: list[Any] = [
        Customer.objects.annotate(n=RawSQL("nextval('numbers')", (), dorm.IntegerField())),
        Customer.objects.annotate(n=_Locking(7, output_field=dorm.TextField())),
        Customer.objects.annotate(n=dorm.Func(Value("numbers"), function="nextval", output_field=dorm.IntegerField())),
        Customer.objects.annotate(n=dorm.Func("name", function="REVERSE", output_field=dorm.TextField())),
    ]
    try:
        async with face.atomic():
            for each in queries:
                await face.rows(each)
    finally:
        dorm.configure(SLOW_QUERY_EXPLAIN_ANALYZE=False)
    assert ["actual time" in each.plan for each in plans if "AS \"n\"" in each.sql or "contrib_tests" in each.sql] == [
        False, False, False, True,
    ]  # fmt: skip
    assert (await _raw(face, "SELECT nextval('numbers')")).rows == [(3,)], "each ran once"


@pytest.mark.parametrize("backend", ["postgresql"])
def test_cancelling_the_task_cancels_the_capture(postgresql_database: str) -> None:
    """The capture waits for a lock that somebody holds; the task that waits for it is cancelled."""
    dorm.configure(SLOW_QUERY_MS=0, SLOW_QUERY_EXPLAIN=True, SLOW_QUERY_EXPLAIN_TIMEOUT_MS=20_000)
    sent = threading.Event()

    def lock(request: Any, proceed: Any) -> Any:
        reply = yield from proceed(request)
        blocker.execute("LOCK TABLE contrib_tests_customer IN ACCESS EXCLUSIVE MODE")
        sent.set()
        return reply

    async def main() -> None:
        task = asyncio.create_task(Customer.objects.acount())
        async with asyncio.timeout(30):
            while not (task.done() or (sent.is_set() and await asyncio.to_thread(waiting))):
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        blocker.rollback()
        assert await Customer.objects.acount() == 0

    def waiting() -> bool:
        row = watcher.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'EXPLAIN%'"
        ).fetchone()
        return row is not None and row[0] > 0

    target = postgresql_database
    with psycopg.connect(target) as blocker, psycopg.connect(target, autocommit=True) as watcher:
        begin = time.perf_counter()
        # Installed first, so that it is outside; the plan is asked for by the hook within it.
        slow_explain.uninstall()
        slow_explain.install()
        remove = hooks.install(lock)
        try:
            asyncio.run(main())
        finally:
            remove()
            dorm.configure(SLOW_QUERY_EXPLAIN_TIMEOUT_MS=5000)
    assert time.perf_counter() - begin < 15, "the capture was not waited for"


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_view_hides_no_personal_data(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    await _raw(face, "CREATE VIEW seen AS SELECT id, name FROM contrib_tests_customer WHERE email = 'x@example.com'")
    await _raw(face, "SELECT name FROM seen")
    assert "x@example.com" not in plans[-1].plan
    assert "***" in plans[-1].plan


async def test_a_backend_that_shows_no_plans_is_passed_over(
    face: Face, plans: list[slow_explain.SlowPlan], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = dorm.connections["default"].dialect
    monkeypatch.setattr(type(dialect), "plan_sql", Dialect.plan_sql)
    assert await face(Customer.objects.count)() == 0
    async with face.atomic():
        assert await face(Customer.objects.filter(name="Ann").count)() == 0
    assert plans == []
    assert [each for each in caplog.records if each.name == "dorm.db.slow_explain"] == []


async def test_each_engine_is_asked_in_its_own_words(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    dialect = dorm.connections["default"].dialect
    asked = {execute: dialect.plan_sql("SELECT 1", execute=execute) for execute in (False, True)}
    forms = {
        "postgresql": {
            False: "EXPLAIN (FORMAT TEXT) SELECT 1",
            True: "EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) SELECT 1",
        },
        "sqlite": dict.fromkeys((False, True), "EXPLAIN QUERY PLAN SELECT 1"),
    }
    assert asked == forms[dorm.connections["default"].vendor]
    dorm.configure(SLOW_QUERY_EXPLAIN_ANALYZE=True, SLOW_QUERY_EXPLAIN_INTERVAL_S=0)
    try:
        for on in (True, False):
            dorm.configure(SLOW_QUERY_EXPLAIN_ANALYZE=on)
            await face(Customer.objects.filter(name="Ann").count)()
    finally:
        dorm.configure(SLOW_QUERY_EXPLAIN_ANALYZE=False, SLOW_QUERY_EXPLAIN_INTERVAL_S=60.0)
    assert len(plans) == 2
    runs = dorm.connections["default"].vendor == "postgresql"
    assert [("actual time" in each.plan, "Buffers" in each.plan) for each in plans] == [(runs, runs), (False, False)]


def test_threads_and_tasks_have_one_capture_for_a_template(plans: list[slow_explain.SlowPlan]) -> None:
    start = threading.Barrier(8)

    def work(name: str) -> None:
        start.wait(20)
        for _ in range(5):
            Customer.objects.filter(name=name).count()

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(plans) == 1

    async def main() -> None:
        await asyncio.gather(*(Customer.objects.filter(email=str(number)).acount() for number in range(20)))

    asyncio.run(main())
    assert len(plans) == 2


async def test_a_capture_is_not_slow_itself(
    face: Face, plans: list[slow_explain.SlowPlan], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="dorm.db.backends")
    querystats.reset()
    querystats.collector().enable()
    try:
        await face(Customer.objects.count)()
        counted = querystats.collector().snapshot()
    finally:
        querystats.collector().disable()
        querystats.reset()
    assert len(plans) == 1
    warned = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len([each for each in warned if "slow query" in each and "slow query plan" not in each]) == 1
    assert [each.count for each in counted] == [1]


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_block_keeps_its_limits_role_and_tables(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    state = (
        "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_user, "
        "current_setting('transaction_read_only'), current_setting('search_path'), txid_current()"
    )
    async with face.atomic():
        await script(face, "SET LOCAL statement_timeout = '77s'; SET LOCAL lock_timeout = '66s'")
        await script(face, "CREATE TEMP TABLE mine (name text) ON COMMIT DROP")
        await _raw(face, "INSERT INTO mine VALUES ($1)", "Ann")
        before = (await _raw(face, state)).rows
        assert (await _raw(face, "SELECT name FROM mine WHERE name LIKE '%n' AND name <> $1", "x")).rows == [("Ann",)]
        assert "on mine" in plans[-1].plan, "a table that only this session sees"
        plans.clear()
        with pytest.raises(dorm.DatabaseError):
            async with face.atomic():
                await _raw(face, "SELECT nothing FROM mine")
        dialect = dorm.connections["default"].dialect
        dialect.plan_sql = lambda sql, **options: f"EXPLAIN NONSENSE {sql}"  # type: ignore[method-assign]
        await _raw(face, "SELECT name FROM mine")
        assert plans == []
        assert (await _raw(face, state)).rows == before
        await _raw(face, "INSERT INTO mine VALUES ($1)", "Bob")
        assert (await _raw(face, "SELECT count(*) FROM mine")).rows == [(2,)]


async def test_scripts_and_many_at_once_are_passed_over(face: Face, plans: list[slow_explain.SlowPlan]) -> None:
    await script(face, "SELECT 1; SELECT 2")
    await face(Customer.objects.bulk_create)([Customer(name=str(number)) for number in range(3)])
    assert [each.sql for each in plans if not each.sql.startswith("SELECT")] == []
    assert not [each for each in plans if ";" in each.sql]


async def test_a_template_that_cannot_be_told_costs_nobody_anything(
    face: Face, plans: list[slow_explain.SlowPlan], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_explain, "template_of", lambda statement, vendor: 1 // 0)
    assert await face(Customer.objects.count)() == 0
    assert plans == []
    assert "no plan for a slow query on default: ZeroDivisionError" in caplog.text
