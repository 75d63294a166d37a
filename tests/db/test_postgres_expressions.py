"""What PostgreSQL has of its own among expressions and functions, and how other backends refuse it."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import ArraySubquery, OuterRef
from dorm.aggregates import (
    ArrayAgg,
    Corr,
    CovarPop,
    JSONBAgg,
    RegrAvgX,
    RegrAvgY,
    RegrCount,
    RegrIntercept,
    RegrR2,
    RegrSlope,
    RegrSXX,
    RegrSXY,
    RegrSYY,
)
from dorm.db.connection import connections
from dorm.functions import JSONObject, Now, RandomUUID, TransactionNow
from dorm.test import CaptureQueriesContext
from tests.db.test_rows import library
from tests.support.faces import Face, names
from tests.support.models import Author, Book, Everything

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def on_server(backend: str) -> None:
    if backend != "postgresql":
        pytest.skip("PostgreSQL only")


@pytest.mark.usefixtures("on_server")
async def test_a_subquery_as_a_list_in_its_order(face: Face) -> None:
    await library(face)
    books = Book.objects.filter(author=OuterRef("pk")).order_by("-pages")
    rows = Author.objects.annotate(titles=ArraySubquery(books.values("title")), keys=ArraySubquery(books)).order_by(
        "name"
    )
    for _ in range(2):
        assert await face.rows(rows.values_list("name", "titles")) == [
            ("Ann", ["A3", "A2", "A1"]),
            ("bob", ["B2", "B1"]),
        ]
    ann = await face(rows.get)(name="Ann")
    assert ann.keys == await face.rows(Book.objects.filter(author=ann).order_by("-pages").values_list("pk", flat=True))
    objects = ArraySubquery(books.values(json=JSONObject(title="title", pages="pages"))[:1])
    assert (await face(Author.objects.annotate(it=objects).get)(name="bob")).it == [{"title": "B2", "pages": 150}]
    empty = ArraySubquery(books.filter(pages__gt=10_000).values("title"))
    assert (await face(Author.objects.annotate(it=empty).get)(name="bob")).it == []
    assert names(
        await face.rows(Author.objects.annotate(it=ArraySubquery(books.values("title"))).filter(it__len=2))
    ) == ["bob"]
    prices = ArraySubquery(books.values("price"))
    assert (await face(Author.objects.annotate(it=prices).get)(name="bob")).it == [None, Decimal("1.25")]


@pytest.mark.usefixtures("on_server")
async def test_keys_and_times_that_the_server_makes(face: Face) -> None:
    for _ in range(3):
        await face(Everything.objects.create)()
    assert await face(Everything.objects.update)(uuid=RandomUUID()) == 3
    made = await face.rows(Everything.objects.values_list("uuid", flat=True))
    assert len(set(made)) == 3
    assert {type(each) for each in made} == {uuid.UUID}
    assert {each.version for each in made} == {4}
    async with face.atomic():
        first = (await face(Everything.objects.annotate(at=TransactionNow(), now=Now()).first)()).at
        row = await face(Everything.objects.annotate(at=TransactionNow(), now=Now()).first)()
        assert first == row.at
        assert row.at <= row.now
        assert isinstance(first, datetime.datetime)


REFUSED: list[Callable[[], Any]] = [
    lambda: Author.objects.annotate(it=ArraySubquery(Book.objects.filter(author=OuterRef("pk")).values("title"))),
    lambda: Author.objects.annotate(it=RandomUUID()),
    lambda: Author.objects.annotate(it=TransactionNow()),
    lambda: Author.objects.annotate(it=ArrayAgg("books__title")),
    lambda: Author.objects.annotate(it=JSONBAgg("books__title")),
    lambda: Author.objects.filter(name__search="x"),
    lambda: Author.objects.filter(name__trigram_similar="x"),
    lambda: Author.objects.filter(name__unaccent="x"),
]
STATISTICS = [
    Corr,
    CovarPop,
    RegrAvgX,
    RegrAvgY,
    RegrCount,
    RegrIntercept,
    RegrR2,
    RegrSlope,
    RegrSXX,
    RegrSXY,
    RegrSYY,
]


async def test_elsewhere_they_are_refused_before_anything_is_sent(face: Face, backend: str) -> None:
    if backend == "postgresql":
        pytest.skip("what PostgreSQL has is not refused there")
    with CaptureQueriesContext(connections["default"]) as caught:
        for query in REFUSED:
            with pytest.raises(dorm.NotSupportedError, match="SQLite has no"):
                await face.rows(query())
        for aggregate in STATISTICS:
            with pytest.raises(dorm.NotSupportedError, match=f"SQLite has no aggregate {aggregate.__name__}"):
                await face(Book.objects.aggregate)(it=aggregate(y="pages", x="id"))
        with pytest.raises(dorm.NotSupportedError, match="RandomUUID"):
            await face(Everything.objects.update)(uuid=RandomUUID())
    assert len(caught) == 0


@pytest.mark.usefixtures("on_server")
async def test_locks_where_postgresql_takes_none(face: Face) -> None:
    await library(face)
    locked = Book.objects.select_for_update()
    with CaptureQueriesContext(connections["default"]) as caught:
        for union in (locked.union(Book.objects.all()), Book.objects.all().union(locked), locked.intersection(locked)):
            with pytest.raises(dorm.NotSupportedError, match="FOR UPDATE is not allowed with UNION"):
                await face.rows(union)
    assert len(caught) == 0


@pytest.mark.usefixtures("on_server")
async def test_rows_over_a_nullable_relation_are_locked_where_it_is_there(face: Face) -> None:
    await library(face)
    rows = Book.objects.select_related("publisher").select_for_update()
    async with face.atomic():
        for there in (rows.exclude(publisher=None), rows.filter(publisher__isnull=False), rows.filter(publisher=1)):
            assert " INNER JOIN " in there.sql()[0]
            assert sorted(names(await face.rows(there), "title")) == ["A1", "B1"]
    assert " LEFT OUTER JOIN " in Book.objects.select_related("publisher").exclude(publisher=None).sql()[0]
    async with face.atomic():
        with pytest.raises(dorm.NotSupportedError, match="nullable side of an outer join"):
            await face.rows(rows)
