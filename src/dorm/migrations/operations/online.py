"""Operations that keep a live PostgreSQL answering: short locks, validation apart, batches; plain changes elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dorm.db.connection import Database
from dorm.db.operation import Operation as Doing
from dorm.db.perform import perform
from dorm.db.request import Execute, Query, Sleep
from dorm.db.schema import Ddl
from dorm.db.statement import Statement, Template
from dorm.db.tables import shortened
from dorm.exceptions import ConnectionFailed, MigrationError, NotSupportedError, OperationalError
from dorm.migrations.operations.base import LockTimeoutError, Operation, OperationCategory
from dorm.migrations.operations.changes import bound, model_of
from dorm.migrations.operations.fields import AddField
from dorm.migrations.operations.indexes import IndexOperation
from dorm.migrations.tables import column_def, fill_of

if TYPE_CHECKING:
    from dorm.migrations.editor import Editor
    from dorm.migrations.state import ProjectState

_DURATION = re.compile(r"[0-9]+(us|ms|s|min|h|d)?\Z")
_FORBIDDEN = re.compile(r"""[;'"\x00]|--|/\*|\*/""")


def duration(value: Any, argument: str) -> str:
    """Return a duration as PostgreSQL takes it: a text such as "5s", or a positive number of milliseconds.

    Raises: ValueError: anything else; 0, which means for ever.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return f"{value}ms"
    if isinstance(value, str) and _DURATION.match(value) and any(digit in value for digit in "123456789"):
        return value
    raise ValueError(
        f"{argument} takes a duration such as '5s' or '300ms', or a positive number of milliseconds, not {value!r}."
    )


def type_text(value: Any, argument: str) -> str:
    """Return the text of a type or expression of DDL; ValueError for what could end the statement."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{argument} takes SQL text, not {value!r}.")
    if _FORBIDDEN.search(value):
        raise ValueError(f"{argument} holds a semicolon, a quote or a comment mark: {value!r}.")
    return value


def postgresql_only(editor: Editor, operation: Operation) -> None:
    """Refuse other backends before anything is sent."""
    if not editor.dialect.has_online_ddl:
        raise NotSupportedError(
            f"{type(operation).__name__} is PostgreSQL-only; {editor.database.alias!r} is {editor.database.vendor}"
        )


class AlterColumnTypeOnline(Operation):
    """Change a column's type in a transaction of its own that gives up when it waits for the lock too long.

    The state of the model is left alone: change the field in a state operation beside it.

    Args:
        model_name: the model. column: the column in the database. new_type: SQL text of the type.
        using: SQL expression that converts; None lets PostgreSQL cast, as ``column::new_type`` where it would not by
            itself.
        lock_timeout: how long it waits for the lock: "5s", "300ms", or milliseconds.
        old_type, old_using: the way back; without *old_type* it cannot be undone.
    """

    category = OperationCategory.ALTERATION
    own_transaction = True
    way_back = "old_type"

    def __init__(
        self,
        model_name: str,
        column: str,
        new_type: str,
        *,
        using: str | None = None,
        lock_timeout: Any = "5s",
        old_type: str | None = None,
        old_using: str | None = None,
    ) -> None:
        self.model_name = model_name
        self.column = column
        self.new_type = type_text(new_type, "new_type")
        self.using = using
        duration(lock_timeout, "lock_timeout")
        self.lock_timeout = lock_timeout
        self.old_type = None if old_type is None else type_text(old_type, "old_type")
        self.old_using = old_using
        self.reversible = old_type is not None

    def __repr__(self) -> str:
        shown = [repr(self.model_name), repr(self.column), repr(self.new_type)]
        for name in ("using", "lock_timeout", "old_type", "old_using"):
            shown.append(f"{name}={getattr(self, name)!r}")
        return f"AlterColumnTypeOnline({', '.join(shown)})"

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        postgresql_only(editor, self)
        before = self._declared_type(app_label, editor, from_state)
        yield from self._alter(app_label, editor, to_state, before, self.new_type, self.using)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        postgresql_only(editor, self)
        if self.old_type is None:
            raise IrreversibleOperation(f"{self.describe()} is irreversible: give it old_type.")
        yield from self._alter(app_label, editor, to_state, self.new_type, self.old_type, self.old_using)

    def _declared_type(self, app_label: str, editor: Editor, state: ProjectState) -> str | None:
        """Return the type that the model's field has; None where there is none of that column."""
        if f"{app_label}.{self.model_name.lower()}" not in state.models:
            return None
        columns = editor.table(model_of(state, app_label, self.model_name)).columns
        return next((editor.dialect.schema.type_of(each) for each in columns if each.name == self.column), None)

    def _alter(
        self,
        app_label: str,
        editor: Editor,
        state: ProjectState,
        before: str | None,
        new_type: str,
        using: str | None,
    ) -> Doing[None]:
        if editor.inside if editor.is_dry else editor.database.in_block:
            raise MigrationError(
                f"AlterColumnTypeOnline({self.model_name!r}, {self.column!r}) was reached inside a transaction, which "
                "would hold the lock to its end: set 'atomic = False' in the migration, or give it one of its own."
            )
        key = f"{app_label}.{self.model_name.lower()}"
        table = state.models[key].table if key in state.models else f"{app_label}_{self.model_name.lower()}"
        schema = editor.dialect.schema
        column = schema.quote(self.column)
        if using is None and (yield from self._needs_cast(editor, table, new_type, before)):
            using = f"{column}::{new_type}"
        how = f" USING ({using})" if using else ""
        alter = Ddl(
            f"ALTER TABLE {schema.table(table)} ALTER COLUMN {column} TYPE {new_type}{how}",
            table=table,
            lock="ACCESS EXCLUSIVE",
            rewrites=True,
        )
        try:
            yield from editor.send_shortly([alter], duration(self.lock_timeout, "lock_timeout"), completes=True)
        except OperationalError as exc:
            if exc.sqlstate != "55P03":
                raise
            made = LockTimeoutError(
                f"the lock on {table} for changing column {self.column} was not to be had within {self.lock_timeout}; "
                "nothing was changed. Run the migration again at a quieter time, or with a longer lock_timeout."
            )
            made.sqlstate, made.alias = exc.sqlstate, exc.alias
            raise made from (exc.__cause__ or exc)

    def _needs_cast(self, editor: Editor, table: str, new_type: str, before: str | None) -> Doing[bool]:
        try:
            return (yield from editor.dialect.schema.needs_cast(editor, table, self.column, new_type, before))
        except ConnectionFailed:
            if editor.is_dry:
                return False  # text can be shown without a server
            raise

    def describe(self) -> str:
        return f"Alter type of {self.model_name}.{self.column} to {self.new_type}, with a bounded lock"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.model_name.lower()}_{self.column.lower()}_type"


class IrreversibleOperation(MigrationError, NotImplementedError):
    """An operation has no way back."""


class SetLockTimeout(Operation):
    """Limit how long the statements that follow in this migration wait for locks, in milliseconds; PostgreSQL."""

    category = OperationCategory.SQL

    def __init__(self, ms: int) -> None:
        if isinstance(ms, bool) or not isinstance(ms, int) or ms < 0:
            raise ValueError(f"ms takes a number of milliseconds, not negative, not {ms!r}.")
        self.ms = ms

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        if editor.dialect.lock_timeout and editor.inside:
            yield from editor.send(Ddl(editor.dialect.lock_timeout.format(f"{self.ms}ms"), internal=True))

    backwards = forwards

    def describe(self) -> str:
        return f"Wait at most {self.ms} ms for locks"


class AddFieldOnline(AddField):
    """Add a field without writing the table anew, and without a long lock.

    On PostgreSQL the column is added NULL with its default for new rows only; fill the rows that exist with
    `BackfillBatch` and finish with `SetNotNullOnline`. Elsewhere it is `AddField`.

    Args:
        set_not_null_now: set NOT NULL at once (reads the whole table under an exclusive lock).
    """

    def __init__(
        self,
        model_name: str,
        name: str,
        field: Any,
        *,
        set_not_null_now: bool = False,
        preserve_default: bool = True,
    ) -> None:
        super().__init__(model_name, name, field, preserve_default)
        self.set_not_null_now = set_not_null_now

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        name, args, kwargs = super().deconstruct()
        if self.set_not_null_now:
            kwargs["set_not_null_now"] = True
        return name, args, kwargs

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        if not editor.dialect.has_online_ddl or getattr(self.field, "many_to_many", False):
            yield from super().forwards(app_label, editor, from_state, to_state)
            return
        model = model_of(to_state, app_label, self.model_name)
        if not editor.allows(app_label, model):
            return
        field = bound(self.field, self.name, model)
        stored = model._meta.get_field(self.name)
        column = column_def(stored, editor.database)
        schema, table = editor.dialect.schema, editor.table(model)
        text = schema.column(table, column).removesuffix("NOT NULL").rstrip().removesuffix("NULL").rstrip()
        fill = fill_of(field, editor.database)
        name = schema.quote(column.name)

        def alter(change: str, scans: bool = False) -> Doing[None]:
            sql = f"ALTER TABLE {schema.table(table.name)} {change}"
            yield from editor.send(Ddl(sql, table=table.name, lock="ACCESS EXCLUSIVE", scans=scans))

        yield from alter(f"ADD COLUMN {text} NULL")
        if fill is not None and column.default is None:
            yield from alter(f"ALTER COLUMN {name} SET DEFAULT {fill}")
        if self.set_not_null_now and not column.null:
            yield from alter(f"ALTER COLUMN {name} SET NOT NULL", scans=True)
        for unique in table.uniques:
            if unique.columns == (column.name,):
                yield from schema.add_constraint(editor, table, schema.unique(unique), scans=True)
        for key in table.foreign_keys:
            if key.columns == (column.name,):
                yield from schema.add_reference(editor, table, key, valid=False)

    def describe(self) -> str:
        return f"Add field {self.name} to {self.model_name}, online"


class BackfillBatch(Operation):
    """Fill a column in batches, each in a transaction of its own, going up by the primary key; resumable.

    A batch covers the next *batch_size* keys. What a run did stays when it is stopped; the next one goes over the
    same keys again, so *update_sql* has to name only rows that still need it.

    Args:
        table: the table. update_sql: what follows ``UPDATE <table> SET``, with its WHERE:
            ``"slug = lower(title) WHERE slug IS NULL"``.
        pk_column: the key that batches go by. batch_size: keys of one batch.
        sleep_seconds: pause between batches. max_batches: stop after so many; None: when all is done.
    """

    category = OperationCategory.SQL
    is_data = True
    own_transaction = True

    def __init__(
        self,
        table: str,
        *,
        update_sql: str,
        pk_column: str = "id",
        batch_size: int = 10_000,
        sleep_seconds: float = 0.0,
        max_batches: int | None = None,
    ) -> None:
        if not isinstance(update_sql, str) or not update_sql.strip():
            raise ValueError("update_sql takes SQL text.")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size takes a positive number, not {batch_size!r}.")
        if sleep_seconds < 0:
            raise ValueError(f"sleep_seconds takes a number of seconds, not negative, not {sleep_seconds!r}.")
        if max_batches is not None and max_batches < 1:
            raise ValueError(f"max_batches takes a positive number or None, not {max_batches!r}.")
        self.table = table
        self.update_sql = update_sql
        self.pk_column = pk_column
        self.batch_size = batch_size
        self.sleep_seconds = sleep_seconds
        self.max_batches = max_batches

    def statement(self, editor: Editor, first: str, last: str, after: str = ">") -> str:
        """Return the UPDATE of the rows whose keys lie behind *first* (with ``>=``: from it on), up to *last*."""
        schema = editor.dialect.schema
        key = schema.quote(self.pk_column)
        text = re.sub(r"^\s*update\s+\S+\s+set\s+", "", self.update_sql.strip().rstrip(";"), flags=re.IGNORECASE)
        text = re.sub(r"^\s*set\s+", "", text, flags=re.IGNORECASE)
        change, wanted = _parted(text)
        only = f" AND ({wanted.strip()})" if wanted else ""
        rows = f"{key} {after} {first} AND {key} <= {last}{only}"
        return f"UPDATE {schema.table(self.table)} SET {change.strip()} WHERE {rows}"

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        if editor.is_dry:
            editor.comment(f"in batches of {self.batch_size} by {self.pk_column}, each in a transaction of its own:")
            sql = self.statement(editor, "0", str(self.batch_size))
            lock = "ROW EXCLUSIVE" if editor.dialect.has_online_ddl else ""
            yield from editor.send(Ddl(sql, table=self.table, lock=lock))
            return
        yield from self._batches(editor)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        """Leave the rows as they are: the column goes with the operation that made it."""
        return
        yield

    def _batches(self, editor: Editor) -> Doing[None]:
        database, schema = editor.database, editor.dialect.schema
        key, table = schema.quote(self.pk_column), schema.table(self.table)
        low = yield from _value(database, f"SELECT min({key}) FROM {table}")
        if low is None:
            return
        high = yield from _value(database, f"SELECT max({key}) FROM {table}")
        changed = 0
        one, two = database.dialect.placeholder(1, None), database.dialect.placeholder(2, None)
        update = Template(self.statement(editor, one, two), prepare=False)
        first_update = Template(self.statement(editor, one, two, after=">="), prepare=False)
        at, template, number = low, first_update, 0
        while True:
            after = ">" if number else ">="
            inner = f"SELECT {key} FROM {table} WHERE {key} {after} {one} ORDER BY {key} LIMIT {self.batch_size}"
            last = yield from _value(database, f"SELECT max({key}) FROM ({inner}) AS batch", (at,))
            if last is None:
                return
            changed += yield from perform(Execute(database, Statement(template, (at, last))))
            at, template, number = last, update, number + 1
            editor.tell(f"{self.table}: {changed:,} rows filled{_share(low, at, high)}")
            if self.max_batches is not None and number >= self.max_batches:
                return
            if self.sleep_seconds:
                yield Sleep(self.sleep_seconds)

    def describe(self) -> str:
        return f"Fill {self.table} in batches of {self.batch_size}"


_WORDS = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | [()] | \bwhere\b""", re.VERBOSE | re.DOTALL | re.I
)


def _parted(text: str) -> tuple[str, str]:
    """Return what stands before and after the WHERE of an UPDATE; that of a subquery is none."""
    depth = 0
    for match in _WORDS.finditer(text):
        word = match.group()
        depth += {"(": 1, ")": -1}.get(word, 0)
        if not depth and word.lower() == "where":
            return text[: match.start()], text[match.end() :]
    return text, ""


def _share(low: Any, at: Any, high: Any) -> str:
    """Return how far *at* is on the way from one key to another, in per cent; nothing for keys that are no numbers."""
    if not (isinstance(at, int) and isinstance(low, int) and isinstance(high, int)):
        return ""
    return f", {min(100, 100 * (at - low + 1) // max(high - low + 1, 1))} %"


def _value(database: Database, sql: str, params: tuple[Any, ...] = ()) -> Doing[Any]:
    rows = yield from perform(Query(database, Statement(Template(sql, prepare=False), params)))
    return rows[0][0] if rows else None


class SetNotNullOnline(Operation):
    """Make a column NOT NULL without reading the table under an exclusive lock.

    On PostgreSQL a CHECK is added NOT VALID, validated (readers and writers go on), used by SET NOT NULL, and dropped.
    Elsewhere the state's field decides: alter the field.
    """

    category = OperationCategory.ALTERATION
    own_transaction = True

    def __init__(self, model_name: str, column: str) -> None:
        self.model_name = model_name
        self.column = column

    def _table(self, app_label: str, state: ProjectState) -> str:
        key = f"{app_label}.{self.model_name.lower()}"
        return state.models[key].table if key in state.models else f"{app_label}_{self.model_name.lower()}"

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        if not editor.dialect.has_online_ddl:
            return
        schema = editor.dialect.schema
        table = self._table(app_label, to_state)
        name, column = schema.quote(shortened(f"{table}_{self.column}_not_null")), schema.quote(self.column)

        def alter(change: str, lock: str = "ACCESS EXCLUSIVE", scans: bool = False) -> Ddl:
            return Ddl(f"ALTER TABLE {schema.table(table)} {change}", table=table, lock=lock, scans=scans)

        # What a run that was stopped left there is dropped: no step of this one asks how far the last one came.
        check = f"ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID"
        yield from editor.send_shortly([alter(f"DROP CONSTRAINT IF EXISTS {name}"), alter(check)])
        yield from editor.send_shortly([alter(f"VALIDATE CONSTRAINT {name}", "SHARE UPDATE EXCLUSIVE", scans=True)])
        yield from editor.send_shortly([alter(f"ALTER COLUMN {column} SET NOT NULL"), alter(f"DROP CONSTRAINT {name}")])

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        if editor.dialect.has_online_ddl:
            schema = editor.dialect.schema
            table = self._table(app_label, to_state)
            sql = f"ALTER TABLE {schema.table(table)} ALTER COLUMN {schema.quote(self.column)} DROP NOT NULL"
            yield from editor.send_shortly([Ddl(sql, table=table, lock="ACCESS EXCLUSIVE")])

    def describe(self) -> str:
        return f"Make {self.model_name}.{self.column} NOT NULL, online"


class ValidateConstraint(Operation):
    """Check the rows that exist against a constraint that was added NOT VALID; PostgreSQL, nothing elsewhere."""

    category = OperationCategory.ALTERATION

    def __init__(self, *, table: str, name: str) -> None:
        self.table = table
        self.name = name

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        if editor.dialect.has_online_ddl:
            schema = editor.dialect.schema
            sql = f"ALTER TABLE {schema.table(self.table)} VALIDATE CONSTRAINT {schema.quote(self.name)}"
            yield from editor.send(Ddl(sql, table=self.table, lock="SHARE UPDATE EXCLUSIVE", scans=True))

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        """Leave it valid."""
        return
        yield

    def describe(self) -> str:
        return f"Validate constraint {self.name} on {self.table}"


class AddConstraintNotValid(IndexOperation):
    """Add a CHECK or foreign key for new rows only, without reading the table; `ValidateConstraint` checks the rest."""

    category = OperationCategory.ADDITION

    def __init__(self, model_name: str, constraint: Any) -> None:
        super().__init__(model_name)
        self.constraint = constraint
        self.name = constraint.name

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        model = state.get(app_label, self.model_name)
        state.change_options(app_label, self.model_name, constraints=[*model.constraints, self.constraint])

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        model = model_of(to_state, app_label, self.model_name)
        if not editor.allows(app_label, model):
            return
        schema = editor.dialect.schema
        table = editor.table(model)
        text = dict(schema.constraints(table))[self.name]
        if editor.dialect.has_online_ddl:
            yield from schema.add_constraint(editor, table, f"{text} NOT VALID")
        else:
            before = editor.table(model_of(from_state, app_label, self.model_name))
            yield from schema.alter_tables(editor, [(before, table)])

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        old, new = (model_of(state, app_label, self.model_name) for state in (from_state, to_state))
        if editor.allows(app_label, new):
            yield from editor.dialect.schema.alter_tables(editor, [(editor.table(old), editor.table(new))])

    def describe(self) -> str:
        return f"Create constraint {self.name} on model {self.model_name}, not validated"
