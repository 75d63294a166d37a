"""Managers of the rows whose generic foreign key points at one instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dorm.contrib.contenttypes.models import content_types
from dorm.db.operation import Operation, arun, operation, run
from dorm.exceptions import InvalidValue, UnsavedInstance
from dorm.queryset.ops import delete as delete_ops, fetch, get_or_create, save, write
from dorm.relations.changes import difference, writing_alias
from dorm.relations.managers import BaseRelatedManager, manager_of
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.contrib.contenttypes.fields import GenericRelation
    from dorm.queryset.queryset import QuerySet

M = TypeVar("M")


def generic_manager(field: GenericRelation, instance: Any, name: str | None = None) -> GenericRelatedManager[Any]:
    """Return the manager of the rows that point at *instance*."""
    made: GenericRelatedManager[Any] = manager_of(GenericRelatedManager, field.relation, instance, name)
    return made


class GenericRelatedManager(BaseRelatedManager[M]):
    """The rows of one generic relation that point at one instance; behaves like a manager of their model."""

    def __call__(self, *, manager: str) -> GenericRelatedManager[M]:
        return generic_manager(self.relation.field, self.instance, manager)

    def get_queryset(self) -> QuerySet[M]:
        """Return the rows; those prefetched, if they were, without a query; none of an instance without a key."""
        if self.instance.pk is None:
            return self._rows().none()
        found = self._prefetched()
        return self._restricted(self._rows()) if found is None else found

    def _restricted(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        if rows._plan.query.is_sliced:
            return rows.none()
        field = self.relation.field
        found: QuerySet[Any] = field.rows(None, rows).filter(**{field.object_id_field: field.key_of(self.instance)})
        found._hints = self._parent(None, found)
        return found

    def _initial(self, values: dict[str, Any]) -> dict[str, Any]:
        return values

    # -- write ---------------------------------------------------------------------------------------------------
    def add(self, *objs: M, bulk: bool = True) -> None:
        """Let *objs* point at this instance.

        Args:
            bulk: one UPDATE, without ``save()`` and signals; False saves each object, also new ones.
        Raises: TypeError: an object of another model. ValueError: a new object, with *bulk*; this instance has no key.
        """
        run(_add(self, objs, bulk))

    async def aadd(self, *objs: M, bulk: bool = True) -> None:
        """Async twin of `add`."""
        await arun(_add(self, objs, bulk))

    def remove(self, *objs: M, bulk: bool = True) -> None:
        """Delete *objs*, which point at this instance.

        Args:
            bulk: one DELETE; False deletes each object by itself.
        """
        run(_delete(self, [obj.pk for obj in objs], bulk))  # type: ignore[attr-defined]  # M is a model

    async def aremove(self, *objs: M, bulk: bool = True) -> None:
        """Async twin of `remove`."""
        await arun(_delete(self, [obj.pk for obj in objs], bulk))  # type: ignore[attr-defined]  # M is a model

    def clear(self, *, bulk: bool = True) -> None:
        """Delete all rows that point at this instance."""
        run(_delete(self, None, bulk))

    async def aclear(self, *, bulk: bool = True) -> None:
        """Async twin of `clear`."""
        await arun(_delete(self, None, bulk))

    def set(self, objs: Iterable[M], *, bulk: bool = True, clear: bool = False) -> None:
        """Let exactly *objs* point at this instance; others that do are deleted."""
        run(_set(self, list(objs), bulk, clear))

    async def aset(self, objs: Iterable[M], *, bulk: bool = True, clear: bool = False) -> None:
        """Async twin of `set`."""
        await arun(_set(self, list(objs), bulk, clear))

    def create(self, **values: Any) -> M:
        """Save a new row that points at this instance and return it."""
        made: M = run(_create(self, values))
        return made

    async def acreate(self, **values: Any) -> M:
        """Async twin of `create`."""
        made: M = await arun(_create(self, values))
        return made

    def get_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """Return the row that points at this instance and meets *lookups*, or a new one, and whether it is new."""
        return run(get_or_create.get_or_create(_fresh(self), defaults, lookups, self._initial, _maker(self)))

    async def aget_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """Async twin of `get_or_create`."""
        return await arun(get_or_create.get_or_create(_fresh(self), defaults, lookups, self._initial, _maker(self)))

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Set *defaults* on the row that points at this instance and meets *lookups*, or make one."""
        make = _maker(self)
        return run(
            get_or_create.update_or_create(_fresh(self), defaults, create_defaults, lookups, self._initial, make)
        )

    async def aupdate_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Async twin of `update_or_create`."""
        make = _maker(self)
        return await arun(
            get_or_create.update_or_create(_fresh(self), defaults, create_defaults, lookups, self._initial, make)
        )


def _fresh(manager: GenericRelatedManager[Any]) -> QuerySet[Any]:
    """Return the rows as they are in the database, on the alias that is written to."""
    manager._forget()
    return manager.get_queryset().using(writing_alias(manager, manager.model))


def _maker(manager: GenericRelatedManager[Any]) -> get_or_create.Create:
    def make(rows: QuerySet[Any], values: dict[str, Any]) -> Operation[Any]:
        return _create(manager, values)

    return make


@operation
def _columns(manager: GenericRelatedManager[Any], alias: str) -> Operation[dict[str, Any]]:
    """Return the values of the two columns that make a row point at the instance."""
    field = manager.relation.field
    if manager.instance.pk is None:
        raise UnsavedInstance(
            f"{type(manager.instance).__name__} instance needs to have a primary key value before a row can point at "
            f"it: save the instance first (in .{manager.relation.accessor})."
        )
    types = yield from content_types.of_models((manager.instance,), field.for_concrete_model, alias)
    return {field.content_type_field: types[0], field.object_id_field: field.key_of(manager.instance)}


def _checked(manager: GenericRelatedManager[Any], objs: Iterable[Any]) -> None:
    for obj in objs:
        if not isinstance(obj, manager.model):
            raise InvalidValue(f"'{manager.model.__name__}' instance expected, got {type(obj).__name__}.")


@operation
def _add(manager: GenericRelatedManager[Any], objs: Sequence[Any], bulk: bool) -> Operation[None]:
    _checked(manager, objs)
    manager._forget()
    if not objs:
        return
    alias = writing_alias(manager, manager.model)
    yield from in_transaction(_pointed(manager, objs, bulk, alias), alias)


@operation
def _pointed(manager: GenericRelatedManager[Any], objs: Sequence[Any], bulk: bool, alias: str) -> Operation[None]:
    values = yield from _columns(manager, alias)
    for obj in objs:
        if bulk and (obj._state.adding or obj._state.db != alias):
            raise ValueError(f"{type(obj).__name__} instance isn't saved. Use bulk=False or save the object first.")
    for obj in objs:
        for name, value in values.items():
            setattr(obj, name, value)
        if not bulk:
            yield from save.saved(obj, using=alias)
    if bulk:
        rows = manager.model._base_manager.using(alias).filter(pk__in=[obj.pk for obj in objs])
        yield from write.update(rows, values)


@operation
def _delete(manager: GenericRelatedManager[Any], keys: list[Any] | None, bulk: bool) -> Operation[None]:
    manager._forget()
    if keys is not None and not keys:
        return
    alias = writing_alias(manager, manager.model)
    rows = manager.get_queryset().using(alias)
    if keys is not None:
        rows = rows.filter(pk__in=keys)
    if bulk:
        yield from delete_ops.delete(rows)
    else:
        yield from in_transaction(_delete_each(rows, alias), alias)


@operation
def _delete_each(rows: QuerySet[Any], alias: str) -> Operation[None]:
    for obj in (yield from fetch.fetch(rows)):
        yield from delete_ops.delete_instance(obj, alias)


@operation
def _set(manager: GenericRelatedManager[Any], objs: list[Any], bulk: bool, clear: bool) -> Operation[None]:
    _checked(manager, objs)
    manager._forget()
    alias = writing_alias(manager, manager.model)
    yield from in_transaction(_exactly(manager, objs, bulk, clear, alias), alias)


@operation
def _exactly(
    manager: GenericRelatedManager[Any], objs: list[Any], bulk: bool, clear: bool, alias: str
) -> Operation[None]:
    wanted = objs
    if clear:
        yield from _delete(manager, None, bulk)
    else:
        there = yield from fetch.fetch(manager.get_queryset().using(alias))
        surplus, wanted = difference(there, objs)
        yield from _delete(manager, [obj.pk for obj in surplus], bulk)
    yield from _add(manager, wanted, bulk)


@operation
def _create(manager: GenericRelatedManager[Any], values: dict[str, Any]) -> Operation[Any]:
    manager._forget()
    alias = writing_alias(manager, manager.model)
    columns = yield from _columns(manager, alias)
    return (yield from save.create(manager._rows().using(alias), {**values, **columns}))
