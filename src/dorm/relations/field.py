"""What the fields of relations share: the model at the other end, and the names of the way back."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from dorm.exceptions import ImproperlyConfigured
from dorm.fields.base import Field
from dorm.models.base import Model

T = TypeVar("T")


class Pointing:
    """What every field that leads to a model given by itself or by its name knows: which one it is.

    Attributes:
        to: the other model as it was given. model: the one with the field.
    """

    to: Any
    model: Any
    _target: type[Model] | None

    @property
    def target(self) -> type[Model]:
        """The model at the other end."""
        if self._target is None and getattr(self, "model", None) is not None:
            self.model._meta.apps.settle()
        if self._target is None:
            if isinstance(self.to, type):
                # A field of no model, as in Cast("key", ForeignKey(Author, CASCADE)): nothing leads back.
                return self.to
            raise ImproperlyConfigured(
                f"{self} points at {self.to!r}, which is no model yet: import the module that declares it, "
                "or name it as 'app.Model'."
            )
        return self._target

    @property
    def related_model(self) -> type[Model]:
        """The model at the other end, under Django's name."""
        return self.target


class RelationField(Pointing, Field[T]):
    """A field that leads to another model.

    Attributes:
        relation: the direction from here; its reverse is `remote_field`.
    """

    is_relation = True
    relation: Any
    remote_field: Any
    limit_choices_to: Any

    @property
    def related_name(self) -> str | None:
        """The accessor's name as given, placeholders filled in."""
        found: str | None = self.remote_field.related_name
        return found

    @property
    def related_query_name(self) -> str | None:
        """The name in queries as given, placeholders filled in."""
        found: str | None = self.remote_field.related_query_name
        return found

    @property
    def field(self) -> Self:
        """This field; Django's name on the descriptor."""
        return self

    @property
    def loader(self) -> Any:
        """What loads the relation for many instances."""
        return self.relation.loader

    def get_limit_choices_to(self) -> Any:
        """Return the condition of *limit_choices_to*; a function is called for it."""
        given = self.limit_choices_to
        return given() if callable(given) else given or {}
