"""Q, F and expressions as objects: taken apart, compared, shown."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import Avg, Count, F, Q, Sum, Value
from dorm.functions import Lower


@pytest.mark.parametrize(
    ("condition", "args", "kwargs"),
    [
        (Q(a=1), (("a", 1),), {}),
        (Q(b=2, a=1), (("a", 1), ("b", 2)), {}),
        (Q(a=1) | Q(b=2), (("a", 1), ("b", 2)), {"_connector": "OR"}),
        (Q(a=1) ^ Q(b=2), (("a", 1), ("b", 2)), {"_connector": "XOR"}),
        (~Q(a=1), (("a", 1),), {"_negated": True}),
        (~(Q(a=1) | Q(b=2)), (("a", 1), ("b", 2)), {"_connector": "OR", "_negated": True}),
        (Q(), (), {}),
        (Q(Q(a=1)), (Q(a=1),), {}),
    ],
)
def test_a_condition_is_taken_apart(condition: Q, args: Any, kwargs: Any) -> None:
    path, found_args, found_kwargs = condition.deconstruct()
    assert (path, found_args, found_kwargs) == ("dorm.Q", args, kwargs)
    rebuilt = Q(*found_args, **found_kwargs)
    assert rebuilt.deconstruct() == condition.deconstruct()


def test_the_connector_is_checked() -> None:
    for wrong in ("NAND", "OR 1=1 --", ""):
        with pytest.raises(ValueError, match="_connector must be one of 'AND', 'OR', 'XOR', or None"):
            Q(a=1, _connector=wrong)  # type: ignore[arg-type]
    assert Q(a=1, _connector=None) == Q(a=1)  # type: ignore[arg-type]


def test_what_a_condition_consists_of() -> None:
    condition = Q(Q(a=1) | ~Q(b__c=F("d__e")), f=Value(2))
    assert len(condition) == 2
    assert condition.referenced_base_fields == {"a", "b", "d", "f"}
    assert [part for part in condition.flatten() if not isinstance(part, (Q, dorm.F, Value))] == [1]
    assert len([part for part in condition.flatten() if isinstance(part, Q)]) == 3


def test_expressions_are_shown_without_values() -> None:
    assert repr(Lower("name")) == "Lower(F('name'))"
    assert (
        repr(Count("a", distinct=True, filter=Q(secret="x"))) == "Count(F('a'), distinct=True, filter=Q(secret=<str>))"
    )
    assert repr(Sum("a", default=0)) == "Sum(F('a'), default=Value(<int>))"
    assert repr((F("a") + 1) * F("b")) == "(F('a') + Value(<int>)) * F('b')"


def test_order_of_nulls_is_kept() -> None:
    assert F("a").desc(nulls_last=True).nulls_last is True
    assert F("a").asc(nulls_first=True).nulls_first is True
    assert F("a").asc().nulls_first is None


@pytest.mark.parametrize("aggregate", [Sum, Avg, dorm.Min, dorm.Max])
def test_aggregates_take_one_argument(aggregate: Any) -> None:
    for args in ((), ("a", "b")):
        with pytest.raises(TypeError, match="argument"):
            aggregate(*args)
