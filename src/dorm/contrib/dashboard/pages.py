"""What each page shows, gathered from the public points of the modules that know it."""

from __future__ import annotations

import linecache
import os
from collections.abc import Mapping
from typing import Any

from dorm.conf.settings import settings
from dorm.contrib import nplusone as detector, slow_explain, sql_allowlist
from dorm.contrib.dashboard import graph, plans
from dorm.contrib.dashboard.recorder import Recorder
from dorm.contrib.dashboard.shown import identity
from dorm.contrib.prometheus import pool_numbers
from dorm.db.template import UNPARSABLE
from dorm.migrations import static
from dorm.migrations.apps import installed_apps

Query = Mapping[str, str]

_SHOWN = 100
"""Templates, plans, findings on one page."""

_AROUND = 3
"""Lines of source above and below a finding."""

_ORDERS = {
    "total": lambda each: each.total_ms,
    "count": lambda each: each.count,
    "p95": lambda each: each.percentile(0.95),
    "errors": lambda each: each.errors,
}


def templates(recorder: Recorder, query: Query) -> dict[str, Any]:
    """Return the templates in the order that ``?order=`` names, and the curve of everything."""
    order = query.get("order", "total")
    order = order if order in _ORDERS else "total"
    found = sorted(recorder.templates(), key=_ORDERS[order], reverse=True)
    whole = sum(each.total_ms for each in found) or 1.0
    rows = [
        {
            "id": identity(each.alias, each.template),
            "stats": each,
            "p50": each.percentile(0.5),
            "p95": each.percentile(0.95),
            "share": each.total_ms / whole,
            "curve": recorder.curve((each.alias, each.template)),
        }
        for each in found[:_SHOWN]
    ]
    return {
        "rows": rows,
        "order": order,
        "orders": list(_ORDERS),
        "hidden": max(len(found) - _SHOWN, 0),
        "curve": recorder.curve(),
        "pid": os.getpid(),
    }


def template(recorder: Recorder, query: Query) -> dict[str, Any] | None:
    """Return one template, named by ``?id=``; None when there is none of this name."""
    for each in recorder.templates():
        if identity(each.alias, each.template) == query.get("id"):
            return {
                "stats": each,
                "figures": {
                    "p50": each.percentile(0.5),
                    "p95": each.percentile(0.95),
                    "p99": each.percentile(0.99),
                    "mean": each.total_ms / each.count,
                },
                "curve": recorder.curve((each.alias, each.template)),
                "plans": _plans(each.alias, each.template)[:5],
            }
    return None


def slow(recorder: Recorder, query: Query) -> dict[str, Any]:
    """Return the latest slow statements with their plans, the latest first."""
    return {
        "plans": _plans()[:_SHOWN],
        "installed": slow_explain.is_installed(),
        "limit": settings.SLOW_QUERY_MS if settings.is_configured else None,
    }


def _plans(alias: str | None = None, template: str | None = None) -> list[dict[str, Any]]:
    return [
        {"seen": each, "tree": plans.tree(each.plan, each.vendor), "id": f"{each.at:.6f}"}
        for each in reversed(slow_explain.recent_plans())
        if template is None or (each.alias == alias and each.template == template)
    ]


def nplusone(recorder: Recorder, query: Query) -> dict[str, Any]:
    """Return the latest findings of every detector with the lines of source they name, the latest first."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for each in reversed(detector.recent_findings()):
        key = (each.alias, each.template, each.site)
        known = found.setdefault(key, {"seen": each, "times": 0, "source": _source(each.site)})
        known["times"] += 1
    return {"findings": list(found.values())[:_SHOWN], "installed": detector.global_detector() is not None}


def _source(site: str) -> list[tuple[int, str, bool]]:
    """Return number, text and whether it is the one, of the lines around ``file:line``."""
    path, _, number = site.rpartition(":")
    if not number.isdigit():
        return []
    at = int(number)
    numbers = range(max(at - _AROUND, 1), at + _AROUND + 1)
    lines = [(each, linecache.getline(path, each).rstrip(), each == at) for each in numbers]
    return [line for line in lines if line[1] or line[2]] if any(text for _, text, _ in lines) else []


def pools(recorder: Recorder, query: Query) -> dict[str, Any]:
    """Return each pool as it is and as it was."""
    curves = recorder.pools()
    return {"pools": [{"now": each, "curve": curves.get(each.alias)} for each in pool_numbers()]}


def rejections(recorder: Recorder, query: Query) -> dict[str, Any]:
    """Return what the allow-list has refused or let through unlisted, the most frequent first."""
    found = [
        {"template": "(unparsable)" if template.startswith(UNPARSABLE) else template, **stats}
        for template, stats in sql_allowlist.rejections().items()
    ]
    found.sort(key=lambda each: each["count"], reverse=True)
    return {
        "rejections": found[:_SHOWN],
        "hidden": max(len(found) - _SHOWN, 0),
        "installed": sql_allowlist.is_installed(),
        "allowed": len(sql_allowlist.allowed_templates()),
    }


def migrations(recorder: Recorder, query: Query) -> dict[str, Any]:
    """Return the drawing of the migrations, of one app with ``?app=``; files are read, no database is."""
    apps = installed_apps([]) if settings.is_configured else []
    found = static.read_graph(apps)
    labels = sorted({label for label, _ in found.nodes})
    label = query.get("app", "")
    if label in labels:
        found = static.only(found, label)
    return {
        "drawing": graph.drawing(found),
        "problems": [*found.problems, *found.warnings],
        "labels": labels,
        "label": label,
        "size": (graph.WIDTH, graph.HEIGHT),
    }
