"""What queries made of queries consist of (UNION, INTERSECT, EXCEPT), and what may be asked of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from dorm.exceptions import NotSupportedError
from dorm.record import Record
from dorm.sql.node import Column, Node
from dorm.sql.row import Row

if TYPE_CHECKING:
    from dorm.queryset.query import Query

WORDS = {"union": "UNION", "intersection": "INTERSECT", "difference": "EXCEPT"}
TABLE = "combined"
"""Alias under which the rows of a combined query stand."""


class Combined(Record):
    """What a combined query is made of.

    Args:
        operator: name of the method that made it.
        all: equal rows are kept (UNION ALL).
        branches: each query, and where its slots start among the values of the whole.
        objects: the branches before columns were chosen of them; () where they never gave objects.
        attributes: the columns of objects by the names of their attributes, "" for those of joined objects.
        unshown: columns by name that the branches have beside those of the rows, to order by.
    """

    operator: str
    all: bool
    branches: tuple[tuple[Query, int], ...]
    objects: tuple[tuple[Query, int], ...] = ()
    attributes: tuple[tuple[str, Node], ...] = ()
    unshown: tuple[tuple[str, Node], ...] = ()

    @property
    def word(self) -> str:
        return WORDS[self.operator] + (" ALL" if self.all else "")


def outer_columns(head: Query) -> tuple[tuple[str, Node], ...]:
    """Return the columns of the rows of a combined query by the names that its first branch gives them."""
    numbers = itertools.count()

    def outer(node: Node) -> Node:
        if isinstance(node, Row):
            return Row(map(outer, node.args))
        return Column(TABLE, label(next(numbers)), node.output, True)

    return tuple((name, outer(node)) for name, node in head.columns)


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
