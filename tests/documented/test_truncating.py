"""The page "Database functions": `Trunc` and its named forms, over dates, times and datetimes."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import (
    Case,
    Count,
    DateField,
    DateTimeField,
    Exists,
    F,
    IntegerField,
    Max,
    OuterRef,
    Subquery,
    TimeField,
    Value,
    When,
    functions as fn,
    timezone,
)
from dorm.functions import Trunc, TruncDate, TruncTime
from dorm.migrations.schema import create_tables
from tests.documented.moments import (
    AT,
    BERLIN,
    KATHMANDU,
    LORD_HOWE,
    MODELS,
    NEW_YORK,
    UNITS,
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
NAMED = {name: getattr(fn, f"Trunc{name.title()}") for name in UNITS}


@pytest.fixture(autouse=True, params=[True, False], ids=["aware", "naive"])
def tables(request: pytest.FixtureRequest, empty_database: dict[str, Any], face: Face) -> None:
    dorm.configure(USE_TZ=request.param)
    create_tables(MODELS)
    face.run(fill(face))


async def test_every_unit_of_everything(face: Face) -> None:
    for name, cut in UNITS.items():
        wanted = of_each(lambda at, cut=cut: stored(cut(at)))
        for made in (Trunc("at", name), Trunc(F("at"), kind=name), NAMED[name]("at"),
                     Trunc("at", name, output_field=DateTimeField())):  # fmt: skip
            assert await column(face, made) == wanted, made
        assert NAMED[name].kind == name
        if name in CLOCK:
            assert await column(face, NAMED[name]("clock")) == of_each(lambda at, cut=cut: cut(at).time())
            assert await column(face, Trunc("at", name, output_field=TimeField())) == of_each(
                lambda at, cut=cut: cut(at).time()
            )
        else:
            assert await column(face, NAMED[name]("day")) == of_each(lambda at, cut=cut: cut(at).date())
            assert await column(face, Trunc("at", name, output_field=DateField())) == of_each(
                lambda at, cut=cut: cut(at).date()
            )


async def test_dates_and_times_of_day(face: Face) -> None:
    days, clocks = of_each(lambda at: at.date()), of_each(lambda at: at.time())
    assert await column(face, TruncDate("at")) == await column(face, F("at__date")) == days
    assert await column(face, TruncTime("at")) == await column(face, F("at__time")) == clocks
    # Dates have a date, and times a time.
    assert await column(face, TruncDate("day")) == days
    assert await column(face, TruncTime("clock")) == clocks
    assert (TruncDate.kind, TruncDate.lookup_name, TruncTime.kind, TruncTime.lookup_name) == ("date",) * 2 + (
        "time",
    ) * 2
    assert await column(face, TruncDate("at", output_field=DateField())) == days
    for wrong in (DateTimeField(), TimeField(), IntegerField()):
        with pytest.raises(ValueError, match="gives a date"):
            TruncDate("at", output_field=wrong)
    with pytest.raises(ValueError, match="gives a time"):
        TruncTime("at", output_field=DateField())


async def test_nested(face: Face) -> None:
    assert await column(face, fn.TruncMonth(TruncDate("at"))) == of_each(lambda at: at.date().replace(day=1))
    assert await column(face, fn.TruncHour(TruncTime("at"))) == of_each(lambda at: datetime.time(at.hour))
    assert await column(face, TruncDate(fn.TruncYear("at"))) == of_each(lambda at: datetime.date(at.year, 1, 1))
    later = dorm.ExpressionWrapper(F("at") + datetime.timedelta(days=2), output_field=DateTimeField())
    assert await column(face, fn.TruncDay(later)) == of_each(
        lambda at: stored(UNITS["day"](at + datetime.timedelta(days=2)))
    )


async def test_literals(face: Face) -> None:
    for given, name, wanted in (
        (Value(datetime.date(2020, 5, 6)), "quarter", datetime.date(2020, 4, 1)),
        (Value(datetime.time(3, 4, 5, 6)), "minute", datetime.time(3, 4)),
        (Value(moment(2020, 5, 6, 7, 8, 9)), "week", moment(2020, 5, 4)),
        (Value(None, DateField()), "year", None),
        (Value(None, TimeField()), "hour", None),
        (Value(None, DateTimeField()), "day", None),
    ):
        assert set(await column(face, Trunc(given, name))) == {wanted}
    assert set(await column(face, TruncDate(Value(None, DateTimeField())))) == {None}


@pytest.mark.parametrize(
    ("field", "kind", "output"),
    [("day", kind, None) for kind in CLOCK]
    + [("clock", kind, None) for kind in UNITS if kind not in CLOCK]
    + [("day", "year", DateTimeField), ("day", "year", TimeField), ("clock", "hour", DateTimeField)]
    + [("clock", "hour", DateField), ("at", "year", IntegerField), ("day", "year", IntegerField)],
)
def test_units_that_a_value_does_not_have(field: str, kind: str, output: Any) -> None:
    given = None if output is None else output()
    with pytest.raises(ValueError, match=r"Cannot truncate|output_field must be either"):
        Entry.objects.annotate(x=Trunc(field, kind, output_field=given))


def test_what_cannot_be_truncated() -> None:
    for made in (TruncDate("clock"), TruncTime("day")):
        with pytest.raises(ValueError, match="Cannot truncate"):
            Entry.objects.annotate(x=made)
    for field in ("length", "number", "diary__name", "diary", Value(None), Value("2020-05-06")):
        for made in (fn.TruncYear(field), TruncDate(field), Trunc(field, "hour", output_field=DateTimeField())):
            with pytest.raises(TypeError, match="isn't a DateField, TimeField, or DateTimeField"):
                Entry.objects.annotate(x=made)
    for wrong in (None, "", "nonsense", "decade", "date", "time"):
        with pytest.raises(ValueError, match="knows no unit"):
            Trunc("at", wrong)
    with pytest.raises(ValueError, match=r"TruncDate\(\)"):
        Trunc("at", "date", output_field=DateField())
    for made in (
        fn.TruncYear("day", tzinfo=BERLIN),
        TruncDate("day", tzinfo=BERLIN),
        fn.TruncHour("clock", tzinfo=UTC),
    ):
        with pytest.raises(ValueError, match="tzinfo can only be used with DateTimeField"):
            Entry.objects.annotate(x=made)


async def test_zones(face: Face) -> None:
    aware = dorm.settings.USE_TZ
    for zone in (BERLIN, NEW_YORK, KATHMANDU, LORD_HOWE):
        for name, cut in UNITS.items():
            wanted = of_each(
                lambda at, cut=cut, zone=zone: cut(at.replace(tzinfo=UTC).astimezone(zone)) if aware else cut(at)
            )
            found = await column(face, Trunc("at", name, tzinfo=zone))
            assert found == wanted, (zone, name)
            if aware:
                assert {each.tzinfo for each in found if each} == {zone}
            with timezone.override(zone):
                assert await column(face, Trunc("at", name)) == wanted
                assert await column(face, Trunc("at", name, tzinfo=UTC)) == of_each(lambda at, cut=cut: stored(cut(at)))
        local = of_each(lambda at, zone=zone: at.replace(tzinfo=UTC).astimezone(zone) if aware else at)
        days = [each and each.date() for each in local]
        assert await column(face, TruncDate("at", tzinfo=zone)) == days
        assert await column(face, Trunc("at", "day", output_field=DateField(), tzinfo=zone)) == days
        assert await column(face, TruncTime("at", tzinfo=zone)) == [each and each.time() for each in local]
        with timezone.override(zone):
            assert await column(face, TruncDate("at")) == days


async def test_arguments_by_position(face: Face) -> None:
    for zone in (BERLIN, None):
        dates = await column(face, fn.TruncMonth("at", output_field=DateField(), tzinfo=zone))
        assert await column(face, fn.TruncMonth("at", DateField(), zone)) == dates
        assert await column(face, Trunc("at", "month", DateField(), zone)) == dates
        assert await column(face, TruncDate("at", zone)) == await column(face, TruncDate("at", tzinfo=zone))
        by_name = await column(face, fn.ExtractDay("at", tzinfo=zone))
        assert await column(face, fn.ExtractDay("at", zone)) == by_name
        assert await column(face, fn.Extract("at", "day", zone)) == by_name
    for wrong in ("x", 5, DateField):
        with pytest.raises(ValueError, match="output_field must be either"):
            fn.TruncMonth("at", wrong)
    made = Trunc("at", "month", tzinfo=BERLIN)
    assert (made.kind, made.tzinfo, fn.TruncHour("at").kind) == ("month", BERLIN, "hour")
    assert made == Trunc("at", "month", tzinfo=BERLIN) != Trunc("at", "month", tzinfo=NEW_YORK)
    assert fn.TruncMonth("at") == fn.TruncMonth("at") != fn.TruncYear("at")
    assert hash(fn.TruncMonth("at")) == hash(fn.TruncMonth("at"))


async def test_zones_at_a_fixed_distance(face: Face) -> None:
    for minutes in (330, -570, 90, 0, -210):
        zone = timezone.get_fixed_timezone(minutes)
        local = of_each(lambda at, zone=zone: stored(at).astimezone(zone) if dorm.settings.USE_TZ else at)
        with timezone.override(zone):
            assert await column(face, fn.TruncHour("at")) == [each and UNITS["hour"](each) for each in local]
            assert await column(face, fn.ExtractMinute("at")) == [each and each.minute for each in local]
        assert await column(face, TruncDate("at", tzinfo=zone)) == [each and each.date() for each in local]


async def test_hours_that_are_twice_or_not_at_all(face: Face) -> None:
    if not dorm.settings.USE_TZ:
        return
    await face(Entry.objects.all().delete)()
    # In Berlin half past two comes twice on 31 October 2021; on 28 March it is half past one, then half past three.
    autumn = [datetime.datetime(2021, 10, 31, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    spring = [datetime.datetime(2021, 3, 28, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    # Lord Howe Island moves by half an hour: from 2:00 to 1:30, and from 2:00 to 2:30.
    half = [datetime.datetime(2021, 4, 3, 14, 45, tzinfo=UTC), datetime.datetime(2021, 4, 3, 15, 15, tzinfo=UTC)]
    await face(Entry.objects.bulk_create)([Entry(at=at) for at in (*autumn, *spring, *half)])
    in_berlin = await column(face, fn.TruncHour("at", tzinfo=BERLIN))
    assert [(each.hour, each.fold, each.utcoffset()) for each in in_berlin[:4]] == [
        (2, 0, datetime.timedelta(hours=2)), (2, 1, datetime.timedelta(hours=1)),
        (1, 0, datetime.timedelta(hours=1)), (3, 0, datetime.timedelta(hours=2)),
    ]  # fmt: skip
    for name in ("day", "week", "month", "quarter", "year"):
        found = await column(face, Trunc("at", name, tzinfo=BERLIN))
        assert [(each.hour, each.minute) for each in found] == [(0, 0)] * 6, name
        assert [each.astimezone(UTC) for each in found] == [
            UNITS[name](at.astimezone(BERLIN)).astimezone(UTC) for at in (*autumn, *spring, *half)
        ]
    both = await column(face, fn.TruncMinute("at", tzinfo=LORD_HOWE))
    assert [(each.hour, each.minute, each.fold) for each in both[4:]] == [(1, 45, 0), (1, 45, 1)]
    assert await column(face, TruncTime("at", tzinfo=BERLIN)) == [
        datetime.time(2, 30), datetime.time(2, 30), datetime.time(1, 30), datetime.time(3, 30),
        datetime.time(16, 45), datetime.time(17, 15),
    ]  # fmt: skip


async def test_grouped_and_ordered(face: Face) -> None:
    per_month = Entry.objects.annotate(m=fn.TruncMonth("at")).values("m").annotate(n=Count("pk"))
    found = {each["m"]: each["n"] for each in await face.rows(per_month.order_by())}
    assert found == {at and stored(UNITS["month"](at)): 1 for at in AT}
    per_year = Entry.objects.values(y=fn.TruncYear("day")).annotate(n=Count("pk")).filter(n=2)
    assert await face.rows(per_year.values_list("y", "n")) == [(datetime.date(2021, 1, 1), 2)]
    newest = Entry.objects.order_by(fn.TruncYear("at").desc(nulls_last=True), "pk")
    assert [each.number for each in await face.rows(newest)] == [2024, 2021, 2021, 2020, 1969, None]
    last = Diary.objects.annotate(m=Max(fn.TruncMonth("entries__at")), d=fn.TruncDay(Max("entries__at"))).order_by("pk")
    assert [(each.m, each.d) for each in await face.rows(last)] == [
        (moment(2024, 12, 1), moment(2024, 12, 30)), (moment(2021, 10, 1), moment(2021, 10, 31)), (None, None),
    ]  # fmt: skip
    counted = Diary.objects.annotate(n=Count(fn.TruncYear("entries__day"), distinct=True)).order_by("pk")
    assert [each.n for each in await face.rows(counted)] == [1, 2, 0]


async def test_compared(face: Face) -> None:
    truncated = Entry.objects.annotate(m=fn.TruncMonth("at"), d=fn.TruncMonth("day"), c=fn.TruncHour("clock"))
    for given in (moment(2021, 10, 1), datetime.date(2021, 10, 1), "2021-10-01", "2021-10-1"):
        if dorm.settings.USE_TZ and not isinstance(given, datetime.datetime):
            with pytest.warns(RuntimeWarning, match="naive datetime"):
                assert [each.number for each in await face.rows(truncated.filter(m=given))] == [2021]
        else:
            assert [each.number for each in await face.rows(truncated.filter(m=given))] == [2021]
    for given in (datetime.date(2020, 1, 1), moment(2020, 1, 1, 5), "2020-01-01", "2020-1-1"):
        assert [each.number for each in await face.rows(truncated.filter(d=given))] == [2020]
    for given in (datetime.time(0), moment(2020, 1, 1, 0), "00:00", "0:00"):
        assert [each.number for each in await face.rows(truncated.filter(c=given))] == [2020, 2021]
    assert [each.number for each in await face.rows(truncated.filter(m__year=2021, d__month=1))] == [2021]
    assert [each.number for each in await face.rows(truncated.filter(m__date="2024-12-01", c__hour=23))] == [2024]
    assert [each.number for each in await face.rows(truncated.filter(m=F("at")))] == [2020]
    assert [each.number for each in await face.rows(truncated.filter(d__lt=F("day"), m__lt=F("at")))] == [
        2024, 2021, 2021, 1969,
    ]  # fmt: skip
    both = truncated.filter(m__in=[moment(2020, 1, 1), moment(2021, 1, 1)])
    assert [each.number for each in await face.rows(both)] == [2020, 2021]
    for wrong in (5, "x", "2021-02-30", [], datetime.time(1)):
        for name in ("m", "d"):
            with pytest.raises(ValueError, match="none of its values"):
                truncated.filter(**{name: wrong})
    for wrong in (5, "x", "25:00", datetime.date(2020, 1, 1)):
        with pytest.raises(ValueError, match="none of its values"):
            truncated.filter(c=wrong)


async def test_in_other_expressions(face: Face) -> None:
    chosen = Case(When(at__year=2021, then=fn.TruncYear("at")), default=F("at"))
    assert await column(face, chosen) == of_each(lambda at: stored(UNITS["year"](at) if at.year == 2021 else at))
    assert await column(face, fn.Coalesce(TruncDate("at"), Value(datetime.date(2000, 1, 1)))) == [
        datetime.date(2000, 1, 1) if at is None else at.date() for at in AT
    ]
    assert await column(face, fn.Least(fn.TruncYear("at"), fn.TruncMonth("until"))) == of_each(
        lambda at: stored(UNITS["year"](at))
    )
    assert await column(face, F("at") - fn.TruncDay("at")) == of_each(lambda at: at - UNITS["day"](at))
    within = Entry.objects.filter(at__range=(fn.TruncDay("at"), fn.TruncHour("until")))
    assert await face(within.count)() == len(AT) - 1


async def test_written_into_columns(face: Face) -> None:
    await face(Entry.objects.update)(
        at=fn.TruncHour("at", tzinfo=KATHMANDU), day=fn.TruncMonth("day"), clock=TruncTime("until")
    )

    def cut(at: datetime.datetime) -> datetime.datetime:
        return UNITS["hour"](stored(at).astimezone(KATHMANDU) if dorm.settings.USE_TZ else at)

    assert await column(face, F("at")) == of_each(cut)
    assert await column(face, F("day")) == of_each(lambda at: at.date().replace(day=1))
    step = datetime.timedelta(days=1, hours=1, seconds=2)
    assert await column(face, F("clock")) == of_each(lambda at: (at + step).time())
    await face(Entry.objects.update)(day=TruncDate("until"))
    assert await column(face, F("day")) == of_each(lambda at: (at + step).date())


async def test_of_the_query_around(face: Face) -> None:
    empty = Diary.objects.filter(name="empty")
    for made, direct in (
        (fn.TruncMonth(OuterRef("at")), fn.TruncMonth("at")),
        (fn.TruncMonth(OuterRef("day")), fn.TruncMonth("day")),
        (fn.TruncHour(OuterRef("clock")), fn.TruncHour("clock")),
        (TruncDate(OuterRef("at")), TruncDate("at")),
        (TruncTime(OuterRef("at")), TruncTime("at")),
        (Trunc(OuterRef("at"), "year", output_field=DateField()), Trunc("at", "year", output_field=DateField())),
        (fn.TruncDay(OuterRef("at"), tzinfo=BERLIN), fn.TruncDay("at", tzinfo=BERLIN)),
        (fn.Coalesce(TruncDate(OuterRef("at")), OuterRef("day")), TruncDate("at")),
        (OuterRef("until") - OuterRef("at"), F("until") - F("at")),
        (fn.ExtractDay(fn.TruncWeek(OuterRef("at"))), fn.ExtractDay(fn.TruncWeek("at"))),
    ):
        with timezone.override(NEW_YORK):
            assert await column(face, Subquery(empty.values(x=made))) == await column(face, direct), made
    before = Exists(Diary.objects.filter(read__lt=fn.TruncYear(OuterRef("at"))))
    assert await rows(face, before) == [0, 3, 4]
    same = Diary.objects.annotate(y=fn.TruncYear("read")).filter(y=fn.TruncYear(OuterRef("at")))
    assert await rows(face, Exists(same)) == [2, 3, 4]
    opened = Exists(Diary.objects.filter(opened=TruncDate(OuterRef("at"))))
    assert await rows(face, opened) == [4]
    with pytest.raises(TypeError, match="isn't a DateField"):
        await column(face, Subquery(empty.values(x=fn.TruncYear(OuterRef("number")))))


async def test_now(face: Face) -> None:
    present = timezone.now()
    assert abs((await column(face, fn.Now()))[0] - present) < datetime.timedelta(minutes=5)
    assert await column(face, TruncDate(fn.Now())) in ([present.date()] * 6, [timezone.now().date()] * 6)
    assert await column(face, fn.ExtractYear(fn.Now())) in ([present.year] * 6, [timezone.now().year] * 6)
    assert await rows(face, at__lte=fn.Now(), day__lt=fn.Now()) == [0, 2, 3, 4, 5]
    assert await rows(face, at__lt=fn.Now() - datetime.timedelta(days=(present.year - 2020) * 366 + 366)) == [5]
    await face(Entry.objects.filter(number=2020).update)(at=fn.Now())
    assert abs((await face(Entry.objects.get)(number=2020)).at - present) < datetime.timedelta(minutes=5)
    made = await face(Entry.objects.create)(number=1, at=fn.Now())
    assert abs(made.at - present) < datetime.timedelta(minutes=5)
    assert fn.Now() == fn.Now()


async def test_the_clock_of_the_default_zone_without_use_tz(face: Face) -> None:
    if dorm.settings.USE_TZ:
        return
    dorm.configure(TIME_ZONE="Asia/Kathmandu")
    local = datetime.datetime.now(KATHMANDU).replace(tzinfo=None)
    assert abs((await column(face, fn.Now()))[0] - local) < datetime.timedelta(minutes=5)
    # An aware moment is written as that clock shows it.
    made = await face(Entry.objects.create)(number=1, at=datetime.datetime(2020, 1, 1, tzinfo=UTC))
    assert (await face(Entry.objects.get)(pk=made.pk)).at == datetime.datetime(2020, 1, 1, 5, 45)
    assert await rows(face, at=datetime.datetime(2020, 1, 1, tzinfo=UTC)) == [6]
