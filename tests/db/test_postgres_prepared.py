"""Statements that a session of PostgreSQL has prepared go the short way, and leave it when the driver forgets them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg._cursor_base import BaseCursor

import dorm
from dorm import F
from dorm.db.connection import connections, get_async_connection, get_connection
from dorm.migrations.schema import create_tables
from tests.support.faces import Face
from tests.support.models import MODELS, Author


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
def one_session(empty_database: dict[str, Any]) -> str:
    """One warm session that prepares what it hears the third time."""
    dorm.configure(DATABASES={"default": {**empty_database, "MIN_POOL_SIZE": 1, "PREPARE_THRESHOLD": 2}})
    create_tables(MODELS)
    url: str = empty_database["URL"]
    return url


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch, one_session: str) -> list[Any]:
    """The statements that the driver converts itself."""
    heard: list[Any] = []
    convert = BaseCursor._convert_query

    def listened(cursor: Any, query: Any, params: Any = None) -> Any:
        heard.append(query)
        return convert(cursor, query, params)

    monkeypatch.setattr(BaseCursor, "_convert_query", listened)
    return heard


async def warmed(face: Face) -> list[Author]:
    made = [await face(Author.objects.create)(name=name, age=age) for name, age in [("Ann", 1), ("Bob", None)]]
    for _ in range(4):
        assert (await face(Author.objects.get)(pk=made[0].pk)).name == "Ann"
    return made


async def execute(face: Face, text: str) -> None:
    if face.is_async:
        await get_async_connection().execute(text)
    else:
        get_connection().execute(text)


async def test_a_prepared_statement_takes_the_short_way(face: Face, long_way: list[Any]) -> None:
    ann, bob = await warmed(face)
    long_way.clear()
    assert (await face(Author.objects.get)(pk=bob.pk)).age is None
    assert (await face(Author.objects.get)(pk=ann.pk)).age == 1
    with pytest.raises(Author.DoesNotExist):
        await face(Author.objects.get)(pk=-1)
    assert not long_way


async def test_writes_and_several_rows_too(face: Face, long_way: list[Any]) -> None:
    for number in range(5):
        await face(Author.objects.filter(pk__gte=0).update)(age=number)
        await face(Author.objects.create)(name=f"n{number}", age=None)
        await face.rows(Author.objects.filter(pk__gt=0).order_by("pk"))
    long_way.clear()
    assert await face(Author.objects.filter(pk__gte=0).update)(age=7) == 5
    await face(Author.objects.create)(name="last", age=7)
    assert {each.age for each in await face.rows(Author.objects.filter(pk__gt=0).order_by("pk"))} == {7}
    assert not [each for each in long_way if each not in ("BEGIN", "COMMIT")]


async def test_a_null_is_another_type_and_another_statement(face: Face, long_way: list[Any]) -> None:
    await warmed(face)
    for age in (None, 5, None, 2**31 - 1, None, 0):
        await face(Author.objects.filter(name="Ann").update)(age=age)
        assert (await face(Author.objects.get)(name="Ann")).age == age


async def test_an_error_of_a_prepared_statement_is_the_error(face: Face, long_way: list[Any]) -> None:
    await warmed(face)
    for divisor in (1, 1, 1, 1, 0, 1):
        rows = Author.objects.filter(name="Ann").annotate(part=F("id") / divisor)
        if divisor:
            assert len(await face.rows(rows)) == 1
            continue
        long_way.clear()
        with pytest.raises(dorm.exceptions.DataError, match="division by zero"):
            await face.rows(rows)
        assert not long_way


async def test_after_an_alter_the_new_column_is_read(face: Face, long_way: list[Any]) -> None:
    ann, _ = await warmed(face)
    await execute(face, f"ALTER TABLE {Author._meta.db_table} ALTER COLUMN age TYPE bigint")
    long_way.clear()
    assert (await face(Author.objects.get)(pk=ann.pk)).age == 1
    assert long_way, "the driver has forgotten what it prepared"


async def test_an_alter_of_another_session_is_survived(face: Face, long_way: list[Any], one_session: str) -> None:
    ann, _ = await warmed(face)
    with psycopg.connect(one_session, autocommit=True) as other:
        other.execute(f"ALTER TABLE {Author._meta.db_table} ALTER COLUMN age TYPE bigint")
    assert (await face(Author.objects.get)(pk=ann.pk)).age == 1


async def test_after_a_rollback_to_a_savepoint_it_is_prepared_anew(face: Face, long_way: list[Any]) -> None:
    ann, _ = await warmed(face)
    async with face.atomic():
        with pytest.raises(ZeroDivisionError):
            async with face.atomic():
                await face(Author.objects.filter(pk=ann.pk).update)(age=9)
                raise ZeroDivisionError
        long_way.clear()
        for _ in range(4):
            assert (await face(Author.objects.get)(pk=ann.pk)).age == 1
        selects = [each for each in long_way if each.startswith("SELECT")]
        assert len(selects) == 3, "two plain ones, the one that prepares, and then the short way"


async def test_a_driver_without_the_table_goes_the_long_way(face: Face, long_way: list[Any]) -> None:
    ann, _ = await warmed(face)
    database = connections["default"]
    lease = await database.aacquire() if face.is_async else database.acquire()
    cursor = lease.connection._typed  # type: ignore[union-attr]
    names, cursor._names = cursor._names, None
    if face.is_async:
        await database.arelease(lease)
    else:
        database.release(lease)
    long_way.clear()
    assert (await face(Author.objects.get)(pk=ann.pk)).name == "Ann"
    assert len(long_way) == 1
    cursor._names = names


@pytest.mark.parametrize(
    "text",
    [
        "DISCARD ALL",
        "DEALLOCATE ALL",
        "SELECT 1; DEALLOCATE ALL; SELECT 2",
        "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
    ],
    ids=["discard", "deallocate", "in a script", "in a function"],
)
async def test_a_session_that_loses_what_it_prepared(face: Face, long_way: list[Any], text: str) -> None:
    """The driver does not hear of what a function does: the statement is sent once more, it has not run."""
    ann, _ = await warmed(face)
    if face.is_async:
        await get_async_connection().execute_script(text)
    else:
        get_connection().execute_script(text)
    for _ in range(5):
        assert (await face(Author.objects.get)(pk=ann.pk)).age == 1
    assert connections["default"].pool_stats()["in_use"] == 0


async def test_a_block_that_meets_it_can_be_run_again(face: Face, long_way: list[Any]) -> None:
    ann, _ = await warmed(face)
    await execute(face, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
    with pytest.raises(dorm.OperationalError, match="has dropped it") as caught:
        async with face.atomic():
            await face(Author.objects.get)(pk=ann.pk)
    assert caught.value.retryable
    async with face.atomic():
        assert (await face(Author.objects.get)(pk=ann.pk)).age == 1
    # A name that the user gave is the user's mistake.
    with pytest.raises(dorm.DatabaseError, match="does not exist") as caught_too:
        await execute(face, "EXECUTE nothing_of_that_name")
    assert not caught_too.value.retryable
