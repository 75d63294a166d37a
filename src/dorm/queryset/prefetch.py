"""prefetch_related: one query a relation instead of one a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dorm.db.operation import Operation, operation
from dorm.exceptions import FieldError, choices_text, nearest
from dorm.models.state import PREFETCHED
from dorm.queryset.ops import fetch

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet


class Prefetch:
    """A relation to prefetch with a queryset of one's own.

    Args:
        lookup: path of relations, as names or accessors: ``"author"``, ``"book_set"``, ``"book_set__publisher"``.
        queryset: rows to choose from (filters, order, further prefetches); default all.
        to_attr: attribute that gets a list of the rows, instead of the relation's own manager or attribute.
    """

    def __init__(self, lookup: str, queryset: QuerySet[Any, Any] | None = None, to_attr: str | None = None) -> None:
        if queryset is not None and queryset._plan.query.kind != "object":
            raise ValueError("Prefetch querysets cannot use values() or values_list().")
        self.lookup = lookup
        self.queryset = queryset
        self.to_attr = to_attr

    @property
    def path(self) -> str:
        """The lookup with *to_attr* for its last part: what further lookups may start with."""
        before, separator, _ = self.lookup.rpartition("__")
        return f"{before}{separator}{self.to_attr}" if self.to_attr else self.lookup

    def __repr__(self) -> str:
        return f"Prefetch({self.lookup!r}, to_attr={self.to_attr!r})"


@operation
def prefetch(instances: Sequence[Any], lookups: Iterable[Any], alias: str) -> Operation[None]:
    """Load the relations that *lookups* name for all *instances*, one query each."""
    done: dict[str, list[Any]] = {}
    for lookup in lookups:
        wanted = lookup if isinstance(lookup, Prefetch) else Prefetch(lookup)
        level: list[Any] = list(instances)
        names = wanted.lookup.split("__")
        for number, name in enumerate(names, 1):
            last = number == len(names)
            reached = "__".join([*names[: number - 1], wanted.to_attr or name if last else name])
            if reached in done:
                if last and wanted.queryset is not None:
                    raise ValueError(f"{wanted.lookup!r} was already seen with a different queryset.")
                level = done[reached]
                continue
            if not level:
                break
            given = wanted.queryset if last else None
            level = yield from _level(level, name, given, wanted.to_attr if last else None, alias)
            done[reached] = level


@operation
def _level(
    instances: list[Any], name: str, queryset: QuerySet[Any, Any] | None, to_attr: str | None, alias: str
) -> Operation[list[Any]]:
    """Load one relation of *instances*; return the objects found."""
    meta = instances[0]._meta
    field = meta.find(name)
    if field is not None and field.is_relation:
        return (yield from _forward(instances, field, queryset, to_attr, alias))
    for relation in meta.relations.values():
        if name in (relation.accessor, relation.name) and relation.accessor is not None:
            return (yield from _reverse(instances, relation, queryset, to_attr, alias))
    names = [each.name for each in meta.fields if each.is_relation]
    names += [relation.accessor for relation in meta.relations.values() if relation.accessor is not None]
    raise FieldError(
        f"Cannot find {name!r} on {meta.object_name} object, it is an invalid parameter to prefetch_related()."
        f"{nearest(name, names)} Relations: {choices_text(names)}."
    )


def _start(model: Any, queryset: QuerySet[Any, Any] | None, alias: str) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = model._default_manager.get_queryset() if queryset is None else queryset
    return rows if rows._alias is not None else rows.using(alias)


@operation
def _forward(
    instances: list[Any], field: Any, queryset: QuerySet[Any, Any] | None, to_attr: str | None, alias: str
) -> Operation[list[Any]]:
    target = field.target_field
    missing = [each for each in instances if to_attr or not field.is_cached(each)]
    keys = dict.fromkeys(each.__dict__[field.attname] for each in missing)
    keys.pop(None, None)
    rows = yield from _matching(_start(field.target, queryset, alias), target.name, list(keys))
    by_key = {getattr(row, target.attname): row for row in rows}
    for each in missing:
        found = by_key.get(each.__dict__[field.attname])
        if to_attr:
            each.__dict__[to_attr] = found
        elif found is not None:
            each.__dict__[field.name] = found
    cached = [each.__dict__[field.name] for each in instances if not to_attr and field.is_cached(each)]
    return list({id(row): row for row in [*rows, *cached]}.values())


@operation
def _reverse(
    instances: list[Any], relation: Any, queryset: QuerySet[Any, Any] | None, to_attr: str | None, alias: str
) -> Operation[list[Any]]:
    field = relation.field
    source = field.target_field.attname
    stored = [each.__dict__.get(PREFETCHED, {}) for each in instances]
    if to_attr is None and queryset is None and all(relation.accessor in cache for cache in stored):
        return [row for cache in stored for row in cache[relation.accessor]]
    owners = {getattr(each, source): each for each in instances}
    rows = yield from _matching(_start(field.model, queryset, alias), field.name, list(owners))
    grouped: dict[Any, list[Any]] = {key: [] for key in owners}
    for row in rows:
        key = row.__dict__[field.attname]
        row.__dict__[field.name] = owners[key]
        grouped[key].append(row)
    for each in instances:
        if to_attr:
            each.__dict__[to_attr] = grouped[getattr(each, source)]
        else:
            each.__dict__.setdefault(PREFETCHED, {})[relation.accessor] = grouped[getattr(each, source)]
    return rows


@operation
def _matching(rows: QuerySet[Any, Any], name: str, keys: list[Any]) -> Operation[list[Any]]:
    """Return the rows whose *name* is one of *keys*; long lists are split at the dialect's limit."""
    if not keys:
        return []
    if rows._plan.query.is_sliced:
        raise TypeError("A sliced queryset cannot be prefetched: take the slice in Python, or filter instead.")
    most = fetch.reading(rows).dialect.max_parameters // 2
    found: list[Any] = []
    for start in range(0, len(keys), most):
        part = rows.filter(**{f"{name}__in": keys[start : start + most]})
        found.extend((yield from fetch.fetch(part)))
    return found
