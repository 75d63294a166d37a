"""Q objects, of the pages "Making queries", "QuerySet API reference" and "Query expressions"."""

from __future__ import annotations

import copy
import datetime
import decimal
import logging
import pickle
from typing import Any

import pytest

import dorm
from dorm import Exists, ExpressionWrapper, F, OuterRef, Q, Value
from dorm.functions import Length, Lower
from dorm.lookups import GreaterThan
from tests.documented.blog import MODELS, Blog, Entry
from tests.support.faces import Face

__all__ = ["MODELS"]

DAY = datetime.date(2020, 5, 17)
HELD: list[tuple[Q, dict[str, Any], bool]] = [
    (Q(price__gt=3), {"price": 5}, True),
    (Q(price__gt=7), {"price": 5}, False),
    (Q(price__gt=decimal.Decimal("1.5")), {"price": decimal.Decimal("1.4")}, False),
    (Q(price__lt=1.5), {"price": 1.4}, True),
    (Q(name="x"), {"name": "x"}, True),
    (Q(name__icontains="X"), {"name": "axb"}, True),
    (Q(name__iexact="x") | Q(name__startswith="a"), {"name": "abc"}, True),
    (Q(name__gt="abb"), {"name": "abc"}, True),
    (Q(name__regex="^a.c$"), {"name": "abc"}, True),
    (Q(a=1) & Q(b=2), {"a": 1, "b": 3}, False),
    (Q(a=1) | Q(b=2), {"a": 0, "b": 2}, True),
    (Q(a=1) ^ Q(b=1), {"a": 1, "b": 1}, False),
    (Q(a=1) ^ Q(b=1), {"a": 1, "b": 0}, True),
    (~Q(a=1), {"a": 1}, False),
    (~(Q(a=1) | Q(a=2)), {"a": 3}, True),
    (Q(a__gt=F("b") + 5), {"a": 3, "b": 2}, False),
    (Q(a=2), {"a": F("b") + 1, "b": Value(1)}, True),
    (Q(a__in=[1, 2]), {"a": 2}, True),
    (Q(a__in=[]), {"a": 2}, False),
    (~Q(a__in=[]), {"a": 2}, True),
    (Q(a__range=(1, 2)), {"a": 3}, False),
    (Q(a__isnull=True), {"a": None}, True),
    (Q(a__isnull=False), {"a": None}, False),
    (Q(a__gt=1), {"a": None}, True),
    (Q(a=True), {"a": True}, True),
    (Q(day__lte=DAY), {"day": DAY}, True),
    (Q(day__year=2019), {"day": DAY}, False),
    (Q(day__month__gte=F("month")), {"day": DAY, "month": 5}, True),
    (Q(GreaterThan(Length("name"), 2)), {"name": "abc"}, True),
    (Q(ExpressionWrapper(Q(a=1), output_field=dorm.BooleanField())), {"a": 2}, False),
    (Q(), {}, True),
    (Q(Q(), ~Q()), {"a": 1}, True),
    (Q(Value(False)), {}, False),
]


@pytest.mark.parametrize(("condition", "against", "wanted"), HELD, ids=[f"{number}" for number in range(len(HELD))])
async def test_check(face: Face, condition: Q, against: dict[str, Any], wanted: bool) -> None:
    assert await face(condition.check)(against) is wanted
    async with face.atomic():
        assert await face(condition.check)(against, using="default") is wanted


async def test_check_against_rows(face: Face) -> None:
    await face(Blog.objects.create)(name="Ann")
    known = Q(Exists(Blog.objects.filter(name=OuterRef("name"), tagline="")), age__gt=18)
    assert await face(known.check)({"name": "Ann", "age": 20})
    assert not await face(known.check)({"name": "Ann", "age": 18})
    assert not await face(known.check)({"name": "Zoe", "age": 20})
    assert await face(Q(name__in=Blog.objects.values("name")).check)({"name": "Ann"})


async def test_check_of_unknown_names(face: Face) -> None:
    for condition in (Q(nmae="x"), Q(age=F("nmae")), Q(name__nmae=1)):
        with pytest.raises(dorm.FieldError, match="nmae"):
            await face(condition.check)({"name": "x", "age": 1})


async def test_check_that_the_database_cannot_make(face: Face, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "dorm.queries"):
        async with face.atomic():
            assert await face(Q(a__gt=F("a") / F("b")).check)({"a": 1, "b": 0})
            # The block goes on.
            assert await face(Blog.objects.count)() == 0
    # SQLite divides by zero: it is NULL.
    assert len(caplog.records) == (backend == "postgresql")


def test_equality_hash_and_truth() -> None:
    assert Q(a=1, b=2) == Q(b=2, a=1) == Q(a=1) & Q(b=2)
    assert hash(Q(a=1, b=2)) == hash(Q(b=2, a=1))
    assert len({Q(a=1), Q(a=1), Q(a=2), ~Q(a=1), Q(a__in=[1]), Q(a__in=[1])}) == 4
    assert Q(a=F("x")) == Q(a=F("x")) != Q(a=F("y"))
    assert Q(("a", 1)) == Q(a=1)
    assert (Q(a=1) | Q(b=2)) != (Q(b=2) | Q(a=1))
    assert Q(a=1) != ~Q(a=1)
    assert ~~Q(a=1) == Q(a=1)
    assert Q(a=1) != 1
    assert not Q()
    assert not ~Q()
    assert Q(Q())
    assert (Q() & Q(a=1)) == (Q(a=1) | Q()) == (Q() ^ Q(a=1)) == Q(a=1)
    assert ("a", 1) in Q(a=1, b=2)
    assert Q(a=1) in Q(Q(a=1), b=2)
    assert ("a", 2) not in Q(a=1, b=2)


def test_copies_and_pickles() -> None:
    for condition in (~(Q(a=1) | Q(b=F("x"))), Q(a=1) ^ Q(b__in=[1, 2]), Q(Q(a=1), _negated=True)):
        for made in (copy.copy(condition), copy.deepcopy(condition), pickle.loads(pickle.dumps(condition))):
            assert made == condition
            assert hash(made) == hash(condition)
        path, args, kwargs = condition.deconstruct()
        assert path == "dorm.Q"
        assert Q(*args, **kwargs) == condition


def test_parts() -> None:
    condition = Q(a=F("x") + 1) | ~Q(b=Lower("y"))
    found = [type(part).__name__ for part in condition.flatten()]
    assert found == ["Q", "CombinedExpression", "F", "Value", "Q", "Lower", "F"]
    assert condition.referenced_base_fields == {"a", "b", "x", "y"}
    assert Q(pk=1, a__b__gt=F("c__d")).referenced_base_fields == {"pk", "a", "c"}
    assert (condition.connector, condition.negated, condition.conditional) == ("OR", False, True)


async def test_positional_expressions(face: Face) -> None:
    for name in ("Ann", "bob", "Zoe"):
        blog = await face(Blog.objects.create)(name=name, tagline="" if name == "Zoe" else name)
        if name != "bob":
            await face(Entry.objects.create)(headline=name, blog=blog)
    has_entry = Exists(Entry.objects.filter(blog=OuterRef("pk"), headline="Ann"))
    long = GreaterThan(Length("tagline"), 2)
    for condition, wanted in (
        (Q(has_entry), ["Ann"]),
        (~Q(has_entry), ["Zoe", "bob"]),
        (Q(name="Zoe") | has_entry, ["Ann", "Zoe"]),
        (has_entry | Q(name="Zoe"), ["Ann", "Zoe"]),
        (Q(name="Ann") ^ has_entry, []),
        (Q() & has_entry, ["Ann"]),
        (Q(long) & ~has_entry, ["bob"]),
        (Q(Value(True), ("name", "bob")), ["bob"]),
        (~Q(name="Ann", tagline="Ann"), ["Zoe", "bob"]),
        (Q(name="Ann", tagline="", _connector=Q.OR), ["Ann", "Zoe"]),
        (Q(name="Ann", tagline="Ann", _connector=Q.XOR), []),
        (Q(name="Ann") ^ Q(tagline="Ann") ^ Q(entry__headline="Ann"), ["Ann"]),
        (Q(dorm.Case(dorm.When(name="bob", then=True), default=False)), ["bob"]),
    ):
        assert sorted([blog.name for blog in await face.rows(Blog.objects.filter(condition))]) == wanted
    for wrong in (F("name"), 1, "name", True):
        with pytest.raises(TypeError):
            Blog.objects.filter(wrong)
        with pytest.raises(TypeError):
            Q(name="Ann") | wrong  # type: ignore[operator]  # what is tested
