"""Generated histories on real databases: apply, undo, apply again give the same schema, by introspection."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from dorm.migrations.autodetector import MigrationAutodetector
from dorm.migrations.executor import MigrationExecutor
from dorm.migrations.loader import Loader
from dorm.migrations.make import named
from dorm.migrations.state import ProjectState
from dorm.migrations.writer import write
from tests.migrations.test_executor import tables
from tests.migrations.test_long_history import shape
from tests.properties.test_migration_files import APPS, project_states


def write_changes(folders: dict[str, Path], before: ProjectState, after: ProjectState) -> None:
    loader = Loader(None, folders)
    found = MigrationAutodetector(before, after).migrations(loader.graph, migrated=APPS)
    for migration in named(loader, found):
        write(migration, folders[migration.app_label])


def go(executor: MigrationExecutor, folders: dict[str, Path], targets: list[tuple[str, str | None]]) -> None:
    from dorm.db.operation import run
    from dorm.migrations.executor import Runner

    runner = Runner(executor.connection, folders)
    loader = run(runner.load())
    steps = runner.plan(loader, targets)
    run(runner._bookkeeping(loader, True))
    run(runner.run_steps(loader, steps))


@pytest.mark.slow
@settings(
    max_examples=int(os.environ.get("DORM_TEST_HISTORIES", "5")),  # a history of thirty tables takes seconds
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(project_states(), project_states())
def test_forward_back_and_forward_give_the_same_schema(
    empty_database: Any, first: ProjectState, second: ProjectState
) -> None:
    root = Path(tempfile.mkdtemp())
    folders = {app: root / app for app in APPS}
    for folder in folders.values():
        folder.mkdir()
    executor = MigrationExecutor("default", 0)
    zero: list[tuple[str, str | None]] = [(app, None) for app in APPS]
    try:
        write_changes(folders, ProjectState(), first)
        middle: Any = Loader(None, folders).graph.leaf_nodes()
        go(executor, folders, middle)
        one = shape()
        write_changes(folders, first, second)
        end: Any = Loader(None, folders).graph.leaf_nodes()
        go(executor, folders, end)
        two = shape()
        go(executor, folders, middle)
        assert shape() == one
        go(executor, folders, end)
        assert shape() == two
        go(executor, folders, zero)
        assert tables() <= {"dorm_migrations"}
        go(executor, folders, end)
        assert shape() == two
    finally:
        go(executor, folders, zero)
        shutil.rmtree(root)
