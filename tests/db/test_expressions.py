"""Arithmetic, slices, Case, RawSQL and the types that follow."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

import dorm
from dorm import Case, ExpressionWrapper, F, Q, RawSQL, Sum, Value, When
from tests.db.test_rows import library
from tests.support.faces import Face
from tests.support.models import Author, Book, Everything

pytestmark = pytest.mark.usefixtures("database")


DEC = dorm.DecimalField(max_digits=12, decimal_places=3)


async def one(face: Face, expression: object) -> object:
    """Return the value of an expression over the only row of Everything."""
    rows = await face.rows(Everything.objects.annotate(it=expression).values_list("it", flat=True))
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (F("integer") + 1, 43),
        (1 + F("integer"), 43),
        (F("integer") - 2, 40),
        (100 - F("integer"), 58),
        (F("integer") * F("small"), 210),
        (F("integer") / 4, 10),
        (F("integer") % 4, 2),
        (F("small") ** 2, 25),
        (2 ** F("small"), 32),
        (-F("integer"), -42),
        (F("integer") + 1.5, 43.5),
        (F("double") * 2, 5.0),
        (F("integer").bitand(10), 10),
        (F("integer").bitor(5), 47),
        (F("integer").bitxor(2), 40),
        (F("integer").bitleftshift(2), 168),
        (F("integer").bitrightshift(1), 21),
        (F("decimal") + 1, Decimal("11.125")),
        (F("decimal") * 2, Decimal("20.25")),
        (F("decimal") * Decimal("0.1"), Decimal("1.0125")),
        (F("decimal") - F("decimal"), Decimal("0")),
        (F("decimal") / 4, Decimal("2.53125")),
        (F("decimal") + F("long_decimal"), Decimal("10.625")),
        (F("integer") + Decimal("0.5"), Decimal("42.5")),
        (ExpressionWrapper(F("decimal") * 2, dorm.FloatField()), 20.25),
        (ExpressionWrapper(F("decimal") * F("double"), DEC), Decimal("25.313")),
        (F("char")[0], "h"),
        (F("char")[1:3], "el"),
        (F("char")[2:], "llo"),
        (Case(When(integer__gt=40, then=Value("big")), default=Value("small")), "big"),
        (Case(When(integer__gt=50, then=Value("big"))), None),
        (Case(When(integer__gt=50, then="small"), default="integer"), 42),
        (Case(When(Q(integer=42) & ~Q(small=4), then=F("decimal")), default=Value(Decimal(0))), Decimal("10.125")),
        (Case(default=Value(3)), 3),
        (RawSQL("%s * integer + 1", (2,), dorm.IntegerField()), 85),
        (Value(True), True),
        (Q(integer__gt=3), True),
        (~Q(integer__gt=3), False),
    ],
    ids=str,
)  # fmt: skip
async def test_the_value_of_an_expression(face: Face, expression: object, expected: object) -> None:
    await face(Everything.objects.create)(
        integer=42,
        small=5,
        double=2.5,
        decimal="10.125",
        long_decimal="0.5",
        char="hello",
    )
    found = await one(face, expression)
    if isinstance(expected, float):
        assert found == pytest.approx(expected)
    else:
        assert found == expected


MOMENT = datetime.datetime(2024, 2, 28, 23, 30)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (F("moment") + datetime.timedelta(hours=1), MOMENT + datetime.timedelta(hours=1)),
        (F("moment") - datetime.timedelta(days=1, microseconds=5), MOMENT - datetime.timedelta(days=1, microseconds=5)),
        (F("moment") + F("duration"), MOMENT + datetime.timedelta(minutes=90)),
        (F("duration") + F("moment"), MOMENT + datetime.timedelta(minutes=90)),
        (F("moment") - F("moment"), datetime.timedelta(0)),
        (F("moment") - Value(MOMENT - datetime.timedelta(days=3)), datetime.timedelta(days=3)),
        (F("date") - Value(datetime.date(2024, 1, 1)), datetime.timedelta(days=59)),
        (F("date") + datetime.timedelta(days=1), datetime.datetime(2024, 3, 1)),
        (F("time") + datetime.timedelta(minutes=31), datetime.time(0, 1)),
        (F("duration") + F("duration"), datetime.timedelta(hours=3)),
        (F("duration") - datetime.timedelta(minutes=30), datetime.timedelta(hours=1)),
        (F("moment") - datetime.timedelta(days=1) - F("duration"), MOMENT - datetime.timedelta(hours=25.5)),
    ],
    ids=str,
)
async def test_dates_and_durations(face: Face, expression: object, expected: object) -> None:
    await face(Everything.objects.create)(
        moment=MOMENT,
        date=datetime.date(2024, 2, 29),
        time=datetime.time(23, 30),
        duration=datetime.timedelta(minutes=90),
    )
    assert await one(face, expression) == expected


async def test_durations_in_filters(face: Face) -> None:
    row = await face(Everything.objects.create)(moment=MOMENT, duration=datetime.timedelta(minutes=90))
    early = Everything.objects.filter(moment__lt=Value(MOMENT + datetime.timedelta(days=1)) - F("duration"))
    assert await face.rows(early) == [row]
    long = Everything.objects.annotate(twice=F("duration") + F("duration")).filter(
        twice__gt=datetime.timedelta(hours=2)
    )
    assert await face.rows(long) == [row]


@pytest.mark.parametrize(
    "expression",
    [
        F("char") + F("integer"),
        F("decimal") + F("double"),
        F("date") + 1,
        F("duration") * F("moment"),
        F("moment") + F("moment"),
        F("char") - F("text"),
        F("truth") + 1,
    ],
    ids=str,
)
async def test_types_that_do_not_mix_are_refused_with_the_way_out(expression: object) -> None:
    with pytest.raises(dorm.FieldError, match="You must set output_field"):
        Everything.objects.annotate(it=expression)


async def test_bad_slices() -> None:
    for wrong, error in ((slice(None, None, 2), "Step"), (slice(-1, None), "Negative"), (slice(3, 1), "greater")):
        with pytest.raises(ValueError, match=error):
            F("name")[wrong]
    with pytest.raises(TypeError, match="int or slice"):
        F("name")["a"]  # type: ignore[index]  # what is tested
    with pytest.raises(dorm.NotSupportedError, match="does not support slicing"):
        Everything.objects.annotate(it=F("integer")[0])
    with pytest.raises(TypeError, match="not iterable"):
        "a" in F("name")  # noqa: B015 # what is tested


async def test_bad_when_and_case() -> None:
    for wrong in ({}, {"condition": 1, "then": 1}, {"condition": F("age")}):
        with pytest.raises(TypeError, match="When\\(\\) supports"):
            When(**wrong)
    with pytest.raises(ValueError, match="empty Q"):
        When(Q(), then=1)
    with pytest.raises(TypeError, match="Positional arguments must all be When"):
        Case(Q(age=1))  # type: ignore[arg-type]  # what is tested
    with pytest.raises(dorm.FieldError, match="mixed types"):
        Author.objects.annotate(it=Case(When(age=1, then=Value(1)), default=Value("x")))


async def test_case_in_filters_orders_updates_and_aggregates(face: Face) -> None:
    await library(face)
    size = Case(
        When(pages__gte=200, then=Value("long")), When(pages__gte=100, then=Value("medium")), default=Value("short")
    )
    assert await face.rows(
        Book.objects.annotate(size=size).filter(size="long").order_by("title").values_list("title", flat=True)
    ) == ["A2", "A3"]
    by = Book.objects.order_by(Case(When(title="B1", then=Value(0)), default=Value(1)), "-title")
    assert await face.rows(by.values_list("title", flat=True)) == ["B1", "B2", "A3", "A2", "A1"]
    await face(Book.objects.update)(pages=Case(When(title__startswith="A", then=F("pages") + 1), default=Value(7)))
    assert await face.rows(Book.objects.order_by("title").values_list("pages", flat=True)) == [101, 201, 301, 7, 7]
    total = await face(Book.objects.aggregate)(ann=Sum(Case(When(author__name="Ann", then="pages"), default=Value(0))))
    assert total == {"ann": 603}


async def test_decimals_are_one_number_in_every_form(face: Face) -> None:
    await library(face)
    cheap = Book.objects.filter(price__lt=F("pages") / 9)
    assert await face.rows(cheap.order_by("title").values_list("title", flat=True)) == ["A1", "A2", "B1"]
    twice = Book.objects.annotate(twice=F("price") * 2).filter(twice__gte=20).order_by("-twice")
    assert await face.rows(twice.values_list("title", "twice")) == [("A2", Decimal("41")), ("A1", Decimal("20"))]
    await face(Book.objects.filter(price__isnull=False).update)(price=F("price") * Decimal("1.1") + 1)
    prices = Book.objects.filter(price__isnull=False).order_by("title").values_list("price", flat=True)
    assert [price.quantize(Decimal("0.01")) for price in await face.rows(prices)] == [
        Decimal("12.00"),
        Decimal("23.55"),
        Decimal("2.38"),
    ]


async def test_expressions_are_equal_by_what_they_say() -> None:
    assert F("a") == F("a") != F("b")
    assert F("a") != dorm.OuterRef("a")
    assert hash(F("a")) == hash(F("a"))
