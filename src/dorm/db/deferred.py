"""Transaction control that waits for the first statement: BEGIN, savepoints and session settings of the transaction.

A block in which nothing happens sends nothing, and what waits can go out together with the statement it waited for. The
connections of every backend keep one `Deferred`; what is in it was asked for and not sent.
"""

from __future__ import annotations

from dorm.db.statement import Statement


class Deferred(list[tuple[str | None, Statement]]):
    """Statements that wait, in order; a savepoint among them has a name, everything else has None.

    It is a list because every statement of a transaction asks whether it is empty.
    """

    __slots__ = ()

    def add(self, statement: Statement, savepoint: str | None = None) -> None:
        """Let *statement* wait; *savepoint* is the name it sets."""
        self.append((savepoint, statement))

    def released(self, savepoint: str) -> bool:
        """Forget a savepoint that was not set yet, and those set in it; False when it was set already."""
        for number, (name, _) in enumerate(self):
            if name == savepoint:
                self[number:] = [each for each in self[number:] if each[0] is None]
                return True
        return False

    def rolled_back(self, savepoint: str) -> bool:
        """Forget what was asked for after a savepoint; False when the savepoint was set already.

        What waits was asked for after every savepoint that was set, so it is forgotten in any case.
        """
        for number, (name, _) in enumerate(self):
            if name == savepoint:
                del self[number + 1 :]
                return True
        self.clear()
        return False

    def first(self) -> Statement:
        """Return what is to be sent first."""
        return self[0][1]

    def sent(self, number: int = 1) -> None:
        """The first ones have been sent."""
        del self[:number]

    def all(self) -> list[Statement]:
        """Return everything that waits, in order."""
        return [statement for _, statement in self]

    def take_over(self, other: Deferred) -> None:
        """Wait for what *other* waited for, which is given up."""
        self[:] = other
        other.clear()
