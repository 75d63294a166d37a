"""Behind a real PgBouncer, in transaction and in statement mode."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import NotSupportedError
from tests.support.cluster import Bouncer
from tests.support.faces import Face, names
from tests.support.models import Author

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.parametrize("backend", ["postgresql"], indirect=True),
]


@pytest.fixture
def behind(database: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Any]:
    """What configures dorm behind a PgBouncer of a mode."""
    made: list[Bouncer] = []

    def configured(mode: str, setting: Any) -> None:
        bouncer = Bouncer(database["URL"], mode)
        bouncer.__enter__()
        made.append(bouncer)
        dorm.configure(DATABASES={"default": {"URL": bouncer.url, "PGBOUNCER_MODE": setting, "MIN_POOL_SIZE": 0}})

    yield configured
    dorm.connections.reset()
    for bouncer in made:
        bouncer.__exit__(None, None, None)


async def test_transaction_mode(face: Face, behind: Any) -> None:
    behind("transaction", True)
    for number in range(12):
        await face(Author.objects.create)(name=f"{number:02}")
    assert await face(Author.objects.filter(name__gte="05").count)() == 7
    async with face.atomic():
        await face(Author.objects.filter(name="00").update)(age=1)
        with pytest.raises(ZeroDivisionError):
            async with face.atomic():
                await face(Author.objects.all().delete)()
                raise ZeroDivisionError
        with dorm.deadline(5):
            assert len(await face.stream(Author.objects.order_by("name"), chunk_size=5)) == 12
    assert (await face(Author.objects.get)(name="00")).age == 1
    assert len(await face.stream(Author.objects.order_by("name"), chunk_size=5)) == 12
    assert await face(dorm.health_check)(deep=True)


async def test_many_tasks_share_two_connections(behind: Any) -> None:
    behind("transaction", "transaction")

    async def work(number: int) -> None:
        for turn in range(4):
            async with transaction.aatomic():
                await Author.objects.acreate(name=f"{number}")
                assert await Author.objects.filter(name=f"{number}").acount() == turn + 1

    async with asyncio.timeout(60):
        await asyncio.gather(*[work(number) for number in range(20)])
    assert await Author.objects.acount() == 80


async def test_what_belongs_to_a_session_is_refused(face: Face, behind: Any) -> None:
    behind("transaction", True)
    with pytest.raises(NotSupportedError, match="PGBOUNCER_MODE"):
        if face.is_async:
            async with get_async_connection().pin():
                raise AssertionError("entered")
        else:
            with get_connection().pin():
                raise AssertionError("entered")
    with pytest.raises(NotSupportedError, match="LISTEN"):
        get_connection().listen("x")
    with pytest.raises(NotSupportedError, match="LISTEN"):
        get_async_connection().listen("x")


async def test_statement_mode_has_no_transactions(face: Face, behind: Any) -> None:
    behind("statement", "statement")
    await face(Author.objects.create)(name="a")
    assert names(await face.rows(Author.objects.all())) == ["a"]
    with pytest.raises(NotSupportedError, match="no transactions"):
        async with face.atomic():
            raise AssertionError("entered")
    assert dorm.pool_stats()["in_use"] == 0


def test_a_prepare_threshold_is_overridden_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    entry = {"ENGINE": "postgresql", "NAME": "x", "PGBOUNCER_MODE": True}
    with caplog.at_level(logging.WARNING):
        dorm.configure(DATABASES={"default": {**entry, "PREPARE_THRESHOLD": 5}})
        dorm.get_connection()
    assert "PREPARE_THRESHOLD" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        dorm.configure(DATABASES={"default": {**entry, "PGBOUNCER_MODE": "session", "PREPARE_THRESHOLD": 5}})
        dorm.get_connection()
    assert caplog.text == ""
