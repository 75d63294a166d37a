"""Query plans as trees: the structure of a plan without what changes from day to day."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dorm.db.template import UNPARSABLE, normalize

_NUMBER = re.compile(r"\d+")
_PARTS = ("Append", "Merge Append")
_SUFFIX = re.compile(r"(?:_p?\d+)+(?![^\W_])")
"""Numbers that end a name or a word of it: ``_2026_01``, ``_p20260101``."""


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One step of a plan.

    Attributes:
        label: what it does and on what, in one line. details: conditions and keys with ``?`` for every constant.
    """

    label: str
    details: tuple[str, ...] = ()
    children: tuple[PlanNode, ...] = ()

    def lines(self, depth: int = 0) -> Iterator[str]:
        """Yield the tree, one node a line, children two spaces further in."""
        details = f" ({'; '.join(self.details)})" if self.details else ""
        yield f"{'  ' * depth}{self.label}{details}"
        for child in self.children:
            yield from child.lines(depth + 1)

    def text(self) -> str:
        """Return the tree as text; equal trees have equal texts."""
        return "\n".join(self.lines())


def without_partitions(node: PlanNode, inside: bool = False) -> PlanNode:
    """Return *node* with the numbers of partitions' names as ``_?``; how many partitions there are still counts."""
    label, details = node.label, node.details
    if inside:
        label = _SUFFIX.sub("_?", label)
        details = tuple(_SUFFIX.sub("_?", each) for each in details)
    inside = inside or node.label.startswith(_PARTS)
    return PlanNode(label, details, tuple(without_partitions(each, inside) for each in node.children))


def document(value: Any) -> Any:
    """Return a JSON plan as the driver gave it, parsed."""
    return json.loads(value) if isinstance(value, (str, bytes)) else value


def condition(text: str, vendor: str) -> str:
    """Return a condition of a plan with its constants as ``?``."""
    found = normalize(text, vendor)
    return "?" if found.startswith(UNPARSABLE) else found


def without_numbers(text: str) -> str:
    """Return *text* with every number as ``?``: names that a planner counts through."""
    return _NUMBER.sub("?", text)


def named_details(node: Mapping[str, Any], names: Sequence[str], vendor: str) -> tuple[str, ...]:
    """Return the values of *names* that a node of a JSON plan has, as ``name: value``."""
    found = []
    for name in names:
        value = node.get(name)
        if value is None:
            continue
        parts = value if isinstance(value, list) else [value]
        found.append(f"{name}: {', '.join(condition(str(part), vendor) for part in parts)}")
    return tuple(found)


def tree_of_rows(rows: Sequence[Sequence[Any]], clean: Any) -> tuple[PlanNode, ...]:
    """Return trees from rows that begin with an id and the id of their parent and end with a text."""
    below: dict[Any, list[Sequence[Any]]] = {}
    for row in rows:
        below.setdefault(row[1], []).append(row)

    def made(row: Sequence[Any]) -> PlanNode:
        return PlanNode(clean(str(row[-1])), (), tuple(made(each) for each in below.get(row[0], ())))

    return tuple(made(row) for row in below.get(0, ()))
