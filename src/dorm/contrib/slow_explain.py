"""The plan of a slow SELECT, logged without being asked for: the setting ``SLOW_QUERY_EXPLAIN``.

A hook around statements. When one took ``SLOW_QUERY_MS`` or longer and only reads, its plan is read in a savepoint or a
transaction of its own that is rolled back (`dorm.db.probe`), within ``SLOW_QUERY_EXPLAIN_TIMEOUT_MS``, and at most once
in ``SLOW_QUERY_EXPLAIN_INTERVAL_S`` for each template. With ``SLOW_QUERY_EXPLAIN_ANALYZE`` the statement is run once
more for its plan, if dorm compiled it as a plain read. Whatever happens to the plan, the user's statement is not
touched, and neither is its transaction.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter, time
from typing import Any, Final

from dorm.conf.settings import settings
from dorm.db import hooks
from dorm.db.connection import Database
from dorm.db.copying import OpenCopy
from dorm.db.forks import in_child
from dorm.db.operation import Operation
from dorm.db.probe import probe
from dorm.db.request import Connection, ExecuteMany, OpenCursor, QueryMany, Script, StatementRequest
from dorm.db.secret_names import MASK, is_secret
from dorm.db.shown import shown_sql
from dorm.db.statement import Statement, Template
from dorm.db.template import is_read, template_of
from dorm.exceptions import DatabaseError, NotSupportedError

_log = logging.getLogger("dorm.db.slow_explain")

MOST_PLANS: Final = 200
"""Plans kept for `recent_plans`."""

_MOST_TEMPLATES = 2_000
_TEXT = re.compile(r"'(?:[^']|'')*'")
_COMPARED = re.compile(r"(?<=[=<>~] )-?\d[\d.]*")
"""A number that something is compared with; those of costs and rows have no space before them."""


@dataclass(frozen=True, slots=True)
class SlowPlan:
    """A plan that was captured.

    Attributes:
        sql: text with placeholders; its template where values stood in it. plan: one line a row, secrets masked.
        elapsed_ms: of the user's statement. capture_ms: what reading the plan took. at: when, in Unix seconds.
    """

    alias: str
    vendor: str
    sql: str
    template: str
    plan: str
    elapsed_ms: float
    capture_ms: float
    at: float = field(default_factory=time, compare=False)


class _State:
    """Hook in force, latest capture by template, plans kept, whoever wants to be told."""

    def __init__(self) -> None:
        self.uninstall: hooks.Uninstall | None = None
        self.sinks: tuple[Callable[[SlowPlan], None], ...] = ()
        self.forked()
        in_child(self, _State.forked)

    def forked(self) -> None:
        """Begin with nothing: what the parent explained is the parent's."""
        self.lock = threading.Lock()
        self.latest: dict[tuple[str, str], float] = {}
        self.plans: deque[SlowPlan] = deque(maxlen=MOST_PLANS)


_state = _State()


def install() -> hooks.Uninstall:
    """Put the hook into the chain whatever the setting says; return the function that takes it out."""
    with _state.lock:
        if _state.uninstall is None:
            _state.uninstall = hooks.install(_explain_slow)
    return uninstall


def uninstall() -> None:
    """Take the hook out and forget when which template was explained; plans that were captured stay."""
    with _state.lock:
        remove, _state.uninstall = _state.uninstall, None
        _state.latest.clear()
    if remove is not None:
        remove()


def apply_settings() -> None:
    """Install or uninstall as ``SLOW_QUERY_EXPLAIN`` (or DORM_SLOW_QUERY_EXPLAIN) says; `dorm.configure` calls it."""
    if settings.flag("SLOW_QUERY_EXPLAIN"):
        install()
    else:
        uninstall()


def is_installed() -> bool:
    """True while slow statements are explained."""
    return _state.uninstall is not None


def recent_plans() -> list[SlowPlan]:
    """Return the latest captured plans, oldest first, at most `MOST_PLANS`."""
    return list(_state.plans)


def on_plan(sink: Callable[[SlowPlan], None]) -> hooks.Uninstall:
    """Have *sink* called with each plan that is captured; return the function that ends that."""
    with _state.lock:
        _state.sinks = (*_state.sinks, sink)

    def remove() -> None:
        with _state.lock:
            _state.sinks = tuple(each for each in _state.sinks if each is not sink)

    return remove


def _explain_slow(request: StatementRequest[Any], proceed: hooks.Proceed) -> Operation[Any]:
    start = perf_counter()
    reply = yield from proceed(request)
    elapsed = perf_counter() - start
    slow = settings.knobs.slow_query_seconds
    if slow is not None and elapsed >= slow:
        try:
            if _is_due(request):
                yield from _capture(request, elapsed)
        except DatabaseError as exc:
            _log.debug("no plan for a slow query on %s: %s: %s", request.source.alias, type(exc).__name__, exc)
        except Exception as exc:  # noqa: BLE001  # a stated boundary: the user's statement has ended well
            _log.exception("no plan for a slow query on %s: %s", request.source.alias, type(exc).__name__)
    return reply


def _is_due(request: StatementRequest[Any]) -> bool:
    """True for one read whose template was not explained lately."""
    # Rows that are copied out keep their connection busy, and a stream may hold the only one of the pool.
    if isinstance(request, (ExecuteMany, QueryMany, Script, OpenCopy)):
        return False
    statement, source = request.statement, request.source
    if not statement.template.reads and not is_read(statement.sql, source.vendor):
        return False
    key = (source.alias, template_of(statement, source.vendor))
    now = monotonic()
    with _state.lock:
        latest = _state.latest.get(key)
        if latest is not None and now - latest < settings.number("SLOW_QUERY_EXPLAIN_INTERVAL_S"):
            return False
        if len(_state.latest) >= _MOST_TEMPLATES:
            _state.latest.clear()
        _state.latest[key] = now
    return True


def _capture(request: StatementRequest[Any], elapsed: float) -> Operation[None]:
    database: Database = request.source  # type: ignore[assignment]  # sources are databases
    statement = request.statement
    execute = settings.flag("SLOW_QUERY_EXPLAIN_ANALYZE") and statement.template.reads
    try:
        sql = database.dialect.plan_sql(statement.sql, execute=execute)
    except NotSupportedError:
        return
    start = perf_counter()
    asked = Statement(Template(sql, prepare=False), statement.params, internal=True)
    found = yield from probe(
        database, asked, int(settings.number("SLOW_QUERY_EXPLAIN_TIMEOUT_MS")), _streaming(request)
    )
    plan = masked_plan("\n".join(database.dialect.plan_lines(found.rows)), statement.sql, statement.params)
    template = template_of(statement, database.vendor)
    _tell(
        SlowPlan(
            database.alias,
            database.vendor,
            shown_sql(statement, database.vendor),
            template,
            plan,
            elapsed * 1000,
            (perf_counter() - start) * 1000,
        )
    )


def _streaming(request: StatementRequest[Any]) -> Connection | None:
    """Return the connection of a stream with a transaction of its own."""
    database: Database = request.source  # type: ignore[assignment]  # sources are databases
    return request.connection if isinstance(request, OpenCursor) and database.dialect.streams_in_transactions else None


def masked_plan(plan: str, sql: str, params: Sequence[Any]) -> str:
    """Return *plan* without literals where the statement touches a column whose values must not be logged."""
    if not any(is_secret(word) for word in re.findall(r"\w+", f"{sql} {plan}")):
        return plan
    plan = _TEXT.sub(f"'{MASK}'", plan)
    plan = _COMPARED.sub(MASK, plan)
    for value in params:
        if value is not None and not isinstance(value, bool) and len(str(value)) > 0:
            plan = re.sub(rf"(?<![\w.]){re.escape(str(value))}(?![\w.])", MASK, plan)
    return plan


def _tell(found: SlowPlan) -> None:
    _state.plans.append(found)
    _log.warning(
        "slow query plan on %s (%s), %.1f ms:\n%s\n%s",
        found.alias,
        found.vendor,
        found.elapsed_ms,
        found.plan,
        found.sql,
    )
    if "opentelemetry" in sys.modules:
        from opentelemetry import trace  # only where the application uses it

        span = trace.get_current_span()
        if span.is_recording():
            span.add_event("dorm.slow_query.plan", {"db.system": found.vendor, "db.sql.plan": found.plan})
    for sink in _state.sinks:
        try:
            sink(found)
        except Exception:  # noqa: BLE001  # a stated boundary: whoever wants to be told never costs the others anything
            _log.exception("%s raised when it was told of a slow query's plan", getattr(sink, "__qualname__", sink))
