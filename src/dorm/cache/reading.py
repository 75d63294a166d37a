"""Reading through the cache: the rows of a statement, kept as the driver gave them.

Rows are kept before they become objects: each evaluation makes objects of its own, and encrypted columns stay
encrypted. The key holds the statement, its parameters, and the versions of all models whose tables it names.
"""

from __future__ import annotations

import asyncio
import hashlib
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dorm.cache.api import BaseCache, get_cache, is_configured, key_parts, tell
from dorm.cache.invalidation import ensure_signals_connected, has_missed, has_written, make_up, warn
from dorm.cache.signing import check_key, sign_payload, verify_payload
from dorm.cache.versions import versions
from dorm.cache.wanted import CacheSettings
from dorm.conf.registry import registry
from dorm.db.connection import Database
from dorm.db.forks import in_child
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import CallUser, Query
from dorm.db.statement import Statement
from dorm.expressions.raw import RawSQL
from dorm.queryset.cte import NamedText
from dorm.record import Record, as_dict
from dorm.sql.node import Node
from dorm.sql.select import Join, Select

if TYPE_CHECKING:
    from dorm.sql.plan import Plan

_WAIT = 10.0
"""Longest that one reader waits for another that fetches the same rows."""


@operation
def fetched(database: Database, statement: Statement, plan: Plan[Any], wanted: CacheSettings) -> Operation[list[Any]]:
    """Return the rows of a SELECT, from the cache where they are fresh there."""
    if not is_configured():
        return (yield from perform(Query(database, statement)))
    ensure_signals_connected()
    cache = get_cache(wanted.using)
    check_key()
    labels = touched(plan)
    if plan.query.lock is not None or has_written(database.alias, labels):
        # Rows are locked by asking for them.
        return (yield from perform(Query(database, statement)))
    try:
        if has_missed(wanted.using):
            yield from make_up(wanted.using)
        key = yield from _key(cache, database, statement, labels)
    except Exception as exc:  # noqa: BLE001  # a stated boundary: a cache never fails a query
        warn(exc, wanted.using)
        return (yield from perform(Query(database, statement)))
    before = _flights.landed
    found = yield from _stored(cache, key, wanted.using)
    if found is not None:
        return _hit(found, wanted)
    flight, leads = _flights.board(key)
    if not leads:
        yield CallUser(flight.wait, flight.await_)
        found = yield from _stored(cache, key, wanted.using)
        if found is not None:
            return _hit(found, wanted)
        tell(wanted.using, hit=False)
        return (yield from perform(Query(database, statement)))
    try:
        if _flights.landed != before:
            # Whoever fetched these rows may have been through between the look into the cache and now.
            found = yield from _stored(cache, key, wanted.using)
            if found is not None:
                return _hit(found, wanted)
        tell(wanted.using, hit=False)
        rows = yield from perform(Query(database, statement))
        if _may_store(database):
            yield from _store(cache, key, rows, wanted)
        return rows
    finally:
        _flights.land(key, flight)


def _hit(rows: list[Any], wanted: CacheSettings) -> list[Any]:
    tell(wanted.using, hit=True)
    return rows


@operation
def fetched_each(
    database: Database,
    statements: Sequence[Statement],
    plan: Plan[Any],
    wanted: CacheSettings,
    missing: Callable[[list[int]], Operation[list[list[Any]]]],
) -> Operation[list[list[Any]]]:
    """Return the rows of each of several SELECTs of one plan; what is not fresh in the cache is asked for together.

    Args:
        missing: gives the rows of the statements in these positions.
    """
    everything = list(range(len(statements)))
    if not is_configured():
        return (yield from missing(everything))
    ensure_signals_connected()
    cache = get_cache(wanted.using)
    check_key()
    labels = touched(plan)
    if plan.query.lock is not None or has_written(database.alias, labels):
        return (yield from missing(everything))
    found: list[list[Any] | None] = [None] * len(statements)
    keys: list[str] = []
    try:
        if has_missed(wanted.using):
            yield from make_up(wanted.using)
        current = yield from _versions(cache, labels)
        keys = [_key_of(database, statement, current) for statement in statements]
        payloads: list[Any] = yield CallUser(cache.get_many, cache.aget_many, keys)
        for position, data in enumerate(payloads):
            payload = verify_payload(data) if data is not None else None
            found[position] = None if payload is None else pickle.loads(payload)
    except Exception as exc:  # noqa: BLE001  # a stated boundary: a cache never fails a query
        warn(exc, wanted.using)
    for each in found if keys else ():
        tell(wanted.using, hit=each is not None)
    lacking = [position for position, rows in enumerate(found) if rows is None]
    if lacking:
        for position, rows in zip(lacking, (yield from missing(lacking)), strict=True):
            found[position] = rows
            if keys and _may_store(database):
                yield from _store(cache, keys[position], rows, wanted)
    return [rows or [] for rows in found]


@operation
def _key(cache: BaseCache, database: Database, statement: Statement, labels: frozenset[str]) -> Operation[str]:
    return _key_of(database, statement, (yield from _versions(cache, labels)))


@operation
def _versions(cache: BaseCache, labels: frozenset[str]) -> Operation[tuple[tuple[str, int], ...]]:
    """Return the models with the versions they have now."""
    ordered = sorted(labels)
    current = yield from versions(cache, ordered)
    return tuple(zip(ordered, current, strict=True))


def _key_of(database: Database, statement: Statement, current: tuple[tuple[str, int], ...]) -> str:
    parts = (
        database.alias,
        statement.sql,
        [_plain(param) for param in statement.params],
        current,
        key_parts(database.alias),
    )
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()
    model = statement.template.model or (current[0][0] if current else "")
    return f"dormqc:{model}:{database.alias}:{digest}"


def _plain(param: Any) -> Any:
    """Return a parameter as something whose text says it all."""
    if param is None or type(param).__module__ in ("builtins", "datetime", "decimal", "uuid"):
        return [_plain(each) for each in param] if isinstance(param, (list, tuple)) else (type(param).__name__, param)
    for base, text in _TEXTS:
        if isinstance(param, base):
            # Of a class of the user's: an enumeration, a text that is marked as safe.
            return (type(param).__module__, type(param).__qualname__, text(param))
    return (type(param).__module__, type(param).__qualname__, pickle.dumps(param))


_TEXTS: tuple[tuple[type, Callable[[Any], str]], ...] = tuple(
    (base, base.__repr__) for base in (str, bytes, int, float, Decimal, datetime, date, time, timedelta, UUID)
)
"""Types whose text says all that a driver sees of them."""


@operation
def _stored(cache: BaseCache, key: str, using: str) -> Operation[list[Any] | None]:
    try:
        data = yield CallUser(cache.get, cache.aget, key)
        payload = verify_payload(data) if data is not None else None
        return None if payload is None else pickle.loads(payload)
    except Exception as exc:  # noqa: BLE001  # a stated boundary: a cache never fails a query
        warn(exc, using)
        return None


@operation
def _store(cache: BaseCache, key: str, rows: list[Any], wanted: CacheSettings) -> Operation[None]:
    try:
        payload = sign_payload(pickle.dumps(rows, pickle.HIGHEST_PROTOCOL))
        yield CallUser(cache.set, cache.aset, key, payload, wanted.timeout)
    except Exception as exc:  # noqa: BLE001  # a stated boundary: a cache never fails a query
        warn(exc, wanted.using)


def _may_store(database: Database) -> bool:
    """True unless the rows may come from a snapshot that is older than the versions in the key, or be uncommitted.

    SQL of the user, a trigger and a rule of the database may have written to any table in a transaction that writes.
    """
    block = database.block_for_callbacks()
    return block is None or not block.in_transaction or not (block.sees_snapshot or block.writes)


# -- what a query touches ----------------------------------------------------------------------------------------


def touched(plan: Plan[Any]) -> frozenset[str]:
    """Return the labels of the models whose tables the rows of *plan* come from."""
    found: frozenset[str] = plan.derive("cache: models", lambda: (_touched(plan), 200))
    return found


def _touched(plan: Plan[Any]) -> frozenset[str]:
    from dorm.queryset.selects import rows_select

    labels = {model._meta.db_table: model._meta.label for model in registry.all()}
    select, _ = rows_select(plan.query)
    texts: list[str] = []
    # What is asked of all rows together is no part of how the rows are read.
    asked = (plan.query.aggregates, plan.query.joins)
    found = {labels.get(table, table) for table in tables((select, asked), texts)}
    # SQL of the user: every table whose name stands in it, whatever it does there.
    found |= {label for table, label in labels.items() if any(table in text for text in texts)}
    return frozenset(found | {plan.query.model._meta.label})


def tables(part: Any, texts: list[str], seen: set[int] | None = None) -> Iterator[str]:
    """Yield the tables that a SELECT names, subqueries included; SQL of the user in it is added to *texts*."""
    seen = set() if seen is None else seen
    if isinstance(part, (str, int, float, bool, type(None), type)) or id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, Select) and isinstance(part.source, str):
        yield part.source
    if isinstance(part, Join):
        yield part.table
    if isinstance(part, (RawSQL, NamedText)):
        texts.append(part.text)
    if isinstance(part, Node):
        # Outputs are fields, which lead to models and on to everything.
        inner: Any = [value for name, value in vars(part).items() if name != "output"]
    elif isinstance(part, Record):
        inner = [value for name, value in as_dict(part).items() if name not in ("relation", "model")]
    elif isinstance(part, dict):
        inner = list(part.values())
    elif isinstance(part, (list, tuple, set, frozenset)):
        inner = part
    else:
        return
    for each in inner:
        yield from tables(each, texts, seen)


# -- one fetch at a time -----------------------------------------------------------------------------------------


class _Flight:
    """A fetch that others wait for, in whatever face."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._leader = threading.get_ident()
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def wait(self) -> None:
        # Who leads in this thread, a task or whoever called us, goes on only when we return.
        if self._leader != threading.get_ident():
            self._over.wait(_WAIT)

    async def await_(self) -> None:
        event = asyncio.Event()
        with self._lock:
            if self._over.is_set():
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        try:
            async with asyncio.timeout(_WAIT):
                await event.wait()
        except TimeoutError:
            return

    def end(self) -> None:
        with self._lock:
            self._over.set()
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)


class _Flights:
    """The fetches that are under way, by key of the cache.

    Attributes:
        landed: how many have ended.
    """

    def __init__(self) -> None:
        self._forked()
        in_child(self, _Flights._forked)

    def _forked(self) -> None:
        self.landed = 0
        self._under_way: dict[str, _Flight] = {}
        self._lock = threading.Lock()

    def board(self, key: str) -> tuple[_Flight, bool]:
        """Return the flight for *key*, and whether the caller leads it."""
        with self._lock:
            found = self._under_way.get(key)
            if found is not None:
                return found, False
            made = self._under_way[key] = _Flight()
            return made, True

    def land(self, key: str, flight: _Flight) -> None:
        """End a flight."""
        with self._lock:
            self._under_way.pop(key, None)
            self.landed += 1
        flight.end()


_flights = _Flights()
