"""What the demo is shown with: scenes with the code, its SQL, the time and the results."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from dorm.signals import pre_query

T = TypeVar("T")

_LONGEST_SQL = 1_500
_PLACEHOLDERS = re.compile(r"([?$]\d+), (?:[?$]\d+, ){4,}([?$]\d+)")


class Stage:
    """Prints scenes to a console; collects the statements that are sent meanwhile."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.statements: list[str] = []
        pre_query.connect(self._listen)

    def _listen(self, sql: str, **told: Any) -> None:
        self.statements.append(sql)

    def close(self) -> None:
        """Stop listening."""
        pre_query.disconnect(self._listen)

    def title(self, text: str) -> None:
        """Print the heading of an act."""
        self.console.print()
        self.console.rule(f"[bold cyan]{text}", align="left")

    def say(self, text: str) -> None:
        """Print a sentence."""
        self.console.print(text)

    def scene(self, code: str, play: Callable[[], T]) -> T:
        """Print *code*, do what it says, print the SQL it sent and the time; return the result."""
        self.console.print()
        self.console.print(Syntax(code, "python", background_color="default", word_wrap=True))
        self.statements.clear()
        start = perf_counter()
        result = play()
        elapsed = (perf_counter() - start) * 1000
        sent = list(self.statements)
        for sql in sent[:3]:
            self.console.print(Syntax(_shown(sql), "sql", background_color="default", word_wrap=True))
        more = f", {len(sent) - 3} more not shown" if len(sent) > 3 else ""
        plural = "" if len(sent) == 1 else "s"
        self.console.print(f"[dim]{len(sent)} statement{plural}{more}, {elapsed:,.1f} ms[/dim]")
        return result

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print rows."""
        table = Table(*columns, header_style="bold", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*[_cell(value) for value in row])
        self.console.print(table)

    def error(self, exc: Exception) -> None:
        """Print an error as the user would read it."""
        self.console.print(Panel(Text(f"{type(exc).__name__}: {exc}"), border_style="red", expand=False))

    @contextmanager
    def progress(self, what: str, total: int | None) -> Generator[Callable[[int], None]]:
        """Show a progress bar; the function given counts further."""
        columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(what, total=total)
            yield lambda count: progress.update(task, advance=count)


def _cell(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else "" if value is None else str(value)


def _shown(sql: str) -> str:
    text = _PLACEHOLDERS.sub(r"\1, ..., \2", re.sub(r"\s+", " ", sql))
    return text if len(text) <= _LONGEST_SQL else f"{text[:_LONGEST_SQL]} ..."
