"""Composite primary keys in queries: conditions, orders and columns on ``pk`` become those of its columns."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from dorm.exceptions import FieldError
from dorm.expressions.predicate import Q
from dorm.expressions.subquery import OuterRef
from dorm.fields.composite import CompositePrimaryKey
from dorm.lookups.core import InSelect, is_lookup
from dorm.models.paths import relation_of
from dorm.sql.boolean import Nothing
from dorm.sql.node import Literals, Node, Param, QueryLike, Scope
from dorm.sql.row import Row, RowIn

_COMPARISONS = {"gt": "gt", "gte": "gt", "lt": "lt", "lte": "lt"}


class KeysIn(Node):
    """Whether the columns at *paths* are one of *rows*."""

    is_condition = True

    def __init__(self, paths: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.paths = tuple(paths)
        # Few sizes of the list are few statements: the last row is repeated.
        size = 1 << (len(rows) - 1).bit_length()
        self.rows = [*rows, *[rows[-1]] * (size - len(rows))]

    def key(self, values: Literals) -> Hashable:
        values.extend(value for row in self.rows for value in row)
        return (KeysIn, self.paths, len(self.rows))

    def resolve(self, scope: Scope) -> Node:
        columns = [scope.reference(path) for path in self.paths]
        outputs: list[Any] = [column.output for column in columns]
        prepares = [output.prepare if output.prepares else None for output in outputs]
        values = [
            Param(scope.slot(prepare), output)
            for _ in self.rows
            for prepare, output in zip(prepares, outputs, strict=True)
        ]
        return RowIn(columns, values)


class KeysInQuery(Node):
    """Whether the columns at *paths* are a row of *query*."""

    is_condition = True

    def __init__(self, paths: Sequence[str], query: QueryLike) -> None:
        self.paths = tuple(paths)
        self.query = query

    def key(self, values: Literals) -> Hashable:
        return (KeysInQuery, self.paths, self.query.query_key(values))

    def resolve(self, scope: Scope) -> Node:
        columns = Row([scope.reference(path) for path in self.paths])
        rows = scope.subquery(self.query, len(self.paths))
        return Nothing() if getattr(rows, "empty", False) else InSelect(columns, (rows,))


class KeyPart:
    """What one column is of the composite key that *name* leads to, in a query that is not known yet."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number

    def resolve(self, scope: Scope) -> Node:
        row = scope.reference(self.name)
        if not isinstance(row, Row) or self.number >= len(row.args):
            raise FieldError(f"{self.name!r} is no composite key, with which alone another one can be compared.")
        return row.args[self.number]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyPart) and (other.name, other.number) == (self.name, self.number)

    def __hash__(self) -> int:
        return hash((KeyPart, self.name, self.number))


def _parts_of(value: Any, width: int) -> list[Any] | None:
    """Return the columns of the key that a reference names; None for other values."""
    if type(value) is OuterRef and isinstance(value.name, str):
        return [OuterRef.to(KeyPart(value.name, number)) for number in range(width)]
    return None


def expanded(condition: Q, meta: Any) -> Q:
    """Return *condition* with lookups on composite keys replaced by those on their columns."""
    children: list[Any] = []
    for child in condition.children:
        if isinstance(child, tuple):
            children.append(_expanded_lookup(child[0], child[1], meta))
        else:
            children.append(expanded(child, meta) if isinstance(child, Q) else child)
    return Q.of(children, condition.connector, condition.negated)


def _expanded_lookup(path: str, value: Any, meta: Any) -> Any:
    found = _key_in(path.split("__"), meta)
    if found is None:
        return (path, value)
    key, prefix, rest = found
    lookup = rest[0] if rest else "exact"
    paths = ["__".join([*prefix, name]) for name in key.attnames]
    if len(rest) > 1 or lookup not in ("exact", "in", "isnull", *_COMPARISONS):
        raise FieldError(
            f"Unsupported lookup {'__'.join(rest)!r} for CompositePrimaryKey or join on the field not permitted."
        )
    if lookup == "isnull":
        return Q.of([(f"{each}__isnull", value) for each in paths])
    if lookup == "in":
        if isinstance(value, QueryLike):
            return KeysInQuery(paths, value.selecting(key))
        rows = [key.values_of(each, "'in' lookup", "a collection of tuples or lists") for each in value]
        known = [row for row in rows if None not in row]
        return KeysIn(paths, known) if known else (f"{paths[0]}__in", [])
    values = _parts_of(value, len(paths)) or key.values_of(value, f"{lookup!r} lookup")
    if lookup == "exact":
        if None in values:
            return (f"{paths[0]}__in", [])
        return Q.of(zip(paths, values, strict=True))
    return _compared(paths, values, lookup)


def _compared(paths: Sequence[str], values: Sequence[Any], lookup: str) -> Q:
    """Return the comparison of rows: by the first column that differs."""
    strict = _COMPARISONS[lookup]
    cases = []
    for number, (path, value) in enumerate(zip(paths, values, strict=True)):
        last = number == len(paths) - 1
        equal = list(zip(paths[:number], values[:number], strict=True))
        cases.append(Q.of([*equal, (f"{path}__{lookup if last else strict}", value)]))
    return Q.of(cases, "OR")


def _key_in(names: list[str], meta: Any) -> tuple[CompositePrimaryKey, list[str], list[str]] | None:
    """Return the composite key that a path reaches, the names before it and those after it; None for other paths."""
    for number, name in enumerate(names):
        field = meta.pk if name == "pk" else meta.find(name)
        if isinstance(field, CompositePrimaryKey):
            return field, names[:number], names[number + 1 :]
        relation = relation_of(meta, name)
        if relation is None or (field is not None and field.column is not None and number == len(names) - 1):
            return None
        meta = relation.target._meta
        rest = names[number + 1 :]
        ends = not rest or (is_lookup(rest[0]) and meta.find(rest[0]) is None)
        if ends and isinstance(meta.pk, CompositePrimaryKey):
            return meta.pk, names[: number + 1], rest
    return None


def names_of_key(name: str, meta: Any, by_relation: bool = False) -> list[str] | None:
    """Return the paths of the columns of the composite key that *name* is; None for other names.

    Args:
        by_relation: the name of a relation that leads to such a model stands for the model's key.
    """
    found = _key_in(name.split("__"), meta)
    if found is None or found[2] or not (by_relation or name.rpartition("__")[2] in ("pk", found[0].name)):
        return None
    return ["__".join([*found[1], each]) for each in found[0].attnames]


def listed(names: Iterable[str], meta: Any) -> list[str]:
    """Return *names* with composite keys replaced by their columns."""
    return [each for name in names for each in (names_of_key(name, meta) or [name])]
