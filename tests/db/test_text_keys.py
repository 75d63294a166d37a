"""Primary keys that are texts or bytes: a new instance has an empty one, which is a key like any other."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.conf.registry import Registry
from dorm.migrations.schema import create_tables
from dorm.test import CaptureQueriesContext
from tests.support.faces import Face


class Shelf(dorm.Model):
    code = dorm.CharField(max_length=10, primary_key=True)
    room = dorm.CharField(max_length=10, default="hall")

    class Meta:
        app_label = "text_keys"


class Case(Shelf):
    doors = dorm.IntegerField(default=2)

    class Meta:
        app_label = "text_keys"


class Slot(dorm.Model):
    shelf = dorm.ForeignKey(Shelf, dorm.CASCADE)

    class Meta:
        app_label = "text_keys"


class Chosen(dorm.Model):
    code = dorm.CharField(max_length=10, primary_key=True, default="std")

    class Meta:
        app_label = "text_keys"


class Digest(dorm.Model):
    code = dorm.BinaryField(primary_key=True)

    class Meta:
        app_label = "text_keys"


@pytest.fixture
def tables(empty_database: object) -> None:
    create_tables([Shelf, Case, Slot, Chosen, Digest])


def key(field: Any) -> Any:
    """Return the key of a new instance of a model with *field* as its key."""
    options = type("Meta", (), {"app_label": "text_keys", "apps": Registry()})
    made: Any = type(dorm.Model)("Keyed", (dorm.Model,), {"__module__": __name__, "Meta": options, "code": field})
    return made().pk


def test_the_key_of_a_new_instance() -> None:
    assert [
        key(field)
        for field in (
            dorm.CharField(primary_key=True),
            dorm.TextField(primary_key=True),
            dorm.SlugField(primary_key=True),
            dorm.EmailField(primary_key=True),
            dorm.URLField(primary_key=True),
        )
    ] == [""] * 5
    assert Digest().pk == b""
    assert Case().pk is None
    assert Case().code == ""
    assert [
        key(field)
        for field in (
            dorm.IntegerField(primary_key=True),
            dorm.UUIDField(primary_key=True),
            dorm.GenericIPAddressField(primary_key=True),
        )
    ] == [None] * 3
    assert Shelf() == Shelf() == Shelf(code="")
    assert hash(Shelf()) == hash("")


@pytest.mark.usefixtures("tables")
async def test_a_row_with_an_empty_key_is_inserted_once_and_updated_after(face: Face) -> None:
    with CaptureQueriesContext() as sent:
        await face(Shelf().save)()
    assert [query["sql"].split()[0] for query in sent] == ["UPDATE", "INSERT"]
    with CaptureQueriesContext() as sent:
        await face(Shelf(room="attic").save)()
    assert [query["sql"].split()[0] for query in sent] == ["UPDATE"]
    assert await face.rows(Shelf.objects.values_list("code", "room")) == [("", "attic")]


@pytest.mark.usefixtures("tables")
async def test_what_always_inserts_refuses_a_second_one(face: Face) -> None:
    await face(Shelf.objects.create)()
    for again in (
        lambda: face(Shelf.objects.create)(room="cellar"),
        lambda: face(Shelf.objects.bulk_create)([Shelf()]),
        lambda: face(Shelf(room="cellar").save)(force_insert=True),
    ):
        with pytest.raises(dorm.IntegrityError):
            await again()
    assert await face.rows(Shelf.objects.values_list("code", "room")) == [("", "hall")]
    # A key with a default is a new one each time.
    await face(Chosen().save)()
    with pytest.raises(dorm.IntegrityError):
        await face(Chosen().save)()


@pytest.mark.usefixtures("tables")
async def test_none_is_no_key_of_a_text(face: Face) -> None:
    with pytest.raises(dorm.IntegrityError):
        await face(Shelf(code=None).save)()
    assert not await face(Shelf.objects.exists)()


@pytest.mark.usefixtures("tables")
async def test_validation_refuses_an_empty_key(face: Face) -> None:
    with pytest.raises(dorm.ValidationError) as caught:
        await face(Shelf().full_clean)()
    assert caught.value.message_dict == {"code": ["This field cannot be blank."]}


@pytest.mark.usefixtures("tables")
async def test_parents_and_references_take_the_empty_key(face: Face) -> None:
    case = Case(doors=4)
    await face(case.save)()
    assert (case.pk, case.code) == ("", "")
    slot = await face(Slot.objects.create)(shelf=case.shelf_ptr)
    assert slot.shelf_id == ""
    assert (await face(Slot.objects.select_related("shelf").get)()).shelf == Shelf()
    assert await face(case.delete)() == (3, {"text_keys.Slot": 1, "text_keys.Case": 1, "text_keys.Shelf": 1})
    await face(Digest().save)()
    assert await face(Digest.objects.get)(pk=b"") == Digest()
