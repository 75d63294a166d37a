"""`QuerySet.lookup`: one column of a query as the set of another's `in`."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import Case, Count, F, OuterRef, Q, Subquery, Value, When
from dorm.db.connection import connections
from dorm.migrations.schema import create_tables
from dorm.test import CaptureQueriesContext
from tests.db.test_rows import library
from tests.support.faces import Face, names
from tests.support.models import Author, Book, Keyed, Publisher

pytestmark = pytest.mark.usefixtures("database")


class Pair(dorm.Model):
    pk: Any = dorm.CompositePrimaryKey("a", "b")
    a = dorm.IntegerField()
    b = dorm.IntegerField(db_column="second")

    class Meta:
        app_label = "lookup_sets"


async def test_lookup_names_one_column(face: Face) -> None:
    ann, _ = await library(face)
    top = Book.objects.order_by("-pages")[:2]
    assert await face.rows(Author.objects.filter(pk__in=top.lookup("author"))) == [ann]
    assert names(await face.rows(Author.objects.exclude(pk__in=top.lookup("author_id")))) == ["bob"]
    assert await face(Book.objects.filter(pk__in=top.lookup()).count)() == 2
    assert await face(Book.objects.filter(author__name__in=Author.objects.lookup("name")).count)() == 5
    # The set holds NULL: B1's and A1's publisher only is left out.
    assert await face(Publisher.objects.exclude(pk__in=Book.objects.lookup("publisher")).count)() == 0
    assert await face(Book.objects.filter(pk__in=Book.objects.none().lookup()).count)() == 0
    with pytest.raises(dorm.FieldDoesNotExist, match="Book has no column 'nope'"):
        Book.objects.lookup("nope")
    with pytest.raises(TypeError, match="name of a column"):
        Book.objects.lookup(3)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ValueError, match="these rows have 2"):
        Book.objects.values("pk", "title").lookup()
    with pytest.raises(ValueError, match=r"different databases: the query runs on 'default', .* bound to 'other'"):
        await face.rows(Book.objects.using("default").filter(pk__in=Book.objects.using("other").lookup()))


async def test_every_name_of_a_column(face: Face) -> None:
    await library(face)
    await face(Keyed.objects.create)(code="k", label="A1")
    # "pk" is the inner model's key, whatever it is called.
    assert await face(Book.objects.filter(title__in=Keyed.objects.lookup("pk")).count)() == 0
    assert await face(Book.objects.filter(title__in=Keyed.objects.lookup("label")).count)() == 1
    for column in ("author", "author_id", "author__id", "author__pk"):
        found = Author.objects.filter(pk__in=Book.objects.filter(pages=50).lookup(column))
        assert names(await face.rows(found)) == ["bob"]
    doubled = Book.objects.annotate(twice=F("pages") * 2).lookup("twice")
    assert sorted(names(await face.rows(Book.objects.filter(pages__in=doubled)), "title")) == ["A1", "A2", "A3"]
    counted = Author.objects.annotate(n=Count("books")).filter(n=3).lookup()
    assert names(await face.rows(Author.objects.filter(pk__in=counted))) == ["Ann"]
    with pytest.raises(dorm.FieldDoesNotExist, match="hidden"):
        Book.objects.alias(hidden=F("pages")).lookup("hidden")


async def test_the_column_that_is_selected_already(face: Face) -> None:
    await library(face)
    ann = Author.objects.filter(name="Ann")
    for source in (ann, ann.values("pk"), ann.values_list("pk", flat=True), ann.only("name")):
        assert await face(Book.objects.filter(author__in=source.lookup()).count)() == 3
    both = Author.objects.values("name").union(Publisher.objects.values("name"))
    assert names(await face.rows(Publisher.objects.filter(name__in=both.lookup()))) == ["House"]


async def test_order_slices_distinct_and_the_model_s_order(face: Face) -> None:
    await library(face)
    inner = Author.objects.lookup("name")
    assert "ORDER BY" not in Publisher.objects.filter(name__in=inner).sql()[0]
    top = Author.objects.order_by("-name")[:1].lookup("name")
    assert "ORDER BY" in Publisher.objects.filter(name__in=top).sql()[0]
    second = Book.objects.order_by("pages")[1:2].lookup()
    assert names(await face.rows(Book.objects.filter(pk__in=second)), "title") == ["A1"]
    assert "DISTINCT" in Author.objects.filter(pk__in=Book.objects.distinct().lookup("author")).sql()[0]


async def test_excluding_where_the_set_holds_null(face: Face) -> None:
    await library(face)
    other = await face(Publisher.objects.create)(name="Other")
    held = Book.objects.lookup("publisher")
    assert await face.rows(Publisher.objects.exclude(pk__in=held)) == [other]
    assert await face.rows(Publisher.objects.filter(~Q(pk__in=held))) == [other]
    assert await face.rows(Publisher.objects.filter(Q(pk=-1) | ~Q(pk__in=held))) == [other]
    # A row whose own column is NULL is in no set, and is not "not in" it either.
    titles = names(
        await face.rows(Book.objects.exclude(publisher__in=Publisher.objects.filter(name="x").lookup())), "title"
    )
    assert sorted(titles) == ["A1", "A2", "A3", "B1", "B2"]


async def test_as_a_scalar(face: Face) -> None:
    await library(face)
    longest = Book.objects.filter(author=OuterRef("pk")).order_by("-pages")[:1].lookup("title")
    assert await face.rows(Author.objects.annotate(longest=longest).values_list("name", "longest")) == [
        ("Ann", "A3"),
        ("bob", "B2"),
    ]
    assert names(await face.rows(Author.objects.filter(pk=Book.objects.filter(pages=50).lookup("author")))) == ["bob"]


def test_one_statement_and_nothing_evaluated(database: Any) -> None:
    source = Book.objects.filter(pages__gt=10)
    with CaptureQueriesContext(connections["default"]) as caught:
        outer = Author.objects.filter(pk__in=source.lookup("author")).filter(name="x")
        repr(source.lookup("author"))
        assert len(caught) == 0
        list(outer)
    assert len(caught) == 1
    assert source._rows is None
    assert outer.sql()[1] == (10, "x")


def test_what_lookup_refuses(empty_database: Any) -> None:
    create_tables([Pair])
    for column in (None, "pk"):
        with pytest.raises(ValueError, match="several columns; name one of 'a', 'b'"):
            Pair.objects.lookup(column)
    assert list(Pair.objects.filter(b__in=Pair.objects.lookup("b"))) == []
    for wrong, error in (("", dorm.FieldDoesNotExist), ("author__nope", dorm.FieldDoesNotExist), (b"x", TypeError)):
        with pytest.raises(error):
            Book.objects.lookup(wrong)  # type: ignore[arg-type]  # what is tested


async def test_it_is_the_subquery_of_values(face: Face) -> None:
    await library(face)
    top = Book.objects.filter(pages__gt=60).order_by("-pages")[:2]
    assert top.lookup("author") == Subquery(top.values("author"))
    one, other = (Author.objects.filter(pk__in=each) for each in (top.lookup("author"), Subquery(top.values("author"))))
    assert one.sql() == other.sql()
    # Values in the order of the text, the inner one's between the outer ones'.
    outer = Author.objects.filter(age__gt=1).filter(pk__in=top.lookup("author")).filter(name="Ann")
    assert outer.sql()[1] == (1, 60, 2, "Ann")
    assert names(await face.rows(outer)) == ["Ann"]
    # The same table inside and outside, with joins in both.
    same = Book.objects.filter(author__in=Book.objects.filter(title="A1", author__name="Ann").lookup("author"))
    assert sorted(names(await face.rows(same.filter(pages__gt=150, author__age=40)), "title")) == ["A2", "A3"]


async def test_groups_and_their_conditions_are_kept(face: Face) -> None:
    await library(face)
    grouped = Book.objects.values("author").annotate(n=Count("pk")).filter(n__gt=2)
    assert names(await face.rows(Author.objects.filter(pk__in=grouped.lookup("author")))) == ["Ann"]
    numbers = Book.objects.values("author").annotate(n=Count("pk")).lookup("n")
    assert names(await face.rows(Author.objects.filter(pk__in=numbers))) == ["bob"]
    renamed = Book.objects.values(by=F("author__name"))
    for column in (None, "by"):
        assert names(await face.rows(Author.objects.filter(name__in=renamed.lookup(column)))) == ["Ann", "bob"]


async def test_wherever_a_condition_stands(face: Face) -> None:
    ann, bob = await library(face)
    short = Book.objects.filter(pages=50)
    marked = Author.objects.annotate(it=Case(When(pk__in=short.lookup("author"), then=Value(1)), default=Value(0)))
    assert await face.rows(marked.values_list("it", flat=True)) == [0, 1]
    total = Count("pk", filter=Q(pk__in=short.lookup("author")))
    assert await face(Author.objects.aggregate)(n=total) == {"n": 1}
    assert await face(Book.objects.filter(pk__in=short.lookup()).update)(pages=51) == 1
    assert await face(Author.objects.filter(books__in=ann.books.lookup()).distinct().count)() == 1
    assert names(await face.rows(Author.objects.exclude(books__title__in=bob.books.lookup("title")))) == ["Ann"]
    own = Book.objects.filter(author=OuterRef("pk"), pages__gt=250)
    assert names(await face.rows(Author.objects.filter(pk__in=own.lookup("author")))) == ["Ann"]
    assert await face(Book.objects.exclude(pk__in=Book.objects.none().lookup()).count)() == 5
    assert (await face(Book.objects.filter(pk__in=Book.objects.order_by("pages")[:1].lookup()).delete)())[0] == 1
    assert await face(Book.objects.filter(title="B1").exists)() is False
