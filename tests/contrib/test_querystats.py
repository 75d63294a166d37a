"""Statistics by template."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import dorm
from dorm.contrib import prometheus, querystats
from dorm.db.hooks import Observation, chain
from dorm.db.statement import Statement, Template
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
    assert set(first) == {"template", "count", "total_ms", "p50_ms", "p95_ms", "p99_ms"}


# -- acceptance --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shop")
async def test_a_thousand_statements_of_two_tables_are_two_exact_counts(face: Face) -> None:
    collector = querystats.collector()
    collector.enable()
    for number in range(500):
        await face(Customer.objects.filter(id=number).exists)()
        await face(Order.objects.filter(id=number).exists)()
    kept = collector.snapshot()
    assert [each.count for each in kept] == [500, 500]
    assert kept[0].total_ms >= kept[1].total_ms
    before = [(each.template, each.count, each.total_ms, list(each.samples)) for each in kept]
    await face(Customer.objects.filter(id=1).exists)()
    assert [(each.template, each.count, each.total_ms, list(each.samples)) for each in kept] == before
    collector.disable()
    await face(Customer.objects.filter(id=1).exists)()
    assert sum(each.count for each in collector.snapshot()) == 1001
    querystats.reset()
    assert collector.snapshot() == []
    assert querystats.render_text() == ""
    assert querystats.render_json() == []


@pytest.mark.usefixtures("shop")
async def test_lists_of_one_to_five_hundred_values_are_one_template(face: Face) -> None:
    querystats.collector().enable()
    for size in (1, 2, 3, 10, 99, 100, 500):
        listed = ", ".join(["%s"] * size)
        await raw(face, f"SELECT name FROM contrib_tests_customer WHERE id IN ({listed})", *range(size))
    (stats,) = querystats.collector().snapshot()
    assert stats.template == "SELECT name FROM contrib_tests_customer WHERE id IN(?)"
    assert stats.count == 7


def test_eight_threads_of_ten_thousand_count_exactly() -> None:
    querystats.collector().enable()
    statement = Statement(Template("SELECT a FROM b WHERE c = ?"))

    def work() -> None:
        for _ in range(10_000):
            chain.tell(Observation(statement, "default", "sqlite", 0.001))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    (stats,) = querystats.collector().snapshot()
    assert stats.count == 80_000
    assert stats.total_ms == pytest.approx(80_000)


def test_families_stand_together_and_long_labels_end_in_a_digest() -> None:
    querystats.collector().enable()
    long = ", ".join(f"column_{number}" for number in range(50))
    for name in ('"odd""name"', "back", long, f"{long}, more"):
        chain.tell(Observation(Statement(Template(f"SELECT {name} FROM t")), "default", "postgresql", 0.0015))
    lines = querystats.render_text().splitlines()
    order = [line.split("{")[0] for line in lines if not line.startswith("#")]
    assert order == [name for name in dict.fromkeys(order) for _ in range(4)], "each family is one block of four"
    for name, kind in (("count", "counter"), ("total_ms", "counter"), ("p50_ms", "gauge"), ("p99_ms", "gauge")):
        place = lines.index(f"# TYPE dorm_template_{name} {kind}")
        assert lines[place - 1].startswith(f"# HELP dorm_template_{name} ")
        assert lines[place + 1].startswith(f"dorm_template_{name}{{")
    assert any('template="SELECT \\"odd\\"\\"name\\" FROM t"' in line for line in lines)
    assert any(line.endswith("} 1.500") for line in lines)
    labels = [querystats.label(each.template) for each in querystats.collector().snapshot()]
    cut = [each for each in labels if "…" in each]
    assert len(cut) == len(set(cut)) == 2
    assert all(re.fullmatch(r".{111}…[0-9a-f]{8}", each) for each in cut)
    for each in querystats.render_json():
        assert each.keys() - {"alias"} == {"template", "count", "total_ms", "p50_ms", "p95_ms", "p99_ms"}
        assert each["total_ms"] == 1.5
