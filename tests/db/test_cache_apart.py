"""The cache between those who do not wait for one another: a write in the middle of a read, and another process."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

import dorm
from dorm.cache import get_cache
from dorm.cache.invalidation import ainvalidate_model, ensure_signals_connected, invalidate_model
from dorm.cache.versions import model_cache_version
from dorm.db import hooks
from tests.db.test_cache import Counter, cached, library  # noqa: F401  # a fixture
from tests.support.faces import Face
from tests.support.models import Author

WRITER = """
import sys
import dorm
dorm.configure(DATABASES={{"default": {database!r}}}, CACHES={{"default": {cache!r}}}, CACHE_SIGNING_KEY="secret")
from tests.support.models import Author
print(list(Author.objects.cached().values_list("name", flat=True)))
Author.objects.update(name="bob")
"""


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
