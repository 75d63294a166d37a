"""Methods that a model has for each of its fields: labels of choices, the next and the previous row by a date."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dorm.db.operation import Operation, arun, operation, run
from dorm.exceptions import UnsavedInstance
from dorm.expressions.predicate import Q
from dorm.fields.temporal import DateField, DateTimeField
from dorm.models.state import is_adding
from dorm.queryset.ops import fetch

_MADE = "_made_for_a_field"


def add_methods(cls: Any) -> None:
    """Give *cls* the methods of its fields, but those that it has already."""
    for field in cls._meta.local_fields:
        if field.choices is not None:
            add_method(cls, f"get_{field.name}_display", _display(field))
        if isinstance(field, (DateField, DateTimeField)) and not field.null:
            for forwards, name in ((True, "next"), (False, "previous")):
                one, twin = _neighbours(field, forwards)
                add_method(cls, f"get_{name}_by_{field.name}", one)
                add_method(cls, f"aget_{name}_by_{field.name}", twin)


def add_method(cls: Any, name: str, method: Callable[..., Any]) -> None:
    """Give *cls* a method that was made for it, unless somebody wrote one of that name."""
    existing = getattr(cls, name, None)
    if existing is None or hasattr(existing, _MADE):
        method.__name__ = name
        method.__qualname__ = f"{cls.__qualname__}.{name}"
        setattr(method, _MADE, True)
        setattr(cls, name, method)


def _display(field: Any) -> Callable[..., Any]:
    def display(self: Any) -> Any:
        value = getattr(self, field.attname)
        label = labels(field).get(_hashable(value), value)
        # A value without a label stays of its type; labels may be lazy texts.
        return label if label is None or label is value else str(label)

    display.__doc__ = f"Return the label of ``{field.name}`` among its choices; the value itself where it has none."
    return display


def labels(field: Any) -> dict[Any, Any]:
    """Return the labels of a field's choices by value, groups laid flat."""
    choices = getattr(field, "flatchoices", None)
    if choices is None:
        choices = field.choices or ()
    return {_hashable(value): label for value, label in choices}


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _neighbours(field: Any, forwards: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def one(self: Any, **lookups: Any) -> Any:
        return run(neighbour(self, field, forwards, lookups))

    async def twin(self: Any, **lookups: Any) -> Any:
        return await arun(neighbour(self, field, forwards, lookups))

    which = "next" if forwards else "previous"
    one.__doc__ = f"Return the {which} row by ``{field.name}`` (ties by key) that meets *lookups*; DoesNotExist."
    twin.__doc__ = f"Async twin of `get_{which}_by_{field.name}`."
    return one, twin


@operation
def neighbour(instance: Any, field: Any, forwards: bool, lookups: dict[str, Any]) -> Operation[Any]:
    """Return the row that comes after (or before) *instance* in the order of a date and the key."""
    model = type(instance)
    if instance.pk is None or is_adding(instance.__dict__):
        raise UnsavedInstance("get_next/get_previous cannot be used on unsaved objects.")
    value: Any = getattr(instance, field.attname)
    sign, turn = ("gt", "") if forwards else ("lt", "-")
    later = Q((f"{field.name}__{sign}", value)) | Q((field.name, value), (f"pk__{sign}", instance.pk))
    qs = model._default_manager.using(instance._state.db).filter(**lookups).filter(later)
    found = yield from fetch.first(qs.order_by(f"{turn}{field.name}", f"{turn}pk"), "first")
    if found is None:
        raise model.DoesNotExist(f"{model.__name__} matching query does not exist.")
    return found
