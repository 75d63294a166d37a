"""What long commands say while they run: plain lines where nobody watches, an updated line on a terminal."""

from __future__ import annotations

import sys
from typing import Any

import click

from dorm.cli.project import is_terminal
from dorm.migrations.speaker import Speaker


class Bar:
    """How far something is: a bar on a terminal, which stderr and stdin are; nothing elsewhere."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            if not is_terminal():
                return
            self._bar = click.progressbar(length=total, label=self.label, file=sys.stderr)
            self._bar.__enter__()
        self._bar.update(done - self._bar.pos)
        if done >= total:
            self._bar.__exit__(None, None, None)


class MigrationReport(Speaker):
    """Says which migration runs."""

    loader: Any = None
    """The loader of the plan, once there is one."""

    def line(self, text: str) -> None:
        """Print a line unless told to be quiet."""
        if self.verbosity >= 1:
            click.echo(text)

    def __call__(self, event: str, subject: Any) -> None:
        if event == "plan":
            self.loader, steps = subject
            for step in steps if self.verbosity >= 2 else ():
                click.echo(f"  {'undo' if step.backwards else 'apply'} {step.migration}")
        super().__call__(event, subject)
        sys.stdout.flush()
