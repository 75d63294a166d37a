"""Managers of the rows that point at an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dorm.manager import Manager
from dorm.models.state import PREFETCHED

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet
    from dorm.relations.reverse import ReverseRelation

M = TypeVar("M")


class ReverseAccessor:
    """Attribute of the target: gives the manager of the rows that point at the instance."""

    def __init__(self, relation: ReverseRelation) -> None:
        self.relation = relation

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        return RelatedManager(self.relation, instance)


class RelatedManager(Manager[Any], Generic[M]):
    """The rows of one foreign key that point at one instance; behaves like a manager of their model."""

    def __init__(self, relation: ReverseRelation, instance: Any) -> None:
        super().__init__()
        self.model = relation.target
        self.relation = relation
        self.instance = instance

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows; those prefetched, if they were, without a query."""
        relation, field = self.relation, self.relation.field
        if getattr(self.instance, field.target_field.attname) is None:
            raise ValueError(
                f"{type(self.instance).__name__}.{relation.accessor} needs a key: save the instance first."
            )
        manager = self.model._default_manager
        rows = manager.using(self.instance._state.db) if self.instance._state.db else manager.all()
        found = rows.filter(**{field.name: self.instance})
        prefetched = self.instance.__dict__.get(PREFETCHED, {}).get(relation.accessor)
        filled: QuerySet[Any, Any] = found._filled(prefetched)
        return filled

    def _initial(self, values: dict[str, Any]) -> dict[str, Any]:
        return {self.relation.field.name: self.instance, **values}
