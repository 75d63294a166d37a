"""Subquery, Exists and OuterRef; querysets as the right side of lookups."""

from __future__ import annotations

import pytest

import dorm
from dorm import Count, Exists, F, OuterRef, Q, Subquery, Value
from tests.db.test_rows import library
from tests.support.faces import Face
from tests.support.models import Author, Book, Publisher, Review

pytestmark = pytest.mark.usefixtures("database")


async def test_a_scalar_subquery_of_the_row(face: Face) -> None:
    await library(face)
    longest = Book.objects.filter(author=OuterRef("pk")).order_by("-pages").values("title")[:1]
    rows = await face.rows(Author.objects.annotate(longest=Subquery(longest)).values_list("name", "longest"))
    assert rows == [("Ann", "A3"), ("bob", "B2")]
    found = Author.objects.annotate(longest=Subquery(longest)).filter(longest="B2")
    assert [author.name for author in await face.rows(found)] == ["bob"]


async def test_exists_as_condition_annotation_and_its_negation(face: Face) -> None:
    await library(face)
    long = Book.objects.filter(author=OuterRef("pk"), pages__gt=250)
    assert await face.rows(Author.objects.filter(Exists(long)).values_list("name", flat=True)) == ["Ann"]
    assert await face.rows(Author.objects.filter(~Exists(long)).values_list("name", flat=True)) == ["bob"]
    assert await face.rows(Author.objects.exclude(Exists(long)).values_list("name", flat=True)) == ["bob"]
    both = Author.objects.filter(Exists(long) | Q(name="bob")).order_by("pk")
    assert await face.rows(both.values_list("name", flat=True)) == ["Ann", "bob"]
    flags = Author.objects.annotate(long=Exists(long)).values_list("name", "long")
    assert await face.rows(flags) == [("Ann", True), ("bob", False)]
    assert await face(Author.objects.annotate(long=Exists(long)).filter(long=True).count)() == 1


async def test_outer_references_go_through_two_levels(face: Face) -> None:
    ann, _ = await library(face)
    book = await face(Book.objects.get)(title="A1")
    await face(Review.objects.create)(book=book, stars=5)
    reviews = Review.objects.filter(book=OuterRef("pk"), book__author=OuterRef(OuterRef("pk")))
    books = Book.objects.filter(Exists(reviews), author=OuterRef("pk"))
    assert await face.rows(Author.objects.filter(Exists(books))) == [ann]


async def test_the_same_table_inside_and_outside(face: Face) -> None:
    await library(face)
    older = Book.objects.filter(author=OuterRef("author"), pages__gt=OuterRef("pages")).order_by("pages")
    rows = Book.objects.annotate(next=Subquery(older.values("title")[:1])).order_by("pk").values_list("title", "next")
    assert await face.rows(rows) == [("A1", "A2"), ("A2", "A3"), ("A3", None), ("B1", "B2"), ("B2", None)]


async def test_an_aggregate_in_a_subquery(face: Face) -> None:
    await library(face)
    counts = (
        Book.objects.filter(author=OuterRef("pk")).order_by().values("author").annotate(number=Count("pk"))
    ).values("number")
    rows = Author.objects.annotate(number=Subquery(counts)).order_by("name").values_list("name", "number")
    assert await face.rows(rows) == [("Ann", 3), ("bob", 2)]


async def test_values_of_both_queries_stand_in_their_places(face: Face) -> None:
    await library(face)
    inner = Book.objects.filter(pages__gte=100).filter(author=OuterRef("pk")).exclude(title="A3")
    found = Author.objects.filter(name__in=["Ann", "bob"]).filter(Exists(inner)).exclude(name="bob")
    for _ in range(2):
        assert [author.name for author in await face.rows(found)] == ["Ann"]


async def test_in_takes_querysets_with_slices_orders_and_annotations(face: Face) -> None:
    await library(face)
    top = Book.objects.order_by("-pages")[:2]
    assert await face.rows(Book.objects.filter(pk__in=top).order_by("title").values_list("title", flat=True)) == [
        "A2",
        "A3",
    ]
    authors = Author.objects.filter(books__in=top).distinct()
    assert [author.name for author in await face.rows(authors)] == ["Ann"]
    many = Author.objects.annotate(number=Count("books")).filter(number__gt=2)
    assert await face(Book.objects.filter(author__in=many).count)() == 3
    assert await face(Book.objects.filter(author__in=Subquery(many.values("pk"))).count)() == 3


async def test_not_in_keeps_rows_where_the_set_holds_null(face: Face) -> None:
    await library(face)
    with_publisher = Publisher.objects.exclude(pk__in=Book.objects.values("publisher"))
    assert await face.rows(with_publisher) == []
    await face(Publisher.objects.create)(name="Unused")
    assert await face.rows(with_publisher.values_list("name", flat=True)) == ["Unused"]


async def test_an_empty_inner_query_sends_nothing(face: Face) -> None:
    await library(face)
    assert await face.rows(Author.objects.filter(pk__in=Author.objects.none())) == []
    assert await face(Author.objects.exclude(pk__in=Author.objects.none()).count)() == 2
    assert await face(Author.objects.filter(~Exists(Book.objects.none())).count)() == 2


async def test_a_query_with_outer_references_cannot_stand_alone(face: Face) -> None:
    with pytest.raises(ValueError, match="reference to an outer query"):
        await face.rows(Book.objects.filter(author=OuterRef("pk")))


async def test_a_subquery_in_an_update(face: Face) -> None:
    await library(face)
    first = Book.objects.filter(author=OuterRef("pk")).order_by("title").values("title")[:1]
    await face(Author.objects.update)(email=Subquery(first))
    assert await face.rows(Author.objects.values_list("email", flat=True)) == ["A1", "B1"]


async def test_an_outer_reference_in_arithmetic_and_over_a_join(face: Face) -> None:
    await library(face)
    inner = Book.objects.filter(pages=OuterRef("pages") + 100, author__name=OuterRef("author__name"))
    rows = Book.objects.filter(Exists(inner)).order_by("title").values_list("title", flat=True)
    assert await face.rows(rows) == ["A1", "A2", "B1"]


async def test_a_queryset_of_another_model_is_refused() -> None:
    with pytest.raises(ValueError, match='Use a QuerySet for "Author"'):
        Book.objects.filter(author__in=Publisher.objects.all())
    with pytest.raises(ValueError, match="1 selected field"):
        Book.objects.filter(author__in=Author.objects.values("pk", "name"))
    with pytest.raises(dorm.FieldError, match="one column"):
        Book.objects.annotate(one=Subquery(Author.objects.values("pk", "name")[:1]))


async def test_equality_with_a_queryset_takes_one_row() -> None:
    for wrong in (Author.objects.all(), Author.objects.all()[:2], Author.objects.values("pk")):
        with pytest.raises(ValueError, match="limited to one result using slicing"):
            Book.objects.filter(author=wrong)
    Book.objects.filter(author=Author.objects.all()[:1])
    Book.objects.filter(author=Author.objects.all()[3:4])


async def test_conditions_only() -> None:
    for wrong in (Value(1), F("age"), Count("books")):
        with pytest.raises(TypeError, match=r"non-conditional|no condition"):
            Author.objects.filter(wrong)
    with pytest.raises(dorm.FieldError, match="no field 'nmae'"):
        Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("nmae"))))
