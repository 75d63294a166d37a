"""Functions, casts and date parts as SQLite spells them; ``dorm_...`` are registered on every connection.

Dates and times are text in one form each (``2024-05-01``, ``10:00:00[.123456]``, both with a space between), so their
parts are found by position: exact to the microsecond, where SQLite's own functions round to milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from dorm.db.fragments import Fragments
from dorm.db.types import SqlType, is_whole

_INTEGERS = ("smallint", "integer", "bigint", "boolean")
_DAY = 86_400_000_000
_POSITIONS = {"year": (1, 4), "month": (6, 2), "day": (9, 2), "hour": (12, 2), "minute": (15, 2), "second": (18, 2)}
_TIME_POSITIONS = {"hour": (1, 2), "minute": (4, 2), "second": (7, 2)}
_FORMATS = {
    "week": "%V",
    "iso_year": "%G",
    "iso_week_day": "%u",
    "week_day": "%w",
    "doy": "%j",
    "dow": "%w",
    "isodow": "%u",
    "isoyear": "%G",
}
_LENGTHS = {"hour": 13, "minute": 16, "second": 19}
_JSON_TYPES = {"number": "'integer', 'real'", "text": "'text'", "boolean": "'true', 'false'"}
_ENDINGS = {"hour": ":00:00", "minute": ":00", "second": ""}


is_scaled = is_whole
"""True for decimals that are stored as a whole number of their last digit; longer ones are text with the collation
dorm_decimal."""


def json_path(keys: tuple[str | int, ...]) -> str:
    """Return a path as SQLite writes it; numbers are places in lists, from the end when negative."""
    parts = (f"[{key if key >= 0 else f'#{key}'}]" if isinstance(key, int) else f".{json.dumps(key)}" for key in keys)
    return f"${''.join(parts)}"


def _path(keys: tuple[str | int, ...]) -> str:
    return "'" + json_path(keys).replace("'", "''") + "'"


def canonical(text: str) -> str:
    """Return a JSON text in one form for equal documents: keys in order, whole numbers without a point."""
    return json.dumps(_whole(json.loads(text)), sort_keys=True, separators=(",", ":"))


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value


class SqliteFragments(Fragments):
    """https://www.sqlite.org/lang_corefunc.html, https://www.sqlite.org/lang_mathfunc.html"""

    display_name = "SQLite"
    scales_decimals = True
    rounds_before_point = False
    functions: ClassVar[dict[str, str]] = {
        "STDDEV_POP": "dorm_stddev_pop",
        "STDDEV_SAMP": "dorm_stddev_samp",
        "VAR_POP": "dorm_var_pop",
        "VAR_SAMP": "dorm_var_samp",
        # Booleans are 0 and 1.
        "BoolAnd": "MIN",
        "BoolOr": "MAX",
        "BitAnd": "dorm_bit_and",
        "BitOr": "dorm_bit_or",
        "BitXor": "dorm_bit_xor",
        "Substr": "SUBSTR({0}, {1}, {2})",
        "Substr:2": "SUBSTR({0}, {1})",
        "Left": "SUBSTR({0}, 1, {1})",
        "Right": "SUBSTR({0}, -({1}), {1})",
        "LPad": "dorm_lpad",
        "RPad": "dorm_rpad",
        "Repeat": "dorm_repeat",
        "Reverse": "dorm_reverse",
        "Chr": "CASE WHEN ({0}) IS NULL THEN NULL ELSE CHAR({0}) END",
        "MD5": "dorm_digest('md5', {0})",
        "SHA1": "dorm_digest('sha1', {0})",
        "SHA224": "dorm_digest('sha224', {0})",
        "SHA256": "dorm_digest('sha256', {0})",
        "SHA384": "dorm_digest('sha384', {0})",
        "SHA512": "dorm_digest('sha512', {0})",
        "Greatest": "MAX",
        "Least": "MIN",
        "Ceil": "CEIL",
        "Cot": "dorm_cot",
        "Round": "ROUND({0}, {1})",
        "Round:double": "ROUND({0}, {1})",
        "Abs:long": "dorm_decimal_op('abs', {0}, 0)",
        "Ceil:long": "dorm_decimal_op('ceil', {0}, 0)",
        "Floor:long": "dorm_decimal_op('floor', {0}, 0)",
        "Sign:long": "dorm_decimal_op('sign', {0}, 0)",
        "Round:long": "dorm_decimal_op('round', {0}, {1})",
        "Mod:long": "dorm_decimal_op('%', {0}, {1})",
        # 53 bits: what a float holds exactly.
        "Random": "((RANDOM() & 9007199254740991) / 9007199254740992.0)",
        "JSONObject": "JSON_OBJECT",
        "JSONArray": "JSON_ARRAY",
    }

    # -- types ---------------------------------------------------------------------------------------------------
    def plain_number(self, sql: str, source: SqlType) -> str:
        if is_scaled(source):
            return f"({sql} / {10 ** (source.scale or 0)}.0)"
        return f"CAST({sql} AS REAL)" if source.kind == "numeric" else sql

    def cast_from(self, sql: str, source: SqlType | None, wanted: SqlType) -> str:
        kind, of = wanted.kind, source.kind if source is not None else ""
        if of == "json" and kind not in ("json", "text", "varchar"):
            # The value that the document is, not its text with quotes.
            sql = f"({sql} ->> '$')"
        if is_scaled(wanted):
            if source is not None and is_scaled(source) and source.scale == wanted.scale:
                return sql
            if source is not None and is_scaled(source):
                return f"dorm_scaled(dorm_unscaled({sql}, {source.scale or 0}), {wanted.scale or 0})"
            return f"dorm_scaled({sql}, {wanted.scale or 0})"
        if kind == "numeric" and wanted.precision is not None:
            text = f"dorm_unscaled({sql}, {source.scale or 0})" if source is not None and is_scaled(source) else sql
            return f"dorm_decimal_fit({text}, {wanted.scale or 0})"
        if kind in ("date", "time", "timestamp", "timestamptz"):
            if of in ("timestamp", "timestamptz") and kind in ("date", "time"):
                return f"SUBSTR({sql}, 1, 10)" if kind == "date" else f"SUBSTR({sql}, 12)"
            return f"dorm_iso({sql}, '{kind}')"
        if source is not None and is_scaled(source):
            if kind in ("text", "varchar"):
                return self._cut(f"dorm_unscaled({sql}, {source.scale or 0})", wanted)
            sql = self.plain_number(sql, source)
        if kind == "json":
            return f"JSON({sql})"
        if kind == "boolean":
            return f"(CAST({sql} AS NUMERIC) <> 0)"
        if kind in ("text", "varchar"):
            return self._cut(f"CAST({sql} AS TEXT)", wanted)
        return self.cast(sql, wanted)

    def _cut(self, sql: str, wanted: SqlType) -> str:
        # A type's length means nothing to SQLite; a cast to it cuts elsewhere.
        return f"SUBSTR({sql}, 1, {wanted.length})" if wanted.length is not None else sql

    def supports_listed(self, kind: str) -> bool:
        # JSON has no bytes, and its numbers are read to the last digit but one only.
        return kind not in ("bytes", "double", "")

    def in_listed(self, lhs: str, placeholder: str) -> str:
        return f"{lhs} IN (SELECT value FROM JSON_EACH({placeholder}))"

    # -- aggregates ----------------------------------------------------------------------------------------------
    def average(self, sql: str, sql_type: SqlType, distinct: bool = False) -> tuple[str, str]:
        if is_scaled(sql_type) and distinct:
            return "dorm_avg_decimal", f"dorm_unscaled({sql}, {sql_type.scale or 0})"
        if is_scaled(sql_type):
            return "dorm_avg_scaled", f"{sql}, {sql_type.scale or 0}"
        if sql_type.precision is not None:
            return "dorm_avg_decimal", sql
        return "AVG", f"CAST({sql} AS REAL)"

    def string_agg(self, value: str, separator: str, distinct: bool, order: str) -> str:
        if distinct:
            # GROUP_CONCAT takes no separator with DISTINCT.
            return f"dorm_join(JSON_GROUP_ARRAY(DISTINCT {value}{order}), {separator})"
        return f"GROUP_CONCAT({value}, {separator}{order})"

    def ordered_set(self, name: str, value: str, fraction: str | None) -> str:
        return f"dorm_mode({value})" if fraction is None else f"{name.upper()}({value}, {fraction})"

    # -- JSON (https://www.sqlite.org/json1.html) -------------------------------------------------------------------
    def json_at(self, sql: str, keys: tuple[str | int, ...]) -> str:
        return f"({sql} -> {_path(keys)})" if keys else sql

    def json_text_at(self, sql: str, keys: tuple[str | int, ...]) -> str:
        path = _path(keys)
        return (
            f"(CASE WHEN JSON_TYPE({sql}, {path}) IN ('true', 'false') THEN JSON_TYPE({sql}, {path}) "
            f"ELSE CAST({sql} ->> {path} AS TEXT) END)"
        )

    def json_scalar_at(self, sql: str, keys: tuple[str | int, ...], scalar: str) -> str:
        return f"(CASE WHEN {self.json_holds(sql, keys, scalar)} THEN {sql} ->> {_path(keys)} END)"

    def json_holds(self, sql: str, keys: tuple[str | int, ...], scalar: str) -> str:
        return f"JSON_TYPE({sql}, {_path(keys)}) IN ({_JSON_TYPES[scalar]})"

    def json_scalar_equals(self, sql: str, keys: tuple[str | int, ...], scalar: str, rhs: str) -> str:
        return f"({self.json_holds(sql, keys, scalar)} AND {sql} ->> {_path(keys)} = {rhs})"

    def json_is_null(self, sql: str, keys: tuple[str | int, ...]) -> str:
        return f"JSON_TYPE({sql}, {_path(keys)}) = 'null'"

    def json_equals(self, sql: str, keys: tuple[str | int, ...], rhs: str) -> str:
        return f"{self.json_canonical(self.json_at(sql, keys))} = {rhs}"

    def json_canonical(self, sql: str) -> str:
        return f"dorm_json({sql})"

    def json_order(self, sql: str) -> str:
        return f"({sql} ->> '$')"

    def json_part(self, sql: str, source: SqlType) -> str:
        if source.kind == "json":
            return f"JSON({sql})"
        if source.kind == "boolean":
            return f"JSON(CASE WHEN {sql} THEN 'true' WHEN NOT {sql} THEN 'false' ELSE 'null' END)"
        return self.plain_number(sql, source)

    def json_has_key(self, sql: str, keys: tuple[str | int, ...], rhs: str) -> str:
        return f"JSON_TYPE({sql}, {rhs}) IS NOT NULL"

    def json_has_keys(self, sql: str, keys: tuple[str | int, ...], rhs: str, every: bool) -> str:
        each = f"SELECT 1 FROM JSON_EACH({rhs}) k WHERE JSON_TYPE({sql}, k.value) IS"
        if not every:
            return f"EXISTS ({each} NOT NULL)"
        # No keys at all are in every document, but not where there is none.
        return f"(JSON_TYPE({sql}, {_path(keys)}) IS NOT NULL AND NOT EXISTS ({each} NULL))"

    def json_key_binder(self, keys: tuple[str | int, ...], several: bool) -> Callable[[Any], Any]:
        before = json_path(keys)
        if several:
            return lambda found: json.dumps([f"{before}.{json.dumps(key)}" for key in found])
        return lambda key: f"{before}.{json.dumps(key)}"

    def json_binder(self, text: str) -> Any:
        return canonical(text)

    def json_number(self, text: str) -> Any:
        number = json.loads(text)
        # JSON numbers that SQLite cannot hold as whole ones are read as real ones.
        return number if isinstance(number, float) or abs(number) < 2**63 else float(number)

    # -- dates ---------------------------------------------------------------------------------------------------
    def now(self) -> str:
        return "STRFTIME('%Y-%m-%d %H:%M:%f', 'now')"

    def at_zone(self, sql: str, zone: str) -> str:
        return f"dorm_at_zone({sql}, {zone})"

    def date_part(self, part: str, sql: str, kind: str) -> str:
        if kind == "interval":
            return _of_interval(part, sql)
        if part == "quarter":
            return f"((CAST(SUBSTR({sql}, 6, 2) AS INTEGER) + 2) / 3)"
        if part in _FORMATS:
            number = f"CAST(STRFTIME('{_FORMATS[part]}', SUBSTR({sql}, 1, 10)) AS INTEGER)"
            return f"({number} + 1)" if part == "week_day" else number
        positions = _TIME_POSITIONS if kind == "time" else _POSITIONS
        if part not in positions:
            return f"dorm_date_part('{part}', {sql})"
        start, length = positions[part]
        return f"CAST(SUBSTR({sql}, {start}, {length}) AS INTEGER)"

    def date_trunc(self, unit: str, sql: str, kind: str, wanted: str) -> str:
        if unit == kind:
            return sql
        if unit in ("date", "time"):
            return f"SUBSTR({sql}, 1, 10)" if unit == "date" else f"SUBSTR({sql}, 12)"
        if kind == "time":
            return f"(SUBSTR({sql}, 1, {_LENGTHS[unit] - 11}) || '{_ENDINGS[unit]}')"
        if unit in _LENGTHS:
            if wanted == "date":
                return f"SUBSTR({sql}, 1, 10)"
            start = 12 if wanted == "time" else 1
            return f"(SUBSTR({sql}, {start}, {_LENGTHS[unit] - start + 1}) || '{_ENDINGS[unit]}')"
        day = _day(unit, sql)
        if wanted == "time":
            return f"(SUBSTR({day}, 1, 0) || '00:00:00')"
        return f"({day} || ' 00:00:00')" if wanted == "timestamp" else day

    def date_trunc_in_zone(self, unit: str, sql: str, zone: str) -> str:
        return f"dorm_trunc_zone({sql}, '{unit}', {zone})"


def _day(unit: str, sql: str) -> str:
    """Return the first day of the unit, as text."""
    if unit == "year":
        return f"(SUBSTR({sql}, 1, 4) || '-01-01')"
    if unit == "quarter":
        month = f"(CAST(SUBSTR({sql}, 6, 2) AS INTEGER) - 1) / 3 * 3 + 1"
        return f"(SUBSTR({sql}, 1, 5) || PRINTF('%02d', {month}) || '-01')"
    if unit == "month":
        return f"(SUBSTR({sql}, 1, 8) || '01')"
    if unit == "week":
        return f"DATE(SUBSTR({sql}, 1, 10), '-6 days', 'weekday 1')"
    return f"SUBSTR({sql}, 1, 10)"


def _of_interval(part: str, sql: str) -> str:
    """Return a part of a number of microseconds, as PostgreSQL splits days, hours, minutes and seconds."""
    within = f"(({sql} % {_DAY} + {_DAY}) % {_DAY})"
    if part == "day":
        return f"(({sql} - {within}) / {_DAY})"
    if part == "epoch":
        return f"({sql} / 1000000)"
    if part in ("milliseconds", "microseconds"):
        return f"({within} % 60000000 / {1_000 if part == 'milliseconds' else 1})"
    if part == "hour":
        return f"({within} / 3600000000)"
    return f"({within} / {60_000_000 if part == 'minute' else 1_000_000} % 60)"
