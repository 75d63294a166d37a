"""The structure of SQLite's query plans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dorm.db.plans import PlanNode, tree_of_rows

# https://www.sqlite.org/eqp.html
_COUNTED = re.compile(r"\b(SUBQUERY|CO-ROUTINE|MATERIALIZE|subquery|UNION) ?-?\d+|\(~\d+ rows?\)|\b\d+ CONSTANT ROWS?")


def plan_tree(rows: Sequence[Sequence[Any]]) -> PlanNode:
    """Return the tree of ``EXPLAIN QUERY PLAN``."""
    return PlanNode("QUERY PLAN", (), tree_of_rows(rows, _line))


def _line(text: str) -> str:
    return _COUNTED.sub(lambda found: found.group(1) or "", text).strip()
