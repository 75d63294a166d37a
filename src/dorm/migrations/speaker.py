"""What a run of migrations says on the terminal."""

from __future__ import annotations

import sys
import time
from typing import Any, ClassVar


class Speaker:
    """Prints what a run does, by verbosity: 0 nothing, 1 a line a migration.

    How far a long operation is stands in that line on a terminal; elsewhere it is a line of its own now and then.
    """

    PAUSE: ClassVar[float] = 10.0
    """Seconds between lines about the same operation where nobody watches."""

    def __init__(self, verbosity: int = 1) -> None:
        self.verbosity = verbosity
        self._line = ""
        self._told_at = 0.0

    def __call__(self, event: str, subject: Any) -> None:
        if self.verbosity < 1:
            return
        if event in ("apply_start", "unapply_start"):
            self._line = f"{'Una' if event.startswith('un') else 'A'}pplying {subject.migration}..."
            self._told_at = time.monotonic()
            self._add("")
        elif event in ("apply_success", "unapply_success"):
            print("OK", flush=True)
        elif event == "failed":
            print("FAILED", flush=True)
        elif event == "faked":
            self._add("FAKED")
        elif event == "progress":
            self._progress(subject)
        elif event == "waiting":
            print(f"Another process is migrating {subject}; waiting for it.", flush=True)
        elif event == "resume":
            step, done, total = subject
            self._add(f"({step.migration} had begun: {done} of {total} operations are done)")
        elif event == "retry":
            self._add(f"(waiting for a lock, again in {subject[1]:.1f} s)")

    def _add(self, text: str) -> None:
        """Print more of the line of this migration."""
        more = f"{text} " if text else ""
        print(more if text else f"{self._line} ", end="", flush=True)
        self._line = f"{self._line} {text}" if text else self._line

    def _progress(self, text: str) -> None:
        if sys.stdout.isatty():
            print(f"\r\x1b[K{self._line} {text} ", end="", flush=True)
        elif time.monotonic() - self._told_at >= self.PAUSE:
            self._told_at = time.monotonic()
            print(f"\n  {text}", end=" ", flush=True)
