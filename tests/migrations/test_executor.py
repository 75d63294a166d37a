"""Running migrations: forwards, back, dry, faked; what is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.db.connection import connections
from dorm.db.operation import run
from dorm.db.perform import perform
from dorm.db.request import Execute, Query
from dorm.db.statement import Statement, Template
from dorm.exceptions import MigrationError
from dorm.migrations import operations as ops
from dorm.migrations.executor import MigrationExecutor
from dorm.migrations.migration import Migration
from dorm.migrations.state import ProjectState
from tests.migrations.conftest import Executor
from tests.support.faces import Face
from tests.support.projects import Project
from tests.support.statements import statements

FIRST = """
dependencies = []
operations = [
    ops.CreateModel("Author", [("id", dorm.BigAutoField(primary_key=True)), ("name", dorm.CharField(max_length=10))]),
    ops.CreateModel(
        "Book",
        [
            ("id", dorm.BigAutoField(primary_key=True)),
            ("title", dorm.CharField(max_length=10)),
            ("author", dorm.ForeignKey("shop.author", dorm.CASCADE)),
            ("also", dorm.ManyToManyField("shop.author", related_name="also")),
        ],
    ),
]
"""
SECOND = """
dependencies = [("shop", "0001_initial")]

def fill(app_label, registry):
    Author = registry.get_model("shop", "Author")
    ann = Author.objects.create(name="Ann")
    registry.get_model("shop.Book").objects.create(title="A", author=ann)
    assert ann.book_set.count() == 1

def empty(apps, schema_editor):
    apps.get_model("shop", "Book").objects.all().delete()
    apps.get_model("shop", "Author").objects.all().delete()

operations = [ops.RunPython(fill, empty)]
"""
THIRD = """
dependencies = [("shop", "0002_data")]
operations = [
    ops.AddField("Author", "age", dorm.IntegerField(default=3), preserve_default=False),
    ops.RenameModel("Author", "Writer"),
    ops.RenameField("Book", "title", "name"),
    ops.AlterField("Book", "name", dorm.CharField(max_length=50, unique=True)),
    ops.AddIndex("Writer", dorm.Index(fields=["age", "-name"], name="by_age")),
    ops.AlterUniqueTogether("Book", {("name", "author")}),
    ops.AlterModelTable("Book", "books"),
]
"""


def rows(sql: str) -> list[Any]:
    return [tuple(row) for row in run(perform(Query(connections["default"], Statement(Template(sql)))))]


def execute(sql: str) -> None:
    run(perform(Execute(connections["default"], Statement(Template(sql)))))


def tables() -> set[str]:
    if connections["default"].vendor == "sqlite":
        found = rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    else:
        found = rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in found}


@pytest.fixture
def shop(project: Project) -> Any:
    return project.app("shop", {"0001_initial": FIRST, "0002_data": SECOND, "0003_more": THIRD})


async def test_forwards_and_back_keeps_rows_and_leaves_nothing(shop: Any, executor: Executor) -> None:
    await executor.migrate("shop", shop)
    assert rows("SELECT name, age FROM shop_writer") == [("Ann", 3)]
    assert rows("SELECT name FROM books") == [("A",)]
    assert await executor.show_migrations("shop", shop) == [
        ("0001_initial", True),
        ("0002_data", True),
        ("0003_more", True),
    ]
    await executor.migrate_to("shop", shop, "2")
    assert rows("SELECT title FROM shop_book") == [("A",)]
    with pytest.raises(dorm.DatabaseError):
        rows("SELECT age FROM shop_author")
    await executor.migrate_to("shop", shop, "0003")
    await executor.rollback("shop", shop, "zero")
    assert tables() == {"dorm_migrations"}
    assert rows("SELECT * FROM dorm_migrations") == []


async def test_dry_runs_change_nothing(shop: Any, executor: Executor) -> None:
    found = await executor.migrate("shop", shop, dry_run=True)
    assert any("CREATE TABLE" in sql for sql, _ in found)
    assert tables() == set()
    assert await executor.rollback("shop", shop, "zero", dry_run=True) == []
    assert tables() == set()
    await executor.migrate("shop", shop)
    before = rows("SELECT * FROM dorm_migrations"), tables()
    back = await executor.rollback("shop", shop, "zero", dry_run=True)
    assert [sql for sql, _ in back][-1] == 'DROP TABLE "shop_author"'
    assert (rows("SELECT * FROM dorm_migrations"), tables()) == before
    assert rows("SELECT count(*) FROM shop_writer") == [(1,)]
    assert await executor.migrate("shop", shop, dry_run=True) == []


async def test_the_statements_of_a_dry_run_make_the_same_schema(shop: Any, executor: Executor, face: Face) -> None:
    found = await executor.migrate("shop", shop, dry_run=True)
    for sql, params in found:
        assert not params
        execute(sql)
    assert tables() == {"shop_writer", "books", "books_also"}


async def test_an_irreversible_step_is_refused_before_anything_is_undone(project: Project, executor: Executor) -> None:
    shop = project.app("shop", {"0001_initial": FIRST, "0002_data": SECOND})
    project.migration(
        "shop", "0003_sql", 'dependencies = [("shop", "0002_data")]\noperations = [ops.RunSQL("SELECT 1")]'
    )
    third = THIRD.replace("0002_data", "0003_sql")
    project.migration("shop", "0004_more", third)
    await executor.migrate("shop", shop)
    with pytest.raises(MigrationError, match=r"shop\.0003_sql cannot be undone: RunSQL"):
        await executor.rollback("shop", shop, "zero")
    assert len(rows("SELECT * FROM dorm_migrations")) == 4


async def test_a_failing_migration_leaves_nothing_and_is_not_recorded(project: Project, executor: Executor) -> None:
    shop = project.app("shop", {"0001_initial": FIRST})
    project.migration(
        "shop",
        "0002_bad",
        """
        dependencies = [("shop", "0001_initial")]
        operations = [
            ops.AddField("Author", "age", dorm.IntegerField(default=3)),
            ops.RunSQL("INSERT INTO nowhere VALUES (1)"),
        ]
        """,
    )
    with pytest.raises(dorm.DatabaseError) as caught:
        await executor.migrate("shop", shop)
    assert "0002_bad" in "".join(caught.value.__notes__)
    assert rows("SELECT name FROM dorm_migrations") == [("0001_initial",)]
    with pytest.raises(dorm.DatabaseError):
        rows("SELECT age FROM shop_author")


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_python_runs_in_the_face_of_its_code(project: Project, executor: Executor, kind: str) -> None:
    shop = project.app("shop", {"0001_initial": FIRST})
    create = "await Author.objects.acreate" if kind == "async def" else "Author.objects.create"
    body = f"""
dependencies = [("shop", "0001_initial")]

{kind} fill(apps, schema_editor):
    Author = apps.get_model("shop", "Author")
    {create}(name=schema_editor.connection.alias)

operations = [ops.RunPython(fill, ops.RunPython.noop)]
"""
    project.migration("shop", "0002_data", body)
    await executor.migrate("shop", shop)
    assert rows("SELECT name FROM shop_author") == [("default",)]


async def test_rows_and_tables_change_in_one_migration(project: Project, executor: Executor) -> None:
    shop = project.app("shop", {"0001_initial": FIRST})
    project.migration(
        "shop",
        "0002_both",
        """
        dependencies = [("shop", "0001_initial")]

        def fill(apps, schema_editor):
            author = apps.get_model("shop", "Author").objects.create(name="Ann")
            apps.get_model("shop", "Book").objects.create(title="A", author=author)

        operations = [
            ops.RunPython(fill, ops.RunPython.noop),
            ops.AddField("Book", "pages", dorm.IntegerField(default=1)),
            ops.RunSQL("INSERT INTO shop_book (title, author_id, pages) SELECT 'B', id, 2 FROM shop_author",
                       "DELETE FROM shop_book"),
            ops.AddField("Book", "note", dorm.IntegerField(default=1)),
        ]
        """,
    )
    await executor.migrate("shop", shop)
    assert rows("SELECT title, pages, note FROM shop_book ORDER BY title") == [("A", 1, 1), ("B", 2, 1)]
    await executor.rollback("shop", shop, "1")
    assert rows("SELECT title FROM shop_book") == []


async def test_fake_records_only(shop: Any, executor: Executor) -> None:
    await executor.migrate("shop", shop, fake=True)
    assert tables() == {"dorm_migrations"}
    assert len(rows("SELECT * FROM dorm_migrations")) == 3


async def test_fake_initial_takes_tables_that_are_there(project: Project, executor: Executor) -> None:
    shop = project.app("shop", {"0001_initial": FIRST})
    await executor.migrate("shop", shop)
    execute("DELETE FROM dorm_migrations")
    with pytest.raises(dorm.DatabaseError):
        await executor.migrate("shop", shop)
    await executor.migrate("shop", shop, fake_initial=True)
    assert rows("SELECT name FROM dorm_migrations") == [("0001_initial",)]


@pytest.mark.parametrize(
    ("target", "error"),
    [("", "target"), ("0009", "no migration '0009'"), ("000", "beginning of several")],
)
async def test_unknown_targets_list_what_there_is(shop: Any, executor: Executor, target: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        await executor.migrate_to("shop", shop, target)


def test_an_operation_of_ones_own_sends_its_sql(project: Project) -> None:
    shop = project.app("shop", {"0001_initial": FIRST})
    project.migration(
        "shop",
        "0002_own",
        """
        class Insert(ops.Operation):
            reversible = True

            def __init__(self, name):
                self.name = name

            def database_forwards(self, app_label, connection, from_state, to_state):
                assert connection.execute("SELECT count(*) FROM shop_author")[0][0] == 0
                connection.execute("INSERT INTO shop_author (name) VALUES (%s)", [self.name])

            def database_backwards(self, app_label, connection, from_state, to_state):
                connection.execute("DELETE FROM shop_author")

        dependencies = [("shop", "0001_initial")]
        operations = [Insert("100%")]
        """,
    )
    executor = MigrationExecutor("default", 0)
    executor.migrate("shop", shop)
    assert rows("SELECT name FROM shop_author") == [("100%",)]
    executor.rollback("shop", shop, "1")
    assert rows("SELECT name FROM shop_author") == []
    found = executor.migrate("shop", shop, dry_run=True)
    assert [params for _, params in found or []] == [["100%"]]
    assert rows("SELECT name FROM shop_author") == []


async def test_receivers_are_told_of_a_migration_before_and_after(project: Project, executor: Executor) -> None:
    folder = project.app("shop", {"0001_initial": FIRST})
    told: list[tuple[str, Any, bool, Any]] = []

    def receiver(sender: Any, **options: Any) -> None:
        backwards = options["plan"][0][1]
        apps = options.get("apps")
        models = [] if apps is None else [each for each in apps.get_models() if each._meta.app_label == "shop"]
        names = sorted(each.__name__ for each in models)
        told.append((sender, options["using"], backwards, names))

    async def awaited(sender: Any, **options: Any) -> None:
        receiver(sender, **options)

    chosen = awaited if executor.face.is_async else receiver
    for signal in (dorm.signals.pre_migrate, dorm.signals.post_migrate):
        signal.connect(chosen)
    try:
        await executor.migrate("shop", folder)
        assert [each[:3] for each in told] == [("shop", "default", False)] * 2
        assert (told[0][3], told[1][3]) == ([], ["Author", "Book"])
        await executor.migrate_to("shop", folder, "zero")
        assert [each[:3] for each in told[2:]] == [("shop", "default", True)] * 2
        assert told[3][3] == []
        told.clear()
        await executor.migrate("shop", folder, dry_run=True)
        assert told == []
    finally:
        for signal in (dorm.signals.pre_migrate, dorm.signals.post_migrate):
            signal.disconnect(chosen)


async def test_a_dry_run_is_the_real_one_statement_by_statement(project: Project, executor: Executor) -> None:
    first, third = FIRST, THIRD.replace("0002_data", "0001_initial")
    shop = project.app("shop", {"0001_initial": first, "0003_more": third})

    async def compare(dry: Any, real: Any) -> None:
        planned = [sql for sql, _ in await dry]
        with statements() as sent:
            assert await real() is None
        assert [sql for sql in sent if sql in planned] == planned

    await compare(executor.migrate("shop", shop, dry_run=True), lambda: executor.migrate("shop", shop))
    for target in ("1", "zero"):
        back = executor.rollback("shop", shop, target, dry_run=True)
        await compare(back, lambda target=target: executor.rollback("shop", shop, target))
    forth = executor.migrate_to("shop", shop, "1", dry_run=True)
    await compare(forth, lambda: executor.migrate_to("shop", shop, "1"))


async def test_nothing_to_undo_is_said(shop: Any, executor: Executor, capsys: pytest.CaptureFixture[str]) -> None:
    executor.inner.verbosity = 1
    assert await executor.rollback("shop", shop, "zero", dry_run=True) == []
    assert tables() == set()
    assert await executor.rollback("shop", shop, "zero") is None
    assert capsys.readouterr().out == "Nothing to rollback\n" * 2
    found = await executor.migrate_to("shop", shop, "2", dry_run=True)  # what is newer is gone forward to
    assert any("CREATE TABLE" in sql for sql, _ in found)


def test_an_operation_that_fails_on_the_state_is_told_with_the_kind_of_its_error() -> None:
    class Painted(ops.RunSQL):
        def state_forwards(self, app_label: str, state: ProjectState) -> None:
            colours: dict[str, str] = {}
            colours["red"]

    broken = Migration("0007_painted", "shop", [Painted("SELECT 1")])
    with pytest.raises(MigrationError, match=r"^shop\.0007_painted: .*: KeyError: 'red'$"):
        broken.mutate_state(ProjectState())
