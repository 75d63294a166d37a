"""Reads from replicas that keep up.

Lag is probed, a dead replica is left alone for a while, and one's own writes are seen.

Probes have sessions of their own outside the pools. In an event loop they run on a thread in the background and
nobody waits for them; blocking code waits for one at most *probe_timeout*. One probe runs at a time for a replica;
everybody else goes by what was known last.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
import threading
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookies import SimpleCookie
from typing import Any

from dorm.conf.settings import settings
from dorm.db import hooks
from dorm.db.connection import Database, connections
from dorm.db.operation import Operation
from dorm.db.pool import ForkAware
from dorm.db.request import CallUser, Query, StatementRequest
from dorm.db.statement import Statement, Template
from dorm.db.template import first_word, is_read
from dorm.exceptions import ImproperlyConfigured, error_text
from dorm.transaction import aon_commit, on_commit

_log = logging.getLogger("dorm.contrib.lag_router")

_POSITION = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}\Z")


# -- positions in the log ----------------------------------------------------------------------------------------

position: ContextVar[str | None] = ContextVar("dorm_read_position", default=None)
"""What reads of this task or thread must see: the log position of its latest commit; None for anything."""


def position_number(text: str) -> int:
    """Return a position of PostgreSQL's log (``16/B374D848``) as a number; ValueError for anything else."""
    if not _POSITION.match(text):
        raise ValueError("this is no position of the log")
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)


@contextmanager
def reading_after(text: str | None) -> Generator[None]:
    """Have reads in the block see at least *text*, a position that another request's commit gave."""
    if text is not None:
        position_number(text)
    before = position.get()
    position.set(text)
    try:
        yield
    finally:
        position.set(before)


# -- one replica -------------------------------------------------------------------------------------------------


class _Replica:
    """What is known of one replica; guarded by the router's lock."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.forget()
        self.probing = False

    def forget(self) -> None:
        self.lag = math.inf
        self.healthy = False
        self.checked_at = -math.inf
        self.failures = 0
        self.open_until: float | None = None
        self.replayed = 0
        self.warned_about: str | None = None


class LagAwareReadRouter(ForkAware):
    """A router for ``DATABASE_ROUTERS``: reads go to a healthy replica chosen at random, writes to the primary.

    Args:
        max_lag_seconds: a replica further behind is not read from; that is no failure.
        cache_seconds: how long a probe's answer holds.
        failure_threshold: failed probes in a row that open a replica's breaker. cooldown_seconds: how long it is left
            alone then, counted from the end of the failed probe; then one trial. 0 turns the breaker off.
        probe_timeout: seconds that a probe may take. rng: source of the choice, for tests. clock: growing seconds.
    Raises: ValueError: an argument out of range, named.
    """

    def __init__(
        self,
        *,
        primary: str = "default",
        replicas: Sequence[str],
        max_lag_seconds: float = 2.0,
        cache_seconds: float = 5.0,
        failure_threshold: int = 3,
        cooldown_seconds: float = 30.0,
        probe_timeout: float = 1.0,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(replicas, str) or not replicas:
            raise ValueError("replicas must name at least one alias, in a list")
        for name, value in (("max_lag_seconds", max_lag_seconds), ("cache_seconds", cache_seconds),
                            ("probe_timeout", probe_timeout)):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f"{name} must be a number above 0, not {value!r}")
        if isinstance(failure_threshold, bool) or not isinstance(failure_threshold, int) or failure_threshold < 1:
            raise ValueError(f"failure_threshold must be a whole number from 1, not {failure_threshold!r}")
        if (
            isinstance(cooldown_seconds, bool)
            or not isinstance(cooldown_seconds, (int, float))
            or not (cooldown_seconds >= 0)
        ):
            raise ValueError(f"cooldown_seconds must be a number from 0, not {cooldown_seconds!r}")
        self.primary = primary
        self.replicas = tuple(replicas)
        self.max_lag_seconds = max_lag_seconds
        self.cache_seconds = cache_seconds
        self.failure_threshold = failure_threshold
        self.cooldown_seconds = cooldown_seconds
        self.probe_timeout = probe_timeout
        super().__init__()
        self._rng = rng or random.Random()
        self._clock = clock
        self._lock = threading.Lock()
        self._known = {alias: _Replica(alias) for alias in self.replicas}
        self._warned_at = -math.inf
        self._validated = False

    def forked(self) -> None:
        """Forget, in a forked child, the probes that run on the parent's threads."""
        self._lock = threading.Lock()
        for each in self._known.values():
            each.probing = False

    # -- router --------------------------------------------------------------------------------------------------
    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Return a healthy replica that has replayed what this task wrote; the primary when there is none."""
        self._validate()
        for replica in self._known.values():
            self._refresh(replica)
        needed = position.get()
        least = position_number(needed) if needed else 0
        with self._lock:
            healthy = [each.alias for each in self._known.values() if each.healthy and each.replayed >= least]
            any_healthy = any(each.healthy for each in self._known.values())
        if healthy:
            return self._rng.choice(healthy)
        if not any_healthy:
            self._warn_that_all_are_out()
        return self.primary

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Return the primary."""
        return self.primary

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool:
        """Allow all: replicas hold the same rows."""
        return True

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool:
        """Migrate the primary only."""
        return db == self.primary

    def _validate(self) -> None:
        if not self._validated:
            unknown = [alias for alias in (self.primary, *self.replicas) if alias not in settings.DATABASES]
            if unknown:
                raise ImproperlyConfigured(f"LagAwareReadRouter names {unknown[0]!r}, which is not in DATABASES")
            self._validated = True

    def _warn_that_all_are_out(self) -> None:
        now = self._clock()
        with self._lock:
            if now - self._warned_at < self.cache_seconds:
                return
            self._warned_at = now
        _log.warning("no replica is healthy: reads go to the primary %r", self.primary)

    # -- probes --------------------------------------------------------------------------------------------------
    def _refresh(self, replica: _Replica) -> None:
        """Probe *replica* if its turn has come and nobody else does."""
        now = self._clock()
        with self._lock:
            if replica.probing or (replica.open_until is not None and now < replica.open_until):
                return
            if replica.open_until is None and now - replica.checked_at < self.cache_seconds:
                return
            is_trial = replica.open_until is not None
            replica.probing = True
        if is_trial:
            _log.info("replica %s is tried again after its cooldown", replica.alias)
        done = threading.Event()
        threading.Thread(
            target=self._probe, args=(replica, done), daemon=True, name=f"dorm-probe-{replica.alias}"
        ).start()
        if not _in_loop():
            done.wait(self.probe_timeout + 0.5)

    def _probe(self, replica: _Replica, done: threading.Event) -> None:
        failure: BaseException | None = None
        found: tuple[float, int, str | None] = (math.inf, 0, None)
        try:
            found = self.probe(replica.alias)
        except Exception as exc:  # noqa: BLE001  # whatever a probe meets is a failed probe
            failure = exc
        try:
            self._learn(replica, found, failure)
        finally:
            replica.probing = False
            done.set()

    def probe(self, alias: str) -> tuple[float, int, str | None]:
        """Ask a replica; return its lag in seconds, the position it has replayed, and what is wrong with it.


        May be overridden; what it raises counts as a failed probe.
        """
        database: Database = connections[alias]
        sql = database.dialect.replication_sql()
        if not sql:
            return 0.0, 2**64, None
        session = database.session(self.probe_timeout)
        try:
            session.execute(_internal(f"SET statement_timeout = {int(self.probe_timeout * 1000)}"))
            ((in_recovery, lag, is_current, replayed, is_blind),) = session.query(_internal(sql))
        finally:
            session.abort()
        number = position_number(replayed) if replayed else 0
        if not in_recovery:
            wrong = None if alias == self.primary else "it is no replica: it is not in recovery"
            return 0.0, 2**64, wrong
        if is_current:
            return 0.0, number, None
        if is_blind:
            return (0.0 if lag is None else max(float(lag), 0.0)), number, "blind"
        # It has replayed no transaction since it started, and may have missed any number of them.
        return (math.inf if lag is None else max(float(lag), 0.0)), number, None

    def _learn(self, replica: _Replica, found: tuple[float, int, str | None], failure: BaseException | None) -> None:
        now = self._clock()
        lag, replayed, note = found
        with self._lock:
            was_open = replica.open_until is not None
            replica.checked_at = now
            if failure is not None:
                replica.lag, replica.healthy = math.inf, False
                replica.failures += 1
                opens = bool(self.cooldown_seconds) and (was_open or replica.failures >= self.failure_threshold)
                replica.open_until = now + self.cooldown_seconds if opens else None
            else:
                misplaced = note is not None and note != "blind"
                replica.lag = math.inf if misplaced else lag
                replica.healthy = not misplaced and lag <= self.max_lag_seconds
                replica.replayed = max(replica.replayed, replayed)
                replica.failures, replica.open_until = 0, None
            is_news = note != replica.warned_about
            replica.warned_about = note
            failures, opens = replica.failures, replica.open_until is not None
        if failure is not None:
            _log.debug("probe of %s failed: %s", replica.alias, type(failure).__name__)
            if opens:
                _log.warning(
                    "replica %s is left alone for %g s after %d failed probes, the last by %s",
                    replica.alias,
                    self.cooldown_seconds,
                    failures,
                    error_text(failure),
                )
        elif was_open:
            _log.info("replica %s answers again", replica.alias)
        if note == "blind" and is_news:
            _log.warning(
                "the role of %s may not see pg_stat_wal_receiver: GRANT pg_read_all_stats to it", replica.alias
            )
        elif note is not None and is_news:
            _log.warning("replica %s is not read from: %s", replica.alias, note)

    def report_failure(self, alias: str) -> None:
        """Count a statement that failed on a routed replica as a failed probe."""
        replica = self._known.get(alias)
        if replica is not None:
            self._learn(replica, (math.inf, 0, None), ConnectionError("reported"))

    # -- state ---------------------------------------------------------------------------------------------------
    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each replica."""
        now = self._clock()
        with self._lock:
            return {
                each.alias: {
                    "lag_seconds": each.lag,
                    "healthy": each.healthy,
                    "checked_at": each.checked_at,
                    "consecutive_failures": each.failures,
                    "breaker_open": each.open_until is not None and now < each.open_until,
                }
                for each in self._known.values()
            }

    def reset(self) -> None:
        """Close all breakers and forget what was probed."""
        with self._lock:
            for each in self._known.values():
                each.forget()


def _internal(sql: str) -> Statement:
    return Statement(Template(sql, prepare=False), (), internal=True)


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


# -- reading one's own writes ------------------------------------------------------------------------------------


def read_your_writes(primary: str = "default") -> hooks.Uninstall:
    """Note the primary's log position after each commit, so that `LagAwareReadRouter` reads where it was replayed.

    It costs one small statement a commit. Return the function that ends it.
    """
    sql = connections[primary].dialect.position_sql()
    if not sql:
        raise ImproperlyConfigured(f"{primary!r} has no log positions: read_your_writes is for PostgreSQL")
    noted: ContextVar[int] = ContextVar("dorm_noted_block", default=0)

    def note(rows: Any) -> None:
        position.set(rows[0][0])

    def hook(request: StatementRequest[Any], proceed: hooks.Proceed) -> Operation[Any]:
        reply = yield from proceed(request)
        statement = request.statement
        if statement.template.reads or not _may_write(statement.sql, request.source.vendor):
            return reply
        database: Database = request.source  # type: ignore[assignment]  # sources are databases
        block = database.block_identity
        if not block:
            note((yield Query(database, _internal(sql))))
        elif noted.get() != block:
            noted.set(block)
            yield CallUser(_after_commit, _aafter_commit, database, sql, note)
        return reply

    return hooks.install(hook, alias=primary)


def _may_write(sql: str, vendor: str) -> bool:
    word = first_word(sql)
    if word == "EXPLAIN":
        return "ANALY" in sql.upper()  # ANALYZE, or ANALYSE, runs what it explains
    return word not in ("SHOW", "SET") and not is_read(sql, vendor)


def _after_commit(database: Database, sql: str, note: Callable[[Any], None]) -> None:
    on_commit(lambda: note(Query(database, _internal(sql)).perform()), using=database.alias, robust=True)


async def _aafter_commit(database: Database, sql: str, note: Callable[[Any], None]) -> None:
    async def callback() -> None:
        note(await Query(database, _internal(sql)).aperform())

    await aon_commit(callback, using=database.alias, robust=True)


Scope = MutableMapping[str, Any]


class ReadYourWritesMiddleware:
    """Carries the position of a client's latest commit in a cookie, so that its next request sees its own writes.

    Args:
        cookie: name of the cookie.
        header: name of a header that carries it as well, in the answer and in the next request, for clients that keep
            no cookies (``"Dorm-Position"``); the header counts where both came. None: there is no header.
    """

    def __init__(
        self,
        app: Callable[[Scope, Any, Any], Awaitable[None]],
        *,
        cookie: str = "dorm_position",
        header: str | None = None,
    ) -> None:
        self.app = app
        self.cookie = cookie
        self.header = None if header is None else header.lower().encode("ascii")

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = self._given(scope)
        position.set(given)

        async def send_with_position(message: MutableMapping[str, Any]) -> None:
            now = position.get()
            if message["type"] == "http.response.start" and now is not None and now != given:
                value = f"{self.cookie}={now.replace('/', '-')}; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
                more = [(b"set-cookie", value.encode())]
                if self.header is not None:
                    more.append((self.header, now.encode()))
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        await self.app(scope, receive, send_with_position)

    def _given(self, scope: Scope) -> str | None:
        found: str | None = None
        for name, value in scope.get("headers", ()):
            text: str = value.decode("latin-1")
            if name == self.header and _POSITION.match(text):
                return text
            if name == b"cookie":
                crumb = SimpleCookie(text).get(self.cookie)
                text = crumb.value.replace("-", "/") if crumb is not None else ""
                found = text if _POSITION.match(text) else found
        return found
