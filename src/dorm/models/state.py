"""Where an instance comes from: nothing for a new one, the alias of its database for a loaded one, or an `Origin`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from weakref import ref

from dorm.conf.fetch_modes import FetchMode

ORIGIN = "_origin"
"""Key of an instance's ``__dict__`` under which its origin stands; absent while the instance is new and unrouted."""

PREFETCHED = "_prefetched"
"""Attribute of instances with prefetched rows, by the relation's accessor; the class says None for those without."""


AWAITED = "_awaited"
"""Key of an instance's ``__dict__`` for the names of relations whose objects had no key when they were assigned."""


def object_key(name: str) -> str:
    """Return the key of an instance's ``__dict__`` under which the object of its relation *name* stands.

    Not *name* itself, which is that of a descriptor: no assignment gets past it, but one to the dict.
    """
    return f"_{name}_object"


class Deferred:
    """Stands for a column that was not loaded, among the values of `Model.from_db` and of a model's constructor."""

    def __repr__(self) -> str:
        return "<Deferred field>"


DEFERRED = Deferred()


class Destination:
    """The database that a new instance is meant for; one object an alias.

    Attributes:
        alias: key of ``DATABASES``.
    """

    __slots__ = ("alias",)

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def __reduce__(self) -> tuple[Any, ...]:
        return (origin_of, (self.alias, True))


class FetchOrigin:
    """What the instances of one fetch share where late loads may serve all of them, or their queryset chose a mode.

    Attributes:
        alias: key of ``DATABASES``.
        mode: what the queryset said of late loads, None for the setting.
        peers: weak references to all instances of the fetch, in order; None where late loads serve one at a time,
            and where *siblings* makes them when they are asked for.
        siblings: makes the peers of rows that keep each other alive by their parents; None for other rows.
        paths: where, seen from those, joined instances stand.
        position: where the peer last looked for was.
    """

    __slots__ = ("alias", "mode", "paths", "peers", "position", "siblings")

    def __init__(self, alias: str, mode: FetchMode | None) -> None:
        self.alias = alias
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
        return (origin_of, (self.alias,))


Origin: TypeAlias = "str | FetchOrigin | Destination"
"""Where an instance comes from.

Most come from an alias and that is all: it stands for itself. A text refers to nothing, so the garbage collector need
not follow the attributes of a row of plain values: one object a row for it, and not two.
"""

_destinations: dict[str, Destination] = {}


def origin_of(alias: str, adding: bool = False) -> Origin:
    """Return the origin of what is in the database *alias*, or, *adding*, of a new instance meant for it."""
    if not adding:
        return alias
    found = _destinations.get(alias)
    return found if found is not None else _destinations.setdefault(alias, Destination(alias))


def alias_of(origin: Origin) -> str:
    """Return the alias of an origin."""
    return origin if isinstance(origin, str) else origin.alias


def alias_in(values: Mapping[str, Any]) -> str | None:
    """Return the alias of the instance with these attributes, None for one without a database."""
    origin: Origin | None = values.get(ORIGIN)
    return origin if origin is None or isinstance(origin, str) else origin.alias


def fetch_of(values: Mapping[str, Any]) -> FetchOrigin | None:
    """Return what the instance with these attributes shares with those it was fetched with, None for nothing."""
    origin = values.get(ORIGIN)
    return origin if isinstance(origin, FetchOrigin) else None


def settle(values: dict[str, Any], alias: str) -> None:
    """Say that the instance with these attributes is in the database *alias*; what its fetch shares is kept."""
    if is_adding(values) or alias_in(values) != alias:
        values[ORIGIN] = alias


def is_adding(values: Mapping[str, Any]) -> bool:
    """Return whether the instance with these attributes was never saved nor loaded."""
    origin = values.get(ORIGIN)
    return origin is None or isinstance(origin, Destination)


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
        alias = self.db
        if alias is not None:
            self._values[ORIGIN] = origin_of(alias, value)
        elif not value:
            self._values[ORIGIN] = "default"

    @property
    def db(self) -> str | None:
        """Alias the instance was loaded from or saved to, or is meant for; None for a new one."""
        return alias_in(self._values)

    @db.setter
    def db(self, alias: str | None) -> None:
        if alias is None:
            self._values.pop(ORIGIN, None)
        else:
            self._values[ORIGIN] = origin_of(alias, self.adding)

    def __repr__(self) -> str:
        return f"<InstanceState adding={self.adding} db={self.db!r}>"
