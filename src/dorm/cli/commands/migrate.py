"""``dorm migrate``, ``sqlmigrate``, ``showmigrations``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from dorm.cli.project import FAILED, check_alias, database_option, format_option, print_json, project_command


@project_command()
@click.argument("app_label", required=False)
@click.argument("target", required=False)
@click.option("--verbosity", "-v", default=1, type=click.IntRange(0, 3), help="0 prints nothing.")
@click.option("--dry-run", "--plan", "dry_run", is_flag=True, help="Print the statements with their locks; do nothing.")
@click.option("--fake", is_flag=True, help="Record migrations without running them.")
@click.option("--fake-initial", is_flag=True, help="Record first migrations whose tables are there.")
@click.option("--run-syncdb", is_flag=True, help="Make the tables of apps without migrations.")
@click.option("--prune", is_flag=True, help="Forget recorded migrations whose files are gone.")
@click.option("--check", "check_only", is_flag=True, help="Exit with 1 when something is not applied; do nothing.")
@click.option("--tenant", metavar="NAME", help="Migrate one tenant (dorm.contrib.tenants).")
@click.option("--all-tenants", is_flag=True, help="Migrate every tenant (dorm.contrib.tenants).")
@format_option
@database_option
@click.pass_context
def migrate(
    ctx: click.Context,
    app_label: str | None,
    target: str | None,
    verbosity: int,
    dry_run: bool,
    fake: bool,
    fake_initial: bool,
    run_syncdb: bool,
    prune: bool,
    check_only: bool,
    tenant: str | None,
    all_tenants: bool,
    form: str,
    database: str,
) -> None:
    """Apply migrations of all apps, or of APP_LABEL; or go to TARGET of it: a name, a prefix, a number, "zero"."""
    from dorm.migrations import api

    if dry_run and (fake or prune or run_syncdb):
        raise click.UsageError("--dry-run does nothing, so it goes with none of --fake, --prune and --run-syncdb.")
    if tenant and all_tenants:
        raise click.UsageError("--tenant names one, --all-tenants means every one: give one of them.")
    if form == "json" and not (dry_run or check_only):
        raise click.UsageError("--format json goes with --plan and --check, which list something.")
    if form == "json" and (tenant or all_tenants):
        raise click.UsageError("--format json is for one database, so it goes without --tenant and --all-tenants.")
    check_alias(database)
    label, target = api.resolve(app_label, target, either=dry_run)
    for scope in _scopes(tenant, all_tenants, database, verbosity, makes=not (dry_run or check_only)):
        with scope:
            _migrate(
                ctx,
                label,
                target,
                verbosity,
                dry_run,
                fake,
                fake_initial,
                run_syncdb,
                prune,
                check_only,
                database,
                form,
            )


def _scopes(
    tenant: str | None, all_tenants: bool, database: str, verbosity: int, makes: bool
) -> Iterator[AbstractContextManager[Any]]:
    """Give what each run happens in: a tenant's schema, made where that is allowed, or nothing special."""
    if not tenant and not all_tenants:
        yield nullcontext()
        return
    from dorm.contrib import tenants

    names = tenants.known_tenants(database) if tenant is None else [tenant]
    for name in names:
        if verbosity:
            click.echo(f"Tenant {name}:")
        if makes:
            tenants.ensure_schema(name, using=database)
        yield tenants.TenantContext(name, using=database)


def _migrate(
    ctx: click.Context,
    label: str | None,
    target: str | None,
    verbosity: int,
    dry_run: bool,
    fake: bool,
    fake_initial: bool,
    run_syncdb: bool,
    prune: bool,
    check_only: bool,
    database: str,
    form: str,
) -> None:
    from dorm.migrations import api

    if dry_run:
        _print_plan(ctx, api.dry(database, label, target), database, form)
        return
    if check_only:
        waiting = api.unapplied(database, label)
        if form == "json":
            print_json([{"app": app, "name": name} for app, name in waiting])
        for node in waiting if form == "text" else ():
            click.echo(f"{node[0]}.{node[1]}")
        if waiting:
            ctx.exit(FAILED)
        return
    if prune:
        _prune(ctx, database, label, verbosity)
        return
    from dorm.cli.output import MigrationReport

    report = MigrationReport(verbosity)
    if run_syncdb:
        for table in api.create_unmigrated(database):
            report.line(f"Creating table {table}")
    steps = api.migrate(database, label, target, fake=fake, fake_initial=fake_initial, report=report)
    if not steps:
        report.line("Nothing to rollback" if target == "zero" else "No migrations to apply.")
        for text in api.pending_changes(database, report.loader):
            report.line(text)


def _prune(ctx: click.Context, database: str, label: str | None, verbosity: int) -> None:
    from dorm.migrations import api

    if label is None:
        raise click.UsageError("--prune takes the label of an app.")
    for node in api.prune(database, label):
        if verbosity:
            click.echo(f"Pruning {node[0]}.{node[1]}")


def _print_plan(ctx: click.Context, plan: Any, database: str, form: str) -> None:
    from dorm.db.connection import connections
    from dorm.migrations.render import json_steps, plan_lines

    if form == "json":
        print_json(json_steps(plan.notes, connections[database].dialect))
    elif not plan.notes:
        click.echo("-- Nothing to rollback" if plan.backwards_wanted else "-- No migrations to apply.", err=False)
    for text in plan.warnings:
        click.echo(text, err=True)
    for line in plan_lines(plan.notes, connections[database].dialect, plan.sizes) if form == "text" else ():
        click.echo(line)
    if any(each.failed for each in plan.notes):
        ctx.exit(FAILED)


@project_command()
@click.argument("app_label")
@click.argument("name")
@click.option("--backwards", is_flag=True, help="The statements that undo it.")
@format_option
@database_option
@click.pass_context
def sqlmigrate(ctx: click.Context, app_label: str, name: str, backwards: bool, form: str, database: str) -> None:
    """Print the exact SQL of migration NAME of APP_LABEL; nothing is run or recorded."""
    from dorm.db.connection import connections
    from dorm.migrations import api
    from dorm.migrations.render import json_steps, step_lines

    check_alias(database)
    label, _ = api.resolve(app_label, None)
    notes = api.sql_for(database, label or app_label, name, backwards=backwards)
    dialect = connections[database].dialect
    if form == "json":
        print_json(json_steps([notes], dialect))
    else:
        direction = "backwards" if backwards else "forwards"
        for line in step_lines(notes, dialect, f"{notes.step.migration} ({direction})"):
            click.echo(line)
    if notes.failed:
        ctx.exit(FAILED)


@project_command()
@click.argument("apps", nargs=-1)
@click.option("--plan", "-p", "as_plan", is_flag=True, help="In the order they are applied.")
@format_option
@database_option
def showmigrations(apps: tuple[str, ...], as_plan: bool, form: str, database: str) -> None:
    """List the migrations of all apps, or of APPS: [X] those that are applied."""
    from dorm.migrations import api

    check_alias(database)
    found = api.show(database, apps, in_plan_order=as_plan)
    if form == "json":
        print_json([{"app": each.app, "name": each.name, "applied": each.applied_at} for each in found.rows])
        return
    if as_plan:
        for each in found.rows:
            click.echo(f"[{'X' if each.applied_at else ' '}]  {each.app}.{each.name}")
        return
    for label in found.labels:
        click.echo(label)
        rows = [each for each in found.rows if each.app == label]
        for each in rows:
            click.echo(f" [{'X' if each.applied_at else ' '}] {each.name}{each.note}")
        if not rows:
            click.echo(" (no migrations)")
