"""Inside JSON documents: keys and indexes in paths, comparisons by the type of the right side, containment, keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Hashable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dorm.db.types import JSON
from dorm.exceptions import InvalidValue, NotSupportedError
from dorm.expressions.core import F, Value
from dorm.lookups.classes import Transform
from dorm.lookups.core import BUILDERS, LONG_LIST, IsNull, Listing, _strict_aliases, none_as_value
from dorm.lookups.registry import key_transforms, register_kinds
from dorm.lookups.values import bucket
from dorm.sql.boolean import Condition, Nothing, conjunction, disjunction
from dorm.sql.node import (
    BOOLEAN_OUTPUT,
    FLOAT_OUTPUT,
    TEXT_OUTPUT,
    Column,
    Node,
    Output,
    Param,
    Parents,
    QueryLike,
    Scope,
    TypedOutput,
)

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler

Key: TypeAlias = "str | int"
Scalar: TypeAlias = Literal["number", "text", "boolean"]

_TEXTUAL = ("varchar", "text", "citext")
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "double")


# -- expressions -------------------------------------------------------------------------------------------------


def checked_key(key: str) -> str:
    """Return *key*, which stands in the text of the statement.

    Raises: ValueError: it holds a NUL, at which a server ends the text.
    """
    if "\0" in key:
        raise ValueError("Keys cannot contain NUL (0x00) characters.")
    return key


class KeyTransform(Transform):
    """The value under a key of a JSON document, or at an index of a list, as JSON: ``KeyTransform("a", "data")``.

    Args:
        key_name: a key, or a whole number (also as text) for a place in a list.
        expression: the document: an expression or the name of a field.
    """

    arity = 1

    def __init__(self, key_name: Any, expression: Any, *args: Any, **extra: Any) -> None:
        self.key_name = checked_key(str(key_name))
        super().__init__(expression, *args, **extra)

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.key_name)

    def infer_output(self) -> Output | None:
        return self.args[0].output

    def key_(self) -> Key:
        """Return the key, as a number where it is one."""
        return int(self.key_name) if self.key_name.lstrip("-").isdecimal() else self.key_name

    def preprocess_lhs(self) -> tuple[Node, tuple[Key, ...]]:
        """Return the document and the keys that lead from it to the value."""
        return source_and_keys(self)

    def render(self, compiler: Compiler) -> str:
        source, keys = source_and_keys(self)
        return compiler.dialect.json_at(source.sql(compiler), keys)


class KeyTextTransform(KeyTransform):
    """The same as text: a string without its quotes, JSON's null as NULL."""

    def infer_output(self) -> Output | None:
        return TEXT_OUTPUT

    def render(self, compiler: Compiler) -> str:
        source, keys = source_and_keys(self)
        return compiler.dialect.json_text_at(source.sql(compiler), keys)


def KT(lookup: str) -> KeyTextTransform:  # noqa: N802  # Django's name
    """Return the text at a path: ``KT("data__owner__name")``.

    Raises: ValueError: a path without a key.
    """
    field, *keys = lookup.split("__")
    if not keys:
        raise ValueError("Lookup must contain key or index transforms.")
    node: Node = F(field)
    for key in keys[:-1]:
        node = KeyTransform(key, node)
    return KeyTextTransform(keys[-1], node)


class KeyTransformFactory:
    """Makes the transform of one key; what a path finds behind a JSON field."""

    bilateral = False

    def __init__(self, key_name: str) -> None:
        self.key_name = key_name

    def __call__(self, *args: Any, **kwargs: Any) -> KeyTransform:
        return KeyTransform(self.key_name, *args, **kwargs)


def source_and_keys(node: Node) -> tuple[Node, tuple[Key, ...]]:
    """Return the document below the key transforms of *node*, and their keys from outside in."""
    keys: list[Key] = []
    while isinstance(node, KeyTransform):
        keys.append(node.key_())
        node = node.args[0]
    return node, tuple(reversed(keys))


class _JSONText(TypedOutput):
    """Documents that are text already."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(JSON)

    def bind(self, dialect: Dialect, /) -> Converter | None:
        return None


class JSONOrderKey(Node):
    """What a JSON value is ordered by: numbers as numbers, where the backend keeps documents as text."""

    def __init__(self, arg: Node) -> None:
        self.args = (arg,)
        self.output = arg.output

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        return compiler.dialect.json_order(self.args[0].sql(compiler))


def order_key(node: Node) -> Node:
    """Return what ORDER BY sorts by for *node*."""
    return JSONOrderKey(node) if _kind(node) == "json" and not isinstance(node, Column) else node


# -- conditions --------------------------------------------------------------------------------------------------


class AtPath(Condition):
    """A condition on the value at a path of the document `args[0]`."""

    def __init__(self, lhs: Node) -> None:
        source, self.keys = source_and_keys(lhs)
        self.args = (source,)

    def options(self) -> tuple[Hashable, ...]:
        return (self.keys,)

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return _strict_aliases(self.args[0])

    def document(self, compiler: Compiler) -> str:
        """Return the text of the whole document."""
        return self.args[0].sql(compiler)


class JSONIsNull(AtPath):
    """The value at the path is JSON's null."""

    def sql(self, compiler: Compiler) -> str:
        return compiler.dialect.json_is_null(self.document(compiler), self.keys)


class JSONEquals(AtPath):
    """The value at the path is the document in a slot (or given by an expression)."""

    def __init__(self, lhs: Node, value: Node, scalar: Scalar | None) -> None:
        super().__init__(lhs)
        self.args = (*self.args, value)
        self.scalar: Scalar | None = scalar

    def options(self) -> tuple[Hashable, ...]:
        return (self.keys, self.scalar)

    def sql(self, compiler: Compiler) -> str:
        dialect, document, value = compiler.dialect, self.document(compiler), self.args[1]
        if not isinstance(value, Param):
            return dialect.json_equals(document, self.keys, dialect.json_canonical(value.sql(compiler)))
        if self.scalar is not None and not dialect.has_json_type:
            bind = {"text": _decoded, "boolean": _decoded_boolean, "number": dialect.json_number}[self.scalar]
            placeholder = compiler.param(value.slot, scalar_output(self.scalar), bind)
            return dialect.json_scalar_equals(document, self.keys, self.scalar, placeholder)
        placeholder = compiler.param(value.slot, _JSON, dialect.json_binder)
        return dialect.json_equals(document, self.keys, placeholder)


class JSONIn(AtPath):
    """The value at the path is one of the documents whose texts stand in a slot; *size* is their padded number."""

    def __init__(self, lhs: Node, slot: int, size: int) -> None:
        super().__init__(lhs)
        self.slot = slot
        self.size = size

    def options(self) -> tuple[Hashable, ...]:
        return (self.keys, self.slot, self.size)

    def sql(self, compiler: Compiler) -> str:
        dialect = compiler.dialect
        value = dialect.json_canonical(dialect.json_at(self.document(compiler), self.keys))
        if self.size > LONG_LIST and dialect.supports_listed("json"):
            return dialect.in_listed(value, compiler.param(self.slot, TEXT_OUTPUT, Listing(dialect.json_binder)))
        return f"{value} IN ({compiler.padded(self.slot, self.size, _JSON, dialect.json_binder)})"


class JSONComparison(AtPath):
    """The scalar at the path compared with a value of its type: false for other types, NULL where nothing is there."""

    def __init__(self, lookup: str, lhs: Node, values: tuple[Node, ...], scalar: Scalar) -> None:
        super().__init__(lhs)
        self.args = (*self.args, *values)
        self.lookup = lookup
        self.scalar: Scalar = scalar

    def options(self) -> tuple[Hashable, ...]:
        return (self.keys, self.lookup, self.scalar)

    def sql(self, compiler: Compiler) -> str:
        dialect = compiler.dialect
        document = self.document(compiler)
        lhs = dialect.json_scalar_at(document, self.keys, self.scalar)
        texts = [self._value(compiler, value) for value in self.args[1:]]
        if self.lookup == "range":
            compared = f"{lhs} BETWEEN {texts[0]} AND {texts[1]}"
        else:
            compared = dialect.lookups[self.lookup].format(lhs=lhs, rhs=texts[0])
        # Alone it would be NULL for other types, and NOT of that too.
        return f"({dialect.json_holds(document, self.keys, self.scalar)} AND {compared})"

    def _value(self, compiler: Compiler, value: Node) -> str:
        if isinstance(value, Param) and value.output is _JSON:
            bind = {"text": _decoded, "boolean": bool_of, "number": compiler.dialect.json_number}[self.scalar]
            return compiler.param(value.slot, scalar_output(self.scalar), bind)
        if _kind(value) != "json":
            return value.sql(compiler)
        source, keys = source_and_keys(value)
        return compiler.dialect.json_scalar_at(source.sql(compiler), keys, self.scalar)


class JSONContains(Condition):
    """One document holds another."""

    def __init__(self, lookup: str, lhs: Node, value: Node) -> None:
        self.lookup = lookup
        self.args = (lhs, value)

    def options(self) -> tuple[Hashable, ...]:
        return (self.lookup,)

    def sql(self, compiler: Compiler) -> str:
        if not compiler.dialect.supports_json_containment:
            raise NotSupportedError(
                f"{self.lookup} lookup is not supported on this database backend ({compiler.dialect.vendor}): compare "
                "the keys one by one, or use has_key."
            )
        lhs, value = self.args
        left = lhs.sql(compiler)
        right = compiler.param(value.slot, _JSON) if isinstance(value, Param) else value.sql(compiler)
        return f"{left} {'@>' if self.lookup == 'contains' else '<@'} {right}"

    def null_rejecting(self, parents: Parents) -> frozenset[str]:
        return _strict_aliases(*self.args)


class HasKeys(AtPath):
    """The object at the path has a key (``has_key``), all of several, or any of them."""

    def __init__(self, lookup: str, lhs: Node, slot: int) -> None:
        super().__init__(lhs)
        self.lookup = lookup
        self.slot = slot

    def options(self) -> tuple[Hashable, ...]:
        return (self.keys, self.lookup, self.slot)

    def sql(self, compiler: Compiler) -> str:
        dialect, document, keys = compiler.dialect, self.document(compiler), self.keys
        if self.lookup == "has_key":
            return dialect.json_has_key(
                document, keys, compiler.param(self.slot, TEXT_OUTPUT, dialect.json_key_binder(keys, False))
            )
        if dialect.supports_array_parameters:
            placeholder = compiler.array(self.slot, TEXT_OUTPUT)
        else:
            placeholder = compiler.param(self.slot, TEXT_OUTPUT, dialect.json_key_binder(keys, True))
        return dialect.json_has_keys(document, keys, placeholder, self.lookup == "has_keys")


_JSON = _JSONText()
_SCALARS: dict[Scalar, Output] = {"number": FLOAT_OUTPUT, "text": TEXT_OUTPUT, "boolean": BOOLEAN_OUTPUT}


def _kind(node: Node) -> str:
    return node.output.sql_type.kind if node.output is not None else ""


def scalar_output(scalar: Scalar) -> Output:
    """Return the output of a scalar out of a document."""
    return _SCALARS[scalar]


def _decoded(text: str) -> Any:
    return json.loads(text)


def _decoded_boolean(text: str) -> Any:
    return int(json.loads(text))


def bool_of(text: str) -> bool:
    """Return the boolean that a JSON text is."""
    return bool(json.loads(text))


# -- building ----------------------------------------------------------------------------------------------------


def text_of(output: Output | None) -> Callable[[Any], str]:
    """Return what turns a value into the JSON text by which it is compared."""
    if output is not None and output.prepares and output.sql_type.kind == "json":
        return output.prepare
    return json.dumps


def _is_document(value: Any) -> bool:
    """True for a text in a `Value` of no other type: as in SQL's own text, it is the text of a document."""
    return isinstance(value, Value) and value.output is None and isinstance(value.value, str)


def _document(text: str) -> str:
    try:
        json.loads(text)
    except ValueError as exc:
        raise InvalidValue(
            "a text in Value() that is compared with a JSON document is the text of one, and this is no JSON: give the "
            "text itself without Value(), or json.dumps() of it."
        ) from exc
    return text


def _text_document(text: str) -> str:
    if not isinstance(json.loads(_document(text)), str):
        raise InvalidValue("a document in Value() is put in order only where it is a text: give the value itself.")
    return text


def _scalar_of(value: Any, output: Output | None) -> Scalar | None:
    """Return which scalar *value* is in JSON; None for lists, objects and null."""
    kind = type(json.loads(text_of(output)(value)))
    if kind is bool:
        return "boolean"
    if kind is str:
        return "text"
    return "number" if kind in (int, float) else None


def _scalar_of_node(node: Node) -> Scalar | None:
    kind = _kind(node)
    if kind in _TEXTUAL:
        return "text"
    if kind == "boolean":
        return "boolean"
    return "number" if kind in _NUMBERS else None


def _exact(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        return JSONIsNull(lhs)
    if isinstance(value, (Node, QueryLike)):
        if _is_document(value):
            # What it holds is no part of the plan, so the text may not depend on it.
            return JSONIn(lhs, scope.slot(lambda text: (_document(text),)), 1)
        rhs = scope.subquery(value) if isinstance(value, QueryLike) else value.resolve(scope)
        if type(rhs).__name__ == "JsonNull":
            return JSONIsNull(lhs)
        scalar = _scalar_of_node(rhs)
        return JSONComparison("exact", lhs, (rhs,), scalar) if scalar is not None else JSONEquals(lhs, rhs, None)
    scalar = _scalar_of(value, lhs.output)
    return JSONEquals(lhs, Param(scope.slot(text_of(lhs.output)), _JSON), scalar)


def _ordered(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        return none_as_value(name, lhs)
    values = value if name == "range" and isinstance(value, tuple) else (value,)
    nodes: list[Node] = []
    scalar: Scalar | None = None
    for each in values:
        node: Node
        found: Scalar | None
        if _is_document(each):
            node, found = Param(scope.slot(_text_document), _JSON), "text"
        elif isinstance(each, (Node, QueryLike)):
            node = scope.subquery(each) if isinstance(each, QueryLike) else each.resolve(scope)
            found = _scalar_of_node(node)
        else:
            node = Param(scope.slot(text_of(lhs.output)), _JSON)
            found = _scalar_of(each, lhs.output)
            if found is None or scalar not in (None, found):
                raise InvalidValue(
                    f"{name} compares values in JSON with numbers, texts or booleans of one type, "
                    f"not {type(each).__name__}."
                )
        nodes.append(node)
        scalar = scalar or found
    return JSONComparison(name, lhs, tuple(nodes), scalar or "number")


def _in(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if not isinstance(value, tuple) or not value:
        return BUILDERS["in"](name, lhs, value, scope)
    if any(isinstance(item, (Node, QueryLike)) for item in value):
        return disjunction([_exact("exact", lhs, item, scope) for item in value]) or Nothing()
    to_text = text_of(lhs.output)
    # The types of the items are no part of the plan, so the text may not depend on them.
    return JSONIn(lhs, scope.slot(lambda items: tuple(map(to_text, items))), bucket(len(value)))


def _contains(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if value is None:
        return none_as_value(name, lhs)
    if isinstance(value, (Node, QueryLike)) and not _is_document(value):
        rhs = scope.subquery(value) if isinstance(value, QueryLike) else value.resolve(scope)
        return JSONContains(name, lhs, rhs)
    prepare = _document if _is_document(value) else text_of(lhs.output)
    return JSONContains(name, lhs, Param(scope.slot(prepare), _JSON))


def _has_keys(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    if name == "has_key":
        if value is None:
            return none_as_value(name, lhs)
        if isinstance(value, KeyTransform):
            for key in source_and_keys(value)[1]:
                lhs = KeyTransform(key, lhs).resolve(scope)
            return IsNull(lhs, False)
        if isinstance(value, Node):
            raise NotSupportedError("has_key takes a key or a KeyTransform.")
        return HasKeys(name, lhs, scope.slot(str))
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        raise TypeError(f"{name} takes a list of keys, not {type(value).__name__}.")
    if any(isinstance(item, KeyTransform) for item in value):
        parts = [_has_keys("has_key", lhs, item, scope) for item in value]
        return (conjunction(parts) if name == "has_keys" else disjunction(parts)) or Nothing()
    return HasKeys(name, lhs, scope.slot(lambda keys: tuple(map(str, keys))))


def _on_text(name: str, lhs: Node, value: Any, scope: Scope) -> Node:
    """Build a text lookup on the text at a key."""
    if isinstance(lhs, KeyTransform):
        lhs = KeyTextTransform(lhs.key_name, lhs.args[0]).resolve(scope)
    return BUILDERS[name](name, lhs, value, scope)


_TEXT_LOOKUPS = ("iexact", "icontains", "startswith", "istartswith", "endswith", "iendswith", "regex", "iregex")


def register() -> None:
    """Let JSON documents know their keys and lookups."""
    key_transforms["json"] = KeyTransformFactory
    for builder, names in (
        (_exact, ("exact",)),
        (_ordered, ("gt", "gte", "lt", "lte", "range")),
        (_in, ("in",)),
        (_contains, ("contains", "contained_by")),
        (_has_keys, ("has_key", "has_keys", "has_any_keys")),
        (_on_text, _TEXT_LOOKUPS),
    ):
        register_kinds(("json",), builder, *names)
