"""AND, OR and NOT over resolved conditions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dorm.sql.node import BOOLEAN_OUTPUT, Node, Parents, Scope

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class Condition(Node):
    """A node that is true, false or NULL."""

    output = BOOLEAN_OUTPUT
    is_condition = True
    binds_loosely = True


class Junction(Condition):
    """Conditions joined by AND or OR."""

    word = ""

    def __init__(self, args: Iterable[Node]) -> None:
        self.args = tuple(args)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        if len(self.args) == 1:
            return self.args[0].sql(compiler)
        return f" {self.word} ".join(
            f"({arg.sql(compiler)})" if isinstance(arg, Junction) else arg.sql(compiler) for arg in self.args
        )

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


class And(Junction):
    word = "AND"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return frozenset().union(*[arg.null_rejecting(parents) for arg in self.args])

    def null_confirming(self, parents: Parents) -> frozenset[str]:
        return _of_all([arg.null_confirming(parents) for arg in self.args], parents)

    def present(self) -> frozenset[tuple[str, str]]:
        return frozenset().union(*[arg.present() for arg in self.args])


class Or(Junction):
    word = "OR"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return _of_all([arg.null_rejecting(parents) for arg in self.args], parents)

    def null_confirming(self, parents: Parents) -> frozenset[str]:
        return frozenset().union(*[arg.null_confirming(parents) for arg in self.args])


class Not(Condition):
    """NOT of a condition; whoever builds it has made the condition NULL-safe."""

    def __init__(self, arg: Node) -> None:
        self.args = (arg,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return f"NOT ({self.args[0].sql(compiler)})"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return self.args[0].null_confirming(parents)

    def null_confirming(self, parents: Parents) -> frozenset[str]:
        return self.args[0].null_rejecting(parents)

    def present(self) -> frozenset[tuple[str, str]]:
        return self.args[0].absent()

    @property
    def nullable(self) -> bool:
        return self.args[0].nullable


class Certain(Condition):
    """A condition that is false where it would be NULL."""

    def __init__(self, arg: Node) -> None:
        self.args = (arg,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return f"({self.args[0].sql(compiler)}) IS TRUE"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return self.args[0].null_rejecting(parents)

    @property
    def nullable(self) -> bool:
        return False


class Enclosed(Condition):
    """A condition as an operand, in parentheses."""

    binds_loosely = False

    def __init__(self, arg: Node) -> None:
        self.args = (arg,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return f"({self.args[0].sql(compiler)})"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return self.args[0].null_rejecting(parents)

    def null_confirming(self, parents: Parents) -> frozenset[str]:
        return self.args[0].null_confirming(parents)

    @property
    def nullable(self) -> bool:
        return self.args[0].nullable


class Nothing(Condition):
    """A condition that no row meets; a query that needs it sends no statement."""

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return "0 = 1"


class Everything(Condition):
    """A condition that every row meets."""

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return "1 = 1"


def _of_all(found: Iterable[frozenset[str]], parents: Parents) -> frozenset[str]:
    """Return the aliases in each of *found*: a table stands for those it is joined to as well."""
    first, *rest = [with_parents(each, parents) for each in found] or [frozenset[str]()]
    return first.intersection(*rest)


def with_parents(aliases: Iterable[str], parents: Parents) -> frozenset[str]:
    """Return *aliases* and those that they are joined to."""
    found: set[str] = set()
    for each in aliases:
        alias: str | None = each
        while alias is not None and alias not in found:
            found.add(alias)
            alias = parents.get(alias)
    return frozenset(found)


def conjunction(parts: Iterable[Node]) -> Node | None:
    """Return the AND of *parts*, simplified; None when nothing is demanded."""
    flat: list[Node] = []
    for part in parts:
        if isinstance(part, Nothing):
            return part
        if isinstance(part, Everything):
            continue
        flat.extend(part.args if isinstance(part, And) else (part,))
    if not flat:
        return None
    return flat[0] if len(flat) == 1 else And(flat)


def disjunction(parts: Iterable[Node]) -> Node | None:
    """Return the OR of *parts*, simplified; None when *parts* is empty."""
    flat: list[Node] = []
    seen = False
    for part in parts:
        seen = True
        if isinstance(part, Everything):
            return part
        if isinstance(part, Nothing):
            continue
        flat.extend(part.args if isinstance(part, Or) else (part,))
    if not flat:
        return Nothing() if seen else None
    return flat[0] if len(flat) == 1 else Or(flat)


def negation(part: Node) -> Node:
    """Return NOT *part*, simplified."""
    if isinstance(part, Nothing):
        return Everything()
    if isinstance(part, Everything):
        return Nothing()
    return Not(part)


def certain(condition: Node) -> Node:
    """Return a condition that is false where *condition* is NULL."""
    return Certain(condition) if condition.nullable else condition


def odd(parts: list[Node]) -> Node:
    """Return XOR: an odd number of *parts* hold; one that is NULL does not."""
    node, *rest = map(certain, parts)
    for part in rest:
        either = disjunction([conjunction([node, negation(part)]) or part, conjunction([negation(node), part]) or part])
        assert either is not None, "XOR of two conditions"
        node = either
    return node


def junction(parts: Iterable[Node | None], connector: str, negated: bool) -> Node | None:
    """Return *parts* under a connector, possibly negated; None demands nothing, a part as well as the whole."""
    demanding = [part for part in parts if part is not None]
    if not demanding:
        return None
    if connector == "XOR":
        node: Node | None = odd(demanding)
    else:
        node = disjunction(demanding) if connector == "OR" else conjunction(demanding)
    if node is None:
        # All parts hold always, which a NOT above them must be told.
        node = Everything()
    return negation(node) if negated else node
