"""A library and what belongs to it: the models that were queried in Django 5.2 and in dorm alike, with rows."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import dorm
from tests.support.faces import Face


class Publisher(dorm.Model):
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "doc_library"


class Author(dorm.Model):
    name = dorm.CharField(max_length=50)
    age = dorm.IntegerField(null=True)
    mentor = dorm.ForeignKey("self", dorm.SET_NULL, null=True, related_name="pupils")

    class Meta:
        app_label = "doc_library"


class Profile(dorm.Model):
    author = dorm.OneToOneField(Author, dorm.CASCADE, related_name="profile")
    bio = dorm.TextField(default="")

    class Meta:
        app_label = "doc_library"


class Tag(dorm.Model):
    label = dorm.CharField(max_length=20, primary_key=True)

    class Meta:
        app_label = "doc_library"


class Book(dorm.Model):
    title = dorm.CharField(max_length=50)
    author = dorm.ForeignKey(Author, dorm.CASCADE, related_name="books")
    publisher = dorm.ForeignKey(Publisher, dorm.SET_NULL, null=True, related_name="books")
    editor = dorm.ForeignKey(Author, dorm.SET_NULL, null=True, related_name="edited")
    tags = dorm.ManyToManyField(Tag, related_name="books")
    pages = dorm.IntegerField(default=0)
    price = dorm.DecimalField(max_digits=8, decimal_places=2, null=True)
    pub = dorm.DateField(null=True)
    made = dorm.DateTimeField(null=True)
    code = dorm.SlugField(unique=True, null=True)

    class Meta:
        app_label = "doc_library"
        get_latest_by = "pub"
        constraints = [dorm.UniqueConstraint(fields=["title", "pages"], name="doc_library_title_pages")]


class Review(dorm.Model):
    book = dorm.ForeignKey(Book, dorm.CASCADE, related_name="reviews")
    stars = dorm.IntegerField()
    text = dorm.TextField(default="")

    class Meta:
        app_label = "doc_library"
        ordering = ["-stars", "pk"]


class Chapter(dorm.Model):
    book = dorm.ForeignKey(Book, dorm.CASCADE, related_name="chapters")
    title = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_library"
        order_with_respect_to = "book"


class Place(dorm.Model):
    name = dorm.CharField(max_length=20)
    city = dorm.CharField(max_length=20, default="X")

    class Meta:
        app_label = "doc_library"


class Restaurant(Place):
    stars = dorm.IntegerField(default=0)
    chef = dorm.ForeignKey(Author, dorm.SET_NULL, null=True, related_name="restaurants")

    class Meta:
        app_label = "doc_library"


class Pizzeria(Restaurant):
    oven = dorm.CharField(max_length=20, default="wood")

    class Meta:
        app_label = "doc_library"


class Meal(dorm.Model):
    place = dorm.ForeignKey(Restaurant, dorm.CASCADE, related_name="meals")
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_library"


class Kinds(dorm.Model):
    name = dorm.CharField(max_length=20)
    b = dorm.BooleanField(null=True)
    i = dorm.IntegerField(null=True)
    big = dorm.BigIntegerField(null=True)
    small = dorm.SmallIntegerField(null=True)
    f = dorm.FloatField(null=True)
    d = dorm.DecimalField(max_digits=10, decimal_places=3, null=True)
    t = dorm.TextField(null=True)
    u = dorm.UUIDField(null=True)
    bin = dorm.BinaryField(null=True)
    day = dorm.DateField(null=True)
    at = dorm.DateTimeField(null=True)
    tm = dorm.TimeField(null=True)
    dur = dorm.DurationField(null=True)
    ip = dorm.GenericIPAddressField(null=True)
    j = dorm.JSONField(null=True)

    class Meta:
        app_label = "doc_library"


class Comp(dorm.Model):
    pk = dorm.CompositePrimaryKey("x", "y")
    x = dorm.IntegerField()
    y = dorm.IntegerField()
    v = dorm.CharField(max_length=10, default="")

    class Meta:
        app_label = "doc_library"


MODELS = (Publisher, Author, Profile, Tag, Book, Review, Chapter, Place, Restaurant, Pizzeria, Meal, Kinds, Comp)
UUIDS = [uuid.UUID(int=number) for number in range(1, 6)]


async def fill(face: Face) -> None:
    """Make five books by three authors, places to eat, and a row of every kind of value."""
    acme, bolt = [await face(Publisher.objects.create)(name=name) for name in ("Acme", "Bolt")]
    ann = await face(Author.objects.create)(name="Ann", age=40)
    bob = await face(Author.objects.create)(name="Bob", age=30, mentor=ann)
    cid = await face(Author.objects.create)(name="Cid", mentor=bob)
    await face(Profile.objects.create)(author=ann, bio="hi")
    await face(Profile.objects.create)(author=bob)
    for label in "abc":
        await face(Tag.objects.create)(label=label)
    spring, noon = datetime.date(2020, 3, 1), datetime.datetime(2020, 1, 5, 10, 30)
    midnight, last = datetime.datetime(2021, 1, 5), datetime.datetime(2020, 3, 1, 23, 59, 59, 999999)
    for title, author, publisher, editor, tags, pages, price, pub, made in (
        ("One", ann, acme, bob, "ab", 100, "10.50", datetime.date(2020, 1, 5), noon),
        ("Two", ann, None, None, "b", 200, "20", datetime.date(2021, 1, 5), midnight),
        ("Three", bob, bolt, ann, "", 300, None, None, None),
        ("Four", cid, acme, None, "abc", 100, "5", spring, last),
        ("50%_x\\y", cid, None, cid, "", 400, "99.99", spring, None),
    ):
        book = await face(Book.objects.create)(
            title=title, author=author, publisher=publisher, editor=editor, pages=pages, price=price, pub=pub,
            made=made, code=None if "%" in title else title.lower(),
        )  # fmt: skip
        await face(book.tags.add)(*tags)
        for stars in range(pages // 100):
            await face(Review.objects.create)(book=book, stars=stars + 1, text=title * stars)
        for chapter in "zyx"[: pages // 100]:
            await face(Chapter.objects.create)(book=book, title=chapter)
    await face(Place.objects.create)(name="Park")
    diner = await face(Restaurant.objects.create)(name="Diner", stars=3, chef=ann)
    roma = await face(Pizzeria.objects.create)(name="Roma", stars=5, chef=bob, oven="gas", city="R")
    for place, name in ((diner, "soup"), (roma, "pizza"), (roma, "pasta")):
        await face(Meal.objects.create)(place_id=place.pk, name=name)
    for x in range(3):
        for y in range(3):
            await face(Comp.objects.create)(x=x, y=y, v=f"{x}{y}")
    for values in KINDS:
        await face(Kinds.objects.create)(**values)


KINDS: list[dict[str, Any]] = [
    {"name": "none"},
    {
        "name": "one", "b": True, "i": 1, "big": 2**40, "small": 1, "f": 1.5, "d": "1.5", "t": "Straße ÄÖ",
        "u": UUIDS[0], "bin": b"\x00\x01a", "day": datetime.date(2020, 1, 31),
        "at": datetime.datetime(2020, 1, 31, 12, 30, 15, 500), "tm": datetime.time(12, 30),
        "dur": datetime.timedelta(hours=1), "ip": "10.0.0.1", "j": {"x": 1},
    },
    {
        "name": "two", "b": False, "i": -2, "big": -(2**40), "small": 0, "f": -0.25, "d": "-0.125", "t": "strasse äö",
        "u": UUIDS[1], "bin": b"", "day": datetime.date(2019, 12, 31),
        "at": datetime.datetime(2019, 12, 31, 23, 59, 59), "tm": datetime.time(0, 0),
        "dur": datetime.timedelta(days=-1, microseconds=5), "ip": "::1", "j": [1],
    },
    {
        "name": "three", "b": True, "i": 1, "f": 1e10, "d": "1000000", "t": "a%b_c\\d", "u": UUIDS[2], "bin": b"\xff",
        "day": datetime.date(2024, 2, 29), "at": datetime.datetime(2024, 2, 29), "ip": "10.0.0.2",
        "tm": datetime.time(23, 59, 59, 999999), "dur": datetime.timedelta(0),
    },
]  # fmt: skip


def plain(value: Any) -> Any:
    """Return *value* with keys in place of instances."""
    if isinstance(value, dorm.Model):
        return plain(value.pk)
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return list(map(plain, value)) if isinstance(value, list) else value


class Undone(Exception):
    """Takes back what a case wrote."""


async def ordered(face: Face, rows: Any) -> list[Any]:
    """Return *rows* in their own order."""
    return sorted(await face.rows(rows))


async def check_answers(face: Face, cases: list[tuple[Callable[[Face], Awaitable[Any]], Any]]) -> None:
    """Hold what each case gives against what is expected, keys in place of instances."""
    await fill(face)
    for number, (ask, expected) in enumerate(cases):
        with pytest.raises(Undone):
            async with face.atomic():
                found = await ask(face)
                raise Undone
        assert plain(found) == expected, f"case {number}"


async def check_refusals(face: Face, cases: list[tuple[Callable[[Face], Awaitable[Any]], type[Exception]]]) -> None:
    """Hold the error of each case against the class that is expected."""
    await fill(face)
    for number, (misuse, error) in enumerate(cases):
        with pytest.raises((error, Undone)) as caught:
            async with face.atomic():
                await misuse(face)
                raise Undone
        assert caught.type is not Undone, f"case {number} was taken"
    assert await face(Book.objects.count)() == 5
