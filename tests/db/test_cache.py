"""The query cache: what is kept, what makes it stale, and what it never breaks."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import Count, F, ImproperlyConfigured
from dorm.cache import (
    BaseCache,
    bump_model_cache_version,
    get_cache,
    model_cache_namespace,
    model_cache_version,
    register_key_part,
    register_observer,
    reset_caches,
    reset_signing_key,
    sign_payload,
    verify_payload,
)
from dorm.cache.invalidation import invalidate_model
from dorm.cache.locmem import LocMemCache
from dorm.cache.redis import RedisCache
from dorm.contrib import prometheus
from dorm.db.hooks import chain
from tests.support.faces import Face
from tests.support.models import Author, Book, Publisher, Review

REDIS = os.environ.get("DORM_TEST_REDIS", "redis://127.0.0.1:6379/9")


def redis_answers() -> bool:
    import redis

    try:
        return bool(redis.Redis.from_url(REDIS, socket_connect_timeout=1).ping())
    except redis.RedisError:
        return False


class Counter:
    """Counts the SELECTs that are sent."""

    def __init__(self) -> None:
        self.selects: list[str] = []

    def observe(self, observation: Any) -> None:
        if "SELECT" in observation.sql:
            self.selects.append(observation.sql)

    def taken(self) -> int:
        number = len(self.selects)
        self.selects.clear()
        return number


@pytest.fixture(params=["locmem", "redis"])
def cached(request: pytest.FixtureRequest, database: Any) -> Iterator[Counter]:
    if request.param == "redis":
        if not redis_answers():
            pytest.skip("no Redis server answers")
        entry = {"BACKEND": "dorm.cache.redis.RedisCache", "LOCATION": REDIS, "TTL": 60,
                 "OPTIONS": {"prefix": f"dorm-test-{uuid.uuid4()}:"}}  # fmt: skip
    else:
        entry = {"BACKEND": "dorm.cache.locmem.LocMemCache", "TTL": 60}
    dorm.configure(CACHES={"default": entry, "other": {**entry, "LOCATION": entry.get("LOCATION", "other")}},
                   CACHE_SIGNING_KEY="secret")  # fmt: skip
    counter = Counter()
    uninstall = chain.install_observer(counter.observe)
    yield counter
    uninstall()
    for alias in ("default", "other"):
        get_cache(alias).delete_pattern("*")
    dorm.configure(CACHES={}, CACHE_SIGNING_KEY="")


async def library(face: Face) -> tuple[Author, Book]:
    ann = await face(Author.objects.create)(name="ann", age=40)
    book = await face(Book.objects.create)(title="A", author=ann, pages=10)
    return ann, book


async def test_two_evaluations_send_one_statement(face: Face, cached: Counter) -> None:
    await library(face)
    cached.taken()
    for _ in range(2):
        assert [author.name for author in await face.rows(Author.objects.cached(timeout=30))] == ["ann"]
    assert cached.taken() == 1
    qs = Author.objects.filter(age__gt=1).cache(30)
    assert [await face(qs.count)(), await face(qs.count)()] == [1, 1]
    assert [await face(qs.exists)(), await face(qs.exists)()] == [True, True]
    assert (await face(qs.get)(name="ann")).age == (await face(qs.get)(name="ann")).age == 40
    assert (await face(qs.first)()) == (await face(qs.first)())
    assert cached.taken() == 4


async def test_hits_and_misses_are_counted(face: Face, cached: Counter, caplog: pytest.LogCaptureFixture) -> None:
    def broken(alias: str, hit: bool) -> None:
        raise ValueError("full")

    def counted(outcome: str, alias: str) -> int:
        lines = [
            each for each in prometheus.metrics_response().splitlines() if each.startswith(f"dorm_cache_{outcome}")
        ]
        (found,) = [each for each in lines if f'alias="{alias}"' in each] or ["0"]
        return int(found.split()[-1])

    await library(face)
    told: list[tuple[str, bool]] = []
    removes = [register_observer(broken), register_observer(lambda alias, hit: told.append((alias, hit)))]
    prometheus.install()
    prometheus.install()
    try:
        for _ in range(3):
            assert await face(Author.objects.cached(timeout=30).count)() == 1
        for _ in range(2):
            assert await face(Author.objects.filter(name="ann").cache(30, using="other").count)() == 1
        assert await face(Author.objects.count)() == 1
        async with face.atomic():
            await face(Author.objects.create)(name="bob", age=1)
            assert await face(Author.objects.cached(timeout=30).count)() == 2, "no cache is asked: not counted"
        assert (counted("hits", "default"), counted("misses", "default")) == (2, 1)
        assert (counted("hits", "other"), counted("misses", "other")) == (1, 1)
        assert told == [("default", False), *[("default", True)] * 2, ("other", False), ("other", True)]
        assert caplog.text.count("broken raised when it was told of a cache") == 5
    finally:
        prometheus.uninstall()
        for remove in (*removes, *removes):
            remove()
    assert await face(Author.objects.cached(timeout=30).count)() == 2
    assert "dorm_cache" not in prometheus.metrics_response()
    assert len(told) == 5


async def test_chains_keep_the_cache(face: Face, cached: Counter) -> None:
    await library(face)
    cached.taken()
    start = Author.objects.cached()
    chains = [
        start.filter(name="ann"),
        start.exclude(name="bob").order_by("-age"),
        start.values("name"),
        start.values_list("name", flat=True),
        start.annotate(n=Count("books")),
        start.annotate(n=Count("books", filter=dorm.Q(books__pages=10))),
        start.annotate(n=Count("books", filter=dorm.Q(books__pages=11))),
        start.filter(name="bob"),
        start[:1],
        start.using("default").distinct(),
        start.union(Author.objects.filter(age=1)),
        Book.objects.select_related("author").cache(),
    ]
    first = [await face.rows(qs) for qs in chains]
    # values() and values_list() of the same column are one statement.
    assert cached.taken() == len(chains) - 1
    again = [await face.rows(qs._clone()) for qs in chains]
    assert cached.taken() == 0
    assert [list(map(repr, rows)) for rows in first] == [list(map(repr, rows)) for rows in again]
    assert first[5][0].n != first[6][0].n


async def test_rows_are_copies(face: Face, cached: Counter) -> None:
    await library(face)
    (one,) = await face.rows(Author.objects.cached())
    one.name = "changed"
    (other,) = await face.rows(Author.objects.cached())
    assert other.name == "ann"
    assert not other._state.adding
    assert other._state.db == "default"


async def test_every_kind_of_write_makes_it_stale(face: Face, cached: Counter) -> None:
    ann, book = await library(face)

    async def is_stale() -> bool:
        await face.rows(Author.objects.cached())
        return cached.taken() > 0

    assert await is_stale()
    assert not await is_stale()
    ann.age = 41
    await face(ann.save)()
    cached.taken()
    assert await is_stale()
    await face(Author.objects.bulk_create)([Author(name="bob"), Author(name="cid")])
    cached.taken()
    assert await is_stale()
    await face(Author.objects.filter(name="bob").update)(age=F("id"))
    cached.taken()
    assert await is_stale()
    await face(Author.objects.filter(name="bob").delete)()
    cached.taken()
    assert await is_stale()
    await face((await face(Author.objects.get)(name="cid")).delete)()
    cached.taken()
    assert await is_stale()
    await face(book.save)()
    cached.taken()
    assert not await is_stale()


async def test_models_that_a_query_touches_make_it_stale(face: Face, cached: Counter) -> None:
    ann, book = await library(face)
    house = await face(Publisher.objects.create)(name="House")
    qs = [
        Book.objects.select_related("author").cache(),
        Book.objects.filter(author__name="ann").cache(),
        Book.objects.filter(author__in=Author.objects.filter(age=40)).cache(),
        Author.objects.annotate(n=Count("books__review")).cache(),
        Book.objects.exclude(review__stars=1).cache(),
    ]

    async def sent() -> list[int]:
        numbers = []
        for each in qs:
            await face.rows(each._clone())
            numbers.append(cached.taken())
        return numbers

    await sent()
    assert await sent() == [0, 0, 0, 0, 0]
    await face(ann.save)()
    cached.taken()
    assert await sent() == [1, 1, 1, 1, 0]
    await face(Review.objects.create)(book=book, stars=3)
    cached.taken()
    assert await sent() == [0, 0, 0, 1, 1]
    await face(house.save)()
    cached.taken()
    assert await sent() == [0, 0, 0, 0, 0]


async def test_commit_makes_stale_and_rollback_does_not(face: Face, cached: Counter) -> None:
    await library(face)
    await face.rows(Author.objects.cached())
    cached.taken()
    with pytest.raises(RuntimeError):
        async with face.atomic():
            await face(Author.objects.create)(name="bob")
            cached.taken()
            assert len(await face.rows(Author.objects.cached())) == 2
            assert cached.taken() == 1
            raise RuntimeError
    assert len(await face.rows(Author.objects.cached())) == 1
    assert cached.taken() == 0
    async with face.atomic():
        try:
            async with face.atomic():
                await face(Author.objects.create)(name="lost")
                raise KeyError
        except KeyError:
            pass
        await face(Author.objects.create)(name="bob")
    cached.taken()
    assert len(await face.rows(Author.objects.cached())) == 2
    assert cached.taken() == 1


async def test_timeout(face: Face, cached: Counter) -> None:
    await library(face)
    qs = Author.objects.cached(timeout=1)
    await face.rows(qs._clone())
    time.sleep(1.1)
    cached.taken()
    await face.rows(qs._clone())
    assert cached.taken() == 1
    await face.rows(Author.objects.filter(age=40).cache(0))
    await face.rows(Author.objects.filter(age=40).cache(0))
    assert cached.taken() == 1


@pytest.mark.parametrize("timeout", [-1, True, 1.5, "3"])
def test_timeouts_that_are_refused(timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout"):
        Author.objects.cached(timeout=timeout)
    with pytest.raises(TypeError):
        Author.objects.cached(30)  # type: ignore[misc]  # what is tested


async def test_unknown_alias_and_no_caches(face: Face, cached: Counter) -> None:
    await library(face)
    qs = Author.objects.cached(using="nope")
    with pytest.raises(ImproperlyConfigured, match="there is no cache 'nope'"):
        await face.rows(qs)
    dorm.configure(CACHES={})
    cached.taken()
    for _ in range(2):
        assert len(await face.rows(Author.objects.cached())) == 1
    assert cached.taken() == 2
    dorm.configure(CACHES={"default": {"BACKEND": "dorm.cache.locmem.LocMemCache"}, "other": {
        "BACKEND": "dorm.cache.locmem.LocMemCache"}})  # fmt: skip


async def test_managers_and_related_managers(face: Face, cached: Counter) -> None:
    ann, _ = await library(face)
    for _ in range(2):
        assert [book.title for book in await face.rows(ann.books.cached())] == ["A"]
    assert cached.taken() == 1


async def test_prefetches_are_cached_too(face: Face, cached: Counter) -> None:
    ann, book = await library(face)
    qs = Author.objects.prefetch_related("books__review_set").cache()
    cached.taken()
    for _ in range(2):
        (author,) = await face.rows(qs._clone())
        assert [each.title for each in author.books.all()] == ["A"]
    assert cached.taken() == 3
    await face(Review.objects.create)(book=book, stars=5)
    cached.taken()
    (author,) = await face.rows(qs._clone())
    assert cached.taken() == 1
    assert [review.stars for review in author.books.all()[0].review_set.all()] == [5]
    await face(ann.save)()


async def test_key_parts_separate_results(face: Face, cached: Counter) -> None:
    await library(face)
    tenant = "one"
    remove = register_key_part(lambda alias: tenant)
    try:
        await face.rows(Author.objects.cached())
        tenant = "two"
        cached.taken()
        await face.rows(Author.objects.cached())
        assert cached.taken() == 1
    finally:
        remove()


async def test_tampered_payloads_are_not_unpickled(face: Face, cached: Counter) -> None:
    await library(face)
    await face.rows(Author.objects.cached())
    cache = get_cache()

    class Bomb:
        def __reduce__(self) -> Any:
            return (os._exit, (3,))

    keys = list(getattr(cache, "_entries", {}))
    for key in keys:
        cache.set(key, pickle.dumps(Bomb()))
    assert len(await face.rows(Author.objects.cached())) == 1


async def test_a_cache_that_fails_does_not_fail_the_query(
    face: Face, database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    dorm.configure(CACHES={"default": {"BACKEND": "dorm.cache.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}})
    try:
        await library(face)
        for _ in range(2):
            assert len(await face.rows(Author.objects.cached())) == 1
        assert len([record for record in caplog.records if record.name == "dorm.cache"]) <= 1
    finally:
        dorm.configure(CACHES={})


def test_a_stampede_sends_one_statement(cached: Counter) -> None:
    Author.objects.create(name="ann")
    cached.taken()
    barrier = threading.Barrier(6)
    found: list[int] = []

    def read() -> None:
        barrier.wait()
        found.append(len(list(Author.objects.cached())))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 6
    assert cached.taken() == 1


def test_an_async_stampede_sends_one_statement(cached: Counter) -> None:
    async def main() -> list[int]:
        await Author.objects.acreate(name="ann")
        cached.taken()

        async def read() -> int:
            return len([each async for each in Author.objects.cached()])

        return await asyncio.gather(*[read() for _ in range(6)])

    assert asyncio.run(main()) == [1] * 6
    assert cached.taken() == 1


def test_versions(cached: Counter) -> None:
    assert model_cache_namespace(Author).endswith("library.Author")
    before = model_cache_version(Author)
    assert model_cache_version(Author) == before
    bump_model_cache_version(Author)
    assert model_cache_version(Author) > before
    now = model_cache_version(Author)
    invalidate_model(Author, using="default")
    assert model_cache_version(Author) > now


def test_signatures() -> None:
    dorm.configure(CACHE_SIGNING_KEY="one")
    try:
        signed = sign_payload(b"data")
        assert verify_payload(signed) == b"data"
        assert verify_payload(signed[:-1] + b"x") is None
        assert verify_payload(b"data") is None
        dorm.configure(CACHE_SIGNING_KEY="two")
        assert verify_payload(signed) is None
        dorm.configure(CACHE_INSECURE_PICKLE=True)
        assert verify_payload(b"data") == b"data"
        dorm.configure(CACHE_SIGNING_KEY="", CACHE_REQUIRE_SIGNING_KEY=True, CACHE_INSECURE_PICKLE=False)
        with pytest.raises(ImproperlyConfigured, match="CACHE_REQUIRE_SIGNING_KEY"):
            sign_payload(b"data")
        dorm.configure(CACHE_REQUIRE_SIGNING_KEY=False)
        random = sign_payload(b"data")
        assert verify_payload(random) == b"data"
        reset_signing_key()
        assert verify_payload(random) is None
    finally:
        dorm.configure(CACHE_SIGNING_KEY="", CACHE_REQUIRE_SIGNING_KEY=False, CACHE_INSECURE_PICKLE=False)


@pytest.mark.parametrize("backend_name", ["locmem", "redis"])
async def test_caches_keep_values(backend_name: str, face: Face) -> None:
    if backend_name == "redis" and not redis_answers():
        pytest.skip("no Redis server answers")
    cache: BaseCache = (
        LocMemCache("", 60)
        if backend_name == "locmem"
        else RedisCache(REDIS, 60, {"prefix": f"dorm-test-{uuid.uuid4()}:"})
    )
    await face(cache.set)("a:1", b"bytes")
    await face(cache.set)("a:2", {"some": ["thing"]}, 1)
    await face(cache.set)("b", 5, 0)
    assert await face(cache.get)("a:1") == b"bytes"
    assert await face(cache.get)("a:2") == {"some": ["thing"]}
    assert await face(cache.get)("b") == 5
    assert await face(cache.get)("c", "default") == "default"
    assert await face(cache.get_many)(["b", "c"]) == [5, None]
    assert await face(cache.delete)("b") is True
    assert await face(cache.delete)("b") is False
    assert await face(cache.delete_pattern)("a:*") == 2
    assert await face(cache.get)("a:1") is None
    assert cache.default_timeout == 60
    await face(cache.set)("gone", 1, 0.05)
    time.sleep(0.1)
    assert await face(cache.get)("gone") is None


def test_locmem_forgets_names_of_the_user_whatever_they_are() -> None:
    cache = LocMemCache()
    cache.set("app:version", 7, 0.01)
    cache.set("other", 7, 0.01)
    time.sleep(0.05)
    assert cache.get("app:version") is None
    assert cache.delete("other") is False


def test_locmem_is_bounded() -> None:
    cache = LocMemCache(options={"maxsize": 2})
    for number in range(3):
        cache.set(str(number), number)
    assert [cache.get(str(number)) for number in range(3)] == [None, 1, 2]
    assert len(cache) == 2
    with pytest.raises(ImproperlyConfigured, match="maxsize"):
        LocMemCache(options={"maxsize": 0})
    with pytest.raises(ImproperlyConfigured, match="has no OPTIONS"):
        LocMemCache(options={"size": 1})


@pytest.mark.parametrize(
    "entry", [{}, {"BACKEND": "nope"}, {"BACKEND": "os.path"}, {"BACKEND": "dorm.cache.locmem.LocMemCache", "X": 1}]
)
def test_entries_that_are_refused(entry: dict[str, Any]) -> None:
    dorm.configure(CACHES={"default": entry})
    try:
        with pytest.raises((ImproperlyConfigured, TypeError)):
            get_cache()
    finally:
        dorm.configure(CACHES={})
        reset_caches()
