"""Tables as values, and what has to happen to turn one into another.

Expressions stand in the backend's spelling already: models are turned into these values above
(`dorm.migrations.tables`), and `dorm.db.schema` turns their differences into statements.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dorm.db.types import SqlType

_LONGEST_NAME = 63


def cut(text: str, longest: int) -> str:
    """Return *text* cut to *longest* bytes, never inside a character."""
    return text.encode()[:longest].decode(errors="ignore")


def shortened(name: str) -> str:
    """Return *name*, or when it is longer than 63 bytes its beginning with a hash of all of it."""
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{cut(name, _LONGEST_NAME - 9)}_{digest}"


# -- tables as values --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ForeignKeyDef:
    """A reference of some columns to columns of another table, checked at COMMIT."""

    name: str
    columns: tuple[str, ...]
    table: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ColumnDef:
    """One column.

    Args:
        spelled: the type as a field of the user's own spells it; empty for the dialect's spelling of *type*.
        default: SQL text of a default made by the database, or None.
        generated: SQL text of the expression of a generated column, or None.
        stored: the generated value is kept in the row.
        fill: SQL text of the value that existing rows get when the column is added or becomes NOT NULL; it is no part
            of the table.
    """

    name: str
    type: SqlType
    null: bool = False
    spelled: str = ""
    default: str | None = None
    generated: str | None = None
    stored: bool = True
    collation: str | None = None
    comment: str | None = None
    fill: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class IndexDef:
    """One index. Its parts are SQL text: quoted columns or expressions with operator class and direction."""

    name: str
    parts: tuple[str, ...]
    unique: bool = False
    method: str = ""
    where: str = ""
    include: tuple[str, ...] = ()
    options: str = ""
    tablespace: str = ""
    nulls_distinct: bool | None = None
    columns: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class UniqueDef:
    """A UNIQUE constraint; ``deferrable`` is empty, "deferred" or "immediate"."""

    name: str
    columns: tuple[str, ...]
    deferrable: str = ""
    include: tuple[str, ...] = ()
    nulls_distinct: bool | None = None


@dataclass(frozen=True, slots=True)
class CheckDef:
    """A CHECK constraint."""

    name: str
    condition: str


@dataclass(frozen=True, slots=True)
class ExclusionDef:
    """An EXCLUDE constraint; *body* is what stands behind EXCLUDE."""

    name: str
    body: str


@dataclass(frozen=True, slots=True)
class TableDef:
    """One table."""

    name: str
    columns: tuple[ColumnDef, ...]
    primary_key: tuple[str, ...] = ()
    uniques: tuple[UniqueDef, ...] = ()
    checks: tuple[CheckDef, ...] = ()
    exclusions: tuple[ExclusionDef, ...] = ()
    foreign_keys: tuple[ForeignKeyDef, ...] = ()
    indexes: tuple[IndexDef, ...] = ()
    comment: str | None = None
    tablespace: str = ""

    def column(self, name: str) -> ColumnDef:
        """Return the column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def has(self, name: str) -> bool:
        """True when there is a column of that name."""
        return any(column.name == name for column in self.columns)

    @property
    def key_name(self) -> str:
        """Name of the primary key's constraint."""
        return shortened(f"{self.name.replace(chr(34), '').replace('.', '_')}_pkey")


# -- differences -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to happen to turn one table into another of the same name.

    Args:
        changing: (table, column) of all columns whose type changes in the same step, here and elsewhere.
    """

    old: TableDef
    new: TableDef
    changing: frozenset[tuple[str, str]] = frozenset()

    @property
    def added(self) -> list[ColumnDef]:
        return [column for column in self.new.columns if not self.old.has(column.name)]

    @property
    def removed(self) -> list[ColumnDef]:
        return [column for column in self.old.columns if not self.new.has(column.name)]

    @property
    def altered(self) -> list[tuple[ColumnDef, ColumnDef]]:
        both = [(self.old.column(column.name), column) for column in self.new.columns if self.old.has(column.name)]
        return [(before, after) for before, after in both if before != after]

    @property
    def indexes(self) -> tuple[list[IndexDef], list[IndexDef]]:
        """Indexes to drop and to make."""
        return _changes(self.old.indexes, self.new.indexes)

    @property
    def foreign_keys(self) -> tuple[list[ForeignKeyDef], list[ForeignKeyDef]]:
        """References to drop and to make; those over a column that changes its type are both."""
        dropped, made = _changes(self.old.foreign_keys, self.new.foreign_keys)
        kept = [key for key in self.old.foreign_keys if key not in dropped and self._is_touched(key)]
        return [*dropped, *kept], [*made, *kept]

    def _is_touched(self, key: ForeignKeyDef) -> bool:
        ours = {(self.old.name, column) for column in key.columns}
        return not self.changing.isdisjoint(ours | {(key.table, column) for column in key.targets})

    @property
    def keeps_rows(self) -> bool:
        """True when the columns and constraints stay, and only indexes or comments change."""
        return (
            not self.added
            and not self.removed
            and all(replace(before, comment=after.comment) == after for before, after in self.altered)
            and (self.old.primary_key, self.old.uniques, self.old.checks, self.old.exclusions, self.old.foreign_keys)
            == (self.new.primary_key, self.new.uniques, self.new.checks, self.new.exclusions, self.new.foreign_keys)
        )


def differences(pairs: Sequence[tuple[TableDef, TableDef]]) -> list[Difference]:
    """Return the differences of pairs of tables that change together."""
    changing = frozenset(
        (old.name, before.name)
        for old, new in pairs
        for before, after in Difference(old, new).altered
        if (before.type, before.spelled) != (after.type, after.spelled)
    )
    return [Difference(old, new, changing) for old, new in pairs if old != new]


def _changes(old: Sequence[Any], new: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    return [each for each in old if each not in new], [each for each in new if each not in old]


def changed_constraints(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return the names to drop and the texts to add, of two lists of constraints by name."""
    before, after = dict(old), dict(new)
    dropped = [name for name, text in before.items() if after.get(name) != text]
    return dropped, [text for name, text in after.items() if before.get(name) != text]
