"""Scratch projects for tests: apps with migrations in a folder of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

HEADER = """\
import datetime
import decimal

import dorm
from dorm.migrations import operations as ops

"""


class Project:
    """A folder with apps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def app(self, label: str, migrations: Mapping[str, str] | None = None, models: str = "") -> Path:
        """Write an app; *migrations* are bodies by name. Return the folder of the migrations."""
        package = self.folder / label
        (package / "migrations").mkdir(parents=True, exist_ok=True)
        for path in (package, package / "migrations"):
            (path / "__init__.py").touch()
        if models:
            (package / "models.py").write_text(f"import dorm\n\n{dedent(models)}")
        for name, body in (migrations or {}).items():
            self.migration(label, name, body)
        return package / "migrations"

    def migration(self, label: str, name: str, body: str) -> Path:
        """Write one migration."""
        path = self.folder / label / "migrations" / f"{name}.py"
        path.write_text(HEADER + dedent(body))
        return path


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Make the packages in *folder* importable, and forget them afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(str(folder)):
                del sys.modules[name]
