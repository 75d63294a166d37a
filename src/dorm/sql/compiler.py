"""From resolved nodes to text, and from a queryset's values to the parameters of that text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from dorm.db.dialect import Converter, Dialect
from dorm.exceptions import NotSupportedError
from dorm.sql.compile_select import select_sql
from dorm.sql.node import Node, Output
from dorm.sql.select import Select

Bind: TypeAlias = "Callable[[tuple[Any, ...]], tuple[Any, ...]]"

LONGEST_PREPARED_SQL = 4096
MOST_PREPARED_PARAMETERS = 50


class Compiler:
    """Renders one statement for one dialect; collects its parameters in the order of their placeholders."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._base = 0
        self._sources: list[str] = []
        self._names: dict[str, Any] = {}
        self._count = 0
        self._plain = True

    # -- names ---------------------------------------------------------------------------------------------------
    def quote(self, name: str) -> str:
        return self.dialect.quote(name)

    def column(self, alias: str, column: str) -> str:
        """Return a column as ``alias.column``."""
        return f"{self.dialect.quote(alias)}.{self.dialect.quote(column)}"

    # -- parameters ----------------------------------------------------------------------------------------------
    def param(self, slot: int, output: Output | None, convert: Converter | None = None) -> str:
        """Return a placeholder for the value in *slot*; *convert* stands in for the output's binder."""
        converter = convert or (output.bind(self.dialect) if output is not None else None)
        position = self._base + slot
        if converter is None:
            self._add(f"v[{position}]", position)
        else:
            self._plain = False
            self._add(f"{self._named(converter)}(v[{position}])", None)
        return self.dialect.placeholder(self._count, output.sql_type if output is not None else None)

    def array(self, slot: int, output: Output | None) -> str:
        """Return a placeholder for the list in *slot* as one array parameter."""
        if output is None:
            raise NotSupportedError("a list of unknown type cannot be bound as an array: set output_field")
        element = output.bind(self.dialect)
        whole = self.dialect.array_binder(output.sql_type)
        text = f"v[{self._base + slot}]"
        text = f"list({text})" if element is None else f"list(map({self._named(element)}, {text}))"
        self._plain = False
        self._add(text if whole is None else f"{self._named(whole)}({text})", None)
        return self.dialect.placeholder(self._count, None)

    def padded(self, slot: int, size: int, output: Output | None) -> str:
        """Return *size* placeholders for the list in *slot*, whose last value is repeated up to that number."""
        element = output.bind(self.dialect) if output is not None else None
        self._plain = False
        text = f"pad(v[{self._base + slot}], {size})"
        self._names["pad"] = _padded
        self._sources.append(f"*{text}" if element is None else f"*map({self._named(element)}, {text})")
        sql_type = output.sql_type if output is not None else None
        first = self._count + 1
        self._count += size
        return ", ".join(self.dialect.placeholder(number, sql_type) for number in range(first, first + size))

    def _add(self, source: str, position: int | None) -> None:
        if position != self._count:
            self._plain = False
        self._sources.append(source)
        self._count += 1

    def _named(self, thing: Any) -> str:
        name = f"c{len(self._names)}"
        self._names[name] = thing
        return name

    @property
    def parameters(self) -> int:
        """Number of placeholders so far."""
        return self._count

    def binder(self, slots: int) -> Bind | None:
        """Return the function from a queryset's *slots* values to parameters; None where they are the same tuple."""
        if self._plain and self._count == slots:
            return None
        source = f"lambda v: ({', '.join(self._sources)}{',' if self._sources else ''})"
        # The source holds positions and names made here, never a user's text.
        made: Bind = eval(source, self._names)
        return made

    # -- parts ---------------------------------------------------------------------------------------------------
    def select(self, select: Select) -> str:
        """Return the text of a SELECT."""
        return select_sql(self, select)

    def nested(self, select: Select, base: int) -> str:
        """Return the text of a SELECT whose slots start at *base* of this query's."""
        outer = self._base
        self._base = outer + base
        try:
            return select_sql(self, select)
        finally:
            self._base = outer

    def expressions(self, nodes: tuple[Node, ...]) -> str:
        """Return *nodes* separated by commas."""
        return ", ".join(node.sql(self) for node in nodes)

    def worth_preparing(self, sql: str) -> bool:
        """True when the text is short enough for a prepared statement to pay."""
        return len(sql) <= LONGEST_PREPARED_SQL and self._count <= MOST_PREPARED_PARAMETERS


def _padded(values: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    return values + values[-1:] * (size - len(values))
