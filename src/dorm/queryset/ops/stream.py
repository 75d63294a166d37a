"""Reading in chunks: rows that are never all in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.db.block import Lease
from dorm.db.ceilings import check_rowcount
from dorm.db.connection import Database
from dorm.db.hooks import chain
from dorm.db.lease import acquired, begun, given_back
from dorm.db.limits import in_use
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import CloseCursor, Cursor, FetchChunk, OpenCursor, StatementRequest
from dorm.db.statement import Statement
from dorm.queryset import selects
from dorm.queryset.hydration import hydrated
from dorm.queryset.ops.fetch import reading

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet


class Stream:
    """An open SELECT: its lease, its cursor, and how its rows become results."""

    __slots__ = ("compiled", "count", "cursor", "database", "lease", "qs")

    def __init__(
        self, database: Database, qs: QuerySet[Any, Any], compiled: selects.Compiled, lease: Lease, cursor: Cursor
    ) -> None:
        self.database = database
        self.qs = qs
        self.compiled = compiled
        self.lease = lease
        self.cursor = cursor
        self.count = 0


@operation
def opened(qs: QuerySet[Any, Any], chunk_size: int) -> Operation[Stream | None]:
    """Send the SELECT of *qs*; None when no row can match."""
    database = reading(qs)
    compiled = selects.rows(qs._plan, database.dialect)
    if compiled.empty:
        return None
    statement = compiled.statement(qs._values)
    if chain.active:
        chain.admit(StatementRequest(database, statement))
    lease: Lease
    if database.dialect.streams_in_transactions and not database.in_transaction:
        begin = Statement(database.dialect.begin(read_only=True), (), internal=True)
        lease = yield from begun(database, begin)
    else:
        lease = yield from acquired(database)
    try:
        cursor = yield from perform(OpenCursor(database, statement, lease.connection, chunk_size), admitted=True)
    except BaseException:
        yield from given_back(database, lease)
        raise
    cursor.asks_ahead = lease.owned
    return Stream(database, qs, compiled, lease, cursor)


@operation
def chunk(stream: Stream) -> Operation[list[Any]]:
    """Return the next results, prefetches done; empty at the end."""
    rows = yield FetchChunk(stream.cursor, stream.lease.alias)
    stream.count += len(rows)
    if in_use.ever:
        check_rowcount(stream.count, stream.lease.alias)
    found = hydrated(stream.compiled, stream.qs._plan.query, rows, stream.lease.alias)
    if found and stream.qs._follows:
        yield from stream.qs._prefetching(found, stream.lease.alias)
    return found


@operation
def closed(stream: Stream) -> Operation[None]:
    """Close the cursor and give the connection back."""
    try:
        yield CloseCursor(stream.cursor)
    finally:
        yield from given_back(stream.database, stream.lease)
