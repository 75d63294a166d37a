"""The page "Performing raw SQL queries", on `raw()`: statement by statement."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm.queryset import Prefetch
from dorm.test import assertNumQueries
from tests.support.faces import Face


class Person(dorm.Model):
    first_name = dorm.CharField(max_length=50)
    last_name = dorm.CharField(max_length=50, db_column="surname")
    born = dorm.DateField(null=True)
    pay = dorm.FloatField(null=True)
    boss = dorm.ForeignKey("self", dorm.SET_NULL, null=True, related_name="staff")

    class Meta:
        app_label = "doc_raw"


class Worker(Person):
    badge = dorm.IntegerField(default=0)

    class Meta:
        app_label = "doc_raw"


class Alias(Person):
    class Meta:
        app_label = "doc_raw"
        proxy = True


class Code(dorm.Model):
    code = dorm.CharField(max_length=5, primary_key=True, db_column="ident")
    person = dorm.ForeignKey(Person, dorm.CASCADE, related_name="codes")

    class Meta:
        app_label = "doc_raw"


class Seat(dorm.Model):
    pk = dorm.CompositePrimaryKey("row", "place")
    row = dorm.IntegerField()
    place = dorm.IntegerField()
    name = dorm.CharField(max_length=5, default="")

    class Meta:
        app_label = "doc_raw"


MODELS = (Person, Worker, Code, Seat)
ALL = "SELECT * FROM doc_raw_person ORDER BY id"


async def fill(face: Face) -> None:
    """Rows 1 (John Doe), 2 (Jane Smith, whose boss is 1) and 3 (a worker, Kid 100%)."""
    john = await face(Person.objects.create)(
        id=1, first_name="John", last_name="Doe", born=datetime.date(2000, 1, 2), pay=1.5
    )
    jane = await face(Person.objects.create)(id=2, first_name="Jane", last_name="Smith", boss=john)
    await face(Worker.objects.create)(id=3, first_name="Kid", last_name="100%", badge=4)
    await face(Code.objects.create)(code="k1", person=john)
    await face(Code.objects.create)(code="k2", person=jane)
    await face(Seat.objects.create)(row=1, place=2, name="x")


async def columns(face: Face, rows: Any) -> list[dict[str, Any]]:
    """What each row has in its ``__dict__``, but for what is dorm's own."""
    return [{k: v for k, v in vars(row).items() if not k.startswith("_")} for row in await face.rows(rows)]


async def keys(face: Face, rows: Any) -> list[Any]:
    return [row.pk for row in await face.rows(rows)]


# -- mapping query fields to model fields --------------------------------------------------------------------------


async def test_columns_are_matched_by_name(face: Face) -> None:
    await fill(face)
    john = {"id": 1, "first_name": "John", "last_name": "Doe", "born": datetime.date(2000, 1, 2), "pay": 1.5,
            "boss_id": None}  # fmt: skip
    assert (await columns(face, Person.objects.raw(ALL)))[0] == john
    turned = "SELECT pay, boss_id, born, surname, id, first_name FROM doc_raw_person ORDER BY id"
    assert (await columns(face, Person.objects.raw(turned)))[0] == john
    assert await face.rows(Person.objects.raw(ALL)) == await face.rows(Person.objects.order_by("pk"))
    assert [(row._state.db, row._state.adding) for row in await face.rows(Person.objects.raw(ALL))] == [
        ("default", False)
    ] * 3


async def test_as_maps_the_columns_of_another_table(face: Face) -> None:
    await fill(face)
    text = "SELECT ident AS first_name, 'x' AS surname, person_id AS id FROM doc_raw_code ORDER BY person_id"
    assert await columns(face, Person.objects.raw(text)) == [
        {"id": 1, "first_name": "k1", "last_name": "x"},
        {"id": 2, "first_name": "k2", "last_name": "x"},
    ]


async def test_translations(face: Face) -> None:
    await fill(face)
    text = "SELECT id AS number, first_name AS last, surname AS first FROM doc_raw_person WHERE id = 1"
    names = {"number": "id", "last": "surname", "first": "first_name", "nowhere": "born"}
    rows = Person.objects.raw(text, translations=names)
    assert await columns(face, rows) == [{"id": 1, "first_name": "Doe", "last_name": "John"}]
    assert (await face.rows(rows))[0].get_deferred_fields() == {"born", "pay", "boss_id"}
    by_field = Person.objects.raw(text, translations={"number": "id", "last": "last_name"})
    assert (await face.rows(by_field))[0].last_name == "John"
    # A column that is translated to no field is an attribute.
    other = Person.objects.raw("SELECT id, first_name AS f FROM doc_raw_person WHERE id = 1", translations={"f": "own"})
    assert (await face.rows(other))[0].own == "John"


# -- index lookups -------------------------------------------------------------------------------------------------


async def test_rows_by_index_are_those_of_the_whole_query(face: Face) -> None:
    await fill(face)
    rows = Person.objects.raw(ALL)
    with assertNumQueries(1):
        found = await face.rows(rows)
        assert [found[0].pk, [row.pk for row in found[1:3]], found[-1].pk] == [1, [2, 3], 3]
        if not face.is_async:
            assert (rows[0].pk, [row.pk for row in rows[1:3]], rows[-1].pk) == (1, [2, 3], 3)
            assert (len(rows), bool(rows), rows[0] is found[0], found[1] in rows) == (3, True, True, True)
            assert [row.pk for row in reversed(rows)] == [3, 2, 1]
            with pytest.raises(IndexError):
                rows[3]
            with pytest.raises(TypeError):
                rows["a"]
    if not face.is_async:
        assert not Person.objects.raw("SELECT * FROM doc_raw_person WHERE id = 9")


async def test_rows_are_fetched_once(face: Face) -> None:
    await fill(face)
    rows = Person.objects.raw(ALL)
    with assertNumQueries(1):
        first, again = await face.rows(rows), await face.rows(rows)
    assert all(one is other for one, other in zip(first, again, strict=True))
    with assertNumQueries(1):
        streamed = await face.stream(Person.objects.raw(ALL))
    assert streamed == first
    if face.is_async:
        assert await rows == first
        assert await Person.objects.araw(ALL) == first


# -- deferring model fields ----------------------------------------------------------------------------------------


async def test_fields_that_are_left_out_are_loaded_late(face: Face) -> None:
    await fill(face)
    rows = await face.rows(Person.objects.raw("SELECT id, first_name FROM doc_raw_person ORDER BY id"))
    assert rows[0].get_deferred_fields() == {"last_name", "born", "pay", "boss_id"}
    if not face.is_async:
        assert [(row.first_name, row.last_name) for row in rows] == [
            ("John", "Doe"),
            ("Jane", "Smith"),
            ("Kid", "100%"),
        ]
    rows[0].first_name = "Jack"
    await face(rows[0].save)()
    saved = await face(Person.objects.get)(pk=1)
    assert (saved.first_name, saved.last_name, saved.pay) == ("Jack", "Doe", 1.5)
    # What was left out stays out.
    await face(rows[2].refresh_from_db)()
    assert {"born", "pay", "boss_id"} <= rows[2].get_deferred_fields()
    await face(rows[2].refresh_from_db)(fields=["last_name", "pay"])
    assert rows[2].get_deferred_fields() == {"born", "boss_id"}


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Person, "SELECT first_name FROM doc_raw_person"),
        (Person, "SELECT first_name FROM doc_raw_person WHERE id = 99"),
        (Person, "SELECT id AS pk FROM doc_raw_person"),
        (Code, "SELECT person_id FROM doc_raw_code"),
        (Worker, "SELECT id FROM doc_raw_person"),
    ],
)
async def test_the_primary_key_must_be_there(face: Face, model: Any, text: str) -> None:
    await fill(face)
    with pytest.raises(dorm.FieldDoesNotExist, match="Raw query must include the primary key"):
        await face.rows(model.objects.raw(text))


async def test_composite_keys(face: Face) -> None:
    await fill(face)
    found = await face.rows(Seat.objects.raw("SELECT * FROM doc_raw_seat"))
    assert [(row.pk, row.name) for row in found] == [((1, 2), "x")]
    (narrow,) = await face.rows(Seat.objects.raw("SELECT place, row FROM doc_raw_seat"))
    assert (narrow.pk, narrow.get_deferred_fields()) == ((1, 2), {"name"})
    for text in ("SELECT row FROM doc_raw_seat", "SELECT name, place FROM doc_raw_seat"):
        with pytest.raises(dorm.FieldDoesNotExist, match="Raw query must include the primary key"):
            await face.rows(Seat.objects.raw(text))


async def test_named_key_columns(face: Face) -> None:
    await fill(face)
    assert await columns(face, Code.objects.raw("SELECT * FROM doc_raw_code ORDER BY ident")) == [
        {"code": "k1", "person_id": 1},
        {"code": "k2", "person_id": 2},
    ]


# -- annotations ---------------------------------------------------------------------------------------------------


async def test_other_columns_become_attributes(face: Face) -> None:
    await fill(face)
    text = 'SELECT id, 1 + 1 AS two, UPPER(first_name) AS up, first_name AS "a name" FROM doc_raw_person WHERE id = 1'
    (row,) = await face.rows(Person.objects.raw(text))
    assert (row.two, row.up, getattr(row, "a name")) == (2, "JOHN", "John")
    assert row.get_deferred_fields() == {"first_name", "last_name", "born", "pay", "boss_id"}


# -- passing parameters --------------------------------------------------------------------------------------------


async def test_parameters(face: Face) -> None:
    await fill(face)
    where = "SELECT id FROM doc_raw_person WHERE "
    for params in (["Doe"], ("Doe",)):
        assert await keys(face, Person.objects.raw(f"{where}surname = %s", params)) == [1]
    named = f"{where}first_name = %(n)s OR surname = %(n)s OR id = %(key)s ORDER BY id"
    assert await keys(face, Person.objects.raw(named, {"n": "Doe", "key": 2, "unused": 1})) == [1, 2]
    assert await keys(face, Person.objects.raw(f"{where}surname = %s", ["Doe' OR '1' = '1"])) == []
    assert await keys(face, Person.objects.raw(f"{where}id < %s AND born = %s", [9, datetime.date(2000, 1, 2)])) == [1]
    assert await keys(face, Person.objects.raw(f"{where}pay = %s", [1.5])) == [1]
    assert await keys(face, Person.objects.raw(f"{where}%s = %s AND id = 1", [Decimal("1.5"), Decimal("1.5")])) == [1]
    for nothing in ((), [], {}, None):
        assert await keys(face, Person.objects.raw(ALL, nothing)) == [1, 2, 3]


async def test_percent_signs(face: Face) -> None:
    await fill(face)
    where = "SELECT id FROM doc_raw_person WHERE "
    assert await keys(face, Person.objects.raw(f"{where}surname LIKE '%%%' AND id > 2")) == [3]
    assert await keys(face, Person.objects.raw(f"{where}surname LIKE 'D%'", None)) == [1]
    # With parameters they are doubled, in quotes as well.
    assert await keys(face, Person.objects.raw(f"{where}surname = '100%%' AND id = %s", [3])) == [3]
    assert await keys(face, Person.objects.raw(f"{where}surname LIKE 'D%%' AND id = %(key)s", {"key": 1})) == [1]
    assert await keys(face, Person.objects.raw(f"{where}id %% 2 = %s ORDER BY id", [1])) == [1, 3]
    assert await keys(face, Person.objects.raw(f"{where}surname LIKE %s", ["100%"])) == [3]
    text = "SELECT id, '100%%' AS full, '%s' AS quoted FROM doc_raw_person WHERE id = %s -- 5%%, %s"
    (row,) = await face.rows(Person.objects.raw(text, [1]))
    assert (row.full, row.quoted) == ("100%", "%s")


@pytest.mark.parametrize("params", [[], ["a", "b"], None, {}, {"other": 1}])
def test_parameters_that_do_not_fit_are_refused_at_once(database: Any, params: Any) -> None:
    text = "SELECT * FROM doc_raw_person WHERE surname = " + ("%(n)s" if isinstance(params, dict) else "%s")
    with pytest.raises(ValueError, match="parameter"):
        Person.objects.raw(text, params)


@pytest.mark.parametrize("params", ["abc", 5, b"x"])
def test_parameters_are_a_list_or_a_dict(database: Any, params: Any) -> None:
    with pytest.raises(TypeError, match="list, tuple or dict"):
        Person.objects.raw("SELECT * FROM doc_raw_person WHERE surname = %s", params)


# -- relations, inheritance, databases -----------------------------------------------------------------------------


async def test_prefetch_related(face: Face) -> None:
    await fill(face)
    rows = Person.objects.raw(ALL).prefetch_related("codes", Prefetch("staff", to_attr="team"))
    with assertNumQueries(3):
        found = await face.rows(rows)
        assert [await keys(face, row.codes.all()) for row in found] == [["k1"], ["k2"], []]
        assert [[each.pk for each in row.team] for row in found] == [[2], [], []]
    with assertNumQueries(2):
        codes = await face.rows(
            Code.objects.raw("SELECT * FROM doc_raw_code ORDER BY ident").prefetch_related("person")
        )
        assert [code.person.first_name for code in codes] == ["John", "Jane"]
    with assertNumQueries(1):
        await face.rows(rows.prefetch_related(None))
    with pytest.raises(AttributeError, match="nope"):
        await face.rows(Person.objects.raw(ALL).prefetch_related("nope"))


async def test_inherited_models(face: Face) -> None:
    await fill(face)
    joined = "SELECT * FROM doc_raw_worker JOIN doc_raw_person ON id = person_ptr_id"
    (worker,) = await face.rows(Worker.objects.raw(joined))
    assert (worker.pk, worker.first_name, worker.badge, worker.get_deferred_fields()) == (3, "Kid", 4, set())
    (narrow,) = await face.rows(Worker.objects.raw("SELECT * FROM doc_raw_worker"))
    assert narrow.badge == 4
    assert {"first_name", "last_name"} <= narrow.get_deferred_fields()
    await face(narrow.refresh_from_db)(fields=["first_name"])
    assert narrow.first_name == "Kid"
    proxies = await face.rows(Alias.objects.raw(ALL))
    assert [type(row) for row in proxies] == [Alias] * 3


async def test_where_raw_is_offered(face: Face) -> None:
    await fill(face)
    john = await face(Person.objects.get)(pk=1)
    for source in (Person.objects.all(), Person.objects.filter(pk=1), john.staff, Person.objects.using("default")):
        assert await keys(face, source.raw(ALL)) == [1, 2, 3]
    rows = Person.objects.raw(ALL)
    assert not hasattr(rows, "filter")
    assert not hasattr(rows, "count")


async def test_using(face: Face) -> None:
    await fill(face)
    assert Person.objects.raw(ALL).db == "default"
    assert Person.objects.raw(ALL, using="other").db == "other"
    assert Person.objects.using("other").raw(ALL).db == "other"
    assert Person.objects.db_manager("other").raw(ALL).db == "other"
    with pytest.raises(dorm.exceptions.ImproperlyConfigured, match="other"):
        await face.rows(Person.objects.raw(ALL).using("other"))


# -- what it shows -------------------------------------------------------------------------------------------------


async def test_repr_and_query_show_the_values(face: Face) -> None:
    assert repr(Person.objects.raw(ALL)) == f"<RawQuerySet: {ALL}>"
    where = "SELECT * FROM doc_raw_person WHERE id = %s AND surname = %s"
    rows = Person.objects.raw(where, [1, "O'Neill"])
    shown = "SELECT * FROM doc_raw_person WHERE id = 1 AND surname = 'O''Neill'"
    assert repr(rows) == f"<RawQuerySet: {shown}>"
    assert str(rows.query) == shown
    assert repr(rows.query) == f"<RawQuery: {shown}>"
    named = Person.objects.raw("SELECT * FROM doc_raw_person WHERE id = %(key)s", {"key": 7})
    assert str(named.query) == "SELECT * FROM doc_raw_person WHERE id = 7"
    assert (rows.raw_query, rows.params, rows.model) == (where, [1, "O'Neill"], Person)


async def test_columns(face: Face) -> None:
    await fill(face)
    if not face.is_async:
        rows = Person.objects.raw("SELECT id, first_name AS f FROM doc_raw_person", translations={"f": "surname"})
        assert rows.columns == ["id", "surname"]


async def test_errors_of_the_database(face: Face) -> None:
    with pytest.raises(dorm.DatabaseError):
        async with face.atomic():
            await face.rows(Person.objects.raw("SELECT nope FROM doc_raw_person"))
    async with face.atomic():
        assert await face.rows(Person.objects.raw(ALL)) == []
