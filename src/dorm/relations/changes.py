"""What related managers write: keys of the rows that point at an instance, and rows of through tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dorm.db.connection import connections
from dorm.db.operation import Operation, operation
from dorm.db.router import router
from dorm.exceptions import InvalidValue, UnsavedInstance
from dorm.expressions.predicate import Q
from dorm.models.base import Model
from dorm.models.state import alias_in
from dorm.queryset.ops import announce, bulk as bulk_ops, delete as delete_ops, fetch, get_or_create, save, write
from dorm.signals import m2m_changed
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet
    from dorm.relations.managers import ManyRelatedManager, RelatedManager


def writing_alias(manager: Any, model: Any) -> str:
    """Return the alias that *manager* writes *model* to: its own, else the routers' answer, else the instance's."""
    alias: str | None = manager._alias()
    if alias is None:
        alias = router.db_for_write(model, {"instance": manager.instance})
        # What is written to a table between two models is read by either.
        router.wrote(manager.model)
    return alias


def _refuse_other_database(obj: Any, own: Any) -> None:
    mine, other = alias_in(own.__dict__), alias_in(obj.__dict__)
    if mine is not None and other is not None and not router.allow_relation(obj, own):
        raise UnsavedInstance(
            f'Cannot add a {type(obj).__name__}: the {type(own).__name__} is on database "{mine}", '
            f'the value is on database "{other}".'
        )


# -- rows that point at the instance -----------------------------------------------------------------------------


def _checked(manager: RelatedManager[Any], objs: Iterable[Any]) -> None:
    for obj in objs:
        if not isinstance(obj, manager.model):
            raise InvalidValue(f"'{manager.model.__name__}' instance expected, got {type(obj).__name__}.")


def _point(manager: RelatedManager[Any], obj: Any) -> None:
    field: Any = manager.relation.field
    field.__set__(obj, manager.instance)


def require_key(manager: RelatedManager[Any]) -> None:
    """Refuse an instance without a key, which nothing can point at."""
    if manager.instance.pk is None:
        raise UnsavedInstance(
            f"{type(manager.instance).__name__} instance needs to have a primary key value before this relationship "
            f"can be used: save the instance first (in .{manager.relation.accessor})."
        )


def require_value(manager: RelatedManager[Any]) -> None:
    """Refuse to write rows that point at an instance without a key, or without a value for the field they point at."""
    require_key(manager)
    wanted = manager.relation.field.target_field.attname
    if getattr(manager.instance, wanted) is None:
        raise ValueError(
            f'"{type(manager.instance).__name__}" needs to have a value for field "{wanted}" before this relationship '
            f"can be used (in .{manager.relation.accessor})."
        )


@operation
def add_pointing(manager: RelatedManager[Any], objs: Sequence[Any], bulk: bool) -> Operation[None]:
    """Let *objs* point at the instance."""
    require_value(manager)
    _checked(manager, objs)
    manager._forget()
    alias = writing_alias(manager, manager.model)
    if not objs:
        return
    if not bulk:
        yield from in_transaction(_save_each(manager, objs, alias), alias)
        return
    for obj in objs:
        _point(manager, obj)
        if obj._state.adding or obj.pk is None or alias_in(obj.__dict__) != alias:
            raise ValueError(f"{type(obj).__name__} instance isn't saved. Use bulk=False or save the object first.")
    groups = _parts([obj.pk for obj in objs], alias)
    work = _update_parts(manager, groups, alias, {manager.relation.field.name: manager.instance})
    yield from in_transaction(work, alias) if len(groups) > 1 else work


def _parts(keys: list[Any], alias: str) -> list[list[Any]]:
    """Return *keys* in lists that fit into one statement."""
    return write.parts(keys, connections[alias])


@operation
def _update_parts(
    manager: RelatedManager[Any], groups: list[list[Any]], alias: str, values: dict[str, Any]
) -> Operation[None]:
    for keys in groups:
        yield from write.update(manager.model._base_manager.using(alias).filter(pk__in=keys), values)


def difference(there: Sequence[Any], wanted: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return what of *there* is not among *wanted*, and what of *wanted* is not there; by key."""
    have, want = {obj.pk for obj in there}, {obj.pk for obj in wanted}
    return [obj for obj in there if obj.pk not in want], [obj for obj in wanted if obj.pk not in have]


@operation
def _save_each(manager: RelatedManager[Any], objs: Iterable[Any], alias: str) -> Operation[None]:
    for obj in objs:
        _point(manager, obj)
        yield from save.saved(obj, using=alias)


@operation
def remove_pointing(manager: RelatedManager[Any], objs: Sequence[Any], bulk: bool) -> Operation[None]:
    """Let *objs*, which point at the instance, point at nothing."""
    require_value(manager)
    if not objs:
        return
    _checked(manager, objs)
    field = manager.relation.field
    key = getattr(manager.instance, field.target_field.attname)
    for obj in objs:
        if getattr(obj, field.attname) != key:
            raise field.target.DoesNotExist(
                f"this {type(obj).__name__} is not related to the {type(manager.instance).__name__}."
            )
    alias = writing_alias(manager, manager.model)
    groups = [manager.filter(pk__in=keys) for keys in _parts([obj.pk for obj in objs], alias)]
    work = _unpoint_all(manager, groups, bulk)
    yield from in_transaction(work, alias) if len(groups) > 1 else work
    for obj in objs:
        field.__set__(obj, None)


@operation
def clear_pointing(manager: RelatedManager[Any], bulk: bool) -> Operation[None]:
    """Let nothing point at the instance."""
    manager._forget()
    yield from _unpoint(manager, manager.get_queryset(), bulk)


@operation
def _unpoint_all(manager: RelatedManager[Any], groups: list[QuerySet[Any]], bulk: bool) -> Operation[None]:
    for rows in groups:
        yield from _unpoint(manager, rows, bulk)


@operation
def _unpoint(manager: RelatedManager[Any], rows: QuerySet[Any], bulk: bool) -> Operation[None]:
    manager._forget()
    field = manager.relation.field
    alias = writing_alias(manager, manager.model)
    rows = rows.using(alias)
    if bulk:
        yield from write.update(rows, {field.name: None})
    else:
        yield from in_transaction(_save_unpointed(rows, field, alias), alias)


@operation
def _save_unpointed(rows: QuerySet[Any], field: Any, alias: str) -> Operation[None]:
    for obj in (yield from fetch.fetch(rows)):
        field.__set__(obj, None)
        yield from save.saved(obj, using=alias, update_fields=[field.name])


@operation
def set_pointing(manager: RelatedManager[Any], objs: list[Any], bulk: bool, clear: bool) -> Operation[None]:
    """Let exactly *objs* point at the instance, as far as others may be taken away."""
    require_value(manager)
    _checked(manager, objs)
    alias = writing_alias(manager, manager.model)
    if not manager.relation.field.null:
        yield from add_pointing(manager, objs, bulk)
    else:
        yield from in_transaction(_set_pointing(manager, objs, bulk, clear, alias), alias)


@operation
def _set_pointing(
    manager: RelatedManager[Any], objs: list[Any], bulk: bool, clear: bool, alias: str
) -> Operation[None]:
    if clear:
        yield from clear_pointing(manager, bulk)
        yield from add_pointing(manager, objs, bulk)
        return
    manager._forget()
    there = yield from fetch.fetch(manager.get_queryset().using(alias))
    surplus, wanted = difference(there, objs)
    yield from remove_pointing(manager, surplus, bulk)
    yield from add_pointing(manager, wanted, bulk)


# -- rows of the through table -----------------------------------------------------------------------------------


def _keys(manager: ManyRelatedManager[Any], objs: Iterable[Any], alias: str | None) -> list[Any]:
    """Return the keys that *objs* (instances or keys) have in the through table; with an alias, as for `add`."""
    target = manager.relation.target_field
    found: dict[Any, None] = {}
    for obj in objs:
        if isinstance(obj, manager.model):
            if alias is not None:
                _refuse_other_database(obj, manager.instance)
            key = getattr(obj, target.attname)
            if key is None and alias is not None:
                raise UnsavedInstance(
                    f'Cannot add a {type(obj).__name__}: the value for field "{target.name}" is None. Save it first.'
                )
            found[key] = None
        elif isinstance(obj, Model):
            raise InvalidValue(f"'{manager.model.__name__}' instance expected, got {type(obj).__name__}.")
        else:
            found[target.get_prep_value(obj)] = None
    return list(found)


def _own_key(manager: ManyRelatedManager[Any]) -> Any:
    return getattr(manager.instance, manager.relation.source.target_field.attname)


def _is_symmetrical(manager: ManyRelatedManager[Any]) -> bool:
    return bool(manager.relation.field.symmetrical)


@operation
def _tell(manager: ManyRelatedManager[Any], action: str, keys: Iterable[Any] | None, alias: str) -> Operation[None]:
    """Announce a change, where somebody listens."""
    if m2m_changed.is_connected:
        yield from announce.announce(
            m2m_changed,
            manager.through,
            action=action,
            instance=manager.instance,
            reverse=not manager.relation.forward,
            model=manager.model,
            pk_set=None if keys is None else set(keys),
            using=alias,
        )


@operation
def add_related(
    manager: ManyRelatedManager[Any], objs: Sequence[Any], through_defaults: dict[str, Any] | None
) -> Operation[None]:
    """Relate *objs* to the instance."""
    manager._forget()
    alias = writing_alias(manager, manager.through)
    keys = _keys(manager, objs, alias)
    if not keys:
        return
    told = any(m2m_changed.live_receivers(manager.through)) if m2m_changed.is_connected else False
    own_table = manager.relation.field.has_own_table
    if own_table and not told:
        # One statement that skips the pairs that are there: no race, no look before.
        directions = (False, True) if _is_symmetrical(manager) else (False,)
        yield from _insert(manager, alias, keys, through_defaults, directions)
    else:
        yield from in_transaction(_add(manager, alias, keys, through_defaults), alias)


@operation
def _add(
    manager: ManyRelatedManager[Any], alias: str, keys: list[Any], through_defaults: dict[str, Any] | None
) -> Operation[None]:
    source, link = manager.relation.source, manager.relation.link
    rows = manager.through._default_manager.using(alias)
    found: set[Any] = set()
    for part in _parts(keys, alias):
        there = rows.filter(**{source.name: _own_key(manager), f"{link.name}__in": part})
        found.update((yield from fetch.fetch(there.values_list(link.attname, flat=True))))
    missing = [key for key in keys if key not in found]
    yield from _tell(manager, "pre_add", missing, alias)
    if missing:
        yield from _insert(manager, alias, missing, through_defaults, (False,))
    yield from _tell(manager, "post_add", missing, alias)
    if _is_symmetrical(manager):
        yield from _mirror(manager, alias, keys, through_defaults)


@operation
def _mirror(
    manager: ManyRelatedManager[Any], alias: str, keys: list[Any], through_defaults: dict[str, Any] | None
) -> Operation[None]:
    """Write the other half of symmetrical pairs, where it is missing."""
    source, link = manager.relation.source, manager.relation.link
    own = _own_key(manager)
    rows = manager.through._default_manager.using(alias)
    found: set[Any] = set()
    for part in _parts(keys, alias):
        there = rows.filter(**{link.name: own, f"{source.name}__in": part})
        found.update((yield from fetch.fetch(there.values_list(source.attname, flat=True))))
    missing = [key for key in keys if key not in found and key != own]
    if missing:
        yield from _insert(manager, alias, missing, through_defaults, (True,))


@operation
def _insert(
    manager: ManyRelatedManager[Any],
    alias: str,
    keys: Sequence[Any],
    through_defaults: dict[str, Any] | None,
    mirrored: tuple[bool, ...],
) -> Operation[None]:
    """Write pairs of the instance and *keys*; *mirrored* says which halves: as they are, with the sides changed."""
    ours, theirs = manager.relation.source.attname, manager.relation.link.attname
    own = _own_key(manager)
    further = {name: value() if callable(value) else value for name, value in (through_defaults or {}).items()}
    for field in (manager.relation.source, manager.relation.link):
        further.pop(field.name, None)
    # Who is related to itself has one pair.
    pairs = dict.fromkeys((key, own) if turned else (own, key) for turned in mirrored for key in keys)
    made = [manager.through(**{**further, ours: one, theirs: other}) for one, other in pairs]
    rows = manager.through._default_manager.using(alias).all()
    # A through model of the user's own may have constraints that are not about the pair: they are not passed over.
    options = bulk_ops.Options(ignore_conflicts=manager.relation.field.has_own_table)
    yield from bulk_ops.bulk_create(rows, made, options)


def _pairs(manager: ManyRelatedManager[Any], keys: list[Any] | None) -> Q:
    """Return the condition on the through table for the pairs of the instance with *keys*, None for all."""
    source, link = manager.relation.source, manager.relation.link
    own = _own_key(manager)
    found = _led(source.name, link.name, own, keys)
    return found | _led(link.name, source.name, own, keys) if _is_symmetrical(manager) else found


def _led(start: str, end: str, own: Any, keys: list[Any] | None) -> Q:
    wanted: dict[str, Any] = {start: own}
    if keys is not None:
        wanted[f"{end}__in"] = keys
    return Q(**wanted)


@operation
def remove_related(manager: ManyRelatedManager[Any], objs: Sequence[Any]) -> Operation[None]:
    """Undo the relation to *objs*."""
    manager._forget()
    keys = [key for key in _keys(manager, objs, None) if key is not None]
    if keys:
        alias = writing_alias(manager, manager.through)
        yield from in_transaction(_delete(manager, alias, keys, "remove"), alias)


@operation
def clear_related(manager: ManyRelatedManager[Any]) -> Operation[None]:
    """Undo the relation to all objects."""
    manager._forget()
    alias = writing_alias(manager, manager.through)
    yield from in_transaction(_delete(manager, alias, None, "clear"), alias)


@operation
def _delete(manager: ManyRelatedManager[Any], alias: str, keys: list[Any] | None, action: str) -> Operation[None]:
    yield from _tell(manager, f"pre_{action}", keys, alias)
    rows = manager.through._default_manager.using(alias)
    for part in [None] if keys is None else _parts(keys, alias):
        yield from delete_ops.delete(rows.filter(_pairs(manager, part)))
    yield from _tell(manager, f"post_{action}", keys, alias)


@operation
def set_related(
    manager: ManyRelatedManager[Any], objs: list[Any], clear: bool, through_defaults: dict[str, Any] | None
) -> Operation[None]:
    """Relate exactly *objs* to the instance."""
    alias = writing_alias(manager, manager.through)
    _keys(manager, objs, alias)
    yield from in_transaction(_set_related(manager, objs, clear, through_defaults, alias), alias)


@operation
def _set_related(
    manager: ManyRelatedManager[Any],
    objs: list[Any],
    clear: bool,
    through_defaults: dict[str, Any] | None,
    alias: str,
) -> Operation[None]:
    if clear:
        yield from clear_related(manager)
        yield from add_related(manager, objs, through_defaults)
        return
    manager._forget()
    target = manager.relation.target_field
    rows = manager.get_queryset().using(alias).order_by()
    there = set((yield from fetch.fetch(rows.values_list(target.attname, flat=True))))
    wanted = _keys(manager, objs, alias)
    kept = there.intersection(wanted)
    yield from remove_related(manager, [key for key in there if key not in kept])
    yield from add_related(manager, [key for key in wanted if key not in kept], through_defaults)


@operation
def create_related(
    manager: ManyRelatedManager[Any], values: dict[str, Any], through_defaults: dict[str, Any] | None
) -> Operation[Any]:
    """Save a new row and relate it to the instance."""
    alias = writing_alias(manager, manager.model)
    return (yield from in_transaction(_create_related(manager, values, through_defaults, alias), alias))


@operation
def _create_related(
    manager: ManyRelatedManager[Any], values: dict[str, Any], through_defaults: dict[str, Any] | None, alias: str
) -> Operation[Any]:
    made = yield from save.create(manager._rows().using(alias), values)
    yield from add_related(manager, [made], through_defaults)
    return made


@operation
def get_or_create_related(
    manager: ManyRelatedManager[Any],
    defaults: Mapping[str, Any] | None,
    lookups: dict[str, Any],
    through_defaults: dict[str, Any] | None,
) -> Operation[tuple[Any, bool]]:
    """Return the related row that meets *lookups*, or a new one that gets related."""
    manager._forget()
    rows = manager.get_queryset().using(writing_alias(manager, manager.model))
    make = _maker(manager, through_defaults)
    return (yield from get_or_create.get_or_create(rows, defaults, lookups, manager._initial, make))


@operation
def update_or_create_related(
    manager: ManyRelatedManager[Any],
    defaults: Mapping[str, Any] | None,
    create_defaults: Mapping[str, Any] | None,
    lookups: dict[str, Any],
    through_defaults: dict[str, Any] | None,
) -> Operation[tuple[Any, bool]]:
    """Set *defaults* on the related row that meets *lookups*, or make one and relate it."""
    manager._forget()
    rows = manager.get_queryset().using(writing_alias(manager, manager.model))
    make = _maker(manager, through_defaults)
    return (yield from get_or_create.update_or_create(rows, defaults, create_defaults, lookups, manager._initial, make))


def _maker(manager: ManyRelatedManager[Any], through_defaults: dict[str, Any] | None) -> get_or_create.Create:
    def make(rows: QuerySet[Any], values: dict[str, Any]) -> Operation[Any]:
        return _create_related(manager, values, through_defaults, rows.db)

    return make
