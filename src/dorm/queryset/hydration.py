"""From the rows of one fetch to its results, which share an `Origin`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from dorm.conf.fetch_modes import FETCH_ONE, FETCH_PEERS
from dorm.conf.settings import settings
from dorm.db.hooks import chain
from dorm.models.state import FetchOrigin, Origin
from dorm.signals import post_init, pre_init

if TYPE_CHECKING:
    from dorm.queryset.known import Owners
    from dorm.queryset.query import Query
    from dorm.queryset.selects import Compiled


def hydrated(compiled: Compiled, query: Query, rows: list[Any], alias: str, owners: Owners | None = None) -> list[Any]:
    """Return the results of *rows*; instances from which something can be loaded late know their peers.

    Args:
        owners: those whom instances are given to; where these are put on them, they are known by them.
    """
    hydrate = compiled.hydrate
    if hydrate is None:
        return rows
    if owners is not None:
        hydrate = partial(hydrate, places=owners.places)
    if not compiled.late and query.mode is None:
        return hydrate(rows, alias)
    origin = _origin(compiled, query, alias)
    return _acquainted(hydrate(rows, origin), origin, compiled, query, owners)


class Making:
    """Makes results of the rows of one fetch piece by piece, while more of them come; no code of the user runs."""

    __slots__ = ("_compiled", "_hydrate", "_origin", "_owners", "_query")

    def __init__(self, compiled: Compiled, query: Query, alias: str, owners: Owners | None) -> None:
        assert compiled.hydrate is not None, "a plain row function"
        self._compiled = compiled
        self._query = query
        self._owners = owners
        self._hydrate = compiled.hydrate if owners is None else partial(compiled.hydrate, places=owners.places)
        self._origin = _origin(compiled, query, alias)

    def __call__(self, rows: list[Any]) -> list[Any]:
        return self._hydrate(rows, self._origin, told=None)

    def whole(self, found: list[Any]) -> list[Any]:
        """Return *found*, the results of all pieces."""
        return _acquainted(found, self._origin, self._compiled, self._query, self._owners)


def may_be_made_in_pieces(compiled: Compiled) -> bool:
    """True where `Making` may be used: nobody else has a say in what becomes of the rows."""
    return compiled.is_plain and not (pre_init.is_connected or post_init.is_connected or chain.active)


def _origin(compiled: Compiled, query: Query, alias: str) -> Origin:
    """Return what the instances of one fetch come from."""
    if query.mode is None and (not compiled.late or settings.knobs.fetch_mode is FETCH_ONE):
        return alias
    return FetchOrigin(alias, query.mode)


def _acquainted(found: list[Any], origin: Origin, compiled: Compiled, query: Query, owners: Owners | None) -> list[Any]:
    """Return *found*, which know each other now if late loads may serve all of them."""
    mode = settings.knobs.fetch_mode if query.mode is None else query.mode
    if mode is FETCH_PEERS and len(found) > 1 and isinstance(origin, FetchOrigin):
        if owners is not None and owners.kept is not None:
            owners.origins.append(origin)
            return found
        origin.peers = list(map(ref, found))
        origin.paths = compiled.paths
    return found
