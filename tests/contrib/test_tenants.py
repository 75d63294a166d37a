"""Tenants by schema: what each sees, and that no connection, task, thread or error carries one over to another."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import dorm
from dorm.contrib import tenants
from dorm.contrib.dataloader import DataLoader
from dorm.contrib.tenants import TenantContext, UnknownTenantError, aTenantContext, current_tenant
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import ImproperlyConfigured, MigrationError, NotSupportedError, ProgrammingError
from dorm.migrations.schema import create_tables
from tests.support.cli import Scratch
from tests.support.cluster import Bouncer
from tests.support.faces import Face
from tests.support.projects import Project, on_path


class Note(dorm.Model):
    text = dorm.CharField(max_length=50, unique=True)

    class Meta:
        app_label = "tenants_tests"


class Plan(dorm.Model):
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "tenants_tests"


A, B = "tenant_a", "tenant-B"


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
def two(empty_database: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Two tenants with a note each, notes of nobody's in public, and a table that is shared."""
    create_tables([Note, Plan])
    Note.objects.create(text="public")
    Plan.objects.create(name="gold")
    for name in (A, B):
        tenants.ensure_schema(name)
        with TenantContext(name):
            create_tables([Note])
            Note.objects.create(text=name)
    yield empty_database
    for name in (A, B):
        tenants.drop_schema(name)


def paths_of_the_pool(url: str) -> list[str]:
    """Return the search path of every connection that the sync pool has, read on the connections themselves."""
    database = dorm.connections["default"]
    held = []
    found = []
    try:
        for _ in range(database.pool_stats().get("pool_size") or 1):
            held.append(database.sync_pool.acquire())
            found.append(held[-1].raw.execute("SHOW search_path").fetchone()[0])  # type: ignore[attr-defined]
    finally:
        for each in held:
            database.sync_pool.release(each)
    return found


async def texts(face: Face) -> list[str]:
    return sorted(note.text for note in await face.rows(Note.objects.all()))


async def test_a_cached_result_is_one_tenant_s(two: Any, face: Face) -> None:
    dorm.configure(CACHES={"default": {"BACKEND": "dorm.cache.locmem.LocMemCache"}}, CACHE_SIGNING_KEY="secret")
    seen: list[list[str]] = []
    for _ in range(2):
        for name in (A, B):
            with TenantContext(name):
                seen.append([note.text for note in await face.rows(Note.objects.cached())])
        seen.append([note.text for note in await face.rows(Note.objects.cached())])
    assert seen == [[A], [B], ["public"]] * 2


# -- what a tenant sees ------------------------------------------------------------------------------------------


async def test_a_tenant_sees_its_rows_and_the_shared_ones(two: Any, face: Face) -> None:
    assert await texts(face) == ["public"]
    with TenantContext(A):
        assert current_tenant() == A
        assert await texts(face) == [A]
        assert await face(Plan.objects.count)() == 1
        with TenantContext(B):
            assert await texts(face) == [B]
        assert await texts(face) == [A]
    assert current_tenant() is None
    assert await texts(face) == ["public"]


async def test_writes_go_to_the_tenant(two: Any, face: Face) -> None:
    with TenantContext(A):
        note = await face(Note.objects.create)(text="n")
        await face(Note.objects.bulk_create)([Note(text="m1"), Note(text="m2")])
        await face(Note.objects.filter(text="m1").update)(text="m0")
        note.text = "changed"
        await face(note.save)()
        await face(Note.objects.get_or_create)(text="changed")
        assert await texts(face) == ["changed", "m0", "m2", A]
        await face(Note.objects.filter(text__startswith="m").delete)()
    with TenantContext(B):
        assert await texts(face) == [B]
    assert await texts(face) == ["public"]


async def test_streams_and_raw_sql_are_the_tenants(two: Any, face: Face) -> None:
    with TenantContext(A):
        assert [note.text for note in await face.stream(Note.objects.all())] == [A]
        async with face.atomic():
            assert [note.text for note in await face.stream(Note.objects.all())] == [A]
        table = Note._meta.db_table
        if face.is_async:
            handle = get_async_connection()
            assert [row[0] async for row in handle.execute_streaming(f"SELECT text FROM {table}")] == [A]
            assert [row[0] async for row in handle.copy_to(f"SELECT text FROM {table}")] == [A]
            assert (await handle.execute(f"SELECT text FROM {table}"))[0][0] == A
        else:
            sync = get_connection()
            assert [row[0] for row in sync.execute_streaming(f"SELECT text FROM {table}")] == [A]
            assert [row[0] for row in sync.copy_to(f"SELECT text FROM {table}")] == [A]
            assert sync.execute(f"SELECT text FROM {table}")[0][0] == A
            assert sync.copy_from(table, ["text"], [("copied",)]) == 1
    assert await texts(face) == ["public"]


# -- transactions ------------------------------------------------------------------------------------------------


async def test_the_tenant_changes_inside_a_transaction(two: Any, face: Face) -> None:
    async with face.atomic():
        assert await texts(face) == ["public"]
        with TenantContext(A):
            assert await texts(face) == [A]
            with TenantContext(B):
                assert await texts(face) == [B]
            assert await texts(face) == [A]
        assert await texts(face) == ["public"]


async def test_a_rollback_to_a_savepoint_changes_no_tenant(two: Any, face: Face) -> None:
    with TenantContext(A):
        async with face.atomic():
            await face(Note.objects.create)(text="kept")
            with pytest.raises(ZeroDivisionError):
                async with face.atomic():
                    with TenantContext(B):
                        assert await texts(face) == [B]
                        raise ZeroDivisionError
            assert await texts(face) == ["kept", A]
            with pytest.raises(ZeroDivisionError):
                async with face.atomic():
                    await face(Note.objects.create)(text="undone")
                    raise ZeroDivisionError
            with TenantContext(B):
                assert await texts(face) == [B]
    async with face.atomic():
        with pytest.raises(ZeroDivisionError):
            async with face.atomic():
                with TenantContext(A):
                    assert await texts(face) == ["kept", A]
                raise ZeroDivisionError
        assert await texts(face) == ["public"]


async def test_a_tenant_that_was_left_before_a_rollback_is_left(two: Any, face: Face) -> None:
    context = TenantContext(A)
    context.__enter__()
    async with face.atomic():
        assert await texts(face) == [A]
        with pytest.raises(ZeroDivisionError):
            async with face.atomic():
                context.__exit__(None, None, None)
                assert await texts(face) == ["public"]
                raise ZeroDivisionError
        assert await texts(face) == ["public"]


async def test_autocommit_off_begins_each_transaction_with_the_tenant(two: Any, face: Face) -> None:
    from dorm import transaction

    with TenantContext(A):
        await face(transaction.set_autocommit)(False)
        await face(Note.objects.create)(text="one")
        await face(transaction.rollback)()
        await face(Note.objects.create)(text="two")
        await face(transaction.commit)()
        assert await texts(face) == [A, "two"]
        await face(transaction.set_autocommit)(True)
    assert await texts(face) == ["public"]


async def test_a_connection_of_ones_own_serves_several_tenants(two: Any, face: Face) -> None:
    table = Note._meta.db_table
    if face.is_async:
        async with get_async_connection().pin():
            with TenantContext(A):
                assert await texts(face) == [A]
                assert [note.text for note in await face.stream(Note.objects.all())] == [A]
                async with face.atomic():
                    assert await texts(face) == [A]
                assert [row[0] async for row in get_async_connection().copy_to(f"SELECT text FROM {table}")] == [A]
            assert await texts(face) == ["public"]
            return
    with TenantContext(B):
        with get_connection().pin():
            assert await texts(face) == [B]
            with TenantContext(A):
                assert await texts(face) == [A]
                async with face.atomic():
                    assert await texts(face) == [A]
                assert [row[0] for row in get_connection().copy_to(f"SELECT text FROM {table}")] == [A]
            assert await texts(face) == [B]
    assert await texts(face) == ["public"]


# -- nothing is carried over -------------------------------------------------------------------------------------


async def test_connections_come_back_with_the_path_they_had(two: Any, face: Face) -> None:
    with TenantContext(A):
        await texts(face)
        async with face.atomic():
            await texts(face)
        await face.stream(Note.objects.all())
        with pytest.raises(dorm.IntegrityError):
            await face(Note.objects.create)(text=A)
        with pytest.raises(ProgrammingError):
            await (
                get_async_connection().execute("SELECT no")
                if face.is_async
                else face(get_connection().execute)("SELECT no")
            )
        with pytest.raises(dorm.IntegrityError):
            async with face.atomic():
                await face(Note.objects.create)(text=A)
    assert await texts(face) == ["public"]
    if not face.is_async:
        assert set(paths_of_the_pool(two["URL"])) == {'"$user", public'}


def test_a_hundred_threads_of_two_tenants_and_none_never_meet(two: Any) -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        name = (A, B, None)[number % 3]
        for turn in range(6):
            if name is None:
                found = list(Note.objects.values_list("text", flat=True))
                expected = "public"
            else:
                with TenantContext(name):
                    if turn % 2:
                        with dorm.atomic():
                            found = list(Note.objects.values_list("text", flat=True))
                    else:
                        found = list(Note.objects.values_list("text", flat=True))
                    expected = name
            if found != [expected]:
                wrong.append((name, found))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert set(paths_of_the_pool(two["URL"])) == {'"$user", public'}


def test_tasks_of_two_tenants_and_none_never_meet(two: Any) -> None:
    async def work(number: int) -> tuple[Any, list[str]]:
        name = (A, B, None)[number % 3]
        if name is None:
            return "public", [note.text async for note in Note.objects.all()]
        async with aTenantContext(name):
            if number % 2:
                async with dorm.atomic():
                    return name, [note.text async for note in Note.objects.all()]
            return name, [note.text async for note in Note.objects.all()]

    async def main() -> list[Any]:
        return await asyncio.gather(*(work(number) for number in range(120)))

    assert all(found == [name] for name, found in asyncio.run(main()))


def test_a_task_belongs_to_the_tenant_that_started_it_and_a_thread_to_none(two: Any) -> None:
    seen: list[Any] = []

    async def child() -> list[str]:
        return [note.text async for note in Note.objects.all()]

    async def main() -> None:
        async with aTenantContext(A):
            task = asyncio.create_task(child())
            fresh = asyncio.create_task(child(), context=contextvars.Context())
        assert current_tenant() is None
        seen.extend([await task, await fresh])
        async with aTenantContext(A):
            seen.append(await asyncio.to_thread(lambda: list(Note.objects.values_list("text", flat=True))))

    asyncio.run(main())
    with TenantContext(A):
        thread = threading.Thread(target=lambda: seen.append(list(Note.objects.values_list("text", flat=True))))
        thread.start()
        thread.join(30)
    assert seen == [[A], ["public"], [A], ["public"]]


def test_cancelled_tasks_leave_no_path_behind(two: Any) -> None:
    dorm.configure(DATABASES={"default": {**two, "MAX_POOL_SIZE": 2}})

    async def slow() -> None:
        async with aTenantContext(A):
            await get_async_connection().execute("SELECT pg_sleep(10)")

    async def main() -> None:
        for wait in (0.0, 0.001, 0.003, 0.01, 0.05, 0.1):
            task = asyncio.create_task(slow())
            await asyncio.sleep(wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            found = [[note.text async for note in Note.objects.all()] for _ in range(3)]
            assert found == [["public"]] * 3

    asyncio.run(main())


def test_a_session_that_was_killed_is_replaced_for_reads(two: Any) -> None:
    with TenantContext(A):
        assert Note.objects.get().text == A
        with psycopg.connect(two["URL"], autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert Note.objects.get().text == A
    assert Note.objects.get().text == "public"


def test_deadlines_and_tenants_go_together(two: Any) -> None:
    with TenantContext(A), dorm.deadline(5):
        assert Note.objects.get().text == A
        with dorm.atomic():
            assert Note.objects.get().text == A
    with TenantContext(A), pytest.raises(dorm.exceptions.DeadlineExceeded), dorm.deadline(0.2):
        get_connection().execute("SELECT pg_sleep(5)")
    assert Note.objects.get().text == "public"


def test_loaders_and_the_cache_keep_tenants_apart(two: Any) -> None:
    dorm.configure(CACHES={"default": {"BACKEND": "dorm.cache.locmem.LocMemCache"}})
    batches: list[list[int]] = []

    async def fetch(keys: list[str]) -> dict[str, str]:
        batches.append(list(keys))  # type: ignore[arg-type]
        return {key: note.text async for note in Note.objects.all() for key in keys}

    async def main() -> list[str]:
        loader = DataLoader(fetch, cache=False)

        async def one(name: str) -> str:
            async with aTenantContext(name):
                return await loader.load(1)

        return await asyncio.gather(one(A), one(B), one(A))

    assert asyncio.run(main()) == [A, B, A]
    assert len(batches) == 2
    found = []
    for name in (A, B, A, B):
        with TenantContext(name):
            found.append(Note.objects.cached(timeout=60).get().text)
    dorm.configure(CACHES={})
    assert found == [A, B, A, B]


# -- what is refused ---------------------------------------------------------------------------------------------


async def test_a_tenant_without_a_schema_is_refused(two: Any, face: Face) -> None:
    with pytest.raises(UnknownTenantError, match="there is no schema 'nobody'"):
        if face.is_async:
            async with TenantContext("nobody"):
                pass
        else:
            with TenantContext("nobody"):
                pass
    assert current_tenant() is None


def test_a_schema_that_was_rolled_back_is_unknown_again(two: Any) -> None:
    with pytest.raises(ZeroDivisionError), dorm.atomic():
        tenants.ensure_schema("shortlived")
        with TenantContext("shortlived"):
            pass
        raise ZeroDivisionError
    with pytest.raises(UnknownTenantError), TenantContext("shortlived"):
        pass


@pytest.mark.parametrize("name", ["", "public", "pg_temp", "1a", 'a"b', "a" * 64, "a.b", "information_schema"])
def test_names_that_can_be_no_schema(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a tenant's schema"):
        TenantContext(name)


def test_a_name_is_a_text(two: Any) -> None:
    with pytest.raises(TypeError, match="not int"):
        tenants.register_tenant(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="async with"), aTenantContext(A):
        pass


def test_another_database_has_none(tmp_path: Any) -> None:
    before = dict(dorm.settings._given)
    dorm.configure(DATABASES={"default": f"sqlite:///{tmp_path}/t.db"})
    try:
        with pytest.raises(NotSupportedError, match="PostgreSQL-only"), TenantContext(A):
            pass
        with pytest.raises(NotSupportedError, match="tenants_row"):
            tenants.ensure_schema(A)
    finally:
        dorm.connections.reset()
        dorm.settings._given.clear()
        dorm.settings._given.update(before)


async def test_behind_pgbouncer_a_transaction_keeps_the_tenant(two: Any, face: Face) -> None:
    with Bouncer(two["URL"], "transaction") as bouncer:
        dorm.configure(DATABASES={"default": {"URL": bouncer.url, "PGBOUNCER_MODE": "transaction"}})
        with TenantContext(A):
            assert await texts(face) == [A]
            await face(Note.objects.create)(text="n")
            assert [note.text for note in await face.stream(Note.objects.order_by("text"))] == ["n", A]
            async with face.atomic():
                assert await texts(face) == ["n", A]
        assert [await texts(face) for _ in range(4)] == [["public"]] * 4
        if face.is_async:
            await dorm.db.connection.close_all_async()
        dorm.configure(DATABASES={"default": two})


def test_behind_pgbouncer_for_single_statements_tenants_are_refused(two: Any) -> None:
    dorm.configure(DATABASES={"default": {**two, "PGBOUNCER_MODE": "statement"}})
    with pytest.raises(ImproperlyConfigured, match="keeps no search_path"), TenantContext(A):
        pass
    dorm.configure(DATABASES={"default": two})


# -- which there are ---------------------------------------------------------------------------------------------


async def test_schemas_are_made_once_whoever_asks(empty_database: Any, face: Face) -> None:
    await face(tenants.ensure_schema)(A)
    await face(tenants.ensure_schema)(A)

    def make(errors: list[BaseException]) -> None:
        try:
            tenants.ensure_schema(B)
        except BaseException as exc:
            errors.append(exc)

    errors: list[BaseException] = []
    threads = [threading.Thread(target=make, args=(errors,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    for name in (A, B):
        await face(tenants.drop_schema)(name)


# -- migrations --------------------------------------------------------------------------------------------------

_FIRST = """
dependencies = []
operations = [
    ops.CreateModel("Note", [("id", dorm.BigAutoField(primary_key=True)), ("text", dorm.CharField(max_length=50))]),
]
"""
_SECOND = """
dependencies = [("notes", "0001_initial")]
atomic = False
operations = [ops.AddIndex("Note", dorm.Index(fields=["text"], name="notes_text_idx"), concurrently=True)]
"""
_THIRD = """
dependencies = [("notes", "0002_index")]


async def fill(apps, connection):
    await apps.get_model("notes", "Note").objects.acreate(text="filled")


operations = [ops.RunPython(fill, ops.RunPython.noop)]
"""


@pytest.fixture
def notes(empty_database: dict[str, Any], tmp_path: Any) -> Iterator[dict[str, Any]]:
    project = Project(tmp_path / "project")
    project.app("notes", {"0001_initial": _FIRST, "0002_index": _SECOND, "0003_fill": _THIRD})
    with on_path(project.folder):
        dorm.configure(INSTALLED_APPS=["notes"])
        yield empty_database
        for name in (A, B):
            tenants.drop_schema(name)
        dorm.configure(INSTALLED_APPS=[])


def tables(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as other:
        return other.execute(
            "SELECT schemaname, tablename, hasindexes FROM pg_tables "
            "WHERE tablename IN ('notes_note', 'dorm_migrations') ORDER BY 1, 2"
        ).fetchall()


async def test_a_tenant_is_migrated_into_its_schema_alone(notes: Any, face: Face) -> None:
    steps = await face(tenants.migrate_tenant)(A)
    assert [str(step.migration) for step in steps] == ["notes.0001_initial", "notes.0002_index", "notes.0003_fill"]
    assert tables(notes["URL"]) == [(A, "dorm_migrations", True), (A, "notes_note", True)]
    with psycopg.connect(notes["URL"], autocommit=True) as other:
        assert other.execute(f"SELECT text FROM {A}.notes_note").fetchall() == [("filled",)]
        found = other.execute("SELECT schemaname FROM pg_indexes WHERE indexname = 'notes_text_idx'").fetchall()
        assert found == [(A,)]
    assert await face(tenants.migrate_tenant)(A) == []
    assert current_tenant() is None


async def test_all_tenants_are_migrated_registered_ones_and_those_of_before(notes: Any, face: Face) -> None:
    await face(tenants.migrate_tenant)(A, target="0001_initial", app_label="notes")
    with tenants._known.lock:
        tenants._known.registered.clear()
    tenants.register_tenant(B)
    assert tenants.registered_tenants() == [B]
    assert await face(tenants.tenant_schemas)() == [A]
    done = await face(tenants.migrate_all_tenants)()
    assert {name: len(steps) for name, steps in done.items()} == {B: 3, A: 2}
    assert await face(tenants.known_tenants)() == [B, A]


async def test_a_tenant_that_cannot_be_migrated_is_named(notes: Any, face: Face) -> None:
    tenants.ensure_schema(A)
    with TenantContext(A):
        get_connection().execute_script("CREATE TABLE notes_note (id int)") if not face.is_async else (
            await get_async_connection().execute_script("CREATE TABLE notes_note (id int)")
        )
    with pytest.raises(MigrationError, match=r"tenant 'tenant_a' was not migrated \(0 of 2 are done, left: tenant-B\)"):
        await face(tenants.migrate_all_tenants)([A, B])
    assert current_tenant() is None


def test_the_command_migrates_tenants(notes: Any, tmp_path: Any) -> None:
    scratch = Scratch(tmp_path / "project")
    scratch.settings(
        notes["URL"], "['notes']", f"from dorm.contrib.tenants import register_tenant\nregister_tenant({B!r})"
    )
    plan = scratch.run("migrate", "--tenant", A, "--dry-run")
    assert (plan.code, "there is no schema" in plan.err) == (1, True)
    assert tables(notes["URL"]) == []
    out = scratch.ok("migrate", "--tenant", A)
    assert out.startswith(f"Tenant {A}:\nApplying notes.0001_initial... OK\n")
    assert scratch.run("migrate", "--tenant", A, "--check").code == 0
    assert "No migrations to apply" in scratch.ok("migrate", "--tenant", A, "--plan")
    out = scratch.ok("migrate", "--all-tenants", "notes", "0002")
    assert (f"Tenant {B}:\nApplying notes.0001_initial... OK" in out, "Unapplying notes.0003_fill" in out) == (
        True,
        True,
    )
    assert [each[0] for each in tables(notes["URL"])] == [B, B, A, A]
    both = scratch.run("migrate", "--all-tenants", "--tenant", A)
    assert (both.code, "give one of them" in both.err) == (2, True)
