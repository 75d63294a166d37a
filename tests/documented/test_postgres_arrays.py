"""The pages of `contrib.postgres` on ArrayField, HStoreField and ArraySubquery, sentence by sentence."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import ArraySubquery, Count, F, Func, Max, OuterRef, Q, Value
from dorm.functions import Cast, Coalesce, JSONObject, Upper
from tests.documented.postgres import made
from tests.support.faces import Face


class Item(dorm.Model):
    tags = dorm.ArrayField(dorm.CharField(max_length=20), default=list)
    numbers = dorm.ArrayField(dorm.IntegerField(), null=True)
    board = dorm.ArrayField(dorm.ArrayField(dorm.IntegerField()), null=True)
    moments = dorm.ArrayField(dorm.DateTimeField(), null=True)
    prices = dorm.ArrayField(dorm.DecimalField(max_digits=6, decimal_places=2), null=True)
    pair = dorm.ArrayField(dorm.CharField(max_length=3), size=2, null=True, blank=True)
    words = dorm.ArrayField(dorm.CITextField(), null=True)
    stores = dorm.ArrayField(dorm.HStoreField(), null=True)
    number = dorm.IntegerField(default=1)
    extra = dorm.JSONField(null=True)

    class Meta:
        app_label = "doc_arrays"
        ordering = ["pk"]


class Part(dorm.Model):
    item = dorm.ForeignKey(Item, dorm.CASCADE, related_name="parts")
    size = dorm.IntegerField()

    class Meta:
        app_label = "doc_arrays"
        ordering = ["pk"]


class Store(dorm.Model):
    data = dorm.HStoreField(null=True, blank=True)

    class Meta:
        app_label = "doc_arrays"
        ordering = ["pk"]


MODELS = (Item, Part, Store)
MOMENT = datetime.datetime(2020, 1, 1, 5, 6)
SPECIAL = "q,\"'{}\\ NULL"


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def tables(empty_database: Any) -> None:
    made(MODELS, "hstore", "citext")
    Item.objects.create(
        pk=1, tags=["x", "y"], numbers=[1, 2, 3], board=[[1, 2], [3, 4]], moments=[MOMENT, None],
        prices=[Decimal("1.50"), None], pair=["a", "b"], words=["One", "two, \"three\""],
        stores=[{"a": "1"}, {'"b"': None}, None],
    )  # fmt: skip
    Item.objects.create(pk=2, numbers=[], words=[], number=2)
    Item.objects.create(pk=3, tags=["Y", "z z", SPECIAL], numbers=[3, None], board=[[5, 6]], number=7)
    for item, size in ((1, 5), (1, 4), (3, 6)):
        Part.objects.create(item_id=item, size=size)
    Store.objects.create(pk=1, data={"a": "b", "c": None, "k'\"%": "z"})
    Store.objects.create(pk=2, data={})
    Store.objects.create(pk=3)
    Store.objects.create(pk=4, data={"a": "B", "n": 5})


async def keys(face: Face, qs: Any) -> list[Any]:
    return await face.rows(qs.values_list("pk", flat=True))


ARRAYS: list[tuple[dict[str, Any], list[int]]] = [
    ({"tags__contains": ["x"]}, [1]),
    ({"tags__contains": []}, [1, 2, 3]),
    ({"tags__contained_by": ["x", "y", "z"]}, [1, 2]),
    ({"tags__overlap": ["z z", "y"]}, [1, 3]),
    ({"tags__overlap": []}, []),
    ({"tags__len": 2}, [1]),
    ({"tags__len": 0}, [2]),
    ({"tags__len__gt": 0}, [1, 3]),
    ({"numbers__len__isnull": True}, []),
    ({"tags__0": "x"}, [1]),
    ({"tags__0__iexact": "Y"}, [3]),
    ({"tags__1__in": ["y", "z z"]}, [1, 3]),
    ({"tags__0__startswith": "Y"}, [3]),
    ({"tags__2": SPECIAL}, [3]),
    ({"numbers__0__gt": 1}, [3]),
    ({"numbers__1__isnull": True}, [2, 3]),
    ({"numbers__0__in": [1, 3]}, [1, 3]),
    ({"board__0__1": 2}, [1]),
    ({"board__contains": [[1]]}, [1]),
    ({"board__contained_by": [[1, 2, 3, 4]]}, [1]),
    ({"board__len": 2}, [1]),
    ({"board": [[5, 6]]}, [3]),
    ({"tags__0_1": ["x"]}, [1]),
    ({"tags__0_2__contains": ["y"]}, [1]),
    ({"tags__1_3__len": 2}, [3]),
    ({"numbers__0_2__overlap": [2, 9]}, [1]),
    ({"tags": ("x", "y")}, [1]),
    ({"tags": []}, [2]),
    ({"numbers": None}, []),
    ({"board__isnull": True}, [2]),
    ({"numbers": [3, None]}, [3]),
    ({"numbers__gt": [2]}, [3]),
    ({"numbers__in": [[1, 2, 3], []]}, [1, 2]),
    ({"numbers__in": []}, []),
    ({"moments__0": MOMENT}, [1]),
    ({"moments__0__year": 2020}, [1]),
    ({"moments__contains": [MOMENT]}, [1]),
    ({"prices__0": Decimal("1.5")}, [1]),
    ({"prices__contains": [Decimal("1.5")]}, [1]),
    ({"words__contains": ["ONE"]}, [1]),
    ({"stores__0__a": "1"}, [1]),
    ({"stores__contains": [{"a": "1"}]}, [1]),
    # Expressions on the right, alone and in lists.
    ({"numbers__contains": F("numbers")}, [1, 2]),
    ({"numbers__contains": [F("number")]}, [1]),
    ({"numbers__contains": [F("number") + 1]}, [1]),
    ({"numbers__contains": [F("number") + 1, 3]}, [1]),
    ({"numbers__overlap": [F("number"), 3]}, [1, 3]),
    ({"numbers__contained_by": [F("number"), 1, 2, 3]}, [1, 2]),
    ({"numbers": [F("number"), 2, 3]}, [1]),
    ({"numbers": [3, Value(None)]}, [3]),
    ({"tags__contains": [Value("x")]}, [1]),
]


@pytest.mark.parametrize(("lookup", "expected"), ARRAYS, ids=repr)
async def test_array_lookups(face: Face, lookup: dict[str, Any], expected: list[int]) -> None:
    assert await keys(face, Item.objects.filter(**lookup)) == expected


async def test_querysets_on_the_right(face: Face) -> None:
    numbers = Item.objects.values_list("number", flat=True)
    assert await keys(face, Item.objects.filter(numbers__overlap=numbers)) == [1]
    assert await keys(face, Item.objects.filter(numbers__overlap=numbers.filter(pk=9))) == []
    tags = Item.objects.filter(pk__in=[1, 2]).values("tags")
    assert await keys(face, Item.objects.filter(tags__in=tags)) == [1, 2]
    assert await keys(face, Item.objects.filter(numbers__overlap=ArraySubquery(numbers))) == [1]
    assert await keys(face, Item.objects.exclude(numbers__overlap=numbers)) == [2, 3]


async def test_what_is_not_there_is_excluded_as_well(face: Face) -> None:
    assert await keys(face, Item.objects.exclude(numbers__contains=[1])) == [2, 3]
    # As in Django: what an array does not have at a place is NULL, neither one nor not one; a NULL array is kept.
    assert await keys(face, Item.objects.exclude(numbers__0=1)) == [3]
    assert await keys(face, Item.objects.exclude(board__len=2)) == [2, 3]
    assert await keys(face, Item.objects.filter(Q(tags__contains=["x"]) | Q(numbers__len=0))) == [1, 2]


async def test_arrays_over_relations(face: Face) -> None:
    assert await keys(face, Part.objects.filter(item__tags__contains=["x"])) == [1, 2]
    assert await keys(face, Part.objects.filter(item__tags__0="Y")) == [3]
    assert await face.rows(Part.objects.values_list("item__tags__0", flat=True)) == ["x", "x", "Y"]


async def test_values_and_transforms(face: Face) -> None:
    first = await face(Item.objects.get)(pk=1)
    assert (first.tags, first.numbers, first.board) == (["x", "y"], [1, 2, 3], [[1, 2], [3, 4]])
    assert (first.moments, first.prices) == ([MOMENT, None], [Decimal("1.50"), None])
    assert (first.words, first.stores) == (["One", 'two, "three"'], [{"a": "1"}, {'"b"': None}, None])
    third = await face(Item.objects.get)(pk=3)
    assert (third.tags, third.numbers, third.words) == (["Y", "z z", SPECIAL], [3, None], None)
    assert await face.rows(Item.objects.values_list("tags__0", "numbers__1", "board__0__1")) == [
        ("x", 2, 2),
        (None, None, None),
        ("Y", None, 6),
    ]
    assert await face.rows(Item.objects.values_list("tags__0_2", flat=True)) == [["x", "y"], [], ["Y", "z z"]]
    assert await face.rows(Item.objects.values("tags__len")) == [{"tags__len": 2}, {"tags__len": 0}, {"tags__len": 3}]
    assert await keys(face, Item.objects.order_by("-tags__len")) == [3, 1, 2]
    grouped = Item.objects.values("tags__0").annotate(n=Count("pk")).order_by("tags__0")
    assert [row["n"] for row in await face.rows(grouped)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (F("tags__0"), ["x", None, "Y"]),
        (F("numbers__0") + 1, [2, None, 4]),
        (F("numbers__len"), [3, 0, 2]),
        (F("tags")[0], [["x"], [], ["Y"]]),
        (F("tags")[0:1], [["x"], [], ["Y"]]),
        (F("tags")[1:], [["y"], [], ["z z", SPECIAL]]),
        (F("numbers")[1:3], [[2, 3], [], [None]]),
        (Value([1, 2], output_field=dorm.ArrayField(dorm.IntegerField())), [[1, 2]] * 3),
        (Cast("numbers", dorm.ArrayField(dorm.TextField())), [["1", "2", "3"], [], ["3", None]]),
        (Coalesce("board", Value([[9]], output_field=dorm.ArrayField(dorm.ArrayField(dorm.IntegerField())))),
         [[[1, 2], [3, 4]], [[9]], [[5, 6]]]),
        (Func(F("tags"), Value("x"), function="array_remove", output_field=dorm.ArrayField(dorm.TextField())),
         [["y"], [], ["Y", "z z", SPECIAL]]),
        (Func(F("numbers"), Value(1), function="array_length", output_field=dorm.IntegerField()), [3, None, 2]),
    ],
    ids=repr,
)  # fmt: skip
async def test_expressions(face: Face, expression: Any, expected: list[Any]) -> None:
    assert await face.rows(Item.objects.annotate(found=expression).values_list("found", flat=True)) == expected


async def test_slices_of_arrays_are_refused_as_those_of_texts(face: Face) -> None:
    with pytest.raises(ValueError, match="Negative indexing"):
        F("tags")[-1]
    with pytest.raises(dorm.NotSupportedError, match="does not support slicing"):
        Item.objects.annotate(found=F("number")[0])


async def test_aggregates(face: Face) -> None:
    assert await face(Item.objects.aggregate)(most=Max("numbers"), n=Count("tags", distinct=True)) == {
        "most": [3, None],
        "n": 3,
    }
    assert await face.rows(Item.objects.order_by("numbers").values_list("numbers", flat=True).distinct()) == [
        [],
        [1, 2, 3],
        [3, None],
    ]


async def test_writing(face: Face) -> None:
    rows = Item.objects.filter(pk=2)
    for new in ([9, 8], (9, 8), Value([9, 8]), ["9", 8]):
        await face(rows.update)(numbers=new)
        assert (await face(rows.get)()).numbers == [9, 8]
    await face(rows.update)(numbers=None, extra=Value(["a", {"b": 1}]), stores=Value([{"k": "v"}]))
    row = await face(rows.get)()
    assert (row.numbers, row.extra, row.stores) == (None, ["a", {"b": 1}], [{"k": "v"}])
    await face(Item.objects.filter(pk=1).update)(tags=F("pair"))
    assert (await face(Item.objects.get)(pk=1)).tags == ["a", "b"]
    await face(Item.objects.bulk_create)(
        [Item(pk=9, tags=["b"], board=[[1]], words=["w"]), Item(pk=10, numbers=[1], stores=[{"a": None}])]
    )
    made_ = await face.rows(Item.objects.filter(pk__gt=8).values_list("tags", "numbers", "board", "words", "stores"))
    assert made_ == [(["b"], None, [[1]], ["w"], None), ([], [1], None, None, [{"a": None}])]
    both = await face.rows(Item.objects.filter(pk__gt=8))
    both[0].tags, both[1].tags = ["n"], ["m", "o"]
    await face(Item.objects.bulk_update)(both, ["tags"])
    assert await face.rows(Item.objects.filter(pk__gt=8).values_list("tags", flat=True)) == [["n"], ["m", "o"]]
    with pytest.raises(dorm.DataError):
        async with face.atomic():
            await face(rows.update)(numbers=["x"])
    with pytest.raises((dorm.DataError, ValueError)):
        async with face.atomic():
            await face(rows.update)(board=[[1], [2, 3]])


def test_defaults_are_not_shared() -> None:
    assert Item().tags == []
    assert Item().tags is not Item().tags


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pair": ["a", "b", "c"]}, "List contains 3 items, it should contain no more than 2."),
        ({"pair": ["abcd"]}, "Item 1 in the array did not validate"),
        ({"board": [[1], [2, 3]]}, "Nested arrays must have the same length."),
        ({"numbers": "x"}, "Enter a list of values."),
    ],
)
def test_validation(values: dict[str, Any], message: str) -> None:
    with pytest.raises(dorm.ValidationError) as caught:
        Item(**values).clean_fields(exclude={"numbers", "board", "moments", "prices", "words", "stores"} - set(values))
    assert message in str(caught.value)


def test_to_python_and_back() -> None:
    numbers = Item._meta.get_field("numbers")
    assert numbers.to_python("[1, 2]") == [1, 2]
    assert numbers.to_python(numbers.value_to_string(Item(numbers=[1, None]))) == [1, None]
    moments = Item._meta.get_field("moments")
    assert moments.to_python(moments.value_to_string(Item(moments=[MOMENT, None]))) == [MOMENT, None]
    assert Item._meta.get_field("pair").deconstruct()[3]["size"] == 2


async def test_array_subqueries(face: Face) -> None:
    parts = Part.objects.filter(item=OuterRef("pk"))
    found = Item.objects.annotate(sizes=ArraySubquery(parts.order_by("size").values("size")))
    assert await face.rows(found.values_list("sizes", flat=True)) == [[4, 5], [], [6]]
    assert await keys(face, found.filter(sizes__contains=[6])) == [3]
    assert await keys(face, found.filter(sizes__len=2)) == [1]
    objects = Item.objects.annotate(found=ArraySubquery(parts.order_by("-size").values(json=JSONObject(size="size"))))
    assert (await face(objects.get)(pk=1)).found == [{"size": 5}, {"size": 4}]


STORES: list[tuple[dict[str, Any], list[int]]] = [
    ({"data__a": "b"}, [1]),
    ({"data__a__iexact": "B"}, [1, 4]),
    ({"data__a__in": ["b", "B"]}, [1, 4]),
    ({"data__c": None}, [1, 2, 3, 4]),
    ({"data__c__isnull": False}, []),
    ({"data__n": "5"}, [4]),
    ({"data__n": 5}, [4]),
    ({"data__n__in": [5, 6]}, [4]),
    ({"data__n__gt": "4"}, [4]),
    ({"data__k'\"%": "z"}, [1]),
    ({"data__contains": {"a": "b"}}, [1]),
    ({"data__contains": {}}, [1, 2, 4]),
    ({"data__contains": {"c": None}}, [1]),
    ({"data__contains": F("data")}, [1, 2, 4]),
    ({"data__contained_by": {"a": "B", "n": "5", "z": "1"}}, [2, 4]),
    ({"data__has_key": "a"}, [1, 4]),
    ({"data__has_keys": ["a", "c"]}, [1]),
    ({"data__has_any_keys": ["n", "c"]}, [1, 4]),
    ({"data__has_keys": []}, [1, 2, 4]),
    ({"data__has_any_keys": []}, []),
    ({"data__keys__contains": ["a"]}, [1, 4]),
    ({"data__keys__len": 2}, [4]),
    ({"data__keys__0": "a"}, [1, 4]),
    ({"data__values__contains": ["B"]}, [4]),
    ({"data": {"a": "B", "n": 5}}, [4]),
    ({"data": {}}, [2]),
    ({"data": None}, [3]),
    ({"data__in": [{}, {"a": "B", "n": "5"}]}, [2, 4]),
]


@pytest.mark.parametrize(("lookup", "expected"), STORES, ids=repr)
async def test_hstore_lookups(face: Face, lookup: dict[str, Any], expected: list[int]) -> None:
    assert await keys(face, Store.objects.filter(**lookup)) == expected


async def test_hstore_values(face: Face) -> None:
    assert await keys(face, Store.objects.exclude(data__a="b")) == [3, 4]
    assert await keys(face, Store.objects.exclude(data__has_key="a")) == [2, 3]
    rows = Store.objects.annotate(upper=Upper("data__a")).values_list("data__a", "upper")
    assert await face.rows(rows) == [("b", "B"), (None, None), (None, None), ("B", "B")]
    assert (await face(Store.objects.get)(pk=4)).data == {"a": "B", "n": "5"}
    assert (await face(Store.objects.get)(pk=1)).data == {"a": "b", "c": None, "k'\"%": "z"}
    await face(Store.objects.filter(pk=3).update)(data={"q": 1})
    assert (await face(Store.objects.get)(pk=3)).data == {"q": "1"}
    await face(Store.objects.filter(pk=3).update)(data=Value({"r": None}))
    assert (await face(Store.objects.get)(pk=3)).data == {"r": None}


def test_hstore_validation() -> None:
    field = Store._meta.get_field("data")
    assert field.to_python('{"a": "1"}') == {"a": "1"}
    for wrong in ({"a": {"b": 1}}, [1], "{"):
        with pytest.raises(dorm.ValidationError):
            Store(data=wrong).full_clean()
