"""What of the surroundings decides over a query's result: open transactions, and what modules register (a tenant).

Whoever keeps results or batches queries of different callers keeps those apart whose keys differ.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from dorm.db.connection import connections

_registered: dict[str, Callable[[], Hashable]] = {}


def register_context(name: str, read: Callable[[], Hashable]) -> None:
    """Have ``read()`` be part of `result_key`; *name* replaces an earlier registration of that name."""
    _registered[name] = read


def result_key() -> Hashable:
    """Return what else than the query decides over its result here: registered parts only, transactions aside."""
    return tuple((name, read()) for name, read in sorted(_registered.items()))


def batch_key() -> Hashable:
    """Return what queries that are sent as one must have in common: open blocks, and `result_key`."""
    return tuple(sorted((each.alias, each.block_identity) for each in connections.opened())), result_key()
