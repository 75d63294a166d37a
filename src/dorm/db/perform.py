"""The operation that every statement of dorm goes through: hooks, signals, retry of lost reads, the slow-query log."""

from __future__ import annotations

import logging
import random
from time import perf_counter
from typing import Any, TypeVar

from dorm.conf.settings import settings
from dorm.db.connection import Database
from dorm.db.hooks import chain
from dorm.db.operation import Operation
from dorm.db.request import CallUser, Sleep, StatementRequest
from dorm.db.template import shown_params
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


def perform(request: StatementRequest[T], admitted: bool = False) -> Operation[T]:
    """Send a statement and return its reply.

    Args:
        admitted: the gates of the chain have judged it already (`dorm.db.hooks.Chain.admit`).
    """
    if chain.active:
        reply: T = yield from chain.around(request, _announced, admitted)
        return reply
    if pre_query.has_listeners or post_query.has_listeners:
        return (yield from _announced(request))
    return (yield from _send(request))


def _send(request: StatementRequest[T]) -> Operation[T]:
    database: Database = request.source  # type: ignore[assignment]  # sources are databases
    start = perf_counter()
    try:
        reply: T = yield request
    except OperationalError as exc:
        try:
            reply = yield from _again(request, database, exc)
        except DatabaseError:
            _record(request, database, perf_counter() - start, "failed: ")
            raise
    except DatabaseError:
        _record(request, database, perf_counter() - start, "failed: ")
        raise
    elapsed = perf_counter() - start
    slow = settings.knobs.slow_query_seconds
    logger = logger_of(database.vendor)
    if slow is not None and elapsed >= slow and not request.statement.internal:
        logger.warning("slow query on %s: %.1f ms: %s", database.alias, elapsed * 1000, request.statement.sql)
    if logger.isEnabledFor(logging.DEBUG):
        _record(request, database, elapsed)
    return reply


def _record(request: StatementRequest[Any], database: Database, elapsed: float, outcome: str = "") -> None:
    """Log one statement with its parameters, those of columns with secret names masked."""
    logger = logger_of(database.vendor)
    if logger.isEnabledFor(logging.DEBUG):
        statement = request.statement
        params = shown_params(statement.sql, statement.params, database.vendor)
        logger.debug("%s(%.3f ms) %s; params %s", outcome, elapsed * 1000, statement.sql, params)


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


def _announced(request: StatementRequest[T]) -> Operation[T]:
    """Send with the signals around it; receivers get raw parameters, coroutine ones are awaited in asyncio code."""
    if not (pre_query.has_listeners or post_query.has_listeners):
        return (yield from _send(request))
    source, statement = request.source, request.statement
    told: dict[str, Any] = {"sql": statement.sql, "params": tuple(statement.params), "alias": source.alias}
    yield CallUser(pre_query.send, pre_query.asend, source.vendor, **told)
    start = perf_counter()
    try:
        reply = yield from _send(request)
    except Exception as exc:
        told.update(elapsed_ms=(perf_counter() - start) * 1000, error=exc)
        yield CallUser(post_query.send, post_query.asend, source.vendor, **told)
        raise
    except BaseException as exc:
        # Cancelled: receivers are told, and nothing more is awaited.
        post_query.send(source.vendor, elapsed_ms=(perf_counter() - start) * 1000, error=exc, **told)
        raise
    told.update(elapsed_ms=(perf_counter() - start) * 1000, error=None)
    yield CallUser(post_query.send, post_query.asend, source.vendor, **told)
    return reply
