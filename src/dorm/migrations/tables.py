"""From models to tables as values: what `dorm.db.schema` makes statements of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dorm.db.connection import Database
from dorm.db.tables import CheckDef, ColumnDef, ExclusionDef, ForeignKeyDef, IndexDef, TableDef, UniqueDef
from dorm.fields.base import NOT_PROVIDED
from dorm.indexes import automatic_name
from dorm.migrations.indexes import column_of, constraint_of, index_of
from dorm.migrations.literals import generated_expression, literal_expression, literal_value


def table_of(model: Any, database: Database) -> TableDef:
    """Return the table of a model, as *database* spells it."""
    meta = model._meta
    fields = [field for field in meta.table_columns if field.db_type(database) is not None]
    constraints = [constraint_of(model, constraint, database) for constraint in meta.constraints]
    uniques = [
        UniqueDef(automatic_name(meta.db_table, [field.column], "uniq"), (field.column,))
        for field in fields
        if field.unique and not field.primary_key
    ]
    for names in meta.unique_together:
        columns = tuple(column_of(meta, name) for name in names)
        uniques.append(UniqueDef(automatic_name(meta.db_table, columns, "uniq"), columns))
    indexes = [_field_index(meta, field, database) for field in fields if field.db_index and not field.unique]
    indexes += [index_of(model, index, database) for index in meta.indexes]
    return TableDef(
        meta.db_table,
        tuple(column_def(field, database) for field in fields),
        primary_key=tuple(_key_columns(meta)),
        uniques=(*uniques, *[each for each in constraints if isinstance(each, UniqueDef)]),
        checks=(*_checks(meta, fields, database), *[each for each in constraints if isinstance(each, CheckDef)]),
        exclusions=tuple(each for each in constraints if isinstance(each, ExclusionDef)),
        foreign_keys=tuple(_references(fields)),
        indexes=(*indexes, *[each for each in constraints if isinstance(each, IndexDef)]),
        comment=getattr(meta, "db_table_comment", "") or None,
        tablespace=(getattr(meta, "db_tablespace", "") or "") if database.dialect.supports_tablespaces else "",
    )


def _key_columns(meta: Any) -> Iterable[str]:
    parts = getattr(meta.pk, "fields", None)
    return [part.column for part in parts] if parts else [meta.pk.column]


def column_def(field: Any, database: Database) -> ColumnDef:
    """Return the column of a field."""
    spelled = field.db_type(database)
    generated = getattr(field, "generated", False)
    default = getattr(field, "db_default", NOT_PROVIDED)
    return ColumnDef(
        field.column,
        field.sql_type,
        null=field.null,
        spelled="" if spelled == database.dialect.column_type(field.sql_type) else spelled,
        default=None if default is NOT_PROVIDED else literal_expression(default, field, database),
        generated=generated_expression(field, database) if generated else None,
        stored=getattr(field, "db_persist", True),
        collation=getattr(field, "db_collation", None),
        comment=field.db_comment or None,
    )


def fill_of(field: Any, database: Database) -> str | None:
    """Return the SQL text of the value that existing rows get in the column of *field*; None for NULL."""
    if field.primary_key or getattr(field, "generated", False) or field.has_db_default:
        return None
    if field.name == "_order" and field.model._meta.row_order is not None:
        return "0"
    if field.has_default():
        value = field.get_default()
    elif not field.null and field.blank and field.empty_strings_allowed:
        value = b"" if field.get_internal_type() == "BinaryField" else ""
    else:
        return None
    return None if value is None else literal_value(value, field, database)


def _checks(meta: Any, fields: Iterable[Any], database: Database) -> Iterable[CheckDef]:
    for field in fields:
        if field.sql_type.unsigned:
            condition = f"{database.dialect.quote(field.column)} >= 0"
            yield CheckDef(automatic_name(meta.db_table, [field.column], "check"), condition)


def _references(fields: Iterable[Any]) -> Iterable[ForeignKeyDef]:
    for field in fields:
        if field.is_relation and field.db_constraint:
            target = field.target._meta.db_table
            name = automatic_name(field.model._meta.db_table, [field.column, target], "fk")
            yield ForeignKeyDef(name, (field.column,), target, (field.target_field.column,))


def _field_index(meta: Any, field: Any, database: Database) -> IndexDef:
    name = automatic_name(meta.db_table, [field.column], "idx")
    return IndexDef(name, (database.dialect.quote(field.column),), columns=(field.column,))
