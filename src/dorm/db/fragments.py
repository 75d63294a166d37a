"""Pieces of SQL that functions, casts and date parts ask a dialect for."""

from __future__ import annotations

import datetime
from typing import ClassVar

from dorm.db.types import SqlType
from dorm.exceptions import NotSupportedError


class Fragments:
    """The part of a dialect that functions stand on."""

    vendor: ClassVar[str]

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
