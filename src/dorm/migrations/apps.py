"""The apps of a project, found without importing them: label, package, folder of the migrations."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured, MigrationError, choices_text, nearest

_LABEL = re.compile(r"""^\s+app_label\s*(?::\s*[\w.\[\]]+\s*)?=\s*["']([\w.]+)["']""", re.MULTILINE)
MIGRATION_FILE = re.compile(r"\d+_\w+\.py\Z")


@dataclass(frozen=True, slots=True)
class App:
    """One entry of ``INSTALLED_APPS``.

    Attributes:
        label: what its migrations and models are filed under. package: import path. path: its folder.
    """

    label: str
    package: str
    path: Path

    @property
    def migrations_dir(self) -> Path:
        return self.path / "migrations"

    @property
    def is_migrated(self) -> bool:
        """True when it has a folder of migrations."""
        return self.migrations_dir.is_dir()

    def migration_files(self) -> list[Path]:
        """Return the files of its migrations, by name."""
        return migration_files(self.migrations_dir)


def migration_files(folder: Path) -> list[Path]:
    """Return the files of migrations in a folder, by name; helpers and ``__init__`` are none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if MIGRATION_FILE.match(path.name) and not path.is_dir())


def find_package(name: str) -> Path | None:
    """Return the folder of a package without importing it or its parents; None when there is none."""
    search: Iterable[str] | None = None
    spec: ModuleSpec | None = None
    for part in name.split("."):
        spec = PathFinder.find_spec(part, list(search) if search is not None else None)
        if spec is None and search is None:
            spec = _found_elsewhere(part)
        if spec is None or spec.submodule_search_locations is None:
            return None
        search = spec.submodule_search_locations
    locations = list(search or ())
    return Path(locations[0]) if locations else None


def _found_elsewhere(name: str) -> ModuleSpec | None:
    """Ask the other finders for a package at the top (packages in development have some); that imports nothing."""
    for finder in sys.meta_path:
        if finder is not PathFinder and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, None)
            if spec is not None:
                return spec
    return None


def label_of(package: str, path: Path) -> str:
    """Return the label that the models of a package declare, else the package's name."""
    models = path / "models.py"
    files = [models] if models.is_file() else sorted((path / "models").glob("*.py"))
    found = {label for file in files for label in _LABEL.findall(file.read_text(errors="replace"))}
    return found.pop() if len(found) == 1 else package


def installed_apps(missing: list[str] | None = None) -> list[App]:
    """Return the apps of ``INSTALLED_APPS``.

    Args:
        missing: where entries that cannot be found are put; without it they are an error.
    """
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    found: list[App] = []
    for entry in settings.INSTALLED_APPS if settings.is_configured else []:
        path = find_package(entry)
        if path is not None:
            found.append(App(label_of(entry, path), entry, path))
        elif missing is not None:
            missing.append(entry)
        else:
            raise ImproperlyConfigured(
                f"INSTALLED_APPS names {entry!r}, which is no package that can be found from here "
                f"({Path.cwd()}): check the spelling, and that its folder has an __init__.py."
            )
    return found


def resolve_label(given: str, labels: Iterable[str]) -> str:
    """Return the label that *given* means: itself, or the only one that ends with it.

    Raises: MigrationError: none, or several.
    """
    known = list(dict.fromkeys(labels))
    if given in known:
        return given
    ending = [label for label in known if label.rpartition(".")[2] == given]
    if len(ending) == 1:
        return ending[0]
    raise MigrationError(f"No installed app with label {given!r}.{nearest(given, known)} Apps: {choices_text(known)}.")
