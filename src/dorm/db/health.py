"""Is a database there? Answers that never raise."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from dorm.db.database import connections
from dorm.db.limits import deadline
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import Query
from dorm.db.statement import Statement, Template
from dorm.exceptions import DormError

_PING = Template("SELECT 1", reads=True)


@operation
def _check(alias: str, timeout: float, deep: bool) -> Operation[dict[str, Any]]:
    start = perf_counter()
    answer: dict[str, Any] = {"status": "ok", "alias": alias}
    try:
        database = connections[alias]
        with deadline(timeout):
            yield from perform(Query(database, Statement(_PING, (), internal=True)))
        if deep:
            answer["pool"] = database.pool_stats()
    except (DormError, OSError) as exc:
        answer["status"] = "error"
        answer["error"] = f"{type(exc).__name__}: {exc}"
    answer["elapsed_ms"] = (perf_counter() - start) * 1000
    return answer


def health_check(alias: str = "default", timeout: float = 5.0, deep: bool = False) -> dict[str, Any]:
    """Send ``SELECT 1``; return ``status`` ("ok" or "error"), ``alias``, ``elapsed_ms`` and, on failure, ``error``.

    What is not answered within *timeout* seconds is an error. With *deep* the numbers of the pool stand under
    ``pool``. Never raises for a database's sake.
    """
    return run(_check(alias, timeout, deep))


async def ahealth_check(alias: str = "default", timeout: float = 5.0, deep: bool = False) -> dict[str, Any]:
    """Async twin of `health_check`."""
    return await arun(_check(alias, timeout, deep))
