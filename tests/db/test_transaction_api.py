"""Broken blocks, savepoints by hand, autocommit, the rollback flag, retries: section by section as Django has them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.db.connection import connections
from dorm.exceptions import DatabaseError, IntegrityError, OperationalError, TransactionManagementError
from tests.support.faces import Face, names
from tests.support.models import Author, Book, Publisher

pytestmark = pytest.mark.usefixtures("database")


class Boom(Exception):
    pass


async def authors(face: Face) -> list[str]:
    return names(await face.rows(Author.objects.order_by("name")))


# -- broken blocks -----------------------------------------------------------------------------------------------


async def test_a_caught_integrity_error_breaks_the_block(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    await face(Publisher.objects.create)(name="one")
    async with face.atomic():
        await face(Author.objects.create)(name="lost")
        with pytest.raises(IntegrityError):
            await face(Publisher.objects.create)(name="one")
        with pytest.raises(TransactionManagementError, match="until the end of the 'atomic' block") as caught:
            await face(Author.objects.count)()
        assert isinstance(caught.value.__cause__, IntegrityError)
    assert await authors(face) == []
    assert "rolled back at its end" in caplog.text


@pytest.mark.parametrize("how", ["update", "bulk_create"])
async def test_every_failed_write_breaks_the_block(face: Face, how: str) -> None:
    first = await face(Publisher.objects.create)(name="one")
    other = await face(Publisher.objects.create)(name="two")
    async with face.atomic():
        with pytest.raises(IntegrityError):
            if how == "update":
                await face(Publisher.objects.filter(pk=other.pk).update)(name="one")
            else:
                await face(Publisher.objects.bulk_create)([Publisher(name="three"), Publisher(name="one")])
        with pytest.raises(TransactionManagementError):
            await face(Author.objects.exists)()
    assert names(await face.rows(Publisher.objects.order_by("pk"))) == [first.name, other.name]


async def test_a_savepoint_heals(face: Face) -> None:
    await face(Publisher.objects.create)(name="one")
    async with face.atomic():
        await face(Author.objects.create)(name="kept")
        with pytest.raises(IntegrityError):
            async with face.atomic():
                await face(Publisher.objects.create)(name="one")
        assert not transaction.get_rollback()
        await face(Author.objects.create)(name="later")
    assert await authors(face) == ["kept", "later"]


async def test_an_inner_block_of_a_broken_one_is_broken_too(face: Face) -> None:
    async with face.atomic():
        transaction.set_rollback(True)
        async with face.atomic():
            with pytest.raises(TransactionManagementError):
                await face(Author.objects.count)()
        assert transaction.get_rollback()


async def test_mark_for_rollback_on_error(face: Face) -> None:
    async with face.atomic():
        await face(Author.objects.create)(name="lost")
        with pytest.raises(Boom):
            with transaction.mark_for_rollback_on_error():
                raise Boom
        assert transaction.get_rollback()
    assert await authors(face) == []
    with pytest.raises(Boom):
        with transaction.mark_for_rollback_on_error(using="default"):
            raise Boom


# -- the flag ----------------------------------------------------------------------------------------------------


async def test_the_rollback_flag(face: Face) -> None:
    async with face.atomic():
        await face(Author.objects.create)(name="lost")
        assert await face(transaction.get_rollback)() is False
        await face(transaction.set_rollback)(True)
        assert await face(transaction.get_rollback)() is True
    assert await authors(face) == []
    async with face.atomic():
        await face(Author.objects.create)(name="kept")
        transaction.set_rollback(True)
        transaction.set_rollback(False)
    assert await authors(face) == ["kept"]
    for call in (transaction.get_rollback, lambda: transaction.set_rollback(True)):
        with pytest.raises(TransactionManagementError, match="outside of an 'atomic' block"):
            call()


def test_set_rollback_of_the_object() -> None:
    block = transaction.atomic()
    with block:
        Author.objects.create(name="lost")
        block.set_rollback(True)
    assert not Author.objects.exists()
    with pytest.raises(TransactionManagementError):
        block.set_rollback()


# -- savepoints by hand ------------------------------------------------------------------------------------------


async def test_savepoints_by_hand(face: Face) -> None:
    async with face.atomic():
        await face(Author.objects.create)(name="a")
        first = await face(transaction.savepoint)()
        await face(Author.objects.create)(name="b")
        await face(transaction.savepoint_rollback)(first)
        second = await face(transaction.savepoint)()
        assert second != first
        await face(Author.objects.create)(name="c")
        await face(transaction.savepoint_commit)(second)
        with pytest.raises(ValueError, match="no savepoint"):
            await face(transaction.savepoint_commit)(second)
    assert await authors(face) == ["a", "c"]


async def test_a_savepoint_can_be_rolled_back_to_twice_and_takes_later_ones_along(face: Face) -> None:
    async with face.atomic():
        outer = await face(transaction.savepoint)()
        await face(Author.objects.create)(name="a")
        inner = await face(transaction.savepoint)()
        await face(transaction.savepoint_rollback)(outer)
        with pytest.raises(ValueError, match="no savepoint"):
            await face(transaction.savepoint_rollback)(inner)
        await face(Author.objects.create)(name="b")
        await face(transaction.savepoint_rollback)(outer)
    assert await authors(face) == []


async def test_a_rollback_to_a_savepoint_mends_what_failed_after_it(face: Face) -> None:
    await face(Publisher.objects.create)(name="one")
    async with face.atomic():
        await face(Author.objects.create)(name="a")
        sid = await face(transaction.savepoint)()
        with pytest.raises(IntegrityError):
            await face(Publisher.objects.create)(name="one")
        await face(transaction.savepoint_rollback)(sid)
        await face(Author.objects.create)(name="b")
    assert await authors(face) == ["a", "b"]


async def test_a_savepoint_drops_its_callbacks(face: Face) -> None:
    seen: list[str] = []
    async with face.atomic():
        transaction.on_commit(lambda: seen.append("kept"))
        sid = await face(transaction.savepoint)()
        transaction.on_commit(lambda: seen.append("dropped"))
        transaction.on_rollback(lambda: seen.append("undone"))
        await face(transaction.savepoint_rollback)(sid)
    assert seen == ["undone", "kept"]


async def test_savepoints_outside_a_transaction(face: Face) -> None:
    assert await face(transaction.savepoint)() is None
    await face(transaction.savepoint_commit)(None)
    await face(transaction.savepoint_rollback)(None)
    for name in ('x"; DROP TABLE library_author; --', "dorm_1", 7):
        with pytest.raises(ValueError, match="no savepoint"):
            await face(transaction.savepoint_rollback)(name)


# -- autocommit --------------------------------------------------------------------------------------------------


async def test_autocommit_off_and_on(face: Face) -> None:
    assert await face(transaction.get_autocommit)() is True
    await face(transaction.set_autocommit)(False)
    try:
        assert await face(transaction.get_autocommit)() is False
        await face(Author.objects.create)(name="undone")
        await face(transaction.rollback)()
        await face(Author.objects.create)(name="done")
        await face(transaction.commit)()
        await face(Author.objects.create)(name="undone too")
        await face(transaction.rollback)()
        with pytest.raises(TransactionManagementError, match="manual transaction management"):
            await face(transaction.on_commit)(lambda: None)
        await face(Author.objects.create)(name="last")
    finally:
        await face(transaction.set_autocommit)(True)
    assert await face(transaction.get_autocommit)() is True
    assert await authors(face) == ["done", "last"]
    assert dorm.pool_stats()["in_use"] == 0


async def test_atomic_without_autocommit_is_a_savepoint(face: Face) -> None:
    await face(transaction.set_autocommit)(False)
    try:
        await face(Author.objects.create)(name="a")
        with pytest.raises(Boom):
            async with face.atomic():
                await face(Author.objects.create)(name="b")
                raise Boom
        async with face.atomic(durable=True):
            await face(Author.objects.create)(name="c")
        assert await authors(face) == ["a", "c"]
        await face(transaction.rollback)()
        assert await authors(face) == []
    finally:
        await face(transaction.rollback)()
        await face(transaction.set_autocommit)(True)


async def test_callbacks_of_atomic_without_autocommit_wait_for_it(face: Face) -> None:
    seen: list[str] = []
    await face(transaction.set_autocommit)(False)
    try:
        for number in (1, 2, 3):
            async with face.atomic():
                await face(Author.objects.create)(name=f"a{number}")
                transaction.on_commit(lambda number=number: seen.append(f"commit {number}"))
                transaction.on_rollback(lambda number=number: seen.append(f"rollback {number}"))
            if number == 1:
                await face(transaction.commit)()
            if number == 2:
                await face(transaction.rollback)()
            assert seen == ([] if number == 1 else ["rollback 2"])
    finally:
        await face(transaction.set_autocommit)(True)
    assert seen == ["rollback 2", "commit 1", "commit 3"]
    assert await authors(face) == ["a1", "a3"]


async def test_autocommit_is_not_touched_inside_atomic(face: Face) -> None:
    async with face.atomic():
        assert await face(transaction.get_autocommit)() is False
        for call, args in (
            (transaction.set_autocommit, (False,)),
            (transaction.set_autocommit, (True,)),
            (transaction.commit, ()),
            (transaction.rollback, ()),
        ):
            with pytest.raises(TransactionManagementError, match="forbidden when an 'atomic' block is active"):
                await face(call)(*args)
    await face(transaction.commit)()
    await face(transaction.rollback)()


# -- options -----------------------------------------------------------------------------------------------------


def test_a_block_without_statements_sends_nothing() -> None:
    connection = connections["default"].sync_pool.acquire()
    connections["default"].sync_pool.release(connection)
    with transaction.atomic():
        with transaction.atomic():
            assert connection.in_transaction
            assert len(connection.deferred.all()) == 2
        assert len(connection.deferred.all()) == 1
    assert not connection.in_transaction


async def test_leaving_a_block_that_was_not_entered_is_an_error(face: Face) -> None:
    block = transaction.atomic()
    with pytest.raises(dorm.TransactionManagementError, match="without having been entered"):
        if face.is_async:
            await block.__aexit__(None, None, None)
        else:
            block.__exit__(None, None, None)


def test_durable_as_a_decorator() -> None:
    @transaction.atomic(durable=True)
    def durable() -> str:
        return "done"

    assert durable() == "done"
    with pytest.raises(RuntimeError, match="durable atomic block cannot be nested"):
        with transaction.atomic():
            durable()


def test_positional_arguments_are_djangos() -> None:
    with transaction.atomic("default", False, True):
        pass
    with transaction.atomic(using=None):
        pass


async def test_read_only_blocks(face: Face) -> None:
    await face(Author.objects.create)(name="a")
    with pytest.raises(OperationalError):
        async with face.atomic(read_only=True):
            assert await authors(face) == ["a"]
            await face(Author.objects.create)(name="b")
    await face(Author.objects.create)(name="c")
    assert await authors(face) == ["a", "c"]


async def test_isolation_levels(face: Face, backend: str) -> None:
    if backend == "sqlite":
        with pytest.raises(dorm.NotSupportedError):
            async with face.atomic(isolation="read committed"):
                pass
    async with face.atomic(isolation="serializable"):
        await face(Author.objects.create)(name="a")
    with pytest.raises(TransactionManagementError, match="outermost"):
        async with face.atomic():
            async with face.atomic(isolation="serializable"):
                pass


# -- callbacks ---------------------------------------------------------------------------------------------------


async def test_on_rollback(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise ValueError("in a callback")

    with pytest.raises(Boom):
        async with face.atomic():
            await face(transaction.on_rollback)(lambda: seen.append("outer"))
            transaction.on_rollback(fail)
            async with face.atomic():
                transaction.on_rollback(lambda: seen.append("inner"))
            raise Boom
    assert seen == ["outer", "inner"]
    assert "on_rollback()" in caplog.text
    async with face.atomic():
        transaction.on_rollback(lambda: seen.append("never"))
    transaction.on_rollback(lambda: seen.append("never"))
    assert seen == ["outer", "inner"]


async def test_callbacks_may_register_more_and_open_blocks(face: Face) -> None:
    seen: list[Any] = []

    async def later() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="from a callback")
            await transaction.aon_commit(lambda: seen.append("nested"))
        seen.append("first")

    def now() -> None:
        with transaction.atomic():
            Author.objects.create(name="from a callback")
            transaction.on_commit(lambda: seen.append("nested"))
        seen.append("first")

    async with face.atomic():
        transaction.on_commit(later if face.is_async else now)
        transaction.on_commit(lambda: seen.append("second"))
    assert seen == ["nested", "first", "second"]
    assert await authors(face) == ["from a callback"]


def test_a_coroutine_callback_is_refused_in_a_blocking_block() -> None:
    async def later() -> None:
        raise AssertionError("never called")

    with pytest.raises(TypeError, match="async with"):
        with transaction.atomic():
            transaction.on_commit(later)


# -- retry -------------------------------------------------------------------------------------------------------


def _refused() -> DatabaseError:
    error = OperationalError("could not serialize access")
    error.sqlstate, error.retryable = "40001", True
    return error


async def test_a_function_is_run_again(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    dorm.configure(RETRY_BACKOFF=0.001)
    tries: list[int] = []
    seen: list[str] = []

    def body() -> None:
        tries.append(1)
        transaction.on_commit(lambda: seen.append(f"after try {len(tries)}"))
        if len(tries) < 3:
            raise _refused()

    if face.is_async:

        @transaction.atomic(retry=3)
        async def work(name: str) -> str:
            await Author.objects.acreate(name=name)
            body()
            return name

        assert await work("a") == "a"
    else:

        @transaction.atomic(retry=3)
        def work_now(name: str) -> str:
            Author.objects.create(name=name)
            body()
            return name

        assert work_now("a") == "a"
    assert len(tries) == 3
    assert seen == ["after try 3"]
    assert await authors(face) == ["a"]
    assert caplog.text.count("is run again") == 2


def test_a_retry_ends_and_other_errors_are_not_retried() -> None:
    dorm.configure(RETRY_BACKOFF=0.001)
    tries: list[int] = []

    @transaction.atomic(retry=2)
    def work(error: BaseException) -> None:
        tries.append(1)
        raise error

    with pytest.raises(OperationalError):
        work(_refused())
    assert len(tries) == 3
    with pytest.raises(Boom):
        work(Boom())
    assert len(tries) == 4


def test_only_the_outermost_function_is_run_again() -> None:
    dorm.configure(RETRY_BACKOFF=0.001)
    inner_tries: list[int] = []

    @transaction.atomic(retry=5)
    def inner() -> None:
        inner_tries.append(1)
        raise _refused()

    @transaction.atomic(retry=1)
    def outer() -> None:
        inner()

    with pytest.raises(OperationalError):
        outer()
    assert len(inner_tries) == 2
    with pytest.raises(TypeError, match="decorated function"):
        with transaction.atomic(retry=1):
            pass


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_serialization_failures_of_the_server_are_retried() -> None:
    dorm.configure(RETRY_BACKOFF=0.01)
    Author.objects.bulk_create([Author(name="x", age=0), Author(name="y", age=0)])
    both = threading.Barrier(2, timeout=10)
    first = threading.local()

    @transaction.atomic(isolation="serializable", retry=5)
    def add(name: str) -> None:
        total = Author.objects.aggregate(total=dorm.Sum("age"))["total"]
        if not getattr(first, "done", False):
            first.done = True
            both.wait()
        Author.objects.filter(name=name).update(age=total + 1)

    threads = [threading.Thread(target=add, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    # Whoever came second saw the first one's number.
    assert sorted(Author.objects.values_list("age", flat=True)) == [1, 2]


async def test_blocks_of_several_tasks_are_apart() -> None:
    async def one(number: int) -> None:
        async with transaction.aatomic():
            await Author.objects.acreate(name=f"{number}")
            await asyncio.sleep(0)
            if number % 2:
                transaction.set_rollback(True)

    await asyncio.gather(*[asyncio.create_task(one(number)) for number in range(6)])
    assert names([row async for row in Author.objects.order_by("name")]) == ["0", "2", "4"]


async def test_a_violation_at_the_end_of_the_transaction(face: Face) -> None:
    seen: list[str] = []
    with pytest.raises(IntegrityError):
        async with face.atomic():
            await face(Author.objects.create)(name="lost")
            await face(Book.objects.create)(title="t", author_id=404)
            transaction.on_commit(lambda: seen.append("committed"))
            transaction.on_rollback(lambda: seen.append("rolled back"))
    assert seen == ["rolled back"]
    assert await authors(face) == []


async def test_an_error_before_anything_was_written_leaves_the_block_alone(face: Face) -> None:
    async with face.atomic():
        with pytest.raises(ValueError, match="no primary key"):
            await face(Author(name="x").save)(force_update=True)
        await face(Author.objects.create)(name="kept")
    assert await authors(face) == ["kept"]
