"""Raw SQL and what else a connection's handle offers, with the same names in both faces."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import inspect
import pickle
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import transaction
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import IntegrityError, NotSupportedError, ProgrammingError, TransactionManagementError
from tests.support.faces import Face
from tests.support.models import Author, Publisher

pytestmark = pytest.mark.usefixtures("database")


class Handle:
    """A handle of the face: ``await handle.execute(...)`` in both."""

    def __init__(self, face: Face) -> None:
        self._face = face

    def __getattr__(self, name: str) -> Any:
        if self._face.is_async:
            return getattr(get_async_connection(), name)
        method = getattr(get_connection(), name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call

    async def listed(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Return what an iterator of the face gives."""
        if self._face.is_async:
            return [row async for row in getattr(get_async_connection(), name)(*args, **kwargs)]
        return list(getattr(get_connection(), name)(*args, **kwargs))


@pytest.fixture
def handle(face: Face) -> Handle:
    return Handle(face)


async def test_rows_answer_to_positions_and_names(handle: Handle) -> None:
    rows = await handle.execute("SELECT 1 AS one, 'x' AS letter, NULL AS empty")
    assert len(rows) == 1
    row = rows[0]
    assert row[0] == row["one"] == 1
    assert row["letter"] == row[1] == "x"
    assert row[-1] is None
    assert row[:2] == (1, "x")
    assert tuple(row) == (1, "x", None)
    assert dict(row) == {"one": 1, "letter": "x", "empty": None}
    assert row.keys() == ("one", "letter", "empty")
    assert list(row.items()) == [("one", 1), ("letter", "x"), ("empty", None)]
    assert row.get("other", 7) == 7
    one, letter, _ = row
    assert (one, letter) == (1, "x")
    with pytest.raises(KeyError):
        row["other"]
    assert pickle.loads(pickle.dumps(row)) == row


async def test_placeholders_are_the_same_everywhere(handle: Handle) -> None:
    assert (await handle.execute("SELECT %s AS a, '%s' AS b, 5 %% 3 AS c -- %s", [7]))[0] == (7, "%s", 2)
    # In quotes as well: https://docs.djangoproject.com/en/5.2/topics/db/sql/#connections-and-cursors
    assert (await handle.execute("SELECT '30%%' AS a, %s AS b -- 5%%", [7]))[0] == ("30%", 7)
    assert (await handle.execute("SELECT '100%' AS a"))[0] == ("100%",)
    assert (await handle.execute("SELECT '100%' AS a, 7 % 4 AS b"))[0] == ("100%", 3)
    assert (await handle.execute("SELECT %(x)s AS a, %(y)s AS b, %(x)s AS c", {"x": 1, "y": "z"}))[0] == (1, "z", 1)
    assert (await handle.execute('SELECT 1 AS "a%sb", %s AS c', (2,)))[0] == (1, 2)


@pytest.mark.parametrize(
    ("sql", "params", "message"),
    [
        ("SELECT %s, %s", [1], "2 placeholders .* and 1 parameters"),
        ("SELECT 1", [1], "0 placeholders .* and 1 parameters"),
        ("SELECT %(a)s", {"b": 1}, r"%\(a\)s, which is not in params"),
        ("SELECT %(a)s", [1], "as a mapping"),
        ("SELECT %s", {"a": 1}, "takes a sequence"),
        ("SELECT %s", "x", "not str"),
        ("SELECT %s", 7, "not int"),
    ],
)
async def test_parameters_that_do_not_fit_are_refused(handle: Handle, sql: str, params: Any, message: str) -> None:
    with pytest.raises(ProgrammingError, match=message):
        await handle.execute(sql, params)


async def test_values_never_become_sql(handle: Handle) -> None:
    evil = "x'); DROP TABLE library_author; --"
    await handle.execute_write("INSERT INTO library_author (name, email) VALUES (%s, %s)", [evil, "%s"])
    rows = await handle.execute("SELECT name, email FROM library_author WHERE name = %s", [evil])
    assert rows == [(evil, "%s")]


async def test_python_values_as_parameters(handle: Handle, face: Face, backend: str) -> None:
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30, 1, 5)
    await handle.execute_write("INSERT INTO library_author (name, email) VALUES (%s, %s)", ["a", "e"])
    author = (await handle.execute("SELECT id FROM library_author WHERE name = %s AND age IS NULL", ["a"]))[0]["id"]
    book = "INSERT INTO library_book (title, author_id, pages, published) VALUES (%s, %s, %s, %s)"
    assert await handle.execute_write(book, ["t", author, 70_000, day]) == 1
    assert (await handle.execute("SELECT pages FROM library_book WHERE published = %s", [day]))[0][0] == 70_000
    row = (await handle.execute("SELECT substr(%s, %s, %s) AS a, coalesce(%s, %s) AS b", ["abcdef", 2, 3, None, "x"]))[
        0
    ]
    assert tuple(row) == ("bcd", "x")
    key = uuid.UUID(int=5)
    everything = "INSERT INTO library_everything (moment, uuid, double) VALUES (%s, %s, %s)"
    await handle.execute_write(everything, [moment, key, decimal.Decimal("1.5")])
    found = await handle.execute(
        "SELECT count(*) FROM library_everything WHERE moment = %s AND uuid = %s AND double = %s", [moment, key, 1.5]
    )
    assert found[0][0] == 1


async def test_writes(handle: Handle, backend: str) -> None:
    insert = "INSERT INTO library_publisher (name) VALUES (%s)"
    assert await handle.execute_write(insert, ["a"]) == 1
    key = await handle.execute_insert(insert, ["b"])
    assert (await handle.execute("SELECT id FROM library_publisher WHERE name = 'b'"))[0]["id"] == key
    assert await handle.execute_insert(insert + ";", ["100%"], pk_col="name") == "100%"
    many = "INSERT INTO library_publisher (name) VALUES (%s), (%s)"
    keys = await handle.execute_bulk_insert(many, ["c", "d"], "id", 2)
    assert keys == [key + 2, key + 3]
    rows = await handle.execute_bulk_insert_returning(many, ["e", "f"], ["name", "id"])
    assert rows == [{"name": "e", "id": key + 4}, {"name": "f", "id": key + 5}]
    assert await handle.execute_write("UPDATE library_publisher SET name = name || '!' WHERE id > %s", [key]) == 5
    assert await handle.execute_write("DELETE FROM library_publisher WHERE id = %s", [-1]) == 0
    assert await handle.execute("DELETE FROM library_publisher") == []
    with pytest.raises(ProgrammingError, match="at least one column"):
        await handle.execute_bulk_insert_returning(many, ["e", "f"], [])


async def test_errors_of_the_database_are_dorms(handle: Handle) -> None:
    with pytest.raises(ProgrammingError) as caught:
        await handle.execute("SELEC 1")
    assert caught.value.statement == "SELEC 1"
    assert caught.value.__cause__ is not None
    await handle.execute_write("INSERT INTO library_publisher (name) VALUES ('a')")
    with pytest.raises(IntegrityError):
        await handle.execute_write("INSERT INTO library_publisher (name) VALUES ('a')")


async def test_scripts(handle: Handle, face: Face) -> None:
    await handle.execute_script(
        """
        INSERT INTO library_publisher (name) VALUES ('a;b%s'); -- a comment; with a semicolon
        INSERT INTO library_publisher (name) VALUES ('c');
        """
    )
    assert await face(Publisher.objects.count)() == 2
    with pytest.raises(ZeroDivisionError):
        async with face.atomic():
            await handle.execute_script("DELETE FROM library_publisher; SELECT 1;")
            assert await face(Publisher.objects.count)() == 0
            raise ZeroDivisionError
    assert await face(Publisher.objects.count)() == 2


async def test_streaming(handle: Handle, face: Face) -> None:
    await face(Author.objects.bulk_create)([Author(name=f"{number:03}") for number in range(25)])
    sql = "SELECT name AS n FROM library_author WHERE name >= %s ORDER BY name"
    rows = await handle.listed("execute_streaming", sql, ["005"], 7)
    assert [row["n"] for row in rows] == [f"{number:03}" for number in range(5, 25)]
    async with face.atomic():
        await face(Author.objects.create)(name="999")
        assert len(await handle.listed("execute_streaming", sql, ["900"], 1)) == 1
    assert await handle.listed("execute_streaming", sql, ["zzz"]) == []
    with pytest.raises(ValueError, match="chunk_size"):
        await handle.listed("execute_streaming", sql, ["x"], 0)
    assert dorm.pool_stats()["in_use"] == 0


def test_a_stream_that_is_left_early_gives_its_connection_back() -> None:
    Author.objects.bulk_create([Author(name=f"{number}") for number in range(30)])
    rows = get_connection().execute_streaming("SELECT name FROM library_author", chunk_size=5)
    next(rows)
    assert dorm.pool_stats()["in_use"] == 1
    rows.close()  # type: ignore[attr-defined]
    assert dorm.pool_stats()["in_use"] == 0


async def test_tables(handle: Handle) -> None:
    assert await handle.table_exists("library_author") is True
    assert await handle.table_exists("library_nothing") is False
    columns = await handle.get_table_columns("library_author")
    assert [column["name"] for column in columns] == ["id", "name", "age", "email"]
    assert [column["null"] for column in columns] == [False, False, True, False]
    assert [column["primary_key"] for column in columns] == [True, False, False, False]
    assert await handle.get_table_columns("library_nothing") == []


def test_what_a_handle_knows(backend: str) -> None:
    connection = get_connection()
    assert connection is get_connection("default") is dorm.connection_for()
    assert connection.vendor == connection.dialect == backend
    assert connection.alias == "default"
    assert not connection.in_atomic_block
    with connection.atomic():
        assert connection.in_atomic_block
        assert not connection.needs_rollback
        with pytest.raises(ZeroDivisionError):
            with connection.atomic(savepoint=False):
                raise ZeroDivisionError
        assert connection.needs_rollback
    assert transaction.connection_for("default") is connection
    assert get_connection().pool_stats()["alias"] == "default"
    with pytest.raises(dorm.ImproperlyConfigured, match="nothing"):
        get_connection("nothing")


async def test_the_async_handle_may_be_awaited() -> None:
    connection = await dorm.aconnection_for("default")
    assert connection is get_async_connection()
    async with connection.aatomic():
        await connection.execute_write("INSERT INTO library_publisher (name) VALUES (%s)", ["a"])
        assert connection.in_atomic_block


def test_both_faces_have_the_same_methods() -> None:
    def methods(cls: type) -> dict[str, Any]:
        return {
            name: inspect.signature(value).replace(return_annotation=None).parameters.keys()
            for name, value in vars(cls).items()
            if inspect.isfunction(value) and not name.startswith("_")
        }

    assert methods(type(get_connection())) == methods(type(get_async_connection()))


async def test_autocommit_by_the_handle(handle: Handle, face: Face) -> None:
    await handle.set_autocommit(False)
    await handle.execute_write("INSERT INTO library_publisher (name) VALUES ('a')")
    await handle.rollback()
    await handle.execute_write("INSERT INTO library_publisher (name) VALUES ('b')")
    await handle.commit()
    await handle.set_autocommit(True)
    assert await handle.get_autocommit() is True
    assert [row.name for row in await face.rows(Publisher.objects.all())] == ["b"]


# -- one connection ----------------------------------------------------------------------------------------------


async def test_a_pinned_connection_keeps_its_session(handle: Handle, face: Face) -> None:
    async def inside() -> None:
        await handle.execute_script("CREATE TEMPORARY TABLE kept (a integer)")
        await handle.execute_write("INSERT INTO kept VALUES (1)")
        async with face.atomic():
            await handle.execute_write("INSERT INTO kept VALUES (2)")
        with pytest.raises(ZeroDivisionError):
            async with face.atomic():
                await handle.execute_write("INSERT INTO kept VALUES (3)")
                raise ZeroDivisionError
        await face(Publisher.objects.create)(name="a")
        assert len(await handle.execute("SELECT a FROM kept")) == 2
        assert dorm.pool_stats()["in_use"] == 1
        assert await face(transaction.get_autocommit)() is True
        await handle.execute_script("DROP TABLE kept")

    if face.is_async:
        async with get_async_connection().pin():
            await inside()
    else:
        with get_connection().pin():
            await inside()
    assert dorm.pool_stats()["in_use"] == 0
    assert await face(Publisher.objects.count)() == 1


def test_a_pin_inside_a_block_is_the_blocks() -> None:
    with get_connection().pin():
        with transaction.atomic():
            with get_connection().pin():
                get_connection().execute_write("INSERT INTO library_publisher (name) VALUES ('a')")
            transaction.set_rollback(True)
    assert not Publisher.objects.exists()


def test_another_thread_is_refused_the_pinned_connection() -> None:
    async def work() -> None:
        async with get_async_connection().pin():
            with pytest.raises(TransactionManagementError):
                await asyncio.create_task(get_async_connection().execute("SELECT 1"))

    asyncio.run(work())


# -- COPY, LISTEN ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_copy(handle: Handle, face: Face, binary: bool) -> None:
    rows = [(f"name\t{number}\\", None if number % 2 else number, "e") for number in range(3000)]
    columns = ["name", "age", "email"]
    assert await handle.copy_from("library_author", columns, iter(rows), binary=binary) == 3000
    assert await face(Author.objects.count)() == 3000
    sql = "SELECT name, age, email FROM library_author WHERE age < %s OR age IS NULL ORDER BY id"
    found = await handle.listed("copy_to", sql, [10_000], binary=binary)
    assert [tuple(row) for row in found] == rows
    assert found[0]["name"] == rows[0][0]
    with pytest.raises(dorm.DatabaseError):
        await handle.copy_from("library_author", ["name", "nothing"], [("a", "b")], binary=binary)
    with pytest.raises(ZeroDivisionError):
        async with face.atomic():
            await handle.copy_from("library_author", columns, rows, binary=binary)
            raise ZeroDivisionError
    assert await face(Author.objects.count)() == 3000
    assert dorm.pool_stats()["in_use"] == 0


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_copy_whose_rows_fail_leaves_nothing(handle: Handle, face: Face) -> None:
    def rows() -> Iterator[tuple[str, str]]:
        yield ("a", "b")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await handle.copy_from("library_author", ["name", "email"], rows())
    assert await face(Author.objects.count)() == 0
    assert await handle.execute("SELECT 1 AS a") == [(1,)]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_copy_that_is_left_early() -> None:
    rows = get_connection().copy_to("SELECT generate_series(1, 200000) AS n")
    assert next(rows)["n"] == 1
    rows.close()  # type: ignore[attr-defined]
    assert dorm.pool_stats()["in_use"] == 0
    assert get_connection().execute("SELECT 1 AS a") == [(1,)]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_listen_and_notify() -> None:
    connection = get_async_connection()
    heard: list[tuple[str, str]] = []
    ready = asyncio.Event()

    async def listener() -> None:
        async for note in connection.listen('the "channel"'):
            heard.append((note.channel, note.payload))
            ready.set()
            if note.payload == "end":
                return

    task = asyncio.create_task(listener())
    while not ready.is_set():
        await connection.notify('the "channel"', "hello")
        await asyncio.sleep(0.02)
    async with transaction.aatomic():
        await connection.notify('the "channel"', "never")
        transaction.set_rollback(True)
    await connection.notify('the "channel"', "end")
    await asyncio.wait_for(task, 10)
    assert ('the "channel"', "never") not in heard
    assert heard[-1] == ('the "channel"', "end")
    assert dorm.pool_stats()["in_use"] == 0


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_sqlite_lacks_is_refused(handle: Handle) -> None:
    with pytest.raises(NotSupportedError, match="COPY"):
        await handle.copy_from("library_author", ["name"], [("a",)])
    with pytest.raises(NotSupportedError, match="COPY"):
        await handle.listed("copy_to", "SELECT 1")
    with pytest.raises(NotSupportedError, match="LISTEN"):
        await handle.listed("listen", "x")
    with pytest.raises(NotSupportedError, match="NOTIFY"):
        await handle.notify("x")


async def test_raw_sql_passes_signals_once(handle: Handle, face: Face) -> None:
    seen: list[tuple[str, Any]] = []

    def receiver(sender: Any, sql: str, params: Any, **_: Any) -> None:
        seen.append((sql.partition(" ")[0], tuple(params)))

    dorm.post_query.connect(receiver)
    try:
        await handle.execute("SELECT %s AS a", [1])
        await handle.listed("execute_streaming", "SELECT %s AS a", [2])
        await handle.execute_script("SELECT 1; SELECT 2")
        await face(Publisher.objects.count)()
    finally:
        dorm.post_query.disconnect(receiver)
    assert [each for each in seen if each[1]] == [("SELECT", (1,)), ("SELECT", (2,))]
    assert len(seen) == 4
