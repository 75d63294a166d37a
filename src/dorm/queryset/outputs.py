"""The columns of combined queries' rows: found by name, chosen anew, and what they are ordered by beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dorm.exceptions import DatabaseError, FieldError, choices_text, nearest
from dorm.models.paths import NoSuchName, walk
from dorm.queryset.combine import TABLE, Combined, label, outer_columns
from dorm.sql.node import Column, Node
from dorm.sql.row import Row
from dorm.sql.select import Order

if TYPE_CHECKING:
    from dorm.queryset.query import Kind, Query


# -- by name -----------------------------------------------------------------------------------------------------


def output_names(query: Query) -> list[str]:
    """Return the names of the columns of a combined query's rows, in order."""
    if query.kind != "object":
        return [name for name, _ in query.columns]
    from dorm.queryset.selects import object_names

    return object_names(query)


def output_width(query: Query, names: Sequence[str]) -> int:
    """Return how many of *names* make up the name of a column: paths of ``values`` are one name."""
    if _find(query, "__".join(names)) is not None:
        return len(names)
    field = query.model._meta.find(names[0])
    return len(names) if field is not None and field.is_relation else 1


def output_column(query: Query, name: str) -> Node:
    """Return a column of a combined query's rows by its name.

    Raises: DatabaseError: its rows have no such column. FieldError: the model has no such name either.
    """
    found = _find(query, name)
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


def _find(query: Query, name: str) -> Node | None:
    """Return the column called *name*, by whatever name of it; None where there is none."""
    assert query.combined is not None, "a combined query"
    known = _names_of(query, name)
    if query.kind != "object":
        columns = dict((*query.combined.unshown, *query.columns))
        return next((columns[each] for each in known if each in columns), None)
    names = output_names(query)
    place = next((names.index(each) for each in known if each in names), None)
    return None if place is None else Column(TABLE, label(place), _output(query, place), True)


def _names_of(query: Query, name: str) -> list[str]:
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


def _output(query: Query, position: int) -> Any:
    from dorm.queryset.selects import rows_select

    assert query.combined is not None, "a combined query"
    return rows_select(query.combined.branches[0][0])[0].columns[position].output


# -- chosen anew -------------------------------------------------------------------------------------------------


def chosen_columns(query: Query, combined: Combined, kind: Kind, names: tuple[str, ...]) -> Query:
    """Choose columns of a combined query: in each branch, where the branches gave objects.

    What the rows are ordered by stays a column of the branches.
    """
    objects = combined.objects or (combined.branches if query.kind == "object" else ())
    if not objects:
        known = (*query.columns, *combined.unshown)
        chosen = tuple((name, output_column(query, name)) for name in names or output_names(query))
        unshown = tuple(each for each in known if each not in chosen)
        return replace(query, kind=kind, columns=chosen, combined=replace(combined, unshown=unshown))
    names = names or _all_names(objects[0][0])
    more = [name for name in _ordered_by(query) if not set(_names_of(query, name)) & set(names)]
    changed = _pushed(query, replace(combined, objects=objects), kind, names, tuple(dict.fromkeys(more)))
    return replace(changed, order=_reordered(query, changed)) if query.order else changed


def orderable(query: Query, keys: Iterable[Any]) -> Query:
    """Return *query* with the columns that *keys* of ``order_by`` name, where its branches can give them."""
    combined = query.combined
    if combined is None or not combined.objects:
        return query
    objects = replace(query, kind="object", columns=(), combined=replace(combined, branches=combined.objects))
    shown = replace(query, combined=replace(combined, unshown=()))
    wanted = dict.fromkeys(
        name for key in keys for name in _named(key) if _find(shown, name) is None and _find(objects, name) is not None
    )
    if tuple(wanted) == tuple(name for name, _ in combined.unshown):
        return query
    # Those of an earlier order go: they make rows different.
    names = tuple(name for name, _ in query.columns)
    return _pushed(query, combined, query.kind, names, tuple(wanted))


def _pushed(query: Query, combined: Combined, kind: Kind, names: tuple[str, ...], more: tuple[str, ...]) -> Query:
    """Return *query* of branches with the columns *names*, and with *more* that only the order sees."""
    from dorm.queryset.build import with_columns

    branches = tuple((with_columns(branch, "tuple", (*names, *more)), base) for branch, base in combined.objects)
    columns = outer_columns(branches[0][0])
    width = len(names)
    made = replace(combined, branches=branches, unshown=columns[width:])
    return replace(query, kind=kind, columns=columns[:width], combined=made)


def _all_names(query: Query) -> tuple[str, ...]:
    """Return the names of what ``values()`` without names gives."""
    annotations = [name for name in query.annotations if name not in query.hidden]
    return (*[field.attname for field in query.model._meta.fields], *annotations)


def _named(key: Any) -> list[str]:
    """Return the names of columns in a key of ``order_by``."""
    if isinstance(key, str):
        return [key.lstrip("-+")]
    return [name for part in key.walk() if isinstance(name := getattr(part, "name", None), str)]


def _ordered_by(query: Query) -> list[str]:
    """Return the names of the columns that the rows are ordered by."""
    names = _flat_names(query)
    return [names[_place(part)] for key in query.order or () for part in _node(key).walk() if isinstance(part, Column)]


def _reordered(before: Query, after: Query) -> tuple[Order, ...]:
    """Return the order of *before* over the columns of *after*."""
    names = _flat_names(before)

    def moved(node: Node) -> Node:
        if isinstance(node, Column):
            place = _place(node)
            found = output_column(after, names[place])
            return found.args[place - names.index(names[place])] if isinstance(found, Row) else found
        return node.rebuilt(tuple(map(moved, node.args))) if node.args else node

    return tuple(replace(key, node=moved(_node(key))) for key in before.order or () if isinstance(key, Order))


def _flat_names(query: Query) -> list[str]:
    """Return the names of the columns of the branches in order; the columns of a composite key have one name."""
    if query.kind == "object":
        return output_names(query)
    assert query.combined is not None, "a combined query"
    known = {}
    for name, node in (*query.columns, *query.combined.unshown):
        for part in node.args if isinstance(node, Row) else (node,):
            known[_place(part)] = name
    return [known.get(place, "") for place in range(max(known) + 1)]


def _node(key: Any) -> Node:
    assert isinstance(key, Order), "a combined query is ordered by its columns"
    return key.node


def _place(node: Node) -> int:
    """Return which of the columns of the branches *node* is."""
    assert isinstance(node, Column), "a column of the branches"
    return int(node.column[1:])
