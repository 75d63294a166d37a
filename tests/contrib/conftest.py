"""Fixtures of the contrib tests: the shared tables and their own, and a chain that is empty again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm.db import hooks
from dorm.migrations.schema import create_tables
from tests.contrib.models import MODELS


@pytest.fixture
def shop(empty_database: dict[str, Any]) -> dict[str, Any]:
    """dorm configured with the tables of `tests.contrib.models`."""
    create_tables(MODELS)
    return empty_database


@pytest.fixture(autouse=True)
def nothing_left_in_the_chain() -> Iterator[None]:
    yield
    before = dict(dorm.settings._given)
    dorm.configure(DEBUG_NPLUSONE=False, SLOW_QUERY_EXPLAIN=False, SLOW_QUERY_MS=500.0)
    dorm.settings._given.clear()
    dorm.settings._given.update(before)
    assert not hooks.chain.active, "a test left something in the chain"
