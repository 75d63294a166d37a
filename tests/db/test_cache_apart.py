"""The cache between those who do not wait for one another, and what it trusts: races, processes, keys and payloads."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import dorm
from dorm import ImproperlyConfigured, Value, transaction
from dorm.cache import get_cache, invalidation, sign_payload
from dorm.cache.invalidation import ainvalidate_model, ensure_signals_connected, invalidate_model
from dorm.cache.locmem import LocMemCache
from dorm.cache.versions import model_cache_version
from dorm.db import hooks
from dorm.db.connection import get_async_connection, get_connection
from tests.db.test_cache import Counter, cached, library  # noqa: F401  # a fixture
from tests.support.faces import Face
from tests.support.models import Author, Publisher
from tests.support.proxy import Proxy


class Marked(str):
    """A text of a class of the user's."""


class Faint(LocMemCache):
    """Takes no versions while it is *away*."""

    away = False

    def set(self, key: str, value: Any, timeout: float | None = None) -> None:
        if self.away and key.endswith(":version"):
            raise ConnectionError("nobody there")
        super().set(key, value, timeout)


class Bomb:
    """Says so when it is unpickled."""

    burst: list[str] = []

    def __reduce__(self) -> Any:
        return (self.burst.append, ("burst",))


class Gone:
    """Is pickled under a name that nobody finds."""

    def __reduce__(self) -> Any:
        return (_gone, ())


def _gone() -> Any:
    raise AttributeError("this class is gone")


WRITER = """
import sys
import dorm
dorm.configure(DATABASES={{"default": {database!r}}}, CACHES={{"default": {cache!r}}}, CACHE_SIGNING_KEY="secret")
from tests.support.models import Author, Publisher
from tests.support.proxy import Proxy
print(list(Author.objects.cached().values_list("name", flat=True)))
Author.objects.update(name="bob")
"""


def put_in_place_of_results(payload: bytes) -> int:
    """Write *payload* over every result in the cache; return how many there were."""
    cache: Any = get_cache()
    if hasattr(cache, "_entries"):
        keys = list(cache._entries)
    else:
        keys = [name.decode().removeprefix(cache.prefix) for name in cache._client.keys(f"{cache.prefix}*")]
    results = [key for key in keys if not key.endswith(":version")]
    for key in results:
        cache.set(key, payload)
    return len(results)


def rename(name: str) -> None:
    """Write from a thread of its own, and commit."""
    thread = threading.Thread(target=lambda: Author.objects.update(name=name))
    thread.start()
    thread.join()


async def test_what_was_read_before_a_write_is_not_kept_as_fresh(
    face: Face,
    cached: Counter,  # noqa: F811
) -> None:
    await library(face)
    raced: list[str] = []

    def write_behind(request: Any, proceed: Any) -> Any:
        reply = yield from proceed(request)
        if request.statement.template.reads and not raced:
            raced.append(request.statement.sql)
            rename("bob")  # the reader has the old rows, and has not stored them
        return reply

    end = hooks.install(write_behind)
    try:
        assert [each.name for each in await face.rows(Author.objects.cached())] == ["ann"]
    finally:
        end()
    assert len(raced) == 1
    assert [each.name for each in await face.rows(Author.objects.cached())] == ["bob"]


async def test_invalidation_by_hand(face: Face, cached: Counter) -> None:  # noqa: F811
    await library(face)
    ensure_signals_connected()
    ensure_signals_connected()
    await face.rows(Author.objects.cached())
    cached.taken()
    before = model_cache_version(Author)
    if face.is_async:
        await ainvalidate_model(Author, using="default")
    else:
        invalidate_model(Author, using="default")
    assert model_cache_version(Author) > before
    await face.rows(Author.objects.cached())
    assert cached.taken() == 1


@pytest.mark.parametrize("cached", ["redis"], indirect=True)
async def test_a_write_of_another_process_makes_stale(
    face: Face,
    cached: Counter,  # noqa: F811
    database: dict[str, Any],
) -> None:
    await library(face)
    assert [each.name for each in await face.rows(Author.objects.cached())] == ["ann"]
    cached.taken()
    entry = dict(dorm.settings.CACHES["default"])
    script = WRITER.format(database=database, cache=entry)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "['ann']\n"), done.stderr
    assert [each.name for each in await face.rows(Author.objects.cached())] == ["bob"]
    assert get_cache("default") is get_cache("default")


async def test_only_payloads_signed_with_the_key_are_unpickled(face: Face, cached: Counter) -> None:  # noqa: F811
    await library(face)
    Bomb.burst.clear()
    good = pickle.dumps([(1, "forged", 1, "")])
    dorm.configure(CACHE_SIGNING_KEY="another")
    foreign = sign_payload(pickle.dumps(Bomb()))
    dorm.configure(CACHE_SIGNING_KEY="secret")
    signed = sign_payload(good)
    for payload in (
        pickle.dumps(Bomb()),
        foreign,
        signed[:-1],
        signed[:20] + bytes([signed[20] ^ 1]) + signed[21:],
        signed[:6],
        b"",
        sign_payload(b"no pickle"),
        sign_payload(pickle.dumps(Gone())),
    ):
        await face.rows(Author.objects.cached())
        assert put_in_place_of_results(payload) == 1
        cached.taken()
        assert [each.name for each in await face.rows(Author.objects.cached())] == ["ann"]
        assert cached.taken() == 1
    put_in_place_of_results(signed)
    assert [each.name for each in await face.rows(Author.objects.cached())] == ["forged"], "what is trusted is used"
    assert Bomb.burst == []


async def test_a_key_that_is_required_is_asked_for_before_the_query(face: Face, cached: Counter) -> None:  # noqa: F811
    ann, _ = await library(face)
    cached.taken()
    dorm.configure(CACHE_SIGNING_KEY="", CACHE_REQUIRE_SIGNING_KEY=True)
    try:
        for ask in (Author.objects.cached().count, Author.objects.cached().first):
            with pytest.raises(ImproperlyConfigured, match="CACHE_SIGNING_KEY or SECRET_KEY"):
                await face(ask)()
        with pytest.raises(ImproperlyConfigured, match="CACHE_SIGNING_KEY or SECRET_KEY"):
            await face(Author.objects.cache_get)(pk=ann.pk)
        assert cached.taken() == 0
        dorm.configure(SECRET_KEY="general")
        assert await face(Author.objects.cached().count)() == 1
    finally:
        dorm.configure(CACHE_REQUIRE_SIGNING_KEY=False, SECRET_KEY="")


async def test_parameters_of_classes_of_the_user_are_told_apart(face: Face, cached: Counter) -> None:  # noqa: F811
    await library(face)
    for _ in range(2):
        for text in ("one", "other"):
            rows = await face.rows(Author.objects.annotate(it=Value(Marked(text))).cache())
            assert [row.it for row in rows] == [text]
            found = Author.objects.filter(name__in=[Marked("ann")]).annotate(it=Value(Marked(text), dorm.CharField()))
            assert [row.it for row in await face.rows(found.cache())] == [text]


async def test_rows_to_be_locked_are_asked_for(face: Face, cached: Counter) -> None:  # noqa: F811
    await library(face)
    for _ in range(2):
        cached.taken()
        async with face.atomic():
            assert len(await face.rows(Author.objects.select_for_update().cache())) == 1
        assert cached.taken() == 1


async def test_a_write_after_a_rollback_to_the_same_savepoint(face: Face, cached: Counter) -> None:  # noqa: F811
    await library(face)

    async def ages() -> list[int]:
        return [each.age for each in await face.rows(Author.objects.cached())]

    assert await ages() == [40]
    async with face.atomic():
        sid = await face(transaction.savepoint)()
        await face(Author.objects.update)(age=41)
        await face(transaction.savepoint_rollback)(sid)
        assert await ages() == [40]
        await face(Author.objects.update)(age=42)
        assert await ages() == [42]
    assert await ages() == [42]
    async with face.atomic():
        async with face.atomic():
            await face(Author.objects.update)(age=43)
        await face(Author.objects.update)(age=44)
        sid = await face(transaction.savepoint)()
        await face(Author.objects.update)(age=45)
        await face(transaction.savepoint_rollback)(sid)
    assert await ages() == [44]


async def test_commits_without_autocommit_make_stale(face: Face, cached: Counter) -> None:  # noqa: F811
    await library(face)

    async def ages() -> list[int]:
        return [each.age for each in await face.rows(Author.objects.cached())]

    assert await ages() == [40]
    await face(transaction.set_autocommit)(False)
    try:
        for age in (41, 42):
            await face(Author.objects.update)(age=age)
            assert await ages() == [age], "the transaction that wrote reads past the cache"
            await face(transaction.commit)()
            assert await ages() == [age]
        await face(Author.objects.update)(age=43)
        await face(transaction.rollback)()
        cached.taken()
        assert await ages() == [42]
        assert cached.taken() == 0
        await face(Author.objects.update)(age=44)
    finally:
        await face(transaction.set_autocommit)(True)
    assert await ages() == [44]


async def test_a_cache_that_is_away_is_told_of_once_a_minute(
    face: Face, database: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    dorm.configure(
        CACHES={"default": {"BACKEND": "dorm.cache.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}},
        CACHE_SIGNING_KEY="secret",
    )
    now = [1000.0]
    monkeypatch.setattr(invalidation, "_last_warning", 0.0)
    monkeypatch.setattr(invalidation.time, "monotonic", lambda: now[0])
    told = lambda: [r.getMessage() for r in caplog.records if r.name == "dorm.cache" and r.levelno == logging.WARNING]  # noqa: E731
    try:
        await library(face)
        for _ in range(3):
            assert await face(Author.objects.cached().count)() == 1
        (message,) = told()
        assert "cache 'default' failed" in message
        now[0] += 59
        await face(Author.objects.cached().count)()
        assert len(told()) == 1
        now[0] += 1
        await face(Author.objects.cached().count)()
        assert len(told()) == 2
    finally:
        monkeypatch.undo()
        dorm.configure(CACHES={}, CACHE_SIGNING_KEY="")


async def test_how_long_a_result_lives(face: Face, cached: Counter) -> None:  # noqa: F811
    await library(face)
    entry = {**dorm.settings.CACHES["default"], "TTL": 1}
    dorm.configure(CACHES={"default": entry, "other": {**entry, "TTL": 0}, "third": {**entry, "TTL": None}})
    assert [get_cache(alias).default_timeout for alias in ("default", "other", "third")] == [1, 0, 300]
    queries: list[Any] = [
        Author.objects.cached(),
        Author.objects.filter(age=40).cache(0),
        Author.objects.filter(age=40).distinct().cache(60),
        Author.objects.filter(name="ann").cache(using="other"),
        Author.objects.filter(name="ann", age=40).cache(using="third"),
    ]
    for query in queries:
        await face.rows(query)
    time.sleep(1.2)
    sent = []
    for query in queries:
        cached.taken()
        await face.rows(query.all())
        sent.append(cached.taken())
    assert sent == [1, 0, 0, 0, 0]
    get_cache("third").delete_pattern("*")


async def test_writes_that_a_cache_missed_are_told_once_it_is_back(face: Face, database: Any) -> None:
    dorm.configure(CACHES={"default": {"BACKEND": f"{__name__}.Faint"}}, CACHE_SIGNING_KEY="secret")
    cache: Any = get_cache()
    try:
        ann, _ = await library(face)
        assert await face(Author.objects.cached().count)() == 1
        assert (await face(Author.objects.cache_get)(pk=ann.pk)).name == "ann"
        for create in (True, False):
            cache.away = True
            if create:
                await face(Author.objects.create)(name="bob")
            else:
                async with face.atomic():
                    await face(Author.objects.filter(name="bob").delete)()
                    await face(Author.objects.update)(name="anna")
            assert await face(Author.objects.cached().count)() == 1 + create, "while it is away the database serves"
            cache.away = False
            assert await face(Author.objects.cached().count)() == 1 + create
        assert (await face(Author.objects.cache_get)(pk=ann.pk)).name == "anna"
    finally:
        dorm.configure(CACHES={}, CACHE_SIGNING_KEY="")


SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.6); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON library_publisher DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow();
"""


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("how", ["alone", "atomic", "by hand"])
async def test_a_write_whose_answer_is_lost_makes_stale(face: Face, database: dict[str, Any], how: str) -> None:
    get_connection().execute_script(SLOW)
    with Proxy(database["URL"]) as proxy:
        dorm.configure(
            DATABASES={"default": {**database, "URL": proxy.url}},
            CACHES={"default": {"BACKEND": "dorm.cache.locmem.LocMemCache"}},
            CACHE_SIGNING_KEY="secret",
        )
        try:
            assert await face(Publisher.objects.cached().count)() == 0
            cut = threading.Timer(0.2, proxy.cut)
            with pytest.raises(dorm.OperationalError):
                if how == "alone":
                    cut.start()
                    await face(Publisher.objects.create)(name="one")
                elif how == "atomic":
                    async with face.atomic():
                        await face(Publisher.objects.create)(name="one")
                        cut.start()
                else:
                    await face(transaction.set_autocommit)(False)
                    await face(Publisher.objects.create)(name="one")
                    cut.start()
                    await face(transaction.set_autocommit)(True)
            cut.join()
            for _ in range(100):
                if await face(Publisher.objects.count)() == 1:
                    break
                time.sleep(0.05)
            assert await face(Publisher.objects.cached().count)() == 1
        finally:
            dorm.configure(CACHES={}, CACHE_SIGNING_KEY="")


async def test_what_is_not_committed_is_not_kept(face: Face, cached: Counter, database: Any) -> None:  # noqa: F811
    await library(face)
    connection: Any = get_async_connection() if face.is_async else get_connection()
    with pytest.raises(KeyError):
        async with face.atomic():
            done: Any = connection.execute_write("UPDATE library_author SET name = %s", ["raw"])
            if face.is_async:
                await done
            assert [each.name for each in await face.rows(Author.objects.cached())] == ["raw"]
            assert (await face(Author.objects.cache_get)(pk=1)).name == "raw"
            raise KeyError
    assert [each.name for each in await face.rows(Author.objects.cached())] == ["ann"]
    assert (await face(Author.objects.cache_get)(pk=1)).name == "ann"
    async with face.atomic():
        await face.rows(Author.objects.filter(age=40).cache())
    cached.taken()
    await face.rows(Author.objects.filter(age=40).cache())
    assert cached.taken() == 0, "what a transaction reads before it writes is kept"


async def test_blocking_code_does_not_wait_for_its_own_thread(face: Face, cached: Counter) -> None:  # noqa: F811
    """A hook of the fetch, or blocking code beside a task that fetches, asks for the same rows."""
    await library(face)
    inner: list[str] = []

    def ask_too(request: Any, proceed: Any) -> Any:
        if request.statement.template.reads and not inner:
            inner.append("asked")
            inner.extend(each.name for each in list(Author.objects.cached()))
        return (yield from proceed(request))

    end = hooks.install(ask_too)
    start = time.monotonic()
    try:
        assert [each.name for each in await face.rows(Author.objects.cached())] == ["ann"]
    finally:
        end()
    assert inner == ["asked", "ann"]
    assert time.monotonic() - start < 8, "it would have waited for ten seconds"
