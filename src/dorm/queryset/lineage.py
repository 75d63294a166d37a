"""Which results of a queryset come from which columns: for masks and exports, decided once a query, unrun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dorm.expressions.raw import RawSQL
from dorm.record import Record
from dorm.sql.node import Node


class Result(Record):
    """One selected column.

    Attributes:
        name: its name in the results. outputs: the fields and types that it is computed from.
        opaque: raw SQL is part of it, so it may come from anywhere.
    """

    name: str
    outputs: tuple[Any, ...]
    opaque: bool


def results(qs: Any) -> tuple[str, list[Result]]:
    """Return the kind of *qs*'s results (object, dict, tuple, named, flat) and its selected columns.

    For objects these are the annotations alone: their other columns are the model's fields.
    """
    query = qs._plan.query
    if query.kind == "object":
        nodes = [(name, [node]) for name, node in query.annotations.items() if name not in query.hidden]
    else:
        nodes = [(name, [node]) for name, node in query.columns]
    for position, (_, found) in enumerate(nodes):
        found.extend(_of_branches(query, position))
    return query.kind, [_result(name, found) for name, found in nodes]


def _of_branches(query: Any, position: int) -> Iterator[Node]:
    """Yield what stands at *position* in the branches of a combined query."""
    if query.combined is None:
        return
    for branch, _ in query.combined.branches:
        if position < len(branch.columns):
            yield branch.columns[position][1]
        yield from _of_branches(branch, position)


def _result(name: str, nodes: list[Node]) -> Result:
    walked = [each for node in nodes for each in node.walk()]
    outputs = tuple(output for each in walked if (output := getattr(each, "output", None)) is not None)
    return Result(name, outputs, any(isinstance(each, RawSQL) for each in walked))


def chosen(found: list[Result], wanted: Callable[[Any], bool]) -> list[tuple[int, Result]]:
    """Return position and column of the results that come from an output that *wanted* is true for."""
    return [(place, each) for place, each in enumerate(found) if any(map(wanted, each.outputs))]
