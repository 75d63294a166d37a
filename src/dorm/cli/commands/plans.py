"""``dorm plans record|check|show``: query plans in a file under version control."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dorm.cli.project import FAILED, Refused, format_option, print_json, project_command

_FILE = click.option(
    "--file", "path", type=click.Path(path_type=Path, dir_okay=False), default=Path("plans.json"), show_default=True
)


@click.group()
def plans() -> None:
    """Record query plans in a file for version control, and compare them with those of now."""


@project_command("record", models=False)
@click.argument("tag")
@click.argument("sql")
@click.option(
    "--params", metavar="JSON", help="Values of the placeholders: a JSON list for %s, an object for %(name)s."
)
@click.option("--database", default="default", show_default=True, metavar="ALIAS")
@click.option("--fold-partitions", is_flag=True, help="Names of partitions count without their numbers.")
@_FILE
def record(tag: str, sql: str, params: str | None, database: str, fold_partitions: bool, path: Path) -> None:
    """Record the plan of SQL under TAG. The statement is not run."""
    from dorm.contrib import plan_drift

    values = _values(params)
    if path.exists():
        _entries(path, ())
    elif not path.parent.is_dir():
        raise Refused(f"there is no folder {path.parent} for {path.name}")
    click.echo(
        plan_drift.record_to_file(path, tag, sql, params=values, using=database, fold_partitions=fold_partitions)
    )


def _values(text: str | None) -> list[Any] | dict[str, Any]:
    if text is None:
        return []
    try:
        found = json.loads(text)
    except json.JSONDecodeError as exc:
        raise Refused(f"--params is no JSON: {exc.msg}") from exc
    if not isinstance(found, (list, dict)):
        raise Refused("--params takes a JSON list, or an object for named placeholders")
    return found


@project_command("check", models=False)
@click.argument("tags", nargs=-1)
@format_option
@_FILE
@click.pass_context
def check(ctx: click.Context, tags: tuple[str, ...], form: str, path: Path) -> None:
    """Compare recorded plans with those of now; exit code 1 when one drifted, its trees are printed.

    Exit code 2: the file cannot be used.
    """
    from dorm.contrib import plan_drift

    for tag, entry in _entries(path, tags).items():
        if not isinstance(entry.get("sql"), str) and (not tags or tag in tags):
            raise Refused(f"{path}: the entry {tag!r} has no statement 'sql': record it with `dorm plans record`")
    results = plan_drift.check_file(path, list(tags) or None)
    drifted = [each for each in results if each.drifted]
    if form == "json":
        click.echo(json.dumps([_as_dict(each) for each in results], indent=2))
    else:
        for each in drifted:
            click.echo(plan_drift.diff_text(each))
        for each in results:
            if each.note:
                click.echo(f"{each.tag}: {each.note}", err=True)
        click.echo(f"{len(drifted)} of {len(results)} plans drifted", err=True)
    if drifted:
        ctx.exit(FAILED)


def _entries(path: Path, tags: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the entries of the file; refuse a file that cannot be used, and tags that are not there."""
    from dorm.contrib import plan_drift

    if not path.exists():
        raise Refused(f"there is no file {path}: `dorm plans record` makes it")
    try:
        entries = plan_drift.read_file(path)
    except (OSError, ValueError) as exc:
        raise Refused(str(exc)) from exc
    for tag in tags:
        if tag not in entries:
            raise Refused(f"{path} has no plan {tag!r}; it has {', '.join(sorted(entries)) or 'none'}")
    return entries


def _as_dict(result: Any) -> dict[str, Any]:
    return {name: getattr(result, name) for name in ("tag", "drifted", "baseline", "current", "note")}


@project_command("show", models=False)
@click.argument("tags", nargs=-1)
@format_option
@_FILE
def show(tags: tuple[str, ...], form: str, path: Path) -> None:
    """Print recorded plans."""
    entries = _entries(path, tags)
    if form == "json":
        print_json({tag: entries[tag] for tag in tags or sorted(entries)})
        return
    for tag in tags or sorted(entries):
        entry = entries[tag]
        plan = entry["plan"]
        click.echo(f"{tag}  {entry.get('sql') or entry.get('template', '')}")
        click.echo("\n".join(f"  {line}" for line in (plan.splitlines() if isinstance(plan, str) else plan)))


for _command in (record, check, show):
    plans.add_command(_command)
