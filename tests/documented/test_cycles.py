"""Objects that refer to each other before they are saved."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from tests.support.faces import Face


class Hen(dorm.Model):
    egg: Any = dorm.ForeignKey("Egg", dorm.CASCADE, null=True, related_name="layers")
    twin: Any = dorm.OneToOneField("self", dorm.SET_NULL, null=True)

    class Meta:
        app_label = "doc_cycles"


class Egg(dorm.Model):
    hen: Any = dorm.ForeignKey(Hen, dorm.CASCADE, null=True, related_name="eggs")

    class Meta:
        app_label = "doc_cycles"


MODELS = (Hen, Egg)


def cycle() -> tuple[Any, Any]:
    hen: Any = Hen()
    egg: Any = Egg()
    hen.egg, egg.hen = egg, hen
    return hen, egg


async def test_a_cycle_of_new_objects_cannot_be_saved_from_either_end(face: Face) -> None:
    hen, egg = cycle()
    for obj in (hen, egg):
        with pytest.raises(ValueError, match="prohibited to prevent data loss due to unsaved related object"):
            await face(obj.save)()
        with pytest.raises(ValueError, match="prohibited to prevent data loss due to unsaved related object"):
            await face(type(obj).objects.bulk_create)([obj])
        assert (obj.pk, obj._state.adding) == (None, True)
    assert (await face(Hen.objects.count)(), await face(Egg.objects.count)()) == (0, 0)


async def test_a_cycle_is_closed_by_an_update(face: Face) -> None:
    hen, egg = cycle()
    hen.egg = None
    await face(hen.save)()
    await face(egg.save)()
    assert egg.hen_id == hen.pk
    hen.egg = egg
    await face(hen.save)()
    assert await face(Hen.objects.get)(egg__hen=hen) == hen
    assert await face(hen.delete)() == (2, {"doc_cycles.Hen": 1, "doc_cycles.Egg": 1})


async def test_an_object_that_refers_to_itself(face: Face) -> None:
    hen: Any = Hen()
    hen.twin = hen
    with pytest.raises(ValueError, match="unsaved related object 'twin'"):
        await face(hen.save)()
    hen.twin = None
    await face(hen.save)()
    hen.twin = hen
    await face(hen.save)()
    assert (await face(Hen.objects.get)()).twin_id == hen.pk
    await face(hen.delete)()
    assert await face(Hen.objects.count)() == 0


async def test_what_only_one_end_knows_is_saved_in_order(face: Face) -> None:
    hen: Any = Hen()
    egg: Any = Egg()
    egg.hen = hen
    with pytest.raises(ValueError, match="unsaved related object 'hen'"):
        await face(egg.save)()
    with pytest.raises(ValueError, match="primary key value"):
        await face(hen.eggs.add)(egg)
    await face(hen.save)()
    await face(egg.save)()
    assert await face.rows(hen.eggs.all()) == [egg]
