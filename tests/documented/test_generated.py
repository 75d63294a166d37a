"""GeneratedField and db_default, of the page "Model field reference"."""

from __future__ import annotations

import datetime
import decimal
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import Avg, Case, Cast, F, Max, Sum, Transform, Value, When
from dorm.functions import Concat, Lower, Now, TruncYear
from tests.support.faces import Face


class Absolute(Transform):
    lookup_name = "absolute"
    function = "ABS"


class Row(dorm.Model):
    number = dorm.IntegerField()
    text = dorm.CharField(max_length=10, default="X")
    day = dorm.DateField(default=datetime.date(2020, 5, 6))
    document = dorm.JSONField(default=dict)
    negative = dorm.GeneratedField(expression=F("number") * -1, output_field=dorm.IntegerField(), db_persist=True)
    small = dorm.GeneratedField(expression=Lower("text"), output_field=dorm.CharField(max_length=10), db_persist=True)
    copied = dorm.GeneratedField(expression=F("day"), output_field=dorm.DateField(), db_persist=True)
    parts = dorm.GeneratedField(expression=F("document"), output_field=dorm.JSONField(), db_persist=True)
    exact = dorm.GeneratedField(
        expression=Cast("number", dorm.DecimalField(max_digits=6, decimal_places=2)),
        output_field=dorm.DecimalField(max_digits=6, decimal_places=2),
        db_persist=True,
    )
    size = dorm.GeneratedField(
        expression=Case(When(number__gt=5, then=Value("big")), default=Value("little")),
        output_field=dorm.CharField(max_length=10),
        db_persist=True,
    )

    class Meta:
        app_label = "doc_generated"


class Preset(dorm.Model):
    sum = dorm.IntegerField(db_default=Value(3) + 4)
    text = dorm.CharField(max_length=9, db_default="q")
    made = dorm.DateTimeField(db_default=Now())
    flag = dorm.BooleanField(db_default=True)
    price = dorm.DecimalField(max_digits=5, decimal_places=2, db_default=decimal.Decimal("1.50"))
    day = dorm.DateField(db_default=datetime.date(2020, 1, 2))
    maybe = dorm.IntegerField(db_default=5, null=True)
    both = dorm.IntegerField(default=1, db_default=2)

    class Meta:
        app_label = "doc_generated"


MODELS = (Row, Preset)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    dorm.IntegerField.register_lookup(Absolute)
    yield
    dorm.IntegerField._unregister_lookup(Absolute)


@pytest.mark.parametrize(
    ("lookup", "value"),
    [
        ("negative", -5),
        ("negative__lt", 0),
        ("negative__in", [-5, 7]),
        ("negative__range", (-6, 0)),
        ("negative__absolute", 5),
        ("negative__absolute__gt", 4),
        ("small__icontains", "X"),
        ("small__startswith", "x"),
        ("copied__year", 2020),
        ("copied__month__gte", 5),
        ("copied__year__absolute", 2020),
        ("copied__lte", "2020-06-01"),
        ("parts__key__inner", [1, 2]),
        ("parts__key__inner__0", 1),
        ("parts__has_key", "key"),
        ("exact", 5),
        ("exact__gt", decimal.Decimal("4.5")),
        ("size", "little"),
    ],
)
async def test_lookups_are_those_of_the_output_field(face: Face, lookup: str, value: Any) -> None:
    await face(Row.objects.create)(number=5, document={"key": {"inner": [1, 2]}})
    await face(Row.objects.create)(number=-70, text="other", day=datetime.date(1999, 1, 1))
    rows = await face.rows(Row.objects.filter(**{lookup: value}))
    assert 5 in [row.number for row in rows]
    assert await face(Row.objects.filter(**{lookup: value}).exclude(number=5).count)() <= 1
    assert await face(Row.objects.exclude(**{lookup: value}).filter(number=5).count)() == 0


async def test_expressions_over_generated_columns(face: Face) -> None:
    await face(Row.objects.create)(number=5)
    await face(Row.objects.create)(number=-7)
    rows = Row.objects.order_by("negative__absolute")
    assert await face.rows(rows.values_list("negative__absolute", "size")) == [(5, "little"), (7, "little")]
    annotated = rows.annotate(more=F("negative") + 1, loud=Concat("small", Value("!")), year=TruncYear("copied"))
    assert await face.rows(annotated.values_list("more", "loud", "year")) == [
        (-4, "x!", datetime.date(2020, 1, 1)),
        (8, "x!", datetime.date(2020, 1, 1)),
    ]
    totals = await face(Row.objects.aggregate)(s=Sum("negative"), m=Max("copied"), a=Avg("exact"))
    assert totals == {"s": 2, "m": datetime.date(2020, 5, 6), "a": -1}
    assert await face.rows(Row.objects.dates("copied", "month")) == [datetime.date(2020, 5, 1)]
    assert Row._meta.get_field("negative").get_transform("absolute") is Absolute


async def test_values_come_from_the_database(face: Face) -> None:
    row = await face(Row.objects.create)(number=6)
    assert (row.negative, row.size, row.exact) == (-6, "big", decimal.Decimal(6))
    row.number = 1
    await face(row.save)()
    assert (row.negative, row.size) == (-1, "little")
    await face(Row.objects.update)(number=9)
    await face(row.refresh_from_db)()
    assert (row.negative, row.size) == (-9, "big")
    await face(row.full_clean)(exclude={"document"})
    with pytest.raises(AttributeError, match="unsaved"):
        Row(number=1).negative  # reading it is what is refused
    for wrong in (face(Row.objects.update)(negative=5), face(Row.objects.bulk_update)([row], ["negative"])):
        with pytest.raises((dorm.FieldError, ValueError)):
            await wrong


def test_attributes() -> None:
    field = Row._meta.get_field("exact")
    assert (field.generated, field.db_persist, field.editable, field.blank, field.concrete) == (
        True,
        True,
        False,
        True,
        True,
    )
    assert [Row._meta.get_field(name).get_internal_type() for name in ("negative", "small", "copied", "exact")] == [
        "IntegerField",
        "CharField",
        "DateField",
        "DecimalField",
    ]


async def test_defaults_of_the_database(face: Face) -> None:
    unsaved = Preset()
    assert type(unsaved.sum).__name__ == "DatabaseDefault"
    assert type(pickle.loads(pickle.dumps(unsaved)).sum) is type(unsaved.sum)
    assert unsaved.both == 1
    await face(unsaved.full_clean)()
    made = await face(Preset.objects.create)()
    assert (made.sum, made.text, made.flag, made.maybe, made.both) == (7, "q", True, 5, 1)
    assert (made.price, made.day) == (decimal.Decimal("1.50"), datetime.date(2020, 1, 2))
    assert isinstance(made.made, datetime.datetime)
    given = await face(Preset.objects.create)(sum=1, maybe=None)
    assert (given.sum, given.maybe) == (1, None)
    with pytest.raises(dorm.IntegrityError):
        await face(Preset.objects.create)(sum=None)


async def test_defaults_of_the_database_in_other_writes(face: Face) -> None:
    await face(Preset.objects.bulk_create)([Preset(), Preset(sum=50)])
    assert sorted(await face.rows(Preset.objects.values_list("sum", "text"))) == [(7, "q"), (50, "q")]
    keyed = Preset(pk=900)
    await face(keyed.save)()
    assert keyed.sum == 7
    keyed.sum = 8
    await face(keyed.save)()
    again = await face(Preset.objects.get)(pk=900)
    assert (again.sum, again.text) == (8, "q")
    found, created = await face(Preset.objects.update_or_create)(text="zz", defaults={"both": 3})
    assert (found.sum, found.both, created) == (7, 3, True)
