"""Statistics by template of statement: how often, how long in all, percentiles; in memory, of this process.

Percentiles are those of the latest *reservoir_max* statements of a template (a ring), by nearest rank: the value at
place ``ceil(q * n)`` of the sorted ring. Counts and totals are exact since the last `reset`. At most *max_templates*
templates are kept apart; further ones are counted together as ``(other)``.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from dorm.contrib.backlog import Backlog, Batch, Key
from dorm.contrib.textformat import Family, escaped, rendered
from dorm.db import hooks
from dorm.db.forks import in_child
from dorm.db.hooks import Observation

_log = logging.getLogger("dorm.contrib.querystats")

OTHER: Final = "(other)"
LONGEST_LABEL: Final = 120
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


class TemplateStats:
    """What is known of one template on one database.

    Attributes:
        count, total_ms, errors: since the last reset; failed statements count too.
        samples: milliseconds of the latest statements, oldest first.
        rows: rows fetched or touched, where that was known.
    """

    __slots__ = ("alias", "count", "errors", "rows", "samples", "template", "total_ms")

    def __init__(self, template: str, alias: str = "default", reservoir_max: int = 1000) -> None:
        self.template = template
        self.alias = alias
        self.count = 0
        self.total_ms = 0.0
        self.errors = 0
        self.rows = 0
        self.samples: deque[float] = deque(maxlen=reservoir_max)

    def add(self, ms: float, *, reservoir_max: int | None = None) -> None:
        """Count one statement of *ms* milliseconds; *reservoir_max* changes how many samples are kept."""
        if reservoir_max is not None and reservoir_max != self.samples.maxlen:
            self.samples = deque(self.samples, maxlen=checked_size("reservoir_max", reservoir_max))
        self.count += 1
        self.total_ms += ms
        self.samples.append(ms)

    def percentile(self, q: float) -> float:
        """Return the sample at the nearest rank of *q* (0 to 1), 0.0 without samples."""
        if isinstance(q, bool) or not 0 <= q <= 1:
            raise ValueError(f"percentile(q) takes a number from 0 to 1, not {q!r}")
        ordered = sorted(self.samples)
        return ordered[max(math.ceil(q * len(ordered)), 1) - 1] if ordered else 0.0

    def copy(self) -> TemplateStats:
        """Return a copy that later statements don't change."""
        made = TemplateStats(self.template, self.alias, self.samples.maxlen or 1)
        made.count, made.total_ms, made.errors, made.rows = self.count, self.total_ms, self.errors, self.rows
        made.samples = self.samples.copy()
        return made

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for JSON, rounded to three decimals; the alias where it isn't ``default``."""
        numbers = {f"{name}_ms": round(self.percentile(q), 3) for name, q in _QUANTILES}
        found = {"template": self.template, "count": self.count, "total_ms": round(self.total_ms, 3), **numbers}
        return found if self.alias == "default" else {**found, "alias": self.alias}

    def __repr__(self) -> str:
        return f"TemplateStats({self.template!r}, count={self.count}, total_ms={self.total_ms:.3f})"


def checked_size(name: str, value: Any) -> int:
    """Return *value* if it is a whole number from 1, else raise ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1, not {value!r}")
    return value


class Collector:
    """Statistics by template; an observer of the chain while it is enabled. `collector` is the one of the process.

    Statements wait in a backlog and are counted when it is full, or when somebody wants to know.
    """

    def __init__(self, reservoir_max: int = 1000, max_templates: int = 1000) -> None:
        self._reservoir = checked_size("reservoir_max", reservoir_max)
        self._most = checked_size("max_templates", max_templates)
        self._uninstall: hooks.Uninstall | None = None
        self._forked()
        in_child(self, Collector._forked)

    def _forked(self) -> None:
        """Begin with nothing: what the parent sent is the parent's."""
        self._lock = threading.Lock()
        self._backlog = Backlog()
        self._stats: dict[Key, TemplateStats] = {}
        self._overflowed = False

    @property
    def enabled(self) -> bool:
        """True while statements are counted."""
        return self._uninstall is not None

    def enable(self, *, reservoir_max: int = 1000, max_templates: int = 1000) -> hooks.Uninstall:
        """Count from now on; called again it changes the sizes and counts nothing twice.

        Returns: `disable`.
        Raises: ValueError: a size that is no whole number from 1.
        """
        checked_size("reservoir_max", reservoir_max)
        checked_size("max_templates", max_templates)
        with self._lock:
            self._most = max_templates
            if reservoir_max != self._reservoir:
                self._settle()
                self._reservoir = reservoir_max
                for stats in self._stats.values():
                    stats.samples = deque(stats.samples, maxlen=reservoir_max)
            if self._uninstall is None:
                self._uninstall = hooks.install_observer(self._observe)
        return self.disable

    def disable(self) -> None:
        """Stop counting; what was counted stays."""
        with self._lock:
            remove, self._uninstall = self._uninstall, None
        if remove is not None:
            remove()

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._backlog.clear()
            self._stats.clear()
            self._overflowed = False

    def snapshot(self) -> list[TemplateStats]:
        """Return copies of the statistics, the largest total first."""
        with self._lock:
            self._settle()
            copies = [stats.copy() for stats in self._stats.values()]
        return sorted(copies, key=lambda stats: stats.total_ms, reverse=True)

    def _observe(self, seen: Observation) -> None:
        if seen.kind == "statement" and self._backlog.add(seen):
            with self._lock:
                self._settle()

    def _settle(self) -> None:
        """Count what waits."""
        for key, batch in self._backlog.take().items():
            self._count(key, batch)

    def count(self, counted: Mapping[Key, Batch]) -> None:
        """Count statements that somebody else has observed; works while disabled."""
        with self._lock:
            for key, batch in counted.items():
                self._count(key, batch)

    def _count(self, key: Key, batch: Batch) -> None:
        stats = self._stats.get(key)
        if stats is None:
            stats = self._new(key)
        times = [elapsed * 1000 for elapsed in batch.times]
        stats.count += len(times)
        stats.total_ms += sum(times)
        stats.samples.extend(times)
        stats.errors += batch.errors
        stats.rows += batch.rows

    def _new(self, key: Key) -> TemplateStats:
        alias, template = key
        if len(self._stats) >= self._most:
            if not self._overflowed:
                self._overflowed = True
                _log.warning("more than %d templates: further ones are counted as %r", self._most, OTHER)
            template = OTHER
        return self._stats.setdefault((alias, template), TemplateStats(template, alias, self._reservoir))


_collector = Collector()


def collector() -> Collector:
    """Return the collector of this process."""
    return _collector


def reset() -> None:
    """Forget what was counted."""
    _collector.reset()


# -- output ------------------------------------------------------------------------------------------------------


def label(template: str) -> str:
    """Return *template* cut to 120 characters; a cut one ends in a digest of the whole, so that no two are the same."""
    if len(template) <= LONGEST_LABEL:
        return template
    digest = hashlib.blake2b(template.encode(), digest_size=4).hexdigest()
    return f"{template[: LONGEST_LABEL - 9]}…{digest}"


def folded(found: list[TemplateStats], top: int | None) -> list[TemplateStats]:
    """Return the first *top* of *found* and the rest summed as ``(other)``."""
    if top is None or len(found) <= top:
        return found
    kept, rest = found[:top], found[top:]
    other = TemplateStats(OTHER)
    for stats in (*rest, *(stats for stats in kept if stats.template == OTHER and stats.alias == "default")):
        other.count += stats.count
        other.total_ms += stats.total_ms
        other.errors += stats.errors
    kept = [stats for stats in kept if not (stats.template == OTHER and stats.alias == "default")]
    return [*kept, other]


def _labels(stats: TemplateStats) -> str:
    alias = f',alias="{escaped(stats.alias)}"' if stats.alias != "default" else ""
    return f'{{template="{escaped(label(stats.template))}"{alias}}}'


def families(found: Iterable[TemplateStats]) -> list[Family]:
    """Return name, type, help and sample lines of each family of the text format."""
    found = list(found)
    made = [
        (
            "dorm_template_count",
            "counter",
            "Executions per SQL template.",
            [f"dorm_template_count{_labels(stats)} {stats.count}" for stats in found],
        ),
        (
            "dorm_template_total_ms",
            "counter",
            "Milliseconds in all per SQL template.",
            [f"dorm_template_total_ms{_labels(stats)} {stats.total_ms:.3f}" for stats in found],
        ),
    ]
    with_samples = [stats for stats in found if stats.samples]
    for name, q in _QUANTILES:
        lines = [f"dorm_template_{name}_ms{_labels(stats)} {stats.percentile(q):.3f}" for stats in with_samples]
        made.append((f"dorm_template_{name}_ms", "gauge", f"{name} of the latest executions, milliseconds.", lines))
    return made


def render_text(*, top: int | None = None) -> str:
    """Return the statistics in Prometheus' text format 0.0.4; empty when there are none.

    Serve it as ``text/plain; version=0.0.4``: names ending in ``_count`` are reserved in OpenMetrics. A label ``alias``
    appears for databases other than ``default``.

    Args:
        top: only so many templates, the rest summed as ``(other)``.
    """
    return rendered(families(folded(_collector.snapshot(), top)))


def render_json() -> list[dict[str, Any]]:
    """Return the statistics as dicts for ``json.dumps``, the largest total first, with whole templates.

    Keys: ``template`` ``count`` ``total_ms`` ``p50_ms`` ``p95_ms`` ``p99_ms``, and ``alias`` for databases other than
    ``default``. Failures and rows are those of `Collector.snapshot`.
    """
    return [stats.as_dict() for stats in _collector.snapshot()]
