"""Where an instance comes from: nothing for a new one, an `Origin` that all rows of a fetch share for a loaded one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import ref

from dorm.conf.fetch_modes import FetchMode

ORIGIN = "_origin"
"""Key of an instance's ``__dict__`` under which its origin stands; absent while the instance is new and unrouted."""

PREFETCHED = "_prefetched"
"""Key of an instance's ``__dict__`` under which prefetched rows stand, by the relation's accessor."""


AWAITED = "_awaited"
"""Key of an instance's ``__dict__`` for the names of relations whose objects had no key when they were assigned."""


class Deferred:
    """Stands for a column that was not loaded, among the values of `Model.from_db` and of a model's constructor."""

    def __repr__(self) -> str:
        return "<Deferred field>"


DEFERRED = Deferred()


class Origin:
    """The database that instances were loaded from or saved to; one object an alias, or one a fetch.

    Attributes:
        alias: key of ``DATABASES``.
        adding: the instance is not in the database yet; the alias says only where it will go.
        mode: what the queryset said of late loads, None for the setting.
        peers: weak references to all instances of the fetch, in order; None where late loads serve one at a time,
            and where *siblings* makes them when they are asked for.
        siblings: makes the peers of rows that keep each other alive by their parents; None for other rows.
        paths: where, seen from those, joined instances stand.
        position: where the peer last looked for was.
    """

    __slots__ = ("adding", "alias", "mode", "paths", "peers", "position", "siblings")

    def __init__(self, alias: str, adding: bool = False, mode: FetchMode | None = None) -> None:
        self.alias = alias
        self.adding = adding
        self.mode = mode
        self.peers: list[ref[Any]] | None = None
        self.paths: tuple[tuple[str, ...], ...] = ()
        self.position = 0
        self.siblings: Callable[[], list[ref[Any]]] | None = None

    @property
    def has_peers(self) -> bool:
        """True where late loads serve all instances of the fetch."""
        return self.peers is not None or self.siblings is not None

    def known(self) -> list[ref[Any]]:
        """Return the peers, made now if nobody asked before; none where late loads serve one at a time."""
        if self.peers is None and self.siblings is not None:
            self.peers = self.siblings()
        return self.peers or []

    def __reduce__(self) -> tuple[Any, ...]:
        return (origin_of, (self.alias, self.adding))


_origins: dict[str, Origin] = {}
_destinations: dict[str, Origin] = {}


def origin_of(alias: str, adding: bool = False) -> Origin:
    """Return the origin of an alias, or the destination of a new instance."""
    known = _destinations if adding else _origins
    found = known.get(alias)
    return found if found is not None else known.setdefault(alias, Origin(alias, adding))


def settle(values: dict[str, Any], alias: str) -> None:
    """Say that the instance with these attributes is in the database *alias*; what its fetch shares is kept."""
    origin = values.get(ORIGIN)
    if origin is None or origin.adding or origin.alias != alias:
        values[ORIGIN] = origin_of(alias)


def is_adding(values: Mapping[str, Any]) -> bool:
    """Return whether the instance with these attributes was never saved nor loaded."""
    origin = values.get(ORIGIN)
    return origin is None or origin.adding


class InstanceState:
    """``instance._state``: a view on the instance, made when somebody asks."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @property
    def adding(self) -> bool:
        """True until the instance was saved or loaded."""
        return is_adding(self._values)

    @adding.setter
    def adding(self, value: bool) -> None:
        origin = self._values.get(ORIGIN)
        if origin is not None:
            self._values[ORIGIN] = origin_of(origin.alias, value)
        elif not value:
            self._values[ORIGIN] = origin_of("default")

    @property
    def db(self) -> str | None:
        """Alias the instance was loaded from or saved to, or is meant for; None for a new one."""
        origin = self._values.get(ORIGIN)
        return origin.alias if origin is not None else None

    @db.setter
    def db(self, alias: str | None) -> None:
        if alias is None:
            self._values.pop(ORIGIN, None)
        else:
            self._values[ORIGIN] = origin_of(alias, self.adding)

    def __repr__(self) -> str:
        return f"<InstanceState adding={self.adding} db={self.db!r}>"
