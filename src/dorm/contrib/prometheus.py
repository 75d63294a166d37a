"""Prometheus' text format for statements, pools, caches and, while their collector is on, statistics by template.

No dependency. Numbers are those of this process: under several workers either scrape each one, or have them write to
`prometheus_client`'s multi-process folder by metrics of your own. Quantile gauges of the statistics can't be summed
over processes; counters and the histogram can. `DormCollector` hands the same numbers to a registry of
`prometheus_client`.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Final

from dorm.cache.api import register_observer
from dorm.conf.settings import settings
from dorm.contrib.textformat import Family, escaped, rendered
from dorm.db import hooks
from dorm.db.connection import connections
from dorm.db.forks import in_child
from dorm.db.hooks import Observation

_log = logging.getLogger("dorm.contrib.prometheus")
_pool_log = logging.getLogger("dorm.contrib.prometheus.pool")

BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the histogram, seconds."""

TOP_TEMPLATES: Final = 200
"""Templates that `metrics_response` shows apart."""

_REMIND_SECONDS = 60.0
_DEFAULT_WARN = 0.8


class _Metrics:
    """Counters of this process."""

    def __init__(self) -> None:
        self.uninstall: hooks.Uninstall | None = None
        self.forked()
        in_child(self, _Metrics.forked)

    def forked(self) -> None:
        """Begin with nothing: what the parent sent is the parent's."""
        self.lock = threading.Lock()
        self.zero()

    def zero(self) -> None:
        self.statements: dict[tuple[str, str], _Counts] = {}
        self.cache: dict[tuple[str, str], int] = {}
        self.saturated: dict[str, float] = {}
        self.warned_about: str | None = None

    def observe(self, seen: Observation) -> None:
        if seen.kind != "statement":
            return
        elapsed = seen.elapsed
        place = bisect_left(BUCKETS, elapsed)
        with self.lock:
            counts = self.statements.get((seen.vendor, seen.alias))
            if counts is None:
                counts = self.statements[seen.vendor, seen.alias] = _Counts()
            if seen.error is None:
                counts.ok += 1
            else:
                counts.failed += 1
            counts.buckets[place] += 1
            counts.seconds += elapsed


class _Counts:
    """Statements of one database."""

    __slots__ = ("buckets", "failed", "ok", "seconds")

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


_metrics = _Metrics()


def install() -> hooks.Uninstall:
    """Count statements and reads of the query cache from now on; idempotent. Return `uninstall`."""
    with _metrics.lock:
        if _metrics.uninstall is None:
            of_statements, of_caches = hooks.install_observer(_metrics.observe), register_observer(_count_cache)

            def remove() -> None:
                of_statements()
                of_caches()

            _metrics.uninstall = remove
    return uninstall


def uninstall() -> None:
    """Stop counting and set everything to zero."""
    with _metrics.lock:
        remove, _metrics.uninstall = _metrics.uninstall, None
        _metrics.zero()
    if remove is not None:
        remove()


def record_cache_hit(alias: str = "default") -> None:
    """Count a result that the cache *alias* had; dorm's own query cache counts by itself once this is installed."""
    _count_cache(alias, hit=True)


def record_cache_miss(alias: str = "default") -> None:
    """Count a result that the cache *alias* did not have."""
    _count_cache(alias, hit=False)


def _count_cache(alias: str, hit: bool) -> None:
    outcome = "hits" if hit else "misses"
    with _metrics.lock:
        _metrics.cache[outcome, alias] = _metrics.cache.get((outcome, alias), 0) + 1


# -- output ------------------------------------------------------------------------------------------------------


def metrics_response() -> str:
    """Return everything in text format 0.0.4; serve it as ``text/plain; version=0.0.4``.

    Works without `install`, then without the counters of statements. While ``querystats.collector()`` is enabled its
    families come last, the 200 templates with the largest totals apart and the rest as ``(other)``.
    """
    made = [*_statements(), *_pools(), *_caches(), *_locks()]
    return rendered(made) + _templates() or "\n"


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"


def _histogram(
    name: str, bounds: Sequence[float], counts: Sequence[int], seconds: float, **labels: str
) -> Iterator[str]:
    """Yield the lines of one series: each bucket has those below it too."""
    below = 0
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        below += count
        yield f"{name}_bucket{_labels(**labels, le=bound)} {below}"
    yield f"{name}_sum{_labels(**labels)} {seconds:.6f}"
    yield f"{name}_count{_labels(**labels)} {below}"


def _statements() -> Iterator[Family]:
    queries: list[str] = []
    histogram: dict[str, list[int]] = {}
    seconds: dict[str, float] = {}
    with _metrics.lock:
        found = [
            (vendor, alias, {"error": each.failed, "ok": each.ok}, list(each.buckets), each.seconds)
            for (vendor, alias), each in sorted(_metrics.statements.items())
        ]
    for vendor, alias, outcomes, buckets, spent in found:
        queries += [
            f"dorm_queries_total{_labels(vendor=vendor, alias=alias, outcome=outcome)} {count}"
            for outcome, count in outcomes.items()
            if count
        ]
        before = histogram.get(vendor, [0] * len(buckets))
        histogram[vendor] = [one + other for one, other in zip(before, buckets, strict=True)]
        seconds[vendor] = seconds.get(vendor, 0.0) + spent
    yield "dorm_queries_total", "counter", "Statements by engine, database and outcome.", queries
    lines: list[str] = []
    for vendor, counts in sorted(histogram.items()):
        lines += _histogram("dorm_query_duration_seconds", BUCKETS, counts, seconds[vendor], vendor=vendor)
    yield "dorm_query_duration_seconds", "histogram", "Seconds that statements took.", lines


def _caches() -> Iterator[Family]:
    with _metrics.lock:
        counts = dict(_metrics.cache)
    for outcome in ("hits", "misses"):
        name = f"dorm_cache_{outcome}_total"
        lines = [
            f"{name}{_labels(alias=alias)} {count}"
            for (which, alias), count in sorted(counts.items())
            if which == outcome
        ]
        yield name, "counter", f"Query cache {outcome}.", lines


def _locks() -> Iterator[Family]:
    """Yield the waits for advisory locks, where the program has any."""
    advisory: Any = sys.modules.get("dorm.contrib.advisory")
    found = advisory.wait_stats() if advisory is not None else {}
    name = "dorm_advisory_wait_seconds"
    lines: list[str] = []
    for alias, stats in sorted(found.items()):
        bounds = advisory.WAIT_BUCKETS  # pyright: ignore[reportOptionalMemberAccess]  # it has counted
        lines += _histogram(name, bounds, stats.buckets, stats.seconds, alias=alias)
    yield name, "histogram", "Seconds that advisory locks were waited for.", lines
    refused = [
        f"dorm_advisory_refused_total{_labels(alias=alias)} {each.refused}" for alias, each in sorted(found.items())
    ]
    yield "dorm_advisory_refused_total", "counter", "Advisory locks that were not free in time.", refused


def _templates() -> str:
    querystats: Any = sys.modules.get("dorm.contrib.querystats")  # who never used it has none
    try:
        if querystats is None or not querystats.collector().enabled:
            return ""
        text: str = querystats.render_text(top=TOP_TEMPLATES)
        return text
    except Exception:  # noqa: BLE001  # a stated boundary: one family never costs the others
        _log.warning("statistics by template could not be rendered", exc_info=True)
        return ""


# -- pools -------------------------------------------------------------------------------------------------------


class PoolNumbers:
    """The pools of one database together.

    Attributes:
        saturation: connections in use by the maximum, of the fuller pool when several are open; 0 to 1.
    """

    __slots__ = ("alias", "in_use", "maximum", "requests", "saturation", "size", "waiting")

    def __init__(self, alias: str, stats: list[dict[str, Any]]) -> None:
        self.alias = alias
        self.size = sum(int(each.get("pool_size") or 0) for each in stats)
        self.in_use = sum(_in_use(each) for each in stats)
        self.maximum = max((_maximum(each) for each in stats), default=0)
        self.waiting = max((int(each.get("requests_waiting") or 0) for each in stats), default=0)
        self.requests = sum(int(each.get("requests_num") or 0) for each in stats)
        self.saturation = max((saturation(each) for each in stats), default=0.0)


def _maximum(stats: dict[str, Any]) -> int:
    return int(stats.get("pool_max") or stats.get("max_size") or 0)


def _in_use(stats: dict[str, Any]) -> int:
    if stats.get("in_use") is not None:
        return max(int(stats["in_use"]), 0)
    return max(int(stats.get("pool_size") or 0) - int(stats.get("pool_available") or 0), 0)


def saturation(stats: dict[str, Any]) -> float:
    """Return connections in use by the maximum of one pool, from 0 to 1."""
    maximum = _maximum(stats)
    return min(_in_use(stats) / maximum, 1.0) if maximum else 0.0


def pool_numbers() -> list[PoolNumbers]:
    """Return the numbers of each database that has an open pool with a maximum; opens nothing and never raises."""
    found = []
    for database in connections.opened():
        try:
            stats = [each for each in database.pools_stats() if _maximum(each)]
            if stats:
                found.append(PoolNumbers(database.alias, stats))
        except Exception:  # noqa: BLE001  # a stated boundary: a broken pool never costs the scrape
            _pool_log.debug("the pool of %s gave no numbers", database.alias, exc_info=True)
    return found


def _pools() -> list[Family]:
    found = pool_numbers()
    for numbers in found:
        _watch(numbers)

    def gauge(name: str, text: str, value: Any) -> Family:
        return name, "gauge", text, [f"{name}{_labels(alias=each.alias)} {value(each)}" for each in found]

    requests = [
        f"dorm_pool_requests_total{_labels(alias=each.alias)} {each.requests}" for each in found if each.requests
    ]
    return [
        gauge("dorm_pool_size", "Open connections.", lambda each: each.size),
        gauge("dorm_pool_in_use", "Connections checked out.", lambda each: each.in_use),
        gauge("dorm_pool_saturation", "Connections checked out by the maximum.", lambda each: f"{each.saturation:.3f}"),
        gauge("dorm_pool_requests_waiting", "Requests waiting for a connection.", lambda each: each.waiting),
        ("dorm_pool_requests_total", "counter", "Requests for a connection.", requests),
    ]


def _threshold() -> float | None:
    """Return the share of a pool from which there is a warning; None for never."""
    value = getattr(settings, "POOL_SATURATION_WARN", _DEFAULT_WARN) if settings.is_configured else _DEFAULT_WARN
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number) or number < 0:
        if _metrics.warned_about != repr(value):  # NaN is not equal to itself
            _metrics.warned_about = repr(value)
            _pool_log.warning("POOL_SATURATION_WARN is no number from 0: %s is used", _DEFAULT_WARN)
        return _DEFAULT_WARN
    return None if number >= 1.01 else number


def _watch(numbers: PoolNumbers) -> None:
    """Warn when a pool crosses the threshold, remind once a minute, say when it is below again."""
    threshold = _threshold()
    with _metrics.lock:
        warned_at = _metrics.saturated.get(numbers.alias)
        if threshold is None or numbers.saturation < threshold:
            _metrics.saturated.pop(numbers.alias, None)
            if warned_at is not None:
                _pool_log.info("pool of %s is below its threshold again: %d in use", numbers.alias, numbers.in_use)
            return
        now = monotonic()
        if warned_at is not None and now - warned_at < _REMIND_SECONDS:
            return
        _metrics.saturated[numbers.alias] = now
    _pool_log.warning(
        "pool of %s is saturated: %.0f %%, %d of %d connections in use, %d requests waiting",
        numbers.alias,
        numbers.saturation * 100,
        numbers.in_use,
        numbers.maximum,
        numbers.waiting,
    )


# -- prometheus_client -------------------------------------------------------------------------------------------


class DormCollector:
    """Hands dorm's numbers to a `prometheus_client` registry: ``REGISTRY.register(DormCollector())``.

    `prometheus_client` ends the names of counters in ``_total``: ``dorm_template_count`` appears as
    ``dorm_template_count_total`` there.
    """

    def collect(self) -> Iterator[Any]:
        """Yield metric families; `prometheus_client` calls it at each scrape."""
        from prometheus_client.parser import text_string_to_metric_families  # an optional dependency

        yield from text_string_to_metric_families(metrics_response())

    def describe(self) -> list[Any]:
        """Return nothing: names are known at the first scrape."""
        return []


def register(registry: Any = None) -> DormCollector:
    """Register a `DormCollector` with a `prometheus_client` registry, by default the process-wide one.

    Raises: ImportError: prometheus_client is not installed; the message names the extra.
    """
    try:
        from prometheus_client import REGISTRY
    except ImportError as exc:
        raise ImportError("prometheus_client is not installed: pip install 'dormdb[metrics]'") from exc
    made = DormCollector()
    (registry if registry is not None else REGISTRY).register(made)
    return made
