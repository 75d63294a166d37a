"""Backends by name: dorm's own are imported when they are first used, others come by ``dorm.backends`` entry points."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from dorm.db.driver import Backend
from dorm.exceptions import ImproperlyConfigured, choices_text, nearest

_OWN = {"sqlite": "dorm.db.backends.sqlite", "postgresql": "dorm.db.backends.postgresql"}
_EXTRAS = {"psycopg": "postgresql", "psycopg_pool": "postgresql"}


def load_backend(engine: str) -> Backend:
    """Return the backend of an engine.

    Raises: ImproperlyConfigured: an unknown engine, or one whose driver is not installed; the message says which extra
        brings it.
    """
    module = _OWN.get(engine)
    if module is None:
        return _foreign(engine)
    try:
        return cast("Backend", import_module(module).backend)
    except ModuleNotFoundError as exc:
        extra = _EXTRAS.get((exc.name or "").partition(".")[0])
        if extra is None:
            raise
        raise ImproperlyConfigured(
            f'engine {engine!r} needs the driver {exc.name!r}, which is not installed: pip install "dormdb[{extra}]".'
        ) from exc


def _foreign(engine: str) -> Backend:
    # Loaded here, since it takes longer to load than the whole of this layer.
    from importlib.metadata import entry_points

    found = entry_points(group="dorm.backends", name=engine)
    for entry in found:
        return cast("Backend", entry.load())
    names = engine_names()
    raise ImproperlyConfigured(
        f"there is no backend for ENGINE {engine!r}.{nearest(engine, names)} Engines: {choices_text(names)}."
    )


def engine_names() -> list[str]:
    """Return the engines that there are backends for, whether or not their drivers are installed."""
    from importlib.metadata import entry_points

    return [*_OWN, *[entry.name for entry in entry_points(group="dorm.backends")]]
