"""Many rows at once: bulk_create in all its forms, bulk_update, bulk_update_when."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import F, Func, Q, Value
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Item(dorm.Model):
    code = dorm.CharField(max_length=20, unique=True)
    name = dorm.CharField(max_length=20, default="")
    stock = dorm.IntegerField(default=0)
    price = dorm.DecimalField(max_digits=8, decimal_places=2, null=True)
    data = dorm.JSONField(null=True)
    day = dorm.DateField(null=True)
    made = dorm.IntegerField(db_default=7)

    class Meta:
        app_label = "bulk"


class Plain(dorm.Model):
    """Its table is made by the test."""

    name = dorm.TextField()

    class Meta:
        app_label = "bulk"
        db_table = "plain"


class Tag(dorm.Model):
    item = dorm.ForeignKey(Item, dorm.CASCADE)
    text = dorm.TextField(default="")

    class Meta:
        app_label = "bulk"


class Place(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "bulk"


class Cafe(Place):
    stars = dorm.IntegerField(default=0)

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]  # as everywhere with Meta
        app_label = "bulk"


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables([Item, Tag, Place, Cafe])


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """The statements of the test."""
    seen: list[str] = []

    def note(sender: Any, sql: str, **told: Any) -> None:
        seen.append(sql)

    dorm.pre_query.connect(note)
    yield seen
    dorm.pre_query.disconnect(note)


def items(*codes: str, **values: Any) -> list[Item]:
    return [Item(code=code, **values) for code in codes]


async def codes(face: Face, **lookups: Any) -> list[Any]:
    return await face.rows(Item.objects.filter(**lookups).order_by("code").values_list("code", "name", "stock"))


async def test_each_of_many_rows_gets_its_own_key(face: Face) -> None:
    given = [Tag(item_id=None, text=str(number)) for number in range(150)]
    item = (await face(Item.objects.bulk_create)(items("a")))[0]
    for tag in given:
        tag.item = item
    made = await face(Tag.objects.bulk_create)(given)
    rows = await face.rows(Tag.objects.values_list("pk", "text"))
    assert sorted(rows) == sorted((tag.pk, tag.text) for tag in made)
    assert len(rows) == 150


async def test_rows_unlike_the_others_go_in_beside_them(face: Face) -> None:
    item = (await face(Item.objects.bulk_create)(items("a")))[0]

    class Text(str):
        pass

    given = [Tag(item=item, text=str(number)) for number in range(70)]
    given[65].text = Text("of a subclass")
    given[66].text = Value("computed")
    given[67] = Tag(pk=5000, item=item, text="67")
    made = await face(Tag.objects.bulk_create)(given)
    rows = dict(await face.rows(Tag.objects.values_list("pk", "text")))
    assert len({tag.pk for tag in made}) == len(rows) == 70
    assert [rows[tag.pk] for tag in made[64:70]] == ["64", "of a subclass", "computed", "67", "68", "69"]


async def test_keys_and_columns_of_the_database_come_back(face: Face) -> None:
    made = await face(Item.objects.bulk_create)(items("a", "b", "c"))
    assert [item.code for item in made] == ["a", "b", "c"]
    assert all(item.pk and item.made == 7 and not item._state.adding and item._state.db == "default" for item in made)
    assert {item.pk: item.code for item in await face.rows(Item.objects.all())} == {item.pk: item.code for item in made}
    assert await face(Item.objects.bulk_create)([]) == []


async def test_batches_and_keys_set_on_some(face: Face) -> None:
    objs = [Item(code=f"n{number}", pk=1000 + number if number % 2 else None) for number in range(7)]
    made = await face(Item.objects.bulk_create)(objs, batch_size=2)
    assert made == objs
    assert [item.pk for item in made[1::2]] == [1001, 1003, 1005]
    assert await face(Item.objects.count)() == 7
    assert await face(Item.objects.bulk_create)(item for item in items("generated"))


async def test_all_types_survive(face: Face) -> None:
    day = datetime.date(2020, 2, 29)
    await face(Item.objects.bulk_create)([Item(code="a", price="1.50", data={"k": [1, None]}, day=day, made=1)])
    found = await face(Item.objects.get)()
    assert (str(found.price), found.data, found.day, found.made) == ("1.50", {"k": [1, None]}, day, 1)


async def test_clashes_undo_the_whole_call(face: Face) -> None:
    await face(Item.objects.create)(code="b")
    with pytest.raises(dorm.IntegrityError):
        await face(Item.objects.bulk_create)(items("a", "b", "c"), batch_size=1)
    assert [row[0] for row in await codes(face)] == ["b"]


async def test_clashes_can_be_ignored(face: Face) -> None:
    await face(Item.objects.create)(code="b", name="old")
    made = await face(Item.objects.bulk_create)(items("a", "b", "c", name="new"), ignore_conflicts=True)
    assert [item.pk for item in made] == [None, None, None]
    assert await codes(face) == [("a", "new", 0), ("b", "old", 0), ("c", "new", 0)]


async def test_clashes_can_update(face: Face) -> None:
    old = await face(Item.objects.create)(code="b", name="old", stock=3)
    made = await face(Item.objects.bulk_create)(
        items("a", "b", name="new", stock=9),
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["code"],
    )
    assert await codes(face) == [("a", "new", 9), ("b", "new", 3)]
    assert made[1].pk == old.pk
    await face(Item.objects.bulk_create)(
        [Item(pk=old.pk, code="z", name="by key")],
        update_conflicts=True,
        update_fields=["name", "code"],
        unique_fields=["pk"],
    )
    assert await codes(face, pk=old.pk) == [("z", "by key", 3)]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "Batch size must be a positive integer"),
        ({"batch_size": -1}, ValueError, "Batch size must be a positive integer"),
        ({"ignore_conflicts": True, "update_conflicts": True}, ValueError, "mutually exclusive"),
        ({"update_conflicts": True}, ValueError, "Fields that will be updated"),
        ({"update_conflicts": True, "update_fields": ["name"]}, ValueError, "Unique fields that can trigger"),
        (
            {"update_conflicts": True, "update_fields": ["id"], "unique_fields": ["code"]},
            ValueError,
            "cannot be used with primary keys in update_fields",
        ),
        (
            {"update_conflicts": True, "update_fields": ["tag"], "unique_fields": ["code"]},
            ValueError,
            "concrete fields in update_fields",
        ),
        (
            {"update_conflicts": True, "update_fields": ["name"], "unique_fields": ["tag"]},
            ValueError,
            "concrete fields in unique_fields",
        ),
        (
            {"update_conflicts": True, "update_fields": ["nope"], "unique_fields": ["code"]},
            dorm.FieldDoesNotExist,
            "no field named 'nope'",
        ),
        ({"returning": ["name"], "ignore_conflicts": True}, ValueError, "returning cannot be combined"),
        ({"returning": ["nope"]}, dorm.FieldDoesNotExist, "no field named 'nope'"),
    ],
)
async def test_contradicting_options_are_refused(
    face: Face, sent: list[str], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await face(Item.objects.bulk_create)(items("a"), **options)
    assert sent == []


async def test_other_objects_are_refused(face: Face, sent: list[str]) -> None:
    with pytest.raises(TypeError, match="got an instance of Place"):
        await face(Item.objects.bulk_create)([Place(name="x")])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"bulk_create\(\) prohibited to prevent data loss due to unsaved related"):
        await face(Tag.objects.bulk_create)([Tag(item=Item(code="new"))])
    assert sent == []


async def test_names_to_read_back(face: Face) -> None:
    made = await face(Item.objects.bulk_create)(
        [Item(code="a", price="1.005"), Item(code="b")], returning=["code", "price", "made"]
    )
    assert [(item.code, item.made, item.pk is not None) for item in made] == [("a", 7, True), ("b", 7, True)]
    blind = await face(Item.objects.bulk_create)(items("c"), returning=[])
    assert blind[0].pk is None
    assert await face(Item.objects.count)() == 3


async def test_expressions_are_computed_by_the_database(face: Face) -> None:
    upper = Func(Value("up"), function="UPPER", output_field=dorm.TextField())
    made = await face(Item.objects.bulk_create)([Item(code="a", name=upper), Item(code="b", name="plain")])
    assert [item.name for item in made] == ["UP", "plain"]
    assert [row[1] for row in await codes(face)] == ["UP", "plain"]


async def test_bulk_update_writes_the_named_columns(face: Face, sent: list[str]) -> None:
    made = await face(Item.objects.bulk_create)(items("a", "b", "c"))
    for number, item in enumerate(made):
        item.name, item.stock, item.data = f"n{number}", number, {"n": number}
    sent.clear()
    assert await face(Item.objects.bulk_update)(made, ["name", "data"]) == 3
    assert len([sql for sql in sent if sql.startswith("UPDATE")]) == 1
    assert await codes(face) == [("a", "n0", 0), ("b", "n1", 0), ("c", "n2", 0)]
    assert (await face(Item.objects.get)(code="c")).data == {"n": 2}
    made[0].data = None
    made[0].price = None
    assert await face(Item.objects.bulk_update)(made[:1], ["data", "price"]) == 1
    gone = Item(pk=10_000, code="gone")
    assert await face(Item.objects.bulk_update)([*made, gone], ["stock"], batch_size=2) == 3
    assert await face(Item.objects.bulk_update)([], ["stock"]) == 0


async def test_bulk_update_takes_expressions_and_keeps_to_its_rows(face: Face) -> None:
    made = await face(Item.objects.bulk_create)(items("a", "b", "c", stock=5))
    for item in made:
        item.stock = F("stock") + 1
    made[2].stock = 50
    assert await face(Item.objects.bulk_update)(made, ["stock"]) == 3
    assert [row[2] for row in await codes(face)] == [6, 6, 50]
    for item in made:
        item.stock = 0
    assert await face(Item.objects.filter(stock=6).bulk_update)(made, ["stock"]) == 2
    assert [row[2] for row in await codes(face)] == [0, 0, 50]


@pytest.mark.parametrize(
    ("objs", "fields", "options", "message"),
    [
        ([Item(pk=1)], [], {}, "Field names must be given"),
        ([Item(code="a")], ["name"], {}, "must have a primary key set"),
        ([Item(pk=1)], ["id"], {}, "cannot be used with primary key fields"),
        ([Item(pk=1)], ["pk"], {}, "cannot be used with primary key fields"),
        ([Item(pk=1)], ["tag"], {}, "can only be used with concrete fields"),
        ([Item(pk=1)], ["name"], {"batch_size": 0}, "Batch size must be a positive integer"),
    ],
)
async def test_wrong_bulk_updates_are_refused(
    face: Face, objs: list[Item], fields: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await face(Item.objects.bulk_update)(objs, fields, **options)
    with pytest.raises(dorm.FieldDoesNotExist):
        await face(Item.objects.bulk_update)([Item(pk=1)], ["nope"])


async def test_bulk_update_over_several_tables(face: Face) -> None:
    cafes = [await face(Cafe.objects.create)(name=name) for name in "abc"]
    for number, cafe in enumerate(cafes):
        cafe.name, cafe.stars = f"new {number}", number
    assert await face(Cafe.objects.bulk_update)(cafes, ["name", "stars"]) == 3
    rows = await face.rows(Cafe.objects.order_by("pk").values_list("name", "stars"))
    assert rows == [("new 0", 0), ("new 1", 1), ("new 2", 2)]


async def test_update_by_condition(face: Face, sent: list[str]) -> None:
    await face(Item.objects.bulk_create)(
        [Item(code=code, stock=stock) for code, stock in zip("abcd", (1, 5, 9, 20), strict=True)]
    )
    sent.clear()
    number = await face(Item.objects.bulk_update_when)(
        [
            (Q(stock__lt=5), {"name": "few"}),
            ({"stock__lt": 10}, {"name": "some", "stock": F("stock") * 2}),
        ]
    )
    assert number == 3
    assert len(sent) == 1
    assert await codes(face) == [("a", "few", 1), ("b", "some", 10), ("c", "some", 18), ("d", "", 20)]
    number = await face(Item.objects.bulk_update_when)([(Q(code="a"), {"name": "A"})], default={"name": "other"})
    assert number == 4
    assert [row[1] for row in await codes(face)] == ["A", "other", "other", "other"]
    with pytest.raises(ValueError, match="at least one case"):
        await face(Item.objects.bulk_update_when)([])
    with pytest.raises(ValueError, match="empty condition"):
        await face(Item.objects.bulk_update_when)([(Q(), {"name": "x"})])
    with pytest.raises(dorm.FieldDoesNotExist):
        await face(Item.objects.bulk_update_when)([(Q(code="a"), {"nope": 1})])


async def test_many_rows(face: Face) -> None:
    made = await face(Item.objects.bulk_create)(items(*[f"i{number}" for number in range(6000)]))
    assert len({item.pk for item in made}) == 6000
    for item in made:
        item.stock = item.pk
    assert await face(Item.objects.bulk_update)(made, ["stock"]) == 6000
    assert await face(Item.objects.filter(stock=F("pk")).count)() == 6000


async def test_an_unusual_row_among_many_pieces(face: Face) -> None:
    """Those before it go in by pieces, it and those after it by the other road: each has the key of its row."""
    given = items(*[f"i{number}" for number in range(2300)], made=1)
    given[1200].name = Value("computed")
    made = await face(Item.objects.bulk_create)(given)
    rows = {pk: (code, name) for pk, code, name in await face.rows(Item.objects.values_list("pk", "code", "name"))}
    assert len(rows) == 2300
    assert [rows[item.pk][0] for item in made] == [f"i{number}" for number in range(2300)]
    assert [code for code, name in rows.values() if name == "computed"] == ["i1200"]


@pytest.mark.parametrize(
    ("backend", "late"),
    [("sqlite", "i3"), ("postgresql", "i3"), ("postgresql", "x" * 50), ("postgresql", "with a \0")],
    indirect=["backend"],
)
async def test_a_row_that_fails_in_a_late_piece_leaves_none(face: Face, late: str) -> None:
    given = items(*[f"i{number}" for number in range(1700)], made=1)
    given[1650].code = late
    with pytest.raises(dorm.IntegrityError if late == "i3" else dorm.DataError):
        await face(Item.objects.bulk_create)(given)
    assert await face(Item.objects.count)() == 0
    given[1650].code = "mended"
    assert {item.pk is None for item in given} == {True}
    async with face.atomic():
        await face(Item.objects.bulk_create)(given)
    assert await face(Item.objects.count)() == 1700


async def test_as_many_statements_as_batches_were_asked_for(face: Face, sent: list[str]) -> None:
    await face(Item.objects.bulk_create)(items(*[f"i{number}" for number in range(1300)]), batch_size=600)
    assert len(sent) == 3
    sent.clear()
    await face(Item.objects.bulk_create)(items(*[f"j{number}" for number in range(1300)]))
    assert len(sent) == 1


async def test_rows_with_keys_go_by_copy_where_there_is_one(face: Face, sent: list[str], backend: str) -> None:
    day = datetime.date(2020, 2, 29)
    objs = [
        Item(
            pk=number,
            code=f"c{number}",
            name="t\\b\t\n" if number % 2 else "",
            price="1.50",
            data={"n": [number, None]},
        )
        for number in range(10_001, 10_701)
    ]
    for obj in objs:
        obj.made, obj.day = 1, day if obj.pk % 3 else None
    await face(Item.objects.bulk_create)(objs)
    assert any(sql.startswith("COPY") for sql in sent) == (backend == "postgresql")
    rows = await face.rows(Item.objects.order_by("pk"))
    wanted = [(obj.pk, obj.code, obj.name, obj.data, obj.day, "1.50") for obj in objs]
    assert [(row.pk, row.code, row.name, row.data, row.day, str(row.price)) for row in rows] == wanted
    with pytest.raises(dorm.IntegrityError):
        await face(Item.objects.bulk_create)(objs)
    if backend == "postgresql":
        late = [Item(pk=number, code=f"d{number}", made=1) for number in range(20_000, 20_600)]
        late[-1].code = "x" * 50
        with pytest.raises(dorm.DataError):
            await face(Item.objects.bulk_create)(late)
    blind = await face(Item.objects.bulk_create)(items(*[f"b{number}" for number in range(600)], made=1), returning=[])
    assert blind[0].pk is None
    assert await face(Item.objects.count)() == 1300


# -- keys that SQLite counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_keys_of_many_rows_are_those_of_their_rows(face: Face) -> None:
    first = await face(Item.objects.bulk_create)(items(*[f"a{number}" for number in range(300)], made=1))
    await face(Item.objects.filter(pk__in=[first[7].pk, first[-1].pk]).delete)()
    again = await face(Item.objects.bulk_create)(items(*[f"b{number}" for number in range(200)], made=1))
    for obj in (*first[:7], *first[8:-1], *again):
        assert (await face(Item.objects.get)(code=obj.code)).pk == obj.pk


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_keys_are_right_where_a_trigger_writes_rows_between(face: Face) -> None:
    dorm.get_connection().execute_script(
        f"""
        CREATE TRIGGER between_rows AFTER INSERT ON {Item._meta.db_table} WHEN NEW.code LIKE '%5' BEGIN
            INSERT INTO {Item._meta.db_table} (code, name, price, data, made, stock)
                SELECT 'x' || NEW.code, name, price, data, made, stock FROM {Item._meta.db_table} WHERE id = NEW.id;
        END;
        """
    )
    objs = await face(Item.objects.bulk_create)(items(*[f"a{number}" for number in range(300)], made=1))
    assert await face(Item.objects.count)() == 330
    for obj in objs:
        assert (await face(Item.objects.get)(code=obj.code)).pk == obj.pk


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_keys_are_right_where_the_largest_one_is_taken(face: Face) -> None:
    """SQLite looks for a free key at random then, where the table was not made to refuse the row."""
    dorm.get_connection().execute_script(
        "CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO plain VALUES (9223372036854775700, 'near')"
    )
    objs = await face(Plain.objects.bulk_create)([Plain(name=f"n{number}") for number in range(300)])
    assert len({obj.pk for obj in objs}) == 300
    for obj in objs:
        assert (await face(Plain.objects.get)(name=obj.name)).pk == obj.pk
