"""Key rotation while other processes write, killed in the middle and run again; two rotations at once."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.contrib.encrypted import rotate_encryption_keys, verify_encryption_keys
from dorm.migrations.schema import create_tables
from tests.contrib.rotation import Record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OLD, OLDER, HEAD = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
_ROOT = Path(__file__).parent.parent.parent
WRITERS, ROWS = 2, 600


@pytest.fixture
def records(empty_database: dict[str, Any]) -> dict[str, Any]:
    """Rows under two old keys, some NULL; the head key is new."""
    create_tables([Record])
    for keys in ([OLDER], [OLD, OLDER]):
        dorm.configure(FIELD_ENCRYPTION_KEYS=keys)
        Record.objects.bulk_create(
            [
                Record(number=None if number % 50 == 0 else f"n{number}", notes=f"t{number}", writer=number % WRITERS)
                for number in range(ROWS // 2)
            ]
        )
    dorm.configure(FIELD_ENCRYPTION_KEYS=[HEAD, OLD, OLDER])
    return empty_database


def started(role: str, database: dict[str, Any], *arguments: Any) -> subprocess.Popen[str]:
    keys = json.dumps([HEAD, OLD, OLDER])
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contrib.rotation", role, json.dumps({"default": database}), keys]
        + [str(each) for each in arguments],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "src")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err[-3000:]
    return out


@pytest.mark.parametrize(("backend", "form"), [("sqlite", "sync"), ("postgresql", "async")], indirect=["backend"])
def test_nothing_is_lost_under_writers_of_other_processes_and_kills(records: dict[str, Any], form: str) -> None:
    before = {row.pk: (row.number, row.notes) for row in Record.objects.all()}
    writers = [started("write", records, number, 3) for number in range(WRITERS)]
    killed = 0
    for batches in (1, 4):
        rotation = started("rotate", records, form, 20)
        assert rotation.stdout is not None
        assert all(rotation.stdout.readline() for _ in range(batches))
        os.kill(rotation.pid, signal.SIGKILL)
        rotation.communicate(timeout=60)
        killed += rotation.returncode == -signal.SIGKILL
    assert killed == 2
    assert ended(started("rotate", records, form, 50)).rpartition("\n")[0].rpartition("\n")[2].startswith("done ")
    last: dict[str, str] = {}
    for writer in writers:
        last |= json.loads(ended(writer))
    rotate_encryption_keys(Record)
    assert set(verify_encryption_keys(Record)) == {0}
    assert rotate_encryption_keys(Record) == 0
    dorm.configure(FIELD_ENCRYPTION_KEYS=[HEAD])
    after = {row.pk: (row.number, row.notes) for row in Record.objects.all()}
    expected = before | {int(pk): (text, text) for pk, text in last.items()}
    assert len(last) > WRITERS
    assert after == expected
    pk, text = next(iter(last.items()))
    assert Record.objects.get(number=text, pk=int(pk)).notes == text


def test_two_rotations_at_once_are_safe(records: dict[str, Any]) -> None:
    before = {row.pk: (row.number, row.notes) for row in Record.objects.all()}
    both = [started("rotate", records, form, 25) for form in ("sync", "async")]
    counts = [int(ended(each).rpartition("done ")[2]) for each in both]
    assert sum(counts) >= ROWS
    assert set(verify_encryption_keys(Record)) == {0}
    assert {row.pk: (row.number, row.notes) for row in Record.objects.all()} == before
