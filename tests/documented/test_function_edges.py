"""The page "Database functions": what each function makes of NULL, of empty texts, of expressions and of misuse."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import dorm
from dorm import F, FieldError, Value, functions as fn
from tests.documented.samples import Sample, column, fill
from tests.support.faces import Face

MODELS = (Sample,)

VALUES: list[tuple[Callable[[], Any], list[Any]]] = [
    (lambda: fn.Lower("s"), ["hello", None, ""]),
    (lambda: fn.Length("s"), [5, None, 0]),
    (lambda: fn.Length("t"), [10, None, 3]),
    (lambda: fn.Length(Value("abc")), [3, 3, 3]),
    (lambda: fn.LPad("s", 8), ["   Hello", None, "        "]),
    (lambda: fn.LPad("s", 8, Value("xy")), ["xyxHello", None, "xyxyxyxy"]),
    (lambda: fn.LPad("s", 3, Value("xy")), ["Hel", None, "xyx"]),
    (lambda: fn.LPad("s", F("i"), Value("a")), ["aaHello", None, ""]),
    (lambda: fn.LPad("s", None), [None, None, None]),
    (lambda: fn.LPad("s", 8, Value("")), ["Hello", None, ""]),
    (lambda: fn.LPad("s", 0), ["", None, ""]),
    (lambda: fn.LPad("s", Value(None, output_field=dorm.IntegerField())), [None, None, None]),
    (lambda: fn.LPad("s", 8, fill_text=Value("z")), ["zzzHello", None, "zzzzzzzz"]),
    (lambda: fn.LPad("s", length=8, fill_text=Value("z")), ["zzzHello", None, "zzzzzzzz"]),
    (lambda: fn.RPad("s", 8), ["Hello   ", None, "        "]),
    (lambda: fn.RPad("s", 8, Value("xy")), ["Helloxyx", None, "xyxyxyxy"]),
    (lambda: fn.RPad("s", 3, Value("xy")), ["Hel", None, "xyx"]),
    (lambda: fn.RPad("s", 8, Value("")), ["Hello", None, ""]),
    (lambda: fn.RPad("s", fn.Length("t"), Value("-")), ["Hello-----", None, "---"]),
    (lambda: fn.RPad("s", Value(None, output_field=dorm.IntegerField())), [None, None, None]),
    (lambda: fn.StrIndex("s", Value("l")), [3, None, 0]),
    (lambda: fn.StrIndex("t", Value("W")), [1, None, 0]),
    (lambda: fn.StrIndex("t", Value("w")), [7, None, 0]),
    (lambda: fn.StrIndex("s", Value("")), [1, None, 1]),
    (lambda: fn.StrIndex("s", Value(None, output_field=dorm.CharField())), [None, None, None]),
    (lambda: fn.StrIndex("t", F("s")), [0, None, 1]),
    (lambda: fn.Substr("s", 1, 3), ["Hel", None, ""]),
    (lambda: fn.Substr("s", 3), ["llo", None, ""]),
    (lambda: fn.Substr("s", pos=2, length=2), ["el", None, ""]),
    (lambda: fn.Substr("s", 2, 0), ["", None, ""]),
    (lambda: fn.Substr("s", F("i")), ["", None, ""]),
    (lambda: fn.Substr("s", fn.StrIndex("s", Value("l")), 2), ["ll", None, ""]),
    (lambda: fn.Substr("s", 20), ["", None, ""]),
    (lambda: fn.Substr("s", 1, None), ["Hello", None, ""]),
    (lambda: fn.Repeat("s", 3), ["HelloHelloHello", None, ""]),
    (lambda: fn.Repeat("s", 0), ["", None, ""]),
    (lambda: fn.Repeat("s", None), [None, None, None]),
    (lambda: fn.Repeat("s", F("i")), ["HelloHelloHelloHelloHelloHelloHello", None, ""]),
    (lambda: fn.Repeat("s", Value(2)), ["HelloHello", None, ""]),
    (lambda: fn.Repeat("s", fn.Length("s")), ["HelloHelloHelloHelloHello", None, ""]),
    (lambda: fn.Repeat(Value("ab"), 2), ["abab", "abab", "abab"]),
    (lambda: fn.Repeat("s", number=2), ["HelloHello", None, ""]),
    (lambda: fn.Repeat("s", Value(None, output_field=dorm.IntegerField())), [None, None, None]),
    (lambda: fn.Replace("s", Value("l"), Value("L")), ["HeLLo", None, ""]),
    (lambda: fn.Replace("s", Value("l")), ["Heo", None, ""]),
    (lambda: fn.Replace("s", Value("L"), Value("x")), ["Hello", None, ""]),
    (lambda: fn.Replace("s", Value(""), Value("x")), ["Hello", None, ""]),
    (lambda: fn.Replace("s", text=Value("l"), replacement=Value("1")), ["He11o", None, ""]),
    (lambda: fn.Replace("s", Value(None, output_field=dorm.CharField()), Value("x")), [None, None, None]),
    (lambda: fn.Reverse("s"), ["olleH", None, ""]),
    (lambda: fn.Reverse("t"), ["ediw dlroW", None, "ïnü"]),
    (lambda: fn.Reverse(F("s")), ["olleH", None, ""]),
    (lambda: fn.Reverse(Value("ab")), ["ba", "ba", "ba"]),
    (lambda: fn.MD5("s"), ["8b1a9953c4611296a827abf8c47804d7", None, "d41d8cd98f00b204e9800998ecf8427e"]),
    (lambda: fn.MD5("t"), ["865bb7840be871bb470cc932761ff170", None, "3241a66fd412a38b61bb6f5a732e1a29"]),
    (lambda: fn.Left("s", 2), ["He", None, ""]),
    (lambda: fn.Left("s", F("i")), ["Hello", None, ""]),
    (lambda: fn.Left("s", length=1), ["H", None, ""]),
    (lambda: fn.Left("s", Value(2)), ["He", None, ""]),
    (lambda: fn.Left("s", 100), ["Hello", None, ""]),
    (lambda: fn.Right("s", 2), ["lo", None, ""]),
    (lambda: fn.Right("s", F("i")), ["Hello", None, ""]),
    (lambda: fn.Right("s", length=1), ["o", None, ""]),
    (lambda: fn.Right("s", 100), ["Hello", None, ""]),
    (lambda: fn.Right("s", Value(2)), ["lo", None, ""]),
    (lambda: fn.Left(fn.Lower("s"), 2), ["he", None, ""]),
    (lambda: fn.Chr(Value(65)), ["A", "A", "A"]),
    (lambda: fn.Chr(Value(8364)), ["€", "€", "€"]),
    (lambda: fn.Ord("t"), [87, None, 252]),
    (lambda: fn.Ord(Value("€")), [8364, 8364, 8364]),
    (lambda: fn.Trim(Value("  a ")), ["a", "a", "a"]),
    (lambda: fn.LTrim(Value("  a ")), ["a ", "a ", "a "]),
    (lambda: fn.RTrim(Value("  a ")), ["  a", "  a", "  a"]),
    (lambda: fn.Trim("s"), ["Hello", None, ""]),
    (lambda: fn.Concat("s", "s"), ["HelloHello", "", ""]),
    (lambda: fn.Concat("s", Value("-"), "s"), ["Hello-Hello", "-", "-"]),
    (lambda: fn.Concat("s", "t", output_field=dorm.TextField()), ["HelloWorld wide", "", "ünï"]),
    (lambda: fn.Concat("s", Value("-"), "t", output_field=dorm.CharField()), ["Hello-World wide", "-", "-ünï"]),
    (lambda: fn.Concat("s", "i", output_field=dorm.CharField()), ["Hello7", "", "-3"]),
    (lambda: fn.Concat("i", Value("x"), output_field=dorm.CharField()), ["7x", "x", "-3x"]),
    (
        lambda: fn.Concat("s", Value(None, output_field=dorm.CharField()), output_field=dorm.CharField()),
        ["Hello", "", ""],
    ),
    (lambda: fn.Concat("s", Value("a"), Value("b"), Value("c"), "s"), ["HelloabcHello", "abc", "abc"]),
    (lambda: fn.Concat("da", Value("x"), output_field=dorm.CharField()), ["2024-02-29x", "x", "2023-01-01x"]),
    (lambda: fn.NullIf("s", Value("Hello")), [None, None, ""]),
    (lambda: fn.NullIf("i", Value(7)), [None, None, -3]),
    (lambda: fn.NullIf("i", Value(None)), [7, None, -3]),
    (lambda: fn.NullIf(Value(None), "i"), [None, None, None]),
    (lambda: fn.Coalesce("s", Value("none")), ["Hello", "none", ""]),
    (lambda: fn.Coalesce("i", "f", output_field=dorm.FloatField()), [7.0, None, -3.0]),
    (lambda: fn.Coalesce("i", 5), [7, 5, -3]),
    (
        lambda: fn.Coalesce("da", Value(datetime.date(2000, 1, 1))),
        [datetime.date(2024, 2, 29), datetime.date(2000, 1, 1), datetime.date(2023, 1, 1)],
    ),
    (
        lambda: fn.Coalesce("dtm", Value(datetime.datetime(2000, 1, 1))),
        [
            datetime.datetime(2024, 12, 30, 23, 45, 30, 654321),
            datetime.datetime(2000, 1, 1, 0, 0),
            datetime.datetime(2020, 1, 1, 0, 0),
        ],
    ),
    (lambda: fn.Coalesce("i", Value(None)), [7, None, -3]),
    (lambda: fn.Coalesce(Value(None), "i"), [7, None, -3]),
    (lambda: fn.Coalesce("b", False), [True, False, False]),
    (
        lambda: fn.Coalesce("u", Value(UUID(int=9))),
        [
            UUID("00000000-0000-0000-0000-000000000005"),
            UUID("00000000-0000-0000-0000-000000000009"),
            UUID("00000000-0000-0000-0000-000000000001"),
        ],
    ),
    (
        lambda: fn.Coalesce("du", Value(datetime.timedelta(1))),
        [datetime.timedelta(days=1, seconds=7203, microseconds=4), datetime.timedelta(days=1), datetime.timedelta(0)],
    ),
    (lambda: fn.Coalesce("js", Value({}, output_field=dorm.JSONField())), [{"a": [1, {"b": None}], "s": "x"}, {}, []]),
    (lambda: fn.Coalesce(fn.Lower("s"), Value("x")), ["hello", "x", ""]),
    (lambda: fn.Greatest("i", "f", output_field=dorm.FloatField()), [7.0, None, -1.5]),
    (lambda: fn.Cast("i", dorm.FloatField()), [7.0, None, -3.0]),
    (lambda: fn.Cast("i", dorm.CharField()), ["7", None, "-3"]),
    (lambda: fn.Cast("i", dorm.TextField()), ["7", None, "-3"]),
    (lambda: fn.Cast("f", dorm.CharField()), ["2.5", None, "-1.5"]),
    (lambda: fn.Cast("f", dorm.TextField()), ["2.5", None, "-1.5"]),
    (lambda: fn.Cast("f", dorm.DecimalField(max_digits=10, decimal_places=1)), [Decimal("2.5"), None, Decimal("-1.5")]),
    (lambda: fn.Cast("d", dorm.FloatField()), [3.25, None, -0.5]),
    (lambda: fn.Cast("b", dorm.IntegerField()), [1, None, 0]),
    (lambda: fn.Cast("b", dorm.BooleanField()), [True, None, False]),
    (lambda: fn.Cast("da", dorm.TextField()), ["2024-02-29", None, "2023-01-01"]),
    (
        lambda: fn.Cast("da", dorm.DateTimeField()),
        [datetime.datetime(2024, 2, 29, 0, 0), None, datetime.datetime(2023, 1, 1, 0, 0)],
    ),
    (lambda: fn.Cast("da", dorm.DateField()), [datetime.date(2024, 2, 29), None, datetime.date(2023, 1, 1)]),
    (lambda: fn.Cast("dtm", dorm.DateField()), [datetime.date(2024, 12, 30), None, datetime.date(2020, 1, 1)]),
    (lambda: fn.Cast("ti", dorm.TextField()), ["13:45:30.123456", None, "00:00:00"]),
    (
        lambda: fn.Cast("du", dorm.DurationField()),
        [datetime.timedelta(days=1, seconds=7203, microseconds=4), None, datetime.timedelta(0)],
    ),
    (
        lambda: fn.Cast("u", dorm.UUIDField()),
        [UUID("00000000-0000-0000-0000-000000000005"), None, UUID("00000000-0000-0000-0000-000000000001")],
    ),
    (
        lambda: fn.Cast(Value("00000000-0000-0000-0000-000000000009"), dorm.UUIDField()),
        [
            UUID("00000000-0000-0000-0000-000000000009"),
            UUID("00000000-0000-0000-0000-000000000009"),
            UUID("00000000-0000-0000-0000-000000000009"),
        ],
    ),
    (lambda: fn.Cast("js", dorm.TextField()), ['{"a": [1, {"b": null}], "s": "x"}', None, "[]"]),
    (lambda: fn.Cast("js", dorm.JSONField()), [{"a": [1, {"b": None}], "s": "x"}, None, []]),
    (lambda: fn.Cast(Value('{"a": 1}'), dorm.JSONField()), [{"a": 1}, {"a": 1}, {"a": 1}]),
    (lambda: fn.Cast(Value("12"), dorm.IntegerField()), [12, 12, 12]),
    (lambda: fn.Cast(Value("12"), dorm.BigIntegerField()), [12, 12, 12]),
    (lambda: fn.Cast(Value("12"), dorm.SmallIntegerField()), [12, 12, 12]),
    (lambda: fn.Cast(Value("12"), dorm.PositiveIntegerField()), [12, 12, 12]),
    (lambda: fn.Cast(Value("1.25"), dorm.FloatField()), [1.25, 1.25, 1.25]),
    (
        lambda: fn.Cast(Value("1.25"), dorm.DecimalField(max_digits=10, decimal_places=2)),
        [Decimal("1.25"), Decimal("1.25"), Decimal("1.25")],
    ),
    (
        lambda: fn.Cast(Value("2024-05-06"), dorm.DateField()),
        [datetime.date(2024, 5, 6), datetime.date(2024, 5, 6), datetime.date(2024, 5, 6)],
    ),
    (
        lambda: fn.Cast(Value("2024-05-06 10:11:12"), dorm.DateTimeField()),
        [
            datetime.datetime(2024, 5, 6, 10, 11, 12),
            datetime.datetime(2024, 5, 6, 10, 11, 12),
            datetime.datetime(2024, 5, 6, 10, 11, 12),
        ],
    ),
    (
        lambda: fn.Cast(Value("10:11:12"), dorm.TimeField()),
        [datetime.time(10, 11, 12), datetime.time(10, 11, 12), datetime.time(10, 11, 12)],
    ),
    (
        lambda: fn.Cast(Value("10:11:12.5"), dorm.TimeField()),
        [datetime.time(10, 11, 12, 500000), datetime.time(10, 11, 12, 500000), datetime.time(10, 11, 12, 500000)],
    ),
    (lambda: fn.Cast(Value(None), dorm.IntegerField()), [None, None, None]),
    (lambda: fn.Cast(Value(None), dorm.DateField()), [None, None, None]),
    (lambda: fn.Cast(None, dorm.IntegerField()), [None, None, None]),
    (lambda: fn.Cast(Value(b"abc"), dorm.BinaryField()), [b"abc", b"abc", b"abc"]),
    (lambda: fn.Cast("s", dorm.BinaryField()), [b"Hello", None, b""]),
    (lambda: fn.Cast(Value("a@b.de"), dorm.EmailField()), ["a@b.de", "a@b.de", "a@b.de"]),
    (lambda: fn.Cast(Value("a-b"), dorm.SlugField()), ["a-b", "a-b", "a-b"]),
    (lambda: fn.Cast(Value("1.2.3.4"), dorm.GenericIPAddressField()), ["1.2.3.4", "1.2.3.4", "1.2.3.4"]),
    (lambda: fn.Cast(F("i") + 1, dorm.TextField()), ["8", None, "-2"]),
    (lambda: fn.Cast("i", output_field=dorm.CharField(max_length=255)), ["7", None, "-3"]),
    (lambda: fn.Abs("i"), [7, None, 3]),
    (lambda: fn.Abs("f"), [2.5, None, 1.5]),
    (lambda: fn.Ceil("f"), [3.0, None, -1.0]),
    (lambda: fn.Ceil("i"), [7, None, -3]),
    (lambda: fn.Floor("f"), [2.0, None, -2.0]),
    (lambda: fn.Round("f"), [3.0, None, -2.0]),
    (lambda: fn.Round("i"), [7, None, -3]),
    (lambda: fn.Round(Value(2.5)), [3.0, 3.0, 3.0]),
    (lambda: fn.Round("f", 0), [3.0, None, -2.0]),
    (lambda: fn.Sign("i"), [1, None, -1]),
    (lambda: fn.Sign("d"), [Decimal("1"), None, Decimal("-1")]),
    (lambda: fn.Power("i", 2), [49.0, None, 9.0]),
    (lambda: fn.Power("f", "i"), [610.351562, None, -0.296296296]),
    (lambda: fn.Power("i", Value(None)), [None, None, None]),
    (lambda: fn.Sqrt(fn.Abs("i")), [2.64575131, None, 1.73205081]),
    (lambda: fn.Mod("i", 4), [3.0, None, -3.0]),
    (lambda: fn.Exp("f"), [12.182494, None, 0.22313016]),
    (lambda: fn.Ln(fn.Abs("i")), [1.94591015, None, 1.09861229]),
    (lambda: fn.Log(2, fn.Abs("i")), [2.80735492, None, 1.5849625]),
    (lambda: fn.Log(Value(10), Value(100)), [2.0, 2.0, 2.0]),
    (lambda: fn.Pi(), [3.14159265, 3.14159265, 3.14159265]),
    (lambda: fn.Pi() * 2, [6.28318531, 6.28318531, 6.28318531]),
    (lambda: fn.Random() * 0, [0.0, 0.0, 0.0]),
    (lambda: fn.Sin("f"), [0.598472144, None, -0.997494987]),
    (lambda: fn.Cos("i"), [0.753902254, None, -0.989992497]),
    (lambda: fn.Tan("f"), [-0.747022297, None, -14.1014199]),
    (lambda: fn.Cot("f"), [-1.33864813, None, -0.0709148443]),
    (lambda: fn.ASin(Value(0.5)), [0.523598776, 0.523598776, 0.523598776]),
    (lambda: fn.ACos(Value(0.5)), [1.04719755, 1.04719755, 1.04719755]),
    (lambda: fn.ATan("f"), [1.19028995, None, -0.982793723]),
    (lambda: fn.ATan2("f", "i"), [0.34302394, None, -2.67794504]),
    (lambda: fn.ATan2("f", 2), [0.896055385, None, -0.643501109]),
    (lambda: fn.Degrees("f"), [143.239449, None, -85.9436693]),
    (lambda: fn.Radians("i"), [0.122173048, None, -0.0523598776]),
    (lambda: fn.Degrees(fn.Pi()), [180.0, 180.0, 180.0]),
    (
        lambda: fn.JSONObject(a="i", b="s", c=Value(1), d=F("i") + 1),
        [
            {"a": 7, "b": "Hello", "c": 1, "d": 8},
            {"a": None, "b": None, "c": 1, "d": None},
            {"a": -3, "b": "", "c": 1, "d": -2},
        ],
    ),
    (lambda: fn.JSONObject(), [{}, {}, {}]),
    (lambda: fn.JSONObject(n=fn.JSONObject(x="s")), [{"n": {"x": "Hello"}}, {"n": {"x": None}}, {"n": {"x": ""}}]),
    (lambda: fn.JSONObject(x="d"), [{"x": 3.25}, {"x": None}, {"x": -0.5}]),
    (lambda: fn.JSONObject(x="f"), [{"x": 2.5}, {"x": None}, {"x": -1.5}]),
    (lambda: fn.JSONObject(x="da"), [{"x": "2024-02-29"}, {"x": None}, {"x": "2023-01-01"}]),
    (lambda: fn.JSONObject(x="ti"), [{"x": "13:45:30.123456"}, {"x": None}, {"x": "00:00:00"}]),
    (lambda: fn.JSONObject(x=fn.Lower("s")), [{"x": "hello"}, {"x": None}, {"x": ""}]),
    (lambda: fn.JSONObject(x=Value(None)), [{"x": None}, {"x": None}, {"x": None}]),
    (lambda: fn.JSONObject(x=Value("t")), [{"x": "t"}, {"x": "t"}, {"x": "t"}]),
    (lambda: fn.JSONObject(x=1), [{"x": 1}, {"x": 1}, {"x": 1}]),
    (lambda: fn.JSONArray("i", "s"), [[7, "Hello"], [None, None], [-3, ""]]),
    (lambda: fn.JSONArray(), [[], [], []]),
    (
        lambda: fn.JSONArray(fn.Lower("s"), F("i") * 2, Value("v"), Value(3)),
        [["hello", 14, "v", 3], [None, None, "v", 3], ["", -6, "v", 3]],
    ),
    (lambda: fn.JSONArray("i", fn.JSONArray("s", "f")), [[7, ["Hello", 2.5]], [None, [None, None]], [-3, ["", -1.5]]]),
    (lambda: fn.JSONArray(fn.JSONObject(a="i")), [[{"a": 7}], [{"a": None}], [{"a": -3}]]),
    (lambda: fn.JSONArray("i", absent_on_null=True), [[7], [None], [-3]]),
    (lambda: dorm.Func("s", function="LOWER"), ["hello", None, ""]),
    (
        lambda: dorm.Func(F("s"), Value("l"), Value("x"), function="REPLACE", output_field=dorm.CharField()),
        ["Hexxo", None, ""],
    ),
    (lambda: fn.Lower("s", output_field=dorm.TextField()), ["hello", None, ""]),
]

REFUSED: list[tuple[Callable[[], Any], type[Exception]]] = [
    (lambda: fn.LPad("s", -1), ValueError),
    (lambda: fn.RPad("s", -1), ValueError),
    (lambda: fn.Substr("s", 0, 3), ValueError),
    (lambda: fn.Substr("s", -2, 3), ValueError),
    (lambda: fn.Repeat("s", -1), ValueError),
    (lambda: fn.Left("s", 0), ValueError),
    (lambda: fn.Left("s", -1), ValueError),
    (lambda: fn.Right("s", 0), ValueError),
    (lambda: fn.Right("s", -1), ValueError),
    (lambda: fn.Concat("s", "t"), FieldError),
    (lambda: fn.Concat("s"), ValueError),
    (lambda: fn.Concat(), ValueError),
    (lambda: fn.NullIf("s"), TypeError),
    (lambda: fn.NullIf("s", "t", "s"), TypeError),
    (lambda: fn.Coalesce("s", "t"), FieldError),
    (lambda: fn.Coalesce("s"), ValueError),
    (lambda: fn.Coalesce(), ValueError),
    (lambda: fn.Coalesce("i", "f"), FieldError),
    (lambda: fn.Coalesce("d", 0), FieldError),
    (lambda: fn.Greatest("i", "bi"), FieldError),
    (lambda: fn.Greatest("i", "f"), FieldError),
    (lambda: fn.Greatest("i"), ValueError),
    (lambda: fn.Greatest(), ValueError),
    (lambda: fn.Least("i", "bi"), FieldError),
    (lambda: fn.Least("i", "bi", 0), FieldError),
    (lambda: fn.Least("i"), ValueError),
    (lambda: fn.Collate("s", "no such;"), ValueError),
    (lambda: fn.Collate("s", ""), ValueError),
    (lambda: fn.Collate("s", None), ValueError),
    (lambda: fn.Cast("i"), TypeError),
    (lambda: fn.Cast(), TypeError),
    (lambda: fn.Log("i"), TypeError),
    (lambda: dorm.Func("i", "bi", function="COALESCE"), FieldError),
    (lambda: fn.Lower("s", "t"), TypeError),
    (lambda: fn.Lower(), TypeError),
    (lambda: fn.Length("s", "t"), TypeError),
    (lambda: fn.Substr("s"), TypeError),
    (lambda: fn.Replace("s"), TypeError),
    (lambda: fn.Left("s"), TypeError),
    (lambda: fn.StrIndex("s"), TypeError),
    (lambda: fn.Repeat("s"), TypeError),
    (lambda: fn.Mod("i"), TypeError),
    (lambda: fn.Power("i"), TypeError),
]


async def test_values(face: Face) -> None:
    await fill(face)
    for number, (make, expected) in enumerate(VALUES):
        found = await column(face, make())
        near = [pytest.approx(value) if isinstance(value, float) else value for value in expected]
        assert found == near, f"case {number}: {make()!r}"
        assert [type(value) for value in found] == [type(value) for value in expected], f"case {number}: {make()!r}"


def test_refusals(empty_database: Any) -> None:
    for make, error in REFUSED:
        with pytest.raises(error):
            Sample.objects.annotate(x=make())


async def test_greatest_and_least_beside_null(face: Face, backend: str) -> None:
    await fill(face)
    beside_null = None if backend == "sqlite" else 5
    assert await column(face, fn.Greatest("i", 5)) == [7, beside_null, 5]
    assert await column(face, fn.Least("i", 5)) == [5, beside_null, -3]
    assert await column(face, fn.Greatest("da", Value(datetime.date(2023, 6, 1)))) == [
        datetime.date(2024, 2, 29),
        None if backend == "sqlite" else datetime.date(2023, 6, 1),
        datetime.date(2023, 6, 1),
    ]


async def test_json_arrays(face: Face) -> None:
    await fill(face)
    assert await column(face, fn.JSONArray("i", "s")) == [[7, "Hello"], [None, None], [-3, ""]]
    assert await column(face, fn.JSONArray()) == [[], [], []]
    nested = fn.JSONArray(fn.JSONObject(a="i"), fn.JSONArray("f"), Value("v"))
    assert (await column(face, nested))[0] == [{"a": 7}, [2.5], "v"]
    first = Sample.objects.annotate(x=fn.JSONArray("i", "s")).filter(x__0=7)
    assert [row.i for row in await face.rows(first)] == [7]


async def test_functions_in_conditions_orders_and_updates(face: Face) -> None:
    await fill(face)
    rows = Sample.objects.exclude(s=None)
    assert [row.i for row in await face.rows(rows.filter(s=fn.Concat(fn.Left("s", 2), fn.Substr("s", 3))))] == [7, -3]
    assert [row.i for row in await face.rows(rows.order_by(fn.Length("s").asc()))] == [-3, 7]
    assert await face(rows.filter(i=7).update)(s=fn.Repeat(fn.Lower("s"), 2)) == 1
    assert (await face(Sample.objects.get)(i=7)).s == "hellohello"
    found = await face(Sample.objects.aggregate)(x=dorm.Sum(fn.Cast("i", dorm.FloatField())), y=dorm.Max(fn.Upper("s")))
    assert found == {"x": 4.0, "y": "HELLOHELLO"}
