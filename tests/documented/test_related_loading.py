"""What prefetch_related loads of every kind of relation, and in how many statements."""

from __future__ import annotations

import pytest

import dorm
from dorm import Count, Prefetch
from dorm.contrib.contenttypes import GenericPrefetch
from tests.documented import people
from tests.documented.people import (
    MODELS,
    Cases,
    Comment,
    Country,
    Group,
    Letter,
    LoudPerson,
    Mark,
    Passport,
    Person,
    Place,
    Post,
    Restaurant,
    Tag,
)
from tests.support.faces import Face
from tests.support.statements import statements

__all__ = ["MODELS"]  # the fixture reads it


pytestmark = pytest.mark.usefixtures("filled")


PREFETCHED: Cases = [
    (
        lambda: Person.objects.prefetch_related("posts"),
        lambda x: [y.pk for y in x.posts.all()],
        2,
        [[1, 2], [3, 6], [4], [5], []],
    ),
    (
        lambda: Person.objects.prefetch_related("posts"),
        lambda x: [y.author is x for y in x.posts.all()],
        2,
        [[True, True], [True, True], [True], [True], []],
    ),
    (
        lambda: Person.objects.prefetch_related("posts"),
        lambda x: (x.posts.count(), x.posts.exists(), len(x.posts.all())),
        2,
        [[2, True, 2], [2, True, 2], [1, True, 1], [1, True, 1], [0, False, 0]],
    ),
    (
        lambda: Country.objects.prefetch_related("people"),
        lambda x: sorted(y.name for y in x.people.all()),
        2,
        [["Ann", "Bob"], ["Cat"], []],
    ),
    (
        lambda: Person.objects.prefetch_related("country"),
        lambda x: x.country and x.country.name,
        2,
        ["Italy", "Italy", "France", None, None],
    ),
    (
        lambda: Person.objects.prefetch_related("boss__boss"),
        lambda x: x.boss and x.boss.boss and x.boss.boss.name,
        3,
        [None, None, None, "Ann", None],
    ),
    (
        lambda: Post.objects.prefetch_related("author", "editor"),
        lambda x: (x.author.name, x.editor and x.editor.name),
        3,
        [["Ann", "Bob"], ["Ann", None], ["Bob", "Ann"], ["Cat", "Cat"], ["Dan", "Bob"], ["Bob", None]],
    ),
    (
        lambda: Post.objects.prefetch_related("tags"),
        lambda x: sorted(y.name for y in x.tags.all()),
        2,
        [["t", "u"], ["u"], ["t"], ["v", "w"], ["w"], []],
    ),
    (
        lambda: Tag.objects.prefetch_related("posts"),
        lambda x: sorted(y.pk for y in x.posts.all()),
        2,
        [[1, 3], [1, 2], [4], [4, 5]],
    ),
    (
        lambda: Tag.objects.prefetch_related("posts__author__country"),
        lambda x: sorted(y.author.country.code for y in x.posts.all() if y.author.country),
        4,
        [["it", "it"], ["it", "it"], ["fr"], ["fr"]],
    ),
    (
        lambda: Person.objects.prefetch_related("friends"),
        lambda x: sorted(y.name for y in x.friends.all()),
        2,
        [["Bob"], ["Ann", "Cat"], ["Bob"], ["Dan"], []],
    ),
    (
        lambda: Person.objects.prefetch_related("friends__friends"),
        lambda x: sorted(z.name for y in x.friends.all() for z in y.friends.all()),
        3,
        [["Ann", "Cat"], ["Bob", "Bob"], ["Ann", "Cat"], ["Dan"], []],
    ),
    (
        lambda: Person.objects.prefetch_related("follows", "followers"),
        lambda x: (sorted(y.pk for y in x.follows.all()), sorted(y.pk for y in x.followers.all())),
        3,
        [[[2], [2, 3]], [[1], [1]], [[1], [4]], [[3], []], [[], []]],
    ),
    (
        lambda: Person.objects.prefetch_related("pals"),
        lambda x: sorted(y.pk for y in x.pals.all()),
        2,
        [[2, 3], [1], [], [], []],
    ),
    (
        lambda: Person.objects.prefetch_related("passport__issuer"),
        lambda x: x.passport.issuer and x.passport.issuer.code if hasattr(x, "passport") else None,
        3,
        ["it", None, "fr", "it", None],
    ),
    (
        lambda: Passport.objects.prefetch_related("person"),
        lambda x: x.person.passport is x,
        2,
        [True, True, True, True],
    ),
    (
        lambda: Group.objects.prefetch_related("members"),
        lambda x: sorted(y.pk for y in x.members.all()),
        2,
        [[1, 2, 2, 3], [3, 4], []],
    ),
    (
        lambda: Group.objects.prefetch_related("membership_set__inviter"),
        lambda x: [(y.level, y.inviter and y.inviter.name) for y in x.membership_set.all()],
        3,
        [[[1, None], [2, "Ann"], [1, "Ann"], [3, "Cat"]], [[3, "Bob"], [2, None]], []],
    ),
    (
        lambda: Person.objects.prefetch_related("groups", "invitations__group"),
        lambda x: (sorted(y.pk for y in x.groups.all()), [y.group.name for y in x.invitations.all()]),
        4,
        [[[1], ["G", "G"]], [[1, 1], ["H"]], [[1, 2], ["G"]], [[2], []], [[], []]],
    ),
    (
        lambda: Restaurant.objects.prefetch_related("fans", "visits", "meals"),
        lambda x: (sorted(y.pk for y in x.fans.all()), [y.pk for y in x.visits.all()], [y.pk for y in x.meals.all()]),
        4,
        [[[1, 2], [2, 3, 6], [2, 5]], [[4], [4], [4]], [[], [], [6]]],
    ),
    (
        lambda: Restaurant.objects.prefetch_related("place_ptr__fans"),
        lambda x: sorted(y.pk for y in x.place_ptr.fans.all()),
        3,
        [[1, 2], [4], []],
    ),
    (
        lambda: Place.objects.prefetch_related("restaurant"),
        lambda x: x.restaurant.stars if hasattr(x, "restaurant") else None,
        2,
        [None, None, 3, 1, 2],
    ),
    (
        lambda: Place.objects.prefetch_related("restaurant__chef"),
        lambda x: x.restaurant.chef and x.restaurant.chef.name if hasattr(x, "restaurant") else None,
        3,
        [None, None, "Ann", "Bob", None],
    ),
    (
        lambda: Place.objects.prefetch_related("visits__restaurant"),
        lambda x: [y.restaurant and y.restaurant.name for y in x.visits.all()],
        3,
        [[None], ["Roma"], ["Roma", None, "Taro"], ["Sole"], []],
    ),
    (
        lambda: LoudPerson.objects.prefetch_related("letters", "copies"),
        lambda x: ([y.pk for y in x.letters.all()], [y.pk for y in x.copies.all()]),
        3,
        [[[1, 3], [2]], [[], [1]], [[2], [1]], [[], []], [[], []]],
    ),
    (
        lambda: Letter.objects.prefetch_related("to__posts", "cc"),
        lambda x: (type(x.to).__name__, len(x.to.posts.all()), [y.name for y in x.cc.all()]),
        4,
        [["LoudPerson", 2, ["Cat", "Bob"]], ["LoudPerson", 1, ["Ann"]], ["LoudPerson", 2, []]],
    ),
    (
        lambda: Mark.objects.prefetch_related("content_object"),
        lambda x: (type(x.content_object).__name__, x.content_object.pk),
        4,
        [["Person", 1], ["Post", 1], ["Post", 1], ["Post", 3], ["Person", 3], ["Restaurant", 3]],
    ),
    (
        lambda: Post.objects.prefetch_related("marks"),
        lambda x: [y.text for y in x.marks.all()],
        2,
        [["m", "n"], [], ["m"], [], [], []],
    ),
    (
        lambda: Post.objects.prefetch_related("marks__content_object"),
        lambda x: [y.content_object is x for y in x.marks.all()],
        3,
        [[False, False], [], [False], [], [], []],
    ),
    (
        lambda: Person.objects.select_related("country").prefetch_related("country__places"),
        lambda x: sorted(y.pk for y in x.country.places.all()) if x.country else None,
        2,
        [[1, 3], [1, 3], [4], None, None],
    ),
    (
        lambda: Post.objects.prefetch_related("author__posts__tags"),
        lambda x: sorted(z.name for y in x.author.posts.all() for z in y.tags.all()),
        4,
        [["t", "u", "u"], ["t", "u", "u"], ["t"], ["v", "w"], ["w"], ["t"]],
    ),
]
WITH_A_QUERYSET: Cases = [
    (
        lambda: Person.objects.prefetch_related(Prefetch("posts", Post.objects.filter(score=1))),
        lambda x: [y.pk for y in x.posts.all()],
        2,
        [[1], [6], [], [], []],
    ),
    (
        lambda: Person.objects.prefetch_related(Prefetch("posts", Post.objects.order_by("-pk"), to_attr="newest")),
        lambda x: [y.pk for y in x.newest],
        2,
        [[2, 1], [6, 3], [4], [5], []],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch("posts", Post.objects.order_by("-pk"), to_attr="newest"), "newest__tags"
        ),
        lambda x: [[z.name for z in sorted(y.tags.all(), key=lambda z: z.pk)] for y in x.newest],
        3,
        [[["u"], ["t", "u"]], [[], ["t"]], [["v", "w"]], [["w"]], []],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch("posts", Post.objects.order_by("-pk"), to_attr="newest"),
            Prefetch("newest__tags", Tag.objects.filter(parent=None), to_attr="roots"),
        ),
        lambda x: [[z.name for z in y.roots] for y in x.newest],
        3,
        [[[], ["t"]], [[], ["t"]], [[]], [[]], []],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch(
                "posts",
                Post.objects.order_by("pk").prefetch_related(
                    Prefetch("comment_set", Comment.objects.order_by("-pk"), to_attr="said")
                ),
                to_attr="own",
            )
        ),
        lambda x: [[z.pk for z in y.said] for y in x.own],
        3,
        [[[3, 2, 1], [4]], [[6, 5], []], [[7]], [[]], []],
    ),
    (
        lambda: Person.objects.prefetch_related(Prefetch("posts", Post.objects.order_by("-pk")[1:3], to_attr="older")),
        lambda x: [y.pk for y in x.older],
        2,
        [[1], [3], [], [], []],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch(
                "posts",
                Post.objects.order_by("pk").prefetch_related(
                    Prefetch("tags", Tag.objects.order_by("-pk")[:1], to_attr="last")
                ),
                to_attr="own",
            )
        ),
        lambda x: [[z.name for z in y.last] for y in x.own],
        3,
        [[["u"], ["u"]], [["t"], []], [["w"]], [["w"]], []],
    ),
    (
        lambda: Post.objects.prefetch_related(Prefetch("tags", Tag.objects.order_by("-pk")[:1], to_attr="last")),
        lambda x: [y.name for y in x.last],
        2,
        [["u"], ["u"], ["t"], ["w"], ["w"], []],
    ),
    (
        lambda: Tag.objects.prefetch_related(
            Prefetch("posts", Post.objects.order_by("title", "-pk")[:2], to_attr="best")
        ),
        lambda x: [y.pk for y in x.best],
        2,
        [[3, 1], [1, 2], [4], [5, 4]],
    ),
    (
        lambda: Person.objects.prefetch_related(Prefetch("friends", Person.objects.order_by("-pk")[:1], to_attr="one")),
        lambda x: [y.pk for y in x.one],
        2,
        [[2], [3], [2], [4], []],
    ),
    (
        lambda: Post.objects.prefetch_related(Prefetch("editor", Person.objects.filter(name="Bob"))),
        lambda x: x.editor and x.editor.name,
        2,
        ["Bob", None, None, None, "Bob", None],
    ),
    (
        lambda: Post.objects.prefetch_related(Prefetch("editor", Person.objects.only("name"), to_attr="ed")),
        lambda x: x.ed and x.ed.name,
        2,
        ["Bob", None, "Ann", "Cat", "Bob", None],
    ),
    (
        lambda: Post.objects.prefetch_related(Prefetch("author", LoudPerson.objects.all())),
        lambda x: type(x.author).__name__,
        2,
        ["LoudPerson", "LoudPerson", "LoudPerson", "LoudPerson", "LoudPerson", "LoudPerson"],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch("passport", Passport.objects.filter(number="x"), to_attr="px")
        ),
        lambda x: x.px and x.px.pk,
        2,
        [1, None, 3, None, None],
    ),
    (
        lambda: Person.objects.prefetch_related(Prefetch("posts", Post.objects.select_related("editor__country"))),
        lambda x: [y.editor and y.editor.country and y.editor.country.code for y in x.posts.all()],
        2,
        [["it", None], ["it", None], ["fr"], ["it"], []],
    ),
    (
        lambda: Person.objects.prefetch_related(Prefetch("posts", Post.objects.annotate(n=Count("comment")))),
        lambda x: [y.n for y in x.posts.all()],
        2,
        [[3, 1], [2, 0], [1], [0], []],
    ),
    (
        lambda: Person.objects.prefetch_related(
            Prefetch("posts", Post.objects.filter(tags__name="t"), to_attr="t"),
            Prefetch("posts", Post.objects.exclude(tags__name="t"), to_attr="o"),
        ),
        lambda x: ([y.pk for y in x.t], [y.pk for y in x.o]),
        3,
        [[[1], [2]], [[3], [6]], [[], [4]], [[], [5]], [[], []]],
    ),
    (
        lambda: Group.objects.prefetch_related(
            Prefetch("members", Person.objects.filter(membership__level__gt=1).distinct())
        ),
        lambda x: sorted(y.pk for y in x.members.all()),
        2,
        [[2], [3, 4], []],
    ),
    (
        lambda: Country.objects.prefetch_related(
            Prefetch("people", Person.objects.order_by("-name")[:1], to_attr="first")
        ),
        lambda x: [y.name for y in x.first],
        2,
        [["Bob"], ["Cat"], []],
    ),
    (
        lambda: Restaurant.objects.prefetch_related(Prefetch("fans", Person.objects.order_by("-pk"), to_attr="f")),
        lambda x: [y.pk for y in x.f],
        2,
        [[2, 1], [4], []],
    ),
    (
        lambda: Mark.objects.prefetch_related(
            GenericPrefetch("content_object", [Post.objects.select_related("author"), Person.objects.only("name")])
        ),
        lambda x: x.content_object.author.name if hasattr(x.content_object, "author") else x.content_object.name,
        4,
        ["Ann", "Ann", "Ann", "Bob", "Cat", "Roma"],
    ),
    (
        lambda: Mark.objects.prefetch_related(
            GenericPrefetch("content_object", [Post.objects.filter(pk=1)], to_attr="what")
        ),
        lambda x: x.what and (type(x.what).__name__, x.what.pk),
        4,
        [["Person", 1], ["Post", 1], ["Post", 1], None, ["Person", 3], ["Restaurant", 3]],
    ),
]

ALL = {
    "prefetched": PREFETCHED,
    "with a queryset": WITH_A_QUERYSET,
}


@pytest.mark.parametrize("cases", ALL.values(), ids=ALL)
async def test_what_is_loaded(face: Face, cases: Cases) -> None:
    await people.looked_at(face, cases)


async def test_objects_that_are_there_get_theirs(face: Face) -> None:
    persons = await face.rows(Person.objects.order_by("pk"))
    newest = Prefetch("posts", Post.objects.order_by("-pk")[:1], to_attr="newest")
    with statements() as sent:
        await face(dorm.prefetch_related_objects)(persons, "posts__tags", newest, "country")
        await face(dorm.prefetch_related_objects)(persons, "posts")
        await face(dorm.prefetch_related_objects)([], "posts")
    assert len(sent) == 4
    assert [[post.pk for post in person.newest] for person in persons] == [[2], [6], [4], [5], []]
    assert [sorted(tag.name for post in person.posts.all() for tag in post.tags.all()) for person in persons] == [
        ["t", "u", "u"],
        ["t"],
        ["v", "w"],
        ["w"],
        [],
    ]


async def test_what_cannot_be_loaded_is_refused(face: Face) -> None:
    posts = Post.objects.all()
    for lookups, error in (
        (("nope",), AttributeError),
        (("name",), ValueError),
        (("posts__nope",), AttributeError),
        ((Prefetch("posts", posts), Prefetch("posts", posts.filter(score=1))), ValueError),
        (("posts", Prefetch("posts", posts)), ValueError),
        ((Prefetch("posts", posts, to_attr="name"),), ValueError),
    ):
        with pytest.raises(error):
            await face.rows(Person.objects.prefetch_related(*lookups))
    for wrong in (posts.values("pk"), Post.objects.raw("SELECT 1")):
        with pytest.raises(ValueError, match=r"raw\(\), values\(\), and values_list\(\)|cannot"):
            Prefetch("posts", wrong)


async def test_writing_through_the_manager_drops_what_was_loaded(face: Face) -> None:
    ann = await face(Person.objects.prefetch_related("posts", "friends").get)(pk=1)
    await face(ann.posts.add)(await face(Post.objects.get)(pk=6))
    await face(ann.friends.set)([3])
    assert sorted([post.pk for post in await face.rows(ann.posts.all())]) == [1, 2, 6]
    assert [friend.pk for friend in await face.rows(ann.friends.all())] == [3]
