"""The ``dorm`` command."""

from __future__ import annotations

import platform

import click

from dorm import __version__
from dorm.cli.commands.demo import demo


@click.group()
@click.version_option(__version__, prog_name="dorm")
def main() -> None:
    """An ORM with the API that Django made familiar, without Django."""


@main.command()
def version() -> None:
    """Print the versions of dorm and of what it runs on, for support tickets and logs."""
    import apsw  # only this command needs the driver's version

    click.echo(
        f"dorm {__version__} (Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, "
        f"apsw {apsw.apsw_version()}, {platform.system()} {platform.machine()})"
    )


main.add_command(demo)
