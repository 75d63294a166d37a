"""Statements of the pages on aggregation, expressions and conditional expressions, each with its answer or refusal."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

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
    Min,
    OrderBy,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from dorm.functions import Cast, Coalesce, Collate, JSONObject, Lower, RowNumber
from dorm.lookups import IsNull, LessThan
from tests.documented.shop import MODELS, Author, Book, Publisher, Store, fill
from tests.support.faces import Face

__all__ = ["MODELS"]  # the fixture reads it
Make = Callable[[], Any]


def x(expression: Any) -> Any:
    """Return what *expression* is for books A, B, C and D."""
    return Book.objects.annotate(x=expression).order_by("name").values_list("x", flat=True)


def names(queryset: Any) -> Any:
    return queryset.order_by("name").values_list("name", flat=True)


written = Book.objects.filter(authors=OuterRef("pk"))
none = Store.objects.none()

ROWS: list[tuple[Make, list[Any]]] = [
    # arithmetic, on either side, and bits
    (lambda: x(F("pages") + 1), [101, 201, 301, 401]),
    (lambda: x(1000 - F("pages")), [900, 800, 700, 600]),
    (lambda: x(-F("pages") * 2), [-200, -400, -600, -800]),
    (lambda: x(F("pages") / 300), [0, 0, 1, 1]),
    (lambda: x(1200 / F("pages")), [12, 6, 4, 3]),
    (lambda: x(F("pages") % 70), [30, 60, 20, 50]),
    (lambda: x(2 ** (F("pages") / 100)), [2, 4, 8, 16]),
    (lambda: x(F("price") * F("pages")), [Decimal(1000), Decimal(4000), Decimal(9000), Decimal(15800)]),
    (lambda: x(F("rating") * F("pages")), [400.0, 1000.0, 900.0, 1400.0]),
    (lambda: x(F("pages").bitand(12)), [4, 8, 12, 0]),
    (lambda: x(F("pages").bitor(3)), [103, 203, 303, 403]),
    (lambda: x(F("pages").bitxor(100)), [0, 172, 328, 500]),
    (lambda: x(F("pages").bitleftshift(1)), [200, 400, 600, 800]),
    (lambda: x(F("pages").bitrightshift(2)), [25, 50, 75, 100]),
    (lambda: x(F("publisher__name")[1:3]), ["cm", "cm", "ol", "ol"]),
    (lambda: x(F("publisher__name")[0]), ["A", "A", "B", "B"]),
    (lambda: x(F("pubdate") - datetime.date(2008, 1, 1))[:3], [datetime.timedelta(n) for n in (0, 0, 366)]),
    (lambda: x(ExpressionWrapper(F("pages") * 1.5, dorm.FloatField())), [150.0, 300.0, 450.0, 600.0]),
    (lambda: x(Cast("pages", dorm.CharField())), ["100", "200", "300", "400"]),
    (lambda: x(JSONObject(a="name", b=F("pages"), c=Value(True)))[:1], [{"a": "A", "b": 100, "c": True}]),
    (
        lambda: x(
            Func(F("name"), Value("!"), template="%(expressions)s", arg_joiner=" || ", output_field=dorm.CharField())
        ),
        ["A!", "B!", "C!", "D!"],
    ),
    # conditions
    (lambda: x(LessThan(F("pages"), 250)), [True, True, False, False]),
    (lambda: names(Book.objects.filter(LessThan(F("pages"), F("price") * 10))), []),
    (lambda: names(Author.objects.filter(IsNull(F("book"), True))), ["Cat"]),
    (lambda: names(Author.objects.filter(Exists(written), age=40)), ["Ann"]),
    (lambda: names(Author.objects.filter(~Exists(written) | Q(age=40))), ["Ann", "Cat"]),
    (lambda: names(Author.objects.filter(Q(age=40) ^ Exists(written))), ["Bob"]),
    (lambda: names(Author.objects.filter(Q(age__gt=30) & ~Exists(written.filter(pages=300)))), ["Ann"]),
    (
        lambda: Author.objects.order_by(Exists(written).asc(), "-name").values_list("name", flat=True),
        ["Cat", "Bob", "Ann"],
    ),
    (
        lambda: Book.objects.order_by(
            OrderBy(F("publisher__name"), descending=True, nulls_last=True), "name"
        ).values_list("name", flat=True),
        ["C", "D", "A", "B"],
    ),
    # what no row can match
    (lambda: x(Case(When(pk__in=[], then=Value(1)), default=Value(3))), [3] * 4),
    (lambda: x(Case(When(~Q(pk__in=[]), then=Value(1)), default=Value(3))), [1] * 4),
    (lambda: x(Case(default=Value(3))), [3] * 4),
    (lambda: x(Exists(none)), [False] * 4),
    (lambda: x(~Exists(none)), [True] * 4),
    (lambda: x(Subquery(none.values("pk"))), [None] * 4),
    (lambda: x(Coalesce(Subquery(none.values("pk")), 5)), [5] * 4),
    (lambda: names(Book.objects.filter(~Exists(none))), ["A", "B", "C", "D"]),
    (lambda: names(Book.objects.filter(Exists(none) | Q(pages=100))), ["A"]),
    # groups
    (
        lambda: (
            Book.objects.values("publisher__name")
            .annotate(n=Count("pk"), s=Sum("price"), r=Avg("rating"), d=Min("pubdate"))
            .order_by("publisher__name")
            .values_list("n", "s", "r", "d")
        ),
        [(2, Decimal(30), 4.5, datetime.date(2008, 1, 1)), (2, Decimal("69.50"), 3.25, datetime.date(2009, 1, 1))],
    ),
    (
        lambda: Book.objects.values(low=Lower("publisher__name")).annotate(n=Count("pk")).order_by("low"),
        [{"low": "acme", "n": 2}, {"low": "bolt", "n": 2}],
    ),
    (lambda: Book.objects.values("publisher").annotate(n=Count("pk")).values_list("n", flat=True), [2, 2]),
    (
        lambda: (
            Publisher.objects.annotate(n=Count("book"))
            .annotate(m=F("n") * 2)
            .filter(m__gt=2)
            .order_by("name")
            .values_list("m", flat=True)
        ),
        [4, 4],
    ),
    (lambda: names(Publisher.objects.annotate(n=Count("book")).filter(Q(n=0) | Q(name="Acme"))), ["Acme", "Lone"]),
    (lambda: names(Author.objects.annotate(n=Count("book")).filter(n__lt=F("age") / 15)), ["Cat"]),
    (
        lambda: (
            Publisher.objects.annotate(
                a=Count("book", filter=Q(book__pages__gt=100)), b=Count("book", filter=~Q(book__pages__gt=100))
            )
            .order_by("name")
            .values_list("a", "b")
        ),
        [(1, 1), (2, 0), (0, 0)],
    ),
    (
        lambda: (
            Author.objects.annotate(n=Count("book", filter=Q(Exists(Store.objects.filter(books=OuterRef("book__pk"))))))
            .order_by("name")
            .values_list("n", flat=True)
        ),
        [2, 2, 0],
    ),
    (
        lambda: (
            Publisher.objects.annotate(s=Sum("book__pages", default=0)).filter(s__gt=0).exclude(s=300).values_list("s")
        ),
        [(700,)],
    ),
    (
        lambda: (
            Book.objects.annotate(w=Window(Count("pk"), partition_by="publisher"), n=Count("authors"))
            .filter(Q(w__gt=2) | Q(n=2))
            .values_list("name", "w")
        ),
        [("B", 2)],
    ),
]


@pytest.mark.parametrize(("make", "expected"), ROWS, ids=[str(number) for number in range(len(ROWS))])
async def test_rows(face: Face, make: Make, expected: list[Any]) -> None:
    await fill(face)
    found = await face.rows(make())
    assert found == expected
    assert [type(each) for each in found] == [type(each) for each in expected]


TOTALS: list[tuple[Make, dict[str, Any], dict[str, Any]]] = [
    (lambda: Book.objects, {"x": Sum("pages"), "y": F("x") * 2}, {"x": 1000, "y": 2000}),
    (lambda: Book.objects, {"x": Avg(F("pages") + 1), "y": Count("pk") * 10}, {"x": 251.0, "y": 40}),
    (
        lambda: Book.objects,
        {"x": Count("pk", filter=Q(pk__in=[])), "y": Sum("pages", filter=Q(pk__in=[]))},
        {"x": 0, "y": None},
    ),
    (
        lambda: Book.objects,
        {"x": Count("pk", filter=~Q(pk__in=[])), "y": Count(Case(When(pk__in=[], then=1)))},
        {"x": 4, "y": 0},
    ),
    (
        lambda: Book.objects.none(),
        {"x": Coalesce(Sum("pages"), 3), "y": Sum("pages") + 1, "z": Max("price", default=Decimal(1))},
        {"x": 3, "y": None, "z": Decimal(1)},
    ),
    (lambda: Book.objects.filter(pk=-1), {"x": Coalesce(Sum("pages"), 3), "y": Sum("pages") + 1}, {"x": 3, "y": None}),
    (lambda: Book.objects.order_by("pages")[1:3], {"x": Sum("pages"), "y": Max("name")}, {"x": 500, "y": "C"}),
    (lambda: Book.objects.values("publisher").distinct(), {"x": Count("publisher")}, {"x": 2}),
    (
        lambda: Book.objects.filter(pages=100).union(Book.objects.filter(pages=400)),
        {"x": Count("pk"), "y": Sum("pages")},
        {"x": 2, "y": 500},
    ),
    (
        lambda: Book.objects.annotate(n=Count("authors")),
        {"x": Sum("n"), "y": Avg("n"), "z": Count("pk", filter=Q(n=1))},
        {"x": 4, "y": 1.0, "z": 2},
    ),
    (lambda: Book.objects.annotate(w=Window(RowNumber(), order_by="pk")), {"x": Sum("w")}, {"x": 10}),
    (
        lambda: Book.objects.filter(authors__age__gt=1),
        {"x": Sum("pages"), "y": Sum("pages", distinct=True)},
        {"x": 800, "y": 600},
    ),
]


@pytest.mark.parametrize(("make", "asked", "expected"), TOTALS, ids=[str(number) for number in range(len(TOTALS))])
async def test_totals(face: Face, make: Make, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    await fill(face)
    assert await face(make().aggregate)(**asked) == expected


UPDATES: list[tuple[Make, dict[str, Any], list[int]]] = [
    (lambda: Book.objects.annotate(n=F("pages") + 1), {"pages": F("n")}, [101, 201, 301, 401]),
    (
        lambda: Book.objects.filter(Exists(Store.objects.filter(books=OuterRef("pk")))),
        {"pages": F("pages") * 2},
        [200, 400, 600, 400],
    ),
    (lambda: Book.objects.annotate(n=Count("authors")).filter(n=1), {"pages": 1}, [1, 200, 1, 400]),
    (
        lambda: Book.objects.order_by("-pages"),
        {"pages": Case(When(rating__gt=3.5, then=0), default=F("pages"))},
        [0, 0, 300, 400],
    ),
    (
        lambda: Book.objects.all(),
        {"pages": Subquery(Author.objects.filter(age__lt=OuterRef("pages")).order_by("-age").values("age")[:1])},
        [40, 40, 40, 40],
    ),
    (
        lambda: Book.objects.annotate(a=Subquery(Author.objects.order_by("age").values("age")[:1])),
        {"pages": F("a")},
        [20] * 4,
    ),
]


@pytest.mark.parametrize(("make", "new", "expected"), UPDATES, ids=[str(number) for number in range(len(UPDATES))])
async def test_updates(face: Face, make: Make, new: dict[str, Any], expected: list[int]) -> None:
    await fill(face)
    await face(make().update)(**new)
    assert await face.rows(Book.objects.order_by("name").values_list("pages", flat=True)) == expected


def annotated(**expressions: Any) -> Any:
    return list(Book.objects.annotate(**expressions))


REFUSED: list[tuple[Make, type[Exception], str]] = [
    (lambda: annotated(x=F("pages") + F("name")), dorm.FieldError, "output_field"),
    (lambda: annotated(x=F("price") * F("rating")), dorm.FieldError, "output_field"),
    (lambda: annotated(x=F("pubdate") + F("pubdate")), dorm.FieldError, "output_field"),
    (lambda: annotated(x=Coalesce("pages", "name")), dorm.FieldError, "output_field"),
    (lambda: annotated(x=Case(When(pages=1, then=F("pages")), default=F("name"))), dorm.FieldError, "output_field"),
    (lambda: annotated(x=Value(object())), dorm.FieldError, "output_field"),
    (lambda: annotated(x=Max(Max("pages"))), dorm.FieldError, "aggregate"),
    (lambda: list(Book.objects.annotate(n=Count("authors")).annotate(x=Sum("n"))), dorm.FieldError, "aggregate"),
    (
        lambda: Book.objects.annotate(n=Count("authors")).values("n").annotate(m=Count("n")),
        dorm.FieldError,
        "aggregate",
    ),
    (lambda: Book.objects.aggregate(x=Sum("pages"), y=Sum("x")), dorm.FieldError, "aggregate"),
    (lambda: Book.objects.aggregate(x=F("pages")), TypeError, "not an aggregate"),
    (lambda: Book.objects.aggregate(x="pages"), TypeError, "non-expression"),
    (lambda: Book.objects.aggregate(F("pages")), TypeError, "alias"),
    (lambda: Book.objects.aggregate(Avg("pages"), Avg("pages", filter=Q(pages=1))), ValueError, "conflicts"),
    (lambda: Book.objects.annotate(F("pages") + 1), TypeError, "alias"),
    (lambda: annotated(x=1), TypeError, "Value"),
    (lambda: annotated(x=When(pages=1, then=1)), TypeError, "within another one"),
    (lambda: annotated(x=F("pages").asc()), TypeError, "within another one"),
    (lambda: annotated(pages=Count("authors")), ValueError, "conflicts with a field"),
    (lambda: annotated(publisher_id=Count("authors")), ValueError, "conflicts with a field"),
    (lambda: annotated(authors=Count("authors")), ValueError, "conflicts with a field"),
    (lambda: annotated(store=Count("authors")), ValueError, "conflicts with a field"),
    (lambda: annotated(pk=Count("authors")), ValueError, "conflicts with a field"),
    (lambda: annotated(x=Count("nope")), dorm.FieldError, "nope"),
    (lambda: list(Book.objects.filter(pages=F("nope"))), dorm.FieldError, "nope"),
    (lambda: list(Book.objects.filter(F("pages"))), TypeError, "condition"),
    (lambda: list(Book.objects.filter(Count("authors"))), TypeError, "condition"),
    (lambda: F("pages") & 3, NotImplementedError, "bitand"),
    (lambda: list(F("name")), TypeError, "iter"),
    (lambda: "a" in F("name"), TypeError, "iterable"),
    (lambda: F("name")[-1], ValueError, "Negative"),
    (lambda: F("name")[0:4:2], ValueError, "Step"),
    (lambda: F("name")[3:1], ValueError, "greater"),
    (lambda: annotated(x=F("pages")[0:1]), dorm.NotSupportedError, "slicing"),
    (lambda: Book.objects.update(pages=F("publisher__name")), dorm.FieldError, "Joined"),
    (lambda: Book.objects.annotate(x=F("publisher__name")).update(name=F("x")), dorm.FieldError, "Joined"),
    (lambda: Book.objects.annotate(x=Count("authors")).update(pages=F("x")), dorm.FieldError, "ggregate"),
    (lambda: Book.objects.update(pages=Sum("pages")), dorm.FieldError, "ggregate"),
    (lambda: Book.objects.update(pages=Window(RowNumber(), order_by="pk")), dorm.FieldError, "indow"),
    (lambda: Book.objects.create(name="x", pages=F("pages")), ValueError, "F"),
    (lambda: list(Book.objects.filter(pages=Count("authors"))), dorm.FieldError, "ggregate"),
    (lambda: list(Book.objects.order_by(Count("authors"))), dorm.FieldError, "annotate"),
    (lambda: list(Book.objects.alias(n=Count("authors")).values("n")), dorm.FieldError, "annotate"),
    (lambda: Book.objects.alias(n=Count("authors")).aggregate(x=Sum("n")), dorm.FieldError, "annotate"),
    (lambda: list(Book.objects.filter(authors=OuterRef("pk"))), ValueError, "outer query"),
    (lambda: list(Book.objects.filter(pk=Author.objects.values("pk"))), ValueError, "one result"),
    (lambda: list(Book.objects.filter(pk__in=Author.objects.values("pk", "age"))), ValueError, "1 selected field"),
    (lambda: annotated(x=Subquery(Author.objects.values("pk", "age"))), dorm.FieldError, "one column"),
    (lambda: Collate("name", 'x"; drop'), ValueError, "collation"),
    (lambda: F("pages").asc(nulls_first=True, nulls_last=True), ValueError, "mutually exclusive"),
    (lambda: F("pages").asc(nulls_first=False), ValueError, "True or None"),
    (lambda: Count("pk", default=1), TypeError, "default"),
    (lambda: Max("pages", distinct=True), TypeError, "distinct"),
    (lambda: Case(Value(1)), TypeError, "When"),  # type: ignore[arg-type]  # what is refused
    (lambda: When(Q(), then=1), ValueError, "empty Q"),
    (lambda: Window(F("pages")), ValueError, "OVER"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_refusals(make: Make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
