"""MigrationExecutor: what is applied, what is to be done, and doing it; and the operations that its two faces share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dorm.db.connection import Database
from dorm.db.operation import Operation, operation, run
from dorm.db.schema import Ddl, Rehearsal
from dorm.exceptions import MigrationError, choices_text
from dorm.migrations import recorder
from dorm.migrations.editor import Editor, editor_of
from dorm.migrations.loader import Loader
from dorm.migrations.lock import locked
from dorm.migrations.migration import Migration, Node
from dorm.migrations.plan import (
    Step,
    leaves,
    make_plan,
    parse_target,
    refuse_irreversible,
    states_before,
    steps_to_zero,
)
from dorm.migrations.render import pairs
from dorm.migrations.run import (
    Options,
    StepNotes,
    default_lock_timeout,
    note_step,
    notify,
    run_step,
)
from dorm.migrations.schema import create_models
from dorm.migrations.speaker import Speaker
from dorm.migrations.state import ProjectState
from dorm.signals import post_migrate, pre_migrate
from dorm.transaction import in_savepoint

Targets = Sequence[tuple[str, str | None]]
Statements = list[tuple[str, list[Any]]]


class Runner:
    """The operations of a run on one database.

    Args:
        folders: folders of migrations by app label, beside those of ``INSTALLED_APPS``.
    """

    def __init__(
        self, database: Database, folders: Mapping[str, Path] | None = None, options: Options | None = None
    ) -> None:
        self.database = database
        self.folders = dict(folders or {})
        self.options = options or Options(lock_timeout=default_lock_timeout())

    # -- reading -------------------------------------------------------------------------------------------------
    @operation
    def load(self) -> Operation[Loader]:
        """Return the loader, knowing what is applied."""
        applied = yield from recorder.applied(Editor(self.database))
        return Loader(applied, self.folders)

    @operation
    def applied(self) -> Operation[dict[Node, Any]]:
        """Return what is applied, and since when."""
        return (yield from recorder.applied(Editor(self.database)))

    def targets(self, loader: Loader, label: str | None, target: str | None) -> Targets:
        """Return what is to be reached: a migration of an app, the end of one app, or of all."""
        if label is None:
            return leaves(loader)
        return [parse_target(loader, label, target)]

    def plan(self, loader: Loader, targets: Targets) -> list[Step]:
        """Return the steps to *targets*; conflicts and an edited history are refused."""
        if not self.options.fake:
            loader.check_history()  # recording what the database has is the way out of an edited one
        conflicts = loader.graph.conflicts()
        if conflicts:
            label, names = next(iter(conflicts.items()))
            raise MigrationError(
                f"app {label!r} has {len(names)} last migrations: {choices_text(names)}. Run 'dorm makemigrations "
                "--merge' to join them."
            )
        return make_plan(loader, targets)

    # -- running -------------------------------------------------------------------------------------------------
    @operation
    def migrate(self, label: str | None, target: str | None = None, only_back: bool = False) -> Operation[list[Step]]:
        """Lead the database to a target; return the steps that were done."""
        waiting = self.options.report
        op = self._migrate(label, target, only_back)
        return (yield from locked(self.database, op, waiting=lambda: waiting("waiting", self.database.alias)))

    def _migrate(self, label: str | None, target: str | None, only_back: bool) -> Operation[list[Step]]:
        loader = yield from self.load()
        wanted = self.targets(loader, label, target)
        steps = self.plan(loader, wanted)
        if only_back:
            steps = [step for step in steps if step.backwards]
        if not self.options.fake:
            refuse_irreversible(steps)
            self._refuse_below_strangers(loader, steps)
        self.options.report("plan", (loader, steps))
        yield from self._bookkeeping(loader, bool(steps))
        yield from self.run_steps(loader, steps)
        return steps

    def _refuse_below_strangers(self, loader: Loader, steps: Sequence[Step]) -> None:
        """Refuse to undo what migrations stand on that were applied from newer files."""
        labels = {step.node[0] for step in steps if step.backwards}
        ahead = [f"{label}.{name}" for label, name in loader.ahead() if label in labels]
        if ahead:
            raise MigrationError(
                f"the database has migrations of which there is no file here ({choices_text(ahead)}): it was migrated "
                "from newer files, which may stand on what is to be undone. Go back with those files, or forget them "
                "with 'dorm migrate APP --prune'. Nothing was changed."
            )

    def _bookkeeping(self, loader: Loader, needed: bool) -> Operation[None]:
        """Make the recorder's table, and record squashed migrations whose originals are all applied."""
        editor = Editor(self.database)
        missing = [node for node in sorted(loader.replacements) if node in loader.applied]
        if not needed and not missing:
            return
        yield from in_savepoint(recorder.ensure(editor), self.database.alias)
        for node in missing:
            if not (yield from recorder.is_applied(editor, node)):
                yield from recorder.record(editor, node)

    def run_steps(self, loader: Loader, steps: Sequence[Step]) -> Operation[None]:
        """Run *steps* in order, with the signals around them."""
        if not steps:
            return
        states = states_before(loader, steps)
        told: dict[str, Any] = {"apps": None, "fake": self.options.fake}
        yield from notify(pre_migrate, self.database, steps, told)
        for step in steps:
            yield from run_step(self.database, step, states[step.node], self.options)
        last = states[steps[-1].node]
        after = last if steps[-1].backwards else steps[-1].migration.mutate_state(last)
        yield from notify(post_migrate, self.database, steps, {**told, "apps": after.apps})

    @operation
    def reset(self, label: str | None = None, drop_schema: bool = False) -> Operation[tuple[list[Step], list[Step]]]:
        """Undo everything, or one app and what depends on it, and apply it again; return both rows of steps.

        All of it is one transaction where every migration can be part of one.

        Args:
            drop_schema: drop the whole schema instead of undoing migrations.
        """
        op = self._reset(label, drop_schema)
        return (yield from locked(self.database, op))

    def _reset(self, label: str | None, drop_schema: bool) -> Operation[tuple[list[Step], list[Step]]]:
        loader = yield from self.load()
        back = [] if drop_schema else steps_to_zero(loader, label)
        refuse_irreversible(back)
        op = self._again(loader, back, label, drop_schema)
        if self.database.dialect.supports_transactional_ddl and all(
            each.runs_atomically and each.face != "async" for each in loader.graph.nodes.values()
        ):
            op = in_savepoint(op, self.database.alias)
        return (yield from op)

    def _again(
        self, loader: Loader, back: list[Step], label: str | None, drop_schema: bool
    ) -> Operation[tuple[list[Step], list[Step]]]:
        if drop_schema:
            yield from in_savepoint(self._drop_everything(Editor(self.database)), self.database.alias)
            loader = yield from self.load()
        yield from self._bookkeeping(loader, True)
        yield from self.run_steps(loader, back)
        again = yield from self.load()
        forth = self.plan(again, leaves(again, None if label is None else {step.node[0] for step in back} | {label}))
        yield from self.run_steps(again, forth)
        return back, forth

    def _drop_everything(self, editor: Editor) -> Operation[None]:
        yield from editor.dialect.schema.drop_everything(editor)

    @operation
    def note_drop(self) -> Operation[list[Ddl]]:
        """Return the statements that drop the whole schema; nothing is changed."""
        notes: list[Any] = []
        yield from self._drop_everything(Editor(self.database, notes))
        return notes

    # -- dry runs ------------------------------------------------------------------------------------------------
    @operation
    def dry(self, label: str | None, target: str | None = None, only_back: bool = False) -> Operation[list[StepNotes]]:
        """Return what `migrate` would do; nothing is changed, and no user code is called."""
        loader = yield from self.load()
        steps = self.plan(loader, self.targets(loader, label, target))
        if only_back:
            steps = [step for step in steps if step.backwards]
        self.options.report("plan", (loader, steps))
        return (yield from self.note_steps(loader, steps))

    def note_steps(self, loader: Loader, steps: Sequence[Step]) -> Operation[list[StepNotes]]:
        states = states_before(loader, steps)
        editor = Editor(self.database)
        rehearsal = (yield from self.database.dialect.schema.rehearsal(editor)) if steps else None
        found = []
        for step in steps:
            found.append((yield from note_step(self.database, step, states[step.node], self.options, rehearsal)))
        return found

    @operation
    def sql_for(self, label: str, name: str, backwards: bool = False) -> Operation[StepNotes]:
        """Return what one migration does, with the state it runs on; needs no record of what is applied."""
        loader = Loader(None, self.folders)
        migration = loader.get(label, name)
        if migration.node not in loader.graph.nodes:
            # One that a squashed migration stands for: look at the graph of the originals.
            loader = Loader(self._half(loader, migration.node), self.folders)
            migration = loader.get(label, name)
        before = loader.project_state([migration.node], at_end=False)
        rehearsal = yield from self._rehearsal_at(loader, migration, before, backwards)
        return (yield from note_step(self.database, Step(migration, backwards), before, self.options, rehearsal))

    def _rehearsal_at(
        self, loader: Loader, migration: Migration, before: ProjectState, backwards: bool
    ) -> Operation[Rehearsal | None]:
        """Return the tables a migration runs on: the database's if it is at that point, else the state's."""
        schema = self.database.dialect.schema
        rehearsal = yield from schema.rehearsal(Editor(self.database), empty=True)
        if rehearsal is None:
            return None
        applied = yield from recorder.applied(Editor(self.database))
        parents, children = loader.graph.parents[migration.node], loader.graph.children[migration.node]
        next_one = migration.node not in applied and parents <= applied.keys()
        last_one = migration.node in applied and not any(node in applied for node in children)
        if last_one if backwards else next_one:
            return (yield from schema.rehearsal(Editor(self.database)))
        editor = Editor(self.database, [], rehearsal=rehearsal)
        # Apps without migrations are left out: no step changes their tables, and SQLite lets keys point at absent ones.
        migrated = [key for key, state in before.models.items() if state.app_label in loader.migrated]
        models = [before.apps.with_targets(key) for key in migrated]
        yield from create_models(editor, [each for each in models if editor.allows(each._meta.app_label, each)])
        if backwards:
            yield from note_step(self.database, Step(migration), before, self.options, rehearsal)
        return rehearsal

    def _half(self, loader: Loader, node: Node) -> list[Node]:
        replacement = next(each for each in loader.replacements.values() if node in [tuple(r) for r in each.replaces])
        return [(label, name) for label, name in replacement.replaces][:1]

    @operation
    def show(self, label: str) -> Operation[list[tuple[str, bool]]]:
        """Return the migrations of an app in order, each with whether it is applied."""
        loader = yield from self.load()
        return [(name, (label, name) in loader.applied) for _, name in ordered_of(loader, label)]


def ordered_of(loader: Loader, label: str) -> list[Node]:
    """Return the migrations of an app in the order they run."""
    return [node for node in loader.graph.ordered() if node[0] == label]


# -- the two executors -------------------------------------------------------------------------------------------


class BaseExecutor:
    """What `MigrationExecutor` and `AsyncMigrationExecutor` share.

    Args:
        connection: a database, or its alias.
        verbosity: 0 prints nothing.
    """

    def __init__(self, connection: Any = "default", verbosity: int = 1) -> None:
        self.connection: Database = editor_of(connection).database
        self.verbosity = verbosity

    def _runner(self, label: str | None, folder: Any, fake: bool = False, fake_initial: bool = False) -> Runner:
        folders = {label: Path(folder)} if label is not None and folder is not None else {}
        options = Options(fake, fake_initial, default_lock_timeout(), report=Speaker(self.verbosity))
        return Runner(self.connection, folders, options)

    def _go(
        self,
        label: str | None,
        folder: Any,
        target: str | None,
        *,
        dry_run: bool = False,
        fake: bool = False,
        fake_initial: bool = False,
        only_back: bool = False,
        nothing: str = "",
    ) -> Operation[Statements | None]:
        runner = self._runner(label, folder, fake, fake_initial)
        if dry_run:
            quiet = Runner(self.connection, runner.folders, replace(runner.options, report=lambda event, subject: None))
            found = yield from quiet.dry(label, target, only_back)
            if not found:
                self._say(nothing)
            return pairs(found)
        steps = yield from runner.migrate(label, target, only_back)
        if not steps:
            self._say(nothing)
        return None

    def _say(self, text: str) -> None:
        if text and self.verbosity >= 1:
            print(text)

    def _shown(self, label: str, folder: Any) -> Operation[list[tuple[str, bool]]]:
        found = yield from self._runner(label, folder).show(label)
        self._say("\n".join([label, *[f" [{'X' if done else ' '}] {name}" for name, done in found]]))
        return found

    def _sql_for(self, label: str, folder: Any, name: str, backwards: bool) -> Operation[list[CapturedStatement]]:
        notes = yield from self._runner(label, folder).sql_for(label, name, backwards)
        return [CapturedStatement((ddl.sql, list(ddl.params))) for ddl in notes.statements]


class CapturedStatement(tuple[str, list[Any]]):
    """A statement of a dry run: a pair (text, parameters)."""

    @property
    def sql(self) -> str:
        """Text with placeholders."""
        return self[0]

    @property
    def params(self) -> list[Any]:
        """Parameters."""
        return self[1]


_UP_TO_DATE = "No migrations to apply."
_NOTHING = "Nothing to rollback"


class MigrationExecutor(BaseExecutor):
    """Applies and undoes migrations, blocking. `dorm.migrations.aexecutor` has the async twin."""

    def migrate(
        self,
        app_label: str | None = None,
        migrations_dir: Any = None,
        dry_run: bool = False,
        fake: bool = False,
        fake_initial: bool = False,
    ) -> Statements | None:
        """Apply what is not applied of an app (None: of all), with what it depends on.

        Args:
            migrations_dir: the app's folder of migrations; None: that of the installed app.
            dry_run: change nothing, and return the statements as (text, parameters).
            fake: record only. fake_initial: record first migrations whose tables are there.
        Raises: MigrationError.
        """
        return run(
            self._go(
                app_label,
                migrations_dir,
                None,
                dry_run=dry_run,
                fake=fake,
                fake_initial=fake_initial,
                nothing=_UP_TO_DATE,
            )
        )

    def rollback(
        self, app_label: str, migrations_dir: Any, target: str, *, dry_run: bool = False, fake: bool = False
    ) -> Statements | None:
        """Undo the migrations of an app that come after *target* (``"zero"``: all).

        Raises: ValueError: an empty target, or none of that name. MigrationError: something is irreversible; nothing
        was changed.
        """
        return run(
            self._go(app_label, migrations_dir, target, dry_run=dry_run, fake=fake, only_back=True, nothing=_NOTHING)
        )

    def migrate_to(
        self, app_label: str, migrations_dir: Any, target: str, *, dry_run: bool = False, fake: bool = False
    ) -> Statements | None:
        """Go to a migration, forwards or back: full name, unique prefix, number, or ``"zero"``."""
        return run(self._go(app_label, migrations_dir, target, dry_run=dry_run, fake=fake, nothing=_UP_TO_DATE))

    def show_migrations(self, app_label: str, migrations_dir: Any = None) -> list[tuple[str, bool]]:
        """Print and return the migrations of an app, each with whether it is applied."""
        return run(self._shown(app_label, migrations_dir))

    def sql_for(
        self, app_label: str, migrations_dir: Any, name: str, *, backwards: bool = False
    ) -> list[CapturedStatement]:
        """Return the statements of one migration, on the state that it runs on."""
        return run(self._sql_for(app_label, migrations_dir, name, backwards))
