"""References to models by name: the own app first, another app's only model when somebody needs to know."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.conf.registry import Registry


def declared(apps: Registry, label: str, name: str, **attributes: Any) -> Any:
    """Declare a model in an app."""
    meta = type("Meta", (), {"app_label": label, "apps": apps})
    return type(
        name, (dorm.Model,), {"__module__": __name__, "__qualname__": f"{label}.{name}", "Meta": meta} | attributes
    )


def test_a_bare_name_waits_for_the_own_app() -> None:
    apps = Registry()
    theirs = declared(apps, "theirs", "Person")
    pet = declared(apps, "mine", "Pet", owner=dorm.ForeignKey("Person"))
    mine = declared(apps, "mine", "Person")
    assert pet._meta.get_field("owner").target is mine
    assert "pet" in mine._meta.relations
    assert "pet" not in theirs._meta.relations


def test_a_bare_name_means_the_only_model_of_another_app_once_it_is_needed() -> None:
    apps = Registry()
    theirs = declared(apps, "theirs", "Person")
    pet = declared(apps, "mine", "Pet", owner=dorm.ForeignKey("Person"))
    assert pet._meta.get_field("owner").target is theirs
    other = declared(apps, "other", "Toy", owner=dorm.ForeignKey("Pet"))
    assert pet._meta.get_field("toy").field.model is other


def test_self_is_the_class_itself_although_another_app_has_that_name() -> None:
    apps = Registry()
    declared(apps, "b", "Person")
    person = declared(apps, "a", "Person", boss=dorm.ForeignKey("self", null=True))
    assert person._meta.get_field("boss").target is person


def test_two_models_of_one_name_are_not_guessed() -> None:
    apps = Registry()
    for label in ("a", "b"):
        declared(apps, label, "Person")
    pet = declared(apps, "mine", "Pet", owner=dorm.ForeignKey("Person"))
    with pytest.raises(dorm.ImproperlyConfigured, match=r"points at 'Person', which is no model yet"):
        pet._meta.get_field("owner").target
    assert apps.pending() == ["mine.Person"]


def test_another_class_of_a_name_in_the_same_app_is_refused() -> None:
    apps = Registry()
    declared(apps, "a", "Person")
    meta = type("Meta", (), {"app_label": "a", "apps": apps})
    with pytest.raises(dorm.ImproperlyConfigured, match="clashes with"):
        type("Person", (dorm.Model,), {"__module__": "elsewhere", "Meta": meta})
    with pytest.raises(dorm.ImproperlyConfigured, match=r"no model 'Persn' in app 'a'. Did you mean 'Person'"):
        apps.get("a", "Persn")
