"""What all aggregates share: DISTINCT, FILTER, an order of the values, a default for no rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dorm.db.types import DOUBLE, JSON
from dorm.exceptions import FieldError, NotSupportedError
from dorm.expressions.core import OrderBy, as_expression, as_reference, order_key_sql
from dorm.expressions.func import Func
from dorm.expressions.types import as_asked
from dorm.functions.base import in_type
from dorm.functions.conversion import Coalesce
from dorm.sql.convert import as_type, kind_of
from dorm.sql.node import Node, Output, Param, Scope, Text, typed
from dorm.sql.ours import is_ours

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


A = TypeVar("A", bound="Aggregate")
_WHOLE = ("smallint", "integer", "bigint")


class Aggregate(Func):
    """A function over the rows of a group.

    Args:
        expressions: field names, paths, or expressions.
        distinct: each value once.
        filter: a condition (``Q``) on the rows that take part.
        default: what stands for NULL where no row took part.
        order_by: the order in which values are taken: a name (``"-date"``), an expression, or several.
        output_field: type of the result, where it does not follow from the argument.

    Class attributes: *function*, *template* (with ``%(function)s``, ``%(distinct)s``, ``%(expressions)s`` and
    ``%(order_by)s``), *allow_distinct*, *allow_order_by*, *empty_result_set_value* (None: default allowed).

    Raises: TypeError: *distinct*, *order_by* or *default* where the aggregate has none.
    """

    template = "%(function)s(%(distinct)s%(expressions)s%(order_by)s)"
    is_aggregate = True
    allow_distinct: ClassVar[bool] = False
    computes: ClassVar[bool] = False
    """It adds values up, which dates and times are not everywhere."""
    allow_order_by: ClassVar[bool] = False
    empty_result_set_value: ClassVar[Any] = None
    window_compatible: ClassVar[bool] = True

    def __init__(
        self,
        *expressions: Any,
        distinct: bool = False,
        filter: Any = None,
        default: Any = None,
        order_by: Any = None,
        **extra: Any,
    ) -> None:
        if distinct and not self.allow_distinct:
            raise TypeError(f"{type(self).__name__} does not allow distinct.")
        if order_by and not self.allow_order_by:
            raise TypeError(f"{type(self).__name__} does not allow order_by.")
        if default is not None and self.empty_result_set_value is not None:
            raise TypeError(f"{type(self).__name__} does not allow default.")
        for expression in expressions:
            if isinstance(expression, Aggregate):
                name = type(self).__name__
                raise FieldError(f"Cannot compute {name}({expression!r}): its argument is an aggregate itself.")
        super().__init__(*expressions, **extra)
        self.distinct = distinct
        keys = _ordering(order_by)
        self._shape = (len(self.args), filter is not None, default is not None, len(keys))
        others = [filter] if filter is not None else []
        if default is not None:
            others.append(as_expression(default))
        self.args = (*self.args, *others, *keys)

    def resolve(self, scope: Scope) -> Node:
        made = super().resolve(scope)
        wanted = self.__dict__.get("output")
        if wanted is None or not self.arguments or self.empty_result_set_value is not None:
            return made
        # The type that was asked for may have another form than what is computed: a float of decimals.
        made.output = None
        try:
            computed = made.infer_output()
        except FieldError:
            computed = None
        made.output = computed or wanted
        shown = as_type(made, wanted)
        shown.output = as_asked(wanted)
        return shown

    # -- parts ---------------------------------------------------------------------------------------------------
    @property
    def arguments(self) -> tuple[Node, ...]:
        """What is aggregated."""
        return self.args[: self._shape[0]]

    @property
    def condition(self) -> Node | None:
        """The condition on rows; None when all take part."""
        count, filtered, _, _ = self._shape
        return self.args[count] if filtered else None

    @property
    def default(self) -> Node | None:
        """What stands for NULL; None when NULL stays."""
        count, filtered, defaulted, _ = self._shape
        return self.args[count + filtered] if defaulted else None

    @property
    def order(self) -> tuple[Node, ...]:
        """The order of the values."""
        count = self._shape[3]
        return self.args[-count:] if count else ()

    def __repr__(self) -> str:
        inner = list(map(repr, self.arguments))
        if self.distinct:
            inner.append("distinct=True")
        for name in ("condition", "default", "order"):
            value = getattr(self, name)
            if value is not None and value != ():
                inner.append(
                    f"{'filter' if name == 'condition' else 'order_by' if name == 'order' else name}={value!r}"
                )
        return f"{type(self).__name__}({', '.join(inner)})"

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.distinct, self._shape)

    def rebuilt(self: A, args: tuple[Node, ...]) -> A:
        made = super().rebuilt(args)
        default = made.default
        if isinstance(default, Param) and default.output is not None and made.output is not None:
            listed = default.output.sql_type.kind == "json" and made.output.sql_type.kind != "json"
            if listed:
                # A list as default of a list: bound as what it stands for.
                place = made._shape[0] + made._shape[1]
                typed_default = Param(default.slot, made.output)
                made.args = (*made.args[:place], typed_default, *made.args[place + 1 :])
        return made

    def infer_output(self) -> Output | None:
        if type(self).output_field is not Node.output_field:
            return self.output_field
        return typed(self.arguments[0]).output if self.arguments else None

    @property
    def default_alias(self) -> str:
        """Name of the result where none is given: ``<path>__<function>``."""
        name = getattr(self.args[0], "name", None) if self._shape[0] == 1 else None
        if not isinstance(name, str):
            raise TypeError("Complex expressions require an alias: give the aggregate as a keyword.")
        own = type(self).__dict__.get("name")
        return f"{name}__{(own if isinstance(own, str) else type(self).__name__).lower()}"

    @property
    def nullable(self) -> bool:
        default = self.default
        return self.empty_result_set_value is None and (default is None or default.nullable)

    # -- rendering -----------------------------------------------------------------------------------------------
    def sql(self, compiler: Compiler) -> str:
        cls = type(self)
        if cls.as_sql is Aggregate.as_sql and not hasattr(cls, f"as_{compiler.dialect.vendor}"):
            return self.render(compiler)
        return super().sql(compiler)

    def render(self, compiler: Compiler) -> str:
        return self.with_default(compiler, self.bare(compiler))

    def bare(self, compiler: Compiler) -> str:
        """Return the text without the default, as it may stand before OVER."""
        if self.computes and not compiler.dialect.adds_up_moments:
            self._refuse_moments(compiler)
        condition = self.condition
        if condition is None:
            return self.call(compiler, [self.argument(compiler, each) for each in self.arguments])
        if compiler.dialect.supports_filter_clause:
            text = self.call(compiler, [self.argument(compiler, each) for each in self.arguments])
            return f"{text} FILTER (WHERE {condition.sql(compiler)})"
        test = condition.sql(compiler)
        first, *others = [self.argument(compiler, each) for each in self.arguments]
        picked = f"CASE WHEN {test} THEN {'1' if first == '*' else first} END"
        return self.call(compiler, [picked, *others])

    def _refuse_moments(self, compiler: Compiler) -> None:
        output = self.args[0].output
        if output is not None and output.sql_type.kind in ("date", "time", "timestamp", "timestamptz"):
            raise NotSupportedError(
                f"{type(self).__name__} over dates and times is not supported by {compiler.dialect.display_name}, "
                "which keeps them as text. Min and Max are."
            )

    def with_default(self, compiler: Compiler, text: str) -> str:
        """Return *text* with the default in place of NULL."""
        default = self.default
        if default is None:
            return text
        other = in_type(compiler, default, self.output)
        if _is_float(self.output) and default.output is not None and default.output.sql_type.kind in _WHOLE:
            other = compiler.dialect.cast(other, DOUBLE)
        if kind_of(self) == "json" and kind_of(default) in ("text", "varchar"):
            # As in Django a text is the document itself: Value("[]").
            other = compiler.dialect.cast(other, JSON)
        return f"COALESCE({text}, {other})"

    def argument(self, compiler: Compiler, node: Node) -> str:
        """Return the text of one argument."""
        return node.sql(compiler)

    def call(self, compiler: Compiler, arguments: list[str]) -> str:
        """Return the call itself."""
        data: dict[str, Any] = {"function": self.named(compiler), **self.extra}
        data["expressions"] = data["field"] = data.get("arg_joiner", self.arg_joiner).join(arguments)
        data["distinct"] = "DISTINCT " if self.distinct else ""
        data["order_by"] = self.ordered(compiler)
        text: str = data.get("template", self.template) % data
        return text

    def named(self, compiler: Compiler) -> str:
        """Return the function's name on this backend, which may depend on the type of its argument."""
        names = compiler.dialect.functions
        output = self.args[0].output if self.args else None
        kind = output.sql_type.kind if output is not None else ""
        for cls in type(self).__mro__:
            if cls is Aggregate:
                break
            found = names.get(f"{cls.__name__}:{kind}") or names.get(cls.__name__)
            if found is not None and is_ours(cls):
                return found
            if "function" in cls.__dict__:
                break
        return str(self.function)

    def ordered(self, compiler: Compiler) -> str:
        """Return the order of the values, with a space before it."""
        if not self.order:
            return ""
        if not compiler.dialect.supports_aggregate_order:
            raise NotSupportedError(f"{compiler.dialect.display_name} has no order within aggregates.")
        return f" ORDER BY {', '.join(order_key_sql(compiler, key) for key in self.order)}"

    def as_sql(
        self,
        compiler: Any,
        connection: Any,
        function: str | None = None,
        template: str | None = None,
        arg_joiner: str | None = None,
        **extra_context: Any,
    ) -> tuple[str, list[Any]]:
        """Return the text with ``%s`` for parameters, and the parameters; keywords stand in for class attributes."""
        given = {"function": function, "template": template, "arg_joiner": arg_joiner}
        changed = {key: value for key, value in given.items() if value is not None}
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.extra = {**self.extra, **extra_context, **changed}
        rendered: tuple[str, list[Any]] = compiler.rendered(made)
        return rendered


def refuse_nested(node: Node, name: str, inner: Iterable[Node] | None = None) -> None:
    """Refuse aggregates of aggregates in the resolved expression called *name*.

    Args:
        inner: the aggregates that may not stand within others, None for all.
    Raises: FieldError.
    """
    if node.is_window:
        for arg in node.args:
            for each in arg.args if arg.is_aggregate else (arg,):
                refuse_nested(each, name, inner)
        return
    refused = None if inner is None else {id(each) for each in inner}
    for arg in node.args:
        if node.is_aggregate and any(
            part.contains_aggregate if refused is None else id(part) in refused for part in arg.walk()
        ):
            raise FieldError(f"Cannot compute {type(node).__name__} for {name!r}: its argument is an aggregate itself.")
        refuse_nested(arg, name, inner)


def _ordering(given: Any) -> tuple[Node, ...]:
    if not given and not isinstance(given, Node):
        return ()
    several = given if isinstance(given, (list, tuple)) else (given,)
    return tuple(_key(each) for each in several)


def _key(given: Any) -> Node:
    if isinstance(given, str) and given.startswith("-"):
        return OrderBy(given[1:], descending=True)
    if not isinstance(given, (str, Node)):
        raise TypeError(f"order_by takes names of fields and expressions, not {type(given).__name__}.")
    return as_reference(given)


def over_nothing(node: Node, values: tuple[Any, ...]) -> Any:
    """Return what a resolved expression of aggregates is where no row can match; *values* are those of the query."""
    if isinstance(node, Param):
        return values[node.slot]
    if isinstance(node, Aggregate):
        if node.default is None:
            return node.empty_result_set_value
        default = over_nothing(node.default, values)
        return float(default) if type(default) is int and _is_float(node.output) else default
    if isinstance(node, Coalesce):
        return next((value for value in (over_nothing(arg, values) for arg in node.args) if value is not None), None)
    return None


def is_known_over_nothing(node: Node) -> bool:
    """True when `over_nothing` can tell the value of a resolved expression; the database computes the others."""
    if isinstance(node, Aggregate):
        return node.default is None or is_known_over_nothing(node.default)
    return isinstance(node, Param) or (isinstance(node, Coalesce) and all(map(is_known_over_nothing, node.args)))


def _is_float(output: Output | None) -> bool:
    return output is not None and output.sql_type.kind == "double"


STAR = Text("*")
