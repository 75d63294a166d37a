"""Multi-table inheritance and proxies: written and read over several tables, as one."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import F
from dorm.migrations.schema import create_tables
from tests.support.faces import Face, names


class Place(dorm.Model):
    name = dorm.CharField(max_length=50)
    address = dorm.CharField(max_length=80, default="")

    class Meta:
        app_label = "inheritance"
        ordering = ["name"]


class Restaurant(Place):
    pizza = dorm.BooleanField(default=False)
    stars = dorm.IntegerField(default=0)

    class Meta:
        app_label = "inheritance"


class Trattoria(Restaurant):
    chef = dorm.CharField(max_length=50, unique=True)

    class Meta:
        app_label = "inheritance"


class Book(dorm.Model):
    book_id = dorm.AutoField(primary_key=True)
    title = dorm.CharField(max_length=20, default="")

    class Meta:
        app_label = "inheritance"


class Piece(dorm.Model):
    piece_id = dorm.AutoField(primary_key=True)
    author = dorm.CharField(max_length=20, default="")

    class Meta:
        app_label = "inheritance"


class BookReview(Book, Piece):
    text = dorm.TextField(default="")

    class Meta:
        app_label = "inheritance"


class Linked(Place):
    """Names its parent link itself."""

    place = dorm.OneToOneField(Place, dorm.CASCADE, parent_link=True, primary_key=True, related_name="linked_to")
    level = dorm.IntegerField(default=0)

    class Meta:
        app_label = "inheritance"


class NearPlace(Place):
    class Meta:
        app_label = "inheritance"
        proxy = True
        ordering = ["-name"]

    def loud(self) -> str:
        return self.name.upper()


MODELS = [Place, Restaurant, Trattoria, Book, Piece, BookReview, Linked]


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables(MODELS)


async def test_a_child_is_a_row_in_each_table(face: Face) -> None:
    made = await face(Trattoria.objects.create)(name="Da Ugo", pizza=True, chef="Ugo")
    assert made.pk == made.id == made.place_ptr_id == made.restaurant_ptr_id
    assert await face(Place.objects.count)() == 1
    assert await face(Restaurant.objects.count)() == 1
    place = await face(Place.objects.get)(name="Da Ugo")
    assert type(place) is Place
    found = await face(Trattoria.objects.get)(name="Da Ugo", pizza=True)
    assert (found.chef, found.name, found.pizza, found.address) == ("Ugo", "Da Ugo", True, "")
    assert names(await face.rows(Place.objects.filter(restaurant__trattoria__chef="Ugo"))) == ["Da Ugo"]
    assert await face(Trattoria.objects.filter(place_ptr=place).count)() == 1
    await face(Place.objects.create)(name="Park")
    assert names(await face.rows(Place.objects.filter(restaurant__isnull=True))) == ["Park"]
    assert names(await face.rows(Place.objects.filter(restaurant__isnull=False))) == ["Da Ugo"]


async def test_updates_reach_every_table(face: Face) -> None:
    made = await face(Trattoria.objects.create)(name="a", chef="Ugo")
    made.name, made.stars, made.chef = "b", 2, "Ada"
    await face(made.save)()
    found = await face(Trattoria.objects.get)()
    assert (found.name, found.stars, found.chef) == ("b", 2, "Ada")
    found.name = "c"
    found.stars = 9
    await face(found.save)(update_fields=["name"])
    found = await face(Trattoria.objects.get)()
    assert (found.name, found.stars) == ("c", 2)
    await face(Trattoria.objects.create)(name="d", chef="Bob")
    assert await face(Trattoria.objects.filter(name="c").update)(name="x", stars=F("stars") + 1, chef="New") == 1
    assert await face(Trattoria.objects.update)(address="Rome") == 2
    assert await face(Trattoria.objects.filter(address="Rome").update)(address="Pisa", chef=F("chef")) == 2
    rows = await face.rows(Trattoria.objects.values_list("name", "address", "stars", "chef"))
    assert rows == [("d", "Pisa", 0, "Bob"), ("x", "Pisa", 3, "New")]


async def test_a_failure_in_one_table_leaves_nothing_in_the_others(face: Face) -> None:
    await face(Trattoria.objects.create)(name="a", chef="Ugo")
    with pytest.raises(dorm.IntegrityError):
        await face(Trattoria.objects.create)(name="b", chef="Ugo")
    assert await face(Place.objects.count)() == 1
    with pytest.raises(dorm.TransactionManagementError):
        async with face.atomic():
            with pytest.raises(dorm.IntegrityError):
                await face(Trattoria.objects.create)(name="b", chef="Ugo")
            await face(Place.objects.count)()
    assert await face(Place.objects.count)() == 1


async def test_an_existing_parent_is_extended(face: Face) -> None:
    place = await face(Place.objects.create)(name="p", address="Rome")
    restaurant = Restaurant(place_ptr=place, pizza=True)
    restaurant.__dict__.update({key: place.__dict__[key] for key in ("id", "name", "address")})
    await face(restaurant.save)()
    assert await face(Place.objects.count)() == 1
    assert (await face(Restaurant.objects.get)()).address == "Rome"
    other = await face(Place.objects.create)(name="raw", address="Bari")
    await face(Restaurant(place_ptr_id=other.pk).save_base)(raw=True)
    assert (await face(Restaurant.objects.get)(pk=other.pk)).name == "raw"


async def test_force_insert_may_name_the_parents(face: Face) -> None:
    made = await face(Restaurant.objects.create)(name="a")
    again = Restaurant(id=made.id, place_ptr_id=made.id, name="b")
    with pytest.raises(dorm.IntegrityError):
        await face(again.save)(force_insert=(Place,))
    with pytest.raises(dorm.IntegrityError):
        await face(again.save)(force_insert=True)
    fresh = Restaurant(id=made.id + 10, name="c")
    await face(fresh.save)(force_insert=(Place,))
    assert fresh.pk == made.id + 10


async def test_several_parents(face: Face) -> None:
    made = await face(BookReview.objects.create)(title="t", author="a", text="x")
    assert made.pk == made.book_id
    assert (await face(Book.objects.get)()).title == "t"
    assert (await face(Piece.objects.get)()).author == "a"
    found = await face(BookReview.objects.get)(author="a", title="t")
    assert (found.text, found.piece_id) == ("x", made.piece_id)
    await face(found.delete)()
    assert [await face(model.objects.count)() for model in (Book, Piece, BookReview)] == [0, 0, 0]


async def test_a_parent_link_of_ones_own(face: Face) -> None:
    made = await face(Linked.objects.create)(name="l", level=3)
    place = await face(Place.objects.select_related("linked_to").get)()
    assert place.linked_to == made
    assert made.place_id == place.pk


async def test_copies_of_a_child_need_both_keys_cleared(face: Face) -> None:
    made = await face(Restaurant.objects.create)(name="a", pizza=True)
    first = made.pk
    made.pk = None
    made.id = None
    await face(made.save)()
    assert made.pk != first
    assert await face(Restaurant.objects.count)() == 2
    assert await face(Place.objects.count)() == 2


async def test_proxies_give_their_own_class_and_order(face: Face) -> None:
    for name in "ab":
        await face(NearPlace.objects.create)(name=name)
    rows = await face.rows(NearPlace.objects.all())
    assert [(type(row), row.loud()) for row in rows] == [(NearPlace, "B"), (NearPlace, "A")]
    assert names(await face.rows(Place.objects.all())) == ["a", "b"]
    rows[0].name = "c"
    await face(rows[0].save)()
    assert await face(Place.objects.filter(name="c").exists)()
    assert await face(rows[0].delete)() == (1, {"inheritance.NearPlace": 1})


async def test_exceptions_of_children_are_those_of_parents(face: Face) -> None:
    with pytest.raises(Place.DoesNotExist):
        await face(Trattoria.objects.get)(name="nope")
    assert issubclass(Restaurant.MultipleObjectsReturned, Place.MultipleObjectsReturned)


async def test_deferred_columns_of_parents(face: Face) -> None:
    await face(Trattoria.objects.create)(name="a", chef="Ugo", stars=2)
    part: Any = await face(Trattoria.objects.only("chef").get)()
    assert part.get_deferred_fields() >= {"name", "stars"}
    await face(part.refresh_from_db)(fields=["name"])
    assert part.name == "a"
    part.name = "b"
    await face(part.save)()
    assert (await face(Place.objects.get)()).name == "b"


async def test_several_tables_refuse_bulk_create(face: Face) -> None:
    with pytest.raises(ValueError, match="Can't bulk create a multi-table inherited model"):
        await face(Restaurant.objects.bulk_create)([Restaurant(name="a")])
    made = await face(NearPlace.objects.bulk_create)([NearPlace(name="a")])
    assert made[0].pk is not None


class Tavern(Place):
    class Meta:
        app_label = "inheritance"
        proxy = True


def test_meta_of_a_proxy_has_no_fields_of_its_own() -> None:
    meta = Tavern._meta
    assert (meta.local_fields, meta.local_concrete_fields, meta.local_many_to_many) == ((), (), ())
    assert meta.fields == meta.concrete_fields == Place._meta.fields
    assert meta.get_fields() == meta.get_fields(include_parents=False) == Place._meta.get_fields()
    assert meta.pk is Place._meta.pk
    assert meta.auto_field is Place._meta.pk
    assert [field.name for field in Restaurant._meta.local_fields] == ["place_ptr", "pizza", "stars"]


async def test_a_proxy_writes_the_rows_of_its_model(face: Face) -> None:
    inn = await face(Tavern.objects.create)(name="Inn")
    one, two = await face(Tavern.objects.bulk_create)([Tavern(name="A"), Tavern(name="B")])
    one.address = "there"
    assert await face(Tavern.objects.bulk_update)([one], ["address"]) == 1
    same, made = await face(Tavern.objects.update_or_create)(pk=inn.pk, defaults={"name": "Bar"})
    assert (same, made) == (inn, False)
    assert await face(Tavern.objects.get_or_create)(name="B") == (two, False)
    assert names(await face.rows(Place.objects.all())) == ["A", "B", "Bar"]
    assert (await face(Place.objects.get)(pk=one.pk)).address == "there"
