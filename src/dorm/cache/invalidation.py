"""Writes make results stale: each statement that dorm compiled for a model and that is no SELECT replaces its version.

It hangs on the chain around statements, so saves, deletes, bulk writes, updates and many-to-many changes are all seen.
Inside a transaction versions are replaced after the commit; until then the block that wrote reads past the cache.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from dorm.cache.api import is_configured
from dorm.cache.versions import bump
from dorm.conf.settings import settings
from dorm.db.block import Block, Callback
from dorm.db.connection import connections
from dorm.db.hooks import Proceed, chain
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import StatementRequest
from dorm.exceptions import DatabaseError

_log = logging.getLogger("dorm.cache")
_lock = threading.Lock()
_uninstall: Callable[[], None] | None = None
_last_warning = 0.0
_PAUSE = 60.0
"""Seconds between two warnings about a cache that fails."""


def ensure_signals_connected() -> None:
    """Watch writes from now on, where there is a cache; done by the first use of one and by a change of ``CACHES``."""
    global _uninstall
    with _lock:
        if is_configured() and _uninstall is None:
            _uninstall = chain.install(_watched, internal=True)
        elif not is_configured() and _uninstall is not None:
            _uninstall()
            _uninstall = None


def _watched(request: StatementRequest[Any], proceed: Proceed) -> Operation[Any]:
    template = request.statement.template
    if not template.model or template.reads or _is_query(template.sql):
        return (yield from proceed(request))
    try:
        reply = yield from proceed(request)
    except GeneratorExit:
        raise
    except BaseException as exc:
        if not isinstance(exc, DatabaseError) or exc.connection_lost:
            # Given up, or its connection was lost: it may have been done.
            yield from written(template.model, request.source.alias)
        raise
    yield from written(template.model, request.source.alias)
    return reply


def _is_query(sql: str) -> bool:
    start = sql.lstrip()[:6].upper()
    # The queries of a WITH may write too, where the backend lets them.
    return start in ("SELECT", "EXPLAI") or (start[:4] == "WITH" and _WRITES.search(sql) is None)


_WRITES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|REPLACE\s+INTO)\b", re.IGNORECASE)


@operation
def written(label: str, alias: str) -> Operation[None]:
    """Note a write to the model *label*: after the commit, or at once outside a transaction."""
    block = connections[alias].block_for_callbacks()
    if block is None or not block.in_transaction:
        yield from stale(label)
        return
    # A rollback to a savepoint drops the callbacks registered since it, so each savepoint has one of its own.
    place = (label, block.savepoints[-1] if block.savepoints else None)
    if place in block.touched:
        return
    block.touched.add(place)
    block.on_commit.append(Callback(_after_commit(label, block), robust=True, at_once=True))


def _after_commit(label: str, block: Block) -> Callable[[], Any]:
    if block.face == "sync" or block.pinned:
        return lambda: run(stale(label))

    async def replaced() -> None:
        await arun(stale(label))

    return replaced


@operation
def stale(label: str) -> Operation[None]:
    """Replace the version of a model in all caches; a cache that fails is told of, and told once it answers again."""
    for using in list(settings.CACHES):
        try:
            yield from make_up(using, label)
        except Exception as exc:  # noqa: BLE001  # a stated boundary: a cache never breaks a write
            warn(exc, using)


@operation
def make_up(using: str, *labels: str) -> Operation[None]:
    """Replace the versions of *labels* in one cache, and those that it did not take before; what fails is kept."""
    missed = _missed.setdefault(using, set())
    missed.update(labels)
    wanted = list(missed)
    if wanted:
        yield from bump(wanted, using)
        missed.difference_update(wanted)


def has_missed(using: str) -> bool:
    """True when the cache has failed to take the news of a write of this process."""
    return bool(_missed.get(using))


_missed: dict[str, set[str]] = {}
"""By cache: the models whose versions could not be replaced."""


def warn(exc: BaseException, using: str) -> None:
    """Tell of a cache that fails, at most once a minute."""
    global _last_warning
    now = time.monotonic()
    if now - _last_warning >= _PAUSE or not _last_warning:
        _last_warning = now
        _log.warning("cache %r failed (%s: %s): the database serves.", using, type(exc).__name__, exc)


def has_written(alias: str, labels: frozenset[str]) -> bool:
    """True when the transaction in force here has written to one of the models."""
    block = connections[alias].block_for_callbacks()
    return block is not None and any(label in labels for label, _ in block.touched)


def invalidate_model(sender: Any, using: str | None = None, **extra: Any) -> None:
    """Make results that touch the model *sender* stale, after the commit of the transaction on *using* if one is open.

    Its signature is a receiver's: connect it to a signal of your own.
    """
    run(written(sender._meta.label, using or "default"))


async def ainvalidate_model(sender: Any, using: str | None = None, **extra: Any) -> None:
    """Async twin of `invalidate_model`."""
    await arun(written(sender._meta.label, using or "default"))


def _settings_changed(names: frozenset[str]) -> None:
    if "CACHES" in names:
        _missed.clear()
        ensure_signals_connected()


settings.on_change(_settings_changed)
ensure_signals_connected()
