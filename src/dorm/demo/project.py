"""The project that the demo makes: what a user's own would look like."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path

import dorm
from dorm.demo import models

_SETTINGS = """\
# Settings of this project: every upper-case name counts.
DATABASES = {{"default": {url!r}}}
INSTALLED_APPS = ["flights"]
"""


def create(folder: Path, url: str | None) -> str:
    """Write ``settings.py`` and ``flights/models.py`` into *folder* and configure dorm from them; return the URL."""
    chosen = url or f"sqlite:///{folder / 'flights.db'}"
    app = folder / "flights"
    app.mkdir(parents=True, exist_ok=True)
    (app / "__init__.py").write_text("")
    (app / "models.py").write_text(inspect.getsource(models))
    (folder / "settings.py").write_text(_SETTINGS.format(url=chosen))
    given = runpy.run_path(str(folder / "settings.py"))
    dorm.configure(**{name: value for name, value in given.items() if name.isupper()})
    return chosen
