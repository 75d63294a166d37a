"""Deleting rows with what hangs on them: what each foreign key's ``on_delete`` says, in one transaction."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dorm.db.operation import Operation, operation
from dorm.exceptions import ProtectedError, RestrictedError
from dorm.queryset.ops import announce, fetch, write
from dorm.queryset.ops.save import alias_for_write
from dorm.signals import post_delete, pre_delete
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

Deleted = tuple[int, dict[str, int]]


@operation
def delete(qs: QuerySet[Any, Any]) -> Operation[Deleted]:
    """Delete the rows of *qs*; by one statement where nothing points at them and nobody listens."""
    announce.refuse_read_only(qs.model._meta, "delete()")
    if qs._plan.query.kind != "object":
        raise TypeError("Cannot call delete() after .values() or .values_list()")
    if qs._plan.query.distinct:
        raise TypeError("Cannot call delete() after .distinct().")
    if _is_plain(qs.model):
        return _result(Counter({qs.model._meta.label: (yield from write.delete_rows(qs))}))
    database = write.writing(qs)
    return (yield from in_transaction(_delete_all(qs.using(database.alias)), database.alias))


@operation
def delete_instance(instance: Any, using: str | None, keep_parents: bool = False) -> Operation[Deleted]:
    """Delete the row of one instance, and take the key off the instance."""
    meta = instance._meta
    announce.refuse_read_only(meta, "delete()")
    if instance.pk is None:
        raise ValueError(
            f"{meta.object_name} object can't be deleted because its {meta.pk.attname} attribute is set to None."
        )
    alias = alias_for_write(instance, using)
    rows = type(instance)._base_manager.get_queryset().using(alias).filter(pk=instance.pk)
    if _is_plain(type(instance)):
        result = yield from delete(rows)
    else:
        counts: Counter[str] = Counter()
        yield from in_transaction(_with_dependents(rows, [instance], alias, counts, set()), alias)
        result = _result(counts)
    instance.__dict__[meta.pk.attname] = None
    return result


def _is_plain(model: Any) -> bool:
    return not model._meta.relations and not pre_delete.has_listeners and not post_delete.has_listeners


def _result(counts: Counter[str]) -> Deleted:
    return counts.total(), {label: number for label, number in counts.items() if number}


@operation
def _delete_all(qs: QuerySet[Any, Any]) -> Operation[Deleted]:
    counts: Counter[str] = Counter()
    rows = yield from fetch.fetch(qs._clone())
    if rows:
        yield from _with_dependents(qs, rows, qs._alias or "default", counts, set())
    return _result(counts)


@operation
def _with_dependents(
    qs: QuerySet[Any, Any], rows: list[Any], alias: str, counts: Counter[str], seen: set[Any]
) -> Operation[None]:
    """Delete *rows*, those that depend on them first."""
    fresh = [row for row in rows if (type(row), row.pk) not in seen]
    if not fresh:
        return
    seen.update((type(row), row.pk) for row in fresh)
    model = type(fresh[0])
    if pre_delete.has_listeners:
        for row in fresh:
            yield from announce.announce(pre_delete, model, instance=row, using=alias)
    for relation in model._meta.relations.values():
        if relation.many_to_many:
            continue  # the keys of its through model do it
        yield from _dependents(relation, fresh, alias, counts, seen)
    manager = model._base_manager
    keys = [row.pk for row in fresh]
    for part in _parts(keys, fetch.reading(qs).dialect.max_parameters):
        found = manager.get_queryset().using(alias).filter(pk__in=part)
        counts[model._meta.label] += yield from write.delete_rows(found)
    if post_delete.has_listeners:
        for row in fresh:
            yield from announce.announce(post_delete, model, instance=row, using=alias)


@operation
def _dependents(relation: Any, rows: list[Any], alias: str, counts: Counter[str], seen: set[Any]) -> Operation[None]:
    """Do what the foreign key of *relation* says to the rows that point at *rows*."""
    field = relation.field
    rule = field.on_delete.name
    if rule == "DO_NOTHING":
        return
    keys = [getattr(row, field.target_field.attname) for row in rows]
    manager = field.model._base_manager
    start = manager.get_queryset().using(alias)
    for part in _parts(keys, fetch.reading(start).dialect.max_parameters):
        pointing = start.filter(**{f"{field.name}__in": part})
        if rule == "SET_NULL":
            yield from write.update(pointing, {field.name: None})
            continue
        found = yield from fetch.fetch(pointing)
        if found and rule != "CASCADE":
            error = ProtectedError if rule == "PROTECT" else RestrictedError
            raise error(
                f"Cannot delete some instances of model {rows[0]._meta.object_name!r} because they are referenced "
                f"through {'protected' if rule == 'PROTECT' else 'restricted'} foreign keys: {field}.",
                set(found),
            )
        yield from _with_dependents(pointing, found, alias, counts, seen)


def _parts(keys: list[Any], most: int) -> list[list[Any]]:
    size = max(1, most // 2)
    return [keys[start : start + size] for start in range(0, len(keys), size)]
