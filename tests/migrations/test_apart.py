"""Apps that go forwards and back apart from one another, and relations that come to lead elsewhere."""

from __future__ import annotations

import pytest

import dorm
from tests.migrations.conftest import Executor
from tests.migrations.test_executor import execute, rows
from tests.migrations.test_long_history import shape
from tests.support.projects import Project


class Period(dorm.Model):
    """Of an app without migrations, with a column that SQLite has not: no plan of another app needs its table."""

    during = dorm.DateRangeField()

    class Meta:
        app_label = "apart_unmigrated"


WRITERS = """
dependencies = []
operations = [
    ops.CreateModel("Author", [("id", dorm.BigAutoField(primary_key=True))]),
    ops.CreateModel("Editor", [("id", dorm.BigAutoField(primary_key=True))]),
]
"""
RENAMED = """
dependencies = [("writers", "0001_initial")]
operations = [ops.AlterModelTable("Author", "people"), ops.AddField("Author", "age", dorm.IntegerField(null=True))]
"""
SHOP = """
dependencies = [("writers", "0001_initial")]
operations = [
    ops.CreateModel(
        "Book",
        [
            ("id", dorm.BigAutoField(primary_key=True)),
            ("author", dorm.ForeignKey("writers.author", dorm.CASCADE)),
            ("by", dorm.ManyToManyField("writers.author", related_name="+")),
        ],
        {"ordering": ["author"]},
    ),
]
"""
CHANGED = """
dependencies = [("shop", "0001_initial")]
operations = [
    ops.RemoveField("Book", "author"),
    ops.AlterModelOptions("Book", {"ordering": ["id"]}),
    ops.AddField("Book", "first", dorm.ForeignKey("writers.author", dorm.CASCADE, null=True)),
]
"""


async def test_an_app_meets_the_tables_of_another_as_they_are_by_now(project: Project, executor: Executor) -> None:
    writers = project.app("writers", {"0001_initial": WRITERS, "0002_renamed": RENAMED})
    shop = project.app("shop", {"0001_initial": SHOP, "0002_changed": CHANGED})
    dorm.configure(INSTALLED_APPS=["writers", "shop"])
    await executor.migrate_to("shop", shop, "2")
    await executor.migrate_to("writers", writers, "2")
    await executor.migrate_to("shop", shop, "1")  # the column comes back with a reference to the renamed table
    await executor.migrate_to("shop", shop, "2")
    await executor.migrate_to("writers", writers, "1")
    await executor.migrate_to("shop", shop, "zero")
    await executor.migrate()
    execute("INSERT INTO people (id) VALUES (1)")
    execute("INSERT INTO shop_book (id, first_id) VALUES (1, 1)")
    with pytest.raises(dorm.IntegrityError):
        execute("INSERT INTO shop_book (id, first_id) VALUES (2, 2)")


async def test_a_many_to_many_field_leads_to_another_model_and_keeps_its_rows(
    project: Project, executor: Executor
) -> None:
    project.app("writers", {"0001_initial": WRITERS})
    shop = project.app("shop", {"0001_initial": SHOP})
    project.migration(
        "shop",
        "0002_editors",
        'dependencies = [("shop", "0001_initial")]\n'
        'operations = [ops.AlterField("Book", "by", dorm.ManyToManyField("writers.editor", related_name="+"))]',
    )
    dorm.configure(INSTALLED_APPS=["writers", "shop"])
    await executor.migrate_to("shop", shop, "1")
    for table in ("writers_author", "writers_editor"):
        execute(f"INSERT INTO {table} (id) VALUES (1)")
    execute("INSERT INTO shop_book (id, author_id) VALUES (1, 1)")
    execute("INSERT INTO shop_book_by (book_id, author_id) VALUES (1, 1)")
    await executor.migrate_to("shop", shop, "2")
    assert rows("SELECT book_id, editor_id FROM shop_book_by") == [(1, 1)]
    execute("DELETE FROM shop_book_by")
    execute("INSERT INTO writers_editor (id) VALUES (5)")
    execute("INSERT INTO shop_book_by (book_id, editor_id) VALUES (1, 5)")
    with pytest.raises(dorm.IntegrityError):  # author 5 does not exist: nothing is changed, no row is lost
        await executor.migrate_to("shop", shop, "1")
    assert rows("SELECT book_id, editor_id FROM shop_book_by") == [(1, 5)]


@pytest.mark.parametrize(
    "type_text",
    ["DurationField()", "DateField()", "JSONField(default=dict)", "UUIDField(null=True)", "BooleanField(default=True)"],
)
async def test_an_empty_column_becomes_any_type(project: Project, executor: Executor, type_text: str) -> None:
    """PostgreSQL has no cast between most of these: the text of the value is read anew."""
    first = (
        "dependencies = []\noperations = [ops.CreateModel('Thing', [('id', dorm.BigAutoField(primary_key=True)),"
        "('at', dorm.DateTimeField()), ('n', dorm.IntegerField()), ('sum', dorm.DecimalField(max_digits=8, "
        "decimal_places=2)), ('on', dorm.BooleanField())])]"
    )
    second = "".join(f"ops.AlterField('Thing', {name!r}, dorm.{type_text})," for name in ("n", "at", "sum", "on"))
    shop = project.app("shop", {"0001_initial": first})
    project.migration("shop", "0002_other", f"dependencies = [('shop', '0001_initial')]\noperations = [{second}]")
    await executor.migrate("shop", shop)
    await executor.migrate_to("shop", shop, "1")
    await executor.migrate("shop", shop)
    assert rows("SELECT * FROM shop_thing") == []


async def test_a_plan_over_tables_that_are_not_there_yet_can_be_shown(project: Project, executor: Executor) -> None:
    writers = project.app("writers", {"0001_initial": WRITERS, "0002_renamed": RENAMED})
    project.migration(
        "writers",
        "0003_again",
        'dependencies = [("writers", "0002_renamed")]\n'
        'operations = [ops.AlterField("Author", "age", dorm.IntegerField(default=1))]',
    )
    found = await executor.migrate("writers", writers, dry_run=True)
    assert not [sql for sql, _ in found if "cannot be rendered" in sql]
    for sql, _ in found:
        execute(sql)
    execute("INSERT INTO people (age) VALUES (3)")
    with pytest.raises(dorm.IntegrityError):
        execute("INSERT INTO people (age) VALUES (NULL)")


@pytest.mark.parametrize("direction", ["forwards", "backwards"])
async def test_a_plan_of_several_steps_can_be_run_by_hand(project: Project, executor: Executor, direction: str) -> None:
    """Tables that are renamed, made anew and made anew again, with a trigger and a column that no model knows."""
    native = dorm.connections["default"].vendor == "postgresql"
    steps = [
        "ops.AlterModelTable('Author', 'people')",
        "ops.AddField('Author', 'x', dorm.IntegerField(default=1))",
        "ops.RenameField('Author', 'x', 'y')",
        "ops.AlterField('Author', 'y', dorm.TextField(default='1'))",
        "ops.MakeTableAppendOnly('people')",
        "ops.AddField('Author', 'z', dorm.IntegerField(default=1))",
        "ops.AlterField('Author', 'z', dorm.IntegerField(default=1, unique=True))",
        "ops.RemoveField('Author', 'y')",
    ]
    writers = project.app("writers", {"0001_initial": WRITERS})
    before = "0001_initial"
    for number, step in enumerate(steps, 2):
        name = f"{number:04}_step"
        project.migration("writers", name, f"dependencies = [('writers', '{before}')]\noperations = [{step}]")
        before = name
    await executor.migrate_to("writers", writers, "1")
    execute("ALTER TABLE writers_author ADD COLUMN theirs integer")
    empty = shape()
    if direction == "backwards":
        await executor.migrate("writers", writers)
        full = shape()
        found = await executor.rollback("writers", writers, "1", dry_run=True)
    else:
        found = await executor.migrate("writers", writers, dry_run=True)
        assert shape() == empty
    for sql, params in found:
        assert not params
        execute(sql)
    if direction == "backwards":
        assert shape() == empty
        await executor.migrate_to("writers", writers, "1", fake=True)
        await executor.migrate("writers", writers)
        assert shape() == full
    else:
        by_hand = shape()
        if not native:
            assert "theirs" in [column[0] for name, columns, *_ in by_hand for column in columns if name == "people"]
        with pytest.raises(dorm.IntegrityError):
            execute("INSERT INTO people (id, z) VALUES (1, 1)")
            execute("DELETE FROM people")
        for sql, _ in await executor.sql_for("writers", writers, "3"):  # of one that the database has long had
            assert "theirs" not in sql
            assert "z" not in sql
