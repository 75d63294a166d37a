"""One statement a row: found by template and call site, in the request, task or thread that does it.

The detector is a gate of the chain: in raise mode the statement that crosses the threshold is refused before anything
is sent, so a transaction stays usable. The report names the line of the user's code and what mends it.

Counts belong to a *scope*: a request (`request_scope`, the ASGI middleware), else the tree of tasks that began in one
task, else the thread, which begins anew after a second without statements.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import site
import sys
import sysconfig
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic, time
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

from dorm.conf.registry import registry
from dorm.conf.settings import settings
from dorm.db import hooks
from dorm.db.forks import in_child
from dorm.db.request import StatementRequest
from dorm.db.template import first_word, template_of
from dorm.exceptions import ImproperlyConfigured

_log = logging.getLogger("dorm.contrib.nplusone")

DEFAULT_IGNORE: Final = (
    "ALTER", "ANALYZE", "BEGIN", "COMMENT", "COMMIT", "CREATE", "DROP", "END", "EXPLAIN", "GRANT", "PRAGMA", "REINDEX",
    "RELEASE", "REVOKE", "ROLLBACK", "SAVEPOINT", "SET", "SHOW", "START", "TRUNCATE", "VACUUM",
)  # fmt: skip
"""First keywords of statements that are not counted."""

MOST_FINDINGS: Final = 1000
MOST_RECENT: Final = 200
"""Findings kept for `recent_findings`."""
_MOST_KEYS = 5_000
_IDLE_SECONDS = 1.0
_SITES_FACTOR = 5
_LONGEST_TEMPLATE = 500


class NPlusOneError(AssertionError):
    """A statement ran more often in one scope than the threshold allows; it was not sent."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement that was repeated.

    Attributes:
        site: ``file:line`` of the user's code; ``"many call sites"`` when it came from several.
        hint: what would mend it, as far as the models tell. at: when, in Unix seconds.
    """

    template: str
    count: int
    threshold: int
    site: str
    hint: str
    alias: str
    at: float = field(default_factory=time, compare=False)

    def __str__(self) -> str:
        return (
            f"N+1: {self.count} statements of one template (threshold {self.threshold}) at {self.site}: "
            f"{self.template[:_LONGEST_TEMPLATE]}{f' -- {self.hint}' if self.hint else ''}"
        )


# -- counting ----------------------------------------------------------------------------------------------------


class Scope:
    """Counts of one request, tree of tasks, or thread."""

    __slots__ = ("__weakref__", "counts", "reported", "sums", "touched")

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.sums: dict[str, int] = {}
        self.reported: set[tuple[str, str]] = set()
        self.touched = monotonic()

    def clear(self) -> None:
        """Begin anew."""
        self.counts.clear()
        self.sums.clear()
        self.reported.clear()

    def count(self, template: str, where: str, threshold: int) -> tuple[int, str] | None:
        """Count one statement; return count and call site when it crosses the threshold for the first time."""
        if len(self.counts) >= _MOST_KEYS:
            self.clear()
        key = (template, where)
        number = self.counts[key] = self.counts.get(key, 0) + 1
        total = self.sums[template] = self.sums.get(template, 0) + 1
        if number > threshold and key not in self.reported:
            self.reported.add(key)
            return number, where
        everywhere = (template, "")
        if total > threshold * _SITES_FACTOR and number <= threshold and everywhere not in self.reported:
            self.reported.add(everywhere)
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
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
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


@contextmanager
def request_scope() -> Iterator[Scope]:
    """Count what the block does, tasks it starts included, apart from everything else; works in async code too."""
    before = _scope.get()
    scope = Scope()
    _scope.set(_Holder(scope, bounded=True))
    try:
        yield scope
    finally:
        _scope.set(before)


@contextmanager
def ignore_nplusone() -> Iterator[None]:
    """Don't count what the block does: keyset pagination and bulk workers repeat statements for good reasons."""
    before = _ignored.get()
    _ignored.set(True)
    try:
        yield
    finally:
        _ignored.set(before)


# -- call sites --------------------------------------------------------------------------------------------------

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NOT_USERS = tuple(
    {
        _OWN,
        sysconfig.get_path("stdlib") + os.sep,
        sysconfig.get_path("purelib") + os.sep,
        sysconfig.get_path("platlib") + os.sep,
        *(folder + os.sep for folder in site.getsitepackages()),
        f"{os.sep}site-packages{os.sep}",
        "<frozen",
    }
)
_users: dict[str, bool] = {}


def _is_users(filename: str) -> bool:
    found = _users.get(filename)
    if found is None:
        inside = filename.startswith(_NOT_USERS) or f"{os.sep}site-packages{os.sep}" in filename
        if len(_users) > _MOST_KEYS:
            _users.clear()
        found = _users[filename] = not inside
    return found


def call_site() -> str:
    """Return ``file:line`` of the innermost frame outside dorm, the standard library and installed packages."""
    frame = sys._getframe(1)
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]  # None at the end of the stack
    return "unknown"


# -- what mends it -----------------------------------------------------------------------------------------------

_BY_COLUMN = re.compile(
    r'^SELECT .* FROM ["`]?(?P<table>\w+)["`]?(?: AS ["`]?\w+["`]?)? WHERE .*?'
    r'["`]?(?P<column>\w+)["`]? (?:= \?|= ANY\(|IN\()'
)


def hint_for(template: str) -> str:
    """Return what would fetch the rows of *template* at once, naming model and relation; empty if it is no look-up."""
    found = _BY_COLUMN.match(template)
    if found is None:
        return ""
    table, column = found["table"], found["column"]
    models = registry.all()
    model = next((each for each in models if each._meta.db_table == table), None)
    if model is None:
        return "fetch the rows at once: select_related(), prefetch_related(), or __in"
    if column == model._meta.pk.column:
        return _forward_hint(model, models)
    field = next((each for each in model._meta.fields if each.column == column), None)
    if field is not None and field.is_relation:
        return _reverse_hint(model, field)
    return f"fetch the rows at once: {model.__name__}.objects.filter({column}__in=[...]) or in_bulk()"


def _forward_hint(model: Any, models: list[Any]) -> str:
    paths = [
        f"{each.__name__}.objects.select_related({field.name!r})"
        for each in models
        for field in each._meta.fields
        if field.is_relation and getattr(field, "target", None) is model
    ]
    if not paths:
        return f"fetch the rows at once: {model.__name__}.objects.in_bulk(keys)"
    return f"fetch {model.__name__} with its owner: {' or '.join(paths[:3])}, or fetch_mode(FETCH_PEERS)"


def _reverse_hint(model: Any, field: Any) -> str:
    owner = field.target
    for name, relation in owner._meta.relations.items():
        if getattr(relation, "field", None) is field:
            accessor = getattr(relation, "accessor", name)
            return f"fetch them with {owner.__name__}.objects.prefetch_related({accessor!r})"
    return f"fetch them with {model.__name__}.objects.filter({field.name}__in=[...])"


# -- the detector ------------------------------------------------------------------------------------------------


_recent: deque[Finding] = deque(maxlen=MOST_RECENT)


def recent_findings() -> list[Finding]:
    """Return the latest findings of every detector of this process, oldest first, at most `MOST_RECENT`."""
    return list(_recent)


class NPlusOneDetector:
    """Counts the statements of a block of code by template; a context manager, to be entered once at a time.

    Args:
        threshold: a template is found when it runs more often.
        raise_on_detect: raise `NPlusOneError` from the statement that crosses it, before it is sent; else collect.
        ignore: first keywords that are not counted.
    Attributes:
        counts: statements by template. findings: (template, count) of each template found, at most `MOST_FINDINGS`.
        details: the same as `Finding`, with call site and hint.
    """

    def __init__(
        self, threshold: int = 5, *, raise_on_detect: bool = True, ignore: Iterable[str] | None = DEFAULT_IGNORE
    ) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < 1:
            raise ValueError(f"threshold must be a whole number from 1, not {threshold!r}")
        if isinstance(ignore, str):
            raise TypeError("ignore takes a list of first keywords, not one text")
        self.threshold = threshold
        self.raise_on_detect = raise_on_detect
        self.ignore = frozenset(word.upper() for word in (DEFAULT_IGNORE if ignore is None else ignore))
        self.counts: dict[str, int] = {}
        self.findings: deque[tuple[str, int]] = deque(maxlen=MOST_FINDINGS)
        self.details: deque[Finding] = deque(maxlen=MOST_FINDINGS)
        self._reported: set[str] = set()
        self._uninstall: hooks.Uninstall | None = None
        self._forked()
        in_child(self, NPlusOneDetector._forked)

    def _forked(self) -> None:
        self._lock = threading.Lock()

    # -- as a block: whatever its context does, tasks included ---------------------------------------------------
    def __enter__(self) -> Self:
        if self._uninstall is not None:
            raise RuntimeError("this detector is in use already: make one for each block")
        self.counts.clear()
        self.findings.clear()
        self.details.clear()
        self._reported.clear()
        self._before = _detectors.get()
        _detectors.set((*self._before, self))
        self._uninstall = _share_gate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        remove, self._uninstall = self._uninstall, None
        _detectors.set(self._before)
        if remove is not None:
            remove()

    def saw(self, template: str, alias: str) -> None:
        """Count one statement of the block; raise `NPlusOneError` where that was asked for."""
        if first_word(template) in self.ignore:
            return
        with self._lock:
            if len(self.counts) >= _MOST_KEYS and template not in self.counts:
                return
            number = self.counts[template] = self.counts.get(template, 0) + 1
            if number <= self.threshold or template in self._reported:
                return
            self._reported.add(template)
        self.found(Finding(template, number, self.threshold, call_site(), hint_for(template), alias))

    def found(self, finding: Finding) -> None:
        """Keep a finding, and raise it where that was asked for."""
        with self._lock:
            self.findings.append((finding.template, finding.count))
            self.details.append(finding)
        _recent.append(finding)
        if self.raise_on_detect:
            raise NPlusOneError(str(finding))

    def report(self) -> str:
        """Return the findings, one a line; ``no N+1 detected`` when there are none."""
        return "\n".join(map(str, self.details)) or "no N+1 detected"


_detectors: ContextVar[tuple[NPlusOneDetector, ...]] = ContextVar("dorm_nplusone_detectors", default=())


class _SharedGate:
    """One gate for all blocks, in the chain while there is any."""

    def __init__(self) -> None:
        self.users = 0
        self.remove: hooks.Uninstall | None = None
        self.forked()
        in_child(self, _SharedGate.forked)

    def forked(self) -> None:
        self.lock = threading.Lock()


_shared = _SharedGate()


def _share_gate() -> hooks.Uninstall:
    with _shared.lock:
        _shared.users += 1
        if _shared.remove is None:
            _shared.remove = hooks.install_gate(_block_gate)

    def leave() -> None:
        with _shared.lock:
            _shared.users -= 1
            if not _shared.users and _shared.remove is not None:
                _shared.remove()
                _shared.remove = None

    return leave


def _block_gate(request: StatementRequest[Any]) -> None:
    detectors = _detectors.get()
    if detectors and not _ignored.get():
        template = template_of(request.statement, request.source.vendor)
        for detector in detectors:
            detector.saw(template, request.source.alias)


@contextmanager
def detect(*, threshold: int = 5, raise_on_detect: bool = False) -> Iterator[NPlusOneDetector]:
    """Collect what the block repeats; see `NPlusOneDetector`."""
    with NPlusOneDetector(threshold, raise_on_detect=raise_on_detect) as detector:
        yield detector


@asynccontextmanager
async def adetect(*, threshold: int = 5, raise_on_detect: bool = False) -> AsyncIterator[NPlusOneDetector]:
    """Async twin of `detect`."""
    with NPlusOneDetector(threshold, raise_on_detect=raise_on_detect) as detector:
        yield detector


@contextmanager
def assert_no_nplusone(threshold: int = 5) -> Iterator[NPlusOneDetector]:
    """Raise `NPlusOneError` from the statement that the block repeats more than *threshold* times."""
    with NPlusOneDetector(threshold, raise_on_detect=True) as detector:
        yield detector


# -- the whole process -------------------------------------------------------------------------------------------


class _Global:
    def __init__(self) -> None:
        self.detector: NPlusOneDetector | None = None
        self.uninstall: hooks.Uninstall | None = None
        self.asked = False
        self.forked()
        in_child(self, _Global.forked)

    def forked(self) -> None:
        self.lock = threading.RLock()


_global = _Global()


def install_debug_global() -> NPlusOneDetector | None:
    """Detect in the whole process, as ``DEBUG_NPLUSONE`` and ``DEBUG_NPLUSONE_THRESHOLD`` say.

    Returns: the detector, the same object for repeated calls; None, with nothing installed, when the setting is off.
    `dorm.configure` with a truthy ``DEBUG_NPLUSONE`` calls this by itself, and follows later changes.
    """
    mode, threshold = _mode()
    if mode is None:
        uninstall_debug_global()
        return None
    _inherits.set(True)
    with _global.lock:
        detector = _global.detector
        if detector is None:
            detector = _global.detector = NPlusOneDetector(threshold)
            _global.uninstall = hooks.install_gate(_global_gate)
            if not settings.DEBUG:
                _log.warning("DEBUG_NPLUSONE is active outside DEBUG: every statement is counted")
        detector.threshold = threshold
        detector.raise_on_detect = mode == "raise"
    return detector


def uninstall_debug_global() -> None:
    """Take the global detector out."""
    with _global.lock:
        remove, _global.uninstall, _global.detector = _global.uninstall, None, None
    if remove is not None:
        remove()


def apply_settings() -> None:
    """Install, change or remove the global detector as the settings say; `dorm.configure` calls it."""
    install_debug_global()


def global_detector() -> NPlusOneDetector | None:
    """Return the detector of the process, None when it is off."""
    return _global.detector


def _mode() -> tuple[str | None, int]:
    value: Any = getattr(settings, "DEBUG_NPLUSONE", False) if settings.is_configured else False
    if value is True:
        value = "log"
    if not value:
        return None, 0
    if not isinstance(value, str) or value.lower() not in ("log", "raise"):
        raise ImproperlyConfigured(f"DEBUG_NPLUSONE takes False, True, 'log' or 'raise', not {value!r}.")
    threshold = settings.DEBUG_NPLUSONE_THRESHOLD
    if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < 1:
        raise ImproperlyConfigured(f"DEBUG_NPLUSONE_THRESHOLD takes a whole number from 1, not {threshold!r}.")
    return value.lower(), threshold


def _global_gate(request: StatementRequest[Any]) -> None:
    detector = _global.detector
    if detector is None or _ignored.get():
        return
    template = template_of(request.statement, request.source.vendor)
    if first_word(template) in detector.ignore:
        return
    crossed = current_scope().count(template, call_site(), detector.threshold)
    if crossed is None:
        return
    number, where = crossed
    finding = Finding(template, number, detector.threshold, where, hint_for(template), request.source.alias)
    if not detector.raise_on_detect:
        _log.warning("%s", finding)
    detector.found(finding)
