"""What the commands call: functions on a database by its alias, blocking."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dorm.conf.registry import registry
from dorm.db.connection import connections
from dorm.db.operation import run
from dorm.exceptions import MigrationError, choices_text
from dorm.migrations import recorder
from dorm.migrations.apps import installed_apps, resolve_label
from dorm.migrations.editor import Editor
from dorm.migrations.executor import Runner, ordered_of
from dorm.migrations.loader import Loader
from dorm.migrations.make import changes
from dorm.migrations.migration import Node
from dorm.migrations.plan import Step, steps_to_zero
from dorm.migrations.run import Options, Report, StepNotes, default_lock_timeout
from dorm.migrations.schema import create_tables


def _runner(alias: str, **options: Any) -> Runner:
    return Runner(connections[alias], options=Options(lock_timeout=default_lock_timeout(), **options))


def resolve(label: str | None, target: str | None, either: bool = False) -> tuple[str | None, str | None]:
    """Return the label and the target that the arguments of a command mean.

    Args:
        either: a single argument that is no app may be a target, if exactly one app has a migration of that name.
    Raises: MigrationError: an unknown app; the message lists those there are.
    """
    if label is None:
        return None, None
    loader = Loader()
    try:
        return resolve_label(label, loader.labels()), target
    except MigrationError:
        if not either or target is not None:
            raise
    owners = []
    for each in loader.labels():
        try:
            loader.get(each, label)
        except MigrationError:
            continue
        owners.append(each)
    if len(owners) != 1:
        raise MigrationError(
            f"{label!r} is no app, and the name of a migration in {len(owners)} apps. "
            f"Apps: {choices_text(loader.labels())}."
        )
    return owners[0], label


def migrate(
    alias: str,
    label: str | None = None,
    target: str | None = None,
    *,
    fake: bool = False,
    fake_initial: bool = False,
    report: Report = lambda event, subject: None,
) -> list[Step]:
    """Lead a database to a target; return the steps that were done."""
    return run(_runner(alias, fake=fake, fake_initial=fake_initial, report=report).migrate(label, target))


@dataclass(frozen=True)
class Plan:
    """What would be done.

    Attributes:
        sizes: bytes of the tables that are there, by name, where the backend tells.
        warnings: what somebody should know before.
    """

    notes: Sequence[StepNotes]
    backwards_wanted: bool
    sizes: dict[str, int] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def dry(alias: str, label: str | None = None, target: str | None = None) -> Plan:
    """Return what `migrate` would do; nothing is changed."""
    notes = run(_runner(alias).dry(label, target))
    others = sorted({each.step.migration.app_label for each in notes if each.step.backwards} - {label})
    warnings = [f"warning: {other} depends on what is undone, and is undone too." for other in others if label]
    return Plan(notes, target is not None, table_sizes(alias, notes), warnings)


def table_sizes(alias: str, notes: Sequence[StepNotes]) -> dict[str, int]:
    """Return the bytes of the tables that statements touch, where the backend tells."""
    database = connections[alias]
    editor = Editor(database)
    found: dict[str, int] = {}
    touched = {name for each in notes for ddl in each.statements for name in (ddl.table, *dict(ddl.others)) if name}
    for table in sorted(touched):
        query = database.dialect.table_size(table)
        if query is not None:
            rows = run(editor.read(*query))
            if rows and rows[0][0] is not None:
                found[table] = int(rows[0][0])
    return found


def sql_for(alias: str, label: str, name: str, *, backwards: bool = False) -> StepNotes:
    """Return what one migration does, in either direction."""
    return run(_runner(alias).sql_for(label, name, backwards))


def unapplied(alias: str, label: str | None = None) -> list[Node]:
    """Return the migrations that are not applied, in order."""
    loader = run(_runner(alias).load())
    return [node for node in loader.graph.ordered() if node not in loader.applied and label in (None, node[0])]


def prune(alias: str, label: str) -> list[Node]:
    """Forget the recorded migrations of an app whose files are gone; return them.

    Raises: MigrationError: a squashed migration still names some of them.
    """
    loader = run(_runner(alias).load())
    gone = [node for node in sorted(loader.applied) if node[0] == label and node not in loader.disk]
    replacing = [each for each in loader.disk.values() if any(tuple(node) in gone for node in each.replaces)]
    if replacing:
        raise MigrationError(
            f"{replacing[0]} still replaces migrations that would be pruned: remove its 'replaces' first."
        )
    editor = Editor(connections[alias])
    for node in gone:
        run(recorder.forget(editor, node))
    return gone


def create_unmigrated(alias: str) -> list[str]:
    """Make the tables of apps without migrations that are not there; return their names."""
    database = connections[alias]
    migrated = {app.label for app in installed_apps() if app.is_migrated}
    installed = {app.label for app in installed_apps()}
    editor = Editor(database)
    missing = [
        model
        for model in registry.all()
        if model._meta.app_label in installed - migrated
        and not model._meta.auto_created
        and editor.allows(model._meta.app_label, model)
        and not run(database.dialect.schema.table_exists(editor, model._meta.db_table))
    ]
    create_tables(missing, alias)
    return [model._meta.db_table for model in missing]


def pending_changes(alias: str, loader: Loader | None = None) -> list[str]:
    """Return what there is to say when nothing is to be applied: changed models, a database ahead of the files."""
    loader = loader or run(_runner(alias).load())
    found = []
    ahead = loader.ahead()
    if ahead:
        names = choices_text(f"{app}.{name}" for app, name in ahead)
        found.append(
            f"The database has migrations that are not in these files ({names}): it was migrated from newer ones."
        )
    labels = sorted({each.app_label for each in changes(loader) if each.app_label in loader.migrated})
    if labels:
        found.append(
            f"The models of {choices_text(labels)} have changes that no migration has yet: run 'dorm makemigrations'."
        )
    return found


@dataclass(frozen=True)
class ShownMigration:
    """One line of ``showmigrations``."""

    app: str
    name: str
    applied_at: datetime.datetime | None
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """What ``showmigrations`` lists."""

    labels: Sequence[str]
    rows: Sequence[ShownMigration]


def show(alias: str, apps: Sequence[str] = (), in_plan_order: bool = False) -> Shown:
    """Return the migrations of all apps, or of some, and since when they are applied."""
    runner = _runner(alias)
    applied = run(runner.applied())
    loader = Loader(applied)
    begun = run(recorder.begun(Editor(connections[alias])))
    labels = [resolve_label(app, loader.labels()) for app in apps] or loader.labels()
    nodes = loader.graph.ordered() if in_plan_order else [n for label in labels for n in ordered_of(loader, label)]
    rows = []
    for node in nodes:
        if node[0] in labels:
            replaces = loader.graph.nodes[node].replaces
            note = f" ({len(replaces)} squashed migrations)" if replaces else ""
            moment = applied.get(node)
            if moment is None and node in loader.applied and replaces:
                moment = applied.get((replaces[-1][0], replaces[-1][1]))
                note += " run 'migrate' to finish recording."
            if node in begun:
                note += f" (begun: {begun[node]} of {len(loader.graph.nodes[node].operations)} operations are done)"
            rows.append(ShownMigration(node[0], node[1], moment, note))
    for node in loader.ahead():
        if node[0] in labels:
            rows.append(ShownMigration(node[0], node[1], applied.get(node), " (recorded; there is no file)"))
    return Shown(labels, rows)


def dry_reset(alias: str, label: str | None = None) -> list[StepNotes]:
    """Return how everything (or one app, and what depends on it) would be undone."""
    runner = _runner(alias)
    loader = run(runner.load())
    return run(runner.note_steps(loader, steps_to_zero(loader, label)))


def dry_drop(alias: str) -> list[str]:
    """Return the statements that drop all that stands in a database's schema."""
    return [ddl.sql for ddl in run(_runner(alias).note_drop())]


def strangers(alias: str) -> list[Node]:
    """Return the recorded migrations of which there is no file, also of apps that are no longer installed."""
    loader = run(_runner(alias).load())
    replaced = {tuple(each) for migration in loader.disk.values() for each in migration.replaces}
    return sorted(node for node in loader.applied if node not in loader.disk and node not in replaced)


def reset(
    alias: str,
    label: str | None = None,
    report: Report = lambda event, subject: None,
    *,
    drop_schema: bool = False,
) -> tuple[int, int]:
    """Undo everything (or one app, and what depends on it) and apply it again; return both numbers of migrations.

    Args:
        drop_schema: drop all that stands in the schema instead of undoing migrations.
    """
    runner = _runner(alias, report=report)
    back, forth = run(runner.reset(label, drop_schema))
    return len(back), len(forth)
