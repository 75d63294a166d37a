"""Q: conditions written with lookups, combined with ``&``, ``|``, ``^`` and ``~``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, TypeAlias

from dorm.db.operation import arun, run
from dorm.lookups.values import normal_value, value_key
from dorm.sql.node import Literals, Node, Scope

Connector: TypeAlias = Literal["AND", "OR", "XOR"]


class Q(Node):
    """A condition: lookups and other conditions under one connector, possibly negated.

    Positional arguments are conditions (``Q`` objects or conditional expressions), keywords are lookups; all of them
    must hold. An empty ``Q()`` demands nothing and is neutral in every combination.
    """

    AND: ClassVar[Connector] = "AND"
    OR: ClassVar[Connector] = "OR"
    XOR: ClassVar[Connector] = "XOR"
    is_condition = True

    def __init__(self, *args: Any, _connector: Connector = "AND", _negated: bool = False, **kwargs: Any) -> None:
        if _connector not in ("AND", "OR", "XOR", None):
            raise ValueError(f"_connector must be one of 'AND', 'OR', 'XOR', or None, not {_connector!r}.")
        self.connector: Connector = _connector or "AND"
        self.negated = _negated
        lookups = tuple(sorted(kwargs.items()) if len(kwargs) > 1 else kwargs.items())
        self.children: tuple[Any, ...] = (*map(_checked, args), *lookups) if args else lookups

    @classmethod
    def of(cls, children: Iterable[Any], connector: Connector = "AND", negated: bool = False) -> Q:
        """Return a Q over *children*: Qs, conditional expressions and (lookup, value) pairs."""
        made = cls.__new__(cls)
        made.connector = connector
        made.negated = negated
        made.children = tuple(children)
        return made

    # -- combination ---------------------------------------------------------------------------------------------
    def _combined(self, other: Any, connector: Connector) -> Q:
        if not isinstance(other, Q):
            if not getattr(other, "is_condition", False):
                raise TypeError(f"{type(other).__name__} cannot be combined with Q: it is no condition")
            return Q.of((*self._parts(connector), other), connector) if self.children else Q(other)
        if not other.children:
            return self
        if not self.children:
            return other
        return Q.of(self._parts(connector) + other._parts(connector), connector)

    def _parts(self, connector: Connector) -> tuple[Any, ...]:
        """Return what this condition adds to one under *connector*: its children where they mean the same there."""
        if not self.negated and (self.connector == connector or len(self.children) == 1):
            return self.children
        return (self,)

    def __and__(self, other: Any) -> Q:
        return self._combined(other, "AND")

    def __or__(self, other: Any) -> Q:
        return self._combined(other, "OR")

    def __xor__(self, other: Any) -> Q:
        return self._combined(other, "XOR")

    def __invert__(self) -> Q:
        return Q.of(self.children, self.connector, not self.negated) if self else self

    def __bool__(self) -> bool:
        return bool(self.children)

    def __len__(self) -> int:
        return len(self.children)

    def __contains__(self, part: object) -> bool:
        return part in self.children

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Q) and (self.connector, self.negated, self.children) == (
            other.connector,
            other.negated,
            other.children,
        )

    def __hash__(self) -> int:
        return hash((self.connector, self.negated, repr(self.children)))

    # -- what it consists of -------------------------------------------------------------------------------------
    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return path, positional and keyword arguments of an equal condition."""
        kwargs: dict[str, Any] = {}
        if self.connector != "AND":
            kwargs["_connector"] = self.connector
        if self.negated:
            kwargs["_negated"] = True
        return "dorm.Q", self.children, kwargs

    def flatten(self) -> Iterator[Any]:
        """Yield this condition, the conditions and expressions in it, and the values that lookups compare with."""
        yield self
        for child in self.children:
            part = child[1] if isinstance(child, tuple) else child
            if isinstance(part, Q):
                yield from part.flatten()
            else:
                yield from part.walk() if isinstance(part, Node) else (part,)

    @property
    def referenced_base_fields(self) -> set[str]:
        """The names of the model's own fields that lookups and `F` begin with."""
        found: set[str] = set()
        for child in self.children:
            if isinstance(child, tuple):
                found.add(child[0].partition("__")[0])
            parts = child[1:] if isinstance(child, tuple) else (child,)
            for part in parts:
                if isinstance(part, Q):
                    found |= part.referenced_base_fields
                elif isinstance(part, Node):
                    names = [getattr(each, "name", None) for each in part.walk()]
                    found.update(name.partition("__")[0] for name in names if isinstance(name, str))
        return found

    # -- of values that are given -------------------------------------------------------------------------------
    def check(self, against: Mapping[str, Any], using: str = "default") -> bool:
        """Return whether this holds for the values *against* by name, as the database *using* sees it.

        What is unknown (NULL) holds, as in a CHECK constraint, and so does what the database refuses to compute, which
        is logged. Statements: one.

        Raises: FieldError: a name has no value, or a lookup is not known.
        """
        from dorm.lookups.given import checked

        return run(checked(self, against, using))

    async def acheck(self, against: Mapping[str, Any], using: str = "default") -> bool:
        """Async twin of `check`."""
        from dorm.lookups.given import checked

        return await arun(checked(self, against, using))

    # -- node ----------------------------------------------------------------------------------------------------
    def normalised(self) -> Q:
        """Return this condition with every iterable for ``in`` and ``range`` read once into a tuple."""
        children = [
            (child[0], normal_value(*child)) if isinstance(child, tuple)
            else child.normalised() if isinstance(child, Q)
            else child
            for child in self.children
        ]  # fmt: skip
        return Q.of(children, self.connector, self.negated)

    def outline(self, given: list[Any]) -> Hashable | None:
        """Return the paths of the lookups and the types of their values, which are added to *given* as they stand.

        None where it consists of anything but lookups and Qs of them.
        """
        parts: list[Any] = [self.connector, self.negated]
        for child in self.children:
            if type(child) is tuple:
                path, value = child
                parts.append(path)
                parts.append(type(value))
                given.append(value)
            elif type(child) is Q and (inner := child.outline(given)) is not None:
                parts.append(inner)
            else:
                return None
        return tuple(parts)

    def key(self, values: Literals) -> Hashable:
        parts: list[Hashable] = [Q, self.connector, self.negated]
        for child in self.children:
            if isinstance(child, tuple):
                parts.append((child[0], value_key(child[0], child[1], values)))
            else:
                parts.append(child.key(values))
        return tuple(parts)

    def resolve(self, scope: Scope) -> Node:
        return scope.predicate(self)

    def __repr__(self) -> str:
        inner = f" {self.connector} ".join(
            f"{child[0]}=<{type(child[1]).__name__}>" if isinstance(child, tuple) else repr(child)
            for child in self.children
        )
        return f"{'~' if self.negated else ''}Q({inner})"


def _checked(condition: Any) -> Any:
    if isinstance(condition, tuple) and len(condition) == 2 and isinstance(condition[0], str):
        return condition
    if getattr(condition, "is_condition", False):
        return condition
    raise TypeError(
        f"{type(condition).__name__} is no condition: give Q objects, conditional expressions or keyword lookups."
    )
