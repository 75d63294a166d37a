"""Dates, times and durations read from text.

Each function returns None for text of another form and raises ValueError for text of the right form that is no value
(``"2021-02-30"``).
"""

from __future__ import annotations

import datetime
import re

# Text that `re` compiles when it is first needed, and keeps: together they take longer than most modules to load.
_DATE = r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:[.,](?P<microsecond>\d{1,6})\d{0,6})?)?"
_DATETIME = rf"{_DATE}[T ]{_TIME}\s*(?P<zone>Z|[+-]\d{{2}}(?::?\d{{2}})?)?"
_DURATION = (
    r"(?:(?P<days>-?\d+) (?:days?, ?)?)?"
    r"(?P<sign>-?)"
    r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?"
    r"(?P<seconds>\d+)(?:[.,](?P<microseconds>\d{1,6})\d{0,6})?"
)
_ISO_DURATION = (
    r"(?P<sign>[-+]?)P(?:(?P<weeks>\d+(?:[.,]\d+)?)W)?(?:(?P<days>\d+(?:[.,]\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:[.,]\d+)?)H)?(?:(?P<minutes>\d+(?:[.,]\d+)?)M)?(?:(?P<seconds>\d+(?:[.,]\d+)?)S)?)?"
)
_INTERVAL = (
    r"(?:(?P<days>-?\d+) (?:days? ?))?"
    r"(?:(?P<sign>[-+])?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)(?:\.(?P<microseconds>\d{1,6}))?)?"
)


def _micro(text: str | None) -> int:
    return int(text.ljust(6, "0")) if text else 0


def parse_date(text: str) -> datetime.date | None:
    """Return the date of ``YYYY-MM-DD`` (one digit will do for month and day)."""
    found = re.fullmatch(_DATE, text)
    return datetime.date(*map(int, found.groups())) if found else None


def _clock(found: re.Match[str]) -> tuple[int, int, int, int]:
    return int(found["hour"]), int(found["minute"]), int(found["second"] or 0), _micro(found["microsecond"])


def parse_time(text: str) -> datetime.time | None:
    """Return the time of ``HH:MM[:SS[.ffffff]]``."""
    found = re.fullmatch(_TIME, text)
    return datetime.time(*_clock(found)) if found else None


def parse_datetime(text: str) -> datetime.datetime | None:
    """Return the moment of a date and a time separated by a space or ``T``, aware if an offset or ``Z`` follows."""
    found = re.fullmatch(_DATETIME, text, re.IGNORECASE)
    if found is None:
        return None
    date = int(found["year"]), int(found["month"]), int(found["day"])
    return datetime.datetime(*date, *_clock(found), tzinfo=_zone(found["zone"]))


def _zone(text: str | None) -> datetime.tzinfo | None:
    if text is None:
        return None
    if text in "Zz":
        return datetime.UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:] if len(text) > 3 else 0)
    offset = datetime.timedelta(minutes=-minutes if text[0] == "-" else minutes)
    return datetime.timezone(offset) if offset else datetime.UTC


def parse_duration(text: str) -> datetime.timedelta | None:
    """Return the span of ``[DD] [[HH:]MM:]ss[.ffffff]``, of ISO 8601 (``P3DT4H``), or of ``3 days 04:05:06``."""
    for pattern in (_DURATION, _ISO_DURATION, _INTERVAL):
        found = re.fullmatch(pattern, text) if text else None
        if found is not None and any(value for name, value in found.groupdict().items() if name != "sign"):
            return _span({name: value for name, value in found.groupdict().items() if value}, pattern is _ISO_DURATION)
    return None


def duration_text(span: datetime.timedelta) -> str:
    """Return *span* as ``[DD ]HH:MM:SS[.ffffff]``, which `parse_duration` reads; only days may be negative."""
    clock = datetime.datetime.min + datetime.timedelta(seconds=span.seconds, microseconds=span.microseconds)
    return f"{span.days} {clock.time().isoformat()}" if span.days else clock.time().isoformat()


def _span(parts: dict[str, str], iso: bool) -> datetime.timedelta:
    sign = -1 if parts.pop("sign", "+") == "-" else 1
    micro = _micro(parts.pop("microseconds", None))
    numbers = {name: float(value.replace(",", ".")) for name, value in parts.items()}
    days = numbers.pop("days", 0.0)
    try:
        clock = datetime.timedelta(microseconds=micro, **numbers)
        return sign * (datetime.timedelta(days) + clock) if iso else datetime.timedelta(days) + sign * clock
    except OverflowError as exc:
        raise ValueError("the span is too long") from exc
