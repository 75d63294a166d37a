"""The attributes of a new instance before its constructor's keywords are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dorm.fields.base import NOT_PROVIDED, Field
from dorm.record import Record
from dorm.signals import post_init, pre_init


class Blank(Record):
    """What every new instance of a model starts with.

    Args:
        constants: value by attribute name, in the order of the fields; None for those that *made* has.
        made: attribute names with what makes a value for each instance.
        direct: no code of the class takes part in making an instance.
    """

    constants: dict[str, Any]
    made: tuple[tuple[str, Callable[[], Any]], ...]
    direct: bool

    def fill(self, target: dict[str, Any], values: Mapping[str, Any]) -> bool:
        """Put *values* into an instance's dict, and what the other attributes start with.

        Returns: False, and nothing is done, where not all of *values* are attributes of columns.
        """
        constants = self.constants
        # Mostly: only an __init__ of the user's own may have set something. Then counting tells what comparing would.
        is_empty = not target
        if not is_empty and not constants.keys() >= values.keys():
            return False
        target |= constants
        target |= values
        if is_empty and len(target) != len(constants):
            target.clear()
            return False
        for attname, make in self.made:
            if attname not in values:
                target[attname] = make()
        return True


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
    return Blank(constants, tuple(made), meta.constructs_directly)


def new_instance(model: Any, values: Mapping[str, Any]) -> Any:
    """Return ``model(**values)``.

    Where all of them are attributes by name they go to the instance as they are: Python makes a dict of keywords anew
    for each function that they are handed through.
    """
    blank = model._meta.blank
    if blank is not None and blank.direct and not (pre_init.is_connected or post_init.is_connected):
        made = object.__new__(model)
        if blank.fill(made.__dict__, values):
            return made
    return model(**values)


def _is_constant(field: Any) -> bool:
    """True when every instance gets the same object."""
    if type(field).get_default is not Field.get_default or callable(field.default):
        return False
    return field.default is not NOT_PROVIDED or not field.has_db_default
