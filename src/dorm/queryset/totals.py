"""What is asked about the rows of a query as a whole: how many there are, whether there are any, aggregates over them.

Nothing is selected, joined or ordered for it that does not decide the answer.
"""

from __future__ import annotations

from typing import Any

from dorm.db.dialect import Dialect
from dorm.models.resolve import constant
from dorm.queryset.query import Query
from dorm.queryset.selects import SUB, Compiled, compiled, labelled, lifted, rows_select, sized, unordered, where_of
from dorm.record import replace
from dorm.sql.boolean import And
from dorm.sql.node import INTEGER_OUTPUT, Column, Node, Param, Text
from dorm.sql.plan import Plan
from dorm.sql.select import Join, Select, SubSelect

_COUNT = Text("COUNT(*)", INTEGER_OUTPUT)
_ONE = Text("1", INTEGER_OUTPUT)


def counted(plan: Plan[Query], dialect: Dialect) -> Compiled:
    """Return the compiled SELECT COUNT of *plan*."""
    key = ("count", dialect.fingerprint)
    found: Compiled | None = plan.derived.get(key)
    if found is not None:
        return found
    made: Compiled = plan.derive(key, lambda: sized(compiled(plan, dialect, count_select(plan.query))))
    return made


def existing(plan: Plan[Query], dialect: Dialect) -> Compiled:
    """Return the compiled SELECT that gives one row if *plan* has any."""
    key = ("exists", dialect.fingerprint)
    found: Compiled | None = plan.derived.get(key)
    if found is not None:
        return found
    made: Compiled = plan.derive(key, lambda: sized(compiled(plan, dialect, exists_select(plan.query))))
    return made


def count_select(query: Query) -> Select:
    """Return SELECT COUNT(*) of *query*, over a subquery where its rows are not those of the join; none is locked."""
    query = replace(query, lock=None, related={})
    if not query.is_derived:
        return _over_joins(query, (_COUNT,), _needed(query))
    select, _ = rows_select(unordered(_keys_of(query)))
    if query.group == "key" and not _cut(query) and select.group_by and len(select.group_by) == _key_width(query):
        # A group is a row of the table: what was joined for the aggregates alone makes no more of them.
        joins = _needed(query, several=False)
        if not any(join.multi for join in joins):
            return _over_joins(query, (_COUNT,), joins)
    whole = select.limit is None and select.offset is None and select.group_by is None
    if whole and not (select.distinct or select.distinct_on):
        return replace(select, columns=(_COUNT,), labels=(), order_by=())
    return Select(_hollow(select), SUB, (_COUNT,))


def exists_select(query: Query, limited: bool = True) -> Select:
    """Return a SELECT of a constant, at most one row of it (*limited*)."""
    query = replace(query, lock=None, related={})
    limit = constant(1) if limited else None
    if query.offset is None:
        # Of some rows there is one however few are taken, and in whatever order.
        query = replace(query, limit=None, ceiling=None, distinct=False, distinct_on=(), order=(), backwards=False)
    if not query.is_derived:
        return replace(_over_joins(query, (_ONE,), _needed(query, several=False)), limit=limit)
    select, _ = rows_select(unordered(query))
    if select.group_by and not _cut(query):
        return replace(_over_joins(query, (_ONE,), _needed(query, several=False)), limit=limit)
    if select.distinct or select.distinct_on or select.group_by == ():
        return Select(labelled(select), SUB, (_ONE,), limit=limit)
    return replace(_hollow(select), labels=(), limit=limit)


def as_set(query: Query) -> Query:
    """Return *query* without what only decides in which order, how often or with what beside it a row is given."""
    query = replace(query, lock=None, related={}) if query.related else query
    if query.group == "key" and not _cut(replace(query, distinct=False)):
        query = replace(query, group=None)
    if query.group is not None or _cut(replace(query, distinct=False)):
        return query
    return replace(query, distinct=False, joins=_needed(query, several=False))


def _keys_of(query: Query) -> Query:
    """Return a query of grouped objects as one of their keys: parents' columns make no groups of their own."""
    if query.kind != "object" or query.group != "key" or query.distinct or query.distinct_on or query.qualify:
        return query
    keys = [Column(query.alias, field.column, field, False) for field in query.model._meta.pk_fields]
    shown = [(name, node) for name, node in query.annotations.items() if name not in query.hidden]
    return replace(query, kind="tuple", columns=(*[("pk", key) for key in keys], *shown), loaded=None)


def _cut(query: Query) -> bool:
    """True when not all rows or groups of the joined tables are taken, or when they are not those of tables."""
    decided = query.having or query.qualify or query.distinct or query.distinct_on or query.combined is not None
    return bool(decided) or query.is_sliced or query.ceiling is not None


def _key_width(query: Query) -> int:
    return len(query.model._meta.pk_fields)


def _hollow(select: Select) -> Select:
    """Return *select* with as many rows of nothing; DISTINCT needs what it tells apart."""
    if select.distinct or select.distinct_on:
        return labelled(select)
    if select.group_by == ():
        return replace(labelled(select), order_by=())
    return replace(select, columns=(_ONE,), labels=("one",), order_by=())


def _over_joins(query: Query, nodes: tuple[Node, ...], joins: tuple[Join, ...]) -> Select:
    """Return the SELECT of *nodes* over the rows of the joined tables."""
    table, alias, where = query.model._meta.db_table, query.alias, where_of(query)
    through = _through(query, And((*query.where, *nodes)), joins)
    if through is not None:
        table, alias, joins = through.table, through.alias, tuple(join for join in joins if join is not through)
    return Select(table, alias, nodes, joins=joins, where=where, ctes=query.ctes)


def _through(query: Query, asked: And, joins: tuple[Join, ...]) -> Join | None:
    """Return the join to the table of a many-to-many relation that says all there is to ask about its end here.

    Its rows point at one row of our table each, by a key that the database watches over.
    """
    first = [join for join in joins if join.parent == query.alias]
    if len(first) != 1 or first[0].extra or first[0].given or first[0].condition is not None:
        return None
    through, key = first[0], getattr(first[0].relation, "field", None)
    if key is None or key.model._meta.db_table != through.table or not key.model._meta.auto_created:
        return None
    if not key.db_constraint or through.alias not in asked.null_rejecting({}):
        return None
    for node in asked.walk():
        opaque = not isinstance(node, (Column, And, Param, Text)) and not node.args
        if opaque or isinstance(node, SubSelect) or (isinstance(node, Column) and node.alias == query.alias):
            return None
    return through


def aggregate_select(query: Query, aggregates: tuple[tuple[str, Node], ...]) -> Select:
    """Return the SELECT of aggregates over the rows of *query*; a subquery where they are not those of the join."""
    query = replace(query, lock=None, related={})
    nodes = tuple(node for _, node in aggregates)
    if not query.is_derived and not any(part.is_window for node in nodes for part in node.walk()):
        return _over_joins(query, nodes, _needed(query, nodes))
    wanted: dict[Any, tuple[str, Node]] = {}
    shown = tuple(_over(node, wanted) for node in nodes)
    inner, _ = rows_select(unordered(query), tuple(node for _, node in wanted.values()))
    own = list(inner.columns)
    further = [node for _, node in wanted.values()]
    if query.qualify:
        # What chooses the rows stands around the joins: it hands on what is aggregated.
        own, further = own[: len(own) - len(wanted)], own[len(own) - len(wanted) :]
    columns, labels = own, [f"c{number}" for number in range(len(own))]
    if not query.distinct:
        columns, labels = [], []
    for (name, _), node in zip(wanted.values(), further, strict=True):
        columns.append(node)
        labels.append(name)
    if not columns:
        columns, labels = [_ONE], ["one"]
    return Select(replace(inner, columns=tuple(columns), labels=tuple(labels)), SUB, shown)


def _over(node: Node, wanted: dict[Any, tuple[str, Node]]) -> Node:
    """Return an aggregate, or an expression over aggregates, that reads the columns of a subquery."""
    if node.is_aggregate:
        return node.rebuilt(tuple(lifted(arg, wanted) for arg in node.args))
    return node.rebuilt(tuple(_over(arg, wanted) for arg in node.args)) if node.args else node


def _needed(query: Query, nodes: tuple[Node, ...] = (), several: bool = True) -> tuple[Join, ...]:
    """Return the joins that decide which rows there are and what *nodes* read.

    Args:
        several: how often a row is there counts, so that outer joins to several partners count.
    """
    asked = And((*query.where, *nodes))
    used = {node.alias for node in asked.walk() if isinstance(node, Column)}
    known = (Column, And, Param, Text, SubSelect)
    if any(not isinstance(node, known) and not node.args for node in asked.walk()):
        return query.joins
    kept: list[Join] = []
    for join in reversed(query.joins):
        if (join.multi and several) or join.alias in used:
            used.add(join.parent)
            kept.append(join)
    return tuple(reversed(kept))
