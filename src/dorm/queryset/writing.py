"""The query methods that write rows; `Queryable` inherits them. Each is its signature, its promise and one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dorm.db.operation import arun, run
from dorm.queryset import ops

if TYPE_CHECKING:
    from dorm.expressions.predicate import Q
    from dorm.queryset.queryset import QuerySet

M = TypeVar("M")
R = TypeVar("R")


class Writing(Generic[M, R]):
    """Methods that insert and update rows."""

    __slots__ = ()

    def _queryset(self) -> QuerySet[M, R]:
        """Return the queryset the methods work on."""
        raise NotImplementedError

    def _initial(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values of a new row, with those that this start implies."""
        return values

    def create(self, **values: Any) -> M:
        """Save a new instance and return it."""
        # Not one operation that makes the instance and saves it: a level of generators is 2 % of a row's INSERT.
        instance: M
        instance, saving = ops.save.creating(self._queryset(), self._initial(values))
        run(saving)
        return instance

    async def acreate(self, **values: Any) -> M:
        """Async twin of `create`."""
        instance: M
        instance, saving = ops.save.creating(self._queryset(), self._initial(values))
        await arun(saving)
        return instance

    def get_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """Return the row that meets *lookups*, or a new one, and whether it is new.

        Args:
            defaults: values of a new row beside those of the lookups (without suffix); functions are called.
        Raises: FieldError: names of a new row that the model does not have. IntegrityError: no row could be made.
        """
        found = ops.get_or_create.get_or_create(self._queryset(), defaults, lookups, self._initial)
        return run(found)

    async def aget_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """Async twin of `get_or_create`."""
        return await arun(ops.get_or_create.get_or_create(self._queryset(), defaults, lookups, self._initial))

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Set *defaults* on the row that meets *lookups* (locked meanwhile), or make one; return whether it is new.

        Args:
            create_defaults: values of a new row instead of *defaults*.
        """
        made = ops.get_or_create.update_or_create(self._queryset(), defaults, create_defaults, lookups, self._initial)
        return run(made)

    async def aupdate_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """Async twin of `update_or_create`."""
        made = ops.get_or_create.update_or_create(self._queryset(), defaults, create_defaults, lookups, self._initial)
        return await arun(made)

    def bulk_create(
        self,
        objs: Iterable[M],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Iterable[str] | None = None,
        unique_fields: Iterable[str] | None = None,
        returning: Iterable[str] | None = None,
    ) -> list[M]:
        """Insert *objs* in few statements and one transaction; keys are filled in, order is kept.

        Args:
            objs: instances of this model; keys may be set on some of them.
            batch_size: rows a statement; None = 5,000.
            ignore_conflicts: skip rows that clash with a constraint; keys are not filled in then.
            update_conflicts: set *update_fields* of the row that has the same *unique_fields*.
            returning: names to read back beside the keys (nothing at all, keys neither, for an empty list).
        Raises:
            IntegrityError: a constraint failed; nothing of the call is kept.
            ValueError: options that contradict one another; a model over several tables.
        ``save()`` is not called and no signal sent.
        """
        options = ops.bulk.Options(
            batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields, returning
        )
        return run(ops.bulk.bulk_create(self._queryset(), objs, options))

    async def abulk_create(
        self,
        objs: Iterable[M],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Iterable[str] | None = None,
        unique_fields: Iterable[str] | None = None,
        returning: Iterable[str] | None = None,
    ) -> list[M]:
        """Async twin of `bulk_create`."""
        options = ops.bulk.Options(
            batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields, returning
        )
        return await arun(ops.bulk.bulk_create(self._queryset(), objs, options))

    def bulk_update(self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Write *fields* of many instances in few statements and one transaction; return how many rows matched.

        Args:
            objs: saved instances; values may be expressions.
            fields: names of columns, not of the key.
            batch_size: rows a statement; None = as many as fit.
        ``save()`` is not called and no signal sent.
        """
        return run(ops.bulk_update.bulk_update(self._queryset(), objs, fields, batch_size))

    async def abulk_update(self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Async twin of `bulk_update`."""
        return await arun(ops.bulk_update.bulk_update(self._queryset(), objs, fields, batch_size))

    def bulk_update_when(
        self,
        cases: Iterable[tuple[Q | Mapping[str, Any], Mapping[str, Any]]],
        *,
        default: Mapping[str, Any] | None = None,
    ) -> int:
        """Set columns by condition in one statement: each row takes the values of the first case it meets.

        Args:
            cases: pairs of a condition (a Q, or lookups as a dict) and the values by field.
            default: values of the rows that meet none; without it these rows are left alone.
        Returns: the number of rows that matched.
        """
        return run(ops.bulk_update.bulk_update_when(self._queryset(), cases, default))

    async def abulk_update_when(
        self,
        cases: Iterable[tuple[Q | Mapping[str, Any], Mapping[str, Any]]],
        *,
        default: Mapping[str, Any] | None = None,
    ) -> int:
        """Async twin of `bulk_update_when`."""
        return await arun(ops.bulk_update.bulk_update_when(self._queryset(), cases, default))

    def update(self, **values: Any) -> int:
        """Set columns of all rows by one statement; return how many rows matched. ``save()`` is not called."""
        return run(ops.write.update(self._queryset(), values))

    async def aupdate(self, **values: Any) -> int:
        """Async twin of `update`."""
        return await arun(ops.write.update(self._queryset(), values))
