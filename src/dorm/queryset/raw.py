"""RawQuerySet: instances from a SELECT that the user wrote."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dorm.db.connection import connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.raw import driven
from dorm.db.rawsql import bound, count_placeholders, placeholders
from dorm.db.request import FetchTable
from dorm.db.router import router
from dorm.db.statement import Statement, Template
from dorm.exceptions import FieldDoesNotExist
from dorm.queryset.prefetch import Prefetch, prefetch

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect

M = TypeVar("M")

_NAMED = re.compile(r"%\((\w+)\)s|%%")


class RawQuery:
    """A SELECT that the user wrote, to look at: as text its values stand in it as literals."""

    def __init__(self, sql: str, params: tuple[Any, ...], dialect: Dialect) -> None:
        self.sql = sql
        self.params = params
        self._dialect = dialect

    def __str__(self) -> str:
        if not self.params:
            return self.sql
        return placeholders(self.sql, lambda number: self._dialect.literal(self.params[number - 1]))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


class RawQuerySet(Generic[M]):
    """Rows of a model by a SELECT of the user's; sent when they are asked for, once.

    The primary key must be among the columns. Fields that are not are loaded when they are read; columns that are no
    fields become attributes.
    """

    def __init__(
        self,
        raw_query: str,
        model: Any = None,
        params: Any = (),
        translations: Mapping[str, str] | None = None,
        using: str | None = None,
    ) -> None:
        self.raw_query = raw_query
        self.model = model
        self.params = params if params is not None else ()
        self.translations = dict(translations or {})
        self._sql, self._bound = _positional(raw_query, self.params)
        self._alias = using
        self._prefetch: tuple[str | Prefetch, ...] = ()
        self._rows: list[Any] | None = None
        self._columns: tuple[str, ...] | None = None

    # -- copies --------------------------------------------------------------------------------------------------
    def _copy(self, using: str | None) -> RawQuerySet[M]:
        made: RawQuerySet[M] = type(self)(self.raw_query, self.model, self.params, self.translations, using)
        made._prefetch = self._prefetch
        return made

    def using(self, alias: str | None) -> RawQuerySet[M]:
        """Run on the database *alias*."""
        return self._copy(alias)

    def prefetch_related(self, *lookups: str | Prefetch | None) -> RawQuerySet[M]:
        """Load these relations with one statement each once the rows are there; None clears."""
        made = self._copy(self._alias)
        given = tuple(lookup for lookup in lookups if lookup is not None)
        made._prefetch = () if lookups == (None,) else (*self._prefetch, *given)
        return made

    # -- what it is ----------------------------------------------------------------------------------------------
    @property
    def db(self) -> str:
        """Alias that these rows are read from."""
        return self._alias if self._alias is not None else router.db_for_read(self.model, None)

    @property
    def columns(self) -> list[str]:
        """Names of the columns of the result; sends the query."""
        run(self._fetch())
        return list(self._columns or ())

    @property
    def query(self) -> RawQuery:
        """The SELECT: ``str(rows.query)`` shows it with its values."""
        return RawQuery(self._sql, self._bound, connections[self.db].dialect)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.query}>"

    # -- rows ----------------------------------------------------------------------------------------------------
    def __iter__(self) -> Iterator[M]:
        return iter(run(self._fetch()))

    async def __aiter__(self) -> AsyncIterator[M]:
        for row in await arun(self._fetch()):
            yield row

    def __await__(self) -> Generator[Any, None, list[M]]:
        return arun(self._fetch()).__await__()

    def iterator(self) -> Iterator[M]:
        """Give the rows, keeping none."""
        return iter(run(self._copy(self._alias)._fetch()))

    async def aiterator(self) -> AsyncIterator[M]:
        """Async twin of `iterator`."""
        for row in await arun(self._copy(self._alias)._fetch()):
            yield row

    def __len__(self) -> int:
        return len(run(self._fetch()))

    def __bool__(self) -> bool:
        return bool(run(self._fetch()))

    def __getitem__(self, key: Any) -> Any:
        return list(self)[key]

    @operation
    def _fetch(self) -> Operation[list[Any]]:
        if self._rows is None:
            database = connections[self.db]
            text, _ = bound(self._sql, self._bound or None, database.dialect)
            template = Template(text, natural=True, model=self.model._meta.label)
            statement = Statement(template, driven(database.dialect, self._bound))
            table = yield from perform(FetchTable(database, statement))
            self._columns = tuple(self.translations.get(name, name) for name in table.columns)
            found = _instances(self.model, self._columns, table.rows, database.dialect, database.alias)
            if self._prefetch and found:
                yield from prefetch(found, self._prefetch, database.alias)
            self._rows = found
        return self._rows


def _positional(sql: str, params: Any) -> tuple[str, tuple[Any, ...]]:
    """Return text with ``%s`` only and the parameters in order; check that their numbers agree."""
    if isinstance(params, Mapping):
        bound: list[Any] = []

        def place(match: re.Match[str]) -> str:
            if match.group() == "%%":
                return "%%"
            if match.group(1) not in params:
                raise ValueError(f"raw() lacks the parameter {match.group(1)!r}.")
            bound.append(params[match.group(1)])
            return "%s"

        return _NAMED.sub(place, sql), tuple(bound)
    if isinstance(params, (str, bytes)) or not isinstance(params, Sequence):
        raise TypeError(f"raw() takes its parameters as a list, tuple or dict, not {type(params).__name__}.")
    expected = count_placeholders(sql)
    if expected != len(params):
        raise ValueError(f"raw() got {len(params)} parameters for {expected} placeholders (%s).")
    return sql, tuple(params)


def _instances(model: Any, columns: tuple[str, ...], rows: list[Any], dialect: Dialect, alias: str) -> list[Any]:
    meta = model._meta
    by_column = {field.column: field for field in meta.fields}
    by_column.update({field.attname: field for field in meta.fields})
    fields = [by_column.get(name) for name in columns]
    if not all(any(field is key for field in fields) for key in meta.pk_fields):
        raise FieldDoesNotExist("Raw query must include the primary key")
    taken = [(position, field, field.load(dialect)) for position, field in enumerate(fields) if field is not None]
    taken.sort(key=lambda each: meta.fields.index(each[1]))
    names = tuple(field.attname for _, field, _ in taken)
    extra = [(position, columns[position]) for position, field in enumerate(fields) if field is None]
    found = []
    for row in rows:
        values = tuple(
            row[position] if load is None or row[position] is None else load(row[position])
            for position, _, load in taken
        )
        instance = model.from_db(alias, names, values)
        for position, name in extra:
            setattr(instance, name, row[position])
        found.append(instance)
    return found
