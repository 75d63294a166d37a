"""Querysets inside expressions: Subquery, Exists, and OuterRef for what they take from the query around them."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from dorm.exceptions import NotSupportedError
from dorm.expressions.core import Expression, F
from dorm.expressions.types import ListOutput
from dorm.sql.boolean import negation
from dorm.sql.node import BOOLEAN_OUTPUT, Literals, Meanings, Node, Output, Part, QueryLike, Scope, output_key
from dorm.sql.select import SubSelect

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class OuterRef(F):
    """A field of the query around the subquery in which this stands.

    ``OuterRef(OuterRef("pk"))`` refers to the query around that one, and so on.
    """

    name: Any

    def __init__(self, name: str | OuterRef) -> None:
        if isinstance(name, OuterRef):
            self.name = name
        else:
            super().__init__(name)

    def resolve(self, scope: Scope) -> Node:
        return scope.outer(self.name)

    def __hash__(self) -> int:
        return hash((OuterRef, self.name))


class NameOfKey(str):
    """A name of the query around that must lead to a composite key, since it is compared with one."""

    __slots__ = ()


class OuterReference(Node):
    """A resolved `OuterRef`: what it means is known where the subquery is put into its query."""

    def __init__(self, name: Any) -> None:
        self.name = name

    def options(self) -> tuple[Hashable, ...]:
        return (self.name,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def known(self, around: Meanings) -> Node:
        made = copy.copy(self)
        made.output = around.meant(self.name)
        return made

    def sql(self, compiler: Compiler) -> str:
        return compiler.outer(self.name)


def awaits(node: Node) -> bool:
    """True when the type of *node* hangs on a reference to the query around, which is not known yet."""
    return node.output is None and any(type(each) is OuterReference and each.output is None for each in node.walk())


def queryset_of(value: Any) -> Any:
    """Return *value* as something that can stand as a subquery: a queryset, or what a manager starts from."""
    if isinstance(value, QueryLike):
        return value
    start = getattr(value, "_queryset", None)
    if start is None:
        raise TypeError(f"a subquery is a queryset, not {type(value).__name__}")
    return start()


class Subquery(Expression):
    """The one value that a queryset of one column gives for a row; as the right side of ``in`` all its values.

    Args:
        queryset: not evaluated; ``values("column")`` says which column, else it is the primary key.
        output_field: type of the result, where it does not follow from the column.
    """

    def __init__(self, queryset: Any, output_field: Output | None = None) -> None:
        self.queryset = queryset_of(queryset)
        self.output = output_field

    def key(self, values: Literals) -> Hashable:
        if not self.cacheable:
            values.cacheable = False
        kind: Hashable = type(self)  # type: ignore[assignment]  # classes are hashable
        return (kind, output_key(self.output), self.queryset.query_key(values))

    def infer_output(self) -> Output | None:
        output: Output | None = self.queryset.column_output
        return output

    def resolve(self, scope: Scope) -> Node:
        node = scope.subquery(self.queryset)
        if self.output is not None:
            node = copy.copy(node)
            node.output = self.output
        return node


class Exists(Subquery):
    """Whether a queryset has any row; ``~Exists(...)`` whether it has none. A condition: it may stand in filters."""

    def __init__(self, queryset: Any, output_field: Output | None = None, *, negated: bool = False) -> None:
        super().__init__(queryset, output_field)
        self.output = output_field or BOOLEAN_OUTPUT
        self.negated = negated

    def key(self, values: Literals) -> Hashable:
        return (self.negated, super().key(values))

    def resolve(self, scope: Scope) -> Node:
        node = scope.exists(self.queryset)
        return negation(node) if self.negated else node

    def __invert__(self) -> Exists:
        made = copy.copy(self)
        made.negated = not self.negated
        return made


class _InOrder(QueryLike):
    """A queryset as a part of another query whose rows keep their order."""

    __slots__ = ("queryset",)

    def __init__(self, queryset: Any) -> None:
        self.queryset = queryset

    def query_key(self, values: Literals) -> Hashable:
        return (_InOrder, self.queryset.query_key(values))

    def as_part(self, width: int) -> Part:
        part: Part = self.queryset.as_part(width, ordered=True)
        return part

    @property
    def width(self) -> int:
        width: int = self.queryset.width
        return width


class ArraySubquery(Subquery):
    """All values that a queryset of one column gives for a row, as a list in the queryset's order (PostgreSQL).

    Raises: NotSupportedError: where the backend has no arrays, when the query is compiled.
    """

    def resolve(self, scope: Scope) -> Node:
        node = scope.subquery(_InOrder(self.queryset))
        assert isinstance(node, SubSelect), "a subquery is a SELECT"
        outer = dict(zip(node.references, node.args, strict=True))
        made = ArraySelect(node.select, node.base, outer, node.aliases)
        if self.output is not None:
            made.output = self.output
        return made


class ArraySelect(SubSelect):
    """ARRAY over a SELECT."""

    template = "ARRAY({})"

    def infer_output(self) -> Output | None:
        item = super().infer_output()
        return ListOutput(item) if item is not None else None

    def sql(self, compiler: Compiler) -> str:
        if not compiler.dialect.supports_server_types:
            raise NotSupportedError(f"{compiler.dialect.display_name} has no arrays, which ArraySubquery gives.")
        return super().sql(compiler)
