"""The pieces a query is made of, and the three things each can do: give its key, be resolved, be rendered.

A node exists in two states. As the user writes it, it holds names and literal values; `key` takes it apart into
structure and values. Resolved (`resolve`), it holds columns and slots: a slot is the place of one value in the tuple
that a queryset carries beside its plan. Only resolved nodes are rendered. Both walks visit children in the same order;
that is what makes the n-th value belong to the n-th slot.
"""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, TypeAlias, TypeVar, cast

from dorm.exceptions import FieldError
from dorm.sql.ours import is_ours
from dorm.sql.output import (
    BOOLEAN_OUTPUT as BOOLEAN_OUTPUT,
    FLOAT_OUTPUT as FLOAT_OUTPUT,
    INTEGER_OUTPUT as INTEGER_OUTPUT,
    TEXT_OUTPUT as TEXT_OUTPUT,
    Output as Output,
    TypedOutput as TypedOutput,
    common_output as common_output,
    output_key as output_key,
    output_name as output_name,
    output_of_value as output_of_value,
)

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler
    from dorm.sql.select import Select

N = TypeVar("N", bound="Node")
Parents: TypeAlias = Mapping[str, str]
"""The joined tables of a query, each alias with the one it is joined to."""


class Literals(list[Any]):
    """The values of a step in the order of its slots, collected while its key is taken.

    A node that cannot give a complete key clears `cacheable`: the query is then compiled each time.
    """

    cacheable: bool = True


class Scope(Protocol):
    """What a node may ask while it is resolved; made by whoever knows the names."""

    def reference(self, name: str, /) -> Node:
        """Return the node for a field path or an annotation."""
        ...

    def predicate(self, condition: Any, /) -> Node:
        """Return the node of a condition written with names (a ``Q``)."""
        ...

    def slot(self, prepare: Callable[[Any], Any] | None, /) -> int:
        """Take the next slot; *prepare* is applied to its value when a query is built."""
        ...

    def subquery(self, query: QueryLike, width: int = 1, /) -> Node:
        """Return the node of a queryset of *width* columns standing in this query."""
        ...

    def exists(self, query: QueryLike, /) -> Node:
        """Return the condition that a queryset has a row."""
        ...

    def outer(self, name: Any, /) -> Node:
        """Return a reference to the query around this one: a name, or a reference that belongs further out."""
        ...


class Meanings(Protocol):
    """Knows what references to a query around mean: whoever renders the statement, or puts the subquery into it."""

    def meant(self, name: Any, /) -> Output | None:
        """Return the type of what the reference *name* means."""
        ...


class Part(NamedTuple):
    """A queryset as a part of another query.

    Attributes:
        select: its SELECT.
        slots: how many values it brings.
        outers: the references to the query around it.
        aliases: the databases it insists on.
        empty: it is known to give no row.
    """

    select: Select
    slots: int
    outers: tuple[Any, ...]
    aliases: frozenset[str]
    empty: bool


class QueryLike:
    """Something that can stand in a query as a subquery: a queryset."""

    __slots__ = ()

    def query_key(self, values: Literals) -> Hashable:
        """Return the structural key and append the values."""
        raise NotImplementedError

    def as_part(self, width: int) -> Part:
        """Return this as a part of another query: of *width* columns, 0 for any (EXISTS)."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """How many columns its rows have; objects count as their key."""
        raise NotImplementedError

    @property
    def column_output(self) -> Output | None:
        """What its one column is; None where it has several, or where nothing says."""
        return None

    @property
    def gives_one(self) -> bool:
        """True when it is limited to one row."""
        raise NotImplementedError

    def selecting(self, field: Any) -> QueryLike:
        """Return this with the column *field*, where it selects objects of the field's model."""
        raise NotImplementedError


class Node:
    """One piece of a query; immutable once built.

    Subclasses hold their children in `args` and whatever else decides their SQL in `options`. A class from outside
    dorm is compiled each time unless it sets ``cacheable = True``, promising that `options` is complete.
    """

    cacheable: ClassVar[bool] = True
    args: tuple[Node, ...] = ()
    output: Output | None = None
    is_aggregate: ClassVar[bool] = False
    is_opaque: ClassVar[bool] = False
    """Its text may name columns that its children do not say (`RawSQL`)."""
    is_window: ClassVar[bool] = False
    """Computed over other rows of the result (OVER): conditions on it wrap the query."""
    is_condition: bool = False
    binds_loosely: bool = False
    """Its text wants parentheses where it is an operand."""
    is_part: ClassVar[bool] = False
    """It stands within another expression only and is no value itself."""
    is_volatile: ClassVar[bool] = False
    """It has another value each time it is computed."""
    filterable: ClassVar[bool] = True
    """It may stand in a condition on rows."""
    untyped: FieldError | None = None
    """Why a resolved node has no output, where its operands' types do not go together (see `typed`)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "cacheable" not in cls.__dict__:
            cls.cacheable = is_ours(cls)

    @property
    def output_field(self) -> Output | None:
        """The output, by Django's name."""
        return self.output

    # -- structure -----------------------------------------------------------------------------------------------
    def options(self) -> tuple[Hashable, ...]:
        """Return everything besides the children that the SQL depends on."""
        return ()

    def key(self, values: Literals) -> Hashable:
        """Return the structural key; append literals to *values* in order."""
        if not self.cacheable:
            values.cacheable = False
        kind: Hashable = cast("Hashable", type(self))
        return (kind, self.options(), *[arg.key(values) for arg in self.args])

    # -- resolution ----------------------------------------------------------------------------------------------
    def resolve(self, scope: Scope) -> Node:
        """Return this node with columns for names and slots for values."""
        return self.rebuilt(tuple(arg.resolve(scope) for arg in self.args))

    def rebuilt(self: N, args: tuple[Node, ...]) -> N:
        """Return a copy with other children and the output that follows from them."""
        clone = copy.copy(self)
        clone.args = args
        if clone.output is None:
            clone.output = clone.infer_output()
        return clone

    def infer_output(self) -> Output | None:
        """Return the output that follows from the children; None when nothing follows."""
        return None

    def known(self, around: Meanings) -> Node:
        """Return this node with the types that references to the query around turn out to have in the statement."""
        args = tuple(arg.known(around) for arg in self.args)
        return self if all(map(operator.is_, args, self.args)) else self.retyped(args)

    def retyped(self, args: tuple[Node, ...]) -> Node:
        """Return this node over *args*, which are its own children with their types."""
        return self.rebuilt(args)

    # -- rendering -----------------------------------------------------------------------------------------------
    def sql(self, compiler: Compiler) -> str:
        """Return the text; parameters are given to the compiler on the way."""
        raise NotImplementedError(f"{type(self).__name__} has no SQL")

    def operand(self, compiler: Compiler) -> str:
        """Return the text as an operand."""
        return f"({self.sql(compiler)})" if self.binds_loosely else self.sql(compiler)

    # -- facts about the resolved tree ---------------------------------------------------------------------------
    def walk(self) -> Iterator[Node]:
        """Yield this node and everything below it."""
        yield self
        for arg in self.args:
            yield from arg.walk()

    @property
    def conditional(self) -> bool:
        """True when this is something that rows can be filtered by: Django's name for `is_condition`."""
        return self.is_condition

    @property
    def is_constant(self) -> bool:
        """True when the same value stands in every row."""
        return not any(
            isinstance(part, Column) or part.is_opaque or part.is_volatile or part.is_aggregate for part in self.walk()
        )

    @property
    def contains_aggregate(self) -> bool:
        """True when an aggregate of this query (not of a subquery in it) stands here or below."""
        return self.is_aggregate or (not self.is_window and any(arg.contains_aggregate for arg in self.args))

    @property
    def contains_window(self) -> bool:
        """True when a window function of this query stands here or below."""
        return self.is_window or any(arg.contains_window for arg in self.args)

    @property
    def contains_over_clause(self) -> bool:
        """Django's name for `contains_window`."""
        return self.contains_window

    @property
    def nullable(self) -> bool:
        """True unless the value is known never to be NULL."""
        return True

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        """Return the table aliases whose all-NULL row makes this condition not true (for outer joins).

        Args:
            parents: the alias that each alias is joined to, itself rejected with it.
        """
        return frozenset()

    def null_confirming(self, parents: Parents) -> frozenset[str]:
        """Return the table aliases whose all-NULL row makes this condition not false: NOT of it rejects them."""
        return frozenset()

    def present(self) -> frozenset[tuple[str, str]]:
        """Return the columns, each (alias, name), that are not NULL where this condition is true."""
        return frozenset()

    def absent(self) -> frozenset[tuple[str, str]]:
        """Return the columns that are not NULL where this condition is false."""
        return frozenset()

    def __repr__(self) -> str:
        inner = ", ".join([*map(repr, self.options()), *map(repr, self.args)])
        return f"{type(self).__name__}({inner})"


class Fixed(int):
    """A slot whose value is known with the text: that of an expression which a model declares (``Meta.ordering``).

    Attributes:
        value: prepared by the field it is compared with.
    """

    value: Any
    _numbers = itertools.count(1_000_000)

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return a slot of its own for *value*."""
        made = cls(next(cls._numbers))
        made.value = value
        return made


class FixedSlots(Fixed):
    """The first slot of a subquery whose values are all known with the text; adding leads to the others."""

    values: tuple[Any, ...]

    @classmethod
    def all_of(cls, values: tuple[Any, ...]) -> FixedSlots:
        """Return the first slot of as many as there are *values*."""
        made = cls.of(values[0] if values else None)
        made.values = values
        return made

    def __add__(self, places: int) -> Fixed:
        return places if isinstance(places, Fixed) else self.all_of(self.values[places:])

    def __radd__(self, base: int) -> FixedSlots:
        return self


class Column(Node):
    """A column of a table of this query.

    Args:
        nullable: NULL may stand here, as the row's value or because the row is missing.
        null: the rows of the table may hold NULL there; None where *output* says it.
    """

    def __init__(
        self, alias: str, column: str, output: Output | None, nullable: bool, null: bool | None = None
    ) -> None:
        self.alias = alias
        self.column = column
        self.output = output
        self.null = bool(getattr(output, "null", False)) if null is None else null
        self._nullable = nullable

    def options(self) -> tuple[Hashable, ...]:
        return (self.alias, self.column)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return compiler.column(self.alias, self.column)

    @property
    def nullable(self) -> bool:
        return self._nullable


class Param(Node):
    """A value: slot *slot* of the queryset's values, of type *output*."""

    def __init__(self, slot: int, output: Output | None) -> None:
        self.slot = slot
        self.output = output

    def options(self) -> tuple[Hashable, ...]:
        return (self.slot,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return compiler.param(self.slot, self.output)

    @property
    def nullable(self) -> bool:
        return False


class Text(Node):
    """SQL text that dorm wrote itself, such as ``*`` or ``NULL``."""

    def __init__(self, text: str, output: Output | None = None) -> None:
        self.text = text
        self.output = output

    def options(self) -> tuple[Hashable, ...]:
        return (self.text,)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return self.text


def typed(node: Node) -> Node:
    """Return *node*; raise FieldError where it needs a type that its operands do not give."""
    if node.output is None and node.untyped is not None:
        raise node.untyped
    return node
