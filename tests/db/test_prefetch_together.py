"""Prefetches of one queryset side by side: their queries share a trip on PostgreSQL, and fail as they would alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm.db import hooks
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import DatabaseError, TransactionManagementError
from dorm.migrations.schema import create_tables
from tests.support.faces import Face, names
from tests.support.proxy import Proxy
from tests.support.relations import LINKED, Country, Person, Post, Tag

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


@pytest.fixture
def proxy(empty_database: dict[str, Any]) -> Iterator[Proxy]:
    """A database with a few rows, two milliseconds away."""
    create_tables(LINKED)
    at = Country.objects.create(name="Austria", code="AT")
    ann, bob = [Person.objects.create(name=name, country=at) for name in ("Ann", "Bob")]
    tags = [Tag.objects.create(name=name) for name in "xy"]
    for title in "AB":
        Post.objects.create(title=title, author=ann, editor=bob).tags.set(tags)
    with Proxy(empty_database["URL"], latency=0.001) as made:
        dorm.configure(DATABASES={"default": {**empty_database, "URL": made.url}})
        yield made


async def trips(face: Face, proxy: Proxy, qs: Any) -> tuple[int, list[Any]]:
    """Evaluate *qs* until the connection knows the way and the statements; return the trips of the last time."""
    found: list[Any] = []
    number = 0
    for _ in range(8):
        before = proxy.trips
        found = await face.rows(qs._clone())
        number = proxy.trips - before
    return number, found


async def test_siblings_share_a_trip(face: Face, proxy: Proxy) -> None:
    number, posts = await trips(face, proxy, Post.objects.prefetch_related("author", "editor", "tags"))
    assert number == 2
    assert [(post.author.name, post.editor.name, names(post.tags.all())) for post in posts] == [
        ("Ann", "Bob", ["x", "y"])
    ] * 2
    assert (await trips(face, proxy, Post.objects.prefetch_related("author")))[0] == 2


async def test_each_of_them_is_observed_and_the_last_one_has_the_time(face: Face, proxy: Proxy) -> None:
    posts = Post.objects.prefetch_related("author", "editor", "tags")
    await trips(face, proxy, posts)
    seen: list[hooks.Observation] = []
    uninstall = hooks.install_observer(seen.append)
    try:
        await face.rows(posts._clone())
    finally:
        uninstall()
    assert [each.rows for each in seen] == [2, 1, 1, 4]
    assert [each.elapsed > 0 for each in seen] == [True, False, False, True]


async def test_paths_go_on_side_by_side(face: Face, proxy: Proxy) -> None:
    paths = ("author__country", "editor__country", "tags", "author__posts")
    number, posts = await trips(face, proxy, Post.objects.prefetch_related(*paths))
    # The posts; authors, editors and tags; the countries of both; and what starts where another lookup did.
    assert number == 4
    assert {post.author.country.name for post in posts} | {post.editor.country.code for post in posts} == {
        "Austria",
        "AT",
    }
    assert names(posts[0].author.posts.all(), "title") == ["A", "B"]


async def test_in_a_block(face: Face, proxy: Proxy) -> None:
    qs = Post.objects.prefetch_related("author", "editor", "tags")
    await trips(face, proxy, qs)
    async with face.atomic():
        await face(Post.objects.count)()
        before = proxy.trips
        posts = await face.rows(qs)
        assert proxy.trips - before == 2
    assert names(posts[1].tags.all()) == ["x", "y"]


async def test_the_failing_sibling_is_named(face: Face, proxy: Proxy) -> None:
    broken = dorm.Prefetch("tags", Tag.objects.annotate(bad=dorm.Func(dorm.F("name"), function="no_such_function")))
    good = Post.objects.prefetch_related("author", "editor")
    await trips(face, proxy, good)
    with pytest.raises(DatabaseError, match="no_such_function") as caught:
        await face.rows(good.prefetch_related(broken))
    assert "no_such_function" in str(caught.value.statement)
    number, posts = await trips(face, proxy, good)
    assert (number, posts[0].author.name) == (2, "Ann")
    async with face.atomic():
        with pytest.raises(DatabaseError, match="no_such_function"):
            await face.rows(good.prefetch_related(broken))
        with pytest.raises((DatabaseError, TransactionManagementError)):
            await face(Post.objects.count)()
        dorm.transaction.set_rollback(True)
    assert await face(Post.objects.count)() == 2


async def test_siblings_that_fail_in_a_savepoint_leave_its_block_alone(face: Face, proxy: Proxy) -> None:
    """Everything of the savepoint was in flight together: BEGIN, SAVEPOINT, the rows, the siblings."""
    broken = dorm.Prefetch("tags", Tag.objects.annotate(bad=dorm.Func(dorm.F("name"), function="no_such_function")))
    good = Post.objects.prefetch_related("author", "editor")
    await trips(face, proxy, good)
    async with face.atomic():
        with pytest.raises(DatabaseError, match="no_such_function"):
            async with face.atomic():
                await face.rows(good.prefetch_related(broken))
        post = await face(Post.objects.create)(title="C", author=await face(Person.objects.get)(name="Ann"))
        with pytest.raises(DatabaseError, match="no_such_function"):
            async with face.atomic():
                await face(Post.objects.filter(pk=post.pk).update)(title="undone")
                await face.rows(good.prefetch_related(broken))
        assert len(await face.rows(good._clone())) == 3
    assert (await face(Post.objects.get)(pk=post.pk)).title == "C"
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_wrong_name_ends_its_siblings(face: Face, proxy: Proxy) -> None:
    for wrong in (("author", "no_such", "tags"), ("no_such", "tags")):
        with pytest.raises(AttributeError, match="Cannot find 'no_such'"):
            await face.rows(Post.objects.prefetch_related(*wrong))
    assert len(await face.rows(Post.objects.prefetch_related("tags", "author"))) == 2


async def test_a_cached_sibling_leaves_the_others_uncached(face: Face, proxy: Proxy) -> None:
    dorm.configure(CACHES={"default": {"BACKEND": "dorm.cache.locmem.LocMemCache"}}, CACHE_SIGNING_KEY="k" * 32)
    try:
        cached = dorm.Prefetch("author", Person.objects.prefetch_related("country").cache())
        qs = Post.objects.prefetch_related(cached, "tags", "editor__country")
        assert names((await face.rows(qs))[0].tags.all()) == ["x", "y"]
        # The cache is not told of this.
        sql = "DELETE FROM links_post_tags"
        await get_async_connection().execute(sql) if face.is_async else get_connection().execute(sql)
        posts = await face.rows(qs._clone())
        assert names(posts[0].tags.all()) == []
        assert posts[0].author.country.code == posts[0].editor.country.code == "AT"
    finally:
        dorm.configure(CACHES={}, CACHE_SIGNING_KEY="")
