"""MakeTableAppendOnly: rows that nobody changes any more, by triggers of the database."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dorm.db.operation import Operation as Doing
from dorm.db.schema import Ddl
from dorm.exceptions import ProgrammingError
from dorm.migrations.operations.base import Operation, OperationCategory
from dorm.migrations.operations.changes import model_of

if TYPE_CHECKING:
    from dorm.migrations.editor import Editor
    from dorm.migrations.state import ProjectState

_log = logging.getLogger("dorm.migrations")
_LONGEST = 63


class MakeTableAppendOnly(Operation):
    """Let a table take new rows and refuse to change, delete or truncate those it has, with IntegrityError.

    PostgreSQL and SQLite do it with triggers; on the other backends a warning is logged and nothing is done. The owner
    of a table can take triggers away: this protects against mistakes, not against the owner.

    Args:
        table: the table, or ``schema.table``. allow_delete: rows may be deleted (and still not changed).
        block_truncate: TRUNCATE is refused, also with *allow_delete*. schema: the schema, when *table* names none.
    """

    category = OperationCategory.SQL
    reversible = True

    def __init__(
        self, table: str, *, allow_delete: bool = False, block_truncate: bool = True, schema: str | None = None
    ) -> None:
        for name, flag in (("allow_delete", allow_delete), ("block_truncate", block_truncate)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name} takes True or False, not {type(flag).__name__}.")
        parts = table.split(".") if isinstance(table, str) else []
        if not 1 <= len(parts) <= 2 or any(
            not part or len(part.encode()) > _LONGEST or any(char in part for char in "\"'`\0") for part in parts
        ):
            raise ValueError(f"table takes the name of a table of at most {_LONGEST} bytes, without quotes: {table!r}.")
        self.table = table
        self.schema = schema if len(parts) == 1 else parts[0]
        self.name = parts[-1]
        self.allow_delete = allow_delete
        self.block_truncate = block_truncate

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        kwargs: dict[str, Any] = {"table": self.table}
        if self.allow_delete:
            kwargs["allow_delete"] = True
        if not self.block_truncate:
            kwargs["block_truncate"] = False
        if self.schema is not None and "." not in self.table:
            kwargs["schema"] = self.schema
        return type(self).__name__, [], kwargs

    def __repr__(self) -> str:
        return (
            f"MakeTableAppendOnly({self.table!r}, allow_delete={self.allow_delete!r}, "
            f"block_truncate={self.block_truncate!r}, schema={self.schema!r})"
        )

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        # Nothing of a model changes; what renames its table in a dry run must know.
        for each in list(state.models.values()):
            if each.table == self.name and self.schema is None:
                state.add_model(replace(each, append_only=self.block_truncate))

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        schema = editor.dialect.schema
        unique = self._unique_sets(editor, to_state)
        texts = schema.append_only(self.name, self.schema, self.allow_delete, self.block_truncate, unique)
        if texts is None:
            vendor = editor.database.vendor
            _log.warning("MakeTableAppendOnly(%r) does nothing on %s: rows stay changeable", self.table, vendor)
            return
        if not editor.is_dry and self.schema is None and not (yield from schema.table_exists(editor, self.name)):
            raise ProgrammingError(f"MakeTableAppendOnly: there is no table {self.table!r}.")
        for text in texts:
            yield from editor.send(self._ddl(editor, text))

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        for text in editor.dialect.schema.append_only_off(self.name, self.schema):
            yield from editor.send(self._ddl(editor, text))

    def _ddl(self, editor: Editor, text: str) -> Ddl:
        """Return a statement with the lock it takes: functions take none of the table's."""
        schema = editor.dialect.schema
        if text.startswith(("CREATE OR REPLACE FUNCTION", "DROP FUNCTION")):
            return Ddl(text)
        lock = schema.lock_alter if text.startswith("DROP TRIGGER") else schema.lock_reference
        return Ddl(text, table=self.name, lock=lock)

    def _unique_sets(self, editor: Editor, state: ProjectState) -> list[tuple[str, ...]]:
        """Return the columns of the primary key and of each unique set that the state knows of this table."""
        for each in state.models.values():
            if each.table == self.name:
                table = editor.table(model_of(state, each.app_label, each.name))
                indexes = [
                    index.columns for index in table.indexes if index.unique and index.columns and not index.where
                ]
                return [table.primary_key, *[unique.columns for unique in table.uniques], *indexes]
        return []

    def describe(self) -> str:
        what = "changes" if self.allow_delete else "changes and deletions"
        return f"Refuse {what} of rows in {self.table}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.name.lower()}_append_only"
