"""Which databases may be reset without asking: the vectors of the specification."""

from __future__ import annotations

from typing import Any

import pytest

from dorm.conf.databases import database_config
from dorm.migrations.reset import is_local_host, is_throw_away_name, judge


@pytest.mark.parametrize(
    ("engine", "debug", "name", "host", "decision"),
    [
        ("postgresql", True, "shop", "localhost", "run"),
        ("postgresql", False, "shop_dev", "localhost", "run"),
        ("sqlite", False, "app.db", "", "run"),
        ("sqlite", False, ":memory:", "", "run"),
        ("postgresql", False, "shop", "localhost", "ask"),
        ("postgresql", False, "latest", "", "ask"),
        ("postgresql", False, "device_inventory", "10.0.0.5", "refuse"),
        ("postgresql", False, "inventory", "db.example.com", "refuse"),
        ("postgresql", True, "shop_dev", "db.example.com", "ask"),
    ],
)
def test_verdicts(engine: str, debug: bool, name: str, host: str, decision: str, monkeypatch: Any) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    monkeypatch.delenv("PGSERVICE", raising=False)
    verdict = judge(database_config("default", {"ENGINE": engine, "NAME": name, "HOST": host}), debug)
    assert verdict.decision == decision
    assert bool(verdict.reasons) == (decision != "run")


def test_hosts_come_from_all_places() -> None:
    remote = {"ENGINE": "postgresql", "NAME": "shop_dev", "HOST": "localhost", "OPTIONS": {"host": "db.example.com"}}
    assert judge(database_config("default", remote), True).decision == "ask"
    service = {"ENGINE": "postgresql", "NAME": "shop_dev", "OPTIONS": {"service": "prod"}}
    assert judge(database_config("default", service), False).decision == "ask"


@pytest.mark.parametrize("name", ["shop_dev", "test2", "devdb", "my-testing", "Development", "", ":memory:"])
def test_names_that_are_thrown_away(name: str) -> None:
    assert is_throw_away_name(name)


@pytest.mark.parametrize("name", ["device_inventory", "latest", "contest", "shop", "prod"])
def test_names_that_are_not(name: str) -> None:
    assert not is_throw_away_name(name)


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.9", "::1", "/var/run/postgresql"])
def test_hosts_that_are_here(host: str) -> None:
    assert is_local_host(host)
    assert not is_local_host("10.0.0.1")
