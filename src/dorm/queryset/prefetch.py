"""prefetch_related: one query a relation instead of one a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dorm.cache.wanted import inherited
from dorm.db.connection import connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.together import together
from dorm.exceptions import FieldError, InvalidPrefetch, choices_text, nearest
from dorm.models.state import alias_in

if TYPE_CHECKING:
    from dorm.queryset.loaders import Loader
    from dorm.queryset.queryset import QuerySet


class Prefetch:
    """A relation to prefetch with a queryset of one's own.

    Args:
        lookup: path of attributes: ``"author"``, ``"book_set"``, ``"book_set__publisher"``.
        queryset: rows to choose from (filters, order, slices, further prefetches); default all.
        to_attr: attribute that gets a list of the rows, instead of the relation's own manager or attribute.
    """

    def __init__(self, lookup: str, queryset: QuerySet[Any, Any] | None = None, to_attr: str | None = None) -> None:
        if queryset is not None and not is_of_objects(queryset):
            raise ValueError("Prefetch querysets cannot use raw(), values(), and values_list().")
        self.lookup = lookup
        self.queryset = queryset
        self.to_attr = to_attr

    @property
    def path(self) -> str:
        """The lookup with *to_attr* for its last part: what further lookups may start with."""
        before, separator, _ = self.lookup.rpartition("__")
        return f"{before}{separator}{self.to_attr}" if self.to_attr else self.lookup

    prefetch_through = property(lambda self: self.lookup, doc="The lookup, under Django's name.")
    prefetch_to = property(lambda self: self.path, doc="The path, under Django's name.")

    def querysets(self) -> Sequence[Any]:
        """Return the querysets given: none, one, or one a model (generic keys)."""
        return () if self.queryset is None else (self.queryset,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prefetch) and self.path == other.path

    def __hash__(self) -> int:
        return hash((type(self), self.path))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.lookup!r}, to_attr={self.to_attr!r})"


def prefetch_lookups(queryset: QuerySet[Any, Any], lookups: Sequence[Any]) -> Sequence[str | Prefetch]:
    """Return *lookups* as `prefetch_related` was given them.

    Raises: InvalidPrefetch: something that names no relation. ValueError: a `FilteredRelation`.
    """
    filtered = queryset._plan.query.filtered
    for lookup in lookups:
        if not isinstance(lookup, (str, Prefetch)):
            raise InvalidPrefetch(
                f"prefetch_related() takes names of relations and Prefetch objects, not {type(lookup).__name__}."
            )
        if filtered and (lookup if isinstance(lookup, str) else lookup.lookup).partition("__")[0] in filtered:
            raise ValueError(
                "prefetch_related() is not supported with FilteredRelation: give a Prefetch its condition."
            )
    return lookups


def is_of_objects(queryset: Any) -> bool:
    """True for a queryset whose rows become instances by a plan, which others can be made from."""
    plan = getattr(queryset, "_plan", None)
    return plan is not None and plan.query.kind == "object"


@operation
def prefetch(instances: Sequence[Any], lookups: Iterable[Any], alias: str | None) -> Operation[None]:
    """Load the relations that *lookups* name for all *instances*, one query each.

    Raises: AttributeError: no such attribute. ValueError: no relation, or a path that was seen with another queryset.
    """
    done: dict[str, list[Any]] = {}
    found = [lookup if isinstance(lookup, Prefetch) else Prefetch(lookup) for lookup in lookups]
    database = connections[alias] if alias is not None and len(found) > 1 else None
    # Two that are cached may wait for each other: one reads the database, the other what it will have read.
    if database is not None and database.dialect.sends_together and inherited() is None and not _are_cached(found):
        for siblings in _siblings(found):
            ops = [_unless_done(instances, wanted, done, alias) for wanted in siblings]
            yield from together(ops, database) if len(ops) > 1 else ops[0]
        return
    for wanted in found:
        yield from _unless_done(instances, wanted, done, alias)


def _are_cached(lookups: Iterable[Any]) -> bool:
    """True when a queryset of these, or of what they prefetch in turn, asks the query cache."""
    querysets = [each for wanted in lookups if isinstance(wanted, Prefetch) for each in wanted.querysets()]
    return any(each._cache is not None or _are_cached(each._prefetch) for each in querysets)


def _siblings(lookups: Sequence[Prefetch]) -> Iterator[list[Prefetch]]:
    """Yield the lookups in order, those side by side that start with different attributes together."""
    group: list[Prefetch] = []
    taken: set[str] = set()
    for wanted in lookups:
        names = {wanted.lookup.partition("__")[0], wanted.path.partition("__")[0]}
        if names & taken:
            yield group
            group, taken = [], set()
        group.append(wanted)
        taken |= names
    if group:
        yield group


@operation
def _unless_done(
    instances: Sequence[Any], wanted: Prefetch, done: dict[str, list[Any]], alias: str | None
) -> Operation[None]:
    if wanted.path not in done:
        yield from _follow(list(instances), wanted, done, alias)
    elif wanted.querysets():
        raise ValueError(
            f"{wanted.path!r} lookup was already seen with a different queryset. You may need to adjust the ordering "
            "of your lookups."
        )


@operation
def _follow(level: list[Any], wanted: Prefetch, done: dict[str, list[Any]], alias: str | None) -> Operation[None]:
    """Walk the path of one lookup, loading what is not there; *done* collects the objects of each path."""
    reached = ""
    names = wanted.lookup.split("__")
    for number, name in enumerate(names, 1):
        last = number == len(names)
        to_attr = wanted.to_attr if last else None
        reached = f"{reached}__{to_attr or name}" if reached else to_attr or name
        if reached in done:
            level = [] if last else _distinct(done[reached])
            continue
        if not level:
            return
        done[reached] = yield from _level(level, name, wanted, alias, number == 1, last)
        level = [] if last else _distinct(done[reached])


@operation
def _level(
    level: list[Any], name: str, wanted: Prefetch, alias: str | None, first: bool, last: bool
) -> Operation[list[Any]]:
    """Load the attribute *name* of all objects of one level, model by model; return what they lead to."""
    to_attr = wanted.to_attr if last else None
    found: list[Any] = []
    errors: list[Exception] = []
    groups: dict[type, list[Any]] = {}
    for each in level:
        groups.setdefault(type(each), []).append(each)
    for same in groups.values():
        try:
            loader = _loader(same[0], name, wanted, last)
        except (AttributeError, ValueError) as exc:
            errors.append(exc)
            continue
        if loader is None:
            found.extend(_attributes(same, name))
            continue
        if to_attr is not None:
            _check_to_attr(same[0], to_attr)
        missing = [each for each in same if not loader.is_loaded(each, to_attr)]
        there = [] if len(missing) == len(same) else [each for each in same if loader.is_loaded(each, to_attr)]
        if missing:
            querysets = wanted.querysets() if last else ()
            _check_models(loader, name, querysets)
            found.extend((yield from loader.load(missing, querysets, to_attr, alias)))
        for each in there:
            found.extend(loader.loaded(each, to_attr))
    if errors and (first or len(errors) == len(groups)):
        # Objects of several models (behind generic keys) need not all have the attribute, but one of them must.
        raise errors[0]
    return found


def _distinct(objects: Iterable[Any]) -> list[Any]:
    return list({id(each): each for each in objects}.values())


def _loader(instance: Any, name: str, wanted: Prefetch, last: bool) -> Loader | None:
    """Return what loads the relation *name* of *instance*; None for another attribute on the way."""
    meta = getattr(instance, "_meta", None)
    found = loader_of(meta, name) if meta is not None else None
    if found is not None:
        return found
    known = meta is not None and meta.find(name) is not None
    if not known and not hasattr(instance, name):
        names = relation_names(meta) if meta is not None else []
        raise InvalidPrefetch(
            f"Cannot find {name!r} on {type(instance).__name__} object, {wanted.lookup!r} is an invalid parameter to "
            f"prefetch_related().{nearest(name, names)} Relations: {choices_text(names)}."
        )
    if last:
        raise ValueError(
            f"{wanted.lookup!r} does not resolve to an item that supports prefetching - this is an invalid parameter "
            "to prefetch_related()."
        )
    return None


def loader_of(meta: Any, name: str) -> Loader | None:
    """Return what loads the relation that instances have under the attribute *name*; None when it is none."""
    field = meta.find(name)
    if field is not None:
        loader: Loader | None = field.loader if field.is_relation and field.name == name else None
        return loader
    for relation in meta.relations.values():
        if relation.accessor == name:
            loader = relation.loader
            return loader
    return None


def relation_names(meta: Any) -> list[str]:
    """Return the attributes of instances that can be prefetched."""
    fields = [*meta.fields, *meta.many_to_many, *meta.private_fields]
    names = [field.name for field in fields if field.is_relation]
    return [*names, *[each.accessor for each in meta.relations.values() if each.accessor is not None]]


def _attributes(level: list[Any], name: str) -> list[Any]:
    """Return what *level* has under a plain attribute: objects, or those of lists."""
    return _distinct(_flat(getattr(each, name, None) for each in level))


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from value
        elif value is not None:
            yield value


def _check_models(loader: Loader, name: str, querysets: Sequence[Any]) -> None:
    """Refuse rows of a model that the relation does not lead to."""
    target = getattr(loader, "target", None)
    for queryset in querysets:
        if target is not None and not issubclass(queryset.model, target._meta.concrete_model):
            raise FieldError(
                f"Prefetch({name!r}) takes a queryset of {target.__name__}, not of {queryset.model.__name__}."
            )


def _check_to_attr(instance: Any, to_attr: str) -> None:
    if instance._meta.find(to_attr) is not None:
        raise ValueError(
            f"to_attr={to_attr} conflicts with a field on the {type(instance).__name__} model. Choose another name."
        )


# -- on instances that are there already -------------------------------------------------------------------------


def prefetch_related_objects(instances: Iterable[Any], *lookups: Any, using: str | None = None) -> None:
    """Load the relations that *lookups* name for all *instances* of one model, one query each.

    Args:
        instances: rows that were loaded before.
        lookups: as of ``prefetch_related``: names, paths, `Prefetch`.
        using: alias to load from; else the one the instances came from.
    """
    run(_on_instances(list(instances), lookups, using))


async def aprefetch_related_objects(instances: Iterable[Any], *lookups: Any, using: str | None = None) -> None:
    """Async twin of `prefetch_related_objects`."""
    await arun(_on_instances(list(instances), lookups, using))


@operation
def _on_instances(instances: list[Any], lookups: Sequence[Any], using: str | None) -> Operation[None]:
    if not instances:
        return
    if using is None:
        using = alias_in(instances[0].__dict__)
    yield from prefetch(instances, lookups, using)
