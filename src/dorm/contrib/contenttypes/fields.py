"""GenericForeignKey: a content type and a key that lead to a row of any model; GenericRelation: its reverse."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from dorm.conf.registry import registry
from dorm.contrib.contenttypes.loaders import GenericKeyLoader, GenericRowsLoader
from dorm.contrib.contenttypes.managers import GenericRelatedManager, generic_manager
from dorm.contrib.contenttypes.models import content_types, key_of
from dorm.contrib.contenttypes.relations import GenericForward, GenericRel
from dorm.db.operation import Operation, arun, operation, run
from dorm.exceptions import FieldDoesNotExist, InvalidValue, UnsavedInstance
from dorm.models.base import Model
from dorm.queryset import late
from dorm.queryset.loaders import Missing
from dorm.relations.field import Pointing
from dorm.relations.naming import check_reference

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

_counter = itertools.count()


class VirtualField:
    """What both generic fields share: fields of a model without a column."""

    is_relation: ClassVar[bool] = True
    many_to_one: ClassVar[bool] = False
    one_to_many: ClassVar[bool] = False
    one_to_one: ClassVar[bool] = False
    many_to_many: ClassVar[bool] = False
    concrete: ClassVar[bool] = False
    hidden: ClassVar[bool] = False
    auto_created: ClassVar[bool] = False
    editable: ClassVar[bool] = False
    primary_key: ClassVar[bool] = False
    null: ClassVar[bool] = True
    column: ClassVar[None] = None
    is_inherited: bool = False
    """True for the copy that a child has of the field of a parent with a table of its own."""

    name: str
    model: Any

    def __init__(self) -> None:
        self.creation_counter: float = next(_counter)

    def contribute_to_class(self, cls: Any, name: str) -> None:
        """Become the field *name* of a model class."""
        self.name = self.attname = name
        self.model = cls
        cls._meta.add_field(self, private=True)
        setattr(cls, name, self)

    def clone(self) -> Self:
        """Return a copy that belongs to no model yet."""
        raise NotImplementedError

    @property
    def field(self) -> Self:
        """This field; Django's name on the descriptor."""
        return self

    def __str__(self) -> str:
        model = getattr(self, "model", None)
        return f"{model.__name__}.{self.name}" if model is not None else type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class GenericForeignKey(VirtualField):
    """Points at a row of any model, by two columns: its content type and its key.

    Args:
        ct_field: name of the foreign key to `ContentType`.
        fk_field: name of the field that holds the key; a CharField takes keys of every type.
        for_concrete_model: proxies count as the model whose table they have.
    """

    many_to_one: ClassVar[bool] = True
    relation: ClassVar[None] = None
    related_model: ClassVar[None] = None
    remote_field: ClassVar[None] = None

    def __init__(
        self, ct_field: str = "content_type", fk_field: str = "object_id", for_concrete_model: bool = True
    ) -> None:
        super().__init__()
        self.ct_field = ct_field
        self.fk_field = fk_field
        self.for_concrete_model = for_concrete_model
        self.loader = GenericKeyLoader(self)

    def clone(self) -> Self:
        return type(self)(self.ct_field, self.fk_field, self.for_concrete_model)

    @property
    def ct_attname(self) -> str:
        """Attribute that holds the id of the content type."""
        try:
            found: str = self.model._meta.get_field(self.ct_field).attname
        except FieldDoesNotExist as exc:
            raise FieldDoesNotExist(f"{self}: ct_field names {self.ct_field!r}, which is no field. {exc}") from exc
        return found

    # -- the object ----------------------------------------------------------------------------------------------
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        if not self.is_cached(instance):
            if getattr(instance, self.ct_attname) is None:
                return None
            late.check(instance, self.name, f"prefetch_related({self.name!r})")
            run(late.relation(instance, self.loader))
        return self.cached(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        values = instance.__dict__
        values.pop(self.name, None)
        if value is None:
            values[self.ct_attname] = None
            values[self.fk_field] = None
            return
        if not isinstance(value, Model):
            raise InvalidValue(
                f'Cannot assign {type(value).__name__}: "{type(instance).__name__}.{self.name}" must be an instance of '
                "a model."
            )
        values[self.ct_attname] = self._known_type(instance, value)
        values[self.fk_field] = value.pk
        values[self.name] = value

    def _known_type(self, instance: Any, value: Any) -> Any:
        """Return the id of the content type of *value*; None where only a query could tell, and none may be sent."""
        manager = content_types
        alias = manager.alias_for(value if value._state.db else instance)
        found = manager.known(alias, key_of(value, self.for_concrete_model))
        if found is None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                found = run(manager.of_models((value,), self.for_concrete_model, alias))[0]
            else:
                return None
        return found.pk

    def is_cached(self, instance: Any) -> bool:
        """True when the object stands on *instance* and belongs to its two columns."""
        cached = instance.__dict__.get(self.name)
        if cached is None:
            return False
        type_id, key = getattr(instance, self.ct_attname), getattr(instance, self.fk_field)
        if cached.__class__ is Missing:
            return bool(cached.key == (type_id, key))
        if type_id is None:
            return True
        alias = content_types.alias_for(cached if cached._state.db else instance)
        found = content_types.known(alias, type_id)
        same = found is None or found.natural_key() == key_of(cached, self.for_concrete_model)
        return bool(same and (cached.pk is None or cached._meta.pk.to_python(key) == cached.pk))

    def cached(self, instance: Any) -> Any:
        """Return the object that stands on *instance*; None where it was not found."""
        found = instance.__dict__.get(self.name)
        return None if found.__class__ is Missing else found

    def get(self, instance: Any) -> Any:
        """Return the object that *instance* points at, loading it where it is not there."""
        return run(self._got(instance))

    async def aget(self, instance: Any) -> Any:
        """Async twin of `get`."""
        return await arun(self._got(instance))

    @operation
    def _got(self, instance: Any) -> Operation[Any]:
        if not self.is_cached(instance) and getattr(instance, self.ct_attname) is not None:
            yield from late.relation(instance, self.loader)
        return self.cached(instance)

    @operation
    def before_save(self, instance: Any, alias: str, action: str = "save") -> Operation[None]:
        """Fill in the two columns from the object, where they could not be when it was assigned.

        Raises: ValueError: the object is not saved.
        """
        cached = instance.__dict__.get(self.name)
        if cached is None or cached.__class__ is Missing:
            return
        if cached.pk is None:
            raise UnsavedInstance(
                f"{action}() prohibited to prevent data loss due to unsaved related object '{self.name}': save the "
                f"{type(cached).__name__} first."
            )
        values = instance.__dict__
        if values.get(self.fk_field) in (None, ""):
            values[self.fk_field] = cached.pk
        if values.get(self.ct_attname) is None:
            types = yield from content_types.of_models((cached,), self.for_concrete_model, alias)
            values[self.ct_attname] = types[0].pk


class GenericRelation(Pointing, VirtualField):
    """The rows whose generic foreign key points at this model's rows; they are deleted with them.

    Args:
        to: the model with the `GenericForeignKey`.
        object_id_field, content_type_field: names of its two columns' fields.
        for_concrete_model: as of the generic foreign key.
        related_query_name: name by which queries of *to* get back to this model; none by default.
        limit_choices_to: condition on the objects to choose from.
    """

    one_to_many: ClassVar[bool] = True

    def __init__(
        self,
        to: Any,
        object_id_field: str = "object_id",
        content_type_field: str = "content_type",
        for_concrete_model: bool = True,
        related_query_name: str | None = None,
        limit_choices_to: Any = None,
    ) -> None:
        super().__init__()
        check_reference("GenericRelation", to)
        self.to = to
        self.object_id_field = object_id_field
        self.content_type_field = content_type_field
        self.for_concrete_model = for_concrete_model
        self.related_query_name = related_query_name
        self.limit_choices_to = limit_choices_to
        self._target: type[Model] | None = None
        self.relation = GenericForward(self)
        self.remote_field = GenericRel(self, related_query_name, limit_choices_to)

    def make_loader(self) -> GenericRowsLoader:
        """Return what loads the rows for many instances."""
        return GenericRowsLoader(self)

    @property
    def loader(self) -> Any:
        """What loads the rows for many instances."""
        return self.relation.loader

    @property
    def rel(self) -> GenericRel:
        """The relation as the other end sees it; Django's name on the descriptor."""
        return self.remote_field

    def clone(self) -> Self:
        return type(self)(
            self.to,
            self.object_id_field,
            self.content_type_field,
            self.for_concrete_model,
            self.related_query_name,
            self.limit_choices_to,
        )

    def contribute_to_class(self, cls: Any, name: str) -> None:
        super().contribute_to_class(cls, name)
        if cls._meta.abstract:
            return
        if self.to == "self":
            self._bind(cls)
        elif isinstance(self.to, str):
            registry.when_ready(cls._meta.app_label, self.to, self._bind)
        else:
            self._bind(self.to)

    def _bind(self, target: type[Model]) -> None:
        self._target = target
        if self.related_query_name is not None and not self.is_inherited:
            target._meta.add_relation(self.remote_field)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else generic_manager(self, instance)

    def __set__(self, instance: Any, value: Any) -> None:
        raise TypeError(
            f"Direct assignment to the reverse side of a related set is prohibited. Use {self.name}.set() instead."
        )

    def bulk_related_objects(self, objs: Iterable[Any], using: str) -> QuerySet[Any, Any]:
        """Return the rows that point at *objs*, which are deleted with them."""
        return self.rows(using).filter(**{f"{self.object_id_field}__in": [self.key_of(obj) for obj in objs]})

    def rows(self, alias: str | None, start: Any = None) -> QuerySet[Any, Any]:
        """Return the rows that point at this model, of whatever key."""
        target: Any = self.target
        found = target._base_manager.get_queryset() if start is None else start
        if alias is not None and found._alias is None:
            found = found.using(alias)
        label, name = key_of(self.model, self.for_concrete_model)
        narrowed: QuerySet[Any, Any] = found.filter(
            **{f"{self.content_type_field}__app_label": label, f"{self.content_type_field}__model": name}
        )
        return narrowed

    def key_of(self, obj: Any) -> Any:
        """Return the key of *obj* as the rows hold it."""
        return self.target._meta.get_field(self.object_id_field).to_python(obj.pk)


__all__ = ["GenericForeignKey", "GenericRelatedManager", "GenericRelation"]
