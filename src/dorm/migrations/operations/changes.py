"""What operations on models share: from two states of a model to the statements between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dorm.db.operation import Operation as Doing
from dorm.db.tables import TableDef
from dorm.migrations.schema import automatic_throughs, create_models
from dorm.migrations.state import references_of
from dorm.migrations.tables import fill_of

if TYPE_CHECKING:
    from dorm.migrations.editor import Editor
    from dorm.migrations.state import ProjectState


def model_of(state: ProjectState, app_label: str, name: str) -> Any:
    """Return the historical class of a model, fit for making its table."""
    return state.apps.with_targets(state.get(app_label, name).key)


def alter_model(
    editor: Editor,
    app_label: str,
    name: str,
    from_state: ProjectState,
    to_state: ProjectState,
    filling: Any = None,
    types_of: str | None = None,
) -> Doing[None]:
    """Change a model's table from one state to another, with the many-to-many tables that come and go.

    Args:
        filling: a field whose default fills its column in rows that exist.
        types_of: the field that changes; keys that refer to it change their type with it.
    """
    old, new = model_of(from_state, app_label, name), model_of(to_state, app_label, name)
    if not editor.allows(app_label, new):
        return
    pairs = [_pair(editor, old, new, filling)]
    if types_of is not None:
        for key in referrers(to_state, app_label, name):
            other = key.rpartition(".")
            was, becomes = model_of(from_state, other[0], other[2]), model_of(to_state, other[0], other[2])
            pairs.extend(_pair(editor, a, b) for a, b in _tables_of(editor, was, becomes))
    yield from editor.dialect.schema.alter_tables(editor, pairs)
    yield from alter_throughs(editor, old, new)


def _tables_of(editor: Editor, old: Any, new: Any) -> Iterable[tuple[Any, Any]]:
    """Return the tables of a model that refers to another: its own, and its many-to-many tables."""
    if editor.allows(new._meta.app_label, new):
        yield old, new
        yield from zip(automatic_throughs(old), automatic_throughs(new), strict=False)


def _pair(editor: Editor, old: Any, new: Any, filling: Any = None) -> tuple[TableDef, TableDef]:
    before, after = editor.table(old), editor.table(new)
    return before, filled(editor, before, after, new, filling)


def filled(editor: Editor, before: TableDef, after: TableDef, model: Any, filling: Any = None) -> TableDef:
    """Return *after* with the values for existing rows, in the columns that are new or become NOT NULL."""
    fields = {field.column: field for field in model._meta.table_columns}
    if filling is not None:
        fields[filling.column] = filling
    columns = []
    for column in after.columns:
        added = not before.has(column.name)
        if added or (before.column(column.name).null and not column.null):
            column = replace(column, fill=fill_of(fields[column.name], editor.database))
        columns.append(column)
    return replace(after, columns=tuple(columns))


def referrers(state: ProjectState, app_label: str, name: str) -> list[str]:
    """Return the keys of the other models whose fields refer to that model, and of those that inherit from it."""
    key = f"{app_label}.{name.lower()}"
    found = []
    for other in state.models.values():
        if other.key == key:
            continue
        if key in other.bases or any(key in references_of(field, other) for field in other.fields.values()):
            found.append(other.key)
            if key in other.bases or any(
                field.primary_key and key in references_of(field, other) for field in other.fields.values()
            ):
                found.extend(referrers(state, other.app_label, other.name))
    return list(dict.fromkeys(found))


def bound(field: Any, name: str, model: Any) -> Any:
    """Return a copy of *field* that stands under *name* in *model*, without being one of its fields."""
    made = field.clone()
    made.set_attributes_from_name(name)
    made.model = model
    return made


def alter_throughs(editor: Editor, old: Any, new: Any) -> Doing[None]:
    """Make, drop and change the automatic many-to-many tables of a model, by the names of their fields."""
    before = {_field_name(through): through for through in automatic_throughs(old)}
    after = {_field_name(through): through for through in automatic_throughs(new)}
    schema = editor.dialect.schema
    for name, through in before.items():
        if name not in after:
            yield from schema.drop_table(editor, editor.table(through))
    for name, through in after.items():
        if name not in before:
            yield from create_models(editor, [through])
        elif editor.table(before[name]) != editor.table(through):
            moved = yield from rename_through(editor, before[name], through)
            # No table was renamed here: a reference that names another one really leads elsewhere.
            targets = zip(moved.foreign_keys, editor.table(before[name]).foreign_keys, strict=True)
            moved = replace(moved, foreign_keys=tuple(replace(a, table=b.table) for a, b in targets))
            yield from schema.alter_tables(editor, [(moved, editor.table(through))])


def _field_name(through: Any) -> str:
    """Return the name of the many-to-many field that a through model was made for."""
    owner = through._meta.auto_created
    for field in owner._meta.local_many_to_many:
        if field.through is through:
            found: str = field.name
            return found
    return str(through._meta.object_name)


def rename_through(editor: Editor, old: Any, new: Any) -> Doing[TableDef]:
    """Give a many-to-many table and its columns their new names; return it as it is then."""
    before, after = editor.table(old), editor.table(new)
    schema = editor.dialect.schema
    for was, becomes in zip(before.columns, after.columns, strict=True):
        if was.name != becomes.name:
            renamed = with_renamed_column(before, was.name, becomes.name)
            yield from schema.rename_column(editor, before, renamed, was.name, becomes.name)
            before = renamed
    target = _like(replace(before, name=after.name), after)
    if before != target:
        yield from schema.rename_table(editor, before, target)
    return target


def with_renamed_column(table: TableDef, old: str, new: str) -> TableDef:
    """Return *table* with one column under another name, wherever it stands; names of constraints stay."""

    def names(columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if each == old else each for each in columns)

    return replace(
        table,
        columns=tuple(replace(each, name=new) if each.name == old else each for each in table.columns),
        primary_key=names(table.primary_key),
        uniques=tuple(replace(each, columns=names(each.columns)) for each in table.uniques),
        foreign_keys=tuple(replace(each, columns=names(each.columns)) for each in table.foreign_keys),
        indexes=tuple(replace(each, columns=names(each.columns)) for each in table.indexes),
    )


def _like(table: TableDef, names: TableDef) -> TableDef:
    """Return *table* with the names of constraints and indexes that *names* has in the same places."""

    def renamed(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(mine) != len(theirs):
            return mine
        return tuple(replace(a, name=b.name) for a, b in zip(mine, theirs, strict=True))

    parts = {
        kind: renamed(getattr(table, kind), getattr(names, kind))
        for kind in ("uniques", "checks", "exclusions", "foreign_keys", "indexes")
    }
    made: TableDef = replace(table, **parts)  # type: ignore[arg-type]  # each is what it was
    if len(made.indexes) == len(names.indexes):
        made = replace(
            made,
            indexes=tuple(replace(a, parts=b.parts) for a, b in zip(made.indexes, names.indexes, strict=True)),
        )
    if len(made.foreign_keys) == len(names.foreign_keys):
        made = replace(
            made,
            foreign_keys=tuple(
                replace(a, table=b.table) for a, b in zip(made.foreign_keys, names.foreign_keys, strict=True)
            ),
        )
    return made
