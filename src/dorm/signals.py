"""Signals: telling whoever asked that something happened. Receivers may be functions or coroutine functions."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

from dorm.conf.registry import registry

_log = logging.getLogger("dorm.signals")

Receiver: TypeAlias = Callable[..., Any]
Answers: TypeAlias = list[tuple[Receiver, Any]]


class _Connected:
    """One connected receiver, held weakly unless asked otherwise."""

    __slots__ = ("is_async", "key", "receiver", "sender")

    def __init__(self, receiver: Receiver, sender: Any, weak: bool, uid: object, gone: Callable[[Any], None]) -> None:
        from inspect import iscoroutinefunction  # late: `inspect` takes long, and few programs have receivers

        self.key = (uid if uid is not None else _identity(receiver), None if sender is None else id(sender))
        self.sender = sender
        self.is_async = iscoroutinefunction(receiver)
        self.receiver: Callable[[], Receiver | None] = (lambda: receiver) if not weak else _weak(receiver, gone)


def _identity(receiver: Receiver) -> object:
    owner = getattr(receiver, "__self__", None)
    return (id(owner), id(getattr(receiver, "__func__", receiver)))


def _weak(receiver: Receiver, gone: Callable[[Any], None]) -> Callable[[], Receiver | None]:
    if getattr(receiver, "__self__", None) is not None:
        return weakref.WeakMethod(receiver, gone)
    return weakref.ref(receiver, gone)


class Signal:
    """Something that can be listened to.

    Attributes:
        is_connected: somebody listens to some sender; what costs nothing to ask before anything is sent.

    Args:
        raise_exceptions: what a receiver raises reaches the sender; else it is logged and the next one is called.
    """

    def __init__(self, *, raise_exceptions: bool = False) -> None:
        self.raise_exceptions = raise_exceptions
        self.is_connected = False
        self._connected: tuple[_Connected, ...] = ()
        # A receiver may be collected, and forgotten, while this very thread holds the lock.
        self._lock = threading.RLock()
        self._warned = False

    def connect(self, receiver: Receiver, sender: Any = None, weak: bool = True, dispatch_uid: object = None) -> None:
        """Call *receiver* with ``signal``, ``sender`` and what is sent.

        Args:
            receiver: function, method or coroutine function that takes keyword arguments.
            sender: only this sender; None for all.
            weak: forget the receiver when nothing else refers to it.
            dispatch_uid: an identity of the connection; the same one again is ignored.
        """
        if not callable(receiver):
            raise TypeError(f"a signal's receiver must be callable, not {type(receiver).__name__}")
        if not _takes_keywords(receiver):
            raise ValueError("Signal receivers must accept keyword arguments (**kwargs).")
        made = _Connected(receiver, sender, weak, dispatch_uid, self._forget)
        with self._lock:
            if all(each.key != made.key for each in self._connected):
                self._connected = (*self._connected, made)
                self.is_connected = True

    def disconnect(self, receiver: Receiver | None = None, sender: Any = None, dispatch_uid: object = None) -> bool:
        """Undo a `connect` with the same arguments; return whether there was one."""
        identity = dispatch_uid if dispatch_uid is not None else _identity(receiver) if receiver else None
        key = (identity, None if sender is None else id(sender))
        with self._lock:
            kept = tuple(each for each in self._connected if each.key != key)
            found = len(kept) != len(self._connected)
            self._connected = kept
            self.is_connected = bool(kept)
        return found

    def _forget(self, reference: Any) -> None:
        with self._lock:
            self._connected = tuple(each for each in self._connected if each.receiver() is not None)
            self.is_connected = bool(self._connected)

    def has_listeners(self, sender: Any = None) -> bool:
        """Return whether anybody listens to this sender; for *sender* None, to all senders."""
        return self.is_connected and bool(self.live_receivers(sender))

    def live_receivers(self, sender: Any) -> list[tuple[Receiver, bool]]:
        """Return the receivers for *sender* in the order they were connected, each with whether it is a coroutine's."""
        found = []
        for each in self._connected:
            receiver = each.receiver()
            if receiver is not None and (each.sender is None or each.sender is sender):
                found.append((receiver, each.is_async))
        return found

    def skip_async(self, **told: Any) -> None:
        """Stand in for a coroutine receiver in blocking code: it is not called, which is logged once a signal."""
        if not self._warned:
            self._warned = True
            _log.warning("an async receiver was skipped by a blocking call: async receivers run from async code only")

    def _failed(self, receiver: Receiver, exc: Exception, robust: bool) -> Exception:
        if self.raise_exceptions and not robust:
            raise exc
        _log.error("receiver %s raised", getattr(receiver, "__qualname__", receiver), exc_info=exc)
        return exc

    def send(self, sender: Any, **told: Any) -> Answers:
        """Call the receivers; return each with its answer. Coroutine receivers are skipped."""
        return self._send(sender, told, robust=False)

    def send_robust(self, sender: Any, **told: Any) -> Answers:
        """As `send`, but what a receiver raises is logged and becomes its answer, whatever `raise_exceptions` says."""
        return self._send(sender, told, robust=True)

    async def asend(self, sender: Any, **told: Any) -> Answers:
        """Call the receivers, awaiting coroutine ones; return each with its answer."""
        return await self._asend(sender, told, robust=False)

    async def asend_robust(self, sender: Any, **told: Any) -> Answers:
        """As `asend`, but what a receiver raises is logged and becomes its answer."""
        return await self._asend(sender, told, robust=True)

    def _send(self, sender: Any, told: dict[str, Any], robust: bool) -> Answers:
        answers: Answers = []
        for receiver, is_async in self.live_receivers(sender):
            if is_async:
                self.skip_async()
                continue
            try:
                answers.append((receiver, receiver(signal=self, sender=sender, **told)))
            except Exception as exc:  # noqa: BLE001  # a stated boundary: logged, or raised, by _failed
                answers.append((receiver, self._failed(receiver, exc, robust)))
        return answers

    async def _asend(self, sender: Any, told: dict[str, Any], robust: bool) -> Answers:
        answers: Answers = []
        for receiver, is_async in self.live_receivers(sender):
            try:
                answer = receiver(signal=self, sender=sender, **told)
                answers.append((receiver, await answer if is_async else answer))
            except Exception as exc:  # noqa: BLE001  # a stated boundary: logged, or raised, by _failed
                answers.append((receiver, self._failed(receiver, exc, robust)))
        return answers


class ModelSignal(Signal):
    """A signal whose senders are models: a sender may be named as ``"app.Model"`` before it is declared."""

    def connect(self, receiver: Receiver, sender: Any = None, weak: bool = True, dispatch_uid: object = None) -> None:
        if not isinstance(sender, str):
            super().connect(receiver, sender, weak, dispatch_uid)
            return
        app, name = _model_name(sender)
        registry.when_ready(app, name, lambda model: Signal.connect(self, receiver, model, weak, dispatch_uid))

    def disconnect(self, receiver: Receiver | None = None, sender: Any = None, dispatch_uid: object = None) -> bool:
        if isinstance(sender, str):
            app, name = _model_name(sender)
            sender = registry.get(app, name.rpartition(".")[2])
        return super().disconnect(receiver, sender, dispatch_uid)


def _model_name(sender: str) -> tuple[str, str]:
    app, dot, _ = sender.rpartition(".")
    if not dot:
        raise ValueError(f"a sender is a model or its name as 'app.Model', not {sender!r}")
    return app, sender


def _takes_keywords(receiver: Receiver) -> bool:
    from inspect import signature

    try:
        parameters = signature(receiver).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def receiver(signal: Signal | list[Signal] | tuple[Signal, ...], **options: Any) -> Callable[[Receiver], Receiver]:
    """Decorator: connect the function to one signal or several; *options* are those of `Signal.connect`."""

    def connect(fn: Receiver) -> Receiver:
        for each in signal if isinstance(signal, (list, tuple)) else [signal]:
            each.connect(fn, **options)
        return fn

    return connect


class_prepared = Signal(raise_exceptions=True)
pre_init = ModelSignal(raise_exceptions=True)
post_init = ModelSignal(raise_exceptions=True)
pre_save = ModelSignal(raise_exceptions=True)
post_save = ModelSignal(raise_exceptions=True)
pre_delete = ModelSignal(raise_exceptions=True)
post_delete = ModelSignal(raise_exceptions=True)
m2m_changed = ModelSignal(raise_exceptions=True)
pre_query = Signal()
post_query = Signal()
pre_migrate = Signal(raise_exceptions=True)
post_migrate = Signal(raise_exceptions=True)
