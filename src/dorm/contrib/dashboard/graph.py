"""The graph of migrations as a drawing: columns by depth, lanes by app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dorm.migrations.static import Node, StaticGraph

WIDTH: Final = 210
HEIGHT: Final = 34
_GAP_X = 50
_GAP_Y = 12
_LANE = 22
_MARGIN = 12


@dataclass
class Box:
    """One migration in the drawing; *kind* is empty, ``missing``, ``broken`` or ``last``."""

    label: str
    name: str
    x: int
    y: int
    kind: str = ""


@dataclass
class Drawing:
    """Boxes, lines between them as SVG paths, names of the lanes with their place, size in pixels."""

    boxes: list[Box] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    lanes: list[tuple[str, int]] = field(default_factory=list)
    width: int = 0
    height: int = 0


def drawing(graph: StaticGraph) -> Drawing:
    """Return where everything stands."""
    depths = _depths(graph)
    leaves = {(label, name) for label, names in graph.leaves().items() for name in names}
    made = Drawing()
    places: dict[Node, Box] = {}
    top = _MARGIN
    for label in sorted({node[0] for node in depths}):
        made.lanes.append((label, top + 14))
        top += _LANE
        rows: dict[int, int] = {}
        for node in sorted(node for node in depths if node[0] == label):
            row = rows.get(depths[node], 0)
            rows[depths[node]] = row + 1
            kind = "missing" if node in graph.missing else "broken" if node in graph.broken else ""
            kind = kind or ("last" if node in leaves else "")
            x = _MARGIN + depths[node] * (WIDTH + _GAP_X)
            places[node] = Box(*node, x, top + row * (HEIGHT + _GAP_Y), kind)
        top += max(rows.values()) * (HEIGHT + _GAP_Y) + _GAP_Y
    made.boxes = list(places.values())
    made.lines = [_line(places[a], places[b]) for a, b in graph.edges if a in places and b in places]
    made.width = max((box.x for box in made.boxes), default=0) + WIDTH + _MARGIN
    made.height = top + _MARGIN
    return made


def _depths(graph: StaticGraph) -> dict[Node, int]:
    """Return the longest way to each node; what stands in a circle is as deep as the way to the circle."""
    before: dict[Node, set[Node]] = {node: set() for node in (*graph.nodes, *graph.missing, *graph.broken)}
    after: dict[Node, set[Node]] = {}
    for a, b in graph.edges:
        before.setdefault(b, set()).add(a)
        before.setdefault(a, set())
        after.setdefault(a, set()).add(b)
    depths = dict.fromkeys(before, 0)
    left = {node: len(found) for node, found in before.items()}
    ready = [node for node, number in left.items() if not number]
    while ready:
        node = ready.pop()
        for each in after.get(node, ()):
            depths[each] = max(depths[each], depths[node] + 1)
            left[each] -= 1
            if not left[each]:
                ready.append(each)
    return depths


def _line(start: Box, end: Box) -> str:
    x1, y1, x2, y2 = start.x + WIDTH, start.y + HEIGHT // 2, end.x, end.y + HEIGHT // 2
    bend = max((x2 - x1) // 2, 30)
    return f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
