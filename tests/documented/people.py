"""People and what they write, found, visit and mark: models with every kind of relation, and a few rows of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import dorm
from dorm.contrib.contenttypes import ContentType, GenericForeignKey, GenericRelation
from tests.support.faces import Face
from tests.support.statements import statements


class Country(dorm.Model):
    name = dorm.CharField(max_length=20)
    code = dorm.CharField(max_length=2, unique=True)

    class Meta:
        app_label = "doc_people"


class Person(dorm.Model):
    name = dorm.CharField(max_length=20)
    age = dorm.IntegerField(null=True)
    country = dorm.ForeignKey(Country, dorm.SET_NULL, to_field="code", null=True, related_name="people")
    boss = dorm.ForeignKey("self", dorm.SET_NULL, null=True, related_name="staff")
    friends = dorm.ManyToManyField("self")
    follows = dorm.ManyToManyField("self", symmetrical=False, related_name="followers")
    pals = dorm.ManyToManyField("self", through="Friendship", through_fields=("one", "two"))
    marks = GenericRelation("Mark", related_query_name="person")

    class Meta:
        app_label = "doc_people"


class Friendship(dorm.Model):
    one = dorm.ForeignKey(Person, dorm.CASCADE, related_name="+")
    two = dorm.ForeignKey(Person, dorm.CASCADE, related_name="+")
    since = dorm.IntegerField(default=0)

    class Meta:
        app_label = "doc_people"


class LoudPerson(Person):
    class Meta:
        app_label = "doc_people"
        proxy = True
        ordering = ["-name"]


class Letter(dorm.Model):
    to = dorm.ForeignKey(LoudPerson, dorm.CASCADE, related_name="letters")
    cc = dorm.ManyToManyField(LoudPerson, related_name="copies")
    text = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_people"


class Passport(dorm.Model):
    person = dorm.OneToOneField(Person, dorm.CASCADE)
    number = dorm.CharField(max_length=20)
    issuer = dorm.ForeignKey(Country, dorm.SET_NULL, null=True, related_name="issued")

    class Meta:
        app_label = "doc_people"


class Tag(dorm.Model):
    name = dorm.CharField(max_length=20)
    parent = dorm.ForeignKey("self", dorm.CASCADE, null=True, related_name="children")

    class Meta:
        app_label = "doc_people"


class Post(dorm.Model):
    title = dorm.CharField(max_length=20)
    author = dorm.ForeignKey(Person, dorm.CASCADE, related_name="posts")
    editor = dorm.ForeignKey(Person, dorm.SET_NULL, null=True, related_name="edited", related_query_name="edits")
    tags = dorm.ManyToManyField(Tag, related_name="posts")
    score = dorm.IntegerField(null=True)
    marks = GenericRelation("Mark", related_query_name="post")

    class Meta:
        app_label = "doc_people"


class Comment(dorm.Model):
    post = dorm.ForeignKey(Post, dorm.CASCADE)
    by = dorm.ForeignKey(Person, dorm.SET_NULL, null=True, related_name="comments")
    text = dorm.CharField(max_length=20)
    likes = dorm.IntegerField(null=True)

    class Meta:
        app_label = "doc_people"


class Group(dorm.Model):
    name = dorm.CharField(max_length=20)
    members = dorm.ManyToManyField(
        Person, through="Membership", through_fields=("group", "person"), related_name="groups"
    )

    class Meta:
        app_label = "doc_people"


class Membership(dorm.Model):
    group = dorm.ForeignKey(Group, dorm.CASCADE)
    person = dorm.ForeignKey(Person, dorm.CASCADE)
    inviter = dorm.ForeignKey(Person, dorm.SET_NULL, null=True, related_name="invitations")
    level = dorm.IntegerField(default=0)

    class Meta:
        app_label = "doc_people"


class Place(dorm.Model):
    name = dorm.CharField(max_length=20)
    country = dorm.ForeignKey(Country, dorm.SET_NULL, to_field="code", null=True, related_name="places")
    fans = dorm.ManyToManyField(Person, related_name="favourites")

    class Meta:
        app_label = "doc_people"


class Restaurant(Place):
    stars = dorm.IntegerField(default=0)
    chef = dorm.ForeignKey(Person, dorm.SET_NULL, null=True, related_name="kitchens")
    marks = GenericRelation("Mark", related_query_name="restaurant")

    class Meta:
        app_label = "doc_people"


class Visit(dorm.Model):
    place = dorm.ForeignKey(Place, dorm.CASCADE, related_name="visits")
    restaurant = dorm.ForeignKey(Restaurant, dorm.CASCADE, null=True, related_name="meals")
    person = dorm.ForeignKey(Person, dorm.CASCADE, null=True)

    class Meta:
        app_label = "doc_people"


class Mark(dorm.Model):
    content_type = dorm.ForeignKey(ContentType, dorm.CASCADE)
    object_id = dorm.PositiveBigIntegerField()
    content_object = GenericForeignKey("content_type", "object_id")
    text = dorm.CharField(max_length=20)
    weight = dorm.IntegerField(null=True)

    class Meta:
        app_label = "doc_people"


MODELS = (
    ContentType, Country, Person, Friendship, Letter, Passport, Tag, Post, Comment, Group, Membership, Place,
    Restaurant, Visit, Mark,
)  # fmt: skip

ROWS: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "Country": ("id name code", [(1, "Italy", "it"), (2, "France", "fr"), (3, "Malta", "mt")]),
    "Person": (
        "id name age country_id boss_id",
        [
            (1, "Ann", 40, "it", None),
            (2, "Bob", None, "it", 1),
            (3, "Cat", 20, "fr", 1),
            (4, "Dan", 30, None, 2),
            (5, "Eve", 20, None, None),
        ],
    ),
    "Friendship": ("one_id two_id since", [(1, 2, 3), (2, 1, 3), (1, 3, 5)]),
    "Passport": (
        "id person_id number issuer_id",
        [(1, 1, "x", 1), (2, 2, "y", None), (3, 3, "x", 2), (4, 4, "z", 1)],
    ),
    "Tag": ("id name parent_id", [(1, "t", None), (2, "u", 1), (3, "v", 2), (4, "w", 1)]),
    "Post": (
        "id title author_id editor_id score",
        [
            (1, "p", 1, 2, 1),
            (2, "q", 1, None, None),
            (3, "p", 2, 1, 3),
            (4, "r", 3, 3, 2),
            (5, "q", 4, 2, None),
            (6, "s", 2, None, 1),
        ],
    ),
    "Comment": (
        "id post_id by_id text likes",
        [
            (1, 1, 1, "a", 1),
            (2, 1, None, "a", None),
            (3, 1, 2, "b", 0),
            (4, 2, 3, "p", 2),
            (5, 3, 3, "a", 1),
            (6, 3, 4, "c", 1),
            (7, 4, None, "b", 0),
        ],
    ),
    "Group": ("id name", [(1, "G"), (2, "H"), (3, "I")]),
    "Membership": (
        "group_id person_id inviter_id level",
        [(1, 1, None, 1), (1, 2, 1, 2), (1, 3, 1, 1), (2, 3, 2, 3), (2, 4, None, 2), (1, 2, 3, 3)],
    ),
    "Place": ("id name country_id", [(1, "Park", "it"), (2, "Quay", None)]),
    "Restaurant": (
        "id name country_id stars chef_id",
        [(3, "Roma", "it", 3, 1), (4, "Sole", "fr", 1, 2), (5, "Taro", None, 2, None)],
    ),
    "Visit": (
        "id place_id restaurant_id person_id",
        [(1, 1, None, 1), (2, 3, 3, 2), (3, 3, None, None), (4, 4, 4, 2), (5, 2, 3, 5), (6, 3, 5, 1)],
    ),
    "Letter": ("id to_id text", [(1, 1, "a"), (2, 3, "b"), (3, 1, "b")]),
}
LINKS: dict[tuple[str, str], list[tuple[int, int]]] = {
    ("Person", "friends"): [(1, 2), (2, 3), (4, 4)],
    ("Person", "follows"): [(1, 2), (2, 1), (3, 1), (4, 3)],
    ("Post", "tags"): [(1, 1), (1, 2), (2, 2), (3, 1), (4, 3), (4, 4), (5, 4)],
    ("Place", "fans"): [(1, 1), (1, 3), (3, 1), (3, 2), (4, 4)],
    ("Letter", "cc"): [(1, 2), (1, 3), (2, 1)],
}
MARKS = [("Person", 1, "m", 1), ("Post", 1, "m", 2), ("Post", 1, "n", None), ("Post", 3, "m", 1), ("Person", 3, "n", 2),
         ("Restaurant", 3, "m", 3)]  # fmt: skip


def fill(models: Any) -> None:
    """Insert the rows; *models* is what has the classes by their names."""
    for name, (fields, rows) in ROWS.items():
        for row in rows:
            getattr(models, name).objects.create(**dict(zip(fields.split(), row, strict=True)))
    for (name, field), pairs in LINKS.items():
        for key, other in pairs:
            getattr(getattr(models, name).objects.get(pk=key), field).add(other)
    for number, (name, key, text, weight) in enumerate(MARKS, 1):
        target = getattr(models, name).objects.get(pk=key)
        models.Mark.objects.create(id=number, content_object=target, text=text, weight=weight)


Cases: TypeAlias = list[tuple[Callable[[], Any], Callable[[Any], Any], int, list[Any]]]
"""The rows, what is looked at in each, the number of statements, and what is found, tuples as lists."""


async def looked_at(face: Face, cases: Cases) -> None:
    """Look at the rows of each case."""
    # The id of a content type is asked for once.
    for model in (Person, Post, Restaurant):
        await face(ContentType.objects.get_for_model)(model)
    for make, look, number, expected in cases:
        with statements() as sent:
            found = [look(row) for row in await face.rows(make().order_by("pk"))]
            found = [await face.rows(each) if isinstance(each, dorm.QuerySet) else each for each in found]
        assert (_plain(found), len(sent)) == (expected, number)


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
