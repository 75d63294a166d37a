"""Plans as trees for the eye: the text of a plan read by its indentation, constants taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dorm.db.plans import condition
from dorm.exceptions import ImproperlyConfigured

_NUMBERS = re.compile(r"\s+\((?=(?:cost|actual|never executed)\b)")
_COST = re.compile(r"cost=[\d.]+\.\.([\d.]+)")
_TIME = re.compile(r"actual time=[\d.]+\.\.([\d.]+) rows=[\d.]+ loops=(\d+)")
_STRING = re.compile(r"'(?:[^']|'')*'")
_HEADING = re.compile(r"(?:SubPlan|InitPlan|CTE) ")
_FIGURES = re.compile(
    r"(?:Rows Removed by .*|Buffers|Sort Method|Buckets|Heap (?:Fetches|Blocks)|Planning.*|Execution.*|Workers .*"
    r"|I/O Timings|Hits|Batches|.*Memory.*|Worker \d+|Disabled|Index Searches)\Z"
)
"""Names of lines that hold figures of the server, which may stay; what any other line says about values goes."""


@dataclass
class Step:
    """One step of a plan.

    Attributes:
        label: what it does and on what. figures: what the server says of costs, rows and times. details: conditions
            and figures, one a line. share: its cost by that of the whole plan, from 0 to 1; None where there is none.
    """

    label: str
    figures: str = ""
    details: list[str] = field(default_factory=list)
    children: list[Step] = field(default_factory=list)
    share: float | None = None

    def walk(self) -> Iterator[Step]:
        """Yield this step and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def tree(plan: str, vendor: str) -> Step:
    """Return the tree of a plan's text; its root is the plan's first step, or stands for the plan.

    Constants of conditions become ``?``: a plan shows the parameters that the statement had.
    """
    root = Step("")
    # PostgreSQL and MySQL mark steps by arrows, all but the first; what else a step's lines say stands below it.
    arrows = "->" in plan or _NUMBERS.search(plan.partition("\n")[0]) is not None
    open_steps: list[tuple[int, Step]] = [(-1, root)]
    for line in plan.splitlines():
        text = line.strip()
        if not text:
            continue
        depth = len(line) - len(line.lstrip())
        while len(open_steps) > 1 and open_steps[-1][0] >= depth:
            open_steps.pop()
        above = open_steps[-1][1]
        if text.startswith("->") or not arrows or not root.children or _HEADING.match(text):
            is_first_of_arrows = arrows and above is root and root.children
            if not arrows and above is root and root.children and ": " in text:
                root.details.append(_detail(text, vendor))
                continue
            step = _step(text.removeprefix("->").strip())
            (root.children[0] if is_first_of_arrows else above).children.append(step)
            open_steps.append((depth, step))
        elif above is root:
            root.details.append(_detail(text, vendor))
        else:
            above.details.append(_detail(text, vendor))
    return _weighed(root)


def _weighed(root: Step) -> Step:
    """Give each step its share, and return the one root."""
    top = root
    if len(root.children) == 1:
        top = root.children[0]
        top.details += root.details
    else:
        top.label = "plan"
    whole = max((_weight(each) or 0.0 for each in top.walk()), default=0.0)
    for each in top.walk():
        weight = _weight(each)
        each.share = round(weight / whole, 4) if weight is not None and whole else None
    return top


def _weight(step: Step) -> float | None:
    """Return the time that a step took, or was expected to cost; of all its loops."""
    took = _TIME.search(step.figures)
    if took is not None:
        return float(took[1]) * int(took[2])
    cost = _COST.search(step.figures)
    return float(cost[1]) if cost is not None else None


def _step(text: str) -> Step:
    found = _NUMBERS.search(text)
    label, figures = (text[: found.start()], text[found.end() :]) if found else (text, "")
    return Step(_STRING.sub("?", label), figures.rstrip(")").replace(") (", " · "))


def _detail(text: str, vendor: str) -> str:
    name, colon, value = text.partition(": ")
    if not colon:
        return _STRING.sub("?", text)
    if _FIGURES.match(name):
        return text
    try:
        return f"{name}: {condition(value, vendor)}"
    except ImproperlyConfigured:
        return f"{name}: ?"
