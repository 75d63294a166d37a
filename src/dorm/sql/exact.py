"""Values that a field's `prepare` hands on as they are, known by class: generated code need not call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Prepare = TypeVar("Prepare", bound=Callable[..., Any])


class Exact(NamedTuple):
    """The values that need no preparation.

    Args:
        cls: their very class; those of a subclass are prepared.
        low, high: the least and the greatest of them; None for all.
    """

    cls: type
    low: Any = None
    high: Any = None


def passes(cls: type) -> Callable[[Prepare], Prepare]:
    """Decorate a ``prepare`` that returns every value of exactly *cls* unchanged (within the field's bounds).

    The mark stands on the method, so a subclass that overrides it has none.
    """

    def mark(prepare: Prepare) -> Prepare:
        prepare.passes = cls  # type: ignore[attr-defined]  # a mark on the function
        return prepare

    return mark


def passes_as_target(prepare: Prepare) -> Prepare:
    """Decorate the ``prepare`` of a relation, which passes what the field it points at passes."""
    prepare.passes_as_target = True  # type: ignore[attr-defined]  # a mark on the function
    return prepare


def exact_of(field: Any) -> Exact | None:
    """Return the values that *field* need not prepare, None when it must see all of them."""
    while getattr(type(field).prepare, "passes_as_target", False):
        field = field.target_field
    cls = getattr(type(field).prepare, "passes", None)
    if cls is None:
        return None
    return Exact(cls, *field.bounds) if cls is int else Exact(cls)
