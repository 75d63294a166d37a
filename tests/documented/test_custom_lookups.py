"""The pages "How to write custom lookups", "Lookup API" and "How to create custom model fields"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import Lookup, Transform
from dorm.functions import Length
from tests.support.faces import Face


class NotEqual(Lookup):
    lookup_name = "ne"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        lhs, lhs_params = self.process_lhs(compiler, connection)
        rhs, rhs_params = self.process_rhs(compiler, connection)
        return f"{lhs} <> {rhs}", [*lhs_params, *rhs_params]


class AbsoluteValue(Transform):
    lookup_name = "abs"
    function = "ABS"


class UpperCase(Transform):
    lookup_name = "upper_both"
    function = "UPPER"
    bilateral = True


class Hand:
    """A bridge hand, as the page on custom fields has it."""

    def __init__(self, north: str, south: str) -> None:
        self.north, self.south = north, south

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hand) and (self.north, self.south) == (other.north, other.south)

    def __hash__(self) -> int:
        return hash((self.north, self.south))


class HandField(dorm.Field):
    description = "A hand of cards"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = 104
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_length"]
        return name, path, args, kwargs

    def db_type(self, connection: Any) -> str:
        return "varchar(104)"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else Hand(*value.split("|"))

    def to_python(self, value: Any) -> Any:
        if isinstance(value, Hand) or value is None:
            return value
        return Hand(*value.split("|"))

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else f"{value.north}|{value.south}"


class Measure(dorm.Model):
    change = dorm.IntegerField()
    name = dorm.CharField(max_length=20, default="")
    hand = HandField(null=True)

    class Meta:
        app_label = "doc_lookups"


MODELS = (Measure,)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    dorm.Field.register_lookup(NotEqual)
    dorm.IntegerField.register_lookup(AbsoluteValue)
    dorm.CharField.register_lookup(UpperCase)
    dorm.CharField.register_lookup(Length)
    yield
    dorm.Field._unregister_lookup(NotEqual)
    dorm.IntegerField._unregister_lookup(AbsoluteValue)
    dorm.CharField._unregister_lookup(UpperCase)
    dorm.CharField._unregister_lookup(Length)


async def fill(face: Face) -> None:
    for change, name in ((-27, "Doe"), (10, "doe"), (30, "Roe")):
        await face(Measure.objects.create)(change=change, name=name)


async def test_custom_lookup(face: Face) -> None:
    await fill(face)
    rows = await face.rows(Measure.objects.filter(name__ne="Doe").order_by("change"))
    assert [m.change for m in rows] == [10, 30]
    assert await face(Measure.objects.exclude(change__ne=10).count)() == 1


async def test_custom_transform(face: Face) -> None:
    await fill(face)
    assert await face(Measure.objects.filter(change__abs=27).count)() == 1
    assert await face(Measure.objects.filter(change__abs__lt=27).count)() == 1
    assert await face(Measure.objects.filter(change__abs__ne=27).count)() == 2
    assert await face.rows(Measure.objects.order_by("change__abs").values_list("change", flat=True)) == [10, -27, 30]
    assert await face(Measure.objects.filter(name__length__gt=3).count)() == 0
    assert await face(Measure.objects.filter(name__length=3).count)() == 3
    with pytest.raises(dorm.FieldError):
        Measure.objects.filter(name__abs=3)


async def test_bilateral_transform(face: Face) -> None:
    await fill(face)
    assert await face(Measure.objects.filter(name__upper_both="dOE").count)() == 2


async def test_custom_field(face: Face) -> None:
    hand = Hand("AK", "QJ")
    made = await face(Measure.objects.create)(change=1, hand=hand)
    assert (await face(Measure.objects.get)(pk=made.pk)).hand == hand
    assert await face(Measure.objects.filter(hand=hand).count)() == 1
    assert await face(Measure.objects.filter(hand__in=[hand]).count)() == 1
    assert await face.rows(Measure.objects.values_list("hand", flat=True)) == [hand]
    await face(Measure.objects.update)(hand=Hand("2", "3"))
    assert (await face(Measure.objects.get)()).hand == Hand("2", "3")
    await face(Measure.objects.bulk_create)([Measure(change=2, hand=hand), Measure(change=3)])
    assert await face(Measure.objects.filter(hand__isnull=True).count)() == 1
    assert Measure._meta.get_field("hand").deconstruct()[3] == {"null": True}
