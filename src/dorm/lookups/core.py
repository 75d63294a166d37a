"""The standard lookups as nodes, and the registry that names them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeAlias

from dorm.exceptions import FieldError
from dorm.lookups.values import bucket
from dorm.sql.boolean import Condition, Nothing
from dorm.sql.node import TEXT_OUTPUT, Column, Node, Output, Param, QueryLike, Scope

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

Build: TypeAlias = "Callable[[str, Node, Any, Scope], Node]"


def _strict_aliases(*nodes: Node) -> frozenset[str]:
    """Return the tables whose NULL row makes a comparison of *nodes* NULL: those named by a bare column."""
    return frozenset(node.alias for node in nodes if isinstance(node, Column))


class Comparison(Condition):
    """``lhs <operator> rhs``, the operator being the dialect's text for *lookup*."""

    def __init__(self, lookup: str, lhs: Node, rhs: Node) -> None:
        self.lookup = lookup
        self.args = (lhs, rhs)

    def options(self) -> tuple[Hashable, ...]:
        return (self.lookup,)

    def sql(self, compiler: Compiler) -> str:
        lhs, rhs = self.args
        dialect = compiler.dialect
        left = dialect.lookup_left(self.lookup, lhs.sql(compiler), lhs.output.sql_type if lhs.output else None)
        return dialect.lookups[self.lookup].format(lhs=left, rhs=rhs.sql(compiler))

    def null_rejecting(self) -> frozenset[str]:
        return _strict_aliases(*self.args)

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


class Pattern(Comparison):
    """A comparison with a pattern that the dialect makes of the user's text."""

    def __init__(self, lookup: str, lhs: Node, slot: int) -> None:
        super().__init__(lookup, lhs, Param(slot, TEXT_OUTPUT))
        self.slot = slot

    def sql(self, compiler: Compiler) -> str:
        lhs = self.args[0]
        dialect = compiler.dialect
        left = dialect.lookup_left(self.lookup, lhs.sql(compiler), lhs.output.sql_type if lhs.output else None)
        right = compiler.param(self.slot, TEXT_OUTPUT, dialect.pattern(self.lookup))
        return dialect.lookups[self.lookup].format(lhs=left, rhs=right)


class InList(Condition):
    """Membership in a list of values that stands in one slot; *size* is its padded length."""

    def __init__(self, lhs: Node, slot: int, size: int) -> None:
        self.args = (lhs,)
        self.slot = slot
        self.size = size

    def options(self) -> tuple[Hashable, ...]:
        return (self.slot, self.size)

    def sql(self, compiler: Compiler) -> str:
        lhs = self.args[0]
        left = lhs.sql(compiler)
        if compiler.dialect.supports_array_parameters:
            return compiler.dialect.in_array(left, compiler.array(self.slot, lhs.output))
        return f"{left} IN ({compiler.padded(self.slot, self.size, lhs.output)})"

    def null_rejecting(self) -> frozenset[str]:
        return _strict_aliases(*self.args)

    @property
    def nullable(self) -> bool:
        return self.args[0].nullable


class InNodes(Condition):
    """Membership in expressions, or in a subquery (one node that brings its own parentheses)."""

    def __init__(self, lhs: Node, items: tuple[Node, ...]) -> None:
        self.args = (lhs, *items)

    def sql(self, compiler: Compiler) -> str:
        return f"{self.args[0].sql(compiler)} IN ({compiler.expressions(self.args[1:])})"

    def null_rejecting(self) -> frozenset[str]:
        return _strict_aliases(self.args[0])


class InSelect(InNodes):
    """Membership in the rows of a subquery."""

    def sql(self, compiler: Compiler) -> str:
        return f"{self.args[0].sql(compiler)} IN {self.args[1].sql(compiler)}"


class Between(Condition):
    """``lhs BETWEEN low AND high``."""

    def __init__(self, lhs: Node, low: Node, high: Node) -> None:
        self.args = (lhs, low, high)

    def sql(self, compiler: Compiler) -> str:
        lhs, low, high = self.args
        return f"{lhs.sql(compiler)} BETWEEN {low.sql(compiler)} AND {high.sql(compiler)}"

    def null_rejecting(self) -> frozenset[str]:
        return _strict_aliases(*self.args)

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


class IsNull(Condition):
    """``lhs IS [NOT] NULL``."""

    def __init__(self, lhs: Node, wanted: bool) -> None:
        self.args = (lhs,)
        self.wanted = wanted

    def options(self) -> tuple[Hashable, ...]:
        return (self.wanted,)

    def sql(self, compiler: Compiler) -> str:
        return f"{self.args[0].sql(compiler)} IS {'' if self.wanted else 'NOT '}NULL"

    def null_rejecting(self) -> frozenset[str]:
        return frozenset() if self.wanted else _strict_aliases(*self.args)

    @property
    def nullable(self) -> bool:
        return False


# -- building ----------------------------------------------------------------------------------------------------


def operand(lhs: Node, value: Any, scope: Scope) -> Node:
    """Return the node of one right side: an expression resolved, a literal as a slot typed like *lhs*."""
    if isinstance(value, Node):
        return value.resolve(scope)
    if isinstance(value, QueryLike):
        return scope.subquery(value)
    return Param(scope.slot(_prepare(lhs.output)), lhs.output)


def _prepare(output: Output | None) -> Callable[[Any], Any] | None:
    return output.prepare if output is not None and output.prepares else None


def _comparison(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        if name in ("exact", "iexact"):
            return IsNull(lhs, True)
        raise ValueError(f"None cannot be compared with {name}: use isnull=True or isnull=False.")
    return Comparison(name, lhs, operand(lhs, value, scope))


def _pattern(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        return _comparison(name, lhs, value, scope)
    if isinstance(value, (Node, QueryLike)):
        raise FieldError(f"{name} takes text, not an expression ({type(value).__name__})")
    return Pattern(name, lhs, scope.slot(str))


def _in(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        raise ValueError("None is no list: in= takes a list, tuple, set, generator or queryset.")
    if isinstance(value, QueryLike):
        return InSelect(lhs, (scope.subquery(value),))
    if isinstance(value, Node):
        return InSelect(lhs, (value.resolve(scope),))
    if not value:
        return Nothing()
    if any(isinstance(item, (Node, QueryLike)) for item in value):
        return InNodes(lhs, tuple(operand(lhs, item, scope) for item in value))
    prepare = _prepare(lhs.output)
    each = None if prepare is None else (lambda items: tuple(map(prepare, items)))
    return InList(lhs, scope.slot(each), bucket(len(value)))


def _range(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if not isinstance(value, tuple):
        raise ValueError("range= takes two bounds")
    low, high = value
    return Between(lhs, operand(lhs, low, scope), operand(lhs, high, scope))


def _isnull(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if not isinstance(value, bool):
        raise ValueError("The QuerySet value for an isnull lookup must be True or False.")
    return IsNull(lhs, value)


_BUILDERS: dict[str, Build] = {
    **dict.fromkeys(("exact", "gt", "gte", "lt", "lte"), _comparison),
    **dict.fromkeys(
        ("iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "regex", "iregex"),
        _pattern,
    ),
    "in": _in,
    "range": _range,
    "isnull": _isnull,
}


def lookup_names() -> tuple[str, ...]:
    """Return the names of all lookups, for messages."""
    return tuple(sorted(_BUILDERS))


def is_lookup(name: str) -> bool:
    """True when a lookup of that name is registered."""
    return name in _BUILDERS


def build_lookup(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    """Return the resolved condition ``lhs__name=value``."""
    return _BUILDERS[name](name, lhs, value, scope)
