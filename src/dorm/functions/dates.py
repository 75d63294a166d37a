"""Parts of dates and times: Extract, Trunc and their named forms, Now."""

from __future__ import annotations

import datetime
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from dorm import timezone
from dorm.conf.settings import settings
from dorm.db.types import DATE, TIME, TIMESTAMP, TIMESTAMPTZ, SqlType
from dorm.exceptions import choices_text
from dorm.expressions.func import Func
from dorm.functions.zones import zone_sql
from dorm.lookups.classes import Transform
from dorm.sql.node import INTEGER_OUTPUT, Node, Output, Scope, TypedOutput

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler

PARTS = ("year", "iso_year", "quarter", "month", "week", "week_day", "iso_week_day", "day", "hour", "minute", "second")
CLOCK = ("hour", "minute", "second")
UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
_MOMENTS = ("timestamp", "timestamptz")
_DURATION_PARTS = ("day", "hour", "minute", "second")


def _kind(node: Node) -> str:
    return node.output.sql_type.kind if node.output is not None else ""


def _known(function: Any, compiler: Compiler) -> Node:
    """Return the argument of *function* with its type, checked: it may be that of a query around."""
    source: Node = function.args[0].known(compiler)
    function._check(source)
    return source


def _name(node: Node) -> str:
    return str(getattr(node.output, "name", None) or "an expression")


class Extract(Transform):
    """One part of a date, time or datetime, as a number.

    Args:
        expression: what it is taken from.
        lookup_name: ``year``, ``iso_year``, ``quarter``, ``month``, ``week`` (ISO), ``week_day`` (1 = Sunday),
            ``iso_week_day`` (1 = Monday), ``day``, ``hour``, ``minute`` or ``second``.
        tzinfo: zone in which an aware datetime is read; default: the current one.

    Raises: ValueError: a part that the expression does not have.
    """

    output = INTEGER_OUTPUT

    def __init__(self, expression: Any, lookup_name: str | None = None, tzinfo: Any = None, **extra: Any) -> None:
        if self.lookup_name is None:
            self.lookup_name = lookup_name
        if self.lookup_name is None:
            raise ValueError("lookup_name must be provided")
        if self.lookup_name not in PARTS:
            raise ValueError(f"Extract() knows no part {self.lookup_name!r}: take one of {choices_text(PARTS, 20)}.")
        self.tzinfo = tzinfo
        super().__init__(expression, **extra)

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.lookup_name, self.tzinfo)

    def resolve(self, scope: Scope) -> Node:
        made = super().resolve(scope)
        if made.args[0].output is not None:
            self._check(made.args[0])
        return made

    def _check(self, source: Node) -> None:
        """Refuse a *source* that has no such part."""
        part, kind = self.lookup_name, _kind(source)
        if kind not in ("date", "time", "interval", *_MOMENTS):
            raise ValueError("Extract input expression must be DateField, DateTimeField, TimeField, or DurationField.")
        if kind == "date" and part in CLOCK:
            raise ValueError(f"Cannot extract time component '{part}' from DateField '{_name(source)}'.")
        if kind == "time" and part not in CLOCK:
            raise ValueError(f"Cannot extract date component '{part}' from TimeField '{_name(source)}'.")
        if kind == "interval" and part not in _DURATION_PARTS:
            raise ValueError(f"Cannot extract component '{part}' from DurationField '{_name(source)}'.")

    def infer_output(self) -> Output | None:
        return INTEGER_OUTPUT

    def render(self, compiler: Compiler) -> str:
        source = _known(self, compiler)
        text, kind = source.sql(compiler), _kind(source)
        if kind == "timestamptz":
            text, kind = compiler.dialect.at_zone(text, zone_sql(compiler, self.tzinfo)), "timestamp"
        return compiler.dialect.date_part(self.lookup_name, text, kind)


class ExtractYear(Extract):
    """The year."""

    lookup_name = "year"


class ExtractIsoYear(Extract):
    """The year of the ISO week."""

    lookup_name = "iso_year"


class ExtractQuarter(Extract):
    """The quarter, 1 to 4."""

    lookup_name = "quarter"


class ExtractMonth(Extract):
    """The month, 1 to 12."""

    lookup_name = "month"


class ExtractWeek(Extract):
    """The ISO week, 1 to 53."""

    lookup_name = "week"


class ExtractWeekDay(Extract):
    """The day of the week, from 1 = Sunday to 7 = Saturday."""

    lookup_name = "week_day"


class ExtractIsoWeekDay(Extract):
    """The day of the week, from 1 = Monday to 7 = Sunday."""

    lookup_name = "iso_week_day"


class ExtractDay(Extract):
    """The day of the month."""

    lookup_name = "day"


class ExtractHour(Extract):
    """The hour, 0 to 23."""

    lookup_name = "hour"


class ExtractMinute(Extract):
    """The minute, 0 to 59."""

    lookup_name = "minute"


class ExtractSecond(Extract):
    """The whole second, 0 to 59."""

    lookup_name = "second"


# -- truncation --------------------------------------------------------------------------------------------------


class _Moment(TypedOutput):
    """Datetimes that come back in the zone they were truncated in."""

    __slots__ = ("zone",)

    def __init__(self, sql_type: SqlType, zone: Any) -> None:
        super().__init__(sql_type)
        self.zone = zone

    def load(self, dialect: Dialect, /) -> Converter | None:
        load = super().load(dialect)
        if self.sql_type.kind != "timestamptz":
            return load
        zone = self.zone

        def local(value: Any) -> Any:
            moment = value if load is None else load(value)
            return moment.astimezone(timezone.get_current_timezone() if zone is None else zone)

        return local


class Trunc(Transform):
    """A date, time or datetime cut down to a unit: ``Trunc("created", "month")``.

    Args:
        expression: what is cut.
        kind: ``year``, ``quarter``, ``month``, ``week`` (its Monday), ``day``, ``hour``, ``minute`` or ``second``.
        output_field: DateField, TimeField or DateTimeField; default: the type of the expression.
        tzinfo: zone in which an aware datetime is cut; default: the current one.

    Raises: ValueError: a unit that the expression does not have, another *output_field*.
    """

    kind: Any = None

    def __init__(
        self, expression: Any, kind: str | None = None, output_field: Any = None, tzinfo: Any = None, **extra: Any
    ) -> None:
        if kind is not None:
            self.kind = kind
        if self.kind not in (*UNITS, "date", "time"):
            raise ValueError(f"Trunc() knows no unit {self.kind!r}: take one of {choices_text(UNITS, 20)}.")
        self.tzinfo = tzinfo
        self.wanted = output_field
        super().__init__(expression, output_field=output_field, **extra)

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.kind, self.tzinfo)

    def resolve(self, scope: Scope) -> Node:
        made = cast("Trunc", super().resolve(scope))
        if made.args[0].output is not None:
            made._check(made.args[0])
        return made

    def _check(self, source: Node) -> None:
        """Refuse a *source* that has no such unit."""
        of = _kind(source)
        to = self.output.sql_type.kind if self.output is not None else of
        if of not in ("date", "time", *_MOMENTS):
            raise TypeError(f"{_name(source)!r} isn't a DateField, TimeField, or DateTimeField.")
        if to not in ("date", "time", *_MOMENTS):
            raise ValueError("output_field must be either DateField, TimeField, or DateTimeField")
        what = type(self.wanted).__name__ if self.wanted is not None else "DateTimeField"
        if of == "date" and (to in ("time", *_MOMENTS) or self.kind in (*CLOCK, "time")):
            raise ValueError(f"Cannot truncate DateField '{_name(source)}' to {what}.")
        if of == "time" and (to in ("date", *_MOMENTS) or self.kind not in (*CLOCK, "time")):
            raise ValueError(f"Cannot truncate TimeField '{_name(source)}' to {what}.")

    def infer_output(self) -> Output | None:
        source = self.args[0].output
        if source is None or source.sql_type.kind not in _MOMENTS:
            return source if source is None else TypedOutput(source.sql_type)
        return _Moment(source.sql_type, self.tzinfo)

    def rebuilt(self, args: tuple[Node, ...]) -> Any:
        made = super().rebuilt(args)
        if self.wanted is not None and made.output is not None and made.output.sql_type.kind in _MOMENTS:
            made.output = _Moment(made.output.sql_type, self.tzinfo)
        return made

    def render(self, compiler: Compiler) -> str:
        source, dialect = _known(self, compiler), compiler.dialect
        text, kind = source.sql(compiler), _kind(source)
        to = self.output.sql_type.kind if self.output is not None else kind
        if kind != "timestamptz":
            return dialect.date_trunc(self.kind, text, kind, to)
        zone = zone_sql(compiler, self.tzinfo)
        if to == "timestamptz":
            return dialect.date_trunc_in_zone(self.kind, text, zone)
        return dialect.date_trunc(self.kind, dialect.at_zone(text, zone), "timestamp", to)


class TruncYear(Trunc):
    """The first of January."""

    kind = "year"


class TruncQuarter(Trunc):
    """The first day of the quarter."""

    kind = "quarter"


class TruncMonth(Trunc):
    """The first day of the month."""

    kind = "month"


class TruncWeek(Trunc):
    """The Monday of the week."""

    kind = "week"


class TruncDay(Trunc):
    """The start of the day."""

    kind = "day"


class TruncHour(Trunc):
    """The start of the hour."""

    kind = "hour"


class TruncMinute(Trunc):
    """The start of the minute."""

    kind = "minute"


class TruncSecond(Trunc):
    """The start of the second."""

    kind = "second"


class TruncDate(Trunc):
    """The date of a datetime."""

    kind = "date"
    lookup_name = "date"
    _type: ClassVar[SqlType] = DATE

    def __init__(self, expression: Any, tzinfo: Any = None, **extra: Any) -> None:
        extra.pop("output_field", None)
        super().__init__(expression, tzinfo=tzinfo, **extra)

    def infer_output(self) -> Output | None:
        return TypedOutput(self._type)


class TruncTime(TruncDate):
    """The time of day of a datetime."""

    kind = "time"
    lookup_name = "time"
    _type = TIME


class Now(Func):
    """The time at which the statement began, by the database's clock."""

    function = "NOW"
    arity = 0

    def infer_output(self) -> Output | None:
        return TypedOutput(TIMESTAMPTZ if settings.USE_TZ else TIMESTAMP)

    def render(self, compiler: Compiler) -> str:
        return self.local(compiler, compiler.dialect.now())

    @staticmethod
    def local(compiler: Compiler, now: str) -> str:
        """Return the aware *now* as the settings have datetimes: aware, or naive in the default zone."""
        if settings.USE_TZ:
            return now
        zone = timezone.get_default_timezone()
        return compiler.dialect.at_zone(now, "'UTC'" if zone is datetime.UTC else zone_sql(compiler, zone))
