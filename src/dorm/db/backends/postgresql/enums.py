"""Types of enumerations: made with the first table that needs one, changed with the field, dropped with the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dorm.db.operation import Operation
from dorm.db.schema import Ddl, Editor, Schema
from dorm.db.tables import ColumnDef, TableDef, shortened
from dorm.db.types import SqlType
from dorm.exceptions import DataError, choices_text

_LABELS = """
SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = to_regtype(quote_ident($1)) ORDER BY e.enumsortorder
"""
_USERS = """
SELECT CASE WHEN pg_table_is_visible(c.oid) THEN quote_ident(c.relname)
            ELSE quote_ident(n.nspname) || '.' || quote_ident(c.relname) END,
       quote_ident(a.attname), a.atttypid <> t.oid, pg_get_expr(d.adbin, d.adrelid)
FROM pg_type t
JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE t.oid = to_regtype(quote_ident($1)) ORDER BY 1, 2
"""
"""Columns of a type or of arrays of it: table, column, whether it is an array, default."""


def enumeration_of(sql_type: SqlType) -> SqlType | None:
    """Return the enumeration that a type is, or is an array of."""
    if sql_type.element is not None:
        return enumeration_of(sql_type.element)
    return sql_type if sql_type.kind == "enum" else None


def create(schema: Schema, editor: Editor, sql_type: SqlType) -> Operation[None]:
    """Make the type of an enumeration, unless another table has brought it."""
    found = enumeration_of(sql_type)
    if found is not None:
        literal = schema.dialect.quote_literal
        make = f"CREATE TYPE {schema.dialect.column_type(found)} AS ENUM ({', '.join(map(literal, found.values))})"
        body = f"BEGIN {make}; EXCEPTION WHEN duplicate_object THEN NULL; END"
        yield from editor.send(Ddl(f"DO {literal(body)}"))


def drop_unused(schema: Schema, editor: Editor, columns: Sequence[ColumnDef]) -> Operation[None]:
    """Drop the types of columns that are gone, but for those that something else uses."""
    for found in dict.fromkeys(each for column in columns if (each := enumeration_of(column.type)) is not None):
        drop = f"DROP TYPE IF EXISTS {schema.dialect.column_type(found)}"
        body = f"BEGIN {drop}; EXCEPTION WHEN dependent_objects_still_exist THEN NULL; END"
        yield from editor.send(Ddl(f"DO {schema.dialect.quote_literal(body)}"))


def only_grows(old: ColumnDef, new: ColumnDef) -> bool:
    """True when values are only added, and the column needs none of them in the same transaction."""
    was, becomes = enumeration_of(old.type), enumeration_of(new.type)
    if was is None or becomes is None:
        return False
    kept = tuple(value for value in becomes.values if value in was.values)
    filled = new.fill is not None and old.null and not new.null
    return kept == was.values and not filled and old.default == new.default


def change_values(schema: Schema, editor: Editor, table: TableDef, old: ColumnDef, new: ColumnDef) -> Operation[None]:
    """Give the type of an enumeration other values: in place where they only become more.

    A value that is added in place can be used when the transaction is committed. So where the column needs one at
    once, or a value goes away, the type is made anew, and the columns that have it move over; a row that holds a value
    which goes away stops it.
    Source: https://www.postgresql.org/docs/current/sql-altertype.html
    """
    was, becomes = enumeration_of(old.type), enumeration_of(new.type)
    assert was is not None
    assert becomes is not None
    if only_grows(old, new):
        for text in _additions(schema, was, becomes):
            yield from editor.send(Ddl(text))
    else:
        yield from _made_anew(schema, editor, table, new, becomes)


def _additions(schema: Schema, was: SqlType, becomes: SqlType) -> Iterator[str]:
    literal, name = schema.dialect.quote_literal, schema.dialect.column_type(becomes)
    for number, value in enumerate(becomes.values):
        if value not in was.values:
            place = f"AFTER {literal(becomes.values[number - 1])}" if number else f"BEFORE {literal(was.values[0])}"
            yield f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {literal(value)} {place}"


def _made_anew(schema: Schema, editor: Editor, table: TableDef, column: ColumnDef, becomes: SqlType) -> Operation[None]:
    name = schema.dialect.column_type(becomes)
    labels = [label for (label,) in (yield from editor.read(_LABELS, (becomes.name,)))]
    if labels == list(becomes.values) and not editor.is_dry:
        return  # done with the field of another model that has the same type
    gone = [f"{schema.dialect.quote_literal(label)}::" for label in labels if label not in becomes.values]
    users = yield from editor.read(_USERS, (becomes.name,))
    former = schema.quote(shortened(f"{becomes.name}__former"))
    here = (schema.table(table.name), schema.quote(column.name))
    columns = [(*here, column.type.element is not None, None)]
    columns += [(where, own, is_array, default) for where, own, is_array, default in users if not _is(here, where, own)]
    yield from editor.send(Ddl(f"ALTER TYPE {name} RENAME TO {former}"))
    yield from create(schema, editor, becomes)
    for where, own, is_array, default in columns:
        many = "[]" if is_array else ""
        changes = [f"TYPE {name}{many} USING {own}::text{many}::{name}{many}"]
        if default is not None:
            # A default that is a value which goes away goes with it.
            again = [] if default.startswith(tuple(gone)) else [f"SET DEFAULT {default}"]
            changes = ["DROP DEFAULT", *changes, *again]
        for change in changes:
            text = f"ALTER TABLE {where} ALTER COLUMN {own} {change}"
            rewrites = change.startswith("TYPE")
            try:
                yield from editor.send(Ddl(text, table=table.name, lock=schema.lock_alter, rewrites=rewrites))
            except DataError as exc:
                lost = [label for label in labels if label not in becomes.values]
                exc.add_note(f"rows of {where} hold values that go away ({choices_text(lost)}): change them first")
                raise
    yield from editor.send(Ddl(f"DROP TYPE {former}"))


def _is(here: tuple[str, str], where: str, own: str) -> bool:
    """True for the column itself: the catalogue quotes names only where they need it."""
    return (here[0].replace('"', ""), here[1].replace('"', "")) == (where.replace('"', ""), own.replace('"', ""))
