"""Deleting: what each rule does to the rows that point at what goes, counts, receivers, one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from dorm.signals import post_delete, pre_delete
from tests.support.faces import Face


class Owner(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "deleting"


class Pet(dorm.Model):
    """Goes with its owner."""

    name = dorm.CharField(max_length=20, default="")
    owner = dorm.ForeignKey(Owner, dorm.CASCADE, related_name="pets")
    friend = dorm.ForeignKey("self", dorm.CASCADE, null=True, related_name="friends")

    class Meta:
        app_label = "deleting"


class Toy(dorm.Model):
    pet = dorm.ForeignKey(Pet, dorm.CASCADE)

    class Meta:
        app_label = "deleting"


class Bill(dorm.Model):
    owner = dorm.ForeignKey(Owner, dorm.PROTECT)

    class Meta:
        app_label = "deleting"


asked: list[str] = []


def _first_owner() -> int:
    asked.append("asked")
    return 1


class Note(dorm.Model):
    """Kept, pointing at nothing or at something else."""

    nulled = dorm.ForeignKey(Owner, dorm.SET_NULL, null=True, related_name="+")
    defaulted = dorm.ForeignKey(Owner, dorm.SET_DEFAULT, default=None, null=True, related_name="+")
    fixed = dorm.ForeignKey(Owner, dorm.SET(1), null=True, related_name="+")
    called = dorm.ForeignKey(Owner, dorm.SET(_first_owner), null=True, related_name="+")
    loose = dorm.ForeignKey(Owner, dorm.DO_NOTHING, null=True, db_constraint=False, related_name="+")

    class Meta:
        app_label = "deleting"


class Artist(dorm.Model):
    """The example of Django's documentation of RESTRICT."""

    name = dorm.CharField(max_length=10)

    class Meta:
        app_label = "deleting"


class Album(dorm.Model):
    artist = dorm.ForeignKey(Artist, dorm.CASCADE)

    class Meta:
        app_label = "deleting"


class Song(dorm.Model):
    artist = dorm.ForeignKey(Artist, dorm.CASCADE)
    album = dorm.ForeignKey(Album, dorm.RESTRICT)

    class Meta:
        app_label = "deleting"


class Club(dorm.Model):
    name = dorm.CharField(max_length=10)
    members = dorm.ManyToManyField(Owner, related_name="clubs")

    class Meta:
        app_label = "deleting"


class Place(dorm.Model):
    name = dorm.CharField(max_length=10)

    class Meta:
        app_label = "deleting"


class Bar(Place):
    beers = dorm.IntegerField(default=0)

    class Meta:
        app_label = "deleting"


class Cinema(Place):
    screens = dorm.IntegerField(default=0)

    class Meta:
        app_label = "deleting"


class Visit(dorm.Model):
    place = dorm.ForeignKey(Place, dorm.CASCADE)

    class Meta:
        app_label = "deleting"


class Egg(dorm.Model):
    hen = dorm.ForeignKey("Hen", dorm.CASCADE, related_name="eggs")

    class Meta:
        app_label = "deleting"


class Hen(dorm.Model):
    egg = dorm.ForeignKey(Egg, dorm.CASCADE, null=True, related_name="hens")

    class Meta:
        app_label = "deleting"


MODELS = [Owner, Pet, Toy, Bill, Note, Artist, Album, Song, Club, Club.members.through, Place, Bar, Cinema, Visit]
MODELS += [Egg, Hen]


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables(MODELS)


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """The statements of the test."""
    seen: list[str] = []

    def note(sender: Any, sql: str, **told: Any) -> None:
        seen.append(sql)

    dorm.pre_query.connect(note)
    yield seen
    dorm.pre_query.disconnect(note)


async def test_cascade_counts_the_whole_graph(face: Face) -> None:
    owner = await face(Owner.objects.create)(name="a")
    other = await face(Owner.objects.create)(name="b")
    pet = await face(Pet.objects.create)(owner=owner)
    stray = await face(Pet.objects.create)(owner=other, friend=pet)
    await face(Toy.objects.bulk_create)([Toy(pet=pet), Toy(pet=pet), Toy(pet=stray)])
    assert await face(owner.delete)() == (
        6,
        {"deleting.Owner": 1, "deleting.Pet": 2, "deleting.Toy": 3},
    )
    assert owner.pk is None
    assert await face(Owner.objects.count)() == 1
    assert await face(Pet.objects.count)() == 0


async def test_a_queryset_deletes_with_everything_below(face: Face) -> None:
    for name in "abc":
        owner = await face(Owner.objects.create)(name=name)
        await face(Pet.objects.create)(owner=owner)
    assert await face(Owner.objects.filter(name__in=["a", "b"]).delete)() == (
        4,
        {"deleting.Owner": 2, "deleting.Pet": 2},
    )
    assert await face(Owner.objects.none().delete)() == (0, {})
    assert await face(Owner.objects.filter(name="zzz").delete)() == (0, {})


async def test_what_nobody_needs_to_see_goes_by_one_statement(face: Face, sent: list[str]) -> None:
    owner = await face(Owner.objects.create)(name="a")
    pet = await face(Pet.objects.create)(owner=owner)
    await face(Toy.objects.bulk_create)([Toy(pet=pet) for _ in range(5)])
    sent.clear()
    assert await face(Toy.objects.filter(pet=pet).delete)() == (5, {"deleting.Toy": 5})
    assert len(sent) == 1
    await face(Toy.objects.create)(pet=pet)
    toy = await face(Toy.objects.get)()
    sent.clear()
    await face(toy.delete)()
    assert len(sent) == 1


async def test_protected_rows_forbid_it(face: Face) -> None:
    owner = await face(Owner.objects.create)(name="a")
    bill = await face(Bill.objects.create)(owner=owner)
    await face(Pet.objects.create)(owner=owner)
    with pytest.raises(dorm.ProtectedError, match=r"referenced through protected foreign keys: 'Bill.owner'") as caught:
        await face(owner.delete)()
    assert caught.value.protected_objects == {bill}
    assert await face(Pet.objects.count)() == 1
    assert owner.pk is not None
    async with face.atomic():
        with pytest.raises(dorm.ProtectedError):
            await face(Owner.objects.all().delete)()
        await face(Bill.objects.all().delete)()
        await face(owner.delete)()


async def test_restricted_rows_may_go_with_something_else(face: Face) -> None:
    one = await face(Artist.objects.create)(name="one")
    two = await face(Artist.objects.create)(name="two")
    first = await face(Album.objects.create)(artist=one)
    await face(Album.objects.create)(artist=one)
    second = await face(Album.objects.create)(artist=two)
    await face(Song.objects.create)(artist=one, album=first)
    loose = await face(Song.objects.create)(artist=one, album=second)
    with pytest.raises(dorm.RestrictedError, match=r"restricted foreign keys: 'Song.album'") as caught:
        await face(first.delete)()
    assert len(caught.value.restricted_objects) == 1
    with pytest.raises(dorm.RestrictedError) as caught:
        await face(two.delete)()
    assert caught.value.restricted_objects == {loose}
    assert await face(one.delete)() == (
        5,
        {"deleting.Song": 2, "deleting.Album": 2, "deleting.Artist": 1},
    )


async def test_rows_that_are_kept_are_pointed_elsewhere(face: Face) -> None:
    kept = await face(Owner.objects.create)(name="kept")
    assert kept.pk == 1
    gone = await face(Owner.objects.create)(name="gone")
    note = await face(Note.objects.create)(nulled=gone, defaulted=gone, fixed=gone, called=gone, loose=gone)
    key = gone.pk
    assert await face(gone.delete)() == (1, {"deleting.Owner": 1})
    await face(note.refresh_from_db)()
    assert (note.nulled_id, note.defaulted_id, note.fixed_id, note.called_id, note.loose_id) == (None, None, 1, 1, key)


async def test_rows_between_go_too(face: Face) -> None:
    club = await face(Club.objects.create)(name="c")
    owners = [await face(Owner.objects.create)(name=name) for name in "ab"]
    await face(club.members.add)(*owners)
    assert await face(owners[0].delete)() == (2, {"deleting.Owner": 1, "deleting.Club_members": 1})
    assert await face(club.delete)() == (2, {"deleting.Club": 1, "deleting.Club_members": 1})
    assert await face(Owner.objects.count)() == 1


async def test_children_take_their_parents_along_and_the_other_way(face: Face) -> None:
    bar = await face(Bar.objects.create)(name="b")
    await face(Visit.objects.create)(place_id=bar.pk)
    both = Cinema(place_ptr_id=bar.pk)
    await face(both.save_base)(raw=True)
    result = (4, {"deleting.Bar": 1, "deleting.Place": 1, "deleting.Visit": 1, "deleting.Cinema": 1})
    assert await face(bar.delete)() == result
    bar = await face(Bar.objects.create)(name="b")
    place = await face(Place.objects.get)(pk=bar.pk)
    assert await face(place.delete)() == (2, {"deleting.Bar": 1, "deleting.Place": 1})
    for name in "xyz":
        await face(Bar.objects.create)(name=name)
    assert await face(Bar.objects.filter(name__gt="x").delete)() == (4, {"deleting.Bar": 2, "deleting.Place": 2})
    assert await face(Place.objects.all().delete)() == (2, {"deleting.Bar": 1, "deleting.Place": 1})


async def test_parents_can_be_kept(face: Face) -> None:
    bar = await face(Bar.objects.create)(name="b")
    await face(Visit.objects.create)(place_id=bar.pk)
    assert await face(bar.delete)(keep_parents=True) == (1, {"deleting.Bar": 1})
    assert await face(Place.objects.count)() == 1
    assert await face(Visit.objects.count)() == 1


async def test_cycles_are_deleted(face: Face) -> None:
    hen = await face(Hen.objects.create)()
    egg = await face(Egg.objects.create)(hen=hen)
    hen.egg = egg
    await face(hen.save)()
    assert await face(hen.delete)() == (2, {"deleting.Hen": 1, "deleting.Egg": 1})
    owner = await face(Owner.objects.create)(name="a")
    one = await face(Pet.objects.create)(owner=owner)
    two = await face(Pet.objects.create)(owner=owner, friend=one)
    one.friend = two
    await face(one.save)()
    assert await face(one.delete)() == (2, {"deleting.Pet": 2})


async def test_receivers_see_each_row_in_order(face: Face) -> None:
    owner = await face(Owner.objects.create)(name="a")
    pet = await face(Pet.objects.create)(owner=owner)
    await face(Toy.objects.create)(pet=pet)
    told: list[Any] = []

    def before(sender: Any, instance: Any, using: str, origin: Any, **rest: Any) -> None:
        told.append(("pre", sender.__name__, instance.pk is not None, using, origin))

    def after(sender: Any, instance: Any, using: str, origin: Any, **rest: Any) -> None:
        told.append(("post", sender.__name__, instance.pk is not None, using, origin))

    pre_delete.connect(before)
    post_delete.connect(after)
    try:
        await face(owner.delete)()
    finally:
        pre_delete.disconnect(before)
        post_delete.disconnect(after)
    names = ["Toy", "Pet", "Owner"]
    assert told == [
        *[("pre", name, True, "default", owner) for name in names],
        *[("post", name, True, "default", owner) for name in names],
    ]


async def test_a_receiver_that_raises_undoes_everything(face: Face) -> None:
    owner = await face(Owner.objects.create)(name="a")
    await face(Pet.objects.create)(owner=owner)

    def refuse(sender: Any, **told: Any) -> None:
        raise PermissionError("no")

    post_delete.connect(refuse, sender=Owner)
    try:
        with pytest.raises(PermissionError):
            await face(owner.delete)()
    finally:
        post_delete.disconnect(refuse, sender=Owner)
    assert (await face(Owner.objects.count)(), await face(Pet.objects.count)()) == (1, 1)


async def test_wrong_calls_are_refused(face: Face) -> None:
    with pytest.raises(ValueError, match="can't be deleted because its id attribute is set to None"):
        await face(Owner(name="new").delete)()
    with pytest.raises(TypeError, match=r"after .values\(\)"):
        await face(Owner.objects.values("name").delete)()
    with pytest.raises(TypeError, match=r"after .distinct\(\*fields\)"):
        await face(Owner.objects.distinct("name").delete)()
    await face(Owner.objects.create)(name="a")
    assert await face(Owner.objects.distinct().delete)() == (1, {"deleting.Owner": 1})
    assert not hasattr(Owner.objects, "delete")


async def test_a_slice_deletes_these_rows_only(face: Face) -> None:
    for name in "abcd":
        owner = await face(Owner.objects.create)(name=name)
        await face(Pet.objects.create)(owner=owner)
    assert (await face(Owner.objects.order_by("name")[1:3].delete)())[0] == 4
    rows = await face.rows(Owner.objects.order_by("name").values_list("name", flat=True))
    assert rows == ["a", "d"]


async def test_more_rows_than_one_statement_takes(face: Face) -> None:
    owner = await face(Owner.objects.create)(name="a")
    await face(Pet.objects.bulk_create)([Pet(owner=owner) for _ in range(3000)])
    assert (await face(owner.delete)())[0] == 3001


async def test_the_function_of_set_is_asked_only_where_a_row_points(face: Face) -> None:
    await face(Owner.objects.create)(name="kept")
    lone = await face(Owner.objects.create)(name="lone")
    pointed = await face(Owner.objects.create)(name="pointed at")
    note = await face(Note.objects.create)(called=pointed)
    asked.clear()
    await face(lone.delete)()
    assert asked == []
    await face(pointed.delete)()
    assert asked == ["asked"]
    await face(note.refresh_from_db)()
    assert note.called_id == 1
