"""Details of queries that a reader of Django's documentation would try."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import Avg, Case, Count, Exists, F, Max, OuterRef, Q, Subquery, Sum, Value, When
from dorm.functions import Coalesce, Length, Lower
from tests.db.test_rows import library
from tests.support.faces import Face, names
from tests.support.models import Author, Book, Publisher, Review

pytestmark = pytest.mark.usefixtures("database")


async def titles(face: Face, queryset: Any) -> list[str]:
    return names(await face.rows(queryset), "title")


async def test_relations_are_compared_with_objects_keys_and_none(face: Face) -> None:
    ann, bob = await library(face)
    book = await face(Book.objects.get)(title="A1")
    assert await face(Book.objects.filter(author=ann).count)() == 3
    assert await face(Book.objects.filter(author=ann.pk, author__pk=ann.pk, author_id=ann.pk).count)() == 3
    assert await face(Book.objects.filter(author__in=[ann, bob]).count)() == 5
    assert await face.rows(Author.objects.filter(books=book)) == [ann]
    assert await face.rows(Author.objects.filter(books__in=[book]).exclude(books=None)) == [ann]
    assert await face.rows(Author.objects.filter(books=None)) == []
    assert await face(Book.objects.filter(publisher=None).count)() == 3
    assert await face(Book.objects.exclude(publisher=None).count)() == 2
    assert await face(Book.objects.filter(publisher__name=None).count)() == 3
    assert await face.rows(Author.objects.filter(pk=None)) == []
    with pytest.raises(ValueError):
        Book.objects.filter(author=Author(name="unsaved"))


async def test_orders(face: Face) -> None:
    await library(face)
    # A foreign key is ordered by its model's own order.
    assert await titles(face, Book.objects.order_by("-author", "title")) == ["B1", "B2", "A1", "A2", "A3"]
    assert await titles(face, Book.objects.order_by("-author_id", "-title")) == ["B2", "B1", "A3", "A2", "A1"]
    assert await titles(face, Book.objects.order_by("title").reverse()[:2]) == ["B2", "B1"]
    assert await titles(face, Book.objects.order_by(Length("title"), Lower("title").desc())[:1]) == ["B2"]
    assert len(await face.rows(Book.objects.order_by("?"))) == 5
    nulls = Book.objects.order_by(F("price").asc(nulls_first=True), "title")
    assert await titles(face, nulls) == ["A3", "B2", "B1", "A1", "A2"]
    counted = Author.objects.annotate(n=Count("books")).order_by("-n").values_list("name", flat=True)
    assert await face.rows(counted) == ["Ann", "bob"]
    for wrong in ("nope", "author__nope"):
        with pytest.raises(dorm.FieldError):
            Book.objects.order_by(wrong)


async def test_groups_by_expressions_with_values_in_them(face: Face) -> None:
    await library(face)
    size = Book.objects.annotate(size=F("pages") / 100).values("size").annotate(n=Count("pk")).order_by("size")
    assert await face.rows(size) == [
        {"size": 0, "n": 1},
        {"size": 1, "n": 2},
        {"size": 2, "n": 1},
        {"size": 3, "n": 1},
    ]
    case = Case(When(pages__gt=100, then=Value("long")), default=Value("short"))
    by_case = Book.objects.values(kind=case).annotate(total=Sum("pages")).order_by("-kind")
    assert await face.rows(by_case) == [{"kind": "short", "total": 150}, {"kind": "long", "total": 650}]
    assert await face(by_case.count)() == 2
    assert await face.rows(by_case.filter(total__gt=200).values_list("kind", flat=True)) == ["long"]


async def test_conditions_on_aggregates(face: Face) -> None:
    await library(face)
    counted = Author.objects.annotate(n=Count("books"), top=Max("books__pages"))
    # Meta.ordering takes no part in groups.
    assert sorted(names(await face.rows(counted.filter(Q(n__gt=2) | Q(name="bob"))))) == ["Ann", "bob"]
    assert names(await face.rows(counted.filter(n=2))) == ["bob"]
    assert names(await face.rows(counted.exclude(n=2))) == ["Ann"]
    assert names(await face.rows(counted.filter(top__gt=F("n") * 60, age__isnull=True))) == ["bob"]
    assert await face(counted.filter(n__gt=1).count)() == 2
    assert await face(counted.aggregate)(total=Sum("n"), mean=Avg("top")) == {"total": 5, "mean": 225.0}
    assert await face(counted.filter(n=3).update)(email="x@x.org") == 1
    assert await face(counted.filter(email="x@x.org").exists)()


async def test_annotations_before_and_after_values(face: Face) -> None:
    await library(face)
    per_author = (
        Book.objects.values("author__name").annotate(n=Count("pk"), longest=Max("pages")).order_by("author__name")
    )
    assert await face.rows(per_author) == [
        {"author__name": "Ann", "n": 3, "longest": 300},
        {"author__name": "bob", "n": 2, "longest": 150},
    ]
    per_book = Book.objects.annotate(n=Count("author")).values("author__name", "n").order_by("pk")
    assert len(await face.rows(per_book)) == 5
    assert await face(Book.objects.values("publisher").distinct().aggregate)(n=Count("publisher")) == {"n": 1}
    named = await face.rows(Author.objects.annotate(Count("books")).order_by("name"))
    assert [author.books__count for author in named] == [3, 2]
    flat = Author.objects.values_list("books__title", flat=True).order_by("books__title")
    assert await face.rows(flat) == ["A1", "A2", "A3", "B1", "B2"]
    distinct = Book.objects.order_by("-pages").values("author").distinct()
    assert len(await face.rows(distinct)) == 5  # the order takes part in DISTINCT, as documented
    assert await face.rows(Author.objects.values("pk", "name").order_by("name")[1:]) != []


async def test_aggregates_over_slices_and_distinct_rows(face: Face) -> None:
    await library(face)
    longest = Book.objects.order_by("-pages")[:2]
    assert await face(longest.aggregate)(total=Sum("pages"), n=Count("*")) == {"total": 500, "n": 2}
    assert await face(longest.count)() == 2
    assert await face(Book.objects.values("author").distinct().count)() == 2
    assert await face(Author.objects.filter(books__pages__gt=10).distinct().aggregate)(n=Count("pk")) == {"n": 2}
    assert await face(Book.objects.none().aggregate)(n=Count("pk"), total=Sum("pages")) == {"n": 0, "total": None}
    both = await face(Book.objects.aggregate)(n=Count("pk"), total=Sum("pages"), mean=F("total") / F("n"))
    assert both == {"n": 5, "total": 800, "mean": 160}


async def test_updates_by_expressions_joins_and_slices(face: Face) -> None:
    await library(face)
    assert await face(Book.objects.filter(author__name="Ann").update)(pages=F("pages") + 1) == 3
    first = Review.objects.filter(book=OuterRef("pk")).values("text")[:1]
    assert await face(Book.objects.update)(title=Coalesce(Subquery(first), F("title"))) == 5
    assert await face(Book.objects.order_by("-pages")[:2].update)(pages=0) == 2
    assert await face(Book.objects.filter(pages=0).count)() == 2
    newest = Book.objects.filter(author=OuterRef("author")).order_by("-pages").values("pages")[:1]
    assert await face(Book.objects.update)(pages=Subquery(newest)) == 5
    assert sorted(await face.rows(Book.objects.values_list("pages", flat=True))) == [101, 101, 101, 150, 150]
    with pytest.raises(dorm.FieldError, match="Joined field references are not permitted"):
        await face(Book.objects.update)(title=F("author__name"))
    with pytest.raises(dorm.FieldError, match="Aggregate functions are not allowed"):
        await face(Book.objects.update)(pages=Max("pages"))
    with pytest.raises(dorm.FieldDoesNotExist):
        await face(Book.objects.update)(nope=1)
    assert await face(Book.objects.filter(author__name="bob").delete)() == (2, {"library.Book": 2})
    assert (await face(Book.objects.order_by("pk")[:1].delete)())[0] == 1


async def test_slices_and_indexes(face: Face) -> None:
    await library(face)
    books = Book.objects.order_by("title")
    assert await titles(face, books[1:4][1:]) == ["A3", "B1"]
    assert await titles(face, books[3:1]) == []
    assert await titles(face, books[2:2]) == []
    for wrong in (-1, slice(-2, None), slice(None, -1)):
        with pytest.raises(ValueError, match="Negative indexing is not supported"):
            books[wrong]
    with pytest.raises(TypeError):
        books["a"]  # type: ignore[call-overload]  # what is tested
    for method in ("filter", "exclude", "order_by", "reverse", "distinct"):
        with pytest.raises(TypeError, match="once a slice has been taken"):
            getattr(books[:2], method)(
                *{"order_by": ["title"], "filter": [Q(pk=1)], "exclude": [Q(pk=1)]}.get(method, [])
            )
    assert await titles(face, books[:1].filter()) == ["A1"]
    with pytest.raises(TypeError):
        await face(books[:2].last)()
    assert (await face(books[1:].first)()).title == "A2"


async def test_conditional_values_and_existence(face: Face) -> None:
    ann, bob = await library(face)
    long = Book.objects.filter(author=OuterRef("pk"), pages__gt=250)
    rows = Author.objects.annotate(kind=Case(When(Exists(long), then=Value("long")), default=Value("short")))
    assert await face.rows(rows.order_by("name").values_list("name", "kind")) == [("Ann", "long"), ("bob", "short")]
    assert await face.rows(rows.filter(kind="long")) == [ann]
    both = Author.objects.filter(Exists(long) & ~Q(name="bob"))
    assert await face.rows(both) == [ann]
    assert await face.rows(Author.objects.filter(~(Exists(long) | Q(name="x")))) == [bob]
    pages = Subquery(Book.objects.filter(author=OuterRef("pk")).values("author").annotate(t=Sum("pages")).values("t"))
    assert await face.rows(Author.objects.annotate(t=pages).order_by("-t").values_list("t", flat=True)) == [600, 200]
    assert await face.rows(Author.objects.annotate(t=pages + 1).filter(t__lt=300).values_list("t", flat=True)) == [201]


async def test_constants_and_dates(face: Face) -> None:
    await library(face)
    row = await face(
        Book.objects.annotate(
            none=Value(None, output_field=dorm.IntegerField()),
            when=Value(datetime.date(2020, 1, 2)),
            price_or_zero=Coalesce("price", Value(Decimal("0"))),
        ).get
    )(title="B2")
    assert (row.none, row.when, row.price_or_zero) == (None, datetime.date(2020, 1, 2), Decimal("0"))
    assert await face.rows(Book.objects.dates("published", "month")) == [datetime.date(2020, 2, 1)]
    assert await face.rows(Publisher.objects.alias(n=Count("books")).filter(n=2).values_list("name", flat=True)) == [
        "House"
    ]
    with pytest.raises(ValueError, match="conflicts with a field"):
        Book.objects.annotate(title=Value("x"))
    with pytest.raises(TypeError, match="non-expression"):
        Book.objects.annotate(x=1)
    with pytest.raises(TypeError, match="is not an aggregate expression"):
        await face(Book.objects.aggregate)(x=F("pages"))
    with pytest.raises(NotImplementedError, match="annotate"):
        await face.rows(Book.objects.distinct("title").annotate(n=Count("pk")))


async def test_values_compared_with_annotations_are_read_as_their_type(face: Face) -> None:
    await library(face)
    counted = Author.objects.annotate(
        n=Count("books"), many=Exists(Book.objects.filter(author=OuterRef("pk"), pages=300))
    )
    assert names(await face.rows(counted.filter(n="2"))) == ["bob"]
    assert names(await face.rows(counted.filter(n__gt=2.5))) == ["Ann"]
    assert names(await face.rows(counted.filter(many=1))) == ["Ann"]
    assert names(await face.rows(counted.filter(many=False, n__in=["2", 5]))) == ["bob"]
    with pytest.raises(ValueError):
        counted.filter(n="two")
