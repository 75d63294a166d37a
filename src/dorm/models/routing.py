"""Instances and databases: where a new instance goes once it refers to another one, and what may refer to what."""

from __future__ import annotations

from typing import Any

from dorm.db.router import router
from dorm.models.state import ORIGIN, alias_in, origin_of


def relate(instance: Any, value: Any, assigned: Any = None) -> None:
    """Let *instance* refer to *value*; an instance without a database is meant for the other's from now on.

    Args:
        assigned: which of the two the user handed over, for the message; *value* by default.
    Raises: ValueError: the routers forbid it; without routers, instances of two databases.
    """
    mine, theirs = alias_in(instance.__dict__), alias_in(value.__dict__)
    if mine == theirs and (mine is None or not router.has_any_yet):
        return
    if mine is None:
        instance.__dict__[ORIGIN] = origin_of(router.db_for_write(type(instance), {"instance": value}), True)
    if theirs is None:
        value.__dict__[ORIGIN] = origin_of(router.db_for_write(type(value), {"instance": instance}), True)
    if not router.allow_relation(value, instance):
        name = type(value if assigned is None else assigned).__name__
        raise ValueError(
            f'Cannot assign "<{name} of {value._state.db!r}>": the current database router prevents this relation '
            f"({type(instance).__name__} is on {instance._state.db!r})."
        )
