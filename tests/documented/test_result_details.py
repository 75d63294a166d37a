"""The page "QuerySet API reference", at the edges: what results are, and what is refused before anything is sent."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import dorm
from dorm import Exists, F, FilteredRelation, Prefetch, Q, Value, prefetch_related_objects
from dorm.functions import KT, Concat, Upper
from tests.documented.blog import MODELS as MODELS, Author, Blog, Dog, Entry, EntryDetail
from tests.support.faces import Face
from tests.support.statements import statements


async def fill(face: Face) -> None:
    """Entries One (Ann), Two (Ann, Bob), Three (nobody) of two blogs; One has details."""
    beatles = await face(Blog.objects.create)(name="Beatles")
    pop = await face(Blog.objects.create)(name="Pop")
    ann = await face(Author.objects.create)(name="Ann", email="Ann")
    bob = await face(Author.objects.create)(name="Bob", email="b")
    for number, (headline, blog, authors) in enumerate(
        (("One", beatles, [ann]), ("Two", pop, [ann, bob]), ("Three", beatles, [])), 1
    ):
        entry = await face(Entry.objects.create)(headline=headline, blog=blog, rating=number)
        await face(entry.authors.add)(*authors)
        if number == 1:
            await face(EntryDetail.objects.create)(entry=entry, details="d")


async def test_iterator_without_a_chunk_size(face: Face) -> None:
    await fill(face)
    for size in (None, 1, 2, 2000):
        rows = await face.stream(Entry.objects.order_by("pk"), chunk_size=size)
        assert [each.headline for each in rows] == ["One", "Two", "Three"]
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="strictly positive"):
            Entry.objects.iterator(chunk_size=wrong)


async def test_the_order_of_what_is_merged_is_that_of_the_second(face: Face) -> None:
    await fill(face)
    up, down = Entry.objects.order_by("pk"), Entry.objects.order_by("-pk")
    for merged, expected in (
        (up | down, ["Three", "Two", "One"]),
        (down | up, ["One", "Two", "Three"]),
        (down & Entry.objects.all(), ["Three", "Two", "One"]),
        (down | up.reverse(), ["Three", "Two", "One"]),
        (Entry.objects.all() | down, ["Three", "Two", "One"]),
        (down | Entry.objects.order_by(), ["Three", "Two", "One"]),
    ):
        assert [each.headline for each in await face.rows(merged)] == expected


async def test_membership_in_one_expression(face: Face) -> None:
    await fill(face)
    assert [each.name for each in await face.rows(Author.objects.filter(name__in=F("email")))] == ["Ann"]
    assert await face(Author.objects.filter(name__in=Upper("name")).count)() == 0
    assert await face(Author.objects.exclude(name__in=F("email")).count)() == 1
    for error in (TypeError, ValueError):
        with pytest.raises(error, match="None"):
            Author.objects.filter(name__in=None)


async def test_values_compared_with_computed_texts_are_texts(face: Face) -> None:
    await face(Dog.objects.create)(name="1", data={"age": 1, "size": "12"})
    await face(Dog.objects.create)(name="two", data={"age": "2"})
    dogs = Dog.objects.annotate(
        age=KT("data__age"),
        one=Value("1"),
        both=Concat("name", Value("1")),
        is_one=Exists(Dog.objects.filter(name="1")),
    )
    for condition, expected in (
        ({"age": 1}, 1),
        ({"age__in": [1, 2.5]}, 1),
        ({"age__gt": 0}, 2),
        ({"age__range": (0, 1)}, 1),
        ({"one": 1}, 2),
        ({"one__in": [1, True]}, 2),
        ({"both": 11}, 1),
        ({"both__in": [11]}, 1),
        ({"is_one": "True"}, 2),
        ({"is_one__in": ["f"]}, 0),
    ):
        assert await face(dogs.filter(**condition).count)() == expected, condition
    for wrong in ({"age": b"1"}, {"is_one": "secret"}):
        with pytest.raises(TypeError) as caught:
            await face(dogs.filter(**wrong).count)()
        assert "secret" not in str(caught.value)


async def test_rows_with_names_that_come_twice(face: Face) -> None:
    await fill(face)
    qs = Blog.objects.order_by("pk").values_list("name", "pk", "name", named=True)
    for rows in (await face.rows(qs), await face.rows(pickle.loads(pickle.dumps(qs)))):
        assert rows[0]._fields == ("name", "pk", "name1")
        assert rows[0] == ("Beatles", 1, "Beatles")


async def test_a_queryset_forgets_what_it_deleted(face: Face) -> None:
    await fill(face)
    for qs, number in ((Entry.objects.filter(rating=1), 1), (Dog.objects.all(), 0)):
        assert len(await face.rows(qs)) == number
        await face(qs.delete)()
        assert await face.rows(qs) == []


async def test_deleting_joins_nothing_that_was_asked_for(face: Face) -> None:
    await fill(face)
    with statements() as sent:
        await face(Entry.objects.select_related("blog").prefetch_related("authors").delete)()
    assert not any("doc_blog_blog" in text for text in sent), sent
    assert await face(Entry.objects.count)() == 0


IT = FilteredRelation("authors", condition=Q(authors__name="Ann"))
PREFETCHES: list[tuple[Any, type[Exception]]] = [
    (lambda: Entry.objects.prefetch_related(1), AttributeError),
    (lambda: Entry.objects.prefetch_related("authors", None), AttributeError),
    (lambda: Entry.objects.annotate(it=IT).prefetch_related("it"), ValueError),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error"), PREFETCHES)
def test_lookups_that_cannot_be_prefetched(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"prefetch_related\(\)"):
        make()


async def test_prefetches_take_rows_of_the_relation_s_model(face: Face) -> None:
    await fill(face)
    for lookup, rows in (("authors", Blog), ("blog", Author), ("entrydetail", Author)):
        qs = Entry.objects.prefetch_related(Prefetch(lookup, rows.objects.all()))
        with pytest.raises(dorm.FieldError, match="takes a queryset of"):
            await face.rows(qs)
    mixed = [await face(Entry.objects.get)(rating=1), await face(Blog.objects.get)(name="Pop")]
    with pytest.raises(AttributeError, match="Cannot find 'authors' on Blog"):
        await face(prefetch_related_objects)(mixed, "authors")


CONDITIONS: list[Any] = [
    lambda: Entry.objects.order_by("rating__in"),
    lambda: Entry.objects.values("rating__gt"),
    lambda: Entry.objects.annotate(x=F("rating__gt")),
    lambda: Entry.objects.values_list("blog__name__icontains"),
]


@pytest.mark.parametrize("make", CONDITIONS)
def test_conditions_are_no_values(make: Any) -> None:
    with pytest.raises(dorm.FieldError, match="it is a condition, not a value") as caught:
        make()
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("value", [1, 1.5, True, b"::1"])
def test_addresses_are_texts(value: Any) -> None:
    field = dorm.GenericIPAddressField()
    with pytest.raises(TypeError):
        field.get_prep_value(value)
    assert field.get_prep_value(" 10.0.0.1 ") == "10.0.0.1"


async def test_combinations_of_nothing(face: Face) -> None:
    await fill(face)
    one, none = Entry.objects.filter(rating=1), Entry.objects.none()
    with statements() as sent:
        for qs in (none.union(none), one.intersection(none), none.difference(one), none.union(none).order_by("pk")[:2]):
            assert await face.rows(qs) == []
            assert await face(qs.count)() == 0
            assert await face(qs.exists)() is False
    assert sent == []
    assert [each.headline for each in await face.rows(none.union(one))] == ["One"]
    assert [each.headline for each in await face.rows(one.difference(none))] == ["One"]
    numbers = Entry.objects.annotate(x=Value(1)).values_list("x")
    assert await face.rows(numbers.none().union(numbers)) == [(1,)]
