"""Signals: connecting, sending, robust sending, weak receivers, senders by name."""

from __future__ import annotations

import gc
import logging
import threading
from typing import Any

import pytest

import dorm
from dorm.signals import ModelSignal, Signal, receiver


def test_receivers_are_called_in_order_with_what_is_sent() -> None:
    signal = Signal()
    seen: list[Any] = []

    def first(sender: Any, **told: Any) -> str:
        seen.append(("first", sender, told["value"], told["signal"] is signal))
        return "one"

    @receiver(signal, sender="x")
    def second(sender: Any, **told: Any) -> str:
        seen.append(("second", sender))
        return "two"

    signal.connect(first)
    assert signal.send("x", value=1) == [(second, "two"), (first, "one")]
    assert signal.send("y", value=2) == [(first, "one")]
    assert seen == [("second", "x"), ("first", "x", 1, True), ("first", "y", 2, True)]
    assert signal.is_connected
    assert signal.has_listeners()
    assert signal.disconnect(first)
    assert signal.disconnect(second, sender="x")
    assert not signal.disconnect(first)
    assert not signal.is_connected
    assert not signal.has_listeners()
    signal.connect(first, sender="x")
    assert signal.has_listeners("x")
    assert not signal.has_listeners("y")


def test_one_decorator_for_several_signals() -> None:
    one, two = Signal(), Signal()

    @receiver([one, two])
    def both(sender: Any, **told: Any) -> None: ...

    assert one.send(None) == two.send(None) == [(both, None)]


def test_a_uid_connects_once() -> None:
    signal = Signal()

    def make() -> Any:
        def called(sender: Any, **told: Any) -> int:
            return 1

        return called

    signal.connect(make(), weak=False, dispatch_uid="mine")
    signal.connect(make(), weak=False, dispatch_uid="mine")
    assert len(signal.send(None)) == 1
    assert signal.disconnect(dispatch_uid="mine")
    assert signal.send(None) == []


def test_weak_receivers_are_forgotten() -> None:
    signal = Signal()

    class Owner:
        def method(self, sender: Any, **told: Any) -> int:
            return 1

    owner = Owner()
    signal.connect(owner.method)
    assert len(signal.send(None)) == 1
    del owner
    gc.collect()
    assert signal.send(None) == []
    assert not signal.is_connected
    signal.connect(lambda sender, **told: 2, weak=False)
    gc.collect()
    assert [answer for _, answer in signal.send(None)] == [2]


def test_errors_are_logged_or_raised(caplog: pytest.LogCaptureFixture) -> None:
    def fails(sender: Any, **told: Any) -> None:
        raise KeyError("x")

    def answers(sender: Any, **told: Any) -> int:
        return 1

    for signal in (Signal(), Signal(raise_exceptions=True)):
        signal.connect(fails)
        signal.connect(answers)
        with caplog.at_level(logging.ERROR, "dorm.signals"):
            found = signal.send_robust(None)
        assert isinstance(found[0][1], KeyError)
        assert found[1] == (answers, 1)
        assert "fails raised" in caplog.text
    with pytest.raises(KeyError):
        signal.send(None)


async def test_coroutine_receivers_run_from_async_code(caplog: pytest.LogCaptureFixture) -> None:
    signal = Signal()

    async def called(sender: Any, **told: Any) -> int:
        return 3

    async def fails(sender: Any, **told: Any) -> int:
        raise KeyError("x")

    signal.connect(called)
    assert await signal.asend(None) == [(called, 3)]
    with caplog.at_level(logging.WARNING, "dorm.signals"):
        assert signal.send(None) == []
        assert signal.send(None) == []
    assert caplog.text.count("async receiver was skipped") == 1
    signal.connect(fails)
    assert isinstance((await signal.asend_robust(None))[1][1], KeyError)


def test_wrong_receivers_are_refused() -> None:
    signal = Signal()
    with pytest.raises(TypeError, match="must be callable"):
        signal.connect(1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must accept keyword arguments"):
        signal.connect(lambda sender: None)


def test_a_sender_may_be_named_before_it_is_declared() -> None:
    signal = ModelSignal()

    def called(sender: Any, **told: Any) -> int:
        return 1

    signal.connect(called, sender="named.Later")

    class Later(dorm.Model):
        class Meta:
            app_label = "named"

    assert signal.send(Later) == [(called, 1)]
    assert signal.send(dorm.Model) == []
    assert signal.disconnect(called, sender="named.Later")
    with pytest.raises(ValueError, match=r"'app.Model'"):
        signal.connect(called, sender="Later")


def test_a_receiver_may_die_while_another_one_is_connected() -> None:
    """The garbage collector runs where it likes, also between the lines that hold the lock."""
    signal = Signal()
    done = threading.Event()

    def work() -> None:
        def receiver(**told: Any) -> None:
            pass

        signal.connect(receiver)
        with signal._lock:
            del receiver
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(20)
    assert not signal.is_connected


def test_threads_connect_send_and_disconnect_at_once() -> None:
    signal = Signal()
    told: list[int] = []
    failed: list[BaseException] = []
    signal.connect(always := lambda value, **more: told.append(value))

    def work(number: int) -> None:
        def mine(**more: Any) -> None:
            pass

        try:
            for _ in range(200):
                signal.connect(mine)
                signal.send("x", value=number)
                assert signal.disconnect(mine)
                assert not signal.disconnect(mine)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert len(told) == 1600
    assert signal.live_receivers(None) == [(always, False)]
