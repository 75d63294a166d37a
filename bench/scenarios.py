"""What is measured: each scenario, how its answer is read, and the budget. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import answers


@dataclass(frozen=True)
class Scenario:
    """One thing to do.

    Args:
        name: of the function of each contestant.
        title: what a reader sees.
        answer: makes the contestants' answers comparable.
        most: times it is done at most in one turn of the clock; a turn lasts some 40 ms of the bare driver's time.
        budget: most that dorm may take, as a ratio to the bare driver, by figure ("sqlite", "postgresql",
            "postgresql async").
        writes: the scratch table or the items are changed, checked and put back after each turn.
        checked: SQL whose answer must be the same after every contestant's turn.
        cleans: SQL that undoes it.
    """

    name: str
    title: str
    answer: Callable[[Any], Any] = answers.plain
    most: int = 1
    budget: tuple[float | None, float | None, float | None] = (None, None, None)
    checked: str = ""
    cleans: tuple[str, ...] = ()


_ROWS = "SELECT count(*), sum(stock), sum(price), min(name), max(name) FROM scratch"
_EMPTY = ("DELETE FROM scratch",)

SCENARIOS = (
    Scenario("get_pk", "get by key", answers.items, 3000, (2, 1.5, 1.6)),
    Scenario("get_unique", "get by unique column", answers.items, 3000, (2, 1.5, 1.6)),
    Scenario("rows20", "20 rows by an indexed column", answers.items, 1000, (1.8, 1.8, 1.9)),
    Scenario("objects10k", "10,000 objects", answers.items, 10, (1.2, 1.9, 1.9)),
    Scenario("tuples10k", "10,000 tuples", answers.items, 10, (0.8, 1.1, 1.15)),
    Scenario("dicts10k", "10,000 dicts", answers.items, 10, (1.0, 1.1, 1.15)),
    Scenario("insert_one", "insert one (own transaction)", answers.plain, 200, (1.8, 1.7, 1.8), _ROWS, _EMPTY),
    Scenario("insert_in_tx", "insert 1,000 in a transaction", answers.plain, 1, (2.5, 1.8, 1.4), _ROWS, _EMPTY),
    Scenario("bulk_insert", "bulk insert 10,000 with keys back", answers.plain, 1, (1.8, 2.5, 2.5), _ROWS, _EMPTY),
    Scenario("count", "count", answers.plain, 200, (1.3, 1.3, 1.4)),
    Scenario("group_by", "group by", answers.groups, 10, (1.3, 1.3, 1.4)),
    Scenario(
        "update_filter",
        "update by filter",
        answers.plain,
        1,
        (1.3, 1.3, 1.4),
        "SELECT count(*) FROM item WHERE stock = 5000",
        ("UPDATE item SET stock = id % 1000 WHERE bucket = 3",),
    ),
    Scenario("exists", "exists", answers.plain, 3000, (3, 1.8, 1.8)),
    Scenario("joined", "1,000 rows with a joined object", answers.with_owner, 30, (2, 2.2, 2.2)),
    Scenario("filter_join", "filter across a join", answers.pets, 500, (2, 1.8, 2)),
    Scenario("prefetch", "100 parents x 10 children prefetched", answers.families, 30, (2, 2.2, 2.2)),
    Scenario("prefetch_m2m", "100 x 3 many-to-many prefetched", answers.tagged, 30, (2.5, 2.5, 2.5)),
    Scenario(
        "update_one",
        "update one",
        answers.plain,
        200,
        (1.7, 1.7, 1.7),
        "SELECT count(*), sum(stock) FROM item WHERE name = 'changed'",
        ("UPDATE item SET name = 'the name of item ' || id, stock = id % 1000 WHERE name = 'changed'",),
    ),
    Scenario(
        "delete_one",
        "delete one",
        answers.plain,
        200,
        (1.6, 1.7, 1.7),
        "SELECT count(*) FROM scratch",
        (
            "DELETE FROM scratch",
            "INSERT INTO scratch SELECT * FROM item WHERE id <= 400",
        ),
    ),
    Scenario(
        "bulk_update",
        "bulk update 1,000",
        answers.plain,
        1,
        (2, 1.4, 1.5),
        "SELECT count(*), sum(stock) FROM item WHERE stock >= 100000",
        ("UPDATE item SET stock = id % 1000 WHERE stock >= 100000",),
    ),
    Scenario("stream", "stream 100,000 objects", answers.plain, 1, (1.6, 2, 2.2)),
    Scenario("wide", "2,000 objects of 32 mixed columns", answers.wide, 5, (1.2, 1.4, 1.4)),
    Scenario("tasks", "200 tasks over a pool of 10, one get", answers.items, 1, (None, None, 1.9)),
)
