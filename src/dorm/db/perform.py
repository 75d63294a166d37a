"""The operation that every statement of dorm goes through: hooks, signals, retry of lost reads, the slow-query log."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Any, TypeVar

from dorm.conf.settings import ENVIRONMENT, FIXED, SLOW_EXPLAIN, SLOW_QUERY, Knobs, settings
from dorm.db.database import Database
from dorm.db.hooks import chain
from dorm.db.limits import is_over, within
from dorm.db.operation import Operation
from dorm.db.request import CallUser, Replace, Sleep, StatementRequest
from dorm.exceptions import ConnectionFailed, DatabaseError, OperationalError
from dorm.signals import post_query, pre_query

T = TypeVar("T")

_log = logging.getLogger("dorm.db")

_settings = vars(settings)
"""Their class has a ``__getattr__``, with which each look at an attribute takes eight times as long."""


def perform(request: StatementRequest[T], admitted: bool = False) -> Operation[T]:
    """Send a statement and return its reply.

    Args:
        admitted: the gates of the chain have judged it already (`dorm.db.hooks.Chain.admit`).
    """
    # Not a generator itself: each one that an operation passes through costs every statement a tenth of a microsecond.
    said = chain.environment
    # Mostly it says nothing, which is seen without a call.
    if (
        said is not FIXED
        and (said is not None or SLOW_EXPLAIN in ENVIRONMENT)
        and ENVIRONMENT.get(SLOW_EXPLAIN) != said
    ):
        chain.follow_environment()
    if chain.active:
        return chain.around(request, _announced, admitted)
    if pre_query.is_connected or post_query.is_connected:
        return _signalled(request)
    return _send(request)


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
    elapsed = perf_counter() - start if request.timed else 0.0
    knobs: Knobs = _settings["knobs"]
    said = knobs.environment
    if said is not FIXED and (said is not None or SLOW_QUERY in ENVIRONMENT) and ENVIRONMENT.get(SLOW_QUERY) != said:
        knobs = settings.current_knobs()
    slow = knobs.slow_query_seconds
    logger = database.logger
    if slow is not None and elapsed >= slow and not request.statement.internal:
        from dorm.db.shown import shown_sql

        text = shown_sql(request.statement, database.vendor)
        logger.warning("slow query on %s: %.1f ms: %s", database.alias, elapsed * 1000, text)
    if logger.isEnabledFor(logging.DEBUG):
        _record(request, database, elapsed)
    return reply


def _record(request: StatementRequest[Any], database: Database, elapsed: float, outcome: str = "") -> None:
    """Log one statement with its parameters, those of columns with secret names masked."""
    logger = database.logger
    if logger.isEnabledFor(logging.DEBUG):
        from dorm.db.shown import shown_params

        statement = request.statement
        params = shown_params(statement.sql, statement.params, database.vendor)
        logger.debug("%s(%.3f ms) %s; params %s", outcome, elapsed * 1000, statement.sql, params)


def _again(request: StatementRequest[T], database: Database, exc: OperationalError) -> Operation[T]:
    """Repeat what may be repeated (`is_repeatable`, `is_first_of_block`); everything else is raised."""
    attempts = settings.current_knobs().retry_attempts
    lost = exc
    for attempt in range(1, attempts):
        if is_over():
            raise lost
        first = is_first_of_block(request, database, lost)
        if not first and not is_repeatable(request, database, lost):
            raise lost
        database.suspect()
        yield from pause(database, lost, attempt, attempts)
        try:
            if first:
                yield Replace(database, database.block_for_callbacks())
            reply: T = yield request
        except OperationalError as again:
            lost = again
        else:
            return reply
    raise lost


def is_first_of_block(request: StatementRequest[Any], database: Database, exc: OperationalError) -> bool:
    """True for the first statement of a block whose connection was found dead by BEGIN: a fresh one will do as well."""
    if request.connection is not None or not exc.nothing_done or not exc.connection_lost:
        return False
    if isinstance(exc, ConnectionFailed) and not exc.passing:
        return False
    block = database.block_for_callbacks()
    lease = None if block is None or block.pinned else block.lease or block.manual_lease
    return lease is not None and lease.owned


def pause(database: Database, exc: OperationalError, attempt: int, attempts: int) -> Operation[None]:
    """Tell that something is tried again, and wait the longer the more often it failed.

    A lost connection is replaced at once: the server may be fine.
    """
    _log.warning("%s: %s; trying again (%d of %d)", database.alias, _reason(exc), attempt + 1, attempts)
    import random

    wait = not exc.connection_lost or isinstance(exc, ConnectionFailed) or attempt > 1
    seconds = settings.knobs.retry_backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.0) if wait else 0
    yield Sleep(within(seconds))


def _reason(exc: OperationalError) -> str:
    if isinstance(exc, ConnectionFailed):
        return "no connection could be made"
    return "the connection was lost" if exc.connection_lost else "the database was busy"


def is_repeatable(request: StatementRequest[Any], database: Database, exc: OperationalError) -> bool:
    """True for a statement outside blocks that may be sent again.

    It was never sent, or it was rolled back as a whole, or it is a SELECT that dorm compiled whose connection is gone.
    """
    if request.connection is not None or database.in_block:
        return False
    if isinstance(exc, ConnectionFailed):
        return exc.passing
    if exc.connection_lost:
        return request.statement.template.reads
    return exc.retryable and request.is_single


def _announced(request: StatementRequest[T]) -> Operation[T]:
    """Return the operation that sends a request, with the signals around it where anybody listens."""
    return _signalled(request) if pre_query.is_connected or post_query.is_connected else _send(request)


def _signalled(request: StatementRequest[T]) -> Operation[T]:
    """Send with the signals around it; receivers get raw parameters, coroutine ones are awaited in asyncio code."""
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
    told.update(elapsed_ms=(perf_counter() - start) * 1000 if request.timed else 0.0, error=None)
    yield CallUser(post_query.send, post_query.asend, source.vendor, **told)
    return reply
