"""A queryset as a part of another query: its keys, its column, whether it has rows, its rows under a name."""

from __future__ import annotations

from dorm.exceptions import FieldError
from dorm.queryset.outputs import output_column
from dorm.queryset.query import Query
from dorm.queryset.selects import SUB, is_empty, labelled, rows_select, unordered
from dorm.queryset.totals import exists_select
from dorm.record import replace
from dorm.sql.node import Column, Node, Output, Part
from dorm.sql.plan import Plan
from dorm.sql.row import Row
from dorm.sql.select import Select


def key_select(query: Query, column: str | None = None) -> Select:
    """Return the SELECT of one column (the primary key) of the rows of *query*, for ``IN (...)``."""
    nodes = [Column(query.alias, column or field.column, field, False) for field in query.model._meta.pk_fields]
    node: Node = Row(nodes) if len(nodes) > 1 and column is None else nodes[0]
    if query.combined is not None:
        node = output_column(query, "pk")
    inner, _ = rows_select(
        replace(query, kind="tuple", columns=(("pk", node),), order=query.order if query.is_sliced else ())
    )
    return inner


def width_of(query: Query) -> int:
    """Return how many columns the rows of *query* have in another query; objects count as their key."""
    if query.kind == "object":
        return len(query.model._meta.pk_fields)
    return sum(len(node.args) if isinstance(node, Row) else 1 for _, node in query.columns)


def output_of(query: Query) -> Output | None:
    """Return what the one column of *query* in another query is; None where it has several."""
    if width_of(query) != 1:
        return None
    return query.model._meta.pk if query.kind == "object" else query.columns[0][1].output


def part(plan: Plan[Query], alias: str | None, width: int, ordered: bool = False) -> Part:
    """Return the queryset of *plan* as a part of another query: of *width* columns, of any for 0.

    Args:
        ordered: the rows keep an order that decides nothing about which rows they are.
    """
    query = plan.query
    if not width:
        select = exists_select(query, limited=False)
    elif width_of(query) != width:
        wanted = "one column" if width == 1 else f"{width} columns"
        raise FieldError(f"The QuerySet value for a subquery must select {wanted}, not {width_of(query)}.")
    elif query.kind == "object":
        select = key_select(query)
    else:
        select, _ = rows_select(query if ordered else unordered(query))
    if width and len(select.columns) > width:
        firsts = tuple(
            Column(SUB, f"c{number}", node.output, node.nullable) for number, node in enumerate(select.columns[:width])
        )
        select = Select(labelled(select), SUB, firsts)
    aliases = query.aliases if alias is None else query.aliases | {alias}
    return Part(select, plan.slots, query.outers, aliases, is_empty(query))


def named_part(plan: Plan[Query], alias: str | None) -> Part:
    """Return the queryset of *plan* as a named query, whose columns are called as in the model's table."""
    query = plan.query
    select, shape = rows_select(unordered(query))
    names: list[str | None]
    if shape.object is not None:
        fields = {field.attname: field.column for field in query.model._meta.fields}
        names = [fields[attname] for attname in shape.object.attnames]
        names += [None] * (len(select.columns) - len(names) - len(shape.names))
        names += shape.names
    else:
        names = list(shape.names)
    names += [None] * (len(select.columns) - len(names))
    labelled = replace(select, labels=tuple(names))
    aliases = query.aliases if alias is None else query.aliases | {alias}
    return Part(labelled, plan.slots, query.outers, aliases, is_empty(query))
