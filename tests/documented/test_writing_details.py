"""Writes that end in the middle of something: rows that are gone, keys given beside keys that are counted."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from tests.support.faces import Face


class Place(dorm.Model):
    name = dorm.CharField(max_length=10, default="p")

    class Meta:
        app_label = "doc_writing"


class Cafe(Place):
    seats = dorm.IntegerField(default=0)

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]
        app_label = "doc_writing"


class Terrace(Cafe):
    sunny = dorm.BooleanField(default=True)

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]
        app_label = "doc_writing"


class Table(dorm.Model):
    cafe = dorm.ForeignKey(Cafe, dorm.CASCADE, null=True, related_name="tables")

    class Meta:
        app_label = "doc_writing"


MODELS = (Place, Cafe, Terrace, Table)


async def test_rows_that_are_gone_are_not_added_in_silence(face: Face) -> None:
    cafe: Any = await face(Cafe.objects.create)()
    kept, gone = [await face(Table.objects.create)() for _ in range(2)]
    await face(gone.delete)()
    for method, arguments in (("add", (kept, gone)), ("set", ([kept, gone],))):
        with pytest.raises(ValueError, match="isn't saved"):
            await face(getattr(cafe.tables, method))(*arguments)
    assert await face(cafe.tables.count)() == 0


async def test_rows_with_keys_of_their_own_go_in_before_those_that_are_counted(face: Face) -> None:
    await face(Place.objects.create)(pk=3)
    rows = [Place(name="a"), Place(pk=4, name="b"), Place(name="c"), Place(pk=9, name="d")]
    assert await face(Place.objects.bulk_create)(rows) == rows
    keys = [row.pk for row in rows]
    assert (keys[1], keys[3], len(set(keys))) == (4, 9, 4)
    found = await face(Place.objects.in_bulk)(keys)
    assert [found[key].name for key in keys] == ["a", "b", "c", "d"]


def test_a_child_of_a_row_has_its_keys() -> None:
    place = Place(pk=5)
    cafe: Any = Cafe(place_ptr=place)
    assert (cafe.pk, cafe.id, cafe.place_ptr_id) == (5, 5, 5)
    terrace: Any = Terrace(cafe_ptr=cafe)
    assert (terrace.pk, terrace.cafe_ptr_id, terrace.place_ptr_id, terrace.id) == (5, 5, 5, 5)
    terrace.cafe_ptr = None
    assert (terrace.pk, terrace.place_ptr_id, terrace.id) == (None, None, None)
