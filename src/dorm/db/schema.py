"""Tables as values, and the statements that make and drop them.

A `TableDef` says what a table is without saying how a backend spells it; models are turned into them above
(`dorm.migrations.schema`). The statements come out as text: whoever wants them run yields them as requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dorm.db.types import SqlType

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect


@dataclass(frozen=True, slots=True)
class ForeignKeyDef:
    """A reference of one column to one column of another table."""

    table: str
    column: str
    name: str


@dataclass(frozen=True, slots=True)
class ColumnDef:
    """One column.

    Args:
        check: SQL of a column check, with the quoted column name in place.
        default: SQL text of a default made by the database, or None.
    """

    name: str
    type: SqlType
    null: bool = False
    primary_key: bool = False
    unique: bool = False
    default: str | None = None
    check: str | None = None
    references: ForeignKeyDef | None = None


@dataclass(frozen=True, slots=True)
class IndexDef:
    """One index over columns; a column that starts with ``-`` is descending."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class UniqueDef:
    """A named UNIQUE over several columns."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableDef:
    """One table."""

    name: str
    columns: tuple[ColumnDef, ...]
    indexes: tuple[IndexDef, ...] = ()
    uniques: tuple[UniqueDef, ...] = ()

    def column(self, name: str) -> ColumnDef:
        """Return the column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def create_table(dialect: Dialect, table: TableDef) -> Iterator[str]:
    """Yield the statements that make *table* and its indexes; references to other tables stand inline."""
    parts = [dialect.column_definition(table, column) for column in table.columns]
    for unique in table.uniques:
        columns = ", ".join(map(dialect.quote, unique.columns))
        parts.append(f"CONSTRAINT {dialect.quote(unique.name)} UNIQUE ({columns})")
    body = ",\n    ".join(parts)
    yield f"CREATE TABLE {dialect.quote(table.name)} (\n    {body}\n)"
    for index in table.indexes:
        yield create_index(dialect, table.name, index)


def create_index(dialect: Dialect, table: str, index: IndexDef) -> str:
    """Return CREATE INDEX."""
    columns = ", ".join(_index_column(dialect, column) for column in index.columns)
    kind = "UNIQUE INDEX" if index.unique else "INDEX"
    return f"CREATE {kind} {dialect.quote(index.name)} ON {dialect.quote(table)} ({columns})"


def _index_column(dialect: Dialect, column: str) -> str:
    return f"{dialect.quote(column[1:])} DESC" if column.startswith("-") else dialect.quote(column)


def drop_table(dialect: Dialect, name: str) -> str:
    """Return DROP TABLE."""
    return f"DROP TABLE {dialect.quote(name)}"
