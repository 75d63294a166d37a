"""Answers of PostgreSQL that are read in pieces: the same results and errors as those that are read whole."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import capabilities

import dorm
from dorm import F
from dorm.db.backends.postgresql import prepared
from dorm.db.backends.postgresql.session import SessionState
from dorm.db.connection import connections, get_async_connection, get_connection
from dorm.db.hooks import chain
from dorm.migrations.schema import create_tables
from dorm.queryset.hydration import Making
from tests.support.faces import Face
from tests.support.models import MODELS, Author, Book, Everything

pytestmark = pytest.mark.skipif(not capabilities.has_stream_chunked(), reason="libpq is older than 17")


class Watched(dorm.Model):
    """A model that asks the database while it is loaded."""

    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "pieces"

    @classmethod
    def from_db(cls, db: str, field_names: Iterable[str], values: Iterable[Any]) -> Any:
        instance = super().from_db(db, field_names, values)
        if asked is not None:
            asked.append(Author.objects.using(db).count())
        return instance


asked: list[int] | None = None


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def pieces(empty_database: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of results of answers that were read in pieces of three, once they had more than six."""
    made: list[int] = []
    read = prepared._ShortWay._in_pieces

    def watched(cursor: Any, take: Any) -> Iterator[Any]:
        answer = yield from read(cursor, take)
        made.append(len(cursor._made))
        return answer

    monkeypatch.setattr(SessionState, "took", lambda self, seconds: None)
    monkeypatch.setattr(prepared, "_PIECE", 3)
    monkeypatch.setattr(prepared, "_MANY", 6)
    monkeypatch.setattr(prepared._ShortWay, "_in_pieces", watched)
    dorm.configure(DATABASES={"default": {**empty_database, "MIN_POOL_SIZE": 1, "PREPARE_THRESHOLD": 1}})
    create_tables([*MODELS, Watched])
    authors = [Author(name=f"a{number:02}", age=None if number == 4 else number) for number in range(20)]
    Author.objects.bulk_create(authors)
    Book.objects.bulk_create([Book(title=f"b{number:02}", author=authors[number // 2]) for number in range(20)])
    return made


async def in_pieces(face: Face, rows: Any, pieces: list[int]) -> list[Any]:
    """Read *rows* until they are prepared and known to be many, and once more, in pieces."""
    found: list[Any] = []
    for _ in range(4):
        pieces.clear()
        found = await face.rows(rows.all())
    assert pieces == [len(found)]
    pieces.clear()
    return found


async def execute(face: Face, text: str) -> None:
    if face.is_async:
        await get_async_connection().execute(text)
    else:
        get_connection().execute(text)


async def check_it_goes_on(face: Face) -> None:
    assert await face(Author.objects.count)() == 20
    assert dorm.pool_stats()["in_use"] == 0


async def test_objects_tuples_and_dicts(face: Face, pieces: list[int]) -> None:
    authors = Author.objects.order_by("name")
    expected = [(f"a{number:02}", None if number == 4 else number) for number in range(20)]
    found = await in_pieces(face, authors, pieces)
    assert [(each.name, each.age) for each in found] == expected
    assert {type(each) for each in found} == {Author}
    assert await in_pieces(face, authors.values_list("name", "age"), pieces) == expected
    assert await in_pieces(face, authors.values_list("name", flat=True), pieces) == [name for name, _ in expected]
    dicts = await in_pieces(face, authors.values("name", "age"), pieces)
    assert dicts == [{"name": name, "age": age} for name, age in expected]
    found = await in_pieces(face, authors.filter(age__gte=0).values_list("name", "age", named=True), pieces)
    assert [(each.name, each.age) for each in found] == [pair for pair in expected if pair[1] is not None]


async def test_an_older_libpq_reads_answers_whole(
    face: Face, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "_CAN_READ_PIECES", False)
    for _ in range(4):
        found = await face.rows(Author.objects.order_by("name"))
        assert [each.name for each in found] == [f"a{number:02}" for number in range(20)]
        assert await face.rows(Author.objects.filter(age__gt=17).values_list("age", flat=True)) == [18, 19]
    assert pieces == []


async def test_joined_rows_and_annotations(face: Face, pieces: list[int]) -> None:
    books = Book.objects.select_related("author", "publisher").annotate(next=F("author__age") + 1).order_by("title")
    found = await in_pieces(face, books, pieces)
    assert [(each.author.name, each.publisher) for each in found] == [(f"a{n // 2:02}", None) for n in range(20)]
    assert [each.next for each in found[6:10]] == [4, 4, None, None]


async def test_late_loads_serve_all_of_them(face: Face, pieces: list[int]) -> None:
    books = await in_pieces(face, Book.objects.order_by("title"), pieces)
    assert [peer() for peer in vars(books[0])["_origin"].known()] == books
    if not face.is_async:
        assert books[0].author.name == "a00"
        assert all(map(Book._meta.get_field("author").is_cached, books))


async def test_an_answer_that_grew_short_is_read_whole_again(face: Face, pieces: list[int]) -> None:
    def older(age: int) -> Any:
        return Author.objects.filter(age__gte=age).order_by("name")

    await in_pieces(face, older(0), pieces)
    for age, number in [(18, 2), (18, 2), (17, 3), (0, 19), (0, 19), (30, 0)]:
        assert len(await face.rows(older(age))) == number
    assert pieces == [2, 19, 0]


@pytest.mark.parametrize("in_block", [False, True])
async def test_the_server_fails_after_some_rows(face: Face, pieces: list[int], in_block: bool) -> None:
    def parts(divisor: int) -> Any:
        # 4 KB of each row, so that rows leave the server before one cannot be had.
        text = dorm.functions.Repeat(F("name"), 1366)
        return Author.objects.annotate(text=text, part=dorm.Value(10) / (F("age") - divisor)).order_by()

    await in_pieces(face, parts(100), pieces)
    if in_block:
        async with face.atomic():
            with pytest.raises(dorm.exceptions.DataError, match="division by zero"):
                async with face.atomic():
                    await face.rows(parts(15))
            assert len(await face.rows(parts(100))) == 20
    else:
        with pytest.raises(dorm.exceptions.DataError, match="division by zero"):
            await face.rows(parts(15))
    assert pieces[0] == 15
    await check_it_goes_on(face)


@pytest.mark.parametrize("in_block", [False, True])
async def test_a_value_that_python_has_not(face: Face, pieces: list[int], in_block: bool) -> None:
    await face(Everything.objects.bulk_create)([Everything(integer=number) for number in range(20)])
    rows = Everything.objects.only("integer", "date").order_by("pk")
    await in_pieces(face, rows, pieces)
    await execute(face, f"UPDATE {Everything._meta.db_table} SET date = 'infinity' WHERE integer = 10")
    if in_block:
        async with face.atomic():
            with pytest.raises(dorm.exceptions.DataError, match="date too large"):
                await face.rows(rows.all())
            assert await face(rows.count)() == 20
    else:
        with pytest.raises(dorm.exceptions.DataError, match="date too large"):
            await face.rows(rows.all())
    assert pieces == []
    await check_it_goes_on(face)


async def test_a_value_that_python_has_not_in_a_whole_answer(face: Face) -> None:
    await face(Everything.objects.create)(integer=1)
    await execute(face, f"UPDATE {Everything._meta.db_table} SET date = 'infinity'")
    with pytest.raises(dorm.exceptions.DataError, match="date too large"):
        await face.rows(Everything.objects.all())
    await check_it_goes_on(face)


async def test_classes_with_a_say_may_ask_the_database(face: Face) -> None:
    """They load their rows once the answer was read: they ask on the same connection."""
    global asked
    await face(Watched.objects.bulk_create)([Watched(name=f"{number}") for number in range(20)])
    try:
        for _ in range(4):
            asked = None if face.is_async else []
            async with face.atomic():
                assert len(await face.rows(Watched.objects.all())) == 20
            assert asked == (None if face.is_async else [20] * 20)
    finally:
        asked = None


async def test_receivers_of_init_signals_may_too(face: Face, pieces: list[int]) -> None:
    seen: list[Any] = []

    def loaded(sender: Any, instance: Any, **told: Any) -> None:
        seen.append(face.is_async or Author.objects.count())

    authors = Author.objects.order_by("pk")
    await in_pieces(face, authors, pieces)
    dorm.signals.post_init.connect(loaded, sender=Author)
    try:
        async with face.atomic():
            assert len(await face.rows(authors.all())) == 20
    finally:
        dorm.signals.post_init.disconnect(loaded, sender=Author)
    assert seen == ([True] * 20 if face.is_async else [20] * 20)


async def test_hooks_see_rows(face: Face, pieces: list[int]) -> None:
    heard: list[Any] = []

    def listen(request: Any, proceed: Any) -> Any:
        reply = yield from proceed(request)
        heard.append(reply[0])
        return reply

    authors = Author.objects.order_by("name").only("name")
    await in_pieces(face, authors, pieces)
    remove = chain.install(listen)
    try:
        found = await face.rows(authors.all())
    finally:
        remove()
    assert heard == [(found[0].pk, "a00")]


def test_an_interrupt_while_rows_are_made_closes_the_connection(pieces: list[int]) -> None:
    def interrupt(rows: Any) -> Any:
        raise KeyboardInterrupt

    authors = Author.objects.order_by("pk")
    for _ in range(4):
        list(authors.all())
    database = connections["default"]
    compiled = next(each for key, each in authors._plan.derived.items() if key[0] == "rows")
    connection = database.sync_pool.acquire()
    with pytest.raises(KeyboardInterrupt):
        connection.query_in_pieces(compiled.statement(authors._values), interrupt)
    assert not connection.usable
    database.sync_pool.release(connection)
    assert len(list(authors.all())) == 20
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_stream_that_the_garbage_collector_finds_between_pieces(
    face: Face, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Making.__call__
    ended: list[int] = []

    def collecting(making: Making, rows: Any) -> Any:
        ended.append(gc.collect())
        return make(making, rows)

    async def leave_a_stream() -> None:
        authors = Author.objects.order_by("name")
        left: Any = authors.aiterator(chunk_size=2) if face.is_async else authors.iterator(chunk_size=2)
        await anext(left) if face.is_async else next(left)
        circle = [left]
        circle.append(circle)

    books = Book.objects.order_by("title")
    await in_pieces(face, books, pieces)
    monkeypatch.setattr(Making, "__call__", collecting)
    gc.collect()
    gc.disable()
    try:
        async with face.atomic():
            await leave_a_stream()
            found = await face.rows(books.all())
            assert [book.title for book in found] == [f"b{number:02}" for number in range(20)]
            assert pieces == [20]
            assert ended[0] > 0
            assert await face(Author.objects.count)() == 20
    finally:
        gc.enable()
    await check_it_goes_on(face)


def test_a_finalizer_between_pieces_does_not_wait_for_itself(
    pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Making.__call__
    told: list[str] = []

    def finalizing(making: Making, rows: Any) -> Any:
        for ask in (Author.objects.count, lambda: next(Author.objects.iterator())):
            with pytest.raises(dorm.TransactionManagementError, match="finalizer") as raised:
                ask()
            told.append(str(raised.value))
        return make(making, rows)

    books = Book.objects.order_by("title")
    for _ in range(4):
        list(books.all())
    pieces.clear()
    monkeypatch.setattr(Making, "__call__", finalizing)
    with dorm.transaction.atomic():
        assert [book.title for book in books.all()] == [f"b{number:02}" for number in range(20)]
        assert pieces == [20]
        assert len(told) == 14
        assert Author.objects.count() == 20
    assert dorm.pool_stats()["in_use"] == 0


async def test_a_task_that_is_cancelled_between_pieces(pieces: list[int], empty_database: dict[str, Any]) -> None:
    """The statement is cancelled on the server, and the connection serves the next one."""
    function = "CREATE FUNCTION slow(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT n FROM pg_sleep(n)'"
    await get_async_connection().execute(function)

    def rows(seconds: int) -> Any:
        # 4 KB of each row, so that rows leave the server before one takes its time.
        text = dorm.functions.Repeat(F("name"), 1366)
        wait = dorm.RawSQL("CASE WHEN age = 15 THEN slow(%s) ELSE 0 END", [seconds])
        return Author.objects.order_by().annotate(text=text, wait=wait).values_list("name", "text", "wait")

    for _ in range(4):
        await rows(0)
    assert pieces
    task = asyncio.ensure_future(_all(rows(30)))
    await _until_running(empty_database["URL"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Author.objects.acount() == 20
    assert dorm.pool_stats()["in_use"] == 0
    with pytest.raises(dorm.exceptions.OperationalError, match="deadline"), dorm.deadline(0.3):
        await rows(30)
    assert await Author.objects.acount() == 20


async def _all(rows: Any) -> Any:
    return await rows


async def _until_running(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        for _ in range(500):
            running = other.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchall()
            if running:
                return
            await asyncio.sleep(0.01)
    raise AssertionError("the statement never began")


async def test_queries_that_go_together_are_answered_whole(
    face: Face, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SessionState, "is_far", property(lambda self: True, lambda self, value: None), raising=False)
    authors = Author.objects.prefetch_related("books", "books__publisher").order_by("name")
    for _ in range(4):
        found = await face.rows(authors.all())
        assert [len(each.__dict__["_prefetched"]["books"]) for each in found] == [2] * 10 + [0] * 10


async def test_rows_are_given_to_their_owners_once_where_the_connection_is_lost(
    face: Face, pieces: list[int], empty_database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await face(Book.objects.bulk_create)(
        [
            Book(title=f"c{number:03}", author=author)
            for author in await face.rows(Author.objects.all())
            for number in range(30)
        ]
    )
    # 24 KB of each row: more than the sockets hold.
    rows = Book.objects.annotate(text=dorm.functions.Repeat(F("title"), 6000)).order_by("title")
    authors = Author.objects.prefetch_related(dorm.Prefetch("books", rows)).order_by("name")
    expected = [[book.title for book in author.books.all()] for author in await face.rows(authors.all())]
    for _ in range(50):
        if 620 not in pieces:
            await face.rows(authors.all())
    assert 620 in pieces
    make = Making.__call__
    sizes: list[int] = []

    def broken_off(self: Making, piece: Any) -> Any:
        made = make(self, piece)
        sizes.append(len(made))
        if sum(sizes) == 20 + 3:
            with psycopg.connect(empty_database["URL"], autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        return made

    monkeypatch.setattr(Making, "__call__", broken_off)
    found = await face.rows(authors.all())
    assert sum(sizes) >= 20 + 3 + 620
    assert [[book.title for book in author.books.all()] for author in found] == expected


async def test_an_answer_that_is_lost_after_some_pieces_leaves_nothing(
    face: Face, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement is sent again on another connection; what was made of the first rows is forgotten."""
    authors = Author.objects.prefetch_related("books").order_by("name")
    for _ in range(4):
        await face.rows(authors.all())
    read, lost = prepared._ShortWay._in_pieces, []

    def breaks(cursor: Any, take: Any) -> Iterator[Any]:
        answer = yield from read(cursor, take)
        if '"library_book"' in cursor._query_text and not lost:
            lost.append(cursor)
            cursor._pgconn.finish()
            raise psycopg.OperationalError("the connection was lost")
        return answer

    execute_gen = prepared._ShortWay._execute_gen

    def noted(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        cursor._query_text = query
        return execute_gen(cursor, query, params, **options)

    monkeypatch.setattr(prepared._ShortWay, "_in_pieces", breaks)
    monkeypatch.setattr(prepared._ShortWay, "_execute_gen", noted)
    found = await face.rows(authors.all())
    assert lost
    assert [len(each.__dict__["_prefetched"]["books"]) for each in found] == [2] * 10 + [0] * 10
