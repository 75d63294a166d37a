"""Which querysets are to be read through the cache; how that is done is loaded with the first of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from dorm.db.connection import Database
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Query
from dorm.db.statement import Statement

if TYPE_CHECKING:
    from dorm.sql.plan import Plan


class CacheSettings(NamedTuple):
    """What `QuerySet.cache` was told."""

    timeout: int | None
    using: str


_inherited: ContextVar[CacheSettings | None] = ContextVar("dorm_cached_prefetch", default=None)


@operation
def handed_down(wanted: CacheSettings, inner: Operation[None]) -> Operation[None]:
    """Run *inner*, the prefetches of a cached queryset: their querysets are cached as it is (`inherited`)."""
    before = _inherited.get()
    _inherited.set(wanted)
    try:
        yield from inner
    finally:
        _inherited.set(before)


def inherited() -> CacheSettings | None:
    """Return what the queryset around a prefetch was told."""
    return _inherited.get()


def checked_timeout(timeout: Any) -> int | None:
    """Return *timeout*; refuse what is no number of seconds."""
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int)):
        raise TypeError(f"timeout takes whole seconds or None, not {type(timeout).__name__}.")
    if timeout is not None and timeout < 0:
        raise ValueError(f"timeout takes 0 (no end) or more seconds, got {timeout}.")
    return timeout


def fetched(
    database: Database, statement: Statement, plan: Plan[Any], wanted: CacheSettings | None
) -> Operation[list[Any]]:
    """Return the rows of a SELECT, through the cache where *wanted* says so."""
    # Not a generator itself, as `perform` is none.
    if wanted is None:
        return perform(Query(database, statement))
    from dorm.cache import reading

    return reading.fetched(database, statement, plan, wanted)


@operation
def fetched_each(
    database: Database,
    statements: Sequence[Statement],
    plan: Plan[Any],
    wanted: CacheSettings,
    missing: Callable[[list[int]], Operation[list[list[Any]]]],
) -> Operation[list[list[Any]]]:
    """Return the rows of each SELECT; *missing* gives those of the positions that are not fresh in the cache."""
    from dorm.cache import reading

    return (yield from reading.fetched_each(database, statements, plan, wanted, missing))
