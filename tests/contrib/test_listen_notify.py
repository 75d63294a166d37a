"""LISTEN and NOTIFY on a real PostgreSQL: order, slow subscribers, lost sessions, transactions, nothing left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

import dorm
from dorm.contrib import listen_notify
from dorm.contrib.listen_notify import Broadcaster, Notification
from tests.contrib.raw import raw
from tests.support.faces import Face

pytestmark = [pytest.mark.usefixtures("empty_database"), pytest.mark.parametrize("backend", ["postgresql"])]


async def _sessions() -> list[int]:
    rows = await raw(
        Face("async"),
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s",
        "%LISTEN%",
    )
    return [pid for (pid,) in rows]


def test_all_subscribers_get_everything_in_order() -> None:
    async def take(stream: Any, number: int) -> list[Notification]:
        return [await anext(stream) for _ in range(number)]

    async def main() -> None:
        async with Broadcaster(["orders", "Ships"], maxsize=1000) as broadcaster:
            async with (
                broadcaster.subscribe("orders") as one,
                broadcaster.subscribe("orders") as two,
                broadcaster.subscribe("Ships") as three,
            ):
                for number in range(200):
                    await listen_notify.anotify("orders", str(number))
                await listen_notify.anotify("Ships")
                found = await asyncio.gather(take(one, 200), take(two, 200), take(three, 1))
                assert [each.payload for each in found[0]] == [str(number) for number in range(200)]
                assert found[0] == found[1]
                assert found[0][0] is found[1][0]
                assert found[2][0].channel == "Ships"
                assert found[2][0].pid > 0
                assert len(await _sessions()) >= 1
        with pytest.raises(RuntimeError):
            async with broadcaster:
                pass

    asyncio.run(main())


def test_a_slow_subscriber_loses_the_oldest_and_exit_does_not_hang(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Broadcaster(["c"], maxsize=2) as broadcaster:
            async with broadcaster.subscribe("c") as slow, broadcaster.subscribe("c") as fast:
                for number in range(5):
                    await listen_notify.anotify("c", str(number))
                    assert (await anext(fast)).payload == str(number)
                assert slow.dropped == 3
                await broadcaster.aclose()
                assert [each.payload async for each in slow] == ["3", "4"]
                assert [each async for each in fast] == []

    asyncio.run(main())
    assert caplog.text.count("is too slow") == 1


@pytest.mark.parametrize(("overflow", "payloads"), [("drop_newest", ["0", "1"]), ("disconnect", ["0", "1"])])
def test_other_policies(overflow: Any, payloads: list[str]) -> None:
    async def main() -> None:
        async with Broadcaster(["c"], maxsize=2, overflow=overflow) as broadcaster:
            async with broadcaster.subscribe("c") as slow, broadcaster.subscribe("c") as fast:
                for number in range(4):
                    await listen_notify.anotify("c", str(number))
                    await anext(fast)
                assert [(await anext(slow)).payload for _ in range(2)] == payloads
                if overflow == "disconnect":
                    with pytest.raises(dorm.OperationalError, match="too slow"):
                        await anext(slow)

    asyncio.run(main())


def test_a_lost_session_comes_back_and_the_gap_is_told() -> None:
    gaps: list[int] = []

    async def main() -> None:
        async with Broadcaster(["c"]) as broadcaster:
            async with broadcaster.subscribe("c", on_gap=lambda: gaps.append(1)) as stream:
                for pid in await _sessions():
                    await raw(Face("async"), "SELECT pg_terminate_backend(%s::int)", pid)
                async with asyncio.timeout(5):
                    while not gaps:
                        await asyncio.sleep(0.02)
                assert stream.gaps == 1
                assert broadcaster.connected
                await listen_notify.anotify("c", "after")
                assert (await anext(stream)).payload == "after"

    asyncio.run(main())


def test_three_subscribers_and_a_thousand_notifications_are_one_session() -> None:
    async def main() -> None:
        async with Broadcaster(["orders"], maxsize=1000) as broadcaster:
            async with (
                broadcaster.subscribe("orders") as one,
                broadcaster.subscribe("orders") as two,
                broadcaster.subscribe("orders") as three,
            ):
                await raw(Face("async"), "SELECT pg_notify('orders', i::text) FROM generate_series(1, %s) i", 1000)
                async with asyncio.timeout(20):
                    for stream in (one, two, three):
                        found = [int((await anext(stream)).payload) for _ in range(1000)]
                        assert found == list(range(1, 1001))
                        assert stream.dropped == 0
                assert len(await _sessions()) == 1
        assert dorm.pool_stats()["in_use"] == 0

    asyncio.run(main())


def test_a_reader_that_breaks_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Broadcaster(["c"]) as broadcaster, broadcaster.subscribe("c") as stream:
            waiting = asyncio.create_task(anext(stream))
            await asyncio.sleep(0.05)

            def broken(found: Any) -> None:
                raise ZeroDivisionError

            monkeypatch.setattr(broadcaster, "_deliver", broken)
            await listen_notify.anotify("c", "x")
            async with asyncio.timeout(5):
                with pytest.raises(dorm.OperationalError, match="won't be made again"):
                    await waiting
            with pytest.raises(RuntimeError):
                async with broadcaster.subscribe("c"):
                    pass

    asyncio.run(main())
    assert "ZeroDivisionError" in caplog.text, "what broke it is told, also where nobody subscribes"


@pytest.mark.parametrize(("name", "value"), [("max_backoff", 0), ("keepalive", -1), ("keepalive", True)])
def test_seconds_must_make_sense(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Broadcaster(["c"], **{name: value})


def test_without_reconnecting_iterations_raise() -> None:
    async def main() -> None:
        async with listen_notify.listen("a", "b") as stream:
            await listen_notify.anotify("b", "x")
            assert (await anext(stream)).channel == "b"
            for pid in await _sessions():
                await raw(Face("async"), "SELECT pg_terminate_backend(%s::int)", pid)
            async with asyncio.timeout(5):
                with pytest.raises(dorm.OperationalError, match="lost"):
                    await anext(stream)

    asyncio.run(main())


def test_transactions_decide_and_the_pool_stays_clean() -> None:
    async def main() -> None:
        async with Broadcaster(["c"]) as broadcaster, broadcaster.subscribe("c") as stream:
            with pytest.raises(ZeroDivisionError):
                async with dorm.transaction.atomic():
                    await listen_notify.anotify("c", "rolled back")
                    raise ZeroDivisionError
            async with dorm.transaction.atomic():
                await listen_notify.anotify("c", "same")
                await listen_notify.anotify("c", "same")
                await listen_notify.anotify("c", "other")
            assert [(await anext(stream)).payload for _ in range(2)] == ["same", "other"]
        await raw(Face("async"), "CREATE TABLE kept (a int)")
        with pytest.raises(ZeroDivisionError):
            async with dorm.transaction.atomic():
                await raw(Face("async"), "INSERT INTO kept VALUES (1)")
                raise ZeroDivisionError
        assert await raw(Face("async"), "SELECT * FROM kept") == []
        assert dorm.pool_stats()["in_use"] == 0

    asyncio.run(main())


async def test_notify_in_both_faces(face: Face) -> None:
    config = dorm.connections["default"].config
    url = f"postgresql://{config.user}@{config.host}:{config.port}/{config.name}"
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("LISTEN c")
        await face(listen_notify.notify)("c", "héllo")
        assert [each.payload for each in other.notifies(timeout=2, stop_after=1)] == ["héllo"]


async def test_what_is_refused_before_it_is_sent(face: Face) -> None:
    with pytest.raises(ValueError, match="8000"):
        await face(listen_notify.notify)("c", "ä" * 4000)
    await face(listen_notify.notify)("c", "a" * 7999)
    with pytest.raises(TypeError, match="payload"):
        await face(listen_notify.notify)("c", 5)
    for channel in ("", "x" * 64, "a\0b"):
        with pytest.raises(ValueError, match="channel"):
            await face(listen_notify.notify)(channel)


def test_wrong_arguments(empty_database: dict[str, Any], tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="channel"):
        Broadcaster([])
    with pytest.raises(TypeError, match="channels"):
        Broadcaster("orders")
    for size in (0, True, 1.5):
        with pytest.raises(ValueError, match="maxsize"):
            Broadcaster(["c"], maxsize=size)  # type: ignore[arg-type]

    async def subscribe(broadcaster: Broadcaster, channel: str) -> None:
        async with broadcaster.subscribe(channel):
            pass

    async def main() -> None:
        broadcaster = Broadcaster(["c"])
        with pytest.raises(RuntimeError):
            await subscribe(broadcaster, "c")
        async with broadcaster:
            with pytest.raises(KeyError, match="'c'"):
                await subscribe(broadcaster, "d")
        with pytest.raises(ValueError, match="at least one channel"):
            async with listen_notify.listen():
                pass

    asyncio.run(main())

    async def refused(error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            async with Broadcaster(["c"]):
                pass

    dorm.configure(DATABASES={"default": {**empty_database, "PGBOUNCER_MODE": True}})
    asyncio.run(refused(dorm.ImproperlyConfigured, "session"))
    dorm.configure(DATABASES={"default": f"sqlite:///{tmp_path}/x.db"})
    asyncio.run(refused(NotImplementedError, "PostgreSQL-only"))
