"""A project on disk: its settings module, its apps, and their models."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured

_log = logging.getLogger("dorm.conf")

_SKIPPED = frozenset({"venv", ".venv", "env", "node_modules", "migrations", "dist", "build", "__pycache__"})
_DEPTH = 4


def settings_name(given: str | None = None) -> str:
    """Return the dotted path of the settings module: *given*, else ``DORM_SETTINGS``, else ``settings``."""
    return given or os.environ.get("DORM_SETTINGS") or os.environ.get("DORM_SETTINGS_MODULE") or "settings"


def load_settings(given: str | None = None, configure: Callable[[dict[str, Any]], None] | None = None) -> str:
    """Import the settings module, found from the working directory, and configure dorm from it; return its name.

    Args:
        configure: takes the settings; `dorm.configure` unless given.
    Raises: ImproperlyConfigured: it is no dotted path, is not there, or cannot be imported.
    """
    name = settings_name(given)
    if not all(part.isidentifier() for part in name.split(".")):
        raise ImproperlyConfigured(
            f"the settings module is named by a dotted path such as 'project.settings', not {name!r}."
        )
    put_on_path(Path.cwd())
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(f"{exc.name}.")):
            raise ImproperlyConfigured(
                f"there is no settings module {name!r} here ({Path.cwd()}): go to the project's folder, or name it "
                "with --settings or DORM_SETTINGS. 'dorm init' makes a project."
            ) from exc
        raise ImproperlyConfigured(f"the settings module {name!r} cannot be imported: {exc}") from exc
    except Exception as exc:
        raise ImproperlyConfigured(
            f"the settings module {name!r} cannot be imported: {type(exc).__name__}: {exc}"
        ) from exc
    configure_from(vars(module), Path(module.__file__ or ".").resolve().parent, configure)
    return name


def configure_from(
    namespace: dict[str, Any], folder: Path, configure: Callable[[dict[str, Any]], None] | None = None
) -> None:
    """Configure dorm from the upper-case names of a module; apps are looked for where none are named."""
    given = {name: value for name, value in namespace.items() if name.isupper() and not name.startswith("_")}
    if not given:
        raise ImproperlyConfigured("the settings module has no upper-case names: it configures nothing.")
    if not given.get("INSTALLED_APPS"):
        given["INSTALLED_APPS"] = discover_apps(folder)
    if configure is not None:
        configure(given)
    else:
        settings.configure(**given)


def put_on_path(folder: Path) -> None:
    """Let modules in *folder* be imported."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def discover_apps(folder: Path) -> list[str]:
    """Return the dotted paths of the packages below *folder* that have an ``__init__.py`` and a ``models.py``."""
    found: list[str] = []

    def visit(path: Path, dotted: str, depth: int) -> None:
        for child in sorted(path.iterdir()):
            name = child.name
            if not child.is_dir() or name in _SKIPPED or name.startswith(".") or not name.isidentifier():
                continue
            package = f"{dotted}{name}"
            has_init = (child / "__init__.py").is_file()
            if has_init and (child / "models.py").is_file():
                found.append(package)
            if has_init and depth < _DEPTH:
                visit(child, f"{package}.", depth + 1)

    visit(folder, "", 0)
    return found


def import_models() -> None:
    """Import ``<app>.models`` of each installed app; an app without that module is fine.

    Raises: whatever the modules raise; ImproperlyConfigured for an app that is not there.
    """
    for app in settings.INSTALLED_APPS:
        try:
            importlib.import_module(app)
        except ModuleNotFoundError as exc:
            if exc.name is not None and (app == exc.name or app.startswith(f"{exc.name}.")):
                raise ImproperlyConfigured(
                    f"INSTALLED_APPS names {app!r}, which is no package that can be found from here ({Path.cwd()})."
                ) from exc
            raise
        if importlib.util.find_spec(f"{app}.models") is not None:
            importlib.import_module(f"{app}.models")


def discover() -> bool:
    """Configure dorm from the module that ``DORM_SETTINGS`` names, else from a ``settings.py`` beside the running
    script, else from one in the working directory.

    Returns: False when there is none, or when dorm is configured already.
    Raises: ImproperlyConfigured: ``DORM_SETTINGS`` names a module that is not there or cannot be imported.
    """
    if settings.is_configured:
        return False
    if os.environ.get("DORM_SETTINGS") or os.environ.get("DORM_SETTINGS_MODULE"):
        _log.info("dorm is configured from %s", load_settings())
        import_models()
        return True
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    folders = [Path(script).resolve().parent] if script else []
    for folder in dict.fromkeys([*folders, Path.cwd()]):
        path = folder / "settings.py"
        if path.is_file():
            _log.info("dorm is configured from %s", path)
            put_on_path(folder)
            configure_from(runpy.run_path(str(path)), folder)
            import_models()
            return True
    return False
