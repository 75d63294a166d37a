"""Conditions that may be NULL: what NOT is to make of them, and subqueries behind NOT IN."""

from __future__ import annotations

from dorm.lookups.core import IsNull
from dorm.record import replace
from dorm.sql.boolean import And, conjunction
from dorm.sql.node import Column, Node
from dorm.sql.select import Select

_SUB, _VALUE = "sub", "value"


def negatable(condition: Node, column: Column | None) -> Node:
    """Return *condition* so that NOT of it keeps the rows where its *column*, or one it is compared with, is NULL.

    As Django does: NOT (x = 1) would lose the rows where x is NULL. Annotations and what is computed are left as they
    are.
    """
    if isinstance(condition, IsNull) or column is None:
        return condition
    others = [arg for arg in condition.args[1:] if isinstance(arg, Column) and arg.null]
    nullable = [each for each in (column, *others) if each.nullable]
    return And((condition, *[IsNull(each, False) for each in nullable])) if nullable else condition


def without_null(select: Select) -> Select:
    """Return a SELECT without its rows that hold NULL."""
    column = select.columns[0]
    if not any(each.nullable for each in select.columns):
        return select
    grouped = select.group_by is not None or column.contains_aggregate
    if (grouped or select.limit is not None or select.offset is not None or select.distinct_on) and len(
        select.columns
    ) == 1:
        inner = Column(_SUB, _VALUE, column.output, True)
        return Select(replace(select, labels=(_VALUE,)), _SUB, (inner,), where=IsNull(inner, False))
    rest = (select.where,) if select.where is not None else ()
    known = [IsNull(each, False) for each in select.columns if each.nullable]
    return replace(select, where=conjunction((*rest, *known)))
