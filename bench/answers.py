"""What contestants return, made comparable: plain tuples whatever the rows were. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from bench.tables import ITEM_COLUMNS, WIDE_COLUMNS


def row(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads *names* (paths) from a tuple, a mapping or an object."""

    def read(given: Any) -> tuple[Any, ...]:
        if isinstance(given, (tuple, list)):
            return tuple(given)
        if isinstance(given, dict):
            return tuple(given[name] for name in names)
        return tuple(_attribute(given, name) for name in names)

    return read


def _attribute(given: Any, path: str) -> Any:
    for name in path.split("."):
        given = getattr(given, name)
    return given


_ITEM = row(ITEM_COLUMNS)
_PET = row(("id", "owner_id", "name", "weight"))


def items(found: list[Any]) -> list[Any]:
    """Return items as tuples."""
    return [_ITEM(each) for each in found]


def with_owner(found: list[Any]) -> list[Any]:
    """Return pets with the owners joined to them."""
    read = row(("id", "owner_id", "name", "weight", "owner.id", "owner.name", "owner.city"))
    return [read(each) for each in found]


def families(found: list[tuple[Any, list[Any]]]) -> list[Any]:
    """Return owners with their pets."""
    owner = row(("id", "name", "city"))
    return [(owner(parent), sorted(_PET(child) for child in children)) for parent, children in found]


def tagged(found: list[tuple[Any, list[Any]]]) -> list[Any]:
    """Return pets with their tags."""
    tag = row(("id", "name"))
    return [(_PET(pet), sorted(tag(each) for each in tags)) for pet, tags in found]


def pets(found: list[Any]) -> list[Any]:
    """Return pets as tuples."""
    return sorted(_PET(each) for each in found)


def wide(found: list[Any]) -> list[Any]:
    """Return rows of the wide table as tuples."""
    read = row(WIDE_COLUMNS)
    return [read(each) for each in found]


def plain(found: Any) -> Any:
    """Return what is plain already."""
    return found


def groups(found: list[Any]) -> list[Any]:
    """Return (bucket, number, sum) of each group."""
    read = row(("bucket", "number", "total"))
    return sorted(read(each) for each in found)


def _settled(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_settled(each) for each in value]
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    if isinstance(value, (int, float, str)) or value is None:
        return value
    return str(value)


def digest(value: Any) -> str:
    """Return a short text that is equal for equal answers."""
    settled = _settled(value)
    return hashlib.sha256(repr(settled).encode()).hexdigest()[:16]
