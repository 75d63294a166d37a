"""Every field gives back what it was given: all values, both backends, both faces, every way in."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import uuid
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings, strategies as st

import dorm
from dorm import timezone
from dorm.migrations.schema import create_tables, drop_tables
from tests.support.faces import Face


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2**40


class Value(dorm.Model):
    """A column of every type that both backends have."""

    small = dorm.SmallIntegerField(null=True)
    integer = dorm.IntegerField(null=True)
    big = dorm.BigIntegerField(null=True)
    positive = dorm.PositiveBigIntegerField(null=True)
    truth = dorm.BooleanField(null=True)
    double = dorm.FloatField(null=True)
    money = dorm.DecimalField(max_digits=18, decimal_places=4, null=True)
    whole = dorm.DecimalField(max_digits=18, decimal_places=0, null=True)
    exact = dorm.DecimalField(max_digits=40, decimal_places=15, null=True)
    char = dorm.CharField(max_length=20, null=True)
    text = dorm.TextField(null=True)
    date = dorm.DateField(null=True)
    time = dorm.TimeField(null=True)
    moment = dorm.DateTimeField(null=True)
    span = dorm.DurationField(null=True)
    uuid = dorm.UUIDField(null=True)
    json = dorm.JSONField(null=True)
    binary = dorm.BinaryField(null=True)
    address = dorm.GenericIPAddressField(null=True)
    mood = dorm.EnumField(Mood, null=True)
    level = dorm.EnumField(Level, null=True)

    class Meta:
        app_label = "round_trips"


def integers(bits: int) -> st.SearchStrategy[int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.integers(low, high) | st.sampled_from([low, high, 0, -1, 1])


def decimals(digits: int, places: int) -> st.SearchStrategy[decimal.Decimal]:
    most = 10**digits - 1
    return (st.integers(-most, most) | st.sampled_from([most, -most, 0, 1, -1])).map(
        lambda number: decimal.Decimal(number).scaleb(-places, decimal.Context(prec=60))
    )


# PostgreSQL stores neither NUL nor lone surrogates.
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
# jsonb keeps numbers as numeric: a float that is written with an exponent comes back as a whole number.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
).filter(lambda value: value is not None)
# SQLite's column counts microseconds in 64 bits.
LONGEST = datetime.timedelta(microseconds=2**63 - 1)
SPANS = st.timedeltas(-LONGEST, LONGEST) | st.sampled_from([-LONGEST, LONGEST, datetime.timedelta(0)])
# The server's dates end where Python's do not: year 1 to 9999 both have.
MOMENTS = st.datetimes() | st.sampled_from([datetime.datetime.min, datetime.datetime.max])

STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "small": integers(16),
    "integer": integers(32),
    "big": integers(64),
    "positive": st.integers(0, 2**63 - 1),
    "truth": st.booleans(),
    "double": st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308, math.inf]),
    "money": decimals(18, 4),
    "whole": decimals(18, 0),
    "exact": decimals(40, 15),
    "char": TEXT,
    "text": TEXT | st.just("x" * 10_000),
    "date": st.dates() | st.sampled_from([datetime.date.min, datetime.date.max]),
    "time": st.times() | st.sampled_from([datetime.time.min, datetime.time.max]),
    "moment": MOMENTS,
    "span": SPANS,
    "uuid": st.uuids() | st.sampled_from([uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]),
    "json": JSON,
    "binary": st.binary(max_size=50) | st.just(bytes(range(256))),
    "address": st.ip_addresses().map(lambda address: dorm.GenericIPAddressField().to_python(str(address))),
    "mood": st.sampled_from(Mood),
    "level": st.sampled_from(Level),
}
assert set(STRATEGIES) == {field.name for field in Value._meta.fields if not field.primary_key}

QUICK = settings(
    max_examples=10,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of one type (SQLite keeps no sign of zero)."""
    return type(one) is type(other) and bool(one == other)


@pytest.fixture
def table(empty_database: dict[str, Any]) -> None:
    create_tables([Value])


async def round_trip(face: Face, values: dict[str, Any], asked: list[str]) -> None:
    """Send *values* by every road, and read them by every road; filter by the fields *asked*."""
    await face(Value.objects.all().delete)()
    saved = await face(Value.objects.create)(**values)
    (bulk,) = await face(Value.objects.bulk_create)([Value(**values)])
    empty = await face(Value.objects.create)()
    assert await face(Value.objects.filter(pk=empty.pk).update)(**values) == 1
    later = await face(Value.objects.create)()
    for name, value in values.items():
        setattr(later, name, value)
    await face(later.save)()
    rows = await face.rows(Value.objects.order_by("pk"))
    assert [row.pk for row in rows] == [saved.pk, bulk.pk, empty.pk, later.pk]
    for name, value in values.items():
        for row in rows:
            assert same(getattr(row, name), value), (name, value, getattr(row, name))
    for listed in await face.rows(Value.objects.values_list(*values)):
        for name, value, found in zip(values, values.values(), listed, strict=True):
            assert same(found, value), (name, value, found)
    for name in asked:
        value = values[name]
        assert await face(Value.objects.filter(**{name: value}).count)() == 4, (name, value)
        assert await face(Value.objects.filter(**{f"{name}__in": [value]}).count)() == 4, (name, value)
        assert await face(Value.objects.exclude(**{name: value}).count)() == 0, (name, value)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("face_name", ["sync", "async"])
@QUICK
@given(data=st.data())
def test_values_come_back_as_they_went(face_name: str, data: st.DataObject) -> None:
    values = {name: data.draw(strategy, label=name) for name, strategy in STRATEGIES.items()}
    names = st.sampled_from(sorted(set(STRATEGIES) - {"json"}))
    asked = data.draw(st.lists(names, min_size=3, max_size=5, unique=True), label="asked")
    face = Face(face_name)

    async def test() -> None:
        # One transaction, for speed.
        async with face.atomic():
            await round_trip(face, values, asked)

    face.run(test())


@pytest.mark.usefixtures("table")
async def test_null_comes_back_from_every_column(face: Face) -> None:
    nothing = dict.fromkeys(STRATEGIES)
    made = [await face(Value.objects.create)(**nothing)]
    made += await face(Value.objects.bulk_create)([Value(**nothing)])
    await face(Value.objects.filter(pk=made[0].pk).update)(**nothing)
    for row in await face.rows(Value.objects.all()):
        assert all(getattr(row, name) is None for name in nothing)
    for name in nothing:
        assert await face(Value.objects.filter(**{f"{name}__isnull": True}).count)() == 2
        assert await face(Value.objects.exclude(**{f"{name}__isnull": True}).count)() == 0


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("face_name", ["sync", "async"])
@QUICK
@given(
    moment=st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 12, 30)),
    zone=st.sampled_from(ZONES),
    current=st.sampled_from(ZONES),
)
@example(moment=datetime.datetime(2024, 10, 27, 2, 30), zone="Europe/Berlin", current="UTC")
def test_aware_moments_are_the_same_moment(face_name: str, moment: Any, zone: str, current: str) -> None:
    face = Face(face_name)
    dorm.configure(USE_TZ=True, TIME_ZONE="Europe/Berlin")

    async def test() -> None:
        aware = moment.replace(tzinfo=ZoneInfo(zone))
        with timezone.override(current):
            await face(Value.objects.all().delete)()
            made = await face(Value.objects.create)(moment=aware)
            await face(Value.objects.bulk_create)([Value(moment=aware)])
            for row in await face.rows(Value.objects.all()):
                assert row.moment == aware.astimezone(datetime.UTC)
                assert row.moment.utcoffset() == datetime.timedelta(0)
            assert await face(Value.objects.filter(moment=aware.astimezone(ZoneInfo(current))).count)() == 2
            assert made.moment == aware

    try:
        # The column's type follows USE_TZ: a table of the new setting.
        face.run(with_fresh_table(face, test))
    finally:
        dorm.configure(USE_TZ=False, TIME_ZONE="UTC")


async def with_fresh_table(face: Face, test: Callable[[], Any]) -> None:
    await face(drop_tables)([Value])
    await face(create_tables)([Value])
    await test()


WRONG: list[tuple[str, Any]] = [
    ("small", 2**15),
    ("small", -(2**15) - 1),
    ("integer", 2**31),
    ("big", 2**63),
    ("big", -(2**63) - 1),
    ("positive", -1),
    ("integer", "x"),
    ("integer", 1.5),
    ("integer", math.nan),
    ("truth", "maybe"),
    ("double", "x"),
    ("money", "x"),
    ("money", decimal.Decimal("NaN")),
    ("money", decimal.Decimal("Infinity")),
    ("money", decimal.Decimal(10) ** 14),
    ("date", "2021-02-30"),
    ("date", 5),
    ("time", "25:00"),
    ("moment", "x"),
    ("span", 5),
    ("uuid", "x"),
    ("json", {1, 2}),
    ("json", math.nan),
    ("json", [math.inf]),
    ("binary", "text"),
    ("text", b"bytes"),
    ("address", "1::x"),
    ("mood", "sad"),
    ("level", 3),
]


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda each: str(each)[:12])
async def test_wrong_values_are_refused_before_anything_is_sent(face: Face, name: str, value: Any) -> None:
    for attempt in (
        face(Value.objects.create),
        lambda **values: face(Value.objects.bulk_create)([Value(), Value(**values)]),
        face(Value.objects.update),
    ):
        with pytest.raises(dorm.InvalidValue) as caught:
            await attempt(**{name: value})
        assert f"Value.{name}" in str(caught.value)
    is_whole = name in ("small", "integer", "big", "positive") and type(value) in (int, float) and value == value
    if is_whole or (name == "money" and isinstance(value, decimal.Decimal) and value.is_finite()):
        # A condition on a number that the column cannot hold has an answer.
        assert await face(Value.objects.filter(**{name: value}).count)() == 0
    elif name != "json":
        with pytest.raises(dorm.InvalidValue):
            await face(Value.objects.filter(**{name: value}).count)()
    assert await face(Value.objects.count)() == 0


@pytest.mark.usefixtures("table")
async def test_nul_in_text_is_refused_where_it_cannot_be_stored(face: Face, backend: str) -> None:
    for values in ({"char": "a\0b"}, {"text": "\0"}, {"json": {"a": ["x\0"]}}):
        if backend == "postgresql":
            for attempt in (
                face(Value.objects.create),
                lambda **values: face(Value.objects.bulk_create)([Value(**values)]),
            ):
                with pytest.raises(dorm.DataError, match="NUL"):
                    await attempt(**values)
        else:
            made = await face(Value.objects.create)(**values)
            found = await face(Value.objects.get)(pk=made.pk)
            assert {name: getattr(found, name) for name in values} == values
    made = await face(Value.objects.create)(json={"a": "\\u0000 is no NUL"})
    assert (await face(Value.objects.get)(pk=made.pk)).json == {"a": "\\u0000 is no NUL"}


@pytest.mark.usefixtures("table")
async def test_a_text_too_long_is_refused_by_databases_that_check(face: Face, backend: str) -> None:
    if backend == "postgresql":
        with pytest.raises(dorm.DataError):
            await face(Value.objects.create)(char="x" * 21)
        with pytest.raises(dorm.DataError):
            await face(Value.objects.bulk_create)([Value(char="x" * 21)])
    with pytest.raises(dorm.ValidationError, match="at most 20 characters"):
        Value._meta.get_field("char").clean("x" * 21, None)


@pytest.mark.usefixtures("table")
@QUICK
@given(
    amounts=st.lists(decimals(40, 15), min_size=1, max_size=5),
    scaled=st.lists(decimals(14, 4), min_size=1, max_size=5),
)
@example(amounts=[decimal.Decimal(10**25 - 1), decimal.Decimal("1E-15")], scaled=[decimal.Decimal("0.0001")])
def test_sums_and_orders_of_decimals_are_exact(amounts: list[Any], scaled: list[Any]) -> None:
    Value.objects.all().delete()
    Value.objects.bulk_create([Value(exact=amount) for amount in amounts] + [Value(money=each) for each in scaled])
    with decimal.localcontext(prec=100):
        found = Value.objects.aggregate(
            total=dorm.Sum("exact"), scaled=dorm.Sum("money"), low=dorm.Min("exact"), high=dorm.Max("exact")
        )
        assert found == {"total": sum(amounts), "scaled": sum(scaled), "low": min(amounts), "high": max(amounts)}
        assert all(type(value) is decimal.Decimal for value in found.values())
        listed = list(Value.objects.exclude(exact=None).order_by("exact").values_list("exact", flat=True))
        assert listed == sorted(amounts)
        above = Value.objects.filter(exact__gt=amounts[0]).count()
        assert above == sum(amount > amounts[0] for amount in amounts)
        mean = Value.objects.aggregate(mean=dorm.Avg("money"))["mean"]
        assert abs(mean - sum(scaled) / len(scaled)) < decimal.Decimal("0.0001")
