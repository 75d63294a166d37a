"""What is no ratio to a driver: a query that was built before, the first row of a process, ids on a log record."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from rich.console import Console

from bench.run import ROOT

_BUILD = """
import time, dorm
from bench.contestants.dorm_models import Pet, settings
dorm.configure(DATABASES={"default": settings("/tmp/never-opened.db")})
def build(n):
    return (Pet.objects.filter(owner__city=f"city {n}", weight__gte=n).exclude(name__startswith="x")
        .filter(dorm.Q(owner__name="a") | dorm.Q(weight__lt=n + 1)).select_related("owner")
        .order_by("-weight", "owner__name")[n:n + 10].sql())
for n in range(200): build(n)
best = []
for _ in range(9):
    start = time.process_time()
    for n in range(2000): build(n)
    best.append((time.process_time() - start) / 2000 * 1e6)
print(sorted(best)[4])
"""

_FIRST_ROW = """
import time
start = time.process_time()
import dorm
dorm.configure(DATABASES={{"default": {database!r}}})
for number in range(9):
    model = type(f"Model{{number}}", (dorm.Model,), {{"__module__": __name__,
        "name": dorm.CharField(max_length=9, db_column={column!r}),
        "age": dorm.IntegerField(null=True), "day": dorm.DateField(null=True),
        "Meta": type("Meta", (), {{"app_label": "first", "db_table": {table!r}}})}})
{last}
print((time.process_time() - start) * 1000)
"""
_READ = 'model.objects.values_list("name").order_by("name").first()'
_AREAD = """
import asyncio
async def main():
    await model.objects.values_list("name").order_by("name").afirst()
asyncio.run(main())
"""
_MEMORY = {"ENGINE": "sqlite", "NAME": ":memory:"}

_IMPORTS = """
import time
start = time.process_time()
import {modules}
print((time.process_time() - start) * 1000)
"""


def _median(source: str, times: int) -> float:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        # An installed package has its bytecode beside it, which a checkout may lack: the first run makes it.
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "PYTHONPYCACHEPREFIX": folder}
        environment.pop("DORM_CHECK_OPERATIONS", None)
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(times + 1):
            done = subprocess.run(
                [sys.executable, "-c", source], env=environment, cwd=folder, capture_output=True, text=True, check=True
            )
            found.append(float(done.stdout))
    return statistics.median(found[1:])


_LOG_RECORD = """
import logging, time
from dorm.contrib import otel
log = logging.getLogger("bench")
log.addHandler(logging.NullHandler())
log.propagate = False
log.setLevel(logging.INFO)
def cost():
    start = time.process_time()
    for _ in range(2000): log.info("x")
    return (time.process_time() - start) / 2000 * 1e6
cost()
added = []
for _ in range(30):
    plain = cost()
    remove = otel.install_log_correlation()
    added.append(cost() - plain)
    remove()
print(sorted(added)[15])
"""

_PEERS = """
import gc, time
import dorm
from dorm.migrations.schema import create_tables
dorm.configure(DATABASES={"default": {"ENGINE": "sqlite", "NAME": ":memory:"}})
class Owner(dorm.Model):
    name = dorm.CharField(max_length=9)
    class Meta: app_label = "peers"
class Pet(dorm.Model):
    owner = dorm.ForeignKey(Owner)
    age = dorm.IntegerField()
    class Meta: app_label = "peers"
create_tables([Owner, Pet])
owner = Owner.objects.create(name="a")
Pet.objects.bulk_create([Pet(owner=owner, age=age) for age in range(10_000)])
def cost(mode):
    gc.collect()
    start = time.process_time()
    rows = list(Pet.objects.fetch_mode(mode))
    return (time.process_time() - start) / len(rows) * 1e9
added = []
for _ in range(30):
    alone = cost("one")
    added.append(cost("peers") - alone)
print(sorted(added)[15])
"""


def _first_row(database: Any, last: str = _READ, table: str = "sqlite_schema", column: str = "name") -> float:
    return _median(_FIRST_ROW.format(database=database, table=table, column=column, last=last), 9)


def _answers(server: str) -> bool:
    try:
        import psycopg
    except ImportError:
        return False
    try:
        psycopg.connect(server, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def show(console: Console, server: str) -> dict[str, Any]:
    """Measure, print and return the figures, in CPU time; those of PostgreSQL where *server* answers."""
    found = {
        "build_us": _median(_BUILD, 1),
        "first_row_ms": _first_row(_MEMORY),
        "import_click_ms": _median(_IMPORTS.format(modules="click"), 9),
        "log_record_us": _median(_LOG_RECORD, 3),
        "peers_ns": _median(_PEERS, 3),
    }
    console.print(f"build and compile a complex query, seen before: {found['build_us']:.1f} us (budget 12)")
    console.print(f"import, configure, 9 models, first row, SQLite: {found['first_row_ms']:.0f} ms (budget 60)")
    console.print(f"beside it `import click`, 21 ms where the budget was made: {found['import_click_ms']:.0f} ms")
    if _answers(server):
        found |= {
            "first_row_postgresql_ms": _first_row(server, _READ, "pg_class", "relname"),
            "first_row_postgresql_async_ms": _first_row(server, _AREAD, "pg_class", "relname"),
            "import_psycopg_ms": _median(_IMPORTS.format(modules="psycopg, psycopg_pool"), 9),
        }
        console.print(f"the same, PostgreSQL: {found['first_row_postgresql_ms']:.0f} ms (budget 80)")
        console.print(f"the same, asyncio: {found['first_row_postgresql_async_ms']:.0f} ms (budget 120)")
        console.print(f"beside them `import psycopg, psycopg_pool` alone: {found['import_psycopg_ms']:.0f} ms")
    console.print(f"trace ids on a log record, without a span: {found['log_record_us']:.2f} us (budget 2)")
    console.print(f"knowing the rows of the same fetch, a row: {found['peers_ns']:.0f} ns")
    return found
