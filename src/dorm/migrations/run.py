"""Running the steps of a plan: one operation for both faces, for real and dry."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dorm.conf.settings import settings
from dorm.db.connection import Database
from dorm.db.operation import Operation, arun, run
from dorm.db.request import CallUser, Request, Sleep
from dorm.db.schema import Ddl, Rehearsal
from dorm.exceptions import MigrationError, OperationalError, error_text
from dorm.migrations import recorder
from dorm.migrations.editor import Comment, Editor
from dorm.migrations.loader import line_of
from dorm.migrations.migration import Migration, Node
from dorm.migrations.operations.base import LockTimeoutError
from dorm.migrations.plan import Step
from dorm.migrations.state import ProjectState
from dorm.transaction import in_savepoint

T = TypeVar("T")

_log = logging.getLogger("dorm.migrations")

LOCK_NOT_AVAILABLE = "55P03"
RETRIES = 5
_PAUSE = 0.5

Report = Callable[[str, Any], None]
"""Told what happens: ("apply_start", step), ("apply_success", step), ("retry", (step, seconds)) and their like."""


@dataclass(frozen=True)
class Options:
    """How steps are run.

    Args:
        fake: record only. fake_initial: record first migrations whose tables are there already.
        lock_timeout: how long DDL waits for a lock before the whole migration is rolled back and run again; None: for
            ever.
        retries: how often it is run again.
    """

    fake: bool = False
    fake_initial: bool = False
    lock_timeout: str | None = "5s"
    retries: int = RETRIES
    report: Report = field(default=lambda event, subject: None)

    def tell(self, text: str) -> None:
        """Report how far an operation is that takes long."""
        self.report("progress", text)


def default_lock_timeout() -> str | None:
    """Return the setting ``MIGRATION_LOCK_TIMEOUT``: "5s" unless set, None for no limit."""
    found = getattr(settings, "MIGRATION_LOCK_TIMEOUT", "5s") if settings.is_configured else "5s"
    return None if found is None else str(found)


class InFace(Request[T]):
    """Drive an operation in one face, whichever face asks: a migration runs in the face of the code in it."""

    __slots__ = ("face", "make")

    def __init__(self, face: str | None, make: Callable[[], Operation[T]]) -> None:
        self.face = face
        self.make = make

    def perform(self) -> T:
        if self.face != "async":
            return run(self.make())

        async def main() -> T:
            return await arun(self.make())

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(main())
        # A notebook's loop runs in this thread: the migration gets a loop and a thread of its own, and sees what this
        # one sees (the schema of a tenant).
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copy_context().run, lambda: asyncio.run(main())).result()

    async def aperform(self) -> T:
        if self.face == "sync":
            return await asyncio.to_thread(lambda: run(self.make()))
        return await arun(self.make())


# -- for real ----------------------------------------------------------------------------------------------------


def run_step(database: Database, step: Step, before: ProjectState, options: Options) -> Operation[bool]:
    """Run one step; return False when somebody else had done it already."""
    options.report("unapply_start" if step.backwards else "apply_start", step)
    face = None if options.fake else step.migration.face
    op = _with_retries(database, step, before, options)
    try:
        done: bool = (yield from op) if face is None else (yield InFace(face, lambda: _fresh(op)))
    except BaseException:
        options.report("failed", step)
        raise
    options.report("unapply_success" if step.backwards else "apply_success", step)
    return done


def _fresh(op: Operation[T]) -> Operation[T]:
    return (yield from op)


def _with_retries(database: Database, step: Step, before: ProjectState, options: Options) -> Operation[bool]:
    for attempt in range(options.retries + 1):
        try:
            return (yield from _once(database, step, before, options))
        except OperationalError as exc:
            if exc.sqlstate != LOCK_NOT_AVAILABLE or isinstance(exc, LockTimeoutError):
                raise
            if not step.migration.may_be_repeated or attempt == options.retries or database.in_block:
                raise _lock_error(step, options, exc) from exc
        seconds = _PAUSE * 2**attempt * random.uniform(0.5, 1.5)
        _log.warning(
            "%s waited %s for a lock; it was rolled back and is run again", step.migration, options.lock_timeout
        )
        options.report("retry", (step, seconds))
        yield Sleep(seconds)
    raise AssertionError("the last try returns or raises")


def _lock_error(step: Step, options: Options, exc: OperationalError) -> MigrationError:
    again = (
        f"it was tried {options.retries + 1} times"
        if step.migration.may_be_repeated
        else "it holds RunPython, RunSQL or steps outside its transaction, so it is not repeated by itself"
    )
    made = LockTimeoutError(
        f"{step.migration}: a lock was not to be had within {options.lock_timeout}, and {again}. Find what holds the "
        "lock (pg_blocking_pids), run the migration again at a quieter time, or set MIGRATION_LOCK_TIMEOUT. "
        f"The server said: {exc}"
    )
    made.sqlstate = exc.sqlstate
    made.alias = exc.alias
    return made


def _once(database: Database, step: Step, before: ProjectState, options: Options) -> Operation[bool]:
    migration = step.migration
    transactional = database.dialect.supports_transactional_ddl
    if options.fake or (migration.runs_atomically and transactional):
        return (yield from in_savepoint(_atomic(database, step, before, options), database.alias))
    return (yield from _piecewise(database, step, before, options))


def _atomic(database: Database, step: Step, before: ProjectState, options: Options) -> Operation[bool]:
    editor = Editor(database, tell=options.tell)
    if (yield from recorder.is_applied(editor, step.node)) != step.backwards:
        return False
    if not options.fake and not (options.fake_initial and (yield from is_there(editor, step, before))):
        yield from set_lock_timeout(editor, options.lock_timeout)
        for operation, old, new in pieces(step, before):
            _check_inside(database, step.migration, operation)
            yield from run_operation(editor, step, operation, old, new)
    elif not options.fake:
        options.report("faked", step)
    yield from _record(editor, step)
    return True


def _record(editor: Editor, step: Step) -> Operation[None]:
    """Record a step, for a squashed migration also of those it replaces."""
    change = recorder.forget if step.backwards else recorder.record
    for label, name in [step.node, *step.migration.replaces]:
        if (yield from recorder.is_applied(editor, (label, name))) == step.backwards:
            yield from change(editor, (label, name))


def _check_inside(database: Database, migration: Migration, operation: Any) -> None:
    """Refuse an operation that cannot run in the transaction of its migration; warn of one that should not."""
    what = operation.describe()
    if operation.own_transaction and database.dialect.has_online_ddl:
        _log.warning(
            "%s: %s (%s) runs in the migration's transaction, which holds all its locks to the end: add 'atomic = "
            "False' to the migration",
            migration,
            type(operation).__name__,
            what,
        )
    if operation.runs_outside:
        raise MigrationError(
            f"{migration}: {type(operation).__name__} ({what}) must run outside a transaction: add 'atomic = False' to "
            "the migration, and better give it a migration of its own."
        )


def pieces(step: Step, before: ProjectState) -> list[tuple[Any, ProjectState, ProjectState]]:
    """Return the operations of a step in the order they run, each with the states it leads from and to."""
    found = list(step.migration.states(before))
    if not step.backwards:
        return found
    return [(operation, new, old) for operation, old, new in reversed(found)]


def run_operation(editor: Editor, step: Step, operation: Any, old: ProjectState, new: ProjectState) -> Operation[None]:
    """Run one operation in the direction of the step."""
    label = step.migration.app_label
    change = operation.backwards if step.backwards else operation.forwards
    try:
        yield from change(label, editor, old, new)
        if editor.inside and (operation.is_data or operation.calls_user_code):
            # Rows that were written may wait for their references to be checked, which ALTER TABLE does not like.
            yield from editor.dialect.schema.settle(editor)
    except Exception as exc:
        path = step.migration.path
        line = line_of(exc, path) if path is not None else ""
        where = f" ({path.name}{line})" if path is not None and line else ""
        exc.add_note(f"in {step.migration}, operation {operation.describe()!r}{where}")
        raise


def set_lock_timeout(editor: Editor, timeout: str | None) -> Operation[None]:
    """Limit how long the statements of this transaction wait for locks."""
    if timeout is not None and editor.dialect.lock_timeout:
        yield from editor.send(Ddl(editor.dialect.lock_timeout.format(timeout), internal=True))


def _piecewise(database: Database, step: Step, before: ProjectState, options: Options) -> Operation[bool]:
    """Run a migration operation by operation, and note after each how far it came, so that another run can go on."""
    editor = Editor(database, inside=False)
    if (yield from recorder.is_applied(editor, step.node)) != step.backwards:
        return False
    if options.fake_initial and (yield from is_there(editor, step, before)):
        options.report("faked", step)
        yield from in_savepoint(_record(editor, step), database.alias)
        return True
    yield from recorder.ensure(editor, recorder.PROGRESS)
    total = len(step.migration.operations)
    known = yield from recorder.progress(editor, step.node)
    done = (total if step.backwards else 0) if known is None else known
    if known is not None:
        options.report("resume", (step, done, total))
    parts = pieces(step, before)
    for number, (operation, old, new) in enumerate(parts):
        reached = total - number - 1 if step.backwards else number + 1
        if (reached >= done) if step.backwards else (reached <= done):
            continue
        yield from _piece(database, step, operation, old, new, reached, options)
    yield from in_savepoint(_finish(editor, step), database.alias)
    return True


def _finish(editor: Editor, step: Step) -> Operation[None]:
    yield from _record(editor, step)
    yield from recorder.finish(editor, step.node)


def _piece(
    database: Database,
    step: Step,
    operation: Any,
    old: ProjectState,
    new: ProjectState,
    reached: int,
    options: Options,
) -> Operation[None]:
    """Run one operation and note it: in one transaction where that can be."""
    outside = _stands_outside(operation)
    plain = Editor(database)
    editor = Editor(
        database,
        inside=not outside,
        tell=options.tell,
        lock_timeout=options.lock_timeout,
        completed=(lambda: recorder.advance(plain, step.node, reached)) if outside else None,
    )

    def inside() -> Operation[None]:
        yield from set_lock_timeout(editor, options.lock_timeout)
        yield from run_operation(editor, step, operation, old, new)
        yield from recorder.advance(editor, step.node, reached)

    if not outside and database.dialect.supports_transactional_ddl:
        yield from in_savepoint(inside(), database.alias)
        return
    yield from run_operation(editor, step, operation, old, new)
    yield from recorder.advance(editor, step.node, reached)


def _stands_outside(operation: Any) -> bool:
    """True for an operation that a migration without a transaction of its own runs in none of the runner's either."""
    return bool(operation.runs_outside or operation.own_transaction or getattr(operation, "atomic", None) is False)


def is_there(editor: Editor, step: Step, before: ProjectState) -> Operation[bool]:
    """Tell whether the tables and columns that a first migration makes are in the database already."""
    from dorm.migrations.operations import AddField, CreateModel
    from dorm.migrations.operations.changes import model_of

    migration = step.migration
    if step.backwards or not migration.is_initial:
        return False
    after = migration.mutate_state(before)
    found = False
    for operation in migration.operations:
        if isinstance(operation, CreateModel):
            key = f"{migration.app_label}.{operation.name_lower}"
        elif isinstance(operation, AddField):
            key = f"{migration.app_label}.{operation.model_name_lower}"
        else:
            continue
        if key not in after.models:
            return False
        model = model_of(after, *key.rpartition(".")[::2])
        if not editor.allows(migration.app_label, model):
            continue
        if not (yield from editor.dialect.schema.table_exists(editor, model._meta.db_table)):
            return False
        found = True
    return found


# -- dry ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OperationNotes:
    """What one operation would do; *before* and *after* are what the runner adds."""

    operation: Any
    notes: tuple[Ddl | Comment, ...]
    before: tuple[Ddl, ...] = ()
    after: tuple[Ddl, ...] = ()


@dataclass(frozen=True)
class StepNotes:
    """What one step would do, by operation; *before* and *after* are what the runner adds."""

    step: Step
    parts: tuple[OperationNotes, ...]
    before: tuple[Ddl, ...] = ()
    after: tuple[Ddl, ...] = ()

    @property
    def failed(self) -> bool:
        """True when something could not be shown, or cannot be done."""
        return any(isinstance(note, Comment) and note.failed for part in self.parts for note in part.notes)

    @property
    def statements(self) -> list[Ddl]:
        """All statements in order."""
        return [note for part in self.parts for note in part.notes if isinstance(note, Ddl)]


def note_step(
    database: Database, step: Step, before: ProjectState, options: Options, rehearsal: Rehearsal | None = None
) -> Operation[StepNotes]:
    """Return what a step would send; nothing is sent but reads."""
    parts = []
    transactional = database.dialect.supports_transactional_ddl
    atomic = step.migration.runs_atomically and transactional
    for operation, old, new in pieces(step, before):
        notes: list[Ddl | Comment] = []
        protected = {each.table: each.append_only for each in old.models.values() if each.append_only is not None}
        editor = Editor(
            database,
            notes,
            inside=atomic or (transactional and not _stands_outside(operation)),
            rehearsal=rehearsal,
            append_only=protected,
            lock_timeout=options.lock_timeout,
        )
        if step.backwards and not operation.reversible:
            editor.comment(f"{type(operation).__name__}: irreversible", failed=True)
        else:
            yield from _note(editor, step, operation, old, new)
        alone = transactional and not atomic and not _stands_outside(operation)
        wrapped = alone and any(isinstance(note, Ddl) for note in notes)
        parts.append(OperationNotes(operation, tuple(notes), *(yield from _transaction(database, options, wrapped))))
    before_all, after_all = yield from _transaction(database, options, atomic)
    return StepNotes(step, tuple(parts), before_all, after_all)


def _transaction(
    database: Database, options: Options, wanted: bool
) -> Operation[tuple[tuple[Ddl, ...], tuple[Ddl, ...]]]:
    """Return the statements that the runner sends before and after what it runs in a transaction."""
    if not wanted:
        return (), ()
    notes: list[Any] = [Ddl("BEGIN")]
    yield from set_lock_timeout(Editor(database, notes), options.lock_timeout)
    return tuple(notes), (Ddl("COMMIT"),)


def _note(editor: Editor, step: Step, operation: Any, old: ProjectState, new: ProjectState) -> Operation[None]:
    try:
        change = operation.backwards if step.backwards else operation.forwards
        yield from change(step.migration.app_label, editor, old, new)
    except Exception as exc:  # noqa: BLE001  # whatever it is, it is shown at its place and makes the run fail
        editor.comment(f"{type(operation).__name__}: cannot be rendered: {error_text(exc)}", failed=True)


def notify(signal: Any, database: Database, steps: Sequence[Step], options: dict[str, Any]) -> Operation[None]:
    """Send ``pre_migrate`` or ``post_migrate`` once for each app of the plan."""
    for label in dict.fromkeys(step.migration.app_label for step in steps):
        told = {
            "app_label": label,
            "using": database.alias,
            "plan": [(s.migration, s.backwards) for s in steps],
            **options,
        }
        if signal.is_connected:
            yield CallUser(
                lambda label=label, told=told: signal.send(label, **told),
                lambda label=label, told=told: signal.asend(label, **told),
            )


__all__ = ["Node", "Options", "StepNotes", "note_step", "notify", "run_step"]
