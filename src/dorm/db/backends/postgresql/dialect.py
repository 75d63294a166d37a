"""What is particular to PostgreSQL's SQL."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from psycopg import sql

from dorm.db.backends.lexes import POSTGRESQL
from dorm.db.backends.postgresql.adapt import (
    NULLS,
    Null,
    dump_hstore,
    load_address,
    load_hstore,
    load_items,
    load_range,
    untyped,
    untyped_items,
    untyped_range,
)
from dorm.db.backends.postgresql.fragments import PostgresFragments
from dorm.db.backends.postgresql.packed import PACKED
from dorm.db.dialect import Converter, Dialect, IsolationLevel
from dorm.db.rawsql import placeholders
from dorm.db.statement import Template
from dorm.db.types import BIGINT, DOUBLE, SqlType
from dorm.exceptions import DataError, ImproperlyConfigured, NotSupportedError

if TYPE_CHECKING:
    from dorm.db.plans import PlanNode
    from dorm.db.schema import Schema

_TYPES: dict[str, str] = {
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "boolean": "boolean",
    "double": "double precision",
    "text": "text",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "interval": "interval",
    "uuid": "uuid",
    "json": "jsonb",
    "bytes": "bytea",
    "inet": "inet",
    "citext": "citext",
    "hstore": "hstore",
    "int4range": "int4range",
    "int8range": "int8range",
    "numrange": "numrange",
    "daterange": "daterange",
    "tsrange": "tsrange",
    "tstzrange": "tstzrange",
    "custom": "",
}
_TEXT_FORMAT = frozenset({"citext", "hstore", "enum", "custom"})
"""Types whose values the driver reads in the text format only."""
_COPIED = frozenset({"varchar", "numeric", *_TYPES} - _TEXT_FORMAT - {"inet"})
"""Types whose bound values the driver's text form writes as COPY reads them; ranges are literals all the same."""
_NAMED = ("hstore", "citext", "enum", "custom")
"""Types that each server numbers anew, so that the driver reads arrays of them as text."""
_WHOLE = ("smallint", "integer", "bigint")
_NUMBERS = {**dict(zip(_WHOLE, _WHOLE, strict=True)), "numeric": "numeric", "double": "double precision"}
_UNTYPED = frozenset(
    {
        "inet",
        "citext",
        "hstore",
        "enum",
        "custom",
        "int4range",
        "int8range",
        "numrange",
        "daterange",
        "tsrange",
        "tstzrange",
    }
)
"""Types whose values are bound as literals that the server reads as what stands beside them."""
_NAMED_IN_PLACE = (_UNTYPED - {"custom"}) | {"smallint", "integer"}
"""Types that a parameter does not have by itself where nothing stands beside it."""
_NUMERIC = SqlType("numeric")
_ISOLATION: tuple[str, ...] = ("read uncommitted", "read committed", "repeatable read", "serializable")
_LIKE = "{lhs} LIKE {rhs}"
_ILIKE = "{lhs} ILIKE {rhs}"


_EXPLAIN_FORMATS = ("TEXT", "JSON", "YAML", "XML")
_EXPLAIN_OPTIONS = (
    "analyze",
    "buffers",
    "costs",
    "generic_plan",
    "memory",
    "serialize",
    "settings",
    "summary",
    "timing",
    "verbose",
    "wal",
)


class PostgresDialect(PostgresFragments, Dialect):
    """PostgreSQL 13 and later."""

    vendor = "postgresql"
    lexis = POSTGRESQL
    supports_advisory_locks = True
    supports_search_path = True
    supports_listen = True
    supports_returning = True
    numbers_placeholders = True
    supports_array_parameters = True
    sends_together = True
    supports_filter_clause = True
    supports_distinct_on = True
    supports_row_locks = True
    supports_deferrable_constraints = True
    supports_update_conflicts = True
    supports_conflict_targets = True
    supports_transactional_ddl = True
    supports_deferrable_unique = True
    supports_nulls_not_distinct = True
    supports_exclusion = True
    supports_index_extras = True
    supports_tablespaces = True
    supports_nulls_ordering = True
    supports_default_keyword_in_insert = True
    supports_ignore_conflicts = True
    supports_unnest_insert = True
    supports_copy = True
    streams_in_transactions = True
    max_parameters = 65_535

    lookups: ClassVar[dict[str, str]] = {
        "exact": "{lhs} = {rhs}",
        "gt": "{lhs} > {rhs}",
        "gte": "{lhs} >= {rhs}",
        "lt": "{lhs} < {rhs}",
        "lte": "{lhs} <= {rhs}",
        "iexact": "UPPER({lhs}) = UPPER({rhs})",
        "contains": _LIKE,
        "startswith": _LIKE,
        "endswith": _LIKE,
        "icontains": _ILIKE,
        "istartswith": _ILIKE,
        "iendswith": _ILIKE,
        "regex": "{lhs} ~ {rhs}",
        "iregex": "{lhs} ~* {rhs}",
    }

    def quote(self, name: str) -> str:
        if len(name.encode()) > self.max_identifier_length:
            raise ImproperlyConfigured(f"identifier {name!r} is longer than PostgreSQL's 63 bytes")
        return super().quote(name)

    def placeholder(self, number: int, sql_type: SqlType | None) -> str:
        if sql_type is None or sql_type.kind not in ("json", "array"):
            return f"${number}"
        return f"${number}::{'jsonb' if sql_type.kind == 'json' else self._unbounded(sql_type)}"

    def raw_sql(self, sql: str, has_params: bool) -> str:
        return placeholders(sql, lambda number: f"${number}") if has_params else sql

    def raw_placeholder(self, number: int) -> str:
        return f"${number}"

    # https://www.postgresql.org/docs/current/datatype-pseudo.html: those with "any", and what rank() and its like take.
    takes_anything = frozenset(
        (
            "concat", "concat_ws", "count", "format", "json_build_array", "json_build_object", "json_object_agg",
            "jsonb_build_array", "jsonb_build_object", "jsonb_object_agg", "num_nonnulls", "num_nulls",
            "pg_collation_for", "pg_column_size", "pg_typeof",
        )
    )  # fmt: skip

    def list_binder(self) -> Converter:
        return untyped_items

    def as_text(self, sql: str) -> str:
        return f"{sql}::text"

    # -- plans ---------------------------------------------------------------------------------------------------
    def plan_sql(self, sql: str, *, execute: bool = False, structured: bool = False) -> str:
        return f"EXPLAIN ({'ANALYZE, BUFFERS, ' if execute else ''}FORMAT {'JSON' if structured else 'TEXT'}) {sql}"

    def replication_sql(self) -> str:
        # Both positions are equal on a standby that lost its primary, too: the stream must be live. A primary with
        # nothing to say sends a sign of life every half wal_sender_timeout.
        return """
            SELECT pg_is_in_recovery(),
                   EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
                   pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND (
                       SELECT w.status = 'streaming' AND (t.span = interval '0' OR
                              w.last_msg_receipt_time > clock_timestamp() - 2 * t.span)
                       FROM pg_stat_wal_receiver w,
                            (SELECT current_setting('wal_sender_timeout')::interval AS span) t),
                   CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text END,
                   (SELECT count(*) > 0 AND count(w.status) = 0 FROM pg_stat_wal_receiver w)
        """

    def position_sql(self) -> str:
        return "SELECT pg_current_wal_insert_lsn()::text"

    def server_version_sql(self) -> str:
        return "SHOW server_version"

    def plan_tree(self, rows: Sequence[Sequence[Any]]) -> PlanNode:
        from dorm.db.backends.postgresql.plans import plan_tree

        return plan_tree(rows)

    def probe_limits(self, timeout_ms: int) -> tuple[str, ...]:
        return (
            f"SELECT set_config('statement_timeout', '{timeout_ms:d}', true), "
            f"set_config('lock_timeout', '{timeout_ms:d}', true), set_config('transaction_read_only', 'on', true)",
        )

    # -- types and values ----------------------------------------------------------------------------------------
    def column_type(self, sql_type: SqlType) -> str:
        kind = sql_type.kind
        if kind == "varchar":
            return f"varchar({sql_type.length})" if sql_type.length else "varchar"
        if kind == "numeric":
            return f"numeric({sql_type.precision}, {sql_type.scale})" if sql_type.precision else "numeric"
        if kind == "array":
            return f"{self.column_type(_element(sql_type))}[]"
        if kind == "enum":
            return self.quote(sql_type.name or "")
        return _TYPES[kind]

    def binder(self, sql_type: SqlType) -> Converter | None:
        kind = sql_type.kind
        if kind in ("text", "varchar"):
            return _without_nul
        if kind == "hstore":
            return dump_hstore
        if kind in _UNTYPED:
            return untyped_range if kind.endswith("range") else untyped
        return json.dumps if kind == "json" else None

    def named_binder(self, sql_type: SqlType, name: str) -> Converter | None:
        return _text_of(name) if sql_type.kind in ("text", "varchar") else self.binder(sql_type)

    def loader(self, sql_type: SqlType) -> Converter | None:
        kind = sql_type.kind
        if kind == "inet":
            return load_address
        if kind == "hstore":
            return load_hstore
        if kind == "array":
            element = _element(sql_type)
            return self.loader(element) if element.kind == "array" else load_items if element.kind in _NAMED else None
        return load_range if kind.endswith("range") else None

    def json_text_binder(self, name: str) -> Converter | None:
        return _json_of(name)

    def null(self, sql_type: SqlType | None) -> Any:
        return NULLS.get(sql_type.kind) if sql_type is not None else None

    def array_binder(self, sql_type: SqlType) -> Converter | None:
        return PACKED.get(sql_type.kind)

    def has_binary_loader(self, sql_type: SqlType) -> bool:
        kind = sql_type.kind
        return self.has_binary_loader(_element(sql_type)) if kind == "array" else kind not in _TEXT_FORMAT

    def numeric_result(self, function: str, sql_type: SqlType | None) -> SqlType | None:
        # https://www.postgresql.org/docs/current/functions-aggregate.html
        kind = sql_type.kind if sql_type is not None else ""
        if function == "Sum":
            return _NUMERIC if kind == "bigint" else BIGINT if kind in ("smallint", "integer") else sql_type
        return DOUBLE if kind == "double" else _NUMERIC

    # -- fragments -----------------------------------------------------------------------------------------------
    def pattern(self, lookup: str) -> Converter:
        return _PATTERNS[lookup]

    def in_place_of_column(self, sql: str, sql_type: SqlType) -> str:
        # Whole numbers are bound as bigint, which functions of integers do not take.
        return f"{sql}::{self._unbounded(sql_type)}" if sql_type.kind in _NAMED_IN_PLACE else sql

    def typed_literal(self, sql: str, sql_type: SqlType) -> str:
        return self.in_place_of_column(sql, sql_type)

    def literal_beside(self, sql: str, own: SqlType, other: SqlType) -> str:
        # A text that SQL's own text holds is read as what stands beside it: 3 + '5' is 8.
        name = _NUMBERS.get(other.kind) if own.kind in ("text", "varchar") else None
        return sql if name is None else f"({sql})::{name}"

    def lookup_left(self, lookup: str, lhs: str, sql_type: SqlType | None) -> str:
        if sql_type is not None and sql_type.kind == "inet" and lookup in _PATTERNS:
            # A cast to text would add the mask.
            return f"HOST({lhs})"
        textual = sql_type is None or sql_type.kind in ("text", "varchar", "citext")
        return lhs if textual or lookup not in _PATTERNS else f"{lhs}::text"

    def row_lock(self, *, nowait: bool, skip_locked: bool, of: tuple[str, ...], weak: bool) -> str:
        parts = [" FOR NO KEY UPDATE" if weak else " FOR UPDATE"]
        if of:
            parts.append(f" OF {', '.join(of)}")
        parts.append(" NOWAIT" if nowait else " SKIP LOCKED" if skip_locked else "")
        return "".join(parts)

    def explain(self, fmt: str | None, options: dict[str, Any]) -> str:
        self.check_explain(fmt, options, _EXPLAIN_FORMATS, _EXPLAIN_OPTIONS)
        words = [
            f"{name.upper()} {'true' if value is True else 'false' if value is False else value}"
            for name, value in options.items()
        ]
        words += [f"FORMAT {fmt.upper()}"] if fmt is not None else []
        return f"EXPLAIN ({', '.join(words)}) " if words else "EXPLAIN "

    def converted(self, sql: str, have: SqlType, want: SqlType) -> str:
        if have.kind == "double" and want.kind == "numeric":
            return f"ROUND(({sql})::numeric, {want.scale})" if want.scale is not None else f"({sql})::numeric"
        if have.kind in ("timestamp", "timestamptz") and want.kind in ("date", "time"):
            return f"({sql})::{want.kind}"
        return f"({sql})::double precision" if want.kind == "double" != have.kind else sql

    def combined(self, operator: str, lhs: str, rhs: str, left: SqlType | None, right: SqlType | None) -> str:
        if operator == "-" and left is not None and right is not None and left.kind == right.kind == "date":
            # date - date is a number of days: https://www.postgresql.org/docs/current/functions-datetime.html
            return f"(({lhs} - {rhs}) * interval '1 day')"
        if operator in ("<<", ">>"):
            return f"({lhs} {operator} ({rhs})::integer)"
        if left is not None and right is not None:
            # Days are added to a date as an integer.
            if left.kind == "date" and right.kind in _WHOLE:
                rhs = f"({rhs})::integer"
            elif right.kind == "date" and left.kind in _WHOLE:
                lhs = f"({lhs})::integer"
        return super().combined(operator, lhs, rhs, left, right)

    def pattern_of(self, lookup: str, lhs: str, rhs: str) -> str:
        if lookup in ("regex", "iregex", "iexact"):
            return self.lookups[lookup].format(lhs=lhs, rhs=rhs)
        escaped = rf"REPLACE(REPLACE(REPLACE(({rhs})::text, '\', '\\'), '%', '\%'), '_', '\_')"
        before = "" if lookup.endswith("startswith") else "'%' || "
        after = "" if lookup.endswith("endswith") else " || '%'"
        return self.lookups[lookup].format(lhs=lhs, rhs=f"{before}{escaped}{after}")

    def in_array(self, lhs: str, placeholder: str) -> str:
        return f"{lhs} = ANY({placeholder})"

    def insert_from_arrays(
        self, table: str, columns: Sequence[str], types: Sequence[SqlType], returning: str, ending: str
    ) -> str:
        names = ", ".join(columns)
        arrays = ", ".join(f"${number}::{self._array_type(each)}" for number, each in enumerate(types, 1))
        values = ", ".join(
            f"c{number}::jsonb" if each.kind == "json" else f"c{number}" for number, each in enumerate(types, 1)
        )
        aliases = ", ".join(f"c{number}" for number in range(1, len(types) + 1))
        back = f" RETURNING {returning}" if returning else ""
        return (
            f"INSERT INTO {table} ({names}) SELECT {values} FROM unnest({arrays}) WITH ORDINALITY "
            f"AS rows ({aliases}, ordinality) ORDER BY ordinality{ending}{back}"
        )

    def copies(self, sql_type: SqlType) -> bool:
        return sql_type.kind in _COPIED

    def row_security(self, table: str) -> tuple[str, tuple[Any, ...]] | None:
        return "SELECT row_security_active($1)", (table,)

    def update_from_arrays(self, table: str, columns: Sequence[str], types: Sequence[SqlType]) -> str:
        arrays = ", ".join(f"${number}::{self._array_type(each)}" for number, each in enumerate(types, 1))
        values = [
            f"rows.c{number}" + ("::jsonb" if each.kind == "json" else "") for number, each in enumerate(types, 1)
        ]
        pairs = ", ".join(f"{name} = {value}" for name, value in zip(columns[:-1], values[:-1], strict=True))
        names = ", ".join(f"c{number}" for number in range(1, len(types) + 1))
        key = f"{table}.{columns[-1]} = {values[-1]}"
        return f"UPDATE {table} SET {pairs} FROM unnest({arrays}) AS rows ({names}) WHERE {key}"

    def unnests(self, sql_type: SqlType) -> bool:
        # unnest() takes an array of arrays apart to its last element.
        return sql_type.kind not in ("array", "custom")

    def _array_type(self, sql_type: SqlType) -> str:
        if sql_type.kind in ("varchar", "json"):
            # A cast to varchar(n) would cut what is too long instead of refusing it.
            return "text[]"
        return f"{self._unbounded(sql_type)}[]"

    def _unbounded(self, sql_type: SqlType) -> str:
        """Return the spelling of a type without the limits to which a cast would cut or round."""
        if sql_type.kind == "array":
            return f"{self._unbounded(_element(sql_type))}[]"
        return sql_type.kind if sql_type.kind in ("numeric", "varchar") else self.column_type(sql_type)

    # -- transactions --------------------------------------------------------------------------------------------
    def statement_timeout(self, milliseconds: int | None) -> Template | None:
        return Template(f"SET LOCAL statement_timeout TO {'DEFAULT' if milliseconds is None else milliseconds}")

    def search_path(self, schemas: Sequence[str] | None, local: bool) -> Template:
        listed = "DEFAULT" if schemas is None else ", ".join(map(self.quote, schemas))
        return Template(f"SET {'LOCAL ' if local else ''}search_path TO {listed}", prepare=False)

    def begin(self, isolation: IsolationLevel | None = None, read_only: bool = False) -> Template:
        if not self.has_transactions:
            raise NotSupportedError(
                'PGBOUNCER_MODE "statement" hands a connection out for one statement: there are no transactions.'
            )
        if isolation is not None and isolation not in _ISOLATION:
            raise ImproperlyConfigured(
                f"there is no isolation level {isolation!r}: take one of {', '.join(_ISOLATION)}."
            )
        level = f" ISOLATION LEVEL {isolation.upper()}" if isolation else ""
        return Template(f"BEGIN{level}{' READ ONLY' if read_only else ''}")

    # -- DDL -----------------------------------------------------------------------------------------------------
    @property
    def schema(self) -> Schema:
        from dorm.db.backends.postgresql.schema import PostgresSchema

        return PostgresSchema(self)

    has_online_ddl = True
    index_progress = (
        "SELECT phase, lockers_done, lockers_total, tuples_done, tuples_total, blocks_done, blocks_total "
        "FROM pg_stat_progress_create_index JOIN pg_stat_activity USING (pid) WHERE left(query, 900) = left($1, 900)"
    )
    lock_timeout = "SET LOCAL lock_timeout = '{}'"

    def table_size(self, table: str) -> tuple[str, tuple[Any, ...]] | None:
        return "SELECT pg_total_relation_size(to_regclass(quote_ident($1)))", (table,)

    def migration_lock(self, key: int) -> tuple[str, str] | None:
        return f"SELECT pg_try_advisory_lock({key})", f"SELECT pg_advisory_unlock({key})"

    def quote_literal(self, text: str) -> str:
        return sql.Literal(_without_nul(text)).as_string(None).strip()

    def literal(self, value: Any, sql_type: SqlType | None = None) -> str:
        if value is None or isinstance(value, Null):
            return "NULL"
        if isinstance(value, str):
            return self.quote_literal(value)
        text = sql.Literal(value).as_string(None).strip()
        return f"({text})" if text.startswith("-") else text

    def notify_sql(self) -> str:
        return "SELECT pg_notify($1, $2)"

    def table_columns(self, name: str) -> tuple[str, tuple[Any, ...]]:
        return _COLUMNS, (name,)

    def table_exists(self, name: str) -> tuple[str, tuple[Any, ...]]:
        return "SELECT 1 WHERE to_regclass(quote_ident($1)) IS NOT NULL", (name,)


_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       EXISTS (SELECT 1 FROM pg_constraint c
               WHERE c.conrelid = a.attrelid AND c.contype = 'p' AND a.attnum = ANY (c.conkey))
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass(quote_ident($1)) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""


def _element(sql_type: SqlType) -> SqlType:
    assert sql_type.element is not None, "an array without a type of its elements"
    return sql_type.element


def _without_nul(text: str) -> str:
    # https://www.postgresql.org/docs/current/datatype-character.html: NUL cannot be stored in text.
    if "\0" in text:
        raise DataError(
            "a text holds the character NUL (\\x00), which PostgreSQL cannot store: remove it, or use a BinaryField."
        )
    return text


@functools.lru_cache(maxsize=1024)
def _text_of(name: str) -> Converter:
    """Return `_without_nul` with the field's name in what it raises, without a call more.

    It is the same one for the same name: only then has a value one placeholder wherever it stands in a statement.
    """

    def bind(text: str) -> str:
        if "\0" in text:
            raise DataError(
                f"{name}: a text holds the character NUL (\\x00), which PostgreSQL cannot store: remove it, or use a "
                "BinaryField."
            )
        return text

    return bind


_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@functools.lru_cache(maxsize=1024)
def _json_of(name: str) -> Converter:
    """Return what refuses a document that jsonb would: https://www.postgresql.org/docs/current/datatype-json.html."""

    def bind(text: str) -> str:
        if "\\u0000" in text and _ESCAPED_NUL.search(text):
            raise DataError(
                f"{name}: a JSON document holds the character NUL (\\u0000), which PostgreSQL cannot store: remove it, "
                "or use a BinaryField."
            )
        return text

    return bind


def _like(text: str) -> str:
    return _without_nul(text).replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _wrapped(before: str, after: str) -> Callable[[str], str]:
    return lambda text: f"{before}{_like(text)}{after}"


_PATTERNS: dict[str, Converter] = {
    "iexact": _without_nul,
    "contains": _wrapped("%", "%"),
    "startswith": _wrapped("", "%"),
    "endswith": _wrapped("%", ""),
    "icontains": _wrapped("%", "%"),
    "istartswith": _wrapped("", "%"),
    "iendswith": _wrapped("%", ""),
    "regex": _without_nul,
    "iregex": _without_nul,
}
