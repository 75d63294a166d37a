"""Functions, casts and date parts as PostgreSQL spells them."""

from __future__ import annotations

import json
from typing import ClassVar

from dorm.db.fragments import Fragments
from dorm.db.types import SqlType

_JSON_TYPES = {"number": ("number", "numeric"), "text": ("string", "text"), "boolean": ("boolean", "boolean")}
"""Scalars, each with its name in JSONB_TYPEOF and the type that it is cast to."""
_NUMBERS = ("smallint", "bigint", "numeric", "double")
_FRACTIONS = ("epoch", "julian", "milliseconds", "microseconds")
"""Parts whose fraction is cut off, and which may be more than an integer holds."""
_PARTS = {"week_day": "DOW", "iso_week_day": "ISODOW", "iso_year": "ISOYEAR"}


def _digest(name: str) -> str:
    return f"ENCODE({name}(CONVERT_TO({{0}}, 'UTF8')), 'hex')"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _path(keys: tuple[str | int, ...]) -> str:
    return f"ARRAY[{', '.join(_literal(str(key)) for key in keys)}]::text[]"


def _places(keys: tuple[str | int, ...]) -> str:
    """Return a path of SQL/JSON: https://www.postgresql.org/docs/current/functions-json.html#FUNCTIONS-SQLJSON-PATH."""
    parts = (
        f".{json.dumps(key)}" if isinstance(key, str) else f"[{key if key >= 0 else f'last{key + 1:+}'}]"
        for key in keys
    )
    return f"strict ${''.join(parts)}"


class PostgresFragments(Fragments):
    """https://www.postgresql.org/docs/current/functions.html"""

    display_name = "PostgreSQL"
    supports_json_containment = True
    supports_server_types = True
    supports_server_aggregates = True
    # The server takes distances in RANGE since version 11; Django's documented refusal is kept, so that a queryset
    # means the same on every backend that Django knows.
    supports_range_distances = False
    functions: ClassVar[dict[str, str]] = {
        # Whole numbers are bound as int8; these functions take int4.
        "Substr": "SUBSTRING({0}, ({1})::int, ({2})::int)",
        "Substr:2": "SUBSTRING({0}, ({1})::int)",
        "Left": "LEFT({0}, ({1})::int)",
        "Right": "RIGHT({0}, ({1})::int)",
        "LPad": "LPAD({0}, ({1})::int, {2})",
        "RPad": "RPAD({0}, ({1})::int, {2})",
        "Repeat": "REPEAT({0}, ({1})::int)",
        "Chr": "CHR(({0})::int)",
        "Ord": "ASCII",
        "StrIndex": "STRPOS",
        "SHA1": "ENCODE(DIGEST({0}, 'sha1'), 'hex')",
        "SHA224": _digest("SHA224"),
        "SHA256": _digest("SHA256"),
        "SHA384": _digest("SHA384"),
        "SHA512": _digest("SHA512"),
        "Round": "ROUND({0}, ({1})::int)",
        "Round:double": "ROUND(({0})::numeric, ({1})::int)::double precision",
        "Log": "LOG(({0})::numeric, ({1})::numeric)",
        "Mod": "MOD(({0})::numeric, ({1})::numeric)",
        "JSONObject": "JSONB_BUILD_OBJECT",
        "JSONArray": "JSONB_BUILD_ARRAY",
    }

    def cast_from(self, sql: str, source: SqlType | None, wanted: SqlType) -> str:
        if wanted.kind == "boolean" and source is not None and source.kind in _NUMBERS:
            # PostgreSQL has a cast from integer alone.
            return f"({sql} <> 0)"
        return f"({sql})::{self.column_type(wanted)}"

    def window_offset(self, sql: str) -> str:
        return f"({sql})::int"

    # -- JSON ----------------------------------------------------------------------------------------------------
    has_json_type = True

    def json_at(self, sql: str, keys: tuple[str | int, ...]) -> str:
        if not keys:
            return sql
        if len(keys) == 1 and isinstance(keys[0], str):
            return f"({sql} -> {_literal(keys[0])})"
        if not any(isinstance(key, int) for key in keys):
            return f"({sql} #> {_path(keys)})"
        # A place is one in a list: -> and #> find it in scalars or in the keys of objects too.
        return f"JSONB_PATH_QUERY_FIRST({sql}, {_literal(_places(keys))}, '{{}}', true)"

    def json_text_at(self, sql: str, keys: tuple[str | int, ...]) -> str:
        if any(isinstance(key, int) for key in keys):
            return f"({self.json_at(sql, keys)} #>> '{{}}')"
        return f"({sql} #>> {_path(keys)})"

    def json_scalar_at(self, sql: str, keys: tuple[str | int, ...], scalar: str) -> str:
        wanted = _JSON_TYPES[scalar][1]
        value = self.json_at(sql, keys)
        text = f"({value} #>> '{{}}')" + (f"::{wanted}" if wanted != "text" else "")
        # CASE keeps the cast away from values of other types.
        return f"(CASE WHEN {self.json_holds(sql, keys, scalar)} THEN {text} END)"

    def json_holds(self, sql: str, keys: tuple[str | int, ...], scalar: str) -> str:
        return f"JSONB_TYPEOF({self.json_at(sql, keys)}) = '{_JSON_TYPES[scalar][0]}'"

    def json_is_null(self, sql: str, keys: tuple[str | int, ...]) -> str:
        return f"{self.json_at(sql, keys)} = 'null'::jsonb"

    def json_equals(self, sql: str, keys: tuple[str | int, ...], rhs: str) -> str:
        return f"{self.json_at(sql, keys)} = {rhs}"

    def json_key(self, sql: str) -> str:
        return f"({sql})::text"

    def json_has_key(self, sql: str, keys: tuple[str | int, ...], rhs: str) -> str:
        return f"{self.json_at(sql, keys)} ? {rhs}"

    def json_has_keys(self, sql: str, keys: tuple[str | int, ...], rhs: str, every: bool) -> str:
        return f"{self.json_at(sql, keys)} {'?&' if every else '?|'} {rhs}"

    # -- dates ---------------------------------------------------------------------------------------------------
    def offset_name(self, minutes: int) -> str:
        # In POSIX zone names, which AT TIME ZONE takes, positive is west of Greenwich.
        return super().offset_name(-minutes)

    def now(self) -> str:
        return "STATEMENT_TIMESTAMP()"

    def at_zone(self, sql: str, zone: str) -> str:
        return f"({sql} AT TIME ZONE {zone})"

    def date_part(self, part: str, sql: str, kind: str) -> str:
        if part == "week_day":
            return f"(EXTRACT(DOW FROM {sql})::int + 1)"
        if part == "second":
            return f"TRUNC(EXTRACT(SECOND FROM {sql}))::int"
        if part in _FRACTIONS:
            return f"TRUNC(EXTRACT({part.upper()} FROM {sql}))::bigint"
        return f"EXTRACT({_PARTS.get(part, part.upper())} FROM {sql})::int"

    def date_trunc(self, unit: str, sql: str, kind: str, wanted: str) -> str:
        if unit in ("date", "time"):
            return f"({sql})::{unit}"
        source = f"({sql})::timestamp" if kind == "date" else sql
        cut = f"DATE_TRUNC('{unit}', {source})"
        return cut if wanted == "timestamp" else f"({cut})::{wanted}"

    def date_trunc_in_zone(self, unit: str, sql: str, zone: str) -> str:
        return f"DATE_TRUNC('{unit}', {sql}, {zone})"
