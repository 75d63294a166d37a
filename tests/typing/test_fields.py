"""The Python type of every field, as type checkers see it; run by mypy and pyright."""

from __future__ import annotations

import datetime
import enum
import uuid
from decimal import Decimal
from typing import Any, assert_type

import dorm
from dorm.fields import Range


class Color(enum.Enum):
    RED = "red"


class Typed(dorm.Model):
    small = dorm.SmallIntegerField()
    positive = dorm.PositiveIntegerField(null=True)
    big = dorm.BigIntegerField("a verbose name")
    truth = dorm.BooleanField(null=True)
    double = dorm.FloatField()
    decimal = dorm.DecimalField(max_digits=5, decimal_places=1, null=True)
    text = dorm.TextField(null=True)
    slug = dorm.SlugField()
    url = dorm.URLField(null=True)
    address = dorm.GenericIPAddressField(null=True)
    time = dorm.TimeField()
    moment = dorm.DateTimeField(null=True, auto_now=True)
    span = dorm.DurationField()
    key = dorm.UUIDField(null=True)
    json = dorm.JSONField()
    binary = dorm.BinaryField(null=True)
    color = dorm.EnumField(Color)
    perhaps = dorm.EnumField(Color, null=True)
    file = dorm.FileField(upload_to="x")
    image = dorm.ImageField()
    path = dorm.FilePathField(path="/tmp", null=True)
    numbers = dorm.ArrayField(dorm.IntegerField())
    names = dorm.ArrayField(dorm.CharField(max_length=3), null=True)
    pairs = dorm.HStoreField()
    ages = dorm.IntegerRangeField(null=True)
    total = dorm.GeneratedField(expression="1", output_field=dorm.IntegerField())

    class Meta:
        app_label = "typing"
        managed = False


def attributes(row: Typed) -> None:
    assert_type(row.small, int)
    assert_type(row.positive, int | None)
    assert_type(row.big, int)
    assert_type(row.truth, bool | None)
    assert_type(row.double, float)
    assert_type(row.decimal, Decimal | None)
    assert_type(row.text, str | None)
    assert_type(row.slug, str)
    assert_type(row.url, str | None)
    assert_type(row.address, str | None)
    assert_type(row.time, datetime.time)
    assert_type(row.moment, datetime.datetime | None)
    assert_type(row.span, datetime.timedelta)
    assert_type(row.key, uuid.UUID | None)
    assert_type(row.json, Any)
    assert_type(row.binary, bytes | None)
    assert_type(row.color, Color)
    assert_type(row.perhaps, Color | None)
    assert_type(row.file, dorm.FieldFile)
    assert_type(row.image, dorm.FieldFile)
    assert_type(row.path, str | None)
    assert_type(row.numbers, list[int])
    assert_type(row.names, list[str] | None)
    assert_type(row.pairs, dict[str, str | None])
    assert_type(row.ages, Range | None)
    assert_type(row.total, int)


def test_reading_a_field_of_the_class_gives_the_field() -> None:
    assert isinstance(Typed.__dict__["color"], dorm.EnumField)
    assert isinstance(Typed.total, dorm.GeneratedField)
