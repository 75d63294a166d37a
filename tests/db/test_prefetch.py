"""prefetch_related and prefetch_related_objects: every kind of relation, paths, querysets, refusals."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

import dorm
from dorm import Prefetch
from dorm.functions import Concat
from dorm.migrations.schema import create_tables
from dorm.signals import post_init
from tests.support.faces import Face, names
from tests.support.relations import LINKED, Country, Group, Membership, Passport, Person, Post, Tag
from tests.support.statements import statements


class Shelf(dorm.Model):
    id = dorm.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        app_label = "links"


class Item(dorm.Model):
    """Rows with a key that some databases send as a text."""

    shelf = dorm.ForeignKey(Shelf, related_name="%(class)ss")
    shelves = dorm.ManyToManyField(Shelf, related_name="chosen_%(class)ss")
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "links"
        abstract = True


class Plain(Item):
    pass


class Built(Item):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.built = True


class Wide(Item):
    locals().update({f"number{number}": dorm.IntegerField(default=number) for number in range(30)})


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, object]) -> None:
    create_tables([*LINKED, Shelf, Plain, Built, Wide])


async def world(face: Face) -> None:
    """Three people of two countries, four posts, three tags, two passports, a group."""
    at = await face(Country.objects.create)(name="Austria", code="AT")
    be = await face(Country.objects.create)(name="Belgium", code="BE")
    ann, bob, cat = [
        await face(Person.objects.create)(name=name, country=country)
        for name, country in (("Ann", at), ("Bob", be), ("Cat", None))
    ]
    await face(Passport.objects.create)(person=ann, number="1")
    await face(Passport.objects.create)(person=bob, number="2")
    tags = [await face(Tag.objects.create)(name=name) for name in ("x", "y", "z")]
    for title, author, editor, chosen in (
        ("A", ann, bob, tags[:2]),
        ("B", ann, None, tags[1:]),
        ("C", bob, ann, []),
        ("D", ann, bob, tags),
    ):
        post = await face(Post.objects.create)(title=title, author=author, editor=editor)
        await face(post.tags.set)(chosen)
    group = await face(Group.objects.create)(name="G")
    await face(group.members.add)(ann, cat)
    await face(ann.follows.set)([bob, cat])
    await face(ann.friends.set)([bob])


async def test_foreign_keys_and_their_reverse(face: Face) -> None:
    await world(face)
    with statements() as sent:
        people = await face.rows(Person.objects.prefetch_related("posts", "country", "edited").order_by("name"))
        assert [names(person.posts.all(), "title") for person in people] == [["A", "B", "D"], ["C"], []]
        assert [person.country and person.country.name for person in people] == ["Austria", "Belgium", None]
        assert [names(person.edited.all(), "title") for person in people] == [["C"], ["A", "D"], []]
        assert all(post.author is person for person in people for post in person.posts.all())
        assert [person.posts.count() for person in people] == [3, 1, 0]
        assert people[0].posts.exists()
        assert len(people[0].posts.all()) == 3
    assert len(sent) == 4


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("make", [Plain, Built, Wide])
async def test_rows_of_every_make_are_given_to_their_owners(face: Face, make: Any, told: bool) -> None:
    first, second = [await face(Shelf.objects.create)() for _ in range(2)]
    for shelf, name in ((first, "a"), (second, "b"), (first, "c")):
        await face((await face(make.objects.create)(shelf=shelf, name=name)).shelves.set)([first, second])
    seen: list[Any] = []
    if told:
        post_init.connect(lambda instance, **_: seen.append(instance), sender=make, weak=False, dispatch_uid="make")
    kind = make.__name__.lower()
    rows = make.objects.order_by("name")
    try:
        for chosen in (
            rows,
            rows.annotate(twice=Concat("name", "name")),
            rows.select_related("shelf"),
            rows.only("id"),
        ):
            lookups = [Prefetch(f"{kind}s", chosen), Prefetch(f"chosen_{kind}s", chosen)]
            with statements() as sent:
                shelves = await face.rows(Shelf.objects.prefetch_related(*lookups))
            assert len(sent) == 3
            by_key = {shelf.pk: shelf for shelf in shelves}
            own = getattr(by_key[first.pk], f"{kind}s").all()
            assert {row.shelf_id for row in own} == {first.pk}
            assert all((row.shelf is by_key[first.pk]) is (chosen._plan.query.related == {}) for row in own)
            assert [row.pk for row in own] == [1, 3]
            assert [[row.pk for row in getattr(shelf, f"chosen_{kind}s").all()] for shelf in shelves] == [[1, 2, 3]] * 2
            everyone = [
                row
                for shelf in shelves
                for name in (f"{kind}s", f"chosen_{kind}s")
                for row in getattr(shelf, name).all()
            ]
            assert all(type(row) is make for row in everyone)
            assert not any(hasattr(row, "_prefetch_key") for row in everyone)
            if "twice" in chosen._plan.query.annotations:
                assert [(row.name, row.twice) for row in own] == [("a", "aa"), ("c", "cc")]
            assert len(everyone) == 9
            assert not told or {id(row) for row in everyone} <= {id(row) for row in seen}
    finally:
        post_init.disconnect(sender=make, dispatch_uid="make")


async def test_what_rows_prefetch_in_turn_begins_with_their_owner(face: Face) -> None:
    await world(face)
    with statements() as sent:
        posts = Prefetch("posts", Post.objects.prefetch_related("author__country"))
        people = await face.rows(Person.objects.prefetch_related(posts).order_by("name"))
        assert all(post.author is person for person in people for post in person.posts.all())
        assert [post.author.country.code for person in people for post in person.posts.all()] == [
            "AT",
            "AT",
            "AT",
            "BE",
        ]
    assert len(sent) == 3


async def test_many_to_many_from_both_sides(face: Face) -> None:
    await world(face)
    with statements() as sent:
        posts = await face.rows(Post.objects.prefetch_related("tags"))
        assert [names(post.tags.all()) for post in posts] == [["x", "y"], ["y", "z"], [], ["x", "y", "z"]]
    assert len(sent) == 2
    tags = await face.rows(Tag.objects.prefetch_related("posts"))
    assert [names(tag.posts.all(), "title") for tag in tags] == [["A", "D"], ["A", "B", "D"], ["B", "D"]]
    assert not any("_prefetch_key" in vars(post) for tag in tags for post in tag.posts.all())
    people = await face.rows(
        Person.objects.prefetch_related("groups", "follows", "followers", "friends").order_by("pk")
    )
    assert [len(person.groups.all()) for person in people] == [1, 0, 1]
    assert [sorted(names(person.follows.all())) for person in people] == [["Bob", "Cat"], [], []]
    assert [names(person.followers.all()) for person in people] == [[], ["Ann"], ["Ann"]]
    assert [names(person.friends.all()) for person in people] == [["Bob"], ["Ann"], []]


async def test_one_to_one_from_both_sides(face: Face) -> None:
    await world(face)
    with statements() as sent:
        people = await face.rows(Person.objects.prefetch_related("passport").order_by("name"))
        assert [person.passport.number for person in people[:2]] == ["1", "2"]
        assert not hasattr(people[2], "passport")
        assert people[0].passport.person is people[0]
        passports = await face.rows(Passport.objects.prefetch_related("person").order_by("number"))
        assert names([passport.person for passport in passports]) == ["Ann", "Bob"]
        assert passports[0].person.passport is passports[0]
    assert len(sent) == 4


async def test_paths_go_on_from_level_to_level(face: Face) -> None:
    await world(face)
    with statements() as sent:
        countries = await face.rows(
            Country.objects.prefetch_related("people__posts__tags", "people__passport").order_by("code")
        )
        ann = countries[0].people.all()[0]
        assert [names(post.tags.all()) for post in ann.posts.all()] == [["x", "y"], ["y", "z"], ["x", "y", "z"]]
        assert ann.passport.number == "1"
        assert ann.country is countries[0]
    assert len(sent) == 5
    with statements() as sent:
        posts = await face.rows(Post.objects.select_related("author").prefetch_related("author__passport"))
        assert [post.author.passport.number for post in posts] == ["1", "1", "2", "1"]
    assert len(sent) == 2


async def test_a_queryset_of_ones_own(face: Face) -> None:
    await world(face)
    late = Post.objects.filter(title__gte="B").order_by("-title").select_related("editor")
    with statements() as sent:
        people = await face.rows(Person.objects.prefetch_related(Prefetch("posts", late)).order_by("name"))
        assert [names(person.posts.all(), "title") for person in people] == [["D", "B"], ["C"], []]
        assert people[0].posts.all()[0].editor.name == "Bob"
    assert len(sent) == 2
    assert names(await face.rows(people[0].posts.filter(title__lt="D")), "title") == ["B"]


async def test_to_attr_gets_a_list_and_leaves_the_manager_alone(face: Face) -> None:
    await world(face)
    some = Prefetch("tags", Tag.objects.filter(name__in=["x", "y"]), to_attr="some")
    posts = await face.rows(Post.objects.prefetch_related(some, "tags"))
    assert [names(post.some) for post in posts] == [["x", "y"], ["y"], [], ["x", "y"]]
    assert [len(post.tags.all()) for post in posts] == [2, 2, 0, 3]
    one = Prefetch("author", Person.objects.filter(name="Ann"), to_attr="ann")
    posts = await face.rows(Post.objects.prefetch_related(one))
    assert [post.ann and post.ann.name for post in posts] == ["Ann", "Ann", None, "Ann"]
    nested = Prefetch("people", Person.objects.order_by("name"), to_attr="all_people")
    countries = await face.rows(Country.objects.prefetch_related(nested, "all_people__posts").order_by("code"))
    assert [names(person.posts.all(), "title") for person in countries[0].all_people] == [["A", "B", "D"]]


async def test_querysets_prefetch_further_inside(face: Face) -> None:
    await world(face)
    inner = Post.objects.prefetch_related(Prefetch("tags", Tag.objects.order_by("-name")))
    with statements() as sent:
        people = await face.rows(Person.objects.prefetch_related(Prefetch("posts", inner)).order_by("name"))
        assert [names(post.tags.all()) for post in people[0].posts.all()] == [["y", "x"], ["z", "y"], ["z", "y", "x"]]
    assert len(sent) == 3


async def test_an_object_that_was_left_out_is_missing(face: Face) -> None:
    await world(face)
    ann = Person.objects.filter(name="Ann")
    with statements() as sent:
        posts = await face.rows(Post.objects.prefetch_related(Prefetch("author", ann), Prefetch("editor", ann)))
        assert posts[0].author.name == "Ann"
        assert posts[0].editor is None
        with pytest.raises(Person.DoesNotExist, match="Post has no author"):
            posts[2].author
    assert len(sent) == 3


async def test_only_keeps_what_the_relation_needs(face: Face) -> None:
    await world(face)
    with statements() as sent:
        people = await face.rows(Person.objects.prefetch_related(Prefetch("posts", Post.objects.only("title"))))
        assert [names(person.posts.all(), "title") for person in people] == [["A", "B", "D"], ["C"], []]
        countries = await face.rows(
            Person.objects.prefetch_related(Prefetch("country", Country.objects.only("name"))).order_by("name")
        )
        assert countries[0].country.name == "Austria"
    assert len(sent) == 4


async def test_on_instances_that_are_there(face: Face) -> None:
    await world(face)
    people = await face.rows(Person.objects.order_by("name"))
    with statements() as sent:
        await face(dorm.prefetch_related_objects)(people, "posts__tags", Prefetch("edited", to_attr="edits_"))
        assert [len(person.posts.all()) for person in people] == [3, 1, 0]
        assert [names(person.edits_, "title") for person in people] == [["C"], ["A", "D"], []]
        assert len(sent) == 3
        await face(dorm.prefetch_related_objects)(people, "posts__tags", "country")
        assert len(sent) == 4
        await face(dorm.prefetch_related_objects)([], "posts")
    assert len(sent) == 4


async def test_an_iterator_prefetches_chunk_by_chunk(face: Face) -> None:
    await world(face)
    with statements() as sent:
        posts = await face.stream(Post.objects.prefetch_related("tags"), chunk_size=2)
    assert [names(post.tags.all()) for post in posts] == [["x", "y"], ["y", "z"], [], ["x", "y", "z"]]
    assert len(sent) == 3


async def test_get_first_and_index_prefetch_too(face: Face) -> None:
    await world(face)
    rows = Post.objects.prefetch_related("tags")
    got = await face(rows.get)(title="A")
    first = await face(rows.first)()
    with statements() as sent:
        assert names(got.tags.all()) == ["x", "y"]
        assert names(first.tags.all()) == ["x", "y"]
    assert not sent


async def test_none_clears_and_calls_add_up(face: Face) -> None:
    await world(face)
    with statements() as sent:
        await face.rows(Post.objects.prefetch_related("tags").prefetch_related(None))
        assert len(sent) == 1
        await face.rows(Post.objects.prefetch_related("tags").prefetch_related("author"))
    assert len(sent) == 4


async def test_changes_drop_what_was_prefetched(face: Face) -> None:
    await world(face)
    (person,) = await face.rows(Person.objects.prefetch_related("posts", "edited", "follows").filter(name="Ann"))
    assert len(person.follows.all()) == 2
    await face(person.follows.clear)()
    assert await face.rows(person.follows.all()) == []
    await face(person.posts.create)(title="E")
    assert names(await face.rows(person.posts.all()), "title") == ["A", "B", "D", "E"]
    await face(person.edited.clear)()
    assert await face.rows(person.edited.all()) == []


@pytest.mark.parametrize(
    ("lookups", "error", "message"),
    [
        (("tgas",), AttributeError, r"Cannot find 'tgas' on Post object.*invalid parameter.*Did you mean 'tags'"),
        (("post",), AttributeError, "Cannot find 'post' on Post object"),
        (("author__nothing",), AttributeError, "Cannot find 'nothing' on Person object"),
        (("title",), ValueError, "'title' does not resolve to an item that supports prefetching"),
        (("author__name",), ValueError, "'author__name' does not resolve"),
        (("tags", Prefetch("tags", Tag.objects.all())), ValueError, "'tags' lookup was already seen with a different"),
        ((Prefetch("tags", to_attr="title"),), ValueError, "to_attr=title conflicts with a field on the Post model"),
    ],
)
async def test_what_cannot_be_prefetched_is_refused(
    face: Face, lookups: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    await world(face)
    with pytest.raises(error, match=message):
        await face.rows(Post.objects.prefetch_related(*lookups))


def test_rows_that_are_no_objects_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Prefetch querysets cannot use raw\(\), values\(\), and values_list\(\)"):
        Prefetch("tags", Tag.objects.values("name"))


async def test_the_through_model_can_be_prefetched(face: Face) -> None:
    await world(face)
    groups = await face.rows(Group.objects.prefetch_related(Prefetch("membership_set", Membership.objects.all())))
    assert len(groups[0].membership_set.all()) == 2


async def test_a_slice_counts_for_each_parent(face: Face) -> None:
    await world(face)
    with statements() as sent:
        first = Prefetch("posts", Post.objects.order_by("-title")[:2])
        people = await face.rows(Person.objects.prefetch_related(first).order_by("name"))
        assert [names(person.posts.all(), "title") for person in people] == [["D", "B"], ["C"], []]
        second = Prefetch("tags", Tag.objects.all()[1:2], to_attr="second")
        posts = await face.rows(Post.objects.prefetch_related(second))
        assert [names(post.second) for post in posts] == [["y"], ["z"], [], ["y"]]
        rest = Prefetch("posts", Post.objects.order_by("title")[1:])
        people = await face.rows(Person.objects.prefetch_related(rest).order_by("name"))
        assert [names(person.posts.all(), "title") for person in people] == [["B", "D"], [], []]
    assert len(sent) == 6
    joined = Prefetch("posts", Post.objects.select_related("editor").prefetch_related("tags").order_by("pk")[:1])
    (ann, *_) = await face.rows(Person.objects.prefetch_related(joined).order_by("name"))
    (post,) = ann.posts.all()
    assert (post.editor.name, names(post.tags.all())) == ("Bob", ["x", "y"])
