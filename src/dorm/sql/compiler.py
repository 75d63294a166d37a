"""From resolved nodes to text, and from a queryset's values to the parameters of that text."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from dorm.db.dialect import Converter, Dialect
from dorm.db.types import SqlType
from dorm.exceptions import NotSupportedError
from dorm.sql.compile_select import select_sql
from dorm.sql.foreign import Bound, foreign_sql, mark
from dorm.sql.node import Fixed, Node, Output
from dorm.sql.select import Select

Bind: TypeAlias = "Callable[[tuple[Any, ...]], tuple[Any, ...]]"

LONGEST_PREPARED_SQL = 4096
MOST_PREPARED_PARAMETERS = 50


class Frame:
    """One SELECT while it is rendered: the names of its tables, and what its outer references mean.

    Attributes:
        names: text of each alias; an alias that a surrounding SELECT uses already gets another one.
        outer: nodes of the surrounding query by reference; None for a derived table, which sees what its SELECT sees.
        base: first of its slots.
    """

    __slots__ = ("base", "names", "outer")

    def __init__(self, names: dict[str, str], outer: Mapping[Any, Node] | None, base: int) -> None:
        self.names = names
        self.outer = outer
        self.base = base


class Compiler:
    """Renders one statement for one dialect; collects its parameters in the order of their placeholders.

    Args:
        tables: aliases that stand outside any SELECT (the table of an UPDATE).
    Attributes:
        may_write: SQL or functions of the user stand in the text, which may do more than read; set by who renders them.
    """

    def __init__(self, dialect: Dialect, tables: Iterable[str] = ()) -> None:
        self.dialect = dialect
        self._frames: list[Frame] = [Frame({name: name for name in tables}, {}, 0)]
        self._base = 0
        self._sources: list[str] = []
        self._names: dict[str, Any] = {}
        self._known: dict[Any, str] = {}
        self._placed: dict[tuple[str, SqlType | None], str] = {}
        self._count = 0
        self._plain = True
        self.may_write = False

    # -- names ---------------------------------------------------------------------------------------------------
    def quote(self, name: str) -> str:
        return self.dialect.quote(name)

    def column(self, alias: str, column: str) -> str:
        """Return a column as ``alias.column``."""
        return f"{self.alias(alias)}.{self.dialect.quote(column)}"

    def alias(self, alias: str) -> str:
        """Return the text of a table's alias, as the innermost SELECT that has it calls it."""
        for frame in reversed(self._frames):
            if alias in frame.names:
                return self.dialect.quote(frame.names[alias])
        return self.dialect.quote(alias)

    def outer(self, name: Any) -> str:
        """Return the text of an outer reference: a node of the query around the SELECT that is being rendered."""
        depth, node = self._referred(name)
        frames = self._frames
        self._frames, base = frames[:depth], self._base
        self._base = self._frames[-1].base
        try:
            return node.sql(self)
        finally:
            self._frames, self._base = frames, base

    def meant(self, name: Any) -> Output | None:
        """Return the type of what an outer reference means in this statement."""
        depth, node = self._referred(name)
        frames = self._frames
        self._frames = frames[:depth]
        try:
            return node.known(self).output
        finally:
            self._frames = frames

    def _referred(self, name: Any) -> tuple[int, Node]:
        """Return the node that an outer reference means, and how many SELECTs stand around it."""
        frames = self._frames
        depth = next((number for number in range(len(frames) - 1, 0, -1) if frames[number].outer is not None), 0)
        node = (frames[depth].outer or {}).get(name) if depth else None
        if node is None:
            raise ValueError("This queryset contains a reference to an outer query and may only be used in a subquery.")
        return depth, node

    # -- parameters ----------------------------------------------------------------------------------------------
    def param(self, slot: int, output: Output | None, convert: Converter | None = None) -> str:
        """Return a placeholder for the value in *slot*; *convert* stands in for the output's binder.

        The same value converted the same way has one placeholder in the statement: PostgreSQL takes an expression of
        SELECT for that of GROUP BY only if their parameters are the same.
        """
        converter = convert or (output.bind(self.dialect) if output is not None else None)
        sql_type = output.sql_type if output is not None else None
        held = self._held(slot)
        if converter is None:
            place = self.place(slot)
            return self._parameter(held, sql_type, None if isinstance(place, Fixed) else place)
        return self._parameter(f"{self._named(converter)}({held})", sql_type)

    def _held(self, slot: int) -> str:
        """Return what *slot* holds, in the source of the binder."""
        place = self.place(slot)
        return self._named(place.value) if isinstance(place, Fixed) else f"v[{place}]"

    def place(self, slot: int) -> int:
        """Return where among all values that of *slot* of this query is; a `Fixed` one holds it."""
        return slot if isinstance(slot, Fixed) else self._base + slot

    def supplied(self, supply: Callable[[], Any], sql_type: SqlType) -> str:
        """Return a placeholder for what *supply* returns each time a statement is bound (the current time zone)."""
        return self._parameter(f"{self._named(supply)}()", sql_type)

    def constant(self, value: Any, output: Output | None) -> str:
        """Return a placeholder for a value that belongs to the text; for plans that are compiled each time."""
        converter = output.bind(self.dialect) if output is not None and value is not None else None
        bound = value if converter is None else converter(value)
        return self._parameter(self._named(bound), output.sql_type if output is not None else None)

    def array(self, slot: int, output: Output | None) -> str:
        """Return a placeholder for the list in *slot* as one array parameter."""
        if output is None:
            raise NotSupportedError("a list of unknown type cannot be bound as an array: set output_field")
        element = output.bind(self.dialect)
        whole = self.dialect.array_binder(output.sql_type)
        text = self._held(slot)
        text = f"list({text})" if element is None else f"list(map({self._named(element)}, {text}))"
        return self._parameter(text if whole is None else f"{self._named(whole)}({text})", None)

    def padded(self, slot: int, size: int, output: Output | None, convert: Converter | None = None) -> str:
        """Return *size* placeholders for the list in *slot*, whose last value is repeated up to that number.

        Args:
            convert: stands in for the output's binder.
        """
        element = convert or (output.bind(self.dialect) if output is not None else None)
        text = f"pad({self._held(slot)}, {size})"
        self._names["pad"] = _padded
        source = f"*{text}" if element is None else f"*map({self._named(element)}, {text})"
        sql_type = output.sql_type if output is not None else None
        return ", ".join(self._spread(source if not number else None, sql_type) for number in range(size))

    def _parameter(self, source: str, sql_type: SqlType | None, position: int | None = None) -> str:
        """Return the placeholder of what *source* says: a new parameter, or the one that is the same."""
        placed = self._placed.get((source, sql_type)) if self.dialect.numbers_placeholders else None
        if placed is not None:
            return placed
        if position != self._count:
            self._plain = False
        self._sources.append(source)
        self._count += 1
        made = self._placed[source, sql_type] = self.dialect.placeholder(self._count, sql_type)
        return made

    def _spread(self, source: str | None, sql_type: SqlType | None) -> str:
        """Return one of several placeholders of one source, which stands with the first of them."""
        self._plain = False
        if source is not None:
            self._sources.append(source)
        self._count += 1
        return self.dialect.placeholder(self._count, sql_type)

    def _named(self, thing: Any) -> str:
        try:
            known = self._known.get((type(thing), thing))
        except TypeError:
            known = None
        if known is not None:
            return known
        name = f"c{len(self._names)}"
        self._names[name] = thing
        with contextlib.suppress(TypeError):
            self._known[type(thing), thing] = name
        return name

    # -- nodes that render themselves as Django's do ---------------------------------------------------------------
    def foreign(self, node: Node) -> str:
        """Return the text of a node whose class renders itself by Django's ``as_sql(compiler, connection)``."""
        self.may_write = True
        return foreign_sql(self, node)

    def capturing(self) -> CapturingCompiler:
        """Return a compiler of parts of this statement, which leaves marks where parameters go."""
        return CapturingCompiler(self)

    def bound(self, param: Bound) -> str:
        """Return the placeholder of a parameter that a capturing compiler left for later."""
        if param.source is None or param.source.startswith("*"):
            return self._spread(param.source, param.sql_type)
        return self._parameter(param.source, param.sql_type)

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
        return self._framed(select, {}, self._base)

    def derived(self, select: Select) -> str:
        """Return the text of a SELECT that stands as a table in the FROM of another."""
        return self._framed(select, None, self._base)

    def branch(self, select: Select, base: int) -> str:
        """Return the text of a SELECT among those of a `Compound`, whose slots start at *base*."""
        return self._framed(select, None, self._base + base)

    def nested(self, select: Select, base: int, outer: Mapping[Any, Node] | None = None) -> str:
        """Return the text of a SELECT whose slots start at *base* of this query's.

        Args:
            outer: what its references mean; None where it has none but those of the query around.
        """
        return self._framed(select, outer, self._base + base)

    def _framed(self, select: Select, outer: Mapping[Any, Node] | None, base: int) -> str:
        used = {name for frame in self._frames for name in frame.names.values()}
        names: dict[str, str] = {}
        for alias in (select.alias, *[join.alias for join in select.joins]):
            name, number = alias, 0
            while name in used:
                name = f"U{number}"
                number += 1
            used.add(name)
            names[alias] = name
        before = self._base
        self._frames.append(Frame(names, outer, base))
        self._base = base
        try:
            return select_sql(self, select)
        finally:
            self._frames.pop()
            self._base = before

    def expressions(self, nodes: tuple[Node, ...]) -> str:
        """Return *nodes* separated by commas."""
        return ", ".join(node.sql(self) for node in nodes)

    def worth_preparing(self, sql: str) -> bool:
        """True when the text is short enough for a prepared statement to pay."""
        return len(sql) <= LONGEST_PREPARED_SQL and self._count <= MOST_PREPARED_PARAMETERS


class CapturingCompiler(Compiler):
    """Renders a part of a statement whose place among the parameters is not known yet."""

    def __init__(self, outer: Compiler) -> None:
        super().__init__(outer.dialect)
        self._base, self._frames = outer._base, outer._frames
        self._names, self._known = outer._names, outer._known
        self.captured: list[Bound] = []

    def _parameter(self, source: str, sql_type: SqlType | None, position: int | None = None) -> str:
        self.captured.append(Bound(source, sql_type))
        return mark(len(self.captured) - 1)

    def _spread(self, source: str | None, sql_type: SqlType | None) -> str:
        self.captured.append(Bound(source, sql_type))
        return mark(len(self.captured) - 1)


def _padded(values: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    return values + values[-1:] * (size - len(values))
