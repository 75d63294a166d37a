"""Calls that were made before find their plan by names and types: with other values the same SQL, never another one."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import dorm
from dorm import F, Q
from dorm.migrations.schema import create_tables

Condition = Callable[[Any, Any], Any]


class Band(dorm.Model):
    name = dorm.CharField(max_length=50)
    city = dorm.CharField(max_length=50, null=True)

    class Meta:
        app_label = "reuse"


class Gig(dorm.Model):
    band = dorm.ForeignKey(Band, dorm.CASCADE)
    title = dorm.CharField(max_length=50)
    seats = dorm.IntegerField()
    small = dorm.SmallIntegerField(default=0)
    day = dorm.DateField(null=True)

    class Meta:
        app_label = "reuse"


class Loud(dorm.CharField[str]):
    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(value).upper()


class Even(dorm.IntegerField[int]):
    def prepare(self, value: Any) -> Any:
        return super().prepare(value) // 2 * 2


class Sign(dorm.Model):
    text = Loud(max_length=50)
    size = Even()
    gig = dorm.ForeignKey(Gig, dorm.CASCADE)

    class Meta:
        app_label = "reuse"


SHAPES: dict[str, Condition] = {
    "one Q": lambda a, n: Q(title=a),
    "either": lambda a, n: Q(title=a) | Q(seats__lt=n),
    "names out of order": lambda a, n: Q(title=a, seats=n, band__name=a),
    "nested": lambda a, n: Q(Q(title=a) | ~Q(band__name=a), Q(seats=n) ^ Q(small=n)),
    "negated": lambda a, n: ~(Q(title=a) & Q(seats=n)),
    "both sides the same": lambda a, n: Q(title=a) | Q(band__name=a) | Q(band__city=a),
    "nulls between": lambda a, n: Q(title=None, band__city=a) | Q(band__city=None, band__name=a, seats=None),
    "null": lambda a, n: Q(band__city=None) | Q(title=a),
    "is null": lambda a, n: Q(band__city__isnull=n > 5) | Q(title=a),
    "list": lambda a, n: Q(seats__in=[n, n + 1]) | Q(title=a),
    "range": lambda a, n: Q(seats__range=(n, n + 9)) | Q(title=a),
    "expression": lambda a, n: Q(seats__gt=F("small") + n) | Q(title=a),
    "moment": lambda a, n: Q(day__gte=datetime.date(2020, 1, n)) | Q(title=a),
    "converted": lambda a, n: Q(seats=str(n)) | Q(title=a),
}


def fresh(build: Callable[[], tuple[str, tuple[Any, ...]]]) -> tuple[str, tuple[Any, ...]]:
    """Return what *build* gives where no plan is known."""
    Gig._meta.plan.forget()
    return build()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("how", ["filter", "exclude"])
def test_a_condition_seen_before_is_what_it_is_when_new(empty_database: object, name: str, how: str) -> None:
    shape = SHAPES[name]

    def build(a: str, n: int) -> tuple[str, tuple[Any, ...]]:
        condition = shape(a, n)
        found: tuple[str, tuple[Any, ...]] = getattr(Gig.objects, how)(condition, small=n).order_by("-seats")[n:].sql()
        return found

    wanted = [fresh(lambda a=a, n=n: build(a, n)) for a, n in (("x", 3), ("y", 8))]
    Gig._meta.plan.forget()
    assert [build("x", 3), build("y", 8)] == wanted
    assert [build("x", 3), build("y", 8)] == wanted


@pytest.mark.parametrize("name", ["one Q", "either", "names out of order", "nested", "negated", "moment", "converted"])
def test_other_values_of_a_known_condition_make_no_plan(empty_database: object, name: str) -> None:
    shape, statistics = SHAPES[name], Gig._meta.plan.root.statistics

    def build(a: str, n: int) -> None:
        Gig.objects.filter(shape(a, n)).select_related("band").order_by("title", "pk")[n : n + 5].sql()

    build("a", 1)
    build("a", 1)
    before = statistics.misses, statistics.uncached
    for number in range(2, 20):
        build(f"a{number}", number)
    assert (statistics.misses, statistics.uncached) == before


def test_the_type_of_a_value_is_structure(empty_database: object) -> None:
    def build(value: Any) -> tuple[str, tuple[Any, ...]]:
        return Gig.objects.filter(Q(seats=value) | Q(title="x")).sql()

    for value in (1, True, 1.5, None, "7", 10**30):
        assert build(value) == fresh(lambda value=value: build(value))
    # A number that the column cannot hold comes after one that it can, by the same names and types.
    build(1)
    build(1)
    assert build(10**30) == fresh(lambda: build(10**30))
    assert build(2)[1][0] == 2


def test_what_a_value_may_not_be_is_refused_however_often_it_was_asked(empty_database: object) -> None:
    Gig.objects.filter(Q(seats=1) | Q(title="x")).sql()
    for _ in range(3):
        Gig.objects.filter(Q(seats="1") | Q(title="x")).sql()
        with pytest.raises(dorm.InvalidValue):
            Gig.objects.filter(Q(seats="many") | Q(title="x"))
    for _ in range(2):
        with pytest.raises(TypeError, match="slice"):
            Gig.objects.all()[:3].filter(Q(seats=1) | Q(title="x"))
        with pytest.raises(TypeError, match="slice"):
            Gig.objects.all()[:3].order_by("title")


def test_keywords_come_in_any_order(empty_database: object) -> None:
    given = {"title": "t", "seats": "7", "band__name": "b", "small": 3}
    for how in ("filter", "exclude"):
        wanted = fresh(lambda how=how: getattr(Gig.objects, how)(Q(band__city="c"), **given).sql())
        assert sorted(wanted[1], key=str) == [3, 7, "b", "c", "t"]
        Gig._meta.plan.forget()
        for names in itertools.permutations(given):
            for _ in range(2):
                kwargs = {name: given[name] for name in names}
                assert getattr(Gig.objects, how)(Q(band__city="c"), **kwargs).sql() == wanted


def test_none_is_structure_among_values(empty_database: object) -> None:
    choices = list(itertools.product(("t", None), (1, None), ("c", None)))

    def build(title: Any, seats: Any, city: Any) -> tuple[str, tuple[Any, ...]]:
        return Gig.objects.filter(title=title, seats=seats, band__city=city).sql()

    wanted = [fresh(lambda given=given: build(*given)) for given in choices]
    for (_, params), given in zip(wanted, choices, strict=True):
        assert sorted(params, key=str) == sorted([value for value in given if value is not None], key=str)
    Gig._meta.plan.forget()
    for _ in range(3):
        assert [build(*given) for given in choices] == wanted


def test_equal_values_are_told_apart_by_their_names(empty_database: object) -> None:
    def build(title: str, name: str) -> tuple[Any, ...]:
        return Gig.objects.filter(title=title, band__name=name).sql()[1]

    for _ in range(2):
        assert build("x", "x") == ("x", "x")
    assert build("t", "b") == ("b", "t")
    assert build("b", "t") == ("t", "b")


@pytest.mark.parametrize("build", [
    lambda a, n: Gig.objects.filter(title=a, seats=n, band__name=a),
    lambda a, n: Gig.objects.exclude(Q(title=a) | Q(seats=n), small=n),
    lambda a, n: Gig.objects.filter(title=a, day=None, band__city=None, seats=n),
    lambda a, n: Gig.objects.filter(title=a).values("title", "band__name"),
    lambda a, n: Gig.objects.filter(title=a).values_list("title", flat=True),
    lambda a, n: Gig.objects.order_by("-title", "seats").select_related("band")[n : n + 5],
])  # fmt: skip
def test_what_is_known_is_not_taken_apart(
    empty_database: object, monkeypatch: pytest.MonkeyPatch, build: Callable[[str, int], Any]
) -> None:
    build("a", 1)

    def refuse(*args: Any) -> Any:
        raise AssertionError("taken apart")

    monkeypatch.setattr(Q, "key", refuse)
    monkeypatch.setattr("dorm.queryset.build.Resolver", refuse)
    monkeypatch.setattr("dorm.queryset.build.replace", refuse)
    assert {"b", 2} & set(build("b", 2)._values)


def test_what_has_no_hash_is_no_name(empty_database: object) -> None:
    for _ in range(2):
        list_of_names: Any = ["band"]
        with pytest.raises(dorm.FieldError):
            Gig.objects.select_related(list_of_names)
        with pytest.raises(dorm.FieldError, match="order_by"):
            Gig.objects.order_by(list_of_names)
        Gig.objects.select_related("band").order_by("band")


def test_fields_of_ones_own_prepare_each_value(empty_database: object) -> None:
    for text, size, gig in (("a", 3, 1), ("b", 5, 2), ("c", 7, 3)):
        found = Sign.objects.filter(text=text, size__lt=size, gig__gt=gig).exclude(text__lt=text, gig_id=gig)
        upper = text.upper()
        assert sorted(found.sql()[1], key=str) == [gig, gig, size - 1, upper, upper]


def test_a_number_out_of_range_is_so_after_one_that_is_not(empty_database: object) -> None:
    for number in (1, 32767, -32768):
        assert number in Gig.objects.filter(small=number).sql()[1]
    for number in (32768, -32769, 10**30):
        for _ in range(2):
            assert number not in Gig.objects.filter(small=number)._values
            assert not Gig.objects.filter(small=number)
            assert 5 in Gig.objects.filter(small=5).sql()[1]


def test_names_of_columns_are_told_apart_by_what_rows_become(empty_database: object) -> None:
    create_tables([Band, Gig])
    gig = Gig.objects.create(band=Band.objects.create(name="b"), title="t", seats=1)
    for _ in range(2):
        assert list(Gig.objects.values("title")) == [{"title": "t"}]
        assert list(Gig.objects.values_list("title")) == [("t",)]
        assert list(Gig.objects.values_list("title", flat=True)) == ["t"]
        assert next(iter(Gig.objects.values_list("title", named=True))).title == "t"
        assert list(Gig.objects.order_by("title")) == [gig]
        assert list(Gig.objects.values_list(flat=True)) == [gig.pk]
        assert list(Gig.objects.values_list("title", F("seats") + 1)) == [("t", 2)]
        with pytest.raises(TypeError, match="flat"):
            Gig.objects.values_list("title", "seats", flat=True)
        with pytest.raises(TypeError, match="by position"):
            Gig.objects.values(F("seats"))  # type: ignore[arg-type]
        with pytest.raises(dorm.FieldError):
            Gig.objects.values("nothing")
