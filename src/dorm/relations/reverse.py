"""Relations as the translator of names sees them, in every direction.

What hangs in ``meta.relations`` under the name that queries use, or on a field as ``field.relation``, has:

- `model`, `target`: the model it starts from and the one it leads to; `target_field`: the field of the target that is
  compared.
- `multi`, `nullable`: a row may have several partners, or none.
- `steps`: single joins in order, each with ``table, pairs, nullable, multi, key, extra``.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.models.state import object_key
from dorm.queryset.loaders import ForwardLoader, ManyLoader, ReverseLoader, ReverseOneLoader

if TYPE_CHECKING:
    from dorm.fields.base import Field
    from dorm.models.base import Model
    from dorm.relations.foreign_key import ForeignKey, OnDelete
    from dorm.relations.many_to_many import ManyToManyField

Pairs = tuple[tuple[str, str], ...]


class ForwardRelation:
    """From the model with the foreign key to the model it points at."""

    multi = False
    many_to_many = False
    forward = True
    extra: tuple[tuple[str, Any], ...] = ()

    def __init__(self, field: ForeignKey[Any]) -> None:
        self.field = field
        self.key = self
        self.steps = (self,)
        self.loader = ForwardLoader(field)

    @property
    def model(self) -> type[Model]:
        """The model with the foreign key."""
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
        return self.target_field.model._meta.db_table  # type: ignore[no-any-return]  # a field's model is any class

    @property
    def pairs(self) -> Pairs:
        """Equal columns, ours and theirs."""
        return ((self.field.column, self.target_field.column),)

    @property
    def nullable(self) -> bool:
        return self.field.null

    @property
    def one_to_one(self) -> bool:
        """True when at most one row points at each."""
        return bool(self.field.one_to_one)

    @property
    def name(self) -> str:
        """What the relation is called in queries."""
        return self.field.name

    @property
    def accessor(self) -> str:
        """Attribute of instances."""
        return self.field.name

    @property
    def object_key(self) -> str:
        """Key of an instance's ``__dict__`` for the object."""
        return self.field.object_key

    @property
    def opposite(self) -> ManyToOneRel:
        """The other direction."""
        return self.field.remote_field


class ForeignObjectRel:
    """The far side of a relation field: what the model at the other end knows of it, under Django's names.

    Attributes:
        field: the field that makes the relation.
        related_name, related_query_name: as given to the field.
    """

    auto_created: ClassVar[bool] = True
    concrete: ClassVar[bool] = False
    editable: ClassVar[bool] = False
    is_relation: ClassVar[bool] = True
    many_to_one: ClassVar[bool] = False
    one_to_many: ClassVar[bool] = False
    one_to_one: ClassVar[bool] = False
    many_to_many: ClassVar[bool] = False
    multi: ClassVar[bool] = True
    nullable: ClassVar[bool] = True
    null: ClassVar[bool] = True
    extra: tuple[tuple[str, Any], ...] = ()

    field: Any
    related_name: str | None
    related_query_name: str | None
    limit_choices_to: Any

    # -- both ends -----------------------------------------------------------------------------------------------
    @property
    def model(self) -> type[Model]:
        """The model that the field points at, which this relation starts from."""
        found: type[Model] = self.field.target
        return found

    @property
    def target(self) -> type[Model]:
        """The model that has the field, which this relation leads to."""
        found: type[Model] = self.field.model
        return found

    @property
    def related_model(self) -> type[Model]:
        """The model that has the field, under Django's name."""
        return self.target

    @property
    def remote_field(self) -> Any:
        """The field that makes the relation."""
        return self.field

    # -- names ---------------------------------------------------------------------------------------------------
    @property
    def hidden(self) -> bool:
        """True when the other end shall not know of the relation (``related_name`` ends with ``+``)."""
        return self.related_name is not None and self.related_name.endswith("+")

    def is_hidden(self) -> bool:
        """Return `hidden`; Django's form."""
        return self.hidden

    @cached_property
    def name(self) -> str:
        """What the relation is called in queries."""
        if self.hidden:
            meta = self.target._meta
            return f"_{meta.app_label}_{meta.model_name}_{self.field.name}_+"
        found: str = self.related_query_name or self.related_name or self.target._meta.model_name
        return found

    @cached_property
    def accessor(self) -> str | None:
        """Attribute of instances, or None where there is none."""
        return None if self.hidden else self.related_name or self._default_accessor()

    def _default_accessor(self) -> str:
        return f"{self.target._meta.model_name}_set"

    @cached_property
    def object_key(self) -> str:
        """Key of an instance's ``__dict__`` for the object, where the relation leads to one."""
        return object_key(str(self.accessor))

    def get_accessor_name(self) -> str | None:
        """Return `accessor`; Django's form."""
        return self.accessor

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.target._meta.label_lower}>"


class ManyToOneRel(ForeignObjectRel):
    """From a model to those whose foreign keys point at it."""

    one_to_many = True
    forward = False

    def __init__(
        self, field: ForeignKey[Any], related_name: str | None, related_query_name: str | None, limit_choices_to: Any
    ) -> None:
        self.field: ForeignKey[Any] = field
        self.related_name = related_name
        self.related_query_name = related_query_name
        self.limit_choices_to = limit_choices_to
        self.key = self
        self.steps = (self,)
        self.loader = self._make_loader()

    def _make_loader(self) -> ReverseLoader | ReverseOneLoader:
        return ReverseLoader(self)

    @property
    def opposite(self) -> ForwardRelation:
        """The other direction."""
        return self.field.relation

    @property
    def on_delete(self) -> OnDelete:
        """What happens to the rows of `target` when the row of `model` is deleted."""
        return self.field.on_delete

    @property
    def parent_link(self) -> bool:
        """True for the link of a child model to its parent."""
        return self.field.parent_link

    @property
    def target_field(self) -> Field[Any]:
        """The key of the model that has the foreign key."""
        found: Field[Any] = self.target._meta.pk
        return found

    @property
    def field_name(self) -> str:
        """Name of the field that the key refers to."""
        name: str = self.field.target_field.name
        return name

    @property
    def table(self) -> str:
        return self.target._meta.db_table

    @property
    def pairs(self) -> Pairs:
        """Equal columns, ours and theirs."""
        return ((self.field.target_field.column, self.field.column),)


class OneToOneRel(ManyToOneRel):
    """From a model to the one row of another that points at it."""

    one_to_many = False
    one_to_one = True
    multi = False

    def _make_loader(self) -> ReverseLoader | ReverseOneLoader:
        return ReverseOneLoader(self)

    def _default_accessor(self) -> str:
        name: str = self.target._meta.model_name
        return name


class Between:
    """What both directions of a many-to-many relation share: two joins, to the through table and on from it.

    Attributes:
        field: the field that makes the relation. forward: True for the direction of the field.
        source, link: foreign keys of the through model to where this direction starts, and to where it leads.
    """

    many_to_many: ClassVar[bool] = True
    field: Any
    forward: ClassVar[bool]
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> object:
        return self

    @property
    def through(self) -> type[Model]:
        """The model of the table between."""
        found: type[Model] = self.field.through
        return found

    @property
    def source(self) -> ForeignKey[Any]:
        found: ForeignKey[Any] = self.field.through_keys[0 if self.forward else 1]
        return found

    @property
    def link(self) -> ForeignKey[Any]:
        found: ForeignKey[Any] = self.field.through_keys[1 if self.forward else 0]
        return found

    @property
    def opposite(self) -> ForwardMany | ManyToManyRel:
        """The other direction."""
        found: ForwardMany | ManyToManyRel = self.field.remote_field if self.forward else self.field.relation
        return found

    @property
    def target_field(self) -> Field[Any]:
        """The field of the target that the through table refers to."""
        found: Field[Any] = self.link.target_field
        return found

    @property
    def steps(self) -> tuple[Any, ...]:
        """Two joins, those of the through table's own keys, so that conditions on it share them."""
        return (self.source.remote_field, self.link.relation)


class ForwardMany(Between):
    """From the model that has a many-to-many field to the one it names."""

    forward = True
    multi = True
    nullable = True
    hidden = False

    def __init__(self, field: ManyToManyField[Any]) -> None:
        self.field: ManyToManyField[Any] = field
        self.loader = ManyLoader(self)

    @property
    def model(self) -> type[Model]:
        """The model that has the field."""
        found: type[Model] = self.field.model
        return found

    @property
    def target(self) -> type[Model]:
        """The model that the field names."""
        return self.field.target

    @property
    def name(self) -> str:
        """What the relation is called in queries."""
        return self.field.name

    @property
    def accessor(self) -> str | None:
        """Attribute of instances."""
        return self.field.name

    def __repr__(self) -> str:
        return f"<{self.field}>"


class ManyToManyRel(Between, ForeignObjectRel):
    """From the target of a many-to-many field back to the model that has it."""

    forward = False
    many_to_many: ClassVar[bool] = True

    def __init__(
        self,
        field: ManyToManyField[Any],
        related_name: str | None,
        related_query_name: str | None,
        limit_choices_to: Any,
        symmetrical: bool,
    ) -> None:
        self.field: ManyToManyField[Any] = field
        self.related_name = related_name
        self.related_query_name = related_query_name
        self.limit_choices_to = limit_choices_to
        self.symmetrical = symmetrical
        self.loader = ManyLoader(self)

    @property
    def hidden(self) -> bool:
        """True when the other end has no accessor."""
        return self.symmetrical or super().hidden

    @property
    def through_fields(self) -> tuple[str, str] | None:
        """The names of the through model's two keys, as given."""
        return self.field.through_fields

    @property
    def db_constraint(self) -> bool:
        """False when the through table refers to nothing in the database."""
        return self.field.db_constraint
