"""What a deletion takes with it: found out first, as a value; `dorm.queryset.ops.delete` carries it out.

The rules are those of each foreign key's ``on_delete``. Rows that nobody needs to see (nothing points at them, nobody
listens, no parents) are kept as querysets and deleted by one statement each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from dorm.db.connection import Database
from dorm.db.operation import Operation, operation
from dorm.exceptions import ProtectedError, RestrictedError
from dorm.expressions.predicate import Q
from dorm.models.state import ORIGIN
from dorm.queryset.ops import fetch
from dorm.queryset.ops.write import parts
from dorm.signals import post_delete, pre_delete

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

_SETTERS = ("SET_NULL", "SET_DEFAULT", "SET")


class Deletion:
    """The rows to delete by model, those to update, and the order that foreign keys demand.

    Attributes:
        database: where it happens.
        origin: the instance or queryset that was asked to be deleted.
        rows: instances by model and key, in the order they are to be deleted once `settle` was called.
        whole: querysets of rows that are deleted unseen.
        updates: (foreign key, new value, queryset of the rows that point at what goes).
    """

    def __init__(self, database: Database, origin: Any) -> None:
        self.database = database
        self.origin = origin
        self.rows: dict[Any, dict[Any, Any]] = {}
        self.whole: list[QuerySet[Any, Any]] = []
        self.updates: list[tuple[Any, Any, QuerySet[Any, Any]]] = []
        self._seen: set[tuple[Any, Any]] = set()
        self._first: dict[Any, set[Any]] = {}
        self._restricted: dict[Any, dict[Any, list[Any]]] = {}

    # -- what is known -------------------------------------------------------------------------------------------
    def add(self, objs: Iterable[Any]) -> list[Any]:
        """Take instances of one model; return those that were not known."""
        fresh = []
        for obj in objs:
            identity = (obj._meta.concrete_model, obj.pk)
            if identity not in self._seen:
                self._seen.add(identity)
                self.rows.setdefault(type(obj), {})[obj.pk] = obj
                fresh.append(obj)
        return fresh

    def goes_first(self, model: Any, before: Any) -> None:
        """Note that the rows of *model* are to be deleted before those of *before*."""
        self._first.setdefault(before._meta.concrete_model, set()).add(model._meta.concrete_model)

    def settle(self) -> None:
        """Put the models in the order that their foreign keys demand; a cycle is left to deferred constraints."""
        left, found = list(self.rows), list[Any]()
        done: set[Any] = set()
        while left:
            ready = [model for model in left if not self._before(model, left) - done]
            if not ready:
                break
            found.extend(ready)
            done.update(model._meta.concrete_model for model in ready)
            left = [model for model in left if model not in ready]
        self.rows = {model: self.rows[model] for model in [*found, *left]}

    def _before(self, model: Any, left: list[Any]) -> set[Any]:
        wanted = self._first.get(model._meta.concrete_model, set()) - {model._meta.concrete_model}
        return wanted & {other._meta.concrete_model for other in left}

    # -- restricted rows -----------------------------------------------------------------------------------------
    def restrict(self, field: Any, objs: Sequence[Any]) -> None:
        """Note rows that forbid the deletion unless they turn out to be deleted as well."""
        self._restricted.setdefault(field.model, {}).setdefault(field, []).extend(objs)
        self.goes_first(field.model, field.target)

    @operation
    def check_restricted(self, model: Any) -> Operation[None]:
        """Raise RestrictedError for restricted rows that nothing else deletes."""
        found: dict[str, list[Any]] = {}
        for owner, fields in self._restricted.items():
            for field, objs in fields.items():
                left = [obj for obj in objs if (owner._meta.concrete_model, obj.pk) not in self._seen]
                for qs in self.whole if left else ():
                    if qs.model._meta.concrete_model is owner._meta.concrete_model:
                        keys = [obj.pk for obj in left]
                        gone = yield from fetch.fetch(qs.filter(pk__in=keys).values_list("pk", flat=True))
                        left = [obj for obj in left if obj.pk not in set(gone)]
                if left:
                    found[f"'{owner.__name__}.{field.name}'"] = left
        if found:
            raise RestrictedError(
                f"Cannot delete some instances of model {model.__name__!r} because they are referenced through "
                f"restricted foreign keys: {', '.join(found)}.",
                set(chain.from_iterable(found.values())),
            )


# -- collecting --------------------------------------------------------------------------------------------------


@operation
def collect(deletion: Deletion, objs: Sequence[Any], keep_parents: bool = False) -> Operation[None]:
    """Find out what the deletion of *objs* (instances of one model) takes with it.

    Raises: ProtectedError, RestrictedError.
    """
    yield from _collect(deletion, objs, None, keep_parents)
    if objs:
        yield from deletion.check_restricted(type(objs[0]))


@operation
def _collect(deletion: Deletion, objs: Sequence[Any], source: Any, keep_parents: bool = False) -> Operation[None]:
    """Collect *objs*; *source* is the foreign key they were found by, None for those asked for."""
    fresh = deletion.add(objs)
    if not fresh:
        return
    model = type(fresh[0])
    if source is not None and not (source.null and _defers(deletion)):
        deletion.goes_first(model, source.target)
    meta = model._meta
    relations = meta.dependents
    if keep_parents:
        relations = tuple(each for each in relations if each.model._meta.concrete_model not in meta.all_parents)
    else:
        yield from _collect_parents(deletion, fresh)
    yield from _collect_dependents(deletion, fresh, relations)
    for field in meta.private_fields:
        related = getattr(field, "bulk_related_objects", None)
        if related is not None:
            qs = related(fresh, deletion.database.alias)
            if is_plain(qs.model):
                deletion.whole.append(qs)
            else:
                yield from _collect(deletion, (yield from fetch.fetch(qs)), None)


def _defers(deletion: Deletion) -> bool:
    return deletion.database.dialect.supports_deferrable_constraints


@operation
def _collect_parents(deletion: Deletion, objs: Sequence[Any]) -> Operation[None]:
    """Collect the rows in the tables of the parents, which go after those of the child."""
    model = type(objs[0])
    for parent, link in model._meta.concrete_model._meta.parents.items():
        above = deletion.add([parent_of(obj, parent, link) for obj in objs])
        deletion.goes_first(model, parent)
        if above:
            yield from _collect_parents(deletion, above)
            # Other children of the same rows; everything else that points at them points at the child as well.
            others = [each for each in parent._meta.dependents if getattr(each.field, "parent_link", False)]
            yield from _collect_dependents(deletion, above, [each for each in others if each.target is not model])


def parent_of(obj: Any, parent: Any, link: Any) -> Any:
    """Return the row of *obj* in the table of *parent*, as an instance made of what *obj* holds."""
    values = obj.__dict__
    made = parent.__new__(parent)
    made.__dict__.update({name: values[name] for name in parent._meta.attnames if name in values})
    made.__dict__[parent._meta.pk.attname] = getattr(obj, link.attname)
    if ORIGIN in values:
        made.__dict__[ORIGIN] = values[ORIGIN]
    return made


@operation
def _collect_dependents(deletion: Deletion, objs: Sequence[Any], relations: Sequence[Any]) -> Operation[None]:
    """Do what the foreign keys that point at *objs* say."""
    protected: dict[str, list[Any]] = {}
    unseen: dict[Any, list[Any]] = {}
    for relation in relations:
        field = relation.field
        rule = field.on_delete.name
        if rule == "CASCADE" and is_plain(field.model, field):
            unseen.setdefault(field.model, []).append(field)
            continue
        for qs in _pointing(deletion, objs, [field]):
            if rule in _SETTERS:
                made = field.default if rule == "SET_DEFAULT" else field.on_delete.value
                if callable(made) and not (yield from fetch.exists(qs)):
                    # The function may make a row to point at: it is asked only where there is one to point from.
                    continue
                deletion.updates.append((field, _new_value(field), qs))
                continue
            found = yield from fetch.fetch(_narrowed(qs, field) if rule == "CASCADE" else qs)
            if rule == "PROTECT" and found:
                protected.setdefault(f"'{field.model.__name__}.{field.name}'", []).extend(found)
            elif rule == "RESTRICT" and found:
                deletion.restrict(field, found)
            elif rule == "CASCADE" and found:
                yield from _collect(deletion, found, field)
                if field.null and not _defers(deletion):
                    deletion.updates.append((field, None, qs))
    if protected:
        raise ProtectedError(
            f"Cannot delete some instances of model {type(objs[0]).__name__!r} because they are referenced through "
            f"protected foreign keys: {', '.join(protected)}.",
            set(chain.from_iterable(protected.values())),
        )
    for fields in unseen.values():
        deletion.whole.extend(_pointing(deletion, objs, fields))


def _new_value(field: Any) -> Any:
    rule = field.on_delete
    if rule.name == "SET_DEFAULT":
        return field.get_default()
    if rule.name == "SET":
        return rule.value() if callable(rule.value) else rule.value
    return None


def _pointing(deletion: Deletion, objs: Sequence[Any], fields: Sequence[Any]) -> list[QuerySet[Any, Any]]:
    """Return querysets of the rows that point at *objs* by one of *fields*, as few as the dialect allows."""
    start = fields[0].model._base_manager.get_queryset().using(deletion.database.alias)
    found = []
    for part in parts(list(objs), deletion.database):
        condition = Q()
        for field in fields:
            keys = [getattr(obj, field.target_field.attname) for obj in part]
            condition |= Q((f"{field.name}__in", [key for key in keys if key is not None]))
        found.append(start.filter(condition))
    return found


def _narrowed(qs: QuerySet[Any, Any], field: Any) -> QuerySet[Any, Any]:
    """Load the columns alone that the deletion looks at, where nobody else sees the instances."""
    meta = qs.model._meta
    if is_listened(qs.model) or meta.private_fields or not meta.hydrates_directly:
        return qs
    names = {relation.field.target_field.attname for relation in meta.dependents}
    names.update(column.attname for column in meta.pk_fields)
    names.update(link.attname for each in [qs.model, *meta.all_parents] for link in each._meta.parents.values())
    return qs.only(*sorted(names))


# -- what a model is pointed at by -------------------------------------------------------------------------------


def is_listened(model: Any) -> bool:
    """Return whether anybody wants to know of deleted rows of *model*."""
    if not pre_delete.is_connected and not post_delete.is_connected:
        return False
    return not model._meta.auto_created and bool(pre_delete.live_receivers(model) or post_delete.live_receivers(model))


def is_plain(model: Any, link: Any = None) -> bool:
    """Return whether rows of *model* can go by one statement, unseen; *link* is the foreign key they are found by."""
    meta = model._meta
    parents, others = meta.concrete_model._meta.parents, meta.private_fields
    return (
        not is_listened(model)
        and not (parents and [each for each in parents.values() if each is not link])
        and not (others and [field for field in others if hasattr(field, "bulk_related_objects")])
        and not meta.dependents
    )
