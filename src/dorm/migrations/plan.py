"""From targets to steps: which migrations are applied or undone, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dorm.exceptions import MigrationError
from dorm.migrations.loader import Loader, UnknownMigration
from dorm.migrations.migration import Migration, Node
from dorm.migrations.state import ProjectState

ZERO = "zero"


@dataclass(frozen=True)
class Step:
    """One migration to be applied, or undone."""

    migration: Migration
    backwards: bool = False

    @property
    def node(self) -> Node:
        return self.migration.node


def parse_target(loader: Loader, label: str, target: str | None) -> tuple[str, str | None]:
    """Return (app label, full name), or (app label, None) for "before the first".

    Raises: ValueError: an empty target. MigrationError: no such migration.
    """
    if target is not None and not target.strip():
        raise UnknownMigration("target takes a migration's name, a prefix, a number or 'zero', not an empty text.")
    if target == ZERO:
        return (label, None)
    if target is None:
        leaves = loader.graph.leaf_nodes(label)
        return leaves[-1] if leaves else (label, None)
    found = loader.get(label, target).node
    if found not in loader.graph.nodes:
        replacement = next(
            (node for node, each in loader.replacements.items() if found in [tuple(r) for r in each.replaces]), None
        )
        if replacement is not None:
            return replacement
    return found


def leaves(loader: Loader, labels: Iterable[str] | None = None) -> list[Node]:
    """Return the last migrations of all apps, or of some."""
    wanted = None if labels is None else set(labels)
    return [node for node in loader.graph.leaf_nodes() if wanted is None or node[0] in wanted]


def make_plan(loader: Loader, targets: Sequence[tuple[str, str | None]], clean_start: bool = False) -> list[Step]:
    """Return the steps that lead from what is applied to *targets*; linear in the number of migrations.

    A target that is applied already is gone back to: what comes after it in its app, and what depends on that, is
    undone.
    """
    applied = set() if clean_start else set(loader.applied)
    graph = loader.graph
    forward: list[Node] = []
    steps: list[Step] = []
    for label, name in targets:
        if name is None:
            roots = [node for node in graph.root_nodes(label) if node in graph.nodes]
            steps.extend(_undone(loader, roots, applied))
        elif (label, name) in applied and (label, name) in graph.nodes:
            after = [node for node in graph.children[(label, name)] if node[0] == label]
            steps.extend(_undone(loader, after, applied))
        else:
            forward.append((label, name))
    if forward:
        for node in graph.forwards_plan(forward):
            if node not in applied:
                applied.add(node)
                steps.append(Step(graph.nodes[node]))
    return steps


def steps_to_zero(loader: Loader, label: str | None = None) -> list[Step]:
    """Return the steps that undo all that is applied, or one app and what depends on it, dependants first."""
    nodes = loader.graph.root_nodes(label) if label is not None else list(loader.graph.nodes)
    return _undone(loader, nodes, set(loader.applied))


def _undone(loader: Loader, nodes: list[Node], applied: set[Node]) -> list[Step]:
    steps = []
    for node in loader.graph.backwards_plan(nodes) if nodes else []:
        if node in applied:
            applied.discard(node)
            steps.append(Step(loader.graph.nodes[node], backwards=True))
    return steps


def states_before(loader: Loader, steps: Sequence[Step]) -> dict[Node, ProjectState]:
    """Return the state before each migration of *steps*, as it is at that point of a real run.

    What stays applied comes first, wherever it stands in the graph: a step of one app meets the tables of another app
    as they are in the database by then. Of steps back it is the state that they lead to.
    """
    if not steps:
        return {}
    back = [step for step in steps if step.backwards]
    gone = {step.node for step in back}
    state = loader.unmigrated_state()
    for node in loader.graph.ordered():
        if node in loader.applied and node not in gone:
            loader.graph.nodes[node].mutate_state(state, preserve=False)
    found: dict[Node, ProjectState] = {}
    between = state.clone()
    for step in reversed(back):
        found[step.node] = between.clone()
        step.migration.mutate_state(between, preserve=False)
    for step in steps:
        if not step.backwards:
            found[step.node] = state.clone()
            step.migration.mutate_state(state, preserve=False)
    return found


def refuse_irreversible(steps: Sequence[Step]) -> None:
    """Raise `MigrationError` before anything runs when a step back cannot be done."""
    for step in steps:
        if step.backwards:
            for operation in step.migration.operations:
                if not operation.reversible:
                    raise IrreversibleError(
                        f"{step.migration} cannot be undone: {type(operation).__name__} ({operation.describe()}) is "
                        f"irreversible. Give it {operation.way_back}, or go back only as far as the migration after "
                        "it. Nothing was changed."
                    )


class IrreversibleError(MigrationError, NotImplementedError):
    """A migration that cannot be undone was to be undone; nothing was changed."""
