"""The open cursors of a connection: none outlives the transaction, or the part of it, that it was opened in.

A cursor that is left open (a generator that nobody reads on, kept alive by a traceback or closed late by the event
loop) would otherwise be read or closed within whatever transaction its connection serves then.
"""

from __future__ import annotations

from typing import Any

from dorm.exceptions import TransactionManagementError


class Streams:
    """The cursors (they have the attribute ``is_over``), each with a number, and the last number at each savepoint."""

    __slots__ = ("_marks", "_number", "_open")

    def __init__(self) -> None:
        self._open: dict[Any, int] = {}
        self._marks: dict[str, int] = {}
        self._number = 0

    def opened(self, cursor: Any) -> None:
        """Remember a cursor that was opened."""
        self._number += 1
        self._open[cursor] = self._number

    def closed(self, cursor: Any) -> None:
        """Forget a cursor that was closed."""
        self._open.pop(cursor, None)

    def mark(self, savepoint: str) -> None:
        """Remember what is open when *savepoint* is set."""
        self._marks[savepoint] = self._number

    def since(self, savepoint: str) -> list[Any]:
        """Return the cursors that were opened after *savepoint*, to be closed: they are over."""
        mark = self._marks.get(savepoint, 0)
        return self._taken([cursor for cursor, number in self._open.items() if number > mark])

    def all(self) -> list[Any]:
        """Return every cursor, to be closed: they are over, and so are the savepoints."""
        if self._marks:
            self._marks.clear()
        return self._taken(list(self._open)) if self._open else []

    def _taken(self, found: list[Any]) -> list[Any]:
        for cursor in found:
            cursor.is_over = True
            self._open.pop(cursor, None)
        return found


def over(alias: str) -> TransactionManagementError:
    """Return the error for a cursor that is read on after its transaction."""
    return TransactionManagementError(
        f"the block on {alias!r} that these rows were streamed in has ended, or was rolled back. Read them inside the "
        "block, or open the iterator outside of it."
    )
