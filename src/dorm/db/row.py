"""Rows of raw SQL: tuples that know the names of their columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any


class Row(tuple[Any, ...]):
    """One row: ``row[0]``, ``row["name"]``, ``row.get("name")``, ``dict(row)``; it iterates and compares as a tuple.

    Of columns that share a name the last one answers to it.
    """

    __slots__ = ()
    _names: tuple[str, ...] = ()
    _positions: dict[str, int] = {}

    def __getitem__(self, key: Any, /) -> Any:
        if isinstance(key, str):
            return super().__getitem__(self._positions[key])
        return super().__getitem__(key)

    def keys(self) -> tuple[str, ...]:
        """Return the names of the columns, in order."""
        return self._names

    def values(self) -> tuple[Any, ...]:
        """Return the values, in order."""
        return tuple(self)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Give names with values."""
        return zip(self._names, self, strict=True)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a column, *default* when there is no such column."""
        position = self._positions.get(name)
        return default if position is None else super().__getitem__(position)

    def __repr__(self) -> str:
        return f"<Row {', '.join(self._names)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _row, (self._names, tuple(self))


@lru_cache(maxsize=512)
def row_class(names: tuple[str, ...]) -> type[Row]:
    """Return the class of rows with these columns."""
    positions = {name: number for number, name in enumerate(names)}
    return type("Row", (Row,), {"__slots__": (), "_names": names, "_positions": positions})


def _row(names: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    return row_class(names)(values)


def named(names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> list[Row]:
    """Return *rows* as rows that know the names of their columns."""
    return list(map(row_class(names), rows))
