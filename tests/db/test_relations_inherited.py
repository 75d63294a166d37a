"""Relations of models that extend other tables, and of proxies."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face, names


class Mark(dorm.Model):
    name = dorm.CharField(max_length=10)

    class Meta:
        app_label = "inherited"


class Place(dorm.Model):
    name = dorm.CharField(max_length=10)
    marks = dorm.ManyToManyField(Mark, related_name="places")
    parent = dorm.ForeignKey("self", null=True, related_name="children")

    class Meta:
        app_label = "inherited"
        ordering = ["name"]


class Inn(Place):
    rooms = dorm.IntegerField(default=0)
    cooks = dorm.ManyToManyField("Cook")

    class Meta:
        app_label = "inherited"


class Castle(Inn):
    towers = dorm.IntegerField(default=0)

    class Meta:
        app_label = "inherited"


class Cook(dorm.Model):
    name = dorm.CharField(max_length=10)

    class Meta:
        app_label = "inherited"


class Star(Cook):
    class Meta:
        app_label = "inherited"
        proxy = True


class Review(dorm.Model):
    place = dorm.ForeignKey(Place, related_name="reviews")
    inn = dorm.ForeignKey(Inn, null=True, related_name="inn_reviews")
    star = dorm.ForeignKey(Star, null=True)

    class Meta:
        app_label = "inherited"
        ordering = ["pk"]


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, object]) -> None:
    create_tables([Mark, Place, Inn, Castle, Cook, Review])


async def town(face: Face) -> tuple[Any, Any, Any, Any]:
    """A place, an inn and a castle in it, a cook; the castle has two marks, the inn one."""
    one, two = [await face(Mark.objects.create)(name=name) for name in ("1", "2")]
    cook = await face(Cook.objects.create)(name="c")
    place = await face(Place.objects.create)(name="p")
    inn = await face(Inn.objects.create)(name="i", parent=place)
    castle = await face(Castle.objects.create)(name="k", parent=place, towers=3)
    await face(inn.marks.add)(one)
    await face(castle.marks.set)([one, two])
    await face(castle.cooks.add)(cook)
    await face(Review.objects.create)(place=inn, inn=inn, star=cook)
    await face(Review.objects.create)(place=castle, inn=castle)
    await face(Review.objects.create)(place=place)
    return place, inn, castle, cook


async def test_an_inherited_many_to_many_works_from_every_level(face: Face) -> None:
    _place, inn, castle, cook = await town(face)
    one = await face(Mark.objects.get)(name="1")
    assert names(await face.rows(one.places.all())) == ["i", "k"]  # type: ignore[attr-defined]  # reverse
    assert await face.rows(Castle.objects.filter(marks__name="2", towers=3)) == [castle]
    assert await face.rows(Inn.objects.filter(marks=one, cooks=cook)) == [castle.inn_ptr]
    assert await face.rows(Mark.objects.filter(places__inn__castle__towers=3, name="2")) != []
    (found,) = await face.rows(Castle.objects.prefetch_related("marks", "cooks"))
    assert names(sorted(found.marks.all(), key=lambda mark: mark.name)) == ["1", "2"]
    assert list(found.cooks.all()) == [cook]
    await face(inn.marks.clear)()
    assert await face(castle.marks.count)() == 2


async def test_keys_to_any_level_take_instances_of_every_level(face: Face) -> None:
    place, inn, castle, _cook = await town(face)
    assert await face(Review.objects.filter(place=castle).count)() == 1
    assert await face(Review.objects.filter(inn=castle).count)() == 1
    assert await face(Review.objects.filter(place__in=[inn, castle]).count)() == 2
    assert await face(Review.objects.filter(inn=place).count)() == 0
    assert await face(castle.reviews.count)() == 1
    assert await face(castle.inn_reviews.count)() == 1
    inns = await face.rows(Inn.objects.prefetch_related("reviews", "inn_reviews", "parent").order_by("name"))
    assert [len(each.reviews.all()) for each in inns] == [1, 1]
    assert [len(each.inn_reviews.all()) for each in inns] == [1, 1]
    assert {each.parent for each in inns} == {place}
    assert await face.rows(place.children.filter(inn__castle__towers=3)) == [castle.inn_ptr.place_ptr]


async def test_children_that_are_not_there(face: Face) -> None:
    await town(face)
    assert names(await face.rows(Place.objects.filter(inn__castle__isnull=True))) == ["i", "p"]
    assert names(await face.rows(Place.objects.filter(inn__isnull=True))) == ["p"]
    assert names(await face.rows(Place.objects.filter(inn__castle__isnull=False))) == ["k"]
    assert names(await face.rows(Place.objects.exclude(inn__castle__towers=3))) == ["i", "p"]


async def test_joining_up_and_down(face: Face) -> None:
    await town(face)
    places = await face.rows(Place.objects.select_related("inn__castle"))
    assert [each.inn.castle.towers if hasattr(each, "inn") and hasattr(each.inn, "castle") else None for each in places]
    assert not hasattr(places[2], "inn")
    (castle,) = await face.rows(Castle.objects.select_related("inn_ptr__place_ptr"))
    assert castle.inn_ptr.place_ptr.name == "k"
    (review, *_) = await face.rows(
        Review.objects.prefetch_related("place__inn__castle").filter(place__inn__castle__gt=0)
    )
    assert review.place.inn.castle.towers == 3


async def test_a_proxy_is_the_model_whose_table_it_has(face: Face) -> None:
    _place, _inn, _castle, cook = await town(face)
    star = await face(Star.objects.get)()
    (review,) = await face.rows(Review.objects.filter(star=cook))
    assert await face.rows(cook.review_set.all()) == [review]
    assert await face.rows(star.review_set.all()) == [review]
    assert await face.rows(Cook.objects.filter(review=review)) == [cook]
    assert type((await face(Review.objects.select_related("star").get)(pk=review.pk)).star) is Star
    assert await face(star.inn_set.count)() == 1


class Supplier(Place):
    """Its customers are of the table that it extends itself."""

    customers = dorm.ManyToManyField(Place, related_name="provider")
    guests = dorm.ManyToManyField(Place, through="Visit", related_name="hosts")

    class Meta:
        app_label = "inherited"


class Visit(dorm.Model):
    host = dorm.ForeignKey(Supplier, related_name="visits")
    guest = dorm.ForeignKey(Place, related_name="visited")

    class Meta:
        app_label = "inherited"


async def test_many_to_many_between_a_child_and_its_parent(face: Face) -> None:
    create_tables([Supplier, Visit])
    inn = await face(Inn.objects.create)(name="inn")
    supplier = await face(Supplier.objects.create)(name="mill")
    place = await face(Place.objects.get)(name="inn")
    await face(supplier.customers.add)(inn)
    await face(supplier.guests.set)([place])
    assert names(await face.rows(supplier.customers.all())) == names(await face.rows(supplier.guests.all())) == ["inn"]
    for near in (inn, place):
        assert await face.rows(near.provider.all()) == await face.rows(near.hosts.all()) == [supplier]
    assert await face.rows(Inn.objects.filter(provider__name="mill", hosts__name="mill")) == [inn]
    (found,) = await face.rows(Supplier.objects.prefetch_related("customers", "guests"))
    assert list(found.customers.all()) == list(found.guests.all()) == [place]
    (near,) = await face.rows(Place.objects.filter(name="inn").prefetch_related("provider"))
    assert list(near.provider.all()) == [supplier]
    assert [field.name for field in Supplier.customers.through._meta.fields] == ["id", "supplier", "place"]
    await face(inn.provider.clear)()
    assert not await face(supplier.customers.exists)()
    count, _ = await face(supplier.delete)()
    assert count == 3
