"""``dorm version``."""

from __future__ import annotations

import click

import dorm

DISTRIBUTION = "dormdb"
DRIVERS = ("apsw", "psycopg", "psycopg-pool", "pymysql", "asyncmy", "duckdb", "libsql", "redis")


def line() -> str:
    """Return distribution and version."""
    return f"{DISTRIBUTION} {dorm.__version__}"


def drivers() -> dict[str, str]:
    """Return the versions of the drivers that are installed."""
    from importlib import metadata  # dear, and the one line does without

    found = {}
    for name in DRIVERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@click.command()
@click.option("--verbose", is_flag=True, help="Also Python, platform and drivers.")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
def version(verbose: bool, as_json: bool) -> None:
    """Print one line: distribution and version. Needs no project."""
    if not (as_json or verbose):
        click.echo(line())
        return
    import platform

    if as_json:
        import json

        found = {
            "dorm": dorm.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "drivers": drivers(),
        }
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(line())
    click.echo(f"python {platform.python_version()}")
    click.echo(f"platform {platform.platform()}")
    for name, each in drivers().items():
        click.echo(f"{name} {each}")
