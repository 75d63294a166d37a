"""The statements that turn one set of tables into another.

A `Schema` turns differences of tables, which are values (`dorm.db.tables`), into statements. It writes the SQL
standard's form; a backend's own `schema` module overrides what it spells otherwise. Statements are operations: they go
out through an `Editor`, which sends them, or notes them down for a dry run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dorm.db.introspect import FoundTable
from dorm.db.operation import Operation
from dorm.db.request import Execute, Source, StatementRequest
from dorm.db.statement import Row, Statement, Template
from dorm.db.tables import CheckDef, ColumnDef, ExclusionDef, ForeignKeyDef, IndexDef, TableDef, UniqueDef
from dorm.exceptions import NotSupportedError

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect


# -- statements --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ddl:
    """One statement that changes a schema.

    Args:
        table: name of the table whose lock it takes, for plans; empty where it is none.
        lock: the lock as the server names it; empty where the backend locks the whole database.
        rewrites: the table is written anew, row by row. scans: the table is read from end to end.
        concurrent: it must run outside transactions.
        enforce: False when it switches the enforcement of foreign keys off (SQLite), True when it switches it on.
        others: further tables that it locks, each with the lock: those that a reference leads to, partitions.
        progress: what it builds, where the server tells how far it is; empty where not.
        internal: it belongs to a change without being one: switches, limits, the copy of a rebuild, counters. Gates
            judge the change itself.
    """

    sql: str
    params: tuple[Any, ...] = ()
    table: str = ""
    lock: str = ""
    rewrites: bool = False
    scans: bool = False
    concurrent: bool = False
    enforce: bool | None = None
    internal: bool = False
    others: tuple[tuple[str, str], ...] = ()
    progress: str = ""


class Editor(Protocol):
    """What schema changes go out through."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def is_dry(self) -> bool:
        """True when statements are noted down."""
        ...

    @property
    def append_only(self) -> Mapping[str, bool] | None:
        """In a dry run the tables that are append-only by then, and whether they refuse TRUNCATE; else None."""
        ...

    def send(self, ddl: Ddl, /) -> Operation[None]:
        """Send one statement, or note it down."""
        ...

    def read(self, sql: str, params: Sequence[Any] = (), /) -> Operation[list[Row]]:
        """Read from the catalogue; done in a dry run too."""
        ...


class Rehearsal(Protocol):
    """A copy of a database's tables, without rows, on which a dry run does what it notes down."""

    def do(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Do what a statement would do."""
        ...

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Return rows of the catalogue."""
        ...


class Schema:
    """Statements for changes of tables, by the SQL standard; one object a dialect."""

    inline_foreign_keys = False
    """References stand in CREATE TABLE, since they cannot be added later."""
    lock_create = ""
    lock_alter = ""
    lock_reference = ""
    lock_index = ""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.quote = dialect.quote

    def request(self, source: Source, ddl: Ddl) -> StatementRequest[int]:
        """Return the request that sends a statement."""
        return Execute(source, Statement(Template(ddl.sql, prepare=False), ddl.params, ddl.internal))

    # -- text of parts -------------------------------------------------------------------------------------------
    def table(self, name: str) -> str:
        """Return a table's name, quoted; ``"schema"."table"`` given in quotes stays as it is."""
        return name if name.startswith('"') and name.endswith('"') else self.quote(name)

    def names(self, columns: Iterable[str]) -> str:
        """Return column names, quoted, separated by commas."""
        return ", ".join(map(self.quote, columns))

    def type_of(self, column: ColumnDef) -> str:
        """Return the type of a column as DDL spells it."""
        return column.spelled or self.dialect.column_type(column.type)

    def column(self, table: TableDef, column: ColumnDef) -> str:
        """Return one column of CREATE TABLE."""
        parts = [self.quote(column.name), self.type_of(column)]
        if column.collation:
            parts.append(f"COLLATE {self.quote(column.collation)}")
        if column.generated is not None:
            parts.append(self.generated(column))
        elif column.type.auto:
            parts.append(self.identity())
        if column.default is not None:
            parts.append(f"DEFAULT {column.default}")
        if column.generated is None or not column.null:
            parts.append("NULL" if column.null else "NOT NULL")
        return " ".join(parts)

    def generated(self, column: ColumnDef) -> str:
        """Return the clause of a generated column."""
        return f"GENERATED ALWAYS AS ({column.generated}) {'STORED' if column.stored else 'VIRTUAL'}"

    def identity(self) -> str:
        """Return the clause of a column that the database counts."""
        return "GENERATED BY DEFAULT AS IDENTITY"

    def unique(self, unique: UniqueDef) -> str:
        nulls = "" if unique.nulls_distinct is not False else " NULLS NOT DISTINCT"
        include = f" INCLUDE ({self.names(unique.include)})" if unique.include else ""
        wait = f" DEFERRABLE INITIALLY {unique.deferrable.upper()}" if unique.deferrable else ""
        return f"CONSTRAINT {self.quote(unique.name)} UNIQUE{nulls} ({self.names(unique.columns)}){include}{wait}"

    def check(self, check: CheckDef) -> str:
        return f"CONSTRAINT {self.quote(check.name)} CHECK ({check.condition})"

    def exclusion(self, exclusion: ExclusionDef) -> str:
        return f"CONSTRAINT {self.quote(exclusion.name)} EXCLUDE {exclusion.body}"

    def foreign_key(self, key: ForeignKeyDef) -> str:
        return (
            f"CONSTRAINT {self.quote(key.name)} FOREIGN KEY ({self.names(key.columns)}) "
            f"REFERENCES {self.table(key.table)} ({self.names(key.targets)}) DEFERRABLE INITIALLY DEFERRED"
        )

    def constraints(self, table: TableDef) -> list[tuple[str, str]]:
        """Return name and text of all constraints of a table but its references."""
        return [
            *[(each.name, self.unique(each)) for each in table.uniques],
            *[(each.name, self.check(each)) for each in table.checks],
            *[(each.name, self.exclusion(each)) for each in table.exclusions],
        ]

    def primary_key(self, table: TableDef) -> str:
        """Return the constraint of the primary key; empty where there is none, or it stands at its column."""
        if not table.primary_key:
            return ""
        return f"CONSTRAINT {self.quote(table.key_name)} PRIMARY KEY ({self.names(table.primary_key)})"

    def create_table_text(self, table: TableDef, name: str | None = None) -> str:
        """Return CREATE TABLE, under another *name* when one is given."""
        parts = [self.column(table, column) for column in table.columns]
        parts.extend(filter(None, [self.primary_key(table)]))
        parts.extend(text for _, text in self.constraints(table))
        if self.inline_foreign_keys:
            parts.extend(map(self.foreign_key, table.foreign_keys))
        space = f" TABLESPACE {self.quote(table.tablespace)}" if table.tablespace else ""
        body = ",\n    ".join(parts)
        return f"CREATE TABLE {self.table(name or table.name)} (\n    {body}\n){space}"

    def create_index_text(self, table: str, index: IndexDef, concurrently: bool = False) -> str:
        """Return CREATE INDEX."""
        kind = "UNIQUE INDEX" if index.unique else "INDEX"
        parts = [
            f"CREATE {kind} {'CONCURRENTLY ' if concurrently else ''}{self.quote(index.name)} ON {self.table(table)}",
            f"USING {index.method}" if index.method else "",
            f"({', '.join(index.parts)})",
            f"INCLUDE ({self.names(index.include)})" if index.include else "",
            "NULLS NOT DISTINCT" if index.nulls_distinct is False else "",
            f"WITH ({index.options})" if index.options else "",
            f"TABLESPACE {self.quote(index.tablespace)}" if index.tablespace else "",
            f"WHERE {index.where}" if index.where else "",
        ]
        return " ".join(filter(None, parts))

    # -- tables --------------------------------------------------------------------------------------------------
    def create_table(self, editor: Editor, table: TableDef, references: bool = True) -> Operation[None]:
        """Make a table with its indexes; *references* False leaves the foreign keys to `add_references`."""
        yield from editor.send(Ddl(self.create_table_text(table), table=table.name, lock=self.lock_create))
        for index in table.indexes:
            yield from self.create_index(editor, table, index)
        yield from self.comments(editor, table)
        if references:
            yield from self.add_references(editor, table)

    def add_references(self, editor: Editor, table: TableDef) -> Operation[None]:
        """Add the foreign keys of a table that was made without them."""
        if not self.inline_foreign_keys:
            for key in table.foreign_keys:
                yield from self.add_reference(editor, table, key)

    def add_reference(self, editor: Editor, table: TableDef, key: ForeignKeyDef, valid: bool = True) -> Operation[None]:
        """Add a foreign key; not *valid*, the rows that are there are not read."""
        sql = f"ALTER TABLE {self.table(table.name)} ADD {self.foreign_key(key)}{'' if valid else ' NOT VALID'}"
        lock = self.lock_reference
        others = self.targets(table, [key], lock)
        yield from editor.send(Ddl(sql, table=table.name, lock=lock, scans=valid, others=others))

    def drop_reference(self, editor: Editor, table: TableDef, key: ForeignKeyDef) -> Operation[None]:
        """Drop a foreign key; the table that it leads to is locked as well."""
        sql = f"ALTER TABLE {self.table(table.name)} DROP CONSTRAINT {self.quote(key.name)}"
        others = self.targets(table, [key], self.lock_alter)
        yield from editor.send(Ddl(sql, table=table.name, lock=self.lock_alter, others=others))

    def targets(self, table: TableDef, keys: Iterable[ForeignKeyDef], lock: str) -> tuple[tuple[str, str], ...]:
        """Return the other tables that *keys* of a table lead to, each with the lock."""
        return tuple(dict.fromkeys((key.table, lock) for key in keys if lock and key.table != table.name))

    def comments(self, editor: Editor, table: TableDef) -> Operation[None]:
        """Set the comments of a table; nothing where the backend keeps none."""
        return
        yield

    def drop_table(self, editor: Editor, table: TableDef) -> Operation[None]:
        others = self.targets(table, table.foreign_keys, self.lock_alter)
        sql = f"DROP TABLE {self.table(table.name)}"
        yield from editor.send(Ddl(sql, table=table.name, lock=self.lock_alter, others=others))

    def drop_types(self, editor: Editor, columns: Sequence[ColumnDef]) -> Operation[None]:
        """Drop the types that *columns*, which are gone, brought with them, where nothing else uses them."""
        return
        yield

    def rename_table(self, editor: Editor, old: TableDef, new: TableDef) -> Operation[None]:
        """Rename a table, and what is named after it; *new* differs from *old* in names only."""
        if old.name != new.name:
            sql = f"ALTER TABLE {self.table(old.name)} RENAME TO {self.table(new.name)}"
            yield from editor.send(Ddl(sql, table=old.name, lock=self.lock_alter))
            yield from self.rename_append_only(editor, old.name, new.name)
        yield from self.rename_parts(editor, old, new)

    def rename_column(self, editor: Editor, old: TableDef, new: TableDef, before: str, after: str) -> Operation[None]:
        """Rename a column, and what is named after it; *new* differs from *old* in names only."""
        if before != after:
            sql = f"ALTER TABLE {self.table(old.name)} RENAME COLUMN {self.quote(before)} TO {self.quote(after)}"
            yield from editor.send(Ddl(sql, table=old.name, lock=self.lock_alter))
        yield from self.rename_parts(editor, old, new)

    def rename_parts(self, editor: Editor, old: TableDef, new: TableDef) -> Operation[None]:
        """Give constraints and indexes, which stand in the same order in both, the names they have in *new*."""
        if old.key_name != new.key_name and old.primary_key:
            yield from self.rename_constraint(editor, new, old.key_name, new.key_name)
        named: list[tuple[Any, Any]] = [
            *zip(old.uniques, new.uniques, strict=False),
            *zip(old.checks, new.checks, strict=False),
            *zip(old.exclusions, new.exclusions, strict=False),
            *zip(old.foreign_keys, new.foreign_keys, strict=False),
        ]
        for before, after in named:
            if before.name != after.name:
                yield from self.rename_constraint(editor, new, before.name, after.name)
        for was, index in zip(old.indexes, new.indexes, strict=False):
            if was.name != index.name:
                yield from self.rename_index(editor, new, was.name, index)

    def rename_constraint(self, editor: Editor, table: TableDef, before: str, after: str) -> Operation[None]:
        sql = f"ALTER TABLE {self.table(table.name)} RENAME CONSTRAINT {self.quote(before)} TO {self.quote(after)}"
        yield from editor.send(Ddl(sql, table=table.name, lock=self.lock_alter))

    # -- indexes and constraints ---------------------------------------------------------------------------------
    def create_index(
        self, editor: Editor, table: TableDef, index: IndexDef, concurrently: bool = False
    ) -> Operation[None]:
        yield from editor.send(
            Ddl(self.create_index_text(table.name, index), table=table.name, lock=self.lock_index, scans=True)
        )

    def drop_index(self, editor: Editor, table: TableDef, name: str, concurrently: bool = False) -> Operation[None]:
        yield from editor.send(Ddl(f"DROP INDEX {self.quote(name)}", table=table.name, lock=self.lock_alter))

    def rename_index(self, editor: Editor, table: TableDef, before: str, index: IndexDef) -> Operation[None]:
        sql = f"ALTER INDEX {self.quote(before)} RENAME TO {self.quote(index.name)}"
        yield from editor.send(Ddl(sql, table=table.name, lock=self.lock_alter))

    def add_constraint(
        self, editor: Editor, table: TableDef, text: str, lock: str = "", scans: bool = False
    ) -> Operation[None]:
        sql = f"ALTER TABLE {self.table(table.name)} ADD {text}"
        yield from editor.send(Ddl(sql, table=table.name, lock=lock or self.lock_alter, scans=scans))

    def drop_constraint(self, editor: Editor, table: TableDef, name: str) -> Operation[None]:
        sql = f"ALTER TABLE {self.table(table.name)} DROP CONSTRAINT {self.quote(name)}"
        yield from editor.send(Ddl(sql, table=table.name, lock=self.lock_alter))

    # -- changes -------------------------------------------------------------------------------------------------
    def needs_cast(
        self, editor: Editor, table: str, column: str, type_text: str, before: str | None
    ) -> Operation[bool]:
        """Tell whether the database would not convert a column to another type unless it is told how.

        Args:
            before: the type that it has by then, as DDL spells it, where the database has no such column yet.
        """
        return False
        yield

    def alter_tables(self, editor: Editor, pairs: Sequence[tuple[TableDef, TableDef]]) -> Operation[None]:
        """Change each first table of *pairs* into the second; names of tables and columns stay.

        Several tables at once, since a column and those that refer to it change their type together.
        """
        raise NotImplementedError

    # -- rows and the catalogue ----------------------------------------------------------------------------------
    def settle(self, editor: Editor) -> Operation[None]:
        """Check now what would be checked at COMMIT, where ALTER TABLE refuses tables with pending checks."""
        return
        yield

    def defer_constraints(self) -> list[str]:
        """Return the statements that let references be checked at the end of this transaction."""
        return []

    def advance_counter(self, table: str, column: str | None) -> list[str]:
        """Return the statements that let a counted column go on behind the highest value it has."""
        return []

    def empty_tables(self, tables: Sequence[str]) -> list[str]:
        """Return the statements that remove all rows of *tables* and let their counters begin anew."""
        return [f"DELETE FROM {self.table(table)}" for table in tables]

    def read_tables(self, editor: Editor) -> Operation[list[FoundTable]]:
        """Return the tables and views of the database."""
        raise NotSupportedError(f"{self.dialect.vendor} cannot be introspected")
        yield

    def append_only(
        self,
        table: str,
        schema: str | None,
        allow_delete: bool,
        block_truncate: bool,
        unique: Sequence[Sequence[str]],
    ) -> list[str] | None:
        """Return the statements that let a table only grow; None where the backend cannot do it.

        Args:
            unique: sets of columns whose values are unique: what a row that comes in could replace.
        """
        return None

    def append_only_off(self, table: str, schema: str | None) -> list[str]:
        """Return the statements that undo `append_only`, also where the table is gone."""
        return []

    def rename_append_only(self, editor: Editor, old: str, new: str) -> Operation[None]:
        """Name what `append_only` made for a table that was called *old* after the name it has now.

        A name that stayed behind would be taken for that of the next table called *old*.
        """
        return
        yield

    def rehearsal(self, editor: Editor, empty: bool = False) -> Operation[Rehearsal | None]:
        """Return a copy of the tables for a dry run; None where changes ask the catalogue for nothing that changes.

        Args:
            empty: without the tables that are there.
        """
        return None
        yield

    def drop_everything(self, editor: Editor) -> Operation[None]:
        """Drop all that stands in the schema of the connection, whoever made it.

        Raises: NotSupportedError: the backend cannot do that at once.
        """
        raise NotSupportedError(f"{self.dialect.vendor}: a schema cannot be dropped as a whole; drop the database.")
        yield

    def table_exists(self, editor: Editor, name: str) -> Operation[bool]:
        """Tell whether a table (or view) of that name can be seen."""
        sql, params = self.dialect.table_exists(name)
        return bool((yield from editor.read(sql, params)))
