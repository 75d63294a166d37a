"""Plans read from their text: the tree, and no constants in it."""

from __future__ import annotations

import pytest

from dorm.contrib.dashboard.plans import Step, tree

POSTGRESQL = """\
Limit  (cost=10.00..10.05 rows=5 width=44) (actual time=0.500..0.510 rows=5 loops=1)
  Buffers: shared hit=29
  ->  Hash Join  (cost=1.00..10.00 rows=99 width=44) (actual time=0.020..0.400 rows=99 loops=1)
        Hash Cond: (b.author_id = a.id)
        Join Filter: ((b.title)::text <> 'it''s (cost=1..2) secret'::text)
        Rows Removed by Join Filter: 77
        ->  Seq Scan on book b  (cost=0.00..5.00 rows=100 width=22) (actual time=0.001..0.100 rows=100 loops=2)
              Filter: ((price > 41424344) AND (SubPlan 1))
              SubPlan 1
                ->  Index Only Scan using x on y  (cost=0.1..0.2 rows=1 width=0) (never executed)
                      Index Cond: (z = 'hidden'::text)
        ->  Hash  (cost=0.50..0.50 rows=10 width=22) (actual time=0.010..0.010 rows=10 loops=1)
              Buckets: 1024  Batches: 1  Memory Usage: 9kB
Planning Time: 0.121 ms
Execution Time: 0.533 ms"""

SQLITE = "CO-ROUTINE x\n  SCAN a\nSCAN x\nUSE TEMP B-TREE FOR ORDER BY"
ONE_STEP = "Index Scan using p on author  (cost=0.15..8.17 rows=1 width=226)\n  Index Cond: (id = '7'::bigint)"


def _shape(step: Step) -> list[object]:
    return [step.label, *([_shape(child) for child in step.children])]


def test_steps_stand_below_each_other() -> None:
    assert _shape(tree(POSTGRESQL, "postgresql")) == [
        "Limit",
        ["Hash Join", ["Seq Scan on book b", ["SubPlan 1", ["Index Only Scan using x on y"]]], ["Hash"]],
    ]
    assert _shape(tree(SQLITE, "sqlite")) == [
        "plan", ["CO-ROUTINE x", ["SCAN a"]], ["SCAN x"], ["USE TEMP B-TREE FOR ORDER BY"]
    ]  # fmt: skip
    assert _shape(tree("SCAN a", "sqlite")) == ["SCAN a"]
    assert _shape(tree("", "sqlite")) == ["plan"]


def test_constants_go_and_figures_stay() -> None:
    whole = "\n".join(f"{each.label} {each.figures} {each.details}" for each in tree(POSTGRESQL, "postgresql").walk())
    for value in ("secret", "41424344", "hidden"):
        assert value not in whole
    for figure in ("Rows Removed by Join Filter: 77", "Buffers: shared hit=29", "Execution Time: 0.533 ms", "9kB"):
        assert figure in whole
    assert "Hash Cond: (b.author_id = a.id)" in whole


def test_a_single_step_keeps_its_lines() -> None:
    found = tree(ONE_STEP, "postgresql")
    assert found.children == []
    assert found.details == ["Index Cond: (id = ?::bigint)"]


def test_shares_are_of_the_longest_time() -> None:
    shares = {each.label: each.share for each in tree(POSTGRESQL, "postgresql").walk()}
    assert shares["Limit"] == 1.0
    assert shares["Hash Join"] == pytest.approx(0.7843)
    assert shares["Seq Scan on book b"] == pytest.approx(0.3922), "time by loops"
    assert tree(SQLITE, "sqlite").share is None
