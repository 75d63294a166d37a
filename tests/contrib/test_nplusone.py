"""The N+1 detector: blocks, the whole process, scopes, call sites."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.conf.registry import registry
from dorm.contrib import nplusone
from dorm.contrib.nplusone import NPlusOneDetector, NPlusOneError, hints, scopes
from dorm.db import hooks
from tests.contrib.models import Customer, Order
from tests.contrib.raw import raw, script
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("shop")


async def _rows(face: Face, number: int) -> list[Any]:
    customer = await face(Customer.objects.create)(name="Ann")
    return [await face(Order.objects.create)(customer=customer, number=each) for each in range(number)]


async def _load(face: Face, times: int) -> None:
    for _ in range(times):
        await face(Customer.objects.get)(name="Ann")


async def test_a_block_raises_at_the_statement_that_crosses_the_threshold(face: Face) -> None:
    await _rows(face, 1)
    detector = NPlusOneDetector(threshold=3)
    with pytest.raises(NPlusOneError, match=r"(faces|test_nplusone)\.py:\d+") as caught:
        with detector:
            await _load(face, 10)
    assert list(detector.counts.values()) == [4]
    assert "threshold 3" in str(caught.value)
    assert detector.findings[0][1] == 4


async def test_a_block_collects_and_reports(face: Face) -> None:
    await _rows(face, 1)
    with nplusone.detect(threshold=2) as detector:
        await _load(face, 2)
    assert detector.report() == "no N+1 detected"
    async with nplusone.adetect(threshold=2) as detector:
        await _load(face, 5)
    assert len(detector.findings) == 1
    assert "contrib_tests_customer" in detector.report()
    with nplusone.assert_no_nplusone(threshold=5):
        await _load(face, 5)


async def test_the_hint_names_model_and_relation(face: Face) -> None:
    await _rows(face, 3)
    with nplusone.detect(threshold=2) as detector:
        for _ in range(3):
            await face(Customer.objects.get)(pk=1)
    assert "Order.objects.select_related('customer')" in detector.report()
    with nplusone.detect(threshold=2) as detector:
        for _ in range(3):
            await face.rows(Order.objects.filter(customer_id=1))
    assert "Customer.objects.prefetch_related('orders')" in detector.report()


@pytest.mark.parametrize("threshold", [0, -1, True, 1.5])
def test_a_threshold_is_a_whole_number_from_one(threshold: Any) -> None:
    with pytest.raises(ValueError, match="threshold"):
        NPlusOneDetector(threshold)


async def test_raise_mode_of_the_process_keeps_the_transaction_usable(face: Face) -> None:
    await _rows(face, 1)
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)
    with nplusone.request_scope():
        async with face.atomic():
            await face(Customer.objects.create)(name="kept")
            with pytest.raises(NPlusOneError):
                await _load(face, 11)
            # Raised once a key and scope: the same loop goes on.
            await _load(face, 11)
    dorm.configure(DEBUG_NPLUSONE=False)
    assert await face(Customer.objects.filter(name="kept").count)() == 1
    assert nplusone.global_detector() is None


async def test_log_mode_warns_once(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    await _rows(face, 1)
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE=True, DEBUG_NPLUSONE_THRESHOLD=10)
    with nplusone.request_scope(), caplog.at_level(logging.WARNING, logger="dorm.contrib.nplusone"):
        await _load(face, 50)
    assert len(caplog.records) == 1
    assert "faces.py" in caplog.text or "test_nplusone.py" in caplog.text
    detector = nplusone.install_debug_global()
    assert detector is nplusone.install_debug_global() is nplusone.global_detector()
    assert detector is not None
    assert [count for _, count in detector.findings] == [11]


async def test_requests_do_not_add_up(face: Face) -> None:
    await _rows(face, 1)
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=5)
    for _ in range(11):
        with nplusone.request_scope():
            await _load(face, 1)
    with nplusone.request_scope():
        await _load(face, 5)
        with nplusone.ignore_nplusone():
            await _load(face, 20)


def test_threads_do_not_add_up() -> None:
    Customer.objects.create(name="Ann")
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                Customer.objects.get(name="Ann")
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_gather_is_an_nplusone_and_unrelated_tasks_are_not() -> None:
    Customer.objects.create(name="Ann")
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)

    async def one() -> None:
        await Customer.objects.aget(name="Ann")

    async def related() -> None:
        await asyncio.gather(*(one() for _ in range(20)))

    async def unrelated() -> None:
        await asyncio.gather(*[asyncio.create_task(one(), context=contextvars.Context()) for _ in range(3)])
        for _ in range(20):
            await asyncio.create_task(one(), context=contextvars.Context())

    with pytest.raises(NPlusOneError):
        asyncio.run(related())
    asyncio.run(unrelated())


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(dorm.ImproperlyConfigured, match="DEBUG_NPLUSONE"):
        dorm.configure(DEBUG_NPLUSONE="loud")
    with pytest.raises(dorm.ImproperlyConfigured, match="DEBUG_NPLUSONE_THRESHOLD"):
        dorm.configure(DEBUG_NPLUSONE_THRESHOLD=0)
    assert nplusone.install_debug_global() is None


def test_outside_debug_there_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    dorm.configure(DEBUG=False, DEBUG_NPLUSONE="log")
    nplusone.install_debug_global()
    assert "outside DEBUG" in caplog.text


async def test_a_loop_over_a_foreign_key_is_refused_at_its_line(face: Face) -> None:
    await _rows(face, 12)
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="RAISE", DEBUG_NPLUSONE_THRESHOLD=10)
    seen = 0
    with nplusone.request_scope():
        orders = await face.rows(Order.objects.fetch_mode(dorm.FETCH_ONE))
        with pytest.raises(NPlusOneError, match=r"(faces|test_nplusone)\.py:\d+.*select_related\('customer'\)"):
            for order in orders:
                await face(order.fetch)("customer")
                seen += 1
    assert seen == 10, "the eleventh was not sent"


async def test_one_template_from_many_lines_is_found_by_its_sum(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="log", DEBUG_NPLUSONE_THRESHOLD=2)
    query = Customer.objects.filter(name="Ann")
    names: dict[str, Any] = {}
    if face.is_async:
        source, send = "async def many(send):\n" + "    await send()\n" * 11, query.aexists
    else:
        source, send = "async def many(send):\n" + "    send()\n" * 11, query.exists
    exec(compile(source, "/srv/app/views.py", "exec"), names)
    with nplusone.request_scope():
        await names["many"](send)
    assert len(caplog.records) == 1
    assert "11 statements of one template (threshold 2) at many call sites" in caplog.text


@pytest.mark.parametrize("table", ["commits", "releases", "savepoints", "settings"])
async def test_first_words_are_matched_and_not_names(face: Face, table: str) -> None:
    await script(face, f"CREATE TABLE {table} (a int)")
    try:
        with nplusone.detect(threshold=2) as detector:
            for _ in range(5):
                await raw(face, f"SELECT a FROM {table}")
                await raw(face, "EXPLAIN SELECT 1")
            async with face.atomic():
                for _ in range(5):
                    async with face.atomic():
                        pass
        assert [template for template, _ in detector.findings] == [f"SELECT a FROM {table}"]
    finally:
        await script(face, f"DROP TABLE {table}")


async def test_findings_of_every_detector_are_at_hand(face: Face) -> None:
    with nplusone.detect(threshold=2):
        await _nothing(face, 3)
    found = nplusone.recent_findings()[-1]
    assert "nplusone.py:" in found.site or "faces.py:" in found.site
    assert found.count == 3
    assert len(nplusone.recent_findings()) <= nplusone.MOST_RECENT


async def _nothing(face: Face, times: int) -> None:
    for _ in range(times):
        await face(Customer.objects.filter(name="nobody").count)()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_pytest_fixture_fails_the_test_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        "import dorm, pytest\n"
        "from dorm.db.connection import get_connection\n"
        "pytest_plugins = ['dorm.contrib.nplusone_pytest']\n"
        "dorm.configure(DATABASES={'default': 'sqlite://'})\n"
        "def load(times):\n"
        "    for _ in range(times):\n"
        "        get_connection().execute('SELECT 1')\n"
        "def test_few(no_nplusone):\n    load(5)\n"
        "def test_many(no_nplusone):\n    load(6)\n"
        "@pytest.mark.nplusone(threshold=20)\n"
        "def test_allowed(no_nplusone):\n    load(20)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_shop.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "test_shop.py:7" in done.stdout


def _views(lines: str) -> Any:
    """Return a coroutine function of a file of the user's, whose ``send`` calls (or awaits) what it is given."""
    names: dict[str, Any] = {}
    exec(compile(f"async def view(send):\n{lines}", "/srv/app/views.py", "exec"), names)
    return names["view"]


async def test_the_stack_is_looked_at_from_half_of_the_threshold_on(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)
    sent: list[int] = []
    looked: list[int] = []
    real = scopes.call_site
    monkeypatch.setattr(scopes, "call_site", lambda: (looked.append(len(sent)), real())[1])
    query = Customer.objects.filter(name="Ann")
    with nplusone.request_scope():
        with pytest.raises(NPlusOneError, match=r"11 statements .*"):
            for number in range(1, 20):
                sent.append(number)
                await face(query.exists)()
    assert len(sent) == 11
    assert looked == [5, 6, 7, 8, 9, 10, 11]


async def test_the_line_of_the_loop_is_named(face: Face) -> None:
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)
    query = Customer.objects.filter(name="Ann")
    send, word = (query.aexists, "await ") if face.is_async else (query.exists, "")
    with nplusone.request_scope():
        with pytest.raises(NPlusOneError, match=r"11 statements .* at /srv/app/views\.py:3: "):
            await _views(f"    for _ in range(20):\n        {word}send()\n")(send)
    with nplusone.request_scope():
        # Eight from one line and five from another: neither line repeats it more than ten times.
        await _views(f"    for _ in range(8):\n        {word}send()\n    for _ in range(5):\n        {word}send()\n")(
            send
        )


def test_a_scope_keeps_a_bounded_number_of_templates_and_lines() -> None:
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="log", DEBUG_NPLUSONE_THRESHOLD=1)
    with nplusone.request_scope() as scope:
        for number in range(scopes.MOST_KEYS + 10):
            scope.count(f"SELECT {number}", 1, frozenset())
        assert len(scope._sums) <= scopes.MOST_KEYS
        assert sum(map(len, scope._sites.values())) <= scopes.MOST_KEYS


async def test_settings_that_change_take_effect(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    await _rows(face, 1)
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="log", DEBUG_NPLUSONE_THRESHOLD=20)
    detector = nplusone.global_detector()
    assert detector is not None
    with nplusone.request_scope():
        await _load(face, 12)
    assert "N+1" not in caplog.text
    dorm.configure(DEBUG_NPLUSONE_THRESHOLD=10)
    with nplusone.request_scope():
        await _load(face, 12)
    assert caplog.text.count("N+1: 11 statements") == 1
    dorm.configure(DEBUG_NPLUSONE="raise")
    with nplusone.request_scope(), pytest.raises(NPlusOneError):
        await _load(face, 12)
    assert nplusone.global_detector() is detector
    dorm.configure(DEBUG_NPLUSONE=False)
    assert nplusone.global_detector() is None
    assert not hooks.chain.active
    await _load(face, 30)


async def test_the_warning_says_what_where_and_how_to_mend(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE=True, DEBUG_NPLUSONE_THRESHOLD=3)
    long = " OR ".join([f"name = 'x{number}'" for number in range(60)])
    with nplusone.request_scope():
        for _ in range(5):
            await face(Customer.objects.filter(pk=1).exists)()
            await raw(face, f"SELECT email FROM contrib_tests_customer WHERE {long}")
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    first, second = caplog.messages
    assert re.search(r"^N\+1: 4 statements of one template \(threshold 3\) at \S+\.py:\d+: SELECT ", first)
    assert first.endswith("Order.objects.select_related('customer'), or fetch_mode(FETCH_PEERS)")
    template = second.partition(".py:")[2].partition(": ")[2].partition(" -- ")[0]
    assert len(template) == 500
    assert "x1" not in second


def test_a_thread_begins_anew_after_a_second_without_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    Customer.objects.create(name="Ann")
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)
    now = [100.0]
    monkeypatch.setattr(scopes, "monotonic", lambda: now[0])

    def load(seconds: float, times: int) -> None:
        for _ in range(times):
            now[0] += seconds
            Customer.objects.get(name="Ann")

    load(1.1, 30)
    now[0] += 5
    with pytest.raises(NPlusOneError):
        load(0.9, 11)


def test_tasks_of_one_group_are_one_scope() -> None:
    Customer.objects.create(name="Ann")
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)

    async def one() -> None:
        await Customer.objects.aget(name="Ann")

    async def group(number: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(number):
                tasks.create_task(one())

    asyncio.run(group(10))
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(group(11))
    assert caught.group_contains(NPlusOneError)


def test_findings_are_kept_within_bounds() -> None:
    detector = NPlusOneDetector(1, raise_on_detect=False)
    for number in range(nplusone.MOST_FINDINGS + 50):
        detector.found(nplusone.Finding(f"SELECT {number}", 2, 1, "x.py:1", "", "default"))
    assert len(detector.findings) == len(detector.details) == nplusone.MOST_FINDINGS
    assert detector.findings[-1] == (f"SELECT {nplusone.MOST_FINDINGS + 49}", 2)


async def test_what_dorm_sends_for_itself_is_not_counted(face: Face) -> None:
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=2)
    with nplusone.request_scope() as scope:
        for _ in range(5):
            assert (await face(dorm.health_check)())["status"] == "ok"
            async with face.atomic(), face.atomic():
                pass
    assert scope._sums == {}


async def test_models_that_are_not_whole_yet_cost_nobody_a_statement(
    face: Face, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relation to a model whose module was not imported, one without a way back: the report has another hint."""

    monkeypatch.setattr(registry, "_models", dict(registry._models))
    monkeypatch.setattr(registry, "_waiting", list(registry._waiting))

    class Waiting(dorm.Model):
        owner = dorm.ForeignKey("nowhere.Owner")
        parent = dorm.ForeignKey("self", null=True, related_name="+")

        class Meta:
            app_label = "nplusone_tests"
            db_table = "nplusone_waiting"

    await script(face, "CREATE TABLE nplusone_waiting (id int, owner_id int, parent_id int)")
    try:
        found = hints.hint_for('SELECT "id" FROM "contrib_tests_customer" WHERE "id" = ?')
        assert found.startswith("fetch Customer with its owner: Order.objects.select_related('customer')")
        dorm.configure(DEBUG=True, DEBUG_NPLUSONE="log", DEBUG_NPLUSONE_THRESHOLD=2)
        with nplusone.request_scope():
            for column in ("id", "owner_id", "parent_id"):
                for _ in range(5):
                    assert await raw(face, f"SELECT id FROM nplusone_waiting WHERE {column} = %s", 1) == []
        said = [each.partition(" -- ")[2] for each in caplog.messages]
        assert said == [
            "fetch Waiting with its owner: Waiting.objects.select_related('parent'), or fetch_mode(FETCH_PEERS)",
            "fetch them with Waiting.objects.filter(owner__in=[...])",
            "fetch them with Waiting.objects.filter(parent__in=[...])",
        ]
        monkeypatch.setattr(hints, "_hint", lambda template: 1 // 0)
        caplog.clear()
        with nplusone.request_scope():
            for _ in range(5):
                await raw(face, "SELECT id FROM nplusone_waiting WHERE id = %s", 1)
        assert "no hint for SELECT id" in caplog.text
        assert caplog.messages[-1].startswith("N+1: 3 statements")
    finally:
        await script(face, "DROP TABLE nplusone_waiting")
