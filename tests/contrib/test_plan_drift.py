"""Plan drift: what is drift, what is not, files, and that nothing of the query is run."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

import dorm
from dorm import transaction
from dorm.contrib import plan_drift
from tests.contrib.models import Customer, Order
from tests.contrib.raw import script
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("shop")

BY_NUMBER = "SELECT id FROM contrib_tests_order WHERE number = %s"


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    plan_drift.reset()


async def _orders(face: Face, number: int, start: int = 0) -> None:
    customer, _ = await face(Customer.objects.create)(name="Ann"), None
    await face(Order.objects.bulk_create)([Order(customer=customer, number=start + each) for each in range(number)])
    await script(face, "ANALYZE")


async def _indexed(face: Face) -> None:
    await script(face, "CREATE INDEX by_number ON contrib_tests_order (number)")
    await _orders(face, 2000)


async def test_an_index_that_goes_is_drift_and_other_values_are_not(face: Face) -> None:
    await _indexed(face)
    plan = await face(plan_drift.record_baseline)("orders", BY_NUMBER, params=[1])
    assert "by_number" in plan
    assert plan_drift.baselines() == {"orders": plan}
    result = await face(plan_drift.compare)("orders", BY_NUMBER, params=[1999])
    assert not result.drifted
    assert plan_drift.diff_text(result) == ""
    await _orders(face, 6000, start=2000)
    if face.is_async:
        await script(face, "VACUUM")
    assert not (await face(plan_drift.compare)("orders", BY_NUMBER, params=[5])).drifted
    await script(face, "DROP INDEX by_number")
    result = await face(plan_drift.compare)("orders", BY_NUMBER, params=[1])
    assert result.drifted
    text = plan_drift.diff_text(result)
    assert text.startswith("--- baseline:orders\n+++ current:orders")
    assert "by_number" in text


async def test_both_faces_share_baselines(face: Face) -> None:
    await _indexed(face)
    plan = plan_drift.record_baseline("sync", BY_NUMBER, params=[1])
    if face.is_async:
        assert not (await plan_drift.acompare("sync", BY_NUMBER, params=[2])).drifted
        assert await plan_drift.arecord_baseline("async", BY_NUMBER, params=[1]) == plan
        assert not plan_drift.compare("async", BY_NUMBER, params=[2]).drifted


async def test_a_block_goes_on_after_a_comparison(face: Face) -> None:
    await face(plan_drift.record_baseline)("orders", BY_NUMBER, params=[1])
    async with face.atomic():
        await face(Customer.objects.create)(name="kept")
        await face(plan_drift.compare)("orders", BY_NUMBER, params=[1])
        with pytest.raises(Exception, match="nowhere"):
            await face(plan_drift.record_baseline)("bad", "SELECT x FROM nowhere")
        await face(Customer.objects.create)(name="kept too")
    assert await face(Customer.objects.count)() == 2
    assert "bad" not in plan_drift.baselines()


async def test_writes_are_planned_and_not_run(face: Face) -> None:
    await face(Customer.objects.create)(name="Ann")
    await face(plan_drift.record_baseline)("wipe", "DELETE FROM contrib_tests_customer WHERE name = %s", params=["Ann"])
    assert await face(Customer.objects.count)() == 1


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; DROP TABLE contrib_tests_order",
        "EXPLAIN SELECT 1",
        "ANALYZE",
        "VACUUM",
        "  ",
        ";",
        "-- nothing",
        "DROP TABLE contrib_tests_order",
        "SELECT 'unterminated",
        "WITH d AS (DELETE FROM contrib_tests_order RETURNING id) SELECT 1",
    ],
)
async def test_only_single_statements_with_plans(face: Face, sql: str) -> None:
    with pytest.raises(ValueError):
        await face(plan_drift.record_baseline)("x", sql)
    assert await face(Order.objects.count)() == 0


async def test_unknown_and_empty_tags(face: Face) -> None:
    with pytest.raises(KeyError, match="nothing"):
        await face(plan_drift.compare)("nothing", "SELECT 1")
    with pytest.raises(ValueError, match="tag"):
        await face(plan_drift.record_baseline)("", "SELECT 1")


async def test_parameters_are_bound_as_the_query_does(face: Face) -> None:
    named = "SELECT id FROM contrib_tests_order WHERE number = %(number)s OR number = %(other)s"
    await face(plan_drift.record_baseline)("named", named, params={"number": 1, "other": 2})
    assert not (await face(plan_drift.compare)("named", named, params={"other": 3, "number": 2})).drifted
    for value in (Decimal("1.5"), date(2026, 1, 1), uuid.uuid4(), None, "it's 100 %"):
        sql = "SELECT name FROM contrib_tests_customer WHERE CAST(name AS text) = CAST(%s AS text) OR name LIKE '%%x'"
        await face(plan_drift.record_baseline)("typed", sql, params=[value])
        assert not (await face(plan_drift.compare)("typed", sql, params=[value])).drifted
    await face(plan_drift.record_baseline)("none", "SELECT name FROM contrib_tests_customer WHERE name LIKE '%x'")
    with pytest.raises(dorm.ProgrammingError, match=r"1 placeholders .* and 2 parameters"):
        await face(plan_drift.record_baseline)("many", BY_NUMBER, params=[1, 2])


async def test_a_capture_that_fails_leaves_the_baseline(face: Face) -> None:
    plan = await face(plan_drift.record_baseline)("orders", BY_NUMBER, params=[1])
    await script(face, "DROP TABLE contrib_tests_order")
    for call in (plan_drift.record_baseline, plan_drift.compare):
        with pytest.raises(dorm.DatabaseError):
            await face(call)("orders", BY_NUMBER, params=[1])
    assert plan_drift.baselines() == {"orders": plan}


async def test_an_unknown_tag_is_told_before_anything_else(face: Face) -> None:
    with pytest.raises(KeyError, match="no baseline 'unheard' was recorded"):
        await face(plan_drift.compare)("unheard", BY_NUMBER, using="no such database")


async def test_another_version_of_the_server_is_noted(face: Face, tmp_path: Path) -> None:
    await face(plan_drift.record_baseline)("orders", BY_NUMBER, params=[1])
    path = Path(plan_drift.save(tmp_path / "baselines.json"))
    document = json.loads(path.read_text())
    assert set(document["plans"]["orders"]) >= {"plan", "template", "vendor", "server", "recorded_at"}
    now = document["plans"]["orders"]["server"]
    document["plans"]["orders"]["server"] = "9"
    path.write_text(json.dumps(document))
    plan_drift.load(path)
    result = await face(plan_drift.compare)("orders", BY_NUMBER, params=[1])
    assert not result.drifted
    assert result.note == f"recorded on server 9, now {now}"


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_plans_are_those_of_the_schema_that_code_sees(face: Face) -> None:
    await script(face, "CREATE SCHEMA other; CREATE TABLE other.contrib_tests_order AS SELECT 1 AS id, 2 AS number")
    try:
        seen = await face(plan_drift.record_baseline)("orders", BY_NUMBER, params=[1])
        async with face.atomic():
            await script(face, "SET LOCAL search_path TO other; CREATE INDEX there ON contrib_tests_order (number)")
            await script(face, "SET LOCAL enable_seqscan = off")
            result = await face(plan_drift.compare)("orders", BY_NUMBER, params=[1])
            assert "there" in result.current
        assert "there" not in seen
    finally:
        await script(face, "DROP SCHEMA other CASCADE")


async def test_another_statement_under_the_tag_is_told(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    await face(plan_drift.record_baseline)("orders", BY_NUMBER, params=[1])
    result = await face(plan_drift.compare)("orders", "SELECT id FROM contrib_tests_customer")
    assert result.note == "another statement"
    assert "'orders'" in caplog.text


async def test_a_file_goes_into_version_control(face: Face, tmp_path: Path) -> None:
    await _indexed(face)
    path = tmp_path / "plans.json"
    await face(plan_drift.record_to_file)(path, "orders", BY_NUMBER, params=[1])
    await face(plan_drift.record_to_file)(path, "all", "SELECT * FROM contrib_tests_order")
    assert json.loads(path.read_text())["plans"]["orders"]["sql"] == BY_NUMBER
    assert [each.drifted for each in await face(plan_drift.check_file)(path)] == [False, False]
    await script(face, "DROP INDEX by_number")
    found = {each.tag: each.drifted for each in await face(plan_drift.check_file)(path)}
    assert found == {"all": False, "orders": True}
    with pytest.raises(KeyError, match="nothing"):
        await face(plan_drift.check_file)(path, ["nothing"])
    path.write_text('{"version": 9, "plans": {}}')
    with pytest.raises(ValueError, match="version"):
        await face(plan_drift.check_file)(path)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_partitions_may_follow_each_other(face: Face, tmp_path: Path) -> None:
    def part(month: int) -> str:
        return (
            f"CREATE TABLE events_2026_{month:02d} PARTITION OF events "
            f"FOR VALUES FROM ('2026-{month:02d}-01') TO ('2026-{month + 1:02d}-01')"
        )

    sql = "SELECT id FROM events WHERE id = %s ORDER BY at"
    path = tmp_path / "plans.json"
    await script(face, f"CREATE TABLE events (id int, at date) PARTITION BY RANGE (at); {part(1)}; {part(2)}")
    await script(face, "CREATE INDEX ON events (id)")
    try:
        await face(plan_drift.record_baseline)("exact", sql, params=[1])
        folded = await face(plan_drift.record_baseline)("folded", sql, params=[1], fold_partitions=True)
        assert "events_?" in folded
        assert "2026" not in folded
        await face(plan_drift.record_to_file)(path, "folded", sql, params=[1], fold_partitions=True)
        baselines = plan_drift.save(tmp_path / "baselines.json")
        plan_drift.reset()
        assert plan_drift.load(baselines) == 2
        await script(face, f"DROP TABLE events_2026_01; {part(3)}")
        assert (await face(plan_drift.compare)("exact", sql, params=[1])).drifted
        assert not (await face(plan_drift.compare)("folded", sql, params=[1])).drifted
        assert [each.drifted for each in await face(plan_drift.check_file)(path)] == [False]
        await script(face, part(4))
        assert (await face(plan_drift.compare)("folded", sql, params=[1])).drifted, "three are not two"
    finally:
        await script(face, "DROP TABLE events")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"{", "no JSON: .* at line 1, column 2"),
        (b"\xff", "no UTF-8: byte 0"),
        (b"[]", "a list instead of an object"),
        (b'{"version": 1}', "no object 'plans'"),
        (b'{"version": 2, "plans": {}}', "version 2; this dorm reads 1"),
        (b'{"plans": {}}', "version None"),
        (b'{"version": 1, "plans": {"orders": 3}}', "'orders' has no 'plan'"),
        (b'{"version": 1, "plans": {"orders": {"plan": [1]}}}', "'orders' has no 'plan'"),
    ],
)
async def test_wrong_files_are_refused_and_change_nothing(
    face: Face, tmp_path: Path, content: bytes, match: str
) -> None:
    await face(plan_drift.record_baseline)("kept", BY_NUMBER, params=[1])
    before = plan_drift.baselines()
    path = tmp_path / "plans.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as caught:
        plan_drift.load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ValueError, match=match):
        await face(plan_drift.check_file)(path)
    with pytest.raises(ValueError, match=match):
        await face(plan_drift.record_to_file)(path, "orders", BY_NUMBER, params=[1])
    assert plan_drift.baselines() == before
    assert path.read_bytes() == content
    with pytest.raises(FileNotFoundError):
        await face(plan_drift.check_file)(tmp_path / "nothing.json")


async def test_what_a_file_cannot_hold_is_refused_before_anything_is_sent(face: Face, tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    with pytest.raises(TypeError, match=r"params\[1\] is a date"):
        await face(plan_drift.record_to_file)(path, "x", BY_NUMBER, params=[1, date(2026, 1, 1)])
    assert not path.exists()
    await face(plan_drift.record_baseline)("x", BY_NUMBER, params=[1])
    plan_drift.save(path)
    with pytest.raises(ValueError, match=r"'x' has no statement 'sql': record it with record_to_file"):
        await face(plan_drift.check_file)(path)


async def test_baselines_survive_a_file(face: Face, tmp_path: Path) -> None:
    await face(plan_drift.record_baseline)("orders", BY_NUMBER, params=[1])
    before = plan_drift.baselines()
    path = plan_drift.save(tmp_path / "baselines.json")
    plan_drift.reset()
    assert plan_drift.load(path) == 1
    assert plan_drift.baselines() == before


@pytest.mark.parametrize("backend", ["postgresql"])
def test_many_comparisons_over_a_small_pool(shop: dict[str, Any]) -> None:
    import dorm

    dorm.configure(DATABASES={"default": {**shop, "MAX_POOL_SIZE": 2}})
    plan_drift.record_baseline("orders", BY_NUMBER, params=[1])

    async def main() -> list[plan_drift.CompareResult]:
        return await asyncio.gather(
            *(plan_drift.acompare("orders", BY_NUMBER, params=[number]) for number in range(50))
        )

    assert not any(each.drifted for each in asyncio.run(main()))


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_cancelled_comparison_leaves_block_and_baseline(shop: dict[str, Any]) -> None:
    plan = plan_drift.record_baseline("orders", BY_NUMBER, params=[1])

    async def main() -> list[str]:
        with psycopg.connect(shop["URL"]) as other:
            async with transaction.atomic():
                await Customer.objects.acreate(name="before")
                other.execute("LOCK TABLE contrib_tests_order IN ACCESS EXCLUSIVE MODE")
                for call in (plan_drift.acompare, plan_drift.arecord_baseline):
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.3):
                            await call("orders", BY_NUMBER, params=[2])
                other.rollback()
                await Customer.objects.acreate(name="after")
        assert not (await plan_drift.acompare("orders", BY_NUMBER, params=[3])).drifted
        return [each.name async for each in Customer.objects.order_by("id")]

    assert asyncio.run(main()) == ["before", "after"]
    assert plan_drift.baselines() == {"orders": plan}


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_comparison_that_waits_does_not_stop_the_loop(shop: dict[str, Any]) -> None:
    plan_drift.record_baseline("orders", BY_NUMBER, params=[1])

    async def main() -> float:
        longest, over = 0.0, False

        async def beat() -> None:
            nonlocal longest
            while not over:
                before = asyncio.get_running_loop().time()
                await asyncio.sleep(0.01)
                longest = max(longest, asyncio.get_running_loop().time() - before - 0.01)

        heart = asyncio.create_task(beat())
        with psycopg.connect(shop["URL"]) as other:
            other.execute("LOCK TABLE contrib_tests_order IN ACCESS EXCLUSIVE MODE")
            waiting = asyncio.create_task(plan_drift.acompare("orders", BY_NUMBER, params=[2]))
            await asyncio.sleep(1)
            other.rollback()
        assert not (await waiting).drifted
        over = True
        await heart
        return longest

    assert asyncio.run(main()) < 0.5, "the wait of a second is not the loop's"


def test_threads_and_tasks_record_and_compare_at_once(tmp_path: Path) -> None:
    plans = {
        tag: plan_drift.record_baseline(tag, sql, params=params)
        for tag, sql, params in (("one", BY_NUMBER, [1]), ("two", "SELECT name FROM contrib_tests_customer", []))
    }
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                assert plan_drift.record_baseline("one", BY_NUMBER, params=[turn]) == plans["one"]
                assert not plan_drift.compare("one", BY_NUMBER, params=[number]).drifted
                assert plan_drift.baselines() == plans
                assert plan_drift.load(plan_drift.save(tmp_path / f"{number}.json")) == 2
        except BaseException as exc:
            failed.append(exc)

    async def awork(number: int) -> None:
        assert await plan_drift.arecord_baseline("one", BY_NUMBER, params=[number]) == plans["one"]
        assert not (await plan_drift.acompare("one", BY_NUMBER, params=[number])).drifted

    async def main() -> None:
        await asyncio.gather(*(awork(number) for number in range(20)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    threads.append(threading.Thread(target=asyncio.run, args=(main(),)))
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert plan_drift.baselines() == plans
