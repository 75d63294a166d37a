"""Texts as parameters of written SQL: read as literals are, as Django's drivers read them."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest

import dorm
from dorm import F
from dorm.db.rawsql import untyped_places
from dorm.expressions import RawSQL
from tests.db.test_connection_handle import Handle
from tests.documented.blog import MODELS, Blog, Entry
from tests.support.faces import Face

__all__ = ["MODELS"]

TEXT = dorm.TextField()


async def one(face: Face) -> Entry:
    blog = await face(Blog.objects.create)(name="Ann", tagline="x")
    entry: Entry = await face(Entry.objects.create)(headline="A1", blog=blog, rating=5)
    return entry


@pytest.mark.parametrize(
    ("sql", "params", "wanted"),
    [
        ("concat(%s, headline)", ["<"], "<A1"),
        ("concat(headline, %s, rating, %s)", ["-", None], "A1-5"),
        ("concat_ws(%s, %s, headline)", ["/", "a"], "a/A1"),
        ("upper(%s)", ["a"], "A"),
        ("headline || %s", ["!"], "A1!"),
        ("%s || headline", ["!"], "!A1"),
        ("coalesce(%s, headline)", ["x"], "x"),
        ("coalesce(%s, %s)", [None, "x"], "x"),
        ("CASE WHEN %s IS NULL THEN 'none' ELSE 'some' END", ["x"], "some"),
        ("CASE WHEN %s IS NULL THEN 'none' ELSE 'some' END", [None], "none"),
        ("CASE WHEN rating = 5 AND %s IS NOT NULL THEN %s ELSE headline END", ["x", "y"], "y"),
        ("replace(headline, %s, %s)", ["A", "%"], "%1"),
        ("'%%s' || %s", ["x"], "%sx"),
    ],
)
async def test_texts_in_expressions(face: Face, sql: str, params: list[Any], wanted: str) -> None:
    await one(face)
    rows = Entry.objects.annotate(made=RawSQL(sql, params, output_field=TEXT)).values_list("made", flat=True)
    assert await face.rows(rows) == [wanted]
    database = Handle(face)
    table = Entry._meta.db_table
    assert [row[0] for row in await database.execute(f"SELECT {sql} AS made FROM {table}", params)] == [wanted]
    raw = Entry.objects.raw(f"SELECT id, {sql} AS made FROM {table}", params)
    assert [entry.made for entry in await face.rows(raw)] == [wanted]


async def test_texts_beside_columns_have_their_types(face: Face) -> None:
    entry = await one(face)
    rows = Entry.objects.annotate(
        day=RawSQL("pub_date = %s", ["2020-01-01"], output_field=dorm.BooleanField()),
        number=RawSQL("rating = %s", ["5"], output_field=dorm.BooleanField()),
        more=RawSQL("rating + %s", [2], output_field=dorm.IntegerField()),
    )
    found = await face(rows.get)(pk=entry.pk)
    assert (bool(found.day), bool(found.number), found.more) == (True, True, 7)
    table = Entry._meta.db_table
    database = Handle(face)
    for sql, params in (
        ("pub_date = %s", ["2020-01-01"]),
        ("pub_date >= %s AND rating IN (%s, %s)", ["2019-12-31", 5, 6]),
        ("(%s IS NULL OR headline = %s)", ["A1", "A1"]),
        ("(%s IS NULL OR pub_date = %s)", [None, None]),
        ("coalesce(%s, pub_date) = %s", ["2020-01-01", datetime.date(2020, 1, 1)]),
        ("rating < %s", [decimal.Decimal("5.5")]),
    ):
        counted = await database.execute(f"SELECT count(*) AS n FROM {table} WHERE {sql}", params)
        assert counted[0]["n"] == 1
    named = "SELECT count(*) AS n FROM " + table + " WHERE %(day)s IS NULL OR pub_date = %(day)s"
    assert (await database.execute(named, {"day": "2020-01-01"}))[0]["n"] == 1
    assert (await database.execute(named, {"day": None}))[0]["n"] == 1


async def test_documents_are_built(face: Face, backend: str) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite has no jsonb_build_object")
    entry = await one(face)
    made = RawSQL("jsonb_build_object(%s, headline, %s, %s)", ["h", "n", 3], output_field=dorm.JSONField())
    cast = RawSQL("%s::jsonb -> %s", ['{"a": [1]}', "a"], output_field=dorm.JSONField())
    found = await face(Entry.objects.annotate(made=made, part=cast, same=F("headline")).get)(pk=entry.pk)
    assert (found.made, found.part) == ({"h": "A1", "n": 3}, [1])
    [row] = await Handle(face).execute("SELECT json_build_array(%s, %s, 'x') AS made", ["a", 1])
    assert row["made"] == ["a", 1, "x"]
    [row] = await Handle(face).execute("SELECT %s = ANY(%s) AS found", ["a", ["a", "b"]])
    assert row["found"] is True


@pytest.mark.parametrize(
    ("sql", "params", "wanted"),
    [
        ("%s * %s", [300, 300], 90000),
        ("%s + %s", [30000, 30000], 60000),
        ("%s << 20", [1], 1 << 20),
        ("rating * %s", [2**31], 5 * 2**31),
        ("%s + 1", [2**40], 2**40 + 1),
        ("%s / 2", [5], 2),
        ("substr(headline, %s)", [2], "1"),
        ("abs(%s)", [-5], 5),
    ],
)
async def test_whole_numbers_are_those_of_sql(face: Face, sql: str, params: list[Any], wanted: Any) -> None:
    await one(face)
    [row] = await Handle(face).execute(f"SELECT {sql} AS made FROM {Entry._meta.db_table}", params)
    assert row["made"] == wanted
    rows = Entry.objects.annotate(made=RawSQL(sql, params)).values_list("made", flat=True)
    assert await face.rows(rows) == [wanted]


async def test_functions_of_integers_are_found(face: Face, backend: str) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite has no such functions")
    handle = Handle(face)
    assert [row[0] for row in await handle.execute("SELECT generate_series(%s, %s)", [1, 3])] == [1, 2, 3]
    [row] = await handle.execute("SELECT to_hex(%s) AS h, pg_typeof(%s)::text AS t, chr(%s) AS c", [255, 5, 65])
    assert tuple(row) == ("ff", "integer", "A")


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("rating = ANY(%s)", [[4, 5]]),
        ("headline = ANY(%s)", [["A1", "x'{\""]]),
        ("pub_date = ANY(%s)", [["2020-01-01"]]),
        ("pub_date = ANY(%s)", [[datetime.date(2020, 1, 1)]]),
        ("NOT rating = ANY(%s)", [[]]),
        ("array_length(%s::int[], 1) = rating - 3", [[1, 2]]),
        ("array_append(%s, 'b') = ARRAY['a', 'b']", [["a"]]),
        ("array_length(%s::text[], 2) = 1", [[["a"], ["b"]]]),
    ],
)
async def test_lists_are_arrays(face: Face, backend: str, sql: str, params: list[Any]) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite has no arrays")
    await one(face)
    assert await face(Entry.objects.filter(RawSQL(sql, params, output_field=dorm.BooleanField())).count)() == 1
    table = Entry._meta.db_table
    counted = await Handle(face).execute(f"SELECT count(*) AS n FROM {table} WHERE {sql}", params)
    assert counted[0]["n"] == 1


async def test_lists_are_documents_without_arrays(face: Face, backend: str) -> None:
    if backend == "postgresql":
        pytest.skip("PostgreSQL has arrays")
    await one(face)
    within = RawSQL("rating IN (SELECT value FROM json_each(%s))", [[4, 5]], output_field=dorm.BooleanField())
    assert await face(Entry.objects.filter(within).count)() == 1


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("concat(%s, x)", {1}),
        ("CONCAT ( x , %s )", {1}),
        ("concat(upper(%s), %s)", {2}),
        ("concat('%s', \"%s\", %s)", {1}),
        ("concat(%s::date, x, %s || 'a')", set()),
        ("other(%s), (%s, concat)", set()),
        ("concat(/* %s */ %s -- concat(%s\n)", {1}),
        ("x = %s IS NULL", set()),
        ("%s IS NULL OR (%s is not null) OR x = %s", {1, 2}),
        ("%s IS DISTINCT FROM x", set()),
        ("f(%(a)s) + concat(%(b)s, 1)", {2}),
        ("%%s concat(%%s, %s) )", {1}),
        ("concat(", set()),
        ("%s", set()),
    ],
)
def test_places_that_say_nothing_of_a_type(sql: str, wanted: set[int]) -> None:
    assert untyped_places(sql, frozenset({"concat"})) == wanted
