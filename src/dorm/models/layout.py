"""How CPython keeps the attributes of a model's instances, and which road there is quickest.

The attributes of a young object stand in line in an array, whose keys its class shares; a dict is made of them where
somebody asks for ``__dict__``. In line a row is one object for the garbage collector, with a dict that refers to other
rows it is two, and the collector has a third of the time of a fetch whose rows refer to one another.
"""

from __future__ import annotations

from collections.abc import Iterator
from keyword import iskeyword
from typing import Any

from dorm.models.state import ORIGIN, PREFETCHED

MOST_KEYS = 28
"""Attributes that an object can hold in line: CPython's 30 shared keys, less what is added later."""

_MOST_PLAIN = 4
_MOST_REFERRING = 10
"""Attributes up to which rows of plain values, and rows that refer to others, are quicker in line.

An assignment that meets a field's descriptor costs three times one that meets none. Rows of plain values gain little
for it: their dict is of no interest to the collector."""


def _names(meta: Any) -> Iterator[str]:
    """Yield what instances of a model may have in line: columns, objects of relations, what dorm keeps there."""
    yield ORIGIN
    for field in meta.fields:
        if field.column is not None and not field.assigned_by_descriptor:
            yield field.attname
        if field.is_relation:
            yield field.object_key
    yield PREFETCHED


def lay_out(meta: Any) -> None:
    """Let the class of a model know the attributes of its instances while it has none.

    Later on it takes each new name for the last one, and who brings a further one gets a dict that shares no keys.
    """
    names = tuple(_names(meta))
    # What a class does at the end of its instances is not for one that nobody made, and one that lacks methods of an
    # abstract base has no instances, but may well have children.
    can_be_made = not hasattr(meta.model, "__del__") and not getattr(meta.model, "__abstractmethods__", None)
    plain = meta.hydrates_directly and can_be_made
    if plain and len(names) <= MOST_KEYS and all(map(_can_be_written, names)):
        meta.in_line = frozenset(names)
        first = meta.model.__new__(meta.model)
        for name in names:
            setattr(first, name, None)


def goes_in_line(model: Any, names: tuple[str, ...], refers: bool) -> bool:
    """Return whether rows with the attributes *names* are best assigned to as instances of *model* from the start.

    Args:
        refers: they refer to other rows, or share what their fetch knows.
    """
    most = _MOST_REFERRING if refers else _MOST_PLAIN
    return len(names) <= most and bool(model._meta.in_line.issuperset(names))


def bare_class(model: Any, names: tuple[str, ...]) -> type | None:
    """Return a class without descriptors whose instances can become those of *model*; None where there is none.

    CPython has fast instructions for attributes of such a class, be they in line or keys that a dict has already, and
    makes the dict of those in line at once when the object changes its class: a quarter less time a row than filling
    the dict key by key, and a third less where the dict is a copy of one with all keys.
    """
    if not model._meta.hydrates_directly or not all(map(_can_be_written, names)):
        return None
    bare = type(model.__name__, (), {})
    try:
        bare().__class__ = model
    except TypeError:
        # The model has slots, or a base that is laid out in its own way.
        return None
    return bare


def _can_be_written(name: str) -> bool:
    """True for a name that can stand behind a dot in generated source."""
    return name.isidentifier() and not iskeyword(name)
