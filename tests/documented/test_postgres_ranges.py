"""The pages of `contrib.postgres` on range fields and their lookups, sentence by sentence."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import Case, F, Func, Max, Value, When
from dorm.fields import Range
from tests.documented.postgres import made
from tests.support.faces import Face


class Span(dorm.Model):
    ints = dorm.IntegerRangeField(null=True)
    bigs = dorm.BigIntegerRangeField(null=True)
    prices = dorm.DecimalRangeField(null=True)
    closed = dorm.DecimalRangeField(null=True, default_bounds="[]")
    days = dorm.DateRangeField(null=True)
    moments = dorm.DateTimeRangeField(null=True)
    number = dorm.IntegerField(null=True)
    day = dorm.DateField(null=True)
    price = dorm.DecimalField(max_digits=6, decimal_places=2, null=True)
    weight = dorm.FloatField(null=True)
    moment = dorm.DateTimeField(null=True)

    class Meta:
        app_label = "doc_ranges"
        ordering = ["pk"]


class Part(dorm.Model):
    span = dorm.ForeignKey(Span, dorm.CASCADE)

    class Meta:
        app_label = "doc_ranges"


MODELS = (Span, Part)


def day(number: int) -> datetime.date:
    return datetime.date(2020, 1, number)


def moment(number: int, hour: int = 0) -> datetime.datetime:
    return datetime.datetime(2020, 1, number, hour)


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def tables(empty_database: Any) -> None:
    made(MODELS)
    Span.objects.create(
        pk=1, ints=(0, 10), bigs=(0, 2**40), prices=(Decimal("0.5"), Decimal("2.5")), closed=(1, 2),
        days=(day(1), day(20)), moments=(moment(1), moment(2)), number=5, day=day(3), price=Decimal("1.50"), weight=1.5,
        moment=moment(1, 3),
    )  # fmt: skip
    Span.objects.create(pk=2, ints=Range(5, None), prices=Range(None, Decimal(3), "(]"), days=(None, None), number=50)
    Span.objects.create(pk=3, ints=Range(empty=True), number=0)
    Span.objects.create(pk=4)
    Span.objects.create(pk=5, ints=Range(1, 3, "(]"), number=10)
    Part.objects.create(span_id=1)


async def keys(face: Face, qs: Any) -> list[Any]:
    return await face.rows(qs.values_list("pk", flat=True))


LOOKUPS: list[tuple[dict[str, Any], list[int]]] = [
    ({"ints__contains": 5}, [1, 2]),
    ({"ints__contains": (4, 5)}, [1]),
    ({"ints__contains": Range(4, 5, "[]")}, [1]),
    ({"ints__contains": F("number")}, [1, 2]),
    ({"bigs__contains": 2**35}, [1]),
    ({"prices__contains": Decimal("0.7")}, [1, 2]),
    ({"closed__contains": Decimal(2)}, [1]),
    ({"days__contains": day(5)}, [1, 2]),
    ({"moments__contains": moment(1, 3)}, [1]),
    ({"ints__contained_by": (0, 10)}, [1, 3, 5]),
    ({"ints__contained_by": Range(0, None)}, [1, 2, 3, 5]),
    ({"number__contained_by": (0, 20)}, [1, 3, 5]),
    ({"number__contained_by": Range(0, 20)}, [1, 3, 5]),
    ({"number__contained_by": F("ints")}, [1, 2]),
    ({"day__contained_by": Range(day(1), None)}, [1]),
    ({"price__contained_by": (Decimal(1), Decimal(3))}, [1]),
    ({"weight__contained_by": (1.0, 2.0)}, [1]),
    ({"moment__contained_by": (moment(1), moment(2))}, [1]),
    ({"ints__overlap": (8, 12)}, [1, 2]),
    ({"ints__overlap": F("ints")}, [1, 2, 5]),
    ({"ints__fully_lt": (11, 15)}, [1, 5]),
    ({"ints__fully_gt": (0, 3)}, [2]),
    ({"ints__not_lt": (0, 3)}, [1, 2, 5]),
    ({"ints__not_gt": (3, 10)}, [1, 5]),
    ({"ints__adjacent_to": (10, 21)}, [1]),
    ({"ints__startswith": 0}, [1]),
    ({"ints__startswith__gt": 0}, [2, 5]),
    ({"ints__startswith__isnull": True}, [3, 4]),
    ({"days__startswith__year": 2020}, [1]),
    ({"ints__endswith": 10}, [1]),
    ({"ints__endswith__lte": 10}, [1, 5]),
    ({"ints__isempty": True}, [3]),
    ({"ints__isempty": False}, [1, 2, 5]),
    ({"ints__lower_inc": True}, [1, 2, 5]),
    ({"days__lower_inf": True}, [2]),
    ({"prices__upper_inc": True}, [2]),
    ({"ints__upper_inf": True}, [2]),
    ({"ints": (0, 10)}, [1]),
    ({"ints": Range(0, 9, "[]")}, [1]),
    ({"ints": Range(empty=True)}, [3]),
    ({"ints": None}, [4]),
    ({"ints__gt": (0, 5)}, [1, 2, 5]),
    ({"ints__in": [(0, 10), Range(5, None)]}, [1, 2]),
]


@pytest.mark.parametrize(("lookup", "expected"), LOOKUPS, ids=repr)
async def test_lookups(face: Face, lookup: dict[str, Any], expected: list[int]) -> None:
    assert await keys(face, Span.objects.filter(**lookup)) == expected


async def test_values(face: Face) -> None:
    first = await face(Span.objects.get)(pk=1)
    # Ranges of whole numbers and dates come back as the server writes them, continuous ones as they were given.
    assert (first.ints, first.days) == (Range(0, 10), Range(day(1), day(20)))
    assert (first.closed, first.prices) == (Range(Decimal(1), Decimal(2), "[]"), Range(Decimal("0.5"), Decimal("2.5")))
    assert (await face(Span.objects.get)(pk=5)).ints == Range(2, 4)
    second = await face(Span.objects.get)(pk=2)
    assert (second.days.lower_inf, second.days.upper_inf, second.prices.bounds) == (True, True, "(]")
    assert (await face(Span.objects.get)(pk=3)).ints.isempty
    assert await face.rows(Span.objects.values_list("ints__startswith", "ints__endswith", "ints__isempty")) == [
        (0, 10, False),
        (5, None, False),
        (None, None, True),
        (None, None, None),
        (2, 4, False),
    ]
    assert await keys(face, Part.objects.filter(span__ints__contains=7)) == [1]
    assert await keys(face, Span.objects.exclude(ints__contains=5)) == [3, 4, 5]
    assert await face(Span.objects.aggregate)(last=Max("ints__endswith")) == {"last": 10}


async def test_expressions(face: Face) -> None:
    field = dorm.IntegerRangeField()
    one = Value(Range(1, 2), output_field=field)
    rows = Span.objects.annotate(one=one)
    assert await face.rows(rows.values_list("one", flat=True)) == [Range(1, 2)] * 5
    chosen = Case(When(number=5, then=one), default=F("ints"), output_field=field)
    assert (await face.rows(Span.objects.annotate(it=chosen).values_list("it", flat=True)))[:2] == [
        Range(1, 2),
        Range(5, None),
    ]
    built = Func(F("number"), F("number") + 5, function="int4range", output_field=field)
    await face(Span.objects.filter(pk=1).update)(ints=built)
    assert (await face(Span.objects.get)(pk=1)).ints == Range(5, 10)
    from_literals = Func(Value(1), Value(9), function="int4range", output_field=field)
    assert await face(Span.objects.annotate(it=from_literals).filter(it__contains=F("number")).count)() == 1


async def test_writing(face: Face) -> None:
    rows = Span.objects.filter(pk=4)
    for new in ((3, 4), [3, 4], ("3", "4"), Range(3, 3, "[]"), Value((3, 4)), Value(Range(3, 4))):
        await face(rows.update)(ints=new)
        assert (await face(rows.get)()).ints == Range(3, 4)
    await face(Span.objects.bulk_create)([Span(pk=11, ints=(1, 2), days=(day(1), None)), Span(pk=12)])
    assert await face.rows(Span.objects.filter(pk__gt=10).values_list("ints", "days")) == [
        (Range(1, 2), Range(day(1), None)),
        (None, None),
    ]
    with pytest.raises(dorm.DataError):
        async with face.atomic():
            await face(Span.objects.create)(ints=(5, 1))
    for wrong in ("[1,2)", 5, ("x", "y")):
        with pytest.raises((TypeError, ValueError)):
            await face(Span.objects.create)(ints=wrong)


def test_default_bounds() -> None:
    closed: Any = dorm.DecimalRangeField(default_bounds="[]")
    assert closed.get_prep_value((Decimal(1), Decimal(2))).bounds == "[]"
    assert closed.to_python('["1", "2"]').bounds == "[]"
    assert closed.get_prep_value(Range(Decimal(1), Decimal(2))).bounds == "[)"
    assert closed.deconstruct()[3] == {"default_bounds": "[]"}
    assert dorm.DecimalRangeField().deconstruct()[3] == {}
    assert dorm.DateTimeRangeField(default_bounds="(]").get_prep_value((moment(1), moment(2))).bounds == "(]"
    with pytest.raises(ValueError, match="default_bounds must be one of"):
        dorm.DecimalRangeField(default_bounds="other")
    discrete: Any
    for discrete in (dorm.IntegerRangeField, dorm.BigIntegerRangeField, dorm.DateRangeField):
        with pytest.raises(TypeError, match=f"Cannot use 'default_bounds' with {discrete.__name__}"):
            discrete(default_bounds="[]")


def test_validation() -> None:
    for wrong in ((5, 1), "x", 5):
        with pytest.raises(dorm.ValidationError):
            Span(ints=wrong).clean_fields(exclude=[name for name in Span._meta.fields_map if name != "ints"])
    field = Span._meta.get_field("ints")
    assert field.to_python('{"lower": "1", "upper": "5"}') == Range(1, 5)
    assert field.to_python(field.value_to_string(Span(ints=Range(1, None)))) == Range(1, None)
