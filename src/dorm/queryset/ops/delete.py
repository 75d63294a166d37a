"""Deleting rows with what hangs on them, in one transaction: carries out what `dorm.models.deletion` found."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from dorm.db.connection import connections
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Execute
from dorm.exceptions import UnsavedInstance
from dorm.models.deletion import Deletion, collect, is_plain
from dorm.queryset.combine import refuse
from dorm.queryset.known import Parent
from dorm.queryset.ops import announce, fetch, rowwrite, write
from dorm.queryset.ops.save import alias_for_write
from dorm.signals import Signal, post_delete, pre_delete
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

Deleted: TypeAlias = "tuple[int, dict[str, int]]"


@operation
def delete(qs: QuerySet[Any, Any]) -> Operation[Deleted]:
    """Delete the rows of *qs*; by one statement where nothing points at them and nobody listens."""
    result = yield from _deleted(qs)
    qs._rows = None
    return result


@operation
def _deleted(qs: QuerySet[Any, Any]) -> Operation[Deleted]:
    announce.refuse_read_only(qs.model._meta, "delete()")
    if qs._plan.query.kind != "object":
        raise TypeError("Cannot call delete() after .values() or .values_list()")
    refuse(qs._plan.query, "delete")
    if qs._plan.query.distinct_on:
        raise TypeError("Cannot call delete() after .distinct(*fields).")
    database = write.writing(qs)
    if isinstance(qs._hints, Parent):
        qs._hints.forget()
    qs = qs.using(database.alias)
    if is_plain(qs.model):
        return _result(Counter({qs.model._meta.label: (yield from write.delete_rows(qs))}))
    deletion = Deletion(database, qs)
    result = yield from in_transaction(_delete_rows(qs, deletion), database.alias)
    _take_keys(deletion)
    return result


@operation
def delete_instance(instance: Any, using: str | None, keep_parents: bool = False) -> Operation[Deleted]:
    """Delete the row of one instance, and take the key off the instance."""
    meta = instance._meta
    announce.refuse_read_only(meta, "delete()")
    if not instance._is_pk_set():
        raise UnsavedInstance(
            f"{meta.object_name} object can't be deleted because its {meta.pk.attname} attribute is set to None."
        )
    database = connections[alias_for_write(instance, using)]
    if is_plain(type(instance)):
        if meta.base_manager.starts_with_all:
            statement = rowwrite.usual_delete(meta.concrete_model._meta, database.dialect).statement(instance)
            number = yield from perform(Execute(database, statement))
        else:
            rows = meta.base_manager.get_queryset().using(database.alias).filter(pk=instance.pk)
            number = yield from write.delete_rows(rows)
        _take_key(instance)
        return number, {meta.label: number} if number else {}
    deletion = Deletion(database, instance)
    result = yield from in_transaction(_delete_instance(instance, deletion, keep_parents), database.alias)
    _take_keys(deletion)
    return result


def _result(counts: Counter[str]) -> Deleted:
    return counts.total(), {label: number for label, number in counts.items() if number}


@operation
def _delete_rows(qs: QuerySet[Any, Any], deletion: Deletion) -> Operation[Deleted]:
    qs = qs.select_related(None).prefetch_related(None)
    rows = yield from fetch.fetch(qs.order_by() if not qs._plan.query.is_sliced else qs)
    yield from collect(deletion, rows)
    return (yield from _carry_out(deletion))


@operation
def _delete_instance(instance: Any, deletion: Deletion, keep_parents: bool) -> Operation[Deleted]:
    yield from collect(deletion, [instance], keep_parents)
    return (yield from _carry_out(deletion))


@operation
def _carry_out(deletion: Deletion) -> Operation[Deleted]:
    """Tell receivers, set columns, delete; return the counts."""
    deletion.settle()
    counts: Counter[str] = Counter()
    yield from _tell(pre_delete, deletion, None)
    for qs in deletion.whole:
        counts[qs.model._meta.label] += yield from write.delete_rows(qs)
    for field, value, qs in deletion.updates:
        yield from write.update_table(qs, {field.name: value}, deletion.database)
    for model, rows in deletion.rows.items():
        keys = sorted(rows, reverse=True) if _sortable(rows) else list(rows)
        start = model._meta.base_manager.get_queryset().using(deletion.database.alias)
        for part in write.parts(keys, deletion.database, len(model._meta.pk_fields)):
            counts[model._meta.label] += yield from write.delete_rows(start.filter(pk__in=part))
        yield from _tell(post_delete, deletion, model)
    return _result(counts)


def _sortable(keys: Any) -> bool:
    return all(type(key) is int for key in keys)


@operation
def _tell(signal: Signal, deletion: Deletion, only: Any) -> Operation[None]:
    """Call the receivers for the instances of one model, or of all."""
    if not signal.is_connected:
        return
    alias, origin = deletion.database.alias, deletion.origin
    for model, rows in deletion.rows.items():
        if only in (None, model) and not model._meta.auto_created:
            for row in list(rows.values()):
                yield from announce.announce(signal, model, instance=row, using=alias, origin=origin)


def _take_keys(deletion: Deletion) -> None:
    """Take the keys off the instances whose rows are gone: once COMMIT, which may refuse it, has been."""
    for rows in deletion.rows.values():
        for row in rows.values():
            _take_key(row)


def _take_key(instance: Any) -> None:
    for field in instance._meta.pk_fields:
        instance.__dict__[field.attname] = None
