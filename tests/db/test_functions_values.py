"""What each database function gives, for a row of values and for a row of NULLs."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import math
from typing import Any

import pytest

from dorm import F, FieldError, Value, functions as f
from dorm.expressions import Expression
from dorm.fields import (
    CharField,
    DateField,
    DateTimeField,
    DecimalField,
    FloatField,
    IntegerField,
    TextField,
    TimeField,
)
from tests.support.faces import Face
from tests.support.models import Everything

pytestmark = pytest.mark.usefixtures("database")

ROW: dict[str, Any] = {
    "char": "Hello Wörld",
    "text": "  ab ",
    "integer": 7,
    "small": -3,
    "double": 2.5,
    "decimal": decimal.Decimal("3.145"),
    "date": datetime.date(2024, 8, 17),
    "time": datetime.time(9, 8, 7, 654321),
    "moment": datetime.datetime(2024, 12, 30, 23, 59, 59, 999999),
    "duration": datetime.timedelta(days=2, hours=3, minutes=4, seconds=5),
}

TEXT: list[tuple[Expression, Any]] = [
    (f.Lower("char"), "hello wörld"),
    (f.Upper("char"), "HELLO WÖRLD"),
    (f.Length("char"), 11),
    (f.Trim("text"), "ab"),
    (f.LTrim("text"), "ab "),
    (f.RTrim("text"), "  ab"),
    (f.Substr("char", 7), "Wörld"),
    (f.Substr("char", 2, 3), "ell"),
    (f.Substr("char", F("integer"), 2), "Wö"),
    (f.Left("char", 4), "Hell"),
    (f.Left("char", F("integer")), "Hello W"),
    (f.Right("char", 4), "örld"),
    (f.Right("char", 40), "Hello Wörld"),
    (f.LPad("char", 14, Value("xy")), "xyxHello Wörld"),
    (f.LPad("char", 3), "Hel"),
    (f.RPad("char", 14, Value("xy")), "Hello Wörldxyx"),
    (f.RPad("char", 0), ""),
    (f.Repeat("char", 2), "Hello WörldHello Wörld"),
    (f.Repeat("char", 0), ""),
    (f.Reverse("char"), "dlröW olleH"),
    (f.Ord("char"), ord("H")),
    (f.Chr(F("integer") + Value(58)), "A"),
    (f.Replace("char", Value("l")), "Heo Wörd"),
    (f.Replace("char", Value("l"), Value("LL")), "HeLLLLo WörLLd"),
    (f.StrIndex("char", Value("o")), 5),
    (f.StrIndex("char", Value("z")), 0),
    (f.MD5("char"), hashlib.md5("Hello Wörld".encode()).hexdigest()),
    (f.SHA224("char"), hashlib.sha224("Hello Wörld".encode()).hexdigest()),
    (f.SHA256("char"), hashlib.sha256("Hello Wörld".encode()).hexdigest()),
    (f.SHA384("char"), hashlib.sha384("Hello Wörld".encode()).hexdigest()),
    (f.SHA512("char"), hashlib.sha512("Hello Wörld".encode()).hexdigest()),
    (f.Lower(f.Substr("char", 1, 1)), "h"),
]
NUMBERS: list[tuple[Expression, Any]] = [
    (f.Abs("small"), 3),
    (f.Abs("decimal"), decimal.Decimal("3.145")),
    (f.Ceil("double"), 3),
    (f.Ceil("decimal"), decimal.Decimal(4)),
    (f.Floor("double"), 2),
    (f.Floor("decimal"), decimal.Decimal(3)),
    (f.Round("decimal"), decimal.Decimal(3)),
    (f.Round("decimal", 1), decimal.Decimal("3.1")),
    (f.Round("decimal", precision=2), decimal.Decimal("3.15")),
    (f.Round("integer"), 7),
    (f.Sign("small"), -1),
    (f.Power("integer", 2), 49.0),
    (f.Sqrt("integer"), math.sqrt(7)),
    (f.Mod("integer", 4), 3.0),
    (f.Exp("double"), math.exp(2.5)),
    (f.Ln("double"), math.log(2.5)),
    (f.Log(Value(2), "integer"), math.log(7, 2)),
    (f.Sin("double"), math.sin(2.5)),
    (f.Cos("double"), math.cos(2.5)),
    (f.Tan("double"), math.tan(2.5)),
    (f.Cot("double"), 1 / math.tan(2.5)),
    (f.ASin(F("double") / Value(10.0)), math.asin(0.25)),
    (f.ACos(F("double") / Value(10.0)), math.acos(0.25)),
    (f.ATan("double"), math.atan(2.5)),
    (f.ATan2("double", "integer"), math.atan2(2.5, 7)),
    (f.Degrees("double"), math.degrees(2.5)),
    (f.Radians("double"), math.radians(2.5)),
]
CONVERSION: list[tuple[Expression, Any]] = [
    (f.Cast("integer", CharField()), "7"),
    (f.Cast("integer", "text"), "7"),
    (f.Cast("char", "varchar(3)"), "Hel"),
    (f.Cast("char", CharField(max_length=5)), "Hello"),
    (f.Cast("integer", FloatField()), 7.0),
    (f.Cast("integer", DecimalField(max_digits=8, decimal_places=2)), decimal.Decimal("7.00")),
    (f.Cast("decimal", DecimalField(max_digits=8, decimal_places=2)), decimal.Decimal("3.15")),
    (f.Cast("decimal", "text"), "3.145"),
    (f.Cast("decimal", IntegerField()), 3),
    (f.Cast("decimal", FloatField()), 3.145),
    (f.Cast("moment", DateField()), datetime.date(2024, 12, 30)),
    (f.Cast("moment", TimeField()), datetime.time(23, 59, 59, 999999)),
    (f.Cast("date", DateTimeField()), datetime.datetime(2024, 8, 17)),
    (f.Cast(f.Cast("date", CharField()), DateField()), datetime.date(2024, 8, 17)),
    (f.NullIf("integer", Value(8)), 7),
    (f.Greatest("small", "integer"), 7),
    (f.Least("small", "integer"), -3),
    (f.Greatest("decimal", "integer", output_field=DecimalField(max_digits=9, decimal_places=2)), decimal.Decimal(7)),
]
DATES: list[tuple[Expression, Any]] = [
    (f.ExtractYear("moment"), 2024),
    (f.ExtractIsoYear("moment"), 2025),
    (f.ExtractQuarter("moment"), 4),
    (f.ExtractMonth("date"), 8),
    (f.ExtractWeek("moment"), 1),
    (f.ExtractWeekDay("date"), 7),
    (f.ExtractIsoWeekDay("date"), 6),
    (f.ExtractDay("moment"), 30),
    (f.ExtractHour("moment"), 23),
    (f.ExtractMinute("time"), 8),
    (f.ExtractSecond("moment"), 59),
    (f.ExtractSecond("time"), 7),
    (f.ExtractDay("duration"), 2),
    (f.ExtractHour("duration"), 3),
    (f.ExtractMinute("duration"), 4),
    (f.ExtractSecond("duration"), 5),
    (f.Extract("date", "month"), 8),
    (f.TruncYear("date"), datetime.date(2024, 1, 1)),
    (f.TruncQuarter("date"), datetime.date(2024, 7, 1)),
    (f.TruncMonth("date"), datetime.date(2024, 8, 1)),
    (f.TruncWeek("date"), datetime.date(2024, 8, 12)),
    (f.TruncDay("date"), datetime.date(2024, 8, 17)),
    (f.TruncYear("moment"), datetime.datetime(2024, 1, 1)),
    (f.TruncQuarter("moment"), datetime.datetime(2024, 10, 1)),
    (f.TruncMonth("moment"), datetime.datetime(2024, 12, 1)),
    (f.TruncWeek("moment"), datetime.datetime(2024, 12, 30)),
    (f.TruncDay("moment"), datetime.datetime(2024, 12, 30)),
    (f.TruncHour("moment"), datetime.datetime(2024, 12, 30, 23)),
    (f.TruncMinute("moment"), datetime.datetime(2024, 12, 30, 23, 59)),
    (f.TruncSecond("moment"), datetime.datetime(2024, 12, 30, 23, 59, 59)),
    (f.TruncDate("moment"), datetime.date(2024, 12, 30)),
    (f.TruncTime("moment"), datetime.time(23, 59, 59, 999999)),
    (f.TruncHour("time"), datetime.time(9)),
    (f.TruncMinute("time"), datetime.time(9, 8)),
    (f.TruncSecond("time"), datetime.time(9, 8, 7)),
    (f.Trunc("moment", "month", output_field=DateField()), datetime.date(2024, 12, 1)),
    (f.Trunc("moment", "hour", output_field=TimeField()), datetime.time(23)),
]
EVERY = [*TEXT, *NUMBERS, *CONVERSION, *DATES]
IDS = [f"{type(each).__name__}-{number}" for number, (each, _) in enumerate(EVERY)]


async def test_functions_of_a_row(face: Face) -> None:
    await face(Everything.objects.create)(**ROW)
    for expression, expected in EVERY:
        (found,) = await face.rows(Everything.objects.annotate(x=expression).values_list("x", flat=True))
        if isinstance(expected, float):
            assert found == pytest.approx(expected), expression
            assert type(found) is float
        else:
            assert found == expected, expression
            assert type(found) is type(expected) or isinstance(expected, int), expression


async def test_functions_of_null_are_none(face: Face) -> None:
    await face(Everything.objects.create)()
    for expression, _ in EVERY:
        assert await face.rows(Everything.objects.annotate(x=expression).values_list("x", flat=True)) == [None], (
            expression
        )


async def test_every_result_can_be_compared_with_a_value(face: Face) -> None:
    await face(Everything.objects.create)(**ROW)
    for expression, expected in EVERY:
        if isinstance(expected, float):
            found = Everything.objects.annotate(x=expression).filter(x__gt=expected - 0.01, x__lt=expected + 0.01)
        else:
            found = Everything.objects.annotate(x=expression).filter(x=expected)
        assert await face(found.count)() == 1, expression


async def test_every_function_can_order_and_group(face: Face) -> None:
    await face(Everything.objects.bulk_create)([Everything(**ROW), Everything(**ROW), Everything()])
    from dorm import Count

    for expression, _ in EVERY:
        groups = Everything.objects.annotate(x=expression).values("x").annotate(n=Count("id")).order_by("n")
        assert [row["n"] for row in await face.rows(groups)] == [1, 2], expression


async def test_concat_takes_null_as_empty_text(face: Face) -> None:
    await face(Everything.objects.create)(char="a", integer=3)
    qs = Everything.objects.annotate(x=f.Concat("char", Value("-"), "text", "integer", output_field=TextField()))
    assert (await face(qs.get)()).x == "a-3"


async def test_coalesce_gives_the_first_that_is_not_null(face: Face) -> None:
    await face(Everything.objects.create)(char="a")
    qs = Everything.objects.annotate(
        one=f.Coalesce("text", "char", output_field=TextField()),
        two=f.Coalesce("decimal", Value(decimal.Decimal("1.5"))),
        three=f.Coalesce("small", "integer"),
    )
    row = await face(qs.get)()
    assert (row.one, row.two, row.three) == ("a", decimal.Decimal("1.5"), None)


async def test_greatest_and_least_with_null(face: Face, backend: str) -> None:
    await face(Everything.objects.create)(integer=3)
    row = await face(Everything.objects.annotate(x=f.Greatest("small", "integer"), y=f.Least("small", "integer")).get)()
    assert (row.x, row.y) == ((3, 3) if backend == "postgresql" else (None, None))


async def test_collate_orders_and_compares_by_the_collation(face: Face, backend: str) -> None:
    await face(Everything.objects.bulk_create)([Everything(char=text) for text in ("b", "A", "a", "B")])
    name = {"sqlite": "binary", "postgresql": "C"}[backend]
    ordered = Everything.objects.order_by(f.Collate("char", name).desc()).values_list("char", flat=True)
    assert await face.rows(ordered) == ["b", "a", "B", "A"]
    if backend == "sqlite":
        assert await face(Everything.objects.filter(char=f.Collate(Value("A"), "nocase")).count)() == 2


async def test_random_and_pi_and_now(face: Face) -> None:
    await face(Everything.objects.bulk_create)([Everything(), Everything()])
    rows = await face.rows(Everything.objects.annotate(x=f.Random(), pi=f.Pi(), now=f.Now()))
    assert all(0 <= row.x < 1 for row in rows)
    assert rows[0].x != rows[1].x
    assert rows[0].pi == math.pi
    assert abs((rows[0].now - datetime.datetime.now()).total_seconds()) < 60
    assert await face(Everything.objects.filter(moment__lt=f.Now()).count)() == 0


async def test_update_by_functions(face: Face) -> None:
    await face(Everything.objects.create)(char="Hello", integer=3)
    await face(Everything.objects.update)(char=f.Upper("char"), integer=f.Length("char"), moment=f.Now())
    row = await face(Everything.objects.get)()
    assert (row.char, row.integer) == ("HELLO", 5)
    assert isinstance(row.moment, datetime.datetime)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: f.Concat("char"), ValueError, "Concat must take at least two expressions"),
        (lambda: f.Coalesce("char"), ValueError, "Coalesce must take at least two expressions"),
        (lambda: f.Greatest("char"), ValueError, "Greatest must take at least two expressions"),
        (lambda: f.Least("char"), ValueError, "Least must take at least two expressions"),
        (lambda: f.Substr("char", 0), ValueError, "'pos' must be greater than 0"),
        (lambda: f.Left("char", 0), ValueError, "'length' must be greater than 0"),
        (lambda: f.Right("char", 0), ValueError, "'length' must be greater than 0"),
        (lambda: f.LPad("char", -1), ValueError, "'length' must be greater or equal to 0"),
        (lambda: f.Repeat("char", -1), ValueError, "'number' must be greater or equal to 0"),
        (lambda: f.Collate("char", 'x"; DROP'), ValueError, "Invalid collation name"),
        (lambda: f.Cast("char", "text); DROP TABLE x"), ValueError, "knows no type"),
        (lambda: f.Lower("char", "text"), TypeError, "takes exactly 1 argument"),
        (lambda: f.Extract("date"), ValueError, "lookup_name must be provided"),
        (lambda: f.Trunc("date", "century"), ValueError, "knows no unit"),
    ],
)
def test_arguments_that_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (f.ExtractHour("date"), "Cannot extract time component 'hour' from DateField 'date'"),
        (f.ExtractYear("time"), "Cannot extract"),
        (f.ExtractYear("duration"), "Cannot extract component 'year' from DurationField 'duration'"),
        (f.ExtractYear("char"), "Extract input expression must be"),
        (f.TruncHour("date"), "Cannot truncate DateField 'date' to DateTimeField"),
        (f.TruncYear("time"), "Cannot truncate TimeField 'time' to DateTimeField"),
        (f.Trunc("moment", "year", output_field=IntegerField()), "output_field must be either"),
    ],
)
def test_parts_that_an_expression_does_not_have(expression: Expression, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Everything.objects.annotate(x=expression)


@pytest.mark.parametrize(
    "expression",
    [
        f.Coalesce("text", "char"),
        f.Coalesce("char", "text"),
        f.Concat("char", "text"),
        f.Concat("char", "integer"),
        f.Greatest("integer", "small"),
        f.Least("decimal", "integer"),
        f.Coalesce("decimal", Value(0)),
        f.Coalesce("integer", Value("x")),
        f.Coalesce("date", "moment"),
    ],
)
def test_mixed_types_need_an_output_field(expression: Expression) -> None:
    with pytest.raises(FieldError, match=r"Expression contains mixed types: \w+, \w+. You must set output_field."):
        list(Everything.objects.annotate(x=expression))


def test_round_before_the_point(backend: str) -> None:
    Everything.objects.create(integer=1234)
    qs = Everything.objects.annotate(x=f.Round("integer", precision=-2)).values_list("x", flat=True)
    if backend == "sqlite":
        with pytest.raises(ValueError, match="does not support negative precision"):
            list(qs)
    else:
        assert list(qs) == [1200]
