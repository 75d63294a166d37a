"""The columns of combined queries' rows, found by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dorm.exceptions import DatabaseError, FieldError, choices_text, nearest
from dorm.models.paths import NoSuchName, walk
from dorm.sql.node import Node

if TYPE_CHECKING:
    from dorm.queryset.query import Query


def output_names(query: Query) -> list[str]:
    """Return the names of the columns of a combined query's rows, in order."""
    if query.kind != "object":
        return [name for name, _ in query.columns]
    assert query.combined is not None, "a combined query"
    return [name for name, _ in query.combined.attributes]


def output_width(query: Query, names: Sequence[str]) -> int:
    """Return how many of *names* make up the name of a column: paths of ``values`` are one name."""
    if output_named(query, "__".join(names)) is not None:
        return len(names)
    field = query.model._meta.find(names[0])
    return len(names) if field is not None and field.is_relation else 1


def output_column(query: Query, name: str) -> Node:
    """Return a column of a combined query's rows by its name.

    Raises: DatabaseError: its rows have no such column. FieldError: the model has no such name either.
    """
    found = output_named(query, name)
    if found is not None:
        return found
    names, meta = output_names(query), query.model._meta
    first = name.partition("__")[0]
    if name != "pk" and first not in names and first not in meta.names():
        raise FieldError(
            f"Cannot resolve keyword {first!r} into field: the combined query has no column {name!r}."
            f"{nearest(name, names)} Columns: {choices_text(names)}."
        )
    raise DatabaseError(
        f"ORDER BY term does not match any column in the result set: {name!r} is none of the columns of the "
        f"combined query.{nearest(name, names)} Columns: {choices_text(names)}."
    )


def output_named(query: Query, name: str) -> Node | None:
    """Return the column called *name*, by whatever name of it; None where there is none."""
    assert query.combined is not None, "a combined query"
    combined = query.combined
    columns = dict(combined.attributes if query.kind == "object" else (*combined.unshown, *query.columns))
    return next((columns[each] for each in names_of(query, name) if each in columns), None)


def names_of(query: Query, name: str) -> list[str]:
    """Return *name* and the other names of the same column of the model's table."""
    meta = query.model._meta
    try:
        route = walk(meta, name.split("__"))
    except NoSuchName:
        return [name]
    if route.steps or route.rest:
        return [name]
    field = next((each for each in meta.fields if each.column == route.column), None)
    if field is None:
        return [name]
    return [name, field.attname, field.name, *(["pk"] if field is meta.pk else [])]
