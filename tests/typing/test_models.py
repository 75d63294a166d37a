"""What type checkers see of a model; run by mypy and pyright, and as a test so that it also holds at run time."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any, assert_type

import dorm
from dorm import Manager, QuerySet


class Writer(dorm.Model):
    name = dorm.CharField(max_length=100)
    age = dorm.IntegerField(null=True)
    rate = dorm.DecimalField(max_digits=6, decimal_places=2)
    born = dorm.DateField(null=True)
    active = dorm.BooleanField(default=True)

    class Meta:
        app_label = "typing"


class Text(dorm.Model):
    title = dorm.CharField(max_length=100)
    writer = dorm.ForeignKey(Writer, related_name="texts")
    editor = dorm.ForeignKey(Writer, dorm.SET_NULL, null=True, related_name="+")

    class Meta:
        app_label = "typing"


def attributes(writer: Writer, text: Text) -> None:
    assert_type(writer.name, str)
    assert_type(writer.age, int | None)
    assert_type(writer.rate, Decimal)
    assert_type(writer.born, datetime.date | None)
    assert_type(writer.active, bool)
    assert_type(text.writer, Writer)
    assert_type(text.editor, Writer | None)
    assert_type(text.writer.name, str)


def queries() -> None:
    assert_type(Writer.objects, Manager[Writer])
    assert_type(Writer.objects.get(name="x"), Writer)
    assert_type(Writer.objects.filter(name="x").first(), Writer | None)
    assert_type(list(Writer.objects.exclude(age=1)), list[Writer])
    assert_type(Writer.objects.order_by("name")[0], Writer)
    assert_type(Writer.objects.order_by("name")[:3], QuerySet[Writer])
    assert_type(list(Writer.objects.values("name")), list[dict[str, Any]])
    assert_type(Writer.objects.count(), int)
    assert_type(Writer.objects.create(name="x"), Writer)


async def async_queries() -> None:
    assert_type(await Writer.objects.aget(name="x"), Writer)
    assert_type(await Writer.objects.afirst(), Writer | None)
    assert_type(await Writer.objects.aexists(), bool)
    assert_type([writer async for writer in Writer.objects.all()], list[Writer])


def test_descriptors_give_the_field_on_the_class() -> None:
    assert isinstance(Writer.__dict__["name"], dorm.CharField)
