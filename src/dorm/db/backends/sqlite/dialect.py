"""What is particular to SQLite's SQL."""

from __future__ import annotations

import datetime
import decimal
import functools
import json
import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.classes import is_uuid
from dorm.db.backends.lexes import SQLITE
from dorm.db.backends.sqlite.fragments import SqliteFragments, is_scaled
from dorm.db.backends.sqlite.uri import file_of
from dorm.db.dialect import Converter, Dialect, IsolationLevel
from dorm.db.rawsql import placeholders
from dorm.db.statement import Template
from dorm.db.types import WHOLE_DIGITS, SqlType, digits_of
from dorm.exceptions import InvalidValue, NotSupportedError

if TYPE_CHECKING:
    from dorm.db.plans import PlanNode
    from dorm.db.schema import Schema

_TYPES: dict[str, str] = {
    "smallint": "INTEGER",
    "integer": "INTEGER",
    "bigint": "INTEGER",
    "boolean": "INTEGER",
    "double": "REAL",
    "text": "TEXT",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "DATETIME",
    "timestamptz": "DATETIME",
    "interval": "BIGINT",
    "uuid": "VARCHAR(36)",
    "json": "TEXT",
    "bytes": "BLOB",
    "inet": "VARCHAR(39)",
    "citext": "TEXT COLLATE NOCASE",
    "hstore": "TEXT",
    "enum": "VARCHAR(255)",
    "custom": "",
}

_MOMENTS = ("date", "time", "timestamp", "timestamptz")

# https://www.sqlite.org/lang_expr.html#the_like_glob_regexp_match_and_extract_operators: LIKE ignores the case of ASCII
# letters only, GLOB none.
_LIKE = r"{lhs} LIKE {rhs} ESCAPE '\'"
_ILIKE = rf"(CASE WHEN {{wide}} THEN dorm_fold({{lhs}}) LIKE {{rhs}} ESCAPE '\' ELSE {_LIKE} END)"
"""Letters outside ASCII are folded by a function of dorm's, and only where the pattern has such letters."""


class SqliteDialect(SqliteFragments, Dialect):
    """SQLite 3.50 and later, as apsw brings it."""

    vendor = "sqlite"
    lexis = SQLITE
    supports_returning = True
    tells_counted_key = True
    rows_at_once = 64
    numbers_placeholders = True
    supports_filter_clause = True
    adds_up_moments = False
    supports_transactional_ddl = True
    supports_nulls_ordering = True
    supports_ignore_conflicts = True
    supports_deferrable_constraints = True
    supports_update_conflicts = True
    supports_conflict_targets = True
    requires_limit_with_offset = "-1"
    max_parameters = 32_766

    lookups: ClassVar[dict[str, str]] = {
        "exact": "{lhs} = {rhs}",
        "gt": "{lhs} > {rhs}",
        "gte": "{lhs} >= {rhs}",
        "lt": "{lhs} < {rhs}",
        "lte": "{lhs} <= {rhs}",
        "iexact": _ILIKE,
        "contains": "{lhs} GLOB {rhs}",
        "startswith": "{lhs} GLOB {rhs}",
        "endswith": "{lhs} GLOB {rhs}",
        "icontains": _ILIKE,
        "istartswith": _ILIKE,
        "iendswith": _ILIKE,
        "regex": "{lhs} REGEXP {rhs}",
        "iregex": "{lhs} REGEXP {rhs}",
    }

    def placeholder(self, number: int, sql_type: SqlType | None) -> str:
        return f"?{number}"

    def raw_sql(self, sql: str, has_params: bool) -> str:
        return placeholders(sql, lambda number: "?") if has_params else sql

    def raw_binder(self, cls: type) -> Converter | None:
        return str if is_uuid(cls) else _NATURAL.get(cls)

    # -- plans ---------------------------------------------------------------------------------------------------
    def plan_sql(self, sql: str, *, execute: bool = False, structured: bool = False) -> str:
        return f"EXPLAIN QUERY PLAN {sql}"

    def server_version_sql(self) -> str:
        return "SELECT sqlite_version()"

    def plan_tree(self, rows: Sequence[Sequence[Any]]) -> PlanNode:
        from dorm.db.backends.sqlite.plans import plan_tree

        return plan_tree(rows)

    def plan_lines(self, rows: Sequence[Sequence[Any]]) -> list[str]:
        from dorm.db.plans import tree_of_rows

        return [line for tree in tree_of_rows(rows, str) for line in tree.lines()]

    def probe_limits(self, timeout_ms: int) -> tuple[str, ...]:
        # EXPLAIN alone doesn't look whether another connection changed the schema: a real read does.
        return ("SELECT 1 FROM sqlite_schema LIMIT 1",)

    # -- types and values ----------------------------------------------------------------------------------------
    def column_type(self, sql_type: SqlType) -> str:
        if sql_type.kind == "varchar":
            return f"VARCHAR({sql_type.length})" if sql_type.length else "VARCHAR"
        if sql_type.kind == "numeric":
            return "INTEGER" if is_scaled(sql_type) else "TEXT COLLATE dorm_decimal"
        try:
            return _TYPES[sql_type.kind]
        except KeyError:
            raise NotSupportedError(f"SQLite has no columns of type {sql_type.kind}.") from None

    def binder(self, sql_type: SqlType) -> Converter | None:
        if sql_type.kind == "numeric":
            if sql_type.precision is None:
                return float
            return _scaled_binder(sql_type) if is_scaled(sql_type) else str
        return _BINDERS.get(sql_type.kind)

    def compared_binder(self, lookup: str, sql_type: SqlType) -> Converter | None:
        return _comparing(lookup, sql_type.scale or 0) if lookup in _ROUNDING and is_scaled(sql_type) else None

    def loader(self, sql_type: SqlType) -> Converter | None:
        if sql_type.kind == "numeric":
            return _numeric_loader(sql_type)
        if sql_type.kind == "uuid":
            from uuid import UUID

            return UUID
        return _LOADERS.get(sql_type.kind)

    def cast(self, sql: str, sql_type: SqlType) -> str:
        # Other type names would give the value numeric affinity.
        kind = sql_type.kind
        textual = kind in ("varchar", "uuid", "date", "time", "timestamp", "timestamptz")
        spelled = "TEXT" if textual else "NUMERIC" if kind == "numeric" else self.column_type(sql_type)
        return f"CAST({sql} AS {spelled})"

    def converted(self, sql: str, have: SqlType, want: SqlType) -> str:
        if have.kind in _CLOCKS and want.kind in _CLOCKS:
            return _moment(sql, have.kind, want.kind)
        if self.stores_as_text(want):
            text = self._text(sql, have)
            return text if want.scale is None else f"dorm_decimal_fit({text}, {want.scale})"
        if is_scaled(want) and self.stores_as_text(have):
            return f"dorm_scaled({sql}, {want.scale or 0})"
        digits = digits_of(have) if is_scaled(want) else None
        if digits is not None and digits[1] <= (want.scale or 0):
            more = (want.scale or 0) - digits[1]
            return f"({sql} * {10**more})" if more else sql
        plain = self._plain(sql, have)
        return f"CAST(ROUND({plain} * {10 ** (want.scale or 0)}) AS INTEGER)" if is_scaled(want) else plain

    def stores_as_text(self, sql_type: SqlType) -> bool:
        return sql_type.kind == "numeric" and sql_type.precision is not None and not is_scaled(sql_type)

    def _text(self, sql: str, have: SqlType) -> str:
        """Return a number as an exact text."""
        if self.stores_as_text(have):
            return sql
        return f"dorm_unscaled({sql}, {have.scale or 0})" if is_scaled(have) else f"CAST({sql} AS TEXT)"

    def _plain(self, sql: str, have: SqlType) -> str:
        """Return a number as SQLite computes with it."""
        if have.kind != "numeric" or have.precision is None:
            return sql
        return f"({sql} / {10 ** (have.scale or 0)}.0)" if is_scaled(have) else f"CAST({sql} AS REAL)"

    def combined(self, operator: str, lhs: str, rhs: str, left: SqlType | None, right: SqlType | None) -> str:
        one, other = left.kind if left is not None else "", right.kind if right is not None else ""
        if left is not None and right is not None and self.stores_as_text(left) and self.stores_as_text(right):
            return f"(dorm_decimal_op('{operator}', {lhs}, {rhs}) COLLATE dorm_decimal)"
        if operator == "#":
            return f"dorm_bitxor({lhs}, {rhs})"
        if operator == "%" and left is not None and right is not None and is_scaled(left) and is_scaled(right):
            return f"({lhs} % {rhs})"
        if operator == "%" and {one, other} & {"double", "numeric"}:
            return f"mod({lhs}, {rhs})"
        if operator in "+-" and one in _MOMENTS and other == "interval":
            return f"dorm_moment_add('{one}', {lhs}, {'-' if operator == '-' else ''}{rhs})"
        if operator == "+" and one == "interval" and other in _MOMENTS:
            return f"dorm_moment_add('{other}', {rhs}, {lhs})"
        if operator == "-" and one in _MOMENTS and other in _MOMENTS:
            return f"dorm_moment_difference({lhs}, {rhs})"
        return super().combined(operator, lhs, rhs, left, right)

    def explain(self, fmt: str | None, options: dict[str, Any]) -> str:
        self.check_explain(fmt, options, (), ())
        return "EXPLAIN QUERY PLAN "

    def exact_sum(self, sql_type: SqlType) -> str:
        return "dorm_sum_decimal" if self.stores_as_text(sql_type) else ""

    def in_place_of_column(self, sql: str, sql_type: SqlType) -> str:
        if sql_type.kind == "numeric" and not is_scaled(sql_type):
            return f"({sql} COLLATE dorm_decimal)"
        return f"({sql} COLLATE NOCASE)" if sql_type.kind == "citext" else sql

    # -- fragments -----------------------------------------------------------------------------------------------
    def pattern(self, lookup: str) -> Converter:
        return _PATTERNS[lookup]

    def lookup_left(self, lookup: str, lhs: str, sql_type: SqlType | None) -> str:
        of_text = lookup in _PATTERNS or lookup in ("iexact", "regex", "iregex")
        return self._text(lhs, sql_type) if of_text and sql_type is not None and is_scaled(sql_type) else lhs

    def pattern_of(self, lookup: str, lhs: str, rhs: str) -> str:
        if lookup == "regex":
            return f"{lhs} REGEXP {rhs}"
        if lookup == "iregex":
            return f"{lhs} REGEXP '(?i)' || {rhs}"
        if lookup == "iexact":
            return f"dorm_fold({lhs}) = dorm_fold({rhs})"
        if lookup.startswith("i"):
            lhs, rhs = f"dorm_fold({lhs})", f"dorm_fold({rhs})"
        if lookup.endswith("contains"):
            return f"INSTR({lhs}, {rhs}) > 0"
        if lookup.endswith("startswith"):
            return f"SUBSTR({lhs}, 1, LENGTH({rhs})) = {rhs}"
        return f"(LENGTH({rhs}) = 0 OR SUBSTR({lhs}, -LENGTH({rhs})) = {rhs})"

    # -- transactions --------------------------------------------------------------------------------------------
    def begin(self, isolation: IsolationLevel | None = None, read_only: bool = False) -> Template:
        if isolation not in (None, "serializable"):
            raise NotSupportedError(f"SQLite transactions are serializable: isolation {isolation!r} is not to be had.")
        return BEGIN_READING if read_only else BEGIN

    # -- DDL -----------------------------------------------------------------------------------------------------
    @property
    def schema(self) -> Schema:
        from dorm.db.backends.sqlite.schema import SqliteSchema

        return SqliteSchema(self)

    def lock_file(self, config: Any) -> str | None:
        if config.name in ("", ":memory:"):
            return None
        import hashlib
        import tempfile

        digest = hashlib.blake2b(os.path.realpath(file_of(config.name)).encode(), digest_size=8).hexdigest()
        return os.path.join(tempfile.gettempdir(), f"dorm-migrate-{getattr(os, 'getuid', int)()}-{digest}.lock")

    def literal(self, value: Any, sql_type: SqlType | None = None) -> str:
        if isinstance(value, bool):
            return str(int(value))
        if isinstance(value, float) and not math.isfinite(value):
            return "NULL" if math.isnan(value) else "9e999" if value > 0 else "-9e999"
        if isinstance(value, str) and "\0" in value:
            return f"CAST(X'{value.encode().hex()}' AS TEXT)"
        return super().literal(value, sql_type)

    def table_columns(self, name: str) -> tuple[str, tuple[Any, ...]]:
        return 'SELECT name, type, "notnull" = 0 AND pk = 0, dflt_value, pk > 0 FROM pragma_table_xinfo(?)', (name,)

    def table_exists(self, name: str) -> tuple[str, tuple[Any, ...]]:
        return "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?", (name,)


BEGIN = Template("BEGIN IMMEDIATE")
BEGIN_READING = Template("BEGIN DEFERRED", reads=True)


# -- values ------------------------------------------------------------------------------------------------------


def _scaled_binder(sql_type: SqlType) -> Converter:
    scale = sql_type.scale or 0

    def bind(value: decimal.Decimal) -> int | float:
        exact = decimal.Decimal(value).scaleb(scale, _EVERY_DIGIT)
        if exact.adjusted() >= WHOLE_DIGITS:
            return math.copysign(_BEYOND_EVERY_COLUMN, exact)
        number = int(exact)
        if number == exact:
            return number
        # Compared by a part of a key, or after a transform: anything between the two neighbours will do.
        if abs(number) > _LARGEST_WITH_HALF:
            raise InvalidValue(
                f"SQLite cannot compare decimals of {sql_type.precision} digits, {scale} of them behind the point, "
                "with one that has more behind the point in a key of several columns: round it before."
            )
        return number + math.copysign(0.5, exact)

    return bind


@functools.cache
def _comparing(lookup: str, scale: int) -> Converter:
    """Return what binds a decimal with more digits than a column with *scale* of them has, for one lookup."""
    rounding = _ROUNDING[lookup]

    def bind(value: decimal.Decimal) -> int | float:
        exact = decimal.Decimal(value).scaleb(scale, _EVERY_DIGIT)
        if exact.adjusted() >= WHOLE_DIGITS:
            return math.copysign(_BEYOND_EVERY_COLUMN, exact)
        number = exact.to_integral_value(rounding or decimal.ROUND_DOWN)
        return int(number) if rounding is not None or number == exact else _BETWEEN

    return bind


_ROUNDING = {
    "exact": None,
    "gt": decimal.ROUND_FLOOR,
    "lte": decimal.ROUND_FLOOR,
    "gte": decimal.ROUND_CEILING,
    "lt": decimal.ROUND_CEILING,
}
"""To which side a comparison with a fraction of the last digit is one with a whole number of it."""
_EVERY_DIGIT = decimal.Context(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
_LARGEST_WITH_HALF = 2**51
"""The halves of larger numbers are no doubles any more."""
_BETWEEN = 0.5
"""What equals no whole number."""
_BEYOND_EVERY_COLUMN = 9e18
"""More than 18 digits, in a form that a 64-bit integer compares with."""


_CLOCKS = ("date", "time", "timestamp", "timestamptz")


def _moment(sql: str, have: str, want: str) -> str:
    """Return a date or time in the form of another, as a server casts it when it is stored there."""
    if have == want or have == "time" or {have, want} == {"timestamp", "timestamptz"}:
        return sql
    if have == "date":
        return f"({sql} || ' 00:00:00')"
    return f"SUBSTR({sql}, 1, 10)" if want == "date" else f"SUBSTR({sql}, 12)"


_DIGITS_OF_A_DOUBLE = decimal.Context(prec=15)


def _numeric_loader(sql_type: SqlType) -> Converter:
    scale = sql_type.scale or 0
    scaled = is_scaled(sql_type)

    def load(value: Any) -> decimal.Decimal:
        if type(value) is float:
            # What SQLite computed: the digits that a double holds for certain.
            return _DIGITS_OF_A_DOUBLE.create_decimal_from_float(value)
        return decimal.Decimal(value).scaleb(-scale) if scaled and type(value) is int else decimal.Decimal(str(value))

    return load


def _bind_datetime(value: datetime.datetime | datetime.date) -> str:
    if not isinstance(value, datetime.datetime):
        # Compared with a date and some hours, a date is its midnight.
        value = datetime.datetime.combine(value, datetime.time())
    if value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value.isoformat(" ")


def _load_aware(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def _bind_interval(value: datetime.timedelta) -> int:
    return (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds


def _load_interval(value: int) -> datetime.timedelta:
    return datetime.timedelta(microseconds=value)


_NATURAL: dict[type, Converter] = {
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.datetime: _bind_datetime,
    datetime.timedelta: _bind_interval,
    decimal.Decimal: str,
    bytearray: bytes,
    memoryview: bytes,
}
"""What parameters of a user's SQL go through, by their class: their form in columns, but for decimals, whose scale only
their column knows."""

_BINDERS: dict[str, Converter] = {
    "boolean": int,
    "date": datetime.date.isoformat,
    "time": datetime.time.isoformat,
    "timestamp": _bind_datetime,
    "timestamptz": _bind_datetime,
    "interval": _bind_interval,
    "uuid": str,
    "json": json.dumps,
    "hstore": json.dumps,
}
_LOADERS: dict[str, Converter] = {
    "boolean": bool,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timestamp": datetime.datetime.fromisoformat,
    "timestamptz": _load_aware,
    "interval": _load_interval,
    "json": json.loads,
    "hstore": json.loads,
}


# -- patterns ----------------------------------------------------------------------------------------------------


def _glob(text: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


def _like(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _wrapped(before: str, escape: Callable[[str], str], after: str) -> Converter:
    return lambda text: f"{before}{escape(text)}{after}"


def _folded(convert: Converter) -> Converter:
    """Return *convert* for a text whose case is folded where SQLite itself cannot ignore it."""
    return lambda text: convert(text if text.isascii() else text.casefold())


_PATTERNS: dict[str, Converter] = {
    "iexact": _folded(_like),
    "contains": _wrapped("*", _glob, "*"),
    "startswith": _wrapped("", _glob, "*"),
    "endswith": _wrapped("*", _glob, ""),
    "icontains": _folded(_wrapped("%", _like, "%")),
    "istartswith": _folded(_wrapped("", _like, "%")),
    "iendswith": _folded(_wrapped("%", _like, "")),
    "regex": str,
    "iregex": lambda text: f"(?i){text}",
}
