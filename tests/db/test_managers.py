"""Managers: custom querysets and starting points, inheritance, several databases, what they hand on."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face, names


class PersonRows(dorm.QuerySet[Any]):
    def authors(self) -> PersonRows:
        return self.filter(role="A")

    def editors(self) -> PersonRows:
        return self.filter(role="E")

    def delete(self) -> Any:
        raise PermissionError("persons stay")

    async def adelete(self) -> Any:
        raise PermissionError("persons stay")


class AuthorManager(dorm.Manager[Any]):
    def __init__(self, role: str = "A") -> None:
        super().__init__()
        self.role = role

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(role=self.role)


class RowsManager(dorm.Manager[Any]):
    """The idiom of a queryset made by hand."""

    def get_queryset(self) -> Any:
        return PersonRows(self.model, using=self._db)

    def editors(self) -> Any:
        return self.get_queryset().editors()


class Person(dorm.Model):
    name = dorm.CharField(max_length=20)
    role = dorm.CharField(max_length=1, default="A")

    people = PersonRows.as_manager()
    authors = AuthorManager()
    editors = AuthorManager("E")
    by_hand = RowsManager()

    class Meta:
        app_label = "managers"


class Hidden(dorm.Model):
    """The base manager sees what the default one hides."""

    name = dorm.CharField(max_length=20)
    role = dorm.CharField(max_length=1, default="A")
    objects = AuthorManager()

    class Meta:
        app_label = "managers"


class SortedPerson(Person):
    sorted = dorm.Manager()

    class Meta:
        app_label = "managers"
        proxy = True
        ordering = ["-name"]


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables([Person, Hidden])


async def persons(face: Face) -> None:
    for name, role in (("ann", "A"), ("bob", "E"), ("cid", "A")):
        await face(Person.people.create)(name=name, role=role)


async def test_methods_of_a_queryset_class_are_there_on_manager_and_querysets(face: Face) -> None:
    await persons(face)
    assert names(await face.rows(Person.people.authors().order_by("name"))) == ["ann", "cid"]
    assert names(await face.rows(Person.people.filter(name="bob").editors())) == ["bob"]
    rows = Person.people.all()
    for changed in (rows.filter(pk=1), rows.values("name"), rows.order_by("name")[:1], rows.only("name"), rows.none()):
        assert isinstance(changed, PersonRows)
    assert await face(Person.people.authors().count)() == 2


async def test_overridden_queryset_methods_are_called_through_managers(face: Face) -> None:
    for manager in (Person.people, Person.by_hand):
        with pytest.raises(PermissionError):
            await face(manager.all().delete)()
    with pytest.raises(PermissionError):
        await face(Person.people.filter(pk=1).delete)()


async def test_get_queryset_decides_what_a_manager_sees(face: Face) -> None:
    await persons(face)
    assert await face(Person.authors.count)() == 2
    assert await face(Person.editors.count)() == 1
    assert names(await face.rows(Person.editors.all())) == ["bob"]
    with pytest.raises(Person.DoesNotExist):
        await face(Person.authors.get)(name="bob")
    assert names(await face.rows(Person.by_hand.editors())) == ["bob"]


async def test_saving_and_refreshing_use_the_base_manager(face: Face) -> None:
    row = await face(Hidden.objects.create)(name="x", role="E")
    row.name = "y"
    await face(row.save)()
    await face(row.refresh_from_db)()
    assert row.name == "y"
    assert await face(Hidden.objects.count)() == 0
    assert await face(Hidden._base_manager.count)() == 1
    assert await face(row.delete)() == (1, {"managers.Hidden": 1})


async def test_default_managers_and_proxies(face: Face) -> None:
    await persons(face)
    assert Person._default_manager is Person.people
    assert not hasattr(Person, "objects")
    assert SortedPerson._default_manager is SortedPerson.sorted
    assert [manager.name for manager in SortedPerson._meta.managers] == [
        "sorted",
        "people",
        "authors",
        "editors",
        "by_hand",
    ]
    rows = await face.rows(SortedPerson.authors.all())
    assert names(rows) == ["cid", "ann"]
    assert all(type(row) is SortedPerson for row in rows)
    assert names(await face.rows(SortedPerson.sorted.all())) == ["cid", "bob", "ann"]


async def test_db_manager_and_using(face: Face) -> None:
    other = Person.people.db_manager("other")
    assert other.db == "other"
    assert other.authors().db == "other"
    assert Person.people.db == "default"
    assert Person.people.using("other").db == "other"
    assert Person.authors.db_manager("other").all().db == "other"


class Archiving(dorm.QuerySet[Any]):
    """Overrides the methods of one face."""

    def delete(self) -> Any:
        return self.update(role="X")

    async def aupdate(self, **values: Any) -> int:
        return await super().aupdate(**values)


async def test_a_method_overridden_for_one_face_is_refused_in_the_other(face: Face) -> None:
    await persons(face)
    rows = Archiving(Person)
    if face.is_async:
        with pytest.raises(dorm.exceptions.DormError, match=r"Archiving overrides delete\(\) but not adelete\(\)"):
            await rows.filter(role="A").adelete()
        assert await rows.aupdate(role="B") == 3
    else:
        with pytest.raises(dorm.exceptions.DormError, match=r"Archiving overrides aupdate\(\) but not update\(\)"):
            rows.filter(role="A").delete()
    assert await face(Person.people.count)() == 3


def test_managers_compare_and_deconstruct() -> None:
    assert AuthorManager("E") == AuthorManager("E")
    assert AuthorManager("E") != AuthorManager("A")
    assert AuthorManager("E").deconstruct()[1:] == (f"{__name__}.AuthorManager", None, ("E",), {})
    assert Person.people.deconstruct()[:3] == (True, None, f"{__name__}.PersonRows")
    assert str(Person.authors) == "managers.Person.authors"


class Listed(dorm.Model):
    name = dorm.CharField(max_length=5, default="")
    shown = dorm.BooleanField(default=True)
    objects: Any = dorm.Manager()
    extra: Any = dorm.Manager()

    class Meta:
        app_label = "managers"
        abstract = True


class ShownManager(dorm.Manager[Any]):
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(shown=True)


class Curated(dorm.Model):
    name = dorm.CharField(max_length=5, default="")
    shown = dorm.BooleanField(default=True)
    objects: Any = ShownManager()

    class Meta:
        app_label = "managers"
        abstract = True


class Unlisted(Listed):
    objects = None

    class Meta:
        app_label = "managers"


class Bare(Curated):
    objects = None
    shown = None  # type: ignore[assignment]  # this is what removes the field
    of_all: Any = dorm.Manager()

    class Meta:
        app_label = "managers"


class Secret(Curated):
    objects = None

    class Meta:
        app_label = "managers"


class Deeper(Secret):
    class Meta:
        app_label = "managers"


def test_a_name_that_a_child_takes_is_no_way_to_the_manager() -> None:
    assert Unlisted.objects is None
    assert [manager.name for manager in Unlisted._meta.managers] == ["objects", "extra"]
    assert (Unlisted._default_manager.name, Unlisted._default_manager.model) == ("objects", Unlisted)
    assert Unlisted.extra.model is Unlisted
    assert Bare.objects is None
    assert Bare._default_manager is Bare.of_all
    # Python's order of names: a grandchild has what its parent has.
    assert Secret.objects is None
    assert Deeper.objects is None
    assert [type(model._default_manager) for model in (Secret, Deeper)] == [ShownManager, ShownManager]


def test_a_field_that_a_child_sets_to_none_is_gone() -> None:
    assert [field.name for field in Bare._meta.get_fields()] == ["id", "name"]
    assert Bare.shown is None
    with pytest.raises(TypeError, match="unexpected keyword argument 'shown'"):
        Bare(shown=True)
    with pytest.raises(dorm.FieldError, match="shown"):
        Bare.of_all.filter(shown=True)


async def test_the_hidden_manager_still_serves_as_the_default_one(face: Face) -> None:
    create_tables([Secret])
    for shown in (True, False):
        await face(Secret(name=str(shown), shown=shown).save)()
    assert names(await face.rows(Secret._default_manager.all())) == ["True"]
    assert await face(Secret._base_manager.count)() == 2
