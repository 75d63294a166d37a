"""Statistics by template and what Prometheus gets of them."""

from __future__ import annotations

import asyncio
import json
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
from tests.contrib.models import Customer, Order
from tests.contrib.raw import raw
from tests.support.faces import Face


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    querystats.reset()
    yield
    querystats.collector().disable()
    querystats.reset()
    prometheus.uninstall()


# -- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "wanted"),
    [
        (range(1, 101), (50, 95, 99)),
        ([5], (5, 5, 5)),
        ([1, 2, 3, 4], (2, 4, 4)),
        ([], (0.0, 0.0, 0.0)),
        ([1, 100], (1, 100, 100)),
    ],
)
def test_percentiles_are_nearest_ranks(samples: Any, wanted: tuple[float, ...]) -> None:
    stats = querystats.TemplateStats("x")
    for each in samples:
        stats.add(each)
    assert (stats.percentile(0.5), stats.percentile(0.95), stats.percentile(0.99)) == wanted


def test_the_ring_keeps_the_latest_samples() -> None:
    stats = querystats.TemplateStats("x", reservoir_max=3)
    for each in (1, 2, 3, 100):
        stats.add(each, reservoir_max=3)
    assert list(stats.samples) == [2, 3, 100]
    assert stats.count == 4
    with pytest.raises(ValueError, match="percentile"):
        stats.percentile(1.5)


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "10"])
def test_sizes_are_whole_numbers_from_one(size: Any) -> None:
    with pytest.raises(ValueError, match="reservoir_max"):
        querystats.collector().enable(reservoir_max=size)
    assert not querystats.collector().enabled


# -- statements --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shop")
async def test_two_tables_are_two_templates_and_lists_are_one(face: Face) -> None:
    collector = querystats.collector()
    collector.enable()
    collector.enable(reservoir_max=10)
    assert collector.enabled
    for number in range(20):
        await face(Customer.objects.filter(id=number).exists)()
        await face(Order.objects.filter(id=number).exists)()
    for size in range(1, 30):
        await face.rows(Customer.objects.filter(id__in=list(range(size))).values_list("id"))
    found = {stats.template: stats for stats in collector.snapshot()}
    assert sorted(stats.count for stats in found.values()) == [20, 20, 29]
    assert all(len(stats.samples) <= 10 for stats in found.values())
    collector.disable()
    await face(Customer.objects.count)()
    assert sum(stats.count for stats in collector.snapshot()) == 69


@pytest.mark.usefixtures("shop")
async def test_failures_count_and_are_told_apart(face: Face) -> None:
    querystats.collector().enable()
    with pytest.raises(dorm.DatabaseError):
        await raw(face, "SELECT missing FROM nowhere WHERE x = %s", 1)
    with pytest.raises(dorm.DatabaseError):
        await raw(face, "SELECT 'unterminated")
    first, second = querystats.collector().snapshot()
    assert {first.template, second.template} == {"SELECT missing FROM nowhere WHERE x = ?", "(unparsable)"}
    assert first.errors == second.errors == 1


@pytest.mark.usefixtures("shop")
def test_counts_are_exact_under_threads_and_tasks() -> None:
    querystats.collector().enable()

    def work() -> None:
        for _ in range(200):
            Customer.objects.filter(id=1).exists()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def main() -> None:
        await asyncio.gather(*(Customer.objects.filter(id=1).aexists() for _ in range(100)))

    asyncio.run(main())
    (stats,) = querystats.collector().snapshot()
    assert stats.count == 1700


@pytest.mark.usefixtures("shop")
async def test_templates_are_bounded(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    querystats.collector().enable(max_templates=3)
    for name in "abcdef":
        await raw(face, f"SELECT 1 AS {name}")
    found = {stats.template: stats.count for stats in querystats.collector().snapshot()}
    assert found["(other)"] == 3
    assert len(found) == 4
    assert caplog.text.count("further ones are counted") == 1


# -- text and JSON -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shop")
async def test_the_official_parser_reads_the_text(face: Face) -> None:
    querystats.collector().enable()
    await raw(face, "SELECT 'x' AS \"odd\\name\"")
    await raw(face, f"SELECT {', '.join(f'1 AS column_{n}' for n in range(50))}")
    await raw(face, f"SELECT {', '.join(f'1 AS column_{n}' for n in range(51))}")
    text = querystats.render_text()
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert {name: each.type for name, each in families.items()} == {
        "dorm_template_count": "counter",
        "dorm_template_total_ms": "counter",
        "dorm_template_p50_ms": "gauge",
        "dorm_template_p95_ms": "gauge",
        "dorm_template_p99_ms": "gauge",
    }
    labels = [sample.labels["template"] for sample in families["dorm_template_p50_ms"].samples]
    assert len(set(labels)) == 3
    assert 'SELECT ? AS "odd\\name"' in labels
    assert all(len(label) <= 120 for label in labels)
    (first, *_) = querystats.render_json()
    assert json.loads(json.dumps(querystats.render_json()))[0]["template"] == first["template"]
    assert {"template", "count", "total_ms", "p50_ms", "p95_ms", "p99_ms"} <= set(first)


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
    assert list(text_string_to_metric_families(prometheus.metrics_response())) == []


@pytest.mark.usefixtures("shop")
def test_five_thousand_templates_stay_two_hundred_series() -> None:
    collector = querystats.collector()
    collector.enable(max_templates=6000)
    from dorm.db.hooks import Observation, chain
    from dorm.db.statement import Statement, Template

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
