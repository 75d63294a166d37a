"""Advisory locks on a real PostgreSQL: exclusion, re-entry, cancellation, lost sessions, transactions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import psycopg
import pytest

import dorm
from dorm.contrib import advisory
from dorm.contrib.advisory import key_for, key_numbers
from dorm.contrib.prometheus import metrics_response
from tests.contrib.raw import raw
from tests.support.faces import Face

pytestmark = [pytest.mark.usefixtures("empty_database"), pytest.mark.parametrize("backend", ["postgresql"])]


def _locks() -> list[Any]:
    with psycopg.connect(_url(), autocommit=True) as connection:
        return connection.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()


def _url() -> str:
    config = dorm.connections["default"].config
    return f"postgresql://{config.user}@{config.host}:{config.port}/{config.name}"


class _With:
    """A lock of either face as one async context manager."""

    def __init__(self, face: Face, name: str, *args: Any, **kwargs: Any) -> None:
        self.face = face
        self.lock = getattr(advisory, f"a{name}" if face.is_async else name)(*args, **kwargs)

    async def __aenter__(self) -> Any:
        return await self.lock.__aenter__() if self.face.is_async else self.lock.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        await self.lock.__aexit__(*error) if self.face.is_async else self.lock.__exit__(*error)


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        ("job", (-5882027576122421468,)),
        ("nightly-report", (-9216380091565040003,)),
        ("", (-1970711489451281740,)),
        ("orders", (-3049803464231846067,)),
        (("orders", 42), (-128883524, 42)),
        (("job", 1), (-701763494, 1)),
        (7, (7,)),
        ((1, -2), (1, -2)),
    ],
)
def test_keys(key: Any, numbers: tuple[int, ...]) -> None:
    assert key_numbers(key) == numbers


def test_keys_of_several_parts_are_told_apart() -> None:
    parts = [("order", 42), ("order", "42"), ("order:42",), ("a", "b"), ("a\x1fstr:1:b",), ("a", "", "b"), ("ab",), ()]
    assert len({key_for(*each) for each in parts}) == len(parts)
    assert key_for("order", 42) == key_for("order", 42)


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (True, TypeError, "key must be"),
        (1.5, TypeError, "key must be"),
        (b"x", TypeError, "key must be"),
        (None, TypeError, "key must be"),
        ([1, 2], TypeError, "key must be"),
        ((1, 2, 3), ValueError, "exactly"),
        ((1, "x"), TypeError, "int"),
        ((1.5, 2), TypeError, "int"),
        (2**63, ValueError, "range"),
        ((2**31, 1), ValueError, "range"),
    ],
)
async def test_wrong_keys_are_refused_at_once(face: Face, key: Any, error: type[Exception], match: str) -> None:
    for name in ("advisory_lock", "try_advisory_lock", "advisory_xact_lock"):
        with pytest.raises(error, match=match):
            getattr(advisory, f"a{name}" if face.is_async else name)(key)


async def test_a_lock_excludes_and_is_free_afterwards(face: Face) -> None:
    async with _With(face, "advisory_lock", "k"):
        assert len(_locks()) == 1
        assert await raw(face, "SELECT 1") == [(1,)]
        found = await asyncio.to_thread(_tries, "k") if face.is_async else _in_thread(_tries, "k")
        assert found is False
    assert _locks() == []
    async with _With(face, "try_advisory_lock", "k") as got:
        assert got is True
    assert _locks() == []


def _tries(key: str) -> bool:
    with advisory.try_advisory_lock(key) as got:
        return got


def _in_thread(work: Any, *args: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work(*args)))
    thread.start()
    thread.join()
    return found[0]


async def test_the_same_lock_again_in_the_same_place(face: Face) -> None:
    async with _With(face, "advisory_lock", "x"):
        async with _With(face, "advisory_lock", "x"):
            async with _With(face, "try_advisory_lock", "x") as got:
                assert got
        assert len(_locks()) == 1
        assert _in_thread(_tries, "x") is False
    assert _locks() == []


async def test_an_exception_leaves_no_lock(face: Face) -> None:
    with pytest.raises(ZeroDivisionError):
        async with _With(face, "advisory_lock", "x"):
            raise ZeroDivisionError
    assert _locks() == []


async def test_shared_locks_and_time_limits(face: Face) -> None:
    with psycopg.connect(_url(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock_shared(5)")
        async with _With(face, "try_advisory_lock", 5, shared=True) as got:
            assert got
        start = time.perf_counter()
        with pytest.raises(TimeoutError, match="5"):
            async with _With(face, "advisory_lock", 5, timeout=0.2):
                pass
        assert 0.2 <= time.perf_counter() - start < 20
    with pytest.raises(ValueError, match="timeout"):
        _With(face, "advisory_lock", 5, timeout=-1)


async def test_locks_of_a_transaction_end_with_it(face: Face) -> None:
    async with face.atomic():
        async with _With(face, "advisory_xact_lock", ("orders", 42)):
            pass
        assert len(_locks()) == 1
        with pytest.raises(ZeroDivisionError):
            async with face.atomic():
                async with _With(face, "try_advisory_xact_lock", "inner") as got:
                    assert got
                raise ZeroDivisionError
        assert len(_locks()) == 1
    assert _locks() == []
    with pytest.raises(RuntimeError, match="atomic"):
        async with _With(face, "advisory_xact_lock", 1):
            pass


async def test_a_killed_session_is_told(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(dorm.OperationalError, match="lost"):
        async with _With(face, "advisory_lock", "x") as held:
            with psycopg.connect(_url(), autocommit=True) as admin:
                ((pid,),) = _locks()
                admin.execute("SELECT pg_terminate_backend(%s)", [pid])
            assert await (held.ais_held() if face.is_async else face(held.is_held)()) is False
            assert _in_thread(_tries, "x") is True
    assert "lost" in caplog.text
    with pytest.raises(ZeroDivisionError):
        async with _With(face, "advisory_lock", "x"):
            with psycopg.connect(_url(), autocommit=True) as admin:
                ((pid,),) = _locks()
                admin.execute("SELECT pg_terminate_backend(%s)", [pid])
            raise ZeroDivisionError


def test_threads_take_turns_over_a_small_pool(empty_database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**empty_database, "MAX_POOL_SIZE": 2}})
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(6):
            with advisory.advisory_lock("k"):
                with guard:
                    inside += 1
                    most = max(most, inside)
                dorm.health_check()
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert _locks() == []


def test_tasks_exclude_each_other_and_a_cancelled_wait_leaves_nothing() -> None:
    async def main() -> None:
        async with advisory.aadvisory_lock("x"):

            async def child() -> bool:
                async with advisory.atry_advisory_lock("x") as got:
                    return got

            assert await asyncio.create_task(child()) is False

            async def waits() -> None:
                async with advisory.aadvisory_lock("x"):
                    pass

            waiting = asyncio.create_task(waits())
            await asyncio.sleep(0.2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert _locks() == []

    asyncio.run(main())


def test_processes_exclude_each_other() -> None:
    code = textwrap.dedent(
        f"""
        import dorm
        from dorm.contrib.advisory import try_advisory_lock
        dorm.configure(DATABASES={{"default": {_url()!r}}})
        with try_advisory_lock("p") as got:
            print(got)
        """
    )

    def other() -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    with advisory.advisory_lock("p"):
        assert other() == "False"
    assert other() == "True"


def test_decorators() -> None:
    calls: list[int] = []

    @advisory.try_advisory_lock("d")
    def once(number: int) -> int:
        calls.append(number)
        return number

    @advisory.aadvisory_lock("d")
    async def later(number: int) -> int:
        calls.append(number)
        return number

    assert once(1) == 1
    with psycopg.connect(_url(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [key_numbers("d")[0]])
        assert once(2) is None
    assert asyncio.run(later(3)) == 3
    assert calls == [1, 3]
    with pytest.raises(TypeError, match="aadvisory_lock"):
        advisory.advisory_lock("d")(later)


async def test_behind_a_transaction_pooler_only_transaction_locks(face: Face, empty_database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**empty_database, "PGBOUNCER_MODE": "transaction"}})
    with pytest.raises(dorm.ImproperlyConfigured, match="xact"):
        async with _With(face, "advisory_lock", 1):
            pass
    async with face.atomic(), _With(face, "advisory_xact_lock", 1):
        pass


async def test_acquiring_is_logged(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="dorm.contrib.advisory"):
        async with _With(face, "advisory_lock", "x"):
            pass
    assert "acquired 'x'" in caplog.text
    assert "released 'x'" in caplog.text


async def test_other_engines_refuse(face: Face, backend: str, tmp_path: Any) -> None:
    dorm.configure(DATABASES={"default": f"sqlite:///{tmp_path}/x.db"})
    for name in ("advisory_lock", "try_advisory_lock", "advisory_xact_lock"):
        with pytest.raises(NotImplementedError, match=f"{name}.*PostgreSQL-only"):
            async with _With(face, name, 1):
                pass


async def test_the_other_mode_of_a_lock_that_is_held_never_waits_for_oneself(face: Face) -> None:
    async with asyncio.timeout(20) if face.is_async else contextlib.AsyncExitStack():
        async with _With(face, "advisory_lock", "m"):
            async with _With(face, "advisory_lock", "m", shared=True):
                async with _With(face, "try_advisory_lock", "m") as got:
                    assert got
                assert len({pid for (pid,) in _locks()}) == 1
            assert _in_thread(_tries, "m") is False
        assert _locks() == []
        with psycopg.connect(_url(), autocommit=True) as other:
            async with _With(face, "advisory_lock", "m", shared=True):
                other.execute("SELECT pg_advisory_lock_shared(%s)", [key_numbers("m")[0]])
                async with _With(face, "try_advisory_lock", "m") as got:
                    assert got is False  # somebody else shares it
                with pytest.raises(TimeoutError):
                    async with _With(face, "advisory_lock", "m", timeout=0.05):
                        pass
            assert len(_locks()) == 1
            other.execute("SELECT pg_advisory_unlock_all()")
        assert _locks() == []


async def test_waits_obey_the_session_and_are_not_tried_again(face: Face, empty_database: dict[str, Any]) -> None:
    options = {"options": "-c lock_timeout=200"}
    dorm.configure(DATABASES={"default": {**empty_database, "OPTIONS": options}}, RETRY_ATTEMPTS=3)
    with psycopg.connect(_url(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(77)")
        start = time.perf_counter()
        with pytest.raises(dorm.OperationalError, match="lock timeout"):
            async with _With(face, "advisory_lock", 77):
                pass
        assert time.perf_counter() - start < 20
        assert len(_locks()) == 1


async def test_waits_are_measured(face: Face) -> None:
    advisory.reset_wait_stats()
    async with _With(face, "advisory_lock", "free"):
        pass
    with psycopg.connect(_url(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(78)")
        async with _With(face, "try_advisory_lock", 78) as got:
            assert not got
        with pytest.raises(TimeoutError):
            async with _With(face, "advisory_lock", 78, timeout=0.15):
                pass
    stats = advisory.wait_stats()["default"]
    assert (stats.granted, stats.refused, sum(stats.buckets)) == (1, 2, 3)
    assert sum(stats.buckets[3:]) >= 1  # above 0.1 s
    assert 0.15 <= stats.seconds < 30
    text = metrics_response()
    assert "# TYPE dorm_advisory_wait_seconds histogram" in text
    assert 'dorm_advisory_wait_seconds_bucket{alias="default",le="+Inf"} 3' in text
    assert 'dorm_advisory_wait_seconds_count{alias="default"} 3' in text
    assert 'dorm_advisory_refused_total{alias="default"} 2' in text
    advisory.reset_wait_stats()
    assert "dorm_advisory" not in metrics_response()
