"""``dorm sql``, ``dbcheck``, ``diff``, ``inspectdb``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dorm.cli.project import FAILED, check_alias, database_option, format_option, print_json, project_command

if TYPE_CHECKING:
    from dorm.migrations.compare import Difference


@project_command()
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All models.")
@database_option
def sql(names: tuple[str, ...], everything: bool, database: str) -> None:
    """Print CREATE TABLE of models: NAMES are "app", "app.Model" or "Model"."""
    from dorm.db.connection import connections
    from dorm.migrations.compare import chosen_models, create_statements

    check_alias(database)
    if not names and not everything:
        raise click.UsageError("name models or apps, or give --all.")
    models = chosen_models(() if everything else names)
    for text in create_statements(models, connections[database]):
        click.echo(f"{text};")


@project_command()
@click.argument("apps", nargs=-1)
@format_option
@database_option
@click.pass_context
def dbcheck(ctx: click.Context, apps: tuple[str, ...], form: str, database: str) -> None:
    """Compare the columns of the models of all apps, or of APPS, with the database."""
    from dorm.migrations.compare import differences_of

    check_alias(database)
    found = [each for each in differences_of(database, apps) if each.kind != "extra table"]
    _show(found, form, "The database has the columns of the models.")
    if found:
        ctx.exit(FAILED)


def _show(found: list[Difference], form: str, none: str) -> None:
    if form == "json":
        print_json([asdict(each) for each in found])
        return
    for each in found:
        click.echo(str(each))
    if not found:
        click.echo(none)


@project_command()
@click.option("--alias", "--database", "alias", default="default", metavar="ALIAS", help="Key of DATABASES.")
@click.option("--apps", multiple=True, metavar="LABEL", help="Only these apps.")
@format_option
@click.pass_context
def diff(ctx: click.Context, alias: str, apps: tuple[str, ...], form: str) -> None:
    """Compare the models with the database: missing and extra tables and columns, types, keys, indexes."""
    from dorm.migrations.compare import differences_of

    check_alias(alias)
    labels = [label for each in apps for label in each.split(",") if label]
    found = differences_of(alias, labels)
    _show(found, form, "No differences.")
    if found:
        ctx.exit(FAILED)


@project_command(models=False)
@click.argument("tables", nargs=-1)
@database_option
def inspectdb(tables: tuple[str, ...], database: str) -> None:
    """Print models for all tables of a database, or for TABLES."""
    from dorm.exceptions import choices_text
    from dorm.inspect import introspect_tables, render_models

    check_alias(database)
    found = introspect_tables(database)
    missing = sorted(set(tables) - {table.name for table in found})
    if missing:
        raise ValueError(f"there is no table {missing[0]!r}. Tables: {choices_text(table.name for table in found)}.")
    click.echo(render_models(found, tables or None, connection=database), nl=False)
