"""SchemaEditor and AsyncSchemaEditor: changing tables by hand, as migrations do."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from dorm.db.connection import Database
from dorm.db.operation import Operation, arun, run
from dorm.migrations import operations as ops
from dorm.migrations.editor import editor_of, text_statement
from dorm.migrations.schema import create_models, drop_models
from dorm.migrations.state import ModelState, ProjectState, unbound
from dorm.transaction import atomic, in_transaction


class _Changes:
    """What both editors do, as operations; one change is one transaction of its own."""

    def __init__(self, connection: Any = "default", *, atomic: bool = False) -> None:
        self.editor = editor_of(connection)
        self.connection: Database = self.editor.database
        self.atomic = atomic
        self._block: Any = None

    def _one(self, op: Operation[None]) -> Operation[None]:
        return in_transaction(op, self.connection.alias)

    def _create_model(self, model: Any) -> Operation[None]:
        return self._one(create_models(self.editor, [model]))

    def _delete_model(self, model: Any) -> Operation[None]:
        return self._one(drop_models(self.editor, [model]))

    def _change(self, model: Any, with_field: dict[str, Any] | None, without: str, kind: str) -> Operation[None]:
        """Change the table from the model as it is without *without* (or with it) to the model with *with_field*."""
        before = ProjectState.from_apps(source=model._meta.apps)
        state = ModelState.from_model(model)
        fields = {name: field for name, field in state.fields.items() if kind == "alter" or name != without}
        start = ModelState(state.app_label, state.name, fields, state.options, state.bases, state.managers)
        before.add_model(start if kind != "remove" else state)
        after = before.clone()
        label = state.app_label
        if kind == "remove":
            operation: ops.Operation = ops.RemoveField(state.name, without)
        else:
            (field,) = (with_field or {}).values()
            made = ops.AddField if kind == "add" else ops.AlterField
            operation = made(state.name, without, field)
        operation.state_forwards(label, after)
        return self._one(operation.forwards(label, self.editor, before, after))

    def _add_field(self, model: Any, name: str, field: Any) -> Operation[None]:
        return self._change(model, {name: unbound(field)}, name, "add")

    def _remove_field(self, model: Any, name: str) -> Operation[None]:
        return self._change(model, None, model._meta.get_field(name).name, "remove")

    def _alter_field(self, model: Any, name: str, field: Any) -> Operation[None]:
        return self._change(model, {name: unbound(field)}, model._meta.get_field(name).name, "alter")

    def _execute(self, sql: str, params: Sequence[Any] | None = None) -> Operation[None]:
        return self.editor.send(text_statement(self.connection.dialect, sql, params))


class SchemaEditor(_Changes):
    """Changes tables at once, as migrations do; a context manager.

    Args:
        connection: a database, or its alias.
        atomic: everything inside the ``with`` is one transaction, where the backend can do that.
    """

    def __enter__(self) -> Self:
        if self.atomic:
            self._block = atomic(self.connection.alias)
            self._block.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._block is not None:
            self._block.__exit__(kind, error, traceback)

    def create_model(self, model: Any) -> None:
        """Create the model's table, with its many-to-many tables, indexes and constraints."""
        run(self._create_model(model))

    def delete_model(self, model: Any) -> None:
        """Drop the model's table and its many-to-many tables."""
        run(self._delete_model(model))

    def add_field(self, model: Any, name: str, field: Any) -> None:
        """Add *field* to the model's table under *name*; rows that exist get its default."""
        run(self._add_field(model, name, field))

    def remove_field(self, model: Any, name: str) -> None:
        """Drop the column of the model's field *name*."""
        run(self._remove_field(model, name))

    def alter_field(self, model: Any, name: str, field: Any) -> None:
        """Make the column of the model's field *name* what *field* says."""
        run(self._alter_field(model, name, field))

    def execute(self, sql: str, params: Sequence[Any] | None = None) -> None:
        """Send one statement; ``%s`` stand for *params*."""
        run(self._execute(sql, params))


class AsyncSchemaEditor(_Changes):
    """Async twin of `SchemaEditor`."""

    async def __aenter__(self) -> Self:
        if self.atomic:
            self._block = atomic(self.connection.alias)
            await self._block.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._block is not None:
            await self._block.__aexit__(kind, error, traceback)

    async def acreate_model(self, model: Any) -> None:
        """Async twin of `SchemaEditor.create_model`."""
        await arun(self._create_model(model))

    async def adelete_model(self, model: Any) -> None:
        """Async twin of `SchemaEditor.delete_model`."""
        await arun(self._delete_model(model))

    async def aadd_field(self, model: Any, name: str, field: Any) -> None:
        """Async twin of `SchemaEditor.add_field`."""
        await arun(self._add_field(model, name, field))

    async def aremove_field(self, model: Any, name: str) -> None:
        """Async twin of `SchemaEditor.remove_field`."""
        await arun(self._remove_field(model, name))

    async def aalter_field(self, model: Any, name: str, field: Any) -> None:
        """Async twin of `SchemaEditor.alter_field`."""
        await arun(self._alter_field(model, name, field))

    async def aexecute(self, sql: str, params: Sequence[Any] | None = None) -> None:
        """Async twin of `SchemaEditor.execute`."""
        await arun(self._execute(sql, params))
