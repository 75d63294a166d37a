"""A cache in this process's memory."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from dorm.cache.api import BaseCache
from dorm.cache.versions import is_version_key
from dorm.exceptions import ImproperlyConfigured

MOST_ENTRIES = 1024
_ABSENT = object()


class LocMemCache(BaseCache):
    """Entries of one process, the least recently used ones dropped when there are too many.

    ``OPTIONS``: *maxsize*, entries at most (1024). Versions of models are few and are never dropped.
    """

    def __init__(self, location: str = "", ttl: float | None = None, options: dict[str, Any] | None = None) -> None:
        super().__init__(location, ttl, options)
        self.maxsize = self.options.pop("maxsize", MOST_ENTRIES)
        if isinstance(self.maxsize, bool) or not isinstance(self.maxsize, int) or self.maxsize < 1:
            raise ImproperlyConfigured("OPTIONS['maxsize'] of LocMemCache takes a whole number from 1.")
        if self.options:
            raise ImproperlyConfigured(f"LocMemCache has no OPTIONS {sorted(self.options)}: it takes maxsize.")
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[Any, float | None]] = OrderedDict()
        self._lasting: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self._get(key, default)

    def _get(self, key: str, default: Any = None) -> Any:
        if key in self._lasting:
            return self._lasting[key]
        found = self._entries.get(key)
        if found is None:
            return default
        value, end = found
        if end is not None and end <= time.monotonic():
            del self._entries[key]
            return default
        self._entries.move_to_end(key)
        return value

    def get_many(self, keys: Sequence[str]) -> list[Any]:
        with self._lock:
            return [self._get(key) for key in keys]

    async def aget_many(self, keys: Sequence[str]) -> list[Any]:
        return self.get_many(keys)

    def set(self, key: str, value: Any, timeout: float | None = None) -> None:
        seconds = self.lifetime(timeout)
        with self._lock:
            if is_version_key(key):
                self._lasting[key] = value
                return
            self._entries[key] = (value, None if seconds is None else time.monotonic() + seconds)
            self._entries.move_to_end(key)
            while len(self._entries) > self.maxsize:
                self._entries.popitem(last=False)

    def delete(self, key: str) -> bool:
        with self._lock:
            there = self._get(key, _ABSENT) is not _ABSENT
            self._lasting.pop(key, None)
            self._entries.pop(key, None)
            return there

    def delete_pattern(self, pattern: str) -> int:
        with self._lock:
            gone = [key for key in (*self._lasting, *self._entries) if fnmatch.fnmatchcase(key, pattern)]
            for key in gone:
                self._lasting.pop(key, None)
                self._entries.pop(key, None)
            return len(gone)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._lasting.clear()

    def __len__(self) -> int:
        return len(self._entries)
