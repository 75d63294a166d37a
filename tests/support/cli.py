"""The installed command in a scratch project."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

_SRC = str(Path(__file__).parent.parent.parent / "src")


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


class Scratch:
    """A folder with a project, in which commands are run as a user would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    def app(self, name: str, models: str) -> None:
        self.write(f"{name}/__init__.py", "")
        self.write(f"{name}/models.py", "import dorm\n\n" + dedent(models))

    def settings(self, database: str = "sqlite:///db.sqlite3", apps: str = "['blog']", more: str = "") -> None:
        text = f"DATABASES = {{'default': {database!r}}}\nINSTALLED_APPS = {apps}\n{dedent(more)}"
        (self.folder / "settings.py").write_text(text)

    def run(self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Ran:
        """Run ``dorm`` in a process of its own."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DORM_", "PG"))}
        done = subprocess.run(
            [sys.executable, "-m", "dorm", *arguments],
            cwd=self.folder,
            env={**inherited, "PYTHONPATH": _SRC, "DORM_CHECK_OPERATIONS": "1", **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, **options: str) -> str:
        """Run a command that must succeed; return its output."""
        ran = self.run(*arguments, **options)
        assert ran.code == 0, f"{arguments}: exit {ran.code}\n{ran.out}\n{ran.err}"
        return ran.out
