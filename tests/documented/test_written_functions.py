"""Func and RawSQL over literals: numbers and texts have the type that they have in SQL's text."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import ExpressionWrapper, F, Func, RawSQL, Value
from tests.support.faces import Face


class Word(dorm.Model):
    text = dorm.CharField(max_length=20)
    number = dorm.IntegerField()
    day = dorm.DateField()

    class Meta:
        app_label = "doc_written"


MODELS = (Word,)


class Cut(Func):
    function = "SUBSTR"
    output_field = dorm.CharField()


class Again(Func):
    function = "REPEAT"
    arity = 2
    output_field = dorm.TextField()


async def fill(face: Face) -> None:
    await face(Word.objects.create)(text="Hello", number=65, day=datetime.date(2024, 2, 28))


async def value(face: Face, expression: Any) -> Any:
    return (await face.rows(Word.objects.annotate(it=expression).values_list("it", flat=True)))[0]


TEXT, NUMBER = dorm.CharField(), dorm.IntegerField()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (Func("text", Value(2), Value(3), function="SUBSTR", output_field=TEXT), "ell"),
        (Func("text", 2, function="SUBSTR", output_field=TEXT), "ello"),
        (Cut("text", 2, 3), "ell"),
        (Cut("text", F("number") - 63), "ello"),
        (Func(F("number") + 1, function="ABS", output_field=NUMBER), 66),
        (Func(Value(-5), function="ABS", output_field=NUMBER), 5),
        (Func(Value(-(2**40)), function="ABS", output_field=dorm.BigIntegerField()), 2**40),
        (Func("number", Value(2), template="(%(expressions)s)", arg_joiner=" + ", output_field=NUMBER), 67),
        (RawSQL("SUBSTR(text, %s)", [2], output_field=TEXT), "ello"),
        (RawSQL("text || %s", ["x"], output_field=TEXT), "Hellox"),
        (RawSQL("number + %s", [2**40], output_field=NUMBER), 2**40 + 65),
    ],
    ids=repr,
)  # fmt: skip
async def test_literals(face: Face, expression: Any, expected: Any) -> None:
    await fill(face)
    assert await value(face, expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (Func("text", Value(2), function="LEFT", output_field=TEXT), "He"),
        (Again(Value("ab"), 2), "abab"),
        (Func(Value(65), function="CHR", output_field=TEXT), "A"),
        (Func(F("number") + 1, function="CHR", output_field=TEXT), "B"),
        (Func(F("number") * 2 - 64, function="CHR", output_field=TEXT), "B"),
        (Func("text", Value("l"), Value(1), function="SPLIT_PART", output_field=TEXT), "He"),
        (Func("text", Value(7), Value("*"), function="RPAD", output_field=TEXT), "Hello**"),
        (RawSQL("LEFT(text, %s)", [2], output_field=TEXT), "He"),
        (RawSQL("day = %s", ["2024-02-28"], output_field=dorm.BooleanField()), True),
        (RawSQL("day + %s", [1], output_field=dorm.DateField()), datetime.date(2024, 2, 29)),
        # Days are added to a date as an integer.
        (ExpressionWrapper(F("day") + 1, output_field=dorm.DateField()), datetime.date(2024, 2, 29)),
        (ExpressionWrapper(F("day") - 1, output_field=dorm.DateField()), datetime.date(2024, 2, 27)),
        (ExpressionWrapper(F("day") + F("number"), output_field=dorm.DateField()), datetime.date(2024, 5, 3)),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("backend", ["postgresql"])
async def test_functions_of_integers(face: Face, backend: str, expression: Any, expected: Any) -> None:
    await fill(face)
    assert await value(face, expression) == expected


async def test_literals_of_one_query_may_differ_in_size(face: Face) -> None:
    await fill(face)
    for number in (1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**62, 3):
        found = await value(face, Func(Value(number), Value(number), function="NULLIF", output_field=NUMBER))
        assert found is None
        assert await value(face, Func(Value(number), "number", function="COALESCE", output_field=NUMBER)) == number


async def test_a_date_is_compared_with_a_date_and_some_hours(face: Face) -> None:
    await fill(face)
    rows = Word.objects.annotate(later=F("day") + datetime.timedelta(hours=30))
    day = datetime.date(2024, 2, 29)
    assert await value(face, F("day") + datetime.timedelta(hours=30)) == datetime.datetime(2024, 2, 29, 6)
    assert await face(rows.filter(later__gt=day).count)() == 1
    assert await face(rows.filter(later=day).count)() == 0
    assert await face(rows.filter(later__lt=day).count)() == 0
    whole = Word.objects.annotate(later=F("day") + datetime.timedelta(days=1))
    assert await face(whole.filter(later=day).count)() == 1
    assert await face(whole.filter(later=datetime.datetime(2024, 2, 29)).count)() == 1
    assert await face(whole.filter(later__in=[day]).count)() == 1
    assert await face(whole.filter(later__range=(day, day)).count)() == 1
