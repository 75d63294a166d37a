"""`union_with`: one list of rows out of several models, their columns put together by name."""

from __future__ import annotations

import base64
from typing import Any

import pytest

import dorm
from dorm import CTE, Case, Cast, CharField, Count, F, OuterRef, RawSQL, Subquery, Sum, Value, When, Window
from dorm.contrib.encrypted import EncryptedCharField
from dorm.db.connection import connections
from dorm.functions import Concat, Lower, RowNumber
from dorm.migrations.schema import create_tables
from dorm.test import CaptureQueriesContext
from tests.db.test_rows import library
from tests.support.faces import Face, names
from tests.support.models import Author, Book, Everything, Publisher

pytestmark = pytest.mark.usefixtures("database")


class Post(dorm.Model):
    title = dorm.CharField(max_length=20)
    body = dorm.CharField(max_length=20)
    stars = dorm.IntegerField(default=0)

    class Meta:
        app_label = "union_with"


class Comment(dorm.Model):
    """The columns of Post in another order, and one more."""

    stars = dorm.IntegerField(default=0)
    body = dorm.CharField(max_length=20)
    title = dorm.CharField(max_length=20)
    post = dorm.ForeignKey(Post, null=True)

    class Meta:
        app_label = "union_with"
        ordering = ("-stars",)


class Patient(dorm.Model):
    name = EncryptedCharField(max_length=40, db_column="sealed_name")

    class Meta:
        app_label = "union_with"


COLUMNS = ("id", "title", "body", "stars")


@pytest.fixture
def posts(database: Any) -> None:
    create_tables([Post, Comment])
    post = Post.objects.create(title="p", body="pb", stars=1)
    for number in range(1, 4):
        Comment.objects.create(title=f"c{number}", body=f"cb{number}", stars=number * 10, post=post)


async def test_rows_of_several_models(face: Face) -> None:
    await library(face)
    mapping = {"label": F("title"), "kind": Value("book")}
    books = Book.objects.filter(pages__lt=120)
    feed = Publisher.objects.annotate(label=F("name"), kind=Value("house")).union_with(
        (books, mapping), all=True, order_by=["kind", "-label"]
    )
    assert await face.rows(feed) == [
        {"label": "B1", "kind": "book"},
        {"label": "A1", "kind": "book"},
        {"label": "House", "kind": "house"},
    ]
    assert await face(feed.count)() == 3
    one = Publisher.objects.values("name").union_with(Author.objects.order_by("-name")[:1], order_by=["name"])
    assert sorted(row["name"] for row in await face.rows(one)) == ["House", "bob"]
    both = Author.objects.filter(name="Ann").union_with(Author.objects.filter(name="bob"), order_by=["-name"])
    assert names(await face.rows(both)) == ["bob", "Ann"]


async def test_what_union_with_refuses() -> None:
    with pytest.raises(TypeError, match="QuerySet, a Manager or a model, not int"):
        Author.objects.union_with(3)
    with pytest.raises(ValueError, match="empty mapping"):
        Author.objects.union_with((Book, {}))
    with pytest.raises(ValueError, match="mappings of different columns: x"):
        Author.objects.values("name").union_with((Book, {"name": "title"}), (Book, {"name": "title", "x": "pages"}))
    with pytest.raises(ValueError, match="Book has no column 'name'"):
        Author.objects.values("name").union_with(Book)
    with pytest.raises(TypeError, match=r"column 'name' is CharField in Author and IntegerField in Book"):
        Author.objects.values("name").union_with((Book, {"name": "pages"}))
    with pytest.raises(ValueError, match="cannot order by 'age'"):
        Author.objects.values("name").union_with(Publisher, order_by=["age"])
    with pytest.raises(ValueError, match="select_related"):
        Book.objects.select_related("author").union_with(Book)
    cast = Author.objects.values("name").union_with((Book, {"name": Cast("pages", CharField(max_length=20))}))
    assert "varchar" in cast.sql()[0].lower() or "CAST" in cast.sql()[0]


@pytest.mark.usefixtures("posts")
async def test_columns_are_put_together_by_name(face: Face) -> None:
    swapped = Post.objects.union_with(Comment, order_by=["id", "title"])
    assert (await face.rows(swapped))[:2] == [
        {"id": 1, "title": "c1", "body": "cb1", "stars": 10},
        {"id": 1, "title": "p", "body": "pb", "stars": 1},
    ]
    # Mapping keys may be names of other fields of the source.
    crossed = Post.objects.union_with((Comment, {"title": "body", "body": F("title"), "stars": "post__stars"}))
    assert sorted((row["title"], row["body"], row["stars"]) for row in await face.rows(crossed)) == [
        ("cb1", "c1", 1),
        ("cb2", "c2", 1),
        ("cb3", "c3", 1),
        ("p", "pb", 1),
    ]
    # A head of values: the others give the same names.
    assert len(await face.rows(Post.objects.values("title").union_with(Comment.objects.all(), Comment))) == 4


@pytest.mark.usefixtures("posts")
async def test_what_a_union_with_can_do(face: Face) -> None:
    feed = Post.objects.union_with((Comment, {"title": "title", "stars": "stars"}), order_by=["-stars"])
    assert await face(feed.count)() == 4
    assert await face(feed.exists)()
    assert [row["title"] for row in await face.rows(feed[1:3])] == ["c2", "c1"]
    assert (await face(feed.first)())["title"] == "c3"
    assert await face.rows(feed.values_list("title", flat=True)) == ["c3", "c2", "c1", "p"]
    assert [row["title"] for row in await face.rows(feed.order_by("title"))] == ["c1", "c2", "c3", "p"]
    assert await face(feed.aggregate)(Sum("stars")) == {"stars__sum": 61}
    more = feed.union_with((Post, {"title": Value("more"), "stars": Value(5)}), order_by=["stars"])
    assert [row["title"] for row in await face.rows(more)] == ["p", "more", "c1", "c2", "c3"]
    dorm.configure(CACHES={"default": {"BACKEND": "dorm.cache.locmem.LocMemCache"}}, CACHE_SIGNING_KEY="k")
    with CaptureQueriesContext(connections["default"]) as caught:
        for _ in range(2):
            assert len(await face.rows(feed.cache(timeout=60))) == 4
    assert len(caught) == 1


@pytest.mark.usefixtures("posts")
async def test_each_branch_keeps_its_own_clauses(face: Face) -> None:
    title = Post.objects.values("title")
    assert [r["title"] for r in await face.rows(title.union_with(Comment.objects.all()[:1], order_by=["title"]))] == [
        "c3",
        "p",
    ]
    last = Comment.objects.order_by("stars")[1:2]
    assert [r["title"] for r in await face.rows(title.union_with(last, last, order_by=["title"], all=True))] == [
        "c2",
        "c2",
        "p",
    ]
    head = Comment.objects.values("title").order_by("title")[:1]
    assert [r["title"] for r in await face.rows(head.union_with(Post, order_by=["-title"]))] == ["p", "c1"]
    made = Post.objects.filter(stars=1).annotate(kind=Value("a"), n=Count("comment"))
    rows = made.union_with(
        (
            Comment.objects.filter(stars=20),
            {"title": Concat(Value("<"), Lower("title")), "kind": Value("b"), "n": Value(7)},
        ),
        order_by=["kind"],
    )
    assert await face.rows(rows) == [
        {"title": "p", "kind": "a", "n": 3},
        {"title": "<c2", "kind": "b", "n": 7},
    ]
    doubled = Comment.objects.values("post").union_with((Comment, {"post": "post"}), all=True)
    assert await face(doubled.count)() == 6
    assert (
        await face(Comment.objects.distinct().values("post").union_with((Post, {"post": "pk"}), all=True).count)() == 2
    )
    for empty in (Comment.objects.none(), Comment.objects.filter(pk__in=[])):
        assert await face(title.union_with(empty).count)() == 1
        assert await face(empty.values("title").union_with(Post).count)() == 1


@pytest.mark.usefixtures("posts")
async def test_instances_where_all_are_of_one_model(face: Face) -> None:
    rows = await face.rows(
        Comment.objects.filter(stars=10).union_with(Comment.objects.filter(stars=20), order_by=["pk"])
    )
    assert [type(row) for row in rows] == [Comment, Comment]
    assert names(rows, "title") == ["c1", "c2"]
    assert len(await face.rows(Post.objects.union_with())) == 1
    assert await face(Comment.objects.union_with(Comment, all=True).count)() == 6
    assert await face(Comment.objects.union_with(Comment).count)() == 3


@pytest.mark.usefixtures("posts")
async def test_nulls_have_the_type_of_their_column(face: Face) -> None:
    nothing = {"title": Value(None), "stars": Value(None)}
    rows = Post.objects.union_with(
        (Comment, nothing), (Comment, nothing), (Comment, {"title": "title", "stars": "stars"})
    )
    assert await face(rows.count)() == 5
    first = Post.objects.annotate(extra=Value(None)).values("extra")
    found = await face.rows(first.union_with((Comment, {"extra": Value(None)}), (Comment, {"extra": "stars"})))
    assert sorted(str(row["extra"]) for row in found) == ["10", "20", "30", "None"]


async def test_families_of_types(face: Face) -> None:
    families = ["integer", "truth", "double", "char", "date", "uuid", "json", "binary"]
    for one in families:
        for other in families:
            union = lambda one=one, other=other: Everything.objects.values(one).union_with((Everything, {one: other}))  # noqa: E731
            if one == other:
                await face.rows(union())
                continue
            with pytest.raises(TypeError, match=rf"column '{one}' is \w+ in Everything and \w+ in Everything.*Cast"):
                union()
    assert await face.rows(Everything.objects.values("small").union_with((Everything, {"small": "big"}))) == []
    with pytest.raises(TypeError, match="IntegerField in Everything and DecimalField in Everything"):
        Everything.objects.values("integer").union_with((Everything, {"integer": "decimal"}))


async def test_encrypted_columns_are_decrypted_in_every_branch(face: Face) -> None:
    dorm.configure(FIELD_ENCRYPTION_KEYS=[base64.b64encode(b"k" * 32).decode()])
    create_tables([Patient])
    await library(face)
    await face(Patient.objects.create)(name="Secret")
    for rows in (
        Patient.objects.values("name").union_with(Publisher, all=True),
        Publisher.objects.values("name").union_with(Patient, all=True),
        Publisher.objects.annotate(it=Value("House")).values("it").union_with((Patient, {"it": "name"})),
    ):
        assert sorted(next(iter(row.values())) for row in await face.rows(rows)) == ["House", "Secret"]


@pytest.mark.usefixtures("posts")
async def test_sources_and_orders_that_are_refused() -> None:
    wrong: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
        (TypeError, "QuerySet, a Manager or a model, not str", ("x",), {}),
        (TypeError, "QuerySet, a Manager or a model, not type", (object,), {}),
        (TypeError, r"QuerySet, Manager or model.*not \(ModelBase, list\)", ((Comment, ["title"]),), {}),
        (TypeError, "fields or expressions, not to int", ((Comment, {"title": 3}),), {}),
        (TypeError, "order_by as a list", (Comment,), {"order_by": "title"}),
        (TypeError, "names of its columns, not OrderBy", (Comment,), {"order_by": [F("id").desc()]}),
        (TypeError, "order_by as a list of names of its columns, not int", (Comment,), {"order_by": [1]}),
        (TypeError, "maps names of columns, which are texts, not int", ((Comment, {1: "title"}),), {}),
        (ValueError, "cannot order by '\\?'", (Comment,), {"order_by": ["?"]}),
        (ValueError, "cannot order by 'titel'. Did you mean 'title'", (Comment,), {"order_by": ["titel"]}),
        (ValueError, "cannot order by 'comment__title'", (Comment,), {"order_by": ["comment__title"]}),
        (ValueError, "Post has no column 'nope'", ((Comment, {"nope": "title"}),), {}),
        (ValueError, "Comment has no column 'id', 'body'", (Comment.objects.values("title", "stars"),), {}),
        (ValueError, "column 'post' that the result has not", (Comment.objects.values(*COLUMNS, "post"),), {}),
        (ValueError, "leave out select_related", (Comment.objects.select_related("post"),), {}),
        (ValueError, "leave out select_related", (Comment.objects.prefetch_related("post"),), {}),
        (ValueError, "leave out select_related", (Comment.objects.only("title"),), {}),
        (ValueError, "different columns: body, title", ((Comment, {"title": "title"}), (Comment, {"body": "id"})), {}),
        (dorm.FieldError, "'nope'", ((Comment, {"title": "nope"}),), {}),
    ]  # fmt: skip
    for error, match, others, options in wrong:
        with pytest.raises(error, match=match):
            Post.objects.union_with(*others, **options)
    with pytest.raises(ValueError, match="one database, not default, other"):
        Post.objects.using("default").union_with(Post.objects.using("other"))
    assert Post.objects.union_with(Post.objects.using("other")).db == "other"


async def test_branches_of_every_kind_of_query(face: Face) -> None:
    ann, bob = await library(face)
    first = Book.objects.filter(author=OuterRef("pk")).order_by("pages").values("title")[:1]
    cte = CTE("SELECT id FROM library_book WHERE pages > %s", [250])
    long = Book.objects.with_cte(long=cte).filter(pk__in=RawSQL("SELECT id FROM long"))
    both = Author.objects.values("name").union(Publisher.objects.values("name"))
    branches: list[tuple[Any, list[str]]] = [
        ((Book, {"name": "author__name"}), ["Ann", "House", "bob"]),
        ((Author, {"name": Subquery(first)}), ["A1", "B1", "House"]),
        ((Author, {"name": Case(When(age=40, then=Value("forty")), default="name")}), ["House", "bob", "forty"]),
        ((long, {"name": "title"}), ["A3", "House"]),
        ((ann.books, {"name": Lower("title")}), ["House", "a1", "a2", "a3"]),
        (both, ["Ann", "House", "bob"]),
        ((bob.books.order_by("-pages")[:1], {"name": "title"}), ["B2", "House"]),
    ]
    for branch, expected in branches:
        rows = Publisher.objects.values("name").union_with(branch)
        assert sorted(row["name"] for row in await face.rows(rows)) == expected
        assert sorted(await face.rows(rows.values_list("name", flat=True))) == expected
        assert await face(Publisher.objects.filter(name__in=rows.lookup("name")).count)() == 1
    head = Publisher.objects.annotate(n=Value(0))
    for expression, expected_numbers in (
        (Count("books"), [0, 2, 3]),
        (Window(RowNumber(), order_by="name"), [0, 1, 2]),
    ):
        counted = head.union_with((Author, {"name": "name", "n": expression}), order_by=["n"])
        assert [row["n"] for row in await face.rows(counted)] == expected_numbers
        assert [row["n"] for row in await face.rows(counted.reverse())] == expected_numbers[::-1]
        assert (await face(counted.last)())["n"] == expected_numbers[-1]
    assert sorted(await face.rows(ann.books.union_with(bob.books).values_list("title", flat=True))) == [
        "A1", "A2", "A3", "B1", "B2",
    ]  # fmt: skip
