"""Reading: rows, one row, the first, counts, existence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.cache.wanted import CacheSettings, fetched
from dorm.db.connection import Database, connections
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import QueryInPieces
from dorm.db.router import router
from dorm.exceptions import NotSupportedError, TransactionManagementError
from dorm.queryset import build, selects, totals
from dorm.queryset.hydration import Making, hydrated, may_be_made_in_pieces
from dorm.queryset.selects import MOST_NAMED_ROWS

if TYPE_CHECKING:
    from dorm.db.statement import Statement
    from dorm.queryset.known import Owners
    from dorm.queryset.query import Query
    from dorm.queryset.queryset import QuerySet
    from dorm.queryset.selects import Compiled
    from dorm.sql.plan import Plan


def alias_for_read(qs: QuerySet[Any, Any]) -> str:
    """Return the alias that *qs* reads from: its own, else the routers' answer, for writes where rows are locked."""
    if qs._alias is not None:
        return qs._alias
    query = qs._plan.query
    return (router.db_for_read if query.lock is None else router.db_for_write)(query.model, qs._hints)


def reading(qs: QuerySet[Any, Any], locks: bool = True) -> Database:
    """Return the database that *qs* reads from; *locks* tells that its rows will be locked, if it wants that."""
    query, alias = qs._plan.query, qs._alias
    if alias is None:
        # As `alias_for_read` does it: every statement comes by here.
        alias = (router.db_for_read if query.lock is None else router.db_for_write)(query.model, qs._hints)
    if query.aliases and query.aliases != {alias}:
        check_aliases(query.aliases, alias)
    database = connections[alias]
    if locks and query.lock is not None and database.dialect.supports_row_locks and not database.in_block:
        raise TransactionManagementError("select_for_update cannot be used outside of a transaction.")
    return database


def check_aliases(wanted: frozenset[str], alias: str) -> None:
    """Refuse subqueries that were bound to another database than *alias*."""
    others = sorted(wanted - {alias})
    if others:
        raise ValueError(
            f"Subqueries aren't allowed across different databases: the query runs on {alias!r}, its subquery is bound "
            f"to {others[0]!r} by using(). Force the inner query to be evaluated using `list(inner_query)`."
        )


@operation
def rows(
    plan: Plan[Query],
    values: tuple[Any, ...],
    database: Database,
    cache: CacheSettings | None = None,
) -> Operation[list[Any]]:
    """Fetch and hydrate the rows of a plan, from the query cache where *cache* says so."""
    compiled = selects.rows(plan, database.dialect)
    if compiled.empty:
        return []
    statement = compiled.statement(values)
    if statement.template.large and cache is None and may_be_made_in_pieces(compiled):
        return (yield from _in_pieces(compiled, plan, statement, database, None))
    found = yield from fetched(database, statement, plan, cache)
    return hydrated(compiled, plan.query, found, database.alias)


@operation
def _in_pieces(
    compiled: Compiled, plan: Plan[Query], statement: Statement, database: Database, owners: Owners | None
) -> Operation[list[Any]]:
    making = Making(compiled, plan.query, database.alias, owners)
    found = yield from perform(QueryInPieces(database, statement, making))
    return making.whole(found)


@operation
def fetch(qs: QuerySet[Any, Any], owners: Owners | None = None) -> Operation[list[Any]]:
    """Return all rows of *qs*, prefetches done; they are kept on the queryset.

    Args:
        owners: those whom they are given to.
    """
    if qs._rows is None and qs._whole_set:
        qs._rows = yield from qs._of_peers()
    if qs._rows is None:
        database = reading(qs)
        plan = qs._plan
        if owners is None:
            compiled = selects.rows(plan, database.dialect)
        else:
            compiled = selects.given(plan, database.dialect, (owners.column, owners.kept))
        found: list[Any] = []
        if not compiled.empty:
            # As `rows` does it: a generator less.
            statement = compiled.statement(qs._values)
            if statement.template.large and qs._cache is None and may_be_made_in_pieces(compiled):
                found = yield from _in_pieces(compiled, plan, statement, database, owners)
            else:
                found = yield from fetched(database, statement, plan, qs._cache)
                found = hydrated(compiled, plan.query, found, database.alias, owners)
            if owners is not None:
                owners.settle(found)
        if found and qs._follows:
            yield from qs._prefetching(found, database.alias)
        qs._rows = found
    return qs._rows


@operation
def get(qs: QuerySet[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation[Any]:
    """Return the one row that matches."""
    plan, values = qs._plan, qs._values
    if args or kwargs:
        combined = plan.query.combined
        if combined is not None:
            raise NotSupportedError(
                f"Calling QuerySet.get(...) with filters after {combined.operator}() is not supported."
            )
        plan, values = build.filtered(plan, values, args, kwargs)
    database = reading(qs)
    compiled = selects.single(plan, database.dialect)
    found: list[Any] = []
    if not compiled.empty:
        # As `rows` does it: a generator less is a twentieth of a point read.
        found = yield from fetched(database, compiled.statement(values), plan, qs._cache)
        found = hydrated(compiled, plan.query, found, database.alias)
    if len(found) == 1:
        if qs._follows:
            yield from qs._prefetching(found, database.alias)
        return found[0]
    model = plan.query.model
    names = ", ".join([*map(repr, args), *kwargs]) or "no condition"
    if not found:
        raise model.DoesNotExist(f"{model.__name__} matching query does not exist ({names}).")
    number = str(len(found)) if len(found) <= MOST_NAMED_ROWS else f"more than {MOST_NAMED_ROWS}"
    raise model.MultipleObjectsReturned(
        f"get() returned more than one {model.__name__} -- it returned {number}! ({names})"
    )


@operation
def first(qs: QuerySet[Any, Any], how: str) -> Operation[Any]:
    """Return the first (or last) row in the order of *qs*, by key when it has none; None when there is no row."""
    if qs._rows is not None and (qs._plan.query.is_ordered or not qs._rows):
        return (qs._rows[0 if how == "first" else -1]) if qs._rows else None
    plan, values = qs._plan, qs._values
    if plan.query.is_sliced:
        if how == "last":
            raise TypeError("Cannot reverse a query once a slice has been taken.")
        plan, values = build.sliced(plan, values, None, 1)
    else:
        plan = build.at_most_one(plan, how)
    database = reading(qs)
    found = yield from rows(plan, values, database, qs._cache)
    if found and qs._follows:
        yield from qs._prefetching(found, database.alias)
    return found[0] if found else None


@operation
def at(qs: QuerySet[Any, Any], index: int) -> Operation[Any]:
    """Return the row at *index*."""
    plan, values = build.sliced(qs._plan, qs._values, index, index + 1)
    database = reading(qs)
    found = yield from rows(plan, values, database, qs._cache)
    if not found:
        raise IndexError(f"QuerySet index out of range: {index}")
    if qs._follows:
        yield from qs._prefetching(found, database.alias)
    return found[0]


@operation
def count(qs: QuerySet[Any, Any]) -> Operation[int]:
    """Return the number of rows."""
    if qs._rows is not None:
        return len(qs._rows)
    database = reading(qs, locks=False)
    compiled = totals.counted(qs._plan, database.dialect)
    if compiled.empty:
        return 0
    found = yield from fetched(database, compiled.statement(qs._values), qs._plan, qs._cache)
    number: int = found[0][0]
    return number


@operation
def exists(qs: QuerySet[Any, Any]) -> Operation[bool]:
    """Return whether there is any row."""
    if qs._rows is not None:
        return bool(qs._rows)
    database = reading(qs)
    compiled = totals.existing(qs._plan, database.dialect)
    if compiled.empty:
        return False
    found = yield from fetched(database, compiled.statement(qs._values), qs._plan, qs._cache)
    return bool(found)


@operation
def in_bulk(qs: QuerySet[Any, Any], ids: list[Any] | None, name: str) -> Operation[dict[Any, Any]]:
    """Return rows by the value of a unique field; long lists are split at the dialect's limit."""
    if qs._plan.query.is_sliced:
        raise TypeError("Cannot use 'limit' or 'offset' with in_bulk().")
    if qs._plan.query.kind != "object":
        raise TypeError("in_bulk() cannot be used with values() or values_list().")
    field = qs.model._meta.pk if name == "pk" else qs.model._meta.get_field(name, where="in_bulk()")
    if not (field.unique or field.primary_key or _is_unique(qs, field)):
        raise ValueError(f"in_bulk()'s field_name must be a unique field but {name!r} isn't.")
    if ids is None:
        return {getattr(row, field.attname): row for row in (yield from fetch(qs._clone()))}
    ids = list(dict.fromkeys(ids))
    found: dict[Any, Any] = {}
    most = reading(qs).dialect.max_parameters // 2
    for start in range(0, len(ids), most):
        part = qs.filter(**{f"{field.name}__in": ids[start : start + most]})
        for row in (yield from fetch(part)):
            found[getattr(row, field.attname)] = row
    return found


def _is_unique(qs: QuerySet[Any, Any], field: Any) -> bool:
    """True when each value of *field* is that of one row: by a constraint, or by DISTINCT ON."""
    meta, on = qs.model._meta, qs._plan.query.distinct_on
    for constraint in getattr(meta, "constraints", ()):
        if tuple(getattr(constraint, "fields", ())) == (field.name,) and getattr(constraint, "condition", 0) is None:
            return True
    return len(on) == 1 and (meta.pk if on[0] == "pk" else meta.find(on[0])) is field
