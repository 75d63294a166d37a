"""The models against a live database, by one introspection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dorm.conf.registry import registry
from dorm.db.connection import Database, connections
from dorm.db.introspect import FoundColumn, FoundTable
from dorm.db.operation import run
from dorm.db.schema import Ddl
from dorm.db.tables import TableDef
from dorm.exceptions import MigrationError, choices_text, nearest
from dorm.inspect import introspect_tables
from dorm.inspect.columns import normal_type
from dorm.migrations.editor import Comment, Editor
from dorm.migrations.schema import create_models, with_throughs


@dataclass(frozen=True)
class Difference:
    """One difference: kind, table, column (or index), and both sides."""

    kind: str
    table: str
    name: str = ""
    model: str = ""
    database: str = ""

    def __str__(self) -> str:
        where = f"{self.table}.{self.name}" if self.name else self.table
        given = [f"{side} {text}" for side, text in (("models", self.model), ("database", self.database)) if text]
        sides = f": {', '.join(given)}" if given else ""
        return f"{self.kind} {where}{sides}"


def chosen_models(names: Sequence[str]) -> list[Any]:
    """Return the models that names mean ("app", "app.Model", "Model"); all when there are none."""
    models = [model for model in registry.all() if not model._meta.auto_created and not model._meta.proxy]
    if not names:
        return models
    found: list[Any] = []
    for name in names:
        matching = [
            model
            for model in models
            if name.lower() in (model._meta.label_lower, model._meta.model_name) or name == model._meta.app_label
        ]
        if not matching:
            known = [model._meta.label for model in models]
            raise MigrationError(f"no model {name!r}.{nearest(name, known)} Models: {choices_text(known)}.")
        found.extend(model for model in matching if model not in found)
    return found


def create_statements(models: Iterable[Any], database: Database) -> list[str]:
    """Return the statements that make the tables of *models*."""
    notes: list[Ddl | Comment] = []
    run(create_models(Editor(database, notes), list(models)))
    return [note.sql for note in notes if isinstance(note, Ddl)]


def differences_of(alias: str, labels: Sequence[str] = ()) -> list[Difference]:
    """Return how a database differs from the models of all apps, or of some."""
    database = connections[alias]
    editor = Editor(database)
    found = {table.name: table for table in introspect_tables(database)}
    every = [
        model
        for model in with_throughs(registry.all())
        if not model._meta.proxy and editor.allows(model._meta.app_label, model)
    ]
    known = set(labels)
    models = [model for model in every if not known or model._meta.app_label in known]
    if known - {model._meta.app_label for model in every}:
        unknown = sorted(known - {model._meta.app_label for model in every})[0]
        raise MigrationError(f"no app {unknown!r}. Apps: {choices_text({m._meta.app_label for m in every})}.")
    result: list[Difference] = []
    for model in dict.fromkeys(models):
        table = editor.table(model)
        there = found.get(table.name)
        if there is None:
            result.append(Difference("missing table", table.name))
        else:
            result.extend(_compare(table, there, database))
    if not known:
        names = {model._meta.db_table for model in registry.all()}
        result += [
            Difference("extra table", name) for name, table in found.items() if name not in names and not table.is_view
        ]
    return result


def _compare(table: TableDef, found: FoundTable, database: Database) -> Iterable[Difference]:
    schema, is_view = database.dialect.schema, found.is_view
    for column in table.columns:
        there = found.column(column.name)
        if there is None:
            yield Difference("missing column", table.name, column.name)
            continue
        ours, theirs = normal_type(schema.type_of(column)), normal_type(there.type)
        if ours != theirs and theirs:  # SQLite knows columns without a type, which take any value
            yield Difference("type of", table.name, column.name, ours, theirs)
        if column.null != there.null and column.name not in table.primary_key and not (column.generated or is_view):
            yield Difference("null of", table.name, column.name, _null(column.null), _null(there.null))
        if bool(column.default) != _has_default(there) and not (column.generated or is_view):
            ours, theirs = column.default or "none", there.default or "none"
            yield Difference("default of", table.name, column.name, ours, theirs)
        if (column.generated is None) != (there.generated is None) and not is_view:
            yield Difference("generated", table.name, column.name, str(column.generated), str(there.generated))
    for other in found.columns:
        if not table.has(other.name):
            yield Difference("extra column", table.name, other.name)
    if is_view:
        return
    if table.primary_key != found.primary_key:
        yield Difference("primary key of", table.name, "", str(table.primary_key), str(found.primary_key))
    yield from _compare_keys(table, found)


def _has_default(column: FoundColumn) -> bool:
    """True when the database gives the column a value other than NULL; a generated one has no default."""
    text = (column.default or "").lower()
    return bool(text) and column.generated is None and text != "null" and not text.startswith("null::")


def _null(null: bool) -> str:
    return "NULL" if null else "NOT NULL"


def _compare_keys(table: TableDef, found: FoundTable) -> Iterable[Difference]:
    ours = {unique.columns for unique in table.uniques}
    ours |= {index.columns for index in table.indexes if index.unique and index.columns and not index.where}
    for columns in sorted(ours - found.unique_sets):
        yield Difference("missing unique", table.name, ", ".join(columns))
    for columns in sorted(found.unique_sets - ours - {found.primary_key}):
        yield Difference("extra unique", table.name, ", ".join(columns))
    references = {(key.columns, key.table, key.targets) for key in table.foreign_keys}
    there = {(key.columns, key.table, key.targets) for key in found.references}
    for columns, target, targets in sorted(references - there):
        yield Difference("missing reference", table.name, ", ".join(columns), f"{target} ({', '.join(targets)})")
    for columns, target, targets in sorted(there - references):
        yield Difference("extra reference", table.name, ", ".join(columns), "", f"{target} ({', '.join(targets)})")
    yield from _compare_checks(table, found)
    names = {index.name for index in table.indexes}
    present = {index.name for index in found.indexes}
    for name in sorted(names - present):
        yield Difference("missing index", table.name, name)
    for name in sorted(each.name for each in found.indexes if not each.constraint and not each.unique):
        if name not in names:
            yield Difference("extra index", table.name, name)


def _compare_checks(table: TableDef, found: FoundTable) -> Iterable[Difference]:
    """Compare CHECK and EXCLUDE by their names; those that the database gives no name stand for any."""
    ours = {each.name for each in table.checks} | {each.name for each in table.exclusions}
    there = [name for name, _ in (*found.checks, *found.exclusions)]
    missing = sorted(ours - set(there))
    for name in missing[there.count("") :]:
        yield Difference("missing constraint", table.name, name)
    for name in sorted(set(there) - ours - {""}):
        yield Difference("extra constraint", table.name, name)
