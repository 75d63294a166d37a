"""The schemas that code sees: a search path an alias, by context, for tenants that have a schema each.

Entering a path sends nothing. Inside a transaction the server is told with the next statement (``SET LOCAL``, so the
transaction's end undoes it); outside, around each statement, and a connection is given back to the pool with the path
it came with, or closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType

from dorm.db.limits import in_use

_NONE: Mapping[str, tuple[str, ...]] = MappingProxyType({})
_paths: ContextVar[Mapping[str, tuple[str, ...]]] = ContextVar("dorm_search_path", default=_NONE)


def search_path_of(alias: str) -> tuple[str, ...] | None:
    """Return the schemas that code running now sees on *alias*, in order; None for the session's own path."""
    return _paths.get().get(alias)


def set_search_path(alias: str, schemas: Sequence[str] | None) -> tuple[str, ...] | None:
    """Let this task or thread see *schemas* on *alias*, and the tasks it starts; return what it saw before.

    Args:
        schemas: names, unquoted; None for the session's own path.
    The caller sets back what was returned. The dialect must have ``supports_search_path``.
    """
    in_use.ever = True
    before = _paths.get()
    after = {name: path for name, path in before.items() if name != alias}
    if schemas is not None:
        after[alias] = tuple(schemas)
    _paths.set(after)
    return before.get(alias)
