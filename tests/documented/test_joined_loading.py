"""What select_related loads of every kind of relation; what is asked of one pair where many are related to many."""

from __future__ import annotations

import pytest

import dorm
from dorm import Count, F, Prefetch
from tests.documented import people
from tests.documented.people import (
    MODELS,
    Cases,
    Group,
    Letter,
    Mark,
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


pytestmark = pytest.mark.usefixtures("filled")


JOINED: Cases = [
    (
        lambda: Post.objects.select_related("author"),
        lambda x: x.author.name,
        1,
        ["Ann", "Ann", "Bob", "Cat", "Dan", "Bob"],
    ),
    (
        lambda: Post.objects.select_related("author__country", "editor__boss"),
        lambda x: (x.author.country and x.author.country.code, x.editor and x.editor.boss and x.editor.boss.name),
        1,
        [["it", "Ann"], ["it", None], ["it", None], ["fr", "Ann"], [None, "Ann"], ["it", None]],
    ),
    (
        lambda: Person.objects.select_related("boss__boss__country"),
        lambda x: x.boss and x.boss.boss and x.boss.boss.country and x.boss.boss.country.code,
        1,
        [None, None, None, "it", None],
    ),
    (
        lambda: Person.objects.select_related("passport__issuer"),
        lambda x: x.passport.issuer and x.passport.issuer.name if hasattr(x, "passport") else None,
        1,
        ["Italy", None, "France", "Italy", None],
    ),
    (
        lambda: Person.objects.select_related("passport"),
        lambda x: x.passport.person is x if hasattr(x, "passport") else None,
        1,
        [True, True, True, True, None],
    ),
    (lambda: Passport.objects.select_related("person"), lambda x: x.person.passport is x, 1, [True, True, True, True]),
    (
        lambda: Place.objects.select_related("restaurant"),
        lambda x: (
            (x.restaurant.stars, x.restaurant.name, x.restaurant.place_ptr is x) if hasattr(x, "restaurant") else None
        ),
        1,
        [None, None, [3, "Roma", True], [1, "Sole", True], [2, "Taro", True]],
    ),
    (
        lambda: Place.objects.select_related("restaurant__chef__country"),
        lambda x: x.restaurant.chef.country.code if hasattr(x, "restaurant") and x.restaurant.chef else None,
        1,
        [None, None, "it", "it", None],
    ),
    (
        lambda: Visit.objects.select_related("restaurant", "place"),
        lambda x: (x.place.name, x.restaurant and x.restaurant.name),
        1,
        [["Park", None], ["Roma", "Roma"], ["Roma", None], ["Sole", "Sole"], ["Quay", "Roma"], ["Roma", "Taro"]],
    ),
    (
        lambda: Visit.objects.select_related("restaurant__chef", "person__passport"),
        lambda x: (x.restaurant and x.restaurant.chef and x.restaurant.chef.name, hasattr(x.person, "passport")),
        1,
        [[None, True], ["Ann", True], [None, False], ["Bob", True], ["Ann", False], [None, True]],
    ),
    (
        lambda: Restaurant.objects.select_related("chef", "country"),
        lambda x: (x.chef and x.chef.name, x.country and x.country.name),
        1,
        [["Ann", "Italy"], ["Bob", "France"], [None, None]],
    ),
    (
        lambda: Letter.objects.select_related("to__country"),
        lambda x: (type(x.to).__name__, x.to.country and x.to.country.name),
        1,
        [["LoudPerson", "Italy"], ["LoudPerson", "France"], ["LoudPerson", "Italy"]],
    ),
    (lambda: Post.objects.select_related(), lambda x: x.author.name, 1, ["Ann", "Ann", "Bob", "Cat", "Dan", "Bob"]),
    (
        lambda: Post.objects.select_related("author").select_related("editor"),
        lambda x: (x.author.name, x.editor and x.editor.name),
        1,
        [["Ann", "Bob"], ["Ann", None], ["Bob", "Ann"], ["Cat", "Cat"], ["Dan", "Bob"], ["Bob", None]],
    ),
    (
        lambda: Post.objects.select_related("author").only("title", "author__name"),
        lambda x: (sorted(x.get_deferred_fields()), sorted(x.author.get_deferred_fields())),
        1,
        [
            [["editor_id", "score"], ["age", "boss_id", "country_id"]],
            [["editor_id", "score"], ["age", "boss_id", "country_id"]],
            [["editor_id", "score"], ["age", "boss_id", "country_id"]],
            [["editor_id", "score"], ["age", "boss_id", "country_id"]],
            [["editor_id", "score"], ["age", "boss_id", "country_id"]],
            [["editor_id", "score"], ["age", "boss_id", "country_id"]],
        ],
    ),
    (
        lambda: Post.objects.select_related("author").defer("author__age", "score"),
        lambda x: (sorted(x.get_deferred_fields()), sorted(x.author.get_deferred_fields())),
        1,
        [
            [["score"], ["age"]],
            [["score"], ["age"]],
            [["score"], ["age"]],
            [["score"], ["age"]],
            [["score"], ["age"]],
            [["score"], ["age"]],
        ],
    ),
    (
        lambda: Person.objects.select_related("passport__issuer").defer("passport__number", "passport__issuer__code"),
        lambda x: sorted(x.passport.get_deferred_fields()) if hasattr(x, "passport") else None,
        1,
        [["number"], ["number"], ["number"], ["number"], None],
    ),
    (
        lambda: Place.objects.select_related("restaurant").only("name", "restaurant__stars"),
        lambda x: (
            (x.restaurant.stars, sorted(x.restaurant.get_deferred_fields())) if hasattr(x, "restaurant") else None
        ),
        1,
        [None, None, [3, ["chef_id", "country_id"]], [1, ["chef_id", "country_id"]], [2, ["chef_id", "country_id"]]],
    ),
    (
        lambda: Place.objects.select_related("restaurant").defer("restaurant__stars"),
        lambda x: sorted(x.restaurant.get_deferred_fields()) if hasattr(x, "restaurant") else None,
        1,
        [None, None, ["stars"], ["stars"], ["stars"]],
    ),
    (
        lambda: Mark.objects.filter(post__isnull=False).select_related("content_type"),
        lambda x: x.content_type.model,
        1,
        ["post", "post", "post"],
    ),
]
OF_THE_PAIR: Cases = [
    (
        lambda: Group.objects.prefetch_related(Prefetch("members", Person.objects.filter(membership__level__gt=1))),
        lambda x: [y.pk for y in x.members.all()],
        2,
        [[2, 2], [3, 4], []],
    ),
    (
        lambda: Group.objects.prefetch_related(Prefetch("members", Person.objects.exclude(membership__level__gt=2))),
        lambda x: [y.pk for y in x.members.all()],
        2,
        [[1], [4], []],
    ),
    (
        lambda: Group.objects.prefetch_related(Prefetch("members", Person.objects.filter(groups__name="H"))),
        lambda x: sorted(y.pk for y in x.members.all()),
        2,
        [[], [3, 4], []],
    ),
    (
        lambda: Group.objects.prefetch_related(
            Prefetch("members", Person.objects.annotate(n=F("membership__level")).order_by("pk", "n"))
        ),
        lambda x: [(y.pk, y.n) for y in x.members.all()],
        2,
        [[[1, 1], [2, 2], [2, 3], [3, 1]], [[3, 3], [4, 2]], []],
    ),
    (
        lambda: Group.objects.prefetch_related(
            Prefetch(
                "members", Person.objects.annotate(n=F("membership__level")).order_by("-n", "pk")[:2], to_attr="top"
            )
        ),
        lambda x: [(y.pk, y.n) for y in x.top],
        2,
        [[[2, 3], [2, 2]], [[3, 3], [4, 2]], []],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch("groups", Group.objects.annotate(n=F("membership__level")).order_by("pk", "n"))
        ),
        lambda x: [(y.pk, y.n) for y in x.groups.all()],
        2,
        [[[1, 1]], [[1, 2], [1, 3]], [[1, 1], [2, 3]], [[2, 2]], []],
    ),
    (
        lambda: Post.objects.prefetch_related(Prefetch("tags", Tag.objects.filter(posts__title="p").order_by("pk"))),
        lambda x: [y.pk for y in x.tags.all()],
        2,
        [[1, 2], [], [1], [], [], []],
    ),
    (
        lambda: Post.objects.prefetch_related(Prefetch("tags", Tag.objects.annotate(n=Count("posts")).order_by("pk"))),
        lambda x: [(y.pk, y.n) for y in x.tags.all()],
        2,
        [[[1, 1], [2, 1]], [[2, 1]], [[1, 1]], [[3, 1], [4, 1]], [[4, 1]], []],
    ),
    (
        lambda: Post.objects.prefetch_related(
            Prefetch("tags", Tag.objects.filter(pk__in=Tag.objects.filter(posts__title="p")).order_by("pk"))
        ),
        lambda x: [y.pk for y in x.tags.all()],
        2,
        [[1, 2], [2], [1], [], [], []],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch("pals", Person.objects.annotate(n=Count("posts")).order_by("pk"))
        ),
        lambda x: [(y.pk, y.n) for y in x.pals.all()],
        2,
        [[[2, 2], [3, 1]], [[1, 2]], [], [], []],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch("follows", Person.objects.filter(followers__age=20).order_by("pk"))
        ),
        lambda x: [y.pk for y in x.follows.all()],
        2,
        [[], [], [1], [], []],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch("followers", Person.objects.annotate(n=Count("follows")).order_by("pk"))
        ),
        lambda x: [(y.pk, y.n) for y in x.followers.all()],
        2,
        [[[2, 1], [3, 1]], [[1, 1]], [[4, 1]], [], []],
    ),
    (
        lambda: Restaurant.objects.prefetch_related(
            Prefetch("fans", Person.objects.filter(favourites__name="Park").order_by("pk"))
        ),
        lambda x: [y.pk for y in x.fans.all()],
        2,
        [[], [], []],
    ),
    (
        lambda: Post.objects.prefetch_related(Prefetch("marks", Mark.objects.filter(post__title="p").order_by("pk"))),
        lambda x: [y.pk for y in x.marks.all()],
        2,
        [[2, 3], [], [4], [], [], []],
    ),
    (
        lambda: Group.objects.filter(pk=1),
        lambda x: x.members.annotate(n=F("membership__level")).order_by("pk", "n").values_list("pk", "n"),
        2,
        [[[1, 1], [2, 2], [2, 3], [3, 1]]],
    ),
    (
        lambda: Group.objects.filter(pk=1),
        lambda x: x.members.filter(membership__level__gt=1).filter(membership__level=2).values_list("pk"),
        2,
        [[[2], [2]]],
    ),
    (
        lambda: Group.objects.filter(pk=1),
        lambda x: x.members.exclude(membership__level=2).order_by("pk").values_list("pk"),
        2,
        [[[1], [2], [3]]],
    ),
    (lambda: Group.objects.filter(pk=1), lambda x: x.members.filter(groups__name="H").values_list("pk"), 2, [[]]),
    (
        lambda: Group.objects.filter(pk=1),
        lambda x: x.members.order_by("membership__level", "pk").values_list("pk", "membership__level"),
        2,
        [[[1, 1], [3, 1], [2, 2], [2, 3]]],
    ),
    (
        lambda: Person.objects.filter(pk=1),
        lambda x: x.friends.filter(friends__name="Cat").values_list("pk"),
        2,
        [[[2]]],
    ),
    (lambda: Post.objects.filter(pk=1), lambda x: x.tags.filter(posts__title="q").values_list("pk"), 2, [[]]),
    (lambda: Post.objects.filter(pk=1), lambda x: x.tags.exclude(posts__title="q").values_list("pk"), 2, [[[1], [2]]]),
    (
        lambda: Person.objects.filter(pk=1),
        lambda x: x.posts.filter(author__posts__title="q").order_by("pk").values_list("pk"),
        2,
        [[[1], [2]]],
    ),
    (
        lambda: Person.objects.filter(pk=1),
        lambda x: x.posts.exclude(author__posts__title="q").values_list("pk"),
        2,
        [[]],
    ),
]


@pytest.mark.parametrize("cases", [JOINED, OF_THE_PAIR], ids=["joined", "of the pair"])
async def test_what_is_loaded(face: Face, cases: Cases) -> None:
    await people.looked_at(face, cases)


async def test_what_cannot_be_joined_is_refused(face: Face) -> None:
    for names in (("tags",), ("title",), ("author__nope",), ("comment",)):
        with pytest.raises(dorm.FieldError, match="select_related"):
            await face.rows(Post.objects.select_related(*names))
    for rows in (
        Person.objects.select_related("passport").only("name"),
        Person.objects.select_related("passport").defer("passport"),
        Post.objects.select_related("author").defer("author"),
    ):
        with pytest.raises(dorm.FieldError, match="both deferred and traversed"):
            await face.rows(rows)
