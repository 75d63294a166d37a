"""Scratch projects for tests: apps with migrations in a folder of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

HEADER = """\
import datetime
import decimal

import dorm
from dorm.migrations import operations as ops

"""
TOUCH = """

def touch(app_label, registry):
    assert registry.get_model('shop', 'Book').objects.count() >= 0

"""
"""A function for RunPython."""
OUTSIDE = ("concurrently", "AddPGEnumValue", "BackfillBatch", "SetNotNullOnline", "AlterColumnTypeOnline")
"""Steps that run outside the runner's transaction."""


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

    def steps(self, label: str, operations: Sequence[str]) -> Path:
        """Write an app with a migration for each text of operations, numbered from 1; return its folder."""
        folder = self.app(label)
        before = ""
        for number, text in enumerate(operations, 1):
            atomic = "atomic = False\n" if any(word in text for word in OUTSIDE) else ""
            body = f"{atomic}dependencies = [{before}]\n{TOUCH}\noperations = [{text}]\n"
            self.migration(label, f"{number:04}_step", body)
            before = f"({label!r}, '{number:04}_step')"
        return folder


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
