"""The chain around statements: gates, hooks, observers, signals, the log of statements."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm.db import hooks
from dorm.db.connection import get_async_connection, get_connection
from dorm.db.operation import Operation, arun, run
from dorm.db.perform import perform
from dorm.db.request import Query, StatementRequest
from dorm.db.statement import Statement, Template
from dorm.exceptions import DatabaseError
from dorm.signals import post_query, pre_query
from tests.support.faces import Face
from tests.support.models import Author

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def clean_chain() -> Iterator[None]:
    yield
    assert not hooks.chain.active, "a test left something in the chain"


class Refused(DatabaseError):
    """What the gate of a test raises."""


async def test_an_observer_is_told_what_became_of_a_statement(face: Face) -> None:
    seen: list[hooks.Observation] = []
    uninstall = hooks.install_observer(seen.append)
    try:
        await face(Author.objects.create)(name="Ann")
        await face(Author.objects.count)()
        with pytest.raises(dorm.DatabaseError):
            await _broken(face)
    finally:
        uninstall()
        uninstall()
    await face(Author.objects.count)()
    assert [each.sql.split()[0] for each in seen] == ["INSERT", "SELECT", "SELECT"]
    assert [each.error is None for each in seen] == [True, True, False]
    assert all(each.alias == "default" and each.elapsed > 0 for each in seen)
    assert seen[1].rows == 1


async def _broken(face: Face) -> None:
    request = Query(dorm.connections["default"], Statement(Template("SELECT nothing FROM nowhere")))
    if face.is_async:
        await arun(perform(request))
    else:
        run(perform(request))


async def test_a_gate_refuses_before_anything_is_sent(face: Face) -> None:
    await face(Author.objects.create)(name="Ann")

    def gate(request: StatementRequest[Any]) -> None:
        if request.statement.sql.startswith("DELETE"):
            raise Refused("no deletes")

    uninstall = hooks.install_gate(gate)
    try:
        async with face.atomic():
            with pytest.raises(Refused):
                await face(Author.objects.filter(name="Ann").delete)()
            await face(Author.objects.create)(name="Bob")
        assert await face(Author.objects.count)() == 2
    finally:
        uninstall()


async def test_a_gate_judges_streaming_before_a_connection_is_taken(face: Face) -> None:
    taken = hooks.install_gate(lambda request: (_ for _ in ()).throw(Refused("nothing")))
    try:
        with pytest.raises(Refused):
            await face.stream(Author.objects.all())
        assert dorm.pool_stats()["in_use"] == 0
    finally:
        taken()


async def test_hooks_nest_and_may_change_and_repeat(face: Face) -> None:
    order: list[str] = []

    def outer(request: StatementRequest[Any], proceed: hooks.Proceed) -> Operation[Any]:
        order.append("outer")
        reply = yield from proceed(request)
        order.append("outer again")
        return reply

    def twice(request: StatementRequest[Any], proceed: hooks.Proceed) -> Operation[Any]:
        order.append("inner")
        yield from proceed(request)
        return (yield from proceed(request))

    ends = [hooks.install(outer), hooks.install(twice)]
    seen: list[hooks.Observation] = []
    ends.append(hooks.install_observer(seen.append))
    try:
        assert await face(Author.objects.count)() == 0
    finally:
        for end in ends:
            end()
    assert order == ["outer", "inner", "outer again"]
    assert len(seen) == 2


async def test_one_alias_and_internal_statements(face: Face) -> None:
    seen: list[str] = []
    ends = [
        hooks.install_observer(lambda each: seen.append("other"), alias="other"),
        hooks.install_observer(lambda each: seen.append("internal too"), internal=True),
        hooks.install_observer(lambda each: seen.append("default"), alias="default"),
    ]
    try:
        await face(dorm.health_check)()
        assert seen == ["internal too"]
        await face(Author.objects.count)()
        assert seen == ["internal too", "internal too", "default"]
    finally:
        for end in ends:
            end()


async def test_every_way_of_sending_is_observed(face: Face, backend: str) -> None:
    """Transaction control as ``control``, everything else as a statement: scripts, streams and COPY too."""
    seen: list[hooks.Observation] = []
    wrapper: Any = get_async_connection() if face.is_async else get_connection()

    async def done(found: Any) -> Any:
        return await found if inspect.isawaitable(found) else found

    uninstall = hooks.install_observer(seen.append, internal=True)
    try:
        async with face.atomic():
            await face(Author.objects.count)()
            with pytest.raises(ZeroDivisionError):
                async with face.atomic():
                    await face(Author.objects.exists)()
                    raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError):
            async with face.atomic():
                await face(Author.objects.exists)()
                raise ZeroDivisionError
        control = [each.sql.partition(" ")[0].upper() for each in seen if each.kind == "control"]
        assert [each for each in control if each != "RELEASE"] == [
            "BEGIN", "SAVEPOINT", "ROLLBACK", "COMMIT", "BEGIN", "ROLLBACK",
        ]  # fmt: skip
        assert all(each.alias == "default" and each.vendor == wrapper.vendor for each in seen)
        del seen[:]
        await done(wrapper.execute_script("CREATE TABLE observed (a int); INSERT INTO observed VALUES (1)"))
        await done(wrapper.execute_write("UPDATE observed SET a = %s", [2]))
        await done(wrapper.execute_bulk_insert("INSERT INTO observed (a) VALUES (%s), (%s)", [1, 2], "a"))
        stream = wrapper.execute_streaming("SELECT a FROM observed")
        assert len([row async for row in stream] if face.is_async else list(stream)) == 3
        if backend == "postgresql":
            assert await done(wrapper.copy_from("observed", ["a"], [[7]])) == 1
            copied = wrapper.copy_to("SELECT a FROM observed")
            assert len([row async for row in copied] if face.is_async else list(copied)) == 4
        await done(wrapper.execute_script("DROP TABLE observed"))
        words = [each.sql.split()[0] for each in seen if each.kind == "statement"]
        copies = ["COPY", "SELECT"] if backend == "postgresql" else []
        assert words == ["CREATE", "UPDATE", "INSERT", "SELECT", *copies, "DROP"]
        assert all(each.error is None and each.elapsed >= 0 for each in seen)
    finally:
        uninstall()


async def test_what_an_observer_raises_is_logged(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    def broken(observation: hooks.Observation) -> None:
        raise ValueError("observer")

    uninstall = hooks.install_observer(broken)
    try:
        assert await face(Author.objects.count)() == 0
    finally:
        uninstall()
    assert "broken raised" in caplog.text


def test_only_callables_are_installed() -> None:
    with pytest.raises(TypeError, match="gate"):
        hooks.install_gate("x")  # type: ignore[arg-type]


async def test_signals_are_sent_around_a_statement_and_awaited_in_async_code(face: Face) -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    def before(sender: str, **kwargs: Any) -> None:
        told.append(("before", {"sender": sender, **kwargs}))

    async def after(sender: str, **kwargs: Any) -> None:
        told.append(("after", {"sender": sender, **kwargs}))

    def after_sync(sender: str, **kwargs: Any) -> None:
        told.append(("after sync", kwargs))

    pre_query.connect(before)
    post_query.connect(after)
    post_query.connect(after_sync)
    try:
        await face(Author.objects.filter(name="x").count)()
        with pytest.raises(dorm.DatabaseError):
            await _broken(face)
    finally:
        assert pre_query.disconnect(before)
        assert post_query.disconnect(after)
        assert post_query.disconnect(after_sync)
    names = [name for name, _ in told]
    expected = ["before", "after", "after sync"] if face.is_async else ["before", "after sync"]
    assert names == expected * 2
    assert told[0][1]["params"] == ("x",)
    assert told[0][1]["alias"] == "default"
    assert told[-1][1]["error"].statement == "SELECT nothing FROM nowhere"
    assert told[-1][1]["elapsed_ms"] > 0


async def test_statements_are_logged_with_secrets_masked(
    face: Face, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    vendor = dorm.connections["default"].vendor
    with caplog.at_level(logging.DEBUG, logger=f"dorm.db.backends.{vendor}"):
        await face(Author.objects.filter(name="Ann").count)()
        assert "params ('Ann',)" in caplog.text
        handle: Any = get_async_connection() if face.is_async else get_connection()
        sql = 'SELECT name FROM (SELECT 1 AS name, 2 AS "{0}") t WHERE name = %s AND "{0}" = %s'
        for column in (
            "password", "Old_Passwd", "client_secret", "token_hash", "api_key", "apikey", "authorization", "auth_token",
            "access_key", "private_key",
        ):  # fmt: skip
            found: Any = handle.execute(sql.format(column), [41, 4242])
            _ = await found if face.is_async else found
            assert "4242" not in caplog.messages[-1], column
            assert "***" in caplog.messages[-1]


async def test_errors_about_quotes_show_no_values(face: Face) -> None:
    request = Query(dorm.connections["default"], Statement(Template("SELECT 'hunter2")))
    with pytest.raises(DatabaseError, match=r"unterminated|unrecognized token") as caught:
        _ = await arun(perform(request)) if face.is_async else run(perform(request))
    assert "hunter2" not in str(caught.value)


async def test_slow_statements_are_logged_without_values(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    dorm.configure(SLOW_QUERY_MS=0)
    try:
        await face(Author.objects.filter(name="Ann").count)()
        assert "slow query" in caplog.text
        assert "Ann" not in caplog.text
        await face(Author.objects.filter(name="Ann")[:7].exists)()
        assert "LIMIT 1" in caplog.messages[-1], "numbers that dorm wrote are no values"
        request = Query(dorm.connections["default"], Statement(Template("SELECT 'Ann', 41424344 AS n")))
        _ = await arun(perform(request)) if face.is_async else run(perform(request))
        assert caplog.messages[-1].endswith("SELECT ?, ? AS n"), "values that stand in the text"
        caplog.clear()
        dorm.configure(SLOW_QUERY_MS=None)
        await face(Author.objects.count)()
        assert "slow query" not in caplog.text
    finally:
        dorm.configure(SLOW_QUERY_MS=500.0)
