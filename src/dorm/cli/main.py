"""The ``dorm`` command: which commands there are, each loaded when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

COMMANDS: dict[str, tuple[str, str, str]] = {
    "dashboard": ("dashboard", "dashboard", "Watch statements, plans, pools and migrations in a browser."),
    "dbcheck": ("schema", "dbcheck", "Compare the columns of the models with the database."),
    "dbshell": ("shells", "dbshell", "Open the database's own client."),
    "demo": ("demo", "demo", "Show dorm at work on every flight that left New York in 2013."),
    "diff": ("schema", "diff", "Compare the models with the database: tables, columns, types."),
    "doctor": ("doctor", "doctor", "Look for misconfiguration before it is deployed."),
    "dumpdata": ("data", "dumpdata", "Write rows as JSON."),
    "flush": ("data", "flush", "Remove all rows of all models."),
    "help": ("help", "help_command", "Show the help of a command."),
    "init": ("init", "init", "Start a project in this folder."),
    "inspectdb": ("schema", "inspectdb", "Write models for the tables that a database has."),
    "lint-migrations": ("lint", "lint_migrations", "Look for migrations that are unsafe on a live database."),
    "loaddata": ("data", "loaddata", "Load rows that dumpdata wrote."),
    "makemigrations": ("make", "makemigrations", "Write migrations for what changed in the models."),
    "migrate": ("migrate", "migrate", "Apply migrations, or undo them."),
    "migrations-graph": ("graph", "migrations_graph", "Print the graph of migrations as mermaid or dot."),
    "plans": ("plans", "plans", "Record query plans for version control, and check them."),
    "reset": ("reset", "reset", "Undo and apply everything again, on a throw-away database."),
    "rotate-keys": ("keys", "rotate_keys", "Write encrypted values under the newest key."),
    "runscript": ("shells", "runscript", "Run a file with the project loaded."),
    "shell": ("shells", "shell", "Open a Python shell with the models loaded."),
    "shell_plus": ("shells", "shell", "Open a Python shell with the models loaded."),
    "showmigrations": ("migrate", "showmigrations", "List migrations, and which are applied."),
    "sql": ("schema", "sql", "Print CREATE TABLE of models."),
    "sqlmigrate": ("migrate", "sqlmigrate", "Print the SQL of one migration."),
    "squashmigrations": ("make", "squashmigrations", "Put several migrations into one."),
    "version": ("version", "version", "Print the version."),
}
"""Name: module below `dorm.cli.commands`, attribute, one line of help."""

PLUG_INS = "dorm.commands"
"""Entry-point group of commands that other packages bring: each loads to a click command."""


class Commands(click.Group):
    """Commands by name; their modules are imported when they are called, plug-ins when nothing else has the name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *plug_ins()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, attribute, _ = COMMANDS[cmd_name]
            found: click.Command = getattr(import_module(f"dorm.cli.commands.{module}"), attribute)
            return found
        plug_in = plug_ins().get(cmd_name)
        return _loaded(plug_in) if plug_in is not None else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, _, text) in COMMANDS.items()]
        rows += [(name, f"from {each.value.partition(':')[0]}") for name, each in plug_ins().items()]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(dict(rows).items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            from dorm.exceptions import nearest

            ctx.fail(f"No such command {name!r}.{nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def _loaded(plug_in: Any) -> click.Command:
    """Return the command of another package."""
    where = f"the command {plug_in.name!r} of {plug_in.dist.name if plug_in.dist is not None else plug_in.module}"
    try:
        found = plug_in.load()
    except Exception as exc:
        raise click.UsageError(f"{where} cannot be loaded: {type(exc).__name__}: {exc}") from exc
    if not isinstance(found, click.Command):
        raise click.UsageError(f"{where} is a {type(found).__name__}: its entry point has to name a click command.")
    return found


def plug_ins() -> dict[str, Any]:
    """Return the entry points of commands that other packages bring, by name; dorm's own names win."""
    from dorm.conf import plug_ins as installed

    return {each.name: each for each in installed.plug_ins(PLUG_INS) if each.name not in COMMANDS}


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from dorm.cli.commands.version import line

        click.echo(line())
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="The version."
)
def main() -> None:
    """An ORM with the API that Django made familiar, without Django.

    A command that works on a project takes the settings module from --settings, else from DORM_SETTINGS, else
    settings.py in the working directory. Exit codes: 0 done, 1 failed or found something, 2 wrong use or refused.
    """
