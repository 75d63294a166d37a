"""From the rows of one fetch to its results, which share an `Origin`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from dorm.conf.fetch_modes import FETCH_ONE, FETCH_PEERS
from dorm.conf.settings import settings
from dorm.models.state import FetchOrigin

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
    mode = settings.knobs.fetch_mode if query.mode is None else query.mode
    if mode is FETCH_ONE and query.mode is None:
        return hydrate(rows, alias)
    origin = FetchOrigin(alias, query.mode)
    found = hydrate(rows, origin)
    if mode is FETCH_PEERS and len(found) > 1:
        if origins is not None:
            origins.append(origin)
            return found
        origin.peers = list(map(ref, found))
        origin.paths = compiled.paths
    return found
