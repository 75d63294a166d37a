"""The allow-list: what passes, what doesn't, what people try."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.contrib import plan_drift, slow_explain, sql_allowlist as allowlist
from dorm.contrib.sql_allowlist import SQLNotAllowedError
from dorm.db.connection import get_async_connection, get_connection
from tests.contrib.models import Customer, Order
from tests.contrib.raw import raw, script
from tests.support.faces import Face


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    allowlist.uninstall()


pytestmark = pytest.mark.usefixtures("shop")


async def test_capture_curate_enforce(face: Face, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    allowlist.install([], raise_on_violation=False)
    for number in range(50):
        await face(Customer.objects.filter(id=number).exists)()
        await face(Order.objects.filter(id=number).exists)()
        await face(Order.objects.filter(id__in=list(range(number + 1))).count)()
    rejected = allowlist.rejected_templates()
    assert len(rejected) == 3
    assert caplog.text.count("rejected template") == 3
    assert allowlist.rejections()[rejected[0]]["count"] == 50
    path = tmp_path / "allowlist.json"
    assert allowlist.dump_captured(path) == str(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    document = json.loads(path.read_text())
    assert document["rejected"] == rejected
    assert document["allowed"] == []
    with pytest.raises(ValueError, match="empty"):
        allowlist.load_from_file(path)
    await face(Customer.objects.count)()
    document["allowed"] = rejected[:2]
    path.write_text(json.dumps(document))
    allowlist.uninstall()
    assert allowlist.load_from_file(path) == 2
    assert allowlist.allowed_templates() == sorted(rejected[:2])
    await face(Customer.objects.filter(id=1).exists)()
    await face(Order.objects.filter(id=1).exists)()
    with pytest.raises(SQLNotAllowedError) as caught:
        await face(Order.objects.filter(id__in=[1, 2, 3]).count)()
    assert caught.value.alias == "default"
    again = tmp_path / "again.json"
    allowlist.dump_captured(again)
    assert allowlist.load_from_file(again) == 2


async def test_the_same_shape_on_another_table_is_another_template(face: Face) -> None:
    await face(Customer.objects.create)(name="Ann")
    allowlist.install(['SELECT "name" FROM "contrib_tests_customer" WHERE "id" = %s'])
    assert await raw(face, 'SELECT "name" FROM "contrib_tests_customer" WHERE "id" = %s', 1) == [("Ann",)]
    with pytest.raises(SQLNotAllowedError):
        await raw(face, 'SELECT "name" FROM "contrib_tests_order" WHERE "id" = %s', 1)


async def test_transactions_and_what_dorm_sends_for_itself_pass(face: Face) -> None:
    insert = 'INSERT INTO "contrib_tests_customer" ("name", "email") VALUES (%s, %s)'
    allowlist.install([insert, 'SELECT COUNT(*) FROM "contrib_tests_customer"'], allow_ddl=False)
    async with face.atomic():
        await raw(face, insert, "Ann", "")
        async with face.atomic():
            with pytest.raises(SQLNotAllowedError):
                await raw(face, "DELETE FROM contrib_tests_customer")
            await raw(face, insert, "Bob", "")
    assert (await face(dorm.health_check)())["status"] == "ok"
    assert await raw(face, 'SELECT COUNT(*) FROM "contrib_tests_customer"') == [(2,)]


_BYPASSES = [
    "delete from contrib_tests_customer",
    "DELETE/**/FROM contrib_tests_customer",
    "DELETE -- x\n FROM contrib_tests_customer",
    "SELECT 1; DELETE FROM contrib_tests_customer",
    "SELECT 1 /* ; */; DELETE FROM contrib_tests_customer",
    "SELECT 1 /* /* */ ; DELETE FROM contrib_tests_customer -- */ */",
    "SELECT '\\'; DELETE FROM contrib_tests_customer; --'",
    "EXPLAIN ANALYZE DELETE FROM contrib_tests_customer",
    "EXPLAIN (ANALYZE) DELETE FROM contrib_tests_customer",
    "WITH d AS (DELETE FROM contrib_tests_customer RETURNING id) SELECT 1",
    'SELECT "name" FROM "contrib_tests_customer"',
    "SELECT\u00a01",
    "\uff33ELECT 1",
    "SET ROLE postgres",
    "SETTINGS",
    "COPY contrib_tests_customer TO PROGRAM 'id'",
    "DO $$ BEGIN DELETE FROM contrib_tests_customer; END $$",
    "CALL wipe()",
    "CREATE TABLE copied AS SELECT * FROM contrib_tests_customer",
    "CREATE TEMP TABLE copied AS WITH x AS (SELECT 1) SELECT * FROM x",
    "CREATE TABLE copied AS (SELECT * FROM contrib_tests_customer)",
    "create table copied as((select * from contrib_tests_customer))",
    "CREATE TABLE copied AS/**/SELECT * FROM contrib_tests_customer",
    "CREATE TABLE copied AS TABLE contrib_tests_customer",
    "CREATE TABLE IF NOT EXISTS copied (a) AS VALUES (1)",
    "CREATE MATERIALIZED VIEW copied AS SELECT * FROM contrib_tests_customer",
    "VACUUM INTO 'copied.db'",
    "SELECT name INTO copied FROM contrib_tests_customer",
    "SELECT 1 UNION SELECT name FROM contrib_tests_customer",
    "SELECT 1 FROM contrib_tests_customer",
    "(SELECT name FROM contrib_tests_customer)",
    "TABLE contrib_tests_customer",
    "VALUES ((SELECT name FROM contrib_tests_customer))",
    "SELECT 1\x00; DELETE FROM contrib_tests_customer",
    "SELECT\u20281",
    "SELECT '\u02bc' || name FROM contrib_tests_customer --\u02bc",
    "SELECT E'\\'' || name FROM contrib_tests_customer --'",
    "SELECT $a$ $b$ $a$ || name FROM contrib_tests_customer -- $b$",
    "PREPARE x AS DELETE FROM contrib_tests_customer",
    "EXECUTE x",
    "DECLARE c CURSOR FOR SELECT name FROM contrib_tests_customer",
    "LOCK TABLE contrib_tests_customer",
    "EXPLAIN EXPLAIN SELECT name FROM contrib_tests_customer",
    "EXPLAIN CREATE TABLE copied AS SELECT 1",
    "ATTACH DATABASE 'x.db' AS x",
    "BEGIN; DELETE FROM contrib_tests_customer; COMMIT",
    # A semicolon that ends a statement for the engine ends it for the list, whatever the names around it.
    "CREATE TABLE copied (begin int); DELETE FROM contrib_tests_customer",
    "CREATE INDEX begin ON contrib_tests_customer (name); DELETE FROM contrib_tests_customer",
    'CREATE TABLE copied (a int, "case" int, begin int); DELETE FROM contrib_tests_customer; DROP TABLE copied',
    "CREATE TRIGGER begin AFTER INSERT ON contrib_tests_customer BEGIN SELECT 1; END; "
    "DELETE FROM contrib_tests_customer; DROP TABLE end",
    "CREATE TRIGGER x AFTER INSERT ON contrib_tests_customer EXECUTE FUNCTION f(); "
    "DELETE FROM contrib_tests_customer; END; DELETE FROM contrib_tests_order",
    "CREATE FUNCTION begin(atomic int) RETURNS int LANGUAGE sql AS 'SELECT 1'; DELETE FROM contrib_tests_customer; END",
    "CREATE FUNCTION f(begin atomic) RETURNS int LANGUAGE sql AS 'SELECT 1'; DELETE FROM contrib_tests_customer; END",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END; DELETE FROM contrib_tests_customer",
    "SELECT 'unterminated",
    "SELECT $$; DELETE FROM contrib_tests_customer; $$ || (SELECT name FROM contrib_tests_customer)",
    'SELECT U&"n\\0061me" FROM contrib_tests_customer',
    "PRAGMA writable_schema = 1",
    # What dorm sends around a block passes, the same text of somebody else's does not.
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT x",
    "RELEASE SAVEPOINT x",
    "ROLLBACK TO SAVEPOINT x",
    "SET TRANSACTION READ ONLY",
    "COMMIT/**/;/**/SELECT 1",
    # Beside what is listed: locks, limits, samples, other rows.
    "SELECT 1 FOR UPDATE",
    "SELECT 1 LIMIT (SELECT id FROM contrib_tests_customer)",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM contrib_tests_customer)",
    "SELECT count(*) FROM only contrib_tests_customer",
    "SELECT count(*) FROM contrib_tests_customer, contrib_tests_order",
    "SELECT count(*) FROM main.contrib_tests_customer",
    "SELECT COUNT(*) FROM contrib_tests_customer TABLESAMPLE SYSTEM (1)",
    "SELECT -\n-1; DELETE FROM contrib_tests_customer",
    "SELECT 1;;;DELETE FROM contrib_tests_customer",
    "\ufeffDELETE FROM contrib_tests_customer",
    "SELECT 1\x1a",
    "DROP TABLE IF EXISTS nothing /*! ; DELETE FROM contrib_tests_customer */",
]


@pytest.mark.parametrize("sql", _BYPASSES)
async def test_bypass_attempts_are_refused(face: Face, sql: str) -> None:
    await face(Customer.objects.create)(name="kept")
    allowlist.install(["SELECT 1", "SELECT COUNT(*) FROM contrib_tests_customer"], allow_ddl=True)
    with pytest.raises(SQLNotAllowedError):
        await raw(face, sql)
    with pytest.raises(SQLNotAllowedError):
        await script(face, sql)
    assert await raw(face, "select count(*) from contrib_tests_customer") == [(1,)]
    assert await raw(face, "/* hi */ SELECT   42 -- x") == [(42,)]


@pytest.mark.parametrize(
    ("backend", "listed", "tried"),
    [
        # Engines fold ASCII alone; Python's lower case of the Kelvin sign is a k.
        *[
            (backend, "SELECT a FROM \u00c9", f"SELECT a FROM {name}")
            for backend in ("postgresql", "sqlite")
            for name in ("\u00e9", '"\u00e9"')
        ],
        *[
            (backend, "SELECT 1 AS k, a FROM \u00c9", "SELECT 1 AS \u212a, a FROM \u00c9")
            for backend in ("postgresql", "sqlite")
        ],
        ("postgresql", "SELECT true FROM \u00c9", "SELECT fal\u017fe FROM \u00c9"),
        ("postgresql", "SELECT (ARRAY[7, 8])[1] FROM \u00c9", "SELECT (ARRAY[7, 8])[:a] FROM \u00c9"),
        # The second part of an E'' string has backslashes, too: what follows is no string any more.
        ("postgresql", "SELECT 'a'\n'b'", "SELECT E'x'\n'\\'', (SELECT max(a) FROM \u00c9) --'"),
        ("postgresql", "SELECT U&\"!0061\" UESCAPE '!' FROM \u00c9", "SELECT U&\"!0061\" UESCAPE '#' FROM \u00c9"),
        ("postgresql", "SELECT 1", "COMMENT ON TABLE \u00c9 IS $\U0001f600$ ' $\U0001f600$; DELETE FROM \u00c9; --'"),
        ("postgresql", "SELECT 1", "SELECT 1 --\r; DELETE FROM \u00c9"),
        ("postgresql", "SELECT 1", "SELECT 1 --\r, a FROM \u00c9"),
        # SQLite's comment goes on behind a carriage return, and its strings may be names.
        ("sqlite", "SELECT a FROM \u00c9 WHERE a = 1", "SELECT a FROM \u00c9 --\r WHERE a = 1"),
        ("sqlite", "SELECT a FROM '\u00c9'", "SELECT a FROM '\u00e9'"),
        ("sqlite", "SELECT t.'a' FROM \u00c9 t", "SELECT t.'b' FROM \u00c9 t"),
        ("sqlite", "INSERT INTO '\u00e9' (a) VALUES (1)", "INSERT INTO '\u00c9' (a) VALUES (1)"),
        ("sqlite", "SELECT true FROM \u00c9", "SELECT \u00c9.true FROM \u00c9"),
    ],
)
async def test_what_only_looks_like_a_listed_statement_is_refused(face: Face, listed: str, tried: str) -> None:
    await script(face, 'CREATE TABLE "\u00c9" (a int, b int); CREATE TABLE "\u00e9" (a int, b int)')
    await script(face, 'INSERT INTO "\u00c9" VALUES (1, 2); INSERT INTO "\u00e9" VALUES (3, 4)')
    try:
        allowlist.install([listed])
        await raw(face, listed)
        for send in (raw, script):
            with pytest.raises(SQLNotAllowedError):
                await send(face, tried)
        allowlist.uninstall()
        assert await raw(face, 'SELECT a, b FROM "\u00c9"') == [(1, 2)]
    finally:
        await script(face, 'DROP TABLE "\u00c9"; DROP TABLE "\u00e9"')


async def test_ddl_by_its_kind(face: Face) -> None:
    allowlist.install(["SELECT 1"])
    await script(face, "CREATE TABLE extra (a int); DROP TABLE extra")
    allowlist.install(["SELECT 1"], allow_ddl=False)
    with pytest.raises(SQLNotAllowedError):
        await script(face, "DROP TABLE contrib_tests_order")
    allowlist.uninstall()
    assert await face(Order.objects.count)() == 0


@pytest.mark.parametrize(
    ("sql", "vendor", "expected"),
    [
        ("CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) STORED, CHECK (a IN (1, 2)))", "postgresql", True),
        ("CREATE TABLE t PARTITION OF p FOR VALUES FROM (1) TO (2)", "postgresql", True),
        ("CREATE TABLE t PARTITION OF p FOR VALUES IN ('a')", "postgresql", True),
        ('CREATE TABLE "select" ("select" int, "as" int, "values" int) WITHOUT ROWID', "sqlite", True),
        ("CREATE TABLE t (LIKE u INCLUDING ALL) WITH (fillfactor = 70)", "postgresql", True),
        ("CREATE TABLE t (a INT) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (3))", "mysql", True),
        ("CREATE VIRTUAL TABLE t USING fts5(a)", "sqlite", True),
        ("CREATE UNIQUE INDEX i ON t (a) WHERE a > 3", "postgresql", True),
        ("CREATE VIEW v AS SELECT 1", "postgresql", True),
        ("VACUUM t", "postgresql", True),
        ("ANALYZE", "sqlite", True),
        ("ANALYZE (VERBOSE) t", "postgresql", True),
        ("ANALYZE TABLE t", "mysql", True),
        ("ANALYZE (SELECT * FROM u)", "mysql", False),
        ("ANALYZE FORMAT=JSON DELETE FROM u", "mysql", False),
        ("ANALYZE WITH x AS (TABLE u) UPDATE t, x SET t.a = x.a", "mysql", False),
        ("CREATE TABLE t (TABLE u)", "mysql", False),
        ("CREATE TABLE t /*!50000 SELECT * FROM u */", "mysql", False),
        ("DROP TABLE t /*M! ; DELETE FROM u */", "mysql", False),
        ("CREATE TABLE t SELECT * FROM u", "mysql", False),
        ("CREATE TABLE t IGNORE SELECT * FROM u", "mysql", False),
        ("CREATE TABLE t (a INT) TABLE u", "mysql", False),
        ("CREATE TABLE t VALUES ROW(1)", "mysql", False),
        ("CREATE OR REPLACE TABLE t AS FROM u", "duckdb", False),
        ("CREATE TEMP TABLE t ON COMMIT DROP AS EXECUTE x", "postgresql", False),
        ("CREATE UNLOGGED TABLE a.b (x) WITH (fillfactor = 70) AS (TABLE u)", "postgresql", False),
    ],
)
def test_ddl_that_takes_rows_from_somewhere_is_none(sql: str, vendor: str, expected: bool) -> None:
    assert allowlist.is_ddl(allowlist.normalize(sql, vendor), vendor) is expected


async def test_streaming_passes_the_gate(face: Face) -> None:
    allowlist.install(["SELECT 1"])
    with pytest.raises(SQLNotAllowedError):
        await face.stream(Customer.objects.all())


async def test_one_alias_only(face: Face) -> None:
    dorm.configure(DATABASES={**dorm.settings.DATABASES, "other": "sqlite://"})
    allowlist.install(["SELECT 1"], using=["other"])
    assert await face(Customer.objects.count)() == 0
    with pytest.raises(SQLNotAllowedError, match="allow-list of 'other'"):
        await raw(face, "SELECT 2 AS a", using="other")
    for using in (["default"], "default"):
        allowlist.install(["SELECT 1"], using=using)
        assert await raw(face, "SELECT 2 AS a", using="other") == [(2,)]
        with pytest.raises(SQLNotAllowedError):
            await face(Customer.objects.count)()
    with pytest.raises(dorm.ImproperlyConfigured, match="defualt"):
        allowlist.install(["SELECT 1"], using=["defualt"])
    with pytest.raises(SQLNotAllowedError):
        await face(Customer.objects.count)()


async def test_what_only_another_engine_can_read_is_never_allowed(face: Face, backend: str, tmp_path: Path) -> None:
    dorm.configure(DATABASES={**dorm.settings.DATABASES, "other": "sqlite://"})
    readable_on_sqlite = "SELECT 1 /* /* */"
    allowlist.install([readable_on_sqlite])
    assert await raw(face, readable_on_sqlite, using="other") == [(1,)]
    assert not [each for each in allowlist.allowed_templates() if each.startswith("<unparsable>")]
    if backend == "postgresql":
        with pytest.raises(SQLNotAllowedError, match="<unparsable>"):
            await raw(face, readable_on_sqlite)
        assert allowlist.rejected_templates()[0].startswith("<unparsable> SELECT #")
        with pytest.raises(ValueError, match=r"templates\[0\] cannot be read"):
            allowlist.install(allowlist.rejected_templates())


def test_reinstalling_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    allowlist.install([])
    assert "is empty" in caplog.text
    allowlist.install(["SELECT 1"])
    allowlist.uninstall()
    allowlist.uninstall()
    assert allowlist.allowed_templates() == allowlist.rejected_templates() == []
    assert not allowlist.is_installed()
    assert Customer.objects.count() == 0


def test_swapping_lists_never_refuses_what_both_allow() -> None:
    one = 'SELECT COUNT(*) FROM "contrib_tests_customer"'
    allowlist.install([one])
    failed: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                Customer.objects.count()
            except BaseException as exc:
                failed.append(exc)
                return

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(200):
        allowlist.install([one, f"SELECT {'a' * (number % 7 + 1)}"])
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []


@pytest.mark.parametrize(
    ("templates", "error", "match"),
    [
        ("SELECT 1", TypeError, "templates"),
        (b"SELECT 1", TypeError, "templates"),
        (None, TypeError, "templates"),
        (7, TypeError, "templates"),
        (["SELECT 1", 2], TypeError, r"templates\[1\]"),
        (["SELECT 'x"], ValueError, r"templates\[0\]"),
    ],
)
def test_wrong_lists_are_refused(templates: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        allowlist.install(templates)
    assert not allowlist.is_installed()


def test_wrong_files_leave_the_list_in_force(tmp_path: Path) -> None:
    allowlist.install(["SELECT 1"])
    path = tmp_path / "list.json"
    with pytest.raises(FileNotFoundError):
        allowlist.load_from_file(path)
    for text, error, match in [
        ("{", ValueError, "no JSON"),
        ("[]", ValueError, "instead of an object"),
        ('{"rejected": []}', ValueError, "'allowed'.*'rejected'"),
        ('{"allowed": [1]}', TypeError, r"allowed\[0\]"),
        ('{"allowed": ["SELECT 1"], "normalizer": 99}', ValueError, "another version"),
    ]:
        path.write_text(text)
        with pytest.raises(error, match=match):
            allowlist.load_from_file(path)
    assert allowlist.allowed_templates() == ["SELECT ?"]
    with pytest.raises(OSError):
        allowlist.dump_captured(tmp_path / "nowhere" / "list.json")
    path.write_text('{"allowed": [], "rejected": ["SELECT 2"]}')
    assert allowlist.load_from_file(path, field="rejected") == 1


def test_dumps_of_several_workers_are_merged(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        allowlist.install([], raise_on_violation=False)
        Customer.objects.count()
        if name == "b":
            Order.objects.count()
        paths.append(allowlist.dump_captured(tmp_path / f"{name}.json"))
    merged = json.loads(Path(allowlist.merge(paths, tmp_path / "all.json")).read_text())
    assert len(merged["rejected"]) == 2
    assert sorted(each["count"] for each in merged["stats"].values()) == [1, 2]


def test_without_sqlglot_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['sqlglot'] = None\nfrom dorm.contrib import sql_allowlist\nsql_allowlist.install([])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "dormdb[sql]" in found.stderr


async def test_every_way_of_sending_passes_the_gate(face: Face, backend: str) -> None:
    """One list with nothing on it: whatever is called, nothing reaches the database."""
    await face(Customer.objects.create)(name="kept")
    wrapper: Any = get_async_connection() if face.is_async else get_connection()
    table = "contrib_tests_customer"
    insert = f"INSERT INTO {table} (name, email) VALUES (%s, %s)"
    calls: list[Callable[[], Any]] = [
        lambda: wrapper.execute(f"SELECT name FROM {table}"),
        lambda: wrapper.execute_write(f"DELETE FROM {table}"),
        lambda: wrapper.execute_insert(insert, ["a", ""]),
        lambda: wrapper.execute_bulk_insert(insert, [["a", ""], ["b", ""]]),
        lambda: wrapper.execute_script(f"DELETE FROM {table}; DELETE FROM {table}"),
    ]
    if backend == "postgresql":
        calls.append(lambda: wrapper.copy_from(table, ["name", "email"], [("a", "")]))
        calls.append(lambda: wrapper.copy_from(table, ["name", "email"], [("a", "")], binary=True))
        calls.append(lambda: wrapper.notify("orders", "x"))
    models: list[Any] = [
        (Customer.objects.create, {"name": "a"}),
        (Customer.objects.bulk_create, {"objs": [Customer(name="a"), Customer(name="b")]}),
        (Customer.objects.all().delete, {}),
        (Customer.objects.all().update, {"name": "a"}),
        (Customer.objects.count, {}),
        (Customer.objects.get_or_create, {"name": "a"}),
        (Customer.objects.update_or_create, {"name": "a"}),
        (Customer.objects.in_bulk, {}),
        (Customer.objects.explain, {}),
        (Customer.objects.exists, {}),
        (Customer.objects.aggregate, {"n": dorm.Count("id")}),
    ]
    allowlist.install([], allow_ddl=False)
    try:
        for call in calls:
            with pytest.raises(SQLNotAllowedError):
                found = call()
                _ = await found if inspect.isawaitable(found) else found
        for method, arguments in models:
            with pytest.raises(SQLNotAllowedError):
                await face(method)(**arguments)
        streams: list[Callable[[], Any]] = [lambda: wrapper.execute_streaming(f"SELECT name FROM {table}")]
        if backend == "postgresql":
            streams.append(lambda: wrapper.copy_to(f"SELECT name FROM {table}"))
            streams.append(lambda: wrapper.copy_to(f"SELECT name FROM {table} WHERE id = %s", [1], binary=True))
            streams.append(lambda: wrapper.listen("orders"))
        for opened in streams:
            with pytest.raises(SQLNotAllowedError):
                _ = [row async for row in opened()] if face.is_async else list(opened())
        with pytest.raises(SQLNotAllowedError):
            await face.stream(Customer.objects.all())
        with pytest.raises(SQLNotAllowedError):
            await face.rows(Customer.objects.raw(f"SELECT * FROM {table}"))
        async with face.atomic():
            with pytest.raises(SQLNotAllowedError):
                await face(Customer.objects.count)()
            async with face.atomic():
                pass
        assert (await face(dorm.health_check)())["status"] == "ok"
    finally:
        allowlist.uninstall()
    assert await face(Customer.objects.count)() == 1


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_copy_passes_as_the_statement_it_is(face: Face) -> None:
    """COPY out of a query is judged by the query, COPY into a table by the table and its columns."""
    wrapper: Any = get_async_connection() if face.is_async else get_connection()
    table = "contrib_tests_customer"

    async def copied_in(*columns: str) -> int:
        found = wrapper.copy_from(table, columns, [["a"] * len(columns), ["b"] * len(columns)])
        return int(await found) if inspect.isawaitable(found) else int(found)

    async def copied_out(sql: str, *params: Any) -> list[Any]:
        rows = wrapper.copy_to(sql, params)
        return [row["name"] async for row in rows] if face.is_async else [row["name"] for row in rows]

    allowlist.install([], raise_on_violation=False)
    assert await copied_in("name", "email") == 2
    assert await copied_out(f"SELECT name FROM {table} WHERE name = %s", "a") == ["a"]
    captured = allowlist.rejected_templates()
    assert captured == [
        f'COPY "{table}"("name", "email") FROM stdin',
        f"SELECT name FROM {table} WHERE name = ?",
    ]
    allowlist.install(captured, allow_ddl=False)
    assert await copied_in("name", "email") == 2
    assert await copied_out(f"SELECT name FROM {table} WHERE name = %s", "b") == ["b", "b"]
    with pytest.raises(SQLNotAllowedError):
        await copied_in("name")
    for sql in (
        f"SELECT email AS name FROM {table} WHERE name = %s",
        f"SELECT name FROM {table} WHERE name = %s) TO PROGRAM 'id' --",
        f"SELECT name FROM {table} WHERE name = %s) TO STDOUT; DELETE FROM {table} --",
        f"DELETE FROM {table} WHERE name = %s RETURNING name",
    ):
        with pytest.raises(SQLNotAllowedError):
            await copied_out(sql, "a")
    allowlist.uninstall()
    assert await face(Customer.objects.count)() == 4


async def test_lists_of_any_length_are_one_template(face: Face) -> None:
    allowlist.install([], raise_on_violation=False)
    for number in (1, 2, 7, 100):
        marks = ", ".join(["1"] * number)
        await raw(face, f"SELECT name FROM contrib_tests_customer WHERE id IN ({marks})")
    assert allowlist.rejected_templates() == ["SELECT name FROM contrib_tests_customer WHERE id IN(?)"]
    assert allowlist.rejections()["SELECT name FROM contrib_tests_customer WHERE id IN(?)"]["count"] == 4


def test_what_is_rejected_is_kept_within_bounds() -> None:
    allowlist.install([], raise_on_violation=False)
    policy = allowlist._state.policy
    assert policy is not None
    for number in range(allowlist.MOST_REJECTED + 100):
        policy.reject(f"SELECT a{number}")
    for _ in range(1000):
        policy.reject("SELECT a0")
    found = allowlist.rejections()
    assert len(found) == allowlist.MOST_REJECTED + 1
    assert found[allowlist.OVERFLOW]["count"] == 100
    assert found["SELECT a0"]["count"] == 1001


def test_a_dump_that_fails_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.json"
    allowlist.install(["SELECT 1"])
    allowlist.dump_captured(path)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    allowlist.install(["SELECT a FROM b"])

    def full(handle: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        allowlist.dump_captured(path)
    assert path.read_text() == before
    assert [each.name for each in tmp_path.iterdir() if "list" in each.name] == ["list.json"], (
        "nothing half-written is left"
    )


def test_a_list_is_the_same_after_a_file_and_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    allowlist.install(["select  a from B where c in (1,2) -- x", 'SELECT "A"."x" FROM "A" WHERE "A"."y" = %s'])
    before = allowlist.allowed_templates()
    allowlist.dump_captured(path)
    allowlist.uninstall()
    assert allowlist.load_from_file(path) == 2
    assert allowlist.allowed_templates() == before
    code = f"""
import dorm
dorm.configure(DATABASES={{"default": "{"sqlite://" if dorm.connections["default"].vendor == "sqlite" else "postgresql://h/x"}"}})
from dorm.contrib import sql_allowlist
sql_allowlist.load_from_file({str(path)!r})
print(sql_allowlist.allowed_templates() == {before!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True"


async def test_the_error_names_template_and_alias_and_no_values(face: Face) -> None:
    allowlist.install(["SELECT 1"])
    columns = ", ".join(f"name AS column_{number}" for number in range(100))
    with pytest.raises(dorm.DatabaseError) as caught:
        await raw(face, f"SELECT {columns} FROM contrib_tests_customer WHERE name = 'Zaphod' AND id = %s", 42424242)
    error = caught.value
    assert isinstance(error, SQLNotAllowedError)
    assert (error.alias, "'default'" in str(error)) == ("default", True)
    assert error.template.startswith("SELECT name AS column_0")
    assert len(str(error)) < 500 + 200
    assert "Zaphod" not in f"{error} {error.template}"
    assert "42424242" not in f"{error} {error.template}"


async def test_raw_and_normal_templates_are_the_same(face: Face) -> None:
    texts = ["select name  from contrib_tests_customer where id in (1,2, 3) -- all", "SELECT ?"]
    allowlist.install(each for each in texts)
    normal = allowlist.allowed_templates()
    assert normal == sorted(["SELECT name FROM contrib_tests_customer WHERE id IN(?)", "SELECT ?"])
    allowlist.install(normal)
    assert allowlist.allowed_templates() == normal
    assert await raw(face, "SELECT name FROM contrib_tests_customer WHERE id IN (%s)", 9) == []


async def test_what_dorms_own_modules_send_passes(face: Face) -> None:
    count = 'SELECT COUNT(*) FROM "contrib_tests_customer"'
    plan_drift.reset()
    allowlist.install([count], allow_ddl=False)
    dorm.configure(SLOW_QUERY_MS=0, SLOW_QUERY_EXPLAIN=True)
    before = len(slow_explain.recent_plans())
    assert await face(Customer.objects.count)() == 0
    assert len(slow_explain.recent_plans()) in (before + 1, slow_explain.MOST_PLANS)
    await face(plan_drift.record_baseline)("count", count)
    assert not (await face(plan_drift.compare)("count", count)).drifted
    wrapper: Any = get_async_connection() if face.is_async else get_connection()
    found = wrapper.table_exists("contrib_tests_customer"), wrapper.get_table_columns("contrib_tests_customer")
    exists, columns = [await each for each in found] if face.is_async else found
    assert exists
    assert [each["name"] for each in columns] == ["id", "name", "email", "phone"]
    assert allowlist.rejected_templates() == []
    plan_drift.reset()


def test_threads_and_tasks_have_the_same_list() -> None:
    allowlist.install(['SELECT COUNT(*) FROM "contrib_tests_customer"'])
    refused: list[str] = []

    def work() -> None:
        assert Customer.objects.count() == 0
        try:
            Order.objects.count()
        except SQLNotAllowedError as exc:
            refused.append(exc.template)

    async def awork() -> None:
        assert await Customer.objects.acount() == 0
        try:
            await Order.objects.acount()
        except SQLNotAllowedError as exc:
            refused.append(exc.template)

    async def main() -> None:
        await asyncio.gather(*(awork() for _ in range(8)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    asyncio.run(main())
    assert refused == ['SELECT count(*) FROM "contrib_tests_order"'] * 16
    assert [each["count"] for each in allowlist.rejections().values()] == [16]


def test_a_list_of_another_engine_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"allowed": ["SELECT ?"], "dialect": "mysql"}))
    assert allowlist.load_from_file(path) == 1
    assert f"{path} was captured on mysql, and no database here is" in caplog.text
    caplog.clear()
    path.write_text(json.dumps({"allowed": ["SELECT ?"], "dialect": dorm.connections["default"].vendor, "mine": 1}))
    assert allowlist.load_from_file(path) == 1
    assert caplog.text == ""


def test_a_dump_of_nothing_is_two_empty_lists(tmp_path: Path) -> None:
    path = allowlist.dump_captured(tmp_path / "list.json")
    text = Path(path).read_text()
    document = json.loads(text)
    assert (document["allowed"], document["rejected"], document["version"]) == ([], [], 1)
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    shorter = allowlist.dump_captured(tmp_path / "shorter.json", include_allowed=False)
    assert "allowed" not in json.loads(Path(shorter).read_text())
    with pytest.raises(ValueError, match="allow_empty=True"):
        allowlist.load_from_file(path)
    assert allowlist.load_from_file(path, allow_empty=True) == 0
    assert allowlist.load_from_file(path, raise_on_violation=False) == 0
