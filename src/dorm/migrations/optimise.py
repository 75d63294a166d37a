"""Folding operations that can be one, or none."""

from __future__ import annotations

from collections.abc import Sequence

from dorm.migrations.operations.base import Operation


def optimise(operations: Sequence[Operation], app_label: str) -> list[Operation]:
    """Return operations that do the same as *operations*, and are fewer where that can be; their order is kept."""
    found = list(operations)
    while True:
        shorter = _pass(found, app_label)
        if shorter == found:
            return shorter
        found = shorter


def _pass(operations: list[Operation], app_label: str) -> list[Operation]:
    """Fold what can be folded, once from the beginning."""
    done: list[Operation] = []
    for number, operation in enumerate(operations):
        right = True
        for distance, other in enumerate(operations[number + 1 :]):
            result = operation.reduce(other, app_label)
            if isinstance(result, list):
                between = operations[number + 1 : number + distance + 1]
                rest = operations[number + distance + 2 :]
                if right:
                    return [*done, *between, *result, *rest]
                if all(each.reduce(other, app_label) is True for each in between):
                    return [*done, *result, *between, *rest]
                break
            if not result:
                right = False
        done.append(operation)
    return done


class MigrationOptimizer:
    """Folding operations, under Django's name."""

    def optimize(self, operations: Sequence[Operation], app_label: str) -> list[Operation]:
        """Return *operations* folded."""
        return optimise(operations, app_label)
