"""The parts on validating and saving objects of the page "Model instance reference"."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

import dorm
from dorm import CheckConstraint, F, Q, UniqueConstraint
from dorm.functions import Lower
from tests.support.faces import Face


class Owner(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_validating"


class Item(dorm.Model):
    name = dorm.CharField(max_length=5, unique=True)
    slug = dorm.CharField(max_length=5, blank=True)
    kind = dorm.CharField(max_length=1, default="a")
    number = dorm.IntegerField(default=0)
    owner = dorm.ForeignKey(Owner, dorm.CASCADE, null=True, blank=True)

    class Meta:
        app_label = "doc_validating"
        unique_together = [("slug", "number")]
        constraints = [
            CheckConstraint(condition=Q(number__gte=0), name="positive"),
            UniqueConstraint(fields=["kind"], condition=Q(kind="b"), name="one_b"),
            UniqueConstraint(
                Lower("name"), name="lower", violation_error_message="lower!", violation_error_code="lower"
            ),
        ]

    def clean(self) -> None:
        if self.name == "bad":
            raise dorm.ValidationError("no")
        if self.name == "badf":
            raise dorm.ValidationError({"name": "no name"})


class Token(dorm.Model):
    id = dorm.UUIDField(primary_key=True, default=uuid.uuid4)
    number = dorm.IntegerField(default=0)

    class Meta:
        app_label = "doc_validating"


MODELS = (Owner, Item, Token)
TOGETHER = "unique_together:Item with this Slug and Number already exists."


async def errors(call: Any, **options: Any) -> Any:
    """Return codes and messages by field that a validation gives; nothing when it passes."""
    try:
        await call(**options)
    except dorm.ValidationError as exc:
        return {
            name: sorted(f"{error.code or '-'}:{error.messages[0]}" for error in found)
            for name, found in exc.error_dict.items()
        }
    return {}


async def fill(face: Face) -> Item:
    item: Item = await face(Item.objects.create)(name="k1", slug="x")
    return item


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"name": "new"}, {}),
        ({"name": ""}, {"name": ["blank:This field cannot be blank."]}),
        ({"name": None}, {"name": ["null:This field cannot be null."]}),
        (
            {"name": "toolong", "number": "a"},
            {
                "name": ["max_length:Ensure this value has at most 5 characters (it has 7)."],
                "number": ["invalid:“a” value must be an integer."],
            },
        ),
        ({"name": "k1"}, {"name": ["unique:Item with this Name already exists."]}),
        ({"name": "K1"}, {"__all__": ["lower:lower!"]}),
        ({"name": "z", "slug": "x"}, {"__all__": [TOGETHER]}),
        ({"name": "z", "number": -1}, {"__all__": ["-:Constraint “positive” is violated."]}),
        ({"name": "bad"}, {"__all__": ["-:no"]}),
        ({"name": "badf", "slug": "x"}, {"name": ["-:no name"], "__all__": [TOGETHER]}),
        ({"name": "z", "owner_id": 99}, {"owner": ["invalid:owner instance with id 99 is not a valid choice."]}),
    ],
)
async def test_full_clean(face: Face, values: dict[str, Any], wanted: dict[str, list[str]]) -> None:
    await fill(face)
    assert await errors(face(Item(**values).full_clean)) == wanted


async def test_what_is_left_out(face: Face) -> None:
    item = await fill(face)
    assert await errors(face(item.full_clean)) == {}
    twin = Item(name="K1", slug="x", number=-1)
    assert await errors(face(twin.full_clean), validate_constraints=False) == {}
    assert await errors(face(twin.full_clean), exclude={"name", "number"}) == {}
    assert await errors(face(twin.validate_constraints)) == {
        "__all__": ["-:Constraint “positive” is violated.", "lower:lower!"]
    }
    assert await errors(face(twin.validate_constraints), exclude={"number"}) == {"__all__": ["lower:lower!"]}
    same = Item(name="k1", slug="x")
    assert await errors(face(same.full_clean), validate_unique=False, validate_constraints=False) == {}
    assert await errors(face(same.validate_unique)) == {
        "name": ["unique:Item with this Name already exists."],
        "__all__": [TOGETHER],
    }
    assert await errors(face(same.validate_unique), exclude=["name"]) == {"__all__": [TOGETHER]}
    assert await errors(face(same.validate_unique), exclude=["name", "slug"]) == {}
    assert await errors(face(Item(name="", number="a").clean_fields), exclude=["name", "number"]) == {}
    await face(Item.objects.create)(name="b1", slug="b", kind="b")
    assert await errors(face(Item(name="b2", slug="c", kind="b").full_clean)) == {
        "__all__": ["-:Constraint “one_b” is violated."]
    }
    assert await errors(face(Item(name="b2", slug="c", kind="b").full_clean), exclude={"kind"}) == {}


async def test_values_are_converted(face: Face) -> None:
    item = Item(name="z", number="12", slug="q")
    await face(item.full_clean)()
    assert item.number == 12
    item.number = F("number") + 1
    assert set(await errors(face(item.full_clean))) == {"number"}
    token = await face(Token.objects.create)()
    assert await errors(face(token.full_clean)) == {}
    assert await errors(face(Token(id=token.pk).full_clean)) == {"id": ["unique:Token with this Id already exists."]}


def test_messages_of_uniqueness() -> None:
    error = Item().unique_error_message(Item, ("name",))
    assert (error.code, error.messages) == ("unique", ["Item with this Name already exists."])
    error = Item().unique_error_message(Item, ("slug", "number"))
    assert (error.code, error.messages) == ("unique_together", ["Item with this Slug and Number already exists."])


@pytest.mark.parametrize(
    ("values", "options", "error"),
    [
        ({"pk": 1}, {"force_insert": True}, dorm.IntegrityError),
        ({"pk": 99}, {"force_update": True}, dorm.DatabaseError),
        ({"pk": 99}, {"update_fields": ["name"]}, dorm.DatabaseError),
        ({}, {"force_insert": True, "force_update": True}, ValueError),
        ({}, {"force_insert": True, "update_fields": ["name"]}, ValueError),
        ({}, {"force_update": True}, ValueError),
        ({}, {"update_fields": ["name"]}, ValueError),
        ({"pk": 1}, {"update_fields": ["nothing"]}, ValueError),
        ({"pk": 1}, {"update_fields": ["id"]}, ValueError),
        ({"pk": 1}, {"update_fields": ["item"]}, ValueError),
        ({}, {"force_insert": (Item,)}, TypeError),
        ({}, {"force_insert": (1,)}, TypeError),
    ],
)
async def test_saves_that_are_refused(
    face: Face, values: dict[str, Any], options: dict[str, Any], error: type[Exception]
) -> None:
    await face(Owner.objects.create)(pk=1, name="one")
    with pytest.raises(error):
        await face(Owner(name="x", **values).save)(**options)
    assert [owner.name for owner in await face.rows(Owner.objects.all())] == ["one"]


async def test_how_a_save_decides(face: Face) -> None:
    owner = Owner(pk=5, name="five")
    assert owner._state.adding
    await face(owner.save)()
    assert (owner._state.adding, owner._state.db) == (False, "default")
    await face(Owner(pk=5, name="FIVE").save)()
    assert [owner.name for owner in await face.rows(Owner.objects.all())] == ["FIVE"]
    await face(owner.save)(update_fields=[])
    await face(owner.save)(force_insert=())
    assert [owner.name for owner in await face.rows(Owner.objects.all())] == ["five"]
    # A key with a default is inserted without looking for the row.
    token = await face(Token.objects.create)(number=1)
    with pytest.raises(dorm.IntegrityError):
        await face(Token(id=token.pk, number=2).save)()
    item = await fill(face)
    item.number = F("number") + 5
    await face(item.save)()
    await face(item.refresh_from_db)(fields=["number"])
    assert item.number == 5


async def test_deferred_columns_are_not_saved(face: Face) -> None:
    item = await fill(face)
    loaded = await face(Item.objects.only("name").get)(pk=item.pk)
    assert loaded.get_deferred_fields() == {"slug", "kind", "number", "owner_id"}
    await face(Item.objects.update)(number=7, kind="c")
    loaded.slug = "new"
    await face(loaded.save)()
    assert await face.rows(Item.objects.values_list("slug", "number", "kind")) == [("new", 7, "c")]
    await face(loaded.refresh_from_db)()
    assert loaded.get_deferred_fields() == {"kind", "number", "owner_id"}
