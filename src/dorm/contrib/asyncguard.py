"""Finds blocking statements in asyncio code: a sync query on a thread whose event loop is running stalls every task."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, Final, Literal

from dorm.contrib.callsite import call_site
from dorm.db import hooks
from dorm.db.operation import Operation
from dorm.db.request import CurrentFace, StatementRequest
from dorm.exceptions import SynchronousOnlyOperation

_log = logging.getLogger("dorm.asyncguard")
Mode = Literal["warn", "raise", "raise_first"]
MODES: Final = ("warn", "raise", "raise_first")
_MOST_SITES = 1_000


class SyncCallInAsyncContext(SynchronousOnlyOperation):
    """A blocking statement on a thread with a running event loop; it was not sent."""


class _Guard:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.mode: str = "warn"
        self.uninstall: hooks.Uninstall | None = None
        self.sites: set[str] = set()


_guard = _Guard()


def enable_async_guard(mode: Mode = "warn") -> hooks.Uninstall:
    """Guard the whole process; called again it changes the mode. Return `disable_async_guard`.

    Args:
        mode: ``"warn"`` logs once a call site on ``dorm.asyncguard``; ``"raise"`` raises `SyncCallInAsyncContext`
            before anything is sent; ``"raise_first"`` raises once a call site and logs from then on.
    """
    if mode not in MODES:
        raise ValueError(f"mode takes one of {', '.join(MODES)}, not {mode!r}")
    with _guard.lock:
        _guard.mode = mode
        _guard.sites.clear()
        if _guard.uninstall is None:
            _guard.uninstall = hooks.install(_checked)
    return disable_async_guard


def disable_async_guard() -> None:
    """Take the guard out."""
    with _guard.lock:
        remove, _guard.uninstall = _guard.uninstall, None
    if remove is not None:
        remove()


def _checked(request: StatementRequest[Any], proceed: hooks.Proceed) -> Operation[Any]:
    if (yield CurrentFace()) == "sync" and _loop_runs():
        _found(call_site())
    return (yield from proceed(request))


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _found(where: str) -> None:
    text = f"a blocking statement at {where} runs on a thread with a running event loop: await its a-prefixed twin"
    with _guard.lock:
        is_new = where not in _guard.sites
        if len(_guard.sites) < _MOST_SITES:
            _guard.sites.add(where)
    if _guard.mode == "raise" or (_guard.mode == "raise_first" and is_new):
        raise SyncCallInAsyncContext(text)
    if is_new or _guard.mode == "raise_first":
        _log.warning("%s", text)
