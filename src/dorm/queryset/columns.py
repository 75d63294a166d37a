"""Which columns rows have: chosen by name (`values` and its like), in the branches where a query is combined.

What a combined query is ordered by beside them stays a column of its branches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dorm.exceptions import FieldError
from dorm.models.resolve import Resolver
from dorm.queryset.combine import Combined, outer_columns
from dorm.queryset.outputs import names_of, output_column, output_named, output_names
from dorm.queryset.query import Kind, Query
from dorm.record import replace
from dorm.sql.node import Column, Node
from dorm.sql.row import Row
from dorm.sql.select import Order


def with_columns(query: Query, kind: Kind, names: tuple[str, ...]) -> Query:
    """Return *query* with these columns; with no names all of the model's and the annotations."""
    if query.combined is not None:
        return _chosen_columns(query, query.combined, kind, names)
    if not names:
        names = (
            *[field.attname for field in query.model._meta.fields],
            *[name for name in query.annotations if name not in query.hidden],
        )
    for name in names:
        if name in query.hidden:
            raise FieldError(f"Cannot select the {name!r} alias. Use annotate() to promote it.")
    resolver = Resolver(query, 0, "values")
    columns = tuple((name, resolver.reference(name)) for name in names)
    return resolver.applied(kind=kind, columns=columns, related={}, loaded=None)


def _chosen_columns(query: Query, combined: Combined, kind: Kind, names: tuple[str, ...]) -> Query:
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
    more = [name for name in _ordered_by(query) if not set(names_of(query, name)) & set(names)]
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
        name
        for key in keys
        for name in _named(key)
        if output_named(shown, name) is None and output_named(objects, name) is not None
    )
    if tuple(wanted) == tuple(name for name, _ in combined.unshown):
        return query
    # Those of an earlier order go: they make rows different.
    names = tuple(name for name, _ in query.columns)
    return _pushed(query, combined, query.kind, names, tuple(wanted))


def _pushed(query: Query, combined: Combined, kind: Kind, names: tuple[str, ...], more: tuple[str, ...]) -> Query:
    """Return *query* of branches with the columns *names*, and with *more* that only the order sees."""
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
