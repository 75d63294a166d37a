"""with_cte: named queries in front of a query."""

from __future__ import annotations

import pytest

import dorm
from dorm import CTE, F, RawSQL, Sum
from tests.db.test_rows import library
from tests.support.faces import Face, names
from tests.support.models import Author, Book

pytestmark = pytest.mark.usefixtures("database")


async def test_named_queries_in_front(face: Face) -> None:
    await library(face)
    long = Book.objects.filter(pages__gte=200)
    found = Author.objects.with_cte(long=long).filter(
        pk__in=RawSQL("SELECT author_id FROM long WHERE pages < %s", (250,))
    )
    assert found.sql()[0].startswith('WITH "long" AS (SELECT ')
    for _ in range(2):
        assert names(await face.rows(found)) == ["Ann"]
    assert await face(found.count)() == 1
    assert await face(found.exists)()
    text = CTE("SELECT id AS key FROM library_book WHERE pages = %s", [50])
    assert names(
        await face.rows(Book.objects.with_cte(one=text).filter(pk__in=RawSQL("SELECT key FROM one"))), "title"
    ) == ["B1"]
    assert (
        await face(Book.objects.with_cte(one=text).filter(pk__in=RawSQL("SELECT key FROM one")).update)(pages=51) == 1
    )
    numbers = CTE("SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < %s", [3], recursive=True)
    hundreds = Book.objects.with_cte(numbers=numbers).filter(pages__in=RawSQL("SELECT n * 100 FROM numbers"))
    assert hundreds.sql()[0].startswith('WITH RECURSIVE "numbers" AS (')
    assert sorted(names(await face.rows(hundreds), "title")) == ["A1", "A2", "A3"]


async def test_what_with_cte_refuses() -> None:
    with pytest.raises(TypeError, match="querysets and CTE objects"):
        Book.objects.with_cte(x=3)
    with pytest.raises(ValueError, match="0 parameters"):
        CTE("SELECT %s")
    with pytest.raises(ValueError, match="given 'x' already"):
        Book.objects.with_cte(x=Book.objects.all()).with_cte(x=Book.objects.all())
    with pytest.raises(ValueError, match="Column aliases"):
        Book.objects.with_cte(**{"x y": Book.objects.all()})


async def test_every_method_sends_them(face: Face) -> None:
    await library(face)

    def long() -> dorm.QuerySet[Book]:
        text = CTE("SELECT id AS key FROM library_book WHERE pages > %s", [120])
        return Book.objects.with_cte(long=text).filter(pk__in=RawSQL("SELECT key FROM long"))

    assert await face(long().count)() == 3
    assert await face(long().filter(author__name="Ann").count)() == 2
    assert await face(long().distinct().count)() == 3
    assert await face(long().exists)()
    assert await face(long().aggregate)(Sum("pages")) == {"pages__sum": 650}
    assert await face(long().order_by("pages")[:2].aggregate)(Sum("pages")) == {"pages__sum": 350}
    assert (await face(long().order_by("-pages").first)()).title == "A3"
    assert (await face(long().get)(pages=150)).title == "B2"
    assert len(await face.stream(long())) == 3
    assert sorted(await face.rows(long().values_list("title", flat=True))) == ["A2", "A3", "B2"]
    assert await face(long().union(Book.objects.filter(pages=50)).count)() == 4
    assert await face(Author.objects.filter(books__in=long()).distinct().count)() == 2
    assert await face(long().filter(pages=150).update)(pages=F("pages") + 1) == 1
    assert (await face(long().filter(pages=151).delete)())[0] == 1
    assert await face(long().count)() == 2


async def test_a_query_with_parameters_of_both(face: Face) -> None:
    await library(face)
    sums = Book.objects.filter(pages__gt=60).values("author_id").annotate(total=Sum("pages"))
    rows = (
        Author.objects.with_cte(sums=sums)
        .annotate(total=RawSQL("(SELECT total + %s FROM sums WHERE sums.author_id = library_author.id)", (1,)))
        .filter(name__in=["Ann", "bob"], total__gt=150)
    )
    assert sorted(await face.rows(rows.values_list("name", "total"))) == [("Ann", 601), ("bob", 151)]
