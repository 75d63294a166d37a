"""``dorm migrations-graph``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dorm.cli.project import FAILED, project_command, write_file


@project_command("migrations-graph", models=False)
@click.option("--format", "form", type=click.Choice(["mermaid", "dot", "json"]), default="mermaid", show_default=True)
@click.option("--app", "label", metavar="LABEL", help="Only what has to do with one app.")
@click.option("--check", "check_only", is_flag=True, help="Exit with 1 for missing nodes, cycles, several last ones.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
@click.pass_context
def migrations_graph(ctx: click.Context, form: str, label: str | None, check_only: bool, output: Path | None) -> None:
    """Print the graph of all migrations. Files are parsed, none is imported, no database is opened."""
    from dorm.migrations import static
    from dorm.migrations.apps import installed_apps, resolve_label

    missing: list[str] = []
    apps = installed_apps(missing)
    graph = static.read_graph(apps)
    for entry in missing:
        click.echo(f"warning: INSTALLED_APPS names {entry!r}, which cannot be found", err=True)
    for text in graph.warnings:
        click.echo(f"warning: {text}", err=True)
    problems = graph.problems
    for text in problems:
        click.echo(f"warning: {text}", err=True)
    if label is not None:
        graph = static.only(graph, resolve_label(label, [app.label for app in apps]))
    text = {"mermaid": static.mermaid, "dot": static.dot}[form](graph) if form != "json" else ""
    text = text or json.dumps(static.as_values(graph), indent=2)
    if output is None:
        click.echo(text)
    else:
        write_file(output, [text, "\n"])
    if check_only and problems:
        ctx.exit(FAILED)
