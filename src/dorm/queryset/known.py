"""What a queryset knows of its rows before it fetches them: the parent that rows of a related manager point at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Parent(dict[str, Any]):
    """The hints of a related manager's querysets for routers (``instance``), and what is known of their rows.

    Attributes:
        field: the key that rows point back with, None where there is none.
        accessor: what the instance calls the relation.
        whole: plan of all rows of the relation, where peers are served with them. loader: what loads them.
    """

    __slots__ = ("accessor", "field", "loader", "whole")

    def __init__(self, field: Any, instance: Any, accessor: str | None = None) -> None:
        self["instance"] = instance
        self.field = field
        self.accessor = accessor
        self.whole: Any = None
        self.loader: Any = None

    def adopt(self, rows: Sequence[Any]) -> None:
        """Put the instance on *rows* as the object of their key, where the key is its own and nothing is loaded yet."""
        field, instance = self.field, self["instance"]
        if field is None:
            return
        kept, attname = field.object_key, field.attname
        key = getattr(instance, field.target_field.attname)
        for row in rows:
            values = row.__dict__
            if kept not in values and values.get(attname) == key:
                values[kept] = instance

    def forget(self) -> None:
        """Drop the rows that were prefetched for the instance: they were written to."""
        cache = self["instance"]._prefetched
        if cache is not None:
            cache.pop(self.accessor, None)
