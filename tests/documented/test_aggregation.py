"""The page "Aggregation"."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from dorm import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    FieldError,
    FloatField,
    Max,
    Min,
    NotSupportedError,
    OuterRef,
    ProgrammingError,
    Q,
    StdDev,
    Subquery,
    Sum,
    Variance,
    When,
)
from dorm.functions import Coalesce, Length
from dorm.lookups import GreaterThan
from tests.documented.shop import MODELS, Author, Book, Publisher, Store, fill
from tests.support.faces import Face

__all__ = ["MODELS"]  # the fixture reads it


# -- over a queryset -----------------------------------------------------------------------------------------------


async def test_aggregates_over_all_rows(face: Face) -> None:
    await fill(face)
    assert await face(Book.objects.count)() == 4
    assert await face(Book.objects.filter(publisher__name="Acme").count)() == 2
    found = await face(Book.objects.aggregate)(Avg("rating", default=0))
    assert found == {"rating__avg": pytest.approx(3.875)}
    found = await face(Book.objects.aggregate)(Max("price", default=0), Min("price"), average_pages=Avg("pages"))
    assert found == {"price__max": Decimal("39.50"), "price__min": Decimal("10.00"), "average_pages": 250}
    average = await face(Book.objects.aggregate)(average=Avg("price"))
    assert average["average"] == Decimal("24.875")
    assert isinstance(average["average"], Decimal)


async def test_difference_of_aggregates(face: Face) -> None:
    await fill(face)
    found = await face(Book.objects.aggregate)(diff=Max("price", output_field=FloatField()) - Avg("rating"))
    assert found["diff"] == pytest.approx(35.625)


async def test_aggregates_over_nothing(face: Face) -> None:
    nothing = Book.objects.none()
    assert await face(nothing.aggregate)(Sum("pages"), n=Count("*")) == {"pages__sum": None, "n": 0}
    assert await face(Book.objects.aggregate)(Sum("pages", default=7)) == {"pages__sum": 7}
    assert await face(nothing.aggregate)(Sum("pages", default=7)) == {"pages__sum": 7}
    assert await face(Book.objects.aggregate)() == {}
    with pytest.raises(TypeError):
        Count("id", default=1)


async def test_variance_and_deviation(face: Face) -> None:
    await fill(face)
    found = await face(Book.objects.aggregate)(
        v=Variance("pages"), s=StdDev("pages"), vs=Variance("pages", sample=True), ss=StdDev("pages", sample=True)
    )
    assert found["v"] == pytest.approx(12500)
    assert found["s"] == pytest.approx(12500**0.5)
    assert found["vs"] == pytest.approx(50000 / 3)
    assert found["ss"] == pytest.approx((50000 / 3) ** 0.5)


# -- for each row --------------------------------------------------------------------------------------------------


async def test_annotate_counts_related_rows(face: Face) -> None:
    await fill(face)
    books = await face.rows(Book.objects.annotate(Count("authors")).order_by("name"))
    assert [book.authors__count for book in books] == [1, 2, 1, 0]
    named = await face.rows(Book.objects.annotate(num_authors=Count("authors")).order_by("-num_authors", "name"))
    assert [book.num_authors for book in named] == [2, 1, 1, 0]
    publishers = await face.rows(Publisher.objects.annotate(num_books=Count("book")).order_by("name"))
    assert [publisher.num_books for publisher in publishers] == [2, 2, 0]
    above = Count("book", filter=Q(book__rating__gt=3.5))
    below = Count("book", filter=Q(book__rating__lte=3.5))
    both = await face.rows(Publisher.objects.annotate(below=below).annotate(above=above).order_by("name"))
    assert [(p.above, p.below) for p in both] == [(2, 0), (0, 2), (0, 0)]


async def test_two_counts_multiply_unless_distinct(face: Face) -> None:
    ids = await fill(face)
    wrong = await face(Book.objects.annotate(Count("authors"), Count("store")).get)(pk=ids["B"])
    assert (wrong.authors__count, wrong.store__count) == (2, 2)
    right = await face(Book.objects.annotate(Count("authors", distinct=True), Count("store", distinct=True)).get)(
        pk=ids["B"]
    )
    assert (right.authors__count, right.store__count) == (2, 1)


async def test_joins_and_aggregates(face: Face) -> None:
    await fill(face)
    stores = await face.rows(
        Store.objects.annotate(min_price=Min("books__price"), max_price=Max("books__price")).order_by("name")
    )
    assert [(s.min_price, s.max_price) for s in stores] == [
        (Decimal("10.00"), Decimal("30.00")),
        (Decimal("10.00"), Decimal("10.00")),
    ]
    assert await face(Store.objects.aggregate)(youngest=Min("books__authors__age")) == {"youngest": 30}
    authors = await face.rows(Author.objects.annotate(total_pages=Sum("book__pages")).order_by("name"))
    assert [a.total_pages for a in authors] == [300, 500, None]
    assert await face(Author.objects.aggregate)(average_rating=Avg("book__rating")) == {
        "average_rating": pytest.approx(4.25)
    }
    oldest = await face.rows(Publisher.objects.annotate(oldest=Min("book__pubdate")).order_by("name"))
    assert [p.oldest for p in oldest] == [datetime.date(2008, 1, 1), datetime.date(2009, 1, 1), None]


# -- with other clauses --------------------------------------------------------------------------------------------


async def test_filter_and_exclude_on_annotations(face: Face) -> None:
    await fill(face)
    many = Book.objects.annotate(num_authors=Count("authors")).filter(num_authors__gt=1)
    assert [b.name for b in await face.rows(many)] == ["B"]
    few = Book.objects.annotate(n=Count("authors")).exclude(n__gt=1).order_by("name")
    assert [b.name for b in await face.rows(few)] == ["A", "C", "D"]
    either = Book.objects.annotate(n=Count("authors")).filter(Q(n=2) | Q(name="D")).order_by("name")
    assert [b.name for b in await face.rows(either)] == ["B", "D"]
    expression = Book.objects.annotate(n=Count("authors")).filter(n__lt=F("pages") / 200).order_by("name")
    assert [b.name for b in await face.rows(expression)] == ["D"]


async def test_order_of_annotate_and_filter(face: Face) -> None:
    await fill(face)
    before = Publisher.objects.annotate(n=Count("book", distinct=True)).filter(book__rating__gt=3.4)
    after = Publisher.objects.filter(book__rating__gt=3.4).annotate(n=Count("book"))
    assert {p.name: p.n for p in await face.rows(before)} == {"Acme": 2, "Bolt": 2}
    assert {p.name: p.n for p in await face.rows(after)} == {"Acme": 2, "Bolt": 1}
    average_all = Publisher.objects.annotate(avg=Avg("book__rating")).filter(book__rating__gt=3.2)
    average_some = Publisher.objects.filter(book__rating__gt=3.2).annotate(avg=Avg("book__rating"))
    assert {p.name: p.avg for p in await face.rows(average_all)} == {"Acme": 4.5, "Bolt": 3.25}
    assert {p.name: p.avg for p in await face.rows(average_some)} == {"Acme": 4.5, "Bolt": 3.5}


async def test_order_by_annotation(face: Face) -> None:
    await fill(face)
    qs = Book.objects.annotate(n=Count("authors")).order_by("n", "-name")
    assert [b.name for b in await face.rows(qs)] == ["D", "C", "A", "B"]
    qs = Publisher.objects.annotate(n=Count("book")).order_by(F("n").desc(), "-name")
    assert [p.name for p in await face.rows(qs)] == ["Bolt", "Acme", "Lone"]
    with pytest.raises(FieldError, match="annotate"):
        await face.rows(Publisher.objects.order_by(Count("book").desc()))


async def test_values_before_annotate_groups(face: Face) -> None:
    await fill(face)
    await face(Author.objects.create)(name="Ann", age=50)
    grouped = Author.objects.values("name").annotate(average=Avg("age")).order_by("name")
    assert await face.rows(grouped) == [
        {"name": "Ann", "average": 45},
        {"name": "Bob", "average": 30},
        {"name": "Cat", "average": 20},
    ]
    ungrouped = Author.objects.annotate(average=Avg("age")).values("name", "average").order_by("name", "average")
    assert len(await face.rows(ungrouped)) == 4
    per_publisher = Book.objects.values_list("publisher__name").annotate(Sum("price")).order_by("publisher__name")
    assert await face.rows(per_publisher) == [("Acme", Decimal("30.00")), ("Bolt", Decimal("69.50"))]
    by_expression = Book.objects.values(size=F("pages") / 200).annotate(n=Count("id")).order_by("size")
    assert [row["n"] for row in await face.rows(by_expression)] == [1, 2, 1]
    by_length = Publisher.objects.values(length=Length("name")).annotate(n=Count("*"))
    assert await face.rows(by_length) == [{"length": 4, "n": 3}]


async def test_ordering_takes_part_in_grouping(face: Face) -> None:
    await fill(face)
    plain = Book.objects.values("publisher__name").annotate(n=Count("id")).order_by()
    assert len(await face.rows(plain)) == 2
    ordered = Book.objects.order_by("name").values("publisher__name").annotate(n=Count("id"))
    assert len(await face.rows(ordered)) == 4


async def test_aggregates_of_annotations(face: Face) -> None:
    await fill(face)
    found = await face(Book.objects.annotate(num_authors=Count("authors")).aggregate)(Avg("num_authors"))
    assert found == {"num_authors__avg": 1.0}
    total = await face(Book.objects.annotate(double=F("pages") * 2).aggregate)(Sum("double"))
    assert total == {"double__sum": 2000}
    counted = await face(Publisher.objects.annotate(n=Count("book")).filter(n__gt=0).count)()
    assert counted == 2
    assert await face(Publisher.objects.annotate(n=Count("book")).filter(n=0).exists)() is True


async def test_aggregate_over_slices_and_distinct(face: Face) -> None:
    await fill(face)
    assert await face(Book.objects.order_by("pages")[:2].aggregate)(Sum("pages")) == {"pages__sum": 300}
    assert await face(Book.objects.order_by("pages")[1:3].count)() == 2
    assert await face(Book.objects.values("publisher").distinct().count)() == 2
    distinct = Book.objects.values_list("publisher", flat=True).distinct()
    assert await face(distinct.aggregate)(n=Count("publisher")) == {"n": 2}
    assert await face(Book.objects.filter(authors__age__gt=1).distinct().aggregate)(Sum("pages")) == {"pages__sum": 600}
    grouped = Book.objects.values("publisher").annotate(total=Sum("pages"))
    assert await face(grouped.aggregate)(Max("total")) == {"total__max": 700}


async def test_count_distinct_and_star(face: Face) -> None:
    await fill(face)
    assert await face(Book.objects.aggregate)(n=Count("publisher", distinct=True)) == {"n": 2}
    assert await face(Book.objects.aggregate)(n=Count("*", filter=Q(pages__gte=200))) == {"n": 3}


async def test_alias_filters_without_selecting(face: Face) -> None:
    await fill(face)
    qs = Publisher.objects.alias(n=Count("book")).filter(n__gt=1).order_by("name")
    rows = await face.rows(qs)
    assert [p.name for p in rows] == ["Acme", "Bolt"]
    assert not hasattr(rows[0], "n")
    shown = await face.rows(qs.annotate(n=F("n")))
    assert [p.n for p in shown] == [2, 2]
    with pytest.raises(FieldError):
        qs.values("n")


async def test_refusals(face: Face) -> None:
    with pytest.raises(FieldError, match="aggregate"):
        await face(Book.objects.annotate(n=Count("authors")).aggregate)(x=Sum(Count("authors")))
    with pytest.raises(ValueError, match="conflicts"):
        Book.objects.annotate(name=Count("authors"))
    with pytest.raises(ValueError, match="conflicts"):
        Author.objects.annotate(book=Count("book"))
    with pytest.raises(TypeError):
        await face(Book.objects.aggregate)("pages")
    with pytest.raises(TypeError):
        await face(Book.objects.aggregate)(Sum(F("pages") + 1))
    with pytest.raises(FieldError):
        await face(Book.objects.aggregate)(Sum("nothing"))
    with pytest.raises(TypeError):
        Book.objects.annotate(5)


async def test_aggregates_of_expressions(face: Face) -> None:
    await fill(face)
    found = await face(Book.objects.aggregate)(per_page=Sum(F("price") / F("pages"), output_field=FloatField()))
    assert found["per_page"] == pytest.approx(0.1 + 0.1 + 0.1 + 39.5 / 400)
    found = await face(Book.objects.aggregate)(total=Sum(Coalesce("pages", 0) + 1))
    assert found == {"total": 1004}
    qs: Any = Publisher.objects.annotate(total=Coalesce(Sum("book__pages"), 0)).order_by("name")
    assert [p.total for p in await face.rows(qs)] == [300, 700, 0]


async def test_annotations_in_update(face: Face) -> None:
    await fill(face)
    changed = Book.objects.annotate(bigger=F("pages") + 5)
    assert await face(changed.filter(bigger__gt=400).update)(pages=F("bigger")) == 1
    assert (await face(Book.objects.get)(name="D")).pages == 405


async def test_powers_of_whole_numbers_are_whole(face: Face) -> None:
    await fill(face)
    rows = Book.objects.order_by("pages").annotate(square=F("pages") ** 2).values_list("pages", "square")
    found = await face.rows(rows)
    assert found
    assert all(type(square) is int and square == pages**2 for pages, square in found)


async def test_dates_and_times_are_not_added_up(backend: str, face: Face) -> None:
    refused = NotSupportedError if backend == "sqlite" else ProgrammingError
    for aggregate in (Sum("pubdate"), Avg("pubdate"), StdDev("pubdate"), Variance("pubdate")):
        with pytest.raises(refused):
            await face(Book.objects.aggregate)(x=aggregate)
    assert await face(Book.objects.aggregate)(x=Max("pubdate"), y=Min("pubdate")) == {"x": None, "y": None}


async def test_groups_by_conditions_and_subqueries(face: Face) -> None:
    """Rows are grouped by what the annotation is, not by the columns it is made of."""
    await fill(face)
    of_ann = Author.objects.filter(book=OuterRef("pk"), name="Ann")
    for annotation, expected in (
        (Q(pages__gt=150), [(False, 1), (True, 3)]),
        (GreaterThan(F("pages"), 150), [(False, 1), (True, 3)]),
        (Exists(of_ann), [(False, 2), (True, 2)]),
        (~Exists(of_ann), [(False, 2), (True, 2)]),
        (Subquery(of_ann.values("age")), [(None, 2), (40, 2)]),
        (Subquery(Publisher.objects.filter(pk=OuterRef("publisher")).values("name")), [("Acme", 2), ("Bolt", 2)]),
        (Case(When(Exists(of_ann), then=1), default=2), [(1, 2), (2, 2)]),
    ):
        grouped = Book.objects.annotate(e=annotation).values("e").annotate(n=Count("pk"))
        rows = await face.rows(grouped.order_by(F("e").asc(nulls_first=True)).values_list("e", "n"))
        assert rows == expected
        assert await face(grouped.count)() == 2
        only = await face.rows(grouped.filter(n__gt=1).values_list("n", flat=True))
        assert sorted(only) == [n for _, n in expected if n > 1]
