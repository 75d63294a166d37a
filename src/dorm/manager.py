"""Managers: where a model's queries start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dorm.exceptions import ImproperlyConfigured
from dorm.queryset.queryset import Queryable, QuerySet

if TYPE_CHECKING:
    from typing import Self


M = TypeVar("M")

_creation_counter = 0


class Manager(Queryable[M, M], Generic[M]):
    """Offers every query method of its model; override `get_queryset` to start from something else than all rows."""

    model: Any = None
    name: str = ""
    use_in_migrations = False
    _pristine: QuerySet[M] | None = None

    def contribute_to_class(self, cls: Any, name: str) -> None:
        """Attach this manager to a model class under *name*; the first one becomes the default."""
        self.model = cls
        self.name = name
        setattr(cls, name, self)
        if "_default_manager" not in vars(cls):
            cls._default_manager = self

    def __get__(self, instance: object, owner: Any = None) -> Self:
        if instance is not None:
            raise AttributeError(f"Manager isn't accessible via {type(instance).__name__} instances: use the class.")
        return self

    def get_queryset(self) -> QuerySet[M]:
        """Return the queryset all methods of this manager start from."""
        return QuerySet(self.model)

    def all(self) -> QuerySet[M]:
        """Return a new queryset of every row."""
        return self.get_queryset()

    def _queryset(self) -> QuerySet[M]:
        if type(self).get_queryset is not Manager.get_queryset:
            return self.get_queryset()
        if self._pristine is None:
            if self.model is None or self.model._meta.abstract:
                raise ImproperlyConfigured(
                    "this manager belongs to no concrete model: abstract models have no rows of their own."
                )
            self._pristine = QuerySet(self.model)
        return self._pristine

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {getattr(self.model, '__name__', None)}>"
