"""``dorm help``."""

from __future__ import annotations

import click


@click.command("help")
@click.argument("command", required=False)
@click.pass_context
def help_command(ctx: click.Context, command: str | None) -> None:
    """Show the help of COMMAND, or the list of commands."""
    from dorm.cli.main import main

    parent = ctx.parent or ctx
    if command is None:
        click.echo(main.get_help(parent))
        return
    found = main.get_command(parent, command)
    if found is None:
        from dorm.exceptions import nearest

        raise click.UsageError(f"No such command {command!r}.{nearest(command, main.list_commands(parent))}")
    click.echo(found.get_help(click.Context(found, info_name=command, parent=parent)))
