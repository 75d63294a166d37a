"""`dorm demo`, on a small part of the data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def play(*arguments: str) -> str:
    """Run the demo; return what it printed."""
    command = [sys.executable, "-m", "dorm", "demo", "--limit", "2000", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_act_plays_on_sqlite(tmp_path: Path) -> None:
    shown = play("--keep", str(tmp_path / "project"))
    for phrase in (
        "Filters over joins",
        "2,000 instances",
        "Hawaiian's flights before",
        "Did you mean 'carrier'",
        "prefetch_related('flights')",
        "3 statements",
        "drifted: True",
        "SQLNotAllowedError",
        "Done in",
    ):
        assert phrase in shown
    assert (tmp_path / "project" / "settings.py").exists()


def test_it_plays_on_postgresql(postgresql_database: str) -> None:
    shown = play("--database", postgresql_database)
    assert "drifted: True" in shown
    assert "postgresql" in shown
