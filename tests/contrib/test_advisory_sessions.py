"""Sessions of advisory locks: where they are held, forks, unlocks that fail, waits that are cancelled as they end."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg
import pytest

import dorm
from dorm.contrib import advisory
from dorm.contrib.querystats import collector
from tests.contrib.raw import raw
from tests.contrib.test_advisory import _in_thread, _locks, _tries, _url, _With
from tests.support.faces import Face
from tests.support.statements import statements

pytestmark = [pytest.mark.usefixtures("empty_database"), pytest.mark.parametrize("backend", ["postgresql"])]


async def test_the_body_runs_on_other_sessions_and_the_pool_is_not_touched(face: Face) -> None:
    async with _With(face, "advisory_lock", "x"):
        ((holder,),) = _locks()
        assert dorm.pool_stats().get("in_use", 0) == 0
        ((pid,),) = await raw(face, "SELECT pg_backend_pid()")
        assert pid != holder
        async with face.atomic():
            ((pid,),) = await raw(face, "SELECT pg_backend_pid()")
            assert pid != holder
    async with face.atomic():
        async with _With(face, "advisory_lock", "x"):
            assert _in_thread(_tries, "x") is False
        assert _in_thread(_tries, "x") is True  # a session lock is free at the exit, not at the commit


async def test_a_try_that_fails_keeps_no_session(face: Face) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'client%'"
    with psycopg.connect(_url(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(5)")
        before = other.execute(count).fetchall()
        async with _With(face, "try_advisory_lock", 5) as got:
            assert got is False
            for _ in range(100):
                if other.execute(count).fetchall() == before:
                    break
                time.sleep(0.05)  # a session that the pool replaced takes a moment to go
            else:
                pytest.fail("the try keeps a session")
        assert len(_locks()) == 1  # the other's: nothing was unlocked


def test_eight_threads_take_turns_fifty_times(empty_database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**empty_database, "MAX_POOL_SIZE": 4}})
    inside, most, turns = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, turns
        for _ in range(50):
            with advisory.advisory_lock("k"):
                with guard:
                    inside += 1
                    most = max(most, inside)
                dorm.health_check()
                with guard:
                    inside -= 1
                    turns += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert (most, turns, _locks()) == (1, 400, [])


async def test_an_unlock_that_is_refused_closes_the_session(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    async with _With(face, "advisory_lock", 77) as held:
        ((pid,),) = _locks()
        # Somebody unlocked behind its back, on its own session.
        statement = advisory._call("pg_advisory_unlock", (77,))
        await held.connection.query(statement) if face.is_async else held.connection.query(statement)
    assert "77" in caplog.text
    assert "was not held" in caplog.text
    with psycopg.connect(_url(), autocommit=True) as admin:
        for _ in range(200):
            if not admin.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchall():
                break
            admin.execute("SELECT pg_sleep(0.02)")
        else:
            pytest.fail("the session is still there")


async def test_an_unknown_alias_is_named(face: Face) -> None:
    with pytest.raises(dorm.ImproperlyConfigured, match="nowhere"):
        async with _With(face, "advisory_lock", 1, using="nowhere"):
            pass


async def test_lock_statements_are_seen_and_not_counted(face: Face) -> None:
    collector().enable()
    try:
        with statements() as sent:
            async with _With(face, "advisory_lock", 1):
                pass
        assert [sql.split("(")[0] for sql in sent] == ["SELECT pg_advisory_lock", "SELECT pg_advisory_unlock"]
        assert not [each for each in collector().snapshot() if "advisory" in str(each)]
    finally:
        collector().disable()
        collector().reset()


def test_a_wait_that_is_cancelled_as_it_is_granted_leaves_nothing() -> None:
    async def main() -> None:
        async def waits() -> None:
            async with advisory.aadvisory_lock("x"):
                pass

        await raw(Face("async"), "SELECT 1")
        for turn in range(30):
            holder = psycopg.connect(_url(), autocommit=True)
            holder.execute("SELECT pg_advisory_lock(%s)", [advisory.key_numbers("x")[0]])
            waiting = asyncio.create_task(waits())
            while not holder.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall():
                await asyncio.sleep(0)
            holder.close()
            for _ in range(turn):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
        async with advisory.atry_advisory_lock("x") as got:
            assert got
        assert dorm.pool_stats()["in_use"] == 0

    asyncio.run(main())
    assert _locks() == []


def test_the_death_of_a_holder_hands_the_lock_to_another_process(caplog: pytest.LogCaptureFixture) -> None:
    code = (
        "import dorm\nfrom dorm.contrib.advisory import try_advisory_lock\n"
        f'dorm.configure(DATABASES={{"default": {_url()!r}}})\n'
        "with try_advisory_lock('p') as got:\n    print(got)\n"
    )
    with pytest.raises(dorm.OperationalError, match="lost"), advisory.advisory_lock("p"):
        with psycopg.connect(_url(), autocommit=True) as admin:
            ((pid,),) = _locks()
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "True"
    assert "lost" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_does_not_hold_its_parents_lock(caplog: pytest.LogCaptureFixture) -> None:
    lock = advisory.advisory_lock("x")
    lock.__enter__()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with advisory.try_advisory_lock("x") as got:
                code = 2 if got else 0
            lock.__exit__(None, None, None)  # a child that leaves the block gives nothing away
        except BaseException:
            logging.getLogger(__name__).exception("child")
            code = 3
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(_locks()) == 1
    assert _in_thread(_tries, "x") is False
    lock.__exit__(None, None, None)
    assert _locks() == []
    assert "lost" not in caplog.text
