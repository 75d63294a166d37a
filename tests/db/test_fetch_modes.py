"""Late loads: one row at a time, for all rows of a fetch, or not at all."""

from __future__ import annotations

import copy
import gc
import pickle
import tracemalloc
import weakref

import pytest

import dorm
from dorm import FETCH_ONE, FETCH_PEERS, FETCH_RAISE
from dorm.migrations.schema import create_tables
from dorm.queryset import late
from tests.support.faces import Face, names
from tests.support.relations import LINKED, Country, Passport, Person, Post, Tag
from tests.support.statements import statements


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, object]) -> None:
    create_tables(LINKED)
    at = Country.objects.create(name="Austria", code="AT")
    people = [Person.objects.create(name=name, country=at) for name in ("Ann", "Bob", "Cat")]
    x, y = [Tag.objects.create(name=name) for name in "xy"]
    for title, person in zip("ABC", people, strict=True):
        post = Post.objects.create(title=title, author=person)
        post.tags.set([x] if title == "A" else [x, y])
        Passport.objects.create(person=person, number=title)


def test_peers_are_the_default_for_forward_keys() -> None:
    posts = list(Post.objects.order_by("title"))
    with statements() as sent:
        assert names([post.author for post in posts]) == ["Ann", "Bob", "Cat"]
        assert len(sent) == 1
        assert {post.author.country.name for post in posts} == {"Austria"}
    assert len(sent) == 2


def test_peers_serve_the_reverse_of_one_to_one() -> None:
    people = list(Person.objects.order_by("name"))
    with statements() as sent:
        assert [person.passport.number for person in people] == ["A", "B", "C"]
    assert len(sent) == 1


def test_peers_serve_deferred_columns() -> None:
    people = list(Person.objects.only("country").order_by("pk"))
    with statements() as sent:
        assert names(people) == ["Ann", "Bob", "Cat"]
    assert len(sent) == 1


def test_peers_serve_joined_objects() -> None:
    posts = list(Post.objects.select_related("author").order_by("title"))
    with statements() as sent:
        assert [post.author.country.code for post in posts] == ["AT", "AT", "AT"]
        assert [post.author.passport.number for post in posts] == ["A", "B", "C"]
    assert len(sent) == 2


def test_one_at_a_time() -> None:
    posts = list(Post.objects.fetch_mode(FETCH_ONE))
    with statements() as sent:
        assert len({post.author for post in posts}) == 3
    assert len(sent) == 3
    people = list(Person.objects.fetch_mode("one").only("country"))
    with statements() as sent:
        assert len(names(people)) == 3
    assert len(sent) == 3


def test_nothing_late() -> None:
    (post, *_) = Post.objects.fetch_mode(FETCH_RAISE).defer("title").order_by("pk")
    with statements() as sent:
        with pytest.raises(dorm.FieldFetchBlocked, match=r"Post\.author blocked.*select_related\('author'\)"):
            post.author
        with pytest.raises(dorm.FieldFetchBlocked, match=r"Post\.title"):
            post.title
    assert not sent
    post.fetch("author", "title")
    assert (post.author.name, post.title) == ("Ann", "A")
    with pytest.raises(dorm.FieldFetchBlocked):
        Person.objects.fetch_mode(FETCH_RAISE).get(name="Ann").passport


def test_the_setting_decides_where_nothing_is_said() -> None:
    dorm.configure(DEFAULT_FETCH_MODE="one")
    posts = list(Post.objects.all())
    with statements() as sent:
        assert len({post.author for post in posts}) == 3
    assert len(sent) == 3
    dorm.configure(DEFAULT_FETCH_MODE=FETCH_RAISE)
    with pytest.raises(dorm.FieldFetchBlocked):
        Post.objects.all()[0].author
    with pytest.raises(dorm.ImproperlyConfigured, match="DEFAULT_FETCH_MODE takes FETCH_ONE"):
        dorm.configure(DEFAULT_FETCH_MODE="some")
    with pytest.raises(ValueError, match="some"):
        Post.objects.fetch_mode("some")


def test_prefetched_rows_have_those_of_all_parents_for_peers() -> None:
    Post.objects.update(editor=Person.objects.get(name="Bob"))
    for lookup, rows in (("posts", lambda each: each.posts.all()), (dorm.Prefetch("posts", to_attr="own"), None)):
        people = list(Person.objects.prefetch_related(lookup))
        posts = [post for each in people for post in (rows(each) if rows else each.own)]
        del people
        gc.collect()
        with statements() as sent:
            assert [post.editor.name for post in posts] == ["Bob", "Bob", "Bob"]
        assert len(sent) == 1
    joined = Post.objects.select_related("author")
    posts = [
        post for each in Person.objects.prefetch_related(dorm.Prefetch("posts", joined)) for post in each.posts.all()
    ]
    gc.collect()
    with statements() as sent:
        assert [post.editor.name for post in posts] == ["Bob", "Bob", "Bob"]
    assert len(sent) == 1


def test_asked_for_peers_share_sets_too() -> None:
    posts = list(Post.objects.fetch_mode(FETCH_PEERS).order_by("title"))
    with statements() as sent:
        assert [names(post.tags.all()) for post in posts] == [["x"], ["x", "y"], ["x", "y"]]
        assert len(sent) == 1
        assert names(posts[1].tags.filter(name="y")) == ["y"]
        assert len(sent) == 2
    people = list(Person.objects.fetch_mode(FETCH_PEERS).order_by("name"))
    with statements() as sent:
        assert [names(person.posts.all(), "title") for person in people] == [["A"], ["B"], ["C"]]
    assert len(sent) == 1
    posts = list(Post.objects.order_by("title"))
    with statements() as sent:
        assert [len(post.tags.all()) for post in posts] == [1, 2, 2]
    assert len(sent) == 3


async def test_fetch_loads_what_it_names(face: Face) -> None:
    posts = await face.rows(Post.objects.order_by("title").defer("editor"))
    with statements() as sent:
        for post in posts:
            await face(post.fetch)("author__country", "tags", "editor_id")
        assert [post.author.country.code for post in posts] == ["AT", "AT", "AT"]
        assert [names(post.tags.all()) for post in posts] == [["x"], ["x", "y"], ["x", "y"]]
        assert posts[0].editor is None
    assert len(sent) == 4
    with pytest.raises(AttributeError, match="Cannot find 'autor'"):
        await face(posts[0].fetch)("autor")


async def test_in_a_running_loop_the_error_says_how() -> None:
    post = await Post.objects.aget(title="A")
    with pytest.raises(dorm.SynchronousOnlyOperation, match=r"await instance\.afetch\('author'\)"):
        post.author
    await post.afetch("author")
    assert post.author.name == "Ann"
    with pytest.raises(dorm.SynchronousOnlyOperation, match=r"afetch\('passport'\)"):
        post.author.passport


def test_peers_are_not_kept_alive_and_stay_few() -> None:
    posts = list(Post.objects.order_by("title"))
    gone = weakref.ref(posts.pop())
    gc.collect()
    assert gone() is None
    with statements() as sent:
        assert names([post.author for post in posts]) == ["Ann", "Bob"]
    assert len(sent) == 1


def test_what_peers_cost_a_row() -> None:
    """A weak reference, and a place in one list for all: nothing else is kept for a row."""
    author = Person.objects.get(name="Ann")
    Post.objects.bulk_create([Post(title=f"{number}", author=author) for number in range(2000)])

    def size(mode: str) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            rows = list(Post.objects.fetch_mode(mode))
            return tracemalloc.get_traced_memory()[0] // len(rows)
        finally:
            tracemalloc.stop()

    size(FETCH_ONE)
    assert 0 < size(FETCH_PEERS) - size(FETCH_ONE) < 150


def test_at_most_a_thousand_are_served_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "MOST_PEERS", 2)
    posts = list(Post.objects.order_by("title"))
    with statements() as sent:
        posts[1].author
        assert not Post.author.is_cached(posts[0])
        assert Post.author.is_cached(posts[2])
        posts[0].author
    assert len(sent) == 2


def test_copies_and_pickles_have_no_peers() -> None:
    posts = list(Post.objects.order_by("title"))
    alone = copy.copy(posts[0])
    back = pickle.loads(pickle.dumps(posts[1]))
    with statements() as sent:
        assert alone.author.name == "Ann"
        assert back.author.name == "Bob"
        assert not any(Post.author.is_cached(post) for post in posts)
    assert len(sent) == 2
    assert back._state.db == "default"


def test_a_changed_key_loads_anew() -> None:
    posts = list(Post.objects.order_by("title"))
    posts[0].author
    posts[1].author_id = posts[0].author_id
    assert posts[1].author.name == "Ann"
    assert posts[2].author.name == "Cat"


def test_an_overridden_refresh_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    plain = Person.refresh_from_db

    def refresh(self: Person, *args: object, **kwargs: object) -> None:
        called.append(kwargs["fields"])
        plain(self, *args, **kwargs)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(Person, "refresh_from_db", refresh)
    people = list(Person.objects.only("country").order_by("pk"))
    assert people[0].name == "Ann"
    assert called == [["name"]]
