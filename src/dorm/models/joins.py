"""The joins of a query while a step of it is resolved: which are shared, which are new, which a key makes needless."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dorm.models.paths import without_join
from dorm.sql.node import Node
from dorm.sql.relabel import moved
from dorm.sql.select import Join

ANY_CALL = -1
"""In place of a call's number: joins over several partners are shared whoever made them."""


class Joins(list[Join]):
    """Joins in the order in which they were made.

    Methods take the number of the ``filter()`` call they work for: joins over several partners are shared within it.
    """

    def __init__(self, joins: Iterable[Join] = (), prefix: str = "T") -> None:
        super().__init__(joins)
        self.prefix = prefix

    def follow(self, alias: str, steps: Iterable[Any], call: int) -> str:
        """Return the alias of the table at the end of *steps*, which begin at *alias*."""
        for step in steps:
            alias = self.join(alias, step, call)
        return alias

    def join(self, parent: str, step: Any, call: int) -> str:
        """Return the alias of the table that *step* leads to, joining it unless a join can be shared."""
        found = self.shared(parent, step, call)
        if found is not None:
            return found.alias
        name = named(step)
        free = name is not None and self.prefix == "T" and all(join.alias != name for join in self)
        alias = name if free and name is not None else f"{self.prefix}{len(self) + 1}"
        scope = 0 if call == ANY_CALL else call
        extra, given = tuple(getattr(step, "extra", ())), tuple(getattr(step, "given", ()))
        condition = condition_of(step, alias)
        what = step.table, parent, step.pairs, step.nullable, step.multi, step.key
        self.append(Join(alias, *what, scope, extra, condition, given))
        return alias

    def shared(self, parent: str, step: Any, call: int) -> Join | None:
        """Return the join that serves *step* as well, None when there is none.

        Of several the latest; of those of a filtered relation the one that has its name.
        """
        name = named(step)
        found = [
            join
            for join in self
            if join.parent == parent
            and (join.relation is step.key or (name is not None and join.relation == step.key))
            and (not join.multi or call in (ANY_CALL, join.scope))
        ]
        own = [join for join in found if join.alias == name]
        return (own or found)[-1] if found else None

    def before(
        self, alias: str, steps: tuple[Any, ...], step: Any, call: int
    ) -> tuple[str, tuple[tuple[str, str], ...], str | None]:
        """Return the alias of the table from which *step* leads on, behind *steps*, its equal columns, its own join.

        A table that nothing joined yet is not joined where a foreign key to it says what its columns hold. The own join
        is one over *step*, to several partners, that this very call made from that table.
        """
        reached: str | None = alias
        for each in steps:
            found = self.shared(reached, each, call) if reached is not None else None
            reached = found.alias if found is not None else None
        if reached is not None:
            return reached, step.pairs, self._own(reached, step, call)
        ours, theirs = zip(*step.pairs, strict=True)
        kept = list(steps)
        while kept and not getattr(step, "given", ()) and (mine := without_join(kept[-1], ours)) is not None:
            ours = mine
            kept.pop()
        return self.follow(alias, kept, call), tuple(zip(ours, theirs, strict=True)), None

    def _own(self, parent: str, step: Any, call: int) -> str | None:
        if getattr(step, "target", None) is None:
            return None
        for join in self:
            if join.multi and join.scope == call and join.parent == parent and join.relation is step.key:
                return join.alias
        return None


def named(step: Any) -> str | None:
    """Return the name that a filtered relation gives to its join."""
    name: str | None = getattr(step, "alias", None)
    return name


def condition_of(step: Any, alias: str) -> Node | None:
    """Return the condition of a filtered relation whose table is called *alias*; None for other steps."""
    condition: Node | None = getattr(step, "condition", None)
    return condition if condition is None or alias == step.alias else moved(condition, {step.alias: alias}, 0)
