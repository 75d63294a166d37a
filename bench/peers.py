"""The other ORMs: an environment for each under .bench/, made on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from bench.run import ROOT, Contestant

_NEEDS = {
    "django": ["django>=5.2,<5.3", "psycopg[binary]"],
    "sqlalchemy": ["sqlalchemy>=2", "psycopg[binary]", "aiosqlite", "greenlet"],
    "tortoise": ["tortoise-orm", "psycopg[binary,pool]", "asyncpg"],
}
_TITLES = {"django": "Django 5.2", "sqlalchemy": "SQLAlchemy 2", "tortoise": "Tortoise"}
_GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "sqlite": (("django", "peer_django"), ("sqlalchemy", "peer_sqlalchemy"), ("tortoise", "peer_tortoise")),
    "postgresql": (("django", "peer_django"), ("sqlalchemy", "peer_sqlalchemy")),
    "postgresql-async": (("tortoise", "peer_tortoise"),),
}


def _python(name: str) -> Path:
    return ROOT / ".bench" / name / "bin" / "python"


def prepare(console: Console) -> None:
    """Make the environments that are not there yet."""
    for name, needs in _NEEDS.items():
        if _python(name).exists():
            continue
        with console.status(f"installing {', '.join(needs)}"):
            folder = ROOT / ".bench" / name
            subprocess.run([str(ROOT / "scripts" / "venv"), sys.executable, str(folder)], check=True)
            done = subprocess.run(
                [str(_python(name)), "-m", "pip", "install", "--quiet", *needs], capture_output=True, text=True
            )
        if done.returncode:
            console.print(f"{name} cannot be had: {done.stderr.strip()[-300:]}", style="yellow", markup=False)


def contestants(group: str) -> list[Contestant]:
    """Return the peers of a group whose environments are there."""
    return [
        Contestant(_TITLES[name], f"bench.contestants.{module}", str(_python(name)), str(ROOT))
        for name, module in _GROUPS[group]
        if _python(name).exists()
    ]
