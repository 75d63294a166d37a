"""The page "Managers"."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import Count
from dorm.functions import Coalesce
from tests.support.faces import Face


class PollManager(dorm.Manager):
    def with_counts(self) -> Any:
        return self.annotate(num_responses=Coalesce(Count("response"), 0))


class OpinionPoll(dorm.Model):
    question = dorm.CharField(max_length=200)
    objects = PollManager()

    class Meta:
        app_label = "doc_managers"


class Response(dorm.Model):
    poll = dorm.ForeignKey(OpinionPoll, on_delete=dorm.CASCADE)

    class Meta:
        app_label = "doc_managers"


class DahlBookManager(dorm.Manager):
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(author="Roald Dahl")


class Book(dorm.Model):
    title = dorm.CharField(max_length=100)
    author = dorm.CharField(max_length=50)

    objects = dorm.Manager()
    dahl_objects = DahlBookManager()

    class Meta:
        app_label = "doc_managers"
        ordering = ["title"]


class PersonQuerySet(dorm.QuerySet):
    def authors(self) -> Any:
        return self.filter(role="A")

    def editors(self) -> Any:
        return self.filter(role="E")

    def _secret(self) -> Any:
        return self

    def opted_out_public_method(self) -> Any:
        return self

    opted_out_public_method.queryset_only = True  # type: ignore[attr-defined]

    def _opted_in_private_method(self) -> str:
        return "in"

    _opted_in_private_method.queryset_only = False  # type: ignore[attr-defined]


class PersonManager(dorm.Manager):
    def get_queryset(self) -> Any:
        return PersonQuerySet(self.model, using=self._db)

    def authors(self) -> Any:
        return self.get_queryset().authors()


class BaseManager(dorm.Manager):
    def manager_only(self) -> str:
        return "manager"


class Person(dorm.Model):
    first_name = dorm.CharField(max_length=50)
    role = dorm.CharField(max_length=1, choices={"A": "Author", "E": "Editor"})
    boss = dorm.ForeignKey("self", dorm.CASCADE, null=True, related_name="staff")

    people = PersonManager()
    as_manager = PersonQuerySet.as_manager()
    custom = BaseManager.from_queryset(PersonQuerySet)()

    class Meta:
        app_label = "doc_managers"


class AbstractBase(dorm.Model):
    role = dorm.CharField(max_length=1, default="A")
    objects = PersonQuerySet.as_manager()

    class Meta:
        app_label = "doc_managers"
        abstract = True


class ChildA(AbstractBase):
    class Meta(AbstractBase.Meta):
        abstract = False


class ChildB(AbstractBase):
    default_manager = PersonQuerySet.as_manager()

    class Meta(AbstractBase.Meta):
        abstract = False
        default_manager_name = "default_manager"


MODELS = (OpinionPoll, Response, Book, Person, ChildA, ChildB)


async def test_extra_manager_methods(face: Face) -> None:
    poll = await face(OpinionPoll.objects.create)(question="?")
    await face(Response.objects.create)(poll=poll)
    assert [p.num_responses for p in await face.rows(OpinionPoll.objects.with_counts())] == [1]


async def test_initial_queryset_and_several_managers(face: Face) -> None:
    await face(Book.objects.create)(title="Matilda", author="Roald Dahl")
    await face(Book.objects.create)(title="Emma", author="Jane Austen")
    assert await face(Book.dahl_objects.count)() == 1
    assert await face(Book.dahl_objects.filter(title="Emma").exists)() is False
    assert await face(Book.objects.count)() == 2
    assert Book._default_manager is Book.objects or Book._default_manager.name == "objects"
    assert [manager.name for manager in Book._meta.managers] == ["objects", "dahl_objects"]


async def test_no_objects_when_another_manager_is_declared(face: Face) -> None:
    assert not hasattr(Person, "objects")
    await face(Person.people.create)(first_name="Ann", role="A")
    await face(Person.people.create)(first_name="Ed", role="E")
    assert await face(Person.people.authors().count)() == 1
    assert await face(Person.as_manager.editors().count)() == 1
    assert await face(Person.as_manager.filter(first_name="Ann").authors().values("first_name").editors().count)() == 0
    assert Person.custom.manager_only() == "manager"
    assert await face(Person.custom.authors().count)() == 1


def test_which_queryset_methods_reach_the_manager() -> None:
    manager = Person.as_manager
    assert not hasattr(manager, "_secret")
    assert not hasattr(manager, "opted_out_public_method")
    assert manager._opted_in_private_method() == "in"
    assert not hasattr(manager, "as_manager")
    assert Person.as_manager.all().opted_out_public_method() is not None


async def test_related_managers_follow_the_default_manager(face: Face) -> None:
    boss = await face(Person.people.create)(first_name="Boss", role="E")
    await face(Person.people.create)(first_name="Ann", role="A", boss=boss)
    assert await face(boss.staff.authors().count)() == 1
    assert await face(boss.staff(manager="custom").count)() == 1
    assert boss.staff(manager="custom").manager_only() == "manager"


def test_inheritance_of_managers() -> None:
    assert ChildA._default_manager.name == "objects"
    assert ChildB._default_manager.name == "default_manager"
    with pytest.raises(AttributeError):
        AbstractBase.objects.all()
    with pytest.raises((ValueError, dorm.ImproperlyConfigured)):

        class Wrong(dorm.Model):
            class Meta:
                app_label = "doc_managers"
                default_manager_name = "missing"

        Wrong._default_manager
