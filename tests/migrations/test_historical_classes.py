"""Historical classes go with the state that they were made of, and leave the declared ones as they are."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import dorm
from dorm import fields, functions
from dorm.conf.registry import Registry
from dorm.migrations.state import ProjectState


def declared() -> Registry:
    """Models with what refers to other objects: keys, relations, fields made of fields, managers, constraints."""
    registry = Registry()

    class Base(dorm.Model):
        marks = fields.ArrayField(fields.ArrayField(dorm.IntegerField()), default=list)
        span = fields.DecimalRangeField(null=True)
        double = dorm.GeneratedField(
            expression=functions.Upper("name"), output_field=dorm.CharField(max_length=9), db_persist=True
        )
        name = dorm.CharField(max_length=9)

        class Meta:
            abstract = True
            app_label = "past"
            apps = registry

    class Place(Base):
        class Meta(Base.Meta):
            constraints = [dorm.CheckConstraint(condition=~dorm.Q(name=""), name="named")]
            indexes = [dorm.Index(functions.Lower("name"), name="lower")]

    class Shop(Base):
        place = dorm.ForeignKey(Place, dorm.CASCADE, related_name="shops")
        near = dorm.ManyToManyField(Place)
        again = dorm.ForeignKey("self", dorm.SET_NULL, null=True)

    class Child(Place):
        class Meta:
            app_label = "past"
            apps = registry

    class Line(dorm.Model):
        pk = dorm.CompositePrimaryKey("shop", "number")
        shop = dorm.ForeignKey(Shop, dorm.CASCADE)
        number = dorm.IntegerField()

        class Meta:
            app_label = "past"
            apps = registry

    return registry


def parts(model: Any) -> list[Any]:
    """Return the fields that fields of *model* are made of."""
    get = model._meta.get_field
    return [get("marks").base_field, get("span").bound, get("double").output_field]


def test_historical_classes_go_with_their_state() -> None:
    registry = declared()
    state = ProjectState.from_apps(source=registry)
    classes = [weakref.ref(model) for model in state.apps.get_models()]
    assert len(classes) == 4
    assert all(ref() is not None for ref in classes)
    assert ProjectState.from_apps(source=registry) == state
    del state
    gc.collect()
    assert [ref() for ref in classes] == [None] * 4


def test_declared_classes_keep_their_fields_when_historical_ones_are_made() -> None:
    registry = declared()
    shop = registry.get("past", "Shop")
    (historical,) = [
        each for each in ProjectState.from_apps(source=registry).apps.get_models() if each.__name__ == "Shop"
    ]
    assert historical is not shop
    assert [part.model for part in parts(shop)] == [shop] * 3
    assert [part.model for part in parts(historical)] == [historical] * 3


def test_children_of_an_abstract_model_have_parts_of_their_own() -> None:
    registry = declared()
    place, shop = registry.get("past", "Place"), registry.get("past", "Shop")
    assert [part.model for part in parts(place)] == [place] * 3
    assert [part.model for part in parts(shop)] == [shop] * 3
    assert [part.name for part in parts(shop)] == ["marks", "span", "double"]


def test_a_field_may_say_the_type_of_several() -> None:
    number = dorm.IntegerField()

    class Scored(dorm.Model):
        first = fields.ArrayField(number)
        second = fields.ArrayField(number)

        class Meta:
            app_label = "past"
            apps = Registry()

    names = [Scored._meta.get_field(name).base_field.name for name in ("first", "second")]
    assert names == ["first", "second"]
    assert not hasattr(number, "model")
