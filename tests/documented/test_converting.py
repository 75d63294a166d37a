"""The page "Database functions": comparison and conversion functions over every kind of field, and their misuse."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import dorm
from dorm import (
    Avg,
    Count,
    Exists,
    F,
    FieldError,
    ImproperlyConfigured,
    Max,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    functions as fn,
)
from dorm.functions import Cast, Coalesce, Collate, Greatest, Least, NullIf
from tests.documented.samples import Sample, column, fill
from tests.support.faces import Face


class Owner(dorm.Model):
    name = dorm.CharField(max_length=20, primary_key=True)

    class Meta:
        app_label = "doc_converting"


MODELS = (Sample, Owner)


# -- Cast ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [dorm.AutoField, dorm.BigAutoField, dorm.SmallAutoField])
async def test_cast_to_automatic_keys(face: Face, field: Any) -> None:
    await fill(face)
    assert await column(face, Cast("i", field())) == [7, None, -3]
    assert await column(face, Cast("i", field(primary_key=True))) == [7, None, -3]
    assert await column(face, Cast(Value("12"), field())) == [12, 12, 12]
    cast = Sample.objects.annotate(x=Cast("i", field()))
    assert [row.i for row in await face.rows(cast.filter(x="7"))] == [7]
    assert [row.i for row in await face.rows(cast.filter(x__lt=0))] == [-3]


def test_a_model_declares_its_automatic_key_as_the_key() -> None:
    for field in (dorm.AutoField, dorm.BigAutoField, dorm.SmallAutoField):
        with pytest.raises(ImproperlyConfigured, match=r"Counted\.number: .*AutoField must set primary_key=True"):
            type("Counted", (dorm.Model,), {"number": field(), "__module__": __name__,
                 "Meta": type("Meta", (), {"app_label": "doc_converting"})})  # fmt: skip


async def test_cast_to_relations(face: Face) -> None:
    await fill(face)
    for field in (dorm.ForeignKey(Sample, dorm.CASCADE), dorm.OneToOneField(Sample, dorm.CASCADE)):
        assert await column(face, Cast("i", field)) == [7, None, -3]
        assert [row.i for row in await face.rows(Sample.objects.annotate(x=Cast("i", field)).filter(x=7))] == [7]
    # The type is that of the other model's key.
    assert await column(face, Cast("i", dorm.ForeignKey(Owner, dorm.CASCADE))) == ["7", None, "-3"]
    # The field belongs to no model: nothing leads back.
    assert not any(field.is_relation for field in Owner._meta.get_fields())
    with pytest.raises(ImproperlyConfigured, match="which is no model yet"):
        await column(face, Cast("i", dorm.ForeignKey("doc_converting.Owner", dorm.CASCADE)))


async def test_cast_to_booleans(face: Face) -> None:
    await fill(face)
    for name, wanted in (("i", [True, None, True]), ("bi", [True, None, False]), ("f", [True, None, True]),
                         ("d", [True, None, True]), ("b", [True, None, False])):  # fmt: skip
        assert await column(face, Cast(name, dorm.BooleanField())) == wanted, name
    for given, wanted in ((0, False), (1, True), (3, True), (0.0, False), (0.5, True), (True, True)):
        assert await column(face, Cast(Value(given), dorm.BooleanField())) == [wanted] * 3


async def test_cast_to_numbers(face: Face) -> None:
    await fill(face)
    for field in (dorm.IntegerField, dorm.BigIntegerField, dorm.SmallIntegerField, dorm.PositiveIntegerField):
        assert await column(face, Cast("b", field() if field is dorm.IntegerField else dorm.IntegerField())) == [
            1,
            None,
            0,
        ]
        assert await column(face, Cast(Value(" 12 "), field())) == [12] * 3
    assert await column(face, Cast("b", dorm.IntegerField())) == [1, None, 0]
    assert await column(face, Cast("i", dorm.DecimalField(max_digits=5, decimal_places=2))) == [
        Decimal("7.00"), None, Decimal("-3.00"),
    ]  # fmt: skip
    assert await column(face, Cast("d", dorm.DecimalField(max_digits=10, decimal_places=1))) == [
        Decimal("3.3"), None, Decimal("-0.5"),
    ]  # fmt: skip
    assert await column(face, Cast("f", dorm.DecimalField(max_digits=4, decimal_places=0))) == [3, None, -2]
    assert await column(face, Cast(Value("1e3"), dorm.FloatField())) == [1000.0] * 3
    assert await column(face, Cast("i", dorm.FloatField()) / 2) == [3.5, None, -1.5]
    assert await column(face, Cast(Count("pk"), dorm.FloatField()) / 2) == [0.5] * 3
    assert await column(face, Cast(Cast("i", dorm.CharField()), dorm.IntegerField())) == [7, None, -3]
    assert await column(face, Cast(Exists(Sample.objects.filter(pk=OuterRef("pk"), i=7)), dorm.IntegerField())) == [
        1,
        0,
        0,
    ]


async def test_cast_to_text(face: Face) -> None:
    await fill(face)
    for name, wanted in (
        ("i", "7"), ("f", "2.5"), ("d", "3.250"), ("da", "2024-02-29"), ("ti", "13:45:30.123456"),
        ("u", "00000000-0000-0000-0000-000000000005"), ("s", "Hello"),
    ):  # fmt: skip
        for field in (dorm.CharField(), dorm.TextField(), dorm.CharField(max_length=50)):
            assert (await column(face, Cast(name, field)))[:2] == [wanted, None], name
    assert await column(face, Cast("s", dorm.CharField(max_length=3))) == ["Hel", None, ""]
    assert await column(face, Cast(Value("ünï€"), dorm.CharField(max_length=2))) == ["ün"] * 3
    starting = Sample.objects.annotate(x=Cast("i", dorm.CharField())).filter(x__startswith="-")
    assert [row.i for row in await face.rows(starting)] == [-3]
    ordered = Sample.objects.order_by(Cast("i", dorm.CharField()).desc(nulls_last=True))
    assert [row.i for row in await face.rows(ordered)] == [7, -3, None]


async def test_cast_to_dates_and_times(face: Face) -> None:
    await fill(face)
    moment, day = datetime.datetime(2024, 12, 30, 23, 45, 30, 654321), datetime.date(2024, 2, 29)
    assert (await column(face, Cast("dtm", dorm.DateTimeField())))[0] == moment
    assert (await column(face, Cast("dtm", dorm.TimeField())))[0] == moment.time()
    assert (await column(face, Cast("ti", dorm.TimeField())))[0] == datetime.time(13, 45, 30, 123456)
    assert (await column(face, Cast("da", dorm.DateTimeField())))[0] == datetime.datetime(2024, 2, 29)
    dated = Sample.objects.annotate(x=Cast("dtm", dorm.DateField()), y=Cast("da", dorm.DateTimeField()))
    for given in (moment.date(), moment, "2024-12-30"):
        assert [row.i for row in await face.rows(dated.filter(x=given))] == [7]
    assert [row.i for row in await face.rows(dated.filter(x__year=2024, y__hour=0, y__date=day))] == [7]
    assert await face(Sample.objects.filter(i=7).update)(da=Cast("dtm", dorm.DateField())) == 1
    assert (await face(Sample.objects.get)(i=7)).da == moment.date()


def test_cast_to_what_is_no_type() -> None:
    for wrong, message in (
        (dorm.CharField, r"write CharField\(\)"),
        (5, "takes a field or the name of a type, not int"),
        ([], "not list"),
    ):
        with pytest.raises(TypeError, match=message):
            Cast("i", wrong)
    with pytest.raises(ValueError, match="knows no type 'nonsense'"):
        Cast("i", "nonsense")
    with pytest.raises(TypeError):
        Cast("i")  # type: ignore[call-arg]  # that is what is tried
    with pytest.raises(TypeError, match="ManyToManyField has no column"):
        Cast("i", dorm.ManyToManyField(Owner))


# -- Coalesce, Greatest, Least, NullIf -------------------------------------------------------------------------------


async def test_coalesce(face: Face) -> None:
    await fill(face)
    assert await column(face, Coalesce("s", Value("a"), Value("b"))) == ["Hello", "a", ""]
    assert await column(face, Coalesce("i", F("i") + 1, 5)) == [7, 5, -3]
    assert await column(face, Coalesce(None, "i")) == await column(face, Coalesce("i", None)) == [7, None, -3]
    assert await column(face, Coalesce("da", "dtm", output_field=dorm.DateTimeField())) == [
        datetime.datetime(2024, 2, 29), None, datetime.datetime(2023, 1, 1),
    ]  # fmt: skip
    assert await column(face, Coalesce("js", Value([1], dorm.JSONField()))) == [
        {"a": [1, {"b": None}], "s": "x"}, [1], [],
    ]  # fmt: skip
    inner = Subquery(Sample.objects.filter(pk=OuterRef("pk"), i__gt=0).values("s"))
    assert await column(face, Coalesce(inner, Value("none"))) == ["Hello", "none", "none"]
    assert sorted(await column(face, Coalesce(Sum("i"), 0))) == [-3, 0, 7]
    found = await face(Sample.objects.none().aggregate)(x=Coalesce(Sum("i"), 7), y=Coalesce(Avg("i"), Value(1.5)))
    assert found == {"x": 7, "y": 1.5}
    assert await face(Sample.objects.aggregate)(x=Coalesce(Max("s"), Value(""))) == {"x": "Hello"}
    for mixed in (Coalesce("da", "dtm"), Coalesce("i", "s"), Coalesce("i", "d"), Coalesce("js", Value("x"))):
        with pytest.raises(FieldError, match="mixed types"):
            Sample.objects.annotate(x=mixed)


async def test_greatest_and_least_of_every_kind(face: Face) -> None:
    await fill(face)
    rows = Sample.objects.filter(i=7)
    for name, other, larger in (
        ("d", Decimal("3.1"), False),
        ("f", 2.75, True),
        ("s", "Z", True),
        ("b", True, False),
        ("da", datetime.date(2025, 1, 1), True),
        ("ti", datetime.time(12), False),
        ("dtm", datetime.datetime(2024, 12, 31), True),
        ("du", datetime.timedelta(1), False),
        ("u", UUID(int=3), False),
    ):
        (own,) = await face.rows(rows.values_list(name, flat=True))
        found = await face.rows(rows.values_list(Greatest(name, Value(other)), Least(name, Value(other))))
        assert found == [(other, own) if larger else (own, other)], name
    assert await face.rows(rows.values_list(Greatest("i", 1, 30), Least("i", 1, 30))) == [(30, 1)]
    assert await face.rows(rows.values_list(Greatest(F("i") + 1, F("i") * 2))) == [(14,)]
    # A row counts once.
    assert await face.rows(rows.values_list(Greatest("i", "i"), Least("i", "i"))) == [(7, 7)]
    assert await face(Sample.objects.filter(dtm__gte=Least("dtm", Value(datetime.datetime(2021, 1, 1)))).count)() == 2
    by_size = Sample.objects.filter(i__isnull=False).order_by(Greatest("i", Value(0)).desc())
    assert [row.i for row in await face.rows(by_size)] == [7, -3]
    for mixed in (Greatest("da", "dtm"), Least("i", "d"), Greatest("s", "t")):
        with pytest.raises(FieldError, match="mixed types"):
            Sample.objects.annotate(x=mixed)


async def test_nullif(face: Face) -> None:
    await fill(face)
    assert await column(face, NullIf("s", Value(""))) == ["Hello", None, None]
    assert await column(face, NullIf("i", "i")) == [None, None, None]
    assert await column(face, NullIf("d", Value(Decimal("3.25")))) == [None, None, Decimal("-0.500")]
    assert await column(face, NullIf("b", False)) == [True, None, None]
    assert await column(face, NullIf("da", Value(datetime.date(2023, 1, 1)))) == [
        datetime.date(2024, 2, 29),
        None,
        None,
    ]
    assert await column(face, NullIf(fn.Lower("s"), Value("hello"))) == [None, None, ""]
    assert await column(face, 21 / NullIf(F("i") + 3, 0)) == [2, None, None]
    assert await column(face, NullIf("d", 0, output_field=dorm.DecimalField(max_digits=10, decimal_places=3))) == [
        Decimal("3.250"), None, Decimal("-0.500"),
    ]  # fmt: skip
    for mixed in (NullIf("d", 0), NullIf("i", "s"), NullIf("i", "bi"), NullIf("da", "dtm")):
        with pytest.raises(FieldError, match="mixed types"):
            Sample.objects.annotate(x=mixed)


# -- Collate ---------------------------------------------------------------------------------------------------------


async def test_collate(face: Face, backend: str) -> None:
    await fill(face)
    name = "C" if backend == "postgresql" else "binary"
    assert Collate("s", name).collation == name
    assert await column(face, Collate("s", name)) == ["Hello", None, ""]
    await face(Sample.objects.bulk_create)([Sample(s=text) for text in ("b", "A", "a")])
    ordered = Sample.objects.filter(s__gt="").order_by(Collate("s", name).desc()).values_list("s", flat=True)
    assert await face.rows(ordered) == ["b", "a", "Hello", "A"]
    assert await face(Sample.objects.filter(s=Collate(Value("Hello"), name)).count)() == 1
    assert await face(Sample.objects.annotate(x=Collate(fn.Lower("s"), name)).filter(x="hello").count)() == 1
    if backend == "sqlite":
        assert await face(Sample.objects.filter(s=Collate(Value("HELLO"), "nocase")).count)() == 1
    for wrong in ("a b", "a;b", 'a"b', "", None, 5):
        with pytest.raises(ValueError, match="Invalid collation name"):
            Collate("s", wrong)
    assert await face(Sample.objects.filter(Q(i=7) & Q(s=Collate(Value("Hello"), name))).count)() == 1
