"""The acts on operating a service: N+1, statistics, plans, the allow-list; what dorm tells about itself."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import dorm
from dorm.contrib import nplusone, plan_drift, querystats, sql_allowlist
from dorm.demo.models import Airline, Airport, Flight
from dorm.demo.stage import Stage

_LONGEST_TEMPLATE = 90


def n_plus_one(stage: Stage) -> None:
    """The same statement again and again."""
    stage.title("N+1, found and gone")

    def one_by_one() -> list[Any]:
        with nplusone.detect(threshold=5) as detector:
            airlines: Any = Airline.objects.all()  # reverse relations are not in the type
            for airline in airlines:
                airline.flights.order_by("pk").first()
        return [(detector.counts[finding.template], finding.hint) for finding in detector.details]

    found = stage.scene(
        "with nplusone.detect(threshold=5) as detector:\n"
        "    for airline in Airline.objects.all():\n"
        '        airline.flights.order_by("pk").first()',
        one_by_one,
    )
    for times, hint in found:
        stage.say(f"Found: one template {times} times; {hint}")
    names = stage.scene(
        'for flight in Flight.objects.order_by("pk")[:500]:\n    flight.carrier.name, flight.destination.name',
        lambda: {
            (flight.carrier.name, flight.destination and flight.destination.name)
            for flight in Flight.objects.order_by("pk")[:500]
        },
    )
    stage.say(
        f"{len(names)} routes of 500 flights: the first access loads a relation for all its peers, "
        "so three statements do what others need a thousand for."
    )


def statistics(stage: Stage) -> None:
    """What ran how often, and how long it took."""
    stage.title("Statistics per statement template")
    collector = querystats.collector()
    stop = collector.enable()
    try:
        for month in range(1, 13):
            Flight.objects.filter(month=month, carrier_id="HA").count()
        for code in ("JFK", "LGA", "EWR"):
            Airport.objects.get(code=code)
        found = querystats.render_json()
    finally:
        stop()
        collector.reset()
    stage.table(
        ("template", "count", "total (ms)", "p95 (ms)"),
        [(_short(row["template"]), row["count"], row["total_ms"], row["p95_ms"]) for row in found],
    )


def plans(stage: Stage) -> None:
    """An index that goes missing."""
    if find_spec("sqlglot") is None:
        stage.say("\npip install 'dormdb\\[sql]' shows plan drift and the allow-list here.")
        return
    stage.title("Plan drift: a query whose plan changed")
    connection = dorm.connection_for("default")
    sql, params = "SELECT * FROM demo_probe WHERE code = %s", ["JFK"]
    connection.execute_script(
        "CREATE TABLE demo_probe AS SELECT code, name FROM flights_airport;"
        "CREATE INDEX demo_probe_code ON demo_probe (code)"
    )
    try:
        plan_drift.record_baseline("airport by code", sql, params=params)
        connection.execute_script("DROP INDEX demo_probe_code")
        result = stage.scene(
            'plan_drift.record_baseline("airport by code", sql)\n'
            "# ... somebody drops the index ...\n"
            'result = plan_drift.compare("airport by code", sql)',
            lambda: plan_drift.compare("airport by code", sql, params=params),
        )
        stage.say(f"drifted: {result.drifted}\n{plan_drift.diff_text(result)}")
    finally:
        plan_drift.reset()
        connection.execute_script("DROP TABLE demo_probe")


def allow_list(stage: Stage) -> None:
    """Statements of known shape only."""
    if find_spec("sqlglot") is None:
        return
    stage.title("A list of what may run")
    remove = sql_allowlist.install(["SELECT code, name FROM flights_airport WHERE code = ?"], allow_ddl=False)
    connection = dorm.connection_for("default")
    listed = "SELECT code, name FROM flights_airport WHERE code = %s"
    try:
        rows = stage.scene(
            'sql_allowlist.install(["SELECT code, name FROM flights_airport WHERE code = ?"])\n'
            f'connection.execute("{listed}", ["JFK"])',
            lambda: connection.execute(listed, ["JFK"]),
        )
        stage.say(f"{dict(rows[0])}")
        stage.scene(
            f'connection.execute("{listed} OR 1 = 1", ["JFK"])',
            lambda: connection.execute(f"{listed} OR 1 = 1", ["JFK"]),
        )
    except sql_allowlist.SQLNotAllowedError as exc:
        stage.error(exc)
    finally:
        remove()


def itself(stage: Stage) -> None:
    """What dorm tells about itself."""
    stage.title("What runs")
    stats = dorm.pool_stats()
    health = dorm.health_check()
    kept = Flight._meta.plan.root.statistics
    stage.table(
        ("database", "health", "connections", "plans of Flight", "plan hits"),
        [(stats["vendor"], health["status"], stats["pool_size"], kept.plans, kept.hits)],
    )


def _short(template: str) -> str:
    return template if len(template) <= _LONGEST_TEMPLATE else f"{template[: _LONGEST_TEMPLATE - 4]} ..."
