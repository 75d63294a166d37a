"""Ordering: Meta.ordering of every kind, over relations, and what it means for first, last and grouped rows."""

from __future__ import annotations

import pytest

import dorm
from dorm import Case, Count, Exists, F, OuterRef, Subquery, Value, When
from dorm.functions import Coalesce, Lower
from tests.support.faces import Face, names


class Shelf(dorm.Model):
    name = dorm.CharField(max_length=9)
    rank = dorm.IntegerField(null=True)

    class Meta:
        app_label = "doc_order"
        ordering = [F("rank").desc(nulls_last=True), Lower("name")]


class Box(dorm.Model):
    name = dorm.CharField(max_length=9)
    size = dorm.IntegerField(null=True)
    shelf = dorm.ForeignKey(Shelf, on_delete=dorm.CASCADE, null=True)

    class Meta:
        app_label = "doc_order"
        ordering = [Coalesce("size", Value(5)).desc(), "pk"]


class Item(dorm.Model):
    name = dorm.CharField(max_length=9)
    box = dorm.ForeignKey(Box, on_delete=dorm.CASCADE)

    class Meta:
        app_label = "doc_order"
        ordering = ["box", "-name"]


class Label(dorm.Model):
    text = dorm.CharField(max_length=9)
    item = dorm.ForeignKey(Item, on_delete=dorm.CASCADE)

    class Meta:
        app_label = "doc_order"
        ordering = ["item"]


class Task(dorm.Model):
    name = dorm.CharField(max_length=9)
    state = dorm.CharField(max_length=9)

    class Meta:
        app_label = "doc_order"
        ordering = [Case(When(state__startswith="op", then=Value(0)), default=Value(1)), "name"]


class Loop(dorm.Model):
    up = dorm.ForeignKey("self", on_delete=dorm.CASCADE, null=True)

    class Meta:
        app_label = "doc_order"
        ordering = ["up"]


class Sheet(dorm.Model):
    folder = dorm.CharField(max_length=9)
    word = dorm.CharField(max_length=9)
    rank = dorm.IntegerField()

    class Meta:
        app_label = "doc_order"


class Folder(dorm.Model):
    name = dorm.CharField(max_length=9)

    class Meta:
        app_label = "doc_order"
        ordering = [
            Exists(Sheet.objects.filter(folder=OuterRef("name"), word="y")).desc(),
            Coalesce(Subquery(Sheet.objects.filter(folder=OuterRef("name"), rank=1).values("word")[:1]), Value("zz")),
            "-name",
        ]


class Tab(dorm.Model):
    folder = dorm.ForeignKey(Folder, on_delete=dorm.CASCADE, related_name="tabs")
    number = dorm.IntegerField()

    class Meta:
        app_label = "doc_order"


MODELS = (Shelf, Box, Item, Label, Task, Loop, Folder, Sheet, Tab)


async def _shelves(face: Face) -> list[Shelf]:
    given = (("b", 1), ("A", 1), ("c", None), ("d", 5))
    return [await face(Shelf.objects.create)(name=name, rank=rank) for name, rank in given]


async def _boxes(face: Face) -> list[Box]:
    given = (("one", 1), ("none", None), ("nine", 9), ("four", 4))
    return [await face(Box.objects.create)(name=name, size=size) for name, size in given]


async def test_expressions_in_meta_ordering(face: Face) -> None:
    await _shelves(face)
    assert names(await face.rows(Shelf.objects.all())) == ["d", "A", "b", "c"]
    assert names(await face.rows(Shelf.objects.reverse())) == ["c", "b", "A", "d"]
    first, last = await face(Shelf.objects.first)(), await face(Shelf.objects.last)()
    assert names([first, last]) == ["d", "c"]


async def test_values_in_meta_ordering_are_not_those_of_the_query(face: Face) -> None:
    await _boxes(face)
    assert names(await face.rows(Box.objects.all())) == ["nine", "none", "four", "one"]
    assert names(await face.rows(Box.objects.filter(size__gt=0))) == ["nine", "four", "one"]
    assert names(await face.rows(Box.objects.exclude(name="four").reverse())) == ["one", "none", "nine"]
    assert names(await face.rows(Box.objects.exclude(name="none")[1:3])) == ["four", "one"]
    assert names(await face.rows(Box.objects.distinct())) == ["nine", "none", "four", "one"]
    assert await face.rows(Box.objects.values_list("name", flat=True)) == ["nine", "none", "four", "one"]
    assert names(await face.stream(Box.objects.filter(size__gt=3))) == ["nine", "four"]
    largest = Box.objects.filter(size__lt=9)[:1]
    assert names(await face.rows(Box.objects.filter(pk__in=largest))) == ["four"]
    assert "COALESCE" in str(Box.objects.all().query)


async def test_conditions_in_meta_ordering(face: Face) -> None:
    for name, state in (("a", "done"), ("b", "open"), ("c", "done"), ("d", "open")):
        await face(Task.objects.create)(name=name, state=state)
    assert names(await face.rows(Task.objects.all())) == ["b", "d", "a", "c"]
    assert names(await face.rows(Task.objects.exclude(name="b"))) == ["d", "a", "c"]


async def test_a_relation_orders_by_the_ordering_of_its_target_expressions_included(face: Face) -> None:
    one, none, nine, four = await _boxes(face)
    for name, box in (("i1", one), ("i2", nine), ("i3", nine), ("i4", none), ("i5", four)):
        item = await face(Item.objects.create)(name=name, box=box)
        await face(Label.objects.create)(text=name, item=item)
    assert names(await face.rows(Item.objects.all())) == ["i3", "i2", "i4", "i5", "i1"]
    assert names(await face.rows(Item.objects.order_by("box", "name"))) == ["i2", "i3", "i4", "i5", "i1"]
    assert names(await face.rows(Item.objects.order_by("-box", "name"))) == ["i1", "i5", "i4", "i2", "i3"]
    assert names(await face.rows(Item.objects.order_by("box_id", "name"))) == ["i1", "i4", "i2", "i3", "i5"]
    assert names(await face.rows(Label.objects.all()), "text") == ["i3", "i2", "i4", "i5", "i1"]
    assert names(await face.rows(Label.objects.filter(text__gt="i2")), "text") == ["i3", "i4", "i5"]
    assert names(await face.rows(Label.objects.reverse()), "text") == ["i1", "i5", "i4", "i2", "i3"]


async def test_an_ordering_that_goes_in_circles_is_refused(face: Face) -> None:
    for rows in (lambda: Loop.objects.all(), lambda: Loop.objects.order_by("up__up")):
        with pytest.raises(dorm.FieldError, match="Infinite loop caused by ordering"):
            await face.rows(rows())
    assert await face.rows(Loop.objects.order_by("up_id")) == []


async def test_grouped_rows_have_no_order_of_their_model(face: Face) -> None:
    await _shelves(face)
    grouped = Shelf.objects.values("rank").annotate(n=Count("pk"))
    assert Shelf.objects.all().ordered
    assert not grouped.ordered
    for method in (grouped.first, grouped.last):
        with pytest.raises(TypeError, match="on an unordered queryset performing aggregation"):
            await face(method)()
    assert await face(grouped.order_by("-n").first)() == {"rank": 1, "n": 2}
    by_key = Shelf.objects.order_by().values("pk").annotate(n=Count("box"))
    assert (await face(by_key.first)())["n"] == 0


async def test_annotations_after_values_may_bear_the_names_of_other_fields(face: Face) -> None:
    await _shelves(face)
    rows = Shelf.objects.values("rank").annotate(name=Count("pk")).order_by("rank")
    assert {(row["rank"], row["name"]) for row in await face.rows(rows)} == {(1, 2), (None, 1), (5, 1)}
    with pytest.raises(ValueError, match="conflicts with a field"):
        Shelf.objects.values("rank").annotate(rank=Count("pk"))
    with pytest.raises(ValueError, match="conflicts with a field"):
        Shelf.objects.annotate(name=Count("pk"))


def test_refusals_around_combined_and_distinct_rows() -> None:
    both = Shelf.objects.order_by().union(Shelf.objects.order_by())
    for wrong in (lambda: both | Shelf.objects.all(), lambda: Shelf.objects.all() & both, lambda: both ^ both):
        with pytest.raises(TypeError, match="operator with combined queryset"):
            wrong()
    with pytest.raises(dorm.FieldError, match="Cannot resolve keyword 'bogus'"):
        both.order_by("bogus")
    with pytest.raises(dorm.NotSupportedError, match="distinct"):
        Shelf.objects.distinct("name").aggregate(n=Count("pk"))


async def test_only_what_was_deferred_before_is_all(face: Face) -> None:
    await _shelves(face)
    shelf = await face(Shelf.objects.defer("name").only("name").first)()
    assert shelf.get_deferred_fields() == set()
    shelf = await face(Shelf.objects.defer("name").only("name", "rank").first)()
    assert shelf.get_deferred_fields() == {"name"}


async def test_subqueries_with_values_in_meta_ordering(face: Face) -> None:
    for name, words in (("a", ["x", "y"]), ("b", []), ("c", ["z", "z", "q"]), ("d", ["y"])):
        folder = await face(Folder.objects.create)(name=name)
        await face(Tab.objects.create)(folder=folder, number=len(words))
        for rank, word in enumerate(words):
            await face(Sheet.objects.create)(folder=name, word=word, rank=rank)
    # First those with a sheet "y", then by the word of the sheet of rank 1.
    assert names(await face.rows(Folder.objects.all())) == ["a", "d", "c", "b"]
    assert names(await face.rows(Folder.objects.reverse())) == ["b", "c", "d", "a"]
    assert names(await face.rows(Folder.objects.exclude(name="a").filter(name__gt="b"))) == ["d", "c"]
    assert names(await face.rows(Folder.objects.filter(name__in=["b", "c"])[:1])) == ["c"]
    assert "'y'" in str(Folder.objects.all().query)
    # Seen from a relation, beside values of the query's own.
    tabs = Tab.objects.filter(number__lt=3).exclude(folder__name="b").order_by("folder")
    assert [tab.number for tab in await face.rows(tabs)] == [2, 1]
    # Within a subquery, and within a subquery of that one.
    inner = Folder.objects.filter(tabs__number__lt=2)[:1]
    assert names(await face.rows(Folder.objects.filter(pk__in=inner))) == ["d"]
    assert [tab.number for tab in await face.rows(Tab.objects.filter(folder__in=inner, number__gt=0))] == [1]
