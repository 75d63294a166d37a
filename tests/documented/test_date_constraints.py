"""Parts of dates where the database computes them for itself: generated columns, constraints, indexes."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import CheckConstraint, GeneratedField, Index, IntegrityError, Q, UniqueConstraint, ValidationError
from dorm.functions import ExtractHour, ExtractMonth, ExtractYear, TruncMonth
from tests.support.faces import Face


class Visit(dorm.Model):
    day = dorm.DateField(null=True, blank=True)
    clock = dorm.TimeField(null=True, blank=True)
    year = GeneratedField(expression=ExtractYear("day"), output_field=dorm.IntegerField(), db_persist=True)
    month = GeneratedField(expression=TruncMonth("day"), output_field=dorm.DateField(), db_persist=True)
    hour = GeneratedField(expression=ExtractHour("clock"), output_field=dorm.IntegerField(), db_persist=True)

    class Meta:
        app_label = "doc_date_constraints"
        constraints = [
            CheckConstraint(condition=Q(day__year__gte=2000), name="modern"),
            CheckConstraint(condition=Q(day__month__in=[1, 2, 3]), name="winter"),
            CheckConstraint(condition=Q(clock__hour__lt=20), name="early"),
            UniqueConstraint(ExtractYear("day"), "clock", name="once_a_year"),
        ]
        indexes = [Index(ExtractMonth("day"), name="by_month")]


MODELS = (Visit,)
DAY, CLOCK = datetime.date(2021, 2, 3), datetime.time(4, 5)


async def test_generated_columns(face: Face) -> None:
    for given, wanted in (
        ({"day": DAY, "clock": CLOCK}, (2021, datetime.date(2021, 2, 1), 4)),
        ({}, (None, None, None)),
    ):
        made = await face(Visit.objects.create)(**given)
        found = await face(Visit.objects.get)(pk=made.pk)
        assert (found.year, found.month, found.hour) == wanted
    rows = Visit.objects.filter(year=2021, month__month=2, hour__lt=5)
    assert await face(rows.update)(day=datetime.date(2022, 3, 31)) == 1
    found = await face.rows(Visit.objects.exclude(year=None).values_list("year", "month", "hour"))
    assert found == [(2022, datetime.date(2022, 3, 1), 4)]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"day": datetime.date(1999, 2, 3)}, "modern"),
        ({"day": datetime.date(2001, 12, 3)}, "winter"),
        ({"clock": datetime.time(23)}, "early"),
        ({"day": datetime.date(2021, 1, 1), "clock": CLOCK}, "once_a_year"),
    ],
)
async def test_constraints(face: Face, given: dict[str, Any], name: str) -> None:
    await face(Visit.objects.create)(day=DAY, clock=CLOCK)
    with pytest.raises(ValidationError, match=f"Constraint “{name}” is violated"):
        await face(Visit(**given).full_clean)()
    with pytest.raises(IntegrityError, match=name):
        await face(Visit.objects.create)(**given)
    await face(Visit(day=datetime.date(2022, 2, 3), clock=CLOCK).full_clean)()
    await face(Visit.objects.create)(day=datetime.date(2022, 2, 3), clock=CLOCK)
