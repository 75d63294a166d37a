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

database, forms = json.loads(sys.argv[1]), json.loads(sys.argv[2])
dorm.configure(DATABASES={"default": database})

class Person(dorm.Model):
    name = dorm.CharField(max_length=40)
    email = dorm.EmailField(pii=True)

    class Meta:
        app_label = "exports"

create_tables([Person])
get_connection().execute_script(
    f"INSERT INTO exports_person (name, email) SELECT 'name ' || i, 'secret' || i || '@example.com' "
    f"FROM generate_series(1, {max(forms.values())}) i"
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

def export(form, rows):
    seen = Seen()
    source = Person.objects.filter(pk__lte=rows)
    source = source.values_list("id", "name", "email") if form.endswith("csv") else source
    if form.startswith("a"):
        async def main():
            async for data in getattr(streaming, form)(source, mask_pii=True):
                seen.chunk(data)
        asyncio.run(main())
    else:
        for data in getattr(streaming, form)(source, mask_pii=True):
            seen.chunk(data)
    return [seen.lines, seen.chunks, seen.most - seen.first]

print(json.dumps({form: export(form, rows) for form, rows in forms.items()}))
"""


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_million_rows_leave_in_flat_memory(database_settings: dict[str, Any]) -> None:
    # The second form needs no million to show that it holds nothing: a hundred chunks would be 30 MiB.
    forms = {"stream_jsonl": ROWS, "astream_csv": 300_000}
    done = subprocess.run(
        [sys.executable, "-c", _CODE, json.dumps(database_settings), json.dumps(forms)],
        env={**os.environ, "PYTHONPATH": str(_ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for form, (lines, chunks, grown) in json.loads(done.stdout).items():
        assert (lines, chunks) == (forms[form] + form.endswith("csv"), forms[form] // 1000)
        assert grown < 4 * MIB
