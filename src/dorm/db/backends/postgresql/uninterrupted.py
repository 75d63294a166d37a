"""COMMIT in blocking code: Ctrl-C does not cancel it, where psycopg would cancel whatever runs."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import waiting

_INTERVAL = 0.1
"""Seconds between two looks for signals."""


class Uninterrupted:
    """Within its ``with`` block a first interrupt is kept, and the answer waited for; a second one closes the socket.

    What waits for the server is replaced on this one connection, so that other statements pay nothing.

    Attributes:
        kept: the interrupt, to be raised when the outcome is known.
    """

    __slots__ = ("_raw", "kept")

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw = raw
        self.kept: KeyboardInterrupt | None = None

    def __enter__(self) -> Self:
        vars(self._raw)["wait"] = self._wait
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del vars(self._raw)["wait"]

    def _wait(self, answer: Generator[Any, Any, Any], interval: float = _INTERVAL, **options: Any) -> Any:
        while True:
            try:
                return waiting.wait(answer, self._raw.pgconn.socket, interval, **options)
            except KeyboardInterrupt as exc:
                if self.kept is not None or answer.gi_frame is None:  # type: ignore[attr-defined]  # psycopg's are generators
                    self._raw.pgconn.finish()
                    raise
                self.kept = exc
