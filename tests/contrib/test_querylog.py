"""The query log, the count of a block, and the guard against blocking statements in asyncio code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

import dorm
from dorm.contrib import asyncguard
from dorm.contrib.querycount import query_count_guard
from dorm.contrib.querylog import QueryLog, QueryLogASGIMiddleware, query_log
from tests.contrib.models import Customer
from tests.contrib.raw import raw
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("shop")


async def test_a_log_records_its_block(face: Face, tmp_path: Path) -> None:
    with query_log() as log:
        for name in ("Ann", "Bob"):
            await face(Customer.objects.filter(name=name).count)()
        with pytest.raises(dorm.DatabaseError):
            await raw(face, "SELECT nothing FROM nowhere")
    await face(Customer.objects.count)()
    assert log.count == len(log.records) == 3
    assert log.total_ms > 0
    assert log.records[0].params == ("Ann",)
    assert [each.count for each in log.summary() if "count" in each.template] == [2]
    assert isinstance(log.records[2].error, dorm.DatabaseError)
    path = log.dump_json(tmp_path / "log.json")
    assert "params" not in json.loads(Path(path).read_text())[0]
    lines = Path(log.dump_jsonl(tmp_path / "log.jsonl", include_params=True)).read_text().splitlines()
    assert json.loads(lines[0])["params"] == ["Ann"]


async def test_a_log_becomes_a_parquet_file(face: Face, tmp_path: Path) -> None:
    with query_log() as log:
        await face(Customer.objects.filter(name="Ann").filter(id=7).count)()
        await face(Customer.objects.count)()
        with pytest.raises(dorm.DatabaseError):
            await raw(face, "SELECT nothing FROM nowhere")
    path = log.dump_parquet(tmp_path / "log.parquet")
    assert path == str(tmp_path / "log.parquet")
    table = parquet.read_table(path)
    assert table.column_names == ["sql", "vendor", "alias", "elapsed_ms", "error"]
    assert table.num_rows == 3
    assert "Ann" not in str(table.to_pylist())
    assert table.column("error").to_pylist()[:2] == [None, None]
    assert table.column("error").to_pylist()[2] == type(log.records[2].error).__name__
    assert all(ms > 0 for ms in table.column("elapsed_ms").to_pylist())
    log.dump_parquet(path, include_params=True)
    found = parquet.read_table(path).column("params").to_pylist()
    assert [json.loads(each) for each in found] == [["Ann", 7], [], []]


def test_an_empty_log_becomes_files(tmp_path: Path) -> None:
    with query_log() as log:
        pass
    assert json.loads(Path(log.dump_json(tmp_path / "log.json")).read_text()) == []
    assert Path(log.dump_jsonl(tmp_path / "log.jsonl")).read_text() == ""
    for include in (False, True):
        found = parquet.read_table(log.dump_parquet(tmp_path / "log.parquet", include_params=include))
        assert found.num_rows == 0
        assert found.column_names[:5] == ["sql", "vendor", "alias", "elapsed_ms", "error"]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with query_log() as log:
        pass
    with pytest.raises(ImportError, match=r"dormdb\[parquet\]"):
        log.dump_parquet(tmp_path / "log.parquet")


async def test_values_of_every_kind_can_be_dumped(face: Face, tmp_path: Path) -> None:
    values: list[Any] = [b"\xff\x00", Decimal("1.50"), date(2026, 1, 2), None, 2.5, True, float("nan")]
    with query_log() as log:
        for value in values:
            with contextlib.suppress(dorm.DatabaseError):
                await raw(face, "SELECT %s", value)
    for dump in (log.dump_json, log.dump_jsonl, log.dump_parquet):
        dump(tmp_path / "log", include_params=True)
    lines = Path(log.dump_jsonl(tmp_path / "log", include_params=True)).read_text().splitlines()
    shown = [json.loads(line)["params"][0] for line in lines]
    assert shown[:4] == ["ff00", "1.50", "2026-01-02", None]
    assert shown[4:6] == [2.5, True]
    assert shown[6:] == ["nan"]
    with pytest.raises(OSError):
        log.dump_json(tmp_path / "nowhere" / "log.json")


def test_a_log_sees_its_tasks_and_not_other_threads() -> None:
    def elsewhere() -> None:
        Customer.objects.count()

    async def main() -> int:
        async with QueryLog(max_records=2) as log:
            await asyncio.gather(*(Customer.objects.acount() for _ in range(5)))
            thread = threading.Thread(target=elsewhere)
            thread.start()
            await asyncio.to_thread(thread.join)
        assert len(log.records) == 2
        return log.count

    assert asyncio.run(main()) == 5


def test_a_request_has_its_log() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Customer.objects.acount()
        if scope["type"] == "http":
            assert scope["dorm_querylog"].count == 1

    asyncio.run(QueryLogASGIMiddleware(app)({"type": "http"}, None, None))
    asyncio.run(QueryLogASGIMiddleware(app)({"type": "lifespan"}, None, None))


async def test_a_block_that_sends_too_much_is_warned_about(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    with query_count_guard(warn_above=2, label="the view") as counted:
        for _ in range(3):
            await face(Customer.objects.count)()
    assert counted.count == 3
    assert "the view sent 3 statements, more than 2" in caplog.text
    caplog.clear()
    dorm.configure(QUERY_COUNT_WARN=0)
    with query_count_guard():
        await face(Customer.objects.count)()
    assert "more than 0" in caplog.text
    with pytest.raises(ValueError, match="warn_above"):
        query_count_guard(warn_above=-1).__enter__()


@pytest.fixture
def guard() -> Iterator[None]:
    yield
    asyncguard.disable_async_guard()


@pytest.mark.usefixtures("guard")
def test_blocking_statements_in_a_loop_are_found(caplog: pytest.LogCaptureFixture) -> None:
    async def blocking() -> int:
        return Customer.objects.count()

    async def awaited() -> int:
        return await Customer.objects.acount()

    asyncguard.enable_async_guard("raise")
    assert Customer.objects.count() == 0
    assert asyncio.run(awaited()) == 0
    with pytest.raises(asyncguard.SyncCallInAsyncContext, match=r"test_querylog\.py"):
        asyncio.run(blocking())
    asyncguard.enable_async_guard("raise_first")
    with pytest.raises(asyncguard.SyncCallInAsyncContext):
        asyncio.run(blocking())
    assert asyncio.run(blocking()) == 0
    asyncguard.enable_async_guard()
    caplog.clear()
    asyncio.run(blocking())
    asyncio.run(blocking())
    assert caplog.text.count("a blocking statement") == 1
    with pytest.raises(ValueError, match="mode"):
        asyncguard.enable_async_guard("shout")  # type: ignore[arg-type]
