"""Tables of the module's models, in a fresh database of each backend."""

from __future__ import annotations

from typing import Any

import pytest

from dorm.migrations.schema import create_tables


@pytest.fixture(autouse=True)
def tables(request: pytest.FixtureRequest, empty_database: dict[str, Any]) -> None:
    create_tables(request.module.MODELS)
