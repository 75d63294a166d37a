"""Fixtures: a scratch project on the path, and an executor of either face over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.conf.registry import registry
from dorm.migrations.aexecutor import AsyncMigrationExecutor
from dorm.migrations.executor import MigrationExecutor
from tests.support.faces import Face
from tests.support.projects import Project, on_path


@pytest.fixture
def project(tmp_path: Path, empty_database: dict[str, Any]) -> Iterator[Project]:
    """An empty project; the models that tests declare in it are forgotten afterwards."""
    models, waiting = dict(registry._models), list(registry._waiting)
    folder = tmp_path / "project"
    folder.mkdir()
    with on_path(folder):
        yield Project(folder)
    registry._models = models
    registry._waiting = waiting
    dorm.configure(INSTALLED_APPS=[])


class Executor:
    """A migration executor, called in one face."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.inner: Any = AsyncMigrationExecutor("default", 0) if face.is_async else MigrationExecutor("default", 0)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.inner, f"a{name}" if self.face.is_async else name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await method(*args, **kwargs) if self.face.is_async else method(*args, **kwargs)

        return call


@pytest.fixture
def executor(face: Face) -> Executor:
    return Executor(face)
