"""Arithmetic over short decimals, whose results may be long: every digit, as Python computes it."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import F, Max, Q, Sum
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Line(dorm.Model):
    """Short decimals and whole numbers, whose results may be long."""

    price = dorm.DecimalField(max_digits=10, decimal_places=5)
    rate = dorm.DecimalField(max_digits=10, decimal_places=7)
    cents = dorm.DecimalField(max_digits=8, decimal_places=2)
    number = dorm.IntegerField()
    total = dorm.GeneratedField(
        expression=F("cents") * F("number"), output_field=dorm.DecimalField(max_digits=18, decimal_places=2)
    )

    class Meta:
        app_label = "exact_decimals"
        constraints = [dorm.CheckConstraint(condition=Q(cents__lte=F("number") * 1000), name="not_dear")]


LINES = [
    ("12345.12345", "543.2154321", "0.10", 3),
    ("99999.99999", "999.9999999", "999999.99", 2_000_000),
    ("-0.00001", "0.0000001", "-0.30", 7),
    ("0", "1.5", "0.20", 1),
]

FINE = Decimal("1.00000000000000001")
RESULTS: list[tuple[Any, Callable[[Decimal, Decimal, Decimal, int], Decimal]]] = [
    (F("price") * F("rate"), lambda price, rate, cents, number: price * rate),
    (F("price") * F("rate") * F("price"), lambda price, rate, cents, number: price * rate * price),
    (F("price") + F("rate") - F("cents"), lambda price, rate, cents, number: price + rate - cents),
    (F("cents") * F("number"), lambda price, rate, cents, number: cents * number),
    (F("cents") * (1 + F("rate")), lambda price, rate, cents, number: cents * (1 + rate)),
    (F("cents") * 3 - 1, lambda price, rate, cents, number: cents * 3 - 1),
    (F("cents") * 10**9, lambda price, rate, cents, number: cents * 10**9),
    (F("cents") * FINE, lambda price, rate, cents, number: cents * FINE),
    (-F("price"), lambda price, rate, cents, number: -price),
    (F("price") % 7, lambda price, rate, cents, number: price % 7),
    (F("cents") % Decimal("0.1"), lambda price, rate, cents, number: cents % Decimal("0.1")),
    (F("number") % F("rate"), lambda price, rate, cents, number: number % rate),
]  # fmt: skip


@pytest.fixture
def lines(empty_database: object) -> None:
    create_tables([Line])
    Line.objects.bulk_create(
        [Line(price=price, rate=rate, cents=cents, number=number) for price, rate, cents, number in LINES]
    )


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize(("expression", "exact"), RESULTS)
async def test_results_of_short_decimals_have_every_digit(
    face: Face, expression: Any, exact: Callable[[Decimal, Decimal, Decimal, int], Decimal]
) -> None:
    with decimal.localcontext(prec=100):
        values = [exact(Decimal(a), Decimal(b), Decimal(c), number) for a, b, c, number in LINES]
        rows = Line.objects.annotate(it=expression)
        assert await face.rows(rows.order_by("pk").values_list("it", flat=True)) == values
        assert await face.rows(rows.order_by("it", "pk").values_list("it", flat=True)) == sorted(values)
        assert await face(rows.aggregate)(all=Sum("it"), top=Max("it")) == {"all": sum(values), "top": max(values)}
        for value in values:
            assert await face(rows.filter(it=value).count)() == values.count(value)
            fewer = sum(each < value for each in values)
            assert await face(rows.filter(it__lt=value).count)() == fewer
            assert await face(rows.filter(it__gt=value - Decimal("1e-30")).count)() == len(values) - fewer


@pytest.mark.usefixtures("lines")
async def test_computed_columns_and_checks_count_in_whole_numbers(face: Face, backend: str) -> None:
    totals = [Decimal(cents) * number for _, _, cents, number in LINES]
    assert await face.rows(Line.objects.order_by("pk").values_list("total", flat=True)) == totals
    assert await face(Line.objects.filter(total__gt=Decimal("0.29999")).count)() == 2
    assert await face(Line.objects.filter(total=Decimal("0.300001")).count)() == 0
    with pytest.raises(dorm.IntegrityError):
        await face(Line.objects.create)(price=1, rate=1, cents=Decimal("1000.01"), number=1)
    await face(Line.objects.create)(price=1, rate=1, cents=1000, number=1)
    if backend == "sqlite":
        text = "SELECT sql FROM sqlite_master WHERE name = 'exact_decimals_line'"
        (row,) = dorm.connection_for().execute(text)
        assert "dorm_" not in row[0], "other tools can write the table"
