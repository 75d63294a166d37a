"""RawSQL: a piece of SQL that the user wrote."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dorm.db.rawsql import count_placeholders, placeholders, untyped_places
from dorm.db.types import CUSTOM
from dorm.expressions.core import Expression, Value, as_written
from dorm.sql.node import Node, Output, TypedOutput, output_key

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler


class RawSQL(Expression):
    """SQL text standing as it is, in parentheses; ``%s`` are places of *params*, a percent sign is ``%%``.

    Whoever writes it answers for its quoting: never put a user's input into *sql*, give it in *params*.
    """

    is_opaque = True

    def __init__(self, sql: str, params: Iterable[Any] = (), output_field: Output | None = None) -> None:
        self.text = sql
        self.params = tuple(params) if params is not None else ()
        expected = count_placeholders(sql)
        if expected != len(self.params):
            raise ValueError(f"RawSQL has {expected} placeholders (%s) and {len(self.params)} parameters.")
        self.args = written_values(self.params)
        self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (self.text, output_key(self.output))

    def sql(self, compiler: Compiler) -> str:
        compiler.may_write = True
        return f"({written(self.text, self.args, compiler)})"

    def __repr__(self) -> str:
        return f"RawSQL({self.text!r}, {len(self.params)} parameters)"


def written_values(params: Iterable[Any]) -> tuple[Node, ...]:
    """Return the parameters of a user's SQL: a text has the type of what stands beside it, as a literal in SQL has."""
    typed: dict[type[Any], TypedOutput] = {str: TypedOutput(CUSTOM), list: _ListOutput(CUSTOM)}
    return tuple(
        Value(param, typed[type(param)]) if type(param) in typed else as_written(Value(param)) for param in params
    )


class _ListOutput(TypedOutput):
    """A list in a user's SQL: an array where the backend has any."""

    __slots__ = ()

    def bind(self, dialect: Dialect, /) -> Converter | None:
        return dialect.list_binder()


def written(text: str, args: Sequence[Node], compiler: Compiler) -> str:
    """Return a user's SQL with *args* in its places; where nothing stands beside a text, it is one."""
    dialect = compiler.dialect
    untyped = untyped_places(text, dialect.takes_anything) if dialect.takes_anything else ()

    def place(number: int) -> str:
        arg = args[number - 1]
        sql = arg.sql(compiler)
        is_text = number in untyped and arg.output is not None and arg.output.sql_type is CUSTOM
        return dialect.as_text(sql) if is_text else sql

    return placeholders(text, place)
