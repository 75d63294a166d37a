"""`union_with`: one list of rows out of different models, their columns put side by side by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dorm.exceptions import choices_text, nearest
from dorm.expressions.core import ExpressionWrapper, F
from dorm.functions.conversion import Cast
from dorm.queryset.combining import combined
from dorm.queryset.outputs import output_names
from dorm.queryset.query import Query
from dorm.record import replace
from dorm.sql.node import Node, Output, output_key, output_name

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

_FAMILIES = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "numeric": "decimal/float",
    "double": "decimal/float",
    "varchar": "text",
    "text": "text",
    "date": "date/time",
    "time": "date/time",
    "timestamp": "date/time",
    "timestamptz": "date/time",
}


def union_with(
    head: QuerySet[Any, Any], others: Sequence[Any], all_: bool, order_by: Sequence[str] | None
) -> QuerySet[Any, Any]:
    """Return the rows of *head* and of *others*."""
    if isinstance(order_by, str):
        raise TypeError("union_with() takes order_by as a list of names, not as a text.")
    for key in order_by or ():
        if not isinstance(key, str):
            raise TypeError(f"union_with() takes order_by as a list of names of its columns, not {type(key).__name__}.")
    sources = [(head, None), *[_source(other) for other in others]]
    aliases = {qs._alias for qs, _ in sources if qs._alias is not None}
    if len(aliases) > 1:
        raise ValueError(f"union_with() needs all sources on one database, not {', '.join(sorted(aliases))}.")
    for qs, _ in sources:
        query = qs._plan.query
        if query.related or qs._prefetch or query.loaded is not None:
            raise ValueError(
                f"union_with() gives rows, not {query.model.__name__} objects with others: leave out select_related(), "
                "prefetch_related(), only() and defer()."
            )
    if len({qs.model for qs, _ in sources}) == 1 and all(
        mapping is None and qs._plan.query.kind == "object" for qs, mapping in sources
    ):
        branches = [qs for qs, _ in sources]
    else:
        names = _names(sources)
        branches = _typed([_projected(qs, mapping, names) for qs, mapping in sources], names)
    first, *rest = branches
    found = first._with(*combined(first._plan, first._values, "union", rest, all_)) if rest else first
    if aliases:
        found = found.using(next(iter(aliases)))
    return _ordered(found, order_by)


def _source(other: Any) -> tuple[QuerySet[Any, Any], dict[str, Any] | None]:
    mapping: dict[str, Any] | None = None
    if isinstance(other, tuple):
        if len(other) != 2 or not isinstance(other[1], dict):
            raise TypeError(
                "union_with() takes a source (QuerySet, Manager or model) with a mapping as "
                f"(source, {{name: field or expression}}), not {_shown(other)}."
            )
        other, mapping = other
        if not mapping:
            raise ValueError("union_with() got an empty mapping: name the columns, or leave it out.")
        for name in mapping:
            if not isinstance(name, str):
                raise TypeError(f"union_with() maps names of columns, which are texts, not {type(name).__name__}.")
    manager = getattr(other, "_default_manager", None) if isinstance(other, type) else other
    start = getattr(manager, "_queryset", None)
    if start is None:
        raise TypeError(f"union_with() takes a QuerySet, a Manager or a model, not {type(other).__name__}.")
    return start(), mapping


def _shown(given: tuple[Any, ...]) -> str:
    """Return the types in a tuple that was given as a source, for messages."""
    return f"({', '.join(type(each).__name__ for each in given)})"


def _names(sources: list[tuple[QuerySet[Any, Any], dict[str, Any] | None]]) -> list[str]:
    mappings = [mapping for _, mapping in sources if mapping is not None]
    if mappings:
        names = list(mappings[0])
        for mapping in mappings[1:]:
            if set(mapping) != set(names):
                differing = sorted(set(mapping) ^ set(names))
                raise ValueError(f"union_with() got mappings of different columns: {', '.join(differing)}.")
        return names
    head = sources[0][0]._plan.query
    if head.kind != "object" or head.combined is not None:
        return output_names(head) if head.combined is not None else [name for name, _ in head.columns]
    return [field.attname for field in head.model._meta.fields]


def _projected(qs: QuerySet[Any, Any], mapping: dict[str, Any] | None, names: list[str]) -> QuerySet[Any, Any]:
    query = qs._plan.query
    if mapping is None:
        if query.kind != "object":
            have = output_names(query)
            _missing(query.model, names, have)
            more = [name for name in have if name not in names]
            if more:
                raise ValueError(
                    f"union_with(): the rows of {query.model.__name__} have a column {', '.join(map(repr, more))} that "
                    f"the result has not: select {', '.join(names)} there."
                )
            return qs.values(*names)
        have = output_names(query) if query.combined is not None else _available(query)
        _missing(query.model, names, have)
        return qs.values(*names)
    inner = {f"_{number}_column": _expression(mapping[name]) for number, name in enumerate(names)}
    changed = qs.values(**inner)
    renamed = changed._plan.query
    columns = tuple((name, node) for name, (_, node) in zip(names, renamed.columns, strict=True))
    plan = changed._plan.step(("renamed", *names), lambda: (replace(renamed, columns=columns), ()))
    return changed._with(plan, changed._values)


def _available(query: Query) -> list[str]:
    meta = query.model._meta
    names = [name for field in meta.fields for name in (field.name, field.attname)]
    return [*names, "pk", *[name for name in query.annotations if name not in query.hidden]]


def _missing(model: Any, names: list[str], have: list[str]) -> None:
    missing = [name for name in names if name.partition("__")[0] not in have and name not in have]
    if missing:
        raise ValueError(f"union_with(): {model.__name__} has no column {', '.join(map(repr, missing))}.")


def _expression(value: Any) -> Node:
    if isinstance(value, str):
        return F(value)
    if not isinstance(value, Node):
        raise TypeError(f"union_with() maps names to fields or expressions, not to {type(value).__name__}.")
    return value


def _typed(branches: list[QuerySet[Any, Any]], names: list[str]) -> list[QuerySet[Any, Any]]:
    """Refuse columns whose types do not go together; give NULLs the type of their column."""
    untyped: list[list[tuple[int, Output]]] = [[] for _ in branches]
    hiding: list[tuple[int, Output]] = []
    for position, name in enumerate(names):
        known: tuple[str, Any, str] | None = None
        outputs = [branch._plan.query.columns[position][1].output for branch in branches]
        peer = next((output for output in outputs if output is not None), None)
        for casts, output in zip(untyped, outputs, strict=True):
            if output is None and peer is not None:
                casts.append((position, peer))
        secret = next((output for output in outputs if getattr(output, "hides_values", False)), None)
        if secret is not None and secret is not outputs[0]:
            hiding.append((position, secret))
        for branch in branches:
            output = branch._plan.query.columns[position][1].output
            if output is None:
                continue
            family = _FAMILIES.get(output.sql_type.kind, output.sql_type.kind)
            if known is not None and known[0] != family:
                raise TypeError(
                    f"union_with(): column {name!r} is {known[2]} in {known[1].__name__} and {output_name(output)} in "
                    f"{branch.model.__name__}: bring them to one type with Cast()."
                )
            known = known or (family, branch.model, output_name(output))
    # NULLs without a type are taken for texts by a server. The first branch says how the rows are read: what one of
    # them encrypts is decrypted, and told by its mark from what another one does not.
    made = [_as(branch, casts, Cast) for branch, casts in zip(branches, untyped, strict=True)]
    return [_as(made[0], hiding, ExpressionWrapper), *made[1:]]


def _as(
    branch: QuerySet[Any, Any], types: list[tuple[int, Output]], kind: type[Cast] | type[ExpressionWrapper]
) -> QuerySet[Any, Any]:
    """Return *branch* with some of its columns, by their positions, in other types."""
    if not types:
        return branch
    query, outputs = branch._plan.query, dict(types)
    columns = tuple(
        (name, kind(node, outputs[position]) if position in outputs else node)
        for position, (name, node) in enumerate(query.columns)
    )
    key = (kind.__name__, *[(position, output_key(output)) for position, output in types])
    plan = branch._plan.step(key, lambda: (replace(query, columns=columns), ()))
    return branch._with(plan, branch._values)


def _ordered(found: QuerySet[Any, Any], order_by: Sequence[str] | None) -> QuerySet[Any, Any]:
    if not order_by:
        return found
    query = found._plan.query
    names = output_names(query) if query.combined is not None else [name for name, _ in query.columns]
    for key in order_by:
        name = key.removeprefix("-")
        if name not in names and not (name == "pk" and query.kind == "object"):
            raise ValueError(
                f"union_with() cannot order by {name!r}.{nearest(name, names)} Columns: {choices_text(names)}."
            )
    return found.order_by(*order_by)
