"""Deletions that are refused, late or early: nothing of them is to be seen."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from tests.support.faces import Face


class Shelf(dorm.Model):
    name = dorm.CharField(max_length=10, default="x")

    class Meta:
        app_label = "doc_deleting"


def first_shelf() -> Any:
    shelf = Shelf.objects.order_by("pk").first()
    assert shelf is not None, "asked for without a row that points at what goes"
    return shelf.pk


class Label(dorm.Model):
    """Nobody looks after its key when the shelf goes: the database does, at COMMIT."""

    shelf = dorm.ForeignKey(Shelf, dorm.DO_NOTHING)

    class Meta:
        app_label = "doc_deleting"


class Lamp(dorm.Model):
    shelf = dorm.ForeignKey(Shelf, dorm.SET_DEFAULT, default=first_shelf)

    class Meta:
        app_label = "doc_deleting"


class Bracket(dorm.Model):
    shelf = dorm.ForeignKey(Shelf, dorm.CASCADE)

    class Meta:
        app_label = "doc_deleting"


MODELS = (Shelf, Label, Lamp, Bracket)


async def test_what_commit_refuses_keeps_its_key(face: Face) -> None:
    shelf = await face(Shelf.objects.create)()
    await face(Bracket.objects.create)(shelf=shelf)
    await face(Label.objects.create)(shelf=shelf)
    with pytest.raises(dorm.IntegrityError):
        await face(shelf.delete)()
    assert (shelf.pk, shelf._state.adding) == (1, False)
    with pytest.raises(dorm.IntegrityError):
        await face(Shelf.objects.all().delete)()
    assert await face(Shelf.objects.get)() == shelf
    assert await face(Bracket.objects.count)() == 1
    await face(Label.objects.all().delete)()
    assert await face(shelf.delete)() == (2, {"doc_deleting.Bracket": 1, "doc_deleting.Shelf": 1})
    assert shelf.pk is None


async def test_a_default_is_asked_only_where_a_row_points_at_what_goes(face: Face) -> None:
    assert await face(Shelf(pk=99).delete)() == (0, {})


def test_a_function_gives_the_default_of_rows_that_stay() -> None:
    kept, gone = Shelf.objects.create(), Shelf.objects.create()
    lamp = Lamp.objects.create(shelf=gone)
    gone.delete()
    lamp.refresh_from_db()
    assert lamp.shelf == kept
