"""OpenTelemetry: a span a statement, and trace ids on every log record. Needs the API package, never the SDK."""

from __future__ import annotations

import logging
import re
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import lru_cache
from time import time_ns
from typing import Any, Final

from dorm.db import hooks
from dorm.db.connection import connections
from dorm.db.forks import in_child
from dorm.db.hooks import Observation
from dorm.db.shown import has_values
from dorm.db.template import first_word, template_of

LONGEST_STATEMENT: Final = 1024
NO_ID: Final = "-"
_TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE|TABLE)\s+(?:IF (?:NOT )?EXISTS )?(?:ONLY )?["`\[]?([\w.]+)["`\]]?')

# Old and stable names of the semantic conventions stand side by side.
# https://opentelemetry.io/docs/specs/semconv/database/database-spans/


class _State:
    def __init__(self) -> None:
        self.uninstall: hooks.Uninstall | None = None
        self.factory: _Factory | None = None
        self.forked()
        in_child(self, _State.forked)

    def forked(self) -> None:
        self.lock = threading.Lock()


_state = _State()


# -- spans -------------------------------------------------------------------------------------------------------


def instrument(tracer_name: str = "dorm") -> hooks.Uninstall:
    """Make a span of each statement; idempotent.

    A span is called ``<VERB> <table>``, has the statement (1,024 characters, no parameters; the template of a text with
    literals in it) and its database, and the status ERROR with the exception, without the driver's, when the statement
    failed. Its parent is the span that was current.

    Returns: `uninstrument`.
    Raises: ImportError: opentelemetry-api is not installed; the message names the extra.
    """
    try:
        from opentelemetry import trace
    except ImportError as exc:
        raise ImportError("opentelemetry-api is not installed: pip install 'dormdb[otel]'") from exc
    tracer = trace.get_tracer(tracer_name)
    with _state.lock:
        if _state.uninstall is None:
            _state.uninstall = hooks.install_observer(_spanning(trace, tracer))
    return uninstrument


def uninstrument() -> None:
    """Stop making spans."""
    with _state.lock:
        remove, _state.uninstall = _state.uninstall, None
    if remove is not None:
        remove()


def _spanning(trace: Any, tracer: Any) -> Callable[[Observation], None]:
    client, failed = trace.SpanKind.CLIENT, trace.StatusCode.ERROR
    provider, nobody = trace.get_tracer_provider, trace.ProxyTracerProvider
    provider()  # loads the one that the environment names
    # Without an SDK provider() looks into the environment each time, which takes longer than all the rest: the global
    # behind it tells as much, in the versions that have it.
    known = vars(trace)

    def observe(seen: Observation) -> None:
        if known.get("_TRACER_PROVIDER", known) is None or isinstance(provider(), nobody):
            return  # no SDK yet: spans would go nowhere
        now = time_ns()
        text = seen.statement.template
        name, attributes = _described(template_of(seen.statement, seen.vendor), text.sql, seen.vendor, bool(text.model))
        start = now - int(seen.elapsed * 1e9)
        span = tracer.start_span(name, kind=client, attributes=attributes, start_time=start)
        if span.is_recording():
            span.set_attribute("db.dorm.alias", seen.alias)
            span.set_attributes(_place(seen.alias))
            span.set_attribute("db.dorm.elapsed_ms", round(seen.elapsed * 1000, 3))
            if seen.rows is not None:
                span.set_attribute("db.response.returned_rows", seen.rows)
            if seen.error is not None:
                kind, state = type(seen.error).__name__, getattr(seen.error, "sqlstate", None)
                span.set_attribute("db.dorm.error", kind)
                span.set_attribute("error.type", state or kind)
                if state:
                    span.set_attribute("db.response.status_code", state)
                # Without its cause: what the driver raised has values of the row in its text.
                stack = "".join(traceback.format_exception(seen.error, chain=False))
                span.record_exception(seen.error, {"exception.stacktrace": stack})
                span.set_status(failed, kind)
        span.end(end_time=now)

    return observe


@lru_cache(2048)
def _described(template: str, sql: str, vendor: str, compiled: bool) -> tuple[str, dict[str, str]]:
    """Return the name of a statement's span and the attributes that follow from its text."""
    verb = first_word(template)
    found = _TABLE.search(template)
    table = found.group(1) if found else ""
    name = f"{verb} {table}" if verb and table else f"db.{vendor}"
    text = (template if has_values(sql, vendor, compiled) else sql)[:LONGEST_STATEMENT]
    attributes = {"db.system": vendor, "db.statement": text, "db.operation": verb}
    attributes |= {"db.system.name": vendor, "db.query.text": text, "db.operation.name": verb, "db.query.summary": name}
    if table:
        attributes |= {"db.sql.table": table, "db.collection.name": table}
    return name, attributes


def _place(alias: str) -> dict[str, str | int]:
    """Return what is known of the server of a database; nothing for a library of the process."""
    config = connections[alias].config
    if not config.host:
        return {}
    found: dict[str, str | int] = {"server.address": config.host, "db.namespace": config.name}
    if config.port:
        found["server.port"] = config.port
    return found


# -- log records -------------------------------------------------------------------------------------------------


_NO_IDS: Final = (NO_ID, NO_ID)


@lru_cache(1)
def _spans() -> tuple[Callable[[], Any], Any] | None:
    """Return what gives the current span, and the span that it gives when there is none."""
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.get_current_span, trace.INVALID_SPAN


def trace_ids() -> tuple[str, str]:
    """Return the trace id (32 hex digits) and span id (16) of the current span, ``-`` for both without a valid one."""
    spans = _spans()
    if spans is None:
        return _NO_IDS
    try:
        span = spans[0]()
        if span is spans[1]:
            return _NO_IDS
        context = span.get_span_context()
    except Exception:  # noqa: BLE001  # a stated boundary: a span of somebody else's never costs a log record
        return _NO_IDS
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else _NO_IDS


def _stamp(record: logging.LogRecord, ids: tuple[str, str]) -> None:
    known = record.__dict__
    if known.get("otel_trace_id", NO_ID) == NO_ID:
        known["otel_trace_id"], known["otel_span_id"] = ids
    elif "otel_span_id" not in known:
        known["otel_span_id"] = ids[1]


class TraceContextLogFilter(logging.Filter):
    """Gives records ``otel_trace_id`` and ``otel_span_id``; lets every record pass. For one handler of your choice."""

    def filter(self, record: logging.LogRecord) -> bool:
        _stamp(record, trace_ids())
        return True


class _Factory:
    """A log record factory around the one there was; ids are taken where the record is made."""

    def __init__(self, inner: Callable[..., logging.LogRecord]) -> None:
        self.inner = inner
        self.names: tuple[str, ...] | None = ()
        self.active = True

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.inner(*args, **kwargs)
        if self.active:
            _stamp(record, trace_ids() if self.names is None or _is_below(record.name, self.names) else _NO_IDS)
        return record


def _is_below(name: str, names: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in names)


def install_log_correlation(logger_names: Sequence[str] | None = None) -> Callable[[], None]:
    """Give every log record of the process ``otel_trace_id`` and ``otel_span_id``, whatever logger and handler.

    Args:
        logger_names: only records of these loggers and those below them get ids, all others ``-``; None for all.
            Further calls add to the names.
    Returns: `uninstall_log_correlation`.
    Raises: TypeError: *logger_names* is one text instead of a list.
    Idempotent. Works without opentelemetry: every record gets ``-``.
    """
    if isinstance(logger_names, str) or not (logger_names is None or all(isinstance(n, str) for n in logger_names)):
        raise TypeError("logger_names takes a list of names of loggers, or None for all")
    with _state.lock:
        factory = _state.factory
        if factory is None:
            factory = _state.factory = _Factory(logging.getLogRecordFactory())
            logging.setLogRecordFactory(factory)
        elif not factory.active:
            factory.names = ()
        factory.active = True
        factory.names = None if logger_names is None or factory.names is None else (*factory.names, *logger_names)
    return uninstall_log_correlation


def uninstall_log_correlation() -> None:
    """Stop giving ids; a factory that somebody put around ours later keeps working."""
    with _state.lock:
        factory = _state.factory
        if factory is None:
            return
        factory.active = False
        if logging.getLogRecordFactory() is factory:
            logging.setLogRecordFactory(factory.inner)
            _state.factory = None
