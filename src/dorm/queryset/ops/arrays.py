"""Many rows as one array parameter a column: one text for every number of rows (`Dialect.supports_unnest_insert`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dorm.db.statement import Template
from dorm.queryset.ops import rowbind, rowwrite
from dorm.record import replace

_ROWS_A_PIECE = 500
"""Enough that a statement more costs nothing, and few enough that the server is soon at work."""


def inserting(
    meta: Any, dialect: Any, fields: tuple[Any, ...], conflict: rowwrite.Conflict | None, plain: rowwrite.RowWrite
) -> rowwrite.RowWrite:
    """Return INSERT of many rows from one array a column, in place of *plain*."""
    back = tuple(field for field, _ in plain.back)

    def make() -> tuple[rowwrite.RowWrite, int]:
        returning = ", ".join(dialect.quote(field.column) for field in back)
        columns = [dialect.quote(field.column) for field in fields]
        ending = "" if conflict is None else conflict.added_to("", dialect)
        table = dialect.quote(meta.db_table)
        sql = dialect.insert_from_arrays(table, columns, [field.sql_type for field in fields], returning, ending)
        template = Template(sql, binary=plain.template.binary, model=plain.template.model)
        return replace(plain, template=template), 4 * len(sql)

    made: rowwrite.RowWrite = meta.plan.derive(("insert many", dialect.fingerprint, fields, conflict, back), make)
    return made


class Pieces(Sequence[list[Any]]):
    """The parameters of one INSERT a piece of *objs*, each bound when it is asked for.

    So the server works on one piece while the next is bound, and only one is in memory. The pieces end before the first
    that holds an unusual row.

    Args:
        bind: takes objects to rows of parameters, as `rowbind.row_binder` makes it.
        whole: makes the array of each column's parameters.
    """

    def __init__(self, bind: rowbind.Binder, whole: Sequence[Any], objs: Sequence[Any]) -> None:
        self._bind = bind
        self._whole = whole
        self._objs = objs
        self.rows = 0
        """Objects in the pieces of the last iteration."""

    def __len__(self) -> int:
        return -(-len(self._objs) // _ROWS_A_PIECE)

    def __getitem__(self, number: Any) -> Any:
        return list(self)[number]

    def __iter__(self) -> Iterator[list[Any]]:
        self.rows = 0
        for start in range(0, len(self._objs), _ROWS_A_PIECE):
            part = self._objs[start : start + _ROWS_A_PIECE]
            try:
                rows = self._bind(part)
            except (KeyError, rowbind.Unusual):
                return
            self.rows += len(part)
            yield from_rows(self._whole, rows)


def from_rows(whole: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Return one array parameter a column for *rows* of parameters; *whole* makes the array of each column's."""
    columns = zip(*rows, strict=True)
    return [list(each) if make is None else make(list(each)) for make, each in zip(whole, columns, strict=True)]


def from_values(
    binders: Sequence[Any], dialect: Any, fields: Sequence[Any], rows: Sequence[Sequence[Any]]
) -> list[Any]:
    """Return one array parameter a column for *rows* of values."""
    arrays = []
    for field, bind, column in zip(fields, binders, zip(*rows, strict=True), strict=True):
        values = list(column) if bind is None else [rowwrite.bound_value(value, bind, None) for value in column]
        whole = dialect.array_binder(field.sql_type)
        arrays.append(values if whole is None else whole(values))
    return arrays
