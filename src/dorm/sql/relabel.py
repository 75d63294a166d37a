"""Conditions of one query put into another: its aliases renamed, its slots moved."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from dorm.record import replace
from dorm.sql.node import Column, Fixed, Node
from dorm.sql.select import Join, Order, Select, SubSelect


def moved(node: Node, names: Mapping[str, str], offset: int) -> Node:
    """Return *node* with other aliases, and with its slots *offset* further on."""
    if isinstance(node, Column):
        return Column(names.get(node.alias, node.alias), node.column, node.output, node.nullable, node.null)
    clone = copy.copy(node)
    if node.args:
        clone.args = tuple(moved(arg, names, offset) for arg in node.args)
    slot = getattr(clone, "slot", None)
    if offset and isinstance(slot, int) and not isinstance(slot, Fixed):
        clone.slot = slot + offset  # type: ignore[attr-defined]  # it has one
    if isinstance(clone, SubSelect):
        clone.base += offset
        clone.select = _select(clone.select, names)
    return clone


def moved_join(join: Join, names: Mapping[str, str], offset: int) -> Join:
    """Return *join* with other aliases, and with the slots of its condition *offset* further on."""
    condition = moved(join.condition, names, offset) if join.condition is not None else None
    return replace(
        join, alias=names.get(join.alias, join.alias), parent=names.get(join.parent, join.parent), condition=condition
    )


def _select(select: Select, names: Mapping[str, str]) -> Select:
    """Return a SELECT whose references to the query around it have other aliases."""
    own = {select.alias, *[join.alias for join in select.joins]}
    outer = {old: new for old, new in names.items() if old not in own}
    if not outer:
        return select

    def one(node: Node | None) -> Node | None:
        return None if node is None else moved(node, outer, 0)

    def many(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        return tuple(moved(node, outer, 0) for node in nodes)

    return replace(
        select,
        columns=many(select.columns),
        joins=tuple(moved_join(join, outer, 0) for join in select.joins),
        where=one(select.where),
        group_by=None if select.group_by is None else many(select.group_by),
        having=one(select.having),
        order_by=tuple(Order(moved(each.node, outer, 0), each.descending, each.nulls) for each in select.order_by),
        distinct_on=many(select.distinct_on),
    )
