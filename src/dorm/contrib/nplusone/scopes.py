"""Counts of statements by template and call site, of one request, tree of tasks or thread."""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio import _get_running_loop
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

from dorm.contrib.callsite import call_site
from dorm.db.forks import in_child
from dorm.db.template import first_word

MOST_KEYS: Final = 5_000
"""Templates and call sites that a scope keeps apart; it begins anew with more."""

_IDLE_SECONDS = 1.0
_SITES_FACTOR = 5

_lock = threading.Lock()


def _forked(module: Any) -> None:
    module._lock = threading.Lock()


in_child(sys.modules[__name__], _forked)


class Scope:
    """Counts of one request, tree of tasks, or thread."""

    __slots__ = ("__weakref__", "_places", "_reported", "_sites", "_sums", "touched")

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}
        self._sites: dict[str, dict[str, int]] = {}
        self._places = 0
        self._reported: set[tuple[str, str]] = set()
        self.touched = monotonic()

    def clear(self) -> None:
        """Begin anew."""
        self._sums.clear()
        self._sites.clear()
        self._places = 0
        self._reported.clear()

    def count(self, template: str, threshold: int, ignored: frozenset[str]) -> tuple[int, str] | None:
        """Count one statement; return count and call site when it crosses the threshold for the first time.

        Templates that begin with an *ignored* keyword are not counted.

        The stack is looked at from half of the threshold on: most statements of a request are not repeated at all. What
        was counted before that belongs to the call site that follows, as long as there is only one.
        """
        sums = self._sums
        total = sums.get(template, 0) + 1
        if total == 1:
            if first_word(template) in ignored:
                return None
            if len(sums) >= MOST_KEYS:
                self.clear()
        sums[template] = total
        return None if total * 2 < threshold else self._placed(template, total, threshold, call_site())

    def _placed(self, template: str, total: int, threshold: int, where: str) -> tuple[int, str] | None:
        with _lock:
            sites = self._sites.setdefault(template, {})
            if where not in sites:
                self._places += 1
                if self._places > MOST_KEYS:
                    self.clear()
                    return None
            number = sites[where] = sites.get(where, 0) + 1
            if len(sites) == 1:
                number = total
            if number > threshold and (template, where) not in self._reported:
                self._reported.add((template, where))
                return number, where
            if number <= threshold and total > threshold * _SITES_FACTOR and (template, "") not in self._reported:
                self._reported.add((template, ""))
                return total, "many call sites"
        return None


class _Holder:
    """A scope in a context variable, and whether it ends with a block (a request) or with whoever holds it."""

    __slots__ = ("bounded", "scope")

    def __init__(self, scope: Scope, bounded: bool) -> None:
        self.scope = scope
        self.bounded = bounded


_scope: ContextVar[_Holder | None] = ContextVar("dorm_nplusone_scope", default=None)
_ignored: ContextVar[bool] = ContextVar("dorm_nplusone_ignored", default=False)
_inherits: ContextVar[bool] = ContextVar("dorm_nplusone_inherits", default=False)
"""Set where the detector is installed: a task without it was started in a fresh context and belongs to nobody."""
_threads = threading.local()
_groups: WeakKeyDictionary[Any, Scope] = WeakKeyDictionary()


def current_scope() -> Scope:
    """Return the scope of the code running now."""
    holder = _scope.get()
    if holder is not None and holder.bounded:
        return holder.scope
    task = asyncio.current_task() if _get_running_loop() is not None else None
    if task is None:
        return _of_thread()
    if holder is None:
        holder = _Holder(_of_siblings(task) or Scope(), bounded=False)
        _scope.set(holder)
    return _fresh(holder.scope)


def _of_thread() -> Scope:
    scope: Scope | None = getattr(_threads, "scope", None)
    if scope is None:
        scope = _threads.scope = Scope()
    return _fresh(scope)


def _fresh(scope: Scope) -> Scope:
    now = monotonic()
    if now - scope.touched > _IDLE_SECONDS:
        scope.clear()
    scope.touched = now
    return scope


def _of_siblings(task: asyncio.Task[Any]) -> Scope | None:
    """Return the scope that the tasks of one gather(), TaskGroup or waiting task share, when none was inherited.

    Their parent has sent nothing yet, so it has no scope they could have copied; who waits for a task stands in its
    callbacks.
    """
    if not _inherits.get():
        return None
    for entry in getattr(task, "_callbacks", None) or ():
        callback = entry[0]
        group = getattr(callback, "__self__", None)
        if group is None:
            free = getattr(getattr(callback, "__code__", None), "co_freevars", ())
            cells: dict[str, Any] = dict(zip(free, getattr(callback, "__closure__", None) or (), strict=False))
            cell = cells.get("outer")
            group = cell.cell_contents if cell is not None else None
        if group is not None:
            try:
                return _groups.setdefault(group, Scope())
            except TypeError:
                return None
    return None


def inherit() -> None:
    """Have tasks that are started from here on belong together."""
    _inherits.set(True)


@contextmanager
def request_scope() -> Generator[Scope]:
    """Count what the block does, tasks it starts included, apart from everything else; works in async code too."""
    before = _scope.get()
    scope = Scope()
    _scope.set(_Holder(scope, bounded=True))
    try:
        yield scope
    finally:
        _scope.set(before)


def is_ignored() -> bool:
    """True within `ignore_nplusone`."""
    return _ignored.get()


@contextmanager
def ignore_nplusone() -> Generator[None]:
    """Don't count what the block does: keyset pagination and bulk workers repeat statements for good reasons."""
    before = _ignored.get()
    _ignored.set(True)
    try:
        yield
    finally:
        _ignored.set(before)
