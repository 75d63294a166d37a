"""The broadcaster when its session hangs, cannot come back, or is left while it tries."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import psycopg
import pytest
from psycopg import sql

import dorm
from dorm.contrib import listen_notify
from dorm.contrib.listen_notify import Broadcaster
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.usefixtures("empty_database"), pytest.mark.parametrize("backend", ["postgresql"])]


def _through(proxy: Proxy, database: dict[str, Any]) -> None:
    dorm.configure(
        DATABASES={"default": {"URL": proxy.url, "MIN_POOL_SIZE": 0, "POOL_TIMEOUT": 2.0}, "direct": database}
    )


async def _told(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in caplog.text:
            await asyncio.sleep(0.02)


def test_a_connection_that_went_silent_is_found_and_made_again(
    empty_database: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen_notify, "_ANSWER_SECONDS", 0.2)
    assert listen_notify.KEEPALIVE_SECONDS + 10 <= 60
    caplog.set_level(logging.INFO, logger="dorm.contrib.listen_notify")
    gaps: list[int] = []

    async def main(proxy: Proxy) -> None:
        async with Broadcaster(["c"], keepalive=0.1) as broadcaster:
            async with broadcaster.subscribe("c", on_gap=lambda: gaps.append(1)) as stream:
                await listen_notify.anotify("c", "kept", using="direct")
                while not stream._queue:
                    await asyncio.sleep(0.01)
                proxy.silent = True
                await _told(caplog, "was lost")
                assert not broadcaster.connected
                proxy.silent = False
                await _told(caplog, "is back")
                await listen_notify.anotify("c", "after", using="direct")
                assert [(await anext(stream)).payload for _ in range(2)] == ["kept", "after"]
                assert (stream.gaps, gaps) == (1, [1])

    with Proxy(empty_database["URL"]) as proxy:
        _through(proxy, empty_database)
        asyncio.run(main(proxy))
        dorm.connections.reset()


def test_leaving_while_it_tries_to_come_back_is_immediate(
    empty_database: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def main(proxy: Proxy) -> None:
        async with Broadcaster(["c"], max_backoff=600) as broadcaster, broadcaster.subscribe("c") as stream:
            proxy.refuses = True
            proxy.cut()
            await _told(caplog, "was lost")
            async with asyncio.timeout(5):
                await broadcaster.aclose()
                await broadcaster.aclose()
                assert [each async for each in stream] == []

    with Proxy(empty_database["URL"]) as proxy:
        _through(proxy, empty_database)
        asyncio.run(main(proxy))
        dorm.connections.reset()


def test_a_database_that_was_dropped_ends_every_iteration(postgresql_database: str) -> None:
    name = "dorm_test_dropped"

    def execute(text: str) -> None:
        with psycopg.connect(postgresql_database, autocommit=True) as admin:
            admin.execute(sql.SQL(text).format(sql.Identifier(name)))  # type: ignore[arg-type]  # texts of this test

    execute("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    execute("CREATE DATABASE {}")
    dorm.configure(DATABASES={"default": {"URL": f"{postgresql_database.rpartition('/')[0]}/{name}"}})

    async def main() -> None:
        async with Broadcaster(["c"]) as broadcaster:
            async with broadcaster.subscribe("c") as one, broadcaster.subscribe("c") as two:
                await asyncio.to_thread(execute, "DROP DATABASE {} WITH (FORCE)")
                for stream in (one, two):
                    async with asyncio.timeout(10):
                        with pytest.raises(dorm.OperationalError, match="won't be made again"):
                            await anext(stream)

    try:
        asyncio.run(main())
    finally:
        execute("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        dorm.connections.reset()


def test_a_cancelled_iteration_and_a_left_subscription_harm_nobody() -> None:
    async def main() -> None:
        async with Broadcaster(["c", "c"]) as broadcaster:
            assert broadcaster.channels == ("c",)
            async with broadcaster.subscribe("c") as stays:
                inside = asyncio.Event()

                async def reads() -> None:
                    async with broadcaster.subscribe("c") as stream:
                        inside.set()
                        async for _ in stream:
                            pass

                reading = asyncio.create_task(reads())
                await inside.wait()
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                async with broadcaster.subscribe("c") as left, broadcaster.subscribe("c") as second:
                    await listen_notify.anotify("c", "x")
                    assert (await anext(second)).payload == "x"
                assert [each async for each in left] == []
                assert (await anext(stays)).payload == "x"
                assert len(broadcaster._subscriptions) == 1

    asyncio.run(main())


@pytest.mark.parametrize("channel", ["", "x" * 64, "ä" * 32, "a\0b"])
def test_names_that_can_be_no_channel(channel: str) -> None:
    with pytest.raises(ValueError, match="channel"):
        Broadcaster(["c", channel])


def test_another_database_cannot_listen(tmp_path: Any) -> None:
    dorm.configure(DATABASES={"default": f"sqlite:///{tmp_path}/x.db"})

    async def listens() -> None:
        async with listen_notify.listen("c"):
            pass

    with pytest.raises(NotImplementedError, match=r"listen.*PostgreSQL-only"):
        asyncio.run(listens())
    with pytest.raises(NotImplementedError, match=r"notify.*PostgreSQL-only"):
        listen_notify.notify("c")
