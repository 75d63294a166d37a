"""Queries made of queries: UNION, INTERSECT, EXCEPT, and what may be asked of them."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dorm.exceptions import NotSupportedError
from dorm.sql.convert import aligned, as_type
from dorm.sql.node import FLOAT_OUTPUT, Column, Literals, Node
from dorm.sql.row import Row

if TYPE_CHECKING:
    from dorm.queryset.query import Query
    from dorm.queryset.queryset import QuerySet
    from dorm.sql.plan import Plan, Prepares

WORDS = {"union": "UNION", "intersection": "INTERSECT", "difference": "EXCEPT"}
TABLE = "combined"
"""Alias under which the rows of a combined query stand."""


@dataclass(frozen=True, slots=True)
class Combined:
    """What a combined query is made of.

    Args:
        operator: name of the method that made it.
        all: equal rows are kept (UNION ALL).
        branches: each query, and where its slots start among the values of the whole.
        objects: the branches before columns were chosen of them; () where they never gave objects.
        unshown: columns by name that the branches have beside those of the rows, to order by.
    """

    operator: str
    all: bool
    branches: tuple[tuple[Query, int], ...]
    objects: tuple[tuple[Query, int], ...] = ()
    unshown: tuple[tuple[str, Node], ...] = ()

    @property
    def word(self) -> str:
        return WORDS[self.operator] + (" ALL" if self.all else "")


def combined(
    plan: Plan[Query], values: tuple[Any, ...], operator: str, others: Sequence[QuerySet[Any, Any]], all_: bool = False
) -> tuple[Plan[Query], tuple[Any, ...]]:
    """`union`, `intersection` and `difference`."""
    collected = Literals()
    keys: list[Hashable] = [other.query_key(collected) for other in others]

    def build() -> tuple[Query, Prepares]:
        branches, base = [(_branch(plan.query), 0)], plan.slots
        for other in others:
            branches.append((_branch(other._plan.query), base))
            base += other._plan.slots
        branches = _in_one_form(branches)
        head = branches[0][0]
        made = type(head)(
            head.model,
            TABLE,
            order=(),
            kind=head.kind,
            columns=outer_columns(head),
            combined=Combined(operator, all_, tuple(branches)),
            outers=tuple(dict.fromkeys(name for query, _ in branches for name in query.outers)),
            aliases=frozenset().union(*[query.aliases for query, _ in branches]),
        )
        return made, (None,) * len(collected)

    child = plan.step((operator, all_, *keys), build)
    return child, (*values, *collected)


def outer_columns(head: Query) -> tuple[tuple[str, Node], ...]:
    """Return the columns of the rows of a combined query by the names that its first branch gives them."""
    numbers = itertools.count()

    def outer(node: Node) -> Node:
        if isinstance(node, Row):
            return Row(map(outer, node.args))
        return Column(TABLE, label(next(numbers)), node.output, True)

    return tuple((name, outer(node)) for name, node in head.columns)


def _branch(query: Query) -> Query:
    """Return a branch: its order matters to a slice only."""
    if query.is_sliced or query.ceiling is not None or query.distinct_on or query.combined is not None:
        return query
    return replace(query, order=(), backwards=False)


def _in_one_form(branches: list[tuple[Query, int]]) -> list[tuple[Query, int]]:
    """Return *branches* of rows with their numbers in one form: a backend may store decimals in several."""
    queries = [query for query, _ in branches]
    width = len(queries[0].columns)
    if any(query.kind == "object" or len(query.columns) != width for query in queries):
        return branches
    names = [[name for name, _ in query.columns] for query in queries]
    places = zip(
        *[_numbers([node for _, node in place]) for place in zip(*[q.columns for q in queries], strict=True)],
        strict=True,
    )
    columns = [tuple(zip(own, nodes, strict=True)) for own, nodes in zip(names, places, strict=True)]
    return [(replace(query, columns=own), base) for (query, base), own in zip(branches, columns, strict=True)]


def _numbers(nodes: list[Node]) -> tuple[Node, ...]:
    """Return one column of each branch, as floats where one of them has floats and another has decimals."""
    found = aligned(*nodes)
    kinds = {node.output.sql_type.kind for node in nodes if node.output is not None}
    if {"numeric", "double"} <= kinds:
        return tuple(as_type(node, FLOAT_OUTPUT) for node in nodes)
    return found


def refuse(query: Query, method: str) -> None:
    """Raise for a method that a combined query cannot take, as Django documents it."""
    if query.combined is not None:
        raise NotSupportedError(
            f"Calling QuerySet.{method}() after {query.combined.operator}() is not supported: apply it to the "
            "querysets before they are combined."
        )


def label(position: int) -> str:
    """Return the name that a column of the branches has for the whole."""
    return f"c{position}"
