"""The page "Database functions": functions registered as transforms, and what they may be used for in paths."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import (
    CharField,
    Count,
    DecimalField,
    F,
    FloatField,
    IntegerField,
    TextField,
    Transform,
    Value,
    functions as fn,
)
from tests.documented.samples import Sample, column, fill
from tests.support.faces import Face

MODELS = (Sample,)


@contextmanager
def registered(field: Any, function: Any, name: str | None = None) -> Iterator[str]:
    """Let *field* know *function*, as *name* or as it calls itself."""
    field.register_lookup(function, name)
    try:
        yield name or function.lookup_name
    finally:
        field._unregister_lookup(function, name)


OF_TEXT = [
    fn.Lower, fn.Upper, fn.Length, fn.Trim, fn.LTrim, fn.RTrim, fn.Reverse, fn.MD5, fn.SHA224, fn.SHA256,
    fn.SHA384, fn.SHA512,
]  # fmt: skip
OF_FLOATS = [
    fn.Abs, fn.ATan, fn.Ceil, fn.Cos, fn.Cot, fn.Degrees, fn.Exp, fn.Floor, fn.Radians, fn.Round, fn.Sign, fn.Sin,
    fn.Tan,
]  # fmt: skip


@pytest.mark.parametrize("function", OF_TEXT)
@pytest.mark.parametrize(("field", "name"), [(CharField, "s"), (TextField, "t")])
async def test_functions_of_text(face: Face, field: Any, name: str, function: Any) -> None:
    await fill(face)
    with registered(field, function) as transform:
        assert transform == function.__name__.lower()
        await check(face, name, transform, function(name))


@pytest.mark.parametrize("function", OF_FLOATS)
@pytest.mark.parametrize(("field", "name"), [(FloatField, "f"), (DecimalField, "d"), (IntegerField, "i")])
async def test_functions_of_numbers(face: Face, field: Any, name: str, function: Any) -> None:
    await fill(face)
    with registered(field, function) as transform:
        assert transform == function.__name__.lower()
        await check(face, name, transform, function(name))


async def check(face: Face, name: str, transform: str, function: Any) -> None:
    """In paths the transform gives and compares what the function gives."""
    wanted = await column(face, function)
    path = f"{name}__{transform}"
    assert await face.rows(Sample.objects.values_list(path, flat=True)) == wanted
    assert await column(face, F(path)) == wanted
    for value in wanted:
        if value is None:
            assert [row.i for row in await face.rows(Sample.objects.filter(**{f"{path}__isnull": True}))] == [None]
        elif isinstance(value, float):
            near = {f"{path}__gt": value - 1e-9, f"{path}__lt": value + 1e-9}
            assert await face(Sample.objects.filter(**near).count)() == 1
        else:
            assert await face(Sample.objects.filter(**{path: value}).count)() == wanted.count(value)
            assert await face(Sample.objects.filter(**{f"{path}__in": [value]}).count)() == wanted.count(value)
            assert await face(Sample.objects.exclude(**{path: value}).count)() == 3 - wanted.count(value)
    sized = sorted((value, number) for number, value in enumerate(wanted) if value is not None)
    ordered = Sample.objects.filter(i__isnull=False).order_by(path, "pk").values_list("i", flat=True)
    assert await face.rows(ordered) == [[7, None, -3][number] for _, number in sized]


async def test_functions_whose_values_must_be_in_range(face: Face) -> None:
    await fill(face)
    await face(Sample.objects.filter(i=7).update)(f=0.5)
    positive = Sample.objects.filter(f__gt=0)
    for function, compute in ((fn.ACos, math.acos), (fn.ASin, math.asin), (fn.Ln, math.log), (fn.Sqrt, math.sqrt)):
        with registered(FloatField, function) as transform:
            assert transform == function.__name__.lower()
            (found,) = await face.rows(positive.values_list(f"f__{transform}", flat=True))
            assert found == pytest.approx(compute(0.5))


async def test_characters_and_code_points(face: Face) -> None:
    await fill(face)
    with registered(CharField, fn.Ord), registered(IntegerField, fn.Chr):
        assert await face(Sample.objects.filter(s__ord=72).count)() == 1
        assert await face.rows(Sample.objects.filter(i__gt=0).values_list("i__chr", flat=True)) == ["\x07"]
        assert await face(Sample.objects.filter(i__gt=0, i__chr="\x07").count)() == 1


async def test_rounding_in_paths(face: Face) -> None:
    """`Round` brings its precision along, which a path cannot give."""
    await fill(face)
    with registered(FloatField, fn.Round), registered(DecimalField, fn.Round):
        assert [row.i for row in await face.rows(Sample.objects.filter(f__round=3))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(f__round__gte=3, i=7, d__round__lt=4))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(i=7, d__round=Decimal(3)))] == [7]
        ordered = Sample.objects.filter(i__isnull=False).order_by("d__round").values_list("d__round", "i")
        assert await face.rows(ordered) == [(Decimal(-1), -3), (Decimal(3), 7)]
        found = await face(Sample.objects.aggregate)(x=dorm.Sum("f__round"))
        assert found == {"x": 1.0}


async def test_under_another_name_and_chained(face: Face) -> None:
    await fill(face)
    with registered(CharField, fn.Length, "len"), registered(CharField, fn.Upper), registered(CharField, fn.Reverse):
        assert [row.i for row in await face.rows(Sample.objects.filter(s__len=5))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(s__len__gte=1))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(s__upper__contains="ELL"))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(s__upper__reverse="OLLEH"))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(s__upper__reverse__startswith="OL"))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(s__upper=fn.Upper(Value("hello"))))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(s__len=F("i") - 2))] == [7]
    with pytest.raises(dorm.FieldError):
        Sample.objects.filter(s__len=5)


# -- classes of ones own with values of their own --------------------------------------------------------------------


class Beginning(Transform):
    """The first two characters."""

    lookup_name = "beginning"
    function = "SUBSTR"
    arity = None

    def __init__(self, expression: Any, **extra: Any) -> None:
        super().__init__(expression, Value(1), Value(2), output_field=CharField(), **extra)


class Half(Transform):
    """Half of a number, on both sides."""

    lookup_name = "half"
    bilateral = True
    template = "(%(expressions)s)"
    arg_joiner = " / "
    arity = None

    def __init__(self, expression: Any, **extra: Any) -> None:
        super().__init__(expression, Value(2), **extra)


async def test_a_transform_with_values_of_its_own(face: Face) -> None:
    await fill(face)
    await face(Sample.objects.create)(s="Help", i=8)
    with registered(CharField, Beginning):
        assert [row.i for row in await face.rows(Sample.objects.filter(s__beginning="He"))] == [7, 8]
        assert [row.i for row in await face.rows(Sample.objects.filter(s__beginning="He", i=8, s__endswith="p"))] == [8]
        assert [row.i for row in await face.rows(Sample.objects.filter(s__beginning__in=["He", "x"], i__lt=8))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.exclude(s__beginning="He"))] == [None, -3]
        assert await column(face, F("s__beginning")) == ["He", None, "", "He"]
        grouped = Sample.objects.values("s__beginning").annotate(n=Count("pk")).filter(n=2, s__beginning="He")
        assert await face.rows(grouped) == [{"s__beginning": "He", "n": 2}]
        ordered = Sample.objects.filter(i__gt=0).order_by("s__beginning", "-pk").values_list("i", "s__beginning")
        assert await face.rows(ordered) == [(8, "He"), (7, "He")]


async def test_a_transform_of_both_sides_with_values_of_its_own(face: Face) -> None:
    await fill(face)
    with registered(IntegerField, Half):
        # 7 / 2 and 6 / 2 are 3.
        assert [row.i for row in await face.rows(Sample.objects.filter(i__half=6))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(i__half__gt=5, s="Hello"))] == [7]
        assert [row.i for row in await face.rows(Sample.objects.filter(i__half__in=[6, 1], i__lt=9))] == [7]
