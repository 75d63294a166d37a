"""with_cte: named queries in front of a query."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import dorm
from dorm import CTE, Exists, F, OuterRef, Prefetch, Q, RawSQL, Subquery, Sum
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


def by_text(pages: int, name: str = "long") -> dorm.QuerySet[Book]:
    text = CTE("SELECT id FROM library_book WHERE pages > %s", [pages])
    return Book.objects.with_cte(**{name: text}).filter(pk__in=RawSQL(f"SELECT id FROM {name}"))


def by_query(pages: int, name: str = "long") -> dorm.QuerySet[Book]:
    query = Book.objects.filter(pages__gt=pages).values("id")
    return Book.objects.with_cte(**{name: query}).filter(pk__in=RawSQL(f"SELECT id FROM {name}"))


Longer = Callable[..., "dorm.QuerySet[Book]"]


@pytest.mark.parametrize("longer", [by_text, by_query])
async def test_a_queryset_with_a_named_query_as_a_part_of_another(face: Face, longer: Longer) -> None:
    await library(face)
    # The inner query's name is its own, also where the outer one gives it another meaning.
    assert await face.rows(longer(120).filter(pk__in=longer(200)).values_list("title", flat=True)) == ["A3"]
    assert names(await face.rows(Author.objects.filter(pk__in=longer(180).lookup("author")))) == ["Ann"]
    assert names(await face.rows(Author.objects.exclude(books__in=longer(180)))) == ["bob"]
    own = longer(100).filter(author=OuterRef("pk")).order_by("-pages")
    assert names(await face.rows(Author.objects.filter(Exists(own.filter(pages__lt=180))))) == ["bob"]
    assert await face.rows(
        Author.objects.annotate(longest=Subquery(own.values("title")[:1])).values_list("name", "longest")
    ) == [("Ann", "A3"), ("bob", "B2")]
    both = longer(180).union(longer(250), longer(120).order_by("pages")[:1], all=True)
    assert sorted(names(await face.rows(both), "title")) == ["A2", "A3", "A3", "B2"]
    assert names(await face.rows(longer(120).difference(longer(180))), "title") == ["B2"]
    rows = longer(250).values("title").union_with((longer(180), {"title": "title"}), all=True)
    assert sorted(row["title"] for row in await face.rows(rows)) == ["A2", "A3", "A3"]
    for queryset, expected in (
        (longer(120), [["A2", "A3"], ["B2"]]),
        (longer(120).order_by("-pages")[:1], [["A3"], ["B2"]]),
    ):
        authors = await face.rows(Author.objects.prefetch_related(Prefetch("books", queryset)).order_by("pk"))
        assert [sorted(names(author.books.all(), "title")) for author in authors] == expected
    assert names(await face.rows(longer(120).prefetch_related("author").order_by("pages")), "author_id") == [2, 1, 1]


@pytest.mark.parametrize("longer", [by_text, by_query])
async def test_writes_and_copies_of_a_queryset_with_a_named_query(face: Face, longer: Longer) -> None:
    await library(face)
    assert await face(longer(120).filter(author__name="bob").update)(pages=F("pages") + 1) == 1
    assert await face(longer(120).order_by("-pages")[:1].update)(pages=301) == 1
    assert await face(Author.objects.filter(books__in=longer(180)).update)(age=7) == 1
    assert await face(longer(120).bulk_update_when)([(Q(pages=301), {"pages": 302})]) >= 1
    assert await face(longer(120).in_bulk)(field_name="pk") == {
        book.pk: book for book in await face.rows(longer(120).all())
    }
    assert await face(longer(120).get_or_create)(title="A3", author_id=1) == (await face(longer(301).get)(), False)
    copied = copy.deepcopy(longer(120))
    assert await face(copied.count)() == 3
    if not face.is_async:
        assert sorted(names(pickle.loads(pickle.dumps(longer(120))), "title")) == ["A2", "A3", "B2"]
    query = Book.objects.all()
    query.query = pickle.loads(pickle.dumps(longer(120).query))
    assert sorted(names(await face.rows(query), "title")) == ["A2", "A3", "B2"]
    assert await face(longer(120).order_by("pages")[:1].delete)() == (1, {"library.Book": 1})
    assert (await face(longer(120).filter(author__name="Ann").delete)())[0] == 2
    assert sorted(names(await face.rows(Book.objects.all()), "title")) == ["A1", "B1"]


@pytest.mark.parametrize("longer", [by_text, by_query])
async def test_combined_conditions_bring_their_named_queries(face: Face, longer: Longer) -> None:
    await library(face)
    short = Book.objects.filter(pages__lt=60)

    async def titles(found: Any) -> list[str]:
        return sorted(names(await face.rows(found), "title"))

    assert await titles(short | longer(250)) == ["A3", "B1"]
    assert await titles(longer(250) | short) == ["A3", "B1"]
    assert await titles(longer(120, "a").filter(pages__lt=290) & longer(180, "b")) == ["A2"]
    assert await titles(longer(120, "a") ^ longer(180, "b")) == ["B2"]
    assert await titles(longer(120).order_by("pages")[:1] | longer(250)) == ["A3", "B2"]
    start = longer(120)
    assert await titles(start.filter(pages__lt=160) | start.filter(pages__gt=290)) == ["A3", "B2"]
    for _ in range(2):
        assert await titles(longer(120).filter(pages__gt=150) & longer(120).filter(pages__lt=250)) == ["A2"]
        with pytest.raises(ValueError, match=r"with_cte\(\) gave 'long' to different queries"):
            longer(120) & longer(180)
    with pytest.raises(ValueError, match="different queries"):
        by_text(120) | by_query(120)


async def test_a_named_query_of_what_is_combined_sliced_or_empty(face: Face) -> None:
    await library(face)
    two = Book.objects.filter(pages=50).values("id").union(Book.objects.filter(pages=100).values("id"))
    for query, number in (
        (two, 2),
        (Book.objects.order_by("-pages").values("id")[:3], 3),
        (Book.objects.none().values("id"), 0),
        (Book.objects.filter(pk__in=[]).values("id"), 0),
        (Book.objects, 5),
        (by_text(180, "inner_one").values("id"), 2),
    ):
        found = Book.objects.with_cte(part=query).filter(pk__in=RawSQL("SELECT id FROM part"))
        assert await face(found.count)() == number
    first = CTE("SELECT id FROM library_book WHERE pages > %s", [100])
    second = CTE("SELECT id FROM first WHERE id < %s", [3])
    chained = Book.objects.with_cte(first=first).with_cte(second=second)
    assert names(await face.rows(chained.filter(pk__in=RawSQL("SELECT id FROM second"))), "title") == ["A2"]
    with pytest.raises(ValueError, match="different databases"):
        await face.rows(Book.objects.using("default").with_cte(part=Book.objects.using("other")))
