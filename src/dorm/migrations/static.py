"""Migrations read as text: the graph of the files without importing any of them."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from dorm.migrations.apps import App, find_package

Node = tuple[str, str]


@dataclass
class StaticGraph:
    """What the files say.

    Attributes:
        nodes: migrations with a file. edges: (before, after), dashed ones (squashed) apart in *replaces*.
        missing: what is depended on and has no file. broken: files that cannot be parsed.
        warnings: what a reader should know, one line each.
    """

    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[Node, Node]] = field(default_factory=list)
    replaces: list[tuple[Node, Node]] = field(default_factory=list)
    missing: list[Node] = field(default_factory=list)
    broken: list[Node] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What ``--check`` fails on: missing nodes, circles, several last migrations, files that cannot be parsed."""
        found = [f"{label}.{name} is depended on and has no file" for label, name in self.missing]
        found += [f"cycle: {' -> '.join(f'{a}.{b}' for a, b in circle)}" for circle in self.circles()]
        for label, leaves in self.leaves().items():
            if len(leaves) > 1:
                found.append(f"{label} has {len(leaves)} last migrations: {', '.join(leaves)}")
        return found + [f"{label}.{name} cannot be parsed" for label, name in self.broken]

    def leaves(self) -> dict[str, list[str]]:
        """Return the last migrations of each app; what a squashed one replaces does not count."""
        inner = {a for a, b in self.edges if a[0] == b[0]} | {a for a, _ in self.replaces}
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            if node not in inner:
                found.setdefault(node[0], []).append(node[1])
        return found

    def circles(self) -> list[list[Node]]:
        """Return circles that together hold every edge that lies on one, each with its first node again at the end."""
        after: dict[Node, list[Node]] = {}
        before: dict[Node, int] = {}
        for a, b in self.edges:
            after.setdefault(a, []).append(b)
            before[b] = before.get(b, 0) + 1
        _without_ends(after, before)
        found: list[list[Node]] = []
        covered: set[tuple[Node, Node]] = set()
        for start in sorted(after):
            for end in after[start]:
                if (start, end) not in covered and (back := _shortest(end, start, after)):
                    circle = [start, *back]
                    covered.update(pairwise(circle))
                    found.append(circle)
        return found


def _without_ends(after: dict[Node, list[Node]], before: dict[Node, int]) -> None:
    """Take out what nothing comes before, again and again: what has no circle is gone then."""
    free = [node for node in after if not before.get(node)]
    while free:
        for child in after.pop(free.pop(), ()):
            before[child] -= 1
            if not before[child] and child in after:
                free.append(child)


def _shortest(start: Node, end: Node, after: dict[Node, list[Node]]) -> list[Node]:
    """Return the shortest path between two nodes, with both; an empty list when there is none."""
    came: dict[Node, Node] = {start: start}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        if node == end:
            path = [node]
            while path[-1] != start:
                path.append(came[path[-1]])
            return path[::-1]
        for child in after.get(node, ()):
            if child not in came:
                came[child] = node
                queue.append(child)
    return []


def read_graph(apps: Sequence[App]) -> StaticGraph:
    """Return the graph of the migrations of *apps*, and of what they depend on that can be found."""
    graph = StaticGraph()
    read: set[str] = set()
    paths: set[Path] = set()
    queue = list(apps)
    wanted: dict[Node, None] = {}
    while queue:
        app = queue.pop(0)
        if app.label in read:
            if app.path not in paths:
                graph.warnings.append(f"{app.path}: another app has the label {app.label!r}; this one is left out")
            continue
        read.add(app.label)
        paths.add(app.path)
        for path in app.migration_files():
            _read_file(graph, app, path, wanted)
        for label in sorted({node[0] for node in wanted} - read):
            path_of = find_package(label)
            if path_of is not None and (path_of / "migrations").is_dir():
                queue.append(App(label, label, path_of))
    there = set(graph.nodes)
    firsts = _ends(graph)
    # A squashed migration stands for those whose files are gone.
    firsts.update({old: new for old, new in graph.replaces if old not in there})
    resolved = {(_resolved(a, firsts), b) for a, b in graph.edges}
    graph.edges = sorted(resolved, key=lambda edge: (_place(edge[0]), _place(edge[1])))
    graph.edges = [(a, b) for a, b in graph.edges if a != b]
    graph.missing = sorted({node for edge in graph.edges for node in edge if node not in there}, key=_place)
    graph.replaces = [(a, b) for a, b in sorted(set(graph.replaces)) if a in there]
    graph.nodes.sort(key=_place)
    return graph


def _place(node: Node) -> tuple[str, int, str]:
    number = node[1].partition("_")[0]
    return (node[0], int(number) if number.isdigit() else 0, node[1])


def _ends(graph: StaticGraph) -> dict[Node, Node]:
    """Return what ``__first__`` and ``__latest__`` of each app mean."""
    found: dict[Node, Node] = {}
    for node in sorted(graph.nodes, key=_place):
        found.setdefault((node[0], "__first__"), node)
        found[(node[0], "__latest__")] = node
    return found


def _resolved(node: Node, ends: dict[Node, Node]) -> Node:
    return ends.get(node, node)


def _read_file(graph: StaticGraph, app: App, path: Path, wanted: dict[Node, None]) -> None:
    node = (app.label, path.stem)
    graph.nodes.append(node)
    try:
        # Bytes: the encoding is that of PEP 263.
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as exc:
        graph.broken.append(node)
        graph.warnings.append(f"{path}: {type(exc).__name__}: {exc}")
        return
    for name, value in _assignments(tree):
        for element, line in _elements(value):
            pair = _pair(element)
            if pair is None:
                graph.warnings.append(f"{path}:{line}: an element of {name} is no literal pair; it is left out")
            elif name == "dependencies":
                graph.edges.append((pair, node))
                wanted[pair] = None
            elif name == "run_before":
                graph.edges.append((node, pair))
            else:
                graph.replaces.append((pair, node))


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield name and value of what is assigned at the level of the module, or of a class ``Migration``."""
    bodies = [tree.body]
    bodies += [each.body for each in tree.body if isinstance(each, ast.ClassDef) and each.name == "Migration"]
    for body in bodies:
        for each in body:
            targets: Sequence[ast.expr] = ()
            value: ast.expr = ast.Constant(None)
            if isinstance(each, ast.Assign):
                targets, value = each.targets, each.value
            elif isinstance(each, (ast.AnnAssign, ast.AugAssign)) and each.value is not None:
                targets, value = [each.target], each.value
            for target in targets:
                if isinstance(target, ast.Name) and target.id in ("dependencies", "replaces", "run_before"):
                    yield target.id, value


def _elements(value: ast.expr) -> Iterator[tuple[ast.expr, int]]:
    """Yield the elements of a list, a tuple or a sum of them, each with its line."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        yield from _elements(value.left)
        yield from _elements(value.right)
    elif isinstance(value, (ast.List, ast.Tuple)):
        for element in value.elts:
            if isinstance(element, ast.Starred):
                yield from _elements(element.value)
            else:
                yield element, element.lineno
    else:
        yield value, value.lineno


def _pair(element: ast.expr) -> Node | None:
    if isinstance(element, (ast.Tuple, ast.List)) and len(element.elts) == 2:
        parts = [each.value for each in element.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if len(parts) == 2:
            return (parts[0], parts[1])
    return None


# -- text --------------------------------------------------------------------------------------------------------


def mermaid(graph: StaticGraph) -> str:
    """Return the graph for mermaid."""
    names = _identifiers([*graph.nodes, *graph.missing])
    lines = ["graph TD"]
    lines += [f'    {names[node]}["{_quoted(node)}"]' for node in [*graph.nodes, *graph.missing]]
    lines += [f"    {names[a]} --> {names[b]}" for a, b in graph.edges]
    lines += [f"    {names[a]} -.-> {names[b]}" for a, b in graph.replaces]
    if graph.missing:
        lines.append("    classDef missing stroke:#c00,stroke-dasharray: 4 4")
        lines.append(f"    class {','.join(names[node] for node in graph.missing)} missing")
    if graph.broken:
        lines.append("    classDef broken stroke:#c00")
        lines.append(f"    class {','.join(names[node] for node in graph.broken)} broken")
    return "\n".join(lines)


def _quoted(node: Node) -> str:
    return f"{node[0]}.{node[1]}".replace('"', "#quot;")


def _identifiers(nodes: Sequence[Node]) -> dict[Node, str]:
    """Return a name of letters, digits and underscores for each node, all different."""
    found: dict[Node, str] = {}
    taken: set[str] = set()
    for node in nodes:
        plain = "".join(char if char.isascii() and char.isalnum() else "_" for char in f"{node[0]}_{node[1]}")
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        found[node] = name
    return found


def dot(graph: StaticGraph) -> str:
    """Return the graph for Graphviz."""

    def name(node: Node) -> str:
        text = f"{node[0]}.{node[1]}".replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'

    lines = ["digraph migrations {", "    rankdir=LR;"]
    for node in graph.nodes:
        lines.append(f"    {name(node)}{' [color=red]' if node in graph.broken else ''};")
    lines += [f"    {name(node)} [style=dashed,color=red];" for node in graph.missing]
    lines += [f"    {name(a)} -> {name(b)};" for a, b in graph.edges]
    lines += [f"    {name(a)} -> {name(b)} [style=dashed];" for a, b in graph.replaces]
    return "\n".join([*lines, "}"])


def as_values(graph: StaticGraph) -> dict[str, object]:
    """Return the graph as plain values."""
    shown = [
        {"app": label, "name": name, "missing": False, "broken": (label, name) in graph.broken}
        for label, name in graph.nodes
    ]
    shown += [{"app": label, "name": name, "missing": True, "broken": False} for label, name in graph.missing]
    return {
        "nodes": shown,
        "edges": [{"from": ".".join(a), "to": ".".join(b), "kind": "depends"} for a, b in graph.edges]
        + [{"from": ".".join(a), "to": ".".join(b), "kind": "replaces"} for a, b in graph.replaces],
    }


def only(graph: StaticGraph, label: str) -> StaticGraph:
    """Return the part of a graph that has to do with one app."""

    def near(a: Node, b: Node) -> bool:
        return label in (a[0], b[0])

    edges = [(a, b) for a, b in graph.edges if near(a, b)]
    ends = {node for edge in edges for node in edge}
    return StaticGraph(
        [node for node in graph.nodes if node[0] == label or node in ends],
        edges,
        [(a, b) for a, b in graph.replaces if near(a, b)],
        [node for node in graph.missing if node in ends],
        [node for node in graph.broken if node[0] == label],
        graph.warnings,
    )
