"""Random filters, excludes, orders, annotations and groups, held against plain Python over the same rows."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

import dorm
from dorm import Case, Count, F, Q, Sum, Value, When
from dorm.db.operation import arun, run
from dorm.migrations.schema import create_tables
from dorm.queryset.ops import fetch
from tests.support.faces import Face


class House(dorm.Model):
    name = dorm.CharField(max_length=20)
    rank = dorm.IntegerField(null=True)

    class Meta:
        app_label = "random_queries"


class Work(dorm.Model):
    title = dorm.CharField(max_length=20)
    pages = dorm.IntegerField(null=True)
    house = dorm.ForeignKey(House, dorm.CASCADE, null=True, related_name="works")

    class Meta:
        app_label = "random_queries"


HOUSES = [(1, "Acme", 1), (2, "Bolt", None), (3, "Cave", 3), (4, "Dune", 2)]
WORKS = [
    (1, "a", 10, 1),
    (2, "b", 20, 1),
    (3, "c", None, 2),
    (4, "d", 10, None),
    (5, "e", 30, 3),
    (6, "a", None, 3),
    (7, "b", 5, 3),
]


@dataclass(frozen=True)
class Row:
    """A row of Work with its house joined, by the paths of queries."""

    id: int
    title: str
    pages: int | None
    house__name: str | None
    house__rank: int | None


def rows() -> list[Row]:
    houses = {key: (name, rank) for key, name, rank in HOUSES}
    return [Row(key, title, pages, *houses.get(house or 0, (None, None))) for key, title, pages, house in WORKS]


@pytest.fixture
def filled(empty_database: Any) -> None:
    create_tables([House, Work])
    House.objects.bulk_create([House(id=key, name=name, rank=rank) for key, name, rank in HOUSES])
    Work.objects.bulk_create(
        [Work(id=key, title=title, pages=pages, house_id=house) for key, title, pages, house in WORKS]
    )


# -- conditions, as a query and as a function ----------------------------------------------------------------------

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "": operator.eq,
    "__gt": operator.gt,
    "__gte": operator.ge,
    "__lt": operator.lt,
    "__lte": operator.le,
}
Condition = tuple[Q, Callable[[Row], bool]]


def compared(path: str, lookup: str, value: Any) -> Condition:
    def holds(row: Row) -> bool:
        found = getattr(row, path)
        return found is not None and OPERATORS[lookup](found, value)

    return Q((f"{path}{lookup}", value)), holds


def among(path: str, values: list[Any]) -> Condition:
    return Q((f"{path}__in", values)), lambda row: getattr(row, path) in [each for each in values if each is not None]


def missing(path: str, wanted: bool) -> Condition:
    return Q((f"{path}__isnull", wanted)), lambda row: (getattr(row, path) is None) is wanted


numbers = st.sampled_from([None, 1, 2, 3, 5, 10, 20, 30]).filter(lambda each: each is not None)
texts = st.sampled_from(["a", "b", "c", "e", "Acme", "Bolt", "Dune", ""])
leaves = st.one_of(
    st.builds(compared, st.sampled_from(["pages", "house__rank", "id"]), st.sampled_from(list(OPERATORS)), numbers),
    st.builds(compared, st.sampled_from(["title", "house__name"]), st.just(""), texts),
    st.builds(among, st.sampled_from(["pages", "house__rank"]), st.lists(numbers, max_size=4)),
    st.builds(missing, st.sampled_from(["pages", "house__name", "house__rank"]), st.booleans()),
)


def negated(one: Condition) -> Condition:
    return ~one[0], lambda row: not one[1](row)


def joined(one: Condition, symbol: str, other: Condition) -> Condition:
    combine = {"&": operator.and_, "|": operator.or_, "^": operator.xor}[symbol]
    return combine(one[0], other[0]), lambda row: combine(one[1](row), other[1](row))


conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(st.builds(negated, inner), st.builds(joined, inner, st.sampled_from(["&", "|"]), inner)),
    max_leaves=6,
)
# Below a NOT a part of XOR that is NULL is no more true than false, as in Django: XOR stands at the top only.
with_xor = conditions | st.builds(joined, conditions, st.just("^"), conditions)
ORDERS = ("id", "-id", "title", "-title", "pages", "-pages", "house__name", "-house__rank")
quiet = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def fetched(face: Face, queryset: Any) -> list[Any]:
    """Return the rows of a queryset by one face, inside an example of hypothesis."""
    if not face.is_async:
        return run(fetch.fetch(queryset))  # type: ignore[no-any-return]  # a list of rows

    import asyncio

    return asyncio.run(arun(fetch.fetch(queryset)))  # type: ignore[no-any-return]  # a list of rows


def in_order(found: list[Row], key: str) -> list[int]:
    """Return the keys in an order, NULLs last, ties by the key."""
    name = key.lstrip("-")
    known = sorted((row for row in found if getattr(row, name) is not None), key=lambda row: row.id)
    known.sort(key=lambda row: getattr(row, name), reverse=key.startswith("-"))
    return [row.id for row in known] + [row.id for row in found if getattr(row, name) is None]


@quiet
@given(condition=with_xor, further=st.none() | conditions, key=st.sampled_from(ORDERS), low=st.integers(0, 3))
def test_filters_excludes_orders_and_slices(
    filled: None, face: Face, condition: Condition, further: Condition | None, key: str, low: int
) -> None:
    query, expected = Work.objects.filter(condition[0]), [row for row in rows() if condition[1](row)]
    if further is not None:
        query, expected = query.exclude(further[0]), [row for row in expected if not further[1](row)]
    name = key.lstrip("-")
    order = F(name).desc(nulls_last=True) if key.startswith("-") else F(name).asc(nulls_last=True)
    ordered = query.order_by(order, "id").values_list("id", flat=True)
    keys = in_order(expected, key)
    assert fetched(face, ordered) == keys
    assert fetched(face, ordered.all()[low : low + 2]) == keys[low : low + 2]


@quiet
@given(condition=with_xor, wanted=with_xor)
def test_counts_groups_and_cases(filled: None, face: Face, condition: Condition, wanted: Condition) -> None:
    chosen = [row for row in rows() if condition[1](row)]
    query = Work.objects.filter(condition[0])
    groups: dict[str | None, list[Row]] = {}
    for row in chosen:
        groups.setdefault(row.house__name, []).append(row)
    found = fetched(
        face,
        query.values("house__name").annotate(
            n=Count("pk"), part=Count("pk", filter=wanted[0]), total=Sum("pages", default=0)
        ),
    )
    assert {row["house__name"]: (row["n"], row["part"], row["total"]) for row in found} == {
        name: (len(group), sum(map(wanted[1], group)), sum(row.pages or 0 for row in group))
        for name, group in groups.items()
    }
    case = Case(When(wanted[0], then=Value("yes")), default=Value("no"))
    flags = fetched(face, query.annotate(flag=case).order_by("id").values_list("flag", flat=True))
    assert flags == ["yes" if wanted[1](row) else "no" for row in chosen]


@quiet
@given(lookup=st.sampled_from(list(OPERATORS)), value=numbers, title=texts)
def test_conditions_on_several_partners(filled: None, face: Face, lookup: str, value: int, title: str) -> None:
    def meets(work: tuple[int, str, int | None, int | None]) -> bool:
        return work[2] is not None and OPERATORS[lookup](work[2], value)

    path = f"works__pages{lookup}"
    any_of = {work[3] for work in WORKS if meets(work)}
    same = {work[3] for work in WORKS if meets(work) and work[1] == title}
    titled = {work[3] for work in WORKS if work[1] == title}
    every = {key for key, _, _ in HOUSES}
    keys = House.objects.order_by("id").values_list("id", flat=True).distinct()
    assert set(fetched(face, keys.filter(Q((path, value))))) == any_of & every
    assert set(fetched(face, keys.filter(Q((path, value)), works__title=title))) == same & every
    assert set(fetched(face, keys.filter(Q((path, value))).filter(works__title=title))) == any_of & titled & every
    assert set(fetched(face, keys.exclude(Q((path, value))))) == every - any_of
    assert (
        set(fetched(face, keys.filter(~Q((path, value)) | Q(works__title=title)))) == (every - any_of) | titled & every
    )


@quiet
@given(condition=conditions, other=conditions)
def test_equal_structure_is_equal_sql(filled: None, condition: Condition, other: Condition) -> None:
    one, again = Work.objects.filter(condition[0]), Work.objects.filter(condition[0])
    assert one._plan is again._plan
    assert one.sql() == again.sql()
    both = one & Work.objects.filter(other[0])
    assert set(both.values_list("id", flat=True)) == {row.id for row in rows() if condition[1](row) and other[1](row)}
    either = one | Work.objects.filter(other[0])
    assert set(either.values_list("id", flat=True)) == {row.id for row in rows() if condition[1](row) or other[1](row)}
