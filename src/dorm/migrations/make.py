"""Making migrations: what changed since the files, merged leaves, squashed ranges; and writing them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dorm.exceptions import MigrationError, choices_text
from dorm.migrations.autodetector import MigrationAutodetector
from dorm.migrations.loader import Loader
from dorm.migrations.migration import Migration, Node
from dorm.migrations.operations.special import RunSQL
from dorm.migrations.optimise import optimise
from dorm.migrations.questions import Questioner
from dorm.migrations.state import ProjectState
from dorm.migrations.writer import check_name, next_number, write


def changes(
    loader: Loader,
    labels: Sequence[str] | None = None,
    questioner: Questioner | None = None,
    name: str | None = None,
    rename_hints: Any = None,
) -> list[Migration]:
    """Return the migrations that the declared models need, named and with dependencies; nothing is written."""
    conflicts = loader.graph.conflicts()
    if conflicts:
        label, names = next(iter(conflicts.items()))
        raise MigrationError(
            f"Conflicting migrations detected; multiple leaf nodes in the migration graph: {choices_text(names)} in "
            f"{label}. To fix them run 'dorm makemigrations --merge'."
        )
    chosen = list(labels) if labels is not None else [*sorted(loader.migrated), *begins_now(loader)]
    before = loader.project_state()
    after = ProjectState.from_apps()
    for state in list(before.models.values()):
        if state.app_label in before.real_apps and state.app_label in chosen:
            # The models of an app that begins with migrations now: none of them is in a file.
            del before.models[state.key]
    for state in list(after.models.values()):
        if state.app_label not in chosen and state.key in before.models:
            after.models[state.key] = before.models[state.key]
        elif state.app_label not in loader.apps and state.app_label not in loader.folders:
            after.models.pop(state.key)
    before.real_apps = before.real_apps - set(chosen)
    detector = MigrationAutodetector(before, after, rename_hints, questioner=questioner)
    found = detector.migrations(loader.graph, labels)
    return named(loader, found, name)


def begins_now(loader: Loader) -> list[str]:
    """Return the apps of the project itself that have models and no folder of migrations yet."""
    here = Path.cwd().resolve()
    return [
        label
        for label, app in loader.apps.items()
        if label not in loader.migrated
        and app.path.resolve().is_relative_to(here)
        and not {"site-packages", "dist-packages"}.intersection(app.path.parts)
    ]


def named(loader: Loader, found: Sequence[Migration], name: str | None = None) -> list[Migration]:
    """Give migrations their names and their dependencies as nodes."""
    counts: dict[str, int] = {}
    for migration in found:
        label = migration.app_label
        if label not in counts:
            counts[label] = next_number(folder_of(loader, label))
        else:
            counts[label] += 1
        migration.name = f"{counts[label]:04}_{check_name(name or migration.suggest_name())}"
    for migration in found:
        nodes: list[Node] = [
            each.node if isinstance(each, Migration) else (each[0], each[1]) for each in migration.dependencies
        ]
        migration.dependencies = list(dict.fromkeys(nodes))
    return list(found)


def folder_of(loader: Loader, label: str) -> Path:
    """Return the folder of an app's migrations."""
    if label in loader.folders:
        return loader.folders[label]
    app = loader.app(label)
    if app is None:
        raise MigrationError(
            f"No installed app with label {label!r}: add its package to INSTALLED_APPS. "
            f"Apps: {choices_text(loader.apps)}."
        )
    return app.migrations_dir


def write_all(loader: Loader, migrations: Sequence[Migration]) -> list[Path]:
    """Write migrations into the folders of their apps."""
    return [write(migration, folder_of(loader, migration.app_label)) for migration in migrations]


def merges(loader: Loader, name: str | None = None) -> list[Migration]:
    """Return a migration for each app with several last ones, which depends on all of them."""
    found = []
    for label, leaves in loader.graph.conflicts().items():
        dependencies = [(label, leaf) for leaf in leaves]
        _refuse_clashes(loader, dependencies)
        number = next_number(folder_of(loader, label))
        suffix = name or "merge_" + "_".join(leaf.partition("_")[0] for leaf in sorted(leaves))
        found.append(Migration(name=f"{number:04}_{check_name(suffix)}", app_label=label, dependencies=dependencies))
    return found


def _refuse_clashes(loader: Loader, leaves: Sequence[Node]) -> None:
    """Refuse to merge branches that touch the same field in different ways: their order would decide."""
    branches = [set(loader.graph.forwards_plan(leaf)) for leaf in leaves]
    common = set.intersection(*branches)
    touched: dict[Any, Node] = {}
    for leaf, branch in zip(leaves, branches, strict=True):
        for node in branch - common:
            for operation in loader.graph.nodes[node].operations:
                model = getattr(operation, "model_name_lower", None)
                field = getattr(operation, "name", None)
                if model is None or field is None:
                    continue
                other = touched.setdefault((node[0], model, field), leaf)
                if other != leaf:
                    raise MigrationError(
                        f"{other[1]} and {leaf[1]} of {leaf[0]!r} both change {model}.{field}: mend one of them by "
                        "hand, then merge."
                    )


def squash(
    loader: Loader, label: str, end: str, start: str | None = None, name: str | None = None, optimised: bool = True
) -> Migration:
    """Return one migration that stands for those from *start* (the first) to *end* of an app."""
    last = loader.get(label, end).node
    if last not in loader.graph.nodes:
        raise MigrationError(f"{label}.{last[1]} is replaced by a squashed migration already.")
    chosen = [node for node in loader.graph.forwards_plan(last) if node[0] == label]
    if start is not None:
        first = loader.get(label, start).node
        if first not in chosen:
            raise MigrationError(f"{label}.{first[1]} does not come before {label}.{last[1]}.")
        chosen = chosen[chosen.index(first) :]
    if len(chosen) < 2:
        raise MigrationError(f"there is one migration only between these: {label}.{chosen[0][1]}; nothing to squash.")
    migrations = [loader.graph.nodes[node] for node in chosen]
    operations = [operation for each in migrations for operation in each.operations if not operation.elidable]
    among = set(chosen)
    dependencies = [(a, b) for each in migrations for a, b in each.dependencies if (a, b) not in among]
    replaces: list[Node] = []
    for each in migrations:
        replaces.extend([(a, b) for a, b in each.replaces] if each.replaces else [each.node])
    number = chosen[0][1].partition("_")[0]
    made = f"{number}_{check_name(name)}" if name else f"{number}_squashed_{chosen[-1][1]}"
    return Migration(
        name=made,
        app_label=label,
        operations=optimise(operations, label) if optimised else operations,
        dependencies=list(dict.fromkeys(dependencies)),
        replaces=replaces,
        atomic=all(each.atomic for each in migrations),
        initial=True if migrations[0].is_initial and start is None else None,
    )


def empty(loader: Loader, labels: Sequence[str], name: str | None = None) -> list[Migration]:
    """Return a migration without operations for each app."""
    found = []
    for label in labels:
        leaves = loader.graph.leaf_nodes(label)
        number = next_number(folder_of(loader, label))
        made = Migration(
            name=f"{number:04}_{check_name(name or 'custom')}",
            app_label=label,
            dependencies=leaves[-1:],
            initial=None if leaves else True,
        )
        found.append(made)
    return found


def enable_pgvector(migration: Migration) -> None:
    """Let a migration begin with the extension that vector columns need."""
    extension = RunSQL(
        "CREATE EXTENSION IF NOT EXISTS vector", "DROP EXTENSION IF EXISTS vector", hints={"extension": "vector"}
    )
    migration.operations = [extension, *migration.operations]
