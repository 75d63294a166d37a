"""The graph of migrations: what depends on what, in which order all of it can run."""

from __future__ import annotations

from collections.abc import Iterable

from dorm.exceptions import MigrationError, choices_text, nearest
from dorm.migrations.migration import Migration, Node


class NodeNotFoundError(MigrationError):
    """A migration depends on one that does not exist."""

    def __init__(self, message: str, node: Node) -> None:
        super().__init__(message)
        self.message = message
        self.node = node


class CircularDependencyError(MigrationError):
    """Migrations depend on one another in a circle."""


class Graph:
    """Migrations by (app label, name), and the edges between them."""

    def __init__(self) -> None:
        self.nodes: dict[Node, Migration] = {}
        self.parents: dict[Node, set[Node]] = {}
        self.children: dict[Node, set[Node]] = {}
        self._position: dict[Node, int] | None = None

    def add_node(self, migration: Migration) -> None:
        """Add a migration."""
        self.nodes[migration.node] = migration
        self.parents.setdefault(migration.node, set())
        self.children.setdefault(migration.node, set())

    def add_dependency(self, migration: str, child: Node, parent: Node) -> None:
        """Let *parent* come before *child*; *migration* says in messages who wants it so."""
        for node in (child, parent):
            if node not in self.nodes:
                names = [name for label, name in self.nodes if label == node[0]]
                known = (
                    f"Migrations of {node[0]!r}: {choices_text(names)}." if names else f"No app {node[0]!r} has any."
                )
                raise NodeNotFoundError(
                    f"{migration} depends on {node[0]}.{node[1]}, which does not exist.{nearest(node[1], names)} "
                    f"{known}",
                    node,
                )
        self.parents[child].add(parent)
        self.children[parent].add(child)
        self._position = None

    # -- order ---------------------------------------------------------------------------------------------------
    def ordered(self) -> list[Node]:
        """Return all migrations such that each comes after what it depends on; the same order each time.

        Raises: CircularDependencyError.
        """
        waiting = {node: len(parents) for node, parents in self.parents.items()}
        ready = sorted((node for node, count in waiting.items() if not count), reverse=True)
        found: list[Node] = []
        while ready:
            node = ready.pop()
            found.append(node)
            for child in sorted(self.children[node], reverse=True):
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)
        if len(found) != len(self.nodes):
            circle = self._circle(set(self.nodes).difference(found))
            raise CircularDependencyError(
                f"migrations depend on one another in a circle: {' -> '.join(f'{a}.{b}' for a, b in circle)}. Take one "
                "of these dependencies away."
            )
        return found

    def _circle(self, among: set[Node]) -> list[Node]:
        """Return the nodes of one circle, the first of them again at the end."""
        node = min(among)
        seen: list[Node] = []
        while node not in seen:
            seen.append(node)
            node = min(parent for parent in self.parents[node] if parent in among)
        return [*seen[seen.index(node) :], node]

    @property
    def positions(self) -> dict[Node, int]:
        """Place of each migration in `ordered`."""
        if self._position is None:
            self._position = {node: number for number, node in enumerate(self.ordered())}
        return self._position

    def forwards_plan(self, targets: Node | Iterable[Node]) -> list[Node]:
        """Return what has to be applied for *targets*, themselves last, in order."""
        return self._reached(targets, self.parents, reverse=False)

    def backwards_plan(self, targets: Node | Iterable[Node]) -> list[Node]:
        """Return what has to be undone to undo *targets*, themselves last, in order."""
        return self._reached(targets, self.children, reverse=True)

    def _reached(self, targets: Node | Iterable[Node], edges: dict[Node, set[Node]], reverse: bool) -> list[Node]:
        positions = self.positions
        start: list[Node] = [targets] if _is_node(targets) else list(targets)  # type: ignore[list-item, arg-type]  # told apart
        seen: set[Node] = set()
        stack: list[Node] = []
        for node in start:
            if node not in self.nodes:
                raise NodeNotFoundError(f"there is no migration {node[0]}.{node[1]}.", node)
            stack.append(node)
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(edges[node] - seen)
        return sorted(seen, key=positions.__getitem__, reverse=reverse)

    # -- ends ----------------------------------------------------------------------------------------------------
    def root_nodes(self, app: str | None = None) -> list[Node]:
        """Return the migrations that depend on none of their own app."""
        return sorted(
            node
            for node in self.nodes
            if (app is None or app == node[0]) and all(parent[0] != node[0] for parent in self.parents[node])
        )

    def leaf_nodes(self, app: str | None = None) -> list[Node]:
        """Return the migrations on which none of their own app depends."""
        return sorted(
            node
            for node in self.nodes
            if (app is None or app == node[0]) and all(child[0] != node[0] for child in self.children[node])
        )

    def conflicts(self) -> dict[str, list[str]]:
        """Return the apps that have several last migrations, with their names."""
        leaves: dict[str, list[str]] = {}
        for label, name in self.leaf_nodes():
            leaves.setdefault(label, []).append(name)
        return {label: names for label, names in leaves.items() if len(names) > 1}

    # -- squashed migrations -------------------------------------------------------------------------------------
    def replace(self, replacement: Node, replaced: Iterable[Node]) -> None:
        """Take *replaced* out; what depended on them depends on *replacement*."""
        gone = set(replaced) & set(self.nodes)
        for node in gone:
            for parent in self.parents.pop(node):
                self.children.get(parent, set()).discard(node)
                if parent not in gone and parent != replacement:
                    self.parents[replacement].add(parent)
                    self.children[parent].add(replacement)
            for child in self.children.pop(node):
                self.parents.get(child, set()).discard(node)
                if child not in gone and child != replacement:
                    self.parents[child].add(replacement)
                    self.children[replacement].add(child)
            del self.nodes[node]
        self._position = None

    def leave_out(self, replacement: Node, replaced: Iterable[Node]) -> None:
        """Take *replacement* out; what depended on it depends on the last ones of *replaced*."""
        stay = set(replaced) & set(self.nodes)
        last = {node for node in stay if not self.children[node] & stay}
        for parent in self.parents.pop(replacement):
            self.children[parent].discard(replacement)
        for child in self.children.pop(replacement):
            self.parents[child].discard(replacement)
            for node in last:
                if child != node:
                    self.parents[child].add(node)
                    self.children[node].add(child)
        del self.nodes[replacement]
        self._position = None


def _is_node(targets: object) -> bool:
    return isinstance(targets, tuple) and len(targets) == 2 and isinstance(targets[0], str)
