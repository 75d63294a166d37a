"""How Python's values travel to PostgreSQL: one type for each class, whatever the value.

PostgreSQL prepares a statement per text and parameter types, and psycopg picks the type of a number by its size: 1,
70000 and 2**40 would be three plans of one text. Here an int is always an int8 and NULL has the type of its column.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format
from psycopg.types.datetime import TimestamptzBinaryLoader
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper, IntDumper
from psycopg.types.string import StrBinaryDumper, StrDumper, StrDumperUnknown

from dorm.db.backends.postgresql.packed import DUMPERS
from dorm.db.types import Range
from dorm.exceptions import DataError

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
    "array": 0,
    "inet": 0,
    "citext": 0,
    "hstore": 0,
    "enum": 0,
    "custom": 0,
    "int4range": 0,
    "int8range": 0,
    "numrange": 0,
    "daterange": 0,
    "tsrange": 0,
    "tstzrange": 0,
}
"""OID of what a value of each kind is bound as, 0 for what stands beside it (https://www.postgresql.org/docs/current/catalog-pg-type.html)."""


class Null:
    """NULL of one type."""


class Untyped(str):
    """A literal without a type: the server reads it as the type of what stands beside it."""

    __slots__ = ()


def untyped(value: Any) -> Any:
    """Return a text as an untyped literal; other values pass."""
    if not isinstance(value, str):
        return value
    if "\0" in value:
        raise DataError("a text holds the character NUL (\\x00), which PostgreSQL cannot store: remove it.")
    return Untyped(value)


def untyped_items(value: list[Any]) -> list[Any]:
    """Return a list of values for an array whose texts have the type of what stands beside it."""
    return [untyped_items(item) if isinstance(item, list) else untyped(item) for item in value]


def untyped_range(value: Range) -> Untyped:
    """Return a range as a literal (https://www.postgresql.org/docs/current/rangetypes.html#RANGETYPES-IO)."""
    if value.empty:
        return Untyped("empty")
    lower, upper = ("" if bound is None else f'"{bound}"' for bound in (value.lower, value.upper))
    return Untyped(f"{value.bounds[0]}{lower},{upper}{value.bounds[1]}")


def load_range(found: Any) -> Range:
    """Return the driver's range as dorm's."""
    return Range(empty=True) if found.isempty else Range(found.lower, found.upper, found.bounds)


def dump_hstore(value: dict[str, str | None]) -> Any:
    """Return a dict as an hstore literal."""
    return untyped(
        ", ".join(f"{_quoted(key)}=>{'NULL' if text is None else _quoted(text)}" for key, text in value.items())
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"=>(?:"((?:[^"\\]|\\.)*)"|NULL)(?:, )?')


def load_address(value: Any) -> str:
    """Return an address of `ipaddress` as text; IPv4 within IPv6 with its dots, as the field keeps it."""
    within = getattr(value, "ipv4_mapped", None)
    return str(value) if within is None else f"::ffff:{within}"


def load_hstore(text: str) -> dict[str, str | None]:
    """Return the dict that an hstore's text stands for."""
    return {_plain(key): None if value is None else _plain(value) for key, value in _pairs(text)}


def _pairs(text: str) -> list[tuple[str, str | None]]:
    return [(found[1], found[2]) for found in _PAIR.finditer(text)]


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)|([{}])', re.DOTALL)


def load_items(found: Any) -> Any:
    """Return the list that an array's text stands for, of a type that the driver does not know.

    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
    """
    if not isinstance(found, str):
        return found
    stack: list[list[Any]] = [[]]
    # Lower bounds other than 1 stand in front: [2:3]={a,b}
    for match in _ITEM.finditer(found, found.index("{")):
        quoted, bare, bracket = match.groups()
        if bracket == "{":
            stack.append([])
        elif bracket == "}":
            inner = stack.pop()
            stack[-1].append(inner)
        elif quoted is not None:
            stack[-1].append(_plain(quoted))
        else:
            stack[-1].append(None if bare == "NULL" else bare)
    return stack[0][0]


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
    # The text dumpers serve lists, whose type psycopg would else take from the first list of a connection.
    for dumper in (Int8Dumper, Int8BinaryDumper):
        adapters.register_dumper(int, dumper)
    for text in (StrDumper, StrBinaryDumper):
        adapters.register_dumper(str, text)
    adapters.register_dumper(Untyped, StrDumperUnknown)
    for cls, packing in DUMPERS.items():
        adapters.register_dumper(cls, packing)
    adapters.register_loader("timestamptz", TimestamptzBinaryLoader)
    return adapters, {kind: _null_of(kind, adapters) for kind in _OIDS}


ADAPTERS, NULLS = _made()


class _LiteralDumper(IntDumper):
    """Whole numbers as PostgreSQL reads constants: integer, bigint, numeric.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-CONSTANTS-NUMERIC
    """

    _int2_dumper = IntDumper._int4_dumper  # type: ignore[assignment]  # the driver's own is of another width


def natural(cursor: Any) -> Any:
    """Let *cursor* type parameters by their values, as psycopg does: nobody knows what a user's SQL wants.

    A text is untyped, and an int has the type of the same number in SQL's text: functions of integers are found, and
    ``%s * %s`` does not overflow a smallint.
    """
    cursor.adapters.register_dumper(int, _LiteralDumper)
    cursor.adapters.register_dumper(str, StrDumperUnknown)
    return cursor
