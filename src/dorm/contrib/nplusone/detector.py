"""The detector of a block of code, and what it finds."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import time
from types import TracebackType
from typing import Any, Final, Self

from dorm.contrib.callsite import call_site
from dorm.contrib.nplusone.hints import hint_for
from dorm.contrib.nplusone.scopes import MOST_KEYS, is_ignored
from dorm.db import hooks
from dorm.db.forks import in_child
from dorm.db.request import StatementRequest
from dorm.db.template import first_word, template_of

DEFAULT_IGNORE: Final = (
    "ALTER", "ANALYZE", "BEGIN", "COMMENT", "COMMIT", "CREATE", "DROP", "END", "EXPLAIN", "GRANT", "PRAGMA", "REINDEX",
    "RELEASE", "REVOKE", "ROLLBACK", "SAVEPOINT", "SET", "SHOW", "START", "TRUNCATE", "VACUUM",
)  # fmt: skip
"""First keywords of statements that are not counted."""

MOST_FINDINGS: Final = 1000
MOST_RECENT: Final = 200
"""Findings kept for `recent_findings`."""
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
            if len(self.counts) >= MOST_KEYS and template not in self.counts:
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
        """What the parent found is the parent's."""
        self.lock = threading.Lock()
        _recent.clear()


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
    if detectors and not is_ignored():
        template = template_of(request.statement, request.source.vendor)
        for detector in detectors:
            detector.saw(template, request.source.alias)


@contextmanager
def detect(*, threshold: int = 5, raise_on_detect: bool = False) -> Generator[NPlusOneDetector]:
    """Collect what the block repeats; see `NPlusOneDetector`."""
    with NPlusOneDetector(threshold, raise_on_detect=raise_on_detect) as detector:
        yield detector


@asynccontextmanager
async def adetect(*, threshold: int = 5, raise_on_detect: bool = False) -> AsyncGenerator[NPlusOneDetector]:
    """Async twin of `detect`."""
    with NPlusOneDetector(threshold, raise_on_detect=raise_on_detect) as detector:
        yield detector


@contextmanager
def assert_no_nplusone(threshold: int = 5) -> Generator[NPlusOneDetector]:
    """Raise `NPlusOneError` from the statement that the block repeats more than *threshold* times."""
    with NPlusOneDetector(threshold, raise_on_detect=True) as detector:
        yield detector
