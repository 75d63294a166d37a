"""The page "Model _meta API" and the part on attributes of the page "Model field reference"."""

from __future__ import annotations

from typing import Any

import pytest

import dorm


class Tag(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_meta"


class Dated(dorm.Model):
    created = dorm.DateField(null=True)

    class Meta:
        app_label = "doc_meta"
        abstract = True


class Place(Dated):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_meta"


class Cafe(Place):
    seats = dorm.IntegerField()
    tags = dorm.ManyToManyField(Tag, related_name="cafes", through="Tagging")

    class Meta:
        app_label = "doc_meta"


class Tagging(dorm.Model):
    cafe = dorm.ForeignKey(Cafe, dorm.CASCADE)
    tag = dorm.ForeignKey(Tag, dorm.CASCADE)

    class Meta:
        app_label = "doc_meta"


class Small(Cafe):
    class Meta:
        app_label = "doc_meta"
        proxy = True


class Tiny(Small):
    class Meta:
        app_label = "doc_meta"
        proxy = True


class Bill(dorm.Model):
    place = dorm.ForeignKey(Place, dorm.CASCADE, related_name="bills")
    cafe = dorm.OneToOneField(Cafe, dorm.CASCADE)
    unseen = dorm.ForeignKey(Tag, dorm.SET_NULL, null=True, related_name="+")
    tags = dorm.ManyToManyField(Tag)
    previous = dorm.ForeignKey("self", dorm.CASCADE, null=True)
    doubled = dorm.GeneratedField(expression=dorm.F("id") * 2, output_field=dorm.BigIntegerField(), db_persist=True)

    class Meta:
        app_label = "doc_meta"


MODELS = (Tag, Place, Cafe, Tagging, Bill)


def found(model: Any, **options: bool) -> list[tuple[str, str]]:
    """Return names and classes of what get_fields() gives, hidden relations without their names."""
    fields = [
        ("+" if field.name.endswith("+") else field.name, type(field).__name__)
        for field in model._meta.get_fields(**options)
    ]
    return sorted(fields)


def test_get_fields() -> None:
    own = [("id", "BigAutoField"), ("name", "CharField")]
    visible = [("bill", "ManyToManyRel"), ("cafes", "ManyToManyRel"), ("tagging", "ManyToOneRel")]
    assert found(Tag) == sorted(visible + own)
    # The foreign keys of the table that links bills and tags, and the one without a way back.
    assert found(Tag, include_hidden=True) == sorted([*visible, *own, *[("+", "ManyToOneRel")] * 2])
    declared = [
        ("bill", "OneToOneRel"),
        ("place_ptr", "OneToOneField"),
        ("seats", "IntegerField"),
        ("tagging", "ManyToOneRel"),
        ("tags", "ManyToManyField"),
    ]
    inherited = [("bills", "ManyToOneRel"), ("created", "DateField"), ("id", "BigAutoField"), ("name", "CharField")]
    for model in (Cafe, Small, Tiny):
        assert found(model, include_parents=False) == declared
        assert found(model) == sorted(declared + inherited)
    assert isinstance(Bill._meta.get_fields(), tuple)


def test_get_field() -> None:
    for model, name, kind, owner in (
        (Bill, "place", dorm.ForeignKey, Bill),
        (Bill, "place_id", dorm.ForeignKey, Bill),
        (Bill, "tags", dorm.ManyToManyField, Bill),
        (Cafe, "name", dorm.CharField, Place),
        (Small, "created", dorm.DateField, Place),
        (Cafe, "place_ptr", dorm.OneToOneField, Cafe),
    ):
        field = model._meta.get_field(name)
        assert isinstance(field, kind)
        assert field.model is owner
    for model, name, related in (
        (Cafe, "bill", Bill),
        (Cafe, "bills", Bill),
        (Place, "cafe", Cafe),
        (Tag, "cafes", Cafe),
    ):
        assert model._meta.get_field(name).related_model is related
    for model, name in ((Bill, "nothing"), (Tag, "bill_set"), (Tag, "bills"), (Bill, "pk"), (Bill, None), (Bill, 1)):
        with pytest.raises(dorm.FieldDoesNotExist, match="has no field named"):
            model._meta.get_field(name)  # type: ignore[arg-type]  # what is tested


PAIRS = (("many", "many"), ("many", "one"), ("one", "many"), ("one", "one"))
FLAGS = ("auto_created", "concrete", "hidden", "is_relation", *[f"{a}_to_{b}" for a, b in PAIRS])
PLAIN = (None, None, None, None)


@pytest.mark.parametrize(
    ("model", "name", "wanted", "related"),
    [
        (Place, "name", (False, True, False, False, *PLAIN), None),
        (Place, "id", (True, True, False, False, *PLAIN), None),
        (Bill, "doubled", (False, True, False, False, *PLAIN), None),
        (Bill, "place", (False, True, False, True, False, True, False, False), Place),
        (Bill, "previous", (False, True, False, True, False, True, False, False), Bill),
        (Bill, "cafe", (False, True, False, True, False, False, False, True), Cafe),
        (Cafe, "place_ptr", (True, True, False, True, False, False, False, True), Place),
        (Place, "bills", (True, False, False, True, False, False, True, False), Bill),
        (Cafe, "bill", (True, False, False, True, False, False, False, True), Bill),
        (Tag, "cafes", (True, False, False, True, True, False, False, False), Cafe),
    ],
)
def test_flags(model: Any, name: str, wanted: tuple[bool | None, ...], related: Any) -> None:
    field = model._meta.get_field(name)
    assert tuple(getattr(field, flag) for flag in FLAGS) == wanted
    assert field.related_model is related


def test_flags_of_what_is_hidden() -> None:
    hidden = [field for field in Tag._meta.get_fields(include_hidden=True) if field.hidden]
    assert {field.related_model for field in hidden} == {Bill, Bill._meta.get_field("tags").remote_field.through}
    assert all(field.auto_created and field.one_to_many and not field.concrete for field in hidden)
    many = Bill._meta.get_field("tags")
    assert [getattr(many, flag) for flag in FLAGS if flag != "concrete"] == [False, False, True, True, *[False] * 3]


def test_options() -> None:
    for model in (Tag, Place, Cafe, Small, Bill):
        assert model._meta.swapped is None
        assert model._meta.swappable is None
    for child, base, concrete in ((Place, None, Place), (Cafe, None, Cafe), (Small, Cafe, Cafe), (Tiny, Small, Cafe)):
        meta = child._meta
        assert (meta.proxy, meta.proxy_for_model, meta.concrete_model) == (base is not None, base, concrete)
        assert meta.label_lower == f"doc_meta.{child.__name__.lower()}"
    assert {relation.name for relation in Cafe._meta.related_objects} == {"bills", "tagging", "bill"}
    assert [field.name for field in Cafe._meta.local_fields] == ["place_ptr", "seats"]
    assert [field.name for field in Cafe._meta.many_to_many] == ["tags"]
    assert Cafe._meta.get_parent_list() == [Place]
