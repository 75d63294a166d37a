"""The pieces a query is made of, and the three things each can do: give its key, be resolved, be rendered.

A node exists in two states. As the user writes it, it holds names and literal values; `key` takes it apart into
structure and values. Resolved (`resolve`), it holds columns and slots: a slot is the place of one value in the tuple
that a queryset carries beside its plan. Only resolved nodes are rendered. Both walks visit children in the same order;
that is what makes the n-th value belong to the n-th slot.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import itertools
import operator
import uuid
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, TypeVar, cast

from dorm.db.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTERVAL,
    JSON,
    LONG_NUMERIC,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    SqlType,
    is_long,
)
from dorm.exceptions import FieldError, InvalidValue

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler
    from dorm.sql.select import Select

N = TypeVar("N", bound="Node")


class Literals(list[Any]):
    """The values of a step in the order of its slots, collected while its key is taken.

    A node that cannot give a complete key clears `cacheable`: the query is then compiled each time.
    """

    cacheable: bool = True


class Output(Protocol):
    """What a value of a query is: its SQL type and how it travels. Every field is one."""

    @property
    def sql_type(self) -> SqlType: ...
    @property
    def prepares(self) -> bool: ...
    def prepare(self, value: Any, /) -> Any: ...
    def bind(self, dialect: Dialect, /) -> Converter | None: ...
    def load(self, dialect: Dialect, /) -> Converter | None: ...


_READ: dict[str, Callable[[Any], Any]] = {
    "smallint": int,
    "integer": int,
    "bigint": int,
    "double": float,
    "numeric": decimal.Decimal,
    "boolean": bool,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timestamp": datetime.datetime.fromisoformat,
    "timestamptz": datetime.datetime.fromisoformat,
}
"""How a value of each type is read from a text."""


class TypedOutput:
    """An output that is nothing but a SQL type."""

    __slots__ = ("sql_type",)

    def __init__(self, sql_type: SqlType) -> None:
        self.sql_type = sql_type

    @property
    def prepares(self) -> bool:
        return self.sql_type.kind in _READ

    def prepare(self, value: Any, /) -> Any:
        """Return *value*; read from its text where it is one, as a field of the type would."""
        read = _READ.get(self.sql_type.kind)
        if read is None or not isinstance(value, (str, int)) or (isinstance(value, bool) and read is not bool):
            return value
        if read is bool:
            return bool(value) if value in (0, 1) else value
        if not isinstance(value, str):
            # In a list all are of one type.
            return read(value) if self.sql_type.kind == "numeric" else value
        try:
            return read(value)
        except (ValueError, ArithmeticError) as exc:
            name = output_name(self)
            raise InvalidValue(f"a value to compare with a {name} is a text that is none of its values.") from exc

    def bind(self, dialect: Dialect, /) -> Converter | None:
        return dialect.binder(self.sql_type)

    def load(self, dialect: Dialect, /) -> Converter | None:
        return dialect.loader(self.sql_type)

    def __repr__(self) -> str:
        return f"TypedOutput({self.sql_type.kind})"


INTEGER_OUTPUT = TypedOutput(BIGINT)
FLOAT_OUTPUT = TypedOutput(DOUBLE)
BOOLEAN_OUTPUT = TypedOutput(BOOLEAN)
TEXT_OUTPUT = TypedOutput(TEXT)

_OUTPUTS: dict[type, TypedOutput] = {
    bool: BOOLEAN_OUTPUT,
    int: INTEGER_OUTPUT,
    float: FLOAT_OUTPUT,
    str: TEXT_OUTPUT,
    bytes: TypedOutput(BYTES),
    datetime.date: TypedOutput(DATE),
    datetime.time: TypedOutput(TIME),
    datetime.timedelta: TypedOutput(INTERVAL),
    decimal.Decimal: TypedOutput(SqlType("numeric")),
    uuid.UUID: TypedOutput(UUID),
    dict: TypedOutput(JSON),
    list: TypedOutput(JSON),
}


def output_of_value(value: Any) -> Output | None:
    """Return the output of a literal by its Python type; None for None and for types nobody knows."""
    if isinstance(value, datetime.datetime):
        return TypedOutput(TIMESTAMP if value.tzinfo is None else TIMESTAMPTZ)
    for cls in type(value).__mro__:
        if cls in _OUTPUTS:
            return _OUTPUTS[cls]
    return None


class _Itself:
    """Holds what is equal to itself only, so that its identity is not given to another object meanwhile."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


def output_key(output: Output | None) -> Hashable:
    """Return the structural key of an ``output_field``; one of an unknown class is equal to itself only."""
    if output is None:
        return None
    if not type(output).__module__.startswith("dorm."):
        return _Itself(output)
    return (type(output), output.sql_type, getattr(output, "decoder", None))


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
    filterable: ClassVar[bool] = True
    """It may stand in a condition on rows."""
    untyped: FieldError | None = None
    """Why a resolved node has no output, where its operands' types do not go together (see `typed`)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "cacheable" not in cls.__dict__:
            cls.cacheable = cls.__module__.startswith("dorm.")

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

    def known(self, compiler: Compiler) -> Node:
        """Return this node with the types that references to the query around turn out to have in the statement."""
        args = tuple(arg.known(compiler) for arg in self.args)
        return self if all(map(operator.is_, args, self.args)) else self.retyped(args)

    def retyped(self, args: tuple[Node, ...]) -> Node:
        """Return this node over *args*, which are its own children with their types."""
        return self.rebuilt(args)

    # -- rendering -----------------------------------------------------------------------------------------------
    def sql(self, compiler: Compiler) -> str:
        """Return the text; parameters are given to the compiler on the way."""
        raise NotImplementedError(f"{type(self).__name__} has no SQL")

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
        return not any(isinstance(part, Column) or part.is_opaque or part.is_aggregate for part in self.walk())

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

    def null_rejecting(self) -> frozenset[str]:
        """Return the table aliases whose all-NULL row makes this condition not true (for outer joins)."""
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
    """A column of a table of this query."""

    def __init__(self, alias: str, column: str, output: Output | None, nullable: bool) -> None:
        self.alias = alias
        self.column = column
        self.output = output
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


def common_output(args: tuple[Node, ...], what: str) -> Output | None:
    """Return the output that all *args* with one share; raise FieldError (as Django does) when they differ.

    A later one must be of the class of the first one or of a class above it.
    """
    found: Output | None = None
    for arg in args:
        output = arg.output
        if output is None:
            continue
        if found is None:
            found = output
        elif not _is_like(found, output):
            raise FieldError(
                f"{what} contains mixed types: {output_name(found)}, {output_name(output)}. You must set output_field."
            )
        elif type(found) is not type(output) or found.sql_type != output.sql_type:
            found = _wider(found, output) or found
    return found


def _is_like(first: Output, other: Output) -> bool:
    """True when *first* is of the class of field that *other* is, or of one below it."""
    if getattr(first, "is_relation", False) or getattr(other, "is_relation", False):
        return _wider(first, other) is not None
    name = output_name(other)
    if isinstance(first, TypedOutput) and first.sql_type.kind not in _FIELD_NAMES:
        return first.sql_type.kind == other.sql_type.kind
    return name in _class_names(first) or output_name(first) == name


def _class_names(output: Output) -> set[str]:
    """Return the names of an output's field class and of those above it, as Django's hierarchy has them."""
    if isinstance(output, TypedOutput):
        names = {output_name(output)}
    else:
        names = {cls.__name__ for cls in type(output).__mro__}
    if "CharField" in names:
        names.discard("TextField")
    if "SmallIntegerField" in names or "AutoField" in names:
        names |= {"IntegerField"}
    if names & {"BigAutoField", "PositiveBigIntegerField"}:
        names |= {"BigIntegerField", "IntegerField"}
    if "DateTimeField" in names:
        names |= {"DateField"}
    return names


_WIDTH = {"smallint": 0, "integer": 1, "bigint": 2, "numeric": 3, "double": 4}


def _wider(one: Output, other: Output) -> Output | None:
    """Return the wider of two outputs of compatible types, None when their types do not mix."""
    a, b = one.sql_type.kind, other.sql_type.kind
    if "numeric" in (a, b) and a in _WIDTH and b in _WIDTH:
        # Decimals of different digits, or a decimal and another number: a decimal of any digits.
        if "double" in (a, b):
            return None
        return TypedOutput(LONG_NUMERIC if is_long(one.sql_type) or is_long(other.sql_type) else SqlType("numeric"))
    if a in _WIDTH and b in _WIDTH:
        return one if _WIDTH[a] >= _WIDTH[b] else other
    if {a, b} <= {"varchar", "text"}:
        return one if a == "text" else other
    return one if a == b else None


_FIELD_NAMES = {
    "smallint": "SmallIntegerField",
    "integer": "IntegerField",
    "bigint": "IntegerField",
    "boolean": "BooleanField",
    "double": "FloatField",
    "numeric": "DecimalField",
    "varchar": "CharField",
    "text": "CharField",
    "date": "DateField",
    "time": "TimeField",
    "timestamp": "DateTimeField",
    "timestamptz": "DateTimeField",
    "interval": "DurationField",
    "uuid": "UUIDField",
    "json": "JSONField",
    "bytes": "BinaryField",
}


def output_name(output: Output) -> str:
    """Return the name of the field class that an output is, or is like."""
    if not isinstance(output, TypedOutput):
        return type(output).__name__
    return _FIELD_NAMES.get(output.sql_type.kind, output.sql_type.kind)
