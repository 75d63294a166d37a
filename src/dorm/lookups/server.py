"""Lookups of PostgreSQL's own types: arrays, hstore, ranges, trigrams, unaccent, full-text search."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.conf.settings import settings
from dorm.db.types import BOOLEAN, INTEGER, TEXT, Range, SqlType
from dorm.exceptions import ImproperlyConfigured, InvalidValue, NotSupportedError
from dorm.expressions.func import Func
from dorm.expressions.subquery import ArraySubquery
from dorm.lookups.classes import Transform
from dorm.lookups.core import BUILDERS, InNodes, Item, _strict_aliases, none_as_value
from dorm.lookups.json import _contains as json_contains, _has_keys as json_has_keys, checked_key
from dorm.lookups.registry import key_transforms, register_kinds
from dorm.lookups.values import Listed, bucket
from dorm.sql.boolean import Condition, Nothing
from dorm.sql.node import TEXT_OUTPUT, Column, Node, Output, Param, Parents, QueryLike, Scope, TypedOutput

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

RANGES = ("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange")
_TEXTS = ("varchar", "text", "citext")


def require(compiler: Compiler, what: str) -> None:
    """Refuse what the backend has no types and operators for."""
    if not compiler.dialect.supports_server_types:
        raise NotSupportedError(f"{compiler.dialect.display_name} has no {what}: it is PostgreSQL's own.")


class ServerOperator(Condition):
    """``lhs operator rhs`` with an operator of PostgreSQL's."""

    def __init__(self, name: str, operator: str, lhs: Node, rhs: Node, cast: SqlType | None = None) -> None:
        self.name = name
        self.operator = operator
        self.args = (lhs, rhs)
        self.cast = cast

    def options(self) -> tuple[Hashable, ...]:
        return (self.operator, self.cast)

    def sql(self, compiler: Compiler) -> str:
        require(compiler, f"lookup {self.name!r}")
        lhs, rhs = (arg.sql(compiler) for arg in self.args)
        if self.cast is not None:
            rhs = f"({rhs})::{compiler.dialect.column_type(self.cast)}"
        return f"{lhs} {self.operator} {rhs}"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return _strict_aliases(*self.args)

    @property
    def nullable(self) -> bool:
        return any(arg.nullable for arg in self.args)


def _rhs(lhs: Node, value: Any, scope: Scope) -> Node:
    """Return the right side in the type of the left."""
    if isinstance(value, Node):
        return value.resolve(scope)
    if isinstance(value, QueryLike):
        return scope.subquery(value)
    output = lhs.output
    return Param(scope.slot(output.prepare if output is not None and output.prepares else None), output)


def _operator(operator: str) -> Callable[[str, Node, Any, Scope], Node]:
    def build(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
        if value is None:
            return none_as_value(name, lhs)
        cast = lhs.output.sql_type if isinstance(value, Listed) and lhs.output is not None else None
        return ServerOperator(name, operator, lhs, _rhs(lhs, value, scope), cast)

    return build


# -- arrays ------------------------------------------------------------------------------------------------------


class ArrayLength(Transform):
    """Number of items of an array; 0 for an empty one."""

    lookup_name = "len"
    output = TypedOutput(INTEGER)

    def infer_output(self) -> Output | None:
        return TypedOutput(INTEGER)

    def render(self, compiler: Compiler) -> str:
        require(compiler, "arrays")
        array = self.args[0].sql(compiler)
        return f"(CASE WHEN {array} IS NULL THEN NULL ELSE COALESCE(ARRAY_LENGTH({array}, 1), 0) END)"


class ArrayPlace(Transform):
    """One item of an array, or the items from one place up to another: ``tags__0``, ``tags__0_2``."""

    def __init__(self, start: int, end: int | None, expression: Any) -> None:
        self.start = start
        self.end = end
        super().__init__(expression)

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.start, self.end)

    def infer_output(self) -> Output | None:
        output = self.args[0].output
        if self.end is not None:
            return output
        item: Output | None = getattr(output, "base_field", None) or getattr(output, "item", None)
        return item

    def render(self, compiler: Compiler) -> str:
        require(compiler, "arrays")
        # Places count from 1.
        place = str(self.start + 1) if self.end is None else f"{self.start + 1}:{self.end}"
        array = self.args[0].sql(compiler)
        return f"{array}[{place}]" if isinstance(self.args[0], (Column, ArrayPlace)) else f"({array})[{place}]"


class _ArrayPlaces:
    """Makes the transform that a number behind an array is."""

    bilateral = False

    def __init__(self, start: int, end: int | None) -> None:
        self.start = start
        self.end = end

    def __call__(self, expression: Any) -> ArrayPlace:
        return ArrayPlace(self.start, self.end, expression)


def _array_place(name: str) -> _ArrayPlaces | None:
    start, _, end = name.partition("_")
    if not start.isdecimal() or (end and not end.isdecimal()):
        return None
    return _ArrayPlaces(int(start), int(end) if end else None)


def _array_exact(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    return (_operator("=") if isinstance(value, Listed) else BUILDERS["exact"])(name, lhs, value, scope)


def _array_overlap(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    # Of a queryset all rows, as a list.
    return _operator("&&")(name, lhs, ArraySubquery(value) if isinstance(value, QueryLike) else value, scope)


def _array_in(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if not isinstance(value, tuple) or any(isinstance(item, (Node, QueryLike)) for item in value):
        return BUILDERS["in"](name, lhs, value, scope)
    if not value:
        return Nothing()
    output = lhs.output
    assert output is not None, "an array without its type"
    prepare = output.prepare
    slot = scope.slot(lambda items: tuple(map(prepare, items)))
    return InNodes(lhs, tuple(Item(slot, number, output) for number in range(bucket(len(value)))))


# -- hstore ------------------------------------------------------------------------------------------------------


class _KeyOutput(TypedOutput):
    """The text that an hstore keeps of any value."""

    __slots__ = ()

    @property
    def prepares(self) -> bool:
        return True

    def prepare(self, value: Any, /) -> Any:
        return value if isinstance(value, (str, NoneType)) else str(value)


_KEY_OUTPUT = _KeyOutput(TEXT)


class _HStoreKey(Transform):
    """The text under a key of an hstore."""

    output = _KEY_OUTPUT

    def __init__(self, key: str, expression: Any) -> None:
        self.key_name = checked_key(key)
        super().__init__(expression)

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.key_name)

    def infer_output(self) -> Output | None:
        return _KEY_OUTPUT

    def render(self, compiler: Compiler) -> str:
        require(compiler, "hstore")
        return f"({self.args[0].sql(compiler)} -> {compiler.dialect.quote_literal(self.key_name)})"


class _HStoreKeys:
    bilateral = False

    def __init__(self, key: str) -> None:
        self.key_name = key

    def __call__(self, expression: Any) -> _HStoreKey:
        return _HStoreKey(self.key_name, expression)


class _TextItems(TypedOutput):
    """A list of texts."""

    __slots__ = ("base_field",)

    def __init__(self) -> None:
        super().__init__(SqlType("array", element=TEXT))
        self.base_field = TEXT_OUTPUT

    @property
    def prepares(self) -> bool:
        return True

    def prepare(self, value: Any, /) -> Any:
        return list(value)


class HStoreKeys(Transform):
    """The keys of an hstore, as a list."""

    lookup_name = "keys"
    function = "akeys"

    def infer_output(self) -> Output | None:
        return _TextItems()

    def render(self, compiler: Compiler) -> str:
        require(compiler, "hstore")
        return f"{self.function}({self.args[0].sql(compiler)})"


class HStoreValues(HStoreKeys):
    """The values of an hstore, as a list."""

    lookup_name = "values"
    function = "avals"


class _HasHStoreKeys(Condition):
    def __init__(self, name: str, operator: str, lhs: Node, slot: int) -> None:
        self.name = name
        self.operator = operator
        self.args = (lhs,)
        self.slot = slot

    def options(self) -> tuple[Hashable, ...]:
        return (self.operator, self.slot)

    def sql(self, compiler: Compiler) -> str:
        require(compiler, f"lookup {self.name!r}")
        lhs = self.args[0].sql(compiler)
        one = self.operator == "?"
        rhs = compiler.param(self.slot, TEXT_OUTPUT) if one else compiler.array(self.slot, TEXT_OUTPUT)
        return f"{lhs} {self.operator} {rhs}"


def _hstore_has(operator: str) -> Callable[[str, Node, Any, Scope], Node]:
    def build(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
        if value is None:
            return none_as_value(name, lhs)
        if isinstance(value, (Node, QueryLike)):
            node = scope.subquery(value) if isinstance(value, QueryLike) else value.resolve(scope)
            return ServerOperator(name, operator, lhs, node)
        if operator == "?":
            return _HasHStoreKeys(name, operator, lhs, scope.slot(str))
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise TypeError(f"{name} takes a list of keys, not {type(value).__name__}.")
        return _HasHStoreKeys(name, operator, lhs, scope.slot(lambda keys: tuple(map(str, keys))))

    return build


# -- ranges ------------------------------------------------------------------------------------------------------


class _RangePart(Transform):
    """A bound of a range, or a fact about it."""

    fact: ClassVar[bool] = False

    def infer_output(self) -> Output | None:
        if self.fact:
            return TypedOutput(BOOLEAN)
        output: Any = self.args[0].output
        bound: Output | None = getattr(output, "bound", None)
        return bound

    def render(self, compiler: Compiler) -> str:
        require(compiler, "ranges")
        return f"{self.function}({self.args[0].sql(compiler)})"


class RangeStartsWith(_RangePart):
    """The lower bound."""

    lookup_name, function = "startswith", "lower"


class RangeEndsWith(_RangePart):
    """The upper bound."""

    lookup_name, function = "endswith", "upper"


class RangeIsEmpty(_RangePart):
    """True for the empty range."""

    lookup_name, function, fact = "isempty", "isempty", True


class RangeLowerInc(_RangePart):
    """True when the lower bound belongs to the range."""

    lookup_name, function, fact = "lower_inc", "lower_inc", True


class RangeLowerInf(_RangePart):
    """True when there is no lower bound."""

    lookup_name, function, fact = "lower_inf", "lower_inf", True


class RangeUpperInc(_RangePart):
    """True when the upper bound belongs to the range."""

    lookup_name, function, fact = "upper_inc", "upper_inc", True


class RangeUpperInf(_RangePart):
    """True when there is no upper bound."""

    lookup_name, function, fact = "upper_inf", "upper_inf", True


def _range_operator(operator: str) -> Callable[[str, Node, Any, Scope], Node]:
    def build(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
        if value is None:
            return none_as_value(name, lhs)
        if isinstance(value, (Node, QueryLike)):
            return ServerOperator(name, operator, lhs, _rhs(lhs, value, scope))
        output: Any = lhs.output
        assert output is not None, "a range without its type"
        if hasattr(value, "lower") and hasattr(value, "bounds"):
            return ServerOperator(name, operator, lhs, _rhs(lhs, value, scope), output.sql_type)
        if isinstance(value, (list, tuple)):
            return ServerOperator(name, operator, lhs, _rhs(lhs, value, scope), output.sql_type)
        bound = output.bound
        slot = scope.slot(output.prepare_bound)
        return ServerOperator(name, operator, lhs, Param(slot, bound), _ELEMENTS.get(output.sql_type.kind))

    return build


_ELEMENTS = {
    "int4range": INTEGER,
    "int8range": SqlType("bigint"),
    "numrange": SqlType("numeric"),
    "daterange": SqlType("date"),
    "tsrange": SqlType("timestamp"),
    "tstzrange": SqlType("timestamptz"),
}
_RANGE_OF = {
    "smallint": "int4range",
    "integer": "int4range",
    "bigint": "int8range",
    "numeric": "numrange",
    "double": "numrange",
    "date": "daterange",
    "timestamp": "tsrange",
    "timestamptz": "tstzrange",
}


def _within_range(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    """Build ``contained_by`` of a scalar: it lies in a range."""
    if isinstance(value, (Node, QueryLike)):
        return ServerOperator(name, "<@", lhs, _rhs(lhs, value, scope))
    assert lhs.output is not None, "a column without its type"
    kind: Any = _RANGE_OF[lhs.output.sql_type.kind]
    if not isinstance(value, (list, tuple)) and not hasattr(value, "bounds"):
        raise InvalidValue(f"contained_by takes a Range or two bounds, got {type(value).__name__}.")
    wanted = TypedOutput(SqlType(kind))
    slot = scope.slot(_as_range)
    left = _Cast(lhs, _ELEMENTS[kind])
    return ServerOperator(name, "<@", left, Param(slot, wanted), wanted.sql_type)


def _as_range(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return Range(*value)
    return value


class _Cast(Node):
    def __init__(self, arg: Node, wanted: SqlType) -> None:
        self.args = (arg,)
        self.output = TypedOutput(wanted)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        assert self.output is not None, "a cast to no type"
        return f"({self.args[0].sql(compiler)})::{compiler.dialect.column_type(self.output.sql_type)}"


# -- text --------------------------------------------------------------------------------------------------------


class Unaccent(Transform):
    """The text without accents (extension unaccent); the right side is treated the same."""

    lookup_name = "unaccent"
    function = "UNACCENT"
    bilateral = True

    def render(self, compiler: Compiler) -> str:
        require(compiler, "unaccent")
        return f"UNACCENT({self.args[0].sql(compiler)})"


def _text_operator(operator: str) -> Callable[[str, Node, Any, Scope], Node]:
    def build(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
        if value is None:
            return none_as_value(name, lhs)
        rhs = _rhs(lhs, value, scope) if isinstance(value, (Node, QueryLike)) else Param(scope.slot(str), TEXT_OUTPUT)
        return ServerOperator(name, operator, lhs, rhs)

    return build


def search_config() -> str:
    """Return the dictionary of the ``search`` lookup (the setting ``SEARCH_CONFIG``), checked."""
    name = settings.SEARCH_CONFIG
    if not isinstance(name, str) or not name.replace(".", "_").isidentifier():
        raise ImproperlyConfigured(f"SEARCH_CONFIG takes the name of a text search configuration, not {name!r}.")
    return name


class Search(Condition):
    """Text that a plain full-text query finds."""

    def __init__(self, lhs: Node, rhs: Node) -> None:
        self.args = (lhs, rhs)

    def sql(self, compiler: Compiler) -> str:
        require(compiler, "full-text search")
        lhs, rhs = self.args
        # What has no configuration has that of the other side.
        parts = (part for side in (lhs, rhs) for part in map(_any, side.walk()) if hasattr(part, "config_sql"))
        configured = next(parts, None)
        if configured is not None:
            config = configured.config_sql(compiler)
        else:
            config = f"{compiler.dialect.quote_literal(search_config())}::regconfig, "
        left, right = lhs.sql(compiler), rhs.sql(compiler)
        if not is_vector(lhs):
            left = f"to_tsvector({config}COALESCE(({left})::text, ''))"
        if not is_query(rhs):
            right = f"plainto_tsquery({config}{right})"
        return f"{left} @@ {right}"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return frozenset()


def _any(node: Any) -> Any:
    return node


def is_vector(node: Node) -> bool:
    """True when *node* is a tsvector."""
    return node.output is not None and node.output.sql_type.name == "tsvector"


def is_query(node: Node) -> bool:
    """True when *node* is a tsquery."""
    return node.output is not None and node.output.sql_type.name == "tsquery"


def search(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        return none_as_value(name, lhs)
    rhs = _rhs(lhs, value, scope) if isinstance(value, (Node, QueryLike)) else Param(scope.slot(str), TEXT_OUTPUT)
    return Search(lhs, rhs)


def _vector_exact(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    # A vector "equals" what finds it.
    return (search if is_vector(lhs) else BUILDERS["exact"])(name, lhs, value, scope)


class ServerFunc(Func):
    """A function of PostgreSQL's alone."""

    what: ClassVar[str] = ""

    def render(self, compiler: Compiler) -> str:
        require(compiler, self.what or f"function {self.function}")
        return super().render(compiler)


def register() -> None:
    """Let PostgreSQL's types know their lookups."""
    register_kinds(("array",), _operator("@>"), "contains", "array_contains")
    register_kinds(("array",), _operator("<@"), "contained_by")
    register_kinds(("array",), _array_overlap, "overlap", "array_overlap")
    register_kinds(("array",), _array_exact, "exact")
    register_kinds(("array",), _array_in, "in")
    register_kinds(("array",), ArrayLength)
    key_transforms["array"] = _array_place
    register_kinds(("hstore",), _operator("@>"), "contains")
    register_kinds(("hstore",), _operator("<@"), "contained_by")
    register_kinds(("hstore",), _hstore_has("?"), "has_key")
    register_kinds(("hstore",), _hstore_has("?&"), "has_keys")
    register_kinds(("hstore",), _hstore_has("?|"), "has_any_keys")
    register_kinds(("hstore",), HStoreKeys)
    register_kinds(("hstore",), HStoreValues)
    key_transforms["hstore"] = _HStoreKeys
    for operator, name in (("@>", "contains"), ("<@", "contained_by"), ("&&", "overlap"), ("<<", "fully_lt"),
                           (">>", "fully_gt"), ("&>", "not_lt"), ("&<", "not_gt"),
                           ("-|-", "adjacent_to")):  # fmt: skip
        register_kinds(RANGES, _range_operator(operator), name)
    for part in (RangeStartsWith, RangeEndsWith, RangeIsEmpty, RangeLowerInc, RangeLowerInf, RangeUpperInc,
                 RangeUpperInf):  # fmt: skip
        register_kinds(RANGES, part)
    register_kinds(_RANGE_OF, _within_range, "contained_by")
    register_kinds(_TEXTS, Unaccent)
    register_kinds(_TEXTS, _text_operator("%"), "trigram_similar")
    register_kinds(_TEXTS, _text_operator("%>"), "trigram_word_similar")
    register_kinds(_TEXTS, _text_operator("%>>"), "trigram_strict_word_similar")
    register_kinds((*_TEXTS, "custom", "json"), search, "search")
    register_kinds(("custom",), _vector_exact, "exact")
    for alias, name in (("json_has_key", "has_key"), ("json_has_any", "has_any_keys"), ("json_has_all", "has_keys")):
        register_kinds(("json",), _renamed(json_has_keys, name), alias)
    register_kinds(("json",), _renamed(json_contains, "contained_by"), "json_contained_by")


def _renamed(build: Callable[[str, Node, Any, Scope], Node], name: str) -> Callable[[str, Node, Any, Scope], Node]:
    return lambda _, lhs, value, scope: build(name, lhs, value, scope)
