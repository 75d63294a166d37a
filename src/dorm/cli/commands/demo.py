"""``dorm demo``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from dorm.exceptions import DormError

_PIPED_WIDTH = 100


def _console() -> Console:
    """Return a console of the terminal's width, or of a fixed one where there is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_WIDTH)


@click.command()
@click.option("--database", "url", metavar="URL", help="Run on this database instead of a SQLite file.")
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Keep the project in this folder.")
@click.option("--limit", "most", type=click.IntRange(min=1), metavar="N", help="Load N flights instead of 336,776.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR", help="Where the data set is kept.")
def demo(url: str | None, keep: Path | None, most: int | None, cache: Path | None) -> None:
    """Show dorm at work on every flight that left New York in 2013."""
    from dorm.demo.api import run  # the demo's models register themselves: only for this command

    try:
        run(_console(), url, keep, most, cache)
    except DormError as exc:
        raise click.ClickException(str(exc)) from exc
