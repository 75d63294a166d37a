"""``python -m bench``: dorm against bare drivers and, with --peers, against other ORMs."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import migrations, overheads, peers, plot, report, trips
from bench.run import ROOT, Contestant, Result, contest, postgresql_copies, sqlite_copies
from bench.scenarios import SCENARIOS, Scenario

SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"
_BARE = "bench.contestants.bare_"
_DORM = "bench.contestants.dorm_"

GROUPS = {
    "sqlite": [Contestant("sqlite3", f"{_BARE}sqlite3"), Contestant("apsw", f"{_BARE}apsw")],
    "postgresql": [Contestant("psycopg", f"{_BARE}psycopg")],
    "postgresql-async": [Contestant("psycopg async", f"{_BARE}psycopg_async")],
}

MIGRATIONS = "migrations"
"""The group that measures commands in large projects, and no driver."""


def contestants(group: str, against: str | None, with_peers: bool) -> list[Contestant]:
    """Return who takes part in a group; the first is the reference."""
    found = list(GROUPS[group])
    faces = {"sqlite": ("sync", "async"), "postgresql": ("sync",), "postgresql-async": ("async",)}[group]
    for face in faces:
        name = "dorm" if face == faces[0] else f"dorm {face}"
        found.append(Contestant(name, f"{_DORM}{face}"))
        if against:
            found.append(Contestant(f"{name} before", f"{_DORM}{face}", path=f"{ROOT}:{against}/src"))
    return found + (peers.contestants(group) if with_peers else [])


@click.command()
@click.option("--peers", "with_peers", is_flag=True, help="Also measure other ORMs, in environments of their own.")
@click.option("--group", "groups", multiple=True, type=click.Choice([*GROUPS, MIGRATIONS]), help="Only these groups.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help=f"Only these scenarios: {', '.join(each.name for each in SCENARIOS)}.",
)
@click.option("--rounds", default=9, show_default=True, help="Turns of each contestant in each scenario.")
@click.option("--against", help="Another checkout of dorm to measure beside this one.")
@click.option("--cpu", is_flag=True, help="Show ratios of the client's CPU time: steadier on a busy machine.")
@click.option("--docs", is_flag=True, help="Write the tables and pictures into docs/.")
@click.option("--trips", "with_trips", is_flag=True, help="Only count round trips to a server two milliseconds away.")
def main(
    with_peers: bool,
    groups: tuple[str, ...],
    only: tuple[str, ...],
    rounds: int,
    against: str | None,
    cpu: bool,
    docs: bool,
    with_trips: bool,
) -> None:
    """Measure dorm in multiples of the bare driver's time; JSON goes to .bench/."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    scenarios = _named(only)
    page = ROOT / "docs" / "performance.md"
    if with_trips:
        trips.show(os.environ.get("DORM_TEST_POSTGRESQL", SERVER), console, page if docs else None)
        return
    everything: dict[str, list[Result]] = {}
    if with_peers:
        peers.prepare(console)
    extra: dict[str, Any] = {}
    for group in groups or (*GROUPS, MIGRATIONS):
        if group == MIGRATIONS:
            if not only:
                extra[group] = migrations.show(console)
            continue
        results = _group(group, contestants(group, against, with_peers), scenarios, rounds, console)
        if not results:
            continue
        everything[group] = results
        report.show(console, group, results, cpu)
        if docs:
            name = f"{group}-peers" if with_peers else group
            report.into_docs(page, name, results, cpu)
            plot.draw(page.with_name(f"performance-{name}.svg"), group, results, cpu)
    if not only and tuple(groups) != (MIGRATIONS,):
        extra["overheads"] = overheads.show(console, os.environ.get("DORM_TEST_POSTGRESQL", SERVER))
    console.print(f"written to {report.save(Path(ROOT / '.bench'), everything, extra)}")


def _named(only: tuple[str, ...]) -> list[Scenario]:
    """Return the scenarios of those names, all without any; refuse names that are none."""
    known = {each.name: each for each in SCENARIOS}
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
            raise click.BadParameter(f"{name!r} is no scenario; perhaps {', '.join(near)}?", param_hint="--only")
    return [each for name, each in known.items() if not only or name in only]


def _group(
    group: str, taking: list[Contestant], scenarios: list[Scenario], rounds: int, console: Console
) -> list[Result] | None:
    with console.status(group) as status:

        def tell(text: str) -> None:
            status.update(f"{group}: {text}")
            if "\n" in text:
                console.print(text, style="red", markup=False)

        if group == "sqlite":
            with sqlite_copies() as copies:
                return contest(copies, taking, scenarios, rounds, tell)
        server = os.environ.get("DORM_TEST_POSTGRESQL", SERVER)
        try:
            with postgresql_copies(server) as copies:
                return contest(copies, taking, scenarios, rounds, tell)
        except ImportError as exc:
            reason = f"{exc}"
        except Exception as exc:
            if type(exc).__name__ != "OperationalError":
                raise
            reason = f"no server at {server.rpartition('@')[2]}"
    console.print(f"{group} was left out: {reason}", style="yellow")
    return None


main()
