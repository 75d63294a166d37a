"""The page "Window functions" of query expressions: functions, partitions, orders, frames, and what is refused."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

import dorm
from dorm import F, FieldError, OuterRef, Q, Value, Window, functions as fn
from tests.support.faces import Face


class Boss(dorm.Model):
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "doc_windows"


class Employee(dorm.Model):
    name = dorm.CharField(max_length=40)
    salary = dorm.PositiveIntegerField()
    dept = dorm.CharField(max_length=40)
    hired = dorm.DateField()
    age = dorm.IntegerField()
    bonus = dorm.DecimalField(max_digits=8, decimal_places=2, null=True)
    boss = dorm.ForeignKey(Boss, dorm.CASCADE, null=True)

    class Meta:
        app_label = "doc_windows"


MODELS = (Boss, Employee)

_STAFF: list[tuple[str, int, str, int, int, str | None]] = [
    ("Jones", 45000, "Accounting", 2005, 20, None),
    ("Williams", 37000, "Accounting", 2009, 20, "100.5"),
    ("Jenson", 45000, "Accounting", 2008, 20, None),
    ("Adams", 50000, "Accounting", 2013, 50, "7"),
    ("Smith", 55000, "Sales", 2007, 30, "1"),
    ("Brown", 53000, "Sales", 2009, 30, None),
    ("Johnson", 40000, "Marketing", 2012, 30, "3.25"),
    ("Smith", 38000, "Marketing", 2009, 20, None),
    ("Wilkinson", 60000, "IT", 2011, 40, "2"),
    ("Moore", 34000, "IT", 2013, 40, "1"),
    ("Miller", 100000, "Management", 2005, 40, None),
    ("Johnson", 80000, "Management", 2005, 50, None),
]


async def fill(face: Face) -> None:
    boss = await face(Boss.objects.create)(name="x")
    for number, (name, salary, dept, year, age, bonus) in enumerate(_STAFF):
        await face(Employee.objects.create)(
            name=name,
            salary=salary,
            dept=dept,
            hired=datetime.date(year, 6, 1),
            age=age,
            bonus=bonus,
            boss=None if number % 2 else boss,
        )


async def column(face: Face, expression: Any) -> list[Any]:
    rows = Employee.objects.annotate(x=expression).order_by("pk")
    return await face.rows(rows.values_list("x", flat=True))


async def salaries(face: Face, qs: Any) -> list[int]:
    return await face.rows(qs.order_by("salary", "pk").values_list("salary", flat=True))


VALUES: list[tuple[Callable[[], Any], list[Any]]] = [
    (lambda: Window(fn.RowNumber(), order_by="salary"), [5, 2, 6, 7, 9, 8, 4, 3, 10, 1, 12, 11]),
    (lambda: Window(fn.RowNumber(), order_by=["-salary", "pk"]), [7, 11, 8, 6, 4, 5, 9, 10, 3, 12, 1, 2]),
    (lambda: Window(fn.RowNumber(), order_by=F("salary").desc()), [7, 11, 8, 6, 4, 5, 9, 10, 3, 12, 1, 2]),
    (
        lambda: Window(fn.RowNumber(), order_by=[F("bonus").asc(nulls_last=True), "pk"]),
        [7, 6, 8, 5, 1, 9, 4, 10, 3, 2, 11, 12],
    ),
    (lambda: Window(fn.RowNumber(), partition_by="dept", order_by="pk"), [1, 2, 3, 4, 1, 2, 1, 2, 1, 2, 1, 2]),
    (lambda: Window(fn.RowNumber(), partition_by=["dept"], order_by=["pk"]), [1, 2, 3, 4, 1, 2, 1, 2, 1, 2, 1, 2]),
    (
        lambda: Window(fn.RowNumber(), partition_by=[F("dept"), "age"], order_by=["pk"]),
        [1, 2, 3, 1, 1, 2, 1, 1, 1, 2, 1, 1],
    ),
    (
        lambda: Window(fn.RowNumber(), partition_by=fn.Upper("dept"), order_by=fn.Lower("name").asc()),
        [3, 4, 2, 1, 2, 1, 1, 2, 2, 1, 2, 1],
    ),
    (lambda: Window(fn.Rank(), order_by="salary"), [5, 2, 5, 7, 9, 8, 4, 3, 10, 1, 12, 11]),
    (lambda: Window(fn.Rank(), order_by=fn.ExtractYear("hired").asc()), [1, 6, 5, 11, 4, 6, 10, 6, 9, 11, 1, 1]),
    (lambda: Window(fn.DenseRank(), order_by="hired__year"), [1, 4, 3, 7, 2, 4, 6, 4, 5, 7, 1, 1]),
    (lambda: Window(fn.DenseRank(), order_by="-hired"), [7, 4, 5, 1, 6, 4, 2, 4, 3, 1, 7, 7]),
    (
        lambda: Window(fn.PercentRank(), partition_by="dept", order_by="salary"),
        [0.333333333, 0.0, 0.333333333, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
    ),
    (
        lambda: Window(fn.CumeDist(), partition_by="dept", order_by="salary"),
        [0.75, 0.25, 0.75, 1.0, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5],
    ),
    (lambda: Window(fn.Ntile(num_buckets=4), order_by="-salary"), [3, 4, 3, 2, 2, 2, 3, 4, 1, 4, 1, 1]),
    (lambda: Window(fn.Ntile(), order_by="salary"), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    (
        lambda: Window(fn.Lag("salary"), partition_by="dept", order_by=["salary", "pk"]),
        [37000, None, 45000, 45000, 53000, None, 38000, None, 34000, None, 80000, None],
    ),
    (
        lambda: Window(fn.Lag("salary", 2), partition_by="dept", order_by=["salary", "pk"]),
        [None, None, 37000, 45000, None, None, None, None, None, None, None, None],
    ),
    (
        lambda: Window(fn.Lag("salary", offset=1, default=0), partition_by="dept", order_by=["salary", "pk"]),
        [37000, 0, 45000, 45000, 53000, 0, 38000, 0, 34000, 0, 80000, 0],
    ),
    (
        lambda: Window(fn.Lag("salary", default=Value(0)), order_by=["salary", "pk"]),
        [40000, 34000, 45000, 45000, 53000, 50000, 38000, 37000, 55000, 0, 80000, 60000],
    ),
    (
        lambda: Window(fn.Lag("salary", default=F("age")), order_by=["salary", "pk"]),
        [40000, 34000, 45000, 45000, 53000, 50000, 38000, 37000, 55000, 40, 80000, 60000],
    ),
    (
        lambda: Window(fn.Lag(expression="salary", offset=1), order_by=["pk"]),
        [None, 45000, 37000, 45000, 50000, 55000, 53000, 40000, 38000, 60000, 34000, 100000],
    ),
    (
        lambda: Window(fn.Lead("salary"), order_by=["pk"]),
        [37000, 45000, 50000, 55000, 53000, 40000, 38000, 60000, 34000, 100000, 80000, None],
    ),
    (
        lambda: Window(fn.Lead("salary", 2, 0), order_by=["pk"]),
        [45000, 50000, 55000, 53000, 40000, 38000, 60000, 34000, 100000, 80000, 0, 0],
    ),
    (
        lambda: Window(fn.Lead("hired"), order_by=["pk"]),
        [
            datetime.date(2009, 6, 1),
            datetime.date(2008, 6, 1),
            datetime.date(2013, 6, 1),
            datetime.date(2007, 6, 1),
            datetime.date(2009, 6, 1),
            datetime.date(2012, 6, 1),
            datetime.date(2009, 6, 1),
            datetime.date(2011, 6, 1),
            datetime.date(2013, 6, 1),
            datetime.date(2005, 6, 1),
            datetime.date(2005, 6, 1),
            None,
        ],
    ),
    (
        lambda: Window(fn.FirstValue("salary"), partition_by="dept", order_by=["hired", "pk"]),
        [45000, 45000, 45000, 45000, 55000, 55000, 38000, 38000, 60000, 60000, 100000, 100000],
    ),
    (
        lambda: Window(fn.LastValue("salary"), partition_by="dept", order_by=["hired", "pk"]),
        [45000, 37000, 45000, 50000, 55000, 53000, 40000, 38000, 60000, 34000, 100000, 80000],
    ),
    (
        lambda: Window(fn.LastValue("salary"), partition_by="dept", order_by=["hired", "pk"], frame=dorm.RowRange()),
        [50000, 50000, 50000, 50000, 53000, 53000, 40000, 40000, 34000, 34000, 80000, 80000],
    ),
    (
        lambda: Window(
            fn.LastValue("salary"), partition_by="dept", order_by=["hired", "pk"], frame=dorm.ValueRange(None, None)
        ),
        [50000, 50000, 50000, 50000, 53000, 53000, 40000, 40000, 34000, 34000, 80000, 80000],
    ),
    (
        lambda: Window(fn.NthValue("salary", 2), order_by=["-salary"]),
        [80000, 80000, 80000, 80000, 80000, 80000, 80000, 80000, 80000, 80000, None, 80000],
    ),
    (
        lambda: Window(fn.NthValue("salary", nth=2), partition_by="dept", order_by=["salary", "pk"]),
        [45000, None, 45000, 45000, 55000, None, 40000, None, 60000, None, 100000, None],
    ),
    (
        lambda: Window(fn.NthValue("salary"), order_by="pk"),
        [45000, 45000, 45000, 45000, 45000, 45000, 45000, 45000, 45000, 45000, 45000, 45000],
    ),
    (
        lambda: Window(fn.FirstValue(fn.Lower("name")), order_by="pk"),
        ["jones", "jones", "jones", "jones", "jones", "jones", "jones", "jones", "jones", "jones", "jones", "jones"],
    ),
    (
        lambda: Window(dorm.Sum("salary"), partition_by="dept"),
        [177000, 177000, 177000, 177000, 108000, 108000, 78000, 78000, 94000, 94000, 180000, 180000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), partition_by="dept", order_by="hired"),
        [45000, 127000, 90000, 177000, 55000, 108000, 78000, 38000, 60000, 94000, 180000, 180000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by=["hired"]),
        [225000, 453000, 325000, 637000, 280000, 453000, 553000, 453000, 513000, 637000, 225000, 225000],
    ),
    (
        lambda: Window(dorm.Avg("salary"), partition_by="dept", order_by=["hired", "pk"]),
        [
            45000.0,
            42333.3333,
            45000.0,
            44250.0,
            55000.0,
            54000.0,
            39000.0,
            38000.0,
            60000.0,
            47000.0,
            100000.0,
            90000.0,
        ],
    ),
    (lambda: Window(dorm.Count("*"), partition_by="dept"), [4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2]),
    (lambda: Window(dorm.Count("pk"), partition_by="age"), [4, 4, 4, 2, 3, 3, 3, 4, 3, 3, 3, 2]),
    (lambda: Window(dorm.Count("bonus"), partition_by="age"), [1, 1, 1, 1, 2, 2, 2, 1, 2, 2, 2, 1]),
    (
        lambda: Window(dorm.Min("salary"), partition_by="dept"),
        [37000, 37000, 37000, 37000, 53000, 53000, 38000, 38000, 34000, 34000, 80000, 80000],
    ),
    (
        lambda: Window(dorm.Max("salary"), partition_by=[F("dept"), F("hired__year")]),
        [45000, 37000, 45000, 50000, 55000, 53000, 40000, 38000, 60000, 34000, 100000, 100000],
    ),
    (
        lambda: Window(dorm.Sum("salary", filter=dorm.Q(age__gt=20)), partition_by="dept"),
        [50000, 50000, 50000, 50000, 108000, 108000, 40000, 40000, 94000, 94000, 180000, 180000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start=-1, end=1)),
        [82000, 127000, 132000, 150000, 158000, 148000, 131000, 138000, 132000, 194000, 214000, 180000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start=-1, end=0)),
        [45000, 82000, 82000, 95000, 105000, 108000, 93000, 78000, 98000, 94000, 134000, 180000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start=None, end=0)),
        [45000, 82000, 127000, 177000, 232000, 285000, 325000, 363000, 423000, 457000, 557000, 637000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start=0, end=None)),
        [637000, 592000, 555000, 510000, 460000, 405000, 352000, 312000, 274000, 214000, 180000, 80000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start=1, end=3)),
        [132000, 150000, 158000, 148000, 131000, 138000, 132000, 194000, 214000, 180000, 80000, None],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start=-3, end=-1)),
        [None, 45000, 82000, 127000, 132000, 150000, 158000, 148000, 131000, 138000, 132000, 194000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(None, None)),
        [637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(-1)),
        [637000, 637000, 592000, 555000, 510000, 460000, 405000, 352000, 312000, 274000, 214000, 180000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange()),
        [637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(end=0)),
        [45000, 82000, 127000, 177000, 232000, 285000, 325000, 363000, 423000, 457000, 557000, 637000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="hired", frame=dorm.ValueRange()),
        [637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="hired", frame=dorm.ValueRange(None, 0)),
        [225000, 453000, 325000, 637000, 280000, 453000, 553000, 453000, 513000, 637000, 225000, 225000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="hired", frame=dorm.ValueRange(0, None)),
        [637000, 312000, 357000, 84000, 412000, 312000, 124000, 312000, 184000, 84000, 637000, 637000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by="hired", frame=dorm.ValueRange(0, 0)),
        [225000, 128000, 45000, 84000, 55000, 128000, 40000, 128000, 60000, 84000, 225000, 225000],
    ),
    (
        lambda: Window(
            dorm.Sum("salary"),
            order_by=["age", "pk"],
            frame=dorm.RowRange(-1, 1, exclusion=dorm.WindowFrameExclusion.CURRENT_ROW),
        ),
        [37000, 90000, 75000, 180000, 91000, 95000, 113000, 100000, 74000, 160000, 84000, 50000],
    ),
    (
        lambda: Window(
            dorm.Sum("salary"),
            order_by=["age"],
            frame=dorm.ValueRange(None, None, exclusion=dorm.WindowFrameExclusion.GROUP),
        ),
        [472000, 472000, 472000, 507000, 489000, 489000, 489000, 472000, 443000, 443000, 443000, 507000],
    ),
    (
        lambda: Window(
            dorm.Sum("salary"),
            order_by=["age"],
            frame=dorm.ValueRange(None, None, exclusion=dorm.WindowFrameExclusion.NO_OTHERS),
        ),
        [637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), order_by=()),
        [637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), partition_by=5),
        [637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000, 637000],
    ),
    (
        lambda: Window(dorm.Sum("salary"), output_field=dorm.FloatField()),
        [
            637000.0,
            637000.0,
            637000.0,
            637000.0,
            637000.0,
            637000.0,
            637000.0,
            637000.0,
            637000.0,
            637000.0,
            637000.0,
            637000.0,
        ],
    ),
]

REFUSED: list[tuple[Callable[[], Any], type[Exception]]] = [
    (lambda: Window(fn.Ntile(0), order_by="salary"), ValueError),
    (lambda: Window(fn.Ntile(-1), order_by="salary"), ValueError),
    (lambda: Window(fn.Lag("salary", 0)), ValueError),
    (lambda: Window(fn.Lag("salary", -1)), ValueError),
    (lambda: Window(fn.Lag("salary", None)), ValueError),
    (lambda: Window(fn.Lag(None)), ValueError),
    (lambda: Window(fn.Lag()), TypeError),
    (lambda: Window(fn.Lead("salary", -1)), ValueError),
    (lambda: Window(fn.NthValue("salary", 0)), ValueError),
    (lambda: Window(fn.NthValue("salary", -1)), ValueError),
    (lambda: Window(fn.NthValue(None, 1)), ValueError),
    (lambda: Window(fn.NthValue("salary", None)), ValueError),
    (lambda: Window(fn.Coalesce(dorm.Sum("bonus"), 0), partition_by="dept"), ValueError),
    (lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start=3, end=1)), ValueError),
    (lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start=-1, end=-3)), ValueError),
    (lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start="a", end=1)), ValueError),
    (lambda: Window(dorm.Sum("salary"), order_by="pk", frame=dorm.RowRange(start=1.5, end=2)), ValueError),
    (lambda: Window(dorm.Sum("salary"), order_by="age", frame=dorm.ValueRange("a", 0)), ValueError),
    (
        lambda: Window(dorm.Sum("salary"), order_by=["age"], frame=dorm.RowRange(-1, 1, exclusion="CURRENT ROW")),
        TypeError,
    ),
    (lambda: Window(fn.Upper("name")), ValueError),
    (lambda: Window(F("salary")), ValueError),
    (lambda: Window(Value(1)), ValueError),
    (lambda: Window(dorm.Sum("salary"), order_by=3), ValueError),
    (lambda: Window(dorm.Sum("salary"), order_by=True), ValueError),
    (lambda: Window(dorm.Sum("salary"), order_by={"-dept"}), ValueError),
    (lambda: Window(fn.Cast(dorm.Sum("salary"), dorm.FloatField()), partition_by="dept"), ValueError),
    (lambda: Window(fn.Round(dorm.Avg("salary")), partition_by="dept"), ValueError),
]


async def test_values(face: Face) -> None:
    await fill(face)
    for number, (make, expected) in enumerate(VALUES):
        near = [pytest.approx(value) if isinstance(value, float) else value for value in expected]
        assert await column(face, make()) == near, f"case {number}: {make()!r}"


async def test_refusals(face: Face) -> None:
    await fill(face)
    for number, (make, error) in enumerate(REFUSED):
        with pytest.raises(error):
            await column(face, make())
            pytest.fail(f"case {number} was taken")


def _rank() -> Window:
    return Window(fn.Rank(), order_by="-salary")


async def test_filters_on_windows(face: Face) -> None:
    await fill(face)
    ranked = Employee.objects.annotate(r=_rank())
    assert await salaries(face, ranked.filter(r__lte=3)) == [60000, 80000, 100000]
    assert await salaries(face, ranked.exclude(r__gt=3)) == [60000, 80000, 100000]
    assert await salaries(face, ranked.filter(Q(r=1) | Q(salary=34000))) == [34000, 100000]
    assert len(await salaries(face, ranked.filter(~Q(r=1)))) == 11
    top = ranked.filter(r__lte=3)
    assert await face(top.count)() == 3
    assert await face(top.exists)()
    assert await face(top.aggregate)(x=dorm.Sum("salary"), y=dorm.Max("r")) == {"x": 240000, "y": 3}
    assert (await face(ranked.filter(r=1).get)()).name == "Miller"
    # A window is computed over the rows that the conditions of their own columns leave.
    best = Employee.objects.annotate(r=Window(fn.RowNumber(), partition_by="dept", order_by=["-salary", "pk"]))
    names = best.filter(r=1, age__gt=30).order_by("dept").values_list("name", flat=True)
    assert await face.rows(names) == ["Adams", "Wilkinson", "Miller"]
    again = top.annotate(q=Window(fn.Rank(), order_by="salary")).filter(q__gte=11)
    assert await salaries(face, again) == [80000, 100000]


async def test_windows_in_expressions_groups_and_subqueries(face: Face) -> None:
    await fill(face)
    behind = Window(dorm.Max("salary"), partition_by="dept") - F("salary")
    assert (await column(face, behind))[:4] == [5000, 13000, 5000, 0]
    share = F("salary") * 1.0 / Window(dorm.Sum("salary"))
    assert sum(await column(face, share)) == pytest.approx(1)
    totals = Employee.objects.values("dept").annotate(
        s=dorm.Sum("salary"), r=Window(fn.Rank(), order_by=dorm.Sum("salary").desc())
    )
    rows = await face.rows(totals.order_by("r").values_list("dept", "s", "r"))
    assert [rows[0], rows[-1]] == [("Management", 180000, 1), ("Marketing", 78000, 5)]
    with pytest.raises(FieldError, match="aggregate itself"):
        Window(dorm.Sum(dorm.Sum("salary")))
    numbered = Employee.objects.filter(boss=OuterRef("pk")).annotate(r=Window(fn.RowNumber(), order_by="-salary"))
    best = Boss.objects.annotate(top=dorm.Subquery(numbered.filter(r=1).values("name")))
    assert (await face(best.get)()).top == "Miller"
    assert (
        await face(Boss.objects.filter(pk__in=Employee.objects.annotate(r=_rank()).filter(r=1).values("boss")).count)()
        == 1
    )
    ordered = Employee.objects.order_by(Window(fn.Rank(), order_by="salary").desc(), "pk")
    assert (await face.rows(ordered))[0].salary == 100000


async def test_windows_are_not_written(face: Face) -> None:
    with pytest.raises(FieldError):
        await face(Employee.objects.update)(age=Window(dorm.Max("age")))
    with pytest.raises(FieldError):
        await face(Employee.objects.annotate(r=Window(dorm.Max("age"))).update)(age=F("r"))


async def test_the_result_is_of_the_type_that_is_asked_for(face: Face) -> None:
    await fill(face)
    values = await column(face, Window(dorm.Sum("salary"), output_field=dorm.FloatField()))
    assert [type(value) for value in values] == [float] * 12


async def test_default_of_an_aggregate_in_a_window(face: Face) -> None:
    await fill(face)
    values = await column(face, Window(dorm.Sum("bonus", default=0), partition_by="dept"))
    assert values[0] == values[3] > 0
    assert values[-1] == 0


def test_frames_tell_what_they_are() -> None:
    assert (dorm.RowRange().frame_type, dorm.ValueRange().frame_type) == ("ROWS", "RANGE")
    assert [(each.name, each.value) for each in dorm.WindowFrameExclusion] == [
        ("CURRENT_ROW", "CURRENT ROW"),
        ("GROUP", "GROUP"),
        ("TIES", "TIES"),
        ("NO_OTHERS", "NO OTHERS"),
    ]
    assert dorm.RowRange(1, 2) == dorm.RowRange(1, 2) != dorm.RowRange(1, 3)
    assert _rank() == _rank() != Window(fn.Rank(), order_by="salary")
    assert Window(dorm.Sum("a")).contains_over_clause
    assert (Window(dorm.Sum("a")) + 1).contains_over_clause
    assert not dorm.Sum("a").contains_over_clause
    assert [each.window_compatible for each in (dorm.Sum("a"), fn.Rank(), fn.Lower("a"))] == [True, True, False]
