"""The operation that every statement of dorm goes through: hooks, signals, retry of lost reads, the slow-query log."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from time import perf_counter
from typing import Any, TypeVar

from dorm.conf.settings import settings
from dorm.db.connection import Database
from dorm.db.hooks import chain
from dorm.db.operation import Operation
from dorm.db.request import Sleep, StatementRequest
from dorm.exceptions import DatabaseError, OperationalError
from dorm.signals import post_query, pre_query

T = TypeVar("T")

_log = logging.getLogger("dorm.db")
_loggers: dict[str, logging.Logger] = {}


def logger_of(vendor: str) -> logging.Logger:
    """Return the logger of an engine's statements."""
    found = _loggers.get(vendor)
    if found is None:
        found = _loggers.setdefault(vendor, logging.getLogger(f"dorm.db.backends.{vendor}"))
    return found


def perform(request: StatementRequest[T]) -> Operation[T]:
    """Send a statement and return its reply."""
    if chain.hooks:
        reply: T = yield from chain.around(request, _send)
        return reply
    return (yield from _send(request))


def _send(request: StatementRequest[T]) -> Operation[T]:
    database: Database = request.source  # type: ignore[assignment]  # sources are databases
    if pre_query.has_listeners or post_query.has_listeners:
        return (yield from _announced(request, database))
    start = perf_counter()
    try:
        reply: T = yield request
    except OperationalError as exc:
        reply = yield from _again(request, database, exc)
    elapsed = perf_counter() - start
    slow = settings.knobs.slow_query_seconds
    logger = logger_of(database.vendor)
    if slow is not None and elapsed >= slow:
        logger.warning("slow query on %s: %.1f ms: %s", database.alias, elapsed * 1000, request.statement.sql)
    elif logger.isEnabledFor(logging.DEBUG):
        logger.debug(
            "(%.3f ms) %s; %d parameters", elapsed * 1000, request.statement.sql, len(request.statement.params)
        )
    return reply


def _again(request: StatementRequest[T], database: Database, exc: OperationalError) -> Operation[T]:
    """Repeat a read whose connection was lost, outside blocks; everything else is raised."""
    attempts = settings.knobs.retry_attempts
    lost = exc
    for attempt in range(1, attempts):
        if not is_repeatable(request, database, lost):
            raise lost
        database.suspect()
        _log.warning(
            "connection to %s was lost; the read is sent again (try %d of %d)", database.alias, attempt + 1, attempts
        )
        yield Sleep(
            settings.knobs.retry_backoff * (2 ** (attempt - 1)) * random.uniform(0.5, 1.0) if attempt > 1 else 0
        )
        try:
            reply: T = yield request
        except OperationalError as again:
            lost = again
        else:
            return reply
    raise lost


def is_repeatable(request: StatementRequest[Any], database: Database, exc: OperationalError) -> bool:
    """True for a SELECT that dorm compiled, sent outside a block on a connection that is gone."""
    return (
        request.connection is None
        and request.statement.template.reads
        and exc.connection_lost
        and not database.in_block
    )


def _announced(request: StatementRequest[T], database: Database) -> Operation[T]:
    """Send with the signals around it; receivers get raw parameters and never stop the statement."""
    told: dict[str, Any] = {
        "sql": request.statement.sql,
        "params": _shown(request.statement.params),
        "alias": database.alias,
    }
    pre_query.send(database.vendor, **told)
    start = perf_counter()
    error: DatabaseError | None = None
    try:
        reply: T = yield request
    except DatabaseError as exc:
        error = exc
        raise
    finally:
        post_query.send(database.vendor, elapsed_ms=(perf_counter() - start) * 1000, error=error, **told)
    return reply


def _shown(params: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(params)
