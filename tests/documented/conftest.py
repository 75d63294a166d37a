"""Tables of the module's models, in a fresh database of each backend; the rows of `people` for those who ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dorm.contrib.contenttypes import ContentType
from dorm.migrations.schema import create_tables
from tests.documented import people


@pytest.fixture(autouse=True)
def tables(request: pytest.FixtureRequest, empty_database: dict[str, Any]) -> None:
    create_tables(request.module.MODELS)


@pytest.fixture
def filled(tables: None) -> Iterator[None]:
    """The rows of `people`; no content type of another database is remembered."""
    ContentType.objects.clear_cache()
    people.fill(people)
    yield
    ContentType.objects.clear_cache()
