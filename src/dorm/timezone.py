"""The current time zone, and naive datetimes made aware and back."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured

_override: ContextVar[datetime.tzinfo | None] = ContextVar("dorm_timezone", default=None)


def get_default_timezone() -> datetime.tzinfo:
    """Return the zone of the setting ``TIME_ZONE``."""
    name = settings.TIME_ZONE
    if name == "UTC":
        return datetime.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ImproperlyConfigured(f"TIME_ZONE {name!r} is no time zone of this machine's database.") from None


def get_current_timezone() -> datetime.tzinfo:
    """Return the zone in force here: that of `override`, else the default."""
    return _override.get() or get_default_timezone()


@contextmanager
def override(zone: datetime.tzinfo | str | None) -> Iterator[None]:
    """Make *zone* the current one inside the block; None means the default."""
    before = _override.get()
    _override.set(ZoneInfo(zone) if isinstance(zone, str) else zone)
    try:
        yield
    finally:
        _override.set(before)


def is_aware(value: datetime.datetime) -> bool:
    """True when *value* has a UTC offset."""
    return value.utcoffset() is not None


def make_aware(value: datetime.datetime, zone: datetime.tzinfo | None = None) -> datetime.datetime:
    """Return naive *value* as a time of *zone* (default: the current one)."""
    if is_aware(value):
        raise ValueError("make_aware expects a naive datetime")
    return value.replace(tzinfo=zone or get_current_timezone())


def make_naive(value: datetime.datetime, zone: datetime.tzinfo | None = None) -> datetime.datetime:
    """Return aware *value* as the clock of *zone* (default: the current one) shows it."""
    if not is_aware(value):
        raise ValueError("make_naive() cannot be applied to a naive datetime")
    return value.astimezone(zone or get_current_timezone()).replace(tzinfo=None)


def now() -> datetime.datetime:
    """Return the present: aware in UTC with ``USE_TZ``, else naive in the default zone."""
    present = datetime.datetime.now(datetime.UTC)
    return present if settings.USE_TZ else present.astimezone(get_default_timezone()).replace(tzinfo=None)
