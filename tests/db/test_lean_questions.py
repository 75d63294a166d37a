"""How many there are, whether there are any, which keys: what is sent decides the answer and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dorm import Count, Exists, F, Max, OuterRef, Q, Subquery, Window
from dorm.functions import RowNumber
from tests.support.faces import Face
from tests.support.models import Author, Book, Publisher, Review
from tests.support.statements import statements

pytestmark = pytest.mark.usefixtures("database")
Make = Callable[[], Any]


async def fill(face: Face) -> None:
    """Authors 1 to 4; books: 1 and 2 by author 1, 3 by author 2; reviews: two of book 1, one of book 2."""
    await face(Publisher.objects.bulk_create)([Publisher(id=1, name="p")])
    await face(Author.objects.bulk_create)([Author(id=n, name=f"a{n % 2}", age=n) for n in range(1, 5)])
    await face(Book.objects.bulk_create)(
        [
            Book(id=1, author_id=1, publisher_id=1, title="x", pages=10),
            Book(id=2, author_id=1, title="y", pages=20),
            Book(id=3, author_id=2, title="x", pages=30),
        ]
    )
    await face(Review.objects.bulk_create)([Review(id=n, book_id=book, stars=1) for n, book in enumerate((1, 1, 2), 1)])


written = Book.objects.filter(author=OuterRef("pk"))


def counted() -> Any:
    return Author.objects.annotate(n=Count("books"))


def named() -> Any:
    return Author.objects.values("name").annotate(n=Count("pk")).order_by("name")


def numbered() -> Any:
    return Author.objects.annotate(w=Window(RowNumber(), order_by="pk"))


QUESTIONS: list[tuple[str, Make, int, int, int]] = [
    # what, queryset, rows, SELECTs and JOINs of count(); those of exists() are never more
    ("aggregates that nothing asks for", counted, 4, 1, 0),
    ("aggregates with a condition on rows", lambda: counted().filter(age__gt=2), 2, 1, 0),
    ("aggregates over a chain", lambda: Author.objects.annotate(n=Max("books__review__id")), 4, 1, 0),
    ("a join that a condition needs", lambda: counted().filter(books__pages=10), 1, 2, 2),
    ("groups that are chosen", lambda: counted().filter(n__gt=1), 1, 2, 1),
    ("groups of values", named, 2, 2, 0),
    ("groups split by another table", lambda: Author.objects.annotate(n=Count("pk"), t=F("books__title")), 5, 2, 1),
    ("a slice", lambda: Book.objects.order_by("title")[:2], 2, 2, 0),
    ("a slice with an offset", lambda: Book.objects.order_by("title")[1:], 2, 2, 0),
    ("a slice of joined objects", lambda: Book.objects.select_related("author").order_by("pk")[:2], 2, 2, 0),
    ("distinct joined objects", lambda: Book.objects.select_related("author").distinct(), 3, 2, 0),
    ("distinct values", lambda: Book.objects.values("title").distinct(), 2, 2, 0),
    ("columns that are computed", lambda: Author.objects.annotate(b=Exists(written)).order_by("pk")[:3], 3, 2, 0),
    ("a union", lambda: Author.objects.filter(age__lt=3).union(Author.objects.filter(age=4)), 3, 3, 0),
    ("a condition on a window", lambda: numbered().filter(w__gt=1), 3, 2, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "make", "rows", "selects", "joins"), QUESTIONS, ids=[each[0].replace(" ", "-") for each in QUESTIONS]
)
async def test_counting_and_asking(face: Face, name: str, make: Make, rows: int, selects: int, joins: int) -> None:
    await fill(face)
    assert len(await face.rows(make())) == rows
    with statements() as sent:
        assert await face(make().count)() == rows
        assert await face(make().exists)() is True
        assert await face(make().none().exists)() is False
    count, exists = sent
    assert (count.count("SELECT"), count.count("JOIN")) == (selects, joins), count
    assert exists.count("SELECT") <= selects
    assert exists.count("JOIN") <= joins
    assert "ORDER BY" not in count.replace("(ORDER BY", "")
    assert await face(Author.objects.filter(Exists(make())).count)() == 4


EMPTY: list[tuple[str, Make]] = [
    ("an offset behind the last", lambda: Book.objects.order_by("pk")[3:]),
    ("an offset behind the last group", lambda: named()[2:]),
    ("an offset behind distinct ones", lambda: Book.objects.values("title").distinct().order_by("title")[2:4]),
    ("groups that are not there", lambda: counted().filter(n__gt=2)),
    ("groups of no rows", lambda: Author.objects.filter(age=9).annotate(n=Count("books"))),
    ("a union of nothing", lambda: Author.objects.filter(age=8).union(Author.objects.filter(age=9))),
    ("a difference", lambda: Author.objects.order_by().difference(Author.objects.order_by())),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make"), EMPTY, ids=[each[0].replace(" ", "-") for each in EMPTY])
async def test_there_are_none(face: Face, name: str, make: Make) -> None:
    await fill(face)
    assert await face.rows(make()) == []
    assert await face(make().count)() == 0
    assert await face(make().exists)() is False
    assert await face(Author.objects.filter(Exists(make())).count)() == 0


async def test_slices_of_one_row_and_more_exist(face: Face) -> None:
    await fill(face)
    for low, high in ((0, 1), (2, 3), (2, 9), (1, None)):
        assert await face(Book.objects.order_by("pk")[low:high].exists)() is True
    assert await face(Book.objects.order_by("pk")[3:9].exists)() is False
    assert await face(Book.objects.order_by("pk")[1:1].exists)() is False
    assert await face(counted().order_by("-n")[:1].contains)(Author(pk=1)) is True
    assert await face(counted().order_by("-n")[:1].contains)(Author(pk=3)) is False


NEGATED: list[tuple[str, Make, list[int], int]] = [
    ("partners of the target", lambda: Book.objects.exclude(author__books__pages=20), [3], 0),
    ("partners of a target that may lack", lambda: Book.objects.exclude(publisher__books__pages=10), [2, 3], 0),
    ("the target is joined anyway", lambda: Book.objects.filter(~Q(author__books__pages=20), author__age=2), [3], 1),
    ("over two keys", lambda: Review.objects.exclude(book__author__books__pages=30), [1, 2, 3], 1),
    ("no partners at all", lambda: Book.objects.exclude(author__books__review__isnull=True), [1, 2], 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "make", "keys", "joins"), NEGATED, ids=[each[0].replace(" ", "-") for each in NEGATED]
)
async def test_a_key_says_what_a_negated_condition_needs(
    face: Face, name: str, make: Make, keys: list[int], joins: int
) -> None:
    await fill(face)
    assert await face.rows(make().order_by("pk").values_list("pk", flat=True)) == keys
    with statements() as sent:
        await face.rows(make())
    assert sent[0].partition("EXISTS")[0].count("JOIN") == joins, sent[0]


async def test_writing_without_what_only_decorates(face: Face) -> None:
    await fill(face)
    with statements() as sent:
        assert await face(counted().update)(age=5) == 4
        assert await face(Author.objects.filter(pk=1).distinct().update)(age=6) == 1
        assert await face(Book.objects.annotate(who=F("author__name")).filter(pages=30).update)(pages=31) == 1
        assert await face(counted().filter(n=0).update)(age=7) == 2
    assert ["SELECT" in sql for sql in sent] == [False, False, False, True]
    assert await face.rows(Author.objects.order_by("pk").values_list("age", flat=True)) == [6, 5, 7, 7]


async def test_a_subquery_is_written_once(face: Face) -> None:
    await fill(face)
    newest = Subquery(written.order_by("-pk").values("title")[:1])
    with statements() as sent:
        rows = await face.rows(
            Author.objects.annotate(t=newest).order_by(F("t").desc(nulls_last=True), "pk").values("t")
        )
        groups = await face.rows(
            Author.objects.annotate(t=newest).values("t").annotate(n=Count("pk")).order_by(F("t").asc(nulls_last=True))
        )
    assert [row["t"] for row in rows] == ["y", "x", None, None]
    assert [(row["t"], row["n"]) for row in groups] == [("x", 1), ("y", 1), (None, 2)]
    assert [sql.count("SELECT") for sql in sent] == [2, 2]
