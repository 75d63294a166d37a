"""Decimals of more digits than a float or a 64-bit integer holds, computed with by the database."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import Avg, Case, F, Max, Q, Sum, Value, When, Window
from dorm.functions import Abs, Cast, Ceil, Coalesce, Floor, Greatest, Mod, Round, Sign
from dorm.migrations.schema import create_tables
from tests.support.faces import Face

LONG = Decimal("123456789012345678.1234567891")
"""28 digits, as many as Python's own arithmetic keeps."""


class Account(dorm.Model):
    name = dorm.CharField(max_length=10)
    big = dorm.DecimalField(max_digits=30, decimal_places=10)
    other = dorm.DecimalField(max_digits=25, decimal_places=2, null=True)
    rate = dorm.DecimalField(max_digits=8, decimal_places=3, default=Decimal(2))
    times = dorm.IntegerField(default=3)

    class Meta:
        app_label = "long_decimals"


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables([Account])


async def value_of(face: Face, expression: Any) -> Any:
    return (await face(Account.objects.annotate(value=expression).get)(name="a")).value


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        (F("big") + 1, LONG + 1),
        (1 + F("big"), LONG + 1),
        (F("big") - Decimal("0.0000000001"), LONG - Decimal("0.0000000001")),
        (-F("big"), -LONG),
        (F("big") * 2, LONG * 2),
        (F("big") + F("rate"), LONG + 2),
        (F("times") * F("big"), LONG * 3),
        ((F("big") + 1) * 2, LONG * 2 + 2),
        (F("big") % 7, LONG % 7),
        (F("big") + F("other"), None),
    ],
)
async def test_operations_keep_every_digit(face: Face, expression: Any, wanted: Decimal | None) -> None:
    await face(Account.objects.create)(name="a", big=LONG)
    assert await value_of(face, expression) == wanted


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        (Coalesce("other", "big"), LONG),
        (Greatest("rate", F("big") + 1), LONG + 1),
        (Case(When(times=3, then=F("big") + 1), default=F("rate")), LONG + 1),
        (Cast("big", dorm.DecimalField(max_digits=30, decimal_places=2)), Decimal("123456789012345678.12")),
        (Cast("rate", dorm.DecimalField(max_digits=30, decimal_places=2)), Decimal("2.00")),
        (Cast(Value("12345678901234567890.125"), dorm.DecimalField(max_digits=30, decimal_places=3)),
         Decimal("12345678901234567890.125")),
    ],
)  # fmt: skip
async def test_choices_and_casts_keep_every_digit(face: Face, expression: Any, wanted: Decimal) -> None:
    await face(Account.objects.create)(name="a", big=LONG)
    found = await value_of(face, expression)
    assert (found, str(found).endswith(str(wanted)[-3:])) == (wanted, True)


async def test_quotients_have_more_digits_than_a_float(face: Face) -> None:
    await face(Account.objects.create)(name="a", big=LONG)
    assert abs(await value_of(face, F("big") / 3) - LONG / 3) < Decimal("1e-8")


async def test_what_is_written_fits_the_column(face: Face) -> None:
    made = await face(Account.objects.create)(name="a", big=LONG)
    await face(Account.objects.update)(big=F("big") + 1)
    await face(made.refresh_from_db)()
    assert made.big == LONG + 1
    await face(Account.objects.update)(other=F("big"), rate=F("rate") + F("times"))
    await face(made.refresh_from_db)()
    assert (str(made.other), made.rate) == ("123456789012345679.12", Decimal(5))
    await face(Account.objects.update)(big=F("rate") / 3)
    await face(made.refresh_from_db)()
    assert str(made.big) == "1.6666666667"


async def test_comparisons_and_orders_are_exact(face: Face) -> None:
    tiny = Decimal("0.0000000001")
    for name, value in (("a", LONG), ("b", Decimal(9)), ("c", Decimal(10))):
        await face(Account.objects.create)(name=name, big=value)
    for condition, count in (
        (Q(big__gt=F("big") - tiny), 3),
        (Q(big__gt=F("big") + tiny), 0),
        (Q(big=F("big") + 0), 3),
        (Q(big__gt=F("rate")), 3),
        (Q(rate__lt=F("big") * 2), 3),
        (Q(big__lte=F("times") * 3), 1),
    ):
        assert await face(Account.objects.filter(condition).count)() == count
    doubled = Account.objects.annotate(double=F("big") * 2)
    assert await face.rows(doubled.order_by("-double").values_list("name", flat=True)) == ["a", "c", "b"]
    assert await face(doubled.filter(double__gt=18).count)() == 2
    assert await face(doubled.filter(double__range=(18, 20)).count)() == 2
    assert await face(doubled.filter(double__in=[20, LONG * 2]).count)() == 2
    summed = Account.objects.values("name").annotate(total=Sum("big"), most=Max("big")).order_by("name")
    assert await face.rows(summed.filter(total__gt=9.5).values_list("name", flat=True)) == ["a", "c"]
    assert await face.rows(summed.filter(most__lt=10).values_list("name", flat=True)) == ["b"]


async def test_sums_and_means(face: Face) -> None:
    for value, rate in ((LONG, 1), (Decimal(2), 1), (Decimal(2), 4)):
        await face(Account.objects.create)(name="a", big=value, rate=rate)
    found = await face(Account.objects.aggregate)(
        total=Sum("big"), double=Sum(F("big") * 2), each=Sum("big", distinct=True), mean=Avg("big"), rates=Avg("rate"),
        rate=Avg("rate", distinct=True), once=Avg("big", distinct=True),
    )  # fmt: skip
    assert (found["total"], found["double"], found["each"]) == (LONG + 4, LONG * 2 + 8, LONG + 2)
    # SQLite gives the float that is nearest to the mean.
    assert float(found["mean"]) == float((LONG + 4) / 3)
    assert float(found["once"]) == float((LONG + 2) / 2)
    assert (float(found["rates"]), float(found["rate"])) == (2.0, 2.5)
    assert all(isinstance(value, Decimal) for value in found.values())


@pytest.mark.parametrize("sign", [1, -1])
async def test_functions_keep_every_digit(face: Face, sign: int) -> None:
    value = LONG * sign
    await face(Account.objects.create)(name="a", big=value, other=value)
    whole = Decimal("123456789012345678")
    for expression, wanted in (
        (Abs("big"), LONG),
        (Round("big", 3), sign * Decimal("123456789012345678.123")),
        (Round("big"), sign * whole),
        (Ceil("big"), whole + 1 if sign > 0 else -whole),
        (Floor("big"), whole if sign > 0 else -whole - 1),
        (Sign("big"), sign),
        (Mod("big", 7), value % 7),
        (Mod("big", Decimal("0.01")), value % Decimal("0.01")),
        (Abs(F("big") * 2), LONG * 2),
    ):
        assert await value_of(face, expression) == wanted
    assert await face(Account.objects.annotate(size=Abs("big")).filter(size=LONG).count)() == 1
    assert await face(Account.objects.annotate(size=Abs("big")).filter(size__gt=LONG).count)() == 0
    assert (await face(Account.objects.aggregate)(total=Sum(Abs("big"))))["total"] == LONG


class Wide(dorm.Model):
    """Numbers that fit a 64-bit integer, though not a float."""

    value = dorm.DecimalField(max_digits=18, decimal_places=2)

    class Meta:
        app_label = "long_decimals"


async def test_eighteen_digits_are_exact(face: Face) -> None:
    create_tables([Wide])
    wide = Decimal("1234567890123456.78")
    await face(Wide.objects.create)(value=wide)
    for expression, wanted in (
        (F("value") + Decimal("0.01"), wide + Decimal("0.01")),
        (F("value") * 3, wide * 3),
        (-F("value"), -wide),
        (Abs(-F("value")), wide),
        (Floor("value"), Decimal(1234567890123456)),
        (Round("value", 1), Decimal("1234567890123456.8")),
    ):
        assert (await face(Wide.objects.annotate(found=expression).get)()).found == wanted
    await face(Wide.objects.update)(value=F("value") + Decimal("0.01"))
    assert (await face(Wide.objects.get)()).value == wide + Decimal("0.01")


@pytest.mark.parametrize("field", ["rate", "big"])
async def test_conditions_compare_with_digits_that_the_column_has_not(face: Face, field: str) -> None:
    for name, value in (("a", "1.5"), ("b", "-1.5")):
        await face(Account.objects.create)(name=name, rate=Decimal(value), big=Decimal(value))

    def states(lookup: str, value: Any) -> Q:
        condition: dict[str, Any] = {f"{field}__{lookup}": value}
        return Q(**condition)

    async def found(condition: Q) -> str:
        rows = Account.objects.filter(condition).order_by("name").values_list("name", flat=True)
        return "".join(await face.rows(rows))

    below, above = Decimal("1.49999999999999"), Decimal("1.50000000000001")
    for lookup, value, wanted in (
        ("exact", below, ""), ("exact", above, ""), ("exact", Decimal("1.5"), "a"), ("exact", "1.500", "a"),
        ("gt", below, "a"), ("gt", above, ""), ("gte", below, "a"), ("lt", above, "ab"), ("lte", below, "b"),
        ("lt", -below, "b"), ("gt", -above, "ab"), ("lt", 10**40, "ab"), ("gt", Decimal("-1e40"), "ab"),
        ("gt", 10**40, ""), ("in", [above, Decimal("1.5")], "a"), ("range", (below, above), "a"),
        ("range", (-(10**40), 1.49999), "b"),
    ):  # fmt: skip
        assert await found(states(lookup, value)) == wanted, (lookup, value)
    assert await found(~states("gt", below)) == "b"
    counted = Account.objects.aggregate
    assert await face(counted)(n=dorm.Count("id", filter=states("gt", below))) == {"n": 1}


async def test_a_column_of_many_digits_compares_with_more_of_them(face: Face) -> None:
    create_tables([Wide])
    wide = Decimal("1234567890123456.78")
    for value in (wide, -wide):
        await face(Wide.objects.create)(value=value)
    below, above = (
        Decimal("1234567890123456.7799999999999999999999"),
        Decimal("1234567890123456.7800000000000000000001"),
    )
    for lookup, value, wanted in (
        ("exact", above, 0), ("exact", wide, 1), ("gt", below, 1), ("gt", above, 0), ("gte", below, 1),
        ("gte", above, 0), ("lt", above, 2), ("lt", below, 1), ("lte", below, 1), ("lte", above, 2),
        ("lt", below.copy_negate(), 1), ("lt", above.copy_negate(), 0), ("gt", above.copy_negate(), 2),
        ("gt", below.copy_negate(), 1), ("gte", below.copy_negate(), 1),
        ("in", [above, wide, below], 1), ("in", [above, *[wide + number for number in range(1, 1500)]], 0),
        ("range", (below, above), 1), ("range", (above.copy_negate(), below.copy_negate()), 1),
        ("range", (above, above + 1), 0),
        ("gt", Decimal("1e9999"), 0), ("lt", Decimal("1e9999"), 2), ("gt", Decimal("1e-9999"), 1),
    ):  # fmt: skip
        condition: dict[str, Any] = {f"value__{lookup}": value}
        assert await face(Wide.objects.filter(**condition).count)() == wanted, (lookup, value)
    finer = Case(When(value__gt=below, then=1), default=0)
    assert sorted(await face.rows(Wide.objects.values_list(finer, flat=True))) == [0, 1]


async def test_infinite_numbers_are_refused(face: Face) -> None:
    for value in (float("inf"), float("nan"), Decimal("Infinity"), "x"):
        with pytest.raises(dorm.ValidationError, match="takes a decimal number"):
            await face(Account.objects.filter(rate=value).count)()


async def test_sums_beyond_64_bits(face: Face) -> None:
    create_tables([Wide])
    large = Decimal("9000000000000000.01")
    await face(Wide.objects.bulk_create)([Wide(value=large) for _ in range(20)])
    assert await face(Wide.objects.aggregate)(it=Sum("value")) == {"it": large * 20}
    running = Window(Sum("value"), order_by="pk")
    rows = Wide.objects.annotate(it=running).order_by("-it").values_list("it", flat=True)
    assert (await face.rows(rows))[0] == large * 20
