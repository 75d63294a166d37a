"""Help for tests of projects that use dorm: rollback after each test, counted statements, settings for a while."""

from typing import TYPE_CHECKING

from dorm.test.capture import (
    CaptureQueriesContext,
    assert_max_queries,
    assert_num_queries,
    assertMaxQueries,
    assertMaxQueriesFactory,
    assertNumQueries,
    assertNumQueriesFactory,
    captureOnCommitCallbacks,
)
from dorm.test.cases import DormTestCase, setUpTestData
from dorm.test.databases import TestDatabases, rolled_back
from dorm.test.overrides import modify_settings, override_settings

if TYPE_CHECKING:
    from dorm.test.plugin import atransactional_db, transactional_db

__all__ = [
    "CaptureQueriesContext",
    "DormTestCase",
    "TestDatabases",
    "assertMaxQueries",
    "assertMaxQueriesFactory",
    "assertNumQueries",
    "assertNumQueriesFactory",
    "assert_max_queries",
    "assert_num_queries",
    "atransactional_db",
    "captureOnCommitCallbacks",
    "modify_settings",
    "override_settings",
    "rolled_back",
    "setUpTestData",
    "transactional_db",
]


def __getattr__(name: str) -> object:
    # Fixtures need pytest, which is no dependency of dorm.
    if name in ("transactional_db", "atransactional_db"):
        from dorm.test import plugin

        return getattr(plugin, name)
    raise AttributeError(f"module 'dorm.test' has no attribute {name!r}")
