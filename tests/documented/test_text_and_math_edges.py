"""The page "Database functions": letters of every kind, numbers at the ends, what has no answer."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import DatabaseError, F, FieldError, FloatField, IntegerField, Value, functions as fn
from tests.documented.samples import MODELS as MODELS, Sample, fill
from tests.support.faces import Face

SMILE, TEXT = "\U0001f600", "Ünï €\U0001f600"
TEXTS: list[tuple[Any, Any]] = [
    (fn.Length(Value(TEXT)), 6),
    (fn.Length(Value("e\u0301")), 2),
    (fn.Lower(Value("ÄÖΩ")), "äöω"),
    (fn.Upper(Value("äöω")), "ÄÖΩ"),
    (fn.Left(Value(TEXT), 3), "Ünï"),
    (fn.Right(Value(TEXT), 2), f"€{SMILE}"),
    (fn.Left(Value(TEXT), 100), TEXT),
    (fn.Substr(Value(TEXT), 2, 3), "nï "),
    (fn.Substr(Value(TEXT), 6), SMILE),
    (fn.Substr(Value(TEXT), 7), ""),
    (fn.Substr(Value(TEXT), 2, 100), TEXT[1:]),
    (fn.LPad(Value("a"), 4, Value(f"é{SMILE}")), f"é{SMILE}éa"),
    (fn.RPad(Value("a"), 4, Value(f"é{SMILE}")), f"aé{SMILE}é"),
    (fn.LPad(Value(TEXT), 2, Value("x")), "Ün"),
    (fn.Repeat(Value(SMILE), 3), SMILE * 3),
    (fn.Repeat(Value("a"), Value(-1)), ""),
    (fn.Replace(Value(TEXT), Value("€"), Value("Euro")), TEXT.replace("€", "Euro")),
    (fn.Replace(Value("aaa"), Value("aa"), Value("b")), "ba"),
    (fn.Reverse(Value(TEXT)), TEXT[::-1]),
    (fn.Reverse(fn.Reverse(Value(TEXT))), TEXT),
    (fn.StrIndex(Value(TEXT), Value(SMILE)), 6),
    (fn.StrIndex(Value(TEXT), Value("ï €")), 3),
    (fn.StrIndex(Value("abcabc"), Value("c")), 3),
    (fn.StrIndex(Value(""), Value("x")), 0),
    (fn.Ord(Value(f"{SMILE}x")), 0x1F600),
    (fn.Chr(Value(0x1F600)), SMILE),
    (fn.Concat(Value("a"), Value(SMILE), Value("")), f"a{SMILE}"),
    (fn.Trim(Value("  a b  ")), "a b"),
    # Only spaces are taken off.
    (fn.Trim(Value("\n x \t")), "\n x \t"),
    (fn.LTrim(Value("\u00a0x ")), "\u00a0x "),
    (fn.RTrim(Value(" x\t")), " x\t"),
    (fn.MD5(Value(TEXT)), hashlib.md5(TEXT.encode()).hexdigest()),
    (fn.MD5(Value("")), hashlib.md5(b"").hexdigest()),
    (fn.SHA224(Value(TEXT)), hashlib.sha224(TEXT.encode()).hexdigest()),
    (fn.SHA256(Value(TEXT)), hashlib.sha256(TEXT.encode()).hexdigest()),
    (fn.SHA384(Value("")), hashlib.sha384(b"").hexdigest()),
    (fn.SHA512(Value(TEXT)), hashlib.sha512(TEXT.encode()).hexdigest()),
]
NUMBERS: list[tuple[Any, Any]] = [
    (fn.Abs(Value(-(2**62))), 2**62),
    (fn.Abs(Value(-0.5)), 0.5),
    (fn.Ceil(Value(1.1)), 2.0),
    (fn.Ceil(Value(-1.1)), -1.0),
    (fn.Floor(Value(-1.1)), -2.0),
    (fn.Floor(Value(Decimal("2.9"))), Decimal(2)),
    (fn.Round(Value(Decimal("2.5"))), Decimal(3)),
    (fn.Round(Value(Decimal("-2.5"))), Decimal(-3)),
    (fn.Round(Value(Decimal("1.25")), 1), Decimal("1.3")),
    (fn.Round(Value(1e15), 2), 1e15),
    (fn.Sign(Value(-(2**62))), -1),
    (fn.Sign(Value(0)), 0),
    (fn.Sign(Value(Decimal("0.01"))), Decimal(1)),
    (fn.Mod(Value(7), Value(-4)), 3.0),
    (fn.Mod(Value(-7), Value(4)), -3.0),
    (fn.Mod(Value(7.5), Value(2.0)), 1.5),
    (fn.Power(Value(2), Value(0.5)), math.sqrt(2)),
    (fn.Power(Value(2), Value(-1)), 0.5),
    (fn.Power(Value(0), Value(0)), 1.0),
    (fn.Power(Value(10.0), Value(300)), 1e300),
    (fn.Sqrt(Value(0)), 0.0),
    (fn.Sqrt(Value(Decimal("2.25"))), Decimal("1.5")),
    (fn.Exp(Value(0)), 1.0),
    (fn.Exp(Value(-5)), math.exp(-5)),
    (fn.Ln(Value(1)), 0.0),
    (fn.Log(Value(10), Value(1000)), 3.0),
    (fn.Log(Value(2), Value(0.125)), -3.0),
    (fn.Degrees(fn.Pi()), 180.0),
    (fn.Radians(Value(180)), math.pi),
    (fn.Sin(Value(0)), 0.0),
    (fn.Cos(fn.Pi()), -1.0),
    (fn.Tan(Value(0)), 0.0),
    (fn.Cot(Value(1)), 1 / math.tan(1)),
    (fn.ASin(Value(1)), math.pi / 2),
    (fn.ACos(Value(-1)), math.pi),
    (fn.ATan(Value(1e9)), math.atan(1e9)),
    (fn.ATan2(Value(0), Value(-1)), math.pi),
    (fn.ATan2(Value(1), Value(0)), math.pi / 2),
]


async def test_values(face: Face) -> None:
    await face(Sample.objects.create)()
    for expression, wanted in TEXTS:
        assert (await face(Sample.objects.annotate(x=expression).get)()).x == wanted, expression
    for expression, wanted in NUMBERS:
        found = (await face(Sample.objects.annotate(x=expression).get)()).x
        assert found == (pytest.approx(wanted) if isinstance(wanted, float) else wanted), expression
        assert type(found) is type(wanted), expression


async def test_of_nothing(face: Face) -> None:
    await fill(face)
    none = Sample.objects.filter(i__isnull=True)
    nothing = Value(None, output_field=FloatField())
    for function in (fn.Abs, fn.ACos, fn.ASin, fn.ATan, fn.Ceil, fn.Cos, fn.Cot, fn.Degrees, fn.Exp, fn.Floor, fn.Ln,
                     fn.Radians, fn.Round, fn.Sign, fn.Sin, fn.Sqrt, fn.Tan):  # fmt: skip
        assert await face.rows(none.values_list(function("f"), function("d"), function(nothing))) == [(None,) * 3]
    for function in (fn.ATan2, fn.Log, fn.Mod, fn.Power):
        assert await face.rows(none.values_list(function("f", 2), function(Value(2.0), "f"))) == [(None, None)]
    assert await face.rows(none.values_list(fn.Chr("i"), fn.Chr(Value(None, output_field=IntegerField())))) == [
        (None,) * 2
    ]


async def test_what_has_no_answer(face: Face, backend: str) -> None:
    """SQLite says NULL or infinity, PostgreSQL that it cannot be."""
    await face(Sample.objects.create)()
    for impossible in (
        fn.Sqrt(Value(-1)), fn.Ln(Value(0)), fn.Ln(Value(-1)), fn.ACos(Value(2)), fn.ASin(Value(2)),
        fn.Log(Value(10), Value(0)), fn.Mod(Value(7), Value(0)), fn.Power(Value(-8), Value(0.5)),
    ):  # fmt: skip
        rows = Sample.objects.annotate(x=impossible).values_list("x", flat=True)
        if backend == "sqlite":
            (found,) = await face.rows(rows)
            assert found is None or math.isnan(found), impossible
        else:
            with pytest.raises(DatabaseError):
                await face.rows(rows)


async def test_random(face: Face) -> None:
    await face(Sample.objects.bulk_create)([Sample(i=number) for number in range(20)])
    found = await face.rows(Sample.objects.values_list(fn.Random(), flat=True))
    assert all(0 <= each < 1 for each in found)
    assert len(set(found)) > 1
    assert len(await face.rows(Sample.objects.order_by(fn.Random())[:5])) == 5
    await face(Sample.objects.update)(f=fn.Random())
    assert len(set(await face.rows(Sample.objects.values_list("f", flat=True)))) > 1
    assert await face(Sample.objects.filter(f__lt=1, f__gte=0, i__gte=fn.Random() - 1).count)() == 20


def test_misuse() -> None:
    for make, error in (
        (lambda: fn.Sin(), TypeError), (lambda: fn.Sin("f", "i"), TypeError), (lambda: fn.Pi("f"), TypeError),
        (lambda: fn.Random("f"), TypeError), (lambda: fn.ATan2("f"), TypeError), (lambda: fn.Mod("i", 2, 3), TypeError),
        (lambda: fn.Chr(), TypeError), (lambda: fn.Reverse("s", "t"), TypeError), (lambda: fn.MD5(), TypeError),
        (lambda: Sample.objects.annotate(x=fn.Concat("s", "i")), FieldError),
        (lambda: Sample.objects.annotate(x=fn.Concat("s", Value(1))), FieldError),
        (lambda: Sample.objects.annotate(x=fn.Lower("nonsense")), FieldError),
        (lambda: Sample.objects.annotate(x=fn.Mod("i", F("nonsense"))), FieldError),
    ):  # fmt: skip
        with pytest.raises(error):
            make()
    assert dorm.functions.Ntile is dorm.functions.NTile
