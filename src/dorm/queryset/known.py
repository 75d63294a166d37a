"""What a queryset knows of its rows before it fetches them: the parent that rows of a related manager point at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Parent(dict[str, Any]):
    """The hints of a related manager's querysets for routers (``instance``), and the key that rows point back with."""

    __slots__ = ("field",)

    def __init__(self, field: Any, instance: Any) -> None:
        super().__init__(instance=instance)
        self.field = field

    def adopt(self, rows: Sequence[Any]) -> None:
        """Put the instance on *rows* as the object of their key, where the key is its own and nothing is loaded yet."""
        field, instance = self.field, self["instance"]
        name, attname = field.name, field.attname
        key = getattr(instance, field.target_field.attname)
        for row in rows:
            values = row.__dict__
            if name not in values and values.get(attname) == key:
                values[name] = instance
