"""Signals of models in detail, as Django documents them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from dorm.signals import class_prepared, post_delete, post_init, post_save, pre_delete, pre_init, pre_save
from tests.support.faces import Face


class Place(dorm.Model):
    name = dorm.CharField(max_length=20, default="")

    class Meta:
        app_label = "sigdetails"


class Bar(Place):
    beers = dorm.IntegerField(default=0)

    class Meta:
        app_label = "sigdetails"


class Corner(Place):
    class Meta:
        app_label = "sigdetails"
        proxy = True


class Visit(dorm.Model):
    place = dorm.ForeignKey(Place, dorm.CASCADE)

    class Meta:
        app_label = "sigdetails"


TABLES = [Place, Bar, Visit]
SIGNALS = {
    "pre_init": pre_init,
    "post_init": post_init,
    "pre_save": pre_save,
    "post_save": post_save,
    "pre_delete": pre_delete,
    "post_delete": post_delete,
}


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables(TABLES)


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """What the receivers were told: signal, sender."""
    seen: list[Any] = []
    connected = []
    for name, signal in SIGNALS.items():

        def note(sender: Any, signal: Any, name: str = name, **rest: Any) -> None:
            if sender._meta.app_label == "sigdetails":
                seen.append((name, sender.__name__))

        signal.connect(note, weak=False)
        connected.append((signal, note))
    yield seen
    for signal, note in connected:
        signal.disconnect(note)


async def test_a_child_is_announced_once(face: Face, told: list[Any]) -> None:
    bar = Bar(name="b")
    await face(bar.save)()
    assert told == [("pre_init", "Bar"), ("post_init", "Bar"), ("pre_save", "Bar"), ("post_save", "Bar")]


async def test_a_deleted_child_is_announced_with_its_parent(face: Face, told: list[Any]) -> None:
    bar = await face(Bar.objects.create)(name="b")
    told.clear()
    await face(bar.delete)()
    saved = [each for each in told if each[0].endswith("delete")]
    assert saved == [
        ("pre_delete", "Bar"),
        ("pre_delete", "Place"),
        ("post_delete", "Bar"),
        ("post_delete", "Place"),
    ]


async def test_a_proxy_is_its_own_sender(face: Face, told: list[Any]) -> None:
    corner = await face(Corner.objects.create)(name="c")
    await face(corner.delete)()
    assert [each for each in told if "init" not in each[0]] == [
        ("pre_save", "Corner"),
        ("post_save", "Corner"),
        ("pre_delete", "Corner"),
        ("post_delete", "Corner"),
    ]


async def test_rows_that_go_along_are_announced(face: Face, told: list[Any]) -> None:
    place = await face(Place.objects.create)(name="p")
    await face(Visit.objects.create)(place=place)
    told.clear()
    assert (await face(Place.objects.all().delete)())[0] == 2
    assert [each for each in told if "init" not in each[0]] == [
        ("pre_delete", "Visit"),
        ("pre_delete", "Place"),
        ("post_delete", "Visit"),
        ("post_delete", "Place"),
    ]


async def test_changes_of_a_receiver_before_are_saved(face: Face) -> None:
    def shout(sender: Any, instance: Any, **rest: Any) -> None:
        instance.name = instance.name.upper()

    pre_save.connect(shout, sender=Place)
    try:
        place = await face(Place.objects.create)(name="quiet")
    finally:
        pre_save.disconnect(shout, sender=Place)
    assert (await face(Place.objects.get)(pk=place.pk)).name == "QUIET"


async def test_init_is_told_the_arguments(face: Face) -> None:
    seen: list[Any] = []

    def note(sender: Any, args: Any, kwargs: Any, **rest: Any) -> None:
        seen.append((args, dict(kwargs)))

    pre_init.connect(note, sender=Place)
    try:
        Place(3, "x")
        Place(name="y")
    finally:
        pre_init.disconnect(note, sender=Place)
    assert [tuple(args) for args, _ in seen] == [(3, "x"), ()]
    assert [kwargs for _, kwargs in seen] == [{}, {"name": "y"}]


async def test_classes_are_announced(face: Face) -> None:
    seen: list[Any] = []

    def note(sender: Any, **rest: Any) -> None:
        seen.append((sender.__name__, sender._meta.pk.name))

    class_prepared.connect(note)
    try:

        class Later(dorm.Model):
            code = dorm.CharField(max_length=3, primary_key=True)

            class Meta:
                app_label = "sigdetails"

    finally:
        class_prepared.disconnect(note)
    assert seen == [("Later", "code")]


async def test_keys_while_deleting(face: Face) -> None:
    seen: list[Any] = []

    def after(sender: Any, instance: Any, origin: Any, **rest: Any) -> None:
        seen.append((instance.pk is not None, origin is instance))

    post_delete.connect(after, sender=Place)
    try:
        place = await face(Place.objects.create)(name="p")
        await face(place.delete)()
        await face(Place.objects.create)(name="q")
        await face(Place.objects.all().delete)()
    finally:
        post_delete.disconnect(after, sender=Place)
    assert seen == [(True, True), (True, False)]
    assert place.pk is None
