"""Storages by alias, as the setting ``STORAGES`` names them."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured, choices_text
from dorm.storage.base import Storage
from dorm.storage.filesystem import FileSystemStorage

_made: dict[str, Storage] = {}
_lock = threading.Lock()


def get_storage(alias: str = "default") -> Storage:
    """Return the storage of an alias of ``STORAGES``; without that setting ``"default"`` is the folder ``media``.

    Raises: ImproperlyConfigured: an unknown alias, or an entry that is wrong.
    """
    found = _made.get(alias)
    if found is None:
        with _lock:
            found = _made.get(alias)
            if found is None:
                found = _made[alias] = _storage(alias)
    return found


def reset_storages() -> None:
    """Forget the storages made so far; the next `get_storage` reads the setting again."""
    with _lock:
        _made.clear()


def _storage(alias: str) -> Storage:
    entries: dict[str, Any] = (getattr(settings, "STORAGES", None) or {}) if settings.is_configured else {}
    if not entries and alias == "default":
        return FileSystemStorage()
    if entries and "default" not in entries:
        raise ImproperlyConfigured('STORAGES needs an entry "default".')
    if alias not in entries:
        raise ImproperlyConfigured(f"STORAGES has no alias {alias!r}. Aliases: {choices_text(entries)}.")
    entry = entries[alias]
    backend = entry.get("BACKEND") if isinstance(entry, dict) else None
    if not backend:
        raise ImproperlyConfigured(f"STORAGES[{alias!r}] needs a BACKEND: the dotted path of a Storage class.")
    made: Storage = _class(alias, backend)(**entry.get("OPTIONS", {}))
    return made


def _class(alias: str, backend: Any) -> Any:
    if not isinstance(backend, str):
        return backend
    module, _, name = backend.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ImproperlyConfigured(f"STORAGES[{alias!r}]: BACKEND {backend!r} cannot be imported: {exc}.") from exc


if TYPE_CHECKING:
    default_storage: Storage
else:

    class _Default:
        """The storage of the alias ``"default"``, looked up whenever it is used."""

        def __getattr__(self, name):
            return getattr(get_storage(), name)

        @property
        def __class__(self):
            return type(get_storage())

        def __repr__(self):
            return f"<default_storage: {get_storage()!r}>"

        def __reduce__(self):
            return "default_storage"

    default_storage = _Default()


def _changed(names: frozenset[str]) -> None:
    if "STORAGES" in names:
        reset_storages()


settings.on_change(_changed)
