"""Full-text search and trigrams on PostgreSQL (`dorm.search`); NotSupportedError elsewhere."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from dorm.db.types import SqlType
from dorm.exceptions import NotSupportedError
from dorm.expressions.core import Expression, F, Value, as_reference
from dorm.expressions.func import Func
from dorm.fields import SearchVectorField
from dorm.functions.base import FLOAT_RESULT
from dorm.lookups.registry import by_class
from dorm.lookups.server import is_query, is_vector, search
from dorm.sql.node import TEXT_OUTPUT, Node, Output, TypedOutput

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

SearchType: TypeAlias = Literal["plain", "phrase", "raw", "websearch"]

VECTOR = TypedOutput(SqlType("custom", name="tsvector"))
QUERY = TypedOutput(SqlType("custom", name="tsquery"))
_FUNCTIONS = {
    "plain": "plainto_tsquery",
    "phrase": "phraseto_tsquery",
    "raw": "to_tsquery",
    "websearch": "websearch_to_tsquery",
}
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")


class SearchNotSupported(NotSupportedError, NotImplementedError):
    """Full-text search was asked of a backend that has none."""


def _require(compiler: Compiler, what: str) -> None:
    if not compiler.dialect.supports_server_types:
        raise SearchNotSupported(f"{what} needs PostgreSQL, not {compiler.dialect.display_name}.")


def _checked_config(config: Any) -> Any:
    """Return the name of a text search configuration, or an expression; refuse what could not be one."""
    config = getattr(config, "config", config)
    if config is None or isinstance(config, Node) or (isinstance(config, str) and _NAME.match(config)):
        return config
    raise ValueError(f"config takes the name of a text search configuration, not {config!r}.")


class SearchConfig:
    """The name of a text search configuration, or an expression that gives it."""

    def __init__(self, config: str | Node) -> None:
        self.config = _checked_config(config)


class _Configured(Func):
    """A function of texts and a text search configuration; one that is an expression is the last argument."""

    arity = None

    def __init__(self, *args: Any, config: Any, **extra: Any) -> None:
        self.config = _checked_config(config)
        super().__init__(*args, *([self.config] if isinstance(self.config, Node) else []), **extra)

    @property
    def texts(self) -> tuple[Node, ...]:
        """The arguments without the configuration."""
        return self.args[:-1] if isinstance(self.config, Node) else self.args

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), isinstance(self.config, Node) or self.config)

    def config_sql(self, compiler: Compiler) -> str:
        """Return the configuration as the first argument of a call."""
        if isinstance(self.config, Node):
            return f"({self.args[-1].sql(compiler)})::regconfig, "
        return "" if self.config is None else f"{compiler.dialect.quote_literal(self.config)}::regconfig, "


class SearchVector(_Configured):
    """The words of texts, to be searched: ``SearchVector("title", "body")``; vectors are joined by ``+``.

    Args:
        expressions: field names and expressions; NULL counts as empty.
        config: name of a text search configuration, or an expression that gives it (``F("language")``); None: the
            server's default.
        weight: ``"A"`` (most) to ``"D"``.
    """

    function = "to_tsvector"

    def __init__(self, *expressions: Any, config: Any = "english", weight: Any = None, **extra: Any) -> None:
        if not expressions:
            raise ValueError("SearchVector takes at least one field.")
        weight = getattr(weight, "value", weight)
        if weight is not None and weight not in ("A", "B", "C", "D"):
            raise ValueError(f"weight is one of A, B, C and D, not {weight!r}.")
        super().__init__(*expressions, config=config, **extra)
        self.weight = weight

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.weight)

    def infer_output(self) -> Output | None:
        return VECTOR

    def render(self, compiler: Compiler) -> str:
        _require(compiler, "SearchVector")
        parts = [f"COALESCE(({arg.sql(compiler)})::text, '')" for arg in self.texts]
        words = " || ' ' || ".join(parts)
        text = f"to_tsvector({self.config_sql(compiler)}{words})"
        return text if self.weight is None else f"setweight({text}, '{self.weight}')"

    def __add__(self, other: Any) -> Any:
        return CombinedSearch(self, "||", other, VECTOR)


class SearchQuery(_Configured):
    """What is searched for; queries are combined by ``&``, ``|`` and ``~``.

    Args:
        value: the words. config: text search configuration, as that of `SearchVector`.
        search_type: ``"plain"`` (all words), ``"phrase"``, ``"raw"`` (the server's own syntax), ``"websearch"``.
        invert: find what does not match.

    Raises: ValueError: another *search_type*.
    """

    def __init__(
        self,
        value: Any,
        *,
        config: Any = "english",
        search_type: SearchType = "plain",
        invert: bool = False,
        **extra: Any,
    ) -> None:
        if search_type not in _FUNCTIONS:
            raise ValueError(f"Unknown search_type argument {search_type!r}: take one of {', '.join(_FUNCTIONS)}.")
        super().__init__(value if isinstance(value, Node) else Value(value), config=config, **extra)
        self.search_type: SearchType = search_type
        self.invert = invert

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.search_type, self.invert)

    def infer_output(self) -> Output | None:
        return QUERY

    def render(self, compiler: Compiler) -> str:
        _require(compiler, "SearchQuery")
        value = self.args[0].sql(compiler)
        text = f"{_FUNCTIONS[self.search_type]}({self.config_sql(compiler)}{value})"
        return f"!!({text})" if self.invert else text

    def __and__(self, other: Any) -> Any:
        return CombinedSearch(self, "&&", other, QUERY)

    def __or__(self, other: Any) -> Any:
        return CombinedSearch(self, "||", other, QUERY)

    def __invert__(self) -> Any:
        made = SearchQuery(self.args[0], config=self.config, search_type=self.search_type, invert=not self.invert)
        return made


class CombinedSearch(Expression):
    """Two vectors or two queries joined."""

    def __init__(self, lhs: Any, operator: str, rhs: Any, output: Output) -> None:
        single, kind = (SearchVector, "SearchVector") if output is VECTOR else (SearchQuery, "SearchQuery")
        if not isinstance(rhs, single) and not (isinstance(rhs, (CombinedSearch, _Inverted)) and rhs.output is output):
            raise TypeError(f"{kind} can only be combined with other {kind} instances, got {type(rhs).__name__}.")
        self.args = (lhs, rhs)
        self.operator = operator
        self.output = output

    def options(self) -> tuple[Hashable, ...]:
        return (self.operator,)

    def sql(self, compiler: Compiler) -> str:
        lhs, rhs = (arg.sql(compiler) for arg in self.args)
        return f"({lhs} {self.operator} {rhs})"

    def __add__(self, other: Any) -> Any:
        return CombinedSearch(self, "||", other, VECTOR)

    def __and__(self, other: Any) -> Any:
        return CombinedSearch(self, "&&", other, QUERY)

    def __or__(self, other: Any) -> Any:
        return CombinedSearch(self, "||", other, QUERY)

    def __invert__(self) -> Any:
        return _Inverted(self)


class _Inverted(Expression):
    def __init__(self, arg: Node) -> None:
        self.args = (arg,)
        self.output = QUERY

    def sql(self, compiler: Compiler) -> str:
        return f"!!({self.args[0].sql(compiler)})"

    def __and__(self, other: Any) -> Any:
        return CombinedSearch(self, "&&", other, QUERY)

    def __or__(self, other: Any) -> Any:
        return CombinedSearch(self, "||", other, QUERY)

    def __invert__(self) -> Any:
        return self.args[0]


class SearchRank(Func):
    """How well a vector matches a query: a float.

    Args:
        vector: a `SearchVector`, or a name or expression that is made one. query: a `SearchQuery` or text.
        cover_density: also count how near to one another the words stand.
        weights: four numbers for D, C, B, A.
        normalization: the server's bit mask for the length of documents, a number or an expression.
    """

    arity = None

    def __init__(
        self,
        vector: Any,
        query: Any,
        *,
        cover_density: bool = False,
        weights: Any = None,
        normalization: int | Node | None = None,
        **extra: Any,
    ) -> None:
        wanted = vector if isinstance(vector, (SearchVector, CombinedSearch, F)) else SearchVector(vector)
        asked = query if isinstance(query, Node) else SearchQuery(query)
        computed = [normalization] if isinstance(normalization, Node) else []
        super().__init__(wanted, asked, *computed, **extra)
        self.cover_density = cover_density
        self.weights = tuple(map(float, weights)) if weights is not None else None
        self.normalization = None if normalization is None or computed else int(cast("int", normalization))

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.cover_density, self.weights, self.normalization)

    def infer_output(self) -> Output | None:
        return FLOAT_RESULT

    def render(self, compiler: Compiler) -> str:
        _require(compiler, "SearchRank")
        vector, query, *computed = self.args
        left, right = vector.sql(compiler), query.sql(compiler)
        left = left if is_vector(vector) else f"to_tsvector(COALESCE(({left})::text, ''))"
        right = right if is_query(query) else f"plainto_tsquery({right})"
        weights = f"ARRAY[{', '.join(map(repr, self.weights))}]::real[], " if self.weights is not None else ""
        ending = f", {self.normalization}" if self.normalization is not None else ""
        if computed:
            ending = f", ({computed[0].sql(compiler)})::integer"
        name = "ts_rank_cd" if self.cover_density else "ts_rank"
        return f"{name}({weights}{left}, {right}{ending})::double precision"


_HEADLINE = ("start_sel", "stop_sel", "max_words", "min_words", "short_word", "highlight_all", "max_fragments",
             "fragment_delimiter")  # fmt: skip


class SearchHeadline(_Configured):
    """The parts of a text that match a query, the words marked.

    Args:
        expression: the text. query: a `SearchQuery` or text. config: text search configuration.
        options: ``start_sel``, ``stop_sel``, ``max_words``, ``min_words``, ``short_word``, ``highlight_all``,
            ``max_fragments``, ``fragment_delimiter``: keywords, or a dict under *options*.
    """

    def __init__(
        self, expression: Any, query: Any, *, config: Any = None, options: dict[str, Any] | None = None, **given: Any
    ) -> None:
        wanted = {**(options or {}), **{name: given.pop(name) for name in _HEADLINE if name in given}}
        unknown = set(wanted) - set(_HEADLINE)
        if unknown:
            raise TypeError(f"SearchHeadline has no options {sorted(unknown)}: it takes {', '.join(_HEADLINE)}.")
        asked = query if isinstance(query, Node) else SearchQuery(query)
        chosen = {name: value for name, value in wanted.items() if value is not None}
        args = [as_reference(expression), asked]
        if chosen:
            args.append(Value(", ".join(f"{_camel(name)}={_option(value)}" for name, value in chosen.items())))
        super().__init__(*args, config=config, **given)

    def infer_output(self) -> Output | None:
        return TEXT_OUTPUT

    def render(self, compiler: Compiler) -> str:
        _require(compiler, "SearchHeadline")
        texts = ", ".join(arg.sql(compiler) for arg in self.texts)
        return f"ts_headline({self.config_sql(compiler)}{texts})"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _option(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    # https://www.postgresql.org/docs/current/textsearch-controls.html: quotes are doubled.
    return '"' + str(value).replace('"', '""') + '"'


class _Similarity(Func):
    """A comparison of trigrams (extension pg_trgm): a float from 0 to 1."""

    arity = 2
    operator: str | None = None

    def infer_output(self) -> Output | None:
        return FLOAT_RESULT

    def render(self, compiler: Compiler) -> str:
        _require(compiler, type(self).__name__)
        one, other = (arg.sql(compiler) for arg in self.args)
        call = f"{self.function}({one}, {other})" if self.operator is None else f"({one} {self.operator} {other})"
        return f"{call}::double precision"


def _text(value: Any) -> Node:
    return value if isinstance(value, Node) else Value(value)


class TrigramSimilarity(_Similarity):
    """How similar *expression* and the text *string* are."""

    function = "SIMILARITY"

    def __init__(self, expression: Any, string: Any, **extra: Any) -> None:
        super().__init__(expression, _text(string), **extra)


class TrigramDistance(TrigramSimilarity):
    """1 - `TrigramSimilarity`."""

    operator = "<->"


class TrigramWordSimilarity(_Similarity):
    """How similar the text *string* is to a part of *expression*."""

    function = "WORD_SIMILARITY"

    def __init__(self, string: Any, expression: Any, **extra: Any) -> None:
        super().__init__(_text(string), expression, **extra)


class TrigramWordDistance(TrigramWordSimilarity):
    """1 - `TrigramWordSimilarity`."""

    operator = "<<->"


class TrigramStrictWordSimilarity(TrigramWordSimilarity):
    """How similar the text *string* is to a part of *expression* that begins and ends at words."""

    function = "STRICT_WORD_SIMILARITY"


class TrigramStrictWordDistance(TrigramWordSimilarity):
    """1 - `TrigramStrictWordSimilarity`."""

    operator = "<<<->"


def search_index(table: str, *fields: str, name: str | None = None, config: str = "english") -> str:
    """Return CREATE INDEX (GIN) for searches over columns, to be run by a migration's ``RunSQL``.

    Args:
        table: the table. fields: its columns. name: of the index; default: made of table and columns.
        config: text search configuration.

    Raises: ValueError: a name that is no plain identifier, or no column.
    """
    made = name or f"{table}_{'_'.join(fields)}_search"[:63]
    for identifier in (table, made, *fields):
        if not _NAME.match(identifier) or "." in identifier:
            raise ValueError(f"{identifier!r} is no plain name of a table, column or index.")
    if not fields:
        raise ValueError("search_index takes at least one column.")
    words = " || ' ' || ".join(f"COALESCE(\"{field}\"::text, '')" for field in fields)
    return (
        f'CREATE INDEX "{made}" ON "{table}" USING gin (to_tsvector(\'{_checked_config(config)}\'::regconfig, {words}))'
    )


# A vector "equals" what finds it: filter(search="words").
for _vector in (SearchVector, CombinedSearch):
    by_class.setdefault(_vector, {})["exact"] = search


__all__ = [
    "CombinedSearch", "SearchConfig", "SearchHeadline", "SearchNotSupported", "SearchQuery", "SearchRank",
    "SearchVector", "SearchVectorField", "TrigramDistance", "TrigramSimilarity", "TrigramStrictWordDistance",
    "TrigramStrictWordSimilarity", "TrigramWordDistance", "TrigramWordSimilarity", "search_index",
]  # fmt: skip
