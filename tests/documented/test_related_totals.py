"""Aggregates, updates and deletions over every kind of relation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

import dorm
from dorm import Count, F, Max, Min, Q, Sum
from tests.documented.people import (
    MODELS,
    Comment,
    Country,
    Group,
    Letter,
    LoudPerson,
    Mark,
    Membership,
    Passport,
    Person,
    Place,
    Post,
    Restaurant,
    Tag,
    Visit,
)
from tests.support.faces import Face

__all__ = ["MODELS"]  # the fixture reads it

Rows: TypeAlias = list[tuple[Callable[[], Any], list[list[Any]]]]
Gone: TypeAlias = list[tuple[Callable[[], Any], dict[str, int]]]


pytestmark = pytest.mark.usefixtures("filled")


COUNTED: Rows = [
    (
        lambda: Person.objects.annotate(n=Count("posts")).values_list("pk", "n"),
        [[1, 2], [2, 2], [3, 1], [4, 1], [5, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("posts__tags")).values_list("pk", "n"),
        [[1, 3], [2, 1], [3, 2], [4, 1], [5, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("posts__tags", distinct=True)).values_list("pk", "n"),
        [[1, 2], [2, 1], [3, 2], [4, 1], [5, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("posts", filter=Q(posts__score=1))).values_list("pk", "n"),
        [[1, 1], [2, 1], [3, 0], [4, 0], [5, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("posts", filter=Q(posts__tags__name="t"))).values_list("pk", "n"),
        [[1, 1], [2, 1], [3, 0], [4, 0], [5, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("posts", filter=~Q(posts__tags__name="t"), distinct=True)).values_list(
            "pk", "n"
        ),
        [[1, 2], [2, 1], [3, 1], [4, 1], [5, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("posts", filter=Q(posts__editor__isnull=True))).values_list("pk", "n"),
        [[1, 1], [2, 1], [3, 0], [4, 0], [5, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("friends"), m=Count("follows", distinct=True)).values_list(
            "pk", "n", "m"
        ),
        [[1, 1, 1], [2, 2, 1], [3, 1, 1], [4, 1, 1], [5, 0, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("groups__members", filter=Q(groups__name="G"))).values_list("pk", "n"),
        [[1, 4], [2, 8], [3, 4], [4, 0], [5, 0]],
    ),
    (lambda: Person.objects.annotate(n=Count("pals")).filter(n__gt=0).values_list("pk", "n"), [[1, 2], [2, 1]]),
    (
        lambda: Person.objects.annotate(n=Count("staff__posts")).values_list("pk", "n"),
        [[1, 3], [2, 1], [3, 0], [4, 0], [5, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("marks")).values_list("pk", "n"),
        [[1, 1], [2, 0], [3, 1], [4, 0], [5, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("letters"), m=Count("copies")).values_list("pk", "n", "m"),
        [[1, 2, 2], [2, 0, 1], [3, 1, 1], [4, 0, 0], [5, 0, 0]],
    ),
    (
        lambda: Person.objects.annotate(n=Count("kitchens__visits")).values_list("pk", "n"),
        [[1, 3], [2, 1], [3, 0], [4, 0], [5, 0]],
    ),
    (
        lambda: Country.objects.annotate(n=Count("people__posts__comment")).values_list("pk", "n"),
        [[1, 6], [2, 1], [3, 0]],
    ),
    (
        lambda: Country.objects.annotate(n=Count("people", filter=Q(people__boss__isnull=False))).values_list(
            "pk", "n"
        ),
        [[1, 1], [2, 1], [3, 0]],
    ),
    (
        lambda: Group.objects.annotate(n=Count("members", distinct=True), s=Sum("membership__level")).values_list(
            "pk", "n", "s"
        ),
        [[1, 3, 7], [2, 2, 5], [3, 0, None]],
    ),
    (
        lambda: Group.objects.annotate(n=Max("members__age"), m=Min("members__posts__score")).values_list(
            "pk", "n", "m"
        ),
        [[1, 40, 1], [2, 30, 2], [3, None, None]],
    ),
    (
        lambda: Tag.objects.annotate(n=Count("posts__author", distinct=True)).exclude(n=0).values_list("pk", "n"),
        [[1, 2], [2, 1], [3, 1], [4, 2]],
    ),
    (
        lambda: (
            Tag.objects.annotate(c=Count("children", distinct=True), p=Count("posts", distinct=True))
            .filter(Q(c__gt=1) | Q(p__gt=1))
            .values_list("pk", "c", "p")
        ),
        [[1, 2, 2], [2, 1, 2], [4, 0, 2]],
    ),
    (
        lambda: Place.objects.annotate(n=Count("fans"), m=Max("restaurant__stars")).values_list("pk", "n", "m"),
        [[1, 2, None], [2, 0, None], [3, 2, 3], [4, 1, 1], [5, 0, 2]],
    ),
    (lambda: Restaurant.objects.annotate(n=Count("fans")).filter(n__gt=0).values_list("pk", "n"), [[3, 2], [4, 1]]),
    (
        lambda: Restaurant.objects.filter(fans__age__gt=10).annotate(n=Count("visits")).values_list("pk", "n"),
        [[3, 3], [4, 1]],
    ),
    (
        lambda: Restaurant.objects.annotate(n=Sum("marks__weight")).values_list("pk", "n"),
        [[3, 3], [4, None], [5, None]],
    ),
    (
        lambda: Post.objects.annotate(n=Count("marks", filter=Q(marks__text="m"))).values_list("pk", "n"),
        [[1, 1], [2, 0], [3, 1], [4, 0], [5, 0], [6, 0]],
    ),
    (
        lambda: Post.objects.annotate(n=Sum("marks__weight"), c=Count("tags", distinct=True)).values_list(
            "pk", "n", "c"
        ),
        [[1, 4, 2], [2, None, 1], [3, 1, 1], [4, None, 2], [5, None, 1], [6, None, 0]],
    ),
    (
        lambda: Post.objects.annotate(n=Count("comment")).filter(comment__text="a").values_list("pk", "n"),
        [[1, 6], [3, 2]],
    ),
    (
        lambda: Post.objects.filter(comment__text="a").annotate(n=Count("comment")).values_list("pk", "n"),
        [[1, 2], [3, 1]],
    ),
    (
        lambda: Post.objects.annotate(n=Count("comment__by", distinct=True)).exclude(n__gt=1).values_list("pk", "n"),
        [[2, 1], [4, 0], [5, 0], [6, 0]],
    ),
    (
        lambda: Post.objects.annotate(n=Count("tags")).exclude(tags__name="t").values_list("pk", "n"),
        [[2, 1], [4, 2], [5, 1], [6, 0]],
    ),
    (
        lambda: Post.objects.exclude(comment__isnull=True).annotate(n=Count("comment")).values_list("pk", "n"),
        [[1, 3], [2, 1], [3, 2], [4, 1]],
    ),
]
GROUPED: Rows = [
    (
        lambda: Post.objects.values("author__name").annotate(n=Count("pk")).values_list("author__name", "n"),
        [["Ann", 2], ["Bob", 2], ["Cat", 1], ["Dan", 1]],
    ),
    (
        lambda: (
            Post.objects.values("author__country__name")
            .annotate(n=Count("tags"))
            .values_list("author__country__name", "n")
        ),
        [["France", 2], ["Italy", 4], [None, 1]],
    ),
    (
        lambda: Post.objects.values("tags__name").annotate(n=Count("pk")).values_list("tags__name", "n"),
        [["t", 2], ["u", 2], ["v", 1], ["w", 2], [None, 1]],
    ),
    (
        lambda: Post.objects.values("editor").annotate(n=Count("pk")).values_list("editor", "n"),
        [[1, 1], [2, 2], [3, 1], [None, 2]],
    ),
    (
        lambda: Comment.objects.values("post__author").annotate(n=Sum("likes")).values_list("post__author", "n"),
        [[1, 3], [2, 2], [3, 0]],
    ),
    (
        lambda: Comment.objects.values("by__boss__name").annotate(n=Count("pk")).values_list("by__boss__name", "n"),
        [["Ann", 3], ["Bob", 1], [None, 3]],
    ),
    (
        lambda: Mark.objects.values("person__name").annotate(n=Count("pk")).values_list("person__name", "n"),
        [["Ann", 1], ["Cat", 1], [None, 4]],
    ),
    (
        lambda: (
            Mark.objects.values("content_type__model").annotate(n=Count("pk")).values_list("content_type__model", "n")
        ),
        [["person", 2], ["post", 3], ["restaurant", 1]],
    ),
    (
        lambda: (
            Membership.objects.values("group__name", "person__country")
            .annotate(n=Max("level"))
            .values_list("group__name", "person__country", "n")
        ),
        [["G", "fr", 1], ["G", "it", 3], ["H", "fr", 3], ["H", None, 2]],
    ),
    (
        lambda: (
            Visit.objects.values("restaurant__chef__name")
            .annotate(n=Count("person", distinct=True))
            .values_list("restaurant__chef__name", "n")
        ),
        [["Ann", 2], ["Bob", 1], [None, 1]],
    ),
    (
        lambda: Person.objects.values("country").annotate(n=Count("pk")).filter(n__gt=1).values_list("country", "n"),
        [["it", 2], [None, 2]],
    ),
    (
        lambda: (
            Person.objects.values("country__name")
            .annotate(n=Count("posts"))
            .exclude(n=0)
            .values_list("country__name", "n")
        ),
        [["France", 1], ["Italy", 4], [None, 1]],
    ),
    (
        lambda: (
            Passport.objects.values("number")
            .annotate(n=Count("issuer__people"))
            .exclude(Q(n__gt=1) & Q(number="x"))
            .values_list("number", "n")
        ),
        [["y", 0], ["z", 2]],
    ),
    (
        lambda: (
            Passport.objects.values("number")
            .annotate(n=Count("issuer__people"))
            .exclude(Q(n__gt=5) | Q(person__kitchens__stars=1))
            .values_list("number", "n")
        ),
        [["x", 3], ["z", 2]],
    ),
    (
        lambda: (
            Comment.objects.values("text")
            .annotate(n=Count("by"))
            .exclude(Q(n__gt=5) | Q(post__tags__name="t"))
            .values_list("text", "n")
        ),
        [["b", 0], ["p", 1]],
    ),
    (
        lambda: (
            Comment.objects.values("text")
            .annotate(n=Count("by"))
            .filter(Q(n__gt=5) | ~Q(post__tags__name="v"))
            .values_list("text", "n")
        ),
        [["a", 2], ["b", 1], ["c", 1], ["p", 1]],
    ),
    (
        lambda: (
            Place.objects.annotate(n=Count("visits__person"))
            .exclude(Q(n__gt=5) | Q(country__people__name=F("fans__letters__text")))
            .values_list("pk", "n")
        ),
        [[1, 3], [2, 1], [4, 1], [5, 0]],
    ),
]
WITH_ANN = {
    "Letter_cc": 3,
    "Post_tags": 3,
    "Comment": 4,
    "Mark": 3,
    "Person_friends": 2,
    "Person_follows": 3,
    "Friendship": 3,
    "Passport": 1,
    "Membership": 1,
    "Place_fans": 2,
    "Visit": 2,
    "Letter": 2,
    "Post": 2,
}
"""What goes with the first person."""
OBJECTS: Gone = [
    (
        lambda: Person.objects.filter(pk=1),
        {**WITH_ANN, "Person": 1},
    ),
    (
        lambda: Person.objects.filter(pk=2),
        {
            "Post_tags": 1,
            "Comment": 2,
            "Mark": 1,
            "Person_friends": 4,
            "Person_follows": 2,
            "Friendship": 2,
            "Letter_cc": 1,
            "Passport": 1,
            "Membership": 2,
            "Place_fans": 1,
            "Visit": 2,
            "Post": 2,
            "Person": 1,
        },
    ),
    (lambda: Person.objects.filter(pk=5), {"Visit": 1, "Person": 1}),
    (
        lambda: LoudPerson.objects.filter(pk=3),
        {
            "Letter_cc": 2,
            "Post_tags": 2,
            "Comment": 1,
            "Person_friends": 2,
            "Person_follows": 2,
            "Friendship": 1,
            "Passport": 1,
            "Membership": 2,
            "Place_fans": 1,
            "Mark": 1,
            "Letter": 1,
            "Post": 1,
            "LoudPerson": 1,
        },
    ),
    (lambda: Country.objects.filter(pk=1), {"Country": 1}),
    (lambda: Post.objects.filter(pk=1), {"Post_tags": 2, "Comment": 3, "Mark": 2, "Post": 1}),
    (lambda: Tag.objects.filter(pk=1), {"Post_tags": 7, "Tag": 4}),
    (lambda: Group.objects.filter(pk=1), {"Membership": 4, "Group": 1}),
    (lambda: Place.objects.filter(pk=3), {"Place_fans": 2, "Visit": 4, "Mark": 1, "Restaurant": 1, "Place": 1}),
    (lambda: Place.objects.filter(pk=1), {"Place_fans": 2, "Visit": 1, "Place": 1}),
    (lambda: Restaurant.objects.filter(pk=3), {"Place_fans": 2, "Visit": 4, "Mark": 1, "Restaurant": 1, "Place": 1}),
    (lambda: Membership.objects.filter(pk=1), {"Membership": 1}),
    (lambda: Letter.objects.filter(pk=1), {"Letter_cc": 2, "Letter": 1}),
]
ROWS: Gone = [
    (
        lambda: Person.objects.filter(posts__tags__name="t"),
        {
            "Letter_cc": 3,
            "Post_tags": 4,
            "Comment": 6,
            "Mark": 4,
            "Person_friends": 4,
            "Person_follows": 3,
            "Friendship": 3,
            "Passport": 2,
            "Membership": 3,
            "Place_fans": 3,
            "Visit": 4,
            "Letter": 2,
            "Post": 4,
            "Person": 2,
        },
    ),
    (
        lambda: Person.objects.exclude(posts__tags__name="t"),
        {
            "Letter_cc": 2,
            "Post_tags": 3,
            "Comment": 1,
            "Person_friends": 3,
            "Person_follows": 2,
            "Friendship": 1,
            "Passport": 2,
            "Membership": 3,
            "Place_fans": 2,
            "Visit": 1,
            "Mark": 1,
            "Letter": 1,
            "Post": 2,
            "Person": 3,
        },
    ),
    (
        lambda: Person.objects.filter(friends__name="Bob"),
        {
            "Letter_cc": 3,
            "Post_tags": 5,
            "Comment": 5,
            "Mark": 4,
            "Person_friends": 4,
            "Person_follows": 4,
            "Friendship": 3,
            "Passport": 2,
            "Membership": 3,
            "Place_fans": 3,
            "Visit": 2,
            "Letter": 3,
            "Post": 3,
            "Person": 2,
        },
    ),
    (
        lambda: Person.objects.filter(boss__name="Ann"),
        {
            "Letter_cc": 3,
            "Post_tags": 3,
            "Comment": 3,
            "Mark": 2,
            "Person_friends": 4,
            "Person_follows": 4,
            "Friendship": 3,
            "Passport": 2,
            "Membership": 4,
            "Place_fans": 2,
            "Visit": 2,
            "Letter": 1,
            "Post": 3,
            "Person": 2,
        },
    ),
    (lambda: Post.objects.filter(author__country__name="Italy"), {"Post_tags": 4, "Comment": 6, "Mark": 3, "Post": 4}),
    (lambda: Post.objects.filter(tags__name="t"), {"Post_tags": 3, "Comment": 5, "Mark": 3, "Post": 2}),
    (lambda: Post.objects.exclude(tags__name="t"), {"Post_tags": 4, "Comment": 2, "Post": 4}),
    (lambda: Post.objects.filter(comment__by__name="Cat"), {"Post_tags": 2, "Comment": 3, "Mark": 1, "Post": 2}),
    (lambda: Post.objects.filter(marks__text="m"), {"Post_tags": 3, "Comment": 5, "Mark": 3, "Post": 2}),
    (
        lambda: Post.objects.annotate(n=Count("comment")).filter(n__gt=1),
        {"Post_tags": 3, "Comment": 5, "Mark": 3, "Post": 2},
    ),
    (lambda: Comment.objects.filter(post__author__posts__title="q"), {"Comment": 4}),
    (lambda: Comment.objects.exclude(by__boss__name="Ann"), {"Comment": 4}),
    (lambda: Mark.objects.filter(post__title="p"), {"Mark": 3}),
    (lambda: Tag.objects.filter(posts__author=1), {"Post_tags": 7, "Tag": 4}),
    (lambda: Tag.objects.filter(parent__name="t"), {"Post_tags": 5, "Tag": 3}),
    (lambda: Group.objects.filter(members__name="Cat"), {"Membership": 6, "Group": 2}),
    (
        lambda: Place.objects.filter(restaurant__stars=3),
        {"Place_fans": 2, "Visit": 4, "Mark": 1, "Restaurant": 1, "Place": 1},
    ),
    (
        lambda: Place.objects.filter(visits__person__name="Bob"),
        {"Place_fans": 3, "Visit": 5, "Mark": 1, "Restaurant": 2, "Place": 2},
    ),
    (
        lambda: Restaurant.objects.filter(stars__gt=1),
        {"Place_fans": 2, "Visit": 4, "Mark": 1, "Restaurant": 2, "Place": 2},
    ),
    (
        lambda: Restaurant.objects.filter(fans__name="Ann"),
        {"Place_fans": 2, "Visit": 4, "Mark": 1, "Restaurant": 1, "Place": 1},
    ),
    (
        lambda: LoudPerson.objects.filter(letters__text="a"),
        {**WITH_ANN, "LoudPerson": 1},
    ),
    (lambda: Visit.objects.filter(restaurant__chef__name="Ann"), {"Visit": 2}),
    (lambda: Country.objects.filter(people__posts__title="r"), {"Country": 1}),
    (lambda: Passport.objects.filter(person__country__name="Italy"), {"Passport": 2}),
]


@pytest.mark.parametrize("cases", [COUNTED, GROUPED], ids=["counted", "grouped"])
async def test_aggregates(face: Face, cases: Rows) -> None:
    for make, expected in cases:
        found = [list(row) for row in await face.rows(make())]
        assert sorted(found, key=repr) == expected


async def test_aggregates_of_all_rows(face: Face) -> None:
    assert await face(Post.objects.aggregate)(Sum("marks__weight"), Count("marks")) == {
        "marks__weight__sum": 3,
        "marks__count": 3,
    }
    assert await face(Post.objects.filter(marks__text="m").aggregate)(n=Count("pk")) == {"n": 2}
    group = await face(Group.objects.get)(pk=1)
    assert await face(group.members.aggregate)(Sum("membership__level")) == {"membership__level__sum": 7}
    roma = await face(Restaurant.objects.get)(pk=3)
    assert await face(roma.fans.aggregate)(n=Count("posts")) == {"n": 4}


@pytest.mark.parametrize(("single", "cases"), [(True, OBJECTS), (False, ROWS)], ids=["objects", "rows"])
async def test_what_goes_along(face: Face, single: bool, cases: Gone) -> None:
    for make, expected in cases:
        async with face.atomic() as block:
            gone = (await face(make().get)()) if single else make()
            total, by_model = await face(gone.delete)()
            named = {label.replace("doc_people.", ""): count for label, count in by_model.items()}
            assert (total, named) == (sum(expected.values()), expected)
            if single:
                assert gone.pk is None
            block.set_rollback(True)


async def test_what_stays_points_at_nothing(face: Face) -> None:
    await face((await face(Person.objects.get)(pk=2)).delete)()
    assert await face.rows(Person.objects.order_by("pk").values_list("pk", "boss")) == [
        (1, None),
        (3, 1),
        (4, None),
        (5, None),
    ]
    assert await face(Post.objects.filter(editor=None).count)() == 3
    await face(Country.objects.filter(code="it").delete)()
    assert await face(Person.objects.filter(country=None).count)() == 3
    assert await face(Restaurant.objects.filter(country=None).count)() == 2


async def test_a_parents_row_may_stay(face: Face) -> None:
    roma = await face(Restaurant.objects.get)(pk=3)
    total, by_model = await face(roma.delete)(keep_parents=True)
    assert (total, by_model) == (4, {"doc_people.Mark": 1, "doc_people.Visit": 2, "doc_people.Restaurant": 1})
    place = await face(Place.objects.get)(pk=3)
    assert await face(place.fans.count)() == 2
    assert not await face(Restaurant.objects.filter(pk=3).exists)()


async def test_updates_by_conditions_over_relations(face: Face) -> None:
    assert await face(Post.objects.filter(author__country__code="it").update)(score=5) == 4
    assert await face(Post.objects.filter(tags__name="u").update)(score=6) == 2
    assert await face(Post.objects.exclude(comment__isnull=True).update)(score=7) == 4
    assert await face(Restaurant.objects.filter(country__name="Italy").update)(name="New", stars=9) == 1
    assert await face(Place.objects.filter(restaurant__stars=9).update)(name="Newer") == 1
    assert (await face(Restaurant.objects.get)(pk=3)).name == "Newer"
    assert await face(Person.objects.filter(pk=4).update)(country=await face(Country.objects.get)(pk=3)) == 1
    assert await face(Person.objects.filter(country__name="Malta").update)(country="fr") == 1
    assert await face(Person.objects.filter(country__name="France").count)() == 2
    for wrong in ({"author__name": "x"}, {"title": F("author__name")}, {"tags": [1]}):
        with pytest.raises(dorm.FieldError):
            await face(Post.objects.filter(pk=1).update)(**wrong)
