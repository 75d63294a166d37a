"""Operations on indexes and constraints."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dorm.db.operation import Operation as Doing
from dorm.migrations.indexes import index_of
from dorm.migrations.operations.base import Operation, OperationCategory
from dorm.migrations.operations.changes import alter_model, model_of
from dorm.migrations.operations.models import DeleteModel
from dorm.migrations.values import comparable

if TYPE_CHECKING:
    from dorm.migrations.editor import Editor
    from dorm.migrations.state import ProjectState


class IndexOperation(Operation):
    """An operation on an index or a constraint of a model."""

    name: str

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    @property
    def model_name_lower(self) -> str:
        return self.model_name.lower()

    def references_model(self, name: str, app_label: str) -> bool:
        return name.lower() == self.model_name_lower

    def _changed(self, app_label: str, state: ProjectState, option: str, found: list[Any]) -> None:
        state.change_options(app_label, self.model_name, **{option: found or None})

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, DeleteModel) and operation.name_lower == self.model_name_lower:
            return [operation]
        return super().reduce(operation, app_label) or not operation.references_model(self.model_name, app_label)


class AddIndex(IndexOperation):
    """Add an index.

    Args:
        concurrently: on PostgreSQL, build it without blocking writes; the migration must be ``atomic = False``.
    """

    category = OperationCategory.ADDITION

    def __init__(self, model_name: str, index: Any, *, concurrently: bool = False) -> None:
        super().__init__(model_name)
        self.index = index
        self.concurrently = concurrently
        if not index.name:
            raise ValueError(
                f"Indexes passed to AddIndex operations require a name argument. {index!r} doesn't have one."
            )
        self.name = index.name

    @property
    def runs_outside(self) -> bool:  # type: ignore[override]  # an answer of the instance
        return self.concurrently

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        kwargs: dict[str, Any] = {"model_name": self.model_name, "index": self.index}
        if self.concurrently:
            kwargs["concurrently"] = True
        return type(self).__name__, [], kwargs

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        model = state.get(app_label, self.model_name)
        self._changed(app_label, state, "indexes", [*model.indexes, copy.deepcopy(self.index)])

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from add_index(editor, app_label, self.model_name, to_state, self.name, self.concurrently)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        yield from drop_index(editor, app_label, self.model_name, from_state, self.name, self.concurrently)

    def describe(self) -> str:
        how = "Concurrently create" if self.concurrently else "Create"
        return f"{how} index {self.name} on field(s) {', '.join(self.index.fields)} of model {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name_lower}_{self.name.lower()}"

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, RemoveIndex) and self.name == operation.name:
            return []
        if isinstance(operation, RenameIndex) and self.name == operation.old_name:
            renamed = copy.copy(self.index)
            renamed.name = operation.new_name
            return [AddIndex(self.model_name, renamed, concurrently=self.concurrently)]
        return super().reduce(operation, app_label)


def add_index(
    editor: Editor, app_label: str, model_name: str, state: ProjectState, name: str, concurrently: bool = False
) -> Doing[None]:
    """Create the index *name* that the model has in *state*."""
    model = model_of(state, app_label, model_name)
    if editor.allows(app_label, model):
        index = index_of(model, state.get(app_label, model_name).get_index_by_name(name), editor.database)
        yield from editor.dialect.schema.create_index(editor, editor.table(model), index, concurrently)


def drop_index(
    editor: Editor, app_label: str, model_name: str, state: ProjectState, name: str, concurrently: bool = False
) -> Doing[None]:
    """Drop the index *name*."""
    model = model_of(state, app_label, model_name)
    if editor.allows(app_label, model):
        yield from editor.dialect.schema.drop_index(editor, editor.table(model), name, concurrently)


class RemoveIndex(IndexOperation):
    """Remove an index, given by name or as the object."""

    category = OperationCategory.REMOVAL

    def __init__(
        self, model_name: str, index_or_name: Any = None, *, name: str | None = None, concurrently: bool = False
    ) -> None:
        super().__init__(model_name)
        given = name if name is not None else index_or_name
        found = given if isinstance(given, str) else getattr(given, "name", None)
        if not found:
            raise ValueError("RemoveIndex needs the index, or its name.")
        self.name = found
        self.concurrently = concurrently

    @property
    def runs_outside(self) -> bool:  # type: ignore[override]  # an answer of the instance
        return self.concurrently

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        kwargs: dict[str, Any] = {"model_name": self.model_name, "name": self.name}
        if self.concurrently:
            kwargs["concurrently"] = True
        return type(self).__name__, [], kwargs

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        model = state.get(app_label, self.model_name)
        model.get_index_by_name(self.name)
        self._changed(app_label, state, "indexes", [each for each in model.indexes if each.name != self.name])

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from drop_index(editor, app_label, self.model_name, from_state, self.name, self.concurrently)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        yield from add_index(editor, app_label, self.model_name, to_state, self.name, self.concurrently)

    def describe(self) -> str:
        how = "Concurrently remove" if self.concurrently else "Remove"
        return f"{how} index {self.name} from {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"remove_{self.model_name_lower}_{self.name.lower()}"


class RenameIndex(IndexOperation):
    """Rename an index, given by its old name, or by the fields of an unnamed one."""

    category = OperationCategory.ALTERATION

    def __init__(
        self,
        model_name: str,
        new_name: str,
        old_name: str | None = None,
        old_fields: Sequence[str] | None = None,
    ) -> None:
        if not old_name and not old_fields:
            raise ValueError("RenameIndex requires one of old_name and old_fields arguments to be set.")
        if old_name and old_fields:
            raise ValueError("RenameIndex.old_name and old_fields are mutually exclusive.")
        super().__init__(model_name)
        self.new_name = self.name = new_name
        self.old_name = old_name
        self.old_fields = old_fields

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        model = state.get(app_label, self.model_name)
        old = self._old(model)
        found = []
        for each in model.indexes:
            if each.name == old:
                each = copy.copy(each)
                each.name = self.new_name
            found.append(each)
        self._changed(app_label, state, "indexes", found)

    def _old(self, model: Any) -> str:
        """Return the name that the index has in *model*."""
        if self.old_name:
            model.get_index_by_name(self.old_name)
            return self.old_name
        fields = list(self.old_fields or ())
        matching = [each.name for each in model.indexes if list(each.fields) == fields]
        if len(matching) != 1:
            raise ValueError(f"{self.model_name} has {len(matching)} indexes on {', '.join(fields)}, not one.")
        return str(matching[0])

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        old = self._old(from_state.get(app_label, self.model_name))
        yield from self._rename(app_label, editor, to_state, old, self.new_name)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        old = self._old(to_state.get(app_label, self.model_name))
        yield from self._rename(app_label, editor, to_state, self.new_name, old)

    def _rename(self, app_label: str, editor: Editor, state: ProjectState, before: str, after: str) -> Doing[None]:
        model = model_of(state, app_label, self.model_name)
        if editor.allows(app_label, model):
            index = index_of(model, state.get(app_label, self.model_name).get_index_by_name(after), editor.database)
            yield from editor.dialect.schema.rename_index(editor, editor.table(model), before, index)

    def describe(self) -> str:
        what = self.old_name or f"unnamed index for {', '.join(self.old_fields or ())}"
        return f"Rename index {what} on {self.model_name} to {self.new_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"rename_{(self.old_name or '_'.join(self.old_fields or ())).lower()}_{self.new_name.lower()}"

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        if isinstance(operation, RenameIndex) and self.is_followed_by(operation):
            return [RenameIndex(self.model_name, operation.new_name, self.old_name, self.old_fields)]
        return super().reduce(operation, app_label)

    def is_followed_by(self, other: RenameIndex) -> bool:
        return self.model_name_lower == other.model_name_lower and self.new_name == other.old_name


class AddConstraint(IndexOperation):
    """Add a constraint."""

    category = OperationCategory.ADDITION

    def __init__(self, model_name: str, constraint: Any) -> None:
        super().__init__(model_name)
        self.constraint = constraint
        self.name = constraint.name

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        model = state.get(app_label, self.model_name)
        self._changed(app_label, state, "constraints", [*model.constraints, self.constraint])

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from alter_model(editor, app_label, self.model_name, from_state, to_state)

    backwards = forwards

    def describe(self) -> str:
        return f"Create constraint {self.name} on model {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name_lower}_{self.name.lower()}"

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        same = getattr(operation, "model_name_lower", None) == self.model_name_lower
        if isinstance(operation, RemoveConstraint) and same and self.name == operation.name:
            return []
        if isinstance(operation, AlterConstraint) and same and self.name == operation.name:
            return [AddConstraint(self.model_name, operation.constraint)]
        return super().reduce(operation, app_label)


class RemoveConstraint(IndexOperation):
    """Remove a constraint, given by name or as the object."""

    category = OperationCategory.REMOVAL

    def __init__(self, model_name: str, constraint_or_name: Any = None, *, name: str | None = None) -> None:
        super().__init__(model_name)
        given = name if name is not None else constraint_or_name
        found = given if isinstance(given, str) else getattr(given, "name", None)
        if not found:
            raise ValueError("RemoveConstraint needs the constraint, or its name.")
        self.name = found

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        return type(self).__name__, [], {"model_name": self.model_name, "name": self.name}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        model = state.get(app_label, self.model_name)
        model.get_constraint_by_name(self.name)
        kept = [each for each in model.constraints if each.name != self.name]
        self._changed(app_label, state, "constraints", kept)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from alter_model(editor, app_label, self.model_name, from_state, to_state)

    backwards = forwards

    def describe(self) -> str:
        return f"Remove constraint {self.name} from model {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"remove_{self.model_name_lower}_{self.name.lower()}"


class AlterConstraint(IndexOperation):
    """Replace a constraint by one that differs in what the database knows nothing of (its error message)."""

    category = OperationCategory.ALTERATION

    def __init__(self, model_name: str, name: str, constraint: Any) -> None:
        super().__init__(model_name)
        self.name = name
        self.constraint = constraint

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        model = state.get(app_label, self.model_name)
        model.get_constraint_by_name(self.name)
        found = [self.constraint if each.name == self.name else each for each in model.constraints]
        self._changed(app_label, state, "constraints", found)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        return
        yield

    backwards = forwards

    def describe(self) -> str:
        return f"Alter constraint {self.name} on {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.model_name_lower}_{self.constraint.name.lower()}"

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        same = getattr(operation, "model_name_lower", None) == self.model_name_lower
        if isinstance(operation, (AlterConstraint, RemoveConstraint)) and same and self.name == operation.name:
            return [operation]
        return super().reduce(operation, app_label)


def same_definition(old: Any, new: Any) -> bool:
    """True when two indexes or constraints are the same but for their names."""
    a, b = copy.copy(old), copy.copy(new)
    a.name = b.name = "same"
    return bool(comparable(a) == comparable(b))
