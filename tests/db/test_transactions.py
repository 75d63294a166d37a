"""atomic, savepoints, callbacks, and who may use a block."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.exceptions import TransactionManagementError
from tests.support.faces import Face, names
from tests.support.models import Author, Book

pytestmark = pytest.mark.usefixtures("database")


class Boom(Exception):
    pass


async def authors(face: Face) -> list[str]:
    return names(await face.rows(Author.objects.order_by("name")))


async def test_a_block_commits(face: Face) -> None:
    async with face.atomic():
        await face(Author.objects.create)(name="Ann")
        assert await authors(face) == ["Ann"]
    assert await authors(face) == ["Ann"]


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt, asyncio.CancelledError])
async def test_whatever_is_raised_rolls_back(face: Face, error: type[BaseException]) -> None:
    with pytest.raises(error):
        async with face.atomic():
            await face(Author.objects.create)(name="Ann")
            raise error
    assert await authors(face) == []


async def test_nested_blocks_are_savepoints(face: Face) -> None:
    async with face.atomic():
        await face(Author.objects.create)(name="outer")
        with pytest.raises(Boom):
            async with face.atomic():
                await face(Author.objects.create)(name="inner")
                raise Boom
        async with face.atomic():
            await face(Author.objects.create)(name="second")
    assert await authors(face) == ["outer", "second"]


async def test_an_error_of_the_database_in_a_savepoint_can_be_survived(face: Face) -> None:
    async with face.atomic():
        author = await face(Author.objects.create)(name="Ann")
        with pytest.raises(dorm.IntegrityError):
            async with face.atomic():
                await face(Author(pk=author.pk, name="x").save)(force_insert=True)
        await face(Author.objects.create)(name="Bob")
    assert await authors(face) == ["Ann", "Bob"]


async def test_without_a_savepoint_an_error_dooms_the_outer_block(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    async with face.atomic():
        await face(Author.objects.create)(name="outer")
        with pytest.raises(Boom):
            async with face.atomic(savepoint=False):
                raise Boom
        with pytest.raises(TransactionManagementError, match="until the end of the 'atomic' block"):
            await authors(face)
    assert await authors(face) == []
    assert "was rolled back at its end" in caplog.text


async def test_set_rollback(face: Face) -> None:
    async with face.atomic() as handle:
        await face(Author.objects.create)(name="Ann")
        handle.set_rollback()
    assert await authors(face) == []


async def test_durable_blocks_are_outermost(face: Face) -> None:
    async with face.atomic(durable=True):
        with pytest.raises(RuntimeError, match="durable"):
            async with face.atomic(durable=True):
                raise AssertionError("not reached")


async def test_read_only_blocks_refuse_writes(face: Face) -> None:
    with pytest.raises(dorm.OperationalError):
        async with face.atomic(read_only=True):
            assert await authors(face) == []
            await face(Author.objects.create)(name="Ann")
    await face(Author.objects.create)(name="Bob")
    assert await authors(face) == ["Bob"]


async def test_callbacks_run_after_the_commit_in_order(face: Face) -> None:
    calls: list[str] = []
    async with face.atomic():
        await face(transaction.on_commit)(lambda: calls.append("one"))
        with pytest.raises(Boom):
            async with face.atomic():
                await face(transaction.on_commit)(lambda: calls.append("undone"))
                await face(transaction.on_rollback)(lambda: calls.append("rolled back"))
                raise Boom
        async with face.atomic():
            await face(transaction.on_commit)(lambda: calls.append("two"))
        assert calls == ["rolled back"]
    assert calls == ["rolled back", "one", "two"]
    await face(transaction.on_commit)(lambda: calls.append("at once"))
    assert calls[-1] == "at once"


async def test_a_failing_callback_propagates_after_the_commit(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise Boom

    with pytest.raises(Boom):
        async with face.atomic():
            await face(Author.objects.create)(name="Ann")
            await face(transaction.on_commit)(fail)
    async with face.atomic():
        await face(transaction.on_commit)(fail, robust=True)
    assert "Error calling" in caplog.text
    assert await authors(face) == ["Ann"]


async def test_a_violation_at_commit_rolls_back(face: Face) -> None:
    with pytest.raises(dorm.IntegrityError):
        async with face.atomic():
            await face(Author.objects.create)(name="Ann")
            await face(Book.objects.create)(title="x", author_id=99_999)
    assert await authors(face) == []
    assert dorm.pool_stats()["in_use"] == 0


def test_a_decorated_function() -> None:
    @dorm.atomic
    def fail() -> None:
        Author.objects.create(name="Ann")
        raise Boom

    @dorm.atomic(durable=True)
    def work(name: str) -> str:
        return Author.objects.create(name=name).name

    @dorm.atomic()
    async def awork(name: str) -> str:
        return (await Author.objects.acreate(name=name)).name

    with pytest.raises(Boom):
        fail()
    assert work("Bob") == "Bob"
    assert asyncio.run(awork("Cid")) == "Cid"
    assert names(Author.objects.all()) == ["Bob", "Cid"]

    with pytest.raises(TypeError, match="generator"):

        @dorm.atomic
        def generate() -> Any:
            yield 1


async def test_one_object_serves_several_entries(face: Face) -> None:
    block = dorm.atomic()
    if face.is_async:

        async def work(name: str) -> None:
            async with block:
                await Author.objects.acreate(name=name)
                await asyncio.sleep(0)

        await asyncio.gather(*[work(f"n{number}") for number in range(5)])
    else:
        for number in range(5):
            with block, block:
                Author.objects.create(name=f"n{number}")
    assert await authors(face) == [f"n{number}" for number in range(5)]


# -- ownership ---------------------------------------------------------------------------------------------------


async def test_a_task_started_in_a_block_is_refused() -> None:
    async with dorm.atomic():
        task = asyncio.create_task(Author.objects.acount())
        with pytest.raises(TransactionManagementError, match=r"another task or thread.*fresh context"):
            await task
        assert await Author.objects.acount() == 0


async def test_a_task_in_a_fresh_context_has_its_own_connection() -> None:
    if dorm.get_connection().vendor == "sqlite":
        async with dorm.atomic(read_only=True):
            assert await asyncio.create_task(Author.objects.acount(), context=contextvars.Context()) == 0
        return
    async with dorm.atomic():
        await Author.objects.acreate(name="Ann")
        assert await asyncio.create_task(Author.objects.acount(), context=contextvars.Context()) == 0


async def test_a_task_that_outlives_its_block_is_refused() -> None:
    entered = asyncio.Event()

    async def late() -> int:
        await entered.wait()
        return await Author.objects.acount()

    async with dorm.atomic():
        task = asyncio.create_task(late())
    entered.set()
    with pytest.raises(TransactionManagementError, match="has ended"):
        await task
    assert await Author.objects.acount() == 0


async def test_a_blocking_call_in_an_async_block_is_refused() -> None:
    async with dorm.atomic():
        with pytest.raises(TransactionManagementError, match="a-prefixed methods"):
            Author.objects.count()


async def test_an_awaited_call_in_a_blocking_block_is_refused() -> None:
    with dorm.atomic():
        with pytest.raises(TransactionManagementError, match="plain methods"):
            await Author.objects.acount()


async def test_a_copied_context_on_another_thread_is_refused() -> None:
    async with dorm.atomic():
        with pytest.raises(TransactionManagementError, match="another task or thread"):
            await asyncio.to_thread(Author.objects.count)


def test_another_thread_has_its_own_transaction() -> None:
    seen: list[int] = []
    with dorm.atomic():
        Author.objects.create(name="Ann")
        thread = threading.Thread(target=lambda: seen.append(Author.objects.count()))
        thread.start()
        thread.join()
    assert seen == [0]


def test_a_pinned_block_serves_both_faces() -> None:
    database = dorm.connections["default"]
    with dorm.atomic() as handle:
        database.pin(handle.block)
        try:
            Author.objects.create(name="Ann")

            async def main() -> int:
                await Author.objects.acreate(name="Bob")
                async with dorm.atomic():
                    await Author.objects.acreate(name="Cid")
                return await Author.objects.acount()

            assert asyncio.run(main()) == 3
            assert Author.objects.count() == 3
        finally:
            database.pin(None)
        handle.set_rollback()
    assert Author.objects.count() == 0
