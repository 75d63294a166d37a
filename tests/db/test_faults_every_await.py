"""Cancelled at each single await: the work is stopped where it suspends for the first time, the second, and so on.

`test_faults_cancel` cancels at moments, from outside; here each suspension of the task has its turn, none is left out.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Generator, Iterator
from contextlib import suppress
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.db.connection import get_async_connection
from tests.db.test_faults_cancel import WORK, Work, check_nothing_is_open
from tests.support.models import Author, Book
from tests.support.riding import be_far, quiet_pipelines

pytestmark = pytest.mark.usefixtures("database")


class Stops:
    """Awaits *work* and cancels the task that does at the suspensions *at*; counts all of them."""

    def __init__(self, work: Awaitable[Any], at: tuple[int, ...]) -> None:
        self.work = work
        self.at = at
        self.number = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        inner: Any = self.work.__await__()
        task = asyncio.current_task()
        assert task is not None
        error: BaseException | None = None
        while True:
            try:
                waits_for = inner.send(None) if error is None else inner.throw(error)
            except StopIteration as stop:
                return stop.value
            self.number += 1
            if self.number in self.at:
                task.cancel()
            try:
                yield waits_for
            except BaseException as exc:  # handed on
                error = exc
            else:
                error = None


async def raw_stream() -> None:
    rows = get_async_connection().execute_streaming("SELECT id FROM library_author", None, 2)
    assert [row async for row in rows]


async def siblings() -> None:
    async for book in Book.objects.prefetch_related("author", "publisher", "review_set"):
        assert book.author.name


async def done_or_cancelled(work: Work, at: tuple[int, ...]) -> bool:
    """Cancel *work* at its suspensions *at*; True when it was done before."""
    stops = Stops(work(), at)

    async def main() -> None:
        await stops

    task = asyncio.ensure_future(main())
    await asyncio.wait({task}, timeout=60)
    assert task.done()
    if stops.number >= at[0]:
        # Where nothing was left to be done it may have ended well.
        assert task.cancelled() or task.exception() is None
        return False
    task.result()
    return True


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    quiet_pipelines(monkeypatch)
    yield
    gc.collect()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("again", [False, True], ids=["once", "again while it cleans up"])
@pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
@pytest.mark.parametrize("work", [*WORK, raw_stream, siblings], ids=lambda work: str(work.__name__))
async def test_cancelled_at_each_await(
    work: Work, far: bool, again: bool, database: dict[str, Any], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # psycopg gives the loop a turn, after what needed no waiting too, when it had none for long: here each time.
    monkeypatch.setattr("psycopg.waiting.MAX_BUSY_TIME", 0.0, raising=False)
    if far:
        if backend == "sqlite":
            pytest.skip("a file is never far away")
        be_far(monkeypatch)
        dorm.configure(DATABASES={"default": {**database, "MAX_POOL_SIZE": 3}})
    for number in range(5):
        author = await Author.objects.acreate(name=f"seed {number}")
        await Book.objects.acreate(title="t", author=author)
    at, done = 0, False
    while not done:
        at += 1
        done = await done_or_cancelled(work, (at, at + 1, at + 2) if again else (at,))
        await check_nothing_is_open(database, backend)
        assert at < 500
    names = [row.name async for row in Author.objects.all()]
    assert ("inner" in names) <= ("outer" in names)
    async with asyncio.timeout(60):
        await asyncio.gather(*[Author.objects.acount() for _ in range(6)])


async def told_block(told: dict[str, list[str]], raises: bool) -> None:
    """A block with one inside it that is undone, and what is told of either."""
    async with transaction.aatomic():
        told["outer"] = []
        transaction.on_commit(lambda: told["outer"].append("committed"))
        transaction.on_rollback(lambda: told["outer"].append("rolled back"))
        await Author.objects.acreate(name="outer")
        with suppress(KeyError):
            async with transaction.aatomic():
                told["inner"] = []
                transaction.on_commit(lambda: told["inner"].append("committed"))
                transaction.on_rollback(lambda: told["inner"].append("rolled back"))
                await Author.objects.acreate(name="inner")
                raise KeyError
        if raises:
            raise LookupError


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("raises", [False, True], ids=["commits", "rolls back"])
@pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
async def test_callbacks_tell_what_became_of_a_block_cancelled_at_each_await(
    far: bool, raises: bool, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psycopg.waiting.MAX_BUSY_TIME", 0.0, raising=False)
    if far:
        if backend == "sqlite":
            pytest.skip("a file is never far away")
        be_far(monkeypatch)
    at, done = 0, False
    while not done:
        at += 1
        before = await Author.objects.acount()
        told: dict[str, list[str]] = {}

        async def work(told: dict[str, list[str]] = told) -> None:
            with suppress(LookupError):
                await told_block(told, raises)

        done = await done_or_cancelled(work, (at,))
        kept = await Author.objects.acount() > before
        assert told.get("outer", ["rolled back"]) == ["committed" if kept else "rolled back"], at
        assert told.get("inner", ["rolled back"]) == ["rolled back"], at
        assert at < 500
    assert kept is not raises
