"""Several databases: routers and their hints, aliases of instances, relations that stay on one database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.db.router import clear_read_after_write_window, router_db_for_read, router_db_for_write
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Owner(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "several"


class Pet(dorm.Model):
    owner = dorm.ForeignKey(Owner, dorm.CASCADE, null=True)
    name = dorm.CharField(max_length=20, default="")

    class Meta:
        app_label = "several"


class Recording:
    """Reads from one alias, writes to another, and remembers what it was asked."""

    def __init__(self, read: str | None = None, write: str | None = None, relation: bool | None = None) -> None:
        self.read, self.write, self.relation = read, write, relation
        self.asked: list[Any] = []

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        self.asked.append(("read", model.__name__, hints))
        return self.read

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        self.asked.append(("write", model.__name__, hints))
        return self.write

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        self.asked.append(("relation", type(one).__name__, type(other).__name__))
        return self.relation


class Silent:
    """A router with no method at all."""


@pytest.fixture(autouse=True)
def databases(empty_database: dict[str, Any], tmp_path: Path) -> Iterator[None]:
    other = {"ENGINE": "sqlite", "NAME": str(tmp_path / "other.db"), "OPTIONS": {"synchronous": "OFF"}}
    dorm.configure(DATABASES={"default": empty_database, "other": other}, READ_AFTER_WRITE_WINDOW=None)
    for alias in ("default", "other"):
        create_tables([Owner, Pet], using=alias)
    yield
    dorm.configure(DATABASE_ROUTERS=[])
    clear_read_after_write_window()


async def counts(face: Face, model: Any = Owner) -> tuple[int, int]:
    return await face(model.objects.count)(), await face(model.objects.using("other").count)()


async def test_using_everywhere(face: Face) -> None:
    await face(Owner.objects.using("other").create)(name="a")
    assert await counts(face) == (0, 1)
    owner = await face(Owner.objects.using("other").get)(name="a")
    assert owner._state.db == "other"
    owner.name = "b"
    await face(owner.save)()
    assert await counts(face) == (0, 1)
    await face(owner.save)(using="default")
    assert await counts(face) == (1, 1)
    assert owner._state.db == "default"
    await face(owner.delete)(using="other")
    assert await counts(face) == (1, 0)
    await face(Owner.objects.db_manager("other").bulk_create)([Owner(name="x"), Owner(name="y")])
    assert await counts(face) == (1, 2)
    found, created = await face(Owner.objects.using("other").get_or_create)(name="z")
    assert (created, found._state.db) == (True, "other")
    assert await face(Owner.objects.using("other").filter(name="z").update)(name="zz") == 1
    assert (await face(Owner.objects.using("other").all().delete)())[0] == 3
    assert await counts(face) == (1, 0)


async def test_refresh_comes_from_the_instances_database(face: Face) -> None:
    owner = await face(Owner.objects.using("other").create)(name="a")
    await face(Owner.objects.create)(pk=owner.pk, name="default's")
    await face(owner.refresh_from_db)()
    assert owner.name == "a"
    await face(owner.refresh_from_db)(using="default")
    assert (owner.name, owner._state.db) == ("default's", "default")


async def test_related_objects_come_from_the_instances_database(face: Face) -> None:
    owner = await face(Owner.objects.using("other").create)(name="a")
    pet = Pet(owner=owner, name="p")
    assert (pet._state.db, pet._state.adding) == ("other", True)
    await face(pet.save)()
    assert await counts(face, Pet) == (0, 1)
    (row,) = await face.rows(Pet.objects.using("other").select_related("owner"))
    assert row.owner._state.db == "other"
    (row,) = await face.rows(Owner.objects.using("other").prefetch_related("pet_set"))
    assert [each._state.db for each in row.pet_set.all()] == ["other"]


async def test_relations_across_databases_are_refused(face: Face) -> None:
    here = await face(Owner.objects.create)(name="here")
    there = await face(Pet.objects.using("other").create)(name="there")
    with pytest.raises(ValueError, match="the current database router prevents this relation"):
        there.owner = here
    with pytest.raises(ValueError, match="the current database router prevents this relation"):
        await face(here.pet_set.add)(there)
    assert there.owner_id is None
    dorm.configure(DATABASE_ROUTERS=[Recording(relation=True)])
    there.owner = here
    assert there.owner_id == here.pk
    dorm.configure(DATABASE_ROUTERS=[Recording(), Recording(relation=False)])
    with pytest.raises(ValueError, match="prevents this relation"):
        there.owner = here


async def test_the_first_router_with_an_answer_decides(face: Face) -> None:
    silent, first, second = Silent(), Recording(write="other"), Recording(read="other", write="default")
    dorm.configure(DATABASE_ROUTERS=[silent, first, second])
    owner = await face(Owner.objects.create)(name="a")
    assert owner._state.db == "other"
    assert await face(Owner.objects.count)() == 1
    assert first.asked[0] == ("write", "Owner", {})
    assert (router_db_for_read(Owner), router_db_for_write(Owner)) == ("other", "other")
    await face(Owner.objects.using("default").create)(name="explicit")
    assert await face(Owner.objects.using("default").count)() == 1


async def test_routers_are_told_the_instance(face: Face) -> None:
    owner = await face(Owner.objects.using("other").create)(name="a")
    asked = Recording()
    dorm.configure(DATABASE_ROUTERS=[asked])
    await face(owner.save)()
    assert ("write", "Owner", {"instance": owner}) in asked.asked
    assert owner._state.db == "other"
    asked.asked.clear()
    await face(owner.delete)()
    assert ("write", "Owner", {"instance": owner}) in asked.asked


async def test_an_instance_of_a_replica_is_saved_to_the_primary(face: Face) -> None:
    await face(Owner.objects.using("other").create)(pk=1, name="a")
    dorm.configure(DATABASE_ROUTERS=[Recording(read="other", write="default", relation=True)])
    owner = await face(Owner.objects.get)()
    assert owner._state.db == "other"
    owner.name = "changed"
    await face(owner.save)()
    assert owner._state.db == "default"
    assert (await face(Owner.objects.using("default").get)()).name == "changed"


async def test_reads_stay_where_this_task_wrote(face: Face) -> None:
    dorm.configure(DATABASE_ROUTERS=[Recording(read="other", write="default")], READ_AFTER_WRITE_WINDOW=30)
    assert router_db_for_read(Owner) == "other"
    await face(Owner.objects.create)(name="a")
    assert await face(Owner.objects.count)() == 1
    assert router_db_for_read(Owner) == "default"
    assert router_db_for_read(Owner, sticky=False) == "other"
    assert router_db_for_read(Pet) == "other"
    clear_read_after_write_window()
    assert await face(Owner.objects.count)() == 0
    dorm.configure(READ_AFTER_WRITE_WINDOW=0)
    await face(Owner.objects.create)(name="b")
    assert router_db_for_read(Owner) == "other"


async def test_other_tasks_do_not_notice() -> None:
    dorm.configure(DATABASE_ROUTERS=[Recording(read="other", write="default")], READ_AFTER_WRITE_WINDOW=30)

    async def write() -> str:
        await Owner.objects.acreate(name="a")
        return router_db_for_read(Owner)

    assert await asyncio.create_task(write()) == "default"
    assert router_db_for_read(Owner) == "other"


def test_router_functions_take_a_default() -> None:
    assert router_db_for_read(Owner, default="elsewhere") == "elsewhere"
    assert router_db_for_write(Owner, default="elsewhere") == "elsewhere"
    dorm.configure(DATABASE_ROUTERS=["nowhere.Router"])
    with pytest.raises(dorm.ImproperlyConfigured, match=r"'nowhere.Router', which cannot be imported"):
        router_db_for_read(Owner)
