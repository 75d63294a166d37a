"""How full a pool is, and opening its connections before the first request needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dorm.db.connection import Database, connections
from dorm.db.lease import Acquire, Release
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import Query
from dorm.db.statement import Statement, Template

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
    found: dict[str, Any] = connections[using].pool_stats()
    return PoolStats(
        using,
        int(found.get("pool_size") or 0),
        int(found.get("in_use") or 0),
        int(found.get("max_size") or 0),
        int(found.get("requests_waiting") or 0),
    )


def _target(database: Database, target: int | None) -> int:
    most = database.config.max_pool_size
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
    try:
        for _ in range(wanted):
            lease = yield Acquire(database)
            leases.append(lease)
            yield from perform(Query(database, _PING, lease.connection))
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
