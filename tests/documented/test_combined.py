"""The part on union(), intersection() and difference() of the page "QuerySet API reference"."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import F, OuterRef, Q, Value
from tests.documented.blog import MODELS, Author, Blog, Entry
from tests.support.faces import Face

__all__ = ["MODELS"]


async def fill(face: Face) -> None:
    """Two blogs; Ann's entries A1 (100 comments), A2 (200), A3 (300), Bob's B1 (50) and B2 (150)."""
    ann = await face(Blog.objects.create)(name="Ann")
    bob = await face(Blog.objects.create)(name="bob")
    for headline, comments, blog in (("A1", 100, ann), ("A2", 200, ann), ("A3", 300, ann), ("B1", 50, bob)):
        await face(Entry.objects.create)(headline=headline, number_of_comments=comments, blog=blog)
    await face(Entry.objects.create)(headline="B2", number_of_comments=150, blog=bob)


def few() -> Any:
    return Entry.objects.filter(number_of_comments__lte=150)


def anns() -> Any:
    return Entry.objects.filter(blog__name="Ann")


def either() -> Any:
    return few().union(anns())


async def headlines(face: Face, entries: Any) -> list[str]:
    return [entry.headline for entry in await face.rows(entries)]


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (["headline"], "A1 A2 A3 B1 B2"),
        (["-number_of_comments"], "A3 A2 B2 A1 B1"),
        (["-pk"], "B2 B1 A3 A2 A1"),
        (["blog", "-headline"], "A3 A2 A1 B2 B1"),
        (["-blog_id", "headline"], "B1 B2 A1 A2 A3"),
        (["blog__pk", "-headline"], "A3 A2 A1 B2 B1"),
        (["-blog__id", "headline"], "B1 B2 A1 A2 A3"),
        ([F("headline").desc()], "B2 B1 A3 A2 A1"),
        ([F("blog__pk").desc(nulls_last=True), "headline"], "B1 B2 A1 A2 A3"),
        ([F("number_of_comments") * -1], "A3 A2 B2 A1 B1"),
    ],
)
async def test_order_of_objects(face: Face, keys: list[Any], wanted: str) -> None:
    await fill(face)
    ordered = either().order_by(*keys)
    assert await headlines(face, ordered) == wanted.split()
    assert await headlines(face, ordered.reverse()) == wanted.split()[::-1]
    assert await headlines(face, ordered.all()[1:3]) == wanted.split()[1:3]
    assert (await face(ordered.first)()).headline == wanted.split()[0]
    assert (await face(ordered.last)()).headline == wanted.split()[-1]
    assert (await face(ordered.count)(), await face(ordered.all()[3:].count)()) == (5, 2)
    # Chosen after the order: the columns it needs are still there, whatever they are.
    assert await face.rows(ordered.values_list("headline", flat=True)) == wanted.split()
    assert await face.rows(ordered.values_list("rating", "headline")) == [(5, each) for each in wanted.split()]
    assert [row["headline"] for row in await face.rows(ordered.values())] == wanted.split()


async def test_rows_in_an_order_of_columns_they_do_not_have(face: Face) -> None:
    await fill(face)
    assert await face.rows(either().order_by("headline").values_list("number_of_comments", flat=True)) == [
        100,
        200,
        300,
        50,
        150,
    ]
    comments = either().values_list("number_of_comments", flat=True)
    assert await face.rows(comments.order_by("headline")) == [100, 200, 300, 50, 150]
    assert await face.rows(comments.order_by(F("headline").desc())[1:3]) == [50, 300]
    assert await face.rows(comments.order_by("headline").order_by("-pk")) == [150, 50, 300, 200, 100]
    assert await face(comments.order_by("-headline").first)() == 150
    assert await face.rows(comments.order_by("headline").values_list("rating", "headline")[:1]) == [(5, "A1")]
    assert await face.rows(either().order_by("-headline")[:2].values_list("number_of_comments", flat=True)) == [150, 50]
    named = either().values_list("blog__name", flat=True)
    # The order's column makes rows different, as in Django.
    assert await face.rows(named.order_by("blog__name", "-headline")) == ["Ann"] * 3 + ["bob"] * 2
    assert await face.rows(named.order_by("headline").order_by("-blog__name")) == ["bob", "Ann"]
    assert await face(named.order_by("headline").order_by().count)() == 2
    assert sorted(await face.rows(named)) == ["Ann", "bob"]
    wanted = either().order_by("headline").values("number_of_comments")
    assert await face(Entry.objects.filter(number_of_comments__in=wanted).count)() == 5


async def test_columns_chosen_before_and_after(face: Face) -> None:
    await fill(face)
    before = few().values_list("headline", "number_of_comments").union(anns().values_list("headline", "rating"))
    rows = await face.rows(before.order_by("number_of_comments", "headline"))
    assert rows[:4] == [("A1", 5), ("A2", 5), ("A3", 5), ("B1", 50)]
    narrow = before.values_list("headline", flat=True)
    assert await face.rows(narrow.order_by("-number_of_comments", "headline")[:2]) == ["B2", "A1"]
    assert await face.rows(narrow.order_by("headline").values_list("number_of_comments")[:1]) in ([(5,)], [(100,)])
    again = either().values_list("headline").values_list("number_of_comments", flat=True)
    assert await face.rows(again.order_by("number_of_comments")) == [50, 100, 150, 200, 300]
    kinds = Author.objects.values("name", kind=Value("author")).union(Blog.objects.values("name", kind=Value("blog")))
    assert await face.rows(kinds.order_by("kind", "-name")) == [
        {"name": "bob", "kind": "blog"},
        {"name": "Ann", "kind": "blog"},
    ]
    assert await face.rows(
        Blog.objects.values("name").union(Entry.objects.values("headline")).order_by("-name")[:1]
    ) == [{"name": "bob"}]


@pytest.mark.parametrize("name", ["number_of_comments", "pk", "blog__name"])
def test_an_order_by_what_the_branches_do_not_select(name: str) -> None:
    chosen = few().values_list("headline").union(anns().values_list("headline"))
    with pytest.raises(dorm.DatabaseError, match="does not match any column"):
        chosen.order_by(name)


def test_an_order_by_what_is_no_field() -> None:
    for rows in (either(), either().values("headline"), few().values("headline").union(anns().values("headline"))):
        for name in ("nothing", "1", F("nothing")):
            with pytest.raises(dorm.FieldError, match="Cannot resolve keyword"):
                rows.order_by(name)
    with pytest.raises(dorm.DatabaseError, match="does not match any column"):
        either().order_by("blog__name")


async def test_nothing_in_combinations(face: Face) -> None:
    await fill(face)
    nothing = Entry.objects.none()
    for empty in (nothing, Entry.objects.filter(pk__in=[]), Entry.objects.all()[0:0]):
        assert await headlines(face, empty.union(anns()).order_by("headline")) == ["A1", "A2", "A3"]
        assert await headlines(face, anns().union(empty).order_by("headline")) == ["A1", "A2", "A3"]
        assert await headlines(face, anns().difference(empty).order_by("headline")) == ["A1", "A2", "A3"]
        for rows in (empty.difference(anns()), empty.intersection(anns()), anns().intersection(empty)):
            assert await face.rows(rows.order_by("headline")) == []
            assert (await face(rows.count)(), await face(rows.exists)()) == (0, False)
    both = nothing.union(nothing)
    assert await face.rows(both.order_by("headline").values_list("rating")) == []
    with pytest.raises(Entry.DoesNotExist):
        await face(both.get)()
    assert await face.rows(nothing.union(anns()).order_by("headline").values_list("headline", flat=True)) == [
        "A1",
        "A2",
        "A3",
    ]
    assert await headlines(face, anns().union().order_by("-headline")) == ["A3", "A2", "A1"]


async def test_combinations_of_combinations(face: Face) -> None:
    await fill(face)
    last = Entry.objects.filter(headline="B2")
    assert await headlines(face, anns().union(few().difference(last)).order_by("headline")) == ["A1", "A2", "A3", "B1"]
    assert await headlines(face, either().difference(last).order_by("headline")) == ["A1", "A2", "A3", "B1"]
    assert await headlines(face, few().intersection(anns()).union(last).order_by("headline")) == ["A1", "B2"]
    cut = either().order_by("-headline")[:1]
    assert await headlines(face, anns().union(cut).order_by("-headline")[:2]) == ["B2", "A3"]
    assert await headlines(face, few().intersection(Entry.objects.all(), last)) == ["B2"]
    assert await headlines(face, Entry.objects.difference(few(), anns().filter(headline="A3"))) == ["A2"]


async def test_combined_queries_as_subqueries(face: Face) -> None:
    await fill(face)
    keys = few().values("pk").union(anns().filter(headline="A3").values("pk"))
    inside = Entry.objects.filter(pk__in=keys).order_by("headline")
    assert await headlines(face, inside) == ["A1", "A3", "B1", "B2"]
    assert await headlines(face, Entry.objects.exclude(pk__in=keys)) == ["A2"]
    own = Entry.objects.filter(blog=OuterRef("pk"))
    many = own.filter(number_of_comments=50).union(own.filter(number_of_comments=7))
    assert [blog.name for blog in await face.rows(Blog.objects.filter(dorm.Exists(many)))] == ["bob"]
    assert await face(Entry.objects.filter(pk__in=keys).update)(rating=1) == 4


REFUSED: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("filter", (), {}),
    ("filter", (Q(),), {}),
    ("exclude", (Q(),), {}),
    ("annotate", (), {"n": Value(1)}),
    ("distinct", ("headline",), {}),
    ("select_related", (), {}),
    ("prefetch_related", (None,), {}),
    ("defer", (None,), {}),
    ("only", (), {}),
    ("dates", ("pub_date", "year"), {}),
]


@pytest.mark.parametrize(("method", "args", "kwargs"), REFUSED)
def test_what_is_refused_at_once(method: str, args: Any, kwargs: Any) -> None:
    with pytest.raises(dorm.NotSupportedError, match=r"after union\(\)"):
        getattr(either(), method)(*args, **kwargs)


async def test_what_is_refused_when_it_is_run(face: Face) -> None:
    await fill(face)
    for call in (
        face(either().get)(pk=1),
        face(either().in_bulk)([1]),
        face(either().contains)(Entry(pk=1)),
        face(either().update)(rating=1),
        face(either().delete)(),
        face(either().get_or_create)(pk=1),
        face(either().update_or_create)(pk=1),
    ):
        with pytest.raises(dorm.NotSupportedError, match=r"after union\(\)"):
            await call
    with pytest.raises(Entry.MultipleObjectsReturned):
        await face(either().get)()
    one = Entry.objects.filter(headline="A1")
    assert (await face(one.union(one).get)()).headline == "A1"
    assert len(await face(either().in_bulk)()) == 5


def test_operators_are_for_plain_queries() -> None:
    for one, other in ((either(), few()), (few(), either()), (either(), Entry.objects.none())):
        for operator in ("__and__", "__or__", "__xor__"):
            with pytest.raises(TypeError, match="combined queryset"):
                getattr(one, operator)(other)


async def test_related_objects_and_sums(face: Face) -> None:
    await fill(face)
    joined = few().select_related("blog").union(anns().select_related("blog")).order_by("headline")
    assert [entry.blog.name for entry in await face.rows(joined)] == ["Ann", "Ann", "Ann", "bob", "bob"]
    blog = await face(Blog.objects.get)(name="Ann")
    assert await headlines(face, blog.entry_set.union(few()).order_by("-headline")[:2]) == ["B2", "B1"]
    assert await face(either().aggregate)(n=dorm.Sum("number_of_comments")) == {"n": 800}
    dates = Entry.objects.values_list("pub_date", flat=True)
    assert await face.rows(dates.union(dates)) == [datetime.date(2020, 1, 1)]
