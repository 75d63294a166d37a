"""Which columns a query loads: what `only` and `defer` asked for, of its model and of the objects joined to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dorm.record import Record

Names = tuple[str, ...]


class Loading(Record):
    """Paths of fields that are loaded, or that are not.

    Args:
        names: each the names of relations and at last of a field.
        only: True: these are loaded, and the keys; False: all but these are.
    """

    names: frozenset[Names]
    only: bool

    @classmethod
    def just(cls, before: Loading | None, names: Iterable[Names]) -> Loading | None:
        """`only`: replaces an earlier one; what was deferred before stays deferred; None (all) if nothing is left."""
        wanted = frozenset(names)
        if before is None or before.only:
            return cls(wanted, True) if wanted else None
        left = wanted - before.names
        return cls(left, True) if left else None

    @classmethod
    def without(cls, before: Loading | None, names: Iterable[Names]) -> Loading | None:
        """`defer`: adds up; after `only` it takes away from what that named."""
        wanted = frozenset(names)
        if before is None or not before.only:
            return cls(wanted | (before.names if before is not None else frozenset()), False)
        left = before.names - wanted
        if left:
            return cls(left, True)
        surplus = wanted - before.names
        return cls(surplus, False) if surplus else None

    def loads(self, field: Any) -> bool:
        """Return whether this field of the model itself is loaded."""
        if field.primary_key or field in field.model._meta.pk_fields:
            return True
        if self.only:
            return any(names[0] == field.name for names in self.names)
        return (field.name,) not in self.names

    def below(self, name: str) -> Loading | None:
        """Return what is said of the objects of the relation *name*; None loads all of them."""
        inner = frozenset(names[1:] for names in self.names if names[0] == name and len(names) > 1)
        return Loading(inner, self.only) if inner else None

    def with_field(self, name: str) -> Loading:
        """Return the same with this field of the model itself loaded."""
        own = frozenset({(name,)})
        return Loading(self.names | own if self.only else self.names - own, self.only)
