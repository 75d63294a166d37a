"""Loading one relation for many instances by one query, one class for each kind of relation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

from dorm.cache.wanted import inherited
from dorm.db.operation import Operation, operation
from dorm.expressions.core import F
from dorm.models.state import ORIGIN, PREFETCHED
from dorm.queryset import build, per_parent, to_load
from dorm.queryset.known import Owners
from dorm.queryset.ops import fetch

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet
    from dorm.relations.foreign_key import ForeignKey
    from dorm.relations.reverse import ForwardMany, ManyToManyRel, ManyToOneRel

Querysets = Sequence["QuerySet[Any, Any]"]

_PAIR = "_prefetch_key"
"""Annotation that tells which parent a row across a through table belongs to."""


class Missing:
    """Stands in an instance for the object of a key that was looked for and not found."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key


class Loader(Protocol):
    """Loads one relation for many instances."""

    def is_loaded(self, instance: Any, to_attr: str | None) -> bool:
        """Return whether *instance* has the objects already."""
        ...

    def loaded(self, instance: Any, to_attr: str | None) -> Iterable[Any]:
        """Return the objects that *instance* has."""
        ...

    def load(
        self, instances: list[Any], querysets: Querysets, to_attr: str | None, alias: str | None
    ) -> Operation[list[Any]]:
        """Load the objects, put them on *instances*, return them.

        Args:
            querysets: rows to choose from; none means all.
            to_attr: attribute that gets them instead of the relation's own.
        """
        ...


class ForwardLoader:
    """The objects that a foreign key points at."""

    def __init__(self, field: ForeignKey[Any]) -> None:
        self.field = field

    @property
    def target(self) -> Any:
        """The model that is loaded."""
        return self.field.target

    def is_loaded(self, instance: Any, to_attr: str | None) -> bool:
        if to_attr is not None:
            return to_attr in instance.__dict__
        return self.field.is_cached(instance)

    def loaded(self, instance: Any, to_attr: str | None) -> Iterable[Any]:
        found = instance.__dict__[to_attr or self.field.object_key]
        return () if found is None or isinstance(found, Missing) else (found,)

    @operation
    def load(
        self, instances: list[Any], querysets: Querysets, to_attr: str | None, alias: str | None
    ) -> Operation[list[Any]]:
        field, target = self.field, self.field.target_field
        attname, kept = field.attname, to_attr or field.object_key
        keys = dict.fromkeys([getattr(each, attname) for each in instances])
        keys.pop(None, None)
        model: Any = field.target
        start = querysets[0] if querysets else model._base_manager.get_queryset()
        rows = yield from matching(also_loading(start, target), target.name, list(keys), alias)
        by_key = {getattr(row, target.attname): row for row in rows}
        relation = field.remote_field
        back = relation.object_key if field.one_to_one and to_attr is None and relation.accessor is not None else None
        for each in instances:
            values = each.__dict__
            key = values[attname]
            found = by_key.get(key)
            if found is None and key.__class__ is str and by_key:
                # The text of a key that is none.
                found = by_key.get(target.prepared_or_none(key))
            if found is not None:
                values[kept] = found
                if back is not None:
                    found.__dict__[back] = each
            else:
                values[kept] = None if key is None or to_attr is not None else Missing(key)
        return rows

    def forget_missing(self, instances: Iterable[Any]) -> None:
        """Drop what says of a key that its object was not found."""
        for each in instances:
            if each.__dict__.get(self.field.object_key).__class__ is Missing:
                del each.__dict__[self.field.object_key]


class _ListLoader:
    """What loaders of a list for each instance share; the lists stand under the accessor of *relation*."""

    relation: Any

    @property
    def target(self) -> Any:
        """The model that is loaded."""
        return self.relation.target

    @property
    def accessor(self) -> Any:
        return self.relation.accessor

    def is_loaded(self, instance: Any, to_attr: str | None) -> bool:
        return is_listed(instance, self.relation.accessor, to_attr)

    def loaded(self, instance: Any, to_attr: str | None) -> Iterable[Any]:
        return listed(instance, self.accessor, to_attr)


class ReverseLoader(_ListLoader):
    """The rows whose foreign keys point at the instances: a list each."""

    def __init__(self, relation: ManyToOneRel) -> None:
        self.relation = relation

    @operation
    def load(
        self, instances: list[Any], querysets: Querysets, to_attr: str | None, alias: str | None
    ) -> Operation[list[Any]]:
        field: Any = self.relation.field
        source, name = field.target_field.attname, field.name
        owners = {getattr(each, source): each for each in instances}
        owners.pop(None, None)
        start = querysets[0] if querysets else field.model._default_manager.get_queryset()
        given = Owners(field.attname, field.object_key, owners)
        rows = yield from matching(also_loading(start, field), name, list(owners), alias, owners=given)
        if given.origins and name in start._plan.query.related:
            for origin in given.origins:
                origin.peers = [ref(row) for row in rows if row.__dict__.get(ORIGIN) is origin]
        elif given.origins:
            # By their owners, whom they keep alive: a tenth of the references.
            siblings = partial(_siblings, list(map(ref, owners.values())), self.accessor, to_attr)
            for origin in given.origins:
                origin.siblings = siblings
        put_lists(instances, source, given.lists(), self.accessor, to_attr, querysets)
        return rows


def _siblings(owners: list[ref[Any]], accessor: str, to_attr: str | None) -> list[ref[Any]]:
    """Return the rows of all *owners* that are still there."""
    alive = [owner for each in owners if (owner := each()) is not None]
    return [
        ref(row) for owner in alive if is_listed(owner, accessor, to_attr) for row in listed(owner, accessor, to_attr)
    ]


class ReverseOneLoader:
    """The one row whose one-to-one field points at each instance."""

    def __init__(self, relation: ManyToOneRel) -> None:
        self.relation = relation

    @property
    def target(self) -> Any:
        """The model that is loaded."""
        return self.relation.target

    def is_loaded(self, instance: Any, to_attr: str | None) -> bool:
        return (to_attr or self.relation.object_key) in instance.__dict__

    def loaded(self, instance: Any, to_attr: str | None) -> Iterable[Any]:
        found = instance.__dict__[to_attr or self.relation.object_key]
        return () if found is None else (found,)

    @operation
    def load(
        self, instances: list[Any], querysets: Querysets, to_attr: str | None, alias: str | None
    ) -> Operation[list[Any]]:
        field: Any = self.relation.field
        source, name, attname = field.target_field.attname, field.name, field.attname
        owners = {getattr(each, source): each for each in instances}
        owners.pop(None, None)
        start = querysets[0] if querysets else field.model._base_manager.get_queryset()
        rows = yield from matching(also_loading(start, field), name, list(owners), alias)
        by_key = {row.__dict__[attname]: row for row in rows}
        kept, back = to_attr or self.relation.object_key, field.object_key
        for each in instances:
            found = by_key.get(getattr(each, source))
            each.__dict__[kept] = found
            if found is not None and back not in found.__dict__:
                found.__dict__[back] = each
        return rows


class ManyLoader(_ListLoader):
    """The rows across a through table: a list each."""

    def __init__(self, relation: ForwardMany | ManyToManyRel) -> None:
        self.relation = relation

    @operation
    def load(
        self, instances: list[Any], querysets: Querysets, to_attr: str | None, alias: str | None
    ) -> Operation[list[Any]]:
        relation = self.relation
        source = relation.source.target_field
        keys = dict.fromkeys([getattr(each, source.attname) for each in instances])
        keys.pop(None, None)
        start = querysets[0] if querysets else relation.target._default_manager.get_queryset()
        path = f"{relation.opposite.name}__{source.name}"
        given = Owners(_PAIR, None, keys)
        rows = yield from matching(start, path, list(keys), alias, keep=_PAIR, owners=given)
        put_lists(instances, source.attname, given.lists(), self.accessor, to_attr, querysets)
        return rows


# -- lists on instances ------------------------------------------------------------------------------------------


def is_listed(instance: Any, accessor: str, to_attr: str | None) -> bool:
    """Return whether *instance* has the list of a relation to many."""
    if to_attr is not None:
        return to_attr in instance.__dict__
    lists = instance._prefetched
    return lists is not None and accessor in lists


def listed(instance: Any, accessor: str, to_attr: str | None) -> list[Any]:
    """Return the list of a relation to many that *instance* has."""
    found: list[Any] = instance.__dict__[to_attr] if to_attr is not None else instance._prefetched[accessor]
    return found


def put_lists(
    instances: list[Any],
    source: str,
    grouped: dict[Any, list[Any]],
    accessor: str,
    to_attr: str | None,
    querysets: Querysets,
) -> None:
    """Give each of *instances* its rows, by its value of *source*.

    A queryset that chose them is kept beside them: what the manager makes of them later goes on from it.
    """
    put = setattr if instances[0]._meta.in_line else object.__setattr__
    for each in instances:
        rows = grouped.get(getattr(each, source))
        if to_attr is not None:
            each.__dict__[to_attr] = [] if rows is None else rows
            continue
        cache = each._prefetched
        if cache is None:
            cache = {}
            put(each, PREFETCHED, cache)
        cache[accessor] = [] if rows is None else rows
        if querysets:
            cache[(accessor,)] = querysets[0]


# -- the query ---------------------------------------------------------------------------------------------------


def also_loading(rows: QuerySet[Any, Any], field: Any) -> QuerySet[Any, Any]:
    """Return *rows* with the column of *field* loaded, whatever `only` and `defer` said."""
    loading = rows._plan.query.loaded
    if loading is None or loading.loads(field):
        return rows
    return rows._with(to_load.loading_too(rows._plan, field.name), rows._values)


@operation
def matching(
    rows: QuerySet[Any, Any],
    path: str,
    keys: list[Any],
    alias: str | None,
    keep: str | None = None,
    owners: Owners | None = None,
) -> Operation[list[Any]]:
    """Return the rows whose *path* is one of *keys*; long lists are split at the dialect's limit.

    Args:
        keep: annotation that gets the value of *path*.
        owners: those whom the rows are given to.
    """
    if not keys:
        return []
    if alias is not None and rows._alias is None:
        rows = rows.using(alias)
    plan, bounds = rows._plan, None
    if plan.query.is_sliced:
        plan, bounds = per_parent.taken_off(plan, rows._values)
        rows = rows._with(plan, rows._values)
    cache = inherited()
    if cache is not None and rows._cache is None:
        rows = rows._clone()
        rows._cache = cache
    most = fetch.reading(rows).dialect.max_parameters // 2
    found: list[Any] = []
    for start in range(0, len(keys), most):
        condition = {f"{path}__in": keys[start : start + most]}
        if keep is None:
            part = rows.filter(**condition)
        else:
            # What the queryset says of the rows between is about the pair that leads here.
            part = rows._with(*build.filtered_together(rows._plan, rows._values, condition, "joined"))
            part = part._with(*build.annotated(part._plan, part._values, {keep: F(path)}))
        if bounds is not None:
            part = part._with(*per_parent.sliced(part._plan, part._values, path, bounds))
        some = yield from fetch.fetch(part, owners)
        if len(keys) <= most:
            return some
        found.extend(some)
    return found
