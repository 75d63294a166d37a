"""``dorm makemigrations`` and ``squashmigrations``."""

from __future__ import annotations

from typing import Any

import click

from dorm.cli.project import FAILED, is_terminal, project_command


@project_command()
@click.argument("apps", nargs=-1)
@click.option("--empty", is_flag=True, help="Write a migration without operations for APPS.")
@click.option("--name", "-n", metavar="NAME", help="Name of the file, without its number.")
@click.option("--check", "check_only", is_flag=True, help="Write nothing; exit with 1 when something changed.")
@click.option("--merge", is_flag=True, help="Join several last migrations of an app.")
@click.option("--dry-run", is_flag=True, help="Print the files instead of writing them.")
@click.option("--noinput", "--no-input", is_flag=True, help="Ask nothing.")
@click.option("--enable-pgvector", is_flag=True, help="Begin with CREATE EXTENSION vector.")
@click.pass_context
def makemigrations(
    ctx: click.Context,
    apps: tuple[str, ...],
    empty: bool,
    name: str | None,
    check_only: bool,
    merge: bool,
    dry_run: bool,
    noinput: bool,
    enable_pgvector: bool,
) -> None:
    """Write migrations for what changed in the models of all apps, or of APPS."""
    from dorm.migrations import make
    from dorm.migrations.apps import resolve_label
    from dorm.migrations.loader import Loader
    from dorm.migrations.questions import InteractiveQuestioner, RefusingQuestioner

    loader = Loader()
    labels = [resolve_label(app, loader.labels()) for app in apps] or None
    if merge:
        found = make.merges(loader, name)
        none = "No conflicts detected to merge."
    elif empty:
        if labels is None:
            raise click.UsageError("--empty takes the labels of the apps.")
        found = make.empty(loader, labels, name)
        none = ""
    else:
        asks = is_terminal() and not noinput and not check_only
        questioner = InteractiveQuestioner(_ask, _say) if asks else RefusingQuestioner()
        found = make.changes(loader, labels, questioner, name)
        none = f"No changes detected in app(s) {', '.join(labels)}" if labels else "No changes detected"
    if enable_pgvector and found:
        make.enable_pgvector(found[0])
    if not found:
        click.echo(none)
        return
    _write(loader, found, dry_run or check_only, dry_run)
    if check_only:
        ctx.exit(FAILED)


def _ask(text: str) -> str:
    return str(click.prompt(text, default="", show_default=False, prompt_suffix="", err=True))


def _say(text: str) -> None:
    click.echo(text, err=True)


def _write(loader: Any, found: Any, nothing: bool, with_text: bool) -> None:
    from dorm.migrations.make import write_all
    from dorm.migrations.writer import MigrationWriter

    paths = [] if nothing else write_all(loader, found)
    for number, migration in enumerate(found):
        click.echo(f"Migrations for {migration.app_label!r}:")
        click.echo(f"  {paths[number] if paths else migration.name + '.py'}")
        for operation in migration.operations:
            click.echo(f"    {operation.formatted_description()}")
        if with_text:
            click.echo(MigrationWriter(migration).as_string())


@project_command()
@click.argument("app_label")
@click.argument("first")
@click.argument("last", required=False)
@click.option("--squashed-name", metavar="NAME", help="Name of the file, without its number.")
@click.option("--no-optimize", is_flag=True, help="Leave the operations as they are.")
@click.option("--noinput", "--no-input", is_flag=True, help="Ask nothing.")
def squashmigrations(
    app_label: str, first: str, last: str | None, squashed_name: str | None, no_optimize: bool, noinput: bool
) -> None:
    """Write one migration for those of APP_LABEL up to FIRST, or from FIRST to LAST."""
    from dorm.migrations import make
    from dorm.migrations.apps import resolve_label
    from dorm.migrations.loader import Loader

    loader = Loader()
    label = resolve_label(app_label, loader.labels())
    start, end = (first, last) if last is not None else (None, first)
    made = make.squash(loader, label, end, start, squashed_name, optimised=not no_optimize)
    before = sum(len(loader.disk[(app, name)].operations) for app, name in made.replaces if (app, name) in loader.disk)
    (path,) = make.write_all(loader, [made])
    click.echo(f"Squashed {len(made.replaces)} migrations, {before} operations, into {len(made.operations)}: {path}")
    click.echo("Keep the old files until every database has it; then remove them and the line 'replaces'.")
