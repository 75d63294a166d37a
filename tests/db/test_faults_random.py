"""Random work under random faults; after each step what was acknowledged is there, and nothing is left behind.

Work of both faces runs at once, in threads and tasks, is cancelled at an await, meets deadlines, ended server processes
and cut sockets. What it wrote is looked up by another driver then: there as a whole, gone as a whole, or either where
the error said that the outcome is not known. DORM_TEST_RANDOM=1 looks for new seeds, and prints them when they fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

import dorm
from dorm import transaction
from dorm.exceptions import OperationalError
from tests.db.test_faults_every_await import Stops
from tests.support.faces import Face
from tests.support.models import Author, Book, Publisher
from tests.support.proxy import Proxy
from tests.support.riding import be_far, quiet_pipelines
from tests.support.servers import busy_sessions

pytestmark = pytest.mark.slow

_STEPS = 30
_SEEDS = (1, 2)
_PEOPLE = 20
_NAMES = "SELECT name FROM library_author"


class Undo(Exception):
    """Raised by the user of a block."""


@dataclass
class Writing:
    """What one transaction writes, and what its user knows of it."""

    names: list[str]
    outcome: str = "refused"
    told: list[str] = field(default_factory=list)
    listens: bool = False

    def ended(self, exc: BaseException, in_block: bool) -> None:
        """Note what an error says: of a block all but that note is a refusal, unless the callback says otherwise."""
        noted = any("not known" in note for note in getattr(exc, "__notes__", ()))
        open_end = noted if in_block else noted or not (isinstance(exc, dorm.DatabaseError) and exc.nothing_done)
        self.outcome = "acknowledged" if "committed" in self.told else "unknown" if open_end else "refused"

    def listen(self) -> None:
        transaction.on_commit(lambda: self.told.append("committed"))
        transaction.on_rollback(lambda: self.told.append("rolled back"))
        self.listens = True

    def check(self, present: set[str]) -> None:
        there = [name for name in self.names if name in present]
        assert there in ([], self.names), self
        assert self.outcome != "acknowledged" or there, self
        assert self.outcome != "refused" or not there, self
        if self.listens and self.outcome != "unknown":
            assert self.told == ["committed" if there else "rolled back"], self


class Work:
    """The things that are done, each in either face."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.writings: list[Writing] = []
        self.must_be_gone: list[str] = []
        self._number = 0

    def pick(self) -> Callable[[Face], Awaitable[None]]:
        kinds = [self.get, self.stream, self.prefetch, self.save, self.bulk, self.block, self.block, self.late]
        return self.chance.choice(kinds)

    def fresh(self, number: int) -> list[str]:
        self._number += number
        return [f"w{each}" for each in range(self._number - number, self._number)]

    async def writing(self, names: list[str], work: Callable[[Writing], Awaitable[Any]], in_block: bool) -> None:
        made = Writing(names)
        self.writings.append(made)
        try:
            await work(made)
        except BaseException as exc:
            made.ended(exc, in_block)
            raise
        made.outcome = "acknowledged"

    async def get(self, face: Face) -> None:
        number = self.chance.randrange(_PEOPLE)
        assert (await face(Author.objects.get)(name=f"person {number}")).age == number

    async def prefetch(self, face: Face) -> None:
        people = Author.objects.filter(age__isnull=False).prefetch_related("books__publisher", "books__review_set")
        for person in await face.rows(people):
            assert [book.title for book in person.books.all()] == [f"of {person.age}"]

    async def stream(self, face: Face) -> None:
        rows, ages = self._stream(face), []
        for _ in range(self.chance.choice([3, _PEOPLE])):
            ages.append((await self._next(face, rows)).age)
        assert ages == list(range(len(ages)))

    async def save(self, face: Face) -> None:
        (name,) = self.fresh(1)
        await self.writing([name], lambda _: face(Author.objects.create)(name=name), in_block=False)

    async def bulk(self, face: Face) -> None:
        names = self.fresh(1200)
        create = face(Author.objects.bulk_create)
        await self.writing(names, lambda _: create([Author(name=name) for name in names], 500), in_block=False)

    async def late(self, face: Face) -> None:
        """An iterator that is left in one block and closed in the next."""
        async with face.atomic():
            rows = self._stream(face)
            await self._next(face, rows)
        await self.block(face, rows)

    async def block(self, face: Face, left: Any = None) -> None:
        names, inner = self.fresh(self.chance.randint(1, 3)), self.fresh(2)
        undoes_all, undoes_inner, has_inner = [self.chance.random() < part for part in (0.15, 0.4, 0.6)]

        async def work(made: Writing) -> None:
            async with face.atomic():
                made.listen()
                for name in names:
                    await face(Author.objects.create)(name=name)
                if left is not None:
                    await (left.aclose() if face.is_async else face(left.close)())
                if has_inner:
                    try:
                        async with face.atomic():
                            await face(Author.objects.create)(name=inner[0])
                            async with face.atomic():
                                await face(Author.objects.create)(name=inner[1])
                            if undoes_inner:
                                self.must_be_gone += inner
                                raise Undo
                        made.names = names + inner
                    except Undo:
                        pass
                if undoes_all:
                    raise Undo

        with contextlib.suppress(Undo):
            await self.writing(names, work, in_block=True)

    def _stream(self, face: Face) -> Any:
        people = Author.objects.filter(age__isnull=False).order_by("age")
        return people.aiterator(4) if face.is_async else iter(people.iterator(4))

    async def _next(self, face: Face, rows: Any) -> Any:
        return await anext(rows) if face.is_async else next(rows)


class Machine:
    """Does work under faults, step by step."""

    def __init__(self, settings: dict[str, Any], seed: int, proxy: Proxy | None) -> None:
        self.settings = settings
        self.chance = random.Random(seed)
        self.work = Work(self.chance)
        self.proxy = proxy

    async def run(self) -> None:
        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        for _ in range(_STEPS):
            number = self.chance.choice([1, 1, 2, 6])
            faces = [Face(self.chance.choice(["sync", "async", "async"])) for _ in range(number)]
            async with asyncio.timeout(300):
                await asyncio.gather(self.fault(), *[self.under_faults(face) for face in faces])
                gc.collect()
                await self.check()
            assert complaints == []

    async def under_faults(self, face: Face) -> None:
        """Do one thing with a deadline, or cancelled at an await, or neither."""
        what, dice = self.work.pick(), self.chance.random()
        seconds = self.chance.uniform(0, 0.02) if dice < 0.2 else None
        stops = (self.chance.randint(1, 25), self.chance.randint(1, 30)) if 0.2 < dice < 0.6 else ()

        async def limited() -> None:
            with contextlib.nullcontext() if seconds is None else dorm.deadline(seconds):
                await what(face)

        async def stopped() -> None:
            await Stops(limited(), stops)

        # What is refused is refused by name: everything else fails the test.
        with contextlib.suppress(OperationalError):
            if not face.is_async:
                await asyncio.to_thread(face.run, limited())
                return
            task = asyncio.ensure_future(stopped())
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    async def fault(self) -> None:
        await asyncio.sleep(self.chance.uniform(0, 0.015))
        if self.proxy is None:
            if self.chance.random() < 0.3:
                await asyncio.to_thread(self.hold_the_file)
            return
        fault = self.chance.choice([self.proxy.cut, self.proxy.half_close, self.end_processes, None])
        if fault is not None:
            await asyncio.to_thread(fault)

    def hold_the_file(self) -> None:
        # In a process of its own: two libraries of SQLite in one take each other's locks away.
        script = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        script += "c.execute('BEGIN IMMEDIATE'); time.sleep(0.2)"
        subprocess.run([sys.executable, "-c", script, self.settings["NAME"]], check=False, capture_output=True)

    def end_processes(self) -> None:
        with psycopg.connect(self.settings["URL"], autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def present(self) -> set[str]:
        if self.proxy is None:
            script = (
                "import sqlite3, sys; print(*[n for n, in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])], sep=';')"
            )
            asked = [sys.executable, "-c", script, self.settings["NAME"], _NAMES]
            return set(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip().split(";"))
        with psycopg.connect(self.settings["URL"], autocommit=True) as connection:
            return {name for (name,) in connection.execute(_NAMES).fetchall()}

    async def check(self) -> None:
        database = dorm.connections["default"]
        for _ in range(1000):
            # The loop closes generators that nobody holds any more in tasks of its own.
            in_use = [pool.stats()["in_use"] for pool in (database._sync_pool, *database._async_pools.values()) if pool]
            if not any(in_use):
                break
            await asyncio.sleep(0.01)
        assert not any(in_use)
        assert not database.in_block
        if self.proxy is not None:
            assert busy_sessions(self.settings["URL"]) == []
        present = self.present()
        for writing in self.work.writings:
            writing.check(present)
        assert not present.intersection(self.work.must_be_gone)
        self.work.writings.clear()
        for face in (Face("sync"), Face("async")):
            await (self.goes_on(face) if face.is_async else asyncio.to_thread(face.run, self.goes_on(face)))

    async def goes_on(self, face: Face) -> None:
        """What follows works: reads and blocks at once, a single write when its dead connections are gone."""
        assert await face(Author.objects.filter(age__isnull=False).count)() == _PEOPLE
        async with face.atomic():
            assert await face(Publisher.objects.filter(name="one").update)(name="one") == 1


@pytest.fixture
def through(database: dict[str, Any], backend: str) -> Iterator[Proxy | None]:
    if backend == "sqlite":
        yield None
        return
    with Proxy(database["URL"]) as made:
        settings = {**database, "URL": made.url, "MAX_POOL_SIZE": 4, "MIN_POOL_SIZE": 2}
        dorm.configure(DATABASES={"default": settings}, RETRY_BACKOFF=0.01)
        yield made


@pytest.mark.parametrize("seed", _SEEDS)
def test_random_work_under_random_faults(
    seed: int, database: dict[str, Any], through: Proxy | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.environ.get("DORM_TEST_RANDOM"):
        seed = random.randrange(1 << 32)
    print("seed", seed)
    quiet_pipelines(monkeypatch)
    # psycopg gives the loop a turn, after what needed no waiting too, when it had none for long: here each time.
    monkeypatch.setattr("psycopg.waiting.MAX_BUSY_TIME", 0.0, raising=False)
    if seed % 2:
        be_far(monkeypatch)
    publisher = Publisher.objects.create(name="one")
    people = [Author(name=f"person {number}", age=number) for number in range(_PEOPLE)]
    books = [
        Book(title=f"of {each.age}", author=each, publisher=publisher) for each in Author.objects.bulk_create(people)
    ]
    Book.objects.bulk_create(books)
    asyncio.run(Machine(database, seed, through).run())
    gc.collect()
