"""PostgreSQL as if it were far away: from the first statement on, what waits goes out together with it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from dorm.db.backends.postgresql.session import SessionState


def be_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every session that may save trips do so, whatever a trip takes."""
    far = property(lambda self: self.rides, lambda self, value: None)
    monkeypatch.setattr(SessionState, "is_far", far, raising=False)


def quiet_pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator of psycopg's that is interrupted while it leaves a pipeline complains when it is collected."""
    before = sys.unraisablehook

    def hook(found: Any) -> None:
        if "BasePipeline._exit_gen" not in repr(found.object):
            before(found)

    monkeypatch.setattr(sys, "unraisablehook", hook)
