"""Versions of models: a number for each, replaced by a write. It stands in the key of every result that reads it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Any

from dorm.cache.api import BaseCache, get_cache
from dorm.conf.settings import settings
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import CallUser


def model_cache_namespace(model: Any) -> str:
    """Return what the names of a model's entries begin with."""
    return f"dormqc:{model._meta.label}"


def version_key(label: str) -> str:
    """Return the name under which the version of the model *label* is kept."""
    return f"dormqc:{label}:version"


def is_version_key(key: str) -> bool:
    """True for a name that `version_key` gave."""
    return key.startswith("dormqc:") and key.endswith(":version")


def fresh_version() -> int:
    """Return a number that no version had before."""
    return time.time_ns() << 16 | secrets.randbits(16)


@operation
def versions(cache: BaseCache, labels: Iterable[str]) -> Operation[tuple[int, ...]]:
    """Return the versions of models; those without one get one."""
    names = [version_key(label) for label in labels]
    found: list[Any] = yield CallUser(cache.get_many, cache.aget_many, names)
    missing = {name: fresh_version() for name, value in zip(names, found, strict=True) if not isinstance(value, int)}
    if missing:
        yield CallUser(cache.set_many, cache.aset_many, missing, 0)
    return tuple(value if isinstance(value, int) else missing[name] for name, value in zip(names, found, strict=True))


@operation
def bump(labels: Iterable[str], using: str | None = None) -> Operation[None]:
    """Replace the versions of models in one cache, or in all."""
    fresh = {version_key(label): fresh_version() for label in labels}
    for alias in [using] if using is not None else list(settings.CACHES):
        cache = get_cache(alias)
        yield CallUser(cache.set_many, cache.aset_many, fresh, 0)


@operation
def _version(model: Any, using: str) -> Operation[int]:
    found = yield from versions(get_cache(using), [model._meta.label])
    return found[0]


def model_cache_version(model: Any, using: str = "default") -> int:
    """Return the version of *model* in the cache *using*."""
    return run(_version(model, using))


async def amodel_cache_version(model: Any, using: str = "default") -> int:
    """Async twin of `model_cache_version`."""
    return await arun(_version(model, using))


def bump_model_cache_version(model: Any, using: str | None = None) -> None:
    """Make every cached result that touches *model* stale, in the cache *using* or in all."""
    run(bump([model._meta.label], using))


async def abump_model_cache_version(model: Any, using: str | None = None) -> None:
    """Async twin of `bump_model_cache_version`."""
    await arun(bump([model._meta.label], using))
