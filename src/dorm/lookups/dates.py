"""What stands behind a date or time in a path: its parts, and comparisons of years as ranges."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from dorm import timezone
from dorm.exceptions import InvalidValue
from dorm.functions.dates import (
    ExtractDay,
    ExtractHour,
    ExtractIsoWeekDay,
    ExtractIsoYear,
    ExtractMinute,
    ExtractMonth,
    ExtractQuarter,
    ExtractSecond,
    ExtractWeek,
    ExtractWeekDay,
    ExtractYear,
    TruncDate,
    TruncTime,
)
from dorm.lookups.core import _strict_aliases, compare, none_as_value
from dorm.lookups.registry import by_class, register_kinds
from dorm.sql.boolean import Condition
from dorm.sql.node import Node, Output, Parents, QueryLike, Scope

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

_DATES = ("date", "timestamp", "timestamptz")
_MOMENTS = ("timestamp", "timestamptz")

_FORMS = {
    "exact": "{lhs} BETWEEN {first} AND {last}",
    "gt": "{lhs} > {last}",
    "gte": "{lhs} >= {first}",
    "lt": "{lhs} < {first}",
    "lte": "{lhs} <= {last}",
}


class YearComparison(Condition):
    """A year compared by the first and the last moment of it, so that an index on the column can serve."""

    def __init__(self, lookup: str, source: Node, slot: int, bounds: Callable[[Any], tuple[Any, Any]]) -> None:
        self.lookup = lookup
        self.args = (source,)
        self.slot = slot
        self.bounds = bounds

    def options(self) -> tuple[Any, ...]:
        return (self.lookup, self.slot)

    def sql(self, compiler: Compiler) -> str:
        source = self.args[0]
        lhs = source.sql(compiler)
        form = _FORMS[self.lookup]
        parts = {
            name: compiler.param(self.slot, source.output, self._bound(index, source.output, compiler))
            for index, name in enumerate(("first", "last"))
            if f"{{{name}}}" in form
        }
        return form.format(lhs=lhs, **parts)

    def _bound(self, index: int, output: Output | None, compiler: Compiler) -> Callable[[Any], Any]:
        bind = output.bind(compiler.dialect) if output is not None else None
        bounds = self.bounds

        def bound(year: Any) -> Any:
            value = bounds(year)[index]
            return value if bind is None else bind(value)

        return bound

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return _strict_aliases(*self.args)

    @property
    def nullable(self) -> bool:
        return self.args[0].nullable


def _year(value: Any) -> int:
    """Return *value* as a year of the calendar."""
    try:
        year = int(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidValue(f"a year is a whole number, got {type(value).__name__}.") from None
    if datetime.MINYEAR <= year <= datetime.MAXYEAR:
        return year
    raise InvalidValue(f"a year is a whole number from {datetime.MINYEAR} to {datetime.MAXYEAR}.")


def _days(year: int, iso: bool) -> tuple[datetime.date, datetime.date]:
    if iso:
        # The last week of the last year ends beyond the calendar.
        ends = year == datetime.MAXYEAR
        last = datetime.date.max if ends else datetime.date.fromisocalendar(year + 1, 1, 1) - datetime.timedelta(1)
        return datetime.date.fromisocalendar(year, 1, 1), last
    return datetime.date(year, 1, 1), datetime.date(year, 12, 31)


def _moments(year: Any, iso: bool, aware: bool, zone: Any) -> tuple[datetime.datetime, datetime.datetime]:
    first, last = _days(year, iso)
    made = (
        datetime.datetime.combine(first, datetime.time.min),
        datetime.datetime.combine(last, datetime.time.max),
    )
    if not aware:
        return made
    where = timezone.get_current_timezone() if zone is None else zone
    return _in_calendar(made[0].replace(tzinfo=where)), _in_calendar(made[1].replace(tzinfo=where))


def _in_calendar(moment: datetime.datetime) -> datetime.datetime:
    """Return *moment*; the calendar's own end where UTC would have it in the year 0 or 10000."""
    try:
        moment.astimezone(datetime.UTC)
    except OverflowError:
        end = datetime.datetime.min if moment.year == datetime.MINYEAR else datetime.datetime.max
        return end.replace(tzinfo=datetime.UTC)
    return moment


def _compare_year(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        return none_as_value(name, lhs)
    if isinstance(value, (Node, QueryLike)):
        return compare(name, lhs, value, scope)
    source: Any = lhs.args[0]
    iso = isinstance(lhs, ExtractIsoYear)
    kind = source.output.sql_type.kind
    bounds: Callable[[Any], tuple[Any, Any]]
    if kind == "date":
        bounds = partial(_days, iso=iso)
    else:
        bounds = partial(_moments, iso=iso, aware=kind == "timestamptz", zone=getattr(lhs, "tzinfo", None))
    return YearComparison(name, source, scope.slot(_year), bounds)


def register() -> None:
    """Let dates and times know their parts."""
    for part in (ExtractYear, ExtractIsoYear, ExtractQuarter, ExtractMonth, ExtractWeek, ExtractWeekDay,
                 ExtractIsoWeekDay):  # fmt: skip
        register_kinds(_DATES, part)
    register_kinds((*_DATES, "interval"), ExtractDay)
    for clock in (ExtractHour, ExtractMinute, ExtractSecond):
        register_kinds(("time", "interval", *_MOMENTS), clock)
    for whole in (TruncDate, TruncTime):
        register_kinds(_MOMENTS, whole)
    for cls in (ExtractYear, ExtractIsoYear):
        by_class.setdefault(cls, {}).update(dict.fromkeys(_FORMS, _compare_year))
