"""Which alias a model is read from and written to."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured


class Router:
    """Asks the setting ``DATABASE_ROUTERS`` in order; the first answer wins.

    Without an answer it is the alias of the instance among the hints, else ``default``.
    """

    def __init__(self) -> None:
        self._routers: list[Any] | None = None
        settings.on_change(self._changed)

    def _changed(self, names: frozenset[str]) -> None:
        if "DATABASE_ROUTERS" in names:
            self._routers = None

    def db_for_read(self, model: Any, hints: Mapping[str, Any] | None = None) -> str:
        """Return the alias that rows of *model* are read from."""
        return self._answer("db_for_read", model, hints)

    def db_for_write(self, model: Any, hints: Mapping[str, Any] | None = None) -> str:
        """Return the alias that rows of *model* are written to."""
        return self._answer("db_for_write", model, hints)

    def allow_migrate(self, alias: str, app_label: str, **hints: Any) -> bool:
        """Tell whether migrations of an app run on *alias*: yes unless a router minds (hint: ``model_name``)."""
        for router in self._loaded_routers():
            ask = getattr(router, "allow_migrate", None)
            answer = ask(alias, app_label, **hints) if ask is not None else None
            if answer is not None:
                return bool(answer)
        return True

    def _loaded_routers(self) -> list[Any]:
        routers = self._routers
        if routers is None:
            routers = self._routers = [_loaded(entry) for entry in settings.DATABASE_ROUTERS]
        return routers

    def _answer(self, method: str, model: Any, hints: Mapping[str, Any] | None) -> str:
        for router in self._loaded_routers():
            ask = getattr(router, method, None)
            alias = ask(model, **(hints or {})) if ask is not None else None
            if alias:
                return str(alias)
        instance = hints.get("instance") if hints else None
        return (instance._state.db if instance is not None else None) or "default"


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
