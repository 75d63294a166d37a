"""A million rows leave in flat memory: the process that exports them is watched by what the operating system sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROWS = 1_000_000
MIB = 1024 * 1024
_ROOT = Path(__file__).parent.parent.parent

_CODE = """
import asyncio, json, os, sys
import dorm
from dorm.contrib import streaming
from dorm.db.connection import get_connection
from dorm.migrations.schema import create_tables

database, form, rows = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
dorm.configure(DATABASES={"default": database})

class Person(dorm.Model):
    name = dorm.CharField(max_length=40)
    email = dorm.EmailField(pii=True)

    class Meta:
        app_label = "exports"

create_tables([Person])
get_connection().execute_script(
    f"INSERT INTO exports_person (name, email) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
    f"i < {rows}) SELECT 'name ' || i, 'secret' || i || '@example.com' FROM n"
)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

class Seen:
    lines = chunks = most = first = 0

    def chunk(self, data):
        self.lines += data.count(b"\\n")
        self.chunks += 1
        assert b"@example.com" not in data
        if self.chunks == 20:
            self.first = resident()
        elif self.chunks % 20 == 0:
            self.most = max(self.most, resident())

seen = Seen()
source = Person.objects.values_list("id", "name", "email") if form.endswith("csv") else Person.objects.all()
if form.startswith("a"):
    async def main():
        async for data in getattr(streaming, form)(source, mask_pii=True):
            seen.chunk(data)
    asyncio.run(main())
else:
    for data in getattr(streaming, form)(source, mask_pii=True):
        seen.chunk(data)
print(json.dumps([seen.lines, seen.chunks, seen.most - seen.first]))
"""


@pytest.mark.parametrize(
    ("backend", "form"),
    [("postgresql", "stream_jsonl"), ("postgresql", "astream_csv")],
    indirect=["backend"],
)
def test_a_million_rows_leave_in_flat_memory(database_settings: dict[str, Any], form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CODE, json.dumps(database_settings), form, str(ROWS)],
        env={**os.environ, "PYTHONPATH": str(_ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines, chunks, grown = json.loads(done.stdout)
    assert (lines, chunks) == (ROWS + form.endswith("csv"), ROWS // 1000 + form.endswith("json"))
    assert grown < 4 * MIB
