"""Rows that are marked as deleted instead of being removed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dorm
from dorm import timezone
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import CallUser
from dorm.transaction import in_transaction


class SoftDeleteQuerySet(dorm.QuerySet[Any]):
    """A queryset whose ``delete`` marks rows; ``hard_delete`` removes them."""

    def delete(self, *, hard: bool = False) -> tuple[int, dict[str, int]]:
        """Mark the rows as deleted; *hard* removes them. Return how many, and how many of each model."""
        if hard:
            return super().delete()
        number = self.update(deleted_at=timezone.now())
        return number, {self.model._meta.label: number} if number else {}

    async def adelete(self, *, hard: bool = False) -> tuple[int, dict[str, int]]:
        """Async twin of `delete`."""
        if hard:
            return await super().adelete()
        number = await self.aupdate(deleted_at=timezone.now())
        return number, {self.model._meta.label: number} if number else {}

    def restore(self) -> int:
        """Take the mark away; return how many rows had one."""
        return self.filter(deleted_at__isnull=False).update(deleted_at=None)

    async def arestore(self) -> int:
        """Async twin of `restore`."""
        return await self.filter(deleted_at__isnull=False).aupdate(deleted_at=None)


class LiveManager(dorm.Manager.from_queryset(SoftDeleteQuerySet)):  # type: ignore[misc]  # a class made at run time
    """Rows that are not deleted."""

    def get_queryset(self) -> Any:
        """Return the rows without a mark."""
        return super().get_queryset().filter(deleted_at__isnull=True)


class EveryManager(dorm.Manager.from_queryset(SoftDeleteQuerySet)):  # type: ignore[misc]  # a class made at run time
    """Rows with and without the mark."""


class DeletedManager(dorm.Manager.from_queryset(SoftDeleteQuerySet)):  # type: ignore[misc]  # a class made at run time
    """Rows that are deleted."""

    def get_queryset(self) -> Any:
        """Return the rows with the mark."""
        return super().get_queryset().filter(deleted_at__isnull=False)


class SoftDeleteModel(dorm.Model):
    """Abstract: ``objects`` are the live rows, ``all_objects`` all, ``deleted_objects`` the deleted ones."""

    deleted_at = dorm.DateTimeField(null=True, blank=True, editable=False, db_index=True)

    objects = LiveManager()
    all_objects = EveryManager()
    deleted_objects = DeletedManager()

    class Meta:
        abstract = True
        base_manager_name = "all_objects"

    @property
    def is_deleted(self) -> bool:
        """True while the row is marked."""
        return self.deleted_at is not None

    def delete(self, using: str | None = None, keep_parents: bool = False, *, hard: bool = False,
               cascade: bool = False) -> tuple[int, dict[str, int]]:  # fmt: skip
        """Mark the row as deleted.

        Args:
            hard: remove it. cascade: mark the rows that point at it by a CASCADE key and are soft-deletable, too.
        Returns: how many rows, and how many of each model.
        """
        if hard:
            return super().delete(using=using, keep_parents=keep_parents)
        return run(_marked(self, using, cascade))

    async def adelete(self, using: str | None = None, keep_parents: bool = False, *, hard: bool = False,
                      cascade: bool = False) -> tuple[int, dict[str, int]]:  # fmt: skip
        """Async twin of `delete`."""
        if hard:
            return await super().adelete(using=using, keep_parents=keep_parents)
        return await arun(_marked(self, using, cascade))

    def restore(self, using: str | None = None) -> None:
        """Take the mark away."""
        self.deleted_at = None
        self.save(using=using, update_fields=["deleted_at"])

    async def arestore(self, using: str | None = None) -> None:
        """Async twin of `restore`."""
        self.deleted_at = None
        await self.asave(using=using, update_fields=["deleted_at"])


@operation
def _marked(obj: Any, using: str | None, cascade: bool) -> Operation[tuple[int, dict[str, int]]]:
    counts: dict[str, int] = {}
    marking = _mark(obj, using, cascade, timezone.now(), counts)
    if cascade:
        yield from in_transaction(marking, using or obj._state.db or "default")
    else:
        yield from marking
    return sum(counts.values()), counts


def _mark(obj: Any, using: str | None, cascade: bool, now: datetime, counts: dict[str, int]) -> Operation[None]:
    obj.deleted_at = now
    yield CallUser(obj.save, obj.asave, using=using, update_fields=["deleted_at"])
    label = type(obj)._meta.label
    counts[label] = counts.get(label, 0) + 1
    if not cascade:
        return
    for relation in type(obj)._meta.relations.values():
        field = getattr(relation, "field", None)
        if field is None or getattr(relation, "many_to_many", False) or not issubclass(field.model, SoftDeleteModel):
            continue
        if getattr(field, "on_delete", None) is not dorm.CASCADE:
            continue
        rows = field.model.objects.using(using or obj._state.db).filter(**{field.name: obj})
        for row in (yield CallUser(lambda rows=rows: list(rows), _fetched, **_for(rows))):
            yield from _mark(row, using, cascade, now, counts)


def _for(rows: Any) -> dict[str, Any]:
    return {"rows": rows}


async def _fetched(rows: Any) -> list[Any]:
    return [row async for row in rows]
