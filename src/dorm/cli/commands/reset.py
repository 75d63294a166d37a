"""``dorm reset``."""

from __future__ import annotations

from typing import Any

import click

from dorm.cli.project import FAILED, Refused, check_alias, database_option, is_terminal, project_command


@project_command()
@click.option("--force", is_flag=True, help="Do it although the database does not look like a throw-away one.")
@click.option("--noinput", "--no-input", is_flag=True, help="Ask nothing.")
@click.option("--app", "label", metavar="LABEL", help="Only this app, and what depends on it.")
@click.option("--dry-run", is_flag=True, help="Print the statements; do nothing.")
@database_option
@click.pass_context
def reset(ctx: click.Context, force: bool, noinput: bool, label: str | None, dry_run: bool, database: str) -> None:
    """Undo all migrations and apply them again. For throw-away databases: every row is lost."""
    from dorm.conf.settings import settings
    from dorm.db.connection import connections
    from dorm.exceptions import MigrationError
    from dorm.migrations import api
    from dorm.migrations.loader import Loader
    from dorm.migrations.render import plan_lines

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
    back = api.dry_reset(database, label)
    irreversible = [each for each in back if each.failed]
    if irreversible:
        for each in irreversible:
            click.echo(f"{each.step.migration} cannot be undone.", err=True)
        click.echo("Nothing was changed. Drop the database and create it anew instead.", err=True)
        ctx.exit(FAILED)
    if dry_run:
        for line in plan_lines(back, connections[database].dialect, {}):
            click.echo(line)
        return
    from dorm.cli.output import MigrationReport

    undone, done = api.reset(database, label, MigrationReport(1))
    click.echo(f"Reset {database!r}: {undone} undone, {done} applied.")


def _check(alias: str, force: bool, noinput: bool, dry_run: bool, settings: Any) -> None:
    """Refuse, or ask for the database's name, unless it looks like a throw-away one."""
    from dorm.migrations.reset import judge

    config = settings.database(alias)
    verdict = judge(config, bool(settings.DEBUG))
    if verdict.decision == "run" or dry_run:
        return
    asks = is_terminal() and not noinput
    if not asks and force:
        return
    if asks and (force or verdict.decision == "ask"):
        typed = click.prompt(
            f"{'; '.join(verdict.reasons)}.\nEvery row of {config.name!r} will be lost. Type its name to go on",
            default="",
            show_default=False,
            err=True,
        )
        if typed != config.name:
            click.echo("Aborted", err=True)
            raise click.exceptions.Exit(FAILED)
        return
    raise Refused(f"Refusing to reset {alias!r}: {'; '.join(verdict.reasons)}. --force does it all the same.")
