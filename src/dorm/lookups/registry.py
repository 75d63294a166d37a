"""Who knows which lookups and transforms: expressions, fields, SQL types, and everybody.

A name behind an expression is looked for on the expression's class (date parts compare by ranges), on the field that is
its output, on the classes of that field, among those of its SQL type, and among those registered for all. Registering
or unregistering anything makes every plan forget what it compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from dorm.exceptions import FieldError
from dorm.sql.node import Fixed, Literals
from dorm.sql.output import spoken
from dorm.sql.plan import renew

if TYPE_CHECKING:
    from dorm.sql.node import Node, Output, Scope

by_class: dict[type, dict[str, Any]] = {}
"""Lookups and transforms registered on a class: of fields, of transforms."""

by_kind: dict[str, dict[str, Any]] = {}
"""Those of a SQL type, whatever class the output is of: dorm's own date parts, JSON lookups and so on."""

for_all: dict[str, Any] = {}
"""Those of every type: names with a lookup class or with dorm's own builder."""

key_transforms: dict[str, Callable[[str], Any]] = {}
"""For a SQL type whose values have parts: what makes the transform of any further name (a JSON key)."""

_FIELDS_OF_KINDS: dict[str, tuple[type, ...]] = {}
_OWN = "_own_lookups"


def fields_for_kind(kind: str, *classes: type) -> None:
    """Let outputs that are only a SQL type (a function's result) know what is registered on field *classes*."""
    _FIELDS_OF_KINDS[kind] = classes


def register_kinds(kinds: Iterable[str], entry: Any, *names: str) -> None:
    """Register a lookup or transform of dorm's own for SQL types."""
    for kind in kinds:
        for name in names or (entry.lookup_name,):
            by_kind.setdefault(kind, {})[name] = entry


# -- finding -----------------------------------------------------------------------------------------------------


def _tables(node: Any, output: Output | None) -> Iterable[dict[str, Any]]:
    """Yield the tables that speak for *node* (None: for *output* alone), the nearest first."""
    for cls in type(node).__mro__ if node is not None else ():
        if cls in by_class:
            yield by_class[cls]
    if output is not None:
        speaking = spoken(output)
        owners: tuple[Any, ...] = (output,) if speaking is output else (output, speaking)
        for each in owners:
            own = getattr(each, "__dict__", {}).get(_OWN)
            if own is not None:
                yield own
        for cls in (*map(type, owners[:-1]), *type(speaking).__mro__, *_stand_ins(output)):
            if cls in by_class:
                yield by_class[cls]
        yield by_kind.get(output.sql_type.kind, {})
    yield for_all


def _stand_ins(output: Output) -> Iterable[type]:
    if hasattr(output, "attname"):
        return  # a model's own field speaks for itself
    for cls in _FIELDS_OF_KINDS.get(output.sql_type.kind, ()):
        if not isinstance(output, cls):
            yield from cls.__mro__


def is_transform(entry: Any) -> bool:
    """True when *entry* makes an expression, false when it makes a condition."""
    return hasattr(entry, "bilateral")


def find_lookup(node: Any, output: Output | None, name: str) -> Any | None:
    """Return the lookup that *name* is behind *node* of type *output*; None when it is none."""
    for table in _tables(node, output):
        found = table.get(name)
        if found is not None:
            return None if is_transform(found) else found
    return None


def find_transform(node: Any, output: Output | None, name: str) -> Any | None:
    """Return the transform that *name* is behind *node* of type *output*; None when it is none."""
    for table in _tables(node, output):
        found = table.get(name)
        if found is not None and is_transform(found):
            return found
    factory = key_transforms.get(output.sql_type.kind) if output is not None else None
    return factory(name) if factory is not None else None


def names(output: Output | None) -> tuple[str, ...]:
    """Return every name that can stand behind an expression of type *output*, for messages."""
    return tuple(sorted({name for table in _tables(None, output) for name in table}))


# -- paths -------------------------------------------------------------------------------------------------------


def looked_up(node: Node, rest: list[str], scope: Scope) -> tuple[Node, str] | None:
    """Apply what *rest*, the end of a filter's path, names; return the node and its lookup, None for unknown names.

    All parts but the last are transforms. The last is a lookup if there is one of that name, else a transform that is
    compared by ``exact``.
    """
    for number, name in enumerate(rest):
        if number == len(rest) - 1 and find_lookup(node, node.output, name) is not None:
            return node, name
        entry = find_transform(node, node.output, name)
        if entry is None:
            return None
        node = apply(entry, node, scope)
    return node, "exact"


def transformed(node: Node, rest: list[str], scope: Scope) -> tuple[Node, list[str]]:
    """Apply the transforms that *rest*, the end of a path, names; return the node reached and the names left."""
    while rest:
        entry = find_transform(node, node.output, rest[0])
        if entry is None:
            break
        node, rest = apply(entry, node, scope), rest[1:]
    return node, rest


def apply(entry: Any, node: Node, scope: Scope) -> Node:
    """Return the transform *entry* over the resolved *node*, resolved, with what it does to the right side."""
    made: Any = applied(entry, node, scope)
    outer = (*bilateral_of(node), entry) if getattr(entry, "bilateral", False) else bilateral_of(node)
    if outer:
        made.bilateral_transforms = outer
    return cast("Node", made)


def applied(entry: Any, node: Node, scope: Scope) -> Node:
    """Return the transform *entry* over the resolved *node*, resolved.

    A path has no values: literals of the transform's own (the precision of ``Round``) are known with the text.
    """
    written: Any = entry(node)
    literals = Literals()
    for arg in written.args:
        if arg is not node:
            arg.key(literals)
    made: Node = written.resolve(_Declaring(scope, literals) if literals else scope)
    return made


class _Declaring:
    """A scope in which the slots of literals are those of values known with the text."""

    def __init__(self, scope: Scope, literals: Literals) -> None:
        self._values = iter(literals)
        self.reference, self.predicate, self.outer = scope.reference, scope.predicate, scope.outer
        self.subquery, self.exists = scope.subquery, scope.exists

    def slot(self, prepare: Callable[[Any], Any] | None, /) -> int:
        value = next(self._values)
        return Fixed.of(value if prepare is None else prepare(value))


def bilateral_of(node: Any) -> tuple[Any, ...]:
    """Return the transforms below *node* that apply to the right side too."""
    found: tuple[Any, ...] = getattr(node, "bilateral_transforms", ())
    return found


# -- registering -------------------------------------------------------------------------------------------------


class _ClassOrInstance:
    """A method that gets the class, or the instance it is called on."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.function.__get__(owner if instance is None else instance)


def _register(target: Any, lookup: Any, lookup_name: str | None = None) -> Any:
    """Register a Lookup or Transform class on this class or instance; usable as a decorator.

    Args:
        lookup: the class. lookup_name: its name here; default: its own `lookup_name`.
    """
    name = lookup_name or getattr(lookup, "lookup_name", None)
    if not isinstance(name, str) or not name or "__" in name:
        raise ValueError(f"{lookup!r} cannot be registered as {name!r}: give a name without '__'.")
    _table(target)[name] = lookup
    renew()
    return lookup


def _unregister(target: Any, lookup: Any, lookup_name: str | None = None) -> None:
    """Take a registration back; KeyError when there is none."""
    del _table(target)[lookup_name or lookup.lookup_name]
    renew()


def _registered(target: Any) -> dict[str, Any]:
    """Return what is registered for this class or instance, by name."""
    instance = None if isinstance(target, type) else target
    owner = target if isinstance(target, type) else type(target)
    found: dict[str, Any] = {}
    for cls in reversed(owner.__mro__):
        found.update(by_class.get(cls, {}))
    if instance is not None:
        found.update(instance.__dict__.get(_OWN, {}))
    return found


def _table(target: Any) -> dict[str, Any]:
    if isinstance(target, type):
        return by_class.setdefault(target, {})
    table: dict[str, Any] = target.__dict__.setdefault(_OWN, {})
    return table


class RegisterLookupMixin:
    """What fields and transforms offer for lookups: registering on a class or an instance, and finding."""

    register_lookup: Any = _ClassOrInstance(_register)
    _unregister_lookup: Any = _ClassOrInstance(_unregister)
    get_lookups: Any = _ClassOrInstance(_registered)

    def get_lookup(self, lookup_name: str) -> Any | None:
        """Return the Lookup class that *lookup_name* is behind this; None when it is none."""
        from dorm.lookups.classes import class_of

        entry = find_lookup(self, _output(self), lookup_name)
        return entry if entry is None or isinstance(entry, type) else class_of(lookup_name)

    def get_transform(self, lookup_name: str) -> Any | None:
        """Return the Transform class that *lookup_name* is behind this; None when it is none."""
        return find_transform(self, _output(self), lookup_name)


def _output(thing: Any) -> Output | None:
    output: Output | None = thing if hasattr(thing, "sql_type") else getattr(thing, "output", None)
    return output


# -- templates for everybody -------------------------------------------------------------------------------------


def check_free(name: str) -> None:
    """Refuse names of dorm's own lookups and names that could not stand in a path."""
    if not isinstance(name, str) or not name.isidentifier() or "__" in name:
        raise ValueError(f"{name!r} cannot be the name of a lookup: take an identifier without '__'.")
    taken = for_all.get(name)
    if name in {known for table in by_kind.values() for known in table} or (
        taken is not None and not getattr(taken, "from_template", False)
    ):
        raise ValueError(f"{name!r} is a lookup of dorm's own and cannot be replaced.")


def unknown(name: str) -> FieldError:
    """Return the error for taking back a lookup that was never registered."""
    return FieldError(f"there is no lookup {name!r} registered by register_lookup().")
