"""The current time zone and what is done with it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

import dorm
from dorm import timezone

NAIVE = datetime.datetime(2020, 1, 1, 3)
AWARE = NAIVE.replace(tzinfo=datetime.UTC)
MELBOURNE = ZoneInfo("Australia/Melbourne")


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    before = dict(dorm.settings._given)
    dorm.configure(DATABASES={}, TIME_ZONE="UTC")
    yield
    dorm.settings._given.clear()
    dorm.settings._given.update(before)


def test_naive_and_aware() -> None:
    assert (timezone.is_aware(AWARE), timezone.is_naive(AWARE)) == (True, False)
    assert (timezone.is_aware(NAIVE), timezone.is_naive(NAIVE)) == (False, True)
    for wrong in (
        lambda: timezone.make_aware(AWARE),
        lambda: timezone.make_naive(NAIVE),
        lambda: timezone.localtime(NAIVE),
        lambda: timezone.localdate(NAIVE),
    ):
        with pytest.raises(ValueError, match="naive datetime"):
            wrong()


def test_local_times_and_dates() -> None:
    assert timezone.localtime(AWARE, MELBOURNE).hour == 14
    assert timezone.localdate(AWARE.replace(hour=14), MELBOURNE) == datetime.date(2020, 1, 2)
    with timezone.override(MELBOURNE):
        assert timezone.localtime(AWARE).hour == 14
        assert timezone.localtime().tzinfo is MELBOURNE
        assert timezone.localdate() == datetime.datetime.now(MELBOURNE).date()


def test_the_current_zone_by_name_and_by_hand() -> None:
    assert timezone.get_default_timezone_name() == timezone.get_current_timezone_name() == "UTC"
    timezone.activate("Australia/Melbourne")
    try:
        assert timezone.get_current_timezone() == MELBOURNE
        assert timezone.get_current_timezone_name() == "Australia/Melbourne"
        with timezone.override(None):
            assert timezone.get_current_timezone_name() == "UTC"
    finally:
        timezone.deactivate()
    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.parametrize(
    ("offset", "name"), [(90, "+0130"), (-150, "-0230"), (0, "+0000"), (datetime.timedelta(hours=2), "+0200")]
)
def test_zones_at_a_fixed_distance(offset: int | datetime.timedelta, name: str) -> None:
    zone = timezone.get_fixed_timezone(offset)
    assert zone.tzname(None) == name
    given = offset if isinstance(offset, datetime.timedelta) else datetime.timedelta(minutes=offset)
    assert zone.utcoffset(None) == given


def test_arguments_have_djangos_names() -> None:
    assert timezone.make_aware(NAIVE, timezone=MELBOURNE).utcoffset() == datetime.timedelta(hours=11)
    assert timezone.make_naive(AWARE, timezone=MELBOURNE).hour == 14
    assert timezone.localtime(AWARE, timezone=MELBOURNE).hour == 14
    assert timezone.localdate(AWARE.replace(hour=14), timezone=MELBOURNE) == datetime.date(2020, 1, 2)
    with timezone.override(timezone=MELBOURNE):
        assert timezone.get_current_timezone() is MELBOURNE


def test_hours_that_are_twice_or_not_at_all() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    twice = datetime.datetime(2021, 10, 31, 2, 30)
    first, second = timezone.make_aware(twice, berlin), timezone.make_aware(twice.replace(fold=1), berlin)
    assert second.astimezone(datetime.UTC) - first.astimezone(datetime.UTC) == datetime.timedelta(hours=1)
    missing = timezone.make_aware(datetime.datetime(2021, 3, 28, 2, 30), berlin)
    assert timezone.localtime(missing.astimezone(datetime.UTC), berlin).hour == 3


def test_what_is_no_zone_is_refused() -> None:
    for wrong in (5, 1.5, NAIVE):
        with pytest.raises(ValueError, match="Invalid timezone"):
            timezone.activate(wrong)  # type: ignore[arg-type]  # that is what is tried
        with pytest.raises(ValueError, match="Invalid timezone"), timezone.override(wrong):  # type: ignore[arg-type]  # as above
            pass
    with pytest.raises(ValueError, match="Invalid timezone"):
        timezone.activate(None)  # type: ignore[arg-type]  # only override() takes it
    with pytest.raises(Exception, match="Nowhere"), timezone.override("Nowhere/At_all"):
        pass
    assert timezone.get_current_timezone_name() == "UTC"
