"""After fork(): what watches statements works in the child, whatever the parent's threads held, and counts anew."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import dorm
from dorm.contrib import nplusone, otel, plan_drift, prometheus, querystats, slow_explain, sql_allowlist
from dorm.contrib.nplusone import detector as blocks, process
from dorm.contrib.querylog import QueryLog
from dorm.db import hooks
from dorm.db.connection import get_connection
from dorm.db.forks import in_child
from tests.contrib.models import Customer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() here"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def in_a_child(work: Callable[[], Any]) -> None:
    """Run *work* in a forked process; fail when it raises, or waits for ever."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            threading.Timer(20, os._exit, [3]).start()
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_locks_that_other_threads_held_are_free_in_the_child(shop: dict[str, Any]) -> None:
    uninstalls = [
        prometheus.install(),
        querystats.collector().enable(),
        slow_explain.install(),
        otel.instrument(),
        sql_allowlist.install([], raise_on_violation=False),
    ]
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="log", SLOW_QUERY_MS=0)
    detector = nplusone.global_detector()
    assert detector is not None
    policy = sql_allowlist._state.policy
    assert policy is not None
    locks = [hooks.chain._lock, prometheus._metrics.lock, querystats.collector()._lock, slow_explain._state.lock]
    locks += [otel._state.lock, sql_allowlist._state.lock, policy.lock, detector._lock, process._global.lock]
    locks += [blocks._shared.lock, plan_drift._lock]
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        done.wait(60)
        for lock in reversed(locks):
            lock.release()

    def work() -> None:
        with QueryLog() as log, nplusone.detect(threshold=3) as found:
            for _ in range(5):
                get_connection().execute("SELECT 1")
        assert log.count == 5
        assert len(found.findings) == 1
        assert [each.count for each in querystats.collector().snapshot()] == [5], "the child's own"
        assert " 5\n" in prometheus.metrics_response()
        assert plan_drift.baselines() == {}
        assert slow_explain.recent_plans()
        for uninstall in uninstalls:
            uninstall()

    Customer.objects.count()
    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        in_a_child(work)
    finally:
        done.set()
        thread.join()
        for uninstall in uninstalls:
            uninstall()


def test_a_list_in_force_is_in_force_in_the_child(shop: dict[str, Any]) -> None:
    count = 'SELECT COUNT(*) FROM "contrib_tests_customer"'
    remove = sql_allowlist.install([count], allow_ddl=False)
    plan = plan_drift.record_baseline("count", count)
    with nplusone.detect(threshold=1):
        Customer.objects.count()
        Customer.objects.count()
    assert nplusone.recent_findings()

    def work() -> None:
        assert Customer.objects.count() == 0
        with pytest.raises(sql_allowlist.SQLNotAllowedError):
            Customer.objects.all().delete()
        with pytest.raises(sql_allowlist.SQLNotAllowedError):
            get_connection().execute_script("DROP TABLE contrib_tests_order")
        assert len(sql_allowlist.rejected_templates()) == 2
        assert plan_drift.baselines() == {"count": plan}
        assert not plan_drift.compare("count", count).drifted
        assert nplusone.recent_findings() == [], "what the parent found is the parent's"
        remove()
        Customer.objects.all().delete()

    try:
        in_a_child(work)
        assert sql_allowlist.rejected_templates() == [], "each process has its own"
        with pytest.raises(sql_allowlist.SQLNotAllowedError):
            Customer.objects.all().delete()
    finally:
        remove()
        plan_drift.reset()


def test_an_owner_that_went_is_not_told() -> None:
    told: list[str] = []

    class Owner:
        pass

    kept, gone = Owner(), Owner()
    in_child(kept, lambda owner: told.append("kept"))
    in_child(gone, lambda owner: told.append("gone"))
    del gone

    def work() -> None:
        assert told == ["kept"]

    in_a_child(work)
    assert told == []
