"""Conditions on whole numbers with numbers that the column cannot hold: too large, too small, or with a fraction."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import ExpressionWrapper, F, Q, Value
from dorm.lookups import Exact, GreaterThan, GreaterThanOrEqual, In, LessThan, LessThanOrEqual, Range
from tests.support.faces import Face


class Parent(dorm.Model):
    class Meta:
        app_label = "doc_numbers"


class Number(dorm.Model):
    small = dorm.SmallIntegerField(null=True)
    value = dorm.IntegerField(null=True)
    big = dorm.BigIntegerField(null=True)
    positive = dorm.PositiveIntegerField(null=True)
    text = dorm.CharField(max_length=9, default="x")
    data = dorm.JSONField(default=dict)
    parent = dorm.ForeignKey(Parent, on_delete=dorm.CASCADE, null=True)

    class Meta:
        app_label = "doc_numbers"
        ordering = ["id"]


MODELS = (Parent, Number)
FIELDS = ("small", "value", "big", "positive")
FAR = 2**70


@pytest.fixture(autouse=True)
def rows(tables: None) -> None:
    Number.objects.bulk_create([Number(small=n, value=n, big=n, positive=n, data={"n": n}) for n in (0, 6, 7)])
    Number.objects.create()


async def _values(face: Face, *args: Any, **conditions: Any) -> list[Any]:
    return await face.rows(Number.objects.filter(*args, **conditions).values_list("value", flat=True))


@pytest.mark.parametrize("field", FIELDS)
async def test_no_row_equals_what_the_column_cannot_hold_and_all_compare_with_it(face: Face, field: str) -> None:
    every = [0, 6, 7]
    for number in (FAR, -FAR):
        for lookup in ("exact", "in", "range"):
            value: Any = {"exact": number, "in": [number], "range": (number, number)}[lookup]
            assert await _values(face, **{f"{field}__{lookup}": value}) == []
        above, below = (every, []) if number < 0 else ([], every)
        assert await _values(face, **{f"{field}__gt": number}) == above
        assert await _values(face, **{f"{field}__gte": number}) == above
        assert await _values(face, **{f"{field}__lt": number}) == below
        assert await _values(face, **{f"{field}__lte": number}) == below
    assert await _values(face, **{f"{field}__in": [7, FAR, 6]}) == [6, 7]
    assert await _values(face, **{f"{field}__range": (1, FAR)}) == [6, 7]
    assert await _values(face, **{f"{field}__range": (-FAR, 6)}) == [0, 6]


@pytest.mark.parametrize("field", FIELDS)
async def test_fractions_compare_as_numbers_do(face: Face, field: str) -> None:
    assert await _values(face, **{field: 6.5}) == []
    assert await _values(face, **{field: 6.0}) == [6]
    assert await _values(face, **{f"{field}__gt": 6.5}) == [7]
    assert await _values(face, **{f"{field}__gte": 6.5}) == [7]
    assert await _values(face, **{f"{field}__lt": 6.5}) == [0, 6]
    assert await _values(face, **{f"{field}__lte": 6.5}) == [0, 6]
    assert await _values(face, **{f"{field}__range": (5.5, 6.5)}) == [6]


async def test_beside_other_conditions_and_below_a_not(face: Face) -> None:
    for _ in range(2):  # the second time over the plan of a number that fits
        assert await _values(face, value=7, text="x") == [7]
        assert await _values(face, value=FAR, text="x") == []
        assert await _values(face, value__lt=FAR, text="x", data__n=6) == [6]
        assert await _values(face, value__lt=FAR, text__contains="x", data__n__in=[6, 7]) == [6, 7]
    assert await _values(face, Q(value=FAR) | Q(value=7)) == [7]
    assert await _values(face, ~Q(value=FAR)) == [0, 6, 7, None]
    kept = Number.objects.exclude(value__lt=FAR).values_list("value", flat=True)
    assert await face.rows(kept) == [None]


async def test_conditions_that_are_objects(face: Face) -> None:
    for number, below, above in ((6.5, [0, 6], [7]), (FAR, [0, 6, 7], []), (-0.5, [], [0, 6, 7])):
        assert await _values(face, GreaterThan(F("value"), number)) == above
        assert await _values(face, GreaterThanOrEqual(F("value"), number)) == above
        assert await _values(face, LessThan(F("value"), number)) == below
        assert await _values(face, LessThanOrEqual(F("value"), number)) == below
        assert await _values(face, Exact(F("value"), number)) == []
        assert await _values(face, GreaterThan(F("value"), 6)) == [7]
    assert await _values(face, In(F("value"), [6, 6.5, FAR])) == [6]
    assert await _values(face, Range(F("value"), (0.5, 6.5))) == [6]
    # Beside one whose left side holds such numbers.
    scaled = ExpressionWrapper(F("value") * 1.0, output_field=dorm.FloatField())
    assert await _values(face, GreaterThan(F("value"), 0.5) & Q(GreaterThan(scaled, 6.5))) == [7]
    assert await _values(face, GreaterThan(F("value"), 0.5), Range(scaled, (5.5, 6.5))) == [6]


async def test_keys_that_cannot_exist(face: Face) -> None:
    for key in (FAR, str(FAR), 1.5):
        with pytest.raises(Number.DoesNotExist):
            await face(Number.objects.get)(pk=key)
        assert await _values(face, parent=key) == []
        assert await _values(face, parent__pk__in=[key]) == []
    with pytest.raises(ValueError, match="takes a whole number"):
        Number.objects.filter(pk="seven")


async def test_a_row_with_such_a_number_is_refused(face: Face) -> None:
    for field in FIELDS:
        for number in (FAR, 1.5, Decimal(FAR)):
            with pytest.raises(dorm.exceptions.OutOfRange):
                await face(Number.objects.create)(**{field: number})
    assert await face(Number.objects.count)() == 4


async def test_raw_leaves_the_type_of_texts_to_the_database(face: Face) -> None:
    rows = Number.objects.raw("SELECT * FROM doc_numbers_number WHERE value = %s AND text = %s", ["7", "x"])
    assert [row.value for row in await face.rows(rows)] == [7]


@pytest.mark.parametrize("field", FIELDS)
async def test_a_text_beside_a_number_is_read_as_one(face: Face, backend: str, field: str) -> None:
    for text in (Value("6"), Value("6", dorm.CharField())):
        assert await _values(face, **{f"{field}__lt": F(field) - F(field) + text}) == [0]
        assert await _values(face, **{f"{field}__gte": text + F(field) - text, field: F(field) * Value("1")}) == [
            0,
            6,
            7,
        ]
    doubled = ExpressionWrapper(F(field) * Value("2"), dorm.BigIntegerField())
    assert await face.rows(Number.objects.annotate(it=doubled).values_list("it", flat=True)) == [0, 12, 14, None]
    assert await face(Number.objects.filter(value=7).update)(**{field: F(field) + Value("1")}) == 1
    assert await _values(face, **{field: 8}) == [8 if field == "value" else 7]
    for text in ("1.5", "x"):
        query = Number.objects.filter(**{f"{field}__lt": F(field) + Value(text)})
        if backend == "postgresql":
            with pytest.raises(dorm.DataError):
                await face(query.count)()
        else:
            assert await face(query.count)() == (3 if text == "1.5" else 0)
