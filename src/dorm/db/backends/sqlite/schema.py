"""How SQLite's tables are changed: by the few forms of ALTER TABLE it has, else by making the table anew.

A rebuild follows https://www.sqlite.org/lang_altertable.html#otheralter: make the new table under another name, copy
the rows, drop the old one, rename; then make indexes and triggers again. Foreign keys are not enforced meanwhile:
dropping a table would delete its rows, and with them what refers to them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace

from dorm.db.backends.sqlite.fragments import is_scaled
from dorm.db.backends.sqlite.introspect import read_tables
from dorm.db.backends.sqlite.rehearsal import Rehearsal
from dorm.db.backends.threaded import ThreadedConnection
from dorm.db.driver import AsyncConnection, SyncConnection
from dorm.db.introspect import FoundTable
from dorm.db.operation import Operation
from dorm.db.request import Source, StatementRequest
from dorm.db.schema import Ddl, Editor, Schema
from dorm.db.statement import Statement, Template
from dorm.db.tables import ColumnDef, Difference, IndexDef, TableDef, differences, shortened
from dorm.db.types import SqlType
from dorm.exceptions import IntegrityError, InterfaceError, NotSupportedError

_NUMBERS = ("smallint", "integer", "bigint", "boolean", "double")


class EnforceForeignKeys(StatementRequest[int]):
    """Switch the enforcement of foreign keys of a connection, also inside a transaction, where PRAGMA cannot."""

    __slots__ = ()

    def on(self, connection: SyncConnection) -> int:
        switch = getattr(connection, "enforce_foreign_keys", None)
        if switch is None:
            raise InterfaceError(f"{type(connection).__name__} cannot switch the enforcement of foreign keys")
        switch(self.statement.sql.endswith("ON"))
        return 0

    def aon(self, connection: AsyncConnection) -> Awaitable[int]:
        if not isinstance(connection, ThreadedConnection):
            raise InterfaceError(f"{type(connection).__name__} cannot switch the enforcement of foreign keys")
        return connection.call(lambda: self.on(connection.inner))


class SqliteSchema(Schema):
    """Statements for SQLite."""

    inline_foreign_keys = True

    def request(self, source: Source, ddl: Ddl) -> StatementRequest[int]:
        if ddl.enforce is None:
            return super().request(source, ddl)
        return EnforceForeignKeys(source, Statement(Template(ddl.sql, prepare=False), (), internal=True))

    def column(self, table: TableDef, column: ColumnDef) -> str:
        if column.type.auto and table.primary_key == (column.name,):
            return f"{self.quote(column.name)} INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"
        return super().column(table, column)

    def identity(self) -> str:
        raise NotSupportedError("SQLite counts a column only where it is the whole primary key of its table.")

    def primary_key(self, table: TableDef) -> str:
        key = table.primary_key
        return "" if len(key) == 1 and table.column(key[0]).type.auto else super().primary_key(table)

    def create_index_text(self, table: str, index: IndexDef, concurrently: bool = False) -> str:
        if index.include or index.nulls_distinct is False:
            raise NotSupportedError(f"index {index.name}: SQLite has neither INCLUDE nor NULLS NOT DISTINCT.")
        if index.method not in ("", "btree"):
            raise NotSupportedError(f"index {index.name}: SQLite has B-trees only, not {index.method!r}.")
        return super().create_index_text(table, replace(index, method="", tablespace="", options=""))

    # -- names ---------------------------------------------------------------------------------------------------
    def rename_constraint(self, editor: Editor, table: TableDef, before: str, after: str) -> Operation[None]:
        """Leave the name in the text of the table: nothing refers to it, and a rebuild writes the new one."""
        return
        yield

    def rename_index(self, editor: Editor, table: TableDef, before: str, index: IndexDef) -> Operation[None]:
        yield from self.drop_index(editor, table, before)
        yield from self.create_index(editor, table, index)

    # -- rows and the catalogue ----------------------------------------------------------------------------------
    def defer_constraints(self) -> list[str]:
        return ["PRAGMA defer_foreign_keys = ON"]

    def empty_tables(self, tables: Sequence[str]) -> list[str]:
        names = ", ".join(map(self.dialect.quote_literal, tables))
        texts = ["PRAGMA defer_foreign_keys = ON", *super().empty_tables(tables)]
        return [*texts, f"UPDATE sqlite_sequence SET seq = 0 WHERE name IN ({names})"] if tables else []

    def read_tables(self, editor: Editor) -> Operation[list[FoundTable]]:
        return (yield from read_tables(editor))

    # -- append-only tables --------------------------------------------------------------------------------------
    def append_only(
        self,
        table: str,
        schema: str | None,
        allow_delete: bool,
        block_truncate: bool,
        unique: Sequence[Sequence[str]],
    ) -> list[str] | None:
        if schema is not None:
            raise NotSupportedError(
                f"SQLite has no schemas, and {table!r} alone may be another table than that of {schema!r}: name the "
                "table without one."
            )
        stop = f"BEGIN SELECT RAISE(ABORT, {self._refusal(table)}); END"
        where = self.quote(table)
        same = " OR ".join(
            " AND ".join(f"{self.quote(column)} = NEW.{self.quote(column)}" for column in columns) for columns in unique
        )
        # REPLACE deletes rows without firing DELETE triggers: https://www.sqlite.org/lang_conflict.html
        events = {"update": f"BEFORE UPDATE ON {where}", "delete": f"BEFORE DELETE ON {where}"}
        if same:
            events["insert"] = f"BEFORE INSERT ON {where} WHEN EXISTS (SELECT 1 FROM {where} WHERE {same})"
        if allow_delete:
            del events["delete"]
        found = self.append_only_off(table, schema)
        found += [f"CREATE TRIGGER {self._trigger(table, name)} {when} {stop}" for name, when in events.items()]
        return found

    def append_only_off(self, table: str, schema: str | None) -> list[str]:
        return [f"DROP TRIGGER IF EXISTS {self._trigger(table, name)}" for name in ("update", "delete", "insert")]

    def rename_append_only(self, editor: Editor, old: str, new: str) -> Operation[None]:
        for event in ("update", "delete", "insert"):
            name = shortened(f"{old}_block_mod_trg_{event}")
            texts = yield from editor.read(
                "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ? AND tbl_name = ? COLLATE NOCASE",
                (name, new),
            )
            for (text,) in texts:
                # Triggers cannot be renamed. SQLite has changed the table's name in the text, but for the message.
                rest = text.partition(self.quote(name))[2].replace(self._refusal(old), self._refusal(new))
                yield from editor.send(Ddl(f"DROP TRIGGER {self.quote(name)}", table=new))
                yield from editor.send(Ddl(f"CREATE TRIGGER {self._trigger(new, event)}{rest}", table=new))

    def _refusal(self, table: str) -> str:
        """Return the message of an append-only table, as a literal."""
        return self.dialect.quote_literal(f"table {table} is append-only")

    def _trigger(self, table: str, event: str) -> str:
        return self.quote(shortened(f"{table}_block_mod_trg_{event}"))

    def rehearsal(self, editor: Editor, empty: bool = False) -> Operation[Rehearsal | None]:
        if empty:
            return Rehearsal()
        # Shadow tables come with the virtual table that they belong to.
        rows = yield from editor.read(
            "SELECT m.sql FROM sqlite_master m LEFT JOIN pragma_table_list l ON l.name = m.name AND l.schema = 'main' "
            "WHERE m.sql IS NOT NULL AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND l.type IS NOT 'shadow' "
            "ORDER BY CASE m.type WHEN 'table' THEN 1 WHEN 'view' THEN 2 WHEN 'index' THEN 3 ELSE 4 END, m.rowid"
        )
        return Rehearsal(sql for (sql,) in rows)

    def drop_everything(self, editor: Editor) -> Operation[None]:
        # Views name tables, and the shadow tables of a virtual one go with it: https://www.sqlite.org/vtab.html
        found = yield from editor.read(
            "SELECT type, name FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "AND type IN ('view', 'virtual', 'table') ORDER BY CASE type WHEN 'view' THEN 1 WHEN 'virtual' THEN 2 "
            "ELSE 3 END, name"
        )
        yield from editor.send(Ddl("PRAGMA foreign_keys = OFF", enforce=False))
        try:
            for kind, name in found:
                yield from editor.send(
                    Ddl(f"DROP {'VIEW' if kind == 'view' else 'TABLE'} {self.quote(name)}", table=name)
                )
        finally:
            yield from editor.send(Ddl("PRAGMA foreign_keys = ON", enforce=True))

    # -- changes -------------------------------------------------------------------------------------------------
    def alter_tables(self, editor: Editor, pairs: Sequence[tuple[TableDef, TableDef]]) -> Operation[None]:
        for change in differences(pairs):
            if change.keeps_rows:
                yield from self._alter_indexes(editor, change)
            elif self._can_add(change):
                for column in change.added:
                    sql = f"ALTER TABLE {self.table(change.new.name)} ADD COLUMN {self.column(change.new, column)}"
                    yield from editor.send(Ddl(sql, table=change.new.name))
                yield from self._alter_indexes(editor, change)
            else:
                yield from self._rebuild(editor, change)

    def _alter_indexes(self, editor: Editor, change: Difference) -> Operation[None]:
        dropped, made = change.indexes
        for index in dropped:
            yield from self.drop_index(editor, change.new, index.name)
        for index in made:
            yield from self.create_index(editor, change.new, index)

    def _can_add(self, change: Difference) -> bool:
        """True when ADD COLUMN does all: plain columns at the end that may be NULL, nothing else."""
        added = change.added
        plain = all(
            column.null and column.default is None and column.fill is None and not (column.generated and column.stored)
            for column in added
        )
        without = replace(
            change.new,
            columns=tuple(column for column in change.new.columns if column not in added),
            indexes=change.old.indexes,
        )
        return bool(added) and plain and without == change.old and change.new.columns[-len(added) :] == tuple(added)

    def _rebuild(self, editor: Editor, change: Difference) -> Operation[None]:
        old, new = change.old, change.new
        name = f"dorm_new__{new.name}"
        kept = yield from self._kept(editor, old)
        strangers = yield from self._strangers(editor, old)
        yield from editor.send(Ddl("PRAGMA foreign_keys = OFF", enforce=False))
        yield from editor.send(Ddl("PRAGMA legacy_alter_table = ON", internal=True))
        try:
            yield from editor.send(Ddl(f"DROP TABLE IF EXISTS {self.quote(name)}"))
            text = _with_columns(self.create_table_text(new, name), strangers)
            yield from editor.send(Ddl(text, table=new.name))
            yield from editor.send(Ddl(self._copy(change, name, [column for column, _ in strangers]), internal=True))
            if any(column.type.auto for column in new.columns):
                yield from self._keep_count(editor, new.name, name)
            yield from editor.send(Ddl(f"DROP TABLE {self.quote(new.name)}", table=new.name))
            yield from editor.send(Ddl(f"ALTER TABLE {self.quote(name)} RENAME TO {self.quote(new.name)}"))
        finally:
            yield from editor.send(Ddl("PRAGMA legacy_alter_table = OFF", internal=True))
            yield from editor.send(Ddl("PRAGMA foreign_keys = ON", enforce=True))
        for index in new.indexes:
            yield from self.create_index(editor, new, index)
        for sql in kept:
            yield from editor.send(Ddl(sql, table=new.name))
        yield from self._check_references(editor, new.name)

    def _kept(self, editor: Editor, table: TableDef) -> Operation[list[str]]:
        """Return the text of triggers, and of indexes that the models know nothing of."""
        rows = yield from editor.read(
            "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL "
            "AND type IN ('index', 'trigger') ORDER BY rowid",
            (table.name,),
        )
        known = {index.name for index in table.indexes}
        return [sql for kind, name, sql in rows if kind == "trigger" or name not in known]

    def _strangers(self, editor: Editor, table: TableDef) -> Operation[list[tuple[str, str]]]:
        """Return name and definition of columns that the models know nothing of: they keep their data."""
        rows = yield from editor.read(
            'SELECT name, type, "notnull", dflt_value FROM pragma_table_xinfo(?) WHERE hidden = 0', (table.name,)
        )
        known = {column.name.lower() for column in table.columns}
        found = []
        for name, kind, required, default in rows:
            if name.lower() not in known:
                text = f"{self.quote(name)} {kind}{' NOT NULL' if required else ''}"
                found.append((name, f"{text} DEFAULT ({default})" if default is not None else text))
        return found

    def _copy(self, change: Difference, name: str, strangers: list[str]) -> str:
        columns, values = [], []
        for column in change.new.columns:
            if column.generated is not None:
                continue
            value = self._value(change.old, column)
            if value is not None:
                columns.append(self.quote(column.name))
                values.append(value)
        columns.extend(map(self.quote, strangers))
        values.extend(map(self.quote, strangers))
        source = self.quote(change.old.name)
        return f"INSERT INTO {self.quote(name)} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {source}"

    def _value(self, old: TableDef, column: ColumnDef) -> str | None:
        """Return what the column is filled with from the former table; None leaves it to its default."""
        fill = column.fill if column.fill is not None else column.default
        if not old.has(column.name):
            return column.fill
        before = old.column(column.name)
        value = converted(self.quote(column.name), before.type, column.type)
        if before.null and not column.null and fill is not None:
            return f"coalesce({value}, {fill})"
        return value

    def _keep_count(self, editor: Editor, table: str, name: str) -> Operation[None]:
        """Let AUTOINCREMENT go on where it was, so that no key is given twice."""
        quoted = self.dialect.quote_literal
        yield from editor.send(Ddl(f"DELETE FROM sqlite_sequence WHERE name = {quoted(name)}", internal=True))
        yield from editor.send(
            Ddl(
                "INSERT INTO sqlite_sequence (name, seq) "
                f"SELECT {quoted(name)}, seq FROM sqlite_sequence WHERE name = {quoted(table)}",
                internal=True,
            )
        )

    def _check_references(self, editor: Editor, table: str) -> Operation[None]:
        if not (yield from self.table_exists(editor, table)):
            return  # a dry run over a table that is not there yet
        rows = yield from editor.read(f"PRAGMA foreign_key_check({self.quote(table)})")
        if rows:
            raise IntegrityError(
                f"table {table!r} holds {len(rows)} rows that refer to rows of {rows[0][2]!r} which do not exist: "
                "mend the data first."
            )


def _with_columns(text: str, strangers: list[tuple[str, str]]) -> str:
    """Return CREATE TABLE with further columns in front."""
    if not strangers:
        return text
    head, _, body = text.partition("(\n    ")
    return f"{head}(\n    {''.join(f'{definition},{chr(10)}    ' for _, definition in strangers)}{body}"


def converted(name: str, old: SqlType, new: SqlType) -> str:
    """Return the expression that turns a stored value of one type into one of another."""
    if old == new:
        return name
    if is_scaled(old) and is_scaled(new):
        step = (new.scale or 0) - (old.scale or 0)
        if step >= 0:
            return f"{name} * {10**step}" if step else name
        return f"CAST(round({name} / {10.0**-step!r}) AS INTEGER)"
    if is_scaled(old):
        return _from_scaled(name, old.scale or 0, new)
    if is_scaled(new):
        return f"CAST(round({name} * {10 ** (new.scale or 0)}.0) AS INTEGER)"
    if new.kind in ("text", "varchar") and old.kind in _NUMBERS:
        return f"CAST({name} AS TEXT)"
    if new.kind in ("smallint", "integer", "bigint") and old.kind in ("text", "varchar", "double"):
        return f"CAST({name} AS INTEGER)"
    if new.kind == "double" and old.kind in ("text", "varchar", "numeric"):
        return f"CAST({name} AS REAL)"
    if new.kind == "boolean" and old.kind in _NUMBERS:
        return f"({name} <> 0)"
    if old.kind in ("timestamp", "timestamptz") and new.kind == "date":
        return f"substr({name}, 1, 10)"
    if old.kind == "date" and new.kind in ("timestamp", "timestamptz"):
        return f"{name} || ' 00:00:00'"
    return name


def _from_scaled(name: str, scale: int, new: SqlType) -> str:
    if new.kind in ("smallint", "integer", "bigint"):
        return f"CAST(round({name} / {10.0**scale!r}) AS INTEGER)"
    if new.kind == "double":
        return f"{name} / {10.0**scale!r}"
    if scale == 0:
        return f"CAST({name} AS TEXT)"
    # printf works on the digits, so that no digit passes through a floating-point number.
    digits = f"printf('%0{scale + 1}d', abs({name}))"
    sign = f"CASE WHEN {name} < 0 THEN '-' WHEN {name} >= 0 THEN '' END"
    return f"({sign} || substr({digits}, 1, length({digits}) - {scale}) || '.' || substr({digits}, -{scale}))"
