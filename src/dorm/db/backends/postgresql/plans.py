"""The structure of PostgreSQL's JSON plans."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dorm.db.plans import PlanNode, document, named_details, without_numbers

# https://www.postgresql.org/docs/current/sql-explain.html; costs, rows, widths, buffers, times, memory and workers are
# left out, and so is what depends on them.
_NAMES = ("Strategy", "Partial Mode", "Operation", "Join Type", "Command", "Scan Direction")
_CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "TID Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Filter",
    "One-Time Filter",
    "Sort Key",
    "Presorted Key",
    "Group Key",
    "Order By",
    "Conflict Resolution",
)
_CAST = re.compile(
    r"""\?::(?:"[^"]+"|\w+(?:\.\w+)?)(?:[ ]varying|[ ]precision)?"""
    r"""(?:\([?, ]+\))?(?:[ ]with(?:out)?[ ]time[ ]zone)?(?:[ ]\[[ ]\])*""",
    re.IGNORECASE,
)
"""The type that the server gives a constant, which goes with the constant: 7 is a smallint where 70000 is not."""

_USUAL = {"Plain", "Simple", "Forward", "NoMovement", "Inner", None}


def plan_tree(rows: Sequence[Sequence[Any]]) -> PlanNode:
    """Return the tree of ``EXPLAIN (FORMAT JSON)``."""
    return _node(document(rows[0][0])[0]["Plan"])


def _node(plan: Mapping[str, Any]) -> PlanNode:
    parts = [str(plan["Node Type"])]
    parts += [f"[{plan[name]}]" for name in _NAMES if plan.get(name) not in _USUAL]
    if "Index Name" in plan:
        parts.append(f"using {plan['Index Name']}")
    target = plan.get("Relation Name") or plan.get("CTE Name") or plan.get("Function Name")
    if target:
        parts.append(f"on {target}")
    if plan.get("Subplan Name"):
        parts.append(f"as {without_numbers(str(plan['Subplan Name']))}")
    elif plan.get("Parent Relationship") not in ("Outer", "Inner", "Member", None):
        parts.append(f"as {plan['Parent Relationship']}")
    details = tuple(_CAST.sub("?", each) for each in named_details(plan, _CONDITIONS, "postgresql"))
    return PlanNode(" ".join(parts), details, tuple(map(_node, plan.get("Plans", ()))))
