"""The clauses of SELECT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.db.types import TEXT
from dorm.exceptions import NotSupportedError
from dorm.record import replace
from dorm.sql.convert import comparable_text
from dorm.sql.node import Node
from dorm.sql.select import Compound, Join, Lock, Order, Select, SubSelect, inner_aliases

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


def select_sql(compiler: Compiler, select: Select) -> str:
    """Return the text of *select*; parameters are collected in the order of the text."""
    parts = [
        *_with(compiler, select),
        "SELECT ",
        _distinct(compiler, select),
        _columns(compiler, select),
        " FROM ",
        _source(compiler, select),
    ]
    parts.append(joins_sql(compiler, select))
    if select.where is not None:
        parts.append(f" WHERE {select.where.sql(compiler)}")
    if select.group_by:
        keys = [_placed(compiler, select, node) or node.sql(compiler) for node in select.group_by]
        parts.append(f" GROUP BY {', '.join(keys)}")
    if select.having is not None:
        parts.append(f" HAVING {select.having.sql(compiler)}")
    if select.order_by:
        keys = [order_sql(compiler, order, _placed(compiler, select, order.node)) for order in select.order_by]
        parts.append(f" ORDER BY {', '.join(keys)}")
    if select.limit is not None or select.offset is not None:
        limit = select.limit.sql(compiler) if select.limit is not None else None
        offset = select.offset.sql(compiler) if select.offset is not None else None
        parts.append(compiler.dialect.limit(limit, offset))
    if select.lock is not None:
        parts.append(_lock(compiler, select.lock))
    return "".join(parts)


def _placed(compiler: Compiler, select: Select, node: Node) -> str | None:
    """Return the number of the column that *node* is, where it holds a subquery that need not be written twice."""
    place = next((number for number, column in enumerate(select.columns, 1) if column is node), None)
    if place is None or (node.output is not None and compiler.dialect.stores_as_text(node.output.sql_type)):
        return None
    return str(place) if any(isinstance(part, SubSelect) for part in node.walk()) else None


def _with(compiler: Compiler, select: Select) -> list[str]:
    if not select.ctes:
        return []
    recursive = " RECURSIVE" if any(cte.recursive for cte in select.ctes) else ""
    return [f"WITH{recursive} ", ", ".join(cte.sql(compiler) for cte in select.ctes), " "]


def _lock(compiler: Compiler, lock: Lock) -> str:
    return compiler.dialect.row_lock(
        nowait=lock.nowait,
        skip_locked=lock.skip_locked,
        of=tuple(compiler.alias(alias) for alias in lock.of),
        weak=lock.weak,
    )


def _compound(compiler: Compiler, compound: Compound) -> str:
    texts = []
    for number, (select, base) in enumerate(compound.branches):
        if select.lock is not None and compiler.dialect.supports_row_locks:
            raise NotSupportedError(
                f"FOR UPDATE is not allowed with UNION/INTERSECT/EXCEPT on {compiler.dialect.display_name}: lock the "
                "rows of a query by their keys."
            )
        branch = select
        if number == 0:
            branch = replace(select, labels=tuple(f"c{position}" for position in range(len(select.columns))))
        text = compiler.branch(branch, base)
        if select.order_by or select.limit is not None or select.offset is not None or select.ctes:
            text = f"SELECT * FROM ({text}) {compiler.quote(f'b{number}')}"
        texts.append(text)
    return f" {compound.word} ".join(texts)


def _distinct(compiler: Compiler, select: Select) -> str:
    if select.distinct_on:
        if not compiler.dialect.supports_distinct_on:
            raise NotSupportedError(
                f"{compiler.dialect.vendor} has no DISTINCT ON: call distinct() without field names, or group by them."
            )
        return f"DISTINCT ON ({compiler.expressions(select.distinct_on)}) "
    return "DISTINCT " if select.distinct else ""


def _columns(compiler: Compiler, select: Select) -> str:
    texts = [node.known(compiler).sql(compiler) for node in select.columns]
    for number, label in enumerate(select.labels):
        if label is not None:
            texts[number] += f" AS {compiler.quote(label)}"
    return ", ".join(texts)


def _source(compiler: Compiler, select: Select) -> str:
    alias = compiler.alias(select.alias)
    if isinstance(select.source, Compound):
        return f"({_compound(compiler, select.source)}) {alias}"
    if isinstance(select.source, Select):
        return f"({compiler.derived(select.source)}) {alias}"
    table = compiler.quote(select.source)
    return table if table == alias else f"{table} {alias}"


def joins_sql(compiler: Compiler, select: Select) -> str:
    """Return the JOIN clauses, INNER where the WHERE clause rejects the missing row anyway."""
    inner = inner_aliases(select)
    return "".join(_join(compiler, join, join.alias in inner) for join in select.joins)


def _join(compiler: Compiler, join: Join, inner: bool) -> str:
    parts = [
        f"{compiler.column(join.parent, ours)} = {compiler.column(join.alias, theirs)}" for ours, theirs in join.pairs
    ]
    parts += [f"{compiler.column(join.alias, column)} = {constant(compiler, value)}" for column, value in join.extra]
    parts += [f"{compiler.column(join.parent, column)} = {constant(compiler, value)}" for column, value in join.given]
    if join.condition is not None:
        parts.append(f"({join.condition.sql(compiler)})")
    on = " AND ".join(parts)
    table, alias = compiler.quote(join.table), compiler.alias(join.alias)
    named = table if table == alias else f"{table} {alias}"
    return f" {'INNER' if inner else 'LEFT OUTER'} JOIN {named} ON {on}"


def constant(compiler: Compiler, value: Any) -> str:
    """Return a constant of a join's condition: a node, or a literal that dorm knows (never a user's value)."""
    if isinstance(value, Node):
        return value.sql(compiler)
    return compiler.dialect.quote_literal(value) if isinstance(value, str) else str(value)


def order_sql(compiler: Compiler, order: Order, place: str | None = None) -> str:
    """Return one key of ORDER BY; the number of a column where one is given as its *place*."""
    if place is not None and order.nulls is not None and not compiler.dialect.supports_nulls_ordering:
        place = None
    text = place or comparable_text(compiler, order.node)
    if text == "NULL":
        # A bare constant is refused there by PostgreSQL.
        output = order.node.output
        text = compiler.dialect.cast(text, TEXT if output is None else output.sql_type)
    direction = " DESC" if order.descending else ""
    if order.nulls is None:
        return text + direction
    if compiler.dialect.supports_nulls_ordering:
        return f"{text}{direction} NULLS {order.nulls.upper()}"
    first = f"{text} IS NULL{' DESC' if order.nulls == 'first' else ''}"
    return f"{first}, {comparable_text(compiler, order.node)}{direction}"
