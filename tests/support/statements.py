"""Counting what a piece of a test sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dorm


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the text of every statement that is sent inside the block."""
    seen: list[str] = []

    def listen(sql: str, **told: object) -> None:
        seen.append(sql)

    dorm.pre_query.connect(listen)
    try:
        yield seen
    finally:
        dorm.pre_query.disconnect(listen)
