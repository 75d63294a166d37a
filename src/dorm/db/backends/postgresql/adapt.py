"""How Python's values travel to PostgreSQL: one type for each class, whatever the value.

PostgreSQL prepares a statement per text and parameter types, and psycopg picks the type of a number by its size: 1,
70000 and 2**40 would be three plans of one text. Here an int is always an int8 and NULL has the type of its column.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format
from psycopg.types.datetime import TimestamptzBinaryLoader
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

_OIDS: dict[str, int] = {
    "smallint": 20,
    "integer": 20,
    "bigint": 20,
    "boolean": 16,
    "double": 701,
    "numeric": 1700,
    "varchar": 25,
    "text": 25,
    "date": 1082,
    "time": 1083,
    "timestamp": 1114,
    "timestamptz": 1184,
    "interval": 1186,
    "uuid": 2950,
    "json": 25,
    "bytes": 17,
}
"""OID of what a value of each kind is bound as (https://www.postgresql.org/docs/current/catalog-pg-type.html)."""


class Null:
    """NULL of one type."""


class _NullDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> None:
        return None


def _null_of(kind: str, adapters: AdaptersMap) -> Null:
    cls = type(f"Null_{kind}", (Null,), {})
    adapters.register_dumper(cls, type(f"Null_{kind}_Dumper", (_NullDumper,), {"oid": _OIDS[kind]}))
    made: Null = cls()
    return made


def _made() -> tuple[AdaptersMap, dict[str, Null]]:
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(str, StrBinaryDumper)
    adapters.register_loader("timestamptz", TimestamptzBinaryLoader)
    return adapters, {kind: _null_of(kind, adapters) for kind in _OIDS}


ADAPTERS, NULLS = _made()
