"""Lookups on several columns taken together: composite keys, compared with tuples, with each other, with querysets."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from dorm.exceptions import FieldError
from dorm.expressions.subquery import NameOfKey, OuterRef, OuterReference, Subquery
from dorm.lookups.core import InSelect, IsNull, operand
from dorm.lookups.values import bucket, has_nodes
from dorm.sql.boolean import Condition, Nothing
from dorm.sql.node import Node, Output, Param, Parents, QueryLike, Scope
from dorm.sql.row import Row, RowIn

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

OPERATORS = {"exact": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class RowComparison(Condition):
    """Two rows compared by their first columns that differ."""

    def __init__(self, lookup: str, lhs: Row, rhs: Node) -> None:
        self.lookup = lookup
        self.args = (lhs, rhs)

    def options(self) -> tuple[Hashable, ...]:
        return (self.lookup,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        lhs, rhs = self.args
        return f"{lhs.sql(compiler)} {OPERATORS[self.lookup]} {rhs.sql(compiler)}"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return self.args[0].null_rejecting(parents) if self.lookup == "exact" else frozenset()

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


class Part(Param):
    """One value out of a slot that holds a row of values, or (with *row*) rows of them; the last row is repeated."""

    def __init__(self, slot: int, column: int, output: Output | None, row: int | None = None) -> None:
        super().__init__(slot, output)
        self.column = column
        self.row = row

    def options(self) -> tuple[Hashable, ...]:
        return (self.slot, self.row, self.column)

    def sql(self, compiler: Compiler) -> str:
        bind = self.output.bind(compiler.dialect) if self.output is not None else None
        null = compiler.dialect.null(self.output.sql_type if self.output is not None else None)
        row, column = self.row, self.column

        def part(values: Any) -> Any:
            value = values[column] if row is None else values[min(row, len(values) - 1)][column]
            if value is None:
                return null
            return value if bind is None else bind(value)

        return compiler.param(self.slot, self.output, part)


def row_condition(lookup: str, row: Row, key: Any, value: Any, scope: Scope) -> Node:
    """Return the condition that *row*, the columns of *key*, stands to *value* as *lookup* says.

    Raises: FieldError: a lookup that rows don't have. ValueError: a value that is no tuple of the key's width.
    """
    if lookup == "isnull":
        if not isinstance(value, bool):
            raise ValueError("The QuerySet value for an isnull lookup must be True or False.")
        return IsNull(row.args[0], value)
    if lookup == "in":
        return _in(row, key, value, scope)
    if lookup not in OPERATORS:
        raise FieldError(f"Unsupported lookup {lookup!r} for CompositePrimaryKey or join on the field not permitted.")
    what = f"{lookup!r} lookup"
    if isinstance(value, (QueryLike, Subquery)):
        query = _checked(value, len(row.args), lookup)
        if not query.gives_one:
            raise ValueError("The QuerySet value for an exact lookup must be limited to one result using slicing.")
        return RowComparison(lookup, row, scope.subquery(query, len(row.args)))
    if isinstance(value, Node):
        other: Node
        if type(value) is OuterRef and isinstance(value.name, str):
            other = scope.outer(NameOfKey(value.name))
        else:
            other = value.resolve(scope)
        if not isinstance(other, (Row, OuterReference)):
            raise ValueError(f"{what} of {key.name!r} must be a tuple or a list.")
        return RowComparison(lookup, row, other)
    items = key.values_of(value, what)
    if any(isinstance(item, (Node, QueryLike)) for item in items):
        return RowComparison(
            lookup, row, Row(operand(column, item, scope) for column, item in zip(row.args, items, strict=True))
        )
    slot = scope.slot(_Prepared(key, what))
    parts = Row(Part(slot, number, column.output) for number, column in enumerate(row.args))
    return RowComparison(lookup, row, parts)


def _in(row: Row, key: Any, value: Any, scope: Scope) -> Node:
    what, wanted = "'in' lookup", "a collection of tuples or lists"
    width = len(row.args)
    if isinstance(value, (QueryLike, Subquery)):
        return InSelect(row, (scope.subquery(_checked(value, width, "in"), width),))
    if isinstance(value, Node) or any(isinstance(item, (Node, QueryLike)) for item in value):
        raise ValueError(f"{what} of {key.name!r} must be {wanted}.")
    if not value:
        return Nothing()
    prepared = _Prepared(key, what, wanted)
    outputs = [column.output for column in row.args]
    if any(map(has_nodes, value)):
        nodes: list[Node] = []
        for each in value:
            if has_nodes(each):
                items = zip(row.args, key.values_of(each, what, wanted), strict=True)
                nodes.extend(operand(column, item, scope) for column, item in items)
            else:
                place = scope.slot(prepared)
                nodes.extend(Part(place, number, output) for number, output in enumerate(outputs))
        return RowIn(row.args, nodes)
    slot = scope.slot(_All(prepared))
    size = bucket(len(value))
    return RowIn(
        row.args, [Part(slot, column, output, at) for at in range(size) for column, output in enumerate(outputs)]
    )


def _checked(value: Any, width: int, lookup: str) -> Any:
    query = value.queryset if isinstance(value, Subquery) else value
    if query.width != width:
        raise ValueError(
            f"The QuerySet value for the {lookup!r} lookup must have {width} selected fields (received {query.width})."
        )
    return query


class _Prepared:
    """Makes the values of a key's fields of a tuple, a list or an instance."""

    __slots__ = ("key", "prepares", "wanted", "what")

    def __init__(self, key: Any, what: str, wanted: str = "a tuple or a list") -> None:
        self.key = key
        self.what = what
        self.wanted = wanted
        self.prepares: list[Callable[[Any], Any] | None] = [
            field.prepare if field.prepares else None for field in key.fields
        ]

    def __call__(self, value: Any) -> tuple[Any, ...]:
        values = self.key.values_of(value, self.what, self.wanted)
        return tuple(
            each if prepare is None or each is None else prepare(each)
            for prepare, each in zip(self.prepares, values, strict=True)
        )


class _All:
    """Makes rows of values; a row with a NULL is like no other and falls away."""

    __slots__ = ("each",)

    def __init__(self, each: _Prepared) -> None:
        self.each = each

    def __call__(self, rows: Any) -> tuple[tuple[Any, ...], ...]:
        known = tuple(row for row in map(self.each, rows) if None not in row)
        return known or ((None,) * len(self.each.prepares),)
