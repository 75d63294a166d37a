"""Rows with a column of each kind: one of values, one of NULLs, one of values at an edge."""

from __future__ import annotations

import datetime
from typing import Any
from uuid import UUID

import dorm
from tests.support.faces import Face


class Sample(dorm.Model):
    s = dorm.CharField(max_length=50, null=True)
    t = dorm.TextField(null=True)
    i = dorm.IntegerField(null=True)
    bi = dorm.BigIntegerField(null=True)
    f = dorm.FloatField(null=True)
    d = dorm.DecimalField(max_digits=10, decimal_places=3, null=True)
    b = dorm.BooleanField(null=True)
    da = dorm.DateField(null=True)
    ti = dorm.TimeField(null=True)
    dtm = dorm.DateTimeField(null=True)
    du = dorm.DurationField(null=True)
    u = dorm.UUIDField(null=True)
    js = dorm.JSONField(null=True)

    class Meta:
        app_label = "doc_fn_edges"
        ordering = ["pk"]


MODELS = (Sample,)


async def fill(face: Face) -> None:
    """A row of values, one of NULLs, one of values at the edge."""
    await face(Sample.objects.create)(
        s="Hello",
        t="World wide",
        i=7,
        bi=2**40,
        f=2.5,
        d="3.250",
        b=True,
        da=datetime.date(2024, 2, 29),
        ti=datetime.time(13, 45, 30, 123456),
        dtm=datetime.datetime(2024, 12, 30, 23, 45, 30, 654321),
        du=datetime.timedelta(days=1, hours=2, seconds=3, microseconds=4),
        u=UUID(int=5),
        js={"a": [1, {"b": None}], "s": "x"},
    )
    await face(Sample.objects.create)()
    await face(Sample.objects.create)(
        s="",
        t="ünï",
        i=-3,
        bi=0,
        f=-1.5,
        d="-0.500",
        b=False,
        da=datetime.date(2023, 1, 1),
        ti=datetime.time(0, 0),
        dtm=datetime.datetime(2020, 1, 1),
        du=datetime.timedelta(0),
        u=UUID(int=1),
        js=[],
    )


async def column(face: Face, expression: Any) -> list[Any]:
    """Return the values of *expression*, one for each row."""
    return await face.rows(Sample.objects.annotate(x=expression).values_list("x", flat=True))
