"""What a database has, as values: tables with columns, keys, references and indexes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FoundColumn:
    """One column as the database describes it.

    Attributes:
        type: as DDL spells it, lower case. default: SQL text, or None. auto: the database counts it.
        stored: a generated column's value is kept in the row. values: those of an enumeration, in order.
    """

    name: str
    type: str
    null: bool
    default: str | None = None
    auto: bool = False
    generated: str | None = None
    comment: str | None = None
    collation: str | None = None
    stored: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundReference:
    """A foreign key."""

    name: str
    columns: tuple[str, ...]
    table: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class FoundIndex:
    """An index, or the one behind a UNIQUE constraint; columns are None for expressions.

    Attributes:
        deferrable: when a constraint is checked: empty for at once, else "immediate" or "deferred" as `Deferrable`.
    """

    name: str
    columns: tuple[str | None, ...]
    unique: bool
    constraint: bool = False
    where: str | None = None
    definition: str = ""
    deferrable: str = ""


@dataclass(frozen=True)
class FoundTable:
    """A table, or a view.

    Attributes:
        checks: name and text of each CHECK; the name is empty where the database gives none. exclusions: name and
            text of each EXCLUDE.
    """

    name: str
    columns: tuple[FoundColumn, ...]
    primary_key: tuple[str, ...] = ()
    references: tuple[FoundReference, ...] = ()
    indexes: tuple[FoundIndex, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    triggers: tuple[str, ...] = ()
    is_view: bool = False
    comment: str | None = field(default=None, compare=False)
    exclusions: tuple[tuple[str, str], ...] = ()

    def column(self, name: str) -> FoundColumn | None:
        """Return a column by name."""
        return next((each for each in self.columns if each.name == name), None)

    @property
    def unique_sets(self) -> set[tuple[str, ...]]:
        """The sets of columns that are unique, without conditions."""
        return {columns for columns, _ in self._uniques()}

    @property
    def candidate_keys(self) -> set[tuple[str, ...]]:
        """Those of `unique_sets` that are checked at once, so that references may refer to them."""
        return {columns for columns, deferrable in self._uniques() if not deferrable}

    def _uniques(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for each in self.indexes:
            columns = tuple(name for name in each.columns if name is not None)
            if each.unique and each.where is None and len(columns) == len(each.columns):
                yield columns, each.deferrable
