"""Resolved nodes as text without parameters, for DDL: checks, index expressions, generated columns, defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dorm.db.dialect import Converter, Dialect
from dorm.exceptions import NotSupportedError
from dorm.sql.compiler import Compiler
from dorm.sql.node import Fixed, Node, Output
from dorm.sql.select import Select


class LiteralCompiler(Compiler):
    """Renders one expression over one table: columns without the table's name, values as literals.

    Args:
        values: what stands in the slots, prepared by their fields.
    """

    def __init__(self, dialect: Dialect, values: Sequence[Any]) -> None:
        super().__init__(dialect)
        self._values = values

    def column(self, alias: str, column: str) -> str:
        return self.dialect.quote(column)

    def param(self, slot: int, output: Output | None, convert: Converter | None = None) -> str:
        converter = convert or (output.bind(self.dialect) if output is not None else None)
        return self._literal(self._value(slot), converter, output)

    def array(self, slot: int, output: Output | None) -> str:
        if output is None:
            raise NotSupportedError("a list of unknown type cannot be written as an array: set output_field")
        element = output.bind(self.dialect)
        values = [value if element is None else element(value) for value in self._value(slot)]
        whole = self.dialect.array_binder(output.sql_type)
        return self.dialect.literal(values if whole is None else whole(values), None)

    def padded(self, slot: int, size: int, output: Output | None, convert: Converter | None = None) -> str:
        element = convert or (output.bind(self.dialect) if output is not None else None)
        return ", ".join(self._literal(value, element, output) for value in self._value(slot))

    def _value(self, slot: int) -> Any:
        place = self.place(slot)
        return place.value if isinstance(place, Fixed) else self._values[place]

    def select(self, select: Select) -> str:
        raise NotSupportedError("a subquery cannot stand in a constraint, an index or the expression of a column.")

    def nested(self, select: Select, *args: Any, **kwargs: Any) -> str:
        return self.select(select)

    def _literal(self, value: Any, converter: Converter | None, output: Output | None) -> str:
        bound = value if converter is None or value is None else converter(value)
        return self.dialect.literal(bound, output.sql_type if output is not None else None)


class InliningCompiler(LiteralCompiler):
    """Renders a whole statement with its values as literals: to be looked at, never to be sent."""

    column = Compiler.column
    select = Compiler.select
    nested = Compiler.nested


def compile_literal(node: Node, dialect: Dialect, values: Sequence[Any] = ()) -> str:
    """Return the text of a resolved *node*, *values* standing in its slots."""
    return node.sql(LiteralCompiler(dialect, values))
