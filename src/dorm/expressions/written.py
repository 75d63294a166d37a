"""What classes of expressions that users write may call and override, by Django's names.

Such a class keeps its parts where it likes: it tells them by `get_source_expressions`, takes others by
`set_source_expressions`, and renders itself by ``as_sql(compiler, connection)`` or ``as_<vendor>``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dorm.expressions.types import as_asked
from dorm.sql.convert import PLAIN, as_type, kind_of
from dorm.sql.node import Node, Output, Scope, common_output
from dorm.sql.ours import is_ours

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler

W = TypeVar("W", bound="Written")


class Written(Node):
    """An expression as its writer sees it.

    Class attributes: *filterable* (False: refused in conditions), *window_compatible* (may stand before OVER).

    Args:
        output_field: type of the result; without it that of the parts, where they agree.
    """

    window_compatible: ClassVar[bool] = False

    def __init__(self, output_field: Output | None = None) -> None:
        if output_field is not None:
            self.output = output_field

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if is_ours(cls):
            return
        if "get_source_expressions" in cls.__dict__:
            vars_of: Any = cls
            vars_of.args = property(_told, _kept)
        if "resolve_expression" in cls.__dict__:
            cls.resolve = _resolved  # type: ignore[method-assign]  # the hook stands in for it

    # -- parts ---------------------------------------------------------------------------------------------------
    def get_source_expressions(self) -> list[Any]:
        """Return the parts of this expression, in the order in which `set_source_expressions` takes them."""
        if "args" in self.__dict__:
            return list(self.__dict__["args"])
        own = type(self).args
        return list(own) if isinstance(own, tuple) else []

    def set_source_expressions(self, expressions: Any) -> None:
        """Take other parts in place of those of `get_source_expressions`."""
        self.args = tuple(expressions)

    def copy(self: W) -> W:
        """Return a shallow copy."""
        return copy.copy(self)

    def rebuilt(self: W, args: tuple[Node, ...]) -> W:
        own: Any = type(self).args
        if not isinstance(own, property) or own.fset is not _kept:
            return self._converting(super().rebuilt(args))
        clone = _unshared(self)
        # Whatever it makes of a decimal, it reads the number, not the form it is stored in.
        left = iter([as_type(arg, PLAIN) if kind_of(arg) == "numeric" else arg for arg in args])
        clone.set_source_expressions([None if part is None else next(left) for part in self.get_source_expressions()])
        output = clone.infer_output() if clone.output is None else clone.output
        if output is not None and not isinstance(output, Converted):
            clone.output = as_asked(output, ())
        return self._converting(clone)

    # -- hooks ---------------------------------------------------------------------------------------------------
    def resolve_expression(
        self,
        query: Any = None,
        allow_joins: bool = True,
        reuse: Any = None,
        summarize: bool = False,
        for_save: bool = False,
    ) -> Any:
        """Return this expression with columns for names, a copy; *query* is what the parts are resolved in."""
        for cls in type(self).__mro__:
            resolve = cls.__dict__.get("resolve")
            if resolve is not None and resolve is not _resolved:
                return resolve(self, query)
        raise AssertionError("every node can be resolved")

    def convert_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return what a row gets for *value*, which its type has read; for subclasses to override."""
        return value

    def _converting(self, made: W) -> W:
        overridden = type(self).convert_value is not Written.convert_value
        if overridden and made.output is not None and not isinstance(made.output, Converted):
            made.output = Converted(made.output, made)
        return made

    def infer_output(self) -> Output | None:
        cls = type(self)
        if cls.output_field is not Node.output_field:
            # A subclass declares it, as an attribute or as a property.
            return self.output_field
        if is_ours(cls):
            return None
        return common_output(self.args, "Expression")

    def sql(self, compiler: Compiler) -> str:
        return compiler.foreign(self)


def _told(self: Any) -> tuple[Node, ...]:
    return tuple(part for part in self.get_source_expressions() if part is not None)


def _kept(self: Any, args: tuple[Node, ...]) -> None:
    self.__dict__["args"] = args


def _unshared(node: W) -> W:
    """Return a copy whose lists are its own."""
    clone = copy.copy(node)
    clone.__dict__.update({name: [*value] for name, value in vars(node).items() if type(value) is list})
    return clone


def _resolved(self: Any, scope: Scope) -> Node:
    """Resolve by the class's own `resolve_expression`, which may put resolved parts into its lists."""
    made: Any = _unshared(self).resolve_expression(scope, True, None, False, False)
    resolved: Node = made.rebuilt(made.args)
    return resolved


class Converted:
    """An output whose values go through the `convert_value` of *expression*."""

    __slots__ = ("_expression", "_inner")

    def __init__(self, inner: Output, expression: Written) -> None:
        self._inner = inner
        self._expression = expression

    @property
    def sql_type(self) -> Any:
        return self._inner.sql_type

    @property
    def prepares(self) -> bool:
        return self._inner.prepares

    def prepare(self, value: Any, /) -> Any:
        return self._inner.prepare(value)

    def bind(self, dialect: Dialect, /) -> Converter | None:
        return self._inner.bind(dialect)

    def load(self, dialect: Dialect, /) -> Converter | None:
        expression, read = self._expression, self._inner.load(dialect)

        def convert(value: Any) -> Any:
            return expression.convert_value(value if read is None else read(value), expression, dialect)

        return convert
