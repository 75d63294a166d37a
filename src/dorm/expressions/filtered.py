"""FilteredRelation: a relation joined under a condition of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.expressions.core import F
from dorm.expressions.predicate import Q
from dorm.record import Record

if TYPE_CHECKING:
    from collections.abc import Hashable

    from dorm.sql.node import Literals, Node


class FilteredRelation:
    """A relation whose join holds for the rows that meet *condition*; rows without such a partner stay (LEFT JOIN).

    ``annotate(good=FilteredRelation("reviews", condition=Q(reviews__stars=5)))`` gives ``good__text`` and its like.

    Args:
        relation_name: a relation or a path of relations, possibly over another filtered relation.
        condition: over columns of that relation and of the model itself.
    """

    def __init__(self, relation_name: str, *, condition: Q = Q()) -> None:  # noqa: B008 # immutable
        if not relation_name:
            raise ValueError("relation_name cannot be empty.")
        if not isinstance(condition, Q):
            raise ValueError("condition argument must be a Q() instance.")
        self.relation_name = relation_name
        self.condition = condition.normalised()

    def key(self, values: Literals) -> Hashable:
        """Return the structural key; append the condition's literals."""
        return (FilteredRelation, self.relation_name, self.condition.key(values))

    def named(self, name: str) -> Q:
        """Return the condition with *name* for the relation."""
        renamed: Q = _renamed(self.condition, self.relation_name, name)
        return renamed

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FilteredRelation):
            return False
        return other.relation_name == self.relation_name and other.condition == self.condition

    def __hash__(self) -> int:
        return hash((self.relation_name, self.condition))


class Filtered(Record):
    """A resolved `FilteredRelation`: the joins that lead to it, the last one with the condition.

    Args:
        steps: the joins.
        meta: options of the model at its end.
        relation: the relation itself.
    """

    steps: tuple[Any, ...]
    meta: Any
    relation: Any


class FilteredStep(Record):
    """The last join of a filtered relation; *alias* is the name it was given. See `dorm.models.paths.Step`."""

    table: str
    pairs: tuple[tuple[str, str], ...]
    multi: bool
    key: object
    extra: tuple[tuple[str, Any], ...]
    alias: str
    condition: Node | None
    given: tuple[tuple[str, Any], ...] = ()
    nullable: bool = True


def _renamed(part: Any, relation: str, name: str) -> Any:
    if isinstance(part, Q):
        return Q.of([_renamed(child, relation, name) for child in part.children], part.connector, part.negated)
    if isinstance(part, tuple):
        path, value = part
        return _path(path, relation, name), _renamed(value, relation, name)
    if type(part) is F:
        return F(_path(part.name, relation, name))
    return part


def _path(path: str, relation: str, name: str) -> str:
    return name + path[len(relation) :] if path == relation or path.startswith(f"{relation}__") else path
