"""What a cache is, and the caches that the setting ``CACHES`` names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from importlib import import_module
from typing import Any

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured, choices_text, nearest

_log = logging.getLogger("dorm.cache")

DEFAULT_TTL = 300


class BaseCache:
    """A cache: names to values, for a time.

    A subclass overrides `get`, `set`, `delete` and `delete_pattern`, and their twins with ``a`` where it can do better
    than call them.

    Args:
        location: where it is; a URL for servers.
        ttl: seconds that an entry lives when `set` is not told otherwise; 0 for no end.
        options: the ``OPTIONS`` of its entry.
    """

    def __init__(self, location: str = "", ttl: float | None = None, options: dict[str, Any] | None = None) -> None:
        self.location = location
        self.default_timeout: float = DEFAULT_TTL if ttl is None else ttl
        self.options = dict(options or {})

    # -- one name ------------------------------------------------------------------------------------------------
    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of *key*, *default* when there is none."""
        raise NotImplementedError(f"{type(self).__name__} has no get()")

    def set(self, key: str, value: Any, timeout: float | None = None) -> None:
        """Keep *value* for *timeout* seconds (None: `default_timeout`, 0: without end)."""
        raise NotImplementedError(f"{type(self).__name__} has no set()")

    def delete(self, key: str) -> bool:
        """Forget *key*; return whether it was there."""
        raise NotImplementedError(f"{type(self).__name__} has no delete()")

    def delete_pattern(self, pattern: str) -> int:
        """Forget the names that match *pattern* (``*``, ``?``, ``[...]``); return how many there were."""
        raise NotImplementedError(f"{type(self).__name__} has no delete_pattern()")

    async def aget(self, key: str, default: Any = None) -> Any:
        """Async twin of `get`."""
        return self.get(key, default)

    async def aset(self, key: str, value: Any, timeout: float | None = None) -> None:
        """Async twin of `set`."""
        self.set(key, value, timeout)

    async def adelete(self, key: str) -> bool:
        """Async twin of `delete`."""
        return self.delete(key)

    async def adelete_pattern(self, pattern: str) -> int:
        """Async twin of `delete_pattern`."""
        return self.delete_pattern(pattern)

    # -- several -------------------------------------------------------------------------------------------------
    def get_many(self, keys: Sequence[str]) -> list[Any]:
        """Return the value of each key, None where there is none."""
        return [self.get(key) for key in keys]

    async def aget_many(self, keys: Sequence[str]) -> list[Any]:
        """Async twin of `get_many`."""
        return [await self.aget(key) for key in keys]

    def set_many(self, values: dict[str, Any], timeout: float | None = None) -> None:
        """Keep several values."""
        for key, value in values.items():
            self.set(key, value, timeout)

    async def aset_many(self, values: dict[str, Any], timeout: float | None = None) -> None:
        """Async twin of `set_many`."""
        for key, value in values.items():
            await self.aset(key, value, timeout)

    def close(self) -> None:
        """Let go of connections."""

    def lifetime(self, timeout: float | None) -> float | None:
        """Return the seconds an entry lives, None without end."""
        seconds = self.default_timeout if timeout is None else timeout
        return None if seconds == 0 else seconds


_caches: dict[str, BaseCache] = {}
_lock = threading.Lock()
_observers: tuple[Callable[[str, bool], None], ...] = ()
_key_parts: list[Callable[[str], Hashable]] = []


def get_cache(alias: str = "default") -> BaseCache:
    """Return the cache of *alias*, made on first use.

    Raises: ImproperlyConfigured: ``CACHES`` has no such alias, or its entry is wrong.
    """
    found = _caches.get(alias)
    if found is None:
        with _lock:
            found = _caches.get(alias)
            if found is None:
                found = _caches[alias] = _made(alias)
    return found


def is_configured() -> bool:
    """True when there is any cache."""
    return settings.is_configured and bool(settings.CACHES)


def reset_caches() -> None:
    """Forget the cache objects; entries on servers stay."""
    with _lock:
        for cache in _caches.values():
            cache.close()
        _caches.clear()


def register_key_part(part: Callable[[str], Hashable]) -> Callable[[], None]:
    """Let ``part(alias)`` go into the key of every result: what else rows depend on, such as a tenant's schema.

    Returns: the function that takes it back.
    """
    _key_parts.append(part)
    return lambda: _key_parts.remove(part) if part in _key_parts else None


def register_observer(observer: Callable[[str, bool], None]) -> Callable[[], None]:
    """Have ``observer(alias, hit)`` told of each result that was looked for in a cache; its errors are logged.

    A result is a hit when no statement was sent for it.

    Returns: the function that takes it back.
    """
    global _observers
    with _lock:
        _observers = (*_observers, observer)

    def remove() -> None:
        global _observers
        with _lock:
            _observers = tuple(each for each in _observers if each is not observer)

    return remove


def tell(alias: str, hit: bool) -> None:
    """Tell the observers."""
    for observer in _observers:
        try:
            observer(alias, hit)
        except Exception:  # noqa: BLE001  # a stated boundary: an observer never fails a query
            _log.exception("%s raised when it was told of a cache", getattr(observer, "__qualname__", observer))


def key_parts(alias: str) -> tuple[Hashable, ...]:
    """Return what the registered parts say now."""
    return tuple(part(alias) for part in _key_parts)


def _made(alias: str) -> BaseCache:
    caches = settings.CACHES
    if alias not in caches:
        raise ImproperlyConfigured(
            f"there is no cache {alias!r} in CACHES.{nearest(alias, caches)} Aliases: {choices_text(caches)}."
        )
    entry = dict(caches[alias])
    path = entry.pop("BACKEND", None)
    unknown = set(entry) - {"LOCATION", "TTL", "OPTIONS"}
    if not isinstance(path, str) or "." not in path or unknown:
        raise ImproperlyConfigured(
            f"CACHES[{alias!r}] takes BACKEND (a dotted path such as 'dorm.cache.locmem.LocMemCache'), LOCATION, TTL "
            f"and OPTIONS{f'; not {sorted(unknown)}' if unknown else ''}."
        )
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError) as exc:
        raise ImproperlyConfigured(f"CACHES[{alias!r}]['BACKEND'] {path!r} cannot be imported: {exc}") from exc
    made = cls(entry.get("LOCATION", ""), entry.get("TTL"), entry.get("OPTIONS"))
    if not isinstance(made, BaseCache):
        raise ImproperlyConfigured(f"CACHES[{alias!r}]['BACKEND'] {path!r} is no BaseCache.")
    return made


def _settings_changed(names: frozenset[str]) -> None:
    if "CACHES" in names:
        reset_caches()


settings.on_change(_settings_changed)
