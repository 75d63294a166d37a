"""Late loads: a foreign key's object, a deferred column or a set of rows that is read after its instance was loaded.

With `FETCH_PEERS` one statement serves the instance and those that came by the same fetch. What they share is their
`FetchOrigin`: it knows them by weak references, so that nobody is kept alive by others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dorm.conf.fetch_modes import FETCH_PEERS, FETCH_RAISE, FetchMode
from dorm.conf.settings import settings
from dorm.db import loops
from dorm.db.operation import Operation, operation
from dorm.db.router import router
from dorm.exceptions import FieldFetchBlocked, SynchronousOnlyOperation
from dorm.models.state import ORIGIN, FetchOrigin, alias_in, fetch_of, is_adding
from dorm.queryset.loaders import ForwardLoader
from dorm.queryset.ops import fetch
from dorm.queryset.prefetch import Prefetch, loader_of, prefetch

if TYPE_CHECKING:
    from dorm.queryset.loaders import Loader

MOST_PEERS = 1_000
"""Instances that one late load serves at most."""


def mode_of(instance: Any) -> FetchMode:
    """Return the fetch mode of an instance: that of its queryset, else the setting ``DEFAULT_FETCH_MODE``."""
    origin = fetch_of(instance.__dict__)
    asked = origin.mode if origin is not None else None
    return settings.knobs.fetch_mode if asked is None else asked


def check(instance: Any, name: str, how: str) -> None:
    """Refuse a late load where the mode or the running event loop forbids it; *how* says what to do instead."""
    what = f"{type(instance).__name__}.{name}"
    if mode_of(instance) is FETCH_RAISE:
        raise FieldFetchBlocked(
            f"Fetching of {what} blocked: its queryset has fetch_mode(FETCH_RAISE). Load it with the query ({how}), or "
            f"say so with fetch({name!r})."
        )
    if loops.running_loop() is None:
        return
    raise SynchronousOnlyOperation(
        f"{what} is not loaded, and a blocking query behind an attribute would stop the running event loop. "
        f"Load it with the query ({how}), or: await instance.afetch({name!r})."
    )


# -- peers -------------------------------------------------------------------------------------------------------


def peers_of(instance: Any, lacks: Callable[[Any], bool], asked: bool = False) -> list[Any]:
    """Return *instance* and those of its fetch, at most `MOST_PEERS`, nearest first, that lack the same.

    Args:
        asked: True where peers must have been asked for by ``fetch_mode``, not by the setting.
    """
    origin = fetch_of(instance.__dict__)
    if origin is None or not origin.has_peers or (asked and origin.mode is not FETCH_PEERS):
        return [instance]
    found = [instance]
    for each in _around(origin, instance):
        if each.__dict__.get(ORIGIN) is origin and type(each) is type(instance) and lacks(each):
            found.append(each)
            if len(found) == MOST_PEERS:
                break
    return found


def _around(origin: FetchOrigin, instance: Any) -> Iterator[Any]:
    """Yield the other instances of a fetch: those after *instance*, then those before it, nearest first."""
    peers = origin.known()
    size = len(peers)
    for position in (*range(origin.position, size), *range(origin.position)):
        if peers[position]() is instance:
            origin.position = position
            after = (peers[number]() for number in range(position + 1, size))
            before = (peers[number]() for number in range(position - 1, -1, -1))
            yield from (each for line in (after, before) for each in line if each is not None)
            return
    yield from _joined(origin, instance)


def _joined(origin: FetchOrigin, instance: Any) -> Iterator[Any]:
    """Yield the others where *instance* was joined to a row: what stands in its place in the other rows."""
    for path in origin.paths:
        found: dict[int, Any] = {}
        for peer in origin.known():
            each = peer()
            for name in path:
                if each is None:
                    break
                each = each.__dict__.get(name)
            if each is not None:
                found[id(each)] = each
        if found.pop(id(instance), None) is not None:
            yield from found.values()
            return


# -- loading -----------------------------------------------------------------------------------------------------


def _alias_near(instance: Any, loader: Loader) -> str | None:
    """Return the alias that *loader* reads from for *instance*: the routers' answer, else the instance's."""
    target = getattr(loader, "target", None)
    if target is not None and router.has_any:
        return router.db_for_read(target, {"instance": instance})
    return alias_in(instance.__dict__)


@operation
def relation(instance: Any, loader: Loader) -> Operation[None]:
    """Load a relation to one object for *instance* and, with `FETCH_PEERS`, for its peers."""
    group = peers_of(instance, lambda each: not loader.is_loaded(each, None))
    yield from loader.load(group, (), None, _alias_near(instance, loader))
    if isinstance(loader, ForwardLoader):
        # Each says for itself that the row its key names is not there.
        loader.forget_missing(group[1:])


@operation
def column(instance: Any, field: Any) -> Operation[bool]:
    """Load a deferred column for *instance* and its peers; return False where there are no peers to load it for."""
    group = peers_of(instance, lambda each: field.attname not in each.__dict__)
    if len(group) == 1:
        return False
    yield from _column(group, field)
    return field.attname in instance.__dict__


@operation
def _column(group: list[Any], field: Any) -> Operation[None]:
    model = type(group[0])
    by_key: dict[Any, list[Any]] = {}
    for each in group:
        by_key.setdefault(each.pk, []).append(each)
    rows = model._base_manager.using(alias_in(group[0].__dict__)).filter(pk__in=list(by_key))
    for key, value in (yield from fetch.fetch(rows.values_list("pk", field.attname))):
        for each in by_key[key]:
            each.__dict__[field.attname] = value


@operation
def named(instance: Any, lookups: Iterable[Any]) -> Operation[None]:
    """Load what *lookups* name (deferred columns, relations, paths of them) for *instance* and its peers."""
    mode = mode_of(instance)
    for lookup in lookups:
        path = lookup.lookup if isinstance(lookup, Prefetch) else lookup
        name = path.partition("__")[0]
        field = instance._meta.find(path)
        if field is not None and loader_of(instance._meta, path) is None and field.column is not None:
            yield from _named_column(instance, field, mode)
            continue
        loader = loader_of(instance._meta, name)
        alone = mode is not FETCH_PEERS or loader is None
        group = [instance] if alone else peers_of(instance, lambda each: True)
        yield from prefetch(group, [lookup], alias_in(instance.__dict__))


@operation
def _named_column(instance: Any, field: Any, mode: FetchMode) -> Operation[None]:
    if field.attname in instance.__dict__ or is_adding(instance.__dict__):
        return
    alone = mode is not FETCH_PEERS
    yield from _column([instance] if alone else peers_of(instance, lambda each: field.attname not in vars(each)), field)


@operation
def whole_set(instance: Any, loader: Any) -> Operation[list[Any] | None]:
    """Load a set of related rows for *instance* and its peers, where `FETCH_PEERS` was asked for; None elsewhere."""
    group = peers_of(instance, lambda each: not loader.is_loaded(each, None), asked=True)
    if len(group) == 1:
        return None
    yield from loader.load(group, (), None, _alias_near(instance, loader))
    found: list[Any] = instance._prefetched[loader.accessor]
    return found
