"""dorm and the bare driver on a PostgreSQL server two milliseconds away: round trips and wall time of each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.report import put_table
from bench.run import postgresql_copies

SECONDS = 0.001
"""What each direction takes."""

_INSERT = b"INSERT INTO scratch (code, grp, bucket, name, price, stock, active) VALUES ('x', 1, 1, 'x', 1, 1, true)"
_ROUNDS = 12


def show(server: str, console: Console, page: Path | None) -> None:
    """Measure, print the table, and put it into *page*."""
    from tests.support.proxy import Proxy

    with postgresql_copies(server) as copies, Proxy(copies(0), latency=SECONDS) as proxy:
        found = {**_driver(proxy), **_dorm(proxy)}
    rows = [["what", "psycopg: trips", "ms", "dorm: trips", "ms"]]
    for what in dict.fromkeys(what for _, what in found):
        cells = [found.get((who, what)) for who in ("psycopg", "dorm")]
        rows.append([what, *[text for each in cells for text in _cells(each)]])
    table = Table(*rows[0], title=f"a server {SECONDS * 2000:g} ms away")
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)
    if page is not None:
        put_table(page, "trips", rows)


def _cells(measured: tuple[int, float] | None) -> tuple[str, str]:
    return ("", "") if measured is None else (str(measured[0]), f"{measured[1] * 1000:.1f}")


def _measured(proxy: Any, who: str, tasks: dict[str, Callable[[], Any]]) -> dict[tuple[str, str], tuple[int, float]]:
    """Do each often enough that statements are prepared and the way is known; return the usual trips and seconds."""
    found = {}
    for what, task in tasks.items():
        trips, seconds = [], []
        for _ in range(_ROUNDS):
            before, start = proxy.trips, time.perf_counter()
            task()
            seconds.append(time.perf_counter() - start)
            trips.append(proxy.trips - before)
        half = _ROUNDS // 2
        found[who, what] = (statistics.mode(trips[half:]), statistics.median(seconds[half:]))
    return found


def _driver(proxy: Any) -> dict[tuple[str, str], tuple[int, float]]:
    import psycopg

    with psycopg.connect(proxy.url, autocommit=True) as db:

        def in_transaction() -> None:
            with db.transaction():
                db.execute(_INSERT)

        def nested() -> None:
            with db.transaction(), db.transaction():
                db.execute(_INSERT)

        def limited() -> None:
            with db.transaction():
                db.execute("SET LOCAL statement_timeout = 5000")
                db.execute(_INSERT)

        def prefetched() -> None:
            keys = [row[0] for row in db.execute("SELECT id, owner_id FROM pet ORDER BY id LIMIT 20").fetchall()]
            db.execute("SELECT * FROM owner WHERE id = ANY(%s)", (keys,)).fetchall()
            db.execute(
                "SELECT * FROM tag JOIN pet_tags ON pet_tags.tag_id = tag.id WHERE pet_id = ANY(%s)", (keys,)
            ).fetchall()

        return _measured(
            proxy,
            "psycopg",
            {
                "get": lambda: db.execute("SELECT * FROM item WHERE id = 7").fetchone(),
                "one insert": lambda: db.execute(_INSERT),
                "one insert in a transaction": in_transaction,
                "one insert in nested transactions": nested,
                "one insert in a transaction with a deadline": limited,
                "20 rows and two prefetched relations": prefetched,
            },
        )


def _dorm(proxy: Any) -> dict[tuple[str, str], tuple[int, float]]:
    import dorm
    from bench.contestants.dorm_models import Item, Pet, Scratch, settings, values
    from dorm import transaction
    from dorm.db.connection import close_all

    dorm.configure(DATABASES={"default": settings(proxy.url)})

    def insert() -> None:
        Scratch.objects.create(**values(7))

    def in_transaction() -> None:
        with transaction.atomic():
            insert()

    def nested() -> None:
        with transaction.atomic(), transaction.atomic():
            insert()

    def limited() -> None:
        with transaction.atomic(), dorm.deadline(5):
            insert()

    try:
        # The first block finds out how far the server is.
        in_transaction()
        return _measured(
            proxy,
            "dorm",
            {
                "get": lambda: Item.objects.get(pk=7),
                "one insert": insert,
                "one insert in a transaction": in_transaction,
                "one insert in nested transactions": nested,
                "one insert in a transaction with a deadline": limited,
                "20 rows and two prefetched relations": lambda: list(
                    Pet.objects.prefetch_related("owner", "tags").order_by("id")[:20]
                ),
            },
        )
    finally:
        close_all()
