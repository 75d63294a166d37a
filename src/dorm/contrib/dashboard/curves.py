"""Latency over time in bounded memory: steps of ten seconds, each with a small histogram."""

from __future__ import annotations

import math
import threading
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from time import time
from typing import Final

from dorm.contrib.backlog import Key
from dorm.db.forks import in_child

STEP_SECONDS: Final = 10
MOST_STEPS: Final = 120
"""Steps kept: the latest twenty minutes."""

MOST_SERIES: Final = 200
"""Templates with a curve of their own; a busy one takes some 40 kB."""

_SMALLEST_MS = 0.01
_RATIO = 1.25
_BINS = 64
_BOUNDS = tuple(_SMALLEST_MS * _RATIO**place for place in range(1, _BINS))
"""Where the bins end, milliseconds."""


def place_of(ms: float) -> int:
    """Return the place of the bin that counts statements of *ms* milliseconds."""
    return bisect_right(_BOUNDS, ms)


class Step:
    """What happened in one step; a quantile is right to one bin, 12 % up or down."""

    __slots__ = ("at", "bins", "count", "errors", "longest")

    def __init__(self, at: int) -> None:
        self.at = at
        self.bins = array("I", bytes(4 * _BINS))
        self.count = 0
        self.errors = 0
        self.longest = 0.0

    def add(self, times: Sequence[float], places: Sequence[int], errors: int) -> None:
        """Count statements by their milliseconds, each in the bin at its place."""
        bins = self.bins
        for place in places:
            bins[place] += 1
        self.count += len(times)
        self.errors += errors
        self.longest = max(self.longest, max(times))

    def quantile(self, q: float) -> float:
        """Return the milliseconds at the nearest rank of *q*."""
        wanted, seen = max(math.ceil(q * self.count), 1), 0
        for place, number in enumerate(self.bins):
            seen += number
            if seen >= wanted:
                middle = _SMALLEST_MS * _RATIO ** (place + 0.5)
                return float(min(middle, self.longest))
        return self.longest


class Curve:
    """The latest steps of one template, or of all statements."""

    def __init__(self) -> None:
        self.steps: deque[Step] = deque(maxlen=MOST_STEPS)

    def step(self, at: int) -> Step:
        """Return the step that begins *at*; the latest one for a time before it."""
        steps = self.steps
        if not steps or steps[-1].at < at:
            steps.append(Step(at))
        return steps[-1]

    def table(self, now: float | None = None) -> dict[str, list[float | None]]:
        """Return columns for a chart, one row a step up to now: ``at`` (Unix seconds) ``rate`` ``p50`` ``p95`` ``max``.

        A step without statements has the rate 0 and no times.
        """
        now = now if now is not None else time()
        last = int(now) // STEP_SECONDS
        known = {step.at: step for step in self.steps}
        first = max(min(known, default=last), last - MOST_STEPS + 1)
        columns: dict[str, list[float | None]] = {name: [] for name in ("at", "rate", "p50", "p95", "max")}
        for at in range(first, last + 1):
            step = known.get(at)
            columns["at"].append(at * STEP_SECONDS)
            seconds = min(max(now - at * STEP_SECONDS, 1), STEP_SECONDS)  # the step of now has only begun
            columns["rate"].append(round(step.count / seconds, 2) if step else 0.0)
            columns["p50"].append(round(step.quantile(0.5), 3) if step else None)
            columns["p95"].append(round(step.quantile(0.95), 3) if step else None)
            columns["max"].append(round(step.longest, 3) if step else None)
        return columns


class Curves:
    """Curves by alias and template, and one of everything; safe under threads."""

    def __init__(self) -> None:
        self._forked()
        in_child(self, Curves._forked)

    def _forked(self) -> None:
        self._lock = threading.Lock()
        self._every = Curve()
        self._by_key: dict[Key, Curve] = {}

    def add(self, key: Key, times: Sequence[float], errors: int, now: float | None = None) -> None:
        """Count statements that ended lately: their milliseconds, and how many of them failed."""
        at = int(now if now is not None else time()) // STEP_SECONDS
        places = list(map(place_of, times))
        with self._lock:
            self._every.step(at).add(times, places, errors)
            curve = self._by_key.get(key)
            if curve is None:
                curve = self._new(key, at)
            if curve is not None:
                curve.step(at).add(times, places, errors)

    def _new(self, key: Key, at: int) -> Curve | None:
        """Return a new curve; None while as many as there may be have statements of their own in the window."""
        if len(self._by_key) >= MOST_SERIES:
            for old in [each for each, curve in self._by_key.items() if curve.steps[-1].at <= at - MOST_STEPS]:
                del self._by_key[old]
        if len(self._by_key) >= MOST_SERIES:
            return None
        return self._by_key.setdefault(key, Curve())

    def table(self, key: Key | None = None) -> dict[str, list[float | None]] | None:
        """Return the columns of one template's curve, of everything for None; None when there is no curve of it."""
        with self._lock:
            curve = self._every if key is None else self._by_key.get(key)
            return curve.table() if curve is not None else None
