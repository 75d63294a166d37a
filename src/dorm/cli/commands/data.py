"""``dorm dumpdata``, ``loaddata``, ``flush``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from dorm.cli.project import FAILED, check_alias, database_option, is_terminal, project_command


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
    from dorm.migrations.compare import chosen_models
    from dorm.migrations.schema import in_order
    from dorm.serialize import serialize

    check_alias(database)
    models = chosen_models(targets)
    left_out = chosen_models(exclude) if exclude else []
    records: list[Any] = []
    chosen = [model for model in in_order(models) if model not in left_out]
    with _progress(chosen, "tables", output is not None) as bar:
        for model in bar:
            records.extend(serialize(model, using=database))
    text = json.dumps(records, indent=indent, ensure_ascii=False)
    if output is None:
        click.echo(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")
        click.echo(f"Wrote {len(records)} record(s) to {output}", err=True)


def _progress(items: Any, label: str, wanted: bool) -> Any:
    """Return a progress bar on a terminal; elsewhere what it goes over, as it is."""
    from contextlib import nullcontext

    if wanted and is_terminal():
        return click.progressbar(items, label=label, file=sys.stderr)
    return nullcontext(items)


@project_command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--ignorenonexistent", "-i", is_flag=True, help="Leave out models and fields that do not exist.")
@database_option
@click.pass_context
def loaddata(ctx: click.Context, files: tuple[Path, ...], ignorenonexistent: bool, database: str) -> None:
    """Load the records of fixture FILES; each file in one transaction."""
    from dorm.exceptions import DormError
    from dorm.serialize import load, read_fixture

    check_alias(database)
    total = 0
    for path in files:
        try:
            found = _find(path)
            count = load(read_fixture(found), using=database, ignorenonexistent=ignorenonexistent)
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
