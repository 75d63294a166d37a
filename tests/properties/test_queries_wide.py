"""Random aggregates, exclusions, sets, slices and questions over relations to several, held against plain Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

import dorm
from dorm import Case, Count, Exists, F, Max, Min, OuterRef, Q, Subquery, Sum, Value, When, Window
from dorm.db.operation import arun, run
from dorm.functions import Coalesce, RowNumber
from dorm.migrations.schema import create_tables
from dorm.queryset.ops import aggregate, fetch
from tests.properties.test_queries import OPERATORS, fetched, quiet
from tests.support.faces import Face


class Shed(dorm.Model):
    name = dorm.CharField(max_length=20)
    rank = dorm.IntegerField(null=True)
    parent = dorm.ForeignKey("self", dorm.CASCADE, null=True, related_name="children")

    class Meta:
        app_label = "wide_queries"
        ordering = ["name"]


class Label(dorm.Model):
    weight = dorm.IntegerField(null=True)

    class Meta:
        app_label = "wide_queries"


class Tool(dorm.Model):
    title = dorm.CharField(max_length=20)
    size = dorm.IntegerField(null=True)
    shed = dorm.ForeignKey(Shed, dorm.CASCADE, null=True, related_name="tools")
    labels = dorm.ManyToManyField(Label, related_name="tools")

    class Meta:
        app_label = "wide_queries"


@dataclass(frozen=True)
class Row:
    """A row of any of the tables, with the keys of its partners by the names of the relations."""

    id: int
    values: dict[str, Any]
    partners: dict[str, tuple[int, ...]]


_SHEDS = [(1, "a", 1, None), (2, "b", None, 1), (3, "c", 3, 1), (4, "a", 2, 2), (5, "d", None, None), (6, "b", 3, 6)]
_TOOLS = [(1, "x", 1, 1), (2, "y", 2, 1), (3, "x", None, 2), (4, "z", 1, None), (5, "y", 3, 3), (6, "x", None, 3),
          (7, "z", 1, 3), (8, "y", 2, 6)]  # fmt: skip
_WEIGHTS = [(1, 1), (2, None), (3, 3)]
_LABELLED = {1: (1, 2), 2: (1,), 3: (3,), 5: (1, 2, 3), 7: (2,), 8: (3,)}


def _those(table: Sequence[tuple[Any, ...]], place: int, key: int) -> tuple[int, ...]:
    return tuple(row[0] for row in table if row[place] == key)


TABLES: dict[str, dict[int, Row]] = {
    "shed": {
        key: Row(
            key,
            {"id": key, "name": name, "rank": rank},
            {
                "parent": () if parent is None else (parent,),
                "children": _those(_SHEDS, 3, key),
                "tools": _those(_TOOLS, 3, key),
            },
        )
        for key, name, rank, parent in _SHEDS
    },
    "tool": {
        key: Row(
            key,
            {"id": key, "title": title, "size": size},
            {"shed": () if shed is None else (shed,), "labels": _LABELLED.get(key, ())},
        )
        for key, title, size, shed in _TOOLS
    },
    "label": {
        key: Row(
            key, {"id": key, "weight": weight}, {"tools": tuple(t for t, held in _LABELLED.items() if key in held)}
        )
        for key, weight in _WEIGHTS
    },
}
TARGETS = {"parent": "shed", "children": "shed", "tools": "tool", "shed": "shed", "labels": "label"}
SEVERAL = {"children", "tools", "labels"}


@pytest.fixture
def filled(empty_database: Any) -> None:
    create_tables([Shed, Label, Tool])
    Shed.objects.bulk_create([Shed(id=key, name=name, rank=rank, parent_id=up) for key, name, rank, up in _SHEDS])
    Label.objects.bulk_create([Label(id=key, weight=weight) for key, weight in _WEIGHTS])
    Tool.objects.bulk_create([Tool(id=key, title=title, size=size, shed_id=shed) for key, title, size, shed in _TOOLS])
    for key, labels in _LABELLED.items():
        Tool(id=key).labels.set(labels)


# -- paths ---------------------------------------------------------------------------------------------------------

Joined = dict[tuple[str, ...], Row | None]
"""One row of the joined tables: the partner at the end of each path, None where an outer join found none."""

PATHS: dict[str, tuple[tuple[str, ...], str]] = {
    path: (tuple(path.split("__")[:-1]), path.split("__")[-1])
    for path in (
        "id", "rank", "parent__rank", "parent__parent__id", "tools__size", "tools__title", "tools__id",
        "children__rank", "tools__labels__weight", "tools__labels__id", "parent__tools__size",
        "parent__tools__labels__weight", "children__tools__size", "parent__children__rank", "tools__shed__parent__rank",
    )
}  # fmt: skip


def joined(shed: Row, paths: set[tuple[str, ...]]) -> list[Joined]:
    """Return the rows that *shed* makes with outer joins along *paths*."""
    rows: list[Joined] = [{(): shed}]
    prefixes = {path[:length] for path in paths for length in range(1, len(path) + 1)}
    for prefix in sorted(prefixes, key=lambda each: (len(each), each)):
        rows = [{**row, prefix: partner} for row in rows for partner in _partners(row[prefix[:-1]], prefix[-1])]
    return rows


def _partners(row: Row | None, name: str) -> Sequence[Row | None]:
    found = [TABLES[TARGETS[name]][key] for key in (row.partners[name] if row is not None else ())]
    return found or [None]


def value(row: Joined, path: str) -> Any:
    names, column = PATHS[path]
    at = row[names]
    return None if at is None else at.values[column]


def meets(found: Any, lookup: str, wanted: Any) -> bool:
    if lookup == "__isnull":
        return (found is None) is wanted
    return found is not None and type(found) is type(wanted) and OPERATORS[lookup](found, wanted)


lookups = st.tuples(st.sampled_from(list(OPERATORS)), st.sampled_from([1, 2, 3, 6])) | st.tuples(
    st.just("__isnull"), st.booleans()
)
numbers = st.sampled_from([path for path in PATHS if not path.endswith("title")])
everything = list(TABLES["shed"].values())


@quiet
@given(path=numbers, lookup=lookups, other=numbers, second=lookups)
def test_exclusions_over_several_partners(
    filled: None, face: Face, path: str, lookup: tuple[str, Any], other: str, second: tuple[str, Any]
) -> None:
    def has(shed: Row, path: str, lookup: tuple[str, Any]) -> bool:
        return any(meets(value(row, path), *lookup) for row in joined(shed, {PATHS[path][0]}))

    one, two = Q((path + lookup[0], lookup[1])), Q((other + second[0], second[1]))
    keys = Shed.objects.order_by("pk").values_list("pk", flat=True)
    no_one = [shed.id for shed in everything if not has(shed, path, lookup)]
    neither = [key for key in no_one if not has(TABLES["shed"][key], other, second)]
    assert fetched(face, keys.exclude(one)) == no_one
    assert fetched(face, keys.exclude(one | two)) == neither
    assert fetched(face, keys.exclude(one).exclude(two)) == neither
    both = [shed.id for shed in everything if not (has(shed, path, lookup) and has(shed, other, second))]
    assert fetched(face, keys.exclude(one & two)) == both
    assert fetched(face, keys.filter(~one | two).distinct()) == [
        shed.id for shed in everything if not has(shed, path, lookup) or has(shed, other, second)
    ]
    inside = Shed.objects.filter(pk=OuterRef("pk")).exclude(one)
    assert fetched(face, keys.filter(Exists(inside))) == no_one
    if not SEVERAL.intersection(PATHS[path][0]) or not SEVERAL.intersection(PATHS[other][0]):
        return
    # Beside a condition that joins other partners, the partners that are excluded are any.
    if PATHS[path][0][0] != PATHS[other][0][0]:
        beside = [shed.id for shed in everything if not has(shed, path, lookup) and has(shed, other, second)]
        assert fetched(face, keys.filter(~one, two).distinct()) == beside
        assert fetched(face, keys.filter(two, ~one).distinct()) == beside


# -- aggregates ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Computed:
    """An aggregate, the paths that it joins, and what it is over joined rows."""

    node: Any
    paths: frozenset[tuple[str, ...]]
    over: Callable[[list[Joined]], Any]


def counting(path: str, distinct: bool, lookup: tuple[str, Any] | None) -> Computed:
    def over(rows: list[Joined]) -> int:
        found = [value(row, path) for row in rows if lookup is None or meets(value(row, path), *lookup)]
        known = [each for each in found if each is not None]
        return len(set(known)) if distinct else len(known)

    condition = None if lookup is None else Q((path + lookup[0], lookup[1]))
    return Computed(Count(path, distinct=distinct, filter=condition), frozenset({PATHS[path][0]}), over)


def adding(kind: str, path: str, distinct: bool, default: int | None) -> Computed:
    def over(rows: list[Joined]) -> Any:
        found = [value(row, path) for row in rows if value(row, path) is not None]
        if not found:
            return default
        return {"sum": sum, "min": min, "max": max}[kind](set(found) if distinct and kind == "sum" else found)

    make: Any = {"sum": Sum, "min": Min, "max": Max}[kind]
    options = {"distinct": distinct} if kind == "sum" else {}
    return Computed(make(path, default=default, **options), frozenset({PATHS[path][0]}), over)


aggregates = st.one_of(
    st.builds(counting, numbers, st.booleans(), st.none() | lookups),
    st.builds(adding, st.sampled_from(["sum", "min", "max"]), numbers, st.booleans(), st.none() | st.just(0)),
)


def last_nulls(rows: list[tuple[int, Any]], backwards: bool) -> list[tuple[int, Any]]:
    known = sorted((row for row in rows if row[1] is not None), key=lambda row: row[0])
    known.sort(key=lambda row: row[1], reverse=backwards)
    return known + [row for row in rows if row[1] is None]


def asked(face: Face, operation: Any) -> Any:
    """Run an operation by one face, inside an example of hypothesis."""
    if not face.is_async:
        return run(operation)

    import asyncio

    return asyncio.run(arun(operation))


@quiet
@given(
    one=aggregates,
    two=st.none() | aggregates,
    having=st.none() | lookups,
    backwards=st.booleans(),
    low=st.integers(0, 3),
    before=st.none() | st.tuples(st.sampled_from(["rank", "parent__rank", "id"]), lookups),
)
def test_aggregates_over_joins(
    filled: None,
    face: Face,
    one: Computed,
    two: Computed | None,
    having: tuple[str, Any] | None,
    backwards: bool,
    low: int,
    before: tuple[str, tuple[str, Any]] | None,
) -> None:
    query, chosen = Shed.objects.all(), everything
    if before is not None:
        path, (lookup, wanted) = before
        query = query.filter(Q((path + lookup, wanted)))
        chosen = [shed for shed in chosen if meets(value(joined(shed, {PATHS[path][0]})[0], path), lookup, wanted)]
    paths = set(one.paths | (two.paths if two is not None else frozenset()))
    query = query.annotate(x=one.node) if two is None else query.annotate(x=one.node, y=two.node)
    rows = [(shed.id, one.over(joined(shed, paths))) for shed in chosen]
    if having is not None:
        query = query.filter(Q((f"x{having[0]}", having[1])))
        rows = [row for row in rows if meets(row[1], *having)]
    order = F("x").desc(nulls_last=True) if backwards else F("x").asc(nulls_last=True)
    ordered = query.order_by(order, "pk").values_list("pk", "x")
    expected = last_nulls(rows, backwards)
    assert fetched(face, ordered) == expected
    part, rest = ordered.all()[low : low + 2], ordered.all()[low:]
    assert fetched(face, part) == expected[low : low + 2]
    for asking, answer in ((query, expected), (part, expected[low : low + 2]), (rest, expected[low:])):
        assert asked(face, fetch.count(asking)) == len(answer)
        assert asked(face, fetch.exists(asking)) is bool(answer)
        known = [found for _, found in answer if found is not None]
        totals = {"n": Count("x"), "most": Max("x"), "all": Sum("x", default=0), "some": Count("pk", filter=Q(x__gt=1))}
        assert asked(face, aggregate.aggregate(asking, (), totals)) == {
            "n": len(known),
            "most": max(known, default=None),
            "all": sum(known),
            "some": sum(each > 1 for each in known),
        }
    inner = Shed.objects.filter(pk__in=query.values("pk")).order_by("pk").values_list("pk", flat=True)
    assert fetched(face, inner) == sorted(key for key, _ in rows)


# -- columns that are computed, sets and slices --------------------------------------------------------------------

_largest = Tool.objects.filter(shed=OuterRef("pk")).order_by(F("size").desc(nulls_last=True), "pk")
COLUMNS: dict[str, tuple[Any, Callable[[Row], Any]]] = {
    "rank": (F("rank"), lambda shed: shed.values["rank"]),
    "held": (
        Exists(Tool.objects.filter(shed=OuterRef("pk"), labels__weight__gt=1)),
        lambda shed: any((value(row, "tools__labels__weight") or 0) > 1 for row in joined(shed, {("tools", "labels")})),
    ),
    "largest": (
        Subquery(_largest.values("size")[:1]),
        lambda shed: max(
            (size for row in joined(shed, {("tools",)}) if (size := value(row, "tools__size")) is not None),
            default=None,
        ),
    ),
    "above": (
        Case(When(parent__rank__gt=0, then=F("parent__rank")), default=Value(-1)),
        lambda shed: next(
            (rank for row in joined(shed, {("parent",)}) if (rank := value(row, "parent__rank") or 0) > 0), -1
        ),
    ),
    "sum": (
        Coalesce(F("rank") + F("parent__rank"), Value(0)),
        lambda shed: (
            0
            if None
            in (found := [(row := joined(shed, {("parent",)})[0]) and value(row, "rank"), value(row, "parent__rank")])
            else sum(found)
        ),
    ),
    "count": (Count("tools"), lambda shed: len(shed.partners["tools"])),
    "place": (Window(RowNumber(), order_by=F("pk").desc()), lambda shed: 7 - shed.id),
}
columns = st.sampled_from(list(COLUMNS))


@quiet
@given(name=columns, lookup=lookups, keys=st.sets(st.integers(1, 6)), low=st.integers(0, 3), other=columns)
def test_computed_columns(
    filled: None, face: Face, name: str, lookup: tuple[str, Any], keys: set[int], low: int, other: str
) -> None:
    node, expected = COLUMNS[name]
    if name == "held" and lookup[0] != "__isnull":
        lookup = ("", lookup[1] > 1)
    query = Shed.objects.alias(y=COLUMNS[other][0]).annotate(x=node).order_by("pk")
    rows = [(shed.id, expected(shed)) for shed in everything]
    assert fetched(face, query.values_list("pk", "x")) == rows
    found = query.filter(Q((f"x{lookup[0]}", lookup[1])), pk__in=keys) if name != "place" else query.filter(
        Q((f"x{lookup[0]}", lookup[1]))
    )  # fmt: skip
    chosen = [row for row in rows if meets(row[1], *lookup) and (name == "place" or row[0] in keys)]
    assert fetched(face, found.values_list("pk", "x")) == chosen
    assert fetched(face, found.values_list("x", flat=True)[low : low + 2]) == [x for _, x in chosen[low : low + 2]]
    assert asked(face, fetch.count(found)) == len(chosen)
    assert asked(face, fetch.exists(found)) is bool(chosen)
    assert set(fetched(face, found.order_by().values_list("x", flat=True).distinct())) == {x for _, x in chosen}
    assert asked(face, fetch.count(found.order_by().values("x").distinct())) == len({x for _, x in chosen})
    assert [shed.pk for shed in fetched(face, found.reverse())] == [key for key, _ in reversed(chosen)]
    if name != "place":
        excluded = fetched(face, query.exclude(Q((f"x{lookup[0]}", lookup[1]))).values_list("pk", flat=True))
        # An annotation is negated as it stands: what is NULL is neither.
        assert set(excluded) == {key for key, x in rows if x is not None or lookup[0] == "__isnull"} - {
            key for key, x in rows if meets(x, *lookup)
        }


@quiet
@given(
    one=st.tuples(numbers, lookups),
    two=st.tuples(numbers, lookups),
    word=st.sampled_from(["union", "intersection", "difference"]),
    every=st.booleans(),
    low=st.integers(0, 2),
    backwards=st.booleans(),
)
def test_sets(
    filled: None,
    face: Face,
    one: tuple[str, tuple[str, Any]],
    two: tuple[str, tuple[str, Any]],
    word: str,
    every: bool,
    low: int,
    backwards: bool,
) -> None:
    def rows(path: str, lookup: tuple[str, Any]) -> list[int]:
        """Return the keys of the rows of a filter: one for each partner that meets it."""
        return [
            shed.id for shed in everything for row in joined(shed, {PATHS[path][0]}) if meets(value(row, path), *lookup)
        ]

    queries = [Shed.objects.filter(Q((path + lookup[0], lookup[1]))) for path, lookup in (one, two)]
    left, right = rows(*one), rows(*two)
    if word == "union":
        expected = [*left, *right] if every else list({*left, *right})
        combined = queries[0].union(queries[1], all=every)
    elif word == "intersection":
        expected, combined = list({*left} & {*right}), queries[0].intersection(queries[1])
    else:
        expected, combined = list({*left} - {*right}), queries[0].difference(queries[1])
    expected.sort(reverse=backwards)
    ordered = combined.order_by("-pk" if backwards else "pk")
    assert [shed.pk for shed in fetched(face, ordered)] == expected
    assert [shed.pk for shed in fetched(face, ordered.all()[low : low + 2])] == expected[low : low + 2]
    for asking, answer in ((combined, expected), (ordered.all()[low:], expected[low:])):
        assert asked(face, fetch.count(asking)) == len(answer)
        assert asked(face, fetch.exists(asking)) is bool(answer)
    names = [TABLES["shed"][key].values["name"] for key in expected]
    assert fetched(face, ordered.values_list("name", flat=True)) == names
    inside = Shed.objects.filter(pk__in=combined.values("pk")).order_by("pk").values_list("pk", flat=True)
    assert fetched(face, inside) == sorted({*expected})


def test_partners_of_the_same_relation_in_another_row(filled: None, face: Face) -> None:
    """A shed's own tools, which a condition joined, say nothing of its parent's."""
    keys = Shed.objects.order_by("pk").values_list("pk", flat=True)
    for condition in (Q(tools__size=1) & ~Q(parent__tools__title="x"), ~Q(parent__tools__title="x") & Q(tools__size=1)):
        assert fetched(face, keys.filter(condition)) == [1]
    for condition in (Q(tools__size=2) & ~Q(parent__tools__title="z"), ~Q(parent__tools__title="z") & Q(tools__size=2)):
        assert fetched(face, keys.filter(condition)) == [1, 6]
    assert fetched(face, keys.filter(Q(tools__size=3) & ~Q(parent__tools__title="x"))) == []
