"""Blocks inside the transaction of a test: they count as outermost there, and those of tasks take turns."""

from __future__ import annotations

import asyncio
import threading
import unittest
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.test import DormTestCase, override_settings, rolled_back
from tests.support.faces import Face
from tests.support.models import Author

pytestmark = pytest.mark.usefixtures("database")


async def test_durable_and_other_outermost_blocks_run_in_a_test(face: Face) -> None:
    with rolled_back():
        for options in ({"durable": True}, {"isolation": "serializable"}, {"read_only": True}):
            async with face.atomic(**options):
                assert await face(Author.objects.count)() >= 0
        async with face.atomic(durable=True):
            await face(Author.objects.create)(name="a")
            with pytest.raises(RuntimeError, match="cannot be nested within another atomic block"):
                async with face.atomic(durable=True):
                    pass
            with pytest.raises(dorm.TransactionManagementError, match="belong to the outermost"):
                async with face.atomic(read_only=True):
                    pass
        assert await face(Author.objects.count)() == 1
    assert await face(Author.objects.count)() == 0


def test_durable_blocks_run_in_unittest_cases() -> None:
    class Case(DormTestCase):
        def test_it(self) -> None:
            with transaction.atomic(durable=True):
                Author.objects.create(name="a")
                with pytest.raises(RuntimeError), transaction.atomic(durable=True):
                    pass
            assert Author.objects.count() == 1

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])


async def test_blocks_of_tasks_take_turns() -> None:
    """Requests that a test sends at once: each commits or rolls back what it did, and nothing else."""

    async def request(number: int) -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name=f"{number}")
            await asyncio.sleep(0)
            async with transaction.atomic():
                await Author.objects.acreate(name=f"{number} inner")
            if number % 2:
                raise ZeroDivisionError

    with rolled_back():
        done = await asyncio.gather(*map(request, range(6)), return_exceptions=True)
        assert [type(each) for each in done] == [type(None), ZeroDivisionError] * 3
        rows = [row.name async for row in Author.objects.order_by("name")]
        assert rows == ["0", "0 inner", "2", "2 inner", "4", "4 inner"]


async def test_tasks_that_a_block_starts_are_within_it() -> None:
    async def child(name: str) -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name=name)

    with rolled_back():
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                await asyncio.gather(child("a"), child("b"))
                assert await Author.objects.acount() == 2
                raise ZeroDivisionError
        assert await Author.objects.acount() == 0
        # A cancelled one gives the turn on.
        async with transaction.atomic():
            task = asyncio.create_task(child("c"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, child("d"), return_exceptions=True)
        assert [row.name async for row in Author.objects.all() if row.name == "d"] == ["d"]


async def test_a_task_that_would_wait_for_ever_is_told(database: dict[str, Any]) -> None:
    databases = {"default": {**database, "POOL_TIMEOUT": 0.2}}
    with override_settings(DATABASES=databases), rolled_back():
        entered, over = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with transaction.atomic():
                entered.set()
                await over.wait()

        task = asyncio.create_task(first())
        await entered.wait()
        with pytest.raises(dorm.TransactionManagementError, match="another task has been in an atomic block"):
            async with transaction.atomic():
                pass
        over.set()
        await task
        async with transaction.atomic():
            await Author.objects.acreate(name="a")
        assert await Author.objects.acount() == 1


def test_a_thread_that_leaves_too_late_is_told() -> None:
    inside, outer_over = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with transaction.atomic():
                inside.set()
                outer_over.wait(60)
        except dorm.TransactionManagementError as exc:
            raised.append(exc)

    with rolled_back():
        thread = threading.Thread(target=work)
        with transaction.atomic():
            thread.start()
            inside.wait(60)
        outer_over.set()
        thread.join()
        assert "left after the one around it" in str(raised[0])
        assert Author.objects.count() == 0
