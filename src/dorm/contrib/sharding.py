"""Rows of one model in several databases, by a hash of a key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_key: ContextVar[Any] = ContextVar("dorm_shard_key", default=None)


def shard_for(key: Any, num_shards: int, *, aliases: Sequence[str] | None = None, salt: str = "") -> str:
    """Return the alias of *key*'s shard: the same in every process, for ever (BLAKE2b of type-free text and *salt*).

    Args:
        aliases: names of the shards in order; ``shard_0`` ... without.
    """
    names = _aliases(num_shards, aliases)
    digest = hashlib.blake2b(f"{salt}\x1f{key}".encode(), digest_size=8).digest()
    return names[int.from_bytes(digest, "big") % num_shards]


def _aliases(num_shards: int, aliases: Sequence[str] | None) -> Sequence[str]:
    if isinstance(num_shards, bool) or not isinstance(num_shards, int) or num_shards < 1:
        raise ValueError(f"num_shards must be a whole number from 1, not {num_shards!r}")
    if aliases is None:
        return [f"shard_{number}" for number in range(num_shards)]
    if isinstance(aliases, str) or len(aliases) != num_shards:
        raise ValueError(f"aliases must name {num_shards} shards")
    return aliases


@contextmanager
def with_shard_key(key: Any) -> Generator[None]:
    """Route the models of a `HashShardRouter` to the shard of *key* in the block; in sync and async code."""
    before = _key.get()
    _key.set(key)
    try:
        yield
    finally:
        _key.set(before)


def get_shard_key() -> Any:
    """Return the key in force, None without."""
    return _key.get()


class HashShardRouter:
    """A router for ``DATABASE_ROUTERS`` that sends sharded models to the shard of the key in force.

    Args:
        shard_models: classes, or labels (``app.Model``), that are sharded; None for all.
    Without a key in force, an instance's own database, else no answer.
    """

    def __init__(
        self,
        *,
        num_shards: int,
        shard_models: Iterable[Any] | None = None,
        aliases: Sequence[str] | None = None,
        salt: str = "",
    ) -> None:
        self.aliases = tuple(_aliases(num_shards, aliases))
        self.num_shards = num_shards
        self.salt = salt
        self._models = None if shard_models is None else {_label(each) for each in shard_models}

    def _shards(self, model: Any) -> bool:
        return self._models is None or _label(model) in self._models

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        """Return the shard of the key in force, else that of the instance at hand."""
        if not self._shards(model):
            return None
        key = _key.get()
        if key is not None:
            return shard_for(key, self.num_shards, aliases=self.aliases, salt=self.salt)
        alias = getattr(getattr(hints.get("instance"), "_state", None), "db", None)
        return alias if alias in self.aliases else None

    db_for_write = db_for_read

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool | None:
        """Allow relations within a shard only."""
        one, two = obj1._state.db, obj2._state.db
        return None if one is None or two is None else one == two

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        """Let every shard have the tables of sharded models."""
        label = f"{app_label}.{model_name}".lower()
        if self._models is None or label in self._models:
            return db in self.aliases
        return None


def _label(model: Any) -> str:
    return (model if isinstance(model, str) else model._meta.label).lower()


def for_each_shard(func: Callable[[str], T], *, num_shards: int, aliases: Sequence[str] | None = None) -> dict[str, T]:
    """Call *func* with each shard's alias; return the answers by alias."""
    return {alias: func(alias) for alias in _aliases(num_shards, aliases)}
