"""`select_related`, `only`, `defer`, `fetch_mode`: what is loaded with the rows, and with the objects beside them."""

from __future__ import annotations

from typing import Any

from dorm.conf.fetch_modes import FetchMode
from dorm.exceptions import FieldError, choices_text, nearest
from dorm.queryset.build import fixed
from dorm.queryset.combine import refuse
from dorm.queryset.loading import Loading
from dorm.queryset.query import Query, Tree
from dorm.record import replace
from dorm.sql.plan import Plan


def related(plan: Plan[Query], paths: tuple[Any, ...]) -> Plan[Query]:
    """`select_related`: names of relations; None alone clears, nothing means all required ones."""
    quick = ("select_related", paths)
    found = plan.quick(quick)
    if found is not None:
        return found[0]
    if paths == (None,):
        return _not_joined(plan)
    names = tuple(map(str, paths))
    made = _joined(plan, names)
    if names == paths:
        plan.remember(quick, made)
    return made


def _joined(plan: Plan[Query], paths: tuple[str, ...]) -> Plan[Query]:
    refuse(plan.query, "select_related")
    if plan.query.kind != "object":
        raise TypeError("Cannot call select_related() after .values() or .values_list()")

    def build(query: Query) -> Query:
        tree: dict[str, Any] = _copied(query.related)
        if not paths:
            _join_required(tree, query.model, _DEEPEST_IMPLICIT)
        for path in paths:
            level, model = tree, query.model
            for name in path.split("__"):
                filtered = query.filtered.get(name) if level is tree else None
                model = single_relation(model, name, path).target if filtered is None else filtered.meta.model
                level = level.setdefault(name, {})
        return replace(query, related=tree)

    return fixed(plan, ("select_related", *paths), build)


_DEEPEST_IMPLICIT = 5
"""How far ``select_related()`` without names follows required keys."""


def _join_required(tree: dict[str, Any], model: Any, depth: int) -> None:
    """Add all keys of *model* that can't be NULL, and theirs."""
    if depth:
        for field in model._meta.fields:
            if field.is_relation and not field.null:
                _join_required(tree.setdefault(field.name, {}), field.target, depth - 1)


def _not_joined(plan: Plan[Query]) -> Plan[Query]:
    """``select_related(None)``."""
    return fixed(plan, "select_related(None)", lambda query: replace(query, related={}))


def _copied(tree: Tree) -> dict[str, Any]:
    return {name: _copied(below) for name, below in tree.items()}


def single_relation(model: Any, name: str, path: str, where: str = "select_related") -> Any:
    """Return the relation *name* of *model* that leads to one object: a key, or a reverse one-to-one."""
    meta = model._meta
    field = meta.find(name)
    if field is not None and field.is_relation and field.name == name and field.column is not None:
        return field.relation
    relation = meta.relations.get(name)
    if relation is not None and not relation.multi and relation.accessor is not None:
        return relation
    names = [each.name for each in meta.fields if each.is_relation]
    names += [each.name for each in meta.relations.values() if not each.multi and each.accessor is not None]
    plain = field is not None and not field.is_relation
    what = f"{'Non-relational field' if plain else 'Invalid field name(s)'} given in {where}"
    raise FieldError(
        f"{what}: {name!r} (in {path!r}) is no relation of {model.__name__} to one object.{nearest(name, names)} "
        f"Choices are: {choices_text(names)}."
    )


def loading(plan: Plan[Query], names: tuple[Any, ...], only: bool) -> Plan[Query]:
    """`only` and `defer`, of the model's own columns and of those of joined objects."""
    refuse(plan.query, "only" if only else "defer")
    _refuse_for_values(plan.query, "only" if only else "defer")
    if None in names:
        raise TypeError(f"Cannot pass None as an argument to {'only' if only else 'defer'}() with other names.")

    def build(query: Query) -> Query:
        paths = [_column_path(query, name) for name in names]
        changed = Loading.just(query.loaded, paths) if only else Loading.without(query.loaded, paths)
        return replace(query, loaded=changed)

    return fixed(plan, ("only" if only else "defer", *names), build)


def loading_too(plan: Plan[Query], name: str) -> Plan[Query]:
    """Return the plan with the field *name* loaded as well."""

    def build(query: Query) -> Query:
        assert query.loaded is not None, "everything is loaded"
        return replace(query, loaded=query.loaded.with_field(name))

    return fixed(plan, ("load", name), build)


def _column_path(query: Query, path: str) -> tuple[str, ...]:
    """Return the names of a path to a column, attribute names replaced by those of their fields."""
    if not isinstance(path, str):
        raise TypeError(f"Cannot pass {path!r} as an argument to only() or defer(): they take names of fields.")
    model = query.model
    found: list[str] = []
    *relations, last = path.split("__")
    for name in relations:
        relation = single_relation(model, name, path, "only() or defer()")
        found.append(name)
        model = relation.target
    meta = model._meta
    field = meta.pk if last == "pk" else meta.find(last)
    relation = meta.relations.get(last)
    if field is None and relation is not None and not relation.multi:
        return (*found, last)
    return (*found, (field or meta.get_field(last, where="only() or defer()")).name)


def fetching(plan: Plan[Query], mode: FetchMode) -> Plan[Query]:
    """`fetch_mode`."""
    return fixed(plan, ("fetch_mode", mode), lambda query: replace(query, mode=mode))


def _refuse_for_values(query: Query, name: str) -> None:
    if query.kind != "object":
        raise TypeError(f"Cannot call {name}() after .values() or .values_list()")


def loading_all(plan: Plan[Query]) -> Plan[Query]:
    """``defer(None)``."""
    refuse(plan.query, "defer")
    _refuse_for_values(plan.query, "defer")
    return fixed(plan, "defer(None)", lambda query: replace(query, loaded=None))
