"""PostgreSQL as if it were far away: from the first statement on, what waits goes out together with it."""

from __future__ import annotations

import pytest

from dorm.db.backends.postgresql.session import SessionState


def be_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every session that may save trips do so, whatever a trip takes."""
    far = property(lambda self: self.rides, lambda self, value: None)
    monkeypatch.setattr(SessionState, "is_far", far, raising=False)
