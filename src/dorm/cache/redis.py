"""A cache on a Redis server, shared by processes."""

from __future__ import annotations

import asyncio
import pickle
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from dorm.cache.api import BaseCache
from dorm.cache.signing import sign_payload, verify_payload
from dorm.db.pool import LoopEnd
from dorm.exceptions import ImproperlyConfigured

_BYTES, _NUMBER, _PICKLED = b"b", b"i", b"p"
_SECONDS = 1.0
"""A server that doesn't answer for that long is treated as one that is away: the database serves."""


class RedisCache(BaseCache):
    """Entries on a Redis server.

    ``LOCATION``: the server's URL (``redis://127.0.0.1:6379/0``). ``OPTIONS``: *prefix* before every name
    (``"dorm:"``), *socket_timeout* in seconds (1.0), and what redis-py's ``from_url`` takes. Values that are neither
    bytes nor whole numbers are pickled and signed.
    """

    def __init__(self, location: str = "", ttl: float | None = None, options: dict[str, Any] | None = None) -> None:
        super().__init__(location, ttl, options)
        try:
            import redis
            import redis.asyncio
        except ImportError as exc:
            raise ImproperlyConfigured("RedisCache needs the package redis: install dormdb[redis].") from exc
        self.prefix = str(self.options.pop("prefix", "dorm:"))
        given = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS, **self.options}
        url = location or "redis://127.0.0.1:6379/0"
        try:
            connect: Callable[..., Any] = redis.Redis.from_url
            self._client: Any = connect(url, **given)
        except ValueError as exc:
            raise ImproperlyConfigured(f"the LOCATION of a RedisCache is a redis:// URL: {exc}") from exc
        make: Callable[..., Any] = redis.asyncio.Redis.from_url
        self._connect: Callable[[], Any] = lambda: make(url, **given)
        # A client of the asyncio face belongs to the event loop it was used in.
        self._clients: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def _aclient(self) -> Any:
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._clients.get(loop)
            if found is None:
                client: Any = self._connect()
                self._clients[loop] = found = (client, LoopEnd(client.aclose))
            return found[0]

    def close(self) -> None:
        close: Callable[..., None] = self._client.close
        close()
        with self._lock:
            clients, self._clients = list(self._clients.items()), weakref.WeakKeyDictionary()
        for loop, (_, end) in clients:
            # A loop that is over has closed its client.
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(end.close(), loop)

    # -- one name ------------------------------------------------------------------------------------------------
    def get(self, key: str, default: Any = None) -> Any:
        return _loaded(self._client.get(self.prefix + key), default)

    async def aget(self, key: str, default: Any = None) -> Any:
        return _loaded(await self._aclient().get(self.prefix + key), default)

    def set(self, key: str, value: Any, timeout: float | None = None) -> None:
        self._client.set(self.prefix + key, _dumped(value), px=self._milliseconds(timeout))

    async def aset(self, key: str, value: Any, timeout: float | None = None) -> None:
        await self._aclient().set(self.prefix + key, _dumped(value), px=self._milliseconds(timeout))

    def delete(self, key: str) -> bool:
        return bool(self._client.delete(self.prefix + key))

    async def adelete(self, key: str) -> bool:
        return bool(await self._aclient().delete(self.prefix + key))

    def _milliseconds(self, timeout: float | None) -> int | None:
        seconds = self.lifetime(timeout)
        return None if seconds is None else max(1, int(seconds * 1000))

    # -- several -------------------------------------------------------------------------------------------------
    def get_many(self, keys: Sequence[str]) -> list[Any]:
        found = self._client.mget([self.prefix + key for key in keys]) if keys else []
        return [_loaded(value, None) for value in found]

    async def aget_many(self, keys: Sequence[str]) -> list[Any]:
        found = await self._aclient().mget([self.prefix + key for key in keys]) if keys else []
        return [_loaded(value, None) for value in found]

    def delete_pattern(self, pattern: str) -> int:
        names: Iterator[bytes] = self._client.scan_iter(match=self.prefix + pattern, count=500)
        return sum(int(self._client.delete(name)) for name in names)

    async def adelete_pattern(self, pattern: str) -> int:
        client = self._aclient()
        names: AsyncIterator[bytes] = client.scan_iter(match=self.prefix + pattern, count=500)
        return sum([int(await client.delete(name)) async for name in names])


def _dumped(value: Any) -> bytes:
    if isinstance(value, bytes):
        return _BYTES + value
    if type(value) is int:
        return _NUMBER + str(value).encode()
    return _PICKLED + sign_payload(pickle.dumps(value))


def _loaded(data: bytes | None, default: Any) -> Any:
    if data is None:
        return default
    kind, rest = data[:1], data[1:]
    if kind == _BYTES:
        return rest
    if kind == _NUMBER:
        return int(rest)
    payload = verify_payload(rest) if kind == _PICKLED else None
    return default if payload is None else pickle.loads(payload)
