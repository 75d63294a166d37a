"""``dorm reset``."""

from __future__ import annotations

from typing import Any

import click

from dorm.cli.project import FAILED, Refused, check_alias, database_option, is_terminal, project_command


@project_command()
@click.option("--force", is_flag=True, help="Do it although the database does not look like a throw-away one.")
@click.option("--noinput", "--no-input", is_flag=True, help="Ask nothing.")
@click.option("--app", "label", metavar="LABEL", help="Only this app, and what depends on it.")
@click.option("--drop-schema", is_flag=True, help="Drop all that stands in the schema instead of undoing migrations.")
@click.option("--dry-run", is_flag=True, help="Print the statements; do nothing.")
@database_option
@click.pass_context
def reset(
    ctx: click.Context,
    force: bool,
    noinput: bool,
    label: str | None,
    drop_schema: bool,
    dry_run: bool,
    database: str,
) -> None:
    """Undo all migrations and apply them again. For throw-away databases: every row is lost."""
    from dorm.conf.settings import settings
    from dorm.db.connection import connections
    from dorm.exceptions import MigrationError
    from dorm.migrations import api
    from dorm.migrations.loader import Loader
    from dorm.migrations.render import plan_lines

    if drop_schema and label is not None:
        raise click.UsageError("--drop-schema drops the tables of all apps, so it goes without --app.")
    if not settings.DATABASES:
        raise Refused("reset: DATABASES is empty: there is no database 'default'.")
    check_alias(database)
    _check(database, force, noinput, dry_run, settings)
    if label is not None:
        from dorm.migrations.apps import resolve_label

        try:
            label = resolve_label(label, Loader().labels())
        except MigrationError as exc:
            raise Refused(f"reset: {exc}") from exc
    if drop_schema:
        if dry_run:
            for text in api.dry_drop(database):
                click.echo(f"{text};")
            return
    else:
        back = api.dry_reset(database, label)
        _refuse_irreversible(ctx, back)
        if dry_run:
            for line in plan_lines(back, connections[database].dialect, {}):
                click.echo(line)
            return
        for node in api.strangers(database) if label is None else ():
            click.echo(
                f"warning: {node[0]}.{node[1]} is recorded and has no file: what it made stays; --drop-schema "
                "would drop it.",
                err=True,
            )
    from dorm.cli.output import MigrationReport

    undone, done = api.reset(database, label, MigrationReport(1), drop_schema=drop_schema)
    click.echo(f"Reset {database!r}: {'schema dropped' if drop_schema else f'{undone} undone'}, {done} applied.")


def _refuse_irreversible(ctx: click.Context, back: list[Any]) -> None:
    irreversible = [each for each in back if each.failed]
    for each in irreversible:
        click.echo(f"{each.step.migration} cannot be undone.", err=True)
    if irreversible:
        click.echo("Nothing was changed. 'dorm reset --drop-schema' drops the whole schema instead.", err=True)
        ctx.exit(FAILED)


def _check(alias: str, force: bool, noinput: bool, dry_run: bool, settings: Any) -> None:
    """Refuse, or ask for the database's name, unless it looks like a throw-away one."""
    from dorm.migrations.reset import judge, name_of

    config = settings.database(alias)
    verdict = judge(config, bool(settings.DEBUG))
    if verdict.decision == "run" or dry_run:
        return
    asks = is_terminal() and not noinput
    if not asks and force:
        return
    name = name_of(config)
    if asks and (force or verdict.decision == "ask"):
        typed = click.prompt(
            f"{'; '.join(verdict.reasons)}.\nEvery row of {name!r} will be lost. Type its name to go on",
            default="",
            show_default=False,
            err=True,
        )
        if typed != name:
            click.echo("Aborted", err=True)
            raise click.exceptions.Exit(FAILED)
        return
    raise Refused(f"Refusing to reset {alias!r}: {'; '.join(verdict.reasons)}. --force does it all the same.")
