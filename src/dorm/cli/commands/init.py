"""``dorm init``."""

from __future__ import annotations

import ast
import keyword
from importlib.util import find_spec
from pathlib import Path

import click

_SETTINGS = '''"""Settings of this project: every upper-case name counts."""

DEBUG = True

DATABASES = {{
    "default": "sqlite:///db.sqlite3",
    # "default": "postgresql://user:password@localhost:5432/{name}",
}}

INSTALLED_APPS = [{apps}]
'''
_MODELS = '''"""Models of this app."""

import dorm


class Note(dorm.Model):
    """An example: change it, or remove it."""

    title = dorm.CharField(max_length=200)
    body = dorm.TextField(blank=True)
    created_at = dorm.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.title
'''


@click.command()
@click.option("--app", metavar="NAME", help="Also make an app with an example model.")
def init(app: str | None) -> None:
    """Start a project in this folder: settings.py, and an app where --app names one. Files that exist are kept."""
    folder = Path.cwd()
    if app is not None:
        _check_name(app, folder)
    text = _SETTINGS.format(name=folder.name.replace("-", "_") or "project", apps=f'"{app}"' if app else "")
    _write(folder / "settings.py", text)
    if app is None:
        click.echo("Next: dorm init --app NAME, or write your models and add their package to INSTALLED_APPS.")
        return
    _write(folder / app / "__init__.py", "")
    _write(folder / app / "models.py", _MODELS)
    _write(folder / app / "migrations" / "__init__.py", "")
    if not _takes(folder / "settings.py", app):
        click.echo(f"settings.py was there already: add {app!r} to its INSTALLED_APPS.")
    click.echo("Next: dorm makemigrations && dorm migrate && dorm shell")


def _check_name(app: str, folder: Path) -> None:
    """Refuse a name that no package of this folder can have, or under which another module would be imported."""
    if not app.isidentifier() or keyword.iskeyword(app):
        raise click.UsageError(f"--app takes the name of a package: {app!r} is no identifier.")
    taken = app == "settings" or (folder / f"{app}.py").exists()
    if taken or (not (folder / app).exists() and find_spec(app) is not None):
        raise click.UsageError(f"--app takes a name of its own: there is a module {app!r} already.")


def _takes(settings: Path, app: str) -> bool:
    """True when the settings name an app, or name none: packages with models are found then."""
    for each in ast.parse(settings.read_bytes()).body:
        if isinstance(each, ast.Assign) and any(
            getattr(target, "id", "") == "INSTALLED_APPS" for target in each.targets
        ):
            named = [one.value for one in ast.walk(each.value) if isinstance(one, ast.Constant)]
            plain = isinstance(each.value, (ast.List, ast.Tuple))
            return app in named or (plain and not named)
    return True


def _write(path: Path, text: str) -> None:
    if path.exists():
        click.echo(f"kept     {path.relative_to(Path.cwd())}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    click.echo(f"created  {path.relative_to(Path.cwd())}")
