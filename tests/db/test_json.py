"""Paths, comparisons and keys of JSON documents."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import Count, F, JSONField, NotSupportedError, Q, Value, functions as f
from dorm.lookups.json import KT, KeyTextTransform, KeyTransform
from dorm.sql import plan
from tests.support.faces import Face
from tests.support.models import Everything

pytestmark = pytest.mark.usefixtures("database")

DOCUMENTS: dict[str, Any] = {
    "sql null": None,
    "json null": Value(None, JSONField()),
    "true": True,
    "number": 7,
    "text": "seven",
    "empty": {},
    "list": [1, 2, {"deep": "x"}],
    "meg": {
        "breed": "labrador",
        "age": 5,
        "weight": 30.5,
        "good": True,
        "bad": False,
        "owner": {"name": "Bob", "other_pets": [{"name": "Fishy"}, {"name": "Rex"}]},
        "tags": ["a", "b"],
        "gone": None,
        'odd "key"\'s': 1,
    },
    "rufus": {"breed": "Collie", "age": 10, "owner": {"name": "Alice", "other_pets": []}, "good": False},
    "fred": {"age": "5", "breed": "50% poodle"},
}


@pytest.fixture
def documents(database: Any) -> None:
    Everything.objects.bulk_create([Everything(char=name, json=value) for name, value in DOCUMENTS.items()])


async def found(face: Face, *args: Any, **kwargs: Any) -> set[str]:
    return set(await face.rows(Everything.objects.filter(*args, **kwargs).values_list("char", flat=True)))


CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({"json__isnull": True}, {"sql null"}),
    ({"json": None}, {"json null"}),
    ({"json": Value(None, JSONField())}, {"json null"}),
    ({"json": True}, {"true"}),
    ({"json": 7}, {"number"}),
    ({"json": 7.0}, {"number"}),
    ({"json": "seven"}, {"text"}),
    ({"json": {}}, {"empty"}),
    ({"json": [1, 2, {"deep": "x"}]}, {"list"}),
    ({"json__in": [7, "seven", {}]}, {"number", "text", "empty"}),
    ({"json__in": []}, set()),
    ({"json__0": 1}, {"list"}),
    ({"json__2__deep": "x"}, {"list"}),
    ({"json__breed": "labrador"}, {"meg"}),
    ({"json__age": 5}, {"meg"}),
    ({"json__age": "5"}, {"fred"}),
    ({"json__good": True}, {"meg"}),
    ({"json__good": False}, {"rufus"}),
    ({"json__good": 1}, set()),
    ({"json__weight": 30.5}, {"meg"}),
    ({"json__owner__name": "Bob"}, {"meg"}),
    ({"json__owner__other_pets__0__name": "Fishy"}, {"meg"}),
    ({"json__owner__other_pets__1": {"name": "Rex"}}, {"meg"}),
    ({"json__owner__other_pets": []}, {"rufus"}),
    ({"json__owner": {"other_pets": [], "name": "Alice"}}, {"rufus"}),
    ({"json__tags": ["a", "b"]}, {"meg"}),
    ({"json__gone": None}, {"meg"}),
    ({"json__gone__isnull": False}, {"meg"}),
    ({"json__gone__isnull": True}, set(DOCUMENTS) - {"meg"}),
    ({"json__owner__isnull": True}, set(DOCUMENTS) - {"meg", "rufus"}),
    ({"json__owner__isnull": False}, {"meg", "rufus"}),
    ({"json__age__gt": 4}, {"meg", "rufus"}),
    ({"json__age__gte": 10}, {"rufus"}),
    ({"json__age__lt": 10}, {"meg"}),
    ({"json__age__lte": 5.5}, {"meg"}),
    ({"json__age__range": (6, 11)}, {"rufus"}),
    ({"json__age__in": [5, 10, 11]}, {"meg", "rufus"}),
    ({"json__age__in": [5, "5", None]}, {"meg", "fred"}),
    ({"json__breed__in": ["labrador", "Collie"]}, {"meg", "rufus"}),
    ({"json__breed__gt": "D"}, {"meg"}),
    ({"json__breed__iexact": "collie"}, {"rufus"}),
    ({"json__breed__icontains": "LL"}, {"rufus"}),
    ({"json__breed__icontains": "50%"}, {"fred"}),
    ({"json__breed__startswith": "Co"}, {"rufus"}),
    ({"json__breed__startswith": "co"}, set()),
    ({"json__breed__istartswith": "co"}, {"rufus"}),
    ({"json__breed__endswith": "dor"}, {"meg"}),
    ({"json__breed__iendswith": "DOR"}, {"meg"}),
    ({"json__breed__regex": "^Col+ie$"}, {"rufus"}),
    ({"json__breed__iregex": "^col+ie$"}, {"rufus"}),
    ({"json__has_key": "owner"}, {"meg", "rufus"}),
    ({"json__has_key": "gone"}, {"meg"}),
    ({"json__has_key": 'odd "key"\'s'}, {"meg"}),
    ({'json__odd "key"\'s': 1}, {"meg"}),
    ({"json__owner__has_key": "name"}, {"meg", "rufus"}),
    ({"json__owner__has_key": "age"}, set()),
    ({"json__has_key": KeyTransform("name", KeyTransform("owner", "json"))}, {"meg", "rufus"}),
    ({"json__has_keys": ["breed", "owner"]}, {"meg", "rufus"}),
    ({"json__has_keys": ["breed", "weight"]}, {"meg"}),
    ({"json__has_any_keys": ["weight", "owner"]}, {"meg", "rufus"}),
    ({"json__has_any_keys": ["nothing"]}, set()),
    ({"json__owner__has_any_keys": ["x", "name"]}, {"meg", "rufus"}),
    ({"json__age": F("json__age")}, {"meg", "rufus", "fred"}),
    ({"json__owner__name": F("json__owner__name")}, {"meg", "rufus"}),
    ({"json__breed": F("char")}, set()),
]


@pytest.mark.parametrize(("lookup", "expected"), CASES, ids=[str(number) for number in range(len(CASES))])
async def test_lookups(face: Face, documents: None, lookup: dict[str, Any], expected: set[str]) -> None:
    assert await found(face, **lookup) == expected


async def test_negation_keeps_rows_whose_value_differs_or_whose_column_is_null(face: Face, documents: None) -> None:
    kept = {"sql null", "rufus", "fred"}
    assert await found(face, ~Q(json__breed="labrador")) == kept
    assert await found(face, ~Q(json__breed__icontains="LABRADOR")) == kept
    excluded = Everything.objects.exclude(json__age=5).values_list("char", flat=True)
    assert set(await face.rows(excluded)) == kept
    assert await found(face, ~Q(json__age__gt=5)) == {"sql null", "meg", "fred"}
    assert await found(face, ~Q(json__has_key="breed")) == set(DOCUMENTS) - {"meg", "rufus", "fred"}


CONTAINMENT: list[tuple[dict[str, Any], set[str]]] = [
    ({"json__contains": {"breed": "labrador"}}, {"meg"}),
    ({"json__contains": {"owner": {"name": "Bob"}}}, {"meg"}),
    ({"json__contains": [2]}, {"list"}),
    ({"json__contains": {}}, {"empty", "meg", "rufus", "fred"}),
    ({"json__tags__contains": ["a"]}, {"meg"}),
    ({"json__contained_by": {"age": "5", "breed": "50% poodle", "x": 1}}, {"empty", "fred"}),
    ({"json__contained_by": [1, 2, 3, {"deep": "x"}]}, {"list", "number"} - {"number"}),
]


@pytest.mark.parametrize(("lookup", "expected"), CONTAINMENT, ids=[str(number) for number in range(len(CONTAINMENT))])
async def test_containment(
    face: Face, backend: str, documents: None, lookup: dict[str, Any], expected: set[str]
) -> None:
    if backend == "postgresql":
        assert await found(face, **lookup) == expected
    else:
        with pytest.raises(NotSupportedError, match="lookup is not supported on this database backend"):
            await found(face, **lookup)


async def test_values_and_annotations_are_python_values(face: Face, documents: None) -> None:
    one = Everything.objects.filter(char="meg")
    row = (await face.rows(one.values("json__breed", "json__age", "json__owner", "json__good", "json__none")))[0]
    assert row == {
        "json__breed": "labrador",
        "json__age": 5,
        "json__owner": DOCUMENTS["meg"]["owner"],
        "json__good": True,
        "json__none": None,
    }
    got = await face(one.annotate(pet=F("json__owner__other_pets__0__name"), tags=F("json__tags")).get)()
    assert (got.pet, got.tags) == ("Fishy", ["a", "b"])
    assert await face.rows(one.values_list("json__gone", "json__weight")) == [(None, 30.5)]


async def test_key_texts(face: Face, documents: None) -> None:
    qs = Everything.objects.filter(char__in=["meg", "rufus"]).annotate(
        name=KT("json__owner__name"), good=KT("json__good"), age=KT("json__age"), gone=KeyTextTransform("gone", "json")
    )
    rows = await face.rows(qs.order_by("name").values_list("name", "good", "age", "gone"))
    assert rows == [("Alice", "false", "10", None), ("Bob", "true", "5", None)]
    cast = qs.annotate(n=f.Cast(KT("json__age"), dorm.IntegerField())).filter(n__gt=6)
    assert [row.char for row in await face.rows(cast)] == ["rufus"]
    with pytest.raises(ValueError, match="Lookup must contain key or index transforms"):
        KT("json")


async def test_order_by_a_key(face: Face, documents: None) -> None:
    numbers = Everything.objects.filter(json__age__gt=0).order_by("-json__age").values_list("json__age", flat=True)
    assert await face.rows(numbers) == [10, 5]
    names = Everything.objects.filter(json__owner__isnull=False).order_by("json__owner__name")
    assert [row.char for row in await face.rows(names)] == ["rufus", "meg"]


async def test_group_by_a_key(face: Face, documents: None) -> None:
    await face(Everything.objects.create)(char="twin", json={"breed": "labrador"})
    groups = (
        Everything.objects.filter(json__has_key="breed").values("json__breed").annotate(n=Count("id")).order_by("-n")
    )
    assert (await face.rows(groups))[0] == {"json__breed": "labrador", "n": 2}


async def test_update_with_documents(face: Face, documents: None) -> None:
    meg = Everything.objects.filter(char="meg")
    await face(meg.update)(json=F("json__owner"))
    assert (await face(meg.get)()).json == DOCUMENTS["meg"]["owner"]
    await face(meg.update)(json=Value(None, JSONField()))
    assert await found(face, json=None) == {"json null", "meg"}
    await face(meg.update)(json=None)
    assert await found(face, json__isnull=True) == {"sql null", "meg"}
    await face(meg.update)(json=f.JSONObject(name="char", n=Value(3)))
    assert (await face(meg.get)()).json == {"name": "meg", "n": 3}


async def test_json_object_and_array(face: Face) -> None:
    await face(Everything.objects.create)(char="a", integer=3, truth=True, json={"k": [1]}, decimal="1.500", double=2.5)
    qs = Everything.objects.annotate(
        made=f.JSONObject(
            name=f.Lower("char"),
            n=F("integer") + 1,
            truth="truth",
            doc="json",
            none="text",
            nested=f.JSONObject(x="double"),
        ),
        listed=f.JSONArray("char", "integer", "text", f.JSONArray("truth"), Value(5)),
        empty=f.JSONObject(),
    )
    row = await face(qs.get)()
    assert row.made == {"name": "a", "n": 4, "truth": True, "doc": {"k": [1]}, "none": None, "nested": {"x": 2.5}}
    assert row.listed == ["a", 3, None, [True], 5]
    assert row.empty == {}
    assert await face(qs.filter(made__nested__x=2.5).count)() == 1


def test_unhelpful_right_sides_are_refused() -> None:
    with pytest.raises(TypeError, match="takes a list of keys"):
        Everything.objects.filter(json__has_keys="name")
    with pytest.raises(ValueError, match="Cannot use None as a query value"):
        Everything.objects.filter(json__a__gt=None)
    with pytest.raises(ValueError, match="must be True or False"):
        Everything.objects.filter(json__a__isnull="yes")


def test_steps_over_endless_paths_are_not_kept(database: dict[str, Any]) -> None:
    plans = Everything._meta.plan.root
    before = plans.statistics.plans
    for turn in range(2):
        for number in range(plan.MOST_PATHS + 50):
            path = {f"json__turn_{number}": 1}
            assert str(Everything.objects.filter(**path).values("pk").query).count(f"turn_{number}")
            str(Everything.objects.values(f"json__turn_{number}").query)
            str(Everything.objects.annotate(x=KT(f"json__turn_{number}")).query)
        assert plans.statistics.plans - before <= 4 * plan.MOST_PATHS, turn
    assert len(plans.paths["library_everything", "json"]) == plan.MOST_PATHS


async def test_a_text_in_value_is_the_text_of_a_document(face: Face) -> None:
    documents: tuple[Any, ...] = ({"a": 1}, {"a": "x"}, "x", 3, True, [1], None)
    for document in documents:
        await face(Everything.objects.create)(json=document)

    async def found(**conditions: Any) -> list[Any]:
        return await face.rows(Everything.objects.filter(**conditions).order_by("pk").values_list("json", flat=True))

    for text, document in (
        ('{ "a":1}', {"a": 1}),
        ('"x"', "x"),
        ("3", 3),
        ("3.0", 3),
        ("true", True),
        ("[1]", [1]),
    ):
        assert await found(json=Value(text)) == [document]
        assert await found(json__in=[Value(text)]) == [document]
    assert await found(json__a=Value("1")) == [{"a": 1}]
    assert await found(json__a__in=[Value('"x"'), Value("1")]) == [{"a": 1}, {"a": "x"}]
    assert await found(json__gt=Value('"a"')) == ["x"]
    assert await found(json__range=(Value('"a"'), "z")) == ["x"]
    assert await found(json=Value(3)) == [3]
    assert await found(json__gte=Value(2.5)) == [3]
    rest = await face.rows(Everything.objects.exclude(json__a=Value("1")).values_list("json", flat=True))
    assert rest.count({"a": "x"}) == 1
    assert {"a": 1} not in rest
    for lookup in ("json", "json__a", "json__gt", "json__a__lt", "json__contains"):
        for _ in range(2):
            with pytest.raises(dorm.InvalidValue, match="is no JSON: give the text itself"):
                Everything.objects.filter(**{lookup: Value("not JSON")})
    with pytest.raises(dorm.InvalidValue, match="is no JSON"):
        Everything.objects.filter(json__in=[Value("x"), "x"])
    with pytest.raises(dorm.InvalidValue, match="only where it is a text"):
        Everything.objects.filter(json__gt=Value("3"))
