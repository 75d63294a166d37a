"""The right side of a lookup as the user gives it: read once, and taken apart into structure and values."""

from __future__ import annotations

import copy
import decimal
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dorm.exceptions import InvalidValue, OutOfRange
from dorm.sql.node import Fixed, Literals, Node, Param, QueryLike, Scope, Text, output_of_value

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

G = TypeVar("G")
T = TypeVar("T")


def last_part(path: str) -> str:
    """Return what stands behind the last ``__`` of a lookup path."""
    return path.rpartition("__")[2]


def normal_value(path: str, value: Any) -> Any:
    """Return *value* with the iterable of an ``in`` or ``range`` lookup read into a tuple, NULLs of ``in`` dropped."""
    if isinstance(value, (Node, QueryLike)) or value is None:
        return value
    last = last_part(path)
    if last == "in":
        return tuple([item for item in _items(path, value) if item is not None])
    if last == "range":
        bounds = tuple(_items(path, value))
        if len(bounds) != 2:
            raise InvalidValue(f"{path} takes two bounds, got {len(bounds)}")
        return bounds
    if type(value) is list and any(isinstance(item, Node) for item in value):
        return Listed(value)
    return value


class Listed(Node):
    """A list with expressions in it, to be compared with an array: ARRAY[...]."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.args = tuple(item if isinstance(item, Node) else _Item(item) for item in items)

    def resolve(self, scope: Scope) -> Node:
        return self.rebuilt(tuple(arg.resolve(scope) for arg in self.args))

    def sql(self, compiler: Compiler) -> str:
        return f"ARRAY[{compiler.expressions(self.args)}]"


class _Item(Node):
    """A literal among the expressions of a list."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def key(self, values: Literals) -> Hashable:
        if self.value is not None:
            values.append(self.value)
        return (_Item, type(self.value))

    def resolve(self, scope: Scope) -> Node:
        return Text("NULL") if self.value is None else Param(scope.slot(None), output_of_value(self.value))


def _items(path: str, value: Any) -> Iterable[Any]:
    if not isinstance(value, Iterable):
        raise InvalidValue(
            f"{path} takes a list, tuple, set, generator or queryset, not {type(value).__name__}. "
            f"For one value use {path.rpartition('__')[0]}=."
        )
    return value


def _kind(value: Any) -> Hashable:
    """Return the type of a literal: structure, since 1 == True == Decimal(1) as keys."""
    return cast("Hashable", type(value))


class AnyNumber(Node):
    """Numbers of a condition that its column may be unable to hold; what they mean is decided by the lookup.

    Args:
        value: a number or its text, or a tuple of them.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def key(self, values: Literals) -> Hashable:
        # The numbers themselves decide what becomes of the condition.
        values.cacheable = False
        return (AnyNumber,)

    def resolve(self, scope: Scope) -> Node:
        return Param(Fixed.of(self.value), None)


def any_number(path: str, value: Any) -> Any:
    """Return the (normal) right side of a lookup, as `AnyNumber` where it is made of numbers or texts."""
    items = value if isinstance(value, tuple) else (value,)
    if last_part(path) in _OF_TEXT or not items or not all(type(item) in _NUMBERS for item in items):
        return value
    return AnyNumber(value)


def answered(attempt: Callable[[G], T], given: G) -> T:
    """Return what *attempt* makes of *given*, expressions by their names.

    Where a condition in them (of ``Case``, ``filter=``, ``Exists``) compares with a number that its column cannot hold,
    a second attempt is made with conditions that are answered without the column.
    """
    try:
        return attempt(given)
    except OutOfRange:
        return attempt(with_any_number(given))


def with_any_number(given: Any) -> Any:
    """Return *given* with `any_number` in every condition that stands in it."""
    if isinstance(given, dict):
        return {name: with_any_number(each) for name, each in given.items()}
    if isinstance(given, tuple):
        return tuple(map(with_any_number, given))
    if hasattr(given, "normalised"):
        children = [
            (child[0], any_number(*child)) if isinstance(child, tuple) else with_any_number(child)
            for child in given.normalised().children
        ]
        return type(given).of(children, given.connector, given.negated)
    if not isinstance(given, Node):
        return given
    changed = copy.copy(given)
    changed.__dict__.update({name: with_any_number(value) for name, value in vars(given).items()})
    lookup = getattr(given, "builtin", None)
    if lookup is not None:  # a Lookup: its right side
        changed.__dict__["rhs"] = any_number(lookup, changed.__dict__["rhs"])
    return changed


_NUMBERS = frozenset((int, float, decimal.Decimal, str))
_OF_TEXT = frozenset(
    ("iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "regex", "iregex")
)


def bucket(length: int) -> int:
    """Return the padded size of a list: the next power of two."""
    return 1 << (length - 1).bit_length()


def has_nodes(item: Any) -> bool:
    """Return whether an item of a list is an expression, or a row of values with one in it."""
    if isinstance(item, tuple):
        return any(isinstance(each, (Node, QueryLike)) for each in item)
    return isinstance(item, (Node, QueryLike))


def any_has_nodes(items: Iterable[Any]) -> bool:
    """Return whether `has_nodes` holds for one of *items*; of most lists the classes tell that it does not."""
    kinds = set(map(type, items))
    return any(issubclass(kind, (Node, QueryLike, tuple)) for kind in kinds) and any(map(has_nodes, items))


def value_key(path: str, value: Any, values: Literals) -> Hashable:
    """Return the structure of a (normal) right side; append what is only bound to *values*."""
    if value is None:
        return None
    if isinstance(value, Node):
        return value.key(values)
    if isinstance(value, QueryLike):
        return value.query_key(values)
    last = last_part(path)
    if last == "in":
        if not value:
            return ()
        if any_has_nodes(value):
            values.cacheable = False
            return tuple(value_key("", item, values) for item in value)
        values.append(value)
        return ("in", bucket(len(value)))
    if type(value) is tuple and last != "range" and any(isinstance(item, (Node, QueryLike)) for item in value):
        return (tuple, *[value_key("", item, values) for item in value])
    if last == "range":
        return ("range", *[value_key("", bound, values) for bound in value])
    if last in ("isnull", "isnotnull"):
        return (last, value) if isinstance(value, bool) else _kind(value)
    values.append(value)
    return _kind(value)
