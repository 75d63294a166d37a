"""``Meta.order_with_respect_to``: the hidden column, and the methods that read and set the order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dorm.db.operation import Operation, arun, operation, run
from dorm.expressions.subquery import Subquery
from dorm.fields.numbers import IntegerField
from dorm.models.perfield import add_method
from dorm.queryset import ops
from dorm.queryset.ops import fetch

ORDER = "_order"


class OrderWrt(IntegerField[int]):
    """The place of a row among those that share its relation; filled in when the row is inserted."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["name"] = ORDER
        options["editable"] = False
        super().__init__(*args, **options)


def add_order(cls: Any) -> None:
    """Give a model with ``order_with_respect_to`` its column and methods, and those of the model it refers to."""
    meta = cls._meta
    name = meta.order_with_respect_to
    if name is None or meta.proxy:
        return
    meta._require(name, "order_with_respect_to")
    meta.order_with_respect_to = meta.get_field(name)
    if meta.find(ORDER) is None:
        OrderWrt().contribute_to_class(cls, ORDER)
    meta.ordering = (ORDER,)
    for which, forwards in (("next", True), ("previous", False)):
        one, twin = _neighbour(forwards, which)
        add_method(cls, f"get_{which}_in_order", one)
        add_method(cls, f"aget_{which}_in_order", twin)
    target = meta.order_with_respect_to.to
    if isinstance(target, str):
        reference = cls.__name__ if target == "self" else target
        meta.apps.when_ready(meta.app_label, reference, lambda model: _add_accessors(model, cls))
    else:
        _add_accessors(target, cls)


def _neighbour(forwards: bool, which: str) -> tuple[Any, Any]:
    def one(self: Any) -> Any:
        return run(neighbour(self, forwards))

    async def twin(self: Any) -> Any:
        return await arun(neighbour(self, forwards))

    one.__doc__ = f"Return the {which} row among those that share the relation; raise DoesNotExist."
    twin.__doc__ = f"Async twin of `get_{which}_in_order`."
    return one, twin


def _add_accessors(target: Any, cls: Any) -> None:
    """Give *target* the methods that read and set the order of the rows of *cls* that refer to it."""

    def get_order(self: Any) -> Any:
        """Return a queryset of the keys, in order."""
        return keys(self, cls)

    async def aget_order(self: Any) -> list[Any]:
        """Return the keys, in order."""
        found: list[Any] = await keys(self, cls)
        return found

    def set_order(self: Any, id_list: Iterable[Any], using: str | None = None) -> None:
        """Put the rows in the order of these keys."""
        run(reorder(self, cls, list(id_list), using))

    async def aset_order(self: Any, id_list: Iterable[Any], using: str | None = None) -> None:
        """Put the rows in the order of these keys."""
        await arun(reorder(self, cls, list(id_list), using))

    name = cls._meta.model_name
    for start, method in (("get", get_order), ("aget", aget_order), ("set", set_order), ("aset", aset_order)):
        add_method(target, f"{start}_{name}_order", method)


# -- reading and setting the order -------------------------------------------------------------------------------


@operation
def neighbour(instance: Any, forwards: bool) -> Operation[Any]:
    """Return the row after (or before) *instance* among its siblings."""
    meta = instance._meta
    # A child of another table has the order of the parent whose rows are kept in one.
    tables = (meta, *[parent._meta for parent in meta.get_parent_list()])
    field = next(table.row_order for table in tables if table.row_order is not None)
    sign, order = ("gt", "_order") if forwards else ("lt", "-_order")
    start = type(instance)._default_manager.using(instance._state.db)
    # Its place now: what the instance holds may be older than the last reordering.
    place = type(instance)._base_manager.using(instance._state.db).filter(pk=instance.pk).values("_order")
    condition = {field.attname: getattr(instance, field.attname), f"_order__{sign}": Subquery(place)}
    found = yield from fetch.first(start.filter(**condition).order_by(order), "first")
    if found is None:
        raise type(instance).DoesNotExist(f"{meta.object_name} matching query does not exist.")
    return found


def keys(target: Any, model: Any) -> Any:
    """Return a queryset of the keys of the rows of *model* that refer to *target*, in order."""
    return _rows(target, model, None).order_by("_order").values_list("pk", flat=True)


@operation
def reorder(target: Any, model: Any, ids: list[Any], using: str | None) -> Operation[None]:
    """Number the rows of *model* that refer to *target* in the order of *ids*."""
    objs = [model(pk=key, _order=place) for place, key in enumerate(ids)]
    if objs:
        yield from ops.bulk_update.bulk_update(_rows(target, model, using), objs, ["_order"], None)


def _rows(target: Any, model: Any, using: str | None) -> Any:
    field = model._meta.row_order
    rows = model._default_manager.using(using or target._state.db)
    return rows.filter(**{field.attname: getattr(target, field.target_field.attname)})
