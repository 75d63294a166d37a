"""The page "Multiple databases"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Person(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_multi"


class Book(dorm.Model):
    title = dorm.CharField(max_length=20)
    author = dorm.ForeignKey(Person, dorm.CASCADE, null=True)

    class Meta:
        app_label = "doc_multi"


MODELS = (Person, Book)


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, Any], tmp_path: Path) -> Iterator[None]:
    other = {"ENGINE": "sqlite", "NAME": str(tmp_path / "other.db")}
    dorm.configure(DATABASES={"default": empty_database, "other": other}, READ_AFTER_WRITE_WINDOW=None)
    create_tables(MODELS)
    create_tables(MODELS, using="other")
    yield
    dorm.configure(DATABASE_ROUTERS=[])


async def test_choosing_a_database_by_hand(face: Face) -> None:
    await face(Person.objects.using("other").create)(name="Fred")
    assert await face(Person.objects.count)() == 0
    assert await face(Person.objects.using("default").count)() == 0
    fred = await face(Person.objects.using("other").get)(name="Fred")
    assert fred._state.db == "other"
    fred.name = "F"
    await face(fred.save)()
    assert await face(Person.objects.using("other").filter(name="F").exists)()
    await face(fred.save)(using="default")
    assert await face(Person.objects.count)() == 1
    await face(fred.delete)(using="other")
    assert await face(Person.objects.using("other").count)() == 0
    assert await face(Person.objects.db_manager("other").count)() == 0
    assert Person.objects.using("other").all().db == "other"


async def test_moving_an_object(face: Face) -> None:
    person = Person(name="Fred")
    await face(person.save)(using="default")
    person.pk = None
    person._state.adding = True
    await face(person.save)(using="other")
    assert await face(Person.objects.count)() == 1
    assert await face(Person.objects.using("other").count)() == 1


async def test_related_objects_stay_on_their_database(face: Face) -> None:
    fred = await face(Person.objects.using("other").create)(name="Fred")
    book = await face(fred.book_set.create)(title="b")
    assert book._state.db == "other"
    assert await face(fred.book_set.count)() == 1
    assert await face(Book.objects.count)() == 0
    local = await face(Person.objects.create)(name="Ann")
    with pytest.raises(ValueError, match="router"):
        book.author = local
    with pytest.raises(ValueError, match="router"):
        await face(local.book_set.add)(book)


class Router:
    """Books live on "other"."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "other" if model._meta.model_name == "book" else None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "other" if model._meta.model_name == "book" else None

    def allow_relation(self, one: Any, two: Any, **hints: Any) -> bool | None:
        return True


async def test_routers(face: Face) -> None:
    dorm.configure(DATABASE_ROUTERS=[Router()])
    await face(Book.objects.create)(title="routed")
    assert await face(Book.objects.count)() == 1
    assert await face(Book.objects.using("default").count)() == 0
    await face(Person.objects.create)(name="p")
    assert await face(Person.objects.using("default").count)() == 1
    person = await face(Person.objects.get)()
    book = await face(Book.objects.get)()
    book.author = person  # the router allows it
    assert book._state.db == "other"


async def test_transactions_are_per_database(face: Face) -> None:
    with pytest.raises(RuntimeError):
        async with face.atomic(using="other"):
            await face(Person.objects.create)(name="kept")
            await face(Person.objects.using("other").create)(name="lost")
            raise RuntimeError
    assert await face(Person.objects.count)() == 1
    assert await face(Person.objects.using("other").count)() == 0


async def test_unknown_alias(face: Face) -> None:
    with pytest.raises(dorm.ImproperlyConfigured, match="nope"):
        await face.rows(Person.objects.using("nope"))
