"""What the processes of the key rotation tests run: ``python -m tests.contrib.rotation ROLE DATABASES KEYS ...``."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

import dorm
from dorm.contrib.encrypted import (
    EncryptedCharField,
    EncryptedTextField,
    arotate_encryption_keys,
    rotate_encryption_keys,
)


class Record(dorm.Model):
    number = EncryptedCharField(max_length=60, null=True)
    notes = EncryptedTextField(deterministic=False, default="")
    writer = dorm.IntegerField(default=0)

    class Meta:
        app_label = "rotation_tests"


def write(number: int, seconds: float) -> None:
    """Change the rows of one writer over and over; print what each of them was given last."""
    mine = list(Record.objects.filter(writer=number).values_list("pk", flat=True))
    last: dict[int, str] = {}
    end, turn = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        turn += 1
        pk, text = random.choice(mine), f"w{number}-{turn}"
        Record.objects.filter(pk=pk).update(number=text, notes=text)
        last[pk] = text
        if turn % 20 == 0:
            made = Record.objects.create(number=f"new{turn}", notes=f"new{turn}", writer=-1)
            last[made.pk] = f"new{turn}"
    print(json.dumps(last))


def rotate(face: str, batch_size: int) -> None:
    """Rotate, telling each batch."""

    def told(rewritten: int, examined: int) -> None:
        print(rewritten, examined, flush=True)

    if face == "async":
        print("done", asyncio.run(arotate_encryption_keys(Record, batch_size=batch_size, progress=told)))
    else:
        print("done", rotate_encryption_keys(Record, batch_size=batch_size, progress=told))


if __name__ == "__main__":
    role, databases, keys, *rest = sys.argv[1:]
    given: dict[str, Any] = json.loads(databases)
    dorm.configure(DATABASES=given, FIELD_ENCRYPTION_KEYS=json.loads(keys))
    if role == "write":
        write(int(rest[0]), float(rest[1]))
    else:
        rotate(rest[0], int(rest[1]))
