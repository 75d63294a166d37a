"""Operations on whole models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.db.operation import Operation as Doing
from dorm.migrations.operations.base import ModelOperation, Operation, OperationCategory
from dorm.migrations.operations.changes import (
    alter_model,
    alter_throughs,
    model_of,
    referrers,
    rename_through,
    with_renamed_column,
)
from dorm.migrations.schema import automatic_throughs, create_models
from dorm.migrations.state import ModelState, reference_key, references_of
from dorm.models.base import Model

if TYPE_CHECKING:
    from dorm.migrations.editor import Editor
    from dorm.migrations.state import ProjectState


class CreateModel(ModelOperation):
    """Create a model and its table, many-to-many tables included.

    Args:
        name: the class's name. fields: (name, field) pairs. options: what ``Meta`` gives.
        bases: classes, or ``"app.model"``. managers: (name, manager) pairs with ``use_in_migrations``.
    """

    category = OperationCategory.ADDITION
    serialization_expand_args: ClassVar[Sequence[str]] = ("fields", "options", "managers")

    def __init__(
        self,
        name: str,
        fields: Iterable[tuple[str, Any]],
        options: Mapping[str, Any] | None = None,
        bases: Sequence[Any] | None = None,
        managers: Iterable[tuple[str, Any]] | None = None,
    ) -> None:
        super().__init__(name)
        self.fields = list(fields)
        self.options = dict(options or {})
        self.bases = tuple(bases or (Model,))
        self.managers = list(managers or [])
        names = [field_name for field_name, _ in self.fields]
        twice = sorted({each for each in names if names.count(each) > 1})
        if twice:
            raise ValueError(f"CreateModel {name!r} has the field {twice[0]!r} twice.")

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        kwargs: dict[str, Any] = {"name": self.name, "fields": self.fields}
        if self.options:
            kwargs["options"] = self.options
        if self.bases != (Model,):
            kwargs["bases"] = self.bases
        if self.managers:
            kwargs["managers"] = self.managers
        return type(self).__name__, [], kwargs

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.add_model(ModelState.made(app_label, self.name, self.fields, self.options, self.bases, self.managers))

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        model = model_of(to_state, app_label, self.name)
        if editor.allows(app_label, model):
            yield from create_models(editor, [model])

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        yield from drop_model(editor, app_label, model_of(from_state, app_label, self.name))

    def describe(self) -> str:
        kind = "proxy model" if self.options.get("proxy") else "model"
        return f"Create {kind} {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        return self.name_lower

    def references_model(self, name: str, app_label: str) -> bool:
        if name.lower() == self.name_lower:
            return True
        key = f"{app_label}.{name.lower()}"
        if any(isinstance(base, str) and base.lower() == key for base in self.bases):
            return True
        return any(key in references_of(field, None, app_label) for _, field in self.fields)

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        found = self._reduced(operation, app_label)
        return found if found is not None else super().reduce(operation, app_label)

    def _reduced(self, operation: Operation, app_label: str) -> list[Operation] | None:
        """Return the one operation (or none) that this and a change of the same model are."""
        from dorm.migrations.operations import fields as f, indexes as i

        if isinstance(operation, DeleteModel) and operation.name_lower == self.name_lower and not self._is_proxy:
            return []
        if isinstance(operation, RenameModel) and operation.old_name_lower == self.name_lower:
            return [self._with(name=operation.new_name)]
        if isinstance(operation, AlterModelOptions) and operation.name_lower == self.name_lower:
            kept = {k: v for k, v in self.options.items() if k not in operation.ALTER_OPTION_KEYS}
            return [self._with(options={**kept, **operation.options})]
        if isinstance(operation, AlterModelManagers) and operation.name_lower == self.name_lower:
            return [self._with(managers=operation.managers)]
        if isinstance(operation, OptionOperation) and operation.name_lower == self.name_lower:
            options = {**self.options, operation.option_name: operation.option_value}
            return [self._with(options={k: v for k, v in options.items() if v})]
        if isinstance(operation, f.FieldOperation) and operation.model_name_lower == self.name_lower:
            return self._with_field(operation)
        if isinstance(operation, i.IndexOperation) and operation.model_name_lower == self.name_lower:
            return self._with_index(operation)
        return None

    @property
    def _is_proxy(self) -> bool:
        return bool(self.options.get("proxy"))

    def _with(self, **changes: Any) -> CreateModel:
        parts: dict[str, Any] = {
            "name": self.name,
            "fields": self.fields,
            "options": self.options,
            "bases": self.bases,
            "managers": self.managers,
            **changes,
        }
        return CreateModel(**parts)

    def _with_field(self, operation: Any) -> list[Operation] | None:
        from dorm.migrations.operations import fields as f

        if isinstance(operation, f.AddField):
            return [self._with(fields=[*self.fields, (operation.name, operation.state_field)])]
        if isinstance(operation, f.AlterField):
            changed = [(n, operation.state_field if n == operation.name else field) for n, field in self.fields]
            return [self._with(fields=changed)]
        state = ModelState.made("", self.name, self.fields, self.options, self.bases, self.managers)
        if isinstance(operation, f.RemoveField):
            options = dict(self.options)
            if options.get("unique_together"):
                options["unique_together"] = [g for g in options["unique_together"] if operation.name not in g]
            if options.get("order_with_respect_to") == operation.name:
                del options["order_with_respect_to"]
            rest = [(name, field) for name, field in self.fields if name != operation.name]
            return [self._with(fields=rest, options={k: v for k, v in options.items() if v != []})]
        if isinstance(operation, f.RenameField):
            from dorm.migrations.state import ProjectState

            project = ProjectState({state.key: state})
            project.rename_field("", self.name, operation.old_name, operation.new_name)
            after = project.get("", self.name)
            return [self._with(fields=list(after.fields.items()), options=dict(after.options))]
        return None

    def _with_index(self, operation: Any) -> list[Operation] | None:
        from dorm.migrations.operations import indexes as i

        indexes = list(self.options.get("indexes", ()))
        constraints = list(self.options.get("constraints", ()))
        if isinstance(operation, i.AddIndex):
            indexes.append(operation.index)
        elif isinstance(operation, i.RemoveIndex):
            indexes = [each for each in indexes if each.name != operation.name]
        elif isinstance(operation, i.AddConstraint):
            constraints.append(operation.constraint)
        elif isinstance(operation, i.RemoveConstraint):
            constraints = [each for each in constraints if each.name != operation.name]
        elif isinstance(operation, i.AlterConstraint):
            constraints = [operation.constraint if each.name == operation.name else each for each in constraints]
        else:
            return None
        options = {**self.options, "indexes": indexes, "constraints": constraints}
        return [self._with(options={k: v for k, v in options.items() if v != []})]


def drop_model(editor: Editor, app_label: str, model: Any) -> Doing[None]:
    """Drop the table of a model and its many-to-many tables."""
    if not editor.allows(app_label, model):
        return
    for through in automatic_throughs(model):
        yield from editor.dialect.schema.drop_table(editor, editor.table(through))
    yield from editor.dialect.schema.drop_table(editor, editor.table(model))
    yield from editor.dialect.schema.drop_types(editor, editor.table(model).columns)


class DeleteModel(ModelOperation):
    """Delete a model and drop its tables, many-to-many tables included."""

    category = OperationCategory.REMOVAL

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.remove_model(app_label, self.name)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from drop_model(editor, app_label, model_of(from_state, app_label, self.name))

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        model = model_of(to_state, app_label, self.name)
        if editor.allows(app_label, model):
            yield from create_models(editor, [model])

    def describe(self) -> str:
        return f"Delete model {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"delete_{self.name_lower}"

    def references_model(self, name: str, app_label: str) -> bool:
        # A deleted model may have been referred to by anything.
        return True


class RenameModel(ModelOperation):
    """Rename a model: its table (unless it has a name of its own), its many-to-many tables, and what refers to it."""

    category = OperationCategory.ALTERATION

    def __init__(self, old_name: str, new_name: str) -> None:
        self.old_name = old_name
        self.new_name = new_name
        super().__init__(old_name)

    @property
    def old_name_lower(self) -> str:
        return self.old_name.lower()

    @property
    def new_name_lower(self) -> str:
        return self.new_name.lower()

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.rename_model(app_label, self.old_name, self.new_name)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from self._rename(app_label, editor, from_state, to_state, self.old_name, self.new_name)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        yield from self._rename(app_label, editor, from_state, to_state, self.new_name, self.old_name)

    def _rename(
        self, app_label: str, editor: Editor, before: ProjectState, after: ProjectState, old_name: str, new_name: str
    ) -> Doing[None]:
        old, new = model_of(before, app_label, old_name), model_of(after, app_label, new_name)
        if not editor.allows(app_label, new):
            return
        was, becomes = editor.table(old), editor.table(new)
        yield from editor.dialect.schema.rename_table(editor, was, becomes)
        for mine, theirs in zip(automatic_throughs(old), automatic_throughs(new), strict=True):
            yield from rename_through(editor, mine, theirs)
        key = f"{app_label}.{old_name.lower()}"
        for other in referrers(after, app_label, new_name):
            label, _, name = other.rpartition(".")
            theirs_old, theirs_new = model_of(before, label, name), model_of(after, label, name)
            if not editor.allows(label, theirs_new):
                continue
            for a, b in zip(automatic_throughs(theirs_old), automatic_throughs(theirs_new), strict=True):
                yield from rename_through(editor, a, b)
            if any(key in references_of(field, None, label) for field in before.models[other].fields.values()):
                yield from editor.dialect.schema.rename_parts(
                    editor, editor.table(theirs_old), editor.table(theirs_new)
                )

    def describe(self) -> str:
        return f"Rename model {self.old_name} to {self.new_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"rename_{self.old_name_lower}_{self.new_name_lower}"

    def references_model(self, name: str, app_label: str) -> bool:
        return name.lower() in (self.old_name_lower, self.new_name_lower)

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, RenameModel) and self.new_name_lower == operation.old_name_lower:
            return [RenameModel(self.old_name, operation.new_name)]
        found = Operation.reduce(self, operation, app_label)
        return found or not (
            operation.references_model(self.new_name, app_label) or operation.references_model(self.old_name, app_label)
        )


class OptionOperation(ModelOperation):
    """Sets one option of a model."""

    category = OperationCategory.ALTERATION
    option_name: ClassVar[str] = ""
    option_value: Any = None

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, (type(self), DeleteModel)) and self.name_lower == operation.name_lower:
            return [operation]
        return super().reduce(operation, app_label)


class AlterModelTable(OptionOperation):
    """Give a model's table another name (None: the automatic one); many-to-many tables follow."""

    option_name = "db_table"

    def __init__(self, name: str, table: str | None) -> None:
        self.table = self.option_value = table
        super().__init__(name)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.change_options(app_label, self.name, db_table=self.table)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        old, new = model_of(from_state, app_label, self.name), model_of(to_state, app_label, self.name)
        if not editor.allows(app_label, new):
            return
        yield from editor.dialect.schema.rename_table(editor, editor.table(old), editor.table(new))
        for mine, theirs in zip(automatic_throughs(old), automatic_throughs(new), strict=True):
            yield from rename_through(editor, mine, theirs)
        for other in referrers(to_state, app_label, self.name):
            label, _, name = other.rpartition(".")
            before, after = model_of(from_state, label, name), model_of(to_state, label, name)
            if editor.allows(label, after):
                yield from editor.dialect.schema.rename_parts(editor, editor.table(before), editor.table(after))
                for mine, theirs in zip(automatic_throughs(before), automatic_throughs(after), strict=True):
                    yield from rename_through(editor, mine, theirs)

    backwards = forwards

    def describe(self) -> str:
        return f"Rename table for {self.name} to {self.table if self.table is not None else '(default)'}"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.name_lower}_table"


class AlterModelTableComment(OptionOperation):
    """Set the comment of a model's table."""

    option_name = "db_table_comment"

    def __init__(self, name: str, table_comment: str | None) -> None:
        self.table_comment = self.option_value = table_comment
        super().__init__(name)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.change_options(app_label, self.name, db_table_comment=self.table_comment or None)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from alter_model(editor, app_label, self.name, from_state, to_state)

    backwards = forwards

    def describe(self) -> str:
        return f"Alter {self.name} table comment"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.name_lower}_table_comment"


class AlterUniqueTogether(OptionOperation):
    """Set ``unique_together``: groups of fields whose values together are unique."""

    option_name = "unique_together"

    def __init__(self, name: str, unique_together: Iterable[Any] | None) -> None:
        groups = list(unique_together or ())
        if groups and all(isinstance(each, str) for each in groups):
            groups = [tuple(groups)]
        self.unique_together = self.option_value = {tuple(group) for group in groups}
        super().__init__(name)

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        return type(self).__name__, [], {"name": self.name, "unique_together": self.unique_together}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.change_options(app_label, self.name, unique_together=sorted(self.unique_together) or None)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from alter_model(editor, app_label, self.name, from_state, to_state)

    backwards = forwards

    def references_field(self, model_name: str, name: str, app_label: str) -> bool:
        return self.references_model(model_name, app_label) and any(name in group for group in self.unique_together)

    def describe(self) -> str:
        return f"Alter unique_together for {self.name} ({len(self.unique_together)} constraint(s))"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.name_lower}_unique_together"


class AlterOrderWithRespectTo(OptionOperation):
    """Set ``order_with_respect_to``: rows get a column ``_order``, or lose it."""

    option_name = "order_with_respect_to"

    def __init__(self, name: str, order_with_respect_to: str | None) -> None:
        self.order_with_respect_to = self.option_value = order_with_respect_to
        super().__init__(name)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.change_options(app_label, self.name, order_with_respect_to=self.order_with_respect_to)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from alter_model(editor, app_label, self.name, from_state, to_state)

    backwards = forwards

    def references_field(self, model_name: str, name: str, app_label: str) -> bool:
        return self.references_model(model_name, app_label) and self.order_with_respect_to in (None, name)

    def describe(self) -> str:
        return f"Set order_with_respect_to on {self.name} to {self.order_with_respect_to}"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.name_lower}_order_with_respect_to"


class AlterModelOptions(ModelOperation):
    """Set options that the database knows nothing of; those of `ALTER_OPTION_KEYS` not given are taken away."""

    category = OperationCategory.ALTERATION
    ALTER_OPTION_KEYS: ClassVar[tuple[str, ...]] = (
        "base_manager_name",
        "default_manager_name",
        "default_related_name",
        "get_latest_by",
        "managed",
        "ordering",
        "permissions",
        "default_permissions",
        "read_only",
        "required_db_features",
        "required_db_vendor",
        "select_on_save",
        "verbose_name",
        "verbose_name_plural",
    )

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.options = dict(options or {})
        super().__init__(name)

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        return type(self).__name__, [], {"name": self.name, "options": self.options}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        cleared = dict.fromkeys(self.ALTER_OPTION_KEYS)
        state.change_options(app_label, self.name, **{**cleared, **self.options})

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        return
        yield

    backwards = forwards

    def describe(self) -> str:
        return f"Change Meta options on {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.name_lower}_options"

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, (AlterModelOptions, DeleteModel)) and self.name_lower == operation.name_lower:
            return [operation]
        return super().reduce(operation, app_label)


class AlterModelManagers(ModelOperation):
    """Set the managers that migrations may use."""

    category = OperationCategory.ALTERATION
    serialization_expand_args: ClassVar[Sequence[str]] = ("managers",)

    def __init__(self, name: str, managers: Iterable[tuple[str, Any]] | None = None) -> None:
        self.managers = list(managers or [])
        super().__init__(name)

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        return type(self).__name__, [self.name, self.managers], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        before = state.get(app_label, self.name)
        options = dict(before.options)
        state.add_model(ModelState.made(app_label, before.name, before.fields, options, before.bases, self.managers))

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        return
        yield

    backwards = forwards

    def describe(self) -> str:
        return f"Change managers on {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.name_lower}_managers"

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, (AlterModelManagers, DeleteModel)) and self.name_lower == operation.name_lower:
            return [operation]
        return super().reduce(operation, app_label)


__all__ = [
    "AlterModelManagers",
    "AlterModelOptions",
    "AlterModelTable",
    "AlterModelTableComment",
    "AlterOrderWithRespectTo",
    "AlterUniqueTogether",
    "CreateModel",
    "DeleteModel",
    "RenameModel",
    "alter_throughs",
    "reference_key",
    "with_renamed_column",
]
