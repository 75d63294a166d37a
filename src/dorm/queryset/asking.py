"""The query methods that ask about rows; `Queryable` inherits them. Each is its signature, its promise and one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dorm.db.operation import arun, run
from dorm.queryset import ops
from dorm.queryset.ops import fetch

if TYPE_CHECKING:
    from dorm.expressions.predicate import Q
    from dorm.queryset.ops.ask import CursorPage
    from dorm.queryset.queryset import QuerySet
    from dorm.sql.node import Node

M = TypeVar("M")
R = TypeVar("R")


class Asking(Generic[M, R]):
    """Methods that send a query and return what it says."""

    __slots__ = ()

    def _queryset(self) -> QuerySet[M, R]:
        """Return the queryset the methods work on."""
        raise NotImplementedError

    def get_or_none(self, *args: Q | Node, **kwargs: Any) -> R | None:
        """Return the one row that matches, None where there is none; raise MultipleObjectsReturned."""
        row: R | None = run(ops.ask.get_or_none(self._queryset(), args, kwargs))
        return row

    async def aget_or_none(self, *args: Q | Node, **kwargs: Any) -> R | None:
        """Async twin of `get_or_none`."""
        row: R | None = await arun(ops.ask.get_or_none(self._queryset(), args, kwargs))
        return row

    def earliest(self, *fields: str | Node) -> R:
        """Return the first row by these fields, or by ``Meta.get_latest_by``; raise Model.DoesNotExist."""
        row: R = run(ops.ask.extreme(self._queryset(), fields, latest=False))
        return row

    async def aearliest(self, *fields: str | Node) -> R:
        """Async twin of `earliest`."""
        row: R = await arun(ops.ask.extreme(self._queryset(), fields, latest=False))
        return row

    def latest(self, *fields: str | Node) -> R:
        """Return the last row by these fields, or by ``Meta.get_latest_by``; raise Model.DoesNotExist."""
        row: R = run(ops.ask.extreme(self._queryset(), fields, latest=True))
        return row

    async def alatest(self, *fields: str | Node) -> R:
        """Async twin of `latest`."""
        row: R = await arun(ops.ask.extreme(self._queryset(), fields, latest=True))
        return row

    def contains(self, obj: Any) -> bool:
        """Return whether *obj*, a saved instance, is among the rows, without fetching them."""
        return run(ops.ask.contains(self._queryset(), obj))

    async def acontains(self, obj: Any) -> bool:
        """Async twin of `contains`."""
        return await arun(ops.ask.contains(self._queryset(), obj))

    def explain(self, *, format: str | None = None, **options: Any) -> str:
        """Return how the database would find the rows.

        Args:
            format: ``text``, ``json``, ``yaml`` or ``xml`` on PostgreSQL.
            options: ``analyze``, ``verbose`` and further ones of the backend's EXPLAIN.
        Raises: ValueError: a format or option that the backend has not.
        """
        return run(ops.ask.explain(self._queryset(), format, options))

    async def aexplain(self, *, format: str | None = None, **options: Any) -> str:
        """Async twin of `explain`."""
        return await arun(ops.ask.explain(self._queryset(), format, options))

    async def avalues(self, *names: str, **expressions: Any) -> list[dict[str, Any]]:
        """Return the dicts of `values`."""
        rows: list[dict[str, Any]] = await arun(fetch.fetch(self._queryset().values(*names, **expressions)))
        return rows

    async def avalues_list(self, *names: str | Node, flat: bool = False, named: bool = False) -> list[Any]:
        """Return the rows of `values_list`."""
        return await arun(fetch.fetch(self._queryset().values_list(*names, flat=flat, named=named)))

    async def araw(
        self, sql: str, params: Any = (), translations: Mapping[str, str] | None = None, using: str | None = None
    ) -> list[M]:
        """Return the instances of `raw`."""
        return await self._queryset().raw(sql, params, translations, using)

    async def adates(self, field: str, kind: str, order: str = "ASC") -> list[Any]:
        """Return the dates of `dates`."""
        return await arun(fetch.fetch(self._queryset().dates(field, kind, order)))

    async def adatetimes(self, field: str, kind: str, order: str = "ASC", tzinfo: Any = None) -> list[Any]:
        """Return the moments of `datetimes`."""
        return await arun(fetch.fetch(self._queryset().datetimes(field, kind, order, tzinfo)))

    def cursor_paginate(
        self, *, after: str | None = None, order_by: str | Sequence[str] = "pk", page_size: int = 50
    ) -> CursorPage[R]:
        """Return one page of rows; its ``next_cursor`` given as *after* leads to the next.

        Pages are found by comparing with the last row's values, ties broken by the key: rows that are inserted or
        deleted meanwhile shift nothing, and a late page costs no more than an early one.

        Args:
            order_by: a name (``-name`` descending, paths allowed) or several.
        Raises: ValueError: *after* is no cursor of this order.
        """
        return run(ops.ask.cursor_page(self._queryset(), after, order_by, page_size))

    async def acursor_paginate(
        self, *, after: str | None = None, order_by: str | Sequence[str] = "pk", page_size: int = 50
    ) -> CursorPage[R]:
        """Async twin of `cursor_paginate`."""
        return await arun(ops.ask.cursor_page(self._queryset(), after, order_by, page_size))
