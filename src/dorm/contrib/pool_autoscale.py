"""How full a pool is, letting it grow and shrink, and opening connections before the first request needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dorm.db.connection import Database, connections
from dorm.db.lease import Acquire, Release
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import Query
from dorm.db.statement import Statement, Template
from dorm.exceptions import OperationalError

_PING = Statement(Template("SELECT 1"), (), internal=True)


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Numbers of a pool; *maximum* is 0 where there is no limit."""

    alias: str
    size: int
    in_use: int
    maximum: int
    waiting: int

    @property
    def utilization(self) -> float:
        """Connections in use by the maximum, from 0 to 1."""
        return min(self.in_use / self.maximum, 1.0) if self.maximum else 0.0


def read_pool_stats(using: str = "default") -> PoolStats:
    """Return the numbers of the pool of the running face; zeros before its first use. It opens nothing."""
    return _stats(connections[using])


def _stats(database: Database) -> PoolStats:
    found: dict[str, Any] = database.pool_stats()
    return PoolStats(
        database.alias,
        int(found.get("pool_size") or 0),
        int(found.get("in_use") or 0),
        int(found.get("max_size") or 0),
        int(found.get("requests_waiting") or 0),
    )


def autoscale_pool(
    *,
    target_utilization: float = 0.7,
    min_floor: int = 2,
    max_ceiling: int = 20,
    step: int = 2,
    using: str = "default",
) -> int:
    """Look once at how full the pool is and move its limit by *step* if that helps; return the limit in force.

    Call it every few seconds from one place: it sends nothing and waits for nothing, so there is no async twin. The
    limit grows while somebody waits or more than *target_utilization* of it is in use, and shrinks when the connections
    in use would stay below that with *step* fewer. It is the one ceiling over both faces and all event loops.

    Args:
        min_floor, max_ceiling: the limit stays within these; together the processes must not exceed the server's
            ``max_connections``.
    Raises: ValueError: an argument makes no sense. NotSupportedError: the backend's pool has no limit.
    """
    _check_scale(target_utilization, min_floor, max_ceiling, step)
    database = connections[using]
    stats = _stats(database)
    limit = now = stats.maximum or database.config.max_pool_size
    if stats.waiting or stats.in_use > target_utilization * now:
        limit = now + step
    elif stats.in_use <= target_utilization * (fewer := max(min_floor, now - step)):
        limit = min(now, fewer)
    limit = max(min_floor, min(limit, max_ceiling))
    if limit != now or not stats.maximum:
        database.resize_pool(limit)
    return limit


def _check_scale(target: float, floor: int, ceiling: int, step: int) -> None:
    if isinstance(target, bool) or not isinstance(target, (int, float)) or not 0 < target <= 1:
        raise ValueError(f"target_utilization must be a number above 0, at most 1, not {target!r}")
    for name, value in (("min_floor", floor), ("max_ceiling", ceiling), ("step", step)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1, not {value!r}")
    if floor > ceiling:
        raise ValueError(f"min_floor ({floor}) must not exceed max_ceiling ({ceiling})")


def _target(database: Database, target: int | None) -> int:
    most = _stats(database).maximum or database.config.max_pool_size
    if target is None:
        return max(database.config.min_pool_size, 1)
    if isinstance(target, bool) or not isinstance(target, int) or not 1 <= target <= most:
        raise ValueError(f"target must be a whole number from 1 to MAX_POOL_SIZE ({most}), not {target!r}")
    return target


@operation
def _warm(using: str, target: int | None) -> Operation[int]:
    database = connections[using]
    wanted = _target(database, target)
    leases: list[Any] = []
    dead = 0
    try:
        while len(leases) < wanted:
            lease = yield Acquire(database)
            leases.append(lease)
            try:
                yield from perform(Query(database, _PING, lease.connection))
            except OperationalError as exc:
                # One that died in the pool is replaced; a server that ends every one is told.
                dead += 1
                if not exc.connection_lost or dead > wanted:
                    raise
                leases.remove(lease)
                yield Release(database, lease)
    finally:
        for lease in leases:
            yield Release(database, lease)
    return len(leases)


def warmup_pool(*, target: int | None = None, using: str = "default") -> int:
    """Open *target* connections of the pool (default: MIN_POOL_SIZE) and check that they answer; return how many."""
    return run(_warm(using, target))


async def awarmup_pool(*, target: int | None = None, using: str = "default") -> int:
    """Async twin of `warmup_pool`, for the pool of the running event loop."""
    return await arun(_warm(using, target))
