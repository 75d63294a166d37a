"""Which alias a model is read from and written to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from importlib import import_module
from types import MappingProxyType
from typing import Any

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured

_recent: ContextVar[Mapping[Any, float]] = ContextVar("dorm_recent_writes", default=MappingProxyType({}))
"""When the reads of a model that this task or thread wrote may leave its database again, by model."""


class Router:
    """Asks the setting ``DATABASE_ROUTERS`` in order; the first answer wins.

    Without an answer it is the alias of the instance among the hints, else ``default``. For the seconds of the setting
    ``READ_AFTER_WRITE_WINDOW`` a task or thread reads a model from where it wrote it, whatever ``db_for_read`` says;
    the hint ``sticky=False`` asks the routers all the same.

    Attributes:
        is_idle: the setting was read and is empty, so that nobody has to be asked or told.
    """

    def __init__(self) -> None:
        self._routers: list[Any] | None = None
        self.is_idle = False
        self._changes = 0
        settings.on_change(self._changed)

    def _changed(self, names: frozenset[str]) -> None:
        if "DATABASE_ROUTERS" in names:
            self._changes += 1
            self._routers = None
            self.is_idle = False

    def db_for_read(self, model: Any, hints: Mapping[str, Any] | None = None) -> str:
        """Return the alias that rows of *model* are read from."""
        if not hints and self.is_idle:
            return "default"
        return self.answer("db_for_read", model, hints or {}, "default")

    def db_for_write(self, model: Any, hints: Mapping[str, Any] | None = None) -> str:
        """Return the alias that rows of *model* are written to."""
        if not hints and self.is_idle:
            return "default"
        return self.answer("db_for_write", model, hints or {}, "default")

    @property
    def has_any(self) -> bool:
        """True when there are routers to ask."""
        routers = self._routers
        return bool(self._loaded_routers() if routers is None else routers)

    @property
    def has_any_yet(self) -> bool:
        """`has_any`, for code that runs without a database too: False while nothing is configured."""
        routers = self._routers
        return bool(routers) if routers is not None else settings.is_configured and self.has_any

    def answer(self, method: str, model: Any, hints: Mapping[str, Any], default: str) -> str:
        """Return the routers' answer to ``db_for_read`` or ``db_for_write``."""
        routers = self._loaded_routers()
        if routers and method == "db_for_read" and hints.get("sticky", True) and _wrote_lately(model):
            method = "db_for_write"
        for router in routers:
            ask = getattr(router, method, None)
            alias = ask(model, **hints) if ask is not None else None
            if alias:
                return str(alias)
        instance = hints.get("instance")
        return (instance._state.db if instance is not None else None) or default

    def wrote(self, model: Any) -> None:
        """Note that this task or thread writes *model* now."""
        if self.is_idle:
            return
        window = settings.READ_AFTER_WRITE_WINDOW if self._loaded_routers() else None
        if window:
            now = time.monotonic()
            kept = {key: until for key, until in _recent.get().items() if until > now}
            _recent.set(MappingProxyType({**kept, model._meta.concrete_model: now + window}))

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        """Tell whether two instances may refer to each other: those of one database, unless a router decides."""
        for router in self._loaded_routers() if settings.is_configured else ():
            ask = getattr(router, "allow_relation", None)
            answer = ask(one, other, **hints) if ask is not None else None
            if answer is not None:
                return bool(answer)
        return bool(one._state.db == other._state.db)

    def allow_migrate(self, alias: str, app_label: str, **hints: Any) -> bool:
        """Tell whether migrations of an app run on *alias*: yes unless a router minds (hint: ``model_name``)."""
        for router in self._loaded_routers():
            ask = getattr(router, "allow_migrate", None)
            answer = ask(alias, app_label, **hints) if ask is not None else None
            if answer is not None:
                return bool(answer)
        return True

    def _loaded_routers(self) -> list[Any]:
        while (routers := self._routers) is None:
            # The first question of a process may be the first thing that it wants of its settings.
            settings.discover()
            changes = self._changes
            found = self._routers = [_loaded(entry) for entry in settings.DATABASE_ROUTERS]
            self.is_idle = not found
            if changes != self._changes:
                # Somebody configured meanwhile: what was found is out of date.
                self._routers = None
                self.is_idle = False
        return routers


def _wrote_lately(model: Any) -> bool:
    until = _recent.get().get(model._meta.concrete_model)
    return until is not None and time.monotonic() < until


def _loaded(entry: Any) -> Any:
    """Return a router: an object as it is, a dotted path as an instance of the class it names."""
    if not isinstance(entry, str):
        return entry
    module, _, name = entry.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ImproperlyConfigured(f"DATABASE_ROUTERS names {entry!r}, which cannot be imported: {exc}") from exc
    return found() if isinstance(found, type) else found


router = Router()


def router_db_for_read(model: Any, *, default: str = "default", **hints: Any) -> str:
    """Return the alias that rows of *model* are read from; *default* where no router answers.

    Args:
        hints: for the routers; ``sticky=False`` passes over the read-after-write window.
    """
    return router.answer("db_for_read", model, hints, default)


def router_db_for_write(model: Any, *, default: str = "default", **hints: Any) -> str:
    """Return the alias that rows of *model* are written to; *default* where no router answers."""
    return router.answer("db_for_write", model, hints, default)


def clear_read_after_write_window() -> None:
    """Let the reads of this task or thread go where the routers say, whatever it wrote lately."""
    _recent.set(MappingProxyType({}))
