"""The attributes of a new instance before its constructor's keywords are looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dorm.fields.base import NOT_PROVIDED, Field
from dorm.record import Record


class Blank(Record):
    """What every new instance of a model starts with.

    Args:
        constants: value by attribute name, in the order of the fields; None for those that *made* has.
        made: attribute names with what makes a value for each instance.
        names: the attribute names: keywords that go to the instance as they are.
    """

    constants: dict[str, Any]
    made: tuple[tuple[str, Callable[[], Any]], ...]
    names: frozenset[str]


def blank_of(meta: Any) -> Blank | None:
    """Return the blank of a model; None where setting an attribute calls code of the class."""
    if meta.abstract or any(field.assigned_by_descriptor for field in meta.fields):
        return None
    constants: dict[str, Any] = {}
    made = []
    for field in meta.fields:
        constants[field.attname] = None
        if _is_constant(field):
            constants[field.attname] = field.get_default()
        else:
            made.append((field.attname, field.get_default))
    return Blank(constants, tuple(made), frozenset(constants))


def _is_constant(field: Any) -> bool:
    """True when every instance gets the same object."""
    if type(field).get_default is not Field.get_default or callable(field.default):
        return False
    return field.default is not NOT_PROVIDED or not field.has_db_default
