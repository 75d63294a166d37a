"""The page "Database functions": `Extract` and its named forms, over dates, times, datetimes and durations."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

import dorm
from dorm import Count, Exists, F, IntegerField, OuterRef, Subquery, Sum, Value, functions as fn, timezone
from dorm.functions import Extract
from dorm.migrations.schema import create_tables
from tests.documented.moments import (
    AT,
    BERLIN,
    KATHMANDU,
    MODELS,
    NEW_YORK,
    PARTS,
    UTC,
    Diary,
    Entry,
    column,
    fill,
    of_each,
    rows,
    stored,
)
from tests.support.faces import Face

CLOCK = ("hour", "minute", "second")
NAMED = {
    name: getattr(fn, "Extract" + "".join(map(str.title, name.split("_"))))
    for name in PARTS
}  # fmt: skip
EPOCH = datetime.datetime(1970, 1, 1)
FURTHER: dict[str, Callable[[datetime.datetime], int]] = {
    "century": lambda at: (at.year + 99) // 100,
    "decade": lambda at: at.year // 10,
    "dow": lambda at: at.isoweekday() % 7,
    "doy": lambda at: at.timetuple().tm_yday,
    "epoch": lambda at: int((at - EPOCH).total_seconds()),
    "isodow": lambda at: at.isoweekday(),
    "isoyear": lambda at: at.isocalendar()[0],
    "julian": lambda at: at.toordinal() + 1_721_425,
    "microseconds": lambda at: at.second * 1_000_000 + at.microsecond,
    "millennium": lambda at: (at.year + 999) // 1000,
    "milliseconds": lambda at: at.second * 1_000 + at.microsecond // 1_000,
}
"""What PostgreSQL names besides; Django takes any name that the database has."""


@pytest.fixture(autouse=True, params=[True, False], ids=["aware", "naive"])
def tables(request: pytest.FixtureRequest, empty_database: dict[str, Any], face: Face) -> None:
    dorm.configure(USE_TZ=request.param)
    create_tables(MODELS)
    face.run(fill(face))


async def test_every_part_of_everything(face: Face) -> None:
    for name, of in PARTS.items():
        for made in (Extract("at", name), Extract(F("at"), lookup_name=name), NAMED[name]("at"), F(f"at__{name}")):
            assert await column(face, made) == of_each(of), made
        if name in CLOCK:
            assert await column(face, NAMED[name]("clock")) == of_each(of)
        else:
            assert await column(face, NAMED[name]("day")) == of_each(of)
        assert NAMED[name].lookup_name == name


async def test_further_parts_by_their_names_in_postgresql(face: Face) -> None:
    for name, of in FURTHER.items():
        assert await column(face, Extract("at", name)) == of_each(of), name
    for name in set(FURTHER) - {"microseconds", "milliseconds", "epoch"}:
        assert await column(face, Extract("day", name)) == of_each(FURTHER[name]), name
    midnights = of_each(lambda at: int((datetime.datetime.combine(at, datetime.time()) - EPOCH).total_seconds()))
    assert await column(face, Extract("day", "epoch")) == midnights
    for name in ("microseconds", "milliseconds"):
        assert await column(face, Extract("clock", name)) == of_each(FURTHER[name])
    of_day = of_each(lambda at: at.hour * 3600 + at.minute * 60 + at.second)
    assert await column(face, Extract("clock", "epoch")) == of_day


async def test_parts_of_durations(face: Face) -> None:
    spans = [None if at is None else number - 2 for number, at in enumerate(AT)]
    span = datetime.timedelta(days=1, hours=2, seconds=3, microseconds=4)
    every = [None if times is None else span * times for times in spans]
    for name, of in (
        ("day", lambda each: each.days),
        ("hour", lambda each: each.seconds // 3600),
        ("minute", lambda each: each.seconds // 60 % 60),
        ("second", lambda each: each.seconds % 60),
        ("epoch", lambda each: int(each.total_seconds())),
        ("microseconds", lambda each: each.seconds % 60 * 1_000_000 + each.microseconds),
    ):
        wanted = [None if each is None else of(each) for each in every]
        assert await column(face, Extract("length", name)) == wanted, name
        assert await column(face, Extract(F("length") + datetime.timedelta(0), name)) == wanted, name
    between = F("until") - F("at")
    parts = fn.ExtractDay(between), fn.ExtractHour(between), fn.ExtractMinute(between), fn.ExtractSecond(between)
    found = await face.rows(Entry.objects.filter(at__isnull=False).values_list(*parts).distinct().order_by())
    assert found == [(1, 1, 0, 2)]


_SECONDS = ("epoch", "milliseconds", "microseconds")
_OF = {
    "day": {*PARTS, *FURTHER} - {*CLOCK, *_SECONDS[1:]},
    "clock": {*CLOCK, *_SECONDS},
    "length": {"day", *CLOCK, *_SECONDS},
}


def test_parts_that_a_value_does_not_have() -> None:
    absent = [(field, part) for field, parts in _OF.items() for part in {*PARTS, *FURTHER} - parts]
    for field, part in (*absent, ("number", "year"), ("diary__name", "year"), ("diary", "year")):
        with pytest.raises(ValueError, match=r"Cannot extract|Extract input expression must be"):
            Entry.objects.annotate(x=Extract(field, part))


def test_parts_that_are_none() -> None:
    for wrong in (None, "", "nonsense", "Year", "year'"):
        with pytest.raises(ValueError, match=r"lookup_name must be provided|knows no part"):
            Extract("at", wrong)
    with pytest.raises(ValueError, match="must be provided"):
        Extract("at")
    with pytest.raises(ValueError, match="Extract input expression"):
        Entry.objects.annotate(x=Extract(Value(None), "year"))


def test_a_zone_is_for_datetimes_alone() -> None:
    for field, part in (("day", "year"), ("clock", "hour"), ("length", "day")):
        for made in (Extract(field, part, tzinfo=BERLIN), NAMED[part](field, tzinfo=BERLIN)):
            with pytest.raises(ValueError, match="tzinfo can only be used with DateTimeField"):
                Entry.objects.annotate(x=made)


async def test_zones(face: Face) -> None:
    aware = dorm.settings.USE_TZ
    for zone in (BERLIN, NEW_YORK, KATHMANDU):
        for name, of in (*PARTS.items(), ("doy", FURTHER["doy"])):
            # Without USE_TZ moments have no zone, and what is said of one changes nothing.
            local = of_each(lambda at, of=of, zone=zone: of(at.replace(tzinfo=UTC).astimezone(zone) if aware else at))
            assert await column(face, Extract("at", name, tzinfo=zone)) == local
            with timezone.override(zone):
                assert await column(face, Extract("at", name)) == local
                # The zone that is given wins over the current one.
                assert await column(face, Extract("at", name, tzinfo=UTC)) == of_each(of)


async def test_seconds_since_1970_are_the_same_everywhere(face: Face) -> None:
    with timezone.override(BERLIN):
        assert await column(face, Extract("at", "epoch")) == of_each(FURTHER["epoch"])
    assert await column(face, Extract("at", "epoch", tzinfo=NEW_YORK)) == of_each(FURTHER["epoch"])


async def test_weeks_around_new_year(face: Face) -> None:
    await face(Entry.objects.all().delete)()
    days = [datetime.date(year, 1, 1) + datetime.timedelta(step) for year in range(1997, 2033) for step in range(-4, 5)]
    await face(Entry.objects.bulk_create)(
        [Entry(day=day, at=stored(datetime.datetime.combine(day, datetime.time(12)))) for day in days]
    )
    for name in ("year", "iso_year", "week", "week_day", "iso_week_day", "quarter", "doy", "isoyear"):
        of = PARTS.get(name) or FURTHER[name]
        wanted = [of(datetime.datetime.combine(day, datetime.time())) for day in days]
        assert await column(face, Extract("day", name)) == wanted
        assert await column(face, Extract("at", name)) == wanted


async def test_years_at_both_ends(face: Face) -> None:
    await face(Entry.objects.all().delete)()
    days = [datetime.date(1, 1, 1), datetime.date(999, 12, 31), datetime.date(9999, 12, 31)]
    await face(Entry.objects.bulk_create)([Entry(day=day) for day in days])
    for name in ("year", "month", "day", "week", "iso_year", "quarter"):
        wanted = [PARTS[name](datetime.datetime.combine(day, datetime.time())) for day in days]
        assert await column(face, Extract("day", name)) == wanted
    assert await column(face, Extract("day", "century")) == [1, 10, 100]


async def test_over_expressions_and_in_them(face: Face) -> None:
    later = dorm.ExpressionWrapper(F("at") + datetime.timedelta(days=2), output_field=dorm.DateTimeField())
    assert await column(face, fn.ExtractYear(later)) == of_each(lambda at: (at + datetime.timedelta(2)).year)
    assert await column(face, Extract("at", "year") * 100 + F("at__month")) == of_each(
        lambda at: at.year * 100 + at.month
    )
    assert await column(face, fn.ExtractMonth(fn.TruncYear("at"))) == of_each(lambda at: 1)
    assert await column(face, fn.ExtractDay(fn.TruncDate("at"))) == of_each(lambda at: at.day)
    assert await column(face, fn.ExtractHour(fn.TruncTime("at"))) == of_each(lambda at: at.hour)
    assert set(await column(face, fn.ExtractYear(Value(datetime.date(2020, 5, 6))))) == {2020}
    assert set(await column(face, fn.ExtractYear(Value(None, dorm.DateField())))) == {None}
    assert await column(face, fn.Coalesce(fn.ExtractYear("at"), 0)) == [0 if at is None else at.year for at in AT]
    assert await face(Entry.objects.aggregate)(n=Sum("at__year"), days=Sum("length__day")) == {
        "n": sum(at.year for at in AT if at),
        "days": -3 + 0 + 1 + 2 + 3,
    }
    per_year = (
        Entry.objects.values(y=fn.ExtractYear("at")).annotate(n=Count("pk")).order_by(F("y").asc(nulls_first=True))
    )
    assert [each["n"] for each in await face.rows(per_year)] == [1, 1, 1, 2, 1]
    by_month = Entry.objects.order_by(fn.ExtractMonth("at").desc(nulls_last=True), "pk")
    assert [each.number for each in await face.rows(by_month)] == [2024, 1969, 2021, 2020, 2021, None]
    latest = Diary.objects.annotate(y=fn.ExtractYear(dorm.Max("entries__at"))).order_by("pk")
    assert [each.y for each in await face.rows(latest)] == [2024, 2021, None]


async def test_written_into_columns(face: Face) -> None:
    await face(Entry.objects.update)(number=fn.ExtractMonth("at"))
    assert await column(face, F("number")) == of_each(lambda at: at.month)
    await face(Entry.objects.update)(number=F("at__iso_year"))
    assert await column(face, F("number")) == of_each(PARTS["iso_year"])


async def test_of_the_query_around(face: Face) -> None:
    same_year = Diary.objects.filter(read__year=fn.ExtractYear(OuterRef("at")))
    assert await column(face, Subquery(same_year.order_by("pk").values("name")[:1])) == [
        None, None, "first", "second", "second", None,
    ]  # fmt: skip
    assert await rows(face, Exists(same_year)) == [2, 3, 4]
    for field, part in (("day", "month"), ("clock", "hour"), ("length", "day"), ("at", "week")):
        inner = Diary.objects.filter(name="empty").values(x=Extract(OuterRef(field), part))
        assert await column(face, Subquery(inner)) == await column(face, Extract(field, part))
    for field, part in (("clock", "year"), ("number", "year")):
        inner = Diary.objects.values(x=Extract(OuterRef(field), part))[:1]
        with pytest.raises(ValueError, match=r"extract|Extract"):
            await column(face, Subquery(inner))


class ExtractDayOfYear(Extract):
    lookup_name = "doy"


@pytest.fixture
def day_of_year() -> Any:
    for field in (dorm.DateField, dorm.DateTimeField):
        field.register_lookup(ExtractDayOfYear)
    yield
    for field in (dorm.DateField, dorm.DateTimeField):
        field._unregister_lookup(ExtractDayOfYear)


async def test_a_class_of_ones_own(face: Face, day_of_year: None) -> None:
    assert await column(face, ExtractDayOfYear("at")) == of_each(FURTHER["doy"])
    assert await rows(face, at__doy=304) == [3]
    assert await rows(face, day__doy__gt=300) == [0, 3, 5]
    with timezone.override(BERLIN):
        assert await rows(face, at__doy=366) == ([0] if dorm.settings.USE_TZ else [])
    assert await face.rows(Entry.objects.values_list("day__doy", flat=True)) == of_each(FURTHER["doy"])


async def test_results_are_whole_numbers(face: Face) -> None:
    for made in (Extract("at", "second"), Extract("at", "epoch"), Extract("length", "second")):
        assert {type(each) for each in await column(face, made)} == {int, type(None)}
    assert await rows(face, number=Extract("at", "year", output_field=IntegerField())) == [0, 2, 3, 4, 5]
