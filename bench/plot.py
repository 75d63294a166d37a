"""The figures as a picture: one line a scenario, a dot a contestant, on a logarithmic scale of multiples; plain SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.report import arranged, budgets
from bench.run import Result
from bench.scenarios import SCENARIOS

_COLOURS = (
    "#8a8a8a",
    "#c2410c",
    "#f59e0b",
    "#1d4ed8",
    "#15803d",
    "#7c3aed",
    "#be185d",
    "#0e7490",
    "#4d7c0f",
    "#44403c",
)
_LINE, _LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH = 22, 270, 30, 64, 30, 960
_TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)


def draw(path: Path, group: str, results: list[Result], cpu: bool) -> None:
    """Write the picture of a group's results to *path*."""
    names, found = arranged(results)
    most = budgets(group)
    titles = {each.name: each.title for each in SCENARIOS}
    shown = names[1:]
    figures = [
        each.quartiles(cpu)
        for by_name in found.values()
        for name, each in by_name.items()
        if name in shown and _ok(each)
    ]
    if not figures:
        return
    low = min(0.5, min(first for first, _, _ in figures))
    high = max(4.0, max(last for _, _, last in figures))
    scale = (_WIDTH - _LEFT - _RIGHT) / math.log(high * 1.1 / (low * 0.9))

    def x(ratio: float) -> float:
        return _LEFT + math.log(ratio / (low * 0.9)) * scale

    height = _TOP + _LINE * len(found) + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="{escape(group)}: time in multiples of the bare driver">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="20" font-size="14">{"Client CPU" if cpu else "Wall"} time in multiples of '
        f"{escape(names[0])}; "
        "a dot is the median, its line the quartiles, the bar the budget</text>",
        *_legend(shown),
    ]
    for tick in _TICKS:
        if low * 0.9 <= tick <= high * 1.1:
            dashes = "" if tick == 1 else ' stroke-dasharray="2 4"'
            at = f"{x(tick):.1f}"
            parts.append(
                f'<line x1="{at}" x2="{at}" y1="{_TOP - 8}" y2="{height - _BOTTOM + 4}" stroke="#b0b0b0"{dashes}/>'
                f'<text x="{at}" y="{height - 10}" text-anchor="middle">{tick:g}</text>'
            )
    for number, (scenario, by_name) in enumerate(found.items()):
        y = _TOP + _LINE * number + _LINE / 2
        parts.append(f'<text x="{_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(titles[scenario])}</text>')
        limit = most[scenario]
        if limit:
            parts.append(f'<rect x="{x(limit) - 1:.1f}" y="{y - 8:.1f}" width="2" height="16" fill="#111111"/>')
        for colour, name in zip(_COLOURS, shown, strict=False):
            if name in by_name and _ok(by_name[name]):
                parts += _mark(x, y, by_name[name].quartiles(cpu), colour)
    path.write_text("\n".join([*parts, "</svg>", ""]))


def _ok(result: Result) -> bool:
    return not result.error and bool(result.ratios)


def _legend(names: Sequence[str]) -> list[str]:
    parts, at = [], 12
    for colour, name in zip(_COLOURS, names, strict=False):
        parts.append(f'<circle cx="{at + 4}" cy="36" r="4.5" fill="{colour}"/>')
        parts.append(f'<text x="{at + 13}" y="40">{escape(name)}</text>')
        at += 30 + 7 * len(name)
    return parts


def _mark(x: Any, y: float, figure: tuple[float, float, float], colour: str) -> list[str]:
    low, middle, high = figure
    return [
        f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>',
        f'<circle cx="{x(middle):.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>',
    ]
