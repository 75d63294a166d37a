"""Forty migrations with every operation: forward, back and forward again, with the rows kept."""

from __future__ import annotations

from typing import Any

import pytest

from dorm.inspect import introspect_tables
from dorm.migrations.executor import MigrationExecutor
from tests.migrations.test_executor import execute, rows, tables
from tests.support.projects import Project

STEPS = [
    'ops.CreateModel("Author", [("id", dorm.BigAutoField(primary_key=True)), ("name", dorm.CharField(max_length=20))])',
    'ops.CreateModel("Tag", [("code", dorm.CharField(max_length=9, primary_key=True))])',
    'ops.CreateModel("Book", [("id", dorm.BigAutoField(primary_key=True)), ("title", dorm.CharField(max_length=20)),'
    ' ("author", dorm.ForeignKey("shop.author", dorm.CASCADE))])',
    'ops.AddField("Book", "tags", dorm.ManyToManyField("shop.tag"))',
    'ops.AddField("Book", "price", dorm.DecimalField(max_digits=8, decimal_places=2, default=decimal.Decimal("9.99")))',
    'ops.AddField("Book", "pages", dorm.IntegerField(null=True))',
    'ops.AlterField("Book", "pages", dorm.IntegerField(default=100))',
    'ops.AlterField("Book", "price", dorm.DecimalField(max_digits=10, decimal_places=4, default=0))',
    'ops.AddIndex("Book", dorm.Index(fields=["title", "-pages"], name="by_title"))',
    'ops.RenameIndex("Book", "by_title_and_pages", "by_title")',
    'ops.AddConstraint("Book", dorm.CheckConstraint(condition=dorm.Q(pages__gte=0), name="pages_positive"))',
    'ops.AddConstraint("Book", dorm.UniqueConstraint(fields=["title", "author"], name="one_title"))',
    'ops.AddConstraint("Book", dorm.UniqueConstraint(fields=["pages"], condition=dorm.Q(pages__gt=500), name="thick"))',
    'ops.AlterUniqueTogether("Book", {("title", "pages")})',
    'ops.RenameField("Book", "title", "name")',
    'ops.RenameModel("Author", "Writer")',
    'ops.AlterField("Book", "name", dorm.CharField(max_length=40, db_index=True))',
    'ops.AlterModelTable("Book", "books")',
    'ops.AlterModelTableComment("Book", "what is sold")',
    'ops.AlterModelOptions("Book", {"ordering": ["name"], "verbose_name": "volume"})',
    'ops.AlterField("Writer", "name", dorm.TextField(unique=True))',
    'ops.AddField("Writer", "born", dorm.DateField(default=datetime.date(1900, 1, 2)), preserve_default=False)',
    "ops.RunSQL(\"UPDATE shop_writer SET born = '1950-01-01'\", ops.RunSQL.noop)",
    "ops.RunPython(touch, ops.RunPython.noop)",
    'ops.SeparateDatabaseAndState([ops.RunSQL("CREATE TABLE extra (id integer)", "DROP TABLE extra")],'
    ' [ops.CreateModel("Extra", [("id", dorm.IntegerField(primary_key=True))],'
    ' {"db_table": "extra", "managed": False})])',
    'ops.AlterField("Writer", "id", dorm.AutoField(primary_key=True))',
    'ops.RemoveConstraint("Book", "thick")',
    'ops.RemoveIndex("Book", "by_title_and_pages")',
    'ops.AddField("Book", "editor", dorm.ForeignKey("shop.writer", dorm.SET_NULL, null=True, related_name="edited"))',
    'ops.AlterField("Book", "editor", dorm.ForeignKey("shop.writer", dorm.PROTECT, null=True, related_name="edits"))',
    'ops.RenameField("Book", "tags", "labels")',
    'ops.RenameModel("Tag", "Label")',
    'ops.AlterField("Label", "code", dorm.CharField(max_length=30, primary_key=True))',
    'ops.AddField("Book", "twice", dorm.GeneratedField(expression=dorm.F("pages") * 2,'
    " output_field=dorm.IntegerField(), db_persist=True))",
    'ops.AlterField("Book", "author", dorm.ForeignKey("shop.writer", dorm.CASCADE, db_column="writer"))',
    'ops.MakeTableAppendOnly("extra")',
    'ops.AddField("Book", "note", dorm.TextField(default="", blank=True))',
    'ops.RemoveField("Book", "note")',
    'ops.RemoveConstraint("Book", "pages_positive")',
    'ops.CreateModel("Shelf", [("id", dorm.BigAutoField(primary_key=True)), ("book", dorm.OneToOneField("shop.book",'
    ' dorm.CASCADE)), ("data", dorm.JSONField(default=dict)), ("size", dorm.PositiveIntegerField(default=1))])',
]


def shape() -> list[Any]:
    """What the database has, without the order of columns and parts that it makes by itself."""
    found = []
    for table in introspect_tables():
        columns = sorted((c.name, c.type, c.null, c.default, c.auto, c.generated) for c in table.columns)
        indexes = sorted((i.columns, i.unique, i.where) for i in table.indexes)
        references = sorted((r.columns, r.table, r.targets) for r in table.references)
        checks = len(table.checks)
        found.append((table.name, columns, table.primary_key, indexes, references, checks, table.triggers))
    return sorted(found, key=lambda each: str(each[0]))


@pytest.mark.slow
def test_forward_back_and_forward_keeps_rows_and_gives_the_same_schema(project: Project) -> None:
    folder = project.steps("shop", STEPS)
    assert len(STEPS) == 40
    executor = MigrationExecutor("default", 0)
    executor.migrate_to("shop", folder, "3")
    execute("INSERT INTO shop_author (id, name) VALUES (1, 'Ann'), (2, 'Bob')")
    execute("INSERT INTO shop_book (id, title, author_id) VALUES (1, 'One', 1), (2, 'Two', 2)")
    execute("INSERT INTO shop_tag (code) VALUES ('x')")
    at_three = shape()
    executor.migrate_to("shop", folder, "4")
    execute("INSERT INTO shop_book_tags (book_id, tag_id) VALUES (1, 'x')")
    shapes = {4: shape()}
    for number in (8, 15, 18, 25, 33, 40):
        executor.migrate_to("shop", folder, str(number))
        shapes[number] = shape()
    kept = (
        rows("SELECT name, writer, pages, twice FROM books ORDER BY id"),
        rows("SELECT name FROM shop_writer ORDER BY id"),
        rows("SELECT book_id, label_id FROM books_labels"),
    )
    assert kept == ([("One", 1, 100, 200), ("Two", 2, 100, 200)], [("Ann",), ("Bob",)], [(1, "x")])
    for number in (33, 25, 18, 15, 8, 4):
        executor.migrate_to("shop", folder, str(number))
        assert shape() == shapes[number], number
    assert rows("SELECT title, author_id FROM shop_book ORDER BY id") == [("One", 1), ("Two", 2)]
    executor.migrate_to("shop", folder, "40")
    assert shape() == shapes[40]
    assert rows("SELECT name FROM books ORDER BY id") == [("One",), ("Two",)]
    assert rows("SELECT book_id, label_id FROM books_labels") == [(1, "x")]
    executor.migrate_to("shop", folder, "3")
    assert shape() == at_three
    executor.rollback("shop", folder, "zero")
    assert tables() == {"dorm_migrations"}
