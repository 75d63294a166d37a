"""One scrape for statements, pools, caches and statistics by template."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import dorm
from dorm.contrib import prometheus, querystats
from dorm.db.connection import close_all
from dorm.db.hooks import Observation, chain
from dorm.db.lease import Acquire, Release
from dorm.db.operation import arun, ask, run
from dorm.db.statement import Statement, Template
from tests.contrib.models import Customer
from tests.contrib.raw import raw
from tests.support.faces import Face


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    querystats.reset()
    yield
    querystats.collector().disable()
    querystats.reset()
    prometheus.uninstall()


# -- one scrape --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shop")
async def test_one_scrape_has_everything(face: Face) -> None:
    prometheus.install()
    prometheus.install()
    querystats.collector().enable()
    prometheus.record_cache_hit()
    prometheus.record_cache_miss("other")
    await face(Customer.objects.count)()
    with pytest.raises(dorm.DatabaseError):
        await raw(face, "SELECT nothing FROM nowhere")
    text = prometheus.metrics_response()
    assert text.endswith("\n")
    families = {each.name: each for each in text_string_to_metric_families(text)}
    outcomes = {s.labels["outcome"]: s.value for s in families["dorm_queries"].samples}
    assert outcomes == {"ok": 1.0, "error": 1.0}
    bounds = [s.labels["le"] for s in families["dorm_query_duration_seconds"].samples if s.name.endswith("bucket")]
    assert bounds == [
        "0.001",
        "0.002",
        "0.005",
        "0.01",
        "0.02",
        "0.05",
        "0.1",
        "0.25",
        "0.5",
        "1.0",
        "2.5",
        "5.0",
        "+Inf",
    ]
    assert 'dorm_cache_hits_total{alias="default"} 1' in text
    assert 'dorm_cache_misses_total{alias="other"} 1' in text
    assert "dorm_template_count" in text
    querystats.collector().disable()
    assert "dorm_template" not in prometheus.metrics_response()
    prometheus.uninstall()
    assert "dorm_queries_total" not in prometheus.metrics_response()


def test_without_anything_the_response_is_valid() -> None:
    families = text_string_to_metric_families(prometheus.metrics_response())
    # Waits for advisory locks count from the first one on, which other tests of this process may have had.
    assert [each.name for each in families if not each.name.startswith("dorm_advisory")] == []


@pytest.mark.usefixtures("shop")
def test_five_thousand_templates_stay_two_hundred_series() -> None:
    collector = querystats.collector()
    collector.enable(max_templates=6000)
    for number in range(5000):
        chain.tell(Observation(Statement(Template(f"SELECT a{number}")), "default", "sqlite", 0.001))
    families = {each.name: each for each in text_string_to_metric_families(prometheus.metrics_response())}
    samples = families["dorm_template_count"].samples
    assert len(samples) == 201
    assert sum(sample.value for sample in samples) == 5000


@pytest.mark.usefixtures("shop")
def test_a_registry_of_prometheus_client_gets_the_same() -> None:
    registry = CollectorRegistry()
    prometheus.register(registry)
    prometheus.install()
    Customer.objects.count()
    assert b"dorm_queries_total" in generate_latest(registry)


# -- pools -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "available", "maximum", "wanted"), [(2, 2, 4, 0.0), (4, 2, 4, 0.5), (4, 0, 4, 1.0), (1, 0, 10, 0.1)]
)
def test_saturation_of_a_pool(size: int, available: int, maximum: int, wanted: float) -> None:
    stats = {"pool_size": size, "pool_available": available, "pool_max": maximum, "requests_num": 1000}
    assert prometheus.saturation(stats) == wanted
    older = {"pool_size": size, "pool_available": available, "max_size": maximum}
    assert prometheus.saturation(older) == wanted


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_full_pool_is_shown_and_warned_about(
    face: Face, shop: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dorm.contrib.prometheus.pool")
    dorm.configure(DATABASES={"default": {**shop, "MAX_POOL_SIZE": 2}})
    for _ in range(5):
        await face(Customer.objects.count)()
    assert 'dorm_pool_saturation{alias="default"} 0.000' in prometheus.metrics_response()
    async with face.atomic():
        assert 'dorm_pool_saturation{alias="default"} 0.500' in prometheus.metrics_response()
        dorm.configure(POOL_SATURATION_WARN=0.5)
        for _ in range(10):
            prometheus.metrics_response()
        warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert "saturated" in warnings[0].getMessage()
    assert 'dorm_pool_saturation{alias="default"} 0.000' in prometheus.metrics_response()
    assert "below its threshold" in caplog.text
    dorm.configure(POOL_SATURATION_WARN="lots")
    prometheus.metrics_response()
    prometheus.metrics_response()
    assert caplog.text.count("is no number from 0") == 1


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.usefixtures("shop")
def test_a_database_without_a_pool_gives_no_series() -> None:
    Customer.objects.count()
    assert "dorm_pool" not in prometheus.metrics_response()


def test_metrics_do_not_load_the_statistics() -> None:
    code = (
        "import sys; from dorm.contrib import prometheus; prometheus.metrics_response(); "
        "assert 'dorm.contrib.querystats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_statistics_that_cannot_be_rendered_cost_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prometheus.record_cache_hit("pages")
    querystats.collector().enable()
    monkeypatch.setattr(querystats, "render_text", lambda top: 1 // 0)
    assert 'dorm_cache_hits_total{alias="pages"} 1' in prometheus.metrics_response()
    assert [each.name for each in caplog.records] == ["dorm.contrib.prometheus"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.usefixtures("shop")
def test_scrapes_and_statements_at_once_count_upwards() -> None:
    prometheus.install()
    querystats.collector().enable()
    errors: list[BaseException] = []
    seen: dict[int, list[float]] = {number: [] for number in range(4)}
    over = threading.Event()

    def scrape(number: int) -> None:
        try:
            while not over.is_set():
                for family in text_string_to_metric_families(prometheus.metrics_response()):
                    if family.name == "dorm_queries":
                        seen[number].append(sum(each.value for each in family.samples))
        except BaseException as exc:
            errors.append(exc)

    def work() -> None:
        try:
            for _ in range(150):
                Customer.objects.count()
        except BaseException as exc:
            errors.append(exc)

    scrapers = [threading.Thread(target=scrape, args=(number,)) for number in seen]
    workers = [threading.Thread(target=work) for _ in range(4)]
    for each in (*scrapers, *workers):
        each.start()
    for each in workers:
        each.join()
    over.set()
    for each in scrapers:
        each.join()
    assert errors == []
    assert all(found == sorted(found) for found in seen.values())
    assert sum(each.count for each in querystats.collector().snapshot()) == 600
    assert max(max(found, default=0) for found in seen.values()) <= 600


@pytest.mark.parametrize("value", [None, 1.01, 5])
@pytest.mark.parametrize("backend", ["postgresql"])
def test_the_warning_can_be_turned_off(value: Any, shop: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    dorm.configure(DATABASES={"default": {**shop, "MAX_POOL_SIZE": 1}}, POOL_SATURATION_WARN=value)
    try:
        with dorm.transaction.atomic():
            Customer.objects.count()
            assert 'dorm_pool_saturation{alias="default"} 1.000' in prometheus.metrics_response()
        assert "saturated" not in caplog.text
    finally:
        dorm.configure(POOL_SATURATION_WARN=0.8)


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.usefixtures("shop")
def test_an_application_of_tasks_alone_has_series_and_a_poll_opens_nothing() -> None:
    close_all()
    dorm.connections["default"]
    assert "dorm_pool" not in prometheus.metrics_response()

    async def main() -> str:
        async with dorm.transaction.atomic():
            await Customer.objects.acount()
            return prometheus.metrics_response()

    assert 'dorm_pool_saturation{alias="default"} 0.100' in asyncio.run(main())


@pytest.mark.usefixtures("shop")
async def test_the_statistics_come_and_go_with_their_collector(face: Face) -> None:
    collector = querystats.collector()
    assert "dorm_template" not in prometheus.metrics_response()
    collector.enable()
    assert "dorm_template" not in prometheus.metrics_response(), "no samples, no HELP and TYPE"
    for _ in range(3):
        await face(Customer.objects.count)()
    for _ in range(2):
        families = {each.name: each for each in text_string_to_metric_families(prometheus.metrics_response())}
        (sample,) = families["dorm_template_count"].samples
        assert sample.value == collector.snapshot()[0].count == 3
        collector.disable()
        assert "dorm_template" not in prometheus.metrics_response()
        collector.enable()


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_pool_of_four_is_watched(face: Face, shop: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dorm.contrib.prometheus.pool")
    dorm.configure(DATABASES={"default": {**shop, "MAX_POOL_SIZE": 4}})
    database = dorm.connections["default"]
    leases: list[Any] = []

    async def hold(number: int) -> None:
        for _ in range(number):
            leases.append(await arun(ask(Acquire(database))) if face.is_async else run(ask(Acquire(database))))

    async def let_go() -> None:
        while leases:
            released = ask(Release(database, leases.pop()))
            _ = await arun(released) if face.is_async else run(released)

    def shown() -> str:
        (line,) = [
            each for each in prometheus.metrics_response().splitlines() if each.startswith("dorm_pool_saturation{")
        ]
        return line.split()[-1]

    def warnings() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]

    for _ in range(25):
        await face(Customer.objects.count)()
    assert shown() == "0.000"
    await hold(2)
    assert shown() == "0.500"
    assert warnings() == []
    await hold(2)
    assert {shown() for _ in range(10)} == {"1.000"}
    (first,) = warnings()
    assert all(word in first for word in ("saturated", "default", "100 %", "4 of 4", "0 requests waiting"))
    await let_go()
    assert shown() == "0.000"
    await hold(4)
    assert shown() == "1.000"
    assert len(warnings()) == 2, "the next crossing warns again"
    await let_go()


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_pool_that_stays_full_is_named_again_once_a_minute(
    shop: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    dorm.configure(DATABASES={"default": {**shop, "MAX_POOL_SIZE": 1}})
    now = [1000.0]
    monkeypatch.setattr(prometheus, "monotonic", lambda: now[0])
    with dorm.transaction.atomic():
        Customer.objects.count()
        for second in range(0, 180, 10):
            now[0] = 1000.0 + second
            prometheus.metrics_response()
    assert caplog.text.count("is saturated") == 3


@pytest.mark.parametrize("value", [float("nan"), -1, True, "lots"])
@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_threshold_that_is_none_counts_as_the_default(
    value: Any, shop: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    dorm.configure(DATABASES={"default": {**shop, "MAX_POOL_SIZE": 1}}, POOL_SATURATION_WARN=value)
    try:
        with dorm.transaction.atomic():
            Customer.objects.count()
            for _ in range(3):
                assert 'dorm_pool_saturation{alias="default"} 1.000' in prometheus.metrics_response()
    finally:
        dorm.configure(POOL_SATURATION_WARN=0.8)
    assert caplog.text.count("is no number from 0: 0.8 is used") == 1
    assert caplog.text.count("is saturated") == 1


@pytest.mark.parametrize("backend", ["postgresql"])
def test_pools_of_both_faces_are_one_series(shop: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**shop, "MAX_POOL_SIZE": 4}})

    async def main() -> str:
        async with dorm.transaction.atomic():
            await Customer.objects.acount()
            return prometheus.metrics_response()

    held = run(ask(Acquire(dorm.connections["default"])))
    try:
        text = asyncio.run(main())
    finally:
        run(ask(Release(dorm.connections["default"], held)))
    assert 'dorm_pool_in_use{alias="default"} 2' in text
    assert 'dorm_pool_size{alias="default"} 2' in text
    assert 'dorm_pool_saturation{alias="default"} 0.250' in text, "the fuller one"
    for name in ("dorm_pool_size", "dorm_pool_in_use", "dorm_pool_saturation"):
        assert text.count(f"# TYPE {name} gauge\n{name}{{") == 1


@pytest.mark.usefixtures("shop")
def test_a_broken_pool_is_passed_over(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG, logger="dorm.contrib.prometheus.pool")
    Customer.objects.count()
    monkeypatch.setattr(type(dorm.connections["default"]), "pools_stats", lambda self: 1 // 0)
    prometheus.record_cache_hit("pages")
    assert 'dorm_cache_hits_total{alias="pages"} 1' in prometheus.metrics_response()
    (record,) = [each for each in caplog.records if each.name == "dorm.contrib.prometheus.pool"]
    assert record.levelno == logging.DEBUG
