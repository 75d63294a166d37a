"""``dorm dumpdata``, ``loaddata``, ``flush``."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from dorm.cli.project import FAILED, check_alias, database_option, is_terminal, project_command, write_file

_CHUNK = 2_000
"""Rows that dumpdata reads at a time."""


@project_command()
@click.argument("targets", nargs=-1)
@click.option("--indent", type=click.IntRange(min=0), metavar="N", help="Spaces of indentation.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
@click.option("--exclude", "-e", multiple=True, metavar="TARGET", help="Leave this app or model out.")
@database_option
def dumpdata(
    targets: tuple[str, ...], indent: int | None, output: Path | None, exclude: tuple[str, ...], database: str
) -> None:
    """Print the rows of all models, or of TARGETS ("app" or "app.Model"), as a JSON fixture."""
    from dorm.cli.output import Bar
    from dorm.migrations.compare import chosen_models
    from dorm.migrations.schema import in_order

    check_alias(database)
    models = chosen_models(targets)
    left_out = chosen_models(exclude) if exclude else []
    chosen = [model for model in in_order(models) if model not in left_out]
    if output is None:
        for piece in pieces_of(records_of(chosen, database), indent):
            click.echo(piece, nl=False)
        return
    bar = Bar("dumpdata")
    total = sum(model._base_manager.using(database).count() for model in chosen) if is_terminal() else 0
    written = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal written
        for record in records_of(chosen, database):
            written += 1
            bar(written, max(total, written))
            yield record

    write_file(output, pieces_of(counted(), indent))
    click.echo(f"Wrote {written} record(s) to {output}", err=True)


def records_of(models: Iterable[Any], database: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of models as records, by their keys; no more than some thousand are held at a time."""
    from dorm.serialize import serialize

    for model in models:
        rows = model._base_manager.using(database).order_by("pk").iterator(chunk_size=_CHUNK)
        while chunk := list(islice(rows, _CHUNK)):
            yield from serialize(chunk, using=database)


def pieces_of(records: Iterable[dict[str, Any]], indent: int | None) -> Iterator[str]:
    """Yield the JSON text of a list of records, piece by piece."""
    # With the first record: where nothing can be read, nothing is written.
    separator = "["
    for record in records:
        text = json.dumps(record, indent=indent, ensure_ascii=False)
        if indent is None:
            yield f"{separator}{text}"
            separator = ", "
        else:
            # No line of JSON text begins within a value.
            yield f"{separator}\n{textwrap.indent(text, ' ' * indent)}"
            separator = ","
    if separator == "[":
        yield "[]\n"
    else:
        yield "]\n" if indent is None else "\n]\n"


@project_command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--ignorenonexistent", "-i", is_flag=True, help="Leave out models and fields that do not exist.")
@database_option
@click.pass_context
def loaddata(ctx: click.Context, files: tuple[Path, ...], ignorenonexistent: bool, database: str) -> None:
    """Load the records of fixture FILES ("-" is stdin); each file in one transaction."""
    from dorm.cli.output import Bar
    from dorm.exceptions import DormError
    from dorm.serialize import load, read_fixture

    check_alias(database)
    total = 0
    for path in files:
        try:
            text = sys.stdin.read() if str(path) == "-" else read_fixture(_find(path))
            count = load(text, using=database, ignorenonexistent=ignorenonexistent, progress=Bar(f"{path}"))
        except (DormError, OSError, UnicodeDecodeError) as exc:
            click.echo(f"loaddata: {path}: {exc}", err=True)
            ctx.exit(FAILED)
        total += count
        click.echo(f"{path}: {count} record(s)")
    if len(files) > 1:
        click.echo(f"Installed {total} record(s) from {len(files)} files")


def _find(path: Path) -> Path:
    """Return the file: as named, with ``.json``, or in the folder ``fixtures`` of an app."""
    from dorm.migrations.apps import installed_apps

    folders = [Path(), *[app.path / "fixtures" for app in installed_apps()]]
    for folder in folders:
        for name in (str(path), f"{path}.json", f"{path}.json.gz"):
            if (folder / name).is_file():
                return folder / name
    raise FileNotFoundError(f"there is no fixture of that name (looked here and in {len(folders) - 1} apps' fixtures)")


@project_command()
@click.option("--noinput", "--no-input", is_flag=True, help="Ask nothing.")
@database_option
@click.pass_context
def flush(ctx: click.Context, noinput: bool, database: str) -> None:
    """Remove all rows of all models; the tables and the record of migrations stay."""
    from dorm.migrations.flush import flush as flush_tables

    check_alias(database)
    if not noinput:
        click.echo(f"This removes every row of {database!r}.", err=True)
        if click.prompt("Type 'yes' to go on", default="", show_default=False, err=True) != "yes":
            click.echo("Flush cancelled.", err=True)
            ctx.exit(FAILED)
    count = flush_tables(database)
    click.echo(f"Flushed {count} tables.")
