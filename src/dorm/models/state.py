"""Where an instance comes from: nothing for a new one, an `Origin` that all rows of a fetch share for a loaded one."""

from __future__ import annotations

from typing import Any

ORIGIN = "_origin"
"""Key of an instance's ``__dict__`` under which its origin stands; absent while the instance is new."""

PREFETCHED = "_prefetched"
"""Key of an instance's ``__dict__`` under which prefetched rows stand, by the relation's accessor."""


class Origin:
    """The database that instances were loaded from or saved to; one object an alias."""

    __slots__ = ("alias",)

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def __reduce__(self) -> tuple[Any, ...]:
        return (origin_of, (self.alias,))


_origins: dict[str, Origin] = {}


def origin_of(alias: str) -> Origin:
    """Return the origin of an alias."""
    found = _origins.get(alias)
    return found if found is not None else _origins.setdefault(alias, Origin(alias))


class InstanceState:
    """``instance._state``: a view on the instance, made when somebody asks."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @property
    def adding(self) -> bool:
        """True until the instance was saved or loaded."""
        return ORIGIN not in self._values

    @adding.setter
    def adding(self, value: bool) -> None:
        if value:
            self._values.pop(ORIGIN, None)
        elif ORIGIN not in self._values:
            self._values[ORIGIN] = origin_of("default")

    @property
    def db(self) -> str | None:
        """Alias the instance was loaded from or saved to; None for a new one."""
        origin = self._values.get(ORIGIN)
        return origin.alias if origin is not None else None

    @db.setter
    def db(self, alias: str | None) -> None:
        if alias is None:
            self._values.pop(ORIGIN, None)
        else:
            self._values[ORIGIN] = origin_of(alias)

    def __repr__(self) -> str:
        return f"<InstanceState adding={self.adding} db={self.db!r}>"
