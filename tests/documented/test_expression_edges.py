"""Corners of the pages on expressions and aggregation: conditions as operands, references to a query around, groups."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import (
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from dorm.functions import (
    Abs,
    Coalesce,
    DenseRank,
    ExtractYear,
    Greatest,
    Lag,
    RowNumber,
    StrIndex,
    TruncDate,
    TruncDay,
    TruncMonth,
)
from dorm.lookups import GreaterThan, IsNull
from tests.support.faces import Face


class Shelf(dorm.Model):
    code = dorm.CharField(max_length=10)
    number = dorm.BigIntegerField(default=0)

    class Meta:
        app_label = "doc_edges"


class Tome(dorm.Model):
    shelf = dorm.ForeignKey(Shelf, on_delete=dorm.CASCADE, null=True, related_name="tomes")
    title = dorm.CharField(max_length=10)
    pages = dorm.IntegerField(null=True)
    lent = dorm.BooleanField(null=True)
    bought = dorm.DateTimeField(null=True)

    class Meta:
        app_label = "doc_edges"


MODELS = (Shelf, Tome)


async def fill(face: Face) -> None:
    """Shelf 1 "a" has tomes 1 and 2, shelf 2 "b" has 3, shelf 3 "c" none, tome 4 no shelf."""
    await face(Shelf.objects.bulk_create)([Shelf(id=n, code=code, number=10 * n) for n, code in enumerate("abc", 1)])
    rows: tuple[tuple[Any, ...], ...] = (
        (1, 1, "one", 5, True, datetime.datetime(2020, 3, 4, 5)),
        (2, 1, "two", None, False, datetime.datetime(2021, 3, 4, 5)),
        (3, 2, "three", 30, None, datetime.datetime(2022, 3, 4, 5)),
        (4, None, "four", 1, True, None),
    )
    await face(Tome.objects.bulk_create)(
        [
            Tome(id=key, shelf_id=shelf, title=title, pages=pages, lent=lent, bought=bought)
            for key, shelf, title, pages, lent, bought in rows
        ]
    )


# -- conditions as operands ----------------------------------------------------------------------------------------

CONDITIONS: list[tuple[Any, list[int]]] = [
    (GreaterThan(F("pages"), F("id")), [1]),
    (IsNull(F("pages"), False), [1, 4]),
    (IsNull(F("pages"), True), []),
    (Q(pages__gt=3), [1]),
    (~Q(pages__gt=3), [4]),
    (Q(pages__in=[5, 1]), [1, 4]),
    (Q(pages__range=(1, 9)), [1, 4]),
    (Q(pages=1) | Q(title="one"), [1, 4]),
    (Exists(Shelf.objects.filter(pk=OuterRef("shelf"), code="a")), [1]),
    (~Exists(Shelf.objects.filter(pk=OuterRef("shelf"), code="a")), [4]),
    (ExpressionWrapper(GreaterThan(F("pages"), F("id")), output_field=dorm.BooleanField()), [1]),
    (~F("lent"), []),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS, ids=[str(n) for n in range(len(CONDITIONS))])
async def test_conditions_are_values(face: Face, condition: Any, expected: list[int]) -> None:
    await fill(face)
    lent = Tome.objects.filter(lent__isnull=False).order_by("pk").values_list("pk", flat=True)
    true = await face.rows(lent.filter(lent=True).filter(lent=condition))
    assert true == expected
    assert await face.rows(lent.annotate(flag=condition).filter(lent=True, flag=F("lent"))) == expected
    assert await face.rows(lent.annotate(flag=condition).filter(lent=True, flag=True)) == expected
    assert await face.rows(lent.filter(lent=True, lent__in=[condition, None])) == expected
    known = await face.rows(lent.annotate(flag=condition).filter(lent=True, flag__isnull=False))
    assert set(known) >= set(expected)
    ordered = Tome.objects.filter(lent=True).annotate(flag=condition).order_by("flag", "pk")
    assert [row.pk for row in await face.rows(ordered) if row.flag] == expected


async def test_a_subquery_of_a_boolean_is_a_condition(face: Face) -> None:
    await fill(face)
    lent = Subquery(Tome.objects.filter(shelf=OuterRef("pk")).order_by("pk").values("lent")[:1])
    assert [shelf.code for shelf in await face.rows(Shelf.objects.filter(lent))] == ["a"]
    assert [shelf.code for shelf in await face.rows(Shelf.objects.exclude(lent))] == []
    assert [shelf.code for shelf in await face.rows(Shelf.objects.filter(Q(lent) | Q(code="c")).order_by("code"))] == [
        "a",
        "c",
    ]
    case = Case(When(lent, then=Value("lent")), default=Value("here"))
    rows = Shelf.objects.annotate(x=case).order_by("code").values_list("x", flat=True)
    assert await face.rows(rows) == ["lent", "here", "here"]
    assert type(Subquery(Tome.objects.values("pages")).queryset) is type(Tome.objects.values("pages"))
    for wrong in (Tome.objects.values("pages"), Tome.objects.values("pages", "lent"), Tome.objects.all()):
        with pytest.raises(TypeError, match="no condition"):
            Shelf.objects.filter(Subquery(wrong))


# -- references to the query around --------------------------------------------------------------------------------

MOMENTS: list[tuple[Any, Any]] = [
    (TruncDay(OuterRef("tomes__bought")), datetime.datetime(2022, 3, 4)),
    (TruncMonth(OuterRef("tomes__bought")), datetime.datetime(2022, 3, 1)),
    (TruncMonth(OuterRef("tomes__bought"), output_field=dorm.DateField()), datetime.date(2022, 3, 1)),
    (TruncDate(OuterRef("tomes__bought")), datetime.date(2022, 3, 4)),
    (ExtractYear(OuterRef("tomes__bought")), 2022),
]


@pytest.mark.parametrize(("expression", "expected"), MOMENTS, ids=[str(n) for n in range(len(MOMENTS))])
async def test_parts_of_a_moment_of_the_query_around(face: Face, expression: Any, expected: Any) -> None:
    await fill(face)
    inner = Shelf.objects.order_by("pk").annotate(x=expression).values("x")[:1]
    row = await face(Shelf.objects.annotate(x=Subquery(inner)).get)(code="b")
    assert row.x == expected
    assert type(row.x) is type(expected)
    with pytest.raises((ValueError, TypeError)):
        await face.rows(
            Shelf.objects.annotate(x=Subquery(Shelf.objects.annotate(x=ExtractYear(OuterRef("code"))).values("x")[:1]))
        )


ELSEWHERE: list[Any] = [
    Shelf.objects.exclude(tomes__title=OuterRef("title")),
    Shelf.objects.filter(~Q(tomes__title=OuterRef("title"), tomes__pages__isnull=False)),
    Shelf.objects.exclude(Q(tomes__title__iexact=OuterRef("title")) | Q(code=OuterRef("title"))),
    Shelf.objects.exclude(tomes__in=Tome.objects.filter(title=OuterRef(OuterRef("title")))),
    Shelf.objects.exclude(tomes__pk=OuterRef("pk")),
]


@pytest.mark.parametrize("inner", ELSEWHERE, ids=[str(n) for n in range(len(ELSEWHERE))])
async def test_negated_conditions_over_partners_take_references(face: Face, inner: Any) -> None:
    await fill(face)
    elsewhere = Exists(inner.filter(code="a"))
    assert await face.rows(Tome.objects.filter(elsewhere).order_by("pk").values_list("pk", flat=True)) == [3, 4]
    rows = Tome.objects.annotate(x=elsewhere).order_by("pk").values_list("x", flat=True)
    assert await face.rows(rows) == [False, False, True, True]
    first = Subquery(inner.order_by("code").values("code")[:1])
    rows = Tome.objects.annotate(x=first).order_by("pk").values_list("x", flat=True)
    assert await face.rows(rows) == ["b", "b", "a", "a"]


# -- whole numbers -------------------------------------------------------------------------------------------------

TOTALS: list[Any] = [
    Sum("number") + 1,
    1 + Sum("number"),
    Sum("number") * Count("pk"),
    Sum("number") % 7,
    -Sum("number"),
    Abs(Sum("number")),
    Coalesce(Sum("number"), 0),
    Coalesce(Sum("number", filter=Q(code="z")), Count("pk")),
    Greatest(Sum("number"), Count("pk")),
    Case(When(code__gt="", then=Sum("number")), default=0),
    Case(When(code__lt="", then=Count("pk")), default=Sum("number")),
    Coalesce(Sum("number") + Sum("number"), Value(3)),
]


@pytest.mark.parametrize("total", TOTALS, ids=repr)
async def test_sums_of_large_numbers_stay_whole(face: Face, total: Any) -> None:
    await fill(face)
    rows = await face.rows(Shelf.objects.values("code").annotate(x=total).order_by("code").values_list("x", flat=True))
    assert [type(x) for x in rows] == [int] * 3
    outer = Shelf.objects.filter(pk=OuterRef("pk")).values("code").annotate(x=total).values("x")
    assert (
        await face.rows(Shelf.objects.annotate(x=Subquery(outer)).order_by("code").values_list("x", flat=True)) == rows
    )


# -- groups --------------------------------------------------------------------------------------------------------


async def test_a_case_over_an_aggregate_groups_by_what_it_asks(face: Face) -> None:
    await fill(face)
    case = Case(When(Q(tomes__pages__lt=10), then=F("tomes__pages")), default=F("most"))
    rows = Shelf.objects.annotate(most=Max("tomes__pages")).annotate(x=case).order_by("code", "x")
    assert [(shelf.code, shelf.x) for shelf in await face.rows(rows.filter(x__isnull=False))] == [("a", 5), ("b", 30)]
    parts = TruncDate("tomes__bought") - Case(
        When(tomes__pages__lt=10, then=TruncDate("tomes__bought")), default=F("last")
    )
    dated = Shelf.objects.filter(code__lt="c").annotate(last=Max(TruncDate("tomes__bought"))).annotate(x=parts)
    assert {shelf.x for shelf in await face.rows(dated)} == {datetime.timedelta()}


async def test_windows_over_groups_are_ordered_as_they_say(face: Face) -> None:
    await fill(face)
    place = Window(DenseRank(), order_by=[F("n").desc(nulls_last=True), F("code").asc(nulls_first=True)])
    rows = Shelf.objects.values("code").annotate(n=Count("tomes")).annotate(place=place).order_by("place")
    assert [(row["code"], row["n"], row["place"]) for row in await face.rows(rows)] == [
        ("a", 2, 1),
        ("b", 1, 2),
        ("c", 0, 3),
    ]
    shelf = Window(RowNumber(), order_by=[F("tomes__shelf__code").asc(nulls_last=True), F("pk").desc()])
    objects = Shelf.objects.annotate(n=Count("tomes"), place=shelf).order_by("pk")
    assert [(each.n, each.place) for each in await face.rows(objects)] == [(2, 1), (1, 2), (0, 3)]


async def test_windows_read_what_belongs_to_the_group(face: Face) -> None:
    await fill(face)
    before = Window(Lag(F("shelf__number") / 10), partition_by=[Exists(Shelf.objects.none())], order_by="pk")
    rows = Tome.objects.annotate(n=Count("shelf__tomes"), before=before).order_by("pk")
    assert [(tome.n, tome.before) for tome in await face.rows(rows)] == [(2, None), (2, 1), (1, 1), (0, 2)]
    total = Window(Sum("shelf__number"), order_by="pk")
    rows = Tome.objects.annotate(n=Count("shelf__tomes"), total=total).order_by("pk")
    assert [tome.total for tome in await face.rows(rows)] == [10, 20, 40, 40]


def test_windows_do_not_make_groups() -> None:
    numbered = Tome.objects.annotate(place=Window(RowNumber(), order_by="pk"))
    for grouped in (numbered.values("place"), numbered.values("shelf", "place")):
        with pytest.raises(dorm.NotSupportedError, match="Cannot group by 'place'"):
            grouped.annotate(n=Count("pk"))


async def test_conditions_within_conditions_share_their_partners(face: Face) -> None:
    await fill(face)
    inner = Case(When(GreaterThan(F("tomes__pages"), F("tomes__id")), then=F("tomes__title")))
    rows = Shelf.objects.filter(code__lt=Case(When(Q(tomes__title=inner), then=F("tomes__title"))))
    assert [shelf.code for shelf in await face.rows(rows.order_by("code"))] == ["a", "b"]
    assert rows.sql()[0].count("JOIN") == 1


async def test_an_alias_says_which_rows_are_aggregated(face: Face) -> None:
    await fill(face)
    few = Tome.objects.alias(few=F("pages")).aggregate
    assert await face(few)(n=Count("pk", filter=Q(few__lt=9))) == {"n": 2}
    held = Shelf.objects.alias(held=Count("tomes")).aggregate
    assert await face(held)(n=Count("pk", filter=Q(held__gt=0)), m=Max("number", filter=Q(held=1))) == {"n": 2, "m": 20}
    for wrong in (Sum("held"), Count("pk", filter=Q(number=F("held")))):
        with pytest.raises(dorm.FieldError, match="Cannot aggregate over the 'held' alias"):
            await face(held)(n=wrong)


# -- orders --------------------------------------------------------------------------------------------------------


async def test_constants_order_nothing_that_is_distinct(face: Face) -> None:
    await fill(face)
    rows = (
        Tome.objects.values_list("lent", flat=True)
        .distinct()
        .order_by(StrIndex(Value("abc"), Value("b")).asc(nulls_first=True), F("lent").asc(nulls_last=True))
    )
    assert await face.rows(rows) == [False, True, None]


async def test_distinct_rows_in_any_order_are_those_of_the_table(face: Face) -> None:
    await fill(face)
    rows = await face.rows(Tome.objects.distinct().order_by("?"))
    assert {row.pk for row in rows} == {1, 2, 3, 4}
    # As in Django, what orders the rows is selected with them.
    assert len(await face.rows(Tome.objects.values("lent").distinct().order_by("?"))) == 4


async def test_a_key_of_an_order_that_is_given_twice_decides_once(face: Face) -> None:
    await fill(face)
    rows = Tome.objects.annotate(x=F("shelf__code")).order_by("x", "-pk", "x", "-x").values_list("pk", flat=True)
    assert [pk for pk in await face.rows(rows) if pk != 4] == [2, 1, 3]
    assert rows.sql()[0].count("ORDER BY") == 1
    assert rows.sql()[0].partition("ORDER BY")[2].count(",") == 1


async def test_distinct_columns_are_those_of_the_order(face: Face, backend: str) -> None:
    if backend != "postgresql":
        with pytest.raises(dorm.NotSupportedError, match="DISTINCT ON"):
            await face.rows(Tome.objects.order_by("lent").distinct("lent"))
        return
    await fill(face)
    first = Shelf.objects.order_by("tomes__lent", "pk").distinct("tomes__lent")
    assert [shelf.code for shelf in await face.rows(first)] == ["a", "a", "b"]
    chosen = first.filter(Q(tomes__pages__gt=1) | Q(code="c"))
    assert [shelf.code for shelf in await face.rows(chosen)] == ["a", "b"]
    again = Tome.objects.order_by("shelf__code", "pk").distinct("shelf__code").order_by("lent", "pk").distinct("lent")
    assert [tome.pk for tome in await face.rows(again)] == [2, 1, 3]
    assert "JOIN" not in again.sql()[0]
    with pytest.raises(dorm.FieldError, match="nope"):
        Shelf.objects.distinct("nope")


async def test_reverse_stays_behind_another_order(face: Face) -> None:
    await fill(face)
    assert await face.rows(Shelf.objects.reverse().order_by("pk").values_list("pk", flat=True)) == [3, 2, 1]
    assert await face.rows(Shelf.objects.order_by("pk").reverse().order_by("-pk").values_list("pk", flat=True)) == [
        1,
        2,
        3,
    ]
    assert (await face(Shelf.objects.reverse().order_by().first)()).pk == 3
    assert (await face(Shelf.objects.reverse().order_by("pk").last)()).pk == 1
