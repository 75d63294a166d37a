"""ManyToManyField: rows of two models point at each other through a table between them."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

from dorm.exceptions import FieldError, ImproperlyConfigured, choices_text
from dorm.models.base import Model, ModelBase
from dorm.relations.field import RelationField
from dorm.relations.foreign_key import CASCADE, ForeignKey
from dorm.relations.managers import ManyAccessor, ManyRelatedManager, many_manager
from dorm.relations.naming import check_accessor, check_reference, named_for, reference_text
from dorm.relations.reverse import ForwardMany, ManyToManyRel

if TYPE_CHECKING:
    from collections.abc import Sequence

R = TypeVar("R")

_LONGEST_NAME = 63


class ManyToManyField(RelationField[Any], Generic[R]):
    """Each row of this model goes with any number of rows of *to*, and the other way round.

    Both sides get a manager: this model under the field's name, the other one under *related_name*.

    Args:
        to: the model: a class, ``"self"``, ``"Model"`` of the same app, or ``"app.Model"``.
        related_name, related_query_name: as of `ForeignKey` (default accessor ``<model>_set``).
        through: model of the table between, for further columns; default: a table of its own with two keys.
        through_fields: names of its keys to this model and to the other, where there are several to one of them.
        symmetrical: of a relation to ``"self"``: who is on one side is on the other too (default True there).
        db_table: name of the table of its own (default ``<table>_<field>``).
        db_constraint: False leaves the references of that table out of the database.
        limit_choices_to: condition (dict, Q, or function giving one) on the objects to choose from.
    """

    many_to_one: ClassVar[bool | None] = False
    one_to_one: ClassVar[bool | None] = False
    one_to_many: ClassVar[bool | None] = False
    remote_field: ManyToManyRel
    many_to_many: ClassVar[bool | None] = True
    column: Any
    empty_strings_allowed: ClassVar[bool] = False
    description: ClassVar[str] = "objects of another model"

    @overload
    def __init__(
        self,
        to: type[R],
        related_name: str | None = ...,
        related_query_name: str | None = ...,
        limit_choices_to: Any = ...,
        symmetrical: bool | None = ...,
        through: Any = ...,
        through_fields: Sequence[str] | None = ...,
        db_constraint: bool = ...,
        db_table: str | None = ...,
        **options: Any,
    ) -> None: ...
    @overload
    def __init__(
        self: ManyToManyField[Any],
        to: str,
        related_name: str | None = ...,
        related_query_name: str | None = ...,
        limit_choices_to: Any = ...,
        symmetrical: bool | None = ...,
        through: Any = ...,
        through_fields: Sequence[str] | None = ...,
        db_constraint: bool = ...,
        db_table: str | None = ...,
        **options: Any,
    ) -> None: ...
    def __init__(
        self,
        to: Any,
        related_name: str | None = None,
        related_query_name: str | None = None,
        limit_choices_to: Any = None,
        symmetrical: bool | None = None,
        through: Any = None,
        through_fields: Sequence[str] | None = None,
        db_constraint: bool = True,
        db_table: str | None = None,
        **options: Any,
    ) -> None:
        check_reference("ManyToManyField", to)
        if through is not None and db_table is not None:
            raise ValueError("Cannot specify a db_table if an intermediary model is used.")
        if through is not None and not db_constraint:
            raise ValueError("Can't supply a through model and db_constraint=False")
        if through_fields is not None and through is None:
            raise ValueError("Cannot specify through_fields without a through model")
        if through_fields is not None and len(through_fields) < 2:
            raise ImproperlyConfigured("through_fields names two keys of the through model: ours, then the other's.")
        for refused in ("null", "unique", "primary_key", "db_index", "db_column"):
            if options.pop(refused, False):
                raise ImproperlyConfigured(f"ManyToManyField takes no {refused}: it has no column.")
        super().__init__(**options)
        self.to = to
        self.symmetrical = to == "self" if symmetrical is None else symmetrical
        self.limit_choices_to = limit_choices_to
        self.through_fields = None if through_fields is None else (through_fields[0], through_fields[1])
        self.db_constraint = db_constraint
        self.db_table = db_table
        self._given = (related_name, related_query_name)
        self._given_through = through
        self._target: type[Model] | None = None
        self._through: type[Model] | None = None
        self._keys: tuple[ForeignKey[Any], ForeignKey[Any]] | None = None
        self._relate(related_name, related_query_name)

    def _relate(self, related_name: str | None, related_query_name: str | None) -> None:
        """Make the two directions of the relation."""
        self.relation = ForwardMany(self)
        self.remote_field = ManyToManyRel(
            self, related_name, related_query_name, self.limit_choices_to, self.symmetrical
        )

    # -- declaration ---------------------------------------------------------------------------------------------
    def clone(self) -> Self:
        made = super().clone()
        made._target = made._through = made._keys = None
        made._relate(*self._given)
        return made

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs["to"] = reference_text(self.to, self._target)
        through = self._given_through
        for option, value, default in (
            ("related_name", self._given[0], None),
            ("related_query_name", self._given[1], None),
            ("through", None if through is None else reference_text(through, self._through), None),
            ("through_fields", self.through_fields, None),
            ("symmetrical", self.symmetrical, self.to == "self"),
            ("db_constraint", self.db_constraint, True),
            ("db_table", self.db_table, None),
        ):
            if value != default:
                kwargs[option] = value
        if self.limit_choices_to:
            kwargs["limit_choices_to"] = self.limit_choices_to
        return name, path, args, kwargs

    def contribute_to_class(self, cls: Any, name: str) -> None:
        if name.endswith("_") or "__" in name:
            raise ImproperlyConfigured(
                f"{cls.__name__}.{name}: field names must not end with an underscore or contain two in a row, "
                "which separate the parts of a lookup."
            )
        self.set_attributes_from_name(name)
        self.column = None
        self.model = cls
        self._relate(*named_for(cls, self._given))
        cls._meta.add_field(self)
        setattr(cls, self.name, self)
        if cls._meta.abstract:
            return
        label = cls._meta.app_label
        # The through model points at this class, which is complete once it is registered.
        cls._meta.apps.when_ready(label, f"{label}.{cls.__name__}", partial(self._find_target, label, cls))

    def _find_target(self, label: str, cls: type[Model], own: type[Model]) -> None:
        if not isinstance(self.to, str):
            self._bind(self.to)
        elif self.to == "self":
            self._bind(cls)
        else:
            cls._meta.apps.when_ready(label, self.to, self._bind)

    def _bind(self, target: type[Model]) -> None:
        """Take *target* as the other end: tell it about the reverse, find or make the through model."""
        self._target = target
        if self.symmetrical and target._meta.concrete_model is not self.model._meta.concrete_model:
            raise ImproperlyConfigured(f"{self}: only a relation to 'self' can be symmetrical.")
        relation = self.remote_field
        check_accessor(target, relation)
        target._meta.add_relation(relation)
        if relation.accessor is not None:
            setattr(target._meta.concrete_model, relation.accessor, ManyAccessor(relation))
        through = self._given_through
        if through is None:
            self._through = _through_model(self)
        elif isinstance(through, str):
            self.model._meta.apps.when_ready(self.model._meta.app_label, through, self._take_through)
        else:
            self._take_through(through)

    def _take_through(self, through: type[Model]) -> None:
        self._through = through

    @property
    def through(self) -> type[Model]:
        """The model of the table between."""
        if self._through is None:
            self.model._meta.apps.settle()
        if self._through is None:
            raise ImproperlyConfigured(
                f"{self} goes through {self._given_through or self.to!r}, which is no model yet: import the module "
                "that declares it, or name it as 'app.Model'."
            )
        return self._through

    @property
    def has_own_table(self) -> bool:
        """True when the table between was made for this field."""
        return self._given_through is None

    @property
    def through_keys(self) -> tuple[ForeignKey[Any], ForeignKey[Any]]:
        """The foreign keys of the through model: to this model, and to the other."""
        if self._keys is None:
            self._keys = _through_keys(self)
        return self._keys

    @property
    def rel(self) -> ManyToManyRel:
        """The relation as the other end sees it; Django's name on the descriptor."""
        return self.remote_field

    def db_type(self, connection: Any) -> str | None:
        """Return None: there is no column."""
        return None

    def m2m_db_table(self) -> str:
        """Return the name of the table between."""
        return self.through._meta.db_table

    def m2m_field_name(self) -> str:
        """Return the name of the foreign key of the model between that points at this field's model."""
        found: str = self.relation.source.name
        return found

    def m2m_reverse_field_name(self) -> str:
        """Return the name of the foreign key of the model between that points at the other model."""
        found: str = self.relation.link.name
        return found

    def m2m_column_name(self) -> str:
        """Return the column of `m2m_field_name`."""
        found: str = self.relation.source.column
        return found

    def m2m_reverse_name(self) -> str:
        """Return the column of `m2m_reverse_field_name`."""
        found: str = self.relation.link.column
        return found

    # -- the manager ---------------------------------------------------------------------------------------------
    @overload
    def __get__(self, instance: None, owner: Any = None) -> Self: ...
    @overload
    def __get__(self, instance: Any, owner: Any = None) -> ManyRelatedManager[R]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else many_manager(self.relation, instance)

    def __set__(self, instance: Any, value: Any) -> None:
        raise TypeError(
            f"Direct assignment to the forward side of a many-to-many set is prohibited. Use {self.name}.set() instead."
        )


def _through_model(field: ManyToManyField[Any]) -> type[Model]:
    """Make the model of the table of *field*'s own."""
    model, target = field.model, field.target
    meta = model._meta
    ours, theirs = meta.model_name, target._meta.model_name
    if field.to == "self" or ours == theirs:
        ours, theirs = f"from_{ours}", f"to_{theirs}"
    name = f"{model.__name__}_{field.name}"
    options = {
        "app_label": meta.app_label,
        "apps": meta.apps,
        "db_table": field.db_table or table_name(meta.db_table, field.name),
        "managed": meta.managed,
        "unique_together": [(ours, theirs)],
        "verbose_name": f"{ours}-{theirs} relationship",
        "verbose_name_plural": f"{ours}-{theirs} relationships",
    }

    def key(to: type[Model]) -> ForeignKey[Any]:
        return ForeignKey(to, CASCADE, related_name=f"{name}+", db_constraint=field.db_constraint)

    namespace = {
        "Meta": type("Meta", (), options),
        "__module__": model.__module__,
        "__qualname__": f"{model.__qualname__}.{field.name}.through",
        ours: key(model),
        theirs: key(target),
    }
    made: Any = ModelBase(name, (Model,), namespace)
    made._meta.auto_created = model
    through: type[Model] = made
    return through


def table_name(table: str, field: str) -> str:
    """Return ``<table>_<field>``, cut and made unique where it would be no identifier any more."""
    name = f"{table}_{field}"
    if len(name) <= _LONGEST_NAME:
        return name

    digest = blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: _LONGEST_NAME - 9]}_{digest}"


def _through_keys(field: ManyToManyField[Any]) -> tuple[ForeignKey[Any], ForeignKey[Any]]:
    """Return the two keys of the through model, by ``through_fields`` or because there is one to each side."""
    meta = field.through._meta
    keys = [key for key in meta.fields if isinstance(key, ForeignKey)]
    if field.has_own_table:
        return keys[0], keys[1]
    if field.through_fields is not None:
        named = [meta.find(name) for name in field.through_fields]
        for name, key, model in zip(field.through_fields, named, (field.model, field.target), strict=True):
            if not isinstance(key, ForeignKey) or not _leads_to(key, model):
                raise FieldError(
                    f"{field}: through_fields names {name!r}, which is no foreign key of {meta.object_name} to "
                    f"{model.__name__}. Foreign keys: {choices_text([each.name for each in keys])}."
                )
        return named[0], named[1]  # type: ignore[return-value]  # checked above
    ours, theirs = _keys_to(field.model, keys), _keys_to(field.target, keys)
    if field.model._meta.concrete_model is field.target._meta.concrete_model:
        if len(ours) == 2:
            return ours[0], ours[1]
    elif len(ours) == 1 and len(theirs) == 1:
        return ours[0], theirs[0]
    for model, found in ((field.model, ours), (field.target, theirs)):
        if not found:
            raise ImproperlyConfigured(f"{field}: {meta.object_name} has no foreign key to {model.__name__}.")
    raise ImproperlyConfigured(
        f"{field}: {meta.object_name} has more than one foreign key to "
        f"{(field.model if len(ours) > 1 else field.target).__name__}: name the two to use in through_fields."
    )


def _keys_to(model: Any, keys: list[ForeignKey[Any]]) -> list[ForeignKey[Any]]:
    """Return the *keys* to *model* itself; those to tables that it extends where there are none."""
    exact = [key for key in keys if key.target._meta.concrete_model is model._meta.concrete_model]
    return exact or [key for key in keys if _leads_to(key, model)]


def _leads_to(key: ForeignKey[Any], model: Any) -> bool:
    return issubclass(model, key.target) or key.target._meta.concrete_model is model._meta.concrete_model
