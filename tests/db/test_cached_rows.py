"""Single rows through the cache: `cache_get` and `cache_get_many`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm.cache import BaseCache, bump_model_cache_version, reset_caches
from dorm.db.hooks import chain
from dorm.migrations.schema import create_tables
from tests.support.faces import Face
from tests.support.models import Author, Book, Keyed


class Pair(dorm.Model):
    pk: Any = dorm.CompositePrimaryKey("left", "right")
    left = dorm.IntegerField()
    right = dorm.UUIDField()

    class Meta:
        app_label = "cached_rows"


class Failing(BaseCache):
    """A cache whose server is gone."""

    def get(self, key: str, default: Any = None) -> Any:
        raise OSError("gone")

    def set(self, key: str, value: Any, timeout: float | None = None) -> None:
        raise OSError("gone")


@pytest.fixture
def selects(database: Any) -> Iterator[list[str]]:
    """The SELECTs that are sent; a cache of the process is configured."""
    dorm.configure(
        CACHES={"default": {"BACKEND": "dorm.cache.locmem.LocMemCache", "TTL": 60}}, CACHE_SIGNING_KEY="secret"
    )
    sent: list[str] = []
    uninstall = chain.install_observer(lambda seen: sent.append(seen.sql) if "SELECT" in seen.sql else None)
    yield sent
    uninstall()
    dorm.configure(CACHES={}, CACHE_SIGNING_KEY="")
    reset_caches()


async def authors(face: Face, number: int) -> list[Any]:
    return [await face(Author.objects.create)(name=f"a{each}") for each in range(number)]


async def test_a_row_is_fetched_once(face: Face, selects: list[str]) -> None:
    (ann,) = await authors(face, 1)
    selects.clear()
    for _ in range(2):
        found = await face(Author.objects.cache_get)(pk=ann.pk)
        assert (found, found.name, found is ann, found._state.db) == (ann, "a0", False, "default")
    assert len(selects) == 1
    ann.name = "b"
    await face(ann.save)()
    selects.clear()
    assert (await face(Author.objects.cache_get)(pk=str(ann.pk))).name == "b"
    assert len(selects) == 1
    for pk in (99, None, 2**70):
        with pytest.raises(Author.DoesNotExist):
            await face(Author.objects.cache_get)(pk=pk)
    with pytest.raises(dorm.ValidationError, match="takes a whole number"):
        await face(Author.objects.cache_get)(pk="x")


async def test_the_rows_that_are_missing_come_by_one_statement(face: Face, selects: list[str]) -> None:
    rows = await authors(face, 4)
    keys = [row.pk for row in rows]
    await face(Author.objects.cache_get)(pk=keys[1])
    selects.clear()
    asked = [keys[2], keys[1], keys[2], 99, keys[0], str(keys[3])]
    found = await face(Author.objects.cache_get_many)(pks=asked)
    assert list(found.items()) == [(key, rows[keys.index(key)]) for key in (keys[2], keys[1], keys[0], keys[3])]
    assert len(selects) == 1
    selects.clear()
    # What is not there is known as well, until the model is written to.
    assert list(await face(Author.objects.cache_get_many)(pks=[99, *keys])) == keys
    assert await face(Author.objects.cache_get_many)(pks=[]) == {}
    assert selects == []
    bump_model_cache_version(Author)
    await face(Author.objects.cache_get_many)(pks=iter(keys))
    assert len(selects) == 1


async def test_managers_decide_what_there_is(face: Face, selects: list[str]) -> None:
    ann, bob = await authors(face, 2)
    book = await face(Book.objects.create)(title="t", author=ann)
    assert list(await face(ann.books.cache_get_many)(pks=[book.pk])) == [book.pk]
    with pytest.raises(Book.DoesNotExist):
        await face(bob.books.cache_get)(pk=book.pk)
    selects.clear()
    found = await face(ann.books.cache_get)(pk=book.pk)
    assert found.author is ann, "the row knows its parent"
    assert selects == []


async def test_keys_of_all_kinds(face: Face, selects: list[str]) -> None:
    create_tables([Pair])
    right = uuid.uuid4()
    await face(Pair.objects.create)(left=1, right=right)
    await face(Keyed.objects.create)(code="k", label="x")
    selects.clear()
    for _ in range(2):
        pairs = await face(Pair.objects.cache_get_many)(pks=[(1, right), (2, right), (1, str(right))])
        assert list(pairs) == [(1, right)]
        assert (await face(Keyed.objects.cache_get)(pk="k")).label == "x"
    assert len(selects) == 2


async def test_a_block_that_wrote_reads_past_the_cache(face: Face, selects: list[str]) -> None:
    (ann,) = await authors(face, 1)
    await face(Author.objects.cache_get)(pk=ann.pk)
    with pytest.raises(RuntimeError):
        async with face.atomic():
            await face(Author.objects.update)(name="changed")
            assert (await face(Author.objects.cache_get)(pk=ann.pk)).name == "changed"
            raise RuntimeError
    selects.clear()
    assert (await face(Author.objects.cache_get)(pk=ann.pk)).name == "a0"
    assert selects == []


@pytest.mark.parametrize("caches", [{}, {"default": {"BACKEND": f"{__name__}.Failing"}}])
async def test_without_a_cache_the_database_serves(face: Face, selects: list[str], caches: dict[str, Any]) -> None:
    rows = await authors(face, 2)
    dorm.configure(CACHES=caches)
    selects.clear()
    for number in (1, 2):
        assert list(await face(Author.objects.cache_get_many)(pks=[row.pk for row in rows])) == [1, 2]
        assert len(selects) == number


async def test_wrong_timeouts_are_refused(face: Face, selects: list[str]) -> None:
    with pytest.raises(TypeError, match="whole seconds"):
        await face(Author.objects.cache_get)(pk=1, timeout=1.5)
    with pytest.raises(ValueError, match="0 "):
        await face(Author.objects.cache_get_many)(pks=[1], timeout=-1)


async def test_raw_has_a_twin(face: Face, database: Any) -> None:
    await authors(face, 2)
    text = "SELECT * FROM library_author WHERE name = %s"
    if face.is_async:
        assert [row.name for row in await Author.objects.araw(text, ["a1"])] == ["a1"]
    else:
        assert [row.name for row in Author.objects.raw(text, ["a1"])] == ["a1"]
