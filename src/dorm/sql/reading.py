"""Values that are compared with something computed, as a field of its type would take them."""

from __future__ import annotations

import datetime
import decimal
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from dorm import timezone
from dorm.conf.settings import settings
from dorm.db.types import INTEGER_RANGES, Kind
from dorm.exceptions import OutOfRange
from dorm.sql.parse import parse_date, parse_datetime, parse_duration, parse_time

_NO_NUMBERS = (list, tuple, set, frozenset, dict, bytes, datetime.date, datetime.time, datetime.timedelta)


def date_of(value: Any) -> datetime.date | None:
    """Return the date that *value* is, holds or says; None for what has none.

    Raises: ValueError: a text of the right form that is no date.
    """
    if isinstance(value, datetime.datetime):
        aware = settings.USE_TZ and timezone.is_aware(value)
        return (timezone.make_naive(value, timezone.get_default_timezone()) if aware else value).date()
    if isinstance(value, datetime.date):
        return value
    return parse_date(value) if isinstance(value, str) else None


def time_of(value: Any) -> datetime.time | None:
    """Return the time of day that *value* is, holds or says; None for what has none.

    Raises: ValueError: a text of the right form that is no time.
    """
    if isinstance(value, datetime.datetime):
        return value.time()
    if isinstance(value, datetime.time):
        return value
    return parse_time(value) if isinstance(value, str) else None


def moment_of(value: Any) -> datetime.datetime | None:
    """Return the datetime that *value* is or says, a date its midnight; None for what is none.

    Raises: ValueError: a text of the right form that is no datetime.
    """
    if isinstance(value, datetime.datetime):
        return value
    if isinstance(value, str):
        value = parse_datetime(value) or parse_date(value)
        if isinstance(value, datetime.datetime):
            return value
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    return None


def in_time(moment: datetime.datetime, what: str) -> datetime.datetime:
    """Return *moment* as the setting USE_TZ has datetimes, in the default zone where it says none.

    Warns: RuntimeWarning: *what* is given a naive datetime while datetimes are aware.
    """
    if not settings.USE_TZ:
        return moment if moment.tzinfo is None else timezone.make_naive(moment, timezone.get_default_timezone())
    if moment.tzinfo is not None:
        return moment
    warnings.warn(f"{what} received a naive datetime while time zone support is active.", RuntimeWarning, stacklevel=3)
    return timezone.make_aware(moment, timezone.get_default_timezone())


def _moment(value: Any) -> datetime.datetime | None:
    found = moment_of(value)
    return None if found is None else in_time(found, "A computed DateTimeField")


def _duration(value: Any) -> datetime.timedelta | None:
    if isinstance(value, datetime.timedelta):
        return value
    return parse_duration(value) if isinstance(value, str) else None


def _whole(kind: Kind) -> Callable[[Any], Any]:
    """Return what takes whole numbers of *kind*; those that it cannot hold are OutOfRange, which lookups answer."""
    low, high = INTEGER_RANGES[kind]

    def whole(value: Any) -> Any:
        if isinstance(value, _NO_NUMBERS):
            return None
        number = int(value) if isinstance(value, str) or value == value // 1 else None
        if number is None or not low <= number <= high:
            raise OutOfRange(f"a value to compare with a {kind} is no whole number from {low} to {high}.")
        return number

    return whole


def _float(value: Any) -> float | None:
    return None if isinstance(value, _NO_NUMBERS) else float(value)


def _decimal(value: Any) -> decimal.Decimal | None:
    if isinstance(value, decimal.Decimal):
        return value
    if isinstance(value, _NO_NUMBERS):
        return None
    return decimal.Decimal(repr(value) if isinstance(value, float) else value)


_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return None
    return str(value) if isinstance(value, (int, float, decimal.Decimal)) else value


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return _TRUTHS.get(value.lower())
    return bool(value) if isinstance(value, int) and value in (0, 1) else value


READ: Mapping[str, Callable[[Any], Any]] = {
    **{kind: _whole(kind) for kind in INTEGER_RANGES},
    "double": _float,
    "numeric": _decimal,
    "boolean": _boolean,
    "text": _text,
    "varchar": _text,
    "date": date_of,
    "time": time_of,
    "timestamp": _moment,
    "timestamptz": _moment,
    "interval": _duration,
}
"""What takes a value of each kind of type: None, ValueError or ArithmeticError for what is none of its values."""
