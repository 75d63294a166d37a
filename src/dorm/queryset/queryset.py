"""QuerySet, and the methods it shares with managers. Each method is its signature, its promise and one line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from dorm.cache.wanted import handed_down
from dorm.conf.fetch_modes import FetchMode
from dorm.db.connection import connections
from dorm.db.operation import Operation, arun, run
from dorm.exceptions import InvalidValue
from dorm.expressions.predicate import Q
from dorm.queryset import build, late, merge, ops, parts, selects, to_load
from dorm.queryset.asking import Asking
from dorm.queryset.building import Building
from dorm.queryset.combine import refuse
from dorm.queryset.known import Parent
from dorm.queryset.ops import fetch
from dorm.queryset.prefetch import Prefetch, prefetch, prefetch_lookups
from dorm.queryset.writing import Writing
from dorm.sql.node import Literals, Node, Output, Part, QueryLike

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Self

    from typing_extensions import TypeVar as DefaultingTypeVar

    from dorm.cache.wanted import CacheSettings
    from dorm.queryset.query import Kind, Query
    from dorm.sql.plan import Plan

    M = DefaultingTypeVar("M", default=Any)
    R = DefaultingTypeVar("R", default=M)
else:
    M = TypeVar("M")
    R = TypeVar("R")

_SHOWN = 20
_new = object.__new__
_CHUNK = 2_000


class Queryable(Building[M, R], Asking[M, R], Writing[M, R], Generic[M, R]):
    """Every public query method; `QuerySet` and `Manager` differ in what they start from.

    Type parameters: the model, and what a row becomes (the model, or a dict or tuple after ``values``).
    """

    if not TYPE_CHECKING:
        # One parameter suffices at run time too: QuerySet[Author].
        @classmethod
        def __class_getitem__(cls, parameters):
            return cls

    __slots__ = ()
    _base_create: ClassVar[tuple[Any, Any]]

    def _queryset(self) -> QuerySet[M, R]:
        """Return the queryset the methods work on."""
        raise NotImplementedError

    # -- build ---------------------------------------------------------------------------------------------------
    def all(self) -> QuerySet[M, R]:
        """Return a copy that has fetched nothing yet."""
        return self._queryset()._clone()

    def none(self) -> QuerySet[M, R]:
        """Return a queryset without rows; it sends nothing."""
        qs = self._queryset()
        return qs._with(build.nothing(qs._plan), qs._values)

    def filter(self, *args: Q | Node, **kwargs: Any) -> QuerySet[M, R]:
        """Keep the rows that meet all conditions.

        Raises: FieldError: a name or lookup that does not exist. InvalidValue: a value its field cannot take.
        """
        qs = self._queryset()
        plan, values = build.filtered(qs._plan, qs._values, args, kwargs)
        return qs._with(plan, values)

    def exclude(self, *args: Q | Node, **kwargs: Any) -> QuerySet[M, R]:
        """Drop the rows that meet all conditions together; rows where one is NULL are kept."""
        qs = self._queryset()
        plan, values = build.filtered(qs._plan, qs._values, args, kwargs, negated=True)
        return qs._with(plan, values)

    def order_by(self, *keys: str | Node) -> QuerySet[M, R]:
        """Order by names (``-name`` descending, ``?`` at random), paths and expressions; nothing clears the order."""
        qs = self._queryset()
        plan, values = build.ordered(qs._plan, qs._values, keys)
        return qs._with(plan, values)

    def reverse(self) -> QuerySet[M, R]:
        """Turn the order round."""
        qs = self._queryset()
        return qs._with(build.reversed_(qs._plan), qs._values)

    def distinct(self, *names: str) -> QuerySet[M, R]:
        """Drop equal rows; with names keep the first row of each (DISTINCT ON, where the dialect has it)."""
        qs = self._queryset()
        return qs._with(build.distinct(qs._plan, names), qs._values)

    def annotate(self, *args: Any, **expressions: Any) -> QuerySet[M, R]:
        """Add computed columns; an aggregate groups by the row, or by the columns of a preceding ``values``."""
        qs = self._queryset()
        named = ops.aggregate.named(args, expressions)
        return qs._with(*build.annotated(qs._plan, qs._values, named))

    def alias(self, *args: Any, **expressions: Any) -> QuerySet[M, R]:
        """As `annotate`, for use in further conditions only: the columns are not selected."""
        qs = self._queryset()
        named = ops.aggregate.named(args, expressions)
        return qs._with(*build.annotated(qs._plan, qs._values, named, hidden=True))

    def values(self, *names: str, **expressions: Any) -> QuerySet[M, dict[str, Any]]:
        """Give dicts of these columns (paths allowed; all columns and annotations when none is named)."""
        qs = self._queryset()
        plan, bound = build.valued(qs._plan, qs._values, "dict", names, expressions)
        changed = qs._with(plan, bound)
        return changed  # type: ignore[return-value]  # the row type changes here

    def values_list(self, *names: str | Node, flat: bool = False, named: bool = False) -> QuerySet[M, Any]:
        """Give tuples of these columns; *flat* gives the only column's values, *named* gives named tuples."""
        if flat and named:
            raise TypeError("'flat' and 'named' can't be used together.")
        qs = self._queryset()
        kind: Kind = "flat" if flat else "named" if named else "tuple"
        plan, values = build.valued(qs._plan, qs._values, kind, names, {})
        return qs._with(plan, values)  # the row type changes here

    def select_related(self, *paths: str | None) -> QuerySet[M, R]:
        """Load these foreign keys' objects with the same statement; None clears, nothing means all required ones."""
        qs = self._queryset()
        return qs._with(to_load.related(qs._plan, paths), qs._values)

    def prefetch_related(self, *lookups: str | Prefetch | None) -> QuerySet[M, R]:
        """Load these relations with one statement each once the rows are there; None clears."""
        qs = self._queryset()
        refuse(qs._plan.query, "prefetch_related")
        changed = qs._with(qs._plan, qs._values)
        changed._prefetch = () if lookups == (None,) else (*qs._prefetch, *prefetch_lookups(qs, lookups))
        return changed

    def only(self, *names: str) -> QuerySet[M, R]:
        """Load these columns (and the key) now, the others when they are read."""
        qs = self._queryset()
        return qs._with(to_load.loading(qs._plan, names, only=True), qs._values)

    def defer(self, *names: str | None) -> QuerySet[M, R]:
        """Load all columns but these; None loads all again."""
        qs = self._queryset()
        if names == (None,):
            return qs._with(to_load.loading_all(qs._plan), qs._values)
        return qs._with(to_load.loading(qs._plan, names, only=False), qs._values)

    def fetch_mode(self, mode: FetchMode | str) -> QuerySet[M, R]:
        """Say what happens when something that was not loaded is read from these rows.

        Args:
            mode: `FETCH_ONE` loads it for that row, `FETCH_PEERS` for all rows of the fetch by one statement (asked for
                here, also the sets of related managers), `FETCH_RAISE` raises `FieldFetchBlocked`. The setting
                ``DEFAULT_FETCH_MODE`` decides where nothing is said.
        """
        qs = self._queryset()
        return qs._with(to_load.fetching(qs._plan, FetchMode(mode)), qs._values)

    def using(self, alias: str | None) -> QuerySet[M, R]:
        """Run on the database *alias*."""
        qs = self._queryset()
        changed = qs._with(qs._plan, qs._values)
        changed._alias = alias
        return changed

    # -- fetch ---------------------------------------------------------------------------------------------------
    def get(self, *args: Q | Node, **kwargs: Any) -> R:
        """Return the one row that matches.

        Raises: Model.DoesNotExist, Model.MultipleObjectsReturned.
        """
        row: R = run(fetch.get(self._queryset(), args, kwargs))
        return row

    async def aget(self, *args: Q | Node, **kwargs: Any) -> R:
        """Async twin of `get`."""
        return await arun(fetch.get(self._queryset(), args, kwargs))

    def first(self) -> R | None:
        """Return the first row in order (by key when there is none), or None."""
        row: R | None = run(fetch.first(self._queryset(), "first"))
        return row

    async def afirst(self) -> R | None:
        """Async twin of `first`."""
        return await arun(fetch.first(self._queryset(), "first"))

    def last(self) -> R | None:
        """Return the last row in order (by key when there is none), or None."""
        row: R | None = run(fetch.first(self._queryset(), "last"))
        return row

    async def alast(self) -> R | None:
        """Async twin of `last`."""
        return await arun(fetch.first(self._queryset(), "last"))

    def count(self) -> int:
        """Return the number of rows."""
        return run(fetch.count(self._queryset()))

    async def acount(self) -> int:
        """Async twin of `count`."""
        return await arun(fetch.count(self._queryset()))

    def exists(self) -> bool:
        """Return whether there is any row."""
        return run(fetch.exists(self._queryset()))

    async def aexists(self) -> bool:
        """Async twin of `exists`."""
        return await arun(fetch.exists(self._queryset()))

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return aggregates over all rows by name."""
        return run(ops.aggregate.aggregate(self._queryset(), args, kwargs))

    async def aaggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Async twin of `aggregate`."""
        return await arun(ops.aggregate.aggregate(self._queryset(), args, kwargs))

    def in_bulk(self, id_list: Iterable[Any] | None = None, field_name: str = "pk") -> dict[Any, R]:
        """Return rows by the value of a unique field; all rows when no list is given."""
        return run(fetch.in_bulk(self._queryset(), _listed(id_list), field_name))

    async def ain_bulk(self, id_list: Iterable[Any] | None = None, field_name: str = "pk") -> dict[Any, R]:
        """Async twin of `in_bulk`."""
        return await arun(fetch.in_bulk(self._queryset(), _listed(id_list), field_name))

    # -- stream --------------------------------------------------------------------------------------------------
    def iterator(self, chunk_size: int | None = _CHUNK) -> Iterator[R]:
        """Give the rows one by one, *chunk_size* in memory at a time; nothing is kept on the queryset.

        A connection is busy with it until the iterator ends or is closed.
        """
        return _iterate(self._queryset(), _positive(chunk_size))

    def aiterator(self, chunk_size: int | None = _CHUNK) -> AsyncIterator[R]:
        """Async twin of `iterator`."""
        return _aiterate(self._queryset(), _positive(chunk_size))

    # -- inspect -------------------------------------------------------------------------------------------------
    def sql(self, alias: str | None = None) -> tuple[str, tuple[Any, ...]]:
        """Return the SELECT of these rows and its parameters, for the database it would run on; nothing is sent."""
        qs = self._queryset()
        database = connections[alias] if alias is not None else fetch.reading(qs, locks=False)
        compiled = selects.rows(qs._plan, database.dialect)
        return compiled.template.sql, compiled.parameters(qs._values)


Queryable._base_create = (Queryable.create, Queryable.acreate)


class QuerySet(Queryable[M, R], QueryLike, Generic[M, R]):
    """Rows of a model: a plan and its values. Building one sends nothing; rows are fetched once, when asked for."""

    __slots__ = ("_alias", "_cache", "_hints", "_pending", "_plan", "_prefetch", "_rows", "_values")

    _plan: Plan[Query]
    _values: tuple[Any, ...]
    _pending: tuple[Any, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        ops.announce.guard_twins(cls, QuerySet, ("create", "update", "delete"))

    def __init__(
        self,
        model: Any = None,
        query: Plan[Query] | None = None,
        using: str | None = None,
        hints: Mapping[str, Any] | None = None,
    ) -> None:
        self._plan = model._meta.plan if query is None else query
        self._values = ()
        self._alias = using
        self._hints = hints
        self._prefetch: tuple[str | Prefetch, ...] = ()
        self._cache: CacheSettings | None = None
        self._rows: list[Any] | None = None

    @classmethod
    def as_manager(cls) -> Any:
        """Return a manager whose querysets are of this class and that has their methods."""
        from dorm.queryset.manager import Manager  # it stands on this module

        made: Manager[Any] = Manager.from_queryset(cls)()
        made._built_with_asmanager = True
        return made

    # -- copies --------------------------------------------------------------------------------------------------
    if not TYPE_CHECKING:

        def __getattr__(self, name):
            # The slots are empty: prefetched rows come without a plan, which is made when somebody goes on from it.
            if name == "_alias":
                self._alias = alias = self._pending[0]._alias()
                return alias
            if name in ("_plan", "_values", "_hints"):
                manager, given = self._pending
                made = manager.unfetched(given)
                self._plan, self._values, self._hints = made._plan, made._values, made._hints
                return getattr(made, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _queryset(self) -> QuerySet[M, R]:
        return self

    def _with(self, plan: Plan[Query], values: tuple[Any, ...]) -> Self:
        """Return a queryset like this one with another plan."""
        new = _new(self.__class__)
        new._plan = plan
        new._values = values
        new._alias = self._alias
        new._hints = self._hints
        new._prefetch = self._prefetch
        new._cache = self._cache
        new._rows = None
        return new

    def _clone(self) -> Self:
        """Return a copy that has fetched nothing."""
        return self._with(self._plan, self._values)

    def _filled(self, rows: list[Any] | None) -> Self:
        """Take *rows* as this queryset's result, when there are any."""
        if rows is not None:
            self._rows = rows
        return self

    @classmethod
    def _prefetched(cls, rows: list[Any], manager: Any, given: QuerySet[Any, Any] | None) -> Self:
        """Return a queryset that has its rows; *manager* tells the rest, from *given*, when it is asked for."""
        made = object.__new__(cls)
        made._pending = manager, given
        made._prefetch = () if given is None else given._prefetch
        made._cache = None
        made._rows = rows
        return made

    def __reduce__(self) -> Any:
        """Pickle the rows; what is unpickled has them, and further conditions choose among them by their keys."""
        from dorm.queryset.pickling import pickled, restored

        return restored, (type(self), *pickled(self))

    @property
    def model(self) -> Any:
        """The model whose rows these are."""
        return self._plan.query.model

    @property
    def db(self) -> str:
        """Alias that these rows are read from."""
        return fetch.alias_for_read(self)

    @property
    def ordered(self) -> bool:
        """True when the rows come in an order that somebody asked for."""
        return self._plan.query.is_ordered or self._plan.query.empty

    # -- rows ----------------------------------------------------------------------------------------------------
    def __iter__(self) -> Iterator[R]:
        return iter(run(fetch.fetch(self)) if self._rows is None else self._rows)

    async def __aiter__(self) -> AsyncIterator[R]:
        for row in await arun(fetch.fetch(self)) if self._rows is None else self._rows:
            yield row

    def __await__(self) -> Generator[Any, None, list[R]]:
        return arun(fetch.fetch(self)).__await__()

    def __len__(self) -> int:
        return len(run(fetch.fetch(self)) if self._rows is None else self._rows)

    def __bool__(self) -> bool:
        return bool(run(fetch.fetch(self)) if self._rows is None else self._rows)

    def __contains__(self, item: object) -> bool:
        return item in run(fetch.fetch(self))

    @overload
    def __getitem__(self, key: int) -> R: ...
    @overload
    def __getitem__(self, key: slice) -> QuerySet[M, R]: ...
    def __getitem__(self, key: int | slice) -> Any:
        if isinstance(key, slice):
            if self._rows is not None:
                return self._rows[key]
            plan, values = build.sliced(self._plan, self._values, key.start, key.stop)
            part = self._with(plan, values)
            return part if key.step is None else list(part)[:: key.step]
        if not isinstance(key, int):
            raise TypeError(f"QuerySet indices must be integers or slices, not {type(key).__name__}.")
        if key < 0:
            raise ValueError("Negative indexing is not supported.")
        return self._rows[key] if self._rows is not None else run(fetch.at(self, key))

    def __repr__(self) -> str:
        shown: list[Any] = list(self._rows[: _SHOWN + 1] if self._rows is not None else self[: _SHOWN + 1])
        if len(shown) > _SHOWN:
            shown[-1] = "...(remaining elements truncated)..."
        return f"<{type(self).__name__} {shown!r}>"

    def __and__(self, other: QuerySet[M, R]) -> QuerySet[M, R]:
        """Return the rows that meet the conditions of both."""
        return merge.merged(self, other, "AND")

    def __or__(self, other: QuerySet[M, R]) -> QuerySet[M, R]:
        """Return the rows that meet the conditions of either."""
        return merge.merged(self, other, "OR")

    def __xor__(self, other: QuerySet[M, R]) -> QuerySet[M, R]:
        """Return the rows that meet the conditions of one of the two."""
        return merge.merged(self, other, "XOR")

    @property
    def query(self) -> selects.Shown:
        """The SELECT of these rows: ``str(qs.query)`` shows it with its values."""
        return selects.Shown(self._plan, self._values, fetch.reading(self, locks=False).dialect)

    @query.setter
    def query(self, query: selects.Shown) -> None:
        """Ask for what *query* (of this queryset, of another, or unpickled) asks for; rows that are there go."""
        if not isinstance(query, selects.Shown):
            raise TypeError(f"query takes the query of a queryset, not {type(query).__name__}.")
        self._plan, self._values, self._rows = query.plan, query.values, None

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete all rows; return how many, in all and by model label."""
        return run(ops.delete.delete(self))

    async def adelete(self) -> tuple[int, dict[str, int]]:
        """Async twin of `delete`."""
        return await arun(ops.delete.delete(self))

    # -- as part of another query --------------------------------------------------------------------------------
    def query_key(self, values: Literals) -> Hashable:
        values.extend(self._values)
        return (QuerySet, self._plan, self._alias, self.gives_one)

    def as_part(self, width: int, ordered: bool = False) -> Part:
        if ordered and self._plan.query.kind == "object":
            return self.values("pk").as_part(width, ordered)
        return parts.part(self._plan, self._alias, width, ordered)

    @property
    def width(self) -> int:
        query = self._plan.query
        return parts.width_of(query)

    @property
    def column_output(self) -> Output | None:
        return parts.output_of(self._plan.query)

    @property
    def gives_one(self) -> bool:
        query = self._plan.query
        return query.empty or (query.limit is not None and self._values[query.limit] == 1)

    def selecting(self, field: Any) -> QuerySet[Any, Any]:
        query = self._plan.query
        if query.kind != "object":
            return self
        if not issubclass(query.model, field.model) and not issubclass(field.model, query.model):
            wanted, got = field.model.__name__, query.model.__name__
            raise InvalidValue(f'Cannot use QuerySet for "{got}": Use a QuerySet for "{wanted}".')
        if field.is_composite:
            return self.values(*field.attnames)
        return self if field.primary_key else self.values(field.attname)

    @property
    def _whole_set(self) -> bool:
        """True for all rows of a related manager whose instance loads them for its peers too."""
        hints = self._hints
        return isinstance(hints, Parent) and hints.whole is self._plan and not self._prefetch

    def _of_peers(self) -> Operation[list[Any] | None]:
        """Load these rows for the peers of the instance as well; None where it has none."""
        assert isinstance(self._hints, Parent), "no related manager"
        return late.whole_set(self._hints["instance"], self._hints.loader)

    @property
    def _follows(self) -> bool:
        """True when something is done to rows once they are there."""
        return bool(self._prefetch) or self._hints is not None

    def _prefetching(self, rows: Sequence[Any], alias: str) -> Operation[None]:
        """Load what `prefetch_related` asked for; rows of a related manager get their parent."""
        is_object = self._plan.query.kind == "object"
        if is_object and isinstance(self._hints, Parent):
            self._hints.adopt(rows)
        if not self._prefetch or not is_object:
            # As in Django, what values() gives has no relations to put anything on.
            return
        loading = prefetch(rows, self._prefetch, alias)
        yield from loading if self._cache is None else handed_down(self._cache, loading)


class _Combined(type):
    """Makes every queryset that was combined an instance, whatever class of querysets it is of."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, QuerySet) and instance._plan.query.combined is not None


class CombinedQuerySet(QuerySet[M, R], metaclass=_Combined):
    """What `union`, `intersection` and `difference` return: a queryset that can be ordered, sliced, counted and read.

    For ``isinstance`` only: the object keeps the class of the queryset it was made from.
    """

    __slots__ = ()


def _iterate(qs: QuerySet[Any, T], chunk_size: int) -> Iterator[T]:
    opened = run(ops.stream.opened(qs, chunk_size))
    if opened is None:
        return
    try:
        while rows := run(ops.stream.chunk(opened)):
            yield from rows
    finally:
        run(ops.stream.closed(opened))


async def _aiterate(qs: QuerySet[Any, T], chunk_size: int) -> AsyncIterator[T]:
    opened = await arun(ops.stream.opened(qs, chunk_size))
    if opened is None:
        return
    try:
        while rows := await arun(ops.stream.chunk(opened)):
            for row in rows:
                yield row
    finally:
        await arun(ops.stream.closed(opened))


def _positive(chunk_size: int | None) -> int:
    if chunk_size is None:
        return _CHUNK
    if chunk_size <= 0:
        raise ValueError("Chunk size must be strictly positive.")
    return chunk_size


def _listed(ids: Iterable[Any] | None) -> list[Any] | None:
    return None if ids is None else list(ids)
