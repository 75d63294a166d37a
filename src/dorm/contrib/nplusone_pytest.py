"""A pytest plugin: ``pytest_plugins = ["dorm.contrib.nplusone_pytest"]`` gives the fixture ``no_nplusone``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dorm.contrib.nplusone import NPlusOneDetector


@pytest.fixture
def no_nplusone(request: pytest.FixtureRequest) -> Iterator[NPlusOneDetector]:
    """Fail the test at the statement it repeats more than 5 times; ``@pytest.mark.nplusone(threshold=n)`` sets n."""
    marker = request.node.get_closest_marker("nplusone")
    threshold = marker.kwargs.get("threshold", 5) if marker is not None else 5
    with NPlusOneDetector(threshold, raise_on_detect=True) as detector:
        yield detector


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "nplusone(threshold=5): how often the fixture no_nplusone lets a statement run")
