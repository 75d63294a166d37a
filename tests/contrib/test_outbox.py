"""Outbox, idempotency keys, ASGI middlewares."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import dorm
from dorm.contrib.asgi import NPlusOneMiddleware, OTelDormMiddleware
from dorm.contrib.idempotency import IdempotencyRecord, aidempotency_key, idempotency_key, purge_expired
from dorm.contrib.nplusone import NPlusOneError
from dorm.contrib.otel import uninstrument
from dorm.contrib.outbox import OutboxEvent, OutboxRelay, record_event
from dorm.db.connection import get_async_connection, get_connection
from dorm.migrations.schema import create_tables
from dorm.test import override_settings
from tests.support.faces import Face


class Event(OutboxEvent):
    class Meta:
        app_label = "contrib_tests"


class Key(IdempotencyRecord):
    class Meta:
        app_label = "contrib_tests"


@pytest.mark.parametrize("field", [Event._meta.get_field("created_at"), Key._meta.get_field("created_at")], ids=str)
def test_times_without_a_zone_are_those_of_the_setting(field: Any) -> None:
    with override_settings(USE_TZ=False, TIME_ZONE="Pacific/Kiritimati"):  # 14 hours before UTC
        made = field.get_default()
    assert made.tzinfo is None
    there = datetime.now(ZoneInfo("Pacific/Kiritimati")).replace(tzinfo=None)
    assert there - timedelta(hours=1) < made <= there


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, Any]) -> None:
    create_tables([Event, Key])


# -- outbox ------------------------------------------------------------------------------------------------------


async def test_events_leave_with_their_transaction_and_in_order(face: Face) -> None:
    with pytest.raises(ZeroDivisionError):
        async with face.atomic():
            await face(record_event)(Event, "gone")
            raise ZeroDivisionError
    async with face.atomic():
        for number in range(5):
            await face(record_event)(Event, "made", {"number": number})
    sent: list[int] = []
    relay = OutboxRelay(Event, lambda event: sent.append(event.payload["number"]), batch_size=3)
    assert await face(relay.drain_once)() == 3
    assert await face(relay.drain_once)() == 2
    assert await face(relay.drain_once)() == 0
    assert sent == [0, 1, 2, 3, 4]
    assert await face(Event.objects.filter(status="published").count)() == 5
    with pytest.raises(ValueError, match="event_type"):
        await face(record_event)(Event, "")


async def test_what_fails_is_tried_again_and_given_up_in_the_end(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    await face(record_event)(Event, "bad")
    await face(record_event)(Event, "good")

    def publish(event: Any) -> None:
        if event.event_type == "bad":
            raise OSError("down: secret")

    relay = OutboxRelay(Event, publish, max_attempts=2)
    assert await face(relay.drain_once)() == 1
    assert "(attempt 1): OSError" in caplog.text
    assert "secret" not in caplog.text
    caplog.set_level(logging.DEBUG, logger="dorm.contrib.outbox")
    assert await face(relay.drain_once)() == 0
    assert "OSError: down: secret" in caplog.text
    event = await face(Event.objects.get)(event_type="bad")
    assert (event.status, event.attempts, event.last_error) == ("dead", 2, "OSError")


async def test_a_relay_that_dies_in_a_batch_loses_nothing(face: Face) -> None:
    for number in range(4):
        await face(record_event)(Event, "made", {"number": number})
    sent: list[int] = []

    def dies(event: Any) -> None:
        sent.append(event.payload["number"])
        if len(sent) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await face(OutboxRelay(Event, dies).drain_once)()
    assert await face(Event.objects.filter(status="pending").count)() == 4
    relay = OutboxRelay(Event, lambda event: sent.append(event.payload["number"]))
    assert await face(relay.drain_once)() == 4
    assert sorted(set(sent)) == [0, 1, 2, 3]


def test_two_relays_never_send_one_event_at_the_same_time() -> None:
    for number in range(20):
        record_event(Event, "made", {"number": number})
    sent: list[int] = []
    guard = threading.Lock()

    def publish(event: Any) -> None:
        time.sleep(0.002)
        with guard:
            sent.append(event.payload["number"])

    def work() -> None:
        relay = OutboxRelay(Event, publish, batch_size=3)
        for _ in range(12):
            relay.drain_once()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == list(range(20))


async def test_a_publisher_that_fails_in_the_database_harms_no_other_event(face: Face) -> None:
    for number in range(3):
        await face(record_event)(Event, "made", {"number": number})
    sent: list[int] = []

    def work(event: Any) -> None:
        number = event.payload["number"]
        get_connection().execute("SELECT 1" if number != 1 else "SELECT nothing FROM nowhere")
        sent.append(number)

    async def awork(event: Any) -> None:
        number = event.payload["number"]
        await get_async_connection().execute("SELECT 1" if number != 1 else "SELECT nothing FROM nowhere")
        sent.append(number)

    relay = OutboxRelay(Event, awork if face.is_async else work, max_attempts=1)
    assert await face(relay.drain_once)() == 2
    assert sent == [0, 2]
    rows = await face.rows(Event.objects.order_by("pk").values_list("status", flat=True))
    assert rows == ["published", "dead", "published"]


_RELAY = """
import asyncio, json, sys, time
import dorm
from dorm.contrib.outbox import OutboxEvent, OutboxRelay

database, form, out, pause, batches = sys.argv[1:]
dorm.configure(DATABASES={"default": json.loads(database)})

class Event(OutboxEvent):
    class Meta:
        app_label = "contrib_tests"

def tell(event, what):
    with open(out, "a") as file:
        file.write(f"{what} {event.payload['number']}\\n")

def publish(event):
    tell(event, "begin")
    time.sleep(float(pause))
    tell(event, "end")

async def apublish(event):
    tell(event, "begin")
    await asyncio.sleep(float(pause))
    tell(event, "end")

relay = OutboxRelay(Event, apublish if form == "async" else publish, batch_size=5)
for _ in range(int(batches)):
    asyncio.run(relay.adrain_once()) if form == "async" else relay.drain_once()
"""


def _relay(database: Any, form: str, out: Path, pause: float, batches: int) -> subprocess.Popen[bytes]:
    arguments = [json.dumps(database), form, str(out), str(pause), str(batches)]
    env = {**os.environ, "PYTHONPATH": str(Path(dorm.__file__).parent.parent)}
    return subprocess.Popen([sys.executable, "-c", _RELAY, *arguments], env=env, stderr=subprocess.PIPE)


def _told(out: Path) -> list[tuple[str, int]]:
    lines = out.read_text().splitlines() if out.exists() else []
    return [(what, int(number)) for what, number in (line.split() for line in lines)]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sync", "async"])
def test_a_relay_that_is_killed_in_mid_batch_delivers_at_least_once(
    database_settings: dict[str, Any], tmp_path: Path, form: str
) -> None:
    for number in range(10):
        record_event(Event, "made", {"number": number})
    out = tmp_path / "sent"
    victim = _relay(database_settings, form, out, 0.05, 5)
    end = time.monotonic() + 60
    while ("end", 2) not in _told(out) and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate(timeout=30)
    assert victim.returncode == -signal.SIGKILL
    assert Event.objects.filter(status="published").count() == 0
    heir = _relay(database_settings, form, out, 0, 4)
    _, errors = heir.communicate(timeout=60)
    assert heir.returncode == 0, errors.decode()
    sent = [number for what, number in _told(out) if what == "end"]
    assert set(sent) == set(range(10))
    assert sent.count(0) == 2  # sent before the kill and not marked: sent again
    assert Event.objects.filter(status="published").count() == 10


@pytest.mark.slow
def test_two_relays_of_two_processes_never_send_one_event_at_the_same_time(
    database_settings: dict[str, Any], tmp_path: Path
) -> None:
    for number in range(40):
        record_event(Event, "made", {"number": number})
    outs = [tmp_path / "one", tmp_path / "two"]
    relays = [_relay(database_settings, form, out, 0.01, 10) for form, out in zip(("sync", "async"), outs, strict=True)]
    for relay in relays:
        _, errors = relay.communicate(timeout=100)
        assert relay.returncode == 0, errors.decode()
    sent = [number for out in outs for what, number in _told(out) if what == "end"]
    assert sorted(sent) == list(range(40))
    assert Event.objects.filter(status="published").count() == 40


def test_a_relay_runs_until_it_is_stopped() -> None:
    record_event(Event, "made")
    relay = OutboxRelay(Event, lambda event: relay.stop(), poll_interval_s=0.01)
    relay.run()
    assert Event.objects.filter(status="published").count() == 1

    async def publish(event: Any) -> None:
        again.stop()

    record_event(Event, "made")
    again = OutboxRelay(Event, publish, poll_interval_s=0.01)
    asyncio.run(again.arun())
    assert Event.objects.filter(status="published").count() == 2


# -- idempotency -------------------------------------------------------------------------------------------------


async def test_a_second_request_replays_the_first(face: Face) -> None:
    work: list[int] = []

    async def serve(fails: bool = False) -> Any:
        if face.is_async:
            async with aidempotency_key("k", model=Key) as key:
                if not key.replay:
                    work.append(1)
                    await key.astore({"id": 7})
                    if fails:
                        raise ZeroDivisionError
                return key.response
        with idempotency_key("k", model=Key) as key:
            if not key.replay:
                work.append(1)
                key.store({"id": 7})
                if fails:
                    raise ZeroDivisionError
            return key.response

    with pytest.raises(ZeroDivisionError):
        await serve(fails=True)
    assert await serve() == {"id": 7}
    assert await serve() == {"id": 7}
    assert len(work) == 2
    assert await face(purge_expired)(Key, older_than_seconds=1000) == 0
    assert await face(purge_expired)(Key, older_than_seconds=0) == 1


def test_requests_at_once_do_the_work_once_in_threads() -> None:
    work: list[int] = []
    answers: list[Any] = []
    together = threading.Barrier(4)

    def serve(number: int) -> None:
        together.wait(20)
        with idempotency_key("same", model=Key) as key:
            if not key.replay:
                time.sleep(0.05)
                work.append(number)
                key.store({"by": number})
            answers.append(key.response)

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(work) == 1
    assert answers == [{"by": work[0]}] * 4


def test_requests_at_once_do_the_work_once_in_tasks_and_again_after_a_failure() -> None:
    work: list[int] = []

    async def serve(number: int) -> Any:
        async with aidempotency_key("same", model=Key) as key:
            if not key.replay:
                await asyncio.sleep(0.05)
                work.append(number)
                if len(work) == 1:
                    raise ZeroDivisionError
                await key.astore({"by": number})
            return key.response

    async def main() -> list[Any]:
        return await asyncio.gather(*(serve(number) for number in range(4)), return_exceptions=True)

    answers = asyncio.run(main())
    assert len(work) == 2
    assert sorted(map(str, answers)) == ["", *[str({"by": work[1]})] * 3]


# -- middlewares -------------------------------------------------------------------------------------------------


def _serve(app: Any, kind: str = "http") -> None:
    asyncio.run(app({"type": kind, "method": "GET", "path": "/x"}, None, None))


def test_a_request_that_repeats_itself_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(4):
            await Event.objects.acount()

    _serve(NPlusOneMiddleware(app, threshold=5))
    _serve(NPlusOneMiddleware(app, threshold=3), "lifespan")
    assert caplog.text == ""
    _serve(NPlusOneMiddleware(app, threshold=3))
    assert "GET /x: N+1: 4 statements" in caplog.text
    with pytest.raises(NPlusOneError):
        _serve(NPlusOneMiddleware(app, threshold=3, raise_on_detect=True))
    with pytest.raises(ValueError, match="threshold"):
        NPlusOneMiddleware(app, threshold=0)


def test_a_request_is_traced() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Event.objects.acount()

    _serve(OTelDormMiddleware(app))
    uninstrument()
    assert dorm.pool_stats()["in_use"] == 0
