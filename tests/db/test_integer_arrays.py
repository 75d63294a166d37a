"""Whole numbers of several widths in one statement of many rows."""

from __future__ import annotations

import pytest

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("empty_database")


class Widths(dorm.Model):
    small = dorm.SmallIntegerField()
    integer = dorm.IntegerField()
    big = dorm.BigIntegerField()

    class Meta:
        app_label = "widths"


async def test_each_column_keeps_its_own_width(face: Face) -> None:
    await face(create_tables)([Widths])
    rows = [Widths(small=1, integer=70_000, big=2**40), Widths(small=2, integer=2, big=2)]
    await face(Widths.objects.bulk_create)(rows)
    await face(Widths.objects.bulk_create)([Widths(small=3, integer=2**31 - 1, big=2**63 - 1)])
    found = await face.rows(Widths.objects.order_by("small").values_list("integer", "big"))
    assert found == [(70_000, 2**40), (2, 2), (2**31 - 1, 2**63 - 1)]
    assert await face(Widths.objects.filter(small__in=[1, 2], big__in=[2, 2**40]).count)() == 2
