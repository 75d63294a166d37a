"""with_cte, union_with, lookup, dorm.tree."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import CTE, Cast, CharField, F, RawSQL, Value, tree
from dorm.migrations.schema import create_tables
from tests.db.test_rows import library
from tests.support.faces import Face, names
from tests.support.models import Author, Book, Publisher

pytestmark = pytest.mark.usefixtures("database")


class Folder(dorm.Model):
    name = dorm.CharField(max_length=20)
    parent = dorm.ForeignKey("self", null=True, related_name="children")

    class Meta:
        app_label = "cte_tree"


@pytest.fixture
def folders(database: Any) -> dict[str, Folder]:
    create_tables([Folder])
    made: dict[str, Folder] = {}
    for name, parent in (("root", None), ("a", "root"), ("b", "root"), ("a1", "a"), ("a2", "a"), ("deep", "a1")):
        made[name] = Folder.objects.create(name=name, parent=made.get(parent or ""))
    return made


async def test_named_queries_in_front(face: Face) -> None:
    await library(face)
    long = Book.objects.filter(pages__gte=200)
    found = Author.objects.with_cte(long=long).filter(
        pk__in=RawSQL("SELECT author_id FROM long WHERE pages < %s", (250,))
    )
    assert found.sql()[0].startswith('WITH "long" AS (SELECT ')
    for _ in range(2):
        assert names(await face.rows(found)) == ["Ann"]
    assert await face(found.count)() == 1
    assert await face(found.exists)()
    text = CTE("SELECT id AS key FROM library_book WHERE pages = %s", [50])
    assert names(
        await face.rows(Book.objects.with_cte(one=text).filter(pk__in=RawSQL("SELECT key FROM one"))), "title"
    ) == ["B1"]
    assert (
        await face(Book.objects.with_cte(one=text).filter(pk__in=RawSQL("SELECT key FROM one")).update)(pages=51) == 1
    )
    numbers = CTE("SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < %s", [3], recursive=True)
    hundreds = Book.objects.with_cte(numbers=numbers).filter(pages__in=RawSQL("SELECT n * 100 FROM numbers"))
    assert hundreds.sql()[0].startswith('WITH RECURSIVE "numbers" AS (')
    assert sorted(names(await face.rows(hundreds), "title")) == ["A1", "A2", "A3"]


async def test_what_with_cte_refuses() -> None:
    with pytest.raises(TypeError, match="querysets and CTE objects"):
        Book.objects.with_cte(x=3)
    with pytest.raises(ValueError, match="0 parameters"):
        CTE("SELECT %s")
    with pytest.raises(ValueError, match="given 'x' already"):
        Book.objects.with_cte(x=Book.objects.all()).with_cte(x=Book.objects.all())
    with pytest.raises(ValueError, match="Column aliases"):
        Book.objects.with_cte(**{"x y": Book.objects.all()})


async def test_trees(face: Face, folders: dict[str, Folder]) -> None:
    below = await face(tree.descendants)(Folder, parent_field="parent", root_pk=folders["a"].pk)
    assert [(row["name"], row["depth"]) for row in below] == [("a", 0), ("a1", 1), ("a2", 1), ("deep", 2)]
    above = await face(tree.ancestors)(Folder, parent_field="parent", leaf_pk=folders["deep"].pk, fields=["name"])
    assert above == [{"name": name, "depth": depth} for depth, name in enumerate(("deep", "a1", "a", "root"))]
    cte = tree.descendants_cte(Folder, parent_field="parent", root_pk=folders["a"].pk)
    found = Folder.objects.with_cte(descendants=cte).filter(pk__in=RawSQL("SELECT id FROM descendants"))
    assert names(await face.rows(found.order_by("name"))) == ["a", "a1", "a2", "deep"]


async def test_a_tree_with_a_cycle_ends(face: Face, folders: dict[str, Folder]) -> None:
    await face(Folder.objects.filter(name="a").update)(parent=folders["deep"])
    below = await face(tree.descendants)(Folder, parent_field="parent", root_pk=folders["a"].pk)
    assert sorted(row["name"] for row in below) == ["a", "a1", "a2", "deep"]
    marked = await face(tree.descendants)(Folder, parent_field="parent", root_pk=folders["a"].pk, cycle_field="again")
    assert [row["name"] for row in marked if row["again"]] == ["a"]


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
    with pytest.raises(ValueError, match="different databases"):
        await face.rows(Book.objects.using("default").filter(pk__in=Book.objects.using("other").lookup()))


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
