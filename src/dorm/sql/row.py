"""Several columns as one value: composite keys in select lists and in conditions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dorm.sql.boolean import Condition
from dorm.sql.node import Column, Node, Parents, Scope

if TYPE_CHECKING:
    from collections.abc import Hashable

    from dorm.sql.compiler import Compiler


class Row(Node):
    """Columns that are taken together."""

    def __init__(self, args: Iterable[Node]) -> None:
        self.args = tuple(args)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return f"({', '.join(arg.sql(compiler) for arg in self.args)})"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return frozenset(arg.alias for arg in self.args if isinstance(arg, Column))

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


class RowIn(Condition):
    """Whether a row of columns is among rows of values: ``args`` holds the columns, then the values row by row."""

    def __init__(self, columns: Iterable[Node], values: Iterable[Node]) -> None:
        left = tuple(columns)
        self.width = len(left)
        self.args = (*left, *values)

    def options(self) -> tuple[Hashable, ...]:
        return (self.width,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        texts = [arg.sql(compiler) for arg in self.args]
        rows = [texts[start : start + self.width] for start in range(0, len(texts), self.width)]
        left, *values = [f"({', '.join(row)})" for row in rows]
        return f"{left} IN (VALUES {', '.join(values)})"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return Row(self.args[: self.width]).null_rejecting(parents)

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args[: self.width])


def flat(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Return *nodes*, rows as their columns."""
    return tuple(part for node in nodes for part in (node.args if isinstance(node, Row) else (node,)))


def without_rows(args: Iterable[Node], name: str, extra: str = "") -> None:
    """Refuse composite keys among the resolved arguments of the expression *name*.

    Raises: ValueError.
    """
    if any(isinstance(arg, Row) for arg in args):
        raise ValueError(
            f"{name} expression does not support composite primary keys.{extra} Name the fields of the key instead."
        )
