"""Putting operations in an order that works, and parting them into migrations."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from dorm.exceptions import MigrationError
from dorm.migrations.operations.base import Operation


@dataclass(frozen=True)
class Planned:
    """One operation with what it makes and needs; resources are tuples such as ("model", "app.name").

    Attributes:
        number: place in the order in which operations were found, which stays where nothing else is demanded.
    """

    app: str
    operation: Operation
    makes: frozenset[Any]
    needs: frozenset[Any]
    number: int


Chunk = tuple[str, int, list[Operation], frozenset[Any]]
"""App, level, operations, and the (app, level) it needs; level None: whatever the app has already."""


def in_order(planned: Sequence[Planned]) -> list[Planned]:
    """Return *planned* such that each comes after what makes what it needs; the same order each time."""
    makers = makers_of(planned)
    waits: dict[int, set[int]] = {
        each.number: {maker.number for need in each.needs for maker in makers.get(need, ())} - {each.number}
        for each in planned
    }
    followers: dict[int, list[int]] = {}
    for number, befores in waits.items():
        for before in befores:
            followers.setdefault(before, []).append(number)
    by_number = {each.number: each for each in planned}
    ready = [number for number, befores in waits.items() if not befores]
    heapq.heapify(ready)
    found: list[Planned] = []
    while ready:
        number = heapq.heappop(ready)
        found.append(by_number[number])
        for follower in followers.get(number, ()):
            waits[follower].discard(number)
            if not waits[follower]:
                heapq.heappush(ready, follower)
    if len(found) != len(planned):
        stuck = [by_number[number].operation.describe() for number, befores in waits.items() if befores]
        raise MigrationError(
            f"these changes depend on one another in a circle: {'; '.join(stuck)}. Make part of them first."
        )
    return found


def makers_of(planned: Iterable[Planned]) -> dict[Any, list[Planned]]:
    """Return the operations that make each resource."""
    found: dict[Any, list[Planned]] = {}
    for each in planned:
        for resource in each.makes:
            found.setdefault(resource, []).append(each)
    return found


def chunks(ordered: Sequence[Planned]) -> list[Chunk]:
    """Return *ordered* in parts, one a migration: as few an app as circles between apps allow."""
    makers = makers_of(ordered)
    needs = {
        each.number: [maker for need in each.needs for maker in makers.get(need, ()) if maker is not each]
        for each in ordered
    }
    circles = _circles(ordered, needs)
    levels: dict[int, int] = {}
    highest: dict[str, int] = {}
    for each in ordered:
        level = 0
        for maker in needs[each.number]:
            same_circle = maker.app != each.app and circles.get(maker.app) == circles.get(each.app)
            level = max(level, levels[maker.number] + (1 if same_circle and each.app in circles else 0))
            if maker.app == each.app:
                level = max(level, levels[maker.number])
        levels[each.number] = level if each.app in circles else 0
        highest[each.app] = max(highest.get(each.app, 0), levels[each.number])
    parts: dict[tuple[str, int], list[Planned]] = {}
    for each in ordered:
        parts.setdefault((each.app, levels[each.number]), []).append(each)
    edges = {key: _needed(key, part, needs, levels, makers) for key, part in parts.items()}
    order = _order_of(parts, edges)
    return [(*key, [each.operation for each in parts[key]], edges[key]) for key in order]


def _needed(
    key: tuple[str, int],
    part: Sequence[Planned],
    needs: dict[int, list[Planned]],
    levels: dict[int, int],
    makers: dict[Any, list[Planned]],
) -> frozenset[Any]:
    found: set[Any] = set()
    for each in part:
        found.update((maker.app, levels[maker.number]) for maker in needs[each.number])
        for need in each.needs:
            if need[0] == "model" and need not in makers:
                found.add((need[1].rpartition(".")[0], None))
    found.discard(key)
    return frozenset(found)


def _order_of(parts: dict[tuple[str, int], list[Planned]], edges: dict[tuple[str, int], Any]) -> list[tuple[str, int]]:
    sorter: TopologicalSorter[tuple[str, int]] = TopologicalSorter()
    for key in sorted(parts):
        before = [each for each in edges[key] if each in parts]
        before += [other for other in parts if other[0] == key[0] and other[1] < key[1]]
        sorter.add(key, *sorted(before))
    return list(sorter.static_order())


def _circles(ordered: Sequence[Planned], needs: dict[int, list[Planned]]) -> dict[str, int]:
    """Return the number of the circle that each app is in; apps in none are left out."""
    edges: dict[str, set[str]] = {}
    for each in ordered:
        edges.setdefault(each.app, set()).update(maker.app for maker in needs[each.number])
    reach = {app: _reachable(app, edges) for app in edges}
    found: dict[str, int] = {}
    for app in sorted(edges):
        partners = sorted(other for other in reach[app] if other != app and app in reach.get(other, ()))
        if partners and app not in found:
            number = len(set(found.values()))
            found.update(dict.fromkeys([app, *partners], number))
    return found


def _reachable(app: str, edges: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    stack = [app]
    while stack:
        for other in edges.get(stack.pop(), ()):
            if other not in seen:
                seen.add(other)
                stack.append(other)
    return seen
