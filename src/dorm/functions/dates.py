"""Parts of dates and times: Extract, Trunc and their named forms, Now."""

from __future__ import annotations

import datetime
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar

from dorm import timezone
from dorm.conf.settings import settings
from dorm.db.types import DATE, TIME, TIMESTAMP, TIMESTAMPTZ, SqlType
from dorm.exceptions import choices_text
from dorm.expressions.func import Func
from dorm.expressions.subquery import awaits
from dorm.functions.zones import zone_sql
from dorm.lookups.classes import Transform
from dorm.sql.node import INTEGER_OUTPUT, Node, Output, Text, TypedOutput

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler

PARTS = ("year", "iso_year", "quarter", "month", "week", "week_day", "iso_week_day", "day", "hour", "minute", "second")
FINE = ("epoch", "milliseconds", "microseconds")
COARSE = ("century", "decade", "dow", "doy", "isodow", "isoyear", "julian", "millennium")
"""Parts by the names that PostgreSQL has for them: those of everything, and those of dates alone."""
CLOCK = ("hour", "minute", "second")
UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
_MOMENTS = ("timestamp", "timestamptz")
_PARTS_OF = {
    "date": frozenset((*PARTS, *COARSE, "epoch")) - {*CLOCK},
    "time": frozenset((*CLOCK, *FINE)),
    "interval": frozenset(("day", *CLOCK, *FINE)),
    **dict.fromkeys(_MOMENTS, frozenset((*PARTS, *COARSE, *FINE))),
}


def _kind(node: Node) -> str:
    return node.output.sql_type.kind if node.output is not None else ""


def _name(node: Node) -> str:
    return str(getattr(node.output, "name", None) or "an expression")


class _OfMoment(Transform):
    """What Extract and Trunc share: an argument that is a date or time, on the clock of *tzinfo*.

    The type of a reference to the query around is not known before the subquery is put into that query; until then
    nothing is said of it.
    """

    tzinfo: Any

    def rebuilt(self, args: tuple[Node, ...]) -> Any:
        made = super().rebuilt(args)
        if not awaits(made.args[0]):
            made.check(made.args[0])
        return made

    def check(self, source: Node) -> None:
        """Raise ValueError or TypeError when *source* is not what this can be taken from."""
        if self.tzinfo is not None and _kind(source) not in _MOMENTS:
            raise ValueError(f"tzinfo can only be used with DateTimeField, not with {_name(source)!r}.")

    def render(self, compiler: Compiler) -> str:
        if self.args[0].output is None:
            known = self.known(compiler)
            if known is not self and known.args[0].output is not None:
                return known.sql(compiler)
            self.check(self.args[0])
        return self.cut(compiler)

    def cut(self, compiler: Compiler) -> str:
        """Return the text over an argument of a known type."""
        raise NotImplementedError

    def source(self, compiler: Compiler) -> tuple[str, str]:
        """Return the text of the argument and the kind of its type."""
        node = self.args[0]
        text = node.sql(compiler)
        if type(node) is Text and node.output is not None:
            # NULL alone could be of any type.
            text = compiler.dialect.cast_from(text, None, node.output.sql_type)
        return text, _kind(node)


class Extract(_OfMoment):
    """One part of a date, time or datetime, as a number.

    Args:
        expression: what it is taken from.
        lookup_name: ``year``, ``iso_year``, ``quarter``, ``month``, ``week`` (ISO), ``week_day`` (1 = Sunday),
            ``iso_week_day`` (1 = Monday), ``day``, ``hour``, ``minute`` or ``second``; or, by PostgreSQL's names,
            ``epoch`` (seconds since 1970), ``milliseconds``, ``microseconds``, ``doy`` (day of the year), ``dow``,
            ``isodow``, ``isoyear``, ``decade``, ``century``, ``millennium``, ``julian``.
        tzinfo: zone in which an aware datetime is read; default: the current one.

    Raises: ValueError: a part that the expression does not have, *tzinfo* for what has no zone.
    """

    output = INTEGER_OUTPUT

    def __init__(self, expression: Any, lookup_name: str | None = None, tzinfo: Any = None, **extra: Any) -> None:
        if self.lookup_name is None:
            self.lookup_name = lookup_name
        elif isinstance(lookup_name, datetime.tzinfo):
            # The named forms are documented as (expression, tzinfo).
            tzinfo = lookup_name
        if self.lookup_name is None:
            raise ValueError("lookup_name must be provided")
        if self.lookup_name not in _PARTS_OF["timestamp"]:
            known = choices_text((*PARTS, *FINE, *COARSE), 22)
            raise ValueError(f"Extract() knows no part {self.lookup_name!r}: take one of {known}.")
        self.tzinfo = tzinfo
        super().__init__(expression, **extra)

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.lookup_name, self.tzinfo)

    def check(self, source: Node) -> None:
        kind, part = _kind(source), self.lookup_name
        if kind not in _PARTS_OF:
            raise ValueError("Extract input expression must be DateField, DateTimeField, TimeField, or DurationField.")
        super().check(source)
        if part in _PARTS_OF[kind]:
            return
        if kind == "date":
            raise ValueError(f"Cannot extract time component '{part}' from DateField '{_name(source)}'.")
        if kind == "time":
            raise ValueError(f"Cannot extract date component '{part}' from TimeField '{_name(source)}'.")
        raise ValueError(f"Cannot extract component '{part}' from DurationField '{_name(source)}'.")

    def infer_output(self) -> Output | None:
        return INTEGER_OUTPUT

    def cut(self, compiler: Compiler) -> str:
        text, kind = self.source(compiler)
        if kind == "timestamptz":
            # The seconds since 1970 are the same everywhere.
            zone = "'UTC'" if self.lookup_name == "epoch" else zone_sql(compiler, self.tzinfo)
            text, kind = compiler.dialect.at_zone(text, zone), "timestamp"
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


class Trunc(_OfMoment):
    """A date, time or datetime cut down to a unit: ``Trunc("created", "month")``.

    Args:
        expression: what is cut.
        kind: ``year``, ``quarter``, ``month``, ``week`` (its Monday), ``day``, ``hour``, ``minute`` or ``second``.
        output_field: DateField, TimeField or DateTimeField; default: the type of the expression.
        tzinfo: zone in which an aware datetime is cut; default: the current one.

    Raises: ValueError: a unit that the expression does not have, another *output_field*.
    """

    kind: Any = None

    units: ClassVar[tuple[str, ...]] = UNITS

    def __init__(
        self, expression: Any, kind: str | None = None, output_field: Any = None, tzinfo: Any = None, **extra: Any
    ) -> None:
        if kind is not None:
            self.kind = kind
        if self.kind not in self.units:
            what = f"; dates and times of day are Trunc{self.kind.title()}()" if self.kind in ("date", "time") else ""
            raise ValueError(f"Trunc() knows no unit {self.kind!r}: take one of {choices_text(UNITS, 20)}{what}.")
        if output_field is not None and not hasattr(type(output_field), "sql_type"):
            raise ValueError("output_field must be either DateField, TimeField, or DateTimeField")
        self.tzinfo = tzinfo
        self.wanted = output_field
        super().__init__(expression, output_field=output_field, **extra)

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.kind, self.tzinfo)

    def check(self, source: Node) -> None:
        of = _kind(source)
        if of not in ("date", "time", *_MOMENTS):
            raise TypeError(f"{_name(source)!r} isn't a DateField, TimeField, or DateTimeField.")
        super().check(source)
        to = self.output.sql_type.kind if self.output is not None else of
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

    def cut(self, compiler: Compiler) -> str:
        dialect = compiler.dialect
        text, kind = self.source(compiler)
        to = self.output.sql_type.kind if self.output is not None else kind
        if kind != "timestamptz":
            return dialect.date_trunc(self.kind, text, kind, to)
        zone = zone_sql(compiler, self.tzinfo)
        if to == "timestamptz":
            return dialect.date_trunc_in_zone(self.kind, text, zone)
        return dialect.date_trunc(self.kind, dialect.at_zone(text, zone), "timestamp", to)


class _TruncTo(Trunc):
    """The named forms, which say their unit themselves."""

    def __init__(self, expression: Any, output_field: Any = None, tzinfo: Any = None, **extra: Any) -> None:
        super().__init__(expression, None, output_field, tzinfo, **extra)


class TruncYear(_TruncTo):
    """The first of January."""

    kind = "year"


class TruncQuarter(_TruncTo):
    """The first day of the quarter."""

    kind = "quarter"


class TruncMonth(_TruncTo):
    """The first day of the month."""

    kind = "month"


class TruncWeek(_TruncTo):
    """The Monday of the week."""

    kind = "week"


class TruncDay(_TruncTo):
    """The start of the day."""

    kind = "day"


class TruncHour(_TruncTo):
    """The start of the hour."""

    kind = "hour"


class TruncMinute(_TruncTo):
    """The start of the minute."""

    kind = "minute"


class TruncSecond(_TruncTo):
    """The start of the second."""

    kind = "second"


class TruncDate(Trunc):
    """The date of a datetime."""

    kind = "date"
    units = ("date", "time")
    lookup_name = "date"
    _type: ClassVar[SqlType] = DATE

    def __init__(self, expression: Any, tzinfo: Any = None, *, output_field: Any = None, **extra: Any) -> None:
        if output_field is not None and output_field.sql_type.kind != self._type.kind:
            raise ValueError(f"{type(self).__name__}() gives a {self.kind}: it takes no other output_field.")
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
