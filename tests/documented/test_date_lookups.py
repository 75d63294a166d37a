"""Dates and times in conditions: their parts as lookups, across relations and in zones; `dates()` and `datetimes()`."""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable
from typing import Any

import pytest

import dorm
from dorm import Case, Count, Exists, F, FieldError, Max, OuterRef, Q, Subquery, Value, When, functions as fn, timezone
from dorm.migrations.schema import create_tables
from tests.documented.moments import (
    AT,
    BERLIN,
    KATHMANDU,
    LORD_HOWE,
    MODELS,
    NEW_YORK,
    PARTS,
    UTC,
    Diary,
    Entry,
    column,
    fill,
    moment,
    of_each,
    rows,
    stored,
)
from tests.support.faces import Face

CLOCK = ("hour", "minute", "second")
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
ALL = [number for number, at in enumerate(AT) if at is not None]


@pytest.fixture(autouse=True, params=[True, False], ids=["aware", "naive"])
def tables(request: pytest.FixtureRequest, empty_database: dict[str, Any], face: Face) -> None:
    dorm.configure(USE_TZ=request.param)
    create_tables(MODELS)
    face.run(fill(face))


def which(holds: Callable[[datetime.datetime], Any]) -> list[int]:
    """Return the rows whose moment *holds*."""
    return [number for number, at in enumerate(AT) if at is not None and holds(at)]


async def absent(face: Face, *conditions: Any, **lookups: Any) -> list[int]:
    """Return which rows `exclude` leaves."""
    every = await face.rows(Entry.objects.values_list("pk", flat=True))
    found = await face.rows(Entry.objects.exclude(*conditions, **lookups).values_list("pk", flat=True))
    return [every.index(pk) for pk in found]


def fields_with(part: str) -> tuple[str, str]:
    """Return the fields of the diary's entries that have *part*."""
    return "at", "clock" if part in CLOCK else "day"


@pytest.mark.parametrize("part", PARTS)
async def test_each_part_in_each_comparison(face: Face, part: str) -> None:
    of = PARTS[part]
    for field in fields_with(part):
        for value in {of(at) for at in AT if at is not None}:
            for name, compare in COMPARED.items():
                wanted = which(lambda at, compare=compare, value=value: compare(of(at), value))
                assert await rows(face, **{f"{field}__{part}__{name}": value}) == wanted, (field, name)
            equal = which(lambda at, value=value: of(at) == value)
            # Neither holds for NULL; what is excluded is what is known to be equal.
            assert await absent(face, **{f"{field}__{part}": value}) == [n for n in range(len(AT)) if n not in equal]
            assert await rows(face, ~Q(**{f"{field}__{part}": value})) == [n for n in range(len(AT)) if n not in equal]
            assert await rows(face, **{f"{field}__{part}": str(value)}) == equal
            assert await rows(face, **{f"{field}__{part}__in": [value, value + 1]}) == which(
                lambda at, value=value: of(at) in (value, value + 1)
            )
            assert await rows(face, **{f"{field}__{part}__range": (value - 1, value)}) == which(
                lambda at, value=value: value - 1 <= of(at) <= value
            )
        assert await rows(face, **{f"{field}__{part}__in": []}) == []
        assert await rows(face, **{f"{field}__{part}__isnull": True}) == [1]
        assert await rows(face, **{f"{field}__{part}": None}) == [1]
        assert await rows(face, **{f"{field}__{part}__isnull": False}) == ALL


@pytest.mark.parametrize("part", PARTS)
async def test_expressions_on_the_right(face: Face, part: str) -> None:
    of, step = PARTS[part], datetime.timedelta(days=1, hours=1, seconds=2)
    for field in fields_with(part):
        assert await rows(face, **{f"{field}__{part}": F(f"{field}__{part}")}) == ALL
        assert await rows(face, **{f"{field}__{part}__lt": fn.Extract("until", part)}) == which(
            lambda at: of(at) < of(at + step)
        )
        assert await rows(face, **{f"{field}__{part}__gte": F(f"until__{part}") - 1}) == which(
            lambda at: of(at) >= of(at + step) - 1
        )
        assert await rows(face, **{f"{field}__{part}__in": [F(f"until__{part}"), 2021]}) == which(
            lambda at: of(at) in (of(at + step), 2021)
        )
        assert (
            await rows(face, **{f"{field}__{part}__range": (F(f"{field}__{part}"), F(f"{field}__{part}") + 1)}) == ALL
        )
        of_one = Entry.objects.filter(number=2024).values(x=fn.Extract("at", part))
        assert await rows(face, **{f"{field}__{part}": Subquery(of_one)}) == which(lambda at: of(at) == of(AT[0]))
        assert await rows(face, **{f"{field}__{part}__in": of_one}) == which(lambda at: of(at) == of(AT[0]))


async def test_parts_that_a_column_does_not_have(face: Face) -> None:
    for wrong in ("day__hour", "day__date", "day__time", "clock__year", "clock__date", "clock__time", "number__year",
                  "at__nonsense", "at__year__nonsense", "at__year__month", "at__date__hour", "at__time__year",
                  "diary__name__year", "length__year", "at__epoch"):  # fmt: skip
        for lookup in (wrong, f"{wrong}__gt"):
            with pytest.raises(FieldError):
                Entry.objects.filter(**{lookup: 1})


async def test_values_that_are_no_part(face: Face) -> None:
    for field, part in (("at", "year"), ("at", "iso_year"), ("at", "month"), ("day", "week"), ("clock", "hour")):
        for wrong in ("x", "", [1], {}, datetime.date(2020, 1, 1), datetime.timedelta(1)):
            with pytest.raises((TypeError, ValueError)):
                Entry.objects.filter(**{f"{field}__{part}": wrong})
        for name in ("gt", "lt"):
            with pytest.raises(ValueError, match="None"):
                Entry.objects.filter(**{f"{field}__{part}__{name}": None})


async def test_numbers_that_no_part_is(face: Face) -> None:
    """They are no error: no month is 1.5, every one is below 2 ** 70."""
    for part in ("month", "week_day", "hour"):
        assert await rows(face, **{f"at__{part}": 1.5}) == []
        assert await rows(face, **{f"at__{part}": 2**70}) == []
        assert await rows(face, **{f"at__{part}__lt": 2**70}) == ALL
        assert await rows(face, **{f"at__{part}__gte": -(2**70)}) == ALL
        assert await rows(face, **{f"at__{part}__range": (-(2**70), 2**70)}) == ALL
    assert await rows(face, at__month__gte=10.5) == which(lambda at: at.month > 10)
    assert await rows(face, at__month__in=[1.0, 10.5, 2**70]) == which(lambda at: at.month == 1)
    assert await rows(face, at__month__in=["1", 10]) == which(lambda at: at.month in (1, 10))
    assert await rows(face, at__month=True) == which(lambda at: at.month == 1)


async def test_years_at_both_ends_of_the_calendar(face: Face) -> None:
    for field in ("at__year", "day__year", "at__iso_year", "day__iso_year"):
        for zone in (UTC, NEW_YORK, KATHMANDU):
            with timezone.override(zone):
                for year in (1, 9999):
                    for name, compare in COMPARED.items():
                        wanted = ALL if compare(2000, year) else []
                        assert await rows(face, **{f"{field}__{name}": year}) == wanted, (field, name, year, zone)
    for year in (0, 10000, -5, 2**40, float("inf")):
        for name in COMPARED:
            with pytest.raises(ValueError, match="a year is a whole number"):
                Entry.objects.filter(**{f"at__year__{name}": year})


async def test_text_lookups_on_parts(face: Face) -> None:
    assert await rows(face, at__year__contains=2) == which(lambda at: "2" in str(at.year))
    assert await rows(face, at__year__startswith="20") == which(lambda at: at.year >= 2000)
    assert await rows(face, at__week_day__regex="^[12]$") == which(lambda at: PARTS["week_day"](at) < 3)
    assert await rows(face, day__month__endswith="2") == which(lambda at: at.month in (2, 12))
    assert await rows(face, at__date__startswith="2021") == which(lambda at: at.year == 2021)


# -- dates and times of datetimes ------------------------------------------------------------------------------------


async def test_the_date_of_a_moment(face: Face) -> None:
    day = datetime.date(2021, 10, 31)
    for given in (day, "2021-10-31", moment(2021, 10, 31, 12), Value(day)):
        assert await rows(face, at__date=given) == [3]
    for name, compare in COMPARED.items():
        assert await rows(face, **{f"at__date__{name}": day}) == which(
            lambda at, compare=compare: compare(at.date(), day)
        )
    assert await rows(face, at__date__in=[day, "2020-01-01"]) == [2, 3]
    assert await rows(face, at__date__range=(datetime.date(2020, 1, 1), day)) == [2, 3, 4]
    assert await rows(face, at__date=None) == await rows(face, at__date__isnull=True) == [1]
    assert await absent(face, at__date=day) == [0, 1, 2, 4, 5]
    assert await rows(face, at__date=F("day")) == ALL
    assert await rows(face, at__date__lt=F("until__date")) == ALL
    assert await rows(face, day=fn.TruncDate("at"), at__date=fn.TruncDate("at")) == ALL
    # A date of a datetime has parts itself.
    assert await rows(face, at__date__year=2021) == [3, 4]
    assert await rows(face, at__date__year__gt=2021) == [0]
    assert await rows(face, at__date__iso_week_day=7) == [3, 4]
    assert await rows(face, at__date__month__in=[1, 10]) == [2, 3, 4]
    for wrong in ("x", "", "2021-02-30", 5, [day], datetime.time(1)):
        with pytest.raises(ValueError):
            Entry.objects.filter(at__date=wrong)


async def test_the_time_of_a_moment(face: Face) -> None:
    clock = datetime.time(0, 30)
    for given in (clock, "00:30", "00:30:00", "0:30", moment(2000, 1, 1, 0, 30), Value(clock)):
        assert await rows(face, at__time=given) == [3]
    for name, compare in COMPARED.items():
        assert await rows(face, **{f"at__time__{name}": clock}) == which(
            lambda at, compare=compare: compare(at.time(), clock)
        )
    assert await rows(face, at__time=datetime.time(23, 45, 30, 654321)) == [0]
    assert await rows(face, at__time__lt=datetime.time(23, 45, 30, 654321)) == [2, 3]
    assert await rows(face, at__time__in=[datetime.time(0), clock]) == [2, 3]
    assert await rows(face, at__time__range=(datetime.time(0), clock)) == [2, 3]
    assert await rows(face, at__time=F("clock")) == ALL
    assert await rows(face, at__time__gte=F("until__time")) == which(
        lambda at: at.time() >= (at + datetime.timedelta(hours=1, seconds=2)).time()
    )
    assert await rows(face, at__time__hour=23) == [0, 4, 5]
    assert await rows(face, at__time__minute__gt=30) == [0, 4, 5]
    assert await rows(face, at__time__second=59) == [4, 5]
    assert await rows(face, at__time__isnull=True) == [1]
    assert await absent(face, at__time=clock) == [0, 1, 2, 4, 5]
    for wrong in ("x", "25:00", 5, datetime.date(2020, 1, 1)):
        with pytest.raises(ValueError):
            Entry.objects.filter(at__time=wrong)


async def test_moments_are_seen_in_the_current_zone(face: Face) -> None:
    for zone in (BERLIN, NEW_YORK, KATHMANDU, LORD_HOWE):
        local = of_each(lambda at, zone=zone: stored(at).astimezone(zone) if dorm.settings.USE_TZ else at)
        with timezone.override(zone):
            for number, at in enumerate(local):
                if at is None:
                    continue
                for lookup, value, take in (
                    ("at__date", at.date(), lambda each: each.date()),
                    ("at__time", at.time(), lambda each: each.time()),
                    ("at__year", at.year, lambda each: each.year),
                    ("at__date__year", at.year, lambda each: each.year),
                    ("at__time__hour", at.hour, lambda each: each.hour),
                    ("at__iso_year", at.isocalendar()[0], lambda each: each.isocalendar()[0]),
                ):
                    same = [n for n, each in enumerate(local) if each is not None and take(each) == value]
                    assert number in same
                    assert await rows(face, **{lookup: value}) == same
                    assert await absent(face, **{lookup: value}) == [n for n in range(len(AT)) if n not in same]
                    later = [n for n, each in enumerate(local) if each is not None and take(each) > value]
                    assert await rows(face, **{f"{lookup}__gt": value}) == later


async def test_a_year_of_a_truncated_moment(face: Face) -> None:
    for zone in (BERLIN, NEW_YORK):
        local = of_each(lambda at, zone=zone: stored(at).astimezone(zone) if dorm.settings.USE_TZ else at)
        truncated = Entry.objects.annotate(m=fn.TruncMonth("at", tzinfo=zone), y=fn.ExtractYear("at", tzinfo=zone))
        for year in (2021, 2025):
            wanted = [at and at.year for at in local].count(year)
            assert await face(truncated.filter(y=year).count)() == wanted
            with timezone.override(zone):
                assert await face(truncated.filter(m__year=year).count)() == wanted


# -- along relations, in other clauses -------------------------------------------------------------------------------


async def test_across_relations(face: Face) -> None:
    assert await rows(face, diary__read__year=2021) == [2, 3]
    assert await rows(face, diary__read__date=datetime.date(2020, 12, 31)) == [0, 1]
    assert await rows(face, diary__opened__week=53) == [0, 1, 2, 3]
    assert await rows(face, diary__opened__iso_year__lt=2021, diary__opened__year=2021) == [2, 3]
    assert await rows(face, diary__read__time__hour=23) == [0, 1]
    # Entries without a diary are none whose diary was read in 2021.
    assert await absent(face, diary__read__year=2021) == [0, 1, 4, 5]
    assert await rows(face, diary__read__date__lte=F("day")) == [0, 3]
    assert await rows(face, at__year__gte=F("diary__read__year")) == [0, 3]
    found = await face.rows(Diary.objects.filter(entries__at__year=2021).values_list("name", flat=True))
    assert found == ["second"]
    left = Diary.objects.exclude(entries__at__year=2021).order_by("pk").values_list("name", flat=True)
    assert await face.rows(left) == ["first", "empty"]
    none_late = Diary.objects.exclude(entries__clock__hour__gte=12).order_by("pk").values_list("name", flat=True)
    assert await face.rows(none_late) == ["second", "empty"]
    same = Diary.objects.filter(entries__at__year=F("read__year")).values_list("name", flat=True)
    assert await face.rows(same) == ["second"]
    counted = Diary.objects.annotate(n=Count("entries", filter=Q(entries__at__year__gte=2021))).order_by("pk")
    assert [each.n for each in await face.rows(counted)] == [1, 1, 0]
    latest = Diary.objects.annotate(last=Max("entries__at")).filter(last__year=2021).values_list("name", flat=True)
    assert await face.rows(latest) == ["second"]
    dated = Diary.objects.annotate(last=Max("entries__at")).filter(last__date__gt="2024-01-01")
    assert [each.name for each in await face.rows(dated)] == ["first"]


async def test_in_subqueries(face: Face) -> None:
    assert await rows(face, Exists(Diary.objects.filter(read__year=OuterRef("at__year")))) == [2, 3, 4]
    assert await rows(face, Exists(Diary.objects.filter(read__date=OuterRef("day")))) == []
    assert await rows(face, Exists(Diary.objects.filter(opened=OuterRef("at__date")))) == [4]
    assert await rows(face, Exists(Diary.objects.filter(read__year__lt=OuterRef("number")))) == [0, 3, 4]
    assert await rows(face, day__year__in=Diary.objects.values("opened__year")) == [2, 3, 4]


async def test_in_every_clause(face: Face) -> None:
    listed = Entry.objects.filter(number__gte=2021).values_list("at__year", "at__date", "day__week", "clock__hour")
    assert await face.rows(listed) == [
        (at.year, at.date(), at.isocalendar()[1], at.hour) for at in AT if at is not None and at.year >= 2021
    ]
    named = Entry.objects.filter(number=2024).values("at__time", "at__date__month", "length__day")
    assert await face.rows(named) == [{"at__time": AT[0].time(), "at__date__month": 12, "length__day": -3}]
    ordered = Entry.objects.order_by("-at__month", "at__year", "pk").filter(at__isnull=False)
    assert [each.number for each in await face.rows(ordered)] == [1969, 2024, 2021, 2020, 2021]
    per_year = Entry.objects.values("at__year").annotate(n=Count("pk")).filter(at__year__gt=2000).order_by("at__year")
    assert await face.rows(per_year.values_list("at__year", "n")) == [(2020, 1), (2021, 2), (2024, 1)]
    kinds = Case(When(at__year__lt=2000, then=Value("old")), When(at__hour=0, then=Value("early")), default=Value(""))
    assert await column(face, kinds) == ["", "", "early", "early", "", "old"]
    assert await face(Entry.objects.filter(Q(at__year=2020) | Q(day__month=10)).count)() == 2
    assert await face(Entry.objects.filter(Q(at__year=2021) ^ Q(day__month=10)).count)() == 1
    assert (await face(Entry.objects.get)(at__year=2020, at__month=1, at__day=1)).number == 2020
    assert await face(Entry.objects.filter(at__week_day=1).update)(number=7) == 2
    assert await face(Entry.objects.filter(number=7, at__iso_week_day=7).delete)() == (2, {"doc_moments.Entry": 2})
    assert await face(Entry.objects.filter(at__year=1969).exists)() is True


# -- dates() and datetimes() -----------------------------------------------------------------------------------------

_KINDS = ("year", "month", "week", "day")


async def test_dates(face: Face) -> None:
    for kind in _KINDS:
        wanted = sorted({_cut(at.date(), kind) for at in AT if at is not None})
        assert await face.rows(Entry.objects.dates("day", kind)) == wanted
        assert await face.rows(Entry.objects.dates("day", kind, order="DESC")) == wanted[::-1]
        assert await face.rows(Entry.objects.dates("day", kind=kind).reverse()) == wanted[::-1]
        assert await face.rows(Entry.objects.dates("at", kind)) == wanted
        assert await face(Entry.objects.dates("day", kind).count)() == len(wanted)
    years = Entry.objects.dates("day", "year")
    assert await face.rows(years[1:3]) == [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)]
    assert await face(years.first)() == datetime.date(1969, 1, 1)
    assert await face(years.last)() == datetime.date(2024, 1, 1)
    assert await face.stream(years) == await face.rows(years)
    assert await face(years.exists)() is True
    assert await face.rows(Entry.objects.filter(number__gt=2020).dates("day", "year")) == [
        datetime.date(2021, 1, 1), datetime.date(2024, 1, 1),
    ]  # fmt: skip
    assert await face.rows(years.filter(number=2020)) == [datetime.date(2020, 1, 1)]
    assert await face.rows(Entry.objects.none().dates("day", "year")) == []
    assert await face.rows(Entry.objects.order_by("-number").dates("day", "year")) == await face.rows(years)
    assert await face.rows(Entry.objects.dates("diary__opened", "month")) == [
        datetime.date(2020, 12, 1), datetime.date(2021, 1, 1),
    ]  # fmt: skip
    assert await face.rows(Diary.objects.dates("entries__day", "year", "DESC")) == [
        datetime.date(2024, 1, 1), datetime.date(2021, 1, 1), datetime.date(2020, 1, 1),
    ]  # fmt: skip


def _cut(day: datetime.date, kind: str) -> datetime.date:
    if kind == "week":
        return day - datetime.timedelta(days=day.weekday())
    return day.replace(month=1, day=1) if kind == "year" else day.replace(day=1) if kind == "month" else day


async def test_datetimes(face: Face) -> None:
    assert await face.rows(Entry.objects.datetimes("at", "hour")) == [
        moment(1969, 12, 31, 23), moment(2020, 1, 1), moment(2021, 1, 3, 23), moment(2021, 10, 31),
        moment(2024, 12, 30, 23),
    ]  # fmt: skip
    assert await face.rows(Entry.objects.datetimes("at", "year", order="DESC")) == [
        moment(year, 1, 1) for year in (2024, 2021, 2020, 1969)
    ]
    assert await face.rows(Entry.objects.datetimes("diary__read", "month")) == [moment(2020, 12, 1), moment(2021, 3, 1)]
    for zone in (BERLIN, NEW_YORK, KATHMANDU):
        local = [(stored(at).astimezone(zone) if dorm.settings.USE_TZ else at) for at in AT if at is not None]
        start: Any = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
        wanted = sorted({at.replace(**start) for at in local})
        found = await face.rows(Entry.objects.datetimes("at", "day", tzinfo=zone))
        assert found == wanted
        if dorm.settings.USE_TZ:
            assert {each.tzinfo for each in found} == {zone}
        with timezone.override(zone):
            assert await face.rows(Entry.objects.datetimes("at", "day", "DESC")) == wanted[::-1]
            assert await face.rows(Entry.objects.dates("at", "day")) == sorted({at.date() for at in local})
        assert await face(Entry.objects.datetimes("at", "day", "ASC", zone).last)() == wanted[-1]


def test_dates_that_are_refused() -> None:
    for make in (
        lambda: Entry.objects.dates("day", "hour"),
        lambda: Entry.objects.dates("day", "nonsense"),
        lambda: Entry.objects.dates("day", "year", order="desc"),
        lambda: Entry.objects.datetimes("at", "microsecond"),
        lambda: Entry.objects.datetimes("at", "year", "up"),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()
    for make in (
        lambda: Entry.objects.dates("number", "year"),
        lambda: Entry.objects.dates("clock", "year"),
        lambda: Entry.objects.datetimes("clock", "hour"),
        lambda: Entry.objects.datetimes("diary__name", "year"),
    ):
        with pytest.raises(TypeError, match="isn't a Date"):
            make()
    with pytest.raises(ValueError, match="Cannot truncate DateField"):
        Entry.objects.datetimes("day", "hour")
    with pytest.raises(FieldError):
        Entry.objects.dates("nonsense", "year")
    with pytest.raises(TypeError):
        Entry.objects.dates("day")
