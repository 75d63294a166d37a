"""union, intersection, difference; & | ^; locks, pages, raw SQL, explain, pickles."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import dorm
from dorm import Count, F, FilteredRelation, Q, Value
from tests.db.test_rows import library
from tests.support.faces import Face, names
from tests.support.models import Author, Book, Publisher, Review

pytestmark = pytest.mark.usefixtures("database")


async def test_union_intersection_and_difference_of_objects(face: Face) -> None:
    await library(face)
    short, ann = Book.objects.filter(pages__lte=150), Book.objects.filter(author__name="Ann")
    assert names(await face.rows(short.union(ann).order_by("title")), "title") == ["A1", "A2", "A3", "B1", "B2"]
    assert names(await face.rows(short.intersection(ann)), "title") == ["A1"]
    assert names(await face.rows(short.difference(ann).order_by("-title")), "title") == ["B2", "B1"]
    assert await face(short.union(ann).count)() == 5
    assert await face(short.union(ann, all=True).count)() == 6
    assert await face(short.intersection(ann).exists)()
    assert names(await face.rows(short.union(ann).order_by("-pages")[1:3]), "title") == ["A2", "B2"]
    first = await face(short.union(ann).order_by("title").first)()
    assert first is not None
    assert first.title == "A1"


async def test_a_union_of_slices_and_of_unions(face: Face) -> None:
    await library(face)
    longest, shortest = Book.objects.order_by("-pages")[:1], Book.objects.order_by("pages")[:1]
    both = longest.union(shortest)
    assert names(await face.rows(both.order_by("title")), "title") == ["A3", "B1"]
    more = both.union(Book.objects.filter(title="A2"))
    assert names(await face.rows(more.order_by("title")), "title") == ["A2", "A3", "B1"]


async def test_columns_of_combined_queries(face: Face) -> None:
    await library(face)
    authors = Author.objects.values_list("name", flat=True)
    publishers = Publisher.objects.values_list("name", flat=True)
    assert sorted(await face.rows(authors.union(publishers))) == ["Ann", "House", "bob"]
    kinds = Author.objects.values("name", kind=Value("author")).union(
        Publisher.objects.values("name", kind=Value("house"))
    )
    assert await face.rows(kinds.order_by("kind", "-name").values_list("kind", "name")) == [
        ("author", "bob"),
        ("author", "Ann"),
        ("house", "House"),
    ]
    objects = Book.objects.filter(pages__lt=100).union(Book.objects.filter(pages__gt=250))
    assert await face.rows(objects.order_by("title").values("title")) == [{"title": "A3"}, {"title": "B1"}]
    counted = Author.objects.annotate(n=Count("books")).union(Author.objects.annotate(n=Count("pk"))).order_by("n")
    assert [author.n for author in await face.rows(counted)] == [1, 1, 2, 3]


async def test_combined_queries_inside_others_and_over_nothing(face: Face) -> None:
    await library(face)
    two = Book.objects.filter(title="A1").union(Book.objects.filter(title="B1"))
    assert await face(Book.objects.filter(pk__in=two.values("pk")).count)() == 2
    assert await face(two.union(Book.objects.none()).count)() == 2
    assert await face(Book.objects.none().union(two).count)() == 2
    assert await face(two.intersection(Book.objects.none()).count)() == 0
    assert await face(two.aggregate)(pages=dorm.Sum("pages")) == {"pages": 150}


REFUSED: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("filter", (), {"pages": 1}),
    ("exclude", (), {"pages": 1}),
    ("annotate", (), {"n": Count("pk")}),
    ("alias", (), {"n": Count("pk")}),
    ("distinct", (), {}),
    ("select_related", ("author",), {}),
    ("prefetch_related", ("author",), {}),
    ("only", ("title",), {}),
    ("defer", ("title",), {}),
    ("complex_filter", ({"pages": 1},), {}),
    ("select_for_update", (), {}),
]


@pytest.mark.parametrize("operator", ["union", "intersection", "difference"])
@pytest.mark.parametrize(("method", "args", "kwargs"), REFUSED, ids=[each[0] for each in REFUSED])
async def test_what_a_combined_query_refuses(operator: str, method: str, args: Any, kwargs: Any) -> None:
    combined = getattr(Book.objects.all(), operator)(Book.objects.filter(pages=1))
    assert isinstance(combined, dorm.CombinedQuerySet)
    with pytest.raises(dorm.NotSupportedError, match=rf"Calling QuerySet.{method}\(\) after {operator}\(\)"):
        getattr(combined, method)(*args, **kwargs)


async def test_combined_queries_refuse_writes_and_unknown_orders(face: Face) -> None:
    await library(face)
    combined = Book.objects.all().union(Book.objects.filter(pages=1))
    for call in (face(combined.update)(pages=1), face(combined.delete)(), face(combined.contains)(Book(pk=1))):
        with pytest.raises(dorm.NotSupportedError, match="after union"):
            await call
    with pytest.raises(dorm.NotSupportedError, match="with filters after union"):
        await face(combined.get)(pk=1)
    with pytest.raises(dorm.DatabaseError, match="ORDER BY term does not match any column"):
        combined.order_by("author__name")


async def test_and_or_xor_of_querysets(face: Face) -> None:
    await library(face)
    ann, long = Book.objects.filter(author__name="Ann"), Book.objects.filter(pages__gt=120)
    assert names(await face.rows((ann & long).order_by("title")), "title") == ["A2", "A3"]
    assert names(await face.rows((ann | long).order_by("title")), "title") == ["A1", "A2", "A3", "B2"]
    assert names(await face.rows((ann ^ long).order_by("title")), "title") == ["A1", "B2"]
    assert names(await face.rows((ann | Book.objects.exclude(author__name="Ann")).order_by("title")), "title") == [
        "A1",
        "A2",
        "A3",
        "B1",
        "B2",
    ]
    assert (await face((Book.objects.none() | long).count)(), await face((ann & Book.objects.none()).count)()) == (3, 0)
    sliced = Book.objects.order_by("title")[:1] | Book.objects.filter(title="B2")
    assert names(await face.rows(sliced.order_by("title")), "title") == ["A1", "B2"]
    multi = Author.objects.filter(books__pages=100) | Author.objects.filter(books__pages=50)
    assert names(await face.rows(multi)) == ["Ann", "bob"]


async def test_what_cannot_be_merged() -> None:
    books = Book.objects.filter(pages=1)
    for other in (Author.objects.all(), books.values("title"), books.distinct(), books[:1]):
        with pytest.raises(TypeError):
            books & other  # what is tested


async def test_filtered_relations(face: Face) -> None:
    ann, bob = await library(face)
    long = FilteredRelation("books", condition=Q(books__pages__gt=150))
    rows = Author.objects.annotate(long=long)
    assert await face(rows.count)() == 2
    assert await face.rows(rows.values_list("name", "long__title").order_by("name", "long__title")) == [
        ("Ann", "A2"),
        ("Ann", "A3"),
        ("bob", None),
    ]
    assert await face.rows(rows.filter(long__isnull=True)) == [bob]
    assert await face.rows(rows.filter(long__title="A3")) == [ann]
    assert await face.rows(rows.annotate(n=Count("long")).values_list("n", flat=True).order_by("name")) == [2, 0]
    book = await face(Book.objects.get)(title="A2")
    await face(Review.objects.create)(book=book, stars=5)
    nested = rows.annotate(best=FilteredRelation("long__review", condition=Q(long__review__stars=5)))
    assert await face.rows(nested.filter(best__isnull=False).values_list("long__title", "best__stars")) == [("A2", 5)]
    for wrong in ("", "books__title__icontains"):
        with pytest.raises(ValueError, match="relation_name"):
            Author.objects.annotate(x=FilteredRelation(wrong))
    with pytest.raises(ValueError, match="condition argument must be a Q"):
        FilteredRelation("books", condition="x")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ValueError, match="nested relations deeper"):
        Author.objects.annotate(x=FilteredRelation("books", condition=Q(books__publisher__name="x")))


async def test_locks(face: Face, backend: str) -> None:
    await library(face)
    rows = Book.objects.select_related("author").select_for_update(of=("self", "author"))
    if backend == "sqlite":
        assert await face(Book.objects.select_for_update().count)() == 5
        with pytest.raises(dorm.NotSupportedError, match="of"):
            await face.rows(rows)
        return
    with pytest.raises(dorm.TransactionManagementError, match="outside of a transaction"):
        await face.rows(rows)
    async with face.atomic():
        assert len(await face.rows(rows)) == 5
        assert len(await face.rows(Book.objects.select_for_update(skip_locked=True))) == 5
        assert len(await face.rows(Book.objects.select_for_update(nowait=True, no_key=True))) == 5
    assert rows.sql()[0].endswith(' FOR UPDATE OF "library_book", "T1"')
    with pytest.raises(ValueError, match="nowait option cannot be used with skip_locked"):
        Book.objects.select_for_update(nowait=True, skip_locked=True)
    with pytest.raises(dorm.FieldError, match=r"Choices are: self, author"):
        Book.objects.select_related("author").select_for_update(of=("publisher",)).sql()


async def test_pages(face: Face) -> None:
    await library(face)
    seen, cursor = [], None
    while True:
        page = await face(Book.objects.cursor_paginate)(after=cursor, order_by="-pages", page_size=2)
        seen += names(page.items, "title")
        cursor = page.next_cursor
        if not page.has_next:
            break
    assert seen == ["A3", "A2", "B2", "A1", "B1"]
    page = await face(Author.objects.cursor_paginate)(order_by="age", page_size=1)
    assert names(page.items) == ["Ann"]
    page = await face(Author.objects.cursor_paginate)(order_by="age", page_size=1, after=page.next_cursor)
    assert (names(page.items), page.has_next) == (["bob"], False)
    for wrong in ("!", "e30", "WzFd"):
        with pytest.raises(ValueError, match="Invalid cursor"):
            await face(Book.objects.cursor_paginate)(after=wrong, order_by="-pages")


async def test_raw(face: Face) -> None:
    await library(face)
    sql = "SELECT id, name, age + 1 AS next FROM library_author WHERE name = %s"
    for params in (["Ann"], ("Ann",)):
        rows = await face.rows(Author.objects.raw(sql, params))
        assert [(row.name, row.next, row.get_deferred_fields()) for row in rows] == [("Ann", 41, {"age", "email"})]
    named = Author.objects.raw("SELECT * FROM library_author WHERE name = %(name)s", {"name": "bob"})
    assert names(await face.rows(named)) == ["bob"]
    moved = Author.objects.raw(
        "SELECT id, email AS name, name AS mail FROM library_author", translations={"mail": "email"}
    )
    assert sorted(row.email for row in await face.rows(moved)) == ["Ann", "bob"]
    with pytest.raises(dorm.FieldDoesNotExist, match="Raw query must include the primary key"):
        await face.rows(Author.objects.raw("SELECT name FROM library_author"))
    with pytest.raises(ValueError, match="0 parameters for 1 placeholders"):
        Author.objects.raw(sql)
    with_books = Author.objects.raw("SELECT * FROM library_author ORDER BY name").prefetch_related("books")
    assert [len(await face.rows(row.books.all())) for row in await face.rows(with_books)] == [3, 2]


async def test_explain(face: Face, backend: str) -> None:
    await library(face)
    assert await face(Book.objects.filter(pages=1).explain)()
    if backend == "postgresql":
        assert '"Plan"' in await face(Book.objects.explain)(format="json")
        assert "actual time" in await face(Book.objects.explain)(analyze=True)
    else:
        with pytest.raises(ValueError, match="does not support any formats"):
            await face(Book.objects.explain)(format="json")
    with pytest.raises(ValueError, match="Unknown options: nonsense"):
        await face(Book.objects.explain)(nonsense=True)


async def test_earliest_latest_contains_and_get_or_none(face: Face) -> None:
    ann, bob = await library(face)
    assert (await face(Book.objects.earliest)("pages")).title == "B1"
    assert (await face(Book.objects.latest)("pages", "title")).title == "A3"
    with pytest.raises(ValueError, match="get_latest_by"):
        await face(Book.objects.latest)()
    with pytest.raises(Book.DoesNotExist):
        await face(Book.objects.none().latest)("pages")
    with pytest.raises(TypeError, match="once a slice has been taken"):
        await face(Book.objects.all()[:1].latest)("pages")
    assert await face(Author.objects.contains)(ann)
    assert not await face(Author.objects.filter(name="bob").contains)(ann)
    assert not await face(Author.objects.order_by("name")[:1].contains)(bob)
    with pytest.raises(ValueError, match="unsaved"):
        await face(Author.objects.contains)(Author(name="x"))
    with pytest.raises(TypeError, match="model instance"):
        await face(Author.objects.contains)(3)
    assert await face(Author.objects.get_or_none)(name="Zoe") is None
    assert await face(Author.objects.get_or_none)(name="Ann") == ann
    with pytest.raises(Book.MultipleObjectsReturned):
        await face(Book.objects.get_or_none)()


def test_a_pickled_queryset_keeps_its_rows() -> None:
    Author.objects.create(name="Ann")
    kept = pickle.loads(pickle.dumps(Author.objects.filter(name="Ann")))
    Author.objects.update(name="Other")
    assert names(kept) == ["Ann"]
    assert kept.filter(name="Other").count() == 1
    named = pickle.loads(pickle.dumps(Author.objects.values_list("name", named=True)))
    assert [row.name for row in named] == ["Other"]


def test_the_text_of_a_query_shows_its_values() -> None:
    text = str(Author.objects.filter(name="O'Brien", age__gt=3).order_by(F("age").desc(nulls_last=True)).query)
    assert "'O''Brien'" in text
    assert '"age" > 3' in text
    assert text.endswith("DESC NULLS LAST")
