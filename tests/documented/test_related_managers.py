"""What each method of each kind of related manager leaves behind, with each option, from both sides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest

import dorm
from tests.documented import people
from tests.documented.people import MODELS, Friendship, Group, Membership, Person, Place, Post, Restaurant
from tests.support.faces import Face
from tests.support.statements import statements

__all__ = ["MODELS"]  # the fixture reads it


pytestmark = pytest.mark.usefixtures("filled")


Case: TypeAlias = tuple[str, int, str, str, list[Any], dict[str, Any], Any]
# model, key, manager, method, arguments ("Post 3" is an object, a list one of them), options, the keys afterwards
POINTING: list[Case] = [
    ("Person", 1, "posts", "add", ["Post 3"], {}, [1, 2, 3]),
    ("Person", 1, "posts", "add", ["Post 3", "Post 4"], {"bulk": False}, [1, 2, 3, 4]),
    ("Person", 1, "posts", "add", [], {}, [1, 2]),
    ("Person", 1, "posts", "add", [3], {}, TypeError),
    ("Person", 1, "posts", "add", ["Tag 1"], {}, TypeError),
    ("Person", 1, "posts", "add", ["new Post"], {}, ValueError),
    ("Person", 1, "posts", "add", ["new Post"], {"bulk": False}, [1, 2, 90]),
    ("Person", 1, "posts", "create", [], {"id": 91, "title": "n"}, [1, 2, 91]),
    ("Person", 1, "posts", "get_or_create", [], {"title": "p"}, [1, 2]),
    ("Person", 1, "posts", "get_or_create", [], {"title": "n", "defaults": {"id": 92}}, [1, 2, 92]),
    ("Person", 1, "posts", "update_or_create", [], {"title": "n", "create_defaults": {"id": 93}}, [1, 2, 93]),
    ("Person", 1, "posts", "remove", ["Post 1"], {}, AttributeError),
    ("Person", 1, "posts", "clear", [], {}, AttributeError),
    ("Person", 1, "posts", "set", [["Post 3"]], {}, [1, 2, 3]),
    ("Person", 1, "posts", "set", [["Post 3"]], {"clear": True}, [1, 2, 3]),
    ("Person", 2, "edited", "remove", ["Post 1"], {}, [5]),
    ("Person", 2, "edited", "remove", ["Post 1", "Post 5"], {"bulk": False}, []),
    ("Person", 2, "edited", "remove", ["Post 3"], {}, dorm.ObjectDoesNotExist),
    ("Person", 2, "edited", "remove", [1], {}, TypeError),
    ("Person", 2, "edited", "clear", [], {}, []),
    ("Person", 2, "edited", "clear", [], {"bulk": False}, []),
    ("Person", 2, "edited", "set", [["Post 3", "Post 5"]], {}, [3, 5]),
    ("Person", 2, "edited", "set", [["Post 3"]], {"bulk": False}, [3]),
    ("Person", 2, "edited", "set", [["Post 3"]], {"clear": True, "bulk": False}, [3]),
    ("Person", 2, "edited", "set", [[]], {}, []),
    ("Person", 2, "edited", "set", [[1, 2]], {}, (TypeError, AttributeError)),
    ("Country", 1, "people", "add", ["Person 5"], {}, [1, 2, 5]),
    ("Country", 1, "people", "set", [["Person 5", "Person 1"]], {}, [1, 5]),
    ("Country", 1, "people", "remove", ["Person 2"], {}, [1]),
    ("Country", 1, "people", "create", [], {"id": 94, "name": "n"}, [1, 2, 94]),
    ("Person", 1, "letters", "add", ["Letter 2"], {}, [1, 2, 3]),
    ("LoudPerson", 1, "letters", "create", [], {"id": 95, "text": "n"}, [1, 3, 95]),
    ("Restaurant", 3, "visits", "add", ["Visit 1"], {}, [1, 2, 3, 6]),
    ("Restaurant", 3, "meals", "remove", ["Visit 2"], {}, [5]),
    ("Restaurant", 3, "meals", "clear", [], {}, []),
    ("Place", 3, "visits", "create", [], {"id": 96}, [2, 3, 6, 96]),
]
MANY: list[Case] = [
    ("Post", 1, "tags", "add", [3, "4", "Tag 1"], {}, [1, 2, 3, 4]),
    ("Post", 1, "tags", "add", ["Post 1"], {}, TypeError),
    ("Post", 1, "tags", "add", ["new Tag"], {}, ValueError),
    ("Post", 1, "tags", "add", ["x"], {}, ValueError),
    ("Post", 1, "tags", "create", [], {"id": 90, "name": "n"}, [1, 2, 90]),
    ("Post", 1, "tags", "get_or_create", [], {"name": "t"}, [1, 2]),
    ("Post", 1, "tags", "get_or_create", [], {"name": "w", "defaults": {"id": 91}}, [1, 2, 91]),
    ("Post", 1, "tags", "update_or_create", [], {"name": "t", "defaults": {"name": "tt"}}, [1, 2]),
    ("Post", 1, "tags", "remove", [1, "Tag 4"], {}, [2]),
    ("Post", 1, "tags", "clear", [], {}, []),
    ("Post", 1, "tags", "set", [["Tag 1", 3]], {}, [1, 3]),
    ("Post", 1, "tags", "set", [[3, 4]], {"clear": True}, [3, 4]),
    ("Post", 1, "tags", "set", [[]], {}, []),
    ("Tag", 1, "posts", "add", [2], {}, [1, 2, 3]),
    ("Tag", 1, "posts", "remove", ["Post 1"], {}, [3]),
    ("Tag", 1, "posts", "set", [["Post 6", 3]], {}, [3, 6]),
    ("Tag", 1, "posts", "create", [], {"id": 92, "title": "n", "author_id": 1}, [1, 3, 92]),
    ("Person", 1, "friends", "add", [5], {}, [2, 5]),
    ("Person", 1, "friends", "add", [1], {}, [1, 2]),
    ("Person", 2, "friends", "remove", [1], {}, [3]),
    ("Person", 2, "friends", "set", [[4, "Person 1"]], {}, [1, 4]),
    ("Person", 2, "friends", "clear", [], {}, []),
    ("Person", 1, "follows", "add", [3], {}, [2, 3]),
    ("Person", 1, "followers", "add", ["Person 5"], {}, [2, 3, 5]),
    ("Person", 1, "followers", "clear", [], {}, []),
    ("Person", 1, "pals", "add", [4], {"through_defaults": {"since": 7}}, [2, 3, 4]),
    ("Person", 1, "pals", "remove", [2], {}, [3]),
    ("Person", 1, "pals", "set", [[5]], {"through_defaults": {"since": 1}}, [5]),
    ("Person", 1, "pals", "clear", [], {}, []),
    ("Group", 3, "members", "add", [1, "Person 2"], {"through_defaults": {"level": 4}}, [1, 2]),
    ("Group", 1, "members", "remove", [2], {}, [1, 3]),
    ("Group", 1, "members", "set", [[2, 5]], {"through_defaults": {"level": 9}}, [2, 2, 5]),
    ("Group", 1, "members", "clear", [], {}, []),
    ("Person", 3, "groups", "add", ["Group 3"], {}, [1, 2, 3]),
    ("Person", 3, "groups", "set", [[3]], {"clear": True}, [3]),
    ("Letter", 1, "cc", "add", [4, "LoudPerson 5"], {}, [2, 3, 4, 5]),
    ("Letter", 1, "cc", "add", ["Person 4"], {}, TypeError),
    ("LoudPerson", 1, "copies", "remove", [2], {}, []),
    ("Restaurant", 3, "fans", "set", [[5]], {}, [5]),
    ("Restaurant", 3, "fans", "add", [3], {}, [1, 2, 3]),
    ("Person", 2, "favourites", "add", ["Restaurant 4", 1], {}, [1, 3, 4]),
]
MARKED: list[Case] = [
    ("Post", 1, "marks", "add", ["Mark 1"], {}, [1, 2, 3]),
    ("Post", 1, "marks", "add", ["new Mark"], {}, ValueError),
    ("Post", 1, "marks", "add", ["new Mark"], {"bulk": False}, [2, 3, 90]),
    ("Post", 1, "marks", "add", ["Post 2"], {}, TypeError),
    ("Post", 1, "marks", "create", [], {"id": 91, "text": "n"}, [2, 3, 91]),
    ("Post", 1, "marks", "get_or_create", [], {"text": "m"}, [2, 3]),
    ("Post", 1, "marks", "update_or_create", [], {"text": "m", "defaults": {"weight": 8}}, [2, 3]),
    ("Post", 1, "marks", "remove", ["Mark 2"], {}, [3]),
    ("Post", 1, "marks", "remove", ["Mark 2"], {"bulk": False}, [3]),
    ("Post", 1, "marks", "clear", [], {}, []),
    ("Post", 1, "marks", "set", [["Mark 2", "Mark 4"]], {}, [2, 4]),
    ("Post", 1, "marks", "set", [["Mark 4"]], {"clear": True}, [4]),
    ("Restaurant", 3, "marks", "create", [], {"id": 92, "text": "n"}, [6, 92]),
]


def _model(name: str) -> Any:
    return getattr(people, name)


async def _objects(face: Face, argument: Any) -> Any:
    """Return what *argument* stands for."""
    if isinstance(argument, list):
        return [await _objects(face, each) for each in argument]
    kind, _, key = argument.partition(" ") if isinstance(argument, str) else ("", "", "")
    if kind == "new":
        return _model(key)(id=90) if key != "Tag" else _model(key)(name="n")
    return await face(_model(kind).objects.get)(pk=int(key)) if key else argument


@asynccontextmanager
async def _undone(face: Face) -> AsyncIterator[None]:
    """Do what is inside in a block that is rolled back."""
    async with face.atomic() as block:
        yield
        block.set_rollback(True)


@pytest.mark.parametrize("cases", [POINTING, MANY, MARKED], ids=["pointing", "many", "marked"])
async def test_what_is_left(face: Face, cases: list[Case]) -> None:
    for name, key, manager, method, arguments, options, expected in cases:
        given = [await _objects(face, each) for each in arguments]
        owner = await face(_model(name).objects.get)(pk=key)
        async with _undone(face):
            if isinstance(expected, list):
                await face(getattr(getattr(owner, manager), method))(*given, **options)
                again = await face(_model(name).objects.get)(pk=key)
                left = sorted(await face.rows(getattr(again, manager).values_list("pk", flat=True)))
                assert left == expected, (name, manager, method, given, options)
            else:
                with pytest.raises(expected):
                    await face(getattr(getattr(owner, manager), method))(*given, **options)


async def test_rows_between_have_what_through_defaults_say(face: Face) -> None:
    group = await face(Group.objects.get)(pk=3)
    ann = await face(Person.objects.get)(pk=1)
    await face(group.members.add)(1, through_defaults={"level": 4, "inviter_id": 3})
    await face(group.members.create)(id=60, name="n", through_defaults={"level": lambda: 5, "inviter": ann})
    found, made = await face(group.members.get_or_create)(name="o", defaults={"id": 61}, through_defaults={"level": 6})
    assert (found.pk, made) == (61, True)
    found, made = await face(group.members.update_or_create)(
        name="q", create_defaults={"id": 62}, through_defaults={"level": 7}
    )
    assert (found.pk, made) == (62, True)
    rows = group.membership_set.order_by("level").values_list("person", "inviter", "level")
    assert await face.rows(rows.all()) == [(1, 3, 4), (60, 1, 5), (61, None, 6), (62, None, 7)]
    await face(group.members.set)([1, 2], through_defaults={"level": 9})
    assert await face.rows(rows.all()) == [(1, 3, 4), (2, None, 9)]


async def test_a_pair_that_is_there_is_left_as_it_is(face: Face) -> None:
    group = await face(Group.objects.get)(pk=1)
    await face(group.members.add)(2, through_defaults={"level": 9})
    assert await face(Membership.objects.filter(group=1, person=2).count)() == 2
    # Two rows for one pair are two members, and go together.
    assert await face(group.members.count)() == 4
    assert await face(group.members.distinct().count)() == 3
    await face(group.members.remove)(2)
    assert await face(Membership.objects.filter(group=1).count)() == 2


async def test_both_halves_of_a_symmetrical_pair_are_written_and_removed(face: Face) -> None:
    rows = Friendship.objects.order_by("one_id", "two_id").values_list("one", "two", "since")
    ann = await face(Person.objects.get)(pk=1)
    await face(ann.pals.add)(4, through_defaults={"since": 7})
    assert await face.rows(rows.all()) == [(1, 2, 3), (1, 3, 5), (1, 4, 7), (2, 1, 3), (4, 1, 7)]
    await face(ann.pals.remove)(2, 4)
    # Of the pair that has one half only the other one is not made up.
    assert await face.rows(rows.all()) == [(1, 3, 5)]
    cat = await face(Person.objects.get)(pk=3)
    assert await face.rows(cat.pals.all()) == []
    assert await face.rows(Person.objects.filter(pals=cat)) == [ann]
    assert await face.rows(Person.objects.filter(pals=ann)) == []


async def test_pairs_are_written_by_one_statement(face: Face) -> None:
    ann = await face(Person.objects.get)(pk=1)
    post = await face(Post.objects.get)(pk=1)
    for manager, keys in ((ann.friends, (1, 3, 4, 5)), (ann.follows, (3, 4)), (post.tags, (2, 3, 4))):
        with statements() as sent:
            await face(manager.add)(*keys)
        assert [each.split()[0] for each in sent] == ["INSERT"]
    assert sorted(await face.rows(ann.friends.values_list("pk", flat=True))) == [1, 2, 3, 4, 5]
    assert await face.rows(Person.objects.filter(friends=5).values_list("pk", flat=True)) == [1]


async def test_managers_of_what_is_not_saved(face: Face) -> None:
    new = Person(name="new")
    for use in (
        lambda: new.posts.all(),
        lambda: new.posts.count(),
        lambda: new.friends,
        lambda: new.groups,
        lambda: Post(title="p").tags,
    ):
        with pytest.raises(ValueError, match="needs to have"):
            use()
    with pytest.raises(TypeError, match=r"Use posts\.set\(\)"):
        new.posts = []
    with pytest.raises(TypeError, match=r"Use members\.set\(\)"):
        Group(name="g", members=[1])


async def test_the_default_manager_or_another_one(face: Face) -> None:
    ann = await face(Person.objects.get)(pk=1)
    assert ann.posts.model is Post
    assert await face(ann.posts(manager="objects").count)() == 2
    assert await face(ann.friends(manager="objects").count)() == 1
    with pytest.raises(AttributeError):
        ann.posts(manager="nope")


async def test_what_a_manager_gives_knows_its_owner(face: Face) -> None:
    roma = await face(Restaurant.objects.get)(pk=3)
    place = await face(Place.objects.get)(pk=3)
    with statements() as sent:
        visits = await face.rows(roma.visits.all())
        made = await face(roma.visits.create)(id=70)
        meal = await face(roma.meals.create)(id=71, place=place)
        assert {visit.place.pk for visit in [*visits, made]} == {3}
        assert (made.place_id, meal.restaurant) == (3, roma)
        assert roma.place_ptr.restaurant is roma
    assert len(sent) == 3
