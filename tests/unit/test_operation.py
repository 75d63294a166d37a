"""The kernel: how operations are driven, and what happens to them when somebody interrupts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dorm.db import operation as kernel
from dorm.db.operation import ASYNCIO, Abandoned, Operation, adrive, arun, ask, drive, run
from dorm.db.request import CallUser, Request, Sleep
from dorm.exceptions import DormError


class Step(Request[str]):
    """A request that notes what becomes of it; *work* is what performing it does."""

    def __init__(self, name: str, log: list[str], work: Callable[[], Any] | None = None) -> None:
        self.name = name
        self.log = log
        self.work = work

    def perform(self) -> str:
        self.log.append(self.name)
        if self.work is not None:
            self.work()
        return self.name

    async def aperform(self) -> str:
        self.log.append(self.name)
        if self.work is not None:
            result = self.work()
            if result is not None:
                await result
        self.log.append(f"{self.name} done")
        return self.name

    def abandon(self, reply: object) -> None:
        self.log.append(f"{self.name} abandoned with {reply}")


def working(log: list[str], body: Callable[[], Any] | None, *clean_up: Step) -> Operation[str]:
    """Perform one step, and the others as clean-up."""
    try:
        return (yield from ask(Step("work", log, body)))
    finally:
        for step in clean_up:
            yield from ask(step)


def drive_both(op: Callable[[], Operation[Any]]) -> list[Any]:
    return [run(op()), asyncio.run(_awaited(arun(op())))]


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def test_replies_are_sent_and_the_value_is_returned() -> None:
    def op() -> Operation[list[str]]:
        log: list[str] = []
        one = yield Step("one", log)
        two = yield from ask(Step("two", log))
        return [one, two]

    assert drive_both(op) == [["one", "two"], ["one", "two"]]


def test_an_operation_without_requests_returns() -> None:
    def op() -> Operation[int]:
        return 7
        yield

    assert drive_both(op) == [7, 7]


def test_errors_are_raised_at_the_yield() -> None:
    def fail() -> None:
        raise KeyError("x")

    def op() -> Operation[str]:
        try:
            yield Step("one", [], fail)
        except KeyError:
            return (yield Step("two", []))
        return "not reached"

    assert drive_both(op) == ["two", "two"]


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
def test_stop_iteration_of_user_code_ends_nothing(error: type[Exception]) -> None:
    def fail() -> None:
        raise error

    def op() -> Operation[Any]:
        try:
            yield CallUser(fail, None)
        except RuntimeError as exc:
            return type(exc.__cause__)

    assert drive_both(op) == [error, error]


def test_user_code_of_the_other_face_is_refused_with_its_name() -> None:
    async def receiver() -> None:
        raise AssertionError("not called")

    def op() -> Operation[None]:
        yield CallUser(None, receiver)

    with pytest.raises(DormError, match="receiver is a coroutine function"):
        run(op())


def test_user_code_is_awaited_in_async_code() -> None:
    async def twin(number: int) -> str:
        await asyncio.sleep(0)
        return f"awaited {number}"

    def op() -> Operation[str]:
        return (yield CallUser(lambda number: f"called {number}", twin, 3))

    assert drive_both(op) == ["called 3", "awaited 3"]


def test_sleep_waits_in_both_faces() -> None:
    def op() -> Operation[int]:
        yield Sleep(0.001)
        return 1

    assert drive_both(op) == [1, 1]


# -- interrupts, blocking ----------------------------------------------------------------------------------------


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_in_a_request_runs_the_clean_up() -> None:
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(working(log, interrupt, Step("roll back", log), Step("release", log)))
    assert log == ["work", "roll back", "release"]


def test_an_operation_that_swallows_ctrl_c_is_interrupted_all_the_same() -> None:
    log: list[str] = []

    def op() -> Operation[str]:
        try:
            yield Step("work", log, interrupt)
        except KeyboardInterrupt:
            yield Step("more", log)
        return "swallowed"

    with pytest.raises(KeyboardInterrupt):
        run(op())
    assert log == ["work", "more"]


def test_a_second_ctrl_c_abandons_the_clean_up() -> None:
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(working(log, interrupt, Step("roll back", log, interrupt), Step("release", log)))
    assert log == ["work", "roll back", "roll back abandoned with None"]


def test_an_abandoned_operation_gets_abandoned_at_every_yield() -> None:
    log: list[str] = []
    seen: list[str] = []

    def op() -> Operation[None]:
        try:
            try:
                yield Step("one", log, interrupt)
            finally:
                yield Step("two", log, interrupt)
        except Abandoned:
            seen.append("abandoned")
            yield Step("three", log)

    with pytest.raises(KeyboardInterrupt):
        run(op())
    assert seen == ["abandoned"]
    assert log == ["one", "two", "two abandoned with None", "three abandoned with None"]


class InterruptedAfterwards:
    """Performs, and then is interrupted before the reply is sent: what Ctrl-C between two bytecodes does."""

    def __init__(self, op: Operation[Any]) -> None:
        self.op = op

    def send(self, value: Any) -> Any:
        if value == "work":
            raise KeyboardInterrupt
        return self.op.send(value)

    def throw(self, exc: BaseException) -> Any:
        return self.op.throw(exc)

    @property
    def gi_suspended(self) -> bool:
        return True


def test_ctrl_c_between_perform_and_send_abandons_request_and_reply() -> None:
    log: list[str] = []
    op: Any = InterruptedAfterwards(working(log, None, Step("roll back", log)))
    with pytest.raises(KeyboardInterrupt):
        drive(op, kernel.BLOCKING)
    assert log == ["work", "work abandoned with work", "roll back abandoned with None"]


def test_ctrl_c_between_perform_and_send_in_async_code() -> None:
    log: list[str] = []
    op: Any = InterruptedAfterwards(working(log, None, Step("roll back", log)))

    async def main() -> None:
        with pytest.raises(KeyboardInterrupt):
            await adrive(op, ASYNCIO)

    asyncio.run(main())
    assert log == ["work", "work done", "work abandoned with work", "roll back abandoned with None"]


# -- cancellation ------------------------------------------------------------------------------------------------


def sleeping(seconds: float) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(seconds)


async def cancelled(op: Operation[Any], *pauses: float) -> asyncio.Task[Any]:
    """Drive *op* in a task, cancelling it after each of *pauses*; return the finished task."""
    task = asyncio.create_task(adrive(op, ASYNCIO))
    for pause in pauses:
        await asyncio.sleep(pause)
        task.cancel()
    await asyncio.wait({task})
    return task


async def test_a_cancelled_operation_cleans_up() -> None:
    log: list[str] = []
    task = await cancelled(working(log, sleeping(10), Step("roll back", log), Step("release", log)), 0.01)
    assert task.cancelled()
    assert log == ["work", "roll back", "roll back done", "release", "release done"]


async def test_second_and_third_cancellations_are_absorbed_while_it_cleans_up() -> None:
    log: list[str] = []
    clean_up = Step("roll back", log, sleeping(0.05)), Step("release", log, sleeping(0.05))
    task = await cancelled(working(log, sleeping(10), *clean_up), 0.01, 0.01, 0.01)
    assert task.cancelled()
    assert log == ["work", "roll back", "roll back done", "release", "release done"]


async def test_an_operation_that_swallows_the_cancellation_is_cancelled_all_the_same() -> None:
    log: list[str] = []

    def op() -> Operation[str]:
        try:
            yield Step("work", log, sleeping(10))
        except asyncio.CancelledError:
            yield Step("more", log, sleeping(0.01))
        return "swallowed"

    task = await cancelled(op(), 0.01)
    assert task.cancelled()
    assert log == ["work", "more", "more done"]


async def test_an_error_of_the_clean_up_does_not_hide_the_cancellation() -> None:
    log: list[str] = []

    def fail() -> None:
        raise ValueError("secret")

    task = await cancelled(working(log, sleeping(10), Step("roll back", log, fail)), 0.01)
    assert task.cancelled()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.__notes__ == ["dorm: clean-up after this ended with ValueError"]


async def test_clean_up_has_one_time_limit_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "CLEAN_UP_SECONDS", 0.8)
    log: list[str] = []
    clean_up = Step("roll back", log, sleeping(0.1)), Step("release", log, sleeping(10)), Step("last", log)
    task = await cancelled(working(log, sleeping(10), *clean_up), 0.01)
    assert task.cancelled()
    assert log == ["work", "roll back", "roll back done", "release", "release abandoned with None"]


async def test_timeout_is_a_timeout() -> None:
    log: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await arun(working(log, sleeping(10), Step("roll back", log, sleeping(0.02))))
    assert log == ["work", "roll back", "roll back done"]


def test_closing_the_coroutine_abandons_the_operation() -> None:
    log: list[str] = []

    class Forever:
        def __await__(self) -> Any:
            yield None

    async def wait() -> None:
        await Forever()

    coroutine = adrive(working(log, wait, Step("roll back", log)), ASYNCIO)
    coroutine.send(None)
    coroutine.close()
    assert log == ["work", "work abandoned with None", "roll back abandoned with None"]


def test_an_operation_that_never_ends_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kernel, "_MOST_ABANDONED_REQUESTS", 5)

    stubborn = True
    yields = 0

    def op() -> Operation[None]:
        nonlocal yields
        while stubborn:
            try:
                yields += 1
                yield Step("work", [], interrupt)
            except BaseException:
                continue

    running = op()
    with pytest.raises(KeyboardInterrupt):
        run(running)
    assert "was left after 5 x Abandoned" in caplog.text
    assert yields < 20
    stubborn = False
    running.close()


# -- a forgotten `yield from` ------------------------------------------------------------------------------------

_FORGOTTEN = """
import warnings
from dorm.db.operation import Operation, operation, run

@operation
def inner() -> Operation[int]:
    return 1
    yield

@operation
def forgetful() -> Operation[None]:
    inner()
    return None
    yield

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    run(forgetful())
print([f"{w.category.__name__}: {w.message}" for w in caught])
"""


@pytest.mark.parametrize(("switch", "expected"), [("1", "operation inner was built and never driven"), ("0", "[]")])
def test_a_forgotten_yield_from_is_reported_when_asked_for(switch: str, expected: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _FORGOTTEN],
        env={"DORM_CHECK_OPERATIONS": switch, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected in result.stdout
