"""The pages "How to write custom lookups", "Lookup API" and "How to create custom model fields"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import F, Lookup, Subquery, Transform, Value
from dorm.functions import Length, Lower
from dorm.lookups import Exact, GreaterThan
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
    for lookup, value, wanted in (
        ("", F("name"), 3),
        ("", Lower("name"), 3),
        ("", Value("roe"), 1),
        ("__gt", F("name"), 0),
        ("__contains", "o", 3),
        ("__startswith", F("name"), 3),
        ("__in", ["roe", F("name")], 3),
        ("__in", ["roe"], 1),
        ("__range", ("a", "f"), 2),
        ("__range", ("a", F("name")), 3),
        ("__ne", F("name"), 0),
        ("__ne", "roe", 2),
        ("", Subquery(Measure.objects.filter(change=30).values("name")), 1),
    ):
        found = Measure.objects.filter(**{f"name__upper_both{lookup}": value})
        assert await face(found.count)() == wanted, (lookup, value)
    with pytest.raises(NotImplementedError, match="Bilateral"):
        Measure.objects.filter(name__upper_both__in=Measure.objects.values("name"))


async def test_where_lookups_are_registered(face: Face) -> None:
    await fill(face)
    field = Measure._meta.get_field("change")

    class Below(Lookup):
        lookup_name = "lt"

        def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
            lhs, lhs_params = compiler.compile(self.lhs.lhs)
            rhs, rhs_params = self.process_rhs(compiler, connection)
            return f"{lhs} < {rhs} AND {lhs} > -{rhs}", [*lhs_params, *rhs_params] * 2

    class Never(Exact):
        lookup_name = "exact"

        def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
            return "1 = 0", []

    AbsoluteValue.register_lookup(Below)
    try:
        assert await face(Measure.objects.filter(change__abs__lt=27).count)() == 1
        assert await face(Measure.objects.filter(change__abs__lt=28).count)() == 2
        assert await face(Measure.objects.filter(change__lt=28).count)() == 2
    finally:
        AbsoluteValue._unregister_lookup(Below)
    field.register_lookup(Never)
    try:
        assert field.get_lookup("exact") is Never
        assert dorm.IntegerField().get_lookup("exact") is Exact
        assert await face(Measure.objects.filter(change=10).count)() == 0
    finally:
        field._unregister_lookup(Never)
    assert await face(Measure.objects.filter(change=10).count)() == 1
    assert "ne" in dorm.EmailField.get_lookups()
    assert field.get_transform("abs") is AbsoluteValue
    assert field.get_transform("ne") is None
    with pytest.raises(KeyError):
        dorm.Field._unregister_lookup(Below)


async def test_what_differs_by_the_database(face: Face, backend: str) -> None:
    await fill(face)

    class Shout(Transform):
        lookup_name = "shout"
        function = "UPPER"

        def as_sqlite(self, compiler: Any, connection: Any, **options: Any) -> Any:
            return super().as_sql(compiler, connection, function="LOWER", **options)

    class Other(NotEqual):
        lookup_name = "other"

        def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
            text, params = self.as_sql(compiler, connection)
            return text.replace("<>", "="), params

    dorm.CharField.register_lookup(Shout)
    dorm.CharField.register_lookup(Other)
    try:
        assert await face(Measure.objects.filter(name__shout="ROE").count)() == (backend == "postgresql")
        assert await face(Measure.objects.filter(name__other="Roe").count)() == (1 if backend == "postgresql" else 2)
    finally:
        dorm.CharField._unregister_lookup(Shout)
        dorm.CharField._unregister_lookup(Other)


async def test_lookups_as_expressions(face: Face) -> None:
    await fill(face)
    assert await face(Measure.objects.filter(NotEqual(F("name"), "Doe")).count)() == 2
    assert await face(Measure.objects.filter(Exact(F("name"), "Doe") | GreaterThan(F("change"), 20)).count)() == 2
    rows = Measure.objects.annotate(large=GreaterThan(F("change"), 20)).order_by("change")
    assert [bool(found) for found in await face.rows(rows.values_list("large", flat=True))] == [False, False, True]
    assert NotEqual(F("name"), "x") == NotEqual(F("name"), "x")
    assert len({NotEqual(F("name"), "x"), NotEqual(F("name"), "x")}) == 1


async def test_lookups_over_transforms(face: Face) -> None:
    await fill(face)
    assert await face.rows(Measure.objects.annotate(size=F("change__abs")).order_by("size").values_list("size")) == [
        (10,),
        (27,),
        (30,),
    ]
    assert await face.rows(Measure.objects.order_by("-change__abs").values_list("change__abs", flat=True)) == [
        30,
        27,
        10,
    ]
    assert await face(Measure.objects.aggregate)(n=dorm.Sum("change__abs")) == {"n": 67}
    assert await face(Measure.objects.filter(change=F("change__abs")).count)() == 2
    assert await face(Measure.objects.filter(name__length__abs=3).count)() == 3
    assert await face(Measure.objects.exclude(change__abs__in=[27, 10]).count)() == 1
    with pytest.raises(dorm.FieldError, match="nothing"):
        Measure.objects.filter(change__abs__nothing=1)


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
