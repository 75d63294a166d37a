"""What type checkers see of relations; run by mypy and pyright, and as a test so that it also holds at run time."""

from __future__ import annotations

from typing import Any, assert_type

import dorm
from dorm.relations import NullableRelatedManager


class Owner(dorm.Model):
    name = dorm.CharField(max_length=100)
    pets: dorm.RelatedManager[Pet]
    kept: NullableRelatedManager[Pet]

    class Meta:
        app_label = "typed_relations"


class Toy(dorm.Model):
    name = dorm.CharField(max_length=100)

    class Meta:
        app_label = "typed_relations"


class Pet(dorm.Model):
    owner = dorm.ForeignKey(Owner, dorm.CASCADE, related_name="pets")
    keeper = dorm.ForeignKey(Owner, dorm.SET_NULL, null=True, related_name="kept")
    chip = dorm.OneToOneField(Toy, dorm.CASCADE, related_name="+")
    spare = dorm.OneToOneField(Toy, dorm.SET_NULL, null=True, related_name="+")
    toys = dorm.ManyToManyField(Toy)
    later = dorm.ForeignKey["Toy"]("Toy", related_name="+", null=True)

    class Meta:
        app_label = "typed_relations"


def objects(pet: Pet) -> None:
    assert_type(pet.owner, Owner)
    assert_type(pet.owner.name, str)
    assert_type(pet.keeper, Owner | None)
    assert_type(pet.chip, Toy)
    assert_type(pet.spare, Toy | None)


def managers(pet: Pet, owner: Owner) -> None:
    assert_type(pet.toys, dorm.ManyRelatedManager[Toy])
    assert_type(pet.toys.get(), Toy)
    assert_type(pet.toys.create(name="ball"), Toy)
    assert_type(pet.toys.filter(name="ball").first(), Toy | None)
    assert_type(list(pet.toys.all()), list[Toy])
    assert_type(owner.pets.first(), Pet | None)
    pet.toys.add(1, Toy(), through_defaults={"when": 1})
    owner.pets.add(pet, bulk=False)
    owner.kept.remove(pet)
    assert_type(owner.kept.filter(chip=1).first(), Pet | None)


async def async_managers(pet: Pet, owner: Owner) -> None:
    assert_type(await pet.toys.aget(), Toy)
    assert_type(await owner.pets.acreate(name="Rex"), Pet)
    await pet.toys.aset([Toy()])
    await pet.afetch("owner", "toys")


def test_the_class_gives_the_fields() -> None:
    assert isinstance(Pet.toys, dorm.ManyToManyField)
    assert isinstance(Pet.chip, dorm.OneToOneField)
    through: Any = Pet.toys.through
    assert through._meta.db_table == "typed_relations_pet_toys"
