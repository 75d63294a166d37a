"""Backends by name: dorm's own are imported when they are first used, others come by ``dorm.backends`` entry points."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from dorm.conf.plug_ins import plug_ins
from dorm.db.driver import Backend
from dorm.exceptions import ImproperlyConfigured, choices_text, nearest

PLUG_INS = "dorm.backends"
"""Entry-point group of backends that other packages bring."""

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
    for entry in plug_ins(PLUG_INS):
        if entry.name == engine:
            return cast("Backend", entry.load())
    names = engine_names()
    raise ImproperlyConfigured(
        f"there is no backend for ENGINE {engine!r}.{nearest(engine, names)} Engines: {choices_text(names)}."
    )


def engine_names() -> list[str]:
    """Return the engines that there are backends for, whether or not their drivers are installed."""
    return [*_OWN, *[entry.name for entry in plug_ins(PLUG_INS)]]
