"""Indexes over fields and expressions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from dorm.expressions.core import F
from dorm.expressions.predicate import Q

_LONGEST_NAME = 63
_METHODS = ("btree", "hash", "gin", "gist", "brin", "spgist", "bloom")
_FIELD = re.compile(r"-?\w+\Z")
_CALL = re.compile(r"-?\w+\(\s*\w+\s*\)\Z")


class Index:
    """An index over fields, or over expressions.

    Args:
        expressions: expressions in place of *fields*; the index needs a name then.
        fields: names of fields; ``-name`` is descending, ``"LOWER(name)"`` is the function of a field. A list of names
            given by position is taken as *fields*.
        name: at most 63 characters; made from table and columns when not given, the same each time. ``%(app_label)s``
            and ``%(class)s`` are filled in for abstract models.
        unique: refuse equal rows.
        method: ``"btree"``, ``"hash"``, ``"gin"``, ``"gist"``, ``"brin"``, ``"spgist"`` or ``"bloom"``.
        condition: a `Q`: only rows that fulfil it are in the index.
        opclasses: operator class for each field. include: names of fields kept beside the key.
        db_tablespace: tablespace of the index.
    Where a backend lacks methods, operator classes, INCLUDE or tablespaces they are left out.
    """

    suffix: ClassVar[str] = "idx"
    max_name_length: ClassVar[int] = _LONGEST_NAME
    method: str = "btree"

    def __init__(
        self,
        *expressions: Any,
        fields: Iterable[str] = (),
        name: str | None = None,
        unique: bool = False,
        method: str | None = None,
        condition: Q | None = None,
        opclasses: Sequence[str] = (),
        include: Sequence[str] | None = None,
        db_tablespace: str | None = None,
    ) -> None:
        if expressions and isinstance(expressions[0], (list, tuple)):
            fields, *rest = expressions
            expressions = ()
            given: tuple[Any, ...] = (*rest, *(name, unique)[len(rest) :])
            name, unique = given[0], given[1]
        elif len(expressions) == 1 and isinstance(expressions[0], str) and not fields:
            fields, expressions = [expressions[0]], ()
        for names, what in ((fields, "fields"), (opclasses, "opclasses"), (include or (), "include")):
            if not isinstance(names, (list, tuple)):
                raise ValueError(f"Index.{what} must be a list or tuple.")
        self.expressions: tuple[Any, ...] = tuple(F(each) if isinstance(each, str) else each for each in expressions)
        self.fields: list[str] = list(fields)
        self.name = name
        self.unique = unique
        if method is not None:
            self.method = method.lower()
        self.condition = condition
        self.opclasses = tuple(opclasses)
        self.include = tuple(include or ())
        self.db_tablespace = db_tablespace
        self._check_arguments()

    def _check_arguments(self) -> None:
        if not self.expressions and not self.fields:
            raise ValueError("At least one field or expression is required to define an index.")
        if self.expressions and self.fields:
            raise ValueError("Index.fields and expressions are mutually exclusive.")
        if not all(isinstance(name, str) and (_FIELD.match(name) or _CALL.match(name)) for name in self.fields):
            raise ValueError("Index.fields must contain only strings with field names.")
        if not isinstance(self.condition, (type(None), Q)):
            raise ValueError("Index.condition must be a Q instance.")
        for given, what in (
            (self.expressions, "An index must be named to use expressions."),
            (self.opclasses, "An index must be named to use opclasses."),
            (self.condition, "An index must be named to use condition."),
            (self.include, "A covering index must be named."),
        ):
            if given and not self.name:
                raise ValueError(what)
        if self.expressions and self.opclasses:
            raise ValueError("Index.opclasses cannot be used with expressions.")
        if self.opclasses and len(self.fields) != len(self.opclasses):
            raise ValueError("Index.fields and Index.opclasses must have the same number of elements.")
        if self.method not in _METHODS:
            raise ValueError(f"there is no index method {self.method!r}: take one of {', '.join(_METHODS)}.")
        if self.name is not None:
            self._check_name(self.name)

    def _check_name(self, name: str) -> None:
        if len(name) > self.max_name_length:
            raise ValueError(f"Index names cannot be longer than {self.max_name_length} characters: {name!r}")
        if name[0] == "_" or name[0].isdigit():
            raise ValueError(f"Index names cannot start with an underscore or a number: {name!r}")

    @property
    def contains_expressions(self) -> bool:
        """True when it is about expressions."""
        return bool(self.expressions)

    @property
    def fields_orders(self) -> list[tuple[str, str]]:
        """Names of the fields and their order: "" or "DESC"."""
        return [(name.removeprefix("-"), "DESC" if name.startswith("-") else "") for name in self.fields]

    def name_for(self, table: str, columns: Iterable[str]) -> str:
        """Return the name of this index on *table*."""
        return self.name or automatic_name(table, columns, "uniq" if self.unique else self.suffix)

    def set_name_with_model(self, model: Any) -> None:
        """Take the name that this index has on the table of *model*."""
        columns = [f"{order and '-'}{_column(model, name)}" for name, order in self.fields_orders]
        self.name = self.name_for(model._meta.db_table, columns)

    def options(self) -> str:
        """Return the storage parameters of the index as SQL text; for subclasses."""
        return ""

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return import path, arguments and keywords from which an equal index can be made."""
        kwargs: dict[str, Any] = {"name": self.name} if self.name else {}
        for option in ("fields", "unique", "condition", "opclasses", "include", "db_tablespace"):
            if getattr(self, option):
                kwargs[option] = getattr(self, option)
        if self.method != type(self).method:
            kwargs["method"] = self.method
        return f"{type(self).__module__}.{type(self).__qualname__}", self.expressions, kwargs

    def clone(self) -> Self:
        """Return an equal index."""
        _, args, kwargs = self.deconstruct()
        return type(self)(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Index):
            return NotImplemented
        return self.deconstruct() == other.deconstruct()

    def __hash__(self) -> int:
        return hash((type(self), self.name, *self.fields))

    def __repr__(self) -> str:
        _, args, kwargs = self.deconstruct()
        shown = [*map(repr, args), *[f"{name}={value!r}" for name, value in kwargs.items()]]
        return f"<{type(self).__qualname__}: {' '.join(shown)}>"


def _column(model: Any, name: str) -> str:
    field = model._meta.find(name)
    return field.column if field is not None else name


def automatic_name(table: str, columns: Iterable[str], suffix: str) -> str:
    """Return a name that is stable, at most 63 characters, and unique for these columns of this table."""
    names = list(columns)
    digest = hashlib.blake2b("\0".join([table, *names, suffix]).encode(), digest_size=4).hexdigest()
    plain = "_".join([table, *[re.sub(r"\W+", "_", name.removeprefix("-")).strip("_") for name in names]])
    tail = f"_{digest}_{suffix}"
    return plain[: _LONGEST_NAME - len(tail)] + tail
