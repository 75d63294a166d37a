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
    "peewee": ["peewee>=3,<5", "psycopg2-binary"],
    "pony": ["pony", "psycopg2-binary"],
    "piccolo": ["piccolo[postgres,sqlite]"],
}
_TITLES = {
    "django": "Django 5.2",
    "sqlalchemy": "SQLAlchemy 2",
    "tortoise": "Tortoise",
    "peewee": "Peewee",
    "pony": "Pony",
    "piccolo": "Piccolo",
}
_GROUPS: dict[str, tuple[str, ...]] = {
    "sqlite": ("django", "sqlalchemy", "peewee", "pony", "tortoise", "piccolo"),
    "postgresql": ("django", "sqlalchemy", "peewee", "pony"),
    "postgresql-async": ("tortoise", "piccolo"),
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
        Contestant(_TITLES[name], f"bench.contestants.peer_{name}", str(_python(name)), str(ROOT))
        for name in _GROUPS[group]
        if _python(name).exists()
    ]
