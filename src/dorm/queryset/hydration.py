"""From the rows of one fetch to its results, which share an `Origin`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from dorm.conf.fetch_modes import FETCH_ONE, FETCH_PEERS
from dorm.conf.settings import settings
from dorm.db.hooks import chain
from dorm.models.state import FetchOrigin, Origin
from dorm.signals import post_init, pre_init

if TYPE_CHECKING:
    from dorm.queryset.query import Query
    from dorm.queryset.selects import Compiled


def hydrated(
    compiled: Compiled, query: Query, rows: list[Any], alias: str, origins: list[FetchOrigin] | None = None
) -> list[Any]:
    """Return the results of *rows*; instances from which something can be loaded late know their peers.

    Args:
        origins: gets the origin of instances that may know peers, instead of their peers: somebody else makes them.
    """
    hydrate = compiled.hydrate
    if hydrate is None:
        return rows
    if not compiled.late and query.mode is None:
        return hydrate(rows, alias)
    origin = _origin(compiled, query, alias)
    return _acquainted(hydrate(rows, origin), origin, compiled, query, origins)


class Making:
    """Makes results of the rows of one fetch piece by piece, while more of them come; no code of the user runs."""

    __slots__ = ("_compiled", "_hydrate", "_origin", "_query")

    def __init__(self, compiled: Compiled, query: Query, alias: str) -> None:
        self._compiled = compiled
        self._query = query
        self._hydrate = compiled.hydrate
        self._origin = _origin(compiled, query, alias)

    def __call__(self, rows: list[Any]) -> list[Any]:
        assert self._hydrate is not None, "a plain row function"
        return self._hydrate(rows, self._origin, told=None)

    def whole(self, found: list[Any], origins: list[FetchOrigin] | None) -> list[Any]:
        """Return *found*, the results of all pieces; *origins* as of `hydrated`."""
        return _acquainted(found, self._origin, self._compiled, self._query, origins)


def may_be_made_in_pieces(compiled: Compiled) -> bool:
    """True where `Making` may be used: nobody else has a say in what becomes of the rows."""
    return compiled.is_plain and not (pre_init.is_connected or post_init.is_connected or chain.active)


def _origin(compiled: Compiled, query: Query, alias: str) -> Origin:
    """Return what the instances of one fetch come from."""
    if query.mode is None and (not compiled.late or settings.knobs.fetch_mode is FETCH_ONE):
        return alias
    return FetchOrigin(alias, query.mode)


def _acquainted(
    found: list[Any], origin: Origin, compiled: Compiled, query: Query, origins: list[FetchOrigin] | None
) -> list[Any]:
    """Return *found*, which know each other now if late loads may serve all of them."""
    mode = settings.knobs.fetch_mode if query.mode is None else query.mode
    if mode is FETCH_PEERS and len(found) > 1 and isinstance(origin, FetchOrigin):
        if origins is not None:
            origins.append(origin)
            return found
        origin.peers = list(map(ref, found))
        origin.paths = compiled.paths
    return found
