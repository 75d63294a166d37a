"""Natural keys of fixtures: rows named by values of theirs, which a manager's ``get_by_natural_key()`` finds.

A row that is named may stand further down in the fixture, so a record whose references are not all there waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dorm.db.operation import Operation
from dorm.db.request import CallUser
from dorm.exceptions import DormError


class UnknownNaturalKey(DormError):
    """A natural key that names no row, or that cannot be looked up."""


def has_natural_keys(model: Any) -> bool:
    """True when rows of a model are found by natural keys."""
    return hasattr(model._default_manager, "get_by_natural_key")


def is_natural_key(value: Any, model: Any) -> bool:
    """True when a reference to *model* is a natural key: a list, where others are plain values."""
    return isinstance(value, (list, tuple)) and has_natural_keys(model)


def find(model: Any, key: Sequence[Any], alias: str) -> Operation[Any]:
    """Return the row of a natural key; None when it is not there (yet).

    Raises: UnknownNaturalKey: the key has another number of parts than the model's.
    """
    manager = model._default_manager.db_manager(alias)
    afind = getattr(manager, "aget_by_natural_key", None) or _without_twin(manager)
    try:
        return (yield CallUser(manager.get_by_natural_key, afind, *key))
    except model.DoesNotExist:
        return None
    except TypeError as exc:
        raise UnknownNaturalKey(
            f"get_by_natural_key() of {model._meta.label} does not take a natural key of {len(key)} part(s): {exc}"
        ) from exc


def _without_twin(manager: Any) -> Callable[..., Awaitable[Any]]:
    async def refuse(*_: Any) -> Any:
        raise UnknownNaturalKey(
            f"{type(manager).__name__} has get_by_natural_key() alone: write aget_by_natural_key(), its async twin."
        )

    return refuse


def settle(instance: Any, references: dict[str, Any], keyed: bool, alias: str) -> Operation[bool]:
    """Set what natural keys name; return False when some row is not there yet.

    Args:
        references: natural keys by the names of foreign keys; those that were found are taken out.
        keyed: the instance has a primary key; else it takes that of the row with its natural key.
    """
    meta = instance._meta
    for name, key in list(references.items()):
        field = meta.get_field(name)
        row = yield from find(field.related_model, key, alias)
        if row is not None:
            setattr(instance, field.attname, getattr(row, field.target_field.attname))
            del references[name]
    if references:
        return False
    if not keyed and has_natural_keys(type(instance)) and hasattr(instance, "natural_key"):
        own = yield CallUser(instance.natural_key, getattr(instance, "anatural_key", None))
        row = yield from find(type(instance), own, alias)
        if row is not None:
            instance.pk = row.pk
    return True
