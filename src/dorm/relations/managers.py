"""Managers of the rows related to one instance: those that point at it, those across a many-to-many relation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dorm.conf.fetch_modes import FETCH_PEERS
from dorm.db.operation import arun, run
from dorm.db.router import router
from dorm.exceptions import UnsavedInstance
from dorm.models.state import alias_in, fetch_of
from dorm.queryset import build
from dorm.queryset.known import Parent
from dorm.queryset.manager import Manager
from dorm.relations import changes

if TYPE_CHECKING:
    from typing import Self

    from dorm.queryset.queryset import QuerySet
    from dorm.relations.reverse import ForwardMany, ManyToManyRel, ManyToOneRel

M = TypeVar("M")


class RelatedAccessor:
    """Attribute of the target of a relation field: gives the manager of the rows on the other side.

    Attributes:
        rel: the relation. field: the field that makes it.
    """

    def __init__(self, relation: Any) -> None:
        self.rel = relation
        self.field = relation.field

    def __set__(self, instance: Any, value: Any) -> None:
        raise TypeError(
            "Direct assignment to the reverse side of a related set is prohibited. "
            f"Use {self.rel.accessor}.set() instead."
        )


class ReverseAccessor(RelatedAccessor):
    """Gives the manager of the rows whose foreign key points at the instance."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else reverse_manager(self.rel, instance)


class ManyAccessor(RelatedAccessor):
    """Gives the manager of the rows that have the instance in their many-to-many field.

    Attributes:
        through: the model of the table between.
    """

    @property
    def through(self) -> Any:
        return self.rel.through

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else many_manager(self.rel, instance)


def reverse_manager(relation: ManyToOneRel, instance: Any, name: str | None = None) -> RelatedManager[Any]:
    """Return the manager of the rows that point at *instance*; *name*: the model's manager it is built on."""
    base = NullableRelatedManager if relation.field.null else RelatedManager
    made: RelatedManager[Any] = manager_of(base, relation, instance, name)
    return made


def many_manager(relation: ForwardMany | ManyToManyRel, instance: Any, name: str | None = None) -> Any:
    """Return the manager of the rows across a many-to-many relation."""
    source, pk = relation.source.target_field, instance._meta.pk
    for attname in (pk.attname,) if source is pk else (source.attname, pk.attname):
        if getattr(instance, attname) is None:
            raise UnsavedInstance(
                f'"{type(instance).__name__}" needs to have a value for field "{attname}" before this many-to-many '
                "relationship can be used: save the instance first."
            )
    return manager_of(ManyRelatedManager, relation, instance, name)


def manager_of(base: type[Any], relation: Any, instance: Any, name: str | None) -> Any:
    """Return a manager of the class *base* with the methods of the related model's default manager, or of *name*."""
    model = relation.target
    start = model._default_manager if name is None else getattr(model, name)
    made = object.__new__(_manager_class(base, type(start)))
    made.__dict__ = values = start.__dict__.copy()
    values["model"] = model
    values["relation"] = relation
    values["instance"] = instance
    return made


_classes: dict[tuple[Any, Any], Any] = {}
"""Classes of related managers, by kind and the model's own manager class: as many as there are such classes."""


def _manager_class(base: type[Any], start: type[Any]) -> type[Any]:
    """Return *base* with the methods of the model's own manager class."""
    if start is Manager:
        return base
    if (base, start) not in _classes:
        namespace = {"__module__": base.__module__, "_starts_plain": start.get_queryset is Manager.get_queryset}
        _classes.setdefault((base, start), type(base.__name__, (base, start), namespace))
    found: type[Any] = _classes[base, start]
    return found


class BaseRelatedManager(Manager[M]):
    """What both kinds of related manager share.

    Attributes:
        instance: whose rows these are. relation: the relation they come by.
    """

    instance: Any
    relation: Any
    do_not_call_in_templates = True
    _starts_plain: ClassVar[bool] = True
    """False where the model's own manager decides what its querysets start from."""

    def __call__(self, *, manager: str) -> Self:
        """Return this manager built on another manager of the model, by its name."""
        raise NotImplementedError

    def _rows(self) -> QuerySet[M]:
        """Return the rows of the model that the relation's condition is put on."""
        rows = super().get_queryset()
        alias = self._alias()
        return rows if alias is None or rows._alias is not None else rows.using(alias)

    def _alias(self) -> str | None:
        """Return the alias that was chosen, else the instance's; None where routers say, who are told the instance."""
        chosen = self._db
        if chosen is not None or router.has_any_yet:
            return chosen
        return alias_in(self.instance.__dict__)

    def _prefetched(self) -> QuerySet[M] | None:
        """Return what was prefetched for this relation as a queryset that has its rows, None when nothing was."""
        cache = self.instance._prefetched
        if cache is None:
            return None
        accessor = self.relation.accessor
        rows = cache.get(accessor)
        if rows is None:
            return None
        given: QuerySet[M] | None = cache.get((accessor,)) if len(cache) > 1 else None
        if given is not None:
            start: Any = type(given)
        else:
            start = self._queryset_class if self._starts_plain else type(self._rows())
        found: QuerySet[M] = start._prefetched(rows, self, given)
        return found

    def unfetched(self, given: QuerySet[M] | None) -> QuerySet[Any]:
        """Return the queryset of all rows of the relation; *given*: the one they are chosen by."""
        return self._restricted(self._rows() if given is None else given)

    def _restricted(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return *rows* with the relation's condition."""
        raise NotImplementedError

    def _parent(self, field: Any, rows: QuerySet[Any]) -> Parent:
        """Return what is known of *rows*, all that the relation has."""
        known = Parent(field, self.instance, self.relation.accessor)
        origin = fetch_of(self.instance.__dict__)
        if origin is not None and origin.mode is FETCH_PEERS:
            known.whole, known.loader = rows._plan, self.relation.loader
        return known

    def _queryset(self) -> QuerySet[M]:
        return self.get_queryset()

    def _forget(self) -> None:
        """Drop what was prefetched: it is not true any more."""
        cache = self.instance._prefetched
        if cache is not None:
            cache.pop(self.relation.accessor, None)


class RelatedManager(BaseRelatedManager[M]):
    """The rows of one foreign key that point at one instance; behaves like a manager of their model."""

    relation: ManyToOneRel

    def __call__(self, *, manager: str) -> RelatedManager[M]:
        return reverse_manager(self.relation, self.instance, manager)

    def get_queryset(self) -> QuerySet[M]:
        """Return the rows; those prefetched, if they were, without a query."""
        found = self._prefetched()
        if found is not None:
            return found
        changes.require_key(self)
        return self._restricted(self._rows())

    def _restricted(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        field = self.relation.field
        key = getattr(self.instance, field.target_field.attname)
        found = rows.none() if key is None or rows._plan.query.is_sliced else rows.filter(**{field.name: key})
        found._hints = self._parent(field, found)
        return found

    def _initial(self, values: dict[str, Any]) -> dict[str, Any]:
        return {**values, self.relation.field.name: self.instance}

    # -- write ---------------------------------------------------------------------------------------------------
    def add(self, *objs: M, bulk: bool = True) -> None:
        """Let *objs* point at this instance.

        Args:
            bulk: one UPDATE, without ``save()`` and signals; False saves each object, also new ones.
        Raises: TypeError: an object of another model. ValueError: a new object, with *bulk*.
        """
        run(changes.add_pointing(self, objs, bulk))

    async def aadd(self, *objs: M, bulk: bool = True) -> None:
        """Async twin of `add`."""
        await arun(changes.add_pointing(self, objs, bulk))

    def set(self, objs: Iterable[M], *, bulk: bool = True, clear: bool = False) -> None:
        """Let *objs* point at this instance, and nobody else where the key may be NULL.

        Args:
            bulk: as of `add`. clear: take all away first, instead of the difference.
        """
        run(changes.set_pointing(self, list(objs), bulk, clear))

    async def aset(self, objs: Iterable[M], *, bulk: bool = True, clear: bool = False) -> None:
        """Async twin of `set`."""
        await arun(changes.set_pointing(self, list(objs), bulk, clear))

    def _implied(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return *values* with the key that points at this instance; what was prefetched is dropped."""
        self._forget()
        changes.require_value(self)
        return {**values, self.relation.field.name: self.instance}

    def create(self, **values: Any) -> M:
        """Save a new row that points at this instance and return it."""
        return super().create(**self._implied(values))

    async def acreate(self, **values: Any) -> M:
        """Async twin of `create`."""
        return await super().acreate(**self._implied(values))

    def get_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """Return the row that points at this instance and meets *lookups*, or a new one, and whether it is new."""
        return super().get_or_create(defaults, **self._implied(lookups))

    async def aget_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """Async twin of `get_or_create`."""
        return await super().aget_or_create(defaults, **self._implied(lookups))

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Set *defaults* on the row that points at this instance and meets *lookups*, or make one."""
        return super().update_or_create(defaults, create_defaults, **self._implied(lookups))

    async def aupdate_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Async twin of `update_or_create`."""
        return await super().aupdate_or_create(defaults, create_defaults, **self._implied(lookups))


class NullableRelatedManager(RelatedManager[M]):
    """As `RelatedManager`, of a key that may be NULL."""

    def remove(self, *objs: M, bulk: bool = True) -> None:
        """Let *objs* point at nothing.

        Raises: Model.DoesNotExist: one of them does not point at this instance.
        """
        run(changes.remove_pointing(self, objs, bulk))

    async def aremove(self, *objs: M, bulk: bool = True) -> None:
        """Async twin of `remove`."""
        await arun(changes.remove_pointing(self, objs, bulk))

    def clear(self, *, bulk: bool = True) -> None:
        """Let nothing point at this instance."""
        run(changes.clear_pointing(self, bulk))

    async def aclear(self, *, bulk: bool = True) -> None:
        """Async twin of `clear`."""
        await arun(changes.clear_pointing(self, bulk))


class ManyRelatedManager(BaseRelatedManager[M]):
    """The rows across a many-to-many relation from one instance; behaves like a manager of their model."""

    relation: ForwardMany | ManyToManyRel

    @property
    def through(self) -> Any:
        """The model of the table between."""
        return self.relation.through

    def __call__(self, *, manager: str) -> ManyRelatedManager[M]:
        made: ManyRelatedManager[M] = many_manager(self.relation, self.instance, manager)
        return made

    def get_queryset(self) -> QuerySet[M]:
        """Return the rows; those prefetched, if they were, without a query."""
        found = self._prefetched()
        return self._restricted(self._rows()) if found is None else found

    def _restricted(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        source = self.relation.source.target_field
        if rows._plan.query.is_sliced:
            return rows.none()
        condition = {f"{self.relation.opposite.name}__{source.name}": getattr(self.instance, source.attname)}
        # Further conditions across the relation share its join, as in Django.
        found = rows._with(*build.filtered_together(rows._plan, rows._values, condition, "sticky"))
        found._hints = self._parent(None, found)
        return found

    # -- write ---------------------------------------------------------------------------------------------------
    def add(self, *objs: M | Any, through_defaults: dict[str, Any] | None = None) -> None:
        """Relate *objs* (instances or keys) to this instance; those that are already related stay as they are.

        Args:
            through_defaults: further values of the new rows of the through model; callables are called.
        Raises: TypeError: an object of another model. ValueError: an object without a key, or of another database.
        """
        run(changes.add_related(self, objs, through_defaults))

    async def aadd(self, *objs: M | Any, through_defaults: dict[str, Any] | None = None) -> None:
        """Async twin of `add`."""
        await arun(changes.add_related(self, objs, through_defaults))

    def remove(self, *objs: M | Any) -> None:
        """Undo the relation to *objs* (instances or keys); the objects stay."""
        run(changes.remove_related(self, objs))

    async def aremove(self, *objs: M | Any) -> None:
        """Async twin of `remove`."""
        await arun(changes.remove_related(self, objs))

    def clear(self) -> None:
        """Undo the relation to all objects."""
        run(changes.clear_related(self))

    async def aclear(self) -> None:
        """Async twin of `clear`."""
        await arun(changes.clear_related(self))

    def set(
        self, objs: Iterable[M | Any], *, clear: bool = False, through_defaults: dict[str, Any] | None = None
    ) -> None:
        """Relate exactly *objs* (instances or keys) to this instance.

        Args:
            clear: undo all relations first, instead of adding and removing the difference.
            through_defaults: as of `add`.
        """
        run(changes.set_related(self, list(objs), clear, through_defaults))

    async def aset(
        self, objs: Iterable[M | Any], *, clear: bool = False, through_defaults: dict[str, Any] | None = None
    ) -> None:
        """Async twin of `set`."""
        await arun(changes.set_related(self, list(objs), clear, through_defaults))

    def create(self, *, through_defaults: dict[str, Any] | None = None, **values: Any) -> M:
        """Save a new row, relate it to this instance and return it."""
        made: M = run(changes.create_related(self, values, through_defaults))
        return made

    async def acreate(self, *, through_defaults: dict[str, Any] | None = None, **values: Any) -> M:
        """Async twin of `create`."""
        made: M = await arun(changes.create_related(self, values, through_defaults))
        return made

    def get_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        *,
        through_defaults: dict[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Return the related row that meets *lookups*, or a new one that gets related, and whether it is new."""
        return run(changes.get_or_create_related(self, defaults, lookups, through_defaults))

    async def aget_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        *,
        through_defaults: dict[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Async twin of `get_or_create`."""
        return await arun(changes.get_or_create_related(self, defaults, lookups, through_defaults))

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        *,
        through_defaults: dict[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Set *defaults* on the related row that meets *lookups*, or make one and relate it."""
        return run(changes.update_or_create_related(self, defaults, create_defaults, lookups, through_defaults))

    async def aupdate_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        *,
        through_defaults: dict[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Async twin of `update_or_create`."""
        return await arun(changes.update_or_create_related(self, defaults, create_defaults, lookups, through_defaults))
