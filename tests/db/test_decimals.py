"""Decimals beside other numbers: in conditions, subqueries, combined queries and functions.

SQLite stores a decimal as a whole number of its last digit; nothing that a query does with one may show it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import Exists, F, FloatField, Func, OuterRef, Q, Subquery, Value
from dorm.lookups import GreaterThan
from dorm.migrations.schema import create_tables
from tests.support.faces import Face, names


class Ware(dorm.Model):
    name = dorm.CharField(max_length=10)
    count = dorm.IntegerField(null=True)
    price = dorm.DecimalField(max_digits=8, decimal_places=2, null=True)
    fine = dorm.DecimalField(max_digits=12, decimal_places=4, null=True)
    rating = dorm.FloatField(null=True)

    class Meta:
        app_label = "decimal_wares"
        ordering = ("name",)


ROWS = (("a", 10, "10.00", "10.0000", 10.0), ("b", 20, "20.50", "3.1250", 4.5), ("c", 4, "5.25", "5.2500", None))


@pytest.fixture(autouse=True)
def wares(empty_database: dict[str, Any]) -> None:
    create_tables([Ware])
    for name, count, price, fine, rating in ROWS:
        Ware.objects.create(name=name, count=count, price=price, fine=fine, rating=rating)
    Ware.objects.create(name="none")


W = Ware.objects
FOUND: list[tuple[dict[str, Any] | Any, list[str]]] = [
    ({"price": F("count")}, ["a"]),
    ({"price": F("fine")}, ["a", "c"]),
    ({"price__gt": F("rating")}, ["b"]),
    ({"price__in": [F("count"), Decimal("5.25")]}, ["a", "c"]),
    ({"price__range": (F("count"), F("count") + 1)}, ["a", "b"]),
    ({"count__range": (F("price") - 1, F("price"))}, ["a", "b"]),
    ({"count__in": W.values("price")}, ["a"]),
    ({"price__in": W.values("fine")}, ["a", "c"]),
    ({"price__in": W.values("count")}, ["a"]),
    (GreaterThan(F("price"), F("count")), ["b", "c"]),
    (Exists(W.filter(price=OuterRef("count"))), ["a"]),
    (Exists(W.filter(count=OuterRef("price"))), ["a"]),
    (Exists(W.filter(fine=OuterRef("price"), name=OuterRef("name"))), ["a", "c"]),
    (Exists(W.filter(price__gt=OuterRef("price") * 2 - 1)), ["a", "c"]),
    (Exists(W.filter(count__gt=OuterRef("price") * 2 - 1)), ["a", "c"]),
    (Exists(W.filter(count__range=(OuterRef("price"), OuterRef("price")))), ["a"]),
    (Exists(W.filter(Exists(W.filter(price=OuterRef(OuterRef("count")))))), ["a"]),
    ({"price__lt": Subquery(W.filter(name=OuterRef("name")).values("count")[:1])}, []),
    ({"price__gt": Subquery(W.filter(name=OuterRef("name")).values("count")[:1])}, ["b", "c"]),
    # Numbers that the column cannot hold are compared as numbers.
    ({"price": Decimal("10.001")}, []),
    ({"price__lt": Decimal("10.001")}, ["a", "c"]),
    ({"price__gt": Decimal("20.495")}, ["b"]),
    ({"price__lte": Decimal("1e30")}, ["a", "b", "c"]),
    ({"price__gt": -(10**30)}, ["a", "b", "c"]),
    ({"price__gte": "5.2501"}, ["a", "b"]),
    ({"price__in": [Decimal("10.001"), "20.5"]}, ["b"]),
    ({"price__range": (Decimal("5.249"), Decimal("10.001"))}, ["a", "c"]),
    (~Q(price=Decimal("1e30")), ["a", "b", "c", "none"]),
    ({"price": 10.0}, ["a"]),
    ({"price": 20.5}, ["b"]),
    # As text a decimal has its point.
    ({"price__contains": ".5"}, ["b"]),
    ({"price__startswith": "10."}, ["a"]),
    ({"price__endswith": ".25"}, ["c"]),
    ({"price__regex": r"^\d+\.5"}, ["b"]),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "wanted"), FOUND, ids=range(len(FOUND)))
async def test_conditions(face: Face, condition: Any, wanted: list[str]) -> None:
    args, kwargs = ((), condition) if isinstance(condition, dict) else ((condition,), {})
    for _ in range(2):
        assert names(await face.rows(W.filter(*args, **kwargs))) == wanted


async def test_a_value_that_no_decimal_is(face: Face) -> None:
    for wrong in ("x", Decimal("NaN"), float("inf")):
        with pytest.raises(dorm.ValidationError):
            W.filter(price=wrong)
    ware = await face(W.get)(name="a")
    ware.price = Decimal("1e30")
    with pytest.raises(dorm.ValidationError, match="at most 8 digits"):
        await face(ware.save)()


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ("price", "count", ["4", "5.25", "10", "20", "20.5"]),
        ("count", "price", ["4", "5.25", "10", "20", "20.5"]),
        ("price", "fine", ["3.125", "5.25", "10", "20.5"]),
        ("rating", "price", ["4.5", "5.25", "10", "20.5"]),
        ("price", F("price") * 2, ["5.25", "10", "10.5", "20", "20.5", "41"]),
    ],
)
async def test_unions_of_different_numbers(face: Face, one: Any, other: Any, wanted: list[str]) -> None:
    own = W.filter(price__isnull=False).exclude(**{f"{one}__isnull": True})
    rows = own.values_list(one, flat=True).union(W.filter(price__isnull=False).values_list(other, flat=True))
    assert [Decimal(str(value)) for value in await face.rows(rows.order_by(one))] == [Decimal(text) for text in wanted]


async def test_a_function_of_the_user_reads_the_number(face: Face) -> None:
    ratio = Func(F("price"), Value(3), function="COALESCE", output_field=FloatField())
    assert await face.rows(W.order_by("name").values_list(ratio, flat=True)) == [10.0, 20.5, 5.25, 3.0]


async def test_a_column_that_refers_to_the_query_around(face: Face) -> None:
    doubled = Subquery(W.filter(name=OuterRef("name")).annotate(it=OuterRef("price") * 2).values("it")[:1])
    rows = W.filter(price__isnull=False).annotate(it=doubled).values_list("it", flat=True)
    assert [Decimal(str(value)) for value in await face.rows(rows)] == [Decimal(20), Decimal(41), Decimal("10.5")]
