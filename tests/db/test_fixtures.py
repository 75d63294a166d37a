"""Fixtures with natural keys, as Django writes them: rows named by values of theirs, in any order."""

from __future__ import annotations

import json
from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from dorm.serialize import DeserializationError, aload, load
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("empty_database")


class PersonManager(dorm.Manager[Any]):
    def get_by_natural_key(self, first: str, last: str) -> Any:
        return self.get(first=first, last=last)

    async def aget_by_natural_key(self, first: str, last: str) -> Any:
        return await self.aget(first=first, last=last)


class Person(dorm.Model):
    first = dorm.CharField(max_length=10)
    last = dorm.CharField(max_length=10)
    number = dorm.IntegerField(default=0)
    partner: Any = dorm.ForeignKey("self", dorm.CASCADE, null=True)
    objects = PersonManager()

    def natural_key(self) -> tuple[str, str]:
        return self.first, self.last

    class Meta:
        app_label = "fixtures"
        unique_together = [("first", "last")]


class SyncManager(dorm.Manager[Any]):
    def get_by_natural_key(self, name: str) -> Any:
        return self.get(name=name)


class Shelf(dorm.Model):
    name = dorm.CharField(max_length=10, unique=True)
    objects = SyncManager()

    class Meta:
        app_label = "fixtures"


class Book(dorm.Model):
    name = dorm.CharField(max_length=10)
    author = dorm.ForeignKey(Person, dorm.CASCADE)
    editor = dorm.ForeignKey(Person, dorm.CASCADE, null=True, related_name="+")
    shelf = dorm.ForeignKey(Shelf, dorm.CASCADE, null=True)
    sequel_of: Any = dorm.ForeignKey("self", dorm.CASCADE, null=True)
    fans = dorm.ManyToManyField(Person, related_name="+")

    class Meta:
        app_label = "fixtures"


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, Any]) -> None:
    create_tables([Person, Shelf, Book])


async def loaded(face: Face, *records: dict[str, Any]) -> int:
    text = json.dumps(records)
    return await aload(text) if face.is_async else load(text)


def person(first: str, pk: int | None = None, **more: Any) -> dict[str, Any]:
    key = {} if pk is None else {"pk": pk}
    return {"model": "fixtures.person", **key, "fields": {"first": first, "last": "X", **more}}


def book(pk: int, author: Any, **more: Any) -> dict[str, Any]:
    return {"model": "fixtures.book", "pk": pk, "fields": {"name": "b", "author": author, **more}}


async def test_references_name_rows_that_are_there_or_come_later(face: Face) -> None:
    ann = await face(Person.objects.create)(first="Ann", last="X")
    text = [
        book(5, ["Ann", "X"], editor=["New", "X"], fans=[["New", "X"], ["Ann", "X"], ["Bob", "X"]]),
        book(6, ["Bob", "X"]),
        person("New"),
        person("Bob", 40),
    ]
    assert await loaded(face, *text) == 4
    first, second = await face.rows(Book.objects.order_by("pk"))
    new, bob = [await face(Person.objects.get)(first=name) for name in ("New", "Bob")]
    assert (first.pk, first.author_id, first.editor_id) == (5, ann.pk, new.pk)
    assert (second.author_id, bob.pk) == (40, 40)
    assert {each.pk for each in await face.rows(first.fans.all())} == {ann.pk, new.pk, 40}


async def test_a_record_without_a_key_is_the_row_with_its_natural_key(face: Face) -> None:
    ann = await face(Person.objects.create)(first="Ann", last="X")
    assert await loaded(face, person("Ann", number=7), person("Bob", number=8)) == 2
    rows = await face.rows(Person.objects.order_by("first"))
    assert [(row.first, row.number) for row in rows] == [("Ann", 7), ("Bob", 8)]
    assert rows[0].pk == ann.pk
    assert await loaded(face, person("Ann", number=9)) == 1
    assert await face(Person.objects.count)() == 2


async def test_rows_that_name_each_other_are_written_and_joined(face: Face) -> None:
    assert await loaded(face, person("Ann", partner=["Bob", "X"]), person("Bob", partner=["Ann", "X"])) == 2
    ann, bob = await face.rows(Person.objects.order_by("first"))
    assert (ann.partner_id, bob.partner_id) == (bob.pk, ann.pk)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (book(5, ["No", "X"]), r"record 2 \(fixtures.book, pk 5\), field author: no row has this natural key"),
        (book(5, 1, editor=["No", "X"]), r"record 2 .* field editor: no row has this natural key"),
        (book(5, 1, fans=[["No", "X"]]), r"record 2 .* field fans: no row has this natural key"),
        (book(5, ["No"]), r"record 2 .* does not take a natural key of 1 part"),
        (
            book(5, 1, sequel_of=["b"]),
            "a list is a natural key, and the manager of fixtures.Book has no get_by_natural",
        ),
    ],
)
async def test_what_names_no_row_is_told_and_nothing_is_kept(face: Face, record: Any, said: str) -> None:
    with pytest.raises(DeserializationError, match=said):
        await loaded(face, person("Ann", 1), record)
    assert await face(Person.objects.count)() == 0


async def test_a_manager_without_the_async_twin_is_named(face: Face) -> None:
    await face(Person.objects.create)(pk=1, first="Ann", last="X")
    await face(Shelf.objects.create)(pk=3, name="top")
    if face.is_async:
        with pytest.raises(DeserializationError, match=r"write aget_by_natural_key\(\), its async twin"):
            await loaded(face, book(5, 1, shelf=["top"]))
    else:
        assert await loaded(face, book(5, 1, shelf=["top"])) == 1
        assert vars(Book.objects.get())["shelf_id"] == 3
