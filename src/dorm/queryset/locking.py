"""`select_for_update`: which tables of a query are locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.exceptions import FieldError
from dorm.models.paths import leading_up, steps_of
from dorm.queryset.to_load import single_relation
from dorm.record import replace
from dorm.sql.select import Lock

if TYPE_CHECKING:
    from dorm.models.resolve import Resolver
    from dorm.queryset.query import Query


def locked(query: Query, resolver: Resolver) -> Lock:
    """Return the lock of *query* with the aliases of the tables that it names."""
    lock = query.lock
    assert lock is not None, "a query with a lock"
    return replace(lock, of=tuple(_locked_alias(query, resolver, path) for path in lock.of))


def _locked_alias(query: Query, resolver: Resolver, path: str) -> str:
    """Return the alias of the table that ``of=`` names: "self", or a path that select_related follows."""
    alias, model, tree = query.alias, query.model, query.related
    if path == "self":
        return alias
    for name in path.split("__"):
        if name not in tree and not _leads_up(model, name):
            known = ["self", *_followed(query.related)]
            raise FieldError(
                f"Invalid field name(s) given in select_for_update(of=(...)): {path}. Only relational fields followed "
                f"in the query are allowed. Choices are: {', '.join(known)}."
            )
        further = single_relation(model, name, path)
        for step in (*leading_up(model._meta, further.model), *steps_of(further)):
            alias = resolver.join(alias, step)
        model, tree = further.target, tree.get(name, {})
    return alias


def _leads_up(model: Any, name: str) -> bool:
    """True when *name* is the link of a child model to a parent, whose table is part of its rows."""
    field = model._meta.find(name)
    return field is not None and field.name == name and bool(getattr(field, "parent_link", False))


def _followed(tree: Any, prefix: str = "") -> list[str]:
    return [path for name, below in tree.items() for path in (prefix + name, *_followed(below, f"{prefix}{name}__"))]
