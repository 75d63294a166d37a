"""Date parts, truncation and date lookups in time zones, around both transitions of summer time."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import Any

import pytest

import dorm
from dorm import Count, DateField, DateTimeField, ExpressionWrapper, F, TimeField, timezone
from dorm.functions import Extract, Now, Trunc, TruncDate, TruncDay, TruncHour, TruncTime
from dorm.migrations.schema import create_tables
from tests.documented.moments import BERLIN, PARTS, UNITS, UTC, ZONES
from tests.support.faces import Face


class Event(dorm.Model):
    at = dorm.DateTimeField()
    day = dorm.DateField(null=True)
    clock = dorm.TimeField(null=True)
    length = dorm.DurationField(null=True)

    class Meta:
        app_label = "doc_zones"
        ordering = ("at", "pk")


MOMENTS = [
    datetime.datetime(*each, 15, 123456, tzinfo=UTC)
    for each in (
        (2020, 12, 31, 23, 30), (2021, 1, 1, 0, 0), (2021, 3, 14, 6, 59), (2021, 3, 14, 7, 0), (2021, 3, 28, 0, 30),
        (2021, 3, 28, 1, 30), (2021, 4, 3, 16, 15), (2021, 6, 30, 18, 20), (2021, 10, 31, 0, 30), (2021, 10, 31, 1, 30),
        (2021, 10, 31, 2, 30), (2021, 11, 7, 5, 30), (2021, 11, 7, 6, 30),
    )
]  # fmt: skip


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, Any]) -> None:
    # A column's type depends on it.
    dorm.configure(USE_TZ=True)
    create_tables([Event])


@pytest.fixture(autouse=True)
def events(face: Face, tables: None) -> None:
    rows = [
        Event(at=at, day=at.date(), clock=at.time(), length=datetime.timedelta(hours=number))
        for number, at in enumerate(MOMENTS)
    ]

    async def fill() -> None:
        await face(Event.objects.bulk_create)(rows)

    face.run(fill())


def local(zone: Any) -> list[datetime.datetime]:
    return [at.astimezone(zone) for at in MOMENTS]


@pytest.mark.parametrize("zone", ZONES, ids=str)
async def test_parts(face: Face, zone: Any) -> None:
    names = list(PARTS)
    wanted = [tuple(PARTS[name](at) for name in names) for at in local(zone)]
    given = [Extract("at", name, tzinfo=zone) for name in names]
    assert await face.rows(Event.objects.values_list(*given)) == wanted
    with timezone.override(zone):
        assert await face.rows(Event.objects.values_list(*[Extract("at", name) for name in names])) == wanted
        for name in names:
            found = Counter(await face.rows(Event.objects.values_list(f"at__{name}", flat=True)))
            assert found == Counter(PARTS[name](at) for at in local(zone))
            for value, number in found.items():
                assert await face(Event.objects.filter(**{f"at__{name}": value}).count)() == number
            least = min(found)
            assert await face(Event.objects.filter(**{f"at__{name}__gt": least}).count)() == 13 - found[least]


@pytest.mark.parametrize("zone", ZONES, ids=str)
async def test_truncation(face: Face, zone: Any) -> None:
    for unit, start in UNITS.items():
        wanted = [start(at) for at in local(zone)]
        found = await face.rows(Event.objects.values_list(Trunc("at", unit, tzinfo=zone), flat=True))
        assert [(each.astimezone(UTC), each.utcoffset()) for each in found] == [
            (each.astimezone(UTC), each.utcoffset()) for each in wanted
        ], unit
        with timezone.override(zone):
            found = await face.rows(Event.objects.datetimes("at", unit))
            assert [each.astimezone(UTC) for each in found] == sorted({each.astimezone(UTC) for each in wanted}), unit
        found = await face.rows(Event.objects.datetimes("at", unit, order="DESC", tzinfo=zone))
        assert [each.astimezone(UTC) for each in found] == sorted({e.astimezone(UTC) for e in wanted}, reverse=True)


@pytest.mark.parametrize("zone", ZONES, ids=str)
async def test_dates_and_times(face: Face, zone: Any) -> None:
    days, clocks = [at.date() for at in local(zone)], [at.time() for at in local(zone)]
    rows = Event.objects.values_list(TruncDate("at", tzinfo=zone), TruncTime("at", tzinfo=zone))
    assert await face.rows(rows) == list(zip(days, clocks, strict=True))
    as_date = Trunc("at", "day", output_field=DateField(), tzinfo=zone)
    as_time = Trunc("at", "second", output_field=TimeField(), tzinfo=zone)
    assert await face.rows(Event.objects.values_list(as_date, as_time)) == [
        (day, clock.replace(microsecond=0)) for day, clock in zip(days, clocks, strict=True)
    ]
    with timezone.override(zone):
        for day in set(days):
            assert await face(Event.objects.filter(at__date=day).count)() == days.count(day)
            assert await face(Event.objects.filter(at__date__lt=day).count)() == sum(each < day for each in days)
        noon = datetime.time(12)
        assert await face(Event.objects.filter(at__time__gte=noon).count)() == sum(each >= noon for each in clocks)
        per_day = Event.objects.order_by().annotate(d=TruncDate("at")).values_list("d").annotate(n=Count("pk"))
        assert dict(await face.rows(per_day)) == Counter(days)
        own = sum(at.date() == day for at, day in zip(MOMENTS, days, strict=True))
        assert await face(Event.objects.filter(at__date=F("day")).count)() == own
        assert await face(Event.objects.filter(day=TruncDate("at")).count)() == own


async def test_a_truncated_moment_compares_as_a_moment(face: Face) -> None:
    with timezone.override(BERLIN):
        assert await face(Event.objects.filter(at__gte=TruncDay("at")).count)() == len(MOMENTS)
        assert await face(Event.objects.filter(at=TruncHour("at")).count)() == 0
        day = datetime.datetime(2021, 10, 31, tzinfo=BERLIN)
        assert await face(Event.objects.annotate(t=TruncDay("at")).filter(t=day).count)() == 3
    # 00:30 and 01:30 UTC are both half past two in Berlin, in two hours of the day.
    with timezone.override(BERLIN):
        hours = Event.objects.filter(at__date=day.date()).annotate(h=TruncHour("at")).values_list("h", flat=True)
        found = await face.rows(hours)
    assert [each.astimezone(UTC).hour for each in found] == [0, 1, 2]
    assert [each.hour for each in found] == [2, 2, 3]


async def test_years_are_those_of_the_zone(face: Face) -> None:
    for zone in ZONES:
        with timezone.override(zone):
            years = [at.year for at in local(zone)]
            for lookup, holds in (
                ("year", years.count(2021)),
                ("year__lt", years.count(2020)),
                ("year__lte", 13),
                ("year__gt", 0),
                ("year__gte", years.count(2021)),
            ):
                assert await face(Event.objects.filter(**{f"at__{lookup}": 2021}).count)() == holds


# -- dates, datetimes and durations beside each other ---------------------------------------------------------------


async def test_a_date_and_a_duration(face: Face) -> None:
    step = datetime.timedelta(days=1)
    wrapped = ExpressionWrapper(F("day") + step, output_field=DateField())
    tomorrow = [at.date() + step for at in MOMENTS]
    assert await face.rows(Event.objects.values_list(wrapped, flat=True)) == tomorrow
    assert await face(Event.objects.filter(day=F("day") + datetime.timedelta(0)).count)() == 13
    assert await face(Event.objects.filter(day__lt=F("day") + step).count)() == 13
    assert await face(Event.objects.filter(day__gte=F("day") + step).count)() == 0
    assert await face(Event.objects.update)(day=F("day") + step) == 13
    assert await face.rows(Event.objects.values_list("day", flat=True)) == tomorrow


async def test_moments_written_into_columns_of_another_kind(face: Face) -> None:
    await face(Event.objects.update)(day=F("at"), clock=F("at"))
    assert await face.rows(Event.objects.values_list("day", "clock")) == [(at.date(), at.time()) for at in MOMENTS]
    await face(Event.objects.update)(at=F("day"))
    found = await face.rows(Event.objects.order_by("pk").values_list("at", flat=True))
    assert found == [datetime.datetime.combine(at.date(), datetime.time(), UTC) for at in MOMENTS]


async def test_dates_compare_with_datetimes_as_their_midnight(face: Face) -> None:
    assert await face(Event.objects.filter(at__gt=F("day")).count)() == 13
    assert await face(Event.objects.filter(at__lt=F("day") + datetime.timedelta(hours=1)).count)() == 3
    assert await face(Event.objects.filter(at__range=(F("day"), F("day") + datetime.timedelta(hours=1))).count)() == 3
    await face(Event.objects.update)(at=F("day"))
    assert await face(Event.objects.filter(at=F("day")).count)() == 13
    assert await face(Event.objects.filter(day=F("at")).count)() == 13
    assert await face(Event.objects.filter(at__lt=Now(), day__lt=Now()).count)() == 13
    as_moment = ExpressionWrapper(F("day") + F("length"), output_field=DateTimeField())
    assert await face(Event.objects.annotate(it=as_moment).filter(it__gt=F("day")).count)() == 12
