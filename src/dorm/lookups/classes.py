"""Lookup and Transform as classes: to be subclassed and registered, and to be used as conditional expressions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from dorm.expressions.core import Expression, as_expression
from dorm.expressions.func import Func
from dorm.lookups.registry import RegisterLookupMixin, apply, bilateral_of
from dorm.lookups.values import AnyNumber, normal_value, value_key
from dorm.sql.node import BOOLEAN_OUTPUT, Literals, Node, Output, QueryLike, Scope
from dorm.sql.plan import as_given

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class Transform(RegisterLookupMixin, Func):
    """A function of one expression that may stand in a path: ``name__length__gt=3``.

    Class attributes: *lookup_name*; *bilateral*: the right side of the comparison is transformed as well.
    """

    lookup_name: Any = None
    bilateral: ClassVar[bool] = False
    arity: ClassVar[int | None] = 1

    @property
    def lhs(self) -> Any:
        """The expression that is transformed."""
        return self.args[0]


class Lookup(Expression):
    """A comparison, as a class to register and as a conditional expression: ``GreaterThan(F("a"), F("b"))``.

    A subclass gives *lookup_name* and ``as_sql(compiler, connection)``, which puts together what `process_lhs` and
    `process_rhs` return. *prepare_rhs* False passes the right side on as it was given.
    """

    lookup_name: ClassVar[Any] = None
    prepare_rhs: ClassVar[bool] = True
    can_use_none_as_rhs: ClassVar[bool] = False
    builtin: ClassVar[str | None] = None
    output = BOOLEAN_OUTPUT
    binds_loosely = True

    def __init__(self, lhs: Any, rhs: Any) -> None:
        self.lhs: Any = as_expression(lhs)
        self.rhs: Any = normal_value(self._name, rhs)
        self.inner: Node | None = None
        self.bilateral_transforms: tuple[Any, ...] = bilateral_of(lhs)

    @property
    def _name(self) -> str:
        return self.builtin or str(self.lookup_name)

    # -- node ----------------------------------------------------------------------------------------------------
    @property
    def args(self) -> tuple[Node, ...]:  # type: ignore[override]  # a subclass's own code may replace the sides
        sides = (self.lhs, self.rhs, self.inner)
        return tuple(side for side in sides if isinstance(side, Node))

    def key(self, values: Literals) -> Hashable:
        if not self.cacheable:
            values.cacheable = False
        kind = cast("Hashable", type(self))
        return (kind, self.lhs.key(values), value_key(self._name, self.rhs, values))

    def resolve(self, scope: Scope) -> Node:
        from dorm.lookups.core import NUMBER_LOOKUPS, build_entry, holds_whole_numbers, known

        lhs, rhs = self.lhs.resolve(scope), self.rhs
        if isinstance(rhs, AnyNumber) and not (holds_whole_numbers(lhs) and self._name in NUMBER_LOOKUPS):
            # Another condition beside this one compares with a number that its column cannot hold.
            rhs = (
                tuple([known(each, lhs) for each in rhs.value])
                if isinstance(rhs.value, tuple)
                else known(rhs.value, lhs)
            )
        return build_entry(type(self), self._name, lhs, rhs, scope)

    @classmethod
    def overrides(cls) -> bool:
        """True when the class renders or prepares in its own way, so that dorm's own form does not speak for it."""
        return any(
            getattr(cls, name, None) is not getattr(Lookup, name, None)
            for name in ("as_sql", "process_lhs", "process_rhs", "get_prep_lookup", "get_rhs_op", "as_sqlite",
                         "as_postgresql", "as_mysql", "sql")
        )  # fmt: skip

    def resolved(self, lhs: Node, rhs: Any, scope: Scope) -> Node:
        """Return this lookup over resolved sides; a literal also takes its slot among the query's values."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.lhs, made.rhs = lhs, rhs
        if isinstance(rhs, Node):
            made.rhs = self._transformed(rhs.resolve(scope), scope)
        elif isinstance(rhs, QueryLike):
            made.rhs = self._transformed(scope.subquery(rhs), scope)
        else:
            made.rhs = made.get_prep_lookup()
            if self.bilateral_transforms:
                made.rhs = self._transformed(as_expression(made.rhs).resolve(scope), scope)
            elif rhs is not None and not (self._name == "isnull" or rhs == ()):
                self._take_slots(rhs, scope)
        return made

    def _transformed(self, rhs: Node, scope: Scope) -> Node:
        for transform in self.bilateral_transforms:
            rhs = apply(transform, rhs, scope)
        return rhs

    def _take_slots(self, rhs: Any, scope: Scope) -> None:
        # The values stand in the text's own constants; the slots keep the positions of the others.
        for _ in range(2 if self._name == "range" else 1):
            scope.slot(as_given)

    # -- what a subclass uses ------------------------------------------------------------------------------------
    def get_prep_lookup(self) -> Any:
        """Return the right side as the left side's field prepares it."""
        output = self.lhs.output
        if not self.prepare_rhs or isinstance(self.rhs, Node) or self.rhs is None or output is None:
            return self.rhs
        if isinstance(self.rhs, tuple) and self._name in ("in", "range"):
            return tuple(output.prepare(value) for value in self.rhs)
        return output.prepare(self.rhs) if output.prepares else self.rhs

    def rhs_is_direct_value(self) -> bool:
        """True when the right side is a value, not an expression."""
        return not isinstance(self.rhs, Node)

    def process_lhs(self, compiler: Any, connection: Any, lhs: Any = None) -> tuple[str, list[Any]]:
        """Return text and parameters of the left side."""
        text, params = compiler.compile(self.lhs if lhs is None else lhs)
        return text, list(params)

    def process_rhs(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        """Return text and parameters of the right side; a value as the driver takes it."""
        if isinstance(self.rhs, Node):
            text, params = compiler.compile(self.rhs)
            return text, list(params)
        return self.get_db_prep_lookup(self.rhs, connection)

    def get_db_prep_lookup(self, value: Any, connection: Any) -> tuple[str, list[Any]]:
        """Return the placeholder and the value as the driver takes it."""
        output: Output | None = self.lhs.output
        bind = output.bind(connection.dialect) if output is not None and self.prepare_rhs else None
        if isinstance(value, tuple) and self._name in ("in", "range"):
            return ", ".join(["%s"] * len(value)), [each if bind is None else bind(each) for each in value]
        return "%s", [value if bind is None or value is None else bind(value)]

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        """Return operator and right side."""
        template = connection.dialect.lookups[self._name]
        return str(template.replace("%", "%%").partition("{lhs}")[2].format(rhs=rhs)).strip()

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        """Return text and parameters; the standard form is the operator of *builtin* between the sides."""
        if self.builtin is None:
            raise NotImplementedError(f"{type(self).__name__} needs an as_sql(compiler, connection)")
        lhs, params = self.process_lhs(compiler, connection)
        rhs, own = self.process_rhs(compiler, connection)
        if self.builtin == "in":
            return f"{lhs} IN {rhs if rhs.startswith('(') else f'({rhs})'}", [*params, *own]
        if self.builtin == "range":
            low, _, high = rhs.partition(", ")
            return f"{lhs} BETWEEN {low} AND {high}", [*params, *own]
        if self.builtin == "isnull":
            return f"{lhs} IS {'' if self.rhs else 'NOT '}NULL", params
        return f"{lhs} {self.get_rhs_op(connection, rhs)}", [*params, *own]

    def sql(self, compiler: Compiler) -> str:
        return compiler.foreign(self)

    def __repr__(self) -> str:
        right = repr(self.rhs) if isinstance(self.rhs, Node) else f"<{type(self.rhs).__name__}>"
        return f"{type(self).__name__}({self.lhs!r}, {right})"

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other) and isinstance(other, Lookup) and (self.lhs, self.rhs) == (other.lhs, other.rhs)
        )

    def __hash__(self) -> int:
        return hash((type(self), repr(self.lhs), repr(self.rhs)))


class BuiltinLookup(Lookup):
    """A lookup of dorm's own."""


class Exact(BuiltinLookup):
    """Equality; NULL when the value is None."""

    lookup_name = builtin = "exact"


class IExact(BuiltinLookup):
    """Equality regardless of case."""

    lookup_name = builtin = "iexact"


class GreaterThan(BuiltinLookup):
    """``>``."""

    lookup_name = builtin = "gt"


class GreaterThanOrEqual(BuiltinLookup):
    """``>=``."""

    lookup_name = builtin = "gte"


class LessThan(BuiltinLookup):
    """``<``."""

    lookup_name = builtin = "lt"


class LessThanOrEqual(BuiltinLookup):
    """``<=``."""

    lookup_name = builtin = "lte"


class In(BuiltinLookup):
    """Membership in a list or a queryset."""

    lookup_name = builtin = "in"


class Contains(BuiltinLookup):
    """The text holds the value."""

    lookup_name = builtin = "contains"


class IContains(BuiltinLookup):
    """The text holds the value regardless of case."""

    lookup_name = builtin = "icontains"


class StartsWith(BuiltinLookup):
    """The text begins with the value."""

    lookup_name = builtin = "startswith"


class IStartsWith(BuiltinLookup):
    """The text begins with the value regardless of case."""

    lookup_name = builtin = "istartswith"


class EndsWith(BuiltinLookup):
    """The text ends with the value."""

    lookup_name = builtin = "endswith"


class IEndsWith(BuiltinLookup):
    """The text ends with the value regardless of case."""

    lookup_name = builtin = "iendswith"


class Range(BuiltinLookup):
    """Between two bounds, both included."""

    lookup_name = builtin = "range"


class IsNull(BuiltinLookup):
    """NULL (True) or not (False)."""

    lookup_name = builtin = "isnull"


class Regex(BuiltinLookup):
    """The text matches a regular expression."""

    lookup_name = builtin = "regex"


class IRegex(BuiltinLookup):
    """The text matches a regular expression regardless of case."""

    lookup_name = builtin = "iregex"


BUILTINS: Sequence[type[BuiltinLookup]] = (
    Exact, IExact, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual, In, Contains, IContains, StartsWith,
    IStartsWith, EndsWith, IEndsWith, Range, IsNull, Regex, IRegex,
)  # fmt: skip
_CLASSES: dict[str, type[BuiltinLookup]] = {cls.lookup_name: cls for cls in BUILTINS}


def class_of(name: str) -> type[Lookup] | None:
    """Return the class that stands for a lookup that dorm builds itself."""
    return _CLASSES.get(name)
