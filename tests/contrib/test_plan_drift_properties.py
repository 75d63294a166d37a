"""Properties of plan drift: what changes from day to day never alarms, a change of strategy always does."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings as checks, strategies as st

from dorm.contrib import plan_drift
from dorm.db.backends.postgresql.plans import plan_tree as postgresql_tree
from dorm.db.connection import connections, get_connection
from dorm.exceptions import NotSupportedError
from dorm.migrations.schema import create_tables
from tests.contrib.models import Customer, Order

BY_NUMBER = "SELECT id FROM contrib_tests_order WHERE number = %s"
JOINED = (
    "SELECT o.id FROM contrib_tests_order o JOIN contrib_tests_customer c ON c.id = o.customer_id "
    "WHERE o.number = %s ORDER BY o.id"
)

# -- on real databases -------------------------------------------------------------------------------------------

CHANGES = st.one_of(
    st.just(("analyse",)),
    st.just(("vacuum",)),
    st.tuples(st.just("insert"), st.integers(1, 3000)),
    st.tuples(st.just("delete"), st.integers(1, 500)),
    st.tuples(st.just("update"), st.integers(1, 500)),
    st.tuples(st.just("parameter"), st.integers(-10, 10_000_000)),
)


def _begin() -> None:
    """Three thousand orders and an index, as new."""
    # A table of its own each time: PostgreSQL doesn't use an index at once that was made over rows just updated.
    get_connection().execute_script("DROP TABLE contrib_tests_order")
    create_tables([Order])
    customer = Customer.objects.create(name="Ann")
    Order.objects.bulk_create([Order(customer=customer, number=number) for number in range(3000)])
    get_connection().execute_script("CREATE INDEX by_number ON contrib_tests_order (number); ANALYZE")


@pytest.fixture
def orders(shop: dict[str, Any]) -> Iterator[str]:
    """The engine, with orders and an index."""
    _begin()
    yield connections["default"].vendor
    plan_drift.reset()


def _apply(change: tuple[Any, ...]) -> int | None:
    """Do what *change* says; return the parameter to compare with when it is one."""
    kind, *arguments = change
    connection = get_connection()
    if kind == "analyse":
        connection.execute_script("ANALYZE")
    elif kind == "vacuum":
        connection.execute_script("VACUUM")
    elif kind == "insert":
        customer = Customer.objects.first()
        Order.objects.bulk_create([Order(customer=customer, number=5000 + each) for each in range(arguments[0])])
    elif kind == "delete":
        connection.execute_write(
            "DELETE FROM contrib_tests_order WHERE number BETWEEN 100 AND %s", [100 + arguments[0]]
        )
    elif kind == "update":
        connection.execute_write("UPDATE contrib_tests_order SET number = number WHERE number < %s", [arguments[0]])
    else:
        return int(arguments[0])
    return None


@checks(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGES, min_size=1, max_size=6))
def test_days_go_by_without_alarm_and_a_dropped_index_is_one(orders: str, changes: list[tuple[Any, ...]]) -> None:
    _begin()
    plan_drift.record_baseline("orders", BY_NUMBER, params=[1])
    for change in changes:
        parameter = _apply(change)
        result = plan_drift.compare("orders", BY_NUMBER, params=[1 if parameter is None else parameter])
        assert not result.drifted, (changes, plan_drift.diff_text(result))
    get_connection().execute_script("DROP INDEX by_number")
    result = plan_drift.compare("orders", BY_NUMBER, params=[1])
    assert result.drifted
    assert "by_number" in plan_drift.diff_text(result)


def test_an_index_that_comes_is_drift(orders: str) -> None:
    get_connection().execute_script("DROP INDEX by_number")
    plan_drift.record_baseline("joined", JOINED, params=[1])
    get_connection().execute_script("CREATE INDEX again ON contrib_tests_order (number); ANALYZE")
    result = plan_drift.compare("joined", JOINED, params=[1])
    assert result.drifted
    added = [line for line in plan_drift.diff_text(result).splitlines() if line.startswith("+")]
    assert any("again" in line for line in added)


def test_a_backend_without_plans_says_so(orders: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dorm.db.dialect import Dialect

    dialect = connections["default"].dialect
    monkeypatch.setattr(type(dialect), "plan_sql", Dialect.plan_sql)
    with pytest.raises(NotImplementedError, match=orders) as caught:
        plan_drift.record_baseline("x", "SELECT 1")
    assert isinstance(caught.value, NotSupportedError)


# -- on plans alone ----------------------------------------------------------------------------------------------

VOLATILE = {
    "Startup Cost": st.floats(0, 1e6),
    "Total Cost": st.floats(0, 1e6),
    "Plan Rows": st.integers(0, 10**9),
    "Plan Width": st.integers(0, 5000),
    "Actual Rows": st.integers(0, 10**9),
    "Actual Total Time": st.floats(0, 1e6),
    "Actual Loops": st.integers(1, 1000),
    "Shared Hit Blocks": st.integers(0, 10**6),
    "Rows Removed by Filter": st.integers(0, 10**6),
    "Peak Memory Usage": st.integers(0, 10**6),
    "Workers Planned": st.integers(1, 8),
    "Workers Launched": st.integers(0, 8),
    "Heap Fetches": st.integers(0, 10**6),
    "Parallel Aware": st.booleans(),
    "Async Capable": st.booleans(),
}

PLAN = {
    "Node Type": "Sort",
    "Sort Key": ["o.id"],
    "Plans": [
        {
            "Node Type": "Hash Join",
            "Join Type": "Inner",
            "Hash Cond": "(o.customer_id = c.id)",
            "Plans": [
                {
                    "Node Type": "Index Scan",
                    "Index Name": "by_number",
                    "Relation Name": "contrib_tests_order",
                    "Index Cond": "(number = 17)",
                    "Filter": "((note <> 'Zaphod''s'::text) AND (id = ANY ('{1,2}'::bigint[])))",
                },
                {"Node Type": "Seq Scan", "Relation Name": "contrib_tests_customer", "Parent Relationship": "Inner"},
            ],
        }
    ],
}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)


def _text(plan: dict[str, Any]) -> str:
    return postgresql_tree([[[{"Plan": plan, "Planning Time": 1.0, "JIT": {"Functions": 3}}]]]).text()


@given(st.data())
def test_figures_are_no_part_of_a_plan(data: st.DataObject) -> None:
    plan = copy.deepcopy(PLAN)
    for node in _nodes(plan):
        node.update(data.draw(st.fixed_dictionaries({}, optional=VOLATILE)))
    assert _text(plan) == _text(PLAN)


@given(number=st.integers(0, 10**9), name=st.text(st.characters(codec="utf-8", exclude_characters="\\\0"), max_size=8))
def test_constants_are_no_part_of_a_plan(number: int, name: str) -> None:
    plan: Any = copy.deepcopy(PLAN)
    scan = plan["Plans"][0]["Plans"][0]
    scan["Index Cond"] = f"(number = {number})"
    scan["Filter"] = (
        f"((note <> '{name.replace(chr(39), chr(39) * 2)}'::text) AND (id = ANY ('{{{number}}}'::bigint[])))"
    )
    text = _text(plan)
    assert text == _text(PLAN)
    assert "Zaphod" not in text


@pytest.mark.parametrize(
    "constant", ["'7'::smallint", "'7'::bigint", "'7.0'::double precision", "'7'::numeric(10,2)", "'7'::\"My type\"[]"]
)
def test_the_type_of_a_constant_is_no_part_of_a_plan(constant: str) -> None:
    plan: Any = copy.deepcopy(PLAN)
    plan["Plans"][0]["Plans"][0]["Index Cond"] = f"(number = {constant})"
    assert _text(plan) == _text(PLAN)
    plan["Plans"][0]["Plans"][0]["Index Cond"] = f"((number)::bigint = {constant})"
    assert _text(plan) != _text(PLAN)


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (0, "Node Type", "Incremental Sort"),
        (0, "Sort Key", ["o.id DESC"]),
        (1, "Node Type", "Nested Loop"),
        (1, "Join Type", "Left"),
        (1, "Hash Cond", "(o.id = c.id)"),
        (2, "Node Type", "Seq Scan"),
        (2, "Index Name", "by_note"),
        (2, "Scan Direction", "Backward"),
        (2, "Filter", "(note IS NULL)"),
        (3, "Relation Name", "elsewhere"),
    ],
)
def test_structure_is(place: int, name: str, value: Any) -> None:
    plan = copy.deepcopy(PLAN)
    list(_nodes(plan))[place][name] = value
    assert _text(plan) != _text(PLAN)
