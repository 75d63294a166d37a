"""Operation: one change of the models' state and of the database, in both directions."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from dorm.db.operation import Operation as Doing, arun, run
from dorm.db.request import CallUser
from dorm.exceptions import MigrationError, OperationalError
from dorm.migrations.editor import Editor, editor_of
from dorm.migrations.values import comparable

if TYPE_CHECKING:
    from dorm.migrations.state import ProjectState


class OperationCategory(enum.StrEnum):
    """What an operation does, as one sign for lists."""

    ADDITION = "+"
    REMOVAL = "-"
    ALTERATION = "~"
    PYTHON = "p"
    SQL = "s"
    MIXED = "?"


class LockTimeoutError(MigrationError, OperationalError):
    """A migration could not get a lock in time; what says so names the lock and the limit."""


class Operation:
    """One step of a migration.

    A step of your own overrides `state_forwards`, `database_forwards` and `database_backwards` (or, for both faces at
    once, the operations `forwards` and `backwards`), and sets `reversible`.

    Attributes:
        reversible: it can be undone. A migration with another one is refused before anything of it is undone.
        way_back: what an operation that is not reversible lacks, for the message.
        runs_outside: it must run outside transactions, so that its migration has to be ``atomic = False``.
        own_transaction: outside a transaction it opens one of its own.
        is_data: it changes rows in a way that must not be repeated without thought.
        elidable: squashing may leave it out.
        tells_locks: what its statements lock is known; not so of SQL that the user wrote.
    """

    reversible: bool = True
    way_back: ClassVar[str] = "a reverse"
    runs_outside: ClassVar[bool] = False
    own_transaction: ClassVar[bool] = False
    is_data: ClassVar[bool] = False
    tells_locks: ClassVar[bool] = True
    elidable: bool = False
    category: ClassVar[OperationCategory | None] = None
    serialization_expand_args: ClassVar[Sequence[str]] = ()
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = object.__new__(cls)
        made._arguments = (args, kwargs)
        return made

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        """Return class name, arguments and keywords from which an equal operation can be made."""
        args, kwargs = self._arguments
        parameters = [
            each for each in inspect.signature(type(self).__init__).parameters.values() if each.name != "self"
        ]
        if any(each.kind is each.VAR_POSITIONAL for each in parameters):
            return type(self).__name__, args, kwargs
        given = {**dict(zip([each.name for each in parameters], args, strict=False)), **kwargs}
        # Two that say the same are equal, whether they spell out what holds without a word.
        for each in parameters:
            value = given.get(each.name, each.empty)
            if value is each.default or (type(value) is type(each.default) and value == each.default):
                given.pop(each.name, None)
        return type(self).__name__, [], given

    # -- state and database --------------------------------------------------------------------------------------
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Put this change into *state*."""

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        """Do this change in the database."""
        kind = type(self)
        if kind.database_forwards is Operation.database_forwards:
            return
        yield CallUser(kind.database_forwards.__get__(self), None, app_label, editor.connection, from_state, to_state)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        """Undo this change in the database; *from_state* has it, *to_state* has not."""
        kind = type(self)
        if kind.database_backwards is Operation.database_backwards:
            raise self.irreversible(app_label)
        yield CallUser(kind.database_backwards.__get__(self), None, app_label, editor.connection, from_state, to_state)

    def database_forwards(
        self, app_label: str, connection: Any, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Do this change in the database, blocking; *connection* is a database, its alias, or a schema editor."""
        run(self.forwards(app_label, editor_of(connection), from_state, to_state))

    def database_backwards(
        self, app_label: str, connection: Any, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Undo this change in the database, blocking."""
        run(self.backwards(app_label, editor_of(connection), from_state, to_state))

    async def adatabase_forwards(
        self, app_label: str, connection: Any, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Async twin of `database_forwards`."""
        await arun(self.forwards(app_label, editor_of(connection), from_state, to_state))

    async def adatabase_backwards(
        self, app_label: str, connection: Any, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Async twin of `database_backwards`."""
        await arun(self.backwards(app_label, editor_of(connection), from_state, to_state))

    def irreversible(self, app_label: str) -> MigrationError:
        """Return the error of a step that cannot be undone."""
        return MigrationError(f"{type(self).__name__} in app {app_label!r} is irreversible: {self.describe()}.")

    @property
    def calls_user_code(self) -> bool:
        """True when a function of the user's runs in it."""
        kind = type(self)
        return (
            kind.database_forwards is not Operation.database_forwards
            or kind.database_backwards is not Operation.database_backwards
        )

    @property
    def face(self) -> str | None:
        """The face ("sync" or "async") that the user's code in it needs; None when either does."""
        return "sync" if self.calls_user_code else None

    # -- words ---------------------------------------------------------------------------------------------------
    def describe(self) -> str:
        """Return what it does, in a few words."""
        return f"{type(self).__name__}: {self._arguments}"

    def formatted_description(self) -> str:
        """Return `describe` with the sign of the category in front."""
        sign = (self.category or OperationCategory.MIXED).value
        return f"{sign} {self.describe()}"

    @property
    def migration_name_fragment(self) -> str | None:
        """A part for the name of a migration that holds only this."""
        return None

    def __repr__(self) -> str:
        args, kwargs = self._arguments
        shown = [*map(repr, args), *[f"{name}={value!r}" for name, value in kwargs.items()]]
        return f"<{type(self).__name__} {', '.join(shown)}>"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        assert isinstance(other, Operation)
        return bool(comparable(self.deconstruct()[1:]) == comparable(other.deconstruct()[1:]))

    __hash__ = None  # type: ignore[assignment]  # compared by content

    # -- relations to models and to one another ------------------------------------------------------------------
    def references_model(self, name: str, app_label: str) -> bool:
        """True when it may have to do with that model; when in doubt, True."""
        return True

    def references_field(self, model_name: str, name: str, app_label: str) -> bool:
        """True when it may have to do with that field; when in doubt, True."""
        return self.references_model(model_name, app_label)

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        """Return what this and *operation*, which comes later, are together.

        A list replaces both; True lets *operation* be moved in front of this one; False keeps their order.
        """
        if self.elidable:
            return [operation]
        if operation.elidable:
            return [self]
        return False


class ModelOperation(Operation):
    """An operation on one model."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def name_lower(self) -> str:
        return self.name.lower()

    def references_model(self, name: str, app_label: str) -> bool:
        return name.lower() == self.name_lower

    def reduce(self, operation: Operation, app_label: str) -> bool | list[Operation]:
        return super().reduce(operation, app_label) or self.can_reduce_through(operation, app_label)

    def can_reduce_through(self, operation: Operation, app_label: str) -> bool:
        """True when *operation* may change places with this one."""
        return not operation.references_model(self.name, app_label)
