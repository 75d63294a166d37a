"""The current time zone, and naive datetimes made aware and back."""

from __future__ import annotations

import datetime
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured

_override: ContextVar[datetime.tzinfo | None] = ContextVar("dorm_timezone", default=None)


def get_default_timezone() -> datetime.tzinfo:
    """Return the zone of the setting ``TIME_ZONE``."""
    name = settings.TIME_ZONE
    if name == "UTC":
        return datetime.UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ImproperlyConfigured(f"TIME_ZONE {name!r} is no time zone of this machine's database.") from None


def get_current_timezone() -> datetime.tzinfo:
    """Return the zone in force here: that of `override`, else the default."""
    return _override.get() or get_default_timezone()


def get_default_timezone_name() -> str:
    """Return the name of the zone of the setting ``TIME_ZONE``."""
    return _name(get_default_timezone())


def get_current_timezone_name() -> str:
    """Return the name of the zone in force here."""
    return _name(get_current_timezone())


def _name(zone: datetime.tzinfo) -> str:
    return zone.tzname(None) or str(zone)


def get_fixed_timezone(offset: int | datetime.timedelta) -> datetime.timezone:
    """Return the zone that is *offset* (minutes, or a timedelta) ahead of UTC, called like ``+0130``."""
    ahead = offset if isinstance(offset, datetime.timedelta) else datetime.timedelta(minutes=offset)
    minutes = int(ahead.total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    return datetime.timezone(ahead, f"{'-' if minutes < 0 else '+'}{hours:02d}{rest:02d}")


def _zone(given: datetime.tzinfo | str) -> datetime.tzinfo:
    if isinstance(given, str):
        from zoneinfo import ZoneInfo

        return ZoneInfo(given)
    if not isinstance(given, datetime.tzinfo):
        raise ValueError(f"Invalid timezone: it is a tzinfo or the name of a zone, not {type(given).__name__}.")
    return given


def activate(timezone: datetime.tzinfo | str) -> None:
    """Make *timezone* the current one of this thread or task, until `deactivate`.

    Raises: ValueError: it is neither a tzinfo nor a name.
    """
    _override.set(_zone(timezone))


def deactivate() -> None:
    """Make the default zone the current one again."""
    _override.set(None)


@contextmanager
def override(timezone: datetime.tzinfo | str | None) -> Generator[None]:
    """Make *timezone* the current one inside the block; None means the default.

    Raises: ValueError: it is neither a tzinfo nor a name.
    """
    before = _override.get()
    _override.set(None if timezone is None else _zone(timezone))
    try:
        yield
    finally:
        _override.set(before)


def is_aware(value: datetime.datetime) -> bool:
    """True when *value* has a UTC offset."""
    return value.utcoffset() is not None


def is_naive(value: datetime.datetime) -> bool:
    """True when *value* has no UTC offset."""
    return value.utcoffset() is None


def make_aware(value: datetime.datetime, timezone: datetime.tzinfo | None = None) -> datetime.datetime:
    """Return naive *value* as a time of *timezone* (default: the current one)."""
    if is_aware(value):
        raise ValueError("make_aware expects a naive datetime")
    return value.replace(tzinfo=timezone or get_current_timezone())


def make_naive(value: datetime.datetime, timezone: datetime.tzinfo | None = None) -> datetime.datetime:
    """Return aware *value* as the clock of *timezone* (default: the current one) shows it."""
    if not is_aware(value):
        raise ValueError("make_naive() cannot be applied to a naive datetime")
    return value.astimezone(timezone or get_current_timezone()).replace(tzinfo=None)


def now() -> datetime.datetime:
    """Return the present: aware in UTC with ``USE_TZ``, else naive in the default zone."""
    present = datetime.datetime.now(datetime.UTC)
    return present if settings.USE_TZ else present.astimezone(get_default_timezone()).replace(tzinfo=None)


def localtime(value: datetime.datetime | None = None, timezone: datetime.tzinfo | None = None) -> datetime.datetime:
    """Return aware *value* (default: the present) as a time of *timezone* (default: the current one)."""
    value = datetime.datetime.now(datetime.UTC) if value is None else value
    if is_naive(value):
        raise ValueError("localtime() cannot be applied to a naive datetime")
    return value.astimezone(timezone or get_current_timezone())


def localdate(value: datetime.datetime | None = None, timezone: datetime.tzinfo | None = None) -> datetime.date:
    """Return the date that `localtime` of *value* has."""
    return localtime(value, timezone).date()
