"""The pages of `contrib.postgres`: fields, lookups, aggregates."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import ArrayAgg, BitAnd, BitOr, BoolAnd, BoolOr, F, JSONBAgg, Q, StringAgg
from tests.support.faces import Face


class Post(dorm.Model):
    name = dorm.CharField(max_length=200)
    tags = dorm.ArrayField(dorm.CharField(max_length=200), default=list)
    numbers = dorm.ArrayField(dorm.IntegerField(), null=True)
    board = dorm.ArrayField(dorm.ArrayField(dorm.IntegerField(), size=2), null=True)

    class Meta:
        app_label = "doc_pg"
        ordering = ["name"]


class Dog(dorm.Model):
    name = dorm.CharField(max_length=200)
    data = dorm.HStoreField(null=True)

    class Meta:
        app_label = "doc_pg"


class Event(dorm.Model):
    name = dorm.CharField(max_length=200)
    ages = dorm.IntegerRangeField(null=True)
    start = dorm.DateTimeRangeField(null=True)
    amount = dorm.IntegerField(default=0)
    flag = dorm.BooleanField(default=True)

    class Meta:
        app_label = "doc_pg"
        ordering = ["name"]


MODELS = (Post, Dog, Event)


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def tables(empty_database: Any) -> None:
    from dorm.migrations.schema import create_tables

    connection = dorm.connection_for("default")
    connection.execute_script("CREATE EXTENSION IF NOT EXISTS hstore")
    dorm.connections.reset()
    create_tables(MODELS)


async def found(face: Face, qs: Any) -> list[str]:
    return [row.name for row in await face.rows(qs)]


async def test_array_lookups(face: Face) -> None:
    await face(Post.objects.create)(name="First post", tags=["thoughts", "django"], numbers=[1, 2, 3])
    await face(Post.objects.create)(name="Second post", tags=["thoughts"], board=[[1, 2], [3, 4]])
    await face(Post.objects.create)(name="Third post", tags=["tutorial", "django"])
    assert await found(face, Post.objects.filter(tags__contains=["thoughts"])) == ["First post", "Second post"]
    assert await found(face, Post.objects.filter(tags__contains=["thoughts", "django"])) == ["First post"]
    assert await found(face, Post.objects.filter(tags__contained_by=["thoughts", "django"])) == [
        "First post",
        "Second post",
    ]
    assert await found(face, Post.objects.filter(tags__overlap=["thoughts", "tutorial"])) == [
        "First post",
        "Second post",
        "Third post",
    ]
    assert await found(face, Post.objects.filter(tags__len=1)) == ["Second post"]
    assert await found(face, Post.objects.filter(tags__0="thoughts")) == ["First post", "Second post"]
    assert await found(face, Post.objects.filter(tags__1__iexact="Django")) == ["First post", "Third post"]
    assert await found(face, Post.objects.filter(tags__276="javascript")) == []
    assert await found(face, Post.objects.filter(tags__0_1=["thoughts"])) == ["First post", "Second post"]
    assert await found(face, Post.objects.filter(tags__0_2__contains=["thoughts"])) == ["First post", "Second post"]
    assert await found(face, Post.objects.filter(tags=["thoughts"])) == ["Second post"]
    assert await found(face, Post.objects.filter(tags__in=[["thoughts"], ["x"]])) == ["Second post"]
    assert await found(face, Post.objects.filter(numbers__isnull=True)) == ["Second post", "Third post"]
    assert (await face(Post.objects.get)(name="Second post")).board == [[1, 2], [3, 4]]
    assert (await face(Post.objects.get)(name="First post")).numbers == [1, 2, 3]


async def test_hstore_lookups(face: Face) -> None:
    await face(Dog.objects.create)(name="Rufus", data={"breed": "labrador", "owner": "Bob"})
    await face(Dog.objects.create)(name="Meg", data={"breed": "collie", "owner": None})
    await face(Dog.objects.create)(name="Fred", data={})
    by = Dog.objects.order_by("name")
    assert await found(face, by.filter(data__breed="collie")) == ["Meg"]
    assert await found(face, by.filter(data__breed__contains="l")) == ["Meg", "Rufus"]
    assert await found(face, by.filter(data__contains={"owner": "Bob"})) == ["Rufus"]
    assert await found(face, by.filter(data__contained_by={"breed": "collie", "owner": None})) == ["Fred", "Meg"]
    assert await found(face, by.filter(data__has_key="owner")) == ["Meg", "Rufus"]
    assert await found(face, by.filter(data__has_any_keys=["owner", "x"])) == ["Meg", "Rufus"]
    assert await found(face, by.filter(data__has_keys=["breed", "owner"])) == ["Meg", "Rufus"]
    assert await found(face, by.filter(data__has_key=dorm.Value("owner"))) == ["Meg", "Rufus"]
    assert await found(face, by.filter(data__has_key=dorm.F("name"))) == []
    for wrong in ({"data__has_key": None}, {"data__has_keys": None}):
        with pytest.raises(ValueError, match="Cannot use None"):
            Dog.objects.filter(**wrong)
    assert await found(face, by.filter(data__keys__overlap=["breed", "toy"])) == ["Meg", "Rufus"]
    assert await found(face, by.filter(data__values__contains=["collie"])) == ["Meg"]
    assert (await face(Dog.objects.get)(name="Meg")).data == {"breed": "collie", "owner": None}


async def test_range_lookups(face: Face) -> None:
    from dorm.fields import Range

    def stamp(day: int) -> datetime.datetime:
        return datetime.datetime(2020, 1, day, tzinfo=datetime.UTC)

    await face(Event.objects.create)(name="Soft play", ages=Range(0, 10), start=Range(stamp(1), stamp(2)))
    await face(Event.objects.create)(name="Pub trip", ages=Range(21, None), start=Range(stamp(2), stamp(3)))
    await face(Event.objects.create)(name="Nothing")
    assert await found(face, Event.objects.filter(ages__contains=Range(4, 5))) == ["Soft play"]
    assert await found(face, Event.objects.filter(ages__contains=5)) == ["Soft play"]
    assert await found(face, Event.objects.filter(ages__contained_by=Range(0, 15))) == ["Soft play"]
    assert await found(face, Event.objects.filter(ages__overlap=Range(8, 12))) == ["Soft play"]
    assert await found(face, Event.objects.filter(ages__fully_lt=Range(11, 15))) == ["Soft play"]
    assert await found(face, Event.objects.filter(ages__fully_gt=Range(11, 15))) == ["Pub trip"]
    assert await found(face, Event.objects.filter(ages__not_lt=Range(0, 15))) == ["Pub trip", "Soft play"]
    assert await found(face, Event.objects.filter(ages__not_gt=Range(3, 10))) == ["Soft play"]
    assert await found(face, Event.objects.filter(ages__adjacent_to=Range(10, 21))) == ["Pub trip", "Soft play"]
    assert await found(face, Event.objects.filter(ages__startswith=21)) == ["Pub trip"]
    assert await found(face, Event.objects.filter(ages__endswith=10)) == ["Soft play"]
    assert await found(face, Event.objects.filter(ages__isempty=True)) == []
    assert await found(face, Event.objects.filter(ages__upper_inf=True)) == ["Pub trip"]
    assert await found(face, Event.objects.filter(ages__lower_inc=True)) == ["Pub trip", "Soft play"]
    loaded = await face(Event.objects.get)(name="Pub trip")
    assert (loaded.ages.lower, loaded.ages.upper) == (21, None)
    assert await found(face, Event.objects.filter(start__contains=stamp(2))) == ["Pub trip"]
    assert await found(face, Event.objects.filter(start__startswith__lte=stamp(1))) == ["Soft play"]


async def test_aggregates(face: Face) -> None:
    for name, amount, flag in (("a", 1, True), ("b", 2, False), ("c", 7, True)):
        await face(Event.objects.create)(name=name, amount=amount, flag=flag)
    result = await face(Event.objects.aggregate)(
        names=ArrayAgg("name", order_by="-name"),
        some=ArrayAgg("name", filter=Q(flag=True), order_by="name"),
        text=StringAgg("name", separator=";", order_by="name"),
        docs=JSONBAgg("amount", order_by=F("amount").desc()),
        every=BoolAnd("flag"),
        any=BoolOr("flag"),
        anded=BitAnd("amount"),
        ored=BitOr("amount"),
        empty=ArrayAgg("name", filter=Q(name="zzz"), default=[]),
    )
    assert result == {
        "names": ["c", "b", "a"],
        "some": ["a", "c"],
        "text": "a;b;c",
        "docs": [7, 2, 1],
        "every": False,
        "any": True,
        "anded": 0,
        "ored": 7,
        "empty": [],
    }
    assert await face(Event.objects.none().aggregate)(x=ArrayAgg("name")) == {"x": None}
