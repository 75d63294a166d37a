"""Indexes over fields and expressions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from dorm.expressions.core import Expression, F, as_reference
from dorm.expressions.predicate import Q
from dorm.sql.node import Output

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

_LONGEST_NAME = 63
_METHODS = ("btree", "hash", "gin", "gist", "brin", "spgist", "bloom")
_FIELD = re.compile(r"-?\w+\Z")
_OPCLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?\Z")
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


class OpClass(Expression):
    """An expression of an index or constraint with its operator class (PostgreSQL; elsewhere the expression alone).

    Args:
        expression: a field's name or an expression.
        name: of the operator class: ``"gin_trgm_ops"``.
    """

    def __init__(self, expression: Any, *, name: str) -> None:
        if not isinstance(name, str) or not _OPCLASS.match(name):
            raise ValueError(f"OpClass takes the name of an operator class, not {name!r}.")
        self.args = (as_reference(expression),)
        self.name = name

    def options(self) -> tuple[Hashable, ...]:
        return (self.name,)

    def infer_output(self) -> Output | None:
        return self.args[0].output

    def sql(self, compiler: Compiler) -> str:
        return self.args[0].sql(compiler)


class _ServerIndex(Index):
    """An index of one of PostgreSQL's methods; its storage parameters are attributes, None for the server's default."""

    parameters: ClassVar[tuple[str, ...]] = ()

    def stored(self) -> dict[str, Any]:
        """Return the storage parameters that were given, by the server's names."""
        return {name: getattr(self, name) for name in self.parameters if getattr(self, name) is not None}

    def options(self) -> str:
        return ", ".join(f"{name} = {_parameter(value)}" for name, value in self.stored().items())

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        kwargs.update({name: getattr(self, name) for name in self.parameters if getattr(self, name) is not None})
        return path, args, kwargs


def _parameter(value: Any) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _number(index: Index, name: str, value: Any) -> Any:
    """Return a storage parameter that is a number."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"{type(index).__name__}.{name} must be None or an integer, not {type(value).__name__}.")
    return value


class BloomIndex(_ServerIndex):
    """An index of signatures, for equality over any of many columns (extension bloom).

    Args:
        length: bits of a signature. columns: bits for each field.
    """

    suffix = method = "bloom"
    parameters = ("length", "columns")

    def __init__(
        self, *expressions: Any, length: int | None = None, columns: Sequence[int] = (), **options: Any
    ) -> None:
        super().__init__(*expressions, **options)
        if not isinstance(columns, (list, tuple)):
            raise ValueError("BloomIndex.columns must be a list or tuple.")
        if len(columns) > len(self.fields):
            raise ValueError("BloomIndex.columns cannot have more values than fields.")
        if not all(isinstance(each, int) and 1 <= each <= 4095 for each in columns):
            raise ValueError("BloomIndex.columns must contain integers from 1 to 4095.")
        if length is not None and not (isinstance(length, int) and 1 <= length <= 4096):
            raise ValueError("BloomIndex.length must be None or an integer from 1 to 4096.")
        self.length = length
        self.columns: list[int] | None = list(columns) or None

    def stored(self) -> dict[str, Any]:
        bits = {f"col{number}": each for number, each in enumerate(self.columns or (), 1)}
        return {**({} if self.length is None else {"length": self.length}), **bits}


class BrinIndex(_ServerIndex):
    """An index of the smallest and largest values of ranges of pages, for large tables in the order of a column.

    Args:
        autosummarize: summarise a range as soon as the next one is begun. pages_per_range: pages of one range.
    """

    suffix = method = "brin"
    parameters = ("autosummarize", "pages_per_range")

    def __init__(
        self,
        *expressions: Any,
        autosummarize: bool | None = None,
        pages_per_range: int | None = None,
        **options: Any,
    ) -> None:
        if pages_per_range is not None and (not isinstance(pages_per_range, int) or pages_per_range <= 0):
            raise ValueError("pages_per_range must be None or a positive integer")
        self.autosummarize = autosummarize
        self.pages_per_range = pages_per_range
        super().__init__(*expressions, **options)


class BTreeIndex(_ServerIndex):
    """A B-tree with its storage parameters.

    Args:
        fillfactor: percentage of a page that is filled. deduplicate_items: keep equal keys once.
    """

    suffix = "btree"
    parameters = ("fillfactor", "deduplicate_items")

    def __init__(
        self,
        *expressions: Any,
        fillfactor: int | None = None,
        deduplicate_items: bool | None = None,
        **options: Any,
    ) -> None:
        self.fillfactor = _number(self, "fillfactor", fillfactor)
        self.deduplicate_items = deduplicate_items
        super().__init__(*expressions, **options)


class GinIndex(_ServerIndex):
    """An inverted index, for arrays, JSON and text search.

    Args:
        fastupdate: new entries wait in a list. gin_pending_list_limit: size of that list in kilobytes.
    """

    suffix = method = "gin"
    parameters = ("fastupdate", "gin_pending_list_limit")

    def __init__(
        self,
        *expressions: Any,
        fastupdate: bool | None = None,
        gin_pending_list_limit: int | None = None,
        **options: Any,
    ) -> None:
        self.fastupdate = fastupdate
        self.gin_pending_list_limit = _number(self, "gin_pending_list_limit", gin_pending_list_limit)
        super().__init__(*expressions, **options)


class GistIndex(_ServerIndex):
    """A generalised search tree, for ranges, geometry and text search.

    Args:
        buffering: how it is built. fillfactor: percentage of a page that is filled.
    """

    suffix = method = "gist"
    parameters = ("buffering", "fillfactor")

    def __init__(
        self, *expressions: Any, buffering: bool | None = None, fillfactor: int | None = None, **options: Any
    ) -> None:
        self.buffering = buffering
        self.fillfactor = _number(self, "fillfactor", fillfactor)
        super().__init__(*expressions, **options)


class HashIndex(_ServerIndex):
    """A hash index, for equality.

    Args:
        fillfactor: percentage of a page that is filled.
    """

    suffix = method = "hash"
    parameters = ("fillfactor",)

    def __init__(self, *expressions: Any, fillfactor: int | None = None, **options: Any) -> None:
        self.fillfactor = _number(self, "fillfactor", fillfactor)
        super().__init__(*expressions, **options)


class SpGistIndex(_ServerIndex):
    """A space-partitioned search tree.

    Args:
        fillfactor: percentage of a page that is filled.
    """

    suffix = method = "spgist"
    parameters = ("fillfactor",)

    def __init__(self, *expressions: Any, fillfactor: int | None = None, **options: Any) -> None:
        self.fillfactor = _number(self, "fillfactor", fillfactor)
        super().__init__(*expressions, **options)


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
