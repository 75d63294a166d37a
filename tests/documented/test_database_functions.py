"""The page "Database functions"."""

from __future__ import annotations

import datetime
import hashlib
import math
from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import Count, F, Value, functions as fn
from tests.support.faces import Face


class Author(dorm.Model):
    name = dorm.CharField(max_length=50)
    age = dorm.PositiveIntegerField(null=True, blank=True)
    alias = dorm.CharField(max_length=50, null=True, blank=True)
    goes_by = dorm.CharField(max_length=50, null=True, blank=True)

    class Meta:
        app_label = "doc_fn"


class Experiment(dorm.Model):
    start_datetime = dorm.DateTimeField()
    start_date = dorm.DateField(null=True, blank=True)
    start_time = dorm.TimeField(null=True, blank=True)
    end_datetime = dorm.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "doc_fn"


class Vector(dorm.Model):
    x = dorm.FloatField()
    y = dorm.FloatField()
    n = dorm.IntegerField(default=0)
    d = dorm.DecimalField(max_digits=10, decimal_places=4, default="1.2345")

    class Meta:
        app_label = "doc_fn"


MODELS = (Author, Experiment, Vector)


async def one(face: Face, model: Any, **annotations: Any) -> Any:
    """Return the only row with *annotations*."""
    return await face(model.objects.annotate(**annotations).get)()


# -- comparison and conversion -------------------------------------------------------------------------------------


async def test_cast(face: Face) -> None:
    await face(Author.objects.create)(age=25, name="Margaret Smith")
    author = await one(
        face,
        Author,
        as_float=fn.Cast("age", output_field=dorm.FloatField()),
        as_text=fn.Cast("age", dorm.CharField(max_length=2)),
        as_number=fn.Cast(Value("7"), dorm.IntegerField()),
        as_date=fn.Cast(Value("2024-02-03"), dorm.DateField()),
        as_decimal=fn.Cast(Value("1.50"), dorm.DecimalField(max_digits=5, decimal_places=2)),
    )
    assert (author.as_float, author.as_text, author.as_number) == (25.0, "25", 7)
    assert isinstance(author.as_float, float)
    assert author.as_date == datetime.date(2024, 2, 3)
    assert author.as_decimal == Decimal("1.50")


async def test_coalesce(face: Face) -> None:
    await face(Author.objects.create)(name="Margaret Smith", goes_by="Maggie")
    author = await one(face, Author, screen_name=fn.Coalesce("alias", "goes_by", "name"))
    assert author.screen_name == "Maggie"
    assert await face(Author.objects.aggregate)(n=fn.Coalesce(dorm.Sum("age"), 0)) == {"n": 0}
    with pytest.raises(ValueError, match="at least two"):
        fn.Coalesce("alias")


async def test_collate_greatest_least_nullif(face: Face, backend: str) -> None:
    await face(Author.objects.create)(name="b", age=5, goes_by="a")
    author = await one(
        face,
        Author,
        big=fn.Greatest("age", Value(3)),
        small=fn.Least("age", Value(3)),
        text=fn.Greatest("name", "goes_by"),
        null=fn.Greatest("age", Value(None, output_field=dorm.IntegerField())),
        nothing=fn.NullIf("name", Value("b")),
        same=fn.NullIf("name", Value("z")),
    )
    assert (author.big, author.small, author.text) == (5, 3, "b")
    # PostgreSQL ignores NULL, the others answer NULL.
    assert author.null == (5 if backend == "postgresql" else None)
    assert (author.nothing, author.same) == (None, "b")
    collation = "C" if backend == "postgresql" else "nocase"
    assert await face(Author.objects.filter(name=fn.Collate(Value("b"), collation)).count)() == 1
    with pytest.raises(ValueError, match="collation"):
        fn.Collate("name", 'x"; drop')


async def test_json_object(face: Face) -> None:
    await face(Author.objects.create)(name="Margaret Smith", alias="msmith", age=25)
    author = await one(
        face,
        Author,
        doc=fn.JSONObject(name=fn.Lower("name"), alias="alias", age=F("age") * 2, none=Value(None, dorm.CharField())),
        arr=fn.JSONArray(fn.Lower("name"), "alias", F("age") * 2),
    )
    assert author.doc == {"name": "margaret smith", "alias": "msmith", "age": 50, "none": None}
    assert author.arr == ["margaret smith", "msmith", 50]


# -- dates ---------------------------------------------------------------------------------------------------------

START = datetime.datetime(2015, 6, 15, 23, 30, 1, 321)


async def experiment(face: Face) -> Any:
    return await face(Experiment.objects.create)(
        start_datetime=START,
        start_date=START.date(),
        start_time=START.time(),
        end_datetime=datetime.datetime(2017, 6, 16, 13, 11, 27, 123),
    )


async def test_extract(face: Face) -> None:
    await experiment(face)
    row = await one(
        face,
        Experiment,
        year=fn.ExtractYear("start_date"),
        isoyear=fn.ExtractIsoYear("start_date"),
        quarter=fn.ExtractQuarter("start_date"),
        month=fn.ExtractMonth("start_date"),
        week=fn.ExtractWeek("start_date"),
        day=fn.ExtractDay("start_date"),
        weekday=fn.ExtractWeekDay("start_date"),
        isoweekday=fn.ExtractIsoWeekDay("start_date"),
        hour=fn.ExtractHour("start_datetime"),
        minute=fn.ExtractMinute("start_time"),
        second=fn.ExtractSecond("start_datetime"),
        generic=fn.Extract("start_datetime", "quarter"),
    )
    assert (row.year, row.isoyear, row.quarter, row.month, row.week, row.day) == (2015, 2015, 2, 6, 25, 15)
    assert (row.weekday, row.isoweekday, row.hour, row.minute, row.second) == (2, 1, 23, 30, 1)
    assert row.generic == 2
    assert await face(Experiment.objects.filter(start_datetime__year=fn.Extract("end_datetime", "year")).count)() == 0
    assert await face(Experiment.objects.filter(start_datetime__month=fn.ExtractMonth("end_datetime")).count)() == 1
    with pytest.raises(ValueError):
        await face.rows(Experiment.objects.annotate(h=fn.ExtractHour("start_date")))


async def test_trunc(face: Face) -> None:
    await experiment(face)
    row = await one(
        face,
        Experiment,
        year=fn.TruncYear("start_date"),
        quarter=fn.TruncQuarter("start_datetime"),
        month=fn.TruncMonth("start_date"),
        week=fn.TruncWeek("start_datetime"),
        day=fn.TruncDay("start_datetime"),
        date=fn.TruncDate("start_datetime"),
        time=fn.TruncTime("start_datetime"),
        hour=fn.TruncHour("start_datetime"),
        minute=fn.TruncMinute("start_datetime"),
        second=fn.TruncSecond("start_datetime"),
        generic=fn.Trunc("start_datetime", "year", output_field=dorm.DateTimeField()),
    )
    assert row.year == datetime.date(2015, 1, 1)
    assert row.quarter == datetime.datetime(2015, 4, 1)
    assert row.month == datetime.date(2015, 6, 1)
    assert row.week == datetime.datetime(2015, 6, 15)
    assert row.day == datetime.datetime(2015, 6, 15)
    assert row.date == datetime.date(2015, 6, 15)
    assert row.time == datetime.time(23, 30, 1, 321) or row.time == datetime.time(23, 30, 1)
    assert row.hour == datetime.datetime(2015, 6, 15, 23)
    assert row.minute == datetime.datetime(2015, 6, 15, 23, 30)
    assert row.second == datetime.datetime(2015, 6, 15, 23, 30, 1)
    assert row.generic == datetime.datetime(2015, 1, 1)
    per_year = Experiment.objects.annotate(y=fn.TruncYear("start_date")).values("y").annotate(n=Count("id"))
    assert await face.rows(per_year) == [{"y": datetime.date(2015, 1, 1), "n": 1}]


async def test_now(face: Face) -> None:
    await experiment(face)
    assert await face(Experiment.objects.filter(start_datetime__lte=fn.Now()).count)() == 1


# -- math ----------------------------------------------------------------------------------------------------------


async def test_math(face: Face) -> None:
    await face(Vector.objects.create)(x=-0.5, y=0.75, n=-7)
    row = await one(
        face,
        Vector,
        abs=fn.Abs("x"),
        acos=fn.ACos("x"),
        asin=fn.ASin("y"),
        atan=fn.ATan("x"),
        atan2=fn.ATan2("x", "y"),
        ceil=fn.Ceil("x"),
        cos=fn.Cos("x"),
        cot=fn.Cot("x"),
        degrees=fn.Degrees("x"),
        exp=fn.Exp("x"),
        floor=fn.Floor("x"),
        ln=fn.Ln("y"),
        log=fn.Log(Value(2.0), "y"),
        mod=fn.Mod("n", Value(3)),
        pi=fn.Pi(),
        power=fn.Power("y", Value(2.0)),
        radians=fn.Radians("x"),
        round=fn.Round("y"),
        round1=fn.Round("d", precision=2),
        sign=fn.Sign("x"),
        sin=fn.Sin("x"),
        sqrt=fn.Sqrt("y"),
        tan=fn.Tan("x"),
    )
    x, y = -0.5, 0.75
    expected = {
        "abs": 0.5,
        "acos": math.acos(x),
        "asin": math.asin(y),
        "atan": math.atan(x),
        "atan2": math.atan2(x, y),
        "ceil": 0,
        "cos": math.cos(x),
        "cot": 1 / math.tan(x),
        "degrees": math.degrees(x),
        "exp": math.exp(x),
        "floor": -1,
        "ln": math.log(y),
        "log": math.log(y, 2),
        "mod": math.fmod(-7, 3),
        "pi": math.pi,
        "power": y**2,
        "radians": math.radians(x),
        "round": 1,
        "sign": -1,
        "sin": math.sin(x),
        "sqrt": math.sqrt(y),
        "tan": math.tan(x),
    }
    for name, value in expected.items():
        assert getattr(row, name) == pytest.approx(value), name
    assert row.round1 == Decimal("1.23")
    assert 0 <= (await one(face, Vector, r=fn.Random())).r < 1


# -- text ----------------------------------------------------------------------------------------------------------


async def test_text(face: Face) -> None:
    await face(Author.objects.create)(name="Margaret Smith", alias=" x ", goes_by=None)
    common = {
        "left": fn.Left("name", 4),
        "right": fn.Right("name", 5),
        "length": fn.Length("name"),
        "null_length": fn.Length("goes_by"),
        "lower": fn.Lower("name"),
        "upper": fn.Upper("name"),
        "lpad": fn.LPad("name", 16, Value("#")),
        "rpad": fn.RPad("name", 16, Value("#")),
        "cut": fn.LPad("name", 3),
        "ltrim": fn.LTrim("alias"),
        "rtrim": fn.RTrim("alias"),
        "trim": fn.Trim("alias"),
        "ord": fn.Ord("name"),
        "chr": fn.Chr(Value(77)),
        "repeat": fn.Repeat("alias", 2),
        "replace": fn.Replace("name", Value("Margaret"), Value("Margareth")),
        "removed": fn.Replace("name", Value("Margaret ")),
        "reverse": fn.Reverse("name"),
        "index": fn.StrIndex("name", Value("garet")),
        "missing": fn.StrIndex("name", Value("zz")),
        "substr": fn.Substr("name", 1, 5),
        "rest": fn.Substr("name", 10),
        "concat": fn.Concat("name", Value(" ("), "goes_by", Value(")"), output_field=dorm.CharField()),
        "md5": fn.MD5("name"),
    }
    found = await one(face, Author, **common)
    assert {name: getattr(found, name) for name in common} == {
        "left": "Marg",
        "right": "Smith",
        "length": 14,
        "null_length": None,
        "lower": "margaret smith",
        "upper": "MARGARET SMITH",
        "lpad": "##Margaret Smith",
        "rpad": "Margaret Smith##",
        "cut": "Mar",
        "ltrim": "x ",
        "rtrim": " x",
        "trim": "x",
        "ord": 77,
        "chr": "M",
        "repeat": " x  x ",
        "replace": "Margareth Smith",
        "removed": "Smith",
        "reverse": "htimS teragraM",
        "index": 4,
        "missing": 0,
        "substr": "Marga",
        "rest": "Smith",
        "concat": "Margaret Smith ()",
        "md5": hashlib.md5(b"Margaret Smith").hexdigest(),
    }
    for function, algorithm in (
        (fn.SHA224, "sha224"),
        (fn.SHA256, "sha256"),
        (fn.SHA384, "sha384"),
        (fn.SHA512, "sha512"),
    ):
        digest = (await one(face, Author, x=function("name"))).x
        assert digest == hashlib.new(algorithm, b"Margaret Smith").hexdigest()
    with pytest.raises(ValueError):
        fn.Left("name", 0)
    with pytest.raises(ValueError):
        fn.Substr("name", 0)
    assert await face(Author.objects.update)(alias=fn.Lower(fn.Substr("name", 1, 5))) == 1
    assert (await face(Author.objects.get)()).alias == "marga"
    assert await face(Author.objects.filter(name__startswith=fn.Left("name", 2)).count)() == 1
    assert await face(Author.objects.order_by(fn.Length("name").desc()).count)() == 1


async def test_sha1(face: Face, backend: str) -> None:
    await face(Author.objects.create)(name="Ann")
    if backend == "postgresql":
        connection = dorm.connection_for("default")
        connection.execute_script("CREATE EXTENSION IF NOT EXISTS pgcrypto")
    digest = (await one(face, Author, x=fn.SHA1("name"))).x
    assert digest == hashlib.sha1(b"Ann").hexdigest()


async def test_the_date_of_a_date_and_the_time_of_a_time(face: Face) -> None:
    day, clock = datetime.date(2014, 6, 15), datetime.time(14, 30, 50, 321)
    await face(Experiment.objects.create)(
        start_datetime=datetime.datetime(2014, 6, 15, 14, 30), start_date=day, start_time=clock
    )
    made = await one(face, Experiment, d=fn.TruncDate("start_date"), t=fn.TruncTime("start_time"))
    assert (made.d, made.t) == (day, clock)


async def test_the_sign_of_a_float_is_a_float(face: Face) -> None:
    await face(Vector.objects.create)(x=-2.5, y=0.0, n=-3)
    made = await one(face, Vector, sx=fn.Sign("x"), sy=fn.Sign("y"), sn=fn.Sign("n"))
    assert (made.sx, made.sy, made.sn) == (-1.0, 0.0, -1)
    assert [type(value) for value in (made.sx, made.sy, made.sn)] == [float, float, int]
