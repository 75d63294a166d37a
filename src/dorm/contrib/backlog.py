"""Observations that wait to be counted: keeping one costs a fraction of counting it, and counting many at once too."""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

from dorm.db.hooks import Observation
from dorm.db.template import UNPARSABLE, template_of

MOST_WAITING: Final = 256
"""Observations that wait at most, before whoever adds one counts them all."""

UNREAD: Final = "(unparsable)"

Key: TypeAlias = tuple[str, str]
"""Alias and template."""


class Batch:
    """What was observed of one template on one database.

    Attributes:
        times: seconds of each statement, in order. errors: how many failed.
        rows: rows fetched or touched by those that did not, where that was known.
    """

    __slots__ = ("errors", "rows", "times")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.errors = 0
        self.rows = 0


class Backlog:
    """What was observed and nobody has counted yet. Any thread may add; one at a time may take."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str, float, int | None]] = deque()

    def add(self, seen: Observation) -> bool:
        """Keep what counts of *seen*, not the statement; return True when it is time to `take`."""
        waiting = self._waiting
        waiting.append((
            seen.alias,
            template_of(seen.statement, seen.vendor),
            seen.elapsed,
            seen.rows if seen.error is None else _FAILED,
        ))  # fmt: skip
        return len(waiting) >= MOST_WAITING

    def take(self) -> dict[Key, Batch]:
        """Return all that waited, by alias and template; texts that cannot be read are one template."""
        waiting, found = self._waiting, dict[Key, Batch]()
        while waiting:
            alias, template, elapsed, rows = waiting.popleft()
            batch = found.get((alias, template))
            if batch is None:
                key = (alias, UNREAD if template.startswith(UNPARSABLE) else template)
                batch = found.setdefault(key, Batch())
            batch.times.append(elapsed)
            if rows is None:
                continue
            if rows == _FAILED:
                batch.errors += 1
            else:
                batch.rows += rows
        return found

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()


_FAILED = -1
