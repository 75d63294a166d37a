"""Settings: what is accepted, what the environment says, what is refused before anything changes."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.conf.settings import Settings, settings
from dorm.db.connection import close_all, get_connection

_ENVIRONMENT = ("SLOW_QUERY_MS", "SLOW_QUERY_EXPLAIN", "RETRY_ATTEMPTS", "RETRY_BACKOFF")


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in _ENVIRONMENT:
        monkeypatch.delenv(f"DORM_{name}", raising=False)
    before = settings.snapshot()
    yield
    close_all()
    settings.restore(before)


def test_nothing_is_read_before_it_is_configured() -> None:
    fresh = Settings()
    with pytest.raises(dorm.ImproperlyConfigured, match="SLOW_QUERY_MS was read before dorm was configured"):
        _ = fresh.SLOW_QUERY_MS
    fresh.configure(DEBUG=True)
    assert fresh.SLOW_QUERY_MS == 500.0
    assert getattr(fresh, "UNHEARD_OF", 7) == 7
    with pytest.raises(AttributeError, match=r"'SLOW_QUERY_MSS'.*SLOW_QUERY_MS"):
        _ = fresh.SLOW_QUERY_MSS


def test_only_what_is_given_changes() -> None:
    fresh = Settings()
    fresh.configure(SLOW_QUERY_MS=1, MINE="x")
    fresh.configure(DEBUG=True)
    assert (fresh.SLOW_QUERY_MS, fresh.MINE, fresh.DEBUG) == (1, "x", True)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("SLOW_QUERY_MS", [-1, math.nan, "200", True], "number from 0, or None|int or float or None"),
        (
            "SLOW_QUERY_EXPLAIN_TIMEOUT_MS",
            [0, -5, math.nan, math.inf, 2**31, None, "5"],
            "1 to 2147483647|int or float",
        ),
        ("SLOW_QUERY_EXPLAIN_INTERVAL_S", [-1, math.nan, math.inf, None], "a number from 0|int or float"),
        ("QUERY_COUNT_WARN", [-1, 1.5, True, "3"], "whole number from 0, or None|int or None"),
        ("DEBUG_NPLUSONE", ["loud", 2, None, ["log"]], "'log' or 'raise'|bool or str"),
        ("DEBUG_NPLUSONE_THRESHOLD", [0, -1, True, 1.5, "3", None], "whole number from 1|int"),
        ("RETRY_ATTEMPTS", [0, -1, True, 1.5], "whole number from 1|int"),
        ("RETRY_BACKOFF", [-0.1, math.nan, "x"], "number from 0|int or float"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name_and_changes_nothing(name: str, values: list[Any], words: str) -> None:
    fresh = Settings()
    fresh.configure(DEBUG=False)
    for value in values:
        with pytest.raises(dorm.ImproperlyConfigured, match=rf"^{name} takes .*({words}).*, not ") as caught:
            fresh.configure(**{"DEBUG": True, name: value})
        assert fresh.DEBUG is False, caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", True),
        ("TRUE", True),
        ("Yes", True),
        (" on ", True),
        ("0", False),
        ("no", False),
        ("", False),
        ("2", False),
    ],
)
def test_switches_of_the_environment(monkeypatch: pytest.MonkeyPatch, text: str, expected: bool) -> None:
    fresh = Settings()
    fresh.configure(DEBUG=True)
    monkeypatch.setenv("DORM_SLOW_QUERY_EXPLAIN", text)
    assert fresh.flag("SLOW_QUERY_EXPLAIN") is expected
    fresh.configure(SLOW_QUERY_EXPLAIN=not expected)
    assert fresh.flag("SLOW_QUERY_EXPLAIN") is not expected, "what is configured counts before the environment"


@pytest.mark.parametrize("text", ["soon", "-5", "nan", "12,5"])
def test_what_the_environment_says_and_cannot_be_read_is_ignored_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    monkeypatch.setenv("DORM_SLOW_QUERY_MS", text)
    fresh = Settings()
    for _ in range(3):
        fresh.configure(DEBUG=True)
        assert fresh.current_knobs().slow_query_seconds == 0.5
    (record,) = [each for each in caplog.records if each.name == "dorm.conf"]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "the environment variable DORM_SLOW_QUERY_MS takes a number from 0, or None; its value is ignored"
    )


def test_each_statement_asks_the_environment(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def warned() -> bool:
        caplog.clear()
        get_connection().execute("SELECT 1")
        return "slow query" in caplog.text

    settings.restore({})
    dorm.configure(DATABASES={"default": "sqlite://"})
    assert not warned()
    monkeypatch.setenv("DORM_SLOW_QUERY_MS", "0")
    assert warned()
    monkeypatch.setenv("DORM_SLOW_QUERY_MS", "none")
    assert not warned()
    monkeypatch.setenv("DORM_SLOW_QUERY_MS", "0")
    dorm.configure(SLOW_QUERY_MS=10_000)
    assert not warned(), "what is configured counts before the environment"
    dorm.configure(SLOW_QUERY_MS=0)
    monkeypatch.delenv("DORM_SLOW_QUERY_MS")
    assert warned()


def test_retries_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Settings()
    fresh.configure(DEBUG=True)
    assert (fresh.knobs.retry_attempts, fresh.knobs.retry_backoff) == (3, 0.1)
    monkeypatch.setenv("DORM_RETRY_ATTEMPTS", "5")
    monkeypatch.setenv("DORM_RETRY_BACKOFF", "0.5")
    knobs = fresh.current_knobs()
    assert (knobs.retry_attempts, knobs.retry_backoff) == (5, 0.5)
    monkeypatch.setenv("DORM_RETRY_ATTEMPTS", "none")
    assert fresh.current_knobs().retry_attempts == 3


_SCRIPT = """
import dorm
from shop.models import Tea
from dorm.migrations.schema import create_tables
try:
    Tea.objects.count()
except dorm.ProgrammingError:
    create_tables([Tea])
print(Tea.objects.count(), dorm.settings.MINE)
"""
_MODELS = """
import dorm
class Tea(dorm.Model):
    name = dorm.CharField(max_length=10)
"""


@pytest.mark.parametrize("named", [False, True], ids=["beside the script", "named"])
def test_the_first_query_of_a_script_finds_its_settings(named: bool, tmp_path: Path) -> None:
    """Also where the first thing that it wants of them are the routers."""
    settings_py = 'DATABASES = {"default": "sqlite:///:memory:"}\nINSTALLED_APPS = ["shop"]\nMINE = 7\n'
    (tmp_path / ("elsewhere.py" if named else "settings.py")).write_text(settings_py)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "models.py").write_text(_MODELS)
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, **({"DORM_SETTINGS": "elsewhere"} if named else {})},
        cwd=tmp_path if named else "/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0 7\n", "")
