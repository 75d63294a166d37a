"""The installed command in a scratch project."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

_PATIENCE = 300
"""Seconds after which a command is taken for stuck; others may have the machine meanwhile."""
_SRC = str(Path(__file__).parent.parent.parent / "src")


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


_SOME_DAY = 946_684_800
"""The first second of the year 2000, from which files of projects are dated; archives take none before 1980."""


class Scratch:
    """A folder with a project, in which commands are run as a user would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written = _SOME_DAY

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        # Python takes a file for the one it compiled when the size is the same, and the second in which it was written.
        self._written += 2
        os.utime(path, (self._written, self._written))
        return path

    def app(self, name: str, models: str) -> None:
        self.write(f"{name}/__init__.py", "")
        self.write(f"{name}/models.py", "import dorm\n\n" + dedent(models))

    def settings(self, database: str = "sqlite:///db.sqlite3", apps: str = "['blog']", more: str = "") -> None:
        text = f"DATABASES = {{'default': {database!r}}}\nINSTALLED_APPS = {apps}\n{dedent(more)}"
        self.write("settings.py", text)

    def run(
        self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None, under: Sequence[str] = ()
    ) -> Ran:
        """Run ``dorm`` in a process of its own; *under* is a command that runs it."""
        done = subprocess.run(
            [*under, sys.executable, "-m", "dorm", *arguments],
            cwd=self.folder,
            env=self._environment(env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    @staticmethod
    def _environment(more: dict[str, str] | None = None) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DORM_", "PG"))}
        return {**inherited, "PYTHONPATH": _SRC, "DORM_CHECK_OPERATIONS": "1", **(more or {})}

    def on_terminal(self, *arguments: str, typed: str = "") -> Ran:
        """Run ``dorm`` on a terminal (but for stdout) on which somebody types; `err` is what the terminal shows."""
        ours, theirs = pty.openpty()
        with open(self.folder / "stdout", "w+") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "dorm", *arguments],
                cwd=self.folder,
                env=self._environment(),
                stdin=theirs,
                stdout=out,
                stderr=theirs,
            )
            os.close(theirs)
            os.write(ours, typed.encode())
            shown = b""
            with contextlib.suppress(OSError):  # that is how the end of a terminal is told
                while piece := os.read(ours, 4096):
                    shown += piece
            code = process.wait(timeout=_PATIENCE)
            os.close(ours)
            out.seek(0)
            return Ran(code, out.read(), shown.decode())

    def ok(self, *arguments: str, **options: Any) -> str:
        """Run a command that must succeed; return its output."""
        ran = self.run(*arguments, **options)
        assert ran.code == 0, f"{arguments}: exit {ran.code}\n{ran.out}\n{ran.err}"
        return ran.out
