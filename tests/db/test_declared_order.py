"""Meta.ordering by expressions that hold values, also those of subqueries; comparisons as classes with any number."""

from __future__ import annotations

import decimal
from typing import Any

import pytest

import dorm
from dorm import Exists, F, OuterRef, Q, Subquery, Value
from dorm.lookups import GreaterThan, In, LessThan
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Rating(dorm.Model):
    film = dorm.IntegerField()
    stars = dorm.DecimalField(max_digits=4, decimal_places=2)
    lang = dorm.CharField(max_length=5, default="en")

    class Meta:
        app_label = "declared_order"


_GOOD = Rating.objects.filter(film=OuterRef("code"), stars__gte=decimal.Decimal("4.5"), lang__in=["en", "de"])
_BEST = (
    Rating.objects.filter(Q(film=OuterRef("code")) & Q(pk__in=Rating.objects.filter(stars__lt=9)))
    .order_by("-stars")
    .values("stars")[:1]
)


class Film(dorm.Model):
    code = dorm.IntegerField()
    title = dorm.CharField(max_length=20)

    class Meta:
        app_label = "declared_order"
        ordering = [Exists(_GOOD).desc(), Subquery(_BEST).desc(), (F("code") * Value(-1)).asc()]


class Ticket(dorm.Model):
    film = dorm.ForeignKey(Film, dorm.CASCADE)

    class Meta:
        app_label = "declared_order"
        ordering = ["film"]


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables([Rating, Film, Ticket])


async def films(face: Face) -> None:
    for code, title in enumerate(["none", "good", "poor", "late"]):
        film = await face(Film.objects.create)(code=code, title=title)
        await face(Ticket.objects.create)(film=film)
    for film, stars, lang in ((1, "4.50", "de"), (2, "2.00", "en"), (3, "3.00", "en"), (3, "5.00", "fr")):
        await face(Rating.objects.create)(film=film, stars=decimal.Decimal(stars), lang=lang)


async def test_rows_come_in_the_declared_order(face: Face) -> None:
    await films(face)
    # On SQLite NULL is the least of all, on PostgreSQL the greatest.
    first = [each.title for each in await face.rows(Film.objects.exclude(title="none"))]
    assert first == ["good", "late", "poor"]
    assert [each.title for each in await face.rows(Film.objects.exclude(code=0).reverse())] == first[::-1]
    best = await face(Film.objects.filter(code__gt=0).first)()
    last = await face(Film.objects.filter(code__lt=9, code__gt=1).last)()
    assert (best.title, last.title) == ("good", "poor")
    tickets: Any = await face.rows(Ticket.objects.filter(film__code__gt=0).select_related("film"))
    assert [each.film.title for each in tickets] == first
    found = await face.rows(Film.objects.filter(code__in=[2, 3]).values_list("title", flat=True)[:1])
    assert found == ["late"]


async def test_the_declared_values_are_apart_from_those_of_a_query(face: Face) -> None:
    await films(face)
    for code in (1, 2, 3):
        rows = await face.rows(Film.objects.filter(Q(code=code) | Q(title="none", code__gt=5)))
        assert [each.code for each in rows] == [code]
    assert await face(Film.objects.filter(title__in=["good", "poor"]).count)() == 2


async def test_whole_numbers_are_compared_with_any_number(face: Face) -> None:
    await films(face)

    async def codes(*conditions: Any) -> list[int]:
        return sorted(each.code for each in await face.rows(Film.objects.filter(*conditions)))

    assert await codes(GreaterThan(F("code"), 1.5)) == [2, 3]
    assert await codes(LessThan(F("code"), 1.5), ~Q(title="none")) == [1]
    assert await codes(GreaterThan(F("code"), 10**30)) == []
    assert await codes(In(F("code"), [1, 2.5])) == [1]
    # The other conditions are bound anew beside one that cannot be.
    assert await codes(GreaterThan(F("code"), 0.5), LessThan(F("code"), 3), Q(title__in=["poor", "late"])) == [2]
    annotated = Film.objects.annotate(late=GreaterThan(F("code"), 2.5)).order_by("code")
    assert await face.rows(annotated.values_list("late", flat=True)) == [False, False, False, True]
