"""Meta.db_tablespace and that of an index: in the DDL of a server that has them, and nothing elsewhere."""

from __future__ import annotations

from typing import Any

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Stored(dorm.Model):
    name = dorm.CharField(max_length=10)

    class Meta:
        app_label = "tablespaces"
        db_tablespace = "pg_default"
        indexes = [dorm.Index(fields=["name"], name="tablespaces_by_name", db_tablespace="pg_default")]


async def test_tables_and_indexes_are_made_where_they_are_said_to_be(face: Face, empty_database: Any) -> None:
    texts: list[str] = []

    def note(sender: Any, sql: str, **told: Any) -> None:
        texts.append(sql)

    dorm.pre_query.connect(note)
    try:
        create_tables([Stored])
    finally:
        dorm.pre_query.disconnect(note)
    made = [text for text in texts if text.startswith(("CREATE TABLE", "CREATE INDEX"))]
    assert len(made) == 2
    expected = dorm.connections["default"].vendor == "postgresql"
    assert [' TABLESPACE "pg_default"' in text for text in made] == [expected, expected]
    await face(Stored.objects.create)(name="a")
    assert await face(Stored.objects.filter(name="a").count)() == 1
