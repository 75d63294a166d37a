"""Entries of a diary at the edges of days, weeks, years and summer time, and what Python makes of such moments."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Callable
from typing import Any

import dorm
from dorm.conf.settings import settings
from tests.support.faces import Face

UTC = datetime.UTC
BERLIN, NEW_YORK = zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("America/New_York")
KATHMANDU, LORD_HOWE = zoneinfo.ZoneInfo("Asia/Kathmandu"), zoneinfo.ZoneInfo("Australia/Lord_Howe")
"""A quarter of an hour off, and summer time of half an hour."""
FIXED = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))
ZONES = [BERLIN, NEW_YORK, KATHMANDU, LORD_HOWE, FIXED, UTC]


PARTS: dict[str, Callable[[datetime.datetime], int]] = {
    "year": lambda at: at.year,
    "iso_year": lambda at: at.isocalendar()[0],
    "quarter": lambda at: (at.month - 1) // 3 + 1,
    "month": lambda at: at.month,
    "week": lambda at: at.isocalendar()[1],
    "week_day": lambda at: at.isoweekday() % 7 + 1,
    "iso_week_day": lambda at: at.isoweekday(),
    "day": lambda at: at.day,
    "hour": lambda at: at.hour,
    "minute": lambda at: at.minute,
    "second": lambda at: at.second,
}
_START: Any = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
UNITS: dict[str, Callable[[datetime.datetime], datetime.datetime]] = {
    "year": lambda at: at.replace(month=1, day=1, fold=0, **_START),
    "quarter": lambda at: at.replace(month=(at.month - 1) // 3 * 3 + 1, day=1, fold=0, **_START),
    "month": lambda at: at.replace(day=1, fold=0, **_START),
    "week": lambda at: (at - datetime.timedelta(days=at.weekday())).replace(fold=0, **_START),
    "day": lambda at: at.replace(fold=0, **_START),
    "hour": lambda at: at.replace(minute=0, second=0, microsecond=0),
    "minute": lambda at: at.replace(second=0, microsecond=0),
    "second": lambda at: at.replace(microsecond=0),
}


class Diary(dorm.Model):
    name = dorm.CharField(max_length=20)
    opened = dorm.DateField(null=True)
    read = dorm.DateTimeField(null=True)

    class Meta:
        app_label = "doc_moments"


class Entry(dorm.Model):
    diary = dorm.ForeignKey(Diary, dorm.CASCADE, null=True, related_name="entries")
    at = dorm.DateTimeField(null=True)
    until = dorm.DateTimeField(null=True)
    day = dorm.DateField(null=True)
    clock = dorm.TimeField(null=True)
    length = dorm.DurationField(null=True)
    number = dorm.IntegerField(null=True)

    class Meta:
        app_label = "doc_moments"
        ordering = ("pk",)


MODELS = (Diary, Entry)

AT = [
    datetime.datetime(2024, 12, 30, 23, 45, 30, 654321),
    None,
    datetime.datetime(2020, 1, 1),
    datetime.datetime(2021, 10, 31, 0, 30),
    datetime.datetime(2021, 1, 3, 23, 59, 59, 999999),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 500000),
]
"""In the second row all is NULL. The others: ISO year 2025, a new year, before the clocks go back, ISO week 53 of 2020,
and a moment before 1970."""


def moment(*parts: int) -> datetime.datetime:
    """Return a datetime as the setting USE_TZ has them: of UTC, or naive."""
    return datetime.datetime(*parts, tzinfo=UTC if settings.USE_TZ else None)  # type: ignore[misc, arg-type]  # as many as are given


def stored(at: datetime.datetime) -> datetime.datetime:
    """Return the moment as the setting USE_TZ has it."""
    return at.replace(tzinfo=UTC) if settings.USE_TZ else at


async def fill(face: Face) -> None:
    """Two diaries with two entries each, one empty diary, and two entries of none."""
    diaries = [
        Diary(name="first", opened=datetime.date(2020, 12, 31), read=moment(2020, 12, 31, 23, 30)),
        Diary(name="second", opened=datetime.date(2021, 1, 3), read=moment(2021, 3, 28, 1, 30)),
        Diary(name="empty"),
    ]
    await face(Diary.objects.bulk_create)(diaries)
    entries = [
        Entry(
            at=stored(at),
            until=stored(at) + datetime.timedelta(days=1, hours=1, seconds=2),
            day=at.date(),
            clock=at.time(),
            length=datetime.timedelta(days=1, hours=2, seconds=3, microseconds=4) * (number - 2),
            number=at.year,
        )
        if at is not None
        else Entry()
        for number, at in enumerate(AT)
    ]
    for entry, diary in zip(entries, [diaries[0], diaries[0], diaries[1], diaries[1]], strict=False):
        entry.diary = diary
    await face(Entry.objects.bulk_create)(entries)


async def column(face: Face, expression: Any) -> list[Any]:
    """Return the values of *expression*, one for each entry."""
    return await face.rows(Entry.objects.annotate(x=expression).values_list("x", flat=True))


async def rows(face: Face, *conditions: Any, **lookups: Any) -> list[int]:
    """Return which entries, counted from 0, match."""
    every = await face.rows(Entry.objects.values_list("pk", flat=True))
    found = await face.rows(Entry.objects.filter(*conditions, **lookups).values_list("pk", flat=True))
    return [every.index(pk) for pk in found]


def of_each(take: Callable[[datetime.datetime], Any]) -> list[Any]:
    """Return what *take* makes of each moment, None for NULL."""
    return [None if at is None else take(at) for at in AT]
