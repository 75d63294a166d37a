"""From a database to models: what ``dorm inspectdb`` prints, and what ``dorm diff`` compares."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from typing import Any

from dorm.db.introspect import FoundColumn, FoundTable
from dorm.db.operation import Operation, arun, operation, run
from dorm.migrations.editor import Editor, editor_of

_OWN = ("dorm_migrations", "dorm_migration_progress")


@operation
def _tables(editor: Editor) -> Operation[list[FoundTable]]:
    found = yield from editor.dialect.schema.read_tables(editor)
    return [table for table in found if table.name not in _OWN]


def introspect_tables(connection: Any = "default") -> list[FoundTable]:
    """Return the tables and views that a database has, without dorm's own.

    Args:
        connection: a connection, or its alias.
    """
    return run(_tables(editor_of(connection)))


async def aintrospect_tables(connection: Any = "default") -> list[FoundTable]:
    """Async twin of `introspect_tables`."""
    return await arun(_tables(editor_of(connection)))


# -- fields ------------------------------------------------------------------------------------------------------

_FIELDS: dict[str, str] = {
    "smallint": "SmallIntegerField",
    "integer": "IntegerField",
    "int": "IntegerField",
    "bigint": "BigIntegerField",
    "boolean": "BooleanField",
    "bool": "BooleanField",
    "double precision": "FloatField",
    "real": "FloatField",
    "text": "TextField",
    "date": "DateField",
    "time": "TimeField",
    "time without time zone": "TimeField",
    "timestamp without time zone": "DateTimeField",
    "timestamp with time zone": "DateTimeField",
    "timestamp": "DateTimeField",
    "datetime": "DateTimeField",
    "interval": "DurationField",
    "uuid": "UUIDField",
    "jsonb": "JSONField",
    "json": "JSONField",
    "bytea": "BinaryField",
    "blob": "BinaryField",
    "inet": "GenericIPAddressField",
}
_KEYS = {"SmallIntegerField": "SmallAutoField", "IntegerField": "AutoField", "BigIntegerField": "BigAutoField"}
_SIZED = re.compile(r"(varchar|character varying|char|character|numeric|decimal)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")


def field_of(column: FoundColumn) -> tuple[str, dict[str, Any], str]:
    """Return the field for a column: class name, options, and a remark where it is a guess."""
    kind = column.type.lower()
    sized = _SIZED.match(kind)
    if sized and sized.group(1) in ("numeric", "decimal"):
        options = {"max_digits": int(sized.group(2)), "decimal_places": int(sized.group(3) or 0)}
        return "DecimalField", options, ""
    if sized:
        return "CharField", {"max_length": int(sized.group(2))}, ""
    if kind in ("numeric", "decimal"):
        return "DecimalField", {"max_digits": 65, "decimal_places": 30}, "the column has no precision"
    if kind in ("varchar", "character varying"):
        return "TextField", {}, "the column is varchar without a length"
    name = _FIELDS.get(kind)
    if name is None:
        return "TextField", {}, f"This field type is a guess: the column is {column.type or 'of no type'}."
    return name, {}, ""


# -- source ------------------------------------------------------------------------------------------------------


def render_models(tables: Iterable[FoundTable], only: Sequence[str] | None = None) -> str:
    """Return the source of models for *tables*; migrated, they describe the same tables."""
    chosen = [table for table in tables if only is None or table.name in only]
    names = _class_names(chosen)
    parts = [
        "# Models of an existing database, written by 'dorm inspectdb'. Look through them:\n"
        "# - the order of the classes, on_delete and related_name are yours to decide;\n"
        "# - record the first migration of them as applied: dorm migrate --fake-initial.\n"
        "import dorm\n"
    ]
    parts += [_model(table, names) for table in _in_order(chosen)]
    return "\n\n".join(parts)


def _class_names(tables: Sequence[FoundTable]) -> dict[str, str]:
    found: dict[str, str] = {}
    for table in tables:
        name = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W+|_+", table.name) if part) or "Table"
        name = f"T{name}" if name[0].isdigit() else name
        while name in found.values() or keyword.iskeyword(name):
            name += "Model"
        found[table.name] = name
    return found


def _in_order(tables: Sequence[FoundTable]) -> list[FoundTable]:
    left = list(tables)
    found: list[FoundTable] = []
    while left:
        there = {table.name for table in left}
        ready = [t for t in left if not {r.table for r in t.references} & (there - {t.name})] or left[:1]
        found.extend(ready)
        left = [table for table in left if table not in ready]
    return found


def _attribute(column: str, relation: bool, taken: set[str]) -> str:
    name = re.sub(r"\W", "_", column.lower())
    if relation and name.endswith("_id"):
        name = name[:-3]
    name = re.sub(r"_+", "_", name).strip("_") or "field"
    if name[0].isdigit():
        name = f"number_{name}"
    if keyword.iskeyword(name) or name in ("pk", "objects"):
        name += "_field"
    while name in taken:
        name += "_0"
    return name


def _model(table: FoundTable, names: dict[str, str]) -> str:
    lines = [f"class {names[table.name]}(dorm.Model):"]
    singles = {sets[0] for sets in table.unique_sets if len(sets) == 1}
    references = {each.columns[0]: each for each in table.references if len(each.columns) == 1}
    taken: set[str] = set()
    attributes: dict[str, str] = {}
    order = list(names)
    for column in table.columns:
        if column.generated is not None:
            lines.append(f"    # {column.name} is generated: {column.generated}")
            continue
        reference = references.get(column.name)
        relation = reference is not None and reference.table in names
        name = attributes[column.name] = _attribute(column.name, relation, taken)
        taken.update([name, f"{name}_id"] if relation else [name])
        target = names[reference.table] if reference is not None and relation else None
        declared = (
            reference is not None and order.index(reference.table) <= order.index(table.name) if relation else False
        )
        lines.append(_line(table, column, name, target, singles, bool(declared)))
    lines += ["", "    class Meta:", f"        db_table = {table.name!r}"]
    if table.is_view:
        lines.append("        managed = False")
    groups = sorted(
        tuple(attributes[name] for name in sets)
        for sets in table.unique_sets
        if len(sets) > 1 and all(name in attributes for name in sets)
    )
    if groups:
        lines.append(f"        unique_together = {groups!r}")
    indexes = _plain_indexes(table, attributes, references)
    if indexes:
        lines.append("        indexes = [")
        lines += [f"            dorm.Index(fields={fields!r}, name={name!r})," for name, fields in indexes]
        lines.append("        ]")
    return "\n".join(lines) + "\n"


def _line(
    table: FoundTable, column: FoundColumn, name: str, target: str | None, singles: set[str], declared: bool
) -> str:
    kind, options, remark = field_of(column)
    shown: list[str] = []
    key = table.primary_key == (column.name,)
    if target is not None:
        kind = "OneToOneField" if column.name in singles or key else "ForeignKey"
        where = "'self'" if target == name else repr(target)
        shown = [where, "dorm.DO_NOTHING", "related_name='+'"]
        options = {}
        if not _has_index(table, column.name) and kind == "ForeignKey":
            options["db_index"] = False
        if column.name != f"{name}_id":
            options["db_column"] = column.name
    else:
        if key and (column.auto or kind in _KEYS) and column.auto:
            kind = _KEYS.get(kind, "BigAutoField")
        if column.name != name:
            options["db_column"] = column.name
        if column.name in singles and not key:
            options["unique"] = True
        elif _single_index(table, column.name):
            options["db_index"] = True
    if key:
        options["primary_key"] = True
    if column.null and not key:
        options.update(blank=True, null=True)
    if column.comment:
        options["db_comment"] = column.comment
    shown += [f"{option}={value!r}" for option, value in options.items()]
    _ = declared
    return f"    {name} = dorm.{kind}({', '.join(shown)}){f'  # {remark}' if remark else ''}"


def _has_index(table: FoundTable, column: str) -> bool:
    return any(each.columns[:1] == (column,) for each in table.indexes) or table.primary_key[:1] == (column,)


def _single_index(table: FoundTable, column: str) -> bool:
    return any(
        each.columns == (column,) and not each.unique and each.where is None and each.name.endswith("_idx")
        for each in table.indexes
    )


def _plain_indexes(
    table: FoundTable, attributes: dict[str, str], references: dict[str, Any]
) -> list[tuple[str, list[str]]]:
    found = []
    for each in table.indexes:
        plain = all(name is not None and name in attributes for name in each.columns)
        single = len(each.columns) == 1
        if each.unique or each.where is not None or not plain:
            continue
        if single and (each.columns[0] in references or each.name.endswith("_idx")):
            continue
        found.append((each.name, [attributes[str(name)] for name in each.columns]))
    return found
