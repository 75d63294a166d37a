"""What the pages show, as it is collected: an observer of the chain, and samples of the pools."""

from __future__ import annotations

import threading
from collections import deque
from time import time
from typing import Any, Final

from dorm.contrib.backlog import Backlog, Key
from dorm.contrib.dashboard.curves import STEP_SECONDS, Curves
from dorm.contrib.prometheus import pool_numbers
from dorm.contrib.querystats import Collector, TemplateStats
from dorm.db import hooks
from dorm.db.forks import in_child
from dorm.db.hooks import Observation

MOST_TEMPLATES: Final = 500
MOST_POOL_SAMPLES: Final = 600
"""Seconds kept of each pool: those in which there were statements, or somebody looked."""

MOST_POOLS: Final = 50
_SAMPLES_OF_TIMES = 500
_EVERY_SECONDS = 0.2


_Sample = tuple[int, int, int, int]
"""Second, connections in use, open, requests waiting."""


class Recorder:
    """Statistics and curves by template, and how full the pools were; begins with `start`, ends with `stop`.

    The pools are looked at after a statement, five times a second at most, and when a page asks; of each second the
    largest numbers are kept. No thread, nothing that a fork would lose. The connection of that statement is back in its
    pool by then: what is seen is what others hold.
    """

    def __init__(self) -> None:
        self._curves = Curves()
        self._statistics = Collector(_SAMPLES_OF_TIMES, MOST_TEMPLATES)
        self._uninstall: hooks.Uninstall | None = None
        self._forked()
        in_child(self, Recorder._forked)

    def _forked(self) -> None:
        self._lock = threading.Lock()
        self._backlog = Backlog()
        self._pools: dict[str, deque[_Sample]] = {}
        self._sampled = 0.0
        self._since = self._due = 0.0

    def start(self) -> None:
        """Collect from now on; idempotent."""
        with self._lock:
            if self._uninstall is None:
                self._uninstall = hooks.install_observer(self._observe)

    def stop(self) -> None:
        """Stop collecting; what there is stays."""
        with self._lock:
            remove, self._uninstall = self._uninstall, None
        if remove is not None:
            remove()

    def templates(self) -> list[TemplateStats]:
        """Return the statistics by template, the largest total first."""
        self._settle(time())
        return self._statistics.snapshot()

    def curve(self, key: Key | None = None) -> dict[str, list[float | None]] | None:
        """Return the columns of one template's curve, of everything for None; None when there is no curve of it."""
        self._settle(time())
        return self._curves.table(key)

    def _observe(self, seen: Observation) -> None:
        if seen.kind != "statement":
            return
        now = time()
        if not self._since <= now < self._due:
            self._settle(now)
            self.sample()
        if self._backlog.add(seen):
            self._settle(now)

    def _settle(self, now: float) -> None:
        """Count what waits. It was observed since the last time, and within one step of the curves."""
        with self._lock:
            since, self._since = self._since, now
            self._due = now + min(_EVERY_SECONDS, STEP_SECONDS - now % STEP_SECONDS)
            found = self._backlog.take()
            self._statistics.count(found)
            for key, batch in found.items():
                self._curves.add(key, [elapsed * 1000 for elapsed in batch.times], batch.errors, since)

    def sample(self) -> None:
        """Look at the pools now, unless that was just done; opens none."""
        now = time()
        with self._lock:
            if 0 <= now - self._sampled < _EVERY_SECONDS:
                return
            self._sampled = now
        found = pool_numbers()
        with self._lock:
            for pool in found:
                if pool.alias in self._pools or len(self._pools) < MOST_POOLS:
                    samples = self._pools.setdefault(pool.alias, deque(maxlen=MOST_POOL_SAMPLES))
                    _keep(samples, int(now), (pool.in_use, pool.size, pool.waiting))

    def pools(self) -> dict[str, dict[str, Any]]:
        """Return the samples of each pool as columns for a chart: ``at`` ``in_use`` ``size`` ``waiting``."""
        with self._lock:
            kept = {alias: list(samples) for alias, samples in self._pools.items()}
        names = ("at", "in_use", "size", "waiting")
        return {
            alias: dict(zip(names, map(list, zip(*samples, strict=True)), strict=True))
            for alias, samples in kept.items()
        }


def _keep(samples: deque[_Sample], second: int, seen: tuple[int, int, int]) -> None:
    """Add a sample, or raise those of the same second."""
    if samples and samples[-1][0] == second:
        _, *before = samples.pop()
        samples.append((second, *map(max, before, seen)))  # type: ignore[arg-type]  # three each
    else:
        samples.append((second, *seen))
