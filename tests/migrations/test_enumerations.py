"""Fields of enumerations: files that hold the members of their day, and types of PostgreSQL that follow."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.db.connection import connections
from dorm.migrations.autodetector import MigrationAutodetector
from dorm.migrations.loader import Loader, read_migration
from dorm.migrations.make import named
from dorm.migrations.state import ModelState, ProjectState
from dorm.migrations.writer import write
from tests.migrations.conftest import Executor
from tests.migrations.test_executor import execute, rows
from tests.support.projects import Project


def state(*values: str, **options: Any) -> ProjectState:
    """A project whose shirts have these colours; enumeration and file know nothing of one another."""
    kind = enum.Enum("Color", {value.upper(): value for value in values})  # type: ignore[misc]  # made as it is needed
    fields = {
        "id": dorm.BigAutoField(primary_key=True),
        "color": dorm.EnumField(kind, native=True, **options),
        "also": dorm.ArrayField(dorm.EnumField(kind, native=True), null=True),
    }
    if connections["default"].vendor != "postgresql":
        del fields["also"]
    made = ModelState.made("shop", "Shirt", fields)
    return ProjectState({made.key: made})


@pytest.fixture
def write_change(project: Project) -> Any:
    folder = project.app("shop")

    def change(before: ProjectState, after: ProjectState) -> Path:
        loader = Loader(None, {"shop": folder})
        for migration in named(
            loader, MigrationAutodetector(before, after).migrations(loader.graph, migrated=["shop"])
        ):
            write(migration, folder)
        return folder

    return change


def values() -> list[str]:
    return [value for (value,) in rows("SELECT unnest(enum_range(NULL::color))::text")]


async def test_values_come_and_go(write_change: Any, executor: Executor) -> None:
    native = connections["default"].vendor == "postgresql"
    states = [state("red", "blue"), state("pink", "red", "green", "blue", "black"), state("green", "red", "grey")]
    write_change(ProjectState(), states[0])
    write_change(states[0], states[1])
    folder = write_change(states[1], states[2])
    await executor.migrate_to("shop", folder, "1")
    execute("INSERT INTO shop_shirt (color) VALUES ('red')")
    await executor.migrate_to("shop", folder, "2")
    execute("INSERT INTO shop_shirt (color) VALUES ('pink')")
    if native:
        assert values() == ["pink", "red", "green", "blue", "black"]
        with pytest.raises(dorm.DataError) as caught:  # a row holds what would go away
            await executor.migrate_to("shop", folder, "3")
        assert 'rows of "shop_shirt" hold values that go away (pink, blue, black)' in caught.value.__notes__[0]
        assert values() == ["pink", "red", "green", "blue", "black"]
    execute("DELETE FROM shop_shirt WHERE color = 'pink'")
    await executor.migrate_to("shop", folder, "3")
    assert rows("SELECT color FROM shop_shirt") == [("red",)]
    if native:
        assert values() == ["green", "red", "grey"]
    await executor.migrate_to("shop", folder, "1")
    if native:
        assert values() == ["red", "blue"]
    await executor.migrate_to("shop", folder, "zero")
    if native:
        assert rows("SELECT to_regtype('color')") == [(None,)]


async def test_a_new_value_may_be_the_default_at_once(write_change: Any, executor: Executor) -> None:
    states = [state("red", null=True), state("red", "blue", db_default="blue")]
    write_change(ProjectState(), states[0])
    folder = write_change(states[0], states[1])
    await executor.migrate_to("shop", folder, "1")
    execute("INSERT INTO shop_shirt (color) VALUES (NULL)")
    await executor.migrate_to("shop", folder, "2")
    execute("INSERT INTO shop_shirt (id) VALUES (7)")
    assert rows("SELECT color FROM shop_shirt") == [("blue",), ("blue",)]
    execute("DELETE FROM shop_shirt")
    await executor.migrate_to("shop", folder, "zero")


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_type_that_something_else_uses_stays(write_change: Any, executor: Executor) -> None:
    states = [state("red", "blue"), state("blue")]
    write_change(ProjectState(), states[0])
    folder = write_change(states[0], states[1])
    await executor.migrate_to("shop", folder, "1")
    execute("CREATE TABLE other (\"The Color\" color DEFAULT 'blue', colors color[])")
    execute("INSERT INTO other VALUES ('blue', ARRAY['blue']::color[])")
    await executor.migrate_to("shop", folder, "2")
    execute("INSERT INTO other DEFAULT VALUES")
    assert rows('SELECT "The Color" FROM other') == [("blue",), ("blue",)]
    await executor.migrate_to("shop", folder, "zero")
    assert values() == ["red", "blue"]  # as it was before the change, and still there
    execute("DROP TABLE other; DROP TYPE color")


def test_files_hold_the_members_of_their_day(write_change: Any) -> None:
    before = state("red", "blue", default="red")
    (path,) = write_change(ProjectState(), before).glob("0001*.py")
    assert "enum.Enum('Color', {'RED': 'red', 'BLUE': 'blue'})" in path.read_text()
    after = ProjectState()
    read_migration("shop", path).mutate_state(after, preserve=False)
    assert MigrationAutodetector(after, before).changes() == {}
    (operation, *_) = MigrationAutodetector(after, state("red", default="red")).changes()["shop"]
    assert operation.describe() == "Alter field color on Shirt"
