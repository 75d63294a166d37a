"""Annotations compared with values of many types: each is read as a field of the annotation's type would read it."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dorm import Case, Count, Exists, F, InvalidValue, Max, OuterRef, Q, Subquery, Value, When, functions as fn
from dorm.lookups import Exact, GreaterThanOrEqual
from tests.documented.samples import MODELS, Sample, column, fill
from tests.support.faces import Face

FAR = 2**70


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, Any], face: Face) -> None:
    from dorm.migrations.schema import create_tables

    create_tables(MODELS)
    face.run(fill(face))


async def found(face: Face, expression: Any, **lookups: Any) -> list[Any]:
    """Return `i` of the rows where the annotation *x* is so."""
    given = {f"x__{name}": value for name, value in lookups.items()}
    return [row.i for row in await face.rows(Sample.objects.annotate(x=expression).filter(**given).order_by("pk"))]


async def test_whole_numbers(face: Face) -> None:
    length = fn.Length("s")
    for given in (5, "5", 5.0, Decimal(5), " 5 "):
        assert await found(face, length, exact=given) == [7]
        assert await found(face, length, **{"in": [given, 9]}) == [7]
    assert await found(face, length, exact=4.5) == await found(face, length, exact=FAR) == []
    assert await found(face, length, gte=4.5) == await found(face, length, gt=Decimal("4.5")) == [7]
    assert await found(face, length, lt=0.5) == [-3]
    assert await found(face, length, lt=FAR) == await found(face, length, gte=-FAR) == [7, -3]
    assert await found(face, length, range=(-FAR, FAR)) == [7, -3]
    assert await found(face, length, **{"in": [5.0, 0.5, FAR]}) == [7]
    assert await found(face, length, exact=False) == [-3]
    assert await found(face, Count("pk"), exact=1.0) == [7, None, -3]
    assert await found(face, Count("pk"), **{"in": [1.0, 2.5, FAR]}) == [7, None, -3]
    assert await found(face, Count("pk"), lt=FAR) == [7, None, -3]


async def test_floats_and_decimals(face: Face) -> None:
    for given in (2.5, "2.5", Decimal("2.5")):
        assert await found(face, fn.Abs("f"), exact=given) == [7]
    assert await found(face, fn.Abs("f"), gte=Decimal("1.5")) == [7, -3]
    assert await found(face, fn.Abs("f"), **{"in": [2.5, 1, Decimal("1.5")]}) == [7, -3]
    assert await found(face, fn.Abs("f"), gt=True) == [7, -3]
    for given in (3.25, "3.25", Decimal("3.25")):
        assert await found(face, fn.Abs("d"), exact=given) == [7]
    assert await found(face, fn.Abs("d"), **{"in": [3.25, 1, Decimal("0.5")]}) == [7, -3]
    assert await found(face, fn.Abs("d"), gte=True) == [7]
    assert await found(face, fn.Abs("d"), lt=0.75) == [-3]


async def test_dates_times_and_durations(face: Face) -> None:
    moment = datetime.datetime(2024, 12, 30, 23, 45, 30, 654321)
    for given in (moment, "2024-12-30 23:45:30.654321", "2024-12-30T23:45:30.654321"):
        assert await found(face, Max("dtm"), exact=given) == [7]
    for given in (datetime.date(2020, 1, 1), "2020-01-01", "2020-1-1"):
        assert await found(face, Max("dtm"), exact=given) == [-3]
    for given in (datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 5), "2024-2-29"):
        assert await found(face, fn.Coalesce("da", "da"), exact=given) == [7]
    for given in (datetime.time(0), "0:00", "00:00:00", datetime.datetime(2020, 1, 1)):
        assert await found(face, Max("ti"), exact=given) == [-3]
    between = F("dtm") - Value(datetime.datetime(2020, 1, 1))
    for given in (datetime.timedelta(days=1), "1 00:00:00", "1 day", "24:00:00", "P1D"):
        assert await found(face, between, gte=given) == [7]
        assert await found(face, between, lt=given) == [-3]


async def test_values_of_other_types(face: Face) -> None:
    day, clock, span = datetime.date(2020, 1, 1), datetime.time(1), datetime.timedelta(1)
    between = F("dtm") - Value(datetime.datetime(2020, 1, 1))
    for expression, wrong in (
        (fn.Length("s"), ("x", "", "5.5", [5], {}, day, clock, span, b"5", float("nan"))),
        (fn.Abs("f"), ("x", "", [1], day, b"1")),
        (fn.Abs("d"), ("x", "", [1], day, span)),
        (Max("da"), ("x", "", "2024-02-30", 5, clock, [day], span)),
        (Max("dtm"), ("x", "2024", "2024-01-01 25:00", 5, clock, [day])),
        (Max("ti"), ("x", "25:00", 5, day)),
        (between, ("x", "", 5, day, clock)),
    ):
        for value in wrong:
            with pytest.raises(InvalidValue) as caught:
                Sample.objects.annotate(x=expression).filter(x=value)
            # It is either, as those of fields are; the value is in no message.
            assert isinstance(caught.value, ValueError)
            assert isinstance(caught.value, TypeError)
            assert value in ("", "x", "2024") or str(value) not in str(caught.value)


async def test_in_conditions_within_expressions(face: Face) -> None:
    sized = Sample.objects.annotate(n=fn.Length("s"))
    case = Case(When(n__gte=4.5, then=Value("long")), When(n__lt=FAR, then=Value("short")), default=Value("none"))
    assert await face.rows(sized.annotate(x=case).order_by("pk").values_list("x", flat=True)) == [
        "long",
        "none",
        "short",
    ]
    counted = await face(sized.aggregate)(a=Count("pk", filter=Q(n__lt=4.5)), b=Count("pk", filter=Q(n__gte=-FAR)))
    assert counted == {"a": 1, "b": 2}
    assert [row.i for row in await face.rows(sized.exclude(n__gt=4.5).order_by("pk"))] == [-3]


async def test_what_subqueries_give_has_its_type(face: Face) -> None:
    one = Sample.objects.filter(i=7)
    for made, wanted in (
        (fn.Sqrt(fn.Abs(OuterRef("d")) * 4), [Decimal, type(None), Decimal]),
        (fn.Sqrt(fn.Abs(OuterRef("d") * OuterRef("i"))), [Decimal, type(None), Decimal]),
        (fn.Power(OuterRef("d"), 2), [Decimal, type(None), Decimal]),
        (fn.Round(OuterRef("d"), 1), [Decimal, type(None), Decimal]),
        (fn.Abs(OuterRef("f")), [float, type(None), float]),
        (fn.Sqrt(fn.Abs(OuterRef("f"))), [float, type(None), float]),
        (OuterRef("dtm") - F("dtm"), [datetime.timedelta, type(None), datetime.timedelta]),
        (fn.Greatest(OuterRef("da"), OuterRef("da")), [datetime.date, type(None), datetime.date]),
        (fn.NullIf(OuterRef("b"), Value(None)), [bool, type(None), bool]),
    ):
        assert list(map(type, await column(face, Subquery(one.values(x=made))))) == wanted, made
    # Also from the query around the query around.
    twice = one.values(x=Subquery(one.values(y=fn.Round(OuterRef(OuterRef("d")), 1))))
    assert await column(face, Subquery(twice)) == [Decimal("3.3"), None, Decimal("-0.5")]
    assert await column(face, Subquery(twice) * 2) == [Decimal("6.6"), None, Decimal("-1.0")]


# -- texts that Value() gives ----------------------------------------------------------------------------------------

TEXTS = [
    ("i", "7"), ("bi", str(2**40)), ("f", "2.5"), ("d", "3.25"), ("b", "1"), ("da", "2024-2-29"),
    ("ti", "13:45:30.123456"), ("dtm", "2024-12-30 23:45:30.654321"), ("du", "1 02:00:03.000004"),
    ("u", str(UUID(int=5))),
    ("s", "Hello"), ("dtm__date", "2024-12-30"), ("dtm__year", "2024"), ("dtm__month", "12"), ("ti__hour", "13"),
    ("dtm__time", "23:45:30.654321"),
]  # fmt: skip
"""Of the row with 7, each as `Value` has it, which says no type."""


@pytest.mark.parametrize(("path", "text"), TEXTS)
async def test_a_text_of_no_type_is_read_as_what_it_is_compared_with(face: Face, path: str, text: str) -> None:
    given = Value(text)
    row = Sample.objects.filter(i=7)
    for condition in (Q(**{path: given}), Q(**{f"{path}__in": [given]}), Q(**{f"{path}__range": (given, given)}),
                      Q(**{f"{path}__gte": given}) & Q(**{f"{path}__lte": given}),
                      Exact(F(path), given), Exact(given, F(path)), GreaterThanOrEqual(given, F(path))):  # fmt: skip
        assert await face(row.filter(condition).count)() == 1, condition
    assert await face(row.exclude(**{path: given}).count)() == 0
    assert await face(row.annotate(x=given).filter(**{path: F("x")}).count)() == 1
    assert await face(row.annotate(x=Case(When(**{path: given}, then=Value(1)), default=Value(0))).get)()
    inner = Exists(Sample.objects.filter(pk=OuterRef("pk"), **{path: given}))
    assert [row.i for row in await face.rows(Sample.objects.filter(inner))] == [7]
    grouped = row.annotate(x=Q(**{path: given})).values("x").annotate(n=Count("pk"))
    assert await face.rows(grouped) == [{"x": True, "n": 1}]


@pytest.mark.parametrize(("name", "text"), [each for each in TEXTS if "__" not in each[0]])
async def test_a_text_of_no_type_is_read_as_the_column_it_is_written_to(face: Face, name: str, text: str) -> None:
    row = Sample.objects.filter(i=7)
    (before,) = await face.rows(row.values_list(name, flat=True))
    assert await face(Sample.objects.filter(i=-3).update)(**{name: Value(text)}) == 1
    assert await face(Sample.objects.filter(**{name: before}).count)() == 2
    made = await face(Sample.objects.create)(**{name: Value(text)})
    assert await face.rows(Sample.objects.filter(pk=made.pk).values_list(name, flat=True)) == [before]
    await face(Sample.objects.bulk_create)([Sample(**{name: Value(text)}), Sample()])
    assert await face(Sample.objects.filter(**{name: before}).count)() == 4


async def test_texts_that_are_no_value(face: Face) -> None:
    for name, text in (("i", "x"), ("da", "2024-02-30"), ("dtm", "soon"), ("u", "x"), ("d", "1,5"), ("dtm__year", "x")):
        with pytest.raises(InvalidValue):
            await face.rows(Sample.objects.filter(**{name: Value(text)}))
    with pytest.raises(InvalidValue):
        await face(Sample.objects.update)(da=Value("soon"))
