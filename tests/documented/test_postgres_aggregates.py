"""The page of `contrib.postgres` on aggregates, sentence by sentence."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import ArrayAgg, BitAnd, BitOr, BitXor, BoolAnd, BoolOr, F, JSONBAgg, Q, StringAgg, Value
from dorm.aggregates import (
    Corr,
    CovarPop,
    RegrAvgX,
    RegrAvgY,
    RegrCount,
    RegrIntercept,
    RegrR2,
    RegrSlope,
    RegrSXX,
    RegrSXY,
    RegrSYY,
)
from dorm.functions import Cast, Concat, JSONObject, Length, Lower, Upper
from tests.documented.postgres import made
from tests.support.faces import Face


class Row(dorm.Model):
    title = dorm.CharField(max_length=40)
    number = dorm.IntegerField(null=True)
    weight = dorm.FloatField(null=True)
    flag = dorm.BooleanField(null=True)
    price = dorm.DecimalField(max_digits=6, decimal_places=2, null=True)
    extra = dorm.JSONField(null=True)
    day = dorm.DateField(null=True)

    class Meta:
        app_label = "doc_pg_aggregates"
        ordering = ["pk"]


class Line(dorm.Model):
    row = dorm.ForeignKey(Row, dorm.CASCADE, related_name="lines")
    words = dorm.CharField(max_length=20)
    size = dorm.IntegerField()

    class Meta:
        app_label = "doc_pg_aggregates"


MODELS = (Row, Line)
DAY = datetime.date(2020, 1, 1)


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def tables(empty_database: Any) -> None:
    made(MODELS)
    Row.objects.create(pk=1, title="b", number=1, weight=1.5, flag=True, price="1.50", extra={"a": 1}, day=DAY)
    Row.objects.create(pk=2, title="a%", number=2, weight=2.5, flag=False, price="2.50", extra=[1])
    Row.objects.create(pk=3, title="ccc", number=3, weight=4.0, flag=True)
    Row.objects.create(pk=4, title="b")
    for row, words, size in ((1, "one", 5), (1, "two", 7), (2, "three", 7)):
        Line.objects.create(row_id=row, words=words, size=size)


FEW, NONE = Q(number__isnull=False), Q(pk=99)

AGGREGATES: list[tuple[Any, Any]] = [
    (ArrayAgg("number", order_by="-number", filter=FEW), [3, 2, 1]),
    (ArrayAgg("number", order_by=["-flag", "number"], filter=FEW), [1, 3, 2]),
    (ArrayAgg("number", order_by=F("number").desc(nulls_last=True)), [3, 2, 1, None]),
    (ArrayAgg("number", order_by="number"), [1, 2, 3, None]),
    (ArrayAgg("title", distinct=True), ["a%", "b", "ccc"]),
    (ArrayAgg("title", distinct=True, order_by="-title"), ["ccc", "b", "a%"]),
    (ArrayAgg("number", filter=Q(number__gt=1), order_by="number"), [2, 3]),
    (ArrayAgg("number", filter=NONE), None),
    (ArrayAgg("number", filter=NONE, default=[]), []),
    (ArrayAgg("number", filter=NONE, default=[7]), [7]),
    (ArrayAgg("number", filter=NONE, default=Value([8])), [8]),
    (ArrayAgg("title", filter=NONE, default=["q"]), ["q"]),
    (ArrayAgg(F("number") * 2, filter=FEW, order_by="pk"), [2, 4, 6]),
    (ArrayAgg("price", order_by="pk", filter=FEW), [Decimal("1.50"), Decimal("2.50"), None]),
    (ArrayAgg("day", filter=Q(pk=1)), [DAY]),
    (ArrayAgg("extra", order_by="pk"), [{"a": 1}, [1], None, None]),
    (ArrayAgg("lines__size", order_by="lines__size", filter=Q(lines__isnull=False)), [5, 7, 7]),
    (ArrayAgg(Upper("title"), order_by=[Lower("title").desc(), "pk"]), ["CCC", "B", "B", "A%"]),
    (ArrayAgg("title", order_by=[Length("title"), "pk"]), ["b", "b", "a%", "ccc"]),
    (StringAgg("title", separator=";", order_by="pk"), "b;a%;ccc;b"),
    (StringAgg("title", delimiter=";", order_by="-title"), "ccc;b;b;a%"),
    (StringAgg("title", ";", distinct=True, order_by="-title"), "ccc;b;a%"),
    (StringAgg("title", delimiter=";", filter=NONE), None),
    (StringAgg("title", delimiter=";", filter=NONE, default=""), ""),
    (StringAgg("title", delimiter=";", filter=NONE, default=Value("<none>")), "<none>"),
    (StringAgg(Cast("number", dorm.TextField()), delimiter=";", order_by="pk"), "1;2;3"),
    (StringAgg("lines__words", delimiter="'%", order_by="lines__words"), "one'%three'%two"),
    (StringAgg(Concat("title", Value("!")), delimiter=";", order_by="pk"), "b!;a%!;ccc!;b!"),
    (JSONBAgg("number", order_by="-pk"), [None, 3, 2, 1]),
    (JSONBAgg("extra", order_by="pk"), [{"a": 1}, [1], None, None]),
    (JSONBAgg("title", distinct=True), ["a%", "b", "ccc"]),
    (JSONBAgg("price", filter=Q(pk=2)), [2.5]),
    (JSONBAgg("number", filter=NONE), None),
    (JSONBAgg("number", filter=NONE, default=[]), []),
    (JSONBAgg("number", filter=NONE, default=Value([1], output_field=dorm.JSONField())), [1]),
    (JSONBAgg(JSONObject(a="number"), filter=Q(pk__lt=3), order_by="pk"), [{"a": 1}, {"a": 2}]),
    (BitAnd("number"), 0),
    (BitOr("number"), 3),
    (BitXor("number"), 0),
    (BitXor("number", filter=Q(number__gt=1)), 1),
    (BitOr("number", filter=NONE), None),
    (BitXor("number", filter=NONE, default=0), 0),
    (BoolAnd("flag"), False),
    (BoolOr("flag"), True),
    (BoolAnd(Q(number__gt=0)), True),
    (BoolOr(Q(number__gt=3)), False),
    (BoolAnd("flag", filter=NONE), None),
    (BoolOr("flag", filter=NONE, default=False), False),
    (Corr("weight", "number"), 0.9934),
    (Corr(y="weight", x="number"), 0.9934),
    (Corr("weight", "number", filter=Q(number__lt=3)), 1.0),
    (Corr("weight", "number", filter=NONE, default=0.5), 0.5),
    (CovarPop("weight", "number"), 0.8333),
    (CovarPop("weight", "number", sample=True), 1.25),
    (RegrAvgX("weight", "number"), 2.0),
    (RegrAvgY("weight", "number"), 2.6667),
    (RegrCount("weight", "number"), 3),
    (RegrCount("weight", "number", filter=NONE), 0),
    (RegrIntercept("weight", "number"), 0.1667),
    (RegrR2("weight", "number"), 0.9868),
    (RegrSlope("weight", "number"), 1.25),
    (RegrSlope(F("weight") * 2, F("number") + 1), 2.5),
    (RegrSXX("weight", "number"), 2.0),
    (RegrSXY("weight", "number"), 2.5),
    (RegrSYY("weight", "number"), 3.1667),
]  # fmt: skip


@pytest.mark.parametrize(("aggregate", "expected"), AGGREGATES, ids=repr)
async def test_aggregates(face: Face, aggregate: Any, expected: Any) -> None:
    found = (await face(Row.objects.aggregate)(it=aggregate))["it"]
    assert (round(found, 4) if isinstance(found, float) else found) == expected


async def test_of_no_rows(face: Face) -> None:
    each = {
        "array": ArrayAgg("number"),
        "text": StringAgg("title", ","),
        "objects": JSONBAgg("number"),
        "flag": BoolAnd("flag"),
        "bits": BitAnd("number"),
        "corr": Corr("weight", "number"),
    }
    count = RegrCount("weight", "number")
    for rows in (Row.objects.none(), Row.objects.filter(pk=99)):
        assert await face(rows.aggregate)(**each, n=count) == {**dict.fromkeys(each), "n": 0}
    defaults = {
        "array": ArrayAgg("number", default=[1]),
        "text": StringAgg("title", ",", default="-"),
        "objects": JSONBAgg("number", default=[2]),
        "flag": BoolAnd("flag", default=False),
        "bits": BitAnd("number", default=0),
    }
    for rows in (Row.objects.none(), Row.objects.filter(pk=99)):
        assert await face(rows.aggregate)(**defaults) == {
            "array": [1],
            "text": "-",
            "objects": [2],
            "flag": False,
            "bits": 0,
        }


async def test_a_text_as_default_of_a_document_is_the_document(face: Face) -> None:
    missing = Row.objects.filter(pk=-1)
    assert await face(missing.aggregate)(x=JSONBAgg("number", default=Value("[1]"))) == {"x": [1]}
    assert await face(missing.aggregate)(x=JSONBAgg("number", default=Value([1], dorm.JSONField()))) == {"x": [1]}


async def test_in_groups(face: Face) -> None:
    grouped = Row.objects.values("flag").annotate(titles=StringAgg("title", ";", order_by="pk")).order_by("flag")
    assert [(row["flag"], row["titles"]) for row in await face.rows(grouped)] == [
        (False, "a%"),
        (True, "b;ccc"),
        (None, "b"),
    ]
    rows = Row.objects.order_by("pk").annotate(sizes=ArrayAgg("lines__size", order_by="lines__size"))
    assert await face.rows(rows.values_list("sizes", flat=True)) == [[5, 7], [7], [None], [None]]
    assert await face.rows(rows.filter(sizes__contains=[7]).values_list("pk", flat=True)) == [1, 2]
    assert await face.rows(rows.filter(sizes__len=2).values_list("pk", flat=True)) == [1]
    assert await face.rows(rows.filter(sizes__0=7).values_list("pk", flat=True)) == [2]
    assert await face.rows(rows.annotate(first=F("sizes")[:1]).values_list("first", flat=True)) == [
        [5],
        [7],
        [None],
        [None],
    ]
    words = Row.objects.annotate(words=JSONBAgg("lines__words", order_by="lines__words")).filter(words__0="one")
    assert await face.rows(words.values_list("pk", flat=True)) == [1]
    counted = Row.objects.order_by("pk").annotate(n=RegrCount("lines__size", "number"))
    assert await face.rows(counted.values_list("n", flat=True)) == [2, 1, 0, 0]


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="RegrCount does not allow default"):
        RegrCount("weight", "number", default=3)
    for wrong in ((None, "number"), ("weight", None), ("", "number")):
        with pytest.raises(ValueError, match="Both y and x must be provided"):
            Corr(*wrong)
    with pytest.raises(dorm.FieldError, match="nope"):
        Row.objects.aggregate(it=ArrayAgg("number", order_by="nope"))
