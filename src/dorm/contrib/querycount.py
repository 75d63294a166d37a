"""A warning when a block sends more statements than it should."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from dorm.conf.settings import settings
from dorm.contrib.querylog import watch
from dorm.db.hooks import Observation

_log = logging.getLogger("dorm.contrib.querycount")


class QueryCount:
    """The number of statements so far."""

    def __init__(self) -> None:
        self.count = 0

    def _observe(self, seen: Observation) -> None:
        if seen.kind == "statement":
            self.count += 1


@contextmanager
def query_count_guard(warn_above: int | None = None, *, label: str | None = None) -> Generator[QueryCount]:
    """Count the statements of the block; log one WARNING at its end when there were more than *warn_above*.

    Args:
        warn_above: None takes the setting ``QUERY_COUNT_WARN``, and without one never warns.
        label: name of the block in the warning.
    Built on `dorm.contrib.querylog`: it sees the block's own context and the tasks it starts.
    """
    if warn_above is None:
        warn_above = getattr(settings, "QUERY_COUNT_WARN", None) if settings.is_configured else None
    elif isinstance(warn_above, bool) or not isinstance(warn_above, int) or warn_above < 0:
        raise ValueError(f"warn_above must be a whole number from 0, or None, not {warn_above!r}")
    counted = QueryCount()
    end = watch(counted._observe)
    try:
        yield counted
    finally:
        end()
        if warn_above is not None and counted.count > warn_above:
            _log.warning("%s sent %d statements, more than %d", label or "a block", counted.count, warn_above)
