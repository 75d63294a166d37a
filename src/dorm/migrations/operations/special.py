"""Operations that run what the user wrote: SQL, Python, and both halves apart."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.db.operation import Operation as Doing
from dorm.db.request import CallUser
from dorm.exceptions import MigrationError
from dorm.migrations.editor import split_sql, text_statement
from dorm.migrations.operations.base import Operation, OperationCategory
from dorm.migrations.values import path_of

if TYPE_CHECKING:
    from dorm.migrations.editor import Editor
    from dorm.migrations.state import ProjectState, StateApps


class RunSQL(Operation):
    """Run SQL.

    Args:
        sql: text of one or several statements; or a list of statements, each a text or a pair (text, params).
        reverse_sql: what undoes it; empty: it cannot be undone. `RunSQL.noop` undoes it by doing nothing.
        params: values for the ``%s`` of *sql*.
        state_operations: what it means for the models.
        hints: for the routers' ``allow_migrate``.
        elidable: squashing may leave it out.
    """

    noop: ClassVar[str] = "-- nothing to do"
    category = OperationCategory.SQL
    is_data = True
    tells_locks = False

    def __init__(
        self,
        sql: Any,
        reverse_sql: Any = "",
        params: Sequence[Any] | None = None,
        state_operations: Sequence[Operation] | None = None,
        hints: Mapping[str, Any] | None = None,
        elidable: bool = False,
    ) -> None:
        self.sql = sql
        self.reverse_sql = reverse_sql
        self.params = params
        self.state_operations = list(state_operations or [])
        self.hints = dict(hints or {})
        self.elidable = elidable
        self.reversible = bool(reverse_sql) or reverse_sql == []

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        for operation in self.state_operations:
            operation.state_forwards(app_label, state)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from self._run(app_label, editor, self.sql, self.params)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        if not self.reversible:
            raise self.irreversible(app_label)
        yield from self._run(app_label, editor, self.reverse_sql, None)

    def _run(self, app_label: str, editor: Editor, sql: Any, params: Sequence[Any] | None) -> Doing[None]:
        if not editor.allows(app_label, None, **self.hints):
            return
        for text, values in _statements(sql, params):
            yield from editor.send(text_statement(editor.dialect, text, values))

    def describe(self) -> str:
        return "Raw SQL operation"


def _statements(sql: Any, params: Sequence[Any] | None) -> list[tuple[str, Sequence[Any] | None]]:
    """Return the statements of what RunSQL takes, each with its parameters."""
    if isinstance(sql, str):
        parts = split_sql(sql)
        return [(text, params) for text in parts] if params is None or len(parts) <= 1 else [(sql, params)]
    found: list[tuple[str, Sequence[Any] | None]] = []
    for each in sql or ():
        if isinstance(each, str):
            found.extend((text, None) for text in split_sql(each))
        elif isinstance(each, (list, tuple)) and len(each) == 2:
            found.append((each[0], each[1]))
        else:
            raise ValueError(f"RunSQL takes a text, or a list of texts and pairs (text, params), not {each!r}.")
    return found


class RunPython(Operation):
    """Run a function: ``code(app_label, registry)``; ``registry.get_model("app", "Model")`` gives historical models.

    A function whose first parameter is called ``apps`` is called as Django does: ``code(apps, schema_editor)``. Plain
    functions run in blocking code, coroutine functions in asyncio code; the runner takes the face that is wanted.

    Args:
        reverse_code: what undoes it; None: it cannot be undone.
        atomic: None: as the migration; False: outside transactions.
        hints: for the routers' ``allow_migrate``.
        elidable: squashing may leave it out.
    """

    category = OperationCategory.PYTHON
    is_data = True

    def __init__(
        self,
        code: Callable[..., Any],
        reverse_code: Callable[..., Any] | None = None,
        hints: Mapping[str, Any] | None = None,
        atomic: bool | None = None,
        elidable: bool = False,
    ) -> None:
        if not callable(code):
            raise ValueError("RunPython must be supplied with a callable")
        if reverse_code is not None and not callable(reverse_code):
            raise ValueError("RunPython must be supplied with callable arguments")
        self.code = code
        self.reverse_code = reverse_code
        self.hints = dict(hints or {})
        self.atomic = atomic
        self.elidable = elidable
        self.reversible = reverse_code is not None

    @staticmethod
    def noop(app_label: Any, registry: Any) -> None:
        """Do nothing."""

    @property
    def calls_user_code(self) -> bool:
        return any(code is not None and code is not RunPython.noop for code in (self.code, self.reverse_code))

    @property
    def face(self) -> str | None:
        wanted = {
            "async" if inspect.iscoroutinefunction(code) else "sync"
            for code in (self.code, self.reverse_code)
            if code is not None and code is not RunPython.noop
        }
        if len(wanted) > 1:
            raise MigrationError(
                f"{self.describe()}: code and reverse_code are of different kinds; make both plain or both coroutines."
            )
        return wanted.pop() if wanted else None

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from self._call(app_label, editor, self.code, from_state)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        if self.reverse_code is None:
            raise self.irreversible(app_label)
        yield from self._call(app_label, editor, self.reverse_code, from_state)

    def _call(self, app_label: str, editor: Editor, code: Callable[..., Any], state: ProjectState) -> Doing[None]:
        if code is RunPython.noop or not editor.allows(app_label, None, **self.hints):
            return
        if editor.is_dry:
            editor.comment(f"RunPython {_named(code)}: not executed")
            return
        arguments = arguments_of(code, app_label, state.apps.complete(), editor)
        if inspect.iscoroutinefunction(code):
            yield CallUser(None, code, *arguments)
        else:
            yield CallUser(code, None, *arguments)

    def describe(self) -> str:
        return "Raw Python operation"


def _named(code: Callable[..., Any]) -> str:
    """Return where a function is, as far as it tells; of another callable, its class."""
    thing: Any = code if hasattr(code, "__qualname__") else type(code)
    return path_of(thing)


def arguments_of(code: Callable[..., Any], app_label: str, apps: StateApps, editor: Editor) -> tuple[Any, Any]:
    """Return the two arguments that *code* is called with, by the name of its first parameter."""
    try:
        first = next(iter(inspect.signature(code).parameters), "")
    except (TypeError, ValueError):
        first = ""
    apps.connection = editor.connection
    return (apps, editor.connection) if first in ("apps", "_apps") else (app_label, apps)


class SeparateDatabaseAndState(Operation):
    """Change the database by some operations, and the state of the models by others."""

    category = OperationCategory.MIXED
    serialization_expand_args: ClassVar[Sequence[str]] = ("database_operations", "state_operations")

    def __init__(
        self,
        database_operations: Sequence[Operation] | None = None,
        state_operations: Sequence[Operation] | None = None,
    ) -> None:
        self.database_operations = list(database_operations or [])
        self.state_operations = list(state_operations or [])
        self.reversible = all(operation.reversible for operation in self.database_operations)

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        kwargs: dict[str, Any] = {}
        if self.database_operations:
            kwargs["database_operations"] = self.database_operations
        if self.state_operations:
            kwargs["state_operations"] = self.state_operations
        return type(self).__name__, [], kwargs

    @property
    def runs_outside(self) -> bool:  # type: ignore[override]  # an answer of the instance
        return any(operation.runs_outside for operation in self.database_operations)

    @property
    def own_transaction(self) -> bool:  # type: ignore[override]  # an answer of the instance
        return any(operation.own_transaction for operation in self.database_operations)

    @property
    def is_data(self) -> bool:  # type: ignore[override]  # an answer of the instance
        return any(operation.is_data for operation in self.database_operations)

    @property
    def tells_locks(self) -> bool:  # type: ignore[override]  # an answer of the instance
        return all(operation.tells_locks for operation in self.database_operations)

    @property
    def calls_user_code(self) -> bool:
        return any(operation.calls_user_code for operation in self.database_operations)

    @property
    def face(self) -> str | None:
        return next((operation.face for operation in self.database_operations if operation.face), None)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        for operation in self.state_operations:
            operation.state_forwards(app_label, state)

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        state, editor = from_state, self._part_of(editor)
        for operation in self.database_operations:
            after = state.clone()
            operation.state_forwards(app_label, after)
            yield from operation.forwards(app_label, editor, state, after)
            state = after

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        states, editor = [to_state], self._part_of(editor)
        for operation in self.database_operations:
            after = states[-1].clone()
            operation.state_forwards(app_label, after)
            states.append(after)
        for number in range(len(self.database_operations) - 1, -1, -1):
            operation = self.database_operations[number]
            yield from operation.backwards(app_label, editor, states[number + 1], states[number])

    def _part_of(self, editor: Editor) -> Editor:
        """Return the editor for the operations in it: with one of several this one is not done."""
        if len(self.database_operations) > 1:
            editor = copy.copy(editor)
            editor.completed = None
        return editor

    def describe(self) -> str:
        return "Custom state/database change combination"
