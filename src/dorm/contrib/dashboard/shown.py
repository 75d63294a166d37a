"""How numbers, times and lines are written on the pages: filters of the templates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

_SPARK_WIDTH, _SPARK_HEIGHT = 120, 24


def milliseconds(value: float) -> str:
    """Return a duration with its unit, three digits."""
    if value >= 60_000:
        return f"{value / 60_000:.1f} min"
    if value >= 1000:
        return f"{value / 1000:.3g} s"
    return f"{value:.3g} ms" if value < 100 else f"{value:.0f} ms"


def number(value: float) -> str:
    """Return a count with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u2009")


def moment(value: float) -> str:
    """Return Unix seconds as the time of day, UTC."""
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S}"


def as_json(value: Any) -> str:
    """Return *value* for an attribute; the template escapes it."""
    return json.dumps(value, separators=(",", ":"))


def spark(columns: Mapping[str, Sequence[float | None]] | None, name: str = "p95") -> str:
    """Return the points of a small line for one column; empty when there are less than two values."""
    values = list(columns[name][-60:]) if columns else []
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return ""
    most = max(value for _, value in known) or 1.0
    step = _SPARK_WIDTH / max(len(values) - 1, 1)
    high = _SPARK_HEIGHT - 2
    return " ".join(f"{place * step:.1f},{_SPARK_HEIGHT - 1 - value / most * high:.1f}" for place, value in known)


def identity(alias: str, template: str) -> str:
    """Return the name of a template in addresses."""
    return hashlib.blake2b(f"{alias}\n{template}".encode(), digest_size=8).hexdigest()


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "ms": milliseconds,
    "number": number,
    "moment": moment,
    "as_json": as_json,
    "spark": spark,
}
