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
    reply = yield from proceed(request)
    template = request.statement.template
    if template.model and not template.reads and not _is_query(template.sql):
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
    """Replace the version of a model in all caches; a cache that fails is told of and left alone."""
    for using in list(settings.CACHES):
        try:
            yield from bump([label], using)
        except Exception as exc:  # noqa: BLE001  # a stated boundary: a cache never breaks a write
            warn(exc, using)


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


settings.on_change(lambda names: ensure_signals_connected() if "CACHES" in names else None)
ensure_signals_connected()
