"""Operations on fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dorm.db.operation import Operation as Doing
from dorm.fields.base import NOT_PROVIDED
from dorm.migrations.operations.base import Operation, OperationCategory
from dorm.migrations.operations.changes import (
    alter_model,
    bound,
    model_of,
    rename_through,
)
from dorm.migrations.operations.models import DeleteModel
from dorm.migrations.schema import automatic_throughs
from dorm.migrations.state import references_of, with_options

if TYPE_CHECKING:
    from dorm.migrations.editor import Editor
    from dorm.migrations.state import ProjectState


class FieldOperation(Operation):
    """An operation on one field of a model."""

    field: Any = None

    def __init__(self, model_name: str, name: str, field: Any = None) -> None:
        self.model_name = model_name
        self.name = name
        self.field = field

    @property
    def model_name_lower(self) -> str:
        return self.model_name.lower()

    @property
    def name_lower(self) -> str:
        return self.name.lower()

    def is_same_model(self, operation: Any) -> bool:
        return bool(self.model_name_lower == operation.model_name_lower)

    def is_same_field(self, operation: Any) -> bool:
        return self.is_same_model(operation) and bool(self.name == operation.name)

    def references_model(self, name: str, app_label: str) -> bool:
        if name.lower() == self.model_name_lower:
            return True
        return self.field is not None and f"{app_label}.{name.lower()}" in references_of(self.field, None, app_label)

    def references_field(self, model_name: str, name: str, app_label: str) -> bool:
        if model_name.lower() == self.model_name_lower and name == self.name:
            return True
        if self.field is None or not getattr(self.field, "is_relation", False):
            return False
        to_field = getattr(self.field, "to_field", None)
        refers = f"{app_label}.{model_name.lower()}" in references_of(self.field, None, app_label)
        return refers and to_field in (None, name)

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        return super().reduce(operation, app_label) or not operation.references_field(
            self.model_name, self.name, app_label
        )

    @property
    def state_field(self) -> Any:
        """The field as it stands in the state."""
        return self.field


class _WithField(FieldOperation):
    """An operation that brings a field."""

    def __init__(self, model_name: str, name: str, field: Any, preserve_default: bool = True) -> None:
        self.preserve_default = preserve_default
        super().__init__(model_name, name, field)

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        kwargs: dict[str, Any] = {"model_name": self.model_name, "name": self.name, "field": self.field}
        if self.preserve_default is not True:
            kwargs["preserve_default"] = self.preserve_default
        return type(self).__name__, [], kwargs

    @property
    def state_field(self) -> Any:
        return self.field if self.preserve_default else with_options(self.field, default=NOT_PROVIDED)


class AddField(_WithField):
    """Add a field.

    Args:
        preserve_default: False uses the default for rows that exist and forgets it.
    """

    category = OperationCategory.ADDITION

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.add_model(state.get(app_label, self.model_name).with_field(self.name, self.state_field))

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        filling = None
        if not self.preserve_default:
            filling = bound(self.field, self.name, model_of(to_state, app_label, self.model_name))
        yield from alter_model(editor, app_label, self.model_name, from_state, to_state, filling)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        yield from alter_model(editor, app_label, self.model_name, from_state, to_state)

    def describe(self) -> str:
        return f"Add field {self.name} to {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name_lower}_{self.name_lower}"

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, FieldOperation) and self.is_same_field(operation):
            if isinstance(operation, AlterField):
                return [AddField(self.model_name, operation.name, operation.field, operation.preserve_default)]
            if isinstance(operation, RemoveField):
                return []
            if isinstance(operation, RenameField):
                return [AddField(self.model_name, operation.new_name, self.field, self.preserve_default)]
        return super().reduce(operation, app_label)


class RemoveField(FieldOperation):
    """Remove a field."""

    category = OperationCategory.REMOVAL

    def __init__(self, model_name: str, name: str) -> None:
        super().__init__(model_name, name)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        model = state.get(app_label, self.model_name)
        model.get_field(self.name)
        fields = {name: field for name, field in model.fields.items() if name != self.name}
        state.add_model(replace(model, fields=fields))

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from alter_model(editor, app_label, self.model_name, from_state, to_state)

    backwards = forwards

    def describe(self) -> str:
        return f"Remove field {self.name} from {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"remove_{self.model_name_lower}_{self.name_lower}"

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, DeleteModel) and operation.name_lower == self.model_name_lower:
            return [operation]
        return super().reduce(operation, app_label)


class AlterField(_WithField):
    """Change a field: type, NULL, default, unique, index, reference, comment.

    Args:
        preserve_default: False uses the default for rows that hold NULL and forgets it.
    """

    category = OperationCategory.ALTERATION

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        model = state.get(app_label, self.model_name)
        before = model.get_field(self.name)
        field = with_options(self.state_field)
        field.creation_counter = before.creation_counter
        state.add_model(model.with_field(self.name, field))

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        filling = None
        if not self.preserve_default:
            filling = bound(self.field, self.name, model_of(to_state, app_label, self.model_name))
        yield from self._alter(app_label, editor, from_state, to_state, filling)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        yield from self._alter(app_label, editor, from_state, to_state, None)

    def _alter(
        self, app_label: str, editor: Editor, before: ProjectState, after: ProjectState, filling: Any
    ) -> Doing[None]:
        old = before.get(app_label, self.model_name).get_field(self.name)
        new = after.get(app_label, self.model_name).get_field(self.name)
        many = (getattr(old, "many_to_many", False), getattr(new, "many_to_many", False))
        if many[0] != many[1]:
            raise ValueError(
                f"Cannot alter field {self.model_name}.{self.name}: a many-to-many field and a column are not "
                "compatible types (remove the field and add the other one)."
            )
        if getattr(old, "generated", False) != getattr(new, "generated", False):
            raise ValueError(
                f"Modifying GeneratedFields is not supported - the field {self.model_name}.{self.name} must be removed "
                "and re-added with the new definition."
            )
        key = old.unique or new.unique or old.primary_key or new.primary_key
        types_of = self.name if key else None
        column = (old.db_column or self.name, new.db_column or self.name)
        if not many[0] and column[0] != column[1]:
            before = yield from self._rename_column(app_label, editor, before, after)
        yield from alter_model(editor, app_label, self.model_name, before, after, filling, types_of)

    def _rename_column(
        self, app_label: str, editor: Editor, before: ProjectState, after: ProjectState
    ) -> Doing[ProjectState]:
        """Rename the column first; return the state in which the former field has it."""
        old_model, new_model = model_of(before, app_label, self.model_name), model_of(after, app_label, self.model_name)
        if editor.allows(app_label, new_model):
            old = old_model._meta.get_field(self.name).column
            new = new_model._meta.get_field(self.name).column
            between = before.clone()
            state = before.get(app_label, self.model_name)
            between.add_model(state.with_field(self.name, with_options(state.get_field(self.name), db_column=new)))
            becomes = editor.table(model_of(between, app_label, self.model_name))
            yield from editor.dialect.schema.rename_column(editor, editor.table(old_model), becomes, old, new)
            return between
        return before

    def describe(self) -> str:
        return f"Alter field {self.name} on {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.model_name_lower}_{self.name_lower}"

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, (AlterField, RemoveField)) and self.is_same_field(operation):
            return [operation]
        if isinstance(operation, RenameField) and self.is_same_field(operation) and self.field.db_column is None:
            return [operation, AlterField(self.model_name, operation.new_name, self.field, self.preserve_default)]
        return super().reduce(operation, app_label)


class RenameField(FieldOperation):
    """Rename a field: its column (unless it has a name of its own), and whatever names it."""

    category = OperationCategory.ALTERATION

    def __init__(self, model_name: str, old_name: str, new_name: str) -> None:
        self.old_name = old_name
        self.new_name = new_name
        super().__init__(model_name, old_name)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.rename_field(app_label, self.model_name, self.old_name, self.new_name)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from self._rename(app_label, editor, from_state, to_state, self.old_name, self.new_name)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        yield from self._rename(app_label, editor, from_state, to_state, self.new_name, self.old_name)

    def _rename(
        self, app_label: str, editor: Editor, before: ProjectState, after: ProjectState, old_name: str, new_name: str
    ) -> Doing[None]:
        old, new = model_of(before, app_label, self.model_name), model_of(after, app_label, self.model_name)
        if not editor.allows(app_label, new):
            return
        was, becomes = old._meta.get_field(old_name), new._meta.get_field(new_name)
        if getattr(was, "many_to_many", False):
            for mine, theirs in zip(automatic_throughs(old), automatic_throughs(new), strict=True):
                if mine._meta.db_table != theirs._meta.db_table:
                    yield from rename_through(editor, mine, theirs)
        else:
            yield from editor.dialect.schema.rename_column(
                editor, editor.table(old), editor.table(new), was.column, becomes.column
            )

    def describe(self) -> str:
        return f"Rename field {self.old_name} on {self.model_name} to {self.new_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"rename_{self.old_name.lower()}_{self.model_name_lower}_{self.new_name.lower()}"

    def references_field(self, model_name: str, name: str, app_label: str) -> bool:
        return self.references_model(model_name, app_label) and name in (self.old_name, self.new_name)

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, RenameField) and self.is_same_model(operation) and self.new_name == operation.old_name:
            return [RenameField(self.model_name, self.old_name, operation.new_name)]
        found = Operation.reduce(self, operation, app_label)
        return found or not (
            operation.references_field(self.model_name, self.old_name, app_label)
            or operation.references_field(self.model_name, self.new_name, app_label)
        )
