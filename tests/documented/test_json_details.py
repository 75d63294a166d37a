"""The section on JSONField of the page "Making queries", at the edges: lists of documents, negation, keys, misuse."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import F, JSONField, Q, Value
from dorm.functions import KT
from tests.documented.blog import MODELS as MODELS, Dog
from tests.support.faces import Face

DOCUMENTS: dict[str, Any] = {
    "sql null": None,
    "json null": Value(None, JSONField()),
    "dict": {"a": 1, "b": {"c": [1, 2, {"d": "x"}]}, "s": "text", "t": True, "n": None, "f": 1.5},
    "dict2": {"a": 2, "b": {"c": []}, "s": "Text", "t": False},
    "list": [1, "a", None, [2, 3], {"k": "v"}],
    "text": "text",
    "number": 5,
    "bool": True,
    "empty": {},
    "empty list": [],
    "odd": {"a.b": 1, "with space": 2, "0": "zero", 'quote"d': 3, "a": "1", "k'": 4, "%s": 5, "": 6, "isnull": 1},
    "float": {"a": 1.0, "s": None, "b": "q"},
    "big": {"a": 12345678901234567890, "s": "50%", "b": [{"c": 1}]},
}


async def fill(face: Face) -> None:
    for name, data in DOCUMENTS.items():
        await face(Dog.objects.create)(name=name, data=data)


async def names_of(face: Face, qs: Any) -> set[str]:
    return {dog.name for dog in await face.rows(qs)}


# One after the other on one model: lists of one length are one plan, whatever their items are.
LISTS: list[tuple[dict[str, Any], set[str]]] = [
    ({"data__a__in": [1]}, {"dict", "float"}),
    ({"data__a__in": ["1"]}, {"odd"}),
    ({"data__a__in": [True]}, set()),
    ({"data__a__in": [12345678901234567890]}, {"big"}),
    ({"data__in": [True]}, {"bool"}),
    ({"data__in": ["text"]}, {"text"}),
    ({"data__in": [[]]}, {"empty list"}),
    ({"data__in": [{}]}, {"empty"}),
    ({"data__in": [[1, "a", None, [2, 3], {"k": "v"}]]}, {"list"}),
    ({"data__s__in": ["text"]}, {"dict"}),
    ({"data__t__in": [False]}, {"dict2"}),
    ({"data__b__c__in": [[]]}, {"dict2"}),
    ({"data__in": ["text", 5, True, [], {}]}, {"text", "number", "bool", "empty list", "empty"}),
    ({"data__in": [{}, [], True, 5.0, "text"]}, {"text", "number", "bool", "empty list", "empty"}),
    ({"data__a__in": [2, None]}, {"dict2"}),
    ({"data__a__in": []}, set()),
    ({"data__in": [Value(None, JSONField())]}, {"json null"}),
    ({"data__in": [Value("text", JSONField()), 5]}, {"text", "number"}),
    ({"data__a__in": range(3)}, {"dict", "dict2", "float"}),
    ({"data__a__in": [*range(1500)]}, {"dict", "dict2", "float"}),
    ({"data__s__in": Dog.objects.filter(name="text").values("data")}, {"dict"}),
    ({"data__in": Dog.objects.filter(name="list").values("data__0")}, set()),
]


async def test_lists_of_documents(face: Face) -> None:
    await fill(face)
    for lookup, expected in LISTS:
        assert await names_of(face, Dog.objects.filter(**lookup)) == expected, lookup
    kept = {"sql null", "dict", "odd", "float", "big"}
    assert await names_of(face, Dog.objects.exclude(data__a__in=[2, 7])) == kept


LOOKUPS: list[tuple[Any, set[str]]] = [
    (Q(data__a=12345678901234567890), {"big"}),
    (Q(data__a__gt=2**63), {"big"}),
    (Q(data=2**70), set()),
    (Q(data__t=1), set()),
    (Q(data__b__c__2__d="x"), {"dict"}),
    (Q(data__4__k="v"), {"list"}),
    (Q(data__3__0=2), {"list"}),
    (Q(data__n=None), {"dict"}),
    (Q(data__n__isnull=False), {"dict"}),
    (Q(data__0__isnull=False), {"list"}),
    (Q(**{"data__-1__k": "v"}), {"list"}),
    (Q(**{"data__-5": 1}), {"list"}),
    (Q(**{"data__b__c__-3__in": [1, 2]}), {"dict"}),
    (Q(data__7__isnull=True), {*DOCUMENTS}),
    (Q(data__a__range=(1, 2)), {"dict", "dict2", "float"}),
    (Q(data__s__range=("a", "z")), {"dict"}),
    (Q(data__s__startswith="TEXT"), set()),
    (Q(data__s__istartswith="TEXT"), {"dict", "dict2"}),
    (Q(data__s__endswith="%"), {"big"}),
    (Q(data__s__icontains="EX"), {"dict", "dict2"}),
    (Q(data__s__regex="^T"), {"dict2"}),
    # What is there and not greater is not greater, whatever its type; what is not there is neither.
    (~Q(data__a__gt=1), {"sql null", "dict", "float", "odd"}),
    (~Q(data__s__lt="a"), {"sql null", "dict", "float"}),
    (~Q(data__a__range=(1, 2)), {"sql null", "odd", "big"}),
    (~Q(data__s="text"), {"sql null", "dict2", "float", "big"}),
    (Q(data__has_key="a.b"), {"odd"}),
    (Q(data__has_key='quote"d'), {"odd"}),
    (Q(data__has_key="k'"), {"odd"}),
    (Q(data__has_key="%s"), {"odd"}),
    (Q(data__has_key=""), {"odd"}),
    (Q(data__has_key="isnull"), {"odd"}),
    (Q(data__has_key="n"), {"dict"}),
    (Q(data__b__has_key="c"), {"dict", "dict2"}),
    (Q(data__has_keys=("a", "t")), {"dict", "dict2"}),
    (Q(data__has_keys={"a": 0, "b": 0}), {"dict", "dict2", "float", "big"}),
    (Q(data__has_any_keys=["zz", "isnull", "f"]), {"dict", "odd"}),
    (Q(data__has_any_keys=[]), set()),
    (Q(data__has_keys=[]), {*DOCUMENTS} - {"sql null"}),
    (Q(data__b__c__2__has_keys=[]), {"dict"}),
    (~Q(data__has_keys=["b", "c"]), {*DOCUMENTS}),
    (Q(**{"data__with space": 2}), {"odd"}),
    (Q(**{"data__a.b": 1}), {"odd"}),
    (Q(**{'data__quote"d__gte': 3}), {"odd"}),
    (Q(**{"data__%s__in": [5]}), {"odd"}),
    (Q(data__a=F("data__a")), {"dict", "dict2", "odd", "float", "big"}),
    (Q(data__gt=F("data")), set()),
    (Q(data__99999999999__isnull=False), set()),
    (Q(**{"data__-99999999999": 1}), set()),
    (Q(**{"data__{}__in": [1]}), set()),
    (Q(**{"data__{rhs}__gt": 1}), set()),
    (Q(**{"data__$1__0": 1}), set()),
    (Q(**{"data__?1__icontains": "1"}), set()),
    (Q(**{"data__a\\b__0": 1}), set()),
]  # fmt: skip


async def test_lookups(face: Face) -> None:
    await fill(face)
    for condition, expected in LOOKUPS:
        found = await names_of(face, Dog.objects.filter(condition))
        assert found == expected, condition


async def test_keys_in_values_orders_and_groups(face: Face) -> None:
    await fill(face)
    some = Dog.objects.filter(data__a__isnull=False).order_by("name")
    assert await face.rows(some.values_list("name", "data__a")) == [
        ("big", 12345678901234567890),
        ("dict", 1),
        ("dict2", 2),
        ("float", 1.0),
        ("odd", "1"),
    ]
    assert await face.rows(some.values("data__b__c")) == [
        {"data__b__c": None},
        {"data__b__c": [1, 2, {"d": "x"}]},
        {"data__b__c": []},
        {"data__b__c": None},
        {"data__b__c": None},
    ]
    assert await face.rows(some.annotate(x=KT("data__s")).values_list("x", flat=True)) == [
        "50%",
        "text",
        "Text",
        None,
        None,
    ]
    assert [dog.name for dog in await face.rows(some.exclude(name__in=["odd", "float"]).order_by("-data__a"))] == [
        "big",
        "dict2",
        "dict",
    ]
    grouped = Dog.objects.values("data__t").annotate(n=dorm.Count("pk")).order_by("n")
    assert {str(row["data__t"]): row["n"] for row in await face.rows(grouped)} == {"True": 1, "False": 1, "None": 11}
    counted = await face(Dog.objects.aggregate)(x=dorm.Count("data__a"), y=dorm.Count("data__t", distinct=True))
    assert counted == {"x": 5, "y": 2}
    assert await face(Dog.objects.filter(name="dict").update)(data=F("data__b")) == 1
    assert (await face(Dog.objects.get)(name="dict")).data == {"c": [1, 2, {"d": "x"}]}


MISUSES: list[tuple[str, Any, type[Exception]]] = [
    ("data__has_key", None, ValueError),
    ("data__has_keys", None, TypeError),
    ("data__has_any_keys", "ab", TypeError),
    ("data__has_any_keys", 5, TypeError),
    ("data__contains", None, ValueError),
    ("data__b__contained_by", None, ValueError),
    ("data__a__gt", None, ValueError),
    ("data__a__gt", {"secret": 1}, ValueError),
    ("data__a__lte", ["secret"], TypeError),
    ("data__a__range", (1, "secret"), ValueError),
    ("data__a__isnull", 1, ValueError),
    ("data__a\0b", 1, ValueError),
    ("data__x__a\0b__icontains", "a", ValueError),
]


@pytest.mark.parametrize(("lookup", "value", "error"), MISUSES)
def test_misuse(lookup: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        Dog.objects.filter(**{lookup: value})
    assert "secret" not in str(caught.value)
