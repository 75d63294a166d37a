"""Pieces of SQL that functions, casts and date parts ask a dialect for."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, ClassVar

from dorm.db.types import SqlType
from dorm.exceptions import NotSupportedError


class Fragments:
    """The part of a dialect that functions stand on."""

    vendor: ClassVar[str]

    display_name: ClassVar[str] = ""
    """Name of the engine as its makers write it, for messages."""
    supports_server_types: bool = False
    """Arrays, hstore, ranges, trigrams and full-text search, with PostgreSQL's operators."""
    supports_window_functions: bool = True
    supports_range_distances: bool = True
    """RANGE frames take distances, not only the current row and the ends of the partition."""
    scales_decimals: bool = False
    """Decimals are stored as whole numbers of their last digit, so that they must be converted to be computed with."""
    rounds_before_point: bool = True
    """ROUND takes a negative precision."""
    supports_json_containment: bool = False
    """Whether one JSON document holds another can be asked."""

    functions: ClassVar[dict[str, str]] = {}
    """Functions and aggregates that are spelled otherwise than the node says, by the node's name.

    A name, or a template with ``{0}``, ``{1}`` for the arguments and ``{args}`` for all of them.
    """

    # -- types ---------------------------------------------------------------------------------------------------
    def column_type(self, sql_type: SqlType) -> str:
        """Return how the type is spelled in DDL and casts."""
        raise NotImplementedError

    def cast(self, sql: str, sql_type: SqlType) -> str:
        """Return *sql* cast to a type."""
        return f"CAST({sql} AS {self.column_type(sql_type)})"

    def cast_from(self, sql: str, source: SqlType | None, wanted: SqlType) -> str:
        """Return *sql*, of type *source* (None: not known), cast to *wanted*."""
        return self.cast(sql, wanted)

    def plain_number(self, sql: str, source: SqlType) -> str:
        """Return *sql* as a number to compute with."""
        return sql

    def supports_listed(self, kind: str) -> bool:
        """True when a long list of values of *kind* can be one parameter (`in_listed`)."""
        return False

    def in_listed(self, lhs: str, placeholder: str) -> str:
        """Return membership of *lhs* in a JSON list that is one parameter."""
        raise NotSupportedError(f"{self.vendor} cannot take a list apart")

    # -- aggregates ----------------------------------------------------------------------------------------------
    supports_aggregate_order: bool = True
    """ORDER BY may stand within an aggregate."""
    supports_server_aggregates: bool = False
    """ARRAY_AGG, JSONB_AGG and the statistics of pairs."""

    def average(self, sql: str, sql_type: SqlType, distinct: bool = False) -> tuple[str, str]:
        """Return the function for the mean of decimals of *sql_type*, and its arguments; the mean is a plain number.

        Args:
            distinct: it takes each value once, and so one argument alone.
        """
        return "AVG", sql

    def string_agg(self, value: str, separator: str, distinct: bool, order: str) -> str:
        """Return the texts of a group joined; *order* is empty or a clause with a space before it."""
        return f"STRING_AGG({'DISTINCT ' if distinct else ''}{value}, {separator}{order})"

    def ordered_set(self, name: str, value: str, fraction: str | None) -> str:
        """Return ``mode``, ``percentile_cont`` or ``percentile_disc`` (*name*) of a group."""
        return f"{name.upper()}({fraction or ''}) WITHIN GROUP (ORDER BY {value})"

    def window_offset(self, sql: str) -> str:
        """Return a whole number as LAG, NTH_VALUE and NTILE take it."""
        return sql

    # -- JSON ----------------------------------------------------------------------------------------------------
    has_json_type: bool = False
    """Documents have a type of their own, by which they compare."""

    def json_at(self, sql: str, keys: tuple[str | int, ...]) -> str:
        """Return the value at a path, as JSON; NULL when nothing is there."""
        raise NotSupportedError(f"{self.vendor} cannot look into JSON")

    def json_text_at(self, sql: str, keys: tuple[str | int, ...]) -> str:
        """Return the value at a path as text, a string without its quotes; NULL for JSON's null too."""
        raise NotSupportedError(f"{self.vendor} cannot look into JSON")

    def json_scalar_at(self, sql: str, keys: tuple[str | int, ...], scalar: str) -> str:
        """Return the number, text or boolean (*scalar*) at a path; NULL when another type is there."""
        raise NotSupportedError(f"{self.vendor} cannot look into JSON")

    def json_holds(self, sql: str, keys: tuple[str | int, ...], scalar: str) -> str:
        """Return the condition that a number, text or boolean (*scalar*) is at a path; NULL when nothing is there."""
        raise NotSupportedError(f"{self.vendor} cannot look into JSON")

    def json_scalar_equals(self, sql: str, keys: tuple[str | int, ...], scalar: str, rhs: str) -> str:
        """Return the condition that a scalar equal to *rhs* is at a path; false when another type is there."""
        return f"{self.json_scalar_at(sql, keys, scalar)} = {rhs}"

    def json_is_null(self, sql: str, keys: tuple[str | int, ...]) -> str:
        """Return the condition that JSON's null is at a path."""
        raise NotSupportedError(f"{self.vendor} cannot look into JSON")

    def json_equals(self, sql: str, keys: tuple[str | int, ...], rhs: str) -> str:
        """Return the condition that the value at a path equals the document *rhs* (bound by `json_binder`)."""
        raise NotSupportedError(f"{self.vendor} cannot look into JSON")

    def json_canonical(self, sql: str) -> str:
        """Return a document in the form that `json_equals` compares with."""
        return sql

    def json_order(self, sql: str) -> str:
        """Return what a JSON value is ordered by."""
        return sql

    def json_has_key(self, sql: str, keys: tuple[str | int, ...], rhs: str) -> str:
        """Return the condition that the value at a path has the key *rhs* (bound by `json_key_binder`)."""
        raise NotSupportedError(f"{self.vendor} cannot look into JSON")

    def json_has_keys(self, sql: str, keys: tuple[str | int, ...], rhs: str, every: bool) -> str:
        """Return the condition that the value at a path has every, or any, of the keys *rhs*."""
        raise NotSupportedError(f"{self.vendor} cannot look into JSON")

    def json_key_binder(self, keys: tuple[str | int, ...], several: bool) -> Callable[[Any], Any]:
        """Return what turns a key, or a list of keys, into the parameter that has_key takes."""
        return lambda key: key

    def json_part(self, sql: str, source: SqlType) -> str:
        """Return a value as a part of a document that is being made."""
        return sql

    def json_key(self, sql: str) -> str:
        """Return the text *sql* as a key of an object that is being made."""
        return sql

    def json_binder(self, text: str) -> Any:
        """Return the parameter for a document that is compared, from its text."""
        return text

    def json_number(self, text: str) -> Any:
        """Return the parameter for a number that is compared, from its text."""
        return float(text)

    # -- dates ---------------------------------------------------------------------------------------------------
    def zone_name(self, zone: datetime.tzinfo) -> str:
        """Return the name of *zone* as `at_zone` takes it; a fixed offset as ISO 8601 writes it (``+05:30``)."""
        key = getattr(zone, "key", None)
        if isinstance(key, str):
            return key
        offset = zone.utcoffset(None)
        return str(zone) if offset is None else self.offset_name(round(offset.total_seconds() / 60))

    def offset_name(self, minutes: int) -> str:
        """Return the name of a zone that is *minutes* ahead of UTC."""
        if not minutes:
            return "UTC"
        return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"

    def now(self) -> str:
        """Return the time at which the statement began, as an aware datetime."""
        raise NotSupportedError(f"{self.vendor} cannot tell the time in a statement")

    def at_zone(self, sql: str, zone: str) -> str:
        """Return the clock of *zone* at an aware datetime, as a naive one."""
        raise NotSupportedError(f"{self.vendor} has no time zones")

    def date_part(self, part: str, sql: str, kind: str) -> str:
        """Return a part of a naive value of *kind* (date, time, timestamp, interval) as a whole number."""
        raise NotSupportedError(f"{self.vendor} cannot extract {part} of {kind}")

    def date_trunc(self, unit: str, sql: str, kind: str, wanted: str) -> str:
        """Return a naive value of *kind* cut to *unit*, as *wanted* (date, time, timestamp)."""
        raise NotSupportedError(f"{self.vendor} cannot truncate {kind}")

    def date_trunc_in_zone(self, unit: str, sql: str, zone: str) -> str:
        """Return an aware datetime cut to *unit* on the clock of *zone*, aware again."""
        raise NotSupportedError(f"{self.vendor} has no time zones")
