"""From files to the graph of migrations."""

from __future__ import annotations

import sys
import types
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from dorm.conf.registry import registry
from dorm.exceptions import MigrationError, choices_text, nearest
from dorm.migrations.apps import App, find_package, installed_apps, migration_files
from dorm.migrations.graph import Graph, NodeNotFoundError
from dorm.migrations.migration import Migration, Node
from dorm.migrations.operations.base import Operation
from dorm.migrations.state import ModelState, ProjectState

_ATTRIBUTES = ("dependencies", "operations", "replaces", "run_before", "atomic", "initial")


def read_migration(label: str, path: Path, package: str = "") -> Migration:
    """Return the migration of a file: module-level names, or a class ``Migration`` with the same attributes.

    Raises: MigrationError: it cannot be read; the message names file and line.
    """
    name = f"{package}.migrations.{path.stem}" if package else f"dorm_migrations_{label.replace('.', '_')}.{path.stem}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    module.__package__ = name.rpartition(".")[0]
    former = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except Exception as exc:
        if former is None:
            del sys.modules[name]
        else:
            sys.modules[name] = former
        raise MigrationError(f"{path}{line_of(exc, path)}: {type(exc).__name__}: {exc}") from exc
    source: Any = getattr(module, "Migration", None)
    own = isinstance(source, type) and source.__module__ == name
    given = {
        key: getattr(source if own else module, key) for key in _ATTRIBUTES if hasattr(source if own else module, key)
    }
    if "operations" not in given and "dependencies" not in given:
        raise MigrationError(f"{path}: a migration has 'operations' and 'dependencies'; this file has neither.")
    _check(path, given)
    return Migration(name=path.stem, app_label=label, path=path, **given)


def line_of(exc: BaseException, path: Path) -> str:
    """Return ``:<line>`` of the place in *path* where *exc* came from."""
    if isinstance(exc, SyntaxError) and exc.filename == str(path):
        return f":{exc.lineno}"
    trace, line = exc.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f":{line}" if line is not None else ""


def _check(path: Path, given: Mapping[str, Any]) -> None:
    for key in ("dependencies", "replaces", "run_before"):
        for each in given.get(key, ()):
            if not (isinstance(each, (tuple, list)) and len(each) == 2 and all(isinstance(part, str) for part in each)):
                raise MigrationError(f"{path}: {key} takes pairs (app label, migration), not {each!r}.")
    for each in given.get("operations", ()):
        if not isinstance(each, Operation):
            raise MigrationError(f"{path}: operations holds {each!r}, which is no operation.")


class Loader:
    """The migrations on disk, and the graph that they make given what is applied.

    Args:
        applied: what the database has. None: nobody asked.
        folders: folders of migrations by app label, beside those of ``INSTALLED_APPS``.
    """

    def __init__(self, applied: Collection[Node] | None = None, folders: Mapping[str, Path] | None = None) -> None:
        self.folders = {label: Path(folder) for label, folder in (folders or {}).items()}
        self.apps = {app.label: app for app in installed_apps()}
        self.disk: dict[Node, Migration] = {}
        self.migrated: set[str] = set()
        self.applied: set[Node] = set(applied or ())
        self._read()
        self.graph = Graph()
        self.replacements: dict[Node, Migration] = {}
        self._build()

    # -- files ---------------------------------------------------------------------------------------------------
    def _read(self) -> None:
        for label, app in self.apps.items():
            if label not in self.folders and app.is_migrated:
                self._read_folder(label, app.migrations_dir, app.package)
        for label, folder in self.folders.items():
            self._read_folder(label, folder, self._package_of(label, folder))
        for label in self._missing_labels():
            path = find_package(label)
            if path is not None and (path / "migrations").is_dir():
                self._read_folder(label, path / "migrations", label)

    def _missing_labels(self) -> list[str]:
        """Return the labels that migrations depend on and that no app declared."""
        return sorted({label for each in self.disk.values() for label, _ in each.dependencies} - self.migrated)

    def _package_of(self, label: str, folder: Path) -> str:
        app = self.apps.get(label)
        return app.package if app is not None and app.migrations_dir == folder else ""

    def _read_folder(self, label: str, folder: Path, package: str) -> None:
        self.migrated.add(label)
        for path in migration_files(folder):
            migration = read_migration(label, path, package)
            self.disk[migration.node] = migration

    # -- graph ---------------------------------------------------------------------------------------------------
    def _build(self) -> None:
        for migration in self.disk.values():
            self.graph.add_node(migration)
        for migration in self.disk.values():
            for dependency in migration.dependencies:
                parent = self._resolved(tuple(dependency), migration)
                if parent is not None:
                    self.graph.add_dependency(str(migration), migration.node, parent)
            for after in migration.run_before:
                child = self._resolved(tuple(after), migration)
                if child is not None:
                    self.graph.add_dependency(str(migration), child, migration.node)
        self._settle_replacements()
        self.graph.ordered()

    def _resolved(self, dependency: tuple[str, ...], migration: Migration) -> Node | None:
        """Return the migration that a dependency means; None for an app without migrations."""
        label, name = dependency
        if name not in ("__first__", "__latest__"):
            return (label, name)
        if label == migration.app_label:
            return None
        if label not in self.migrated:
            if label in self.apps or registry.all(label):
                return None
            raise NodeNotFoundError(f"{migration} depends on app {label!r}, which is not installed.", (label, name))
        names = sorted(node for node in self.disk if node[0] == label)
        if not names:
            return None
        return names[0] if name == "__first__" else names[-1]

    def _settle_replacements(self) -> None:
        """Let squashed migrations stand for what they replace where all or none of that is applied."""
        for migration in sorted(self.disk.values(), key=lambda each: each.node):
            if not migration.replaces or migration.node not in self.graph.nodes:
                continue
            replaced = [(label, name) for label, name in migration.replaces]
            there = [node in self.applied for node in replaced]
            if all(there) and replaced:
                self.applied.add(migration.node)
            elif migration.node in self.applied and not any(there):
                pass
            if all(there) or not any(there):
                self.graph.replace(migration.node, replaced)
                self.replacements[migration.node] = migration
            elif all(node in self.graph.nodes for node in replaced):
                self.graph.leave_out(migration.node, replaced)
            else:
                gone = [f"{label}.{name}" for label, name in replaced if (label, name) not in self.graph.nodes]
                raise MigrationError(
                    f"{migration} replaces migrations of which only some are applied, and the files of "
                    f"{choices_text(gone)} are gone: put them back, migrate, then remove them."
                )

    def check_history(self) -> None:
        """Raise `MigrationError` where a migration is applied before one it depends on."""
        for node in self.applied:
            for parent in self.graph.parents.get(node, ()):
                if parent not in self.applied:
                    replaced = self.replacements.get(parent)
                    if replaced is not None and all(tuple(each) in self.applied for each in replaced.replaces):
                        continue
                    raise InconsistentMigrationHistory(
                        f"migration {node[0]}.{node[1]} is applied before its dependency {parent[0]}.{parent[1]}: the "
                        "history was edited. Restore the file as it was, or record what the database has with "
                        f"'dorm migrate {parent[0]} {parent[1]} --fake'."
                    )

    def ahead(self) -> list[Node]:
        """Return what is applied and has no file: the database is ahead, or files were removed."""
        replaced = {tuple(each) for migration in self.disk.values() for each in migration.replaces}
        return sorted(
            node for node in self.applied if node not in self.disk and node not in replaced and node[0] in self.migrated
        )

    # -- look-ups ------------------------------------------------------------------------------------------------
    def names(self, label: str) -> list[str]:
        """Return the names of an app's migrations in the graph."""
        return sorted(name for app, name in self.graph.nodes if app == label)

    def get(self, label: str, name: str) -> Migration:
        """Return the migration that a full name, a unique prefix or a number means.

        Raises: MigrationError: none or several; the message lists those there are.
        """
        found = self._matching(label, name)
        if len(found) == 1:
            return self.disk[found[0]]
        names = [each for app, each in sorted(self.disk) if app == label]
        if found:
            raise UnknownMigration(
                f"{name!r} is the beginning of several migrations of {label!r}: {choices_text([n for _, n in found])}."
            )
        raise UnknownMigration(
            f"app {label!r} has no migration {name!r}.{nearest(name, names)} Migrations: {choices_text(names)}."
        )

    def _matching(self, label: str, name: str) -> list[Node]:
        nodes = [node for node in sorted(self.disk) if node[0] == label]
        exact = [node for node in nodes if node[1] == name]
        if exact:
            return exact
        if name.isdigit():
            same = [node for node in nodes if int(node[1].partition("_")[0]) == int(name)]
            graph = [node for node in same if node in self.graph.nodes]
            if same:
                return graph or same
        found = [node for node in nodes if node[1].startswith(name)]
        return found

    def labels(self) -> list[str]:
        """Return the labels of the apps: installed ones and those with migrations."""
        return list(dict.fromkeys([*self.apps, *sorted(self.migrated)]))

    def app(self, label: str) -> App | None:
        """Return an installed app by its label."""
        return self.apps.get(label)

    # -- state ---------------------------------------------------------------------------------------------------
    def project_state(self, nodes: Iterable[Node] | None = None, at_end: bool = True) -> ProjectState:
        """Return the state after *nodes* and what they depend on; None for all migrations.

        Args:
            at_end: False leaves the very *nodes* out.
        """
        wanted = self.graph.ordered() if nodes is None else self.graph.forwards_plan(nodes)
        left_out = set() if at_end or nodes is None else set(nodes)
        state = self.unmigrated_state()
        for node in wanted:
            if node not in left_out:
                self.graph.nodes[node].mutate_state(state, preserve=False)
        return state

    def unmigrated_state(self) -> ProjectState:
        """Return the state of the models of apps without migrations: they are there from the beginning."""
        found: dict[str, ModelState] = {}
        for model in registry.all():
            meta = model._meta
            if meta.app_label not in self.migrated and not meta.auto_created:
                state = ModelState.from_model(model)
                found[state.key] = state
        return ProjectState(found, real_apps={state.app_label for state in found.values()})


class UnknownMigration(MigrationError, ValueError):
    """No migration, or more than one, has the name that was asked for."""


class InconsistentMigrationHistory(MigrationError):
    """A migration is applied before one that it depends on."""
