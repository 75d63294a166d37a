"""Functions of SQL as expressions: what the built-in ones and those of users extend."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.exceptions import FieldError
from dorm.expressions.computing import COMPUTING
from dorm.expressions.core import Expression, as_reference, as_written
from dorm.expressions.types import as_asked
from dorm.sql.convert import PLAIN, as_type, kind_of
from dorm.sql.node import Node, Output, Scope, common_output, output_key
from dorm.sql.ours import is_ours
from dorm.sql.row import without_rows

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect
    from dorm.sql.compiler import Compiler


class Func(Expression):
    """A call of a database function.

    Class attributes: *function* (name), *template* (with ``%(function)s`` and ``%(expressions)s``), *arg_joiner*,
    *arity* (number of arguments, None for any). Strings given as arguments are names of fields. Keywords beside
    *output_field* stand in for these attributes or fill further places of the template.

    A subclass may render itself by ``as_sql(compiler, connection, ...)`` or, for one backend, ``as_<vendor>``; both
    return a text with ``%s`` and its parameters.
    """

    function: Any = None
    template: ClassVar[str] = "%(function)s(%(expressions)s)"
    arg_joiner: ClassVar[str] = ", "
    arity: ClassVar[int | None] = None
    is_asked: bool = False
    """Resolved, it has the type of an ``output_field``, not one that follows from its arguments."""

    def __init__(self, *expressions: Any, output_field: Output | None = None, **extra: Any) -> None:
        if self.arity is not None and len(expressions) != self.arity:
            raise TypeError(
                f"{type(self).__name__} takes exactly {self.arity} argument{'s' * (self.arity != 1)} "
                f"({len(expressions)} given)"
            )
        self.args = tuple(as_reference(expression) for expression in expressions)
        if type(self) is Func or not is_ours(type(self)):
            self.args = tuple(map(as_written, self.args))
        self.extra = extra
        if output_field is not None:
            self.output = output_field

    def options(self) -> tuple[Hashable, ...]:
        return (output_key(self.output), *sorted(self.extra.items()))

    def __repr__(self) -> str:
        inner = [*map(repr, self.args), *[f"{name}=..." for name in sorted(self.extra)]]
        return f"{type(self).__name__}({', '.join(inner)})"

    def infer_output(self) -> Output | None:
        if type(self).output_field is not Node.output_field:
            # A subclass declares it, as an attribute or as a property.
            return self.output_field
        return common_output(self.args, "Expression")

    def resolve(self, scope: Scope) -> Node:
        args = self.taking(tuple(arg.resolve(scope) for arg in self.args))
        asked: Output | None = self.__dict__.get("output")
        users = type(self) is Func or not is_ours(type(self))
        if users and asked is not None and asked.sql_type.kind != "numeric":
            # A function that makes something else of a decimal reads the number, not the form it is stored in.
            args = tuple(as_type(arg, PLAIN) if kind_of(arg) == "numeric" else arg for arg in args)
        try:
            made = self.rebuilt(args)
            made.is_asked = asked is not None
            if asked is not None and made.output is asked:
                made.output = as_asked(asked, args if users else None)
            elif users and kind_of(made) == "numeric":
                # Decimals of different forms are brought into that of the result.
                made.args = tuple([as_type(arg, made.output) for arg in made.args])
            return made
        except FieldError as exc:
            # Said where the type is needed: an ExpressionWrapper or a Cast around this gives it.
            made = copy.copy(self)
            made.args = args
            made.untyped = exc
            return made

    def retyped(self, args: tuple[Node, ...]) -> Node:
        if self.is_asked or type(self) is Func or not is_ours(type(self)):
            return self.rebuilt(args)
        untyped = copy.copy(self)
        vars(untyped).pop("output", None)
        return untyped.rebuilt(args)

    def taking(self, args: tuple[Node, ...]) -> tuple[Node, ...]:
        """Return the resolved arguments as this function takes them.

        Raises: ValueError: it doesn't take one of them, a composite key.
        """
        without_rows(args, type(self).__name__)
        return args

    # -- rendering -----------------------------------------------------------------------------------------------
    def sql(self, compiler: Compiler) -> str:
        cls = type(self)
        if cls.as_sql is not Func.as_sql or hasattr(cls, f"as_{compiler.dialect.vendor}"):
            return compiler.foreign(self)
        if self._may_write():
            compiler.may_write = True
        return self.render(compiler)

    def _may_write(self) -> bool:
        """True for a function of the user's that is not known to do nothing but compute."""
        if is_ours(type(self)) and type(self) is not Func and not self.extra.keys() & {"function", "template"}:
            return False
        written_by = next(cls for cls in type(self).__mro__ if "template" in cls.__dict__)
        if "template" in self.extra or not is_ours(written_by):
            return True
        name = self.extra.get("function", self.function)
        return not isinstance(name, str) or name.upper() not in COMPUTING

    def render(self, compiler: Compiler) -> str:
        """Return the text of a function without hooks; dorm's own functions override this."""
        spelled = self._spelled(compiler.dialect)
        texts = [arg.sql(compiler) for arg in self.args]
        if spelled is not None:
            return spelled.format(*texts, args=", ".join(texts))
        data: dict[str, Any] = {"function": self.function, **self.extra}
        data["expressions"] = data["field"] = data.get("arg_joiner", self.arg_joiner).join(texts)
        text: str = data.get("template", self.template) % data
        return text

    def _spelled(self, dialect: Dialect) -> str | None:
        """Return the dialect's own template of this function; None when the class says it all."""
        if self.extra.keys() & {"function", "template"}:
            return None
        for cls in type(self).__mro__:
            if cls is Func:
                break
            found = dialect.functions.get(cls.__name__) if is_ours(cls) else None
            if found is not None:
                return found if "{" in found or "(" in found else f"{found}({{args}})"
            if "function" in cls.__dict__ or "template" in cls.__dict__:
                return None
        return None

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
        given = (function, template, arg_joiner) != (None, None, None) or extra_context
        if not given and type(self).render is not Func.render:
            rendered: tuple[str, list[Any]] = compiler.rendered(self)
            return rendered
        texts: list[str] = []
        params: list[Any] = []
        for arg in self.args:
            text, own = compiler.compile(arg)
            texts.append(text)
            params.extend(own)
        data: dict[str, Any] = {"function": self.function, **self.extra, **extra_context}
        if function is not None:
            data["function"] = function
        joiner = arg_joiner or data.get("arg_joiner", self.arg_joiner)
        data["expressions"] = data["field"] = joiner.join(texts)
        return (template or data.get("template", self.template)) % data, params
