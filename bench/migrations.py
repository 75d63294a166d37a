"""What `dorm migrate` and `dorm makemigrations` cost in a project of 100, 300 and 1000 migrations."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.run import ROOT

SIZES = (100, 300, 1000)
_APPS = [f"app{number}" for number in range(5)]
_STEPS = 4
"""Migrations of a model: create it, add a field, alter one, add an index."""

_MODEL = """
class {name}(dorm.Model):
    id = dorm.BigAutoField(primary_key=True)
    name = dorm.CharField(max_length=80)
    n = dorm.IntegerField(default=1)
    owner = dorm.ForeignKey("{owner}", dorm.CASCADE, null=True, related_name="+")
    extra = dorm.TextField(null=True)

    class Meta:
        app_label = "{app}"
        indexes = [dorm.Index(fields=["n"], name="{app}_{lower}_n")]
"""
_HEAD = "import dorm\nfrom dorm.migrations import operations as ops\n\n"
_OPERATIONS = (
    'ops.CreateModel("{name}", [("id", dorm.BigAutoField(primary_key=True)), ("name", dorm.CharField(max_length=50)), '
    '("n", dorm.IntegerField(default=1)), ("owner", dorm.ForeignKey("{owner}", dorm.CASCADE, null=True, '
    'related_name="+"))])',
    'ops.AddField("{name}", "extra", dorm.TextField(null=True))',
    'ops.AlterField("{name}", "name", dorm.CharField(max_length=80))',
    'ops.AddIndex("{name}", dorm.Index(fields=["n"], name="{app}_{lower}_n"))',
)


def write_project(folder: Path, migrations: int, database: dict[str, Any]) -> int:
    """Write five apps with *migrations* in all, which refer to one another; return the number of models."""
    (folder / "settings.py").write_text(f"DATABASES = {{'default': {database!r}}}\nINSTALLED_APPS = {_APPS!r}\n")
    models = migrations // len(_APPS) // _STEPS
    for number, app in enumerate(_APPS):
        path = folder / app / "migrations"
        path.mkdir(parents=True)
        owner = f"{_APPS[number - 1] if number else app}.Model0"
        before = [(_APPS[number - 1], "0001_step")] if number else []
        source = "import dorm\n\n"
        for step in range(models * _STEPS):
            model = f"Model{step // _STEPS}"
            words = {"name": model, "lower": model.lower(), "app": app, "owner": owner}
            operation = _OPERATIONS[step % _STEPS].format(**words)
            body = f"{_HEAD}dependencies = {before!r}\noperations = [\n    {operation},\n]\n"
            (path / f"{step + 1:04}_step.py").write_text(body)
            before = [(app, f"{step + 1:04}_step")]
            if not step % _STEPS:
                source += _MODEL.format(**words)
        (folder / app / "models.py").write_text(source)
        for package in (folder / app, path):
            (package / "__init__.py").touch()
    return models * len(_APPS)


def _cpu(folder: Path, *arguments: str) -> tuple[float, str]:
    """Return the CPU seconds of one command, and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for name in ("DORM_CHECK_OPERATIONS", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "dorm", *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def _repeated(folder: Path, times: int, expected: str, *arguments: str) -> float:
    found = []
    for _ in range(times):
        seconds, text = _cpu(folder, *arguments)
        if expected not in text:
            raise RuntimeError(f"dorm {' '.join(arguments)} answered {text!r}, not {expected!r}")
        found.append(seconds)
    return statistics.median(found)


def measure(migrations: int, database: dict[str, Any] | None = None, times: int = 5) -> dict[str, float]:
    """Return the CPU seconds of the commands in a project of so many migrations, by what was done."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        database = database or {"ENGINE": "sqlite", "NAME": str(folder / "bench.db")}
        models = write_project(folder, migrations, database)
        return {
            "models": models,
            "plan all": _repeated(folder, times, "CREATE TABLE", "migrate", "--plan"),
            "apply all": _cpu(folder, "migrate")[0],
            "nothing to apply": _repeated(folder, times, "No migrations to apply.", "migrate"),
            "no changes": _repeated(folder, times, "No changes detected", "makemigrations"),
        }


def show(console: Console, times: int = 5) -> dict[str, Any]:
    """Print the table; return its figures by the number of migrations."""
    table = Table(title="migrations on SQLite: CPU seconds of the command")
    for name in (
        "migrations",
        "models",
        "migrate --plan",
        "migrate, all",
        "migrate, nothing (1 s)",
        "makemigrations (2 s)",
    ):
        table.add_column(name, justify="right")
    found = {}
    for size in SIZES:
        with console.status(f"{size} migrations"):
            found[str(size)] = figures = measure(size, times=times)
        models, *seconds = figures.values()
        table.add_row(str(size), f"{models:.0f}", *(f"{each:.2f}" for each in seconds))
    console.print(table)
    return found
