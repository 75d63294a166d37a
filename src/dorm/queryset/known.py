"""What is known of rows before they are fetched: the parent that those of a related manager point at, their owners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorm.models.state import FetchOrigin


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


class Owners:
    """Those whom the rows of one fetch belong to: each gets its rows in a list.

    Attributes:
        column: attribute of rows with the key of their owner, or an annotation with it, which they do not keep.
        kept: key of a row's ``__dict__`` for its owner; None where a row has no place for one.
        places: each owner and its list, by key.
        origins: what rows share that know each other by their owners.
    """

    __slots__ = ("_answers", "column", "kept", "origins", "places")

    def __init__(self, column: str, kept: str | None, owners: Mapping[Any, Any]) -> None:
        self.column = column
        self.kept = kept
        self.places: dict[Any, tuple[Any, list[Any]]] = {key: (owner, []) for key, owner in owners.items()}
        self.origins: list[FetchOrigin] = []
        self._answers: list[Sequence[Any]] = []

    def settle(self, rows: Sequence[Any]) -> None:
        """Take back what was given beside *rows*, a whole answer: before a connection was lost and another asked."""
        self._answers.append(rows)
        lists = [given for _, given in self.places.values()]
        if sum(map(len, lists)) > sum(map(len, self._answers)):
            wanted = {id(row) for answer in self._answers for row in answer}
            for given in lists:
                given[:] = [row for row in given if id(row) in wanted]

    def lists(self) -> dict[Any, list[Any]]:
        """Return the rows of each by key."""
        return {key: rows for key, (_, rows) in self.places.items()}
