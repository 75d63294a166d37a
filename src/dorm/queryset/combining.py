"""Making queries of queries: UNION, INTERSECT, EXCEPT."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from dorm.queryset.combine import TABLE, Combined, label, outer_columns
from dorm.queryset.query import Query
from dorm.queryset.selects import rows_select
from dorm.record import replace
from dorm.sql.convert import aligned, as_type
from dorm.sql.node import FLOAT_OUTPUT, Column, Literals, Node

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet
    from dorm.sql.plan import Plan, Prepares


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
        made = Query(
            head.model,
            TABLE,
            order=(),
            kind=head.kind,
            columns=outer_columns(head),
            combined=Combined(operator, all_, tuple(branches), attributes=_attributes(head)),
            outers=tuple(dict.fromkeys(name for query, _ in branches for name in query.outers)),
            aliases=frozenset().union(*[query.aliases for query, _ in branches]),
        )
        return made, (None,) * len(collected)

    child = plan.step((operator, all_, *keys), build)
    return child, (*values, *collected)


def _attributes(head: Query) -> tuple[tuple[str, Node], ...]:
    """Return the columns of objects that *head* begins, as `Combined.attributes`."""
    if head.kind != "object":
        return ()
    select, shape = rows_select(head)
    assert shape.object is not None, "a query of objects"
    own = shape.object.attnames
    names = (*own, *[""] * (len(select.columns) - len(own) - len(shape.names)), *shape.names)
    nodes = [Column(TABLE, label(number), node.output, True) for number, node in enumerate(select.columns)]
    return tuple(zip(names, nodes, strict=True))


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
