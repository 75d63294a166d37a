"""How PostgreSQL's tables are changed, under which locks.

Locks: https://www.postgresql.org/docs/current/explicit-locking.html and the page of each ALTER TABLE form.
"""

from __future__ import annotations

from collections.abc import Sequence

from dorm.db.backends.postgresql import enums
from dorm.db.backends.postgresql.introspect import read_tables
from dorm.db.introspect import FoundTable
from dorm.db.operation import Operation
from dorm.db.schema import Ddl, Editor, Schema
from dorm.db.tables import ColumnDef, Difference, IndexDef, TableDef, changed_constraints, differences, shortened
from dorm.db.types import SqlType
from dorm.exceptions import ProgrammingError

_INTEGERS = ("smallint", "integer", "bigint")
_TEXTS = ("varchar", "text")
_NUMERIC = frozenset({*_INTEGERS, "double", "numeric", "boolean"})
_CASTS: dict[str, frozenset[str]] = {
    "json": _NUMERIC,
    "date": frozenset({"timestamp", "timestamptz"}),
    "time": frozenset({"interval"}),
    "timestamp": frozenset({"date", "time", "timestamptz"}),
    "timestamptz": frozenset({"date", "time", "timestamp"}),
    "interval": frozenset({"time"}),
}
"""Casts between types of different families."""


class PostgresSchema(Schema):
    """Statements for PostgreSQL 13 and later."""

    lock_alter = "ACCESS EXCLUSIVE"
    lock_reference = "SHARE ROW EXCLUSIVE"
    lock_index = "SHARE"

    # -- types ---------------------------------------------------------------------------------------------------
    def create_table(self, editor: Editor, table: TableDef, references: bool = True) -> Operation[None]:
        for column in table.columns:
            yield from enums.create(self, editor, column.type)
        yield from super().create_table(editor, table, references)

    def drop_types(self, editor: Editor, columns: Sequence[ColumnDef]) -> Operation[None]:
        yield from enums.drop_unused(self, editor, columns)

    # -- comments ------------------------------------------------------------------------------------------------
    def comments(self, editor: Editor, table: TableDef) -> Operation[None]:
        if table.comment:
            yield from self._comment(editor, table, "TABLE", self.table(table.name), table.comment)
        for column in table.columns:
            if column.comment:
                yield from self._comment_column(editor, table, column)

    def _comment_column(self, editor: Editor, table: TableDef, column: ColumnDef) -> Operation[None]:
        where = f"{self.table(table.name)}.{self.quote(column.name)}"
        yield from self._comment(editor, table, "COLUMN", where, column.comment)

    def _comment(self, editor: Editor, table: TableDef, kind: str, where: str, text: str | None) -> Operation[None]:
        shown = self.dialect.quote_literal(text) if text else "NULL"
        yield from editor.send(
            Ddl(f"COMMENT ON {kind} {where} IS {shown}", table=table.name, lock="SHARE UPDATE EXCLUSIVE")
        )

    # -- indexes -------------------------------------------------------------------------------------------------
    def create_index(
        self, editor: Editor, table: TableDef, index: IndexDef, concurrently: bool = False
    ) -> Operation[None]:
        if concurrently:
            yield from self._drop_invalid(editor, table, index.name)
        lock = "SHARE UPDATE EXCLUSIVE" if concurrently else self.lock_index
        sql = self.create_index_text(table.name, index, concurrently)
        yield from editor.send(
            Ddl(
                sql,
                table=table.name,
                lock=lock,
                scans=True,
                concurrent=concurrently,
                progress=f"index {index.name}",
            )
        )

    def _drop_invalid(self, editor: Editor, table: TableDef, name: str) -> Operation[None]:
        """Drop the remains of a concurrent build that failed: an index that takes writes and serves no reads."""
        found = yield from editor.read(
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(quote_ident($1)) AND NOT indisvalid", (name,)
        )
        if found:
            yield from self.drop_index(editor, table, name, concurrently=True)

    def drop_index(self, editor: Editor, table: TableDef, name: str, concurrently: bool = False) -> Operation[None]:
        lock = "SHARE UPDATE EXCLUSIVE" if concurrently else self.lock_alter
        sql = f"DROP INDEX {'CONCURRENTLY IF EXISTS ' if concurrently else ''}{self.quote(name)}"
        yield from editor.send(Ddl(sql, table=table.name, lock=lock, concurrent=concurrently))

    # -- rows and the catalogue ----------------------------------------------------------------------------------
    def defer_constraints(self) -> list[str]:
        return ["SET CONSTRAINTS ALL DEFERRED"]

    def advance_counter(self, table: str, column: str | None) -> list[str]:
        if column is None:
            return []
        where = f"{self.dialect.quote_literal(self.table(table))}, {self.dialect.quote_literal(column)}"
        name = self.quote(column)
        return [
            f"SELECT setval(pg_get_serial_sequence({where}), coalesce(max({name}), 1), max({name}) IS NOT NULL) "
            f"FROM {self.table(table)}"
        ]

    def empty_tables(self, tables: Sequence[str]) -> list[str]:
        return [f"TRUNCATE {', '.join(map(self.table, tables))} RESTART IDENTITY CASCADE"] if tables else []

    def read_tables(self, editor: Editor) -> Operation[list[FoundTable]]:
        return (yield from read_tables(editor))

    def drop_everything(self, editor: Editor) -> Operation[None]:
        """Drop the connection's schema and make it anew, with its owner, its grants and its extensions."""
        quoted = "quote_ident(nspname), quote_ident(pg_get_userbyid(nspowner))"
        found = yield from editor.read(f"SELECT {quoted} FROM pg_namespace WHERE nspname = current_schema()")
        if not found:
            raise ProgrammingError("no schema of the search_path exists: there is nothing to drop.")
        schema, owner = found[0]
        grants = yield from editor.read(
            "SELECT a.privilege_type, coalesce(quote_ident(r.rolname), 'PUBLIC'), a.is_grantable FROM pg_namespace n "
            "CROSS JOIN LATERAL aclexplode(n.nspacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee "
            "WHERE n.nspname = current_schema() AND a.grantee <> n.nspowner ORDER BY 2, 1"
        )
        extensions = yield from editor.read(
            "SELECT quote_ident(extname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
            "WHERE n.nspname = current_schema() ORDER BY e.oid"
        )
        texts = [f"DROP SCHEMA {schema} CASCADE", f"CREATE SCHEMA {schema} AUTHORIZATION {owner}"]
        for right, role, passed_on in grants:
            texts.append(f"GRANT {right} ON SCHEMA {schema} TO {role}{' WITH GRANT OPTION' if passed_on else ''}")
        texts += [f"CREATE EXTENSION IF NOT EXISTS {name} SCHEMA {schema}" for (name,) in extensions]
        for text in texts:
            yield from editor.send(Ddl(text))

    # -- append-only tables --------------------------------------------------------------------------------------
    def append_only(
        self,
        table: str,
        schema: str | None,
        allow_delete: bool,
        block_truncate: bool,
        unique: Sequence[Sequence[str]],
    ) -> list[str] | None:
        function, where = self._in_schema(schema, f"{table}_block_mod"), self._in_schema(schema, table)
        # The name is that of the moment: a table that is renamed keeps its function.
        name = "TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME" if schema else "TG_TABLE_NAME"
        body = (
            f"BEGIN RAISE EXCEPTION 'table % is append-only: % is refused', {name}, TG_OP USING ERRCODE = 'P0001'; END"
        )
        events = "UPDATE" if allow_delete else "UPDATE OR DELETE"
        row, truncate = self._trigger(table, "trg"), self._trigger(table, "truncate_trg")
        found = [
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $dorm${body}$dorm$",
            f"DROP TRIGGER IF EXISTS {row} ON {where}",
            f"CREATE TRIGGER {row} BEFORE {events} ON {where} FOR EACH ROW EXECUTE FUNCTION {function}()",
            f"DROP TRIGGER IF EXISTS {truncate} ON {where}",
        ]
        if block_truncate:
            found.append(
                f"CREATE TRIGGER {truncate} BEFORE TRUNCATE ON {where} FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
            )
        return found

    def append_only_off(self, table: str, schema: str | None) -> list[str]:
        where = self._in_schema(schema, table)
        names = [self._trigger(table, "trg"), self._trigger(table, "truncate_trg")]
        function = self._in_schema(schema, f"{table}_block_mod")
        return [f"DROP TRIGGER IF EXISTS {name} ON {where}" for name in names] + [
            f"DROP FUNCTION IF EXISTS {function}()"
        ]

    def rename_append_only(self, editor: Editor, old: str, new: str) -> Operation[None]:
        names = {self._trigger(old, event): self._trigger(new, event) for event in ("trg", "truncate_trg")}
        planned = editor.append_only
        if planned is None:
            found = yield from editor.read(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass($1)", (self.quote(new),)
            )
            is_there = [name for name in names if any(self.quote(row[0]) == name for row in found)]
        else:
            is_there = list(names)[: 1 + planned[old]] if old in planned else []
        for name in is_there:
            sql = f"ALTER TRIGGER {name} ON {self.quote(new)} RENAME TO {names[name]}"
            yield from editor.send(Ddl(sql, table=new, lock=self.lock_alter))
        if is_there:
            before, after = (self._in_schema(None, f"{name}_block_mod") for name in (old, new))
            yield from editor.send(Ddl(f"ALTER FUNCTION {before}() RENAME TO {after}"))

    def _trigger(self, table: str, event: str) -> str:
        return self.quote(shortened(f"{table}_block_mod_{event}"))

    def _in_schema(self, schema: str | None, name: str) -> str:
        quoted = self.quote(shortened(name))
        return quoted if schema is None else f"{self.quote(schema)}.{quoted}"

    def rename_index(self, editor: Editor, table: TableDef, before: str, index: IndexDef) -> Operation[None]:
        sql = f"ALTER INDEX {self.quote(before)} RENAME TO {self.quote(index.name)}"
        yield from editor.send(Ddl(sql, table=before, lock="SHARE UPDATE EXCLUSIVE"))

    # -- changes -------------------------------------------------------------------------------------------------
    def needs_cast(
        self, editor: Editor, table: str, column: str, type_text: str, before: str | None
    ) -> Operation[bool]:
        # A cast that is written out cuts texts that are too long, where the server's own refuses them.
        # Everything is cast to texts without a word: https://www.postgresql.org/docs/current/sql-createcast.html
        found = yield from editor.read(
            "SELECT s.type <> t.oid AND t.typcategory <> 'S' AND NOT EXISTS (SELECT 1 FROM pg_cast "
            "WHERE castsource = s.type AND casttarget = t.oid AND castcontext <> 'e') "
            "FROM pg_type t CROSS JOIN (SELECT coalesce((SELECT atttypid FROM pg_attribute "
            "WHERE attrelid = to_regclass($1) AND attname = $2), to_regtype($4)) AS type) s "
            "WHERE t.oid = to_regtype($3)",
            (self.table(table), column, type_text, before),
        )
        return bool(found and found[0][0])

    def alter_tables(self, editor: Editor, pairs: Sequence[tuple[TableDef, TableDef]]) -> Operation[None]:
        changes = differences(pairs)
        for change in changes:
            for key in change.foreign_keys[0]:
                yield from self.drop_reference(editor, change.old, key)
        for change in changes:
            yield from self._alter(editor, change)
        for change in changes:
            for key in change.foreign_keys[1]:
                yield from self.add_reference(editor, change.new, key)

    def _alter(self, editor: Editor, change: Difference) -> Operation[None]:
        old, new = change.old, change.new
        dropped, made = changed_constraints(self.constraints(old), self.constraints(new))
        if old.primary_key and old.primary_key != new.primary_key:
            dropped.append(old.key_name)
        for index in change.indexes[0]:
            yield from self.drop_index(editor, new, index.name)
        for name in dropped:
            yield from self.drop_constraint(editor, new, name)
        for column in change.removed:
            yield from self._alter_table(editor, new, f"DROP COLUMN {self.quote(column.name)}")
        yield from self.drop_types(editor, change.removed)
        for column in change.added:
            yield from self._add_column(editor, new, column)
        for before, after in change.altered:
            yield from self._alter_column(editor, new, before, after)
        if new.primary_key and old.primary_key != new.primary_key:
            made.insert(0, self.primary_key(new))
        for text in made:
            yield from self.add_constraint(editor, new, text, scans=True)
        for index in change.indexes[1]:
            yield from self.create_index(editor, new, index)
        if old.comment != new.comment:
            yield from self._comment(editor, new, "TABLE", self.table(new.name), new.comment)

    def _alter_table(
        self, editor: Editor, table: TableDef, change: str, rewrites: bool = False, scans: bool = False
    ) -> Operation[None]:
        sql = f"ALTER TABLE {self.table(table.name)} {change}"
        yield from editor.send(Ddl(sql, table=table.name, lock=self.lock_alter, rewrites=rewrites, scans=scans))

    def _add_column(self, editor: Editor, table: TableDef, column: ColumnDef) -> Operation[None]:
        yield from enums.create(self, editor, column.type)
        text = self.column(table, column)
        filled = column.default is None and column.fill is not None and column.generated is None
        if filled:
            text = f"{text} DEFAULT {column.fill}"
        rewrites = column.type.auto or column.generated is not None or _is_volatile(column.default)
        yield from self._alter_table(editor, table, f"ADD COLUMN {text}", rewrites)
        if filled:
            yield from self._alter_table(editor, table, f"ALTER COLUMN {self.quote(column.name)} DROP DEFAULT")
        if column.comment:
            yield from self._comment_column(editor, table, column)

    def _alter_column(self, editor: Editor, table: TableDef, old: ColumnDef, new: ColumnDef) -> Operation[None]:
        if (old.generated, old.stored) != (new.generated, new.stored):
            yield from self._alter_table(editor, table, f"DROP COLUMN {self.quote(old.name)}")
            yield from self._add_column(editor, table, new)
            return
        alter = f"ALTER COLUMN {self.quote(new.name)}"
        retyped = self.type_of(old) != self.type_of(new) or old.collation != new.collation
        if old.type.auto and not new.type.auto:
            yield from self._alter_table(editor, table, f"{alter} DROP IDENTITY IF EXISTS")
        revalued = not retyped and enums.enumeration_of(old.type) != enums.enumeration_of(new.type)
        defaults = retyped or old.default != new.default or (revalued and not enums.only_grows(old, new))
        if old.default is not None and defaults:
            yield from self._alter_table(editor, table, f"{alter} DROP DEFAULT")
        if retyped:
            yield from enums.create(self, editor, new.type)
            yield from self._retype(editor, table, old, new)
            yield from self.drop_types(editor, [old])
        elif revalued:
            yield from enums.change_values(self, editor, table, old, new)
        if new.default is not None and defaults:
            yield from self._alter_table(editor, table, f"{alter} SET DEFAULT {new.default}")
        if new.null and not old.null:
            yield from self._alter_table(editor, table, f"{alter} DROP NOT NULL")
        if old.null and not new.null:
            yield from self._fill(editor, table, new)
            yield from self._alter_table(editor, table, f"{alter} SET NOT NULL", scans=True)
        if new.type.auto and not old.type.auto:
            yield from self._count(editor, table, new)
        if old.comment != new.comment:
            yield from self._comment_column(editor, table, new)

    def _retype(self, editor: Editor, table: TableDef, old: ColumnDef, new: ColumnDef) -> Operation[None]:
        spelled = self.type_of(new)
        collate = f" COLLATE {self.quote(new.collation)}" if new.collation else ""
        using = "" if _casts_by_itself(old.type, new.type) else f" USING {self._cast(old, new)}"
        yield from self._alter_table(
            editor,
            table,
            f"ALTER COLUMN {self.quote(new.name)} TYPE {spelled}{collate}{using}",
            rewrites=rewrites(old.type, new.type),
        )

    def _cast(self, old: ColumnDef, new: ColumnDef) -> str:
        name = self.quote(new.name)
        if new.type.kind == "boolean" and old.type.kind in _NUMERIC - {"boolean"}:
            return f"({name} <> 0)"
        if old.type.kind == "boolean" and new.type.kind in _NUMERIC - {"boolean"}:
            return f"{name}::integer::{self.type_of(new)}"
        if not _has_cast(old.type, new.type):
            return f"{name}::text::{self.type_of(new)}"
        return f"{name}::{self.type_of(new)}"

    def _fill(self, editor: Editor, table: TableDef, column: ColumnDef) -> Operation[None]:
        value = column.fill if column.fill is not None else column.default
        if value is None:
            return
        name = self.quote(column.name)
        sql = f"UPDATE {self.table(table.name)} SET {name} = {value} WHERE {name} IS NULL"
        yield from editor.send(Ddl(sql, table=table.name, lock="ROW EXCLUSIVE", scans=True, internal=True))
        if table.foreign_keys:
            yield from self.settle(editor)

    def settle(self, editor: Editor) -> Operation[None]:
        """Check now what would be checked at COMMIT: ALTER TABLE refuses a table with pending checks."""
        yield from editor.send(Ddl("SET CONSTRAINTS ALL IMMEDIATE", internal=True))
        yield from editor.send(Ddl("SET CONSTRAINTS ALL DEFERRED", internal=True))

    def _count(self, editor: Editor, table: TableDef, column: ColumnDef) -> Operation[None]:
        name = self.quote(column.name)
        yield from self._alter_table(editor, table, f"ALTER COLUMN {name} ADD {self.identity()}")
        where = f"{self.dialect.quote_literal(self.table(table.name))}, {self.dialect.quote_literal(column.name)}"
        sql = (
            f"SELECT setval(pg_get_serial_sequence({where}), coalesce(max({name}), 0) + 1, false) "
            f"FROM {self.table(table.name)}"
        )
        yield from editor.send(Ddl(sql, table=table.name, lock="ACCESS SHARE", scans=True, internal=True))


def _casts_by_itself(old: SqlType, new: SqlType) -> bool:
    if old.kind in _TEXTS and new.kind in _TEXTS:
        return True
    if old.kind == new.kind and old.kind in ("numeric", *_INTEGERS):
        return True
    return old.kind in _INTEGERS and new.kind in _INTEGERS


def _has_cast(old: SqlType, new: SqlType) -> bool:
    """Tell whether the server converts one type into the other; where it does not, the text of the value is read anew.

    Every type is cast to and from text; types of extensions are taken to know one another.
    Source: https://www.postgresql.org/docs/current/catalog-pg-cast.html, and the rows of that table.
    """
    kinds = {old.kind, new.kind}
    if kinds & {"varchar", "text", "citext", "custom", "hstore"} or kinds <= _NUMERIC:
        return True
    if old.kind == new.kind:
        return old.kind != "enum"
    return new.kind in _CASTS.get(old.kind, ())


def rewrites(old: SqlType, new: SqlType) -> bool:
    """Tell whether ALTER COLUMN TYPE writes the table anew.

    Source: https://www.postgresql.org/docs/current/sql-altertable.html, "binary coercible", and the support functions
    of varchar and numeric, which skip the check when the new length or precision is no smaller.
    """
    if new.kind == "text":
        return old.kind not in _TEXTS
    if old.kind == new.kind == "varchar":
        return new.length is not None and (old.length is None or new.length < old.length)
    if old.kind == new.kind == "numeric" and new.precision is None:
        return False
    if old.kind == new.kind == "numeric" and old.precision is not None and new.precision is not None:
        return old.scale != new.scale or new.precision < old.precision
    return old.kind != new.kind


def _is_volatile(default: str | None) -> bool:
    """True for a default that calls something else than what is fixed within a transaction."""
    if default is None or "(" not in default:
        return False
    lowered = default.lower()
    return not lowered.startswith(("now(", "current_", "statement_timestamp(", "transaction_timestamp(", "("))
