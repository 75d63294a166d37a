"""Plans: immutable descriptions of queries without their values, arranged as a trie.

`step` returns the same child for the same structural key, so a query that was built before costs a dict look-up a call,
and everything derived from it (SQL, binder, row function) is kept on the plan. Nothing but `step` makes a plan.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeAlias, TypeVar

from dorm.record import Record

Q = TypeVar("Q")
Prepare: TypeAlias = Callable[[Any], Any]
Prepares: TypeAlias = "tuple[Prepare | None, ...]"
Values: TypeAlias = "tuple[Any, ...]"
Take: TypeAlias = "Callable[[Values], Values]"


def as_given(value: Any) -> Any:
    """Return *value*: the preparation of a value that stands in the compiled text as well (a Lookup's ``as_sql``).

    A step that takes such a value is compiled each time: its plan fits this value alone.
    """
    return value


MOST_PATHS = 200
"""Different JSON paths of a field that steps are kept for; what names further ones is compiled each time."""


class Unkept(tuple[Any, ...]):
    """What is applied to the values of a step that is compiled each time."""

    __slots__ = ()


MOST_PLANS = 2_000
"""Plans kept per model; the trie forgets what was not used lately when it grows past this."""

MOST_BYTES = 8 * 1024 * 1024
"""Estimated size of SQL and row functions kept per model."""

_PLAN_BYTES = 2_000

_roots: weakref.WeakSet[Root] = weakref.WeakSet()


def renew() -> None:
    """Let every plan forget what was built and compiled: lookups were registered, or settings changed."""
    for root in list(_roots):
        with root.lock:
            if root.plan is not None:
                root.plan.forget_below()
                root.statistics.plans = root.bytes = 0


class PlanStatistics(Record, frozen=False):
    """Counters of one model's plans.

    Attributes:
        hits: steps that were found.
        misses: steps that were resolved and kept.
        uncached: steps that hold a node without a complete key and are resolved each time.
        turns: times the trie forgot what was not used since the turn before.
        plans: plans held now.
    """

    hits: int = 0
    misses: int = 0
    uncached: int = 0
    turns: int = 0
    plans: int = 0


class Root:
    """What the plans of one model share: counters, bounds, and the clock of the generations."""

    __slots__ = ("__weakref__", "bytes", "clock", "lock", "paths", "plan", "statistics")

    def __init__(self) -> None:
        self.paths: dict[Hashable, set[Hashable]] = {}
        self.statistics = PlanStatistics()
        self.lock = threading.Lock()
        self.clock = 0
        self.bytes = 0
        self.plan: Plan[Any] | None = None
        _roots.add(self)

    def grew(self, size: int) -> None:
        """Count *size* more bytes; turn the generations when a bound is passed."""
        self.bytes += size
        if self.statistics.plans > MOST_PLANS or self.bytes > MOST_BYTES:
            with self.lock:
                if self.statistics.plans > MOST_PLANS or self.bytes > MOST_BYTES:
                    self._turn()

    def is_worth(self, field: Hashable, path: Hashable) -> bool:
        """Return whether steps that name *path* within *field* are kept: the paths of the documents may be endless."""
        known = self.paths.setdefault(field, set())
        if path not in known and len(known) < MOST_PATHS:
            known.add(path)
        return path in known

    def _turn(self) -> None:
        """Forget every plan that was not used since the last turn; all of them if that frees too little."""
        assert self.plan is not None, "a root without its plan"
        self.statistics.turns += 1
        self.statistics.plans = self.plan.prune(self.clock)
        if self.statistics.plans > MOST_PLANS // 2:
            self.plan.forget()
            self.statistics.plans = 0
        self.bytes = self.statistics.plans * _PLAN_BYTES
        self.clock += 1


class Plan(Generic[Q]):
    """One node of the trie.

    Attributes:
        query: the description; immutable.
        slots: how many values a queryset with this plan carries.
        prepares: what is applied to the values of the last step, None where every value passes.
        kept: a step made it that will find it again.
        derived: whatever was compiled for this plan, by a key of the compiling layer.
    """

    __slots__ = ("_children", "_quick", "derived", "kept", "prepares", "query", "root", "slots", "used")

    def __init__(self, root: Root, query: Q, slots: int, prepares: Prepares | None) -> None:
        self.root = root
        self.query = query
        self.slots = slots
        self.prepares = prepares
        self.kept = True
        self.derived: dict[Hashable, Any] = {}
        self.used = root.clock
        self._children: dict[Hashable, Plan[Q]] = {}
        self._quick: dict[Hashable, tuple[Plan[Q], Take | None]] = {}

    @classmethod
    def rooted(cls, query: Q) -> Plan[Q]:
        """Return the root of a new trie."""
        root = Root()
        plan = cls(root, query, 0, None)
        root.plan = plan
        return plan

    def quick(self, key: Hashable) -> tuple[Plan[Q], Take | None] | None:
        """Return what was remembered under *key*, None when there is nothing, as for what has no hash."""
        try:
            found = self._quick.get(key)
        except TypeError:
            return None
        if found is not None:
            root = self.root
            found[0].used = root.clock
            root.statistics.hits += 1
        return found

    def known(self, key: Hashable) -> Plan[Q] | None:
        """Return the child that `step` made for *key*, None when there is none."""
        child = self._children.get(key)
        if child is not None:
            root = self.root
            child.used = root.clock
            root.statistics.hits += 1
        return child

    def remember(self, key: Hashable, child: Plan[Q], take: Take | None = None) -> None:
        """Let *key*, of the caller's own making, lead to *child* as well, whose values *take* makes of those given."""
        if child.kept and len(self._quick) < MOST_PLANS:
            self._quick[key] = child, take

    def step(self, key: Hashable | None, build: Callable[[], tuple[Q, Prepares]]) -> Plan[Q]:
        """Return the child for *key*, building its query the first time; None as key builds each time.

        *build* resolves names and may raise: a failed step is not kept.
        """
        if key is not None:
            child = self.known(key)
            if child is not None:
                return child
        root = self.root
        query, prepares = build()
        if as_given in prepares or isinstance(prepares, Unkept):
            key = None
        worth = prepares if any(prepare is not None for prepare in prepares) else None
        made = Plan(root, query, self.slots + len(prepares), worth)
        if key is None:
            root.statistics.uncached += 1
            made.kept = False
            return made
        kept = self._children.setdefault(key, made)
        root.statistics.misses += 1
        if self.kept:
            # What hangs on a plan that nobody finds again goes with it.
            root.statistics.plans += 1
            root.grew(_PLAN_BYTES)
        return kept

    def prepared(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the values of the last step as their fields want them; raise what a field raises."""
        if self.prepares is None:
            return values
        if len(values) == 1 and (only := self.prepares[0]) is not None:
            return (only(values[0]),)
        return tuple(
            [value if prepare is None else prepare(value) for prepare, value in zip(self.prepares, values, strict=True)]
        )

    def derive(self, key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        """Return what is kept under *key*, made on first use; *make* also returns its estimated size in bytes."""
        found = self.derived.get(key)
        if found is None:
            made, size = make()
            found = self.derived.setdefault(key, made)
            self.root.grew(size)
        return found

    def prune(self, clock: int) -> int:
        """Forget children not used since *clock*; return how many plans are left below."""
        kept = 0
        for key, child in list(self._children.items()):
            below = child.prune(clock)
            if child.used < clock and not below:
                del self._children[key]
            else:
                kept += 1 + below
        alive = set(map(id, self._children.values()))
        self._quick = {key: found for key, found in self._quick.items() if id(found[0]) in alive}
        return kept

    def forget_below(self) -> None:
        """Forget everything here and in every plan below."""
        children = list(self._children.values())
        self.forget()
        for child in children:
            child.forget_below()

    def forget(self) -> None:
        """Forget everything below and everything derived; plans in someone's hands stay valid."""
        self._children = {}
        self._quick = {}
        self.derived = {}
