"""The standard lookups as nodes, and the registry that names them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeAlias

from dorm.db.types import INTEGER_RANGES
from dorm.exceptions import InvalidValue
from dorm.lookups.registry import applied, bilateral_of, find_lookup, for_all
from dorm.lookups.values import AnyNumber, bucket
from dorm.record import replace
from dorm.sql.boolean import And, Condition, Nothing
from dorm.sql.convert import aligned, comparable_text
from dorm.sql.exact import exact_of
from dorm.sql.node import (
    BOOLEAN_OUTPUT,
    TEXT_OUTPUT,
    Column,
    Fixed,
    Node,
    Output,
    Param,
    Parents,
    QueryLike,
    Scope,
    Text,
)
from dorm.sql.row import Row
from dorm.sql.select import SubSelect

if TYPE_CHECKING:
    from dorm.db.dialect import Converter
    from dorm.sql.compiler import Compiler

Items: TypeAlias = "tuple[Any, ...]"
Build: TypeAlias = "Callable[[str, Node, Any, Scope], Node]"


def _strict_aliases(*nodes: Node) -> frozenset[str]:
    """Return the tables whose NULL row makes a comparison of *nodes* NULL: those named by a bare column."""
    return frozenset(node.alias for node in nodes if isinstance(node, Column))


def _columns(*nodes: Node) -> frozenset[tuple[str, str]]:
    """Return the bare columns among *nodes*, each (alias, name)."""
    return frozenset((node.alias, node.column) for node in nodes if isinstance(node, Column))


def right_side(compiler: Compiler, lookup: str, rhs: Node) -> str:
    """Return the text of *rhs*; a value that no row can have is bound such that *lookup* answers rightly."""
    if type(rhs) is Param and rhs.output is not None:
        return compiler.param(rhs.slot, rhs.output, compared_binder(compiler, lookup, rhs.output))
    return rhs.operand(compiler)


def compared_binder(compiler: Compiler, lookup: str, output: Output | None) -> Converter | None:
    """Return what binds a value that *lookup* compares with, None where it is bound like any other."""
    if output is None or getattr(output, "is_customised", False):
        return None
    return compiler.dialect.compared_binder(lookup, output.sql_type)


def comparable(compiler: Compiler, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return *nodes* in a form in which they can be compared with each other."""
    return aligned(*[node.known(compiler) for node in nodes])


class Comparison(Condition):
    """``lhs <operator> rhs``, the operator being the dialect's text for *lookup*."""

    def __init__(self, lookup: str, lhs: Node, rhs: Node) -> None:
        self.lookup = lookup
        self.args = (lhs, rhs)

    def options(self) -> tuple[Hashable, ...]:
        return (self.lookup,)

    def sql(self, compiler: Compiler) -> str:
        lhs, rhs = comparable(compiler, self.args)
        dialect = compiler.dialect
        sql_type = lhs.output.sql_type if lhs.output else None
        left = dialect.lookup_left(self.lookup, comparable_text(compiler, lhs), sql_type)
        return dialect.lookups[self.lookup].format(lhs=left, rhs=right_side(compiler, self.lookup, rhs))

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return _strict_aliases(*self.args)

    def present(self) -> frozenset[tuple[str, str]]:
        return _columns(*self.args)

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


class Pattern(Comparison):
    """A comparison with a pattern that the dialect makes of the user's text."""

    def __init__(self, lookup: str, lhs: Node, slot: int) -> None:
        super().__init__(lookup, lhs, Param(slot, TEXT_OUTPUT))
        self.slot = slot

    def sql(self, compiler: Compiler) -> str:
        lhs = self.args[0]
        dialect = compiler.dialect
        left = dialect.lookup_left(self.lookup, lhs.sql(compiler), lhs.output.sql_type if lhs.output else None)
        right = compiler.param(self.slot, TEXT_OUTPUT, dialect.pattern(self.lookup))
        template = dialect.lookups[self.lookup]
        if "{wide}" not in template:
            return template.format(lhs=left, rhs=right)
        return template.format(lhs=left, rhs=right, wide=compiler.param(self.slot, BOOLEAN_OUTPUT, _is_wide))


def _is_wide(text: str) -> int:
    """Return 1 for text with letters outside ASCII, whose case some backends don't know."""
    return int(not text.isascii())


LONG_LIST = 1000
"""Longer lists are one parameter where the dialect can take one apart."""


class Listing:
    """Turns a list into the text of a JSON list of bound values."""

    __slots__ = ("bind",)

    def __init__(self, bind: Callable[[Any], Any] | None) -> None:
        self.bind = bind

    def __call__(self, values: Any) -> str:
        return json.dumps(list(values) if self.bind is None else list(map(self.bind, values)))


class InList(Condition):
    """Membership in a list of values that stands in one slot; *size* is its padded length."""

    def __init__(self, lhs: Node, slot: int, size: int) -> None:
        self.args = (lhs,)
        self.slot = slot
        self.size = size

    def options(self) -> tuple[Hashable, ...]:
        return (self.slot, self.size)

    def sql(self, compiler: Compiler) -> str:
        lhs = self.args[0]
        left = comparable_text(compiler, lhs)
        if compiler.dialect.supports_array_parameters:
            return compiler.dialect.in_array(left, compiler.array(self.slot, lhs.output))
        kind = lhs.output.sql_type.kind if lhs.output is not None else ""
        bind = compared_binder(compiler, "exact", lhs.output)
        if self.size > LONG_LIST and compiler.dialect.supports_listed(kind):
            if bind is None and lhs.output is not None:
                bind = lhs.output.bind(compiler.dialect)
            return compiler.dialect.in_listed(left, compiler.param(self.slot, TEXT_OUTPUT, Listing(bind)))
        return f"{left} IN ({compiler.padded(self.slot, self.size, lhs.output, bind)})"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return _strict_aliases(*self.args)

    @property
    def nullable(self) -> bool:
        return self.args[0].nullable


class InNodes(Condition):
    """Membership in expressions, or in a subquery (one node that brings its own parentheses)."""

    def __init__(self, lhs: Node, items: tuple[Node, ...]) -> None:
        self.args = (lhs, *items)

    def sql(self, compiler: Compiler) -> str:
        lhs, *items = comparable(compiler, self.args)
        return f"{lhs.operand(compiler)} IN ({compiler.expressions(tuple(items))})"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return _strict_aliases(self.args[0])


class InSelect(InNodes):
    """Membership in the rows of a subquery."""

    def sql(self, compiler: Compiler) -> str:
        lhs, rows = self.args
        if isinstance(rows, SubSelect):
            lhs, column = comparable(compiler, (lhs, rows.select.columns[0]))
            if column is not rows.select.columns[0]:
                rows = rows.replaced(replace(rows.select, columns=(column, *rows.select.columns[1:])))
        return f"{lhs.operand(compiler)} IN {rows.sql(compiler)}"


class Between(Condition):
    """``lhs BETWEEN low AND high``."""

    def __init__(self, lhs: Node, low: Node, high: Node) -> None:
        self.args = (lhs, low, high)

    def sql(self, compiler: Compiler) -> str:
        lhs, low, high = comparable(compiler, self.args)
        first, last = right_side(compiler, "gte", low), right_side(compiler, "lte", high)
        return f"{comparable_text(compiler, lhs)} BETWEEN {first} AND {last}"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return _strict_aliases(*self.args)

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


class IsNull(Condition):
    """``lhs IS [NOT] NULL``."""

    def __init__(self, lhs: Node, wanted: bool) -> None:
        self.args = (lhs,)
        self.wanted = wanted

    def options(self) -> tuple[Hashable, ...]:
        return (self.wanted,)

    def sql(self, compiler: Compiler) -> str:
        return f"{self.args[0].operand(compiler)} IS {'' if self.wanted else 'NOT '}NULL"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return frozenset() if self.wanted else _strict_aliases(*self.args)

    def null_confirming(self, parents: Parents) -> frozenset[str]:
        return _strict_aliases(*self.args) if self.wanted else frozenset()

    def present(self) -> frozenset[tuple[str, str]]:
        return frozenset() if self.wanted else _columns(*self.args)

    def absent(self) -> frozenset[tuple[str, str]]:
        return _columns(*self.args) if self.wanted else frozenset()

    @property
    def nullable(self) -> bool:
        return False


class Item(Param):
    """One item of the list in a slot; the last one stands for those behind it."""

    def __init__(self, slot: int, index: int, output: Output | None) -> None:
        super().__init__(slot, output)
        self.index = index

    def options(self) -> tuple[Hashable, ...]:
        return (self.slot, self.index)

    def sql(self, compiler: Compiler) -> str:
        bind = self.output.bind(compiler.dialect) if self.output is not None else None
        index = self.index

        def item(values: Any) -> Any:
            value = values[min(index, len(values) - 1)]
            return value if bind is None else bind(value)

        return compiler.param(self.slot, self.output, item)


class PatternOf(Comparison):
    """A comparison with a text that another expression gives, its wildcards taken literally."""

    def sql(self, compiler: Compiler) -> str:
        lhs, rhs = self.args
        dialect = compiler.dialect
        left = dialect.lookup_left(self.lookup, lhs.sql(compiler), lhs.output.sql_type if lhs.output else None)
        return dialect.pattern_of(self.lookup, left, rhs.sql(compiler))


# -- building ----------------------------------------------------------------------------------------------------


def operand(lhs: Node, value: Any, scope: Scope) -> Node:
    """Return the node of one right side: an expression resolved, a literal as a slot typed like *lhs*."""
    if isinstance(value, Node):
        node = value.resolve(scope)
        if isinstance(node, Row):
            raise ValueError("CompositePrimaryKey cannot be used as a lookup value. Name one of its fields instead.")
        return both_sides(lhs, node, scope)
    if isinstance(value, QueryLike):
        return both_sides(lhs, scope.subquery(value), scope)
    if value is None:
        return Text("NULL", lhs.output)
    output = _source_of(lhs).output
    return both_sides(lhs, Param(scope.slot(_prepare(output)), output), scope)


def _source_of(lhs: Node) -> Node:
    """Return what the bilateral transforms of *lhs* were applied to: literals are of that type."""
    source = lhs
    for _ in bilateral_of(lhs):
        source = source.args[0]
    return source


def both_sides(lhs: Node, rhs: Node, scope: Scope) -> Node:
    """Return *rhs* with the bilateral transforms of *lhs*."""
    for transform in bilateral_of(lhs):
        rhs = applied(transform, rhs, scope)
    return rhs


def _prepare(output: Output | None) -> Callable[[Any], Any] | None:
    """Return what prepares a value to compare with, which may be one that no row can have."""
    if output is None or not output.prepares:
        return None
    compared: Callable[[Any], Any] = getattr(output, "prepare_compared", output.prepare)
    return compared


def _prepare_all(output: Output | None) -> Callable[[Items], Items] | None:
    """Return what prepares the items of a list, which need not be gone through where all are known to pass."""
    prepare = _prepare(output)
    if prepare is None:
        return None
    exact = None if hasattr(output, "prepare_compared") else exact_of(output)
    if exact is None:
        return lambda items: tuple(map(prepare, items))
    only, low, high = {exact.cls}, exact.low, exact.high

    def prepared(items: Items) -> Items:
        if {*map(type, items)} == only and (low is None or (low <= min(items) and max(items) <= high)):
            return items
        return tuple(map(prepare, items))

    return prepared


def known(value: Any, lhs: Node) -> Node:
    """Return the node of a value that is known with the text, as what *lhs* is compared with it."""
    prepare = _prepare(lhs.output)
    return Param(Fixed.of(value if prepare is None else prepare(value)), lhs.output)


def compare(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    """Build ``exact``, ``gt`` and their like."""
    if isinstance(value, AnyNumber):
        return _compare_number(name, lhs, value.value)
    if value is None:
        return none_as_value(name, lhs)
    if name == "exact" and isinstance(value, QueryLike) and not value.gives_one:
        raise ValueError(
            "The QuerySet value for an exact lookup must be limited to one result using slicing ([:1]), "
            "or be asked for with in."
        )
    return Comparison(name, lhs, operand(lhs, value, scope))


NUMBER_LOOKUPS = frozenset(("exact", "gt", "gte", "lt", "lte", "in", "range"))
"""Lookups that take `AnyNumber` over whole numbers."""


def holds_whole_numbers(node: Node) -> bool:
    """True for a node whose values are whole numbers of a known size."""
    return node.output is not None and node.output.sql_type.kind in INTEGER_RANGES and not bilateral_of(node)


def _compare_number(name: str, lhs: Node, value: Any) -> Node:
    """Build a comparison with a number that the column may be unable to hold, which decides it then."""
    output = lhs.output
    assert output is not None, "a column of numbers"
    limits, number = INTEGER_RANGES[output.sql_type.kind], _whole(value)
    if number is None:
        return Comparison(name, lhs, Param(Fixed.of(output.prepare(value)), output))
    low, high = (0 if output.sql_type.unsigned else limits[0]), limits[1]
    if name == "exact" and (number != math.floor(number) or not low <= number <= high):
        return Nothing()
    number = math.floor(number) if name in ("exact", "gt", "lte") else math.ceil(number)
    if number > high or number < low:
        return Nothing() if (number > high) == (name in ("gt", "gte")) else IsNull(lhs, False)
    return Comparison(name, lhs, Param(Fixed.of(output.prepare(number)), output))


def _whole(value: Any) -> Any:
    """Return the number that *value* is or says; None for what is no finite number."""
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def none_as_value(name: str, lhs: Node) -> Node:
    """Return IS NULL for equality with None; refuse other comparisons with it."""
    if name in ("exact", "iexact"):
        return IsNull(lhs, True)
    raise ValueError(
        f"Cannot use None as a query value: {name} has no meaning for it. Use isnull=True or isnull=False."
    )


def _pattern(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        return none_as_value(name, lhs)
    if isinstance(value, (Node, QueryLike)):
        return PatternOf(name, lhs, operand(lhs, value, scope))
    slot = scope.slot(str)
    if bilateral_of(lhs):
        return PatternOf(name, lhs, both_sides(lhs, Param(slot, TEXT_OUTPUT), scope))
    return Pattern(name, lhs, slot)


def _in(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        raise InvalidValue("Cannot use None as a query value: in= takes a list, tuple, set, generator or queryset.")
    if isinstance(value, AnyNumber):
        found = [_compare_number("exact", lhs, item) for item in value.value]
        equal = tuple(part.args[1] for part in found if isinstance(part, Comparison))
        return InNodes(lhs, equal) if equal else Nothing()
    if isinstance(value, (QueryLike, Node)):
        if isinstance(value, QueryLike) and value.width != 1:
            raise ValueError(
                f"The QuerySet value for the 'in' lookup must have 1 selected fields (received {value.width})."
            )
        if bilateral_of(lhs):
            raise NotImplementedError("Bilateral transformations on nested querysets are not implemented.")
        node = scope.subquery(value) if isinstance(value, QueryLike) else value.resolve(scope)
        return InSelect(lhs, (node,)) if isinstance(node, SubSelect) else InNodes(lhs, (node,))
    if not value:
        return Nothing()
    if any(isinstance(item, (Node, QueryLike)) for item in value):
        return InNodes(lhs, tuple(operand(lhs, item, scope) for item in value))
    output = _source_of(lhs).output
    slot = scope.slot(_prepare_all(output))
    if bilateral_of(lhs):
        items = [both_sides(lhs, Item(slot, number, output), scope) for number in range(bucket(len(value)))]
        return InNodes(lhs, tuple(items))
    return InList(lhs, slot, bucket(len(value)))


def _range(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if isinstance(value, AnyNumber):
        return And(tuple(map(_compare_number, ("gte", "lte"), (lhs, lhs), value.value)))
    if not isinstance(value, tuple):
        raise InvalidValue("range= takes two bounds")
    low, high = value
    return Between(lhs, operand(lhs, low, scope), operand(lhs, high, scope))


def _isnull(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if not isinstance(value, bool):
        raise InvalidValue("The QuerySet value for an isnull lookup must be True or False.")
    return IsNull(lhs, value)


def _isnotnull(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if not isinstance(value, bool):
        raise ValueError("The QuerySet value for an isnotnull lookup must be True or False.")
    return IsNull(lhs, not value)


BUILDERS: dict[str, Build] = {
    **dict.fromkeys(("exact", "gt", "gte", "lt", "lte"), compare),
    **dict.fromkeys(
        ("iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "regex", "iregex"),
        _pattern,
    ),
    "in": _in,
    "range": _range,
    "isnull": _isnull,
    "isnotnull": _isnotnull,
}
for_all.update(BUILDERS)


def lookup_names() -> tuple[str, ...]:
    """Return the names of the lookups that every type has, for messages."""
    return tuple(sorted(for_all))


def is_lookup(name: str) -> bool:
    """True when every type has a lookup of that name."""
    return name in for_all


def build_lookup(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    """Return the resolved condition ``lhs__name=value``."""
    return build_entry(find_lookup(lhs, lhs.output, name), name, lhs, value, scope)


def build_entry(entry: Any, name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    """Return the resolved condition of a lookup that was found: a builder, or a Lookup class."""
    if not isinstance(entry, type):
        built: Node = entry(name, lhs, value, scope)
        return built
    cls: Any = entry
    if cls.builtin is not None and not cls.overrides():
        found = find_lookup(lhs, lhs.output, cls.builtin)
        return build_entry(BUILDERS[cls.builtin] if isinstance(found, type) else found, cls.builtin, lhs, value, scope)
    if value is None and not cls.can_use_none_as_rhs:
        return none_as_value(name, lhs)
    built = cls(lhs, value).resolved(lhs, value, scope)
    return built
