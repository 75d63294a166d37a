"""Results as a table on the terminal, as JSON, and as a table for the docs."""

from __future__ import annotations

import datetime
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.run import Result
from bench.scenarios import SCENARIOS

BEGIN, END = "<!-- bench: {} -->", "<!-- bench end -->"


def budgets(group: str) -> dict[str, float | None]:
    """Return the most that dorm may take by scenario, for a group of figures."""
    column = {"sqlite": 0, "postgresql": 1, "postgresql-async": 2}.get(group)
    return {each.name: each.budget[column] if column is not None else None for each in SCENARIOS}


def figure(result: Result, cpu: bool) -> str:
    """Return a ratio with its spread."""
    if result.error:
        return "failed"
    low, middle, high = result.quartiles(cpu)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def arranged(results: list[Result]) -> tuple[list[str], dict[str, dict[str, Result]]]:
    """Return the contestants in order, and the results by scenario and contestant."""
    found: dict[str, dict[str, Result]] = {}
    names: list[str] = []
    for result in results:
        found.setdefault(result.scenario, {})[result.contestant] = result
        if result.contestant not in names:
            names.append(result.contestant)
    return names, found


def _cells(group: str, results: list[Result], cpu: bool) -> tuple[list[str], list[tuple[list[str], bool]]]:
    """Return the heading and the rows of a table, each with whether dorm is within its budget."""
    names, found = arranged(results)
    most = budgets(group)
    titles = {each.name: each.title for each in SCENARIOS}
    lines = []
    for scenario, by_name in found.items():
        limit = most[scenario]
        dorm = by_name.get("dorm")
        missed = limit is not None and dorm is not None and (bool(dorm.error) or dorm.quartiles(cpu)[1] > limit)
        reference = by_name[names[0]]
        cells = [titles[scenario], f"{reference.per_call() * 1e6:,.1f} us", f"{limit:g}" if limit else ""]
        cells += [figure(by_name[name], cpu) if name in by_name else "" for name in names[1:]]
        lines.append((cells, missed))
    return ["scenario", names[0], "budget", *names[1:]], lines


def show(console: Console, group: str, results: list[Result], cpu: bool = False) -> None:
    """Print a group's table; what is over its budget is marked."""
    heading, lines = _cells(group, results, cpu)
    table = Table(title=f"{group}: {'CPU' if cpu else 'wall'} time in multiples of {heading[1]}, median (quartiles)")
    for number, name in enumerate(heading):
        table.add_column(name, justify="left" if not number else "right")
    for cells, missed in lines:
        table.add_row(*cells, style="red" if missed else None)
    console.print(table)
    for result in results:
        if result.error:
            console.print(f"{result.contestant}, {result.scenario}: {result.error}", style="red", markup=False)


def save(folder: Path, groups: dict[str, list[Result]], extra: dict[str, Any]) -> Path:
    """Write everything measured as JSON; return the file."""
    folder.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    path = folder / f"{now:%Y%m%d-%H%M%S}.json"
    whole = {
        "at": now.isoformat(),
        "machine": machine(),
        "groups": {group: [asdict(each) for each in results] for group, results in groups.items()},
        **extra,
    }
    path.write_text(json.dumps(whole, indent=1))
    return path


def machine() -> str:
    """Return what the figures were measured on, in one line."""
    return f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}"


def into_docs(page: Path, group: str, results: list[Result], cpu: bool = False) -> None:
    """Replace a group's table in a page, between its marks."""
    heading, lines = _cells(group, results, cpu)
    put_table(page, group, [heading, *[cells for cells, _ in lines]])


def put_table(page: Path, name: str, rows: list[list[str]]) -> None:
    """Replace the table *name* in a page, between its marks, by *rows*, the heading first."""
    begin = BEGIN.format(name)
    text = page.read_text()
    if begin not in text:
        return
    rows = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:]]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{begin}\n\n{table}\n\n{END}{after}")
