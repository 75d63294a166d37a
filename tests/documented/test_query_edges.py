"""Edges of the pages on querysets, aggregation and expressions, where Django's own answer is the measure."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

import dorm
from dorm import (
    Avg,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    Func,
    Max,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from dorm.functions import Coalesce, Lower, RowNumber, Upper
from tests.documented.shop import MODELS, Author, Book, Publisher, Store, fill
from tests.support.faces import Face

__all__ = ["MODELS"]  # the fixture reads it


@pytest.fixture(autouse=True)
def filled(face: Face, tables: object) -> None:
    face.run(fill(face))


# -- values, values_list, order_by -------------------------------------------------------------------------------


async def test_values_list_flat_without_names_gives_the_first_field(face: Face) -> None:
    books = await face.rows(Book.objects.order_by("pk").values_list(flat=True))
    assert books == [book.pk for book in await face.rows(Book.objects.order_by("pk"))]
    with pytest.raises(TypeError, match="more than one field"):
        Book.objects.values_list("pk", "name", flat=True)


async def test_expressions_in_values_list_are_numbered(face: Face) -> None:
    named = Book.objects.order_by("pk").values_list("name", Lower("name"), Upper("name"), named=True)
    row = (await face.rows(named))[0]
    assert row._fields == ("name", "lower1", "upper2")
    assert tuple(row) == ("A", "a", "A")
    counted = Book.objects.order_by("name").values_list("name", Count("authors"))
    assert await face.rows(counted) == [("A", 1), ("B", 2), ("C", 1), ("D", 0)]
    with pytest.raises(TypeError, match="as keywords"):
        Book.objects.values(Lower("name"))  # type: ignore[arg-type]  # what is tested


async def test_default_names_of_aggregates_are_names_like_others(face: Face) -> None:
    authors = Author.objects.annotate(Count("book"), Max("book__pages")).order_by("-book__count", "name")
    assert await face.rows(authors.filter(book__count__gte=1).values_list("name", "book__count")) == [
        ("Ann", 2),
        ("Bob", 2),
    ]
    assert await face.rows(authors.exclude(book__count=2).values_list("book__pages__max", flat=True)) == [None]
    assert await face(authors.aggregate)(Sum("book__count")) == {"book__count__sum": 4}
    twice = authors.annotate(twice=F("book__count") * 2)
    assert await face.rows(twice.values_list("twice", flat=True)) == [4, 4, 0]


async def test_values_after_an_aggregate_groups_anew(face: Face) -> None:
    counted = Book.objects.annotate(n=Count("authors")).order_by()
    assert await face.rows(counted.values("n").annotate(books=Count("pk"))) == [{"n": 4, "books": 5}]
    by_publisher = Book.objects.order_by().values("publisher__name").annotate(n=Count("pk"))
    again = by_publisher.values("n").annotate(c=Count("publisher"))
    assert await face.rows(again) == [{"n": 4, "c": 4}]


async def test_prefetches_of_rows_without_instances_are_left_out(face: Face) -> None:
    names = Book.objects.prefetch_related("authors").order_by("name")
    assert await face.rows(names.values_list("name", flat=True)) == ["A", "B", "C", "D"]
    assert await face.rows(names.values("name").prefetch_related("publisher"))


def test_wrong_orders_are_refused() -> None:
    for wrong in ("--name", "+name", "-+name", 5, None, "nmae", "publisher__nmae"):
        with pytest.raises(dorm.FieldError):
            Book.objects.order_by(wrong)  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(dorm.FieldError, match="no column 'nmae'"):
        Book.objects.union(Book.objects.all()).order_by("nmae")
    with pytest.raises(dorm.DatabaseError, match="ORDER BY term does not match"):
        Book.objects.union(Book.objects.all()).order_by("publisher__name")


async def test_combined_queries_are_ordered_by_the_key_they_select(face: Face) -> None:
    both = Author.objects.filter(name="Ann").union(Author.objects.filter(name="Bob")).order_by("-pk")
    keys = sorted([author.pk for author in await face.rows(both)], reverse=True)
    assert await face.rows(both.values("pk")) == [{"pk": pk} for pk in keys]
    assert await face.rows(both.values_list("pk", flat=True).order_by("id")) == keys[::-1]


# -- conditions --------------------------------------------------------------------------------------------------


async def test_a_double_negation_is_the_condition_itself(face: Face) -> None:
    assert ~~Q(name="A") == Q(name="A")
    one = Publisher.objects.filter(~~Q(book__name="A") & Q(book__pages=200))
    assert await face.rows(one) == []
    assert [each.name for each in await face.rows(Publisher.objects.exclude(~Q(book__name="A")))] == ["Acme"]


async def test_annotations_are_negated_as_they_stand(face: Face) -> None:
    await face(Publisher.objects.create)(name="None")
    pages = Publisher.objects.annotate(pages=F("book__pages"))
    assert await face(pages.exclude(pages=100).count)() == 3
    # ... and columns so that NULL is kept.
    assert await face(Publisher.objects.exclude(book__pages=100).count)() == 3


def test_lookups_of_texts_on_relations_are_refused() -> None:
    for path in ("publisher__contains", "authors__icontains", "publisher__regex"):
        with pytest.raises(dorm.FieldError, match="join on the field not permitted"):
            Book.objects.filter(**{path: "A"})
    Book.objects.filter(publisher__gt=1, publisher__in=[1], publisher__isnull=False, authors__lte=3)


async def test_a_case_of_booleans_is_a_condition(face: Face) -> None:
    case = Case(When(pages__gt=150, then=Value(True)), default=Value(False))
    assert await face(Book.objects.filter(case).count)() == 3
    assert await face(Book.objects.filter(~Q(case)).count)() == 1
    with pytest.raises(TypeError, match="no condition"):
        Book.objects.filter(Case(When(pages__gt=150, then=Value(1)), default=Value(2)))


# -- aggregates --------------------------------------------------------------------------------------------------


async def test_aggregates_of_aggregates_are_refused(face: Face) -> None:
    with pytest.raises(dorm.FieldError, match="aggregate itself"):
        Book.objects.annotate(n=Count("authors")).annotate(m=Sum("n"))
    with pytest.raises(dorm.FieldError, match="aggregate itself"):
        await face(Book.objects.aggregate)(a=Sum("pages"), b=Sum("a"))
    counted = Book.objects.annotate(n=Count("authors"))
    assert await face(counted.aggregate)(Sum("n"), Max("n")) == {"n__sum": 4, "n__max": 2}


async def test_aggregates_take_conditions_with_subqueries_over_groups(face: Face) -> None:
    cheap = Book.objects.filter(price__lt=25).values("pages")
    counted = Book.objects.annotate(n=Count("authors"))
    picked = Sum(Case(When(pages__in=cheap, then=1), default=0))
    assert await face(counted.aggregate)(x=picked) == {"x": 2}
    assert await face(counted.aggregate)(x=Count("pk", filter=Q(pages__in=cheap))) == {"x": 2}


async def test_aggregates_over_windows(face: Face) -> None:
    numbered = Book.objects.annotate(number=Window(RowNumber(), order_by="pk"))
    assert await face(numbered.aggregate)(Sum("number")) == {"number__sum": 10}
    with pytest.raises(dorm.FieldError, match="Window expressions are not allowed"):
        await face(Book.objects.update)(pages=Window(RowNumber(), order_by="pk"))


async def test_aggregates_over_rows_that_windows_choose(face: Face) -> None:
    first = Book.objects.annotate(number=Window(RowNumber(), order_by="pk")).filter(number__lte=2)
    found = await face(first.aggregate)(n=Count("pk", distinct=True), p=Max("publisher__name"))
    assert found == {"n": 2, "p": "Acme"}
    assert await face(first.aggregate)(pages=Sum("pages"), last=Max("number")) == {"pages": 300, "last": 2}


async def test_conditions_with_patterns_within_aggregates(face: Face) -> None:
    found = await face(Book.objects.aggregate)(
        n=Count("pk", filter=Q(authors__name__icontains="A")), m=Sum(Case(When(name__iendswith="a", then=1), default=0))
    )
    assert found == {"n": 2, "m": 1}


async def test_the_default_of_a_float_is_a_float(face: Face) -> None:
    for books in (Book.objects.filter(pages=0), Book.objects.none()):
        found = await face(books.aggregate)(a=Avg("pages", default=3), r=Sum("rating", default=0))
        assert found == {"a": 3.0, "r": 0.0}
        assert [type(value) for value in found.values()] == [float, float]


async def test_numbers_are_of_the_type_asked_for(face: Face) -> None:
    found = await face(Book.objects.aggregate)(
        whole=Avg("pages", output_field=dorm.IntegerField()), real=Sum("pages", output_field=dorm.FloatField())
    )
    assert found == {"whole": 250, "real": 1000.0}
    assert [type(value) for value in found.values()] == [int, float]
    row = await face(
        Book.objects.annotate(
            wrapped=ExpressionWrapper(F("pages") * 1.5, output_field=dorm.IntegerField()),
            decimal=Func(F("pages"), function="ABS", output_field=dorm.DecimalField(max_digits=9, decimal_places=2)),
            whole=F("pages") ** 2,
            sum=F("pages") + Decimal("1.5"),
            case=Case(When(name="A", then="pages"), default="rating", output_field=dorm.FloatField()),
        ).get
    )(name="A")
    assert (row.wrapped, row.decimal, row.whole, row.sum, row.case) == (150, 100, 10_000, Decimal("101.5"), 100.0)
    kinds = [int, Decimal, int, Decimal, float]
    assert [type(each) for each in (row.wrapped, row.decimal, row.whole, row.sum, row.case)] == kinds


async def test_a_moment_less_a_date_is_a_duration(face: Face) -> None:
    moment = Value(datetime.datetime(2008, 1, 2, 12), output_field=dorm.DateTimeField())
    lag = Book.objects.filter(name="A").annotate(lag=moment - F("pubdate"))
    assert await face.rows(lag.values_list("lag", flat=True)) == [datetime.timedelta(days=1, hours=12)]


# -- dates -------------------------------------------------------------------------------------------------------


def test_datetimes_of_a_date_are_refused() -> None:
    with pytest.raises(ValueError, match="Cannot truncate DateField 'pubdate' to DateTimeField"):
        Book.objects.datetimes("pubdate", "hour")
    with pytest.raises(TypeError, match="isn't a DateField or DateTimeField"):
        Book.objects.dates("name", "year")


# -- one call, one join ------------------------------------------------------------------------------------------


async def test_correlated_conditions_within_conditions(face: Face) -> None:
    stores = Store.objects.filter(books=OuterRef("pk"), name="Small")
    sold = Book.objects.filter(Exists(stores) | Q(pages=400)).order_by("name")
    assert [book.name for book in await face.rows(sold)] == ["A", "D"]
    first = Subquery(Store.objects.filter(books=OuterRef("pk")).order_by("name").values("name")[:1])
    assert await face.rows(Book.objects.order_by("name").annotate(s=first).values_list("s", flat=True)) == [
        "Big",
        "Big",
        "Big",
        None,
    ]


async def test_the_default_of_an_aggregate_is_a_value(face: Face) -> None:
    found = await face(Book.objects.filter(pages=0).aggregate)(
        a=Max("name", default="none"), b=Max("name", default=Value("nothing")), c=Max("name")
    )
    assert found == {"a": "none", "b": "nothing", "c": None}


# -- querysets as values, aliases, empty querysets, types of computed numbers ---------------------------------------


async def test_a_queryset_is_an_expression_without_subquery(face: Face) -> None:
    dearest = Book.objects.filter(publisher=OuterRef("pk")).order_by("-price").values("name")[:1]
    rows = Publisher.objects.annotate(it=dearest).order_by("name")
    assert await face.rows(rows.values_list("name", "it")) == [("Acme", "B"), ("Bolt", "D"), ("Lone", None)]
    rows = Publisher.objects.alias(it=dearest).filter(it="D")
    assert await face.rows(rows.values_list("name", flat=True)) == ["Bolt"]
    named = Publisher.objects.values_list(Coalesce(dearest, Value("-")), flat=True).order_by("name")
    assert await face.rows(named) == ["B", "D", "-"]
    whole = Case(When(name="Lone", then=Value("none")), default=dearest)
    assert await face.rows(Publisher.objects.values_list(whole, flat=True).order_by("name")) == ["B", "D", "none"]
    assert await face(Publisher.objects.exclude(name="Lone").update)(name=dearest) == 2
    assert sorted(await face.rows(Publisher.objects.values_list("name", flat=True))) == ["B", "D", "Lone"]


async def test_an_alias_is_promoted_before_it_is_aggregated(face: Face) -> None:
    doubled = Book.objects.alias(double=F("pages") * 2)
    with pytest.raises(
        dorm.FieldError, match=r"Cannot aggregate over the 'double' alias. Use annotate\(\) to promote it"
    ):
        await face(doubled.aggregate)(Sum("double"))
    promoted = doubled.annotate(double=F("double"))
    assert await face(promoted.aggregate)(Sum("double")) == {"double__sum": 2000}
    assert await face(doubled.filter(double__gt=400).count)() == 2


def test_an_empty_queryset_is_ordered() -> None:
    assert Book.objects.none().ordered
    assert not Book.objects.all().ordered


async def test_a_mean_in_arithmetic_is_a_float(face: Face) -> None:
    found = await face(Book.objects.aggregate)(n=Avg("pages") + Max("pages"), m=Avg("pages") / 2)
    assert found == {"n": 650.0, "m": 125.0}
    assert {type(value) for value in found.values()} == {float}
    rows = Publisher.objects.annotate(n=Avg("book__pages") * 2).order_by("name").values_list("n", flat=True)
    assert await face.rows(rows) == [300.0, 700.0, None]
