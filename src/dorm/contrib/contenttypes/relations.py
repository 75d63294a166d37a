"""How queries see generic relations: joins that also compare the content type."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.contrib.contenttypes.models import ContentType, key_of
from dorm.lookups.core import Comparison
from dorm.models.paths import Step
from dorm.queryset.loaders import Loader
from dorm.relations.reverse import ForeignObjectRel
from dorm.sql.boolean import And
from dorm.sql.node import Column, Node, Text
from dorm.sql.select import Select, SubSelect

if TYPE_CHECKING:
    from dorm.contrib.contenttypes.fields import GenericRelation
    from dorm.models.base import Model


def type_of(model: Any, for_concrete_model: bool) -> Node:
    """Return the id of the content type of *model* as a subquery: right in every database, and nothing to look up."""
    meta = ContentType._meta
    label, name = key_of(model, for_concrete_model)
    alias = "content_type"

    def equals(column: str, text: str) -> Node:
        field = meta.get_field(column)
        quoted = text.replace("'", "''")
        return Comparison("exact", Column(alias, field.column, field, False), Text(f"'{quoted}'", field))

    key = Column(alias, meta.pk.column, meta.pk, False)
    return SubSelect(
        Select(meta.db_table, alias, (key,), where=And((equals("app_label", label), equals("model", name))))
    )


class GenericForward:
    """From a model to the rows whose generic foreign keys point at it."""

    multi = True
    nullable = True
    many_to_many = False
    one_to_one = False
    forward = True
    hidden = False

    def __init__(self, field: GenericRelation) -> None:
        self.field = field
        self.loader: Loader = field.make_loader()
        self._steps: tuple[Step, ...] | None = None

    @property
    def key(self) -> object:
        return self

    @property
    def model(self) -> type[Model]:
        """The model that has the relation."""
        found: type[Model] = self.field.model
        return found

    @property
    def target(self) -> type[Model]:
        """The model with the generic foreign key."""
        return self.field.target

    @property
    def target_field(self) -> Any:
        """The key of that model."""
        return self.target._meta.pk

    @property
    def name(self) -> str:
        """What the relation is called in queries."""
        return self.field.name

    @property
    def accessor(self) -> str:
        """Attribute of instances."""
        return self.field.name

    @property
    def opposite(self) -> GenericRel:
        """The other direction."""
        return self.field.remote_field

    @property
    def steps(self) -> tuple[Step, ...]:
        """One join, on key and content type."""
        if self._steps is None:
            field = self.field
            meta = self.target._meta
            pairs = ((self.model._meta.pk.column, meta.get_field(field.object_id_field).column),)
            extra = ((meta.get_field(field.content_type_field).column, type_of(self.model, field.for_concrete_model)),)
            self._steps = (Step(meta.db_table, pairs, True, True, object(), extra),)
        return self._steps


class GenericRel(ForeignObjectRel):
    """From the model with a generic foreign key to the rows of one model that it points at: a name in queries."""

    multi: ClassVar[bool] = False
    forward = False
    one_to_many: ClassVar[bool] = False

    def __init__(self, field: GenericRelation, related_query_name: str | None, limit_choices_to: Any) -> None:
        self.field = field
        self.related_name = related_query_name or "+"
        self.related_query_name = related_query_name
        self.limit_choices_to = limit_choices_to
        self._steps: tuple[Step, ...] | None = None

    @cached_property
    def accessor(self) -> str | None:
        """None: the generic foreign key itself is the attribute."""
        return None

    @property
    def key(self) -> object:
        return self

    @property
    def loader(self) -> None:
        """None: nothing to load under this name."""
        return None

    @property
    def target_field(self) -> Any:
        """The key of the model that has the relation."""
        return self.target._meta.pk

    @property
    def opposite(self) -> GenericForward:
        """The other direction."""
        found: GenericForward = self.field.relation
        return found

    @property
    def steps(self) -> tuple[Step, ...]:
        """One join, on the key, where our content type is that of the model."""
        if self._steps is None:
            field = self.field
            meta = self.model._meta
            pairs = ((meta.get_field(field.object_id_field).column, self.target._meta.pk.column),)
            given = ((meta.get_field(field.content_type_field).column, type_of(self.target, field.for_concrete_model)),)
            self._steps = (Step(self.target._meta.db_table, pairs, True, False, object(), given=given),)
        return self._steps
