"""Relations as the translator of names sees them, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorm.fields.base import Field
    from dorm.models.base import Model
    from dorm.relations.foreign_key import ForeignKey


class ForwardRelation:
    """From the model with the foreign key to the model it points at."""

    multi = False
    extra: tuple[tuple[str, Any], ...] = ()

    def __init__(self, field: ForeignKey[Any]) -> None:
        self.field = field
        self.key = self

    @property
    def steps(self) -> tuple[Any, ...]:
        """The single joins this relation is made of: itself."""
        return (self,)

    @property
    def model(self) -> type[Model]:
        """The model this relation starts from."""
        found: type[Model] = self.field.model
        return found

    @property
    def target(self) -> type[Model]:
        """The model at the other end."""
        return self.field.target

    @property
    def target_field(self) -> Field[Any]:
        """The field of the target that the key refers to."""
        found: Field[Any] = self.field.target_field
        return found

    @property
    def table(self) -> str:
        return self.target._meta.db_table

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Equal columns, ours and theirs."""
        return ((self.field.column, self.target_field.column),)

    @property
    def nullable(self) -> bool:
        return self.field.null


class ReverseRelation:
    """From a model to those whose foreign keys point at it.

    Attributes:
        name: what it is called in queries.
        accessor: attribute of instances, or None where there is none.
    """

    multi = True
    nullable = True
    extra: tuple[tuple[str, Any], ...] = ()

    def __init__(self, field: ForeignKey[Any], name: str, accessor: str | None) -> None:
        self.field = field
        self.name = name
        self.accessor = accessor
        self.key = self

    @property
    def steps(self) -> tuple[Any, ...]:
        """The single joins this relation is made of: itself."""
        return (self,)

    @property
    def model(self) -> type[Model]:
        """The concrete model this relation starts from: the one the foreign key points at."""
        found: type[Model] = self.field.target._meta.concrete_model
        return found

    @property
    def related_model(self) -> type[Model]:
        """The model with the foreign key, under Django's name."""
        return self.target

    @property
    def target(self) -> type[Model]:
        """The model with the foreign key."""
        found: type[Model] = self.field.model
        return found

    @property
    def target_field(self) -> Field[Any]:
        """The key of the model that has the foreign key."""
        found: Field[Any] = self.target._meta.pk
        return found

    @property
    def table(self) -> str:
        return self.target._meta.db_table

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Equal columns, ours and theirs."""
        return ((self.field.target_field.column, self.field.column),)

    def __repr__(self) -> str:
        return f"<reverse of {self.field}>"
