"""One number in the form of another, one moment in that of another: a backend may store and compute differently."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeGuard

from dorm.db.types import LONG_NUMERIC, TIMESTAMP, SqlType, common_decimal, is_long, is_whole
from dorm.record import Record
from dorm.sql.node import Column, Node, Output, Param, Parents, Scope, TypedOutput

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

_NUMBERS = ("smallint", "integer", "bigint", "numeric", "double")
_MOMENTS = ("date", "time", "timestamp", "timestamptz")
_READ_FROM_TEXT = (*_NUMBERS, *_MOMENTS, "boolean", "interval", "uuid", "inet")
MIDNIGHT = TypedOutput(TIMESTAMP)
"""A date as the datetime at which it begins."""
PLAIN = TypedOutput(SqlType("numeric"))
"""A decimal as the backend computes with it."""
LONG = TypedOutput(LONG_NUMERIC)
"""A decimal of more digits than a float holds, computed with exactly."""


class Converted(Node):
    """A number in the form that values of another type have on the backend (`Dialect.converted`)."""

    def __init__(self, arg: Node, output: Output) -> None:
        self.args = (arg,)
        self.output = output

    def options(self) -> tuple[Hashable, ...]:
        assert self.output is not None, "a conversion without its type"
        return (self.output.sql_type,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        arg = self.args[0]
        assert arg.output is not None, "a conversion of something without a type"
        assert self.output is not None, "a conversion to no type"
        if isinstance(arg, Param) and compiler.dialect.stores_as_text(self.output.sql_type):
            # Bound as it is stored: a float on the way would take digits.
            bound = Param(arg.slot, LONG).sql(compiler)
            return compiler.dialect.converted(bound, LONG_NUMERIC, self.output.sql_type)
        return compiler.dialect.converted(arg.sql(compiler), arg.output.sql_type, self.output.sql_type)

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return self.args[0].null_rejecting(parents)

    @property
    def nullable(self) -> bool:
        return self.args[0].nullable


class _Reading(Record):
    """Binds a text as what a field reads in it."""

    prepare: Callable[[Any], Any]
    bind: Callable[[Any], Any] | None

    def __call__(self, text: Any) -> Any:
        value = self.prepare(text)
        return value if self.bind is None else self.bind(value)


class ReadText(Node):
    """A text of no declared type, read as a value of the type of what stands beside it, as literals are."""

    def __init__(self, param: Param, output: Output) -> None:
        self.args = (param,)
        self.slot = param.slot
        self.output = output

    def options(self) -> tuple[Hashable, ...]:
        assert self.output is not None, "a text to be read as nothing"
        return (self.output.sql_type,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        assert self.output is not None, "a text to be read as nothing"
        return compiler.param(self.slot, self.output, _Reading(self.output.prepare, self.output.bind(compiler.dialect)))

    @property
    def nullable(self) -> bool:
        return False


def as_read(node: Node, output: Output | None) -> Node:
    """Return *node*; a text of no declared type as a value of *output*'s type, where that is no text."""
    reads = output is not None and output.prepares and output.sql_type.kind in _READ_FROM_TEXT
    return ReadText(node, output) if reads and output is not None and _is_text(node) else node


def _is_text(node: Node) -> TypeGuard[Param]:
    return type(node) is Param and kind_of(node) == "text"


def kind_of(node: Node) -> str:
    """Return the kind of the SQL type of *node*, "" when it is not known."""
    return node.output.sql_type.kind if node.output is not None else ""


def as_type(node: Node, output: Output | None) -> Node:
    """Return *node* as a value of *output*'s type where the two have different forms."""
    have = node.output.sql_type if node.output is not None else None
    want = output.sql_type if output is not None else None
    if have is None or want is None or output is None or _same_form(have, want):
        return node
    return Converted(node, output)


def aligned(*nodes: Node) -> tuple[Node, ...]:
    """Return numbers, or dates and datetimes, in a form in which they can be compared; texts as what is beside them."""
    if any(map(_is_text, nodes)):
        beside = next((node.output for node in nodes if node.output is not None and not _is_text(node)), None)
        nodes = tuple(as_read(node, beside) for node in nodes)
    types = [node.output.sql_type for node in nodes if node.output is not None]
    if len(types) < 2 or all(_same_form(types[0], other) for other in types[1:]):
        return nodes
    kinds = {sql_type.kind for sql_type in types}
    if not kinds.isdisjoint(_MOMENTS):
        dates = kinds.issubset(_MOMENTS) and "time" not in kinds
        return tuple(as_type(node, MIDNIGHT) if dates and kind_of(node) == "date" else node for node in nodes)
    common = common_decimal(types)
    if common is not None:
        return tuple(as_type(node, TypedOutput(common)) for node in nodes)
    return tuple(as_type(node, LONG if any(map(is_long, types)) else PLAIN) for node in nodes)


def comparable_text(compiler: Compiler, node: Node) -> str:
    """Return the text of *node*; what was computed compares and sorts as a column of its type does."""
    text = node.operand(compiler)
    if node.output is None or isinstance(node, Column) or not compiler.dialect.stores_as_text(node.output.sql_type):
        return text
    return compiler.dialect.in_place_of_column(text, node.output.sql_type)


def _same_form(one: SqlType, other: SqlType) -> bool:
    if one.kind in _MOMENTS and other.kind in _MOMENTS:
        return one.kind == other.kind or {one.kind, other.kind} == {"timestamp", "timestamptz"}
    if one.kind not in _NUMBERS or other.kind not in _NUMBERS or "numeric" not in (one.kind, other.kind):
        return True
    if one.kind != other.kind:
        return False
    if is_whole(one) or is_whole(other):
        return is_whole(one) and is_whole(other) and (one.scale or 0) == (other.scale or 0)
    return (one.precision is None) == (other.precision is None) and one.scale == other.scale
