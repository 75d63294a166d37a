"""A dry run's own copy of the schema: what its statements would do is seen by the statements after them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from dorm.db.backends.sqlite import functions

_log = logging.getLogger("dorm.migrations")


class Rehearsal:
    """An empty database in memory with the tables of another one.

    Making a table anew asks the catalogue for triggers, and for columns that the models do not know. In a dry run of
    several steps the real catalogue answers for the time before the first of them.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._db = apsw.Connection(":memory:")
        functions.register(self._db)
        for text in texts:
            self.do(text)

    def do(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Do what a statement would do; one that cannot be done without rows is left out."""
        try:
            self._db.execute(sql, tuple(params)).fetchall()
        except (apsw.Error, TypeError) as exc:
            _log.debug("left out of a dry run: %s", exc)

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Return rows of the catalogue."""
        return list(self._db.execute(sql, tuple(params)))
