"""What the database has of a declaration: keys, checks, uniqueness, indexes, references, comments."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.migrations.schema import acreate_tables, create_tables
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("empty_database")


class Node(dorm.Model):
    name = dorm.CharField(max_length=5, db_index=True, db_comment="its name")
    place = dorm.PositiveIntegerField(default=0)
    little = dorm.PositiveSmallIntegerField(default=0)
    large = dorm.PositiveBigIntegerField(default=0)
    slug = dorm.SlugField(default="x")
    up = dorm.ForeignKey("self", null=True, db_column="parent", related_name="below")
    twin = dorm.OneToOneField("self", dorm.SET_NULL, null=True, related_name="other")
    loose = dorm.ForeignKey("self", null=True, db_constraint=False, db_index=False, related_name="+")
    near = dorm.ManyToManyField("self", symmetrical=False, related_name="of")

    class Meta:
        app_label = "declared_tables"
        db_table_comment = "all of them"
        unique_together = ("name", "place")
        permissions = [("fly", "May fly")]


async def tables(face: Face) -> Any:
    """Create the tables; return the connection."""
    if face.is_async:
        await acreate_tables([Node])
    else:
        create_tables([Node])
    return dorm.connection_for()


def indexed(connection: Any, table: str) -> list[tuple[str, ...]]:
    """Return the columns of each index of *table*, those of unique ones and of the key included."""
    if connection.vendor == "postgresql":
        sql = (
            "SELECT ARRAY(SELECT attname FROM unnest(indkey) WITH ORDINALITY AS k(n, place) "
            "JOIN pg_attribute ON attrelid = indrelid AND attnum = k.n ORDER BY place) "
            f"FROM pg_index WHERE indrelid = '{table}'::regclass"
        )
        return sorted(tuple(row[0]) for row in connection.execute(sql))
    names = [row[0] for row in connection.execute(f"SELECT name FROM pragma_index_list('{table}')")]
    found = [[row[0] for row in connection.execute(f"SELECT name FROM pragma_index_info('{name}')")] for name in names]
    return sorted([*map(tuple, found), ("id",)])


def references(connection: Any, table: str) -> list[str]:
    """Return the columns of the foreign keys of *table*; each waits for the end of the transaction and does nothing."""
    if connection.vendor == "postgresql":
        sql = (
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
            f"WHERE conrelid = '{table}'::regclass AND contype = 'f'"
        )
        texts = [row[0] for row in connection.execute(sql)]
    else:
        (row,) = connection.execute(f"SELECT sql FROM sqlite_master WHERE name = '{table}'")
        texts = [line.strip().rstrip(",") for line in row[0].splitlines() if "FOREIGN KEY" in line]
    assert all(text.endswith("DEFERRABLE INITIALLY DEFERRED") and "ON DELETE" not in text for text in texts)
    return sorted(text.partition("FOREIGN KEY (")[2].partition(")")[0].strip('"') for text in texts)


async def test_indexes_and_references(face: Face) -> None:
    connection = await tables(face)
    table = "declared_tables_node"
    assert indexed(connection, table) == [("id",), ("name",), ("name", "place"), ("parent",), ("slug",), ("twin_id",)]
    assert references(connection, table) == ["parent", "twin_id"]
    between = f"{table}_near"
    pair = ("from_node_id", "to_node_id")
    assert indexed(connection, between) == [pair[:1], pair, ("id",), pair[1:]]
    assert references(connection, between) == [*pair]


async def test_the_database_itself_refuses(face: Face) -> None:
    connection = await tables(face)
    await face(Node.objects.create)(name="a", place=1)
    table = "declared_tables_node"
    for wrong in (
        f"UPDATE {table} SET place = -1",
        f"UPDATE {table} SET little = -1",
        f"UPDATE {table} SET large = -1",
        f"UPDATE {table} SET name = NULL",
        f"INSERT INTO {table} (name, place, little, large, slug) VALUES ('a', 1, 0, 0, '')",
        f"UPDATE {table} SET parent = 999",
        f"INSERT INTO {table}_near (from_node_id, to_node_id) VALUES (998, 999)",
    ):
        with pytest.raises(dorm.IntegrityError):
            connection.execute_write(wrong)
    assert connection.execute_write(f"UPDATE {table} SET loose_id = 999") == 1


async def test_a_reference_to_nothing_is_an_error_at_the_end_of_the_block(face: Face) -> None:
    await tables(face)
    reached = []
    with pytest.raises(dorm.IntegrityError):
        async with face.atomic():
            await face(Node.objects.create)(name="a", up_id=999)
            reached.append("the end")
    assert reached == ["the end"]
    assert await face(Node.objects.count)() == 0


async def test_comments(face: Face, backend: str) -> None:
    connection = await tables(face)
    if backend == "postgresql":
        table = "'declared_tables_node'::regclass"
        sql = f"SELECT obj_description({table}), col_description({table}, 2)"
        assert [tuple(row) for row in connection.execute(sql)] == [("all of them", "its name")]
    assert Node._meta.db_table_comment == "all of them"
    assert Node._meta.permissions == [("fly", "May fly")]
    assert Node._meta.default_permissions == ("add", "change", "delete", "view")
