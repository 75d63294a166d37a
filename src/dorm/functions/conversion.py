"""Functions that convert and compare: Cast, Coalesce, Greatest, Least, NullIf."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dorm.db.types import (
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTERVAL,
    JSON,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    SqlType,
)
from dorm.exceptions import choices_text
from dorm.expressions.func import Func
from dorm.functions.base import in_type
from dorm.sql.node import Output, TypedOutput, common_output

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

_NAMED: dict[str, SqlType] = {
    "smallint": SqlType("smallint"),
    "int": SqlType("integer"),
    "integer": SqlType("integer"),
    "bigint": SqlType("bigint"),
    "real": DOUBLE,
    "float": DOUBLE,
    "double": DOUBLE,
    "double precision": DOUBLE,
    "numeric": SqlType("numeric"),
    "decimal": SqlType("numeric"),
    "text": TEXT,
    "varchar": TEXT,
    "char": TEXT,
    "boolean": BOOLEAN,
    "bool": BOOLEAN,
    "date": DATE,
    "time": TIME,
    "timestamp": TIMESTAMP,
    "datetime": TIMESTAMP,
    "timestamptz": TIMESTAMPTZ,
    "interval": INTERVAL,
    "uuid": UUID,
    "json": JSON,
    "jsonb": JSON,
    "bytea": BYTES,
    "blob": BYTES,
}
"""Types that `Cast` takes by name; text of any other kind never reaches the SQL."""

_SIZED = r"^(numeric|decimal|varchar|char)\s*\(\s*(\d{1,4})\s*(?:,\s*(\d{1,4})\s*)?\)$"


def type_named(name: str) -> Output:
    """Return the output of a type given by name, such as ``"integer"`` or ``"varchar(20)"``."""
    spelled = " ".join(name.lower().split())
    if spelled in _NAMED:
        return TypedOutput(_NAMED[spelled])
    sized = re.match(_SIZED, spelled)
    if sized is None:
        raise ValueError(f"Cast() knows no type {name!r}: give a field, or one of {choices_text(_NAMED, 40)}.")
    family, first, second = sized.groups()
    if family in ("varchar", "char"):
        return TypedOutput(SqlType("varchar", length=int(first)))
    return TypedOutput(SqlType("numeric", precision=int(first), scale=int(second or 0)))


class Cast(Func):
    """An expression converted to another type by the database.

    Args:
        expression: what is converted.
        output_field: a field instance, or the name of a type (``"integer"``, ``"numeric(8, 2)"``).

    Raises: ValueError: a name that is no type.
    """

    function = "CAST"

    def __init__(self, expression: Any, output_field: Any) -> None:
        if isinstance(output_field, str):
            output_field = type_named(output_field)
        elif isinstance(output_field, type):
            raise TypeError(
                f"Cast() takes a field, not the class {output_field.__name__}: write {output_field.__name__}()."
            )
        elif output_field is not None and not hasattr(type(output_field), "sql_type"):
            raise TypeError(f"Cast() takes a field or the name of a type, not {type(output_field).__name__}.")
        elif getattr(output_field, "many_to_many", False):
            raise TypeError(f"Cast() takes a field with a column: {type(output_field).__name__} has no column.")
        super().__init__(expression, output_field=output_field)

    def render(self, compiler: Compiler) -> str:
        assert self.output is not None, "Cast without a type"
        source = self.args[0]
        return compiler.dialect.cast_from(
            source.sql(compiler), source.output.sql_type if source.output is not None else None, self.output.sql_type
        )


class _OfOneType(Func):
    """A function whose arguments and result are all of one type."""

    least = 2

    def __init__(self, *expressions: Any, **extra: Any) -> None:
        if len(expressions) < self.least:
            raise ValueError(f"{type(self).__name__} must take at least two expressions")
        super().__init__(*expressions, **extra)

    def infer_output(self) -> Output | None:
        return common_output(self.args, "Expression")

    def render(self, compiler: Compiler) -> str:
        wanted = self.output
        texts = ", ".join(in_type(compiler, arg, wanted) for arg in self.args)
        return f"{compiler.dialect.functions.get(type(self).__name__, self.function)}({texts})"


class Coalesce(_OfOneType):
    """The first argument that is not NULL."""

    function = "COALESCE"

    @property
    def nullable(self) -> bool:
        return all(arg.nullable for arg in self.args)


class Greatest(_OfOneType):
    """The largest argument. PostgreSQL leaves NULLs out; SQLite gives NULL when any argument is NULL."""

    function = "GREATEST"


class Least(_OfOneType):
    """The smallest argument. PostgreSQL leaves NULLs out; SQLite gives NULL when any argument is NULL."""

    function = "LEAST"


class NullIf(_OfOneType):
    """NULL when both arguments are equal, else the first; the arguments are of one type, or *output_field* is given."""

    function = "NULLIF"
    arity = 2

    def __init__(self, expression1: Any, expression2: Any, **extra: Any) -> None:
        super().__init__(expression1, expression2, **extra)

    def infer_output(self) -> Output | None:
        both = super().infer_output()
        return self.args[0].output if self.args[0].output is not None else both
