"""select_related in all shapes, alone and with only and defer."""

from __future__ import annotations

import pytest

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face
from tests.support.relations import LINKED, Country, Passport, Person, Post
from tests.support.statements import statements


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, object]) -> None:
    create_tables(LINKED)


async def some(face: Face) -> tuple[Person, Person]:
    """Ann of Austria with a passport and a post that Bob edits; Bob has neither country nor passport."""
    at = await face(Country.objects.create)(name="Austria", code="AT")
    ann = await face(Person.objects.create)(name="Ann", country=at)
    bob = await face(Person.objects.create)(name="Bob")
    await face(Passport.objects.create)(person=ann, number="1")
    await face(Post.objects.create)(title="A", author=ann, editor=bob)
    await face(Post.objects.create)(title="B", author=bob)
    return ann, bob


async def test_paths_forward_and_back(face: Face) -> None:
    await some(face)
    with statements() as sent:
        posts = await face.rows(Post.objects.select_related("author__country", "author__passport", "editor"))
        assert posts[0].author.country.name == "Austria"
        assert posts[0].author.passport.number == "1"
        assert posts[0].author.passport.person is posts[0].author
        assert (posts[1].author.country, posts[1].editor) == (None, None)
        assert not hasattr(posts[1].author, "passport")
        passports = await face.rows(Passport.objects.select_related("person__country"))
        assert passports[0].person.country.code == "AT"
        assert passports[0].person.passport is passports[0]
    assert len(sent) == 2


async def test_nothing_named_means_all_required_keys(face: Face) -> None:
    await some(face)
    with statements() as sent:
        posts = await face.rows(Post.objects.select_related())
        assert [post.author.name for post in posts] == ["Ann", "Bob"]
    assert len(sent) == 1
    assert not Post.editor.is_cached(posts[0])


async def test_calls_add_up_and_none_clears(face: Face) -> None:
    await some(face)
    post = await face(Post.objects.select_related("author").select_related("editor").get)(title="A")
    assert Post.author.is_cached(post)
    assert Post.editor.is_cached(post)
    post = await face(Post.objects.select_related("author").select_related(None).get)(title="A")
    assert not Post.author.is_cached(post)


async def test_conditions_share_the_join(face: Face) -> None:
    await some(face)
    rows = Post.objects.select_related("author").filter(author__name="Ann").order_by("author__name")
    assert rows.sql()[0].count("JOIN") == 1
    assert [post.author.name for post in await face.rows(rows)] == ["Ann"]


async def test_columns_of_joined_objects_are_chosen(face: Face) -> None:
    await some(face)
    with statements() as sent:
        named = Post.objects.select_related("author__passport").only("title", "author__name", "author__passport")
        post = await face(named.get)(title="A")
        assert post.get_deferred_fields() == {"editor_id"}
        assert post.author.get_deferred_fields() == {"country_id"}
        assert post.author.passport.get_deferred_fields() == set()
        post = await face(Post.objects.select_related("author").defer("author__name").get)(title="A")
        assert post.author.get_deferred_fields() == {"name"}
        person = await face(Person.objects.select_related("passport").only("name", "passport__number").get)(name="Ann")
        assert person.passport.number == "1"
        assert person.passport.person is person
    assert len(sent) == 3


def test_what_is_left_out_is_not_joined(backend: str) -> None:
    for people in (
        Person.objects.select_related("passport").only("name"),
        Person.objects.select_related("passport").defer("passport"),
        Person.objects.select_related("country").only("name"),
    ):
        with pytest.raises(dorm.FieldError, match="cannot be both deferred and traversed"):
            str(people.query)


async def test_later_only_replaces_and_defer_takes_away(face: Face) -> None:
    await some(face)
    for rows, deferred in (
        (Post.objects.only("title").only("editor"), {"title", "author_id"}),
        (Post.objects.only("title", "editor").defer("editor"), {"author_id", "editor_id"}),
        (Post.objects.defer("title").only("title", "editor"), {"title", "author_id"}),
        (Post.objects.defer("title").defer("editor_id"), {"title", "editor_id"}),
        (Post.objects.defer("title").defer(None), set()),
    ):
        post = await face(rows.order_by("pk").first)()
        assert post is not None
        assert post.get_deferred_fields() == deferred


def test_what_is_no_single_object_is_refused(backend: str) -> None:
    for path, message in (
        ("nothing", r"Invalid field name\(s\) given in select_related: 'nothing'"),
        ("author__nothing", "'nothing'"),
        ("tags", "'tags'"),
        ("title", "Non-relational field given in select_related: 'title'"),
    ):
        with pytest.raises(dorm.FieldError, match=message):
            Post.objects.select_related(path)
    with pytest.raises(dorm.FieldError, match="cannot be both deferred and traversed"):
        list(Post.objects.select_related("author").only("title"))
    with pytest.raises(dorm.FieldError, match="cannot be both deferred and traversed"):
        list(Post.objects.select_related("author").defer("author"))
    with pytest.raises(TypeError, match=r"after \.values\(\)"):
        Post.objects.values("title").select_related("author")
    with pytest.raises(TypeError, match="None"):
        Post.objects.only(None)  # type: ignore[arg-type]  # this is what is refused
