"""The acts of the demo."""

from __future__ import annotations

import asyncio
import datetime
import resource
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import dorm
from dorm import Avg, Count, F, Max
from dorm.demo import operations
from dorm.demo.data import FLIGHTS, DataSet
from dorm.demo.models import MODELS, Airline, Airport, Flight, Plane, Weather
from dorm.demo.stage import Stage
from dorm.migrations.schema import create_tables, drop_tables

T = TypeVar("T")

_BATCH = 5_000
_NEW_YEAR = datetime.date(2013, 1, 1)


def batches(rows: Iterator[T], size: int = _BATCH) -> Iterator[list[T]]:
    """Yield *rows* in lists of *size*."""
    while batch := list(islice(rows, size)):
        yield batch


def load(stage: Stage, data: DataSet, most: int | None) -> None:
    """Create the tables and fill them."""
    stage.title("A project, its tables, its data")
    drop_tables(MODELS)
    stage.scene("create_tables([Airline, Airport, Plane, Weather, Flight])", lambda: create_tables(MODELS))
    stage.say("\nFlight.objects.bulk_create(...) in batches of 5,000, keys read back:")
    flights = min(FLIGHTS, most) if most is not None else FLIGHTS
    tables: list[tuple[Any, Iterator[Any], int | None]] = [
        (Airline, data.airlines(), 16),
        (Airport, data.airports(), 1_462),
        (Plane, data.planes(), 3_322),
        (Weather, data.weather(), 26_115),
        (Flight, data.flights(most), flights),
    ]
    for model, rows, total in tables:
        with stage.progress(model.__name__, total) as advance, dorm.atomic():
            for batch in batches(rows):
                model.objects.bulk_create(batch)
                advance(len(batch))
    stage.statements.clear()


def filters(stage: Stage) -> None:
    """Conditions across joins."""
    stage.title("Filters over joins")
    late = Flight.objects.filter(
        carrier__name__icontains="jetblue", destination__name__startswith="Los Angeles", arrival_delay__gt=120
    ).order_by("-arrival_delay")
    found = stage.scene(
        "Flight.objects.filter(\n"
        '    carrier__name__icontains="jetblue",\n'
        '    destination__name__startswith="Los Angeles",\n'
        "    arrival_delay__gt=120,\n"
        ').order_by("-arrival_delay").select_related("carrier", "plane")[:5]',
        lambda: list(late.select_related("carrier", "plane")[:5]),
    )
    stage.table(
        ("day", "flight", "carrier", "plane", "late by (min)"),
        [
            (flight.day, flight.number, flight.carrier.name, flight.plane and flight.plane.model, flight.arrival_delay)
            for flight in found
        ],
    )
    stage.say("The carrier and the plane came with the same statement: select_related.")
    nowhere = stage.scene(
        "Airport.objects.exclude(arrivals__carrier_id='UA').filter(arrivals__isnull=False).distinct().count()",
        Airport.objects.exclude(arrivals__carrier_id="UA").filter(arrivals__isnull=False).distinct().count,
    )
    stage.say(f"{nowhere} destinations that United did not fly to.")


def aggregates(stage: Stage) -> None:
    """Groups."""
    stage.title("Delay per carrier and month")
    grouped = (
        Flight.objects.filter(month__lte=3)
        .values("carrier__name", "month")
        .annotate(flights=Count("pk"), delay=Avg("departure_delay"), worst=Max("departure_delay"))
        .filter(flights__gt=300)
        .order_by("-delay")
    )
    rows = stage.scene(
        "Flight.objects.filter(month__lte=3)\n"
        '    .values("carrier__name", "month")\n'
        '    .annotate(flights=Count("pk"), delay=Avg("departure_delay"), worst=Max("departure_delay"))\n'
        '    .filter(flights__gt=300).order_by("-delay")[:6]',
        lambda: list(grouped[:6]),
    )
    stage.table(("carrier", "month", "flights", "delay (min)", "worst"), [tuple(row.values()) for row in rows])


def prefetches(stage: Stage) -> None:
    """One statement a relation instead of one a row."""
    stage.title("A day's flights without N+1")
    day = dorm.Prefetch("flights", Flight.objects.filter(day=_NEW_YEAR).order_by("number"), to_attr="first_day")
    airlines = stage.scene(
        'day = Prefetch("flights", Flight.objects.filter(day=date(2013, 1, 1)), to_attr="first_day")\n'
        'Airline.objects.prefetch_related(day, "first_day__destination")',
        lambda: list(Airline.objects.prefetch_related(day, "first_day__destination")),
    )
    rows = [
        (airline.name, len(flights), ", ".join(sorted({flight.destination.code for flight in flights})[:8]))
        for airline in airlines
        if (flights := airline.__dict__["first_day"])
    ]
    stage.table(("airline", "flights", "some destinations"), rows[:5])


def stream(stage: Stage) -> None:
    """All rows in flat memory."""
    stage.title("Streaming every row")
    before = highest = _resident_mib()

    def total() -> tuple[int, int]:
        nonlocal highest
        count = miles = 0
        for flight in Flight.objects.all().iterator(chunk_size=2_000):
            count += 1
            miles += flight.distance
            if count % 10_000 == 0:
                highest = max(highest, _resident_mib())
        return count, miles

    count, miles = stage.scene(
        "for flight in Flight.objects.all().iterator(chunk_size=2_000):\n    miles += flight.distance", total
    )
    stage.say(f"{count:,} instances, {miles:,} miles; memory grew by {highest - before:.1f} MiB at most.")


def _resident_mib() -> float:
    """Return the memory this process holds now; its peak where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20


def in_async(stage: Stage) -> None:
    """The other face."""
    stage.title("The same in async code")

    async def main() -> list[Any]:
        async with dorm.atomic(read_only=True):
            first = await Flight.objects.select_related("carrier").order_by("pk").afirst()
        worst = await Flight.objects.aaggregate(worst=Max("arrival_delay"))
        names = [airline.name async for airline in Airline.objects.filter(flights__distance__gt=4_000).distinct()]
        counts = await asyncio.gather(*[Flight.objects.filter(month=month).acount() for month in range(1, 13)])
        return [first and first.carrier.name, worst["worst"], ", ".join(names), sum(counts)]

    result = stage.scene(
        "async with dorm.atomic(read_only=True):\n"
        '    first = await Flight.objects.select_related("carrier").order_by("pk").afirst()\n'
        'worst = await Flight.objects.aaggregate(worst=Max("arrival_delay"))\n'
        "names = [a.name async for a in Airline.objects.filter(flights__distance__gt=4_000).distinct()]\n"
        "counts = await asyncio.gather(*[Flight.objects.filter(month=m).acount() for m in range(1, 13)])",
        lambda: asyncio.run(main()),
    )
    stage.table(("first carrier", "worst delay", "beyond 4,000 miles", "flights"), [result])


def transactions(stage: Stage) -> None:
    """All or nothing."""
    stage.title("A transaction that rolls back")
    before = Flight.objects.filter(carrier_id="HA").count()

    def change() -> int:
        try:
            with dorm.atomic():
                Flight.objects.filter(carrier_id="HA").update(departure_delay=F("departure_delay") + 10)
                Flight.objects.filter(carrier_id="HA").delete()
                raise RuntimeError("something went wrong")
        except RuntimeError:
            return Flight.objects.filter(carrier_id="HA").count()

    after = stage.scene(
        "with dorm.atomic():\n"
        '    Flight.objects.filter(carrier_id="HA").update(departure_delay=F("departure_delay") + 10)\n'
        '    Flight.objects.filter(carrier_id="HA").delete()\n'
        '    raise RuntimeError("something went wrong")',
        change,
    )
    stage.say(f"Hawaiian's flights before: {before}, after: {after}.")


def errors(stage: Stage) -> None:
    """Messages that say how to mend it."""
    stage.title("Errors that say what, where and how to mend it")
    for code, fail in (
        ('Flight.objects.filter(carier__name="x")', lambda: Flight.objects.filter(carier__name="x")),
        ('Flight.objects.filter(distance="far")', lambda: Flight.objects.filter(distance="far")),
        ('Airline.objects.get(code="??")', lambda: Airline.objects.get(code="??")),
    ):
        stage.say(f"\n[bold]{code}[/bold]")
        try:
            fail()
        except dorm.DatabaseError as exc:
            stage.error(exc)
        except (dorm.FieldError, dorm.ObjectDoesNotExist) as exc:
            stage.error(exc)


ACTS = (
    filters,
    aggregates,
    prefetches,
    stream,
    in_async,
    transactions,
    errors,
    operations.n_plus_one,
    operations.statistics,
    operations.plans,
    operations.allow_list,
    operations.itself,
)
