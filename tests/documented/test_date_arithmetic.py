"""Arithmetic over dates, times, datetimes and durations: the same on every backend, to the microsecond."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import Avg, ExpressionWrapper, F, Max, Min, Sum, Value
from tests.support.faces import Face

Day, Time, Moment, Span = datetime.date, datetime.time, datetime.datetime, datetime.timedelta


class Note(dorm.Model):
    day = dorm.DateField(null=True)
    time = dorm.TimeField(null=True)
    moment = dorm.DateTimeField(null=True)
    other = dorm.DateTimeField(null=True)
    span = dorm.DurationField(null=True)
    number = dorm.IntegerField(null=True)

    class Meta:
        app_label = "doc_dates"
        ordering = ["pk"]


MODELS = (Note,)


async def fill(face: Face) -> None:
    await face(Note.objects.create)(
        day=Day(2024, 2, 28), time=Time(23, 30), moment=Moment(2024, 2, 28, 23, 30, 15, 123456),
        other=Moment(2024, 2, 27, 22, 0), span=Span(hours=5, minutes=30), number=3,
    )  # fmt: skip
    await face(Note.objects.create)()


def wrapped(expression: Any, field: Any) -> Any:
    return ExpressionWrapper(expression, output_field=field())


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (F("day") + Span(days=1), Moment(2024, 2, 29)),
        (F("day") + Span(hours=5), Moment(2024, 2, 28, 5)),
        (F("day") + Span(hours=30), Moment(2024, 2, 29, 6)),
        (F("day") - Span(hours=1), Moment(2024, 2, 27, 23)),
        (F("day") - Span(days=1, microseconds=1), Moment(2024, 2, 26, 23, 59, 59, 999999)),
        (Span(days=2) + F("day"), Moment(2024, 3, 1)),
        (F("day") + F("span"), Moment(2024, 2, 28, 5, 30)),
        (F("day") - F("span"), Moment(2024, 2, 27, 18, 30)),
        (wrapped(F("day") + Span(hours=30), dorm.DateField), Day(2024, 2, 29)),
        (F("day") - Day(2024, 1, 1), Span(days=58)),
        (Day(2024, 3, 1) - F("day"), Span(days=2)),
        (F("moment") - F("day"), Span(seconds=84615, microseconds=123456)),
        (F("moment") - F("other"), Span(days=1, seconds=5415, microseconds=123456)),
        (F("other") - F("moment"), -Span(days=1, seconds=5415, microseconds=123456)),
        (F("moment") + Span(hours=1, microseconds=5), Moment(2024, 2, 29, 0, 30, 15, 123461)),
        (F("span") + F("moment"), Moment(2024, 2, 29, 5, 0, 15, 123456)),
        (F("other") + (F("moment") - F("other")), Moment(2024, 2, 28, 23, 30, 15, 123456)),
        (F("time") + Span(hours=1), Time(0, 30)),
        (F("time") - F("span"), Time(18, 0)),
        (F("time") + Span(days=1, hours=2), Time(1, 30)),
        (F("time") - Time(1, 0), Span(hours=22, minutes=30)),
        (F("span") + Span(hours=1), Span(hours=6, minutes=30)),
        (F("span") - F("span"), Span(0)),
        (wrapped(F("span") * 2, dorm.DurationField), Span(hours=11)),
        (wrapped(F("span") * F("number"), dorm.DurationField), Span(hours=16, minutes=30)),
        (wrapped(F("span") / 2, dorm.DurationField), Span(hours=2, minutes=45)),
        (F("day") - Value(None, output_field=dorm.DateField()), None),
    ],
    ids=repr,
)  # fmt: skip
async def test_expressions(face: Face, expression: Any, expected: Any) -> None:
    await fill(face)
    found = await face.rows(Note.objects.annotate(it=expression).values_list("it", flat=True))
    assert found == [expected, None]


async def test_conditions(face: Face) -> None:
    await fill(face)
    notes = Note.objects
    for rows, count in (
        (notes.filter(moment__gt=F("other") + Span(days=1)), 1),
        (notes.filter(moment__gt=F("other") + Span(days=2)), 0),
        (notes.filter(day__lt=F("day") + Span(hours=1)), 1),
        (notes.filter(day=F("day") + Span(hours=1)), 0),
        (notes.filter(day=F("day") + Span(0)), 1),
        (notes.annotate(it=F("moment") - F("other")).filter(it__gt=Span(days=1)), 1),
        (notes.annotate(it=F("moment") - F("other")).filter(it__lt=F("span")), 0),
    ):
        assert await face(rows.count)() == count


async def test_aggregates_and_updates(face: Face) -> None:
    await fill(face)
    gap = F("moment") - F("other")
    wanted = Span(days=1, seconds=5415, microseconds=123456)
    assert await face(Note.objects.aggregate)(a=Sum(gap), b=Avg(gap), c=Max(gap), d=Min(F("day") + Span(days=1))) == {
        "a": wanted,
        "b": wanted,
        "c": wanted,
        "d": Moment(2024, 2, 29),
    }
    await face(Note.objects.filter(number=3).update)(
        day=F("day") + Span(hours=30), moment=F("moment") + Span(days=1), span=gap, time=F("time") + Span(hours=1)
    )
    note = await face(Note.objects.get)(number=3)
    assert (note.day, note.moment) == (Day(2024, 2, 29), Moment(2024, 2, 29, 23, 30, 15, 123456))
    assert (note.span, note.time) == (wanted, Time(0, 30))


def test_what_does_not_go_together() -> None:
    wrong = (F("day") + F("day"), F("moment") + F("moment"), F("time") + F("day"), Span(1) - F("day"), F("moment") * 2)
    for expression in wrong:
        with pytest.raises(dorm.FieldError, match="You must set output_field"):
            list(Note.objects.annotate(it=expression))
