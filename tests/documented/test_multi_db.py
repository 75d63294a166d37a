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


class Replicas:
    """Everything is read from "other" and written to "default"."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def db_for_read(self, model: Any, **hints: Any) -> str:
        self.asked.append("read")
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        self.asked.append("write")
        return "default"

    def allow_relation(self, one: Any, two: Any, **hints: Any) -> bool:
        return True


async def test_which_database_routers_are_asked_for(face: Face) -> None:
    routers = Replicas()
    person = await face(Person.objects.create)(name="here")
    there = await face(Person.objects.using("other").create)(name="there")
    dorm.configure(DATABASE_ROUTERS=[routers])
    people = Person.objects.order_by("pk")
    for call, wanted, asked in (
        (people.count, 1, "read"),
        (people.exists, True, "read"),
        (people.filter(name="here").exists, False, "read"),
        (people.filter(name="here").update, 1, "write"),
        (people.filter(name="nobody").delete, (0, {}), "write"),
    ):
        routers.asked.clear()
        assert await face(call)(**({"name": "here"} if asked == "write" and wanted == 1 else {})) == wanted
        assert routers.asked == [asked]
    # Rows are locked where they are written.
    assert (people.db, people.select_for_update().db, people.using("other").select_for_update().db) == (
        "other",
        "default",
        "other",
    )
    async with face.atomic():
        assert [found.name for found in await face.rows(people.select_for_update())] == ["here"]
        assert (await face(people.select_for_update().get)(pk=person.pk)).name == "here"
        assert await face(people.select_for_update().values_list("name", flat=True).first)() == "here"
    assert [found.name for found in await face.rows(people)] == ["there"]
    # What is found where it was read is created, and updated, where writes go.
    made, created = await face(Person.objects.get_or_create)(name="new")
    assert (made._state.db, created) == ("default", True)
    changed, created = await face(Person.objects.update_or_create)(name="here", defaults={"name": "changed"})
    assert (changed._state.db, created) == ("default", False)
    await face(there.refresh_from_db)()
    assert (there._state.db, there.name) == ("other", "there")


async def test_keys_of_another_database_are_told_apart(face: Face) -> None:
    there = await face(Person.objects.using("other").create)(name="there")
    book = Book(title="b")
    book.author = there
    # An instance that is not saved goes where its relation is.
    assert book._state.db == "other"
    assert Book(title="c", author=there)._state.db == "other"
    subquery = Person.objects.using("other").values("pk")
    with pytest.raises(ValueError, match="different databases"):
        await face.rows(Book.objects.filter(author__in=subquery))
    assert await face.rows(Book.objects.using("other").filter(author__in=subquery)) == []
    copied = await face(Person.objects.using("other").get)(pk=there.pk)
    await face(copied.save)(using="default", force_insert=True)
    assert (copied._state.db, await face(Person.objects.count)()) == ("default", 1)
    assert [each._state.db for each in await face.rows(Person.objects.raw("SELECT * FROM doc_multi_person"))] == [
        "default"
    ]
    raw = Person.objects.raw("SELECT * FROM doc_multi_person", using="other")
    assert [each._state.db for each in await face.rows(raw)] == ["other"]


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
