"""Defaults, statistics, gathered values, ranks: what aggregates give beyond the five common ones."""

from __future__ import annotations

import decimal
import statistics
from typing import Any

import pytest

import dorm
from dorm import (
    ArrayAgg,
    Avg,
    BitAnd,
    BitOr,
    BitXor,
    BoolAnd,
    BoolOr,
    Count,
    F,
    FieldError,
    JSONBAgg,
    Max,
    Min,
    Mode,
    NotSupportedError,
    PercentileCont,
    PercentileDisc,
    Q,
    StdDev,
    StringAgg,
    Sum,
    Value,
    Variance,
)
from dorm.aggregates import Corr, CovarPop, RegrCount, RegrSlope
from dorm.functions import Lower
from tests.support.faces import Face
from tests.support.models import Author, Book, Everything

pytestmark = pytest.mark.usefixtures("database")

ROWS: list[dict[str, Any]] = [
    {"char": "b", "integer": 6, "double": 1.5, "decimal": "1.500", "truth": True},
    {"char": "a", "integer": 3, "double": 2.0, "decimal": "2.250", "truth": True},
    {"char": "b", "integer": 3, "double": 4.0, "decimal": "6.000", "truth": False},
    {"char": None, "integer": None, "double": None, "decimal": None, "truth": None},
]


@pytest.fixture
def rows(database: Any) -> None:
    Everything.objects.bulk_create([Everything(**row) for row in ROWS])


async def one(face: Face, expression: Any) -> Any:
    return (await face(Everything.objects.aggregate)(x=expression))["x"]


CASES: list[tuple[Any, Any]] = [
    (StdDev("integer"), statistics.pstdev([6, 3, 3])),
    (StdDev("integer", sample=True), statistics.stdev([6, 3, 3])),
    (Variance("double"), statistics.pvariance([1.5, 2.0, 4.0])),
    (Variance("double", sample=True), statistics.variance([1.5, 2.0, 4.0])),
    (StringAgg("char", order_by="char"), "a, b, b"),
    (StringAgg("char", "-", order_by="-integer", filter=Q(integer=3) | Q(integer=6, double=1.5)), None),
    (StringAgg("char", separator=";", distinct=True, order_by="char"), "a;b"),
    (StringAgg("char", delimiter="|", order_by=F("char").desc()), "b|b|a"),
    (StringAgg("integer", ",", order_by="integer"), "3,3,6"),
    (StringAgg(Lower("char"), Value(""), order_by="double"), "bab"),
    (BoolAnd("truth"), False),
    (BoolOr("truth"), True),
    (BoolAnd("truth", filter=Q(integer=6)), True),
    (BitAnd("integer"), 2),
    (BitOr("integer"), 7),
    (BitXor("integer"), 6),
    (Mode("char"), "b"),
    (Mode("integer"), 3),
    (PercentileCont("double", fraction=0.5), 2.0),
    (PercentileCont("integer", fraction=0.75), 4.5),
    (PercentileDisc("integer", fraction=0.5), 3),
    (Sum("integer", default=0), 12),
    (Sum("integer", filter=Q(integer__gt=100), default=-1), -1),
    (Max("char", filter=Q(integer=100), default=Value("none")), "none"),
    (Sum("decimal", filter=Q(integer=100), default=decimal.Decimal("0.5")), decimal.Decimal("0.5")),
    (Avg("decimal"), decimal.Decimal("3.25")),

    (Count("char", distinct=True), 2),
    (Count("*", filter=Q(truth=True)), 2),
    (Sum("integer", distinct=True), 9),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "expected"), CASES, ids=[str(number) for number in range(len(CASES))])
async def test_aggregates(face: Face, rows: None, expression: Any, expected: Any) -> None:
    found = await one(face, expression)
    if expected is None:
        assert found is not None
    elif isinstance(expected, float):
        assert found == pytest.approx(expected)
    else:
        assert found == expected
        assert type(found) is type(expected)


async def test_over_no_rows(face: Face) -> None:
    for made in (StdDev, Variance, StringAgg, BoolAnd, BoolOr, BitAnd, BitOr, BitXor, Mode, Sum, Avg, Max, Min):
        field = "truth" if made in (BoolAnd, BoolOr) else "char" if made is StringAgg else "integer"
        assert await one(face, made(field)) is None, made
        empty = await face(Everything.objects.none().aggregate)(x=made(field))
        assert empty == {"x": None}
    assert await one(face, Count("id")) == 0
    assert await one(face, Sum("integer", default=0)) == 0
    assert await face(Everything.objects.none().aggregate)(x=Sum("integer", default=3)) == {"x": 3}
    assert await one(face, StringAgg("char", default=Value("-"))) == "-"
    assert await one(face, StdDev("integer", sample=True, default=1.5)) == 1.5


async def test_lists(face: Face, backend: str, rows: None) -> None:
    if backend != "postgresql":
        for made in (ArrayAgg("char"), JSONBAgg("char"), Corr("integer", "double")):
            with pytest.raises(NotSupportedError, match="SQLite has no aggregate"):
                await one(face, made)
        return
    assert await one(face, ArrayAgg("integer", order_by=F("integer").asc(nulls_last=True))) == [3, 3, 6, None]
    assert await one(face, ArrayAgg("char", distinct=True, order_by="char", filter=Q(char__isnull=False))) == ["a", "b"]
    assert await one(face, ArrayAgg("decimal", ordering="-decimal", filter=Q(decimal__gt=2))) == [
        decimal.Decimal("6.000"),
        decimal.Decimal("2.250"),
    ]
    assert await one(face, ArrayAgg("integer", filter=Q(integer=100))) is None
    assert await one(face, JSONBAgg("integer", order_by="-integer", filter=Q(integer__gt=0))) == [6, 3, 3]
    assert await one(face, JSONBAgg("json")) == [None] * 4
    assert await one(face, RegrCount("integer", "double")) == 3
    assert await one(face, Corr("double", "double")) == pytest.approx(1.0)
    assert await one(face, RegrSlope(y="double", x="double")) == pytest.approx(1.0)
    assert await one(face, CovarPop("double", "double", sample=True)) == pytest.approx(
        statistics.variance([1.5, 2.0, 4.0])
    )
    with pytest.raises(ValueError, match="Both y and x must be provided"):
        Corr("", "x")


async def test_by_group(face: Face) -> None:
    ann = await face(Author.objects.create)(name="ann")
    bob = await face(Author.objects.create)(name="bob")
    await face(Book.objects.bulk_create)(
        [Book(title=title, author=author, pages=pages) for title, author, pages in
         [("x", ann, 10), ("y", ann, 30), ("z", bob, 5)]]
    )  # fmt: skip
    zoe = await face(Author.objects.create)(name="zoe")
    qs = Author.objects.annotate(
        titles=StringAgg("books__title", "+", order_by="-books__pages", default=Value("")),
        pages=Sum("books__pages", default=0),
        spread=StdDev("books__pages"),
    ).order_by("name")
    found = [(each.name, each.titles, each.pages, each.spread) for each in await face.rows(qs)]
    assert found == [("ann", "y+x", 40, 10.0), ("bob", "z", 5, 0.0), ("zoe", "", 0, None)]
    assert await face(qs.filter(pages=0).get)() == zoe


async def test_classes_of_ones_own(face: Face, rows: None) -> None:
    class Product(dorm.Aggregate):
        function = "SUM"
        template = "%(function)s(%(all_values)s%(expressions)s)"
        allow_distinct = False
        arity = 1

        def __init__(self, expression: Any, all_values: bool = False, **extra: Any) -> None:
            super().__init__(expression, all_values="ALL " if all_values else "", **extra)

    assert await one(face, Product("integer", all_values=True)) == 12
    assert await one(face, Product("integer", filter=Q(integer=3))) == 6

    class Largest(Max):
        def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
            return super().as_sql(compiler, connection, function="MIN", **extra)

    assert await one(face, Largest("integer")) == 3


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Max("x", distinct=True), TypeError, "Max does not allow distinct"),
        (lambda: Count("x", default=1), TypeError, "Count does not allow default"),
        (lambda: Sum("x", order_by="y"), TypeError, "Sum does not allow order_by"),
        (lambda: Sum(Sum("x")), FieldError, "Cannot compute Sum"),
        (lambda: PercentileCont("x", fraction=2), ValueError, "takes a fraction from 0 to 1"),
        (lambda: StringAgg("x", order_by=3), TypeError, "order_by takes names"),
        (
            lambda: Everything.objects.aggregate(Sum(F("integer") + 1)),
            TypeError,
            "Complex expressions require an alias",
        ),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
