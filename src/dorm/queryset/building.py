"""Further query methods that return a queryset; `Queryable` inherits them. Each is signature, promise and a line.

What few queries need (common table expressions, raw ones, truncated dates) is loaded with its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dorm.cache.wanted import CacheSettings, checked_timeout
from dorm.expressions.predicate import Q
from dorm.queryset import build
from dorm.queryset.combine import refuse
from dorm.queryset.combining import combined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dorm.expressions.subquery import Subquery
    from dorm.queryset.queryset import QuerySet
    from dorm.queryset.raw import RawQuerySet

M = TypeVar("M")
R = TypeVar("R")


class Building(Generic[M, R]):
    """Methods that combine, lock, truncate and leave the query language."""

    __slots__ = ()

    def _queryset(self) -> QuerySet[M, R]:
        """Return the queryset the methods work on."""
        raise NotImplementedError

    # -- the query cache -----------------------------------------------------------------------------------------
    def cache(self, timeout: int | None = None, *, using: str = "default") -> QuerySet[M, R]:
        """Return a queryset whose rows are kept in the cache *using* until a model it touches is written to.

        Args:
            timeout: seconds; None: the cache's ``TTL``, 0: no end. using: key of ``CACHES``.

        Without ``CACHES`` it is a plain copy.
        """
        qs = self._queryset()._clone()
        qs._cache = CacheSettings(checked_timeout(timeout), using)
        return qs

    # -- several queries -----------------------------------------------------------------------------------------
    def union(self, *others: QuerySet[Any, Any], all: bool = False) -> QuerySet[M, R]:
        """Return the rows of all these querysets; equal ones once, unless *all*.

        The result can be ordered by its columns, sliced, counted, and taken apart by ``values``; everything else raises
        NotSupportedError.
        """
        qs = self._queryset()
        return qs._with(*combined(qs._plan, qs._values, "union", others, all)) if others else qs._clone()

    def intersection(self, *others: QuerySet[Any, Any]) -> QuerySet[M, R]:
        """Return the rows that all these querysets have."""
        qs = self._queryset()
        return qs._with(*combined(qs._plan, qs._values, "intersection", others)) if others else qs._clone()

    def difference(self, *others: QuerySet[Any, Any]) -> QuerySet[M, R]:
        """Return the rows of this queryset that none of the others has."""
        qs = self._queryset()
        return qs._with(*combined(qs._plan, qs._values, "difference", others)) if others else qs._clone()

    def union_with(self, *others: Any, all: bool = False, order_by: list[str] | None = None) -> QuerySet[M, Any]:
        """Return one list of rows out of several models, their columns put together by name.

        Args:
            others: managers, querysets, models, or ``(source, {name: field or expression})``.
            all: equal rows are kept. order_by: names of the columns, ``-name`` descending.
        Rows are instances where all sources are plain querysets of one model, else dicts.
        Raises: TypeError: a source or the type of a column does not fit. ValueError: columns are missing or unknown.
        """
        from dorm.queryset.union_with import union_with

        return union_with(self._queryset(), others, all, order_by)

    def with_cte(self, **queries: Any) -> QuerySet[M, R]:
        """Put named queries in front (WITH): querysets or `CTE` objects, for use in RawSQL and raw conditions."""
        from dorm.queryset.cte import cte_of

        return cte_of(self._queryset(), queries)

    # -- conditions ----------------------------------------------------------------------------------------------
    def complex_filter(self, condition: Q | Mapping[str, Any]) -> QuerySet[M, R]:
        """As `filter`, with a Q or a dict of lookups."""
        qs = self._queryset()
        refuse(qs._plan.query, "complex_filter")
        if isinstance(condition, Q):
            return qs.filter(condition)
        return qs.filter(**condition)

    # -- locks ---------------------------------------------------------------------------------------------------
    def select_for_update(
        self,
        nowait: bool = False,
        skip_locked: bool = False,
        of: tuple[str, ...] | list[str] | None = (),
        no_key: bool = False,
        *,
        no_wait: bool = False,
    ) -> QuerySet[M, R]:
        """Lock the rows until the end of the transaction (FOR UPDATE); nothing is locked on SQLite.

        Args:
            nowait, no_wait: raise OperationalError where a row is locked, instead of waiting.
            skip_locked: leave locked rows out.
            of: which tables: "self", and paths that select_related follows.
            no_key: the weaker lock that lets others refer to the rows.
        Raises: TransactionManagementError: evaluated outside a transaction. NotSupportedError: the backend has not the
            option.
        """
        qs = self._queryset()
        return qs._with(build.locking(qs._plan, nowait or no_wait, skip_locked, tuple(of or ()), no_key), qs._values)

    # -- moments -------------------------------------------------------------------------------------------------
    def dates(self, field: str, kind: str, order: str = "ASC") -> QuerySet[M, Any]:
        """Return the different dates of *field*, each the first day of its *kind*.

        Args:
            kind: year, quarter, month, week or day. order: ASC or DESC.
        """
        from dorm.queryset import truncate

        return truncate.dates(self._queryset(), field, kind, order)

    def datetimes(self, field: str, kind: str, order: str = "ASC", tzinfo: Any = None) -> QuerySet[M, Any]:
        """Return the different moments of *field*, each the start of its *kind*.

        Args:
            kind: year, quarter, month, week, day, hour, minute or second. order: ASC or DESC.
            tzinfo: the time zone in which they start; the current one by default.
        """
        from dorm.queryset import truncate

        return truncate.datetimes(self._queryset(), field, kind, order, tzinfo)

    # -- as part of another query --------------------------------------------------------------------------------
    def lookup(self, column: str | None = None) -> Subquery:
        """Return one column of these rows for another query: ``filter(author__in=authors.lookup("pk"))``.

        Args:
            column: a field, a path over relations, an annotation or "pk"; None takes the only column that was selected,
                or the primary key.
        Raises: FieldDoesNotExist: no such column. ValueError: several columns are selected.
        """
        return build.as_lookup(self._queryset(), column)

    # -- the user's own SQL --------------------------------------------------------------------------------------
    def raw(
        self, sql: str, params: Any = (), translations: Mapping[str, str] | None = None, using: str | None = None
    ) -> RawQuerySet[M]:
        """Return instances from a SELECT of yours; columns are matched by name, the others become attributes.

        Args:
            sql: text with ``%s`` (or ``%(name)s``) for *params*.
            translations: names of fields by the names of the columns.
        """
        from dorm.queryset.raw import RawQuerySet

        qs = self._queryset()
        return RawQuerySet(sql, qs.model, params, translations, using if using is not None else qs._alias)
