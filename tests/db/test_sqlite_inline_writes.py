"""Writes of one row in asyncio code on SQLite: without a hop to a thread where they are short, once in any case."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.conf.settings import settings
from dorm.db.backends.threaded import ThreadedConnection
from dorm.db.connection import close_all
from dorm.migrations.schema import create_tables

LONG = 600_000
"""A budget that no statement overruns, in milliseconds."""


class Entry(dorm.Model):
    text = dorm.TextField()
    code = dorm.CharField(max_length=9, null=True, unique=True)

    class Meta:
        app_label = "inline"


Configure = Callable[..., None]


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Configure]:
    """Configures dorm for a file with the table, and options of SQLite's."""
    before = dict(settings._given)

    def make(**options: Any) -> None:
        entry = {"ENGINE": "sqlite", "NAME": str(tmp_path / "test.db"), "OPTIONS": options}
        dorm.configure(DATABASES={"default": entry})
        create_tables([Entry])

    yield make
    close_all()
    dorm.connections.reset()
    settings._given.clear()
    settings._given.update(before)


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each call that went to a thread."""
    seen: list[object] = []
    call = ThreadedConnection.call

    async def counted(self: ThreadedConnection, fn: Callable[[], Any], interruptible: bool = True) -> Any:
        seen.append(fn)
        return await call(self, fn, interruptible)

    monkeypatch.setattr(ThreadedConnection, "call", counted)
    return seen


async def test_in_a_block_only_begin_the_first_writes_and_commit_hop(configure: Configure, hops: list[object]) -> None:
    configure(inline_budget_ms=LONG)
    async with dorm.atomic():
        rows = [await Entry.objects.acreate(text=f"{number}") for number in range(100)]
        for row in rows:
            row.text += "!"
            await row.asave()
        for row in rows[50:]:
            await row.adelete()
    # Each text: with BEGIN or to learn how long it takes, then on the loop; the end of the block.
    assert len(hops) <= 6
    assert [row.text async for row in Entry.objects.order_by("pk")] == [f"{number}!" for number in range(50)]
    assert [row.pk for row in rows[:50]] == list(range(1, 51))


async def test_what_overruns_in_a_block_stays_on_its_thread(configure: Configure, hops: list[object]) -> None:
    configure(inline_budget_ms=0)
    async with dorm.atomic():
        for number in range(20):
            await Entry.objects.acreate(text=f"{number}")
    assert len(hops) == 21
    assert await Entry.objects.acount() == 20


async def test_a_block_undoes_what_was_written_on_the_loop(configure: Configure) -> None:
    configure(inline_budget_ms=LONG)
    with pytest.raises(dorm.IntegrityError, match="UNIQUE"):
        async with dorm.atomic():
            for code in ("a", "b", "c", "a"):
                await Entry.objects.acreate(text="x", code=code)
    assert await Entry.objects.acount() == 0
    async with dorm.atomic():
        for code in ("a", "b", "c"):
            await Entry.objects.acreate(text="x", code=code)
        with pytest.raises(dorm.IntegrityError):
            async with dorm.atomic():
                await Entry.objects.acreate(text="x", code="d")
                await Entry.objects.acreate(text="x", code="a")
        await Entry.objects.acreate(text="x", code="e")
    assert [row.code async for row in Entry.objects.order_by("code")] == ["a", "b", "c", "e"]


async def test_outside_blocks_a_write_hops_where_a_commit_waits_for_the_disk(
    configure: Configure, hops: list[object]
) -> None:
    configure(inline_budget_ms=LONG, synchronous="FULL")
    for _ in range(10):
        await Entry.objects.acreate(text="x")
    assert len(hops) == 10


async def test_outside_blocks_a_write_runs_on_the_loop_where_it_does_not(
    configure: Configure, hops: list[object]
) -> None:
    configure(inline_budget_ms=LONG, synchronous="NORMAL")
    row = await Entry.objects.acreate(text="x", code="a")
    row.text = "y"
    await row.asave()
    assert await Entry.objects.aget() == row
    with pytest.raises(dorm.IntegrityError, match="UNIQUE"):
        await Entry.objects.acreate(text="x", code="a")
    assert await row.adelete() == (1, {"inline.Entry": 1})
    assert hops == []
    assert await Entry.objects.acount() == 0


@pytest.mark.parametrize("budget", [0, 0.01, 0.5])
async def test_a_write_that_overruns_outside_blocks_is_done_once(configure: Configure, budget: float) -> None:
    """SQLite looks at the clock once more when it has committed: that is no reason to write the row again."""
    configure(inline_budget_ms=budget, synchronous="NORMAL")
    keys = [(await Entry.objects.acreate(text="x")).pk for _ in range(500)]
    assert keys == list(range(1, 501))
    assert await Entry.objects.acount() == 500


async def test_the_loop_gets_its_turn_between_writes(configure: Configure) -> None:
    configure(inline_budget_ms=0.001, synchronous="NORMAL")
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    for _ in range(50):
        await Entry.objects.acreate(text="x")
    assert turns >= 49
    ticking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking


async def test_a_write_whose_turn_is_somebody_elses_does_not_stop_the_loop(configure: Configure) -> None:
    configure(inline_budget_ms=LONG, synchronous="NORMAL")
    began, go_on = threading.Event(), threading.Event()

    def writer() -> None:
        with dorm.atomic():
            Entry.objects.create(text="first")
            began.set()
            assert go_on.wait(30)

    thread = threading.Thread(target=writer)
    thread.start()
    assert await asyncio.to_thread(began.wait, 30)
    second = asyncio.create_task(Entry.objects.acreate(text="second"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not second.done()
    go_on.set()
    await second
    thread.join()
    assert [row.text async for row in Entry.objects.order_by("pk")] == ["first", "second"]


async def test_the_log_of_writes_on_the_loop_is_copied_by_a_thread(
    configure: Configure, hops: list[object], tmp_path: Path
) -> None:
    configure(inline_budget_ms=LONG, synchronous="NORMAL")
    for _ in range(1500):
        await Entry.objects.acreate(text="x" * 5_000)
    # Three pages and more a row; SQLite copies a log of a thousand pages, and then writes it from its start.
    assert 3 <= len(hops) <= 30
    assert (tmp_path / "test.db-wal").stat().st_size < 1_500 * 4_096
    assert await Entry.objects.acount() == 1500


async def test_a_cancelled_task_has_written_all_of_a_row_or_nothing(configure: Configure) -> None:
    configure(inline_budget_ms=0.001, synchronous="NORMAL")
    done: list[int] = []

    async def work() -> None:
        while True:
            done.append((await Entry.objects.acreate(text="x")).pk)

    task = asyncio.create_task(work())
    while len(done) < 20:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # A write on a thread may have ended when it was cancelled: one row more than the task knows of at most.
    assert await Entry.objects.acount() - len(done) in (0, 1)

    async def block() -> None:
        async with dorm.atomic():
            while True:
                await Entry.objects.acreate(text="y")

    task = asyncio.create_task(block())
    for _ in range(50):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Entry.objects.filter(text="y").acount() == 0
    await Entry.objects.acreate(text="after")


async def test_a_deadline_ends_writes_on_the_loop(configure: Configure) -> None:
    configure(inline_budget_ms=LONG, synchronous="NORMAL")
    with pytest.raises(dorm.DeadlineExceeded):
        async with dorm.deadline(0.05), dorm.atomic():
            while True:
                await Entry.objects.acreate(text="x")
    assert await Entry.objects.acount() == 0
