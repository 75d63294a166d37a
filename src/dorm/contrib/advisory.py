"""Locks between processes that the database server keeps: PostgreSQL's advisory locks.

A session lock has a session of its own from lock to unlock, outside the pool, so neither the block's queries nor other
code ever run on it, and waiting for locks never empties the pool. It counts against the server's ``max_connections``.
Taking the same lock again in the task or thread that holds it succeeds; it is free after the outermost exit.

Texts are hashed to 64 bits: two different ones may share a lock. On a replica locks are local to it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import math
import os
import threading
from bisect import bisect_left
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Generic, NamedTuple, Self, TypeAlias, TypeVar, cast

from dorm.db.block import Block, current_owner
from dorm.db.connection import Database, connections
from dorm.db.lease import Connect, CurrentBlock, Disconnect
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import Connection, Query, Sleep
from dorm.db.statement import Statement, Template
from dorm.exceptions import DatabaseError, ImproperlyConfigured, NotSupportedError, OperationalError

_log = logging.getLogger("dorm.contrib.advisory")

Key: TypeAlias = "int | str | tuple[int, int] | tuple[str, int]"
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
Y = TypeVar("Y")

_INT4: Final = (-(2**31), 2**31 - 1)
_INT8: Final = (-(2**63), 2**63 - 1)
WAIT_BUCKETS: Final = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0)
"""Upper bounds of waits that are counted apart, seconds."""

_POLL_FIRST, _POLL_MOST = 0.01, 0.25


# -- keys --------------------------------------------------------------------------------------------------------


def key_numbers(key: Key) -> tuple[int, ...]:
    """Return the one or two numbers that PostgreSQL knows a lock by.

    Args:
        key: a 64-bit integer; a text, hashed by BLAKE2b to 64 bits; two 32-bit integers; a text and an integer.
    Raises: TypeError, ValueError: anything else; the message says what is accepted.
    """
    if isinstance(key, tuple):
        return _pair(key)
    if isinstance(key, str):
        return (_hashed(key, 8),)
    if isinstance(key, bool) or not isinstance(key, int):
        raise TypeError(
            f"key must be an int, a str, or a tuple (int or str, int), not {type(key).__name__}: {_shown(key)}"
        )
    return (_in_range(key, _INT8),)


def _pair(key: tuple[Any, ...]) -> tuple[int, int]:
    if len(key) != 2:
        raise ValueError(f"a tuple as key has exactly 2 elements, not {len(key)}")
    first, second = key
    if isinstance(second, bool) or not isinstance(second, int):
        raise TypeError(f"the second element of a key must be an int, not {type(second).__name__}")
    if isinstance(first, str):
        return _hashed(first, 4), _in_range(second, _INT4)
    if isinstance(first, bool) or not isinstance(first, int):
        raise TypeError(f"the first element of a key must be an int or a str, not {type(first).__name__}")
    return _in_range(first, _INT4), _in_range(second, _INT4)


def _hashed(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big", signed=True)


def _in_range(number: int, bounds: tuple[int, int]) -> int:
    if not bounds[0] <= number <= bounds[1]:
        raise ValueError(f"key {number} is out of range: {bounds[0]} to {bounds[1]}")
    return number


def _shown(value: object) -> str:
    return repr(value)[:60]


def key_for(*parts: Any) -> str:
    """Return one text key from several parts, told apart whatever they contain: ``key_for("order", 42)``."""
    texts = ((type(part).__name__, str(part)) for part in parts)
    return "\x1f".join(f"{kind}:{len(text)}:{text}" for kind, text in texts)


# -- sessions ----------------------------------------------------------------------------------------------------


class Held:
    """A lock that is held.

    Attributes:
        key: as it was given. waited: seconds until it was granted. lost: the session is gone, and the lock with it.
    """

    def __init__(self, key: Key, database: Database, connection: Connection, shared: bool) -> None:
        self.key = key
        self.database = database
        self.connection = connection
        self.modes = [shared]
        """Whether each level, the outermost first, is shared."""
        self.owner = current_owner()
        self.process = os.getpid()
        self.waited = 0.0
        self.lost = False

    @property
    def depth(self) -> int:
        """How often this task or thread holds it."""
        return len(self.modes)

    @property
    def is_parents(self) -> bool:
        """True in a forked child: the session is its parent's, nothing must be sent on it."""
        return self.process != os.getpid()

    @operation
    def _alive(self) -> Operation[bool]:
        if self.is_parents:
            return False
        statement = Statement(Template("SELECT 1"), (), internal=True)
        try:
            yield from perform(Query(self.database, statement, self.connection))
        except DatabaseError:
            self.lost = True
        return not self.lost and self.depth > 0

    def is_held(self) -> bool:
        """Ask the server whether the session, and with it the lock, is still there."""
        return run(self._alive())

    async def ais_held(self) -> bool:
        """Async twin of `is_held`."""
        return await arun(self._alive())


class WaitStats(NamedTuple):
    """What waiting for session locks took on one database since the start of the process.

    Attributes:
        granted: locks taken. refused: ones that were not free, or whose wait failed. buckets: how many waited at most
            each of `WAIT_BUCKETS` seconds, and longer. seconds: all waits together.
    """

    granted: int
    refused: int
    buckets: tuple[int, ...]
    seconds: float


class _Waits:
    """Counters of this process by alias."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, WaitStats] = {}

    def note(self, alias: str, seconds: float, granted: bool) -> None:
        place = bisect_left(WAIT_BUCKETS, seconds)
        with self._lock:
            before = self._found.get(alias) or WaitStats(0, 0, (0,) * (len(WAIT_BUCKETS) + 1), 0.0)
            buckets = tuple(count + (number == place) for number, count in enumerate(before.buckets))
            self._found[alias] = WaitStats(
                before.granted + granted, before.refused + (not granted), buckets, before.seconds + seconds
            )

    def all(self) -> dict[str, WaitStats]:
        with self._lock:
            return dict(self._found)

    def reset(self) -> None:
        with self._lock:
            self._found = {}


_waits = _Waits()


def wait_stats() -> dict[str, WaitStats]:
    """Return what waiting for session locks took, by alias (``dorm_advisory_wait_seconds`` of the exporter)."""
    return _waits.all()


def reset_wait_stats() -> None:
    """Count from zero."""
    _waits.reset()


_held: ContextVar[tuple[Held, ...]] = ContextVar("dorm_advisory_locks", default=())


def _mine(database: Database, numbers: tuple[int, ...]) -> Held | None:
    """Return the lock of this very task or thread on these numbers, of either mode: no session waits for itself."""
    owner = current_owner()
    for held in _held.get():
        same = held.database is database and key_numbers(held.key) == numbers
        if same and held.owner == owner and held.depth > 0 and not held.is_parents:
            return held
    return None


def _checked(key: Key, using: str, name: str, session: bool) -> tuple[Database, tuple[int, ...]]:
    numbers = key_numbers(key)
    database = connections[using]
    if not database.dialect.supports_advisory_locks:
        raise NotSupportedError(f"{name} is PostgreSQL-only: {using!r} is {database.vendor}")
    if session and database.config.shares_sessions:
        mode = database.config.pgbouncer_mode
        raise ImproperlyConfigured(
            f"{name} needs a session of its own, which PGBOUNCER_MODE={mode!r} of {using!r} doesn't give: use "
            "advisory_xact_lock or try_advisory_xact_lock inside atomic()."
        )
    return database, numbers


def _call(function: str, numbers: tuple[int, ...]) -> Statement:
    places = ", ".join(f"${place}::{'int8' if len(numbers) == 1 else 'int4'}" for place in range(1, len(numbers) + 1))
    return Statement(Template(f"SELECT {function}({places})", prepare=False), numbers, internal=True)


def _function(action: str, shared: bool) -> str:
    return f"pg_{action}{'_shared' if shared else ''}"


@operation
def _acquire(
    name: str, key: Key, using: str, shared: bool, waits: bool, timeout: float | None
) -> Operation[Held | None]:
    database, numbers = _checked(key, using, name, session=True)
    mine = _mine(database, numbers)
    if mine is not None:
        # The other mode may have to wait for others, the same one never does.
        if not (yield from _granted(mine, shared, numbers, waits, timeout)):
            if waits:
                raise _too_late(key, timeout)
            return None
        mine.modes.append(shared)
        return mine
    start = perf_counter()
    connection = yield Connect(database)
    held = Held(key, database, connection, shared)
    try:
        granted = yield from _granted(held, shared, numbers, waits, timeout)
    except BaseException:
        _waits.note(using, perf_counter() - start, granted=False)
        # Whatever was granted meanwhile goes with the session.
        yield Disconnect(connection)
        raise
    held.waited = perf_counter() - start
    _waits.note(using, held.waited, granted)
    if not granted:
        yield Disconnect(connection)
        if waits:
            raise _too_late(key, timeout)
        return None
    _held.set((*_held.get(), held))
    _log.debug("acquired %r on %s after %.1f ms", key, using, held.waited * 1000)
    return held


def _too_late(key: Key, timeout: float | None) -> TimeoutError:
    return TimeoutError(f"the advisory lock {key!r} was not free within {timeout} s")


def _granted(held: Held, shared: bool, numbers: tuple[int, ...], waits: bool, timeout: float | None) -> Operation[bool]:
    if waits and timeout is None:
        statement = _call(_function("advisory_lock", shared), numbers)
        yield from perform(Query(held.database, statement, held.connection))
        return True
    # Polled: a waiting pg_advisory_lock holds a snapshot, which CREATE INDEX CONCURRENTLY waits for.
    statement = _call(_function("try_advisory_lock", shared), numbers)
    end = perf_counter() + (timeout or 0.0)
    pause = _POLL_FIRST
    while True:
        rows = yield from perform(Query(held.database, statement, held.connection))
        left = end - perf_counter()
        if rows[0][0] or not waits or left <= 0:
            return bool(rows[0][0])
        yield Sleep(min(pause, left))
        pause = min(pause * 2, _POLL_MOST)


@operation
def _release(held: Held, error: BaseException | None, is_needed: bool = True) -> Operation[None]:
    numbers = key_numbers(held.key)
    shared = held.modes.pop()
    if held.is_parents:
        return
    gone = not held.modes
    if gone:
        _held.set(tuple(each for each in _held.get() if each is not held))
    try:
        released = yield from _unlocked(held, shared, numbers)
    finally:
        if gone:
            yield Disconnect(held.connection)
    if held.lost and error is None and is_needed:
        raise OperationalError(f"the session of the advisory lock {held.key!r} was lost while it was held")
    if released:
        _log.debug("released %r on %s", held.key, held.database.alias)


def _unlocked(held: Held, shared: bool, numbers: tuple[int, ...]) -> Operation[bool]:
    """Unlock once; where that fails the session is closed, and the server drops the lock with it."""
    statement = _call(_function("advisory_unlock", shared), numbers)
    try:
        rows = yield from perform(Query(held.database, statement, held.connection))
    except DatabaseError as exc:
        held.lost = held.lost or exc.connection_lost or not held.connection.usable
        what = "was lost with its session" if held.lost else f"could not be unlocked ({type(exc).__name__})"
        _log.warning("the advisory lock %r on %s %s", held.key, held.database.alias, what)
        held.connection.abort()
        return False
    if not rows[0][0]:
        _log.warning("the advisory lock %r on %s was not held at its unlock", held.key, held.database.alias)
        held.connection.abort()
        return False
    return True


@operation
def _in_transaction(name: str, key: Key, using: str, shared: bool, waits: bool) -> Operation[bool]:
    database, numbers = _checked(key, using, name, session=False)
    block: Block | None = yield CurrentBlock(database)
    if block is None:
        raise RuntimeError(f"{name} needs an open transaction on {using!r}: use it inside atomic()")
    action = "advisory_xact_lock" if waits else "try_advisory_xact_lock"
    rows = yield from perform(Query(database, _call(_function(action, shared), numbers)))
    return True if waits else bool(rows[0][0])


def holding(key: Key, op: Operation[T], *, using: str = "default", is_needed: bool = True) -> Operation[T]:
    """Run an operation while it holds a session lock; wait until the lock is free, polling.

    Args:
        is_needed: a lock that was lost meanwhile is an OperationalError; False: it is only logged.
    """
    held = yield from _acquire("holding", key, using, shared=False, waits=True, timeout=math.inf)
    assert held is not None, "it waits until it has it"
    try:
        found = yield from op
    except BaseException as exc:
        yield from _release(held, exc)
        raise
    yield from _release(held, None, is_needed)
    return found


# -- context managers --------------------------------------------------------------------------------------------


class _Lock(Generic[Y]):
    """What the functions of this module return: a context manager of one face, and a decorator of its functions."""

    def __init__(self, name: str, take: Callable[[], Operation[Any]], give: Callable[[Any], Y]) -> None:
        self._name = name
        self._take = take
        self._give = give
        self._entered: list[tuple[object, Any]] = []

    def _taken(self) -> Any:
        owner = current_owner()
        for place in range(len(self._entered) - 1, -1, -1):
            if self._entered[place][0] == owner:
                return self._entered.pop(place)[1]
        return self._entered.pop()[1]

    def _again(self) -> Self:
        return type(self)(self._name, self._take, self._give)


class SyncLock(_Lock[Y]):
    """A lock for ``with`` and for functions."""

    def __enter__(self) -> Y:
        held = run(self._take())
        self._entered.append((current_owner(), held))
        return self._give(held)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        held = self._taken()
        if isinstance(held, Held):
            run(_release(held, error))

    def __call__(self, fn: F) -> F:
        if inspect.iscoroutinefunction(fn):
            raise TypeError(f"{self._name} decorates functions; use a{self._name} for the coroutine {fn.__qualname__}")

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._again() as got:
                return fn(*args, **kwargs) if got is not False else None

        return cast("F", call)


class AsyncLock(_Lock[Y]):
    """A lock for ``async with`` and for coroutine functions."""

    async def __aenter__(self) -> Y:
        held = await arun(self._take())
        self._entered.append((current_owner(), held))
        return self._give(held)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        held = self._taken()
        if isinstance(held, Held):
            await arun(_release(held, error))

    def __call__(self, fn: F) -> F:
        if not inspect.iscoroutinefunction(fn):
            raise TypeError(f"{self._name} decorates coroutine functions, not {fn.__qualname__}")

        @functools.wraps(fn)
        async def call(*args: Any, **kwargs: Any) -> Any:
            async with self._again() as got:
                return await fn(*args, **kwargs) if got is not False else None

        return cast("F", call)


def _timeout(value: float | None) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0):
        raise ValueError(f"timeout must be a number of seconds from 0, or None, not {value!r}")
    return None if value is None or math.isinf(value) else value


def _same(held: Any) -> Any:
    return held


def _is_not_none(held: Any) -> bool:
    return held is not None


def advisory_lock(
    key: Key, *, using: str = "default", shared: bool = False, timeout: float | None = None
) -> SyncLock[Held]:
    """Hold a lock for the block, or the decorated function; wait until it is free.

    Args:
        key: see `key_numbers`. shared: several may hold it at once, none while somebody holds it alone.
        timeout: seconds to wait (polled); TimeoutError after them. None waits for as long as the session may.
    """
    key_numbers(key)
    wait = _timeout(timeout)
    return SyncLock("advisory_lock", lambda: _acquire("advisory_lock", key, using, shared, True, wait), _same)


def aadvisory_lock(
    key: Key, *, using: str = "default", shared: bool = False, timeout: float | None = None
) -> AsyncLock[Held]:
    """Async twin of `advisory_lock`; a cancelled wait leaves neither lock nor session behind."""
    key_numbers(key)
    wait = _timeout(timeout)
    return AsyncLock("aadvisory_lock", lambda: _acquire("aadvisory_lock", key, using, shared, True, wait), _same)


def try_advisory_lock(key: Key, *, using: str = "default", shared: bool = False) -> SyncLock[bool]:
    """Hold a lock for the block if it is free, without waiting; the block gets whether it does.

    As a decorator it calls the function only when the lock was free, and returns None otherwise.
    """
    key_numbers(key)
    name = "try_advisory_lock"
    return SyncLock(name, lambda: _acquire(name, key, using, shared, False, None), _is_not_none)


def atry_advisory_lock(key: Key, *, using: str = "default", shared: bool = False) -> AsyncLock[bool]:
    """Async twin of `try_advisory_lock`."""
    key_numbers(key)
    name = "atry_advisory_lock"
    return AsyncLock(name, lambda: _acquire(name, key, using, shared, False, None), _is_not_none)


def advisory_xact_lock(key: Key, *, using: str = "default", shared: bool = False) -> SyncLock[bool]:
    """Take a lock of the open transaction; its end releases it, and so does a rollback to an earlier savepoint.

    Raises: RuntimeError: no transaction is open on *using*.
    """
    key_numbers(key)
    name = "advisory_xact_lock"
    return SyncLock(name, lambda: _in_transaction(name, key, using, shared, True), _same)


def aadvisory_xact_lock(key: Key, *, using: str = "default", shared: bool = False) -> AsyncLock[bool]:
    """Async twin of `advisory_xact_lock`."""
    key_numbers(key)
    name = "aadvisory_xact_lock"
    return AsyncLock(name, lambda: _in_transaction(name, key, using, shared, True), _same)


def try_advisory_xact_lock(key: Key, *, using: str = "default", shared: bool = False) -> SyncLock[bool]:
    """Take a lock of the open transaction if it is free; the block gets whether it was."""
    key_numbers(key)
    name = "try_advisory_xact_lock"
    return SyncLock(name, lambda: _in_transaction(name, key, using, shared, False), _same)


def atry_advisory_xact_lock(key: Key, *, using: str = "default", shared: bool = False) -> AsyncLock[bool]:
    """Async twin of `try_advisory_xact_lock`."""
    key_numbers(key)
    name = "atry_advisory_xact_lock"
    return AsyncLock(name, lambda: _in_transaction(name, key, using, shared, False), _same)
