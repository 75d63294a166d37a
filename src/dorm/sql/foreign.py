"""Nodes that render themselves as Django's do: ``as_sql(compiler, connection)`` returns a text with ``%s`` and its
parameters.

Such a node may repeat, leave out or reorder what it was given, and add parameters of its own. So the parts it compiles
are rendered with marks in place of placeholders, and what it returns is put into the statement afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dorm.exceptions import FieldError
from dorm.record import Record
from dorm.sql.node import Node, Output, output_of_value

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect
    from dorm.db.types import SqlType
    from dorm.sql.compiler import Compiler

_MARKS = re.compile("\x01(\\d+)\x02")


def mark(number: int) -> str:
    """Return what stands in the text of a captured part for its parameter *number*."""
    return f"\x01{number}\x02"


_END = object()
_PLACES = re.compile(r"%(s|%)")


class Bound(Record):
    """A parameter that dorm binds: the source of its value, None for the further values of a list."""

    source: str | None
    sql_type: SqlType | None


class Typed(Record):
    """A value known now, with the type it is bound as."""

    value: Any
    output: Output | None


class ForeignCompiler:
    """What ``as_sql`` gets as *compiler*: it compiles nodes, quotes names, and tells the dialect.

    It stands for Django's *connection* as well: `vendor`, and `ops.quote_name`.
    """

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self.dialect: Dialect = compiler.dialect

    @property
    def connection(self) -> ForeignCompiler:
        return self

    @property
    def ops(self) -> ForeignCompiler:
        return self

    @property
    def vendor(self) -> str:
        return self.dialect.vendor

    def quote_name(self, name: str) -> str:
        """Return *name* as an identifier of the statement."""
        return self.dialect.quote(name)

    quote_name_unless_alias = quote_name

    def compile(self, node: Node) -> tuple[str, list[Any]]:
        """Return the text of a resolved node with ``%s`` for its parameters, and the parameters."""
        return self._captured(node.sql)

    def rendered(self, node: Any) -> tuple[str, list[Any]]:
        """Return the same of a function, its hooks left aside."""
        return self._captured(node.render)

    def _captured(self, render: Callable[[Compiler], str]) -> tuple[str, list[Any]]:
        inner = self._compiler.capturing()
        text = render(inner).replace("%", "%%")
        # A text may name a parameter twice, or in another order than that in which they were taken.
        return _MARKS.sub("%s", text), [inner.captured[int(number)] for number in _MARKS.findall(text)]


def foreign_sql(compiler: Compiler, node: Node) -> str:
    """Return the text that the hooks of *node* give, its parameters added to *compiler*."""
    shown = ForeignCompiler(compiler)
    hook = getattr(node, f"as_{compiler.dialect.vendor}", None) or getattr(node, "as_sql", None)
    if hook is None:
        raise NotImplementedError(f"{type(node).__name__} has neither sql() nor as_sql()")
    text, params = hook(shown, shown)
    return spliced(compiler, text, params)


def spliced(compiler: Compiler, text: str, params: Iterable[Any]) -> str:
    """Return *text* with the compiler's placeholders for its ``%s``."""
    left = iter(params)

    def place(match: re.Match[str]) -> str:
        if match.group(1) == "%":
            return "%"
        try:
            param = next(left)
        except StopIteration:
            raise FieldError(f"as_sql() returned a text with more %s than parameters: {text!r}") from None
        if isinstance(param, Bound):
            return compiler.bound(param)
        if isinstance(param, Typed):
            return compiler.constant(param.value, param.output)
        return compiler.constant(param, output_of_value(param))

    made = _PLACES.sub(place, text)
    if next(left, _END) is not _END:
        raise FieldError(f"as_sql() returned more parameters than its text has %s: {text!r}")
    return made
