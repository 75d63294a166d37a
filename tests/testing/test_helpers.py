"""dorm.test: rollback shared by both faces, counted statements, settings for a while, unittest cases."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import psycopg
import pytest

import dorm
from dorm import transaction
from dorm.conf.settings import settings
from dorm.db.connection import connections
from dorm.test import (
    CaptureQueriesContext,
    DormTestCase,
    assertMaxQueries,
    assertMaxQueriesFactory,
    assertNumQueries,
    assertNumQueriesFactory,
    captureOnCommitCallbacks,
    modify_settings,
    override_settings,
    rolled_back,
    setUpTestData as for_the_class,
)
from dorm.test.databases import TestDatabases
from tests.support.models import Author

pytestmark = pytest.mark.usefixtures("database")


def test_both_faces_and_any_loop_share_a_transaction_that_is_rolled_back() -> None:
    with rolled_back():
        Author.objects.create(name="a")

        async def inside() -> None:
            assert await Author.objects.acount() == 1
            async with transaction.atomic():
                await Author.objects.acreate(name="b")

        asyncio.run(inside())
        asyncio.run(inside_again())
        assert Author.objects.count() == 2
    assert Author.objects.count() == 0


async def inside_again() -> None:
    assert await Author.objects.acount() == 2


def test_a_failed_statement_inside_a_savepoint_leaves_the_test_usable() -> None:
    with rolled_back():
        author = Author.objects.create(name="a")
        with pytest.raises(dorm.IntegrityError), transaction.atomic():
            Author(pk=author.pk, name="b").save(force_insert=True)
        assert Author.objects.count() == 1


def test_statements_are_counted_in_both_faces() -> None:
    with assertNumQueries(2):
        Author.objects.create(name="a")
        Author.objects.count()

    async def counted() -> None:
        async with assertNumQueries(1):
            await Author.objects.acount()

    asyncio.run(counted())
    with pytest.raises(AssertionError, match=r"1 queries executed, 2 expected[\s\S]*SELECT COUNT"), assertNumQueries(2):
        Author.objects.count()
    with pytest.raises(AssertionError, match="at most 0"), assertMaxQueries(0):
        Author.objects.count()
    with assertMaxQueries(3):
        Author.objects.count()
    with pytest.raises(ZeroDivisionError), assertNumQueries(5):
        1 / 0  # what is raised inside is not hidden


def test_functions_of_both_kinds_are_decorated() -> None:
    @assertNumQueriesFactory(1)
    def count() -> int:
        return Author.objects.count()

    @assertMaxQueriesFactory(1)
    async def acount() -> int:
        return await Author.objects.acount()

    assert count() == asyncio.run(acount()) == 0
    assert count() == 0

    @assertNumQueriesFactory(2)
    async def wrong() -> int:
        return await Author.objects.acount()

    with pytest.raises(AssertionError):
        asyncio.run(wrong())


def test_captured_statements_are_listed() -> None:
    with CaptureQueriesContext("default") as captured:
        Author.objects.filter(name="x").exists()
    assert len(captured) == 1
    assert "SELECT" in captured[0]["sql"]
    assert [each["sql"] for each in captured] == [each["sql"] for each in captured.captured_queries]
    Author.objects.count()
    assert len(captured) == 1


def test_commit_callbacks_are_captured_and_called() -> None:
    called: list[str] = []

    def first() -> None:
        called.append("first")
        transaction.on_commit(lambda: called.append("second"))

    with rolled_back():
        with captureOnCommitCallbacks() as callbacks:
            transaction.on_commit(first)
        assert callbacks == [first]
        assert called == []
        with captureOnCommitCallbacks(execute=True) as callbacks:
            transaction.on_commit(first)
        assert called == ["first", "second"]
        assert len(callbacks) == 2

        async def acall() -> None:
            async def later() -> None:
                called.append("async")

            async with captureOnCommitCallbacks(execute=True):
                await transaction.aon_commit(later)

        asyncio.run(acall())
    assert called == ["first", "second", "async"]


def test_settings_come_back() -> None:
    with override_settings(SLOW_QUERY_MS=1.0, OWN=1):
        assert (dorm.settings.SLOW_QUERY_MS, dorm.settings.OWN) == (1.0, 1)
        with override_settings(OWN=2):
            assert dorm.settings.OWN == 2
        assert dorm.settings.OWN == 1
    assert not hasattr(dorm.settings, "OWN")
    assert dorm.settings.SLOW_QUERY_MS == 500.0

    @override_settings(OWN=3)
    async def inside() -> int:
        return int(dorm.settings.OWN)

    assert asyncio.run(inside()) == 3
    with modify_settings(INSTALLED_APPS={"append": ["x", "y"], "remove": "y"}):
        assert dorm.settings.INSTALLED_APPS == ["x"]
    with pytest.raises(dorm.ImproperlyConfigured), override_settings(RETRY_ATTEMPTS="x"):
        pass
    assert dorm.settings.RETRY_ATTEMPTS == 3


def run_case(case: type[unittest.TestCase]) -> unittest.TestResult:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun
    for _, text in [*result.failures, *result.errors]:
        raise AssertionError(text)
    return result


def test_unittest_cases_keep_class_data_and_roll_tests_back() -> None:
    class Case(DormTestCase):
        author: Author
        runs = 0

        @classmethod
        def setUpTestData(cls) -> None:
            cls.author = Author.objects.create(name="shared")
            cls.runs += 1

        @for_the_class
        def more(cls: Any) -> None:  # a class method
            Author.objects.create(name="more")

        def test_one(self) -> None:
            self.author.name = "changed"
            self.author.save()
            Author.objects.create(name="one")
            self.assertNumQueries(1, Author.objects.count)
            assert Author.objects.count() == 3

        def test_two(self) -> None:
            assert self.author.name == "shared"
            assert Author.objects.count() == 2
            self.assertQuerySetEqual(Author.objects.order_by("name"), ["more", "shared"], transform=str_name)
            with self.settings(OWN=1):
                assert dorm.settings.OWN == 1

    run_case(Case)
    assert Author.objects.count() == 0


def str_name(author: Author) -> str:
    return author.name


def test_unittest_cases_of_asyncio_code() -> None:
    class Case(DormTestCase, unittest.IsolatedAsyncioTestCase):
        async def test_one(self) -> None:
            await Author.objects.acreate(name="a")
            assert await Author.objects.acount() == 1

        async def test_two(self) -> None:
            assert await Author.objects.acount() == 0
            with self.captureOnCommitCallbacks() as callbacks:
                await transaction.aon_commit(print)
            assert callbacks == [print]

    run_case(Case)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_project_gets_databases_of_its_own(tmp_path: Path, database_settings: dict[str, Any], workers: str) -> None:
    database = database_settings.get("URL") or f"sqlite:///{tmp_path}/real.db"
    (tmp_path / "settings.py").write_text(f"DATABASES = {{'default': {database!r}}}\nINSTALLED_APPS = ['blog']\n")
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog/__init__.py").write_text("")
    (tmp_path / "blog/models.py").write_text("import dorm\n\nclass Note(dorm.Model):\n    text = dorm.TextField()\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\ndorm_settings = settings\n")
    (tmp_path / "test_it.py").write_text(
        "import asyncio, dorm, pytest\nfrom blog.models import Note\n\n"
        "@pytest.mark.parametrize('n', range(4))\n"
        "def test_it(n, transactional_db):\n"
        "    assert 'test_' in dorm.settings.database('default').name or 'dorm-test-' in "
        "dorm.settings.database('default').name\n"
        "    Note.objects.create(text='x')\n"
        "    assert asyncio.run(Note.objects.acount()) == 1\n\n"
        "@pytest.mark.dorm_db\n"
        "def test_marked():\n"
        "    Note.objects.create(text='x')\n"
        "    assert Note.objects.count() == 1\n\n"
        "@pytest.fixture\n"
        "async def note(atransactional_db):\n"
        "    return await Note.objects.acreate(text='made by a fixture')\n\n"
        "@pytest.mark.anyio\n"
        "@pytest.mark.parametrize('anyio_backend', ['asyncio'])\n"
        "@pytest.mark.dorm_db\n"
        "async def test_awaited(note, assert_num_queries):\n"
        "    with assert_num_queries(2):\n"
        "        assert (await Note.objects.aget()).pk == note.pk\n"
        "        assert await asyncio.to_thread(Note.objects.count) == 1\n"
    )
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:randomly"],
        cwd=tmp_path,
        env={**outside, "PYTHONPATH": str(Path(dorm.__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "real.db").exists()
    if "URL" in database_settings:
        name = database.rpartition("/")[2]
        assert names_of_databases(database, f"test_{name}%") == []


def names_of_databases(url: str, like: str) -> list[str]:
    with psycopg.connect(url) as server:
        rows = server.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (like,))
        return [name for (name,) in rows]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_what_a_killed_run_left_behind_is_dropped(empty_database: dict[str, Any]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    backend: Any = connections["default"].backend
    config = settings.database("default")
    for name, owner in (("stale_of_the_gone", gone.pid), ("stale_of_mine", os.getpid())):
        backend.create_database(config, name)
        backend.mark_database(config, name, owner)
    databases = TestDatabases(populate=lambda alias: None)
    databases.create()
    try:
        assert names_of_databases(empty_database["URL"], "stale_of_%") == ["stale_of_mine"]
    finally:
        databases.drop()
        backend.drop_database(config, "stale_of_mine")


def test_kept_databases_are_taken_as_they_are(empty_database: dict[str, Any]) -> None:
    made: list[str] = []

    def populate(alias: str) -> None:
        made.append(dorm.settings.database(alias).name)
        if not dorm.get_connection(alias).table_exists("marker"):
            dorm.get_connection(alias).execute_script("CREATE TABLE marker (id integer)")

    backend: Any = connections["default"].backend
    config = settings.database("default")
    for _ in range(2):
        databases = TestDatabases(keep=True, populate=populate)
        databases.create()
        databases.drop()
    assert made[0] == made[1] != config.name
    databases = TestDatabases(keep=True, populate=lambda alias: None)
    databases.create()
    try:
        assert dorm.get_connection().table_exists("marker")
    finally:
        databases.drop()
        if hasattr(backend, "drop_database"):
            backend.drop_database(config, made[0])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_files_of_a_killed_run_are_removed_and_those_of_a_living_one_stay(
    empty_database: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = "from dorm.test.folders import Folder\nf = Folder()\n"
    source += "(f.path / 'x.db').touch()\nprint(f.path, flush=True)\ninput()"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(dorm.__file__).parent.parent)}
    runs = [
        subprocess.Popen([sys.executable, "-c", source], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    killed, living = runs
    paths = [Path(run.stdout.readline().decode().strip()) for run in runs if run.stdout is not None]
    try:
        killed.kill()
        killed.wait()
        databases = TestDatabases(populate=lambda alias: None)
        databases.create()
        own = Path(dorm.settings.database("default").name).parent
        assert [path.exists() for path in (*paths, own)] == [False, True, True]
        databases.drop()
        assert [path.exists() for path in (*paths, own)] == [False, True, False]
    finally:
        living.communicate(b"\n")
        killed.communicate()
