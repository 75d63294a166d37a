"""What the hooks cost a statement: nothing installed, each alone, all together. ``python bench/hooks.py``

A point read on SQLite in memory, sync; CPU time. Short rounds with and without the hooks take turns, and the median of
their differences counts: whatever else the machine does slows both of a pair. Prints microseconds a statement, and the
difference as a share of what the statement costs by itself, which depends less on the machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from statistics import median
from time import process_time
from typing import Any

import dorm
from dorm.contrib import nplusone, otel, prometheus, querystats, slow_explain, sql_allowlist
from dorm.contrib.dashboard.recorder import Recorder
from dorm.contrib.querylog import watch
from dorm.db.hooks import chain
from dorm.migrations.schema import create_tables

ROUNDS, NUMBER = 60, 250

dorm.configure(DATABASES={"default": "sqlite://"}, SLOW_QUERY_MS=10_000)


class Row(dorm.Model):
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "bench"


def _round() -> float:
    """Return the time of a point read in one round, microseconds."""
    for _ in range(NUMBER // 10):
        Row.objects.filter(id=1).exists()
    start = process_time()
    for _ in range(NUMBER):
        Row.objects.filter(id=1).exists()
    return (process_time() - start) / NUMBER * 1e6


def measured(installs: Iterable[Callable[[], Callable[[], Any]]]) -> tuple[float, float]:
    """Return the time of a point read without *installs*, and what they add to it, microseconds."""
    plain, added = [], []
    for _ in range(ROUNDS):
        plain.append(_round())
        ends = [install() for install in installs]
        added.append(_round() - plain[-1])
        for end in ends:
            end()
        assert not chain.active
    return median(plain), median(added)


def _nplusone() -> Callable[[], None]:
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="log", DEBUG_NPLUSONE_THRESHOLD=10**9)
    nplusone.install_debug_global()
    return lambda: dorm.configure(DEBUG_NPLUSONE=False)


def _dashboard() -> Callable[[], None]:
    recorder = Recorder()
    recorder.start()
    return recorder.stop


def _allowlist() -> Callable[[], None]:
    sql_allowlist.install([], raise_on_violation=False)
    Row.objects.filter(id=1).exists()
    found = sql_allowlist.rejected_templates()
    return sql_allowlist.install(found)


INSTALLS: dict[str, Callable[[], Callable[[], Any]]] = {
    "querystats": lambda: querystats.collector().enable(),
    "prometheus": prometheus.install,
    "query log (count)": lambda: watch(lambda seen: None),
    "slow explain": slow_explain.install,
    "allow-list": _allowlist,
    "N+1": _nplusone,
    "OpenTelemetry (no SDK)": otel.instrument,
    "dashboard": _dashboard,
}


def main() -> None:
    """Print the table."""
    create_tables([Row])
    Row.objects.create(name="x")
    logging.getLogger("dorm.contrib").setLevel(logging.ERROR)
    print(f"{'nothing installed':26}{measured([])[0]:8.2f} us")
    for name, installs in {**{name: [one] for name, one in INSTALLS.items()}, "all of them": INSTALLS.values()}.items():
        plain, added = measured(installs)
        print(f"{name:26}{added:+8.2f} us{added / plain:+8.2f} of a statement")


if __name__ == "__main__":
    main()
