"""Models without blocking methods, and one connection for one task."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

import dorm
from dorm.contrib.asyncmodel import AsyncModel, AsyncOnlyError, AsyncOnlyManager
from dorm.contrib.task_pool import assert_no_concurrent_gather, get_pinned_connection, pinned_connection
from dorm.exceptions import NotSupportedError, TransactionManagementError
from dorm.migrations.schema import create_tables
from dorm.queryset import QuerySet


class Message(AsyncModel):
    text = dorm.CharField(max_length=50)

    class Meta:
        app_label = "async_tests"


class Reply(AsyncModel):
    message = dorm.ForeignKey(Message, related_name="replies")
    text = dorm.CharField(max_length=50, unique=True)

    class Meta:
        app_label = "async_tests"


@pytest.fixture
def messages(empty_database: dict[str, Any]) -> dict[str, Any]:
    create_tables([Message, Reply])
    return empty_database


# -- models ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("messages")
async def test_everything_works_when_it_is_awaited() -> None:
    message = await Message.objects.acreate(text="a")
    made, created = await Message.objects.aget_or_create(text="b")
    assert (made.text, created) == ("b", True)
    await Message.objects.abulk_create([Message(text="c"), Message(text="d")])
    message.text = "A"
    await message.asave()
    await message.arefresh_from_db()
    reply = Reply(message=message, text="r")
    await reply.afull_clean()
    await reply.asave()
    assert [each.text async for each in Message.objects.order_by("text")] == ["A", "b", "c", "d"]
    assert [each.text async for each in message.replies.all()] == ["r"]
    rows = await Message.objects.filter(text="A").prefetch_related("replies")
    assert [each.text for each in rows[0].replies.all()] == ["r"]
    assert await Message.objects.filter(text="b").aupdate(text="B") == 1
    assert (await Message.objects.filter(text__in=["c", "d"]).adelete())[0] == 2
    await reply.adelete()
    assert await Message.objects.acount() == 2


@pytest.mark.usefixtures("messages")
async def test_rows_that_were_awaited_may_be_looped_over() -> None:
    await Message.objects.acreate(text="a")
    qs = Message.objects.all()
    await qs
    assert [each.text for each in qs] == ["a"]
    assert (len(qs), bool(qs), qs[0].text) == (1, True, "a")


_BLOCKING = sorted(
    name
    for name in dir(QuerySet)
    if not name.startswith("_")
    and hasattr(QuerySet, f"a{name}")
    and name not in ("dates", "datetimes", "values", "values_list")
)


@pytest.mark.parametrize("name", _BLOCKING)
def test_every_blocking_method_is_refused(name: str) -> None:
    with pytest.raises(AsyncOnlyError, match=rf"\.{name}\(\) would block: .* await a{name}\(\)"):
        getattr(Message.objects.all(), name)()
    if name != "delete":
        with pytest.raises(AsyncOnlyError, match=rf"\.{name}\(\) would block"):
            getattr(Message.objects, name)()


def test_blocking_uses_of_objects_and_querysets_are_refused() -> None:
    message = Message(text="a")
    for name in ("save", "delete", "refresh_from_db", "full_clean", "validate_unique", "validate_constraints"):
        with pytest.raises(AsyncOnlyError, match=rf"Message\.{name}\(\) would block"):
            getattr(message, name)()
    qs = Message.objects.filter(text="a")
    for use in (list, len, bool, lambda each: message in each, lambda each: each[0]):
        with pytest.raises(AsyncOnlyError, match="would block"):
            use(qs)
    assert repr(qs) == "<AsyncOnlyQuerySet (not awaited)>"
    assert isinstance(Message.objects, AsyncOnlyManager)


# -- one connection ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_session_stays_with_its_task(empty_database: dict[str, Any]) -> None:
    assert get_pinned_connection() is None
    async with pinned_connection() as connection:
        assert get_pinned_connection() is connection
        await connection.execute_script("CREATE TEMPORARY TABLE mine (n int)")
        await connection.execute_write("INSERT INTO mine VALUES (%s)", [7])
        assert (await connection.execute("SELECT n FROM mine"))[0]["n"] == 7
        assert_no_concurrent_gather()
    assert get_pinned_connection() is None
    assert dorm.pool_stats()["in_use"] == 0


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_gather_on_a_pinned_connection_is_refused_before_anything_is_sent(
    empty_database: dict[str, Any],
) -> None:
    async def one() -> Any:
        assert_no_concurrent_gather()
        raise AssertionError("it was not refused")

    async def inherits() -> Any:
        return get_pinned_connection()

    async def own() -> int:
        assert_no_concurrent_gather()
        assert get_pinned_connection() is None
        return int((await dorm.db.connection.get_async_connection().execute("SELECT 1 AS n"))[0]["n"])

    async with pinned_connection() as connection:
        found = await asyncio.gather(one(), inherits(), return_exceptions=True)
        assert [type(each) for each in found] == [TransactionManagementError] * 2
        assert "is pinned to task" in str(found[0])
        assert await asyncio.create_task(own(), context=contextvars.Context()) == 1
        assert (await connection.execute("SELECT 2 AS n"))[0]["n"] == 2


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_pgbouncer_has_no_session_to_pin(empty_database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**empty_database, "PGBOUNCER_MODE": "transaction"}})
    with pytest.raises(NotSupportedError, match="PGBOUNCER_MODE"):
        async with pinned_connection():
            pass
    assert get_pinned_connection() is None
