"""Migration: the operations of one file, and what it depends on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from dorm.exceptions import MigrationError, error_text
from dorm.migrations.operations.base import Operation
from dorm.migrations.operations.special import SeparateDatabaseAndState
from dorm.migrations.state import ProjectState

Node: TypeAlias = tuple[str, str]
"""(app label, name of the migration)."""

_LONGEST_FRAGMENT = 52


@dataclass(eq=False)
class Migration:
    """One migration.

    Attributes:
        dependencies: migrations that come before; a name may be ``"__first__"`` or ``"__latest__"``.
        run_before: migrations that come after. replaces: migrations that this one stands for.
        atomic: run it in one transaction where the backend can do that.
        initial: True for the first of an app (None: when it has no dependency in its own app).
    """

    name: str = ""
    app_label: str = ""
    operations: Sequence[Operation] = ()
    dependencies: Sequence[Node] = ()
    run_before: Sequence[Node] = ()
    replaces: Sequence[Node] = ()
    atomic: bool = True
    initial: bool | None = None
    path: Path | None = None
    elidable: bool = field(default=False, repr=False)

    @property
    def node(self) -> Node:
        return (self.app_label, self.name)

    @property
    def is_initial(self) -> bool:
        """True for the first migration of an app."""
        if self.initial is not None:
            return self.initial
        return not any(label == self.app_label for label, _ in self.dependencies)

    @property
    def runs_atomically(self) -> bool:
        """True when all of it runs in one transaction of the runner's."""
        if not self.atomic:
            return False
        # What opens transactions of its own may stand alone in a migration without saying more (features 6.2).
        changes = list(_changes(self.operations))
        return not changes or not all(each.own_transaction for each in changes)

    @property
    def may_be_repeated(self) -> bool:
        """True when a run that was rolled back may be started again by the runner."""
        return self.runs_atomically and not any(each.is_data or each.calls_user_code for each in self.operations)

    @property
    def face(self) -> str | None:
        """The face that the user's code in it needs; None when either does."""
        wanted = {each.face for each in self.operations} - {None}
        if len(wanted) > 1:
            raise MigrationError(
                f"{self} holds plain functions and coroutine functions: one migration runs in one face. Split it, or "
                "make all of them of one kind."
            )
        return wanted.pop() if wanted else None

    def mutate_state(self, state: ProjectState, preserve: bool = True) -> ProjectState:
        """Return *state* with this migration's changes."""
        made = state.clone() if preserve else state
        for operation in self.operations:
            self._change(operation, made)
        return made

    def _change(self, operation: Operation, state: ProjectState) -> None:
        try:
            operation.state_forwards(self.app_label, state)
        except Exception as exc:
            raise MigrationError(f"{self}: {operation.describe()}: {error_text(exc)}") from exc

    def states(self, before: ProjectState) -> Iterator[tuple[Operation, ProjectState, ProjectState]]:
        """Yield each operation with the states before and after it."""
        for operation in self.operations:
            after = before.clone()
            self._change(operation, after)
            yield operation, before, after
            before = after

    def suggest_name(self) -> str:
        """Return a name (without number) that says what the migration does."""
        if self.initial:
            return "initial"
        fragments = [text for each in _flat(self.operations) if (text := each.migration_name_fragment)]
        found = [re.sub(r"\W+", "_", text) for text in fragments]
        if not found or len(found) != len(list(_flat(self.operations))):
            return "auto" if not found else f"{_joined(found)}_and_more"
        return _joined(found)

    def __str__(self) -> str:
        return f"{self.app_label}.{self.name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Migration) and self.node == other.node

    def __hash__(self) -> int:
        return hash(self.node)


def _joined(fragments: list[str]) -> str:
    name = fragments[0]
    for each in fragments[1:]:
        longer = f"{name}_{each}"
        if len(longer) > _LONGEST_FRAGMENT:
            return f"{name}_and_more"
        name = longer
    return name[: _LONGEST_FRAGMENT + 9]


def _changes(operations: Sequence[Operation]) -> Iterator[Operation]:
    """Yield the operations that change the database."""
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from _changes(operation.database_operations)
        else:
            yield operation


def _flat(operations: Sequence[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from _flat(operation.state_operations)
        else:
            yield operation
