"""SQL that the user wrote, as operations: what the methods of connections do."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from typing import Any

from dorm.db.block import Block, Lease, current_owner
from dorm.db.ceilings import check_rowcount
from dorm.db.copying import CopyIn, OpenCopy
from dorm.db.database import Database
from dorm.db.dialect import Dialect
from dorm.db.hooks import chain
from dorm.db.lease import CurrentBlock, Release, acquired, begun, given_back
from dorm.db.limits import in_use
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.rawsql import bound
from dorm.db.request import (
    CloseCursor,
    Cursor,
    Execute,
    FetchChunk,
    FetchTable,
    OpenCursor,
    Script,
    StatementRequest,
)
from dorm.db.row import Row, named
from dorm.db.statement import Statement, Table, Template
from dorm.exceptions import NotSupportedError, ProgrammingError, TransactionManagementError


def statement_of(database: Database, sql: str, params: Any) -> Statement:
    """Return the statement for a user's text and parameters, in the dialect's placeholders and values."""
    if not isinstance(sql, str):
        raise ProgrammingError(f"SQL is text, not {type(sql).__name__}.")
    dialect = database.dialect
    text, values = bound(sql, params, dialect)
    return Statement(Template(text, natural=True), driven(dialect, values))


def driven(dialect: Dialect, values: Iterable[Any]) -> tuple[Any, ...]:
    """Return parameters of a user's SQL as the driver takes them."""
    return tuple([_driven(dialect, value) for value in values])


def _driven(dialect: Dialect, value: Any) -> Any:
    cls = type(value)
    if cls in _PLAIN:
        return value
    for each in cls.__mro__:
        convert = dialect.raw_binder(each)
        if convert is not None:
            return convert(value)
    return value


_PLAIN = frozenset((int, str, float, bytes, bool, type(None)))


@operation
def execute(database: Database, sql: str, params: Any) -> Operation[list[Row]]:
    """Send a statement and return its rows."""
    table: Table = yield from perform(FetchTable(database, statement_of(database, sql, params)))
    return named(table.columns, table.rows)


@operation
def execute_write(database: Database, sql: str, params: Any) -> Operation[int]:
    """Send a statement and return the number of rows it touched."""
    return (yield from perform(Execute(database, statement_of(database, sql, params))))


@operation
def execute_returning(database: Database, sql: str, params: Any, columns: Sequence[str]) -> Operation[list[Row]]:
    """Send an INSERT and return *columns* of the new rows."""
    dialect = database.dialect
    if not dialect.supports_returning:
        raise NotSupportedError(f"{database.vendor} has no RETURNING: the columns of new rows are not to be had.")
    if not columns:
        raise ProgrammingError("name at least one column that the INSERT shall give back.")
    listed = ", ".join(dialect.quote(name) for name in columns)
    return (yield from execute(database, f"{sql.rstrip().rstrip(';')} RETURNING {_doubled(listed, params)}", params))


def _doubled(text: str, params: Any) -> str:
    """Return *text* such that it means itself in a statement with parameters."""
    return text if params is None else text.replace("%", "%%")


@operation
def execute_script(database: Database, sql: str) -> Operation[None]:
    """Send text of several statements; inside a block it is part of the transaction."""
    yield from perform(Script(database, Statement(Template(sql, prepare=False, natural=True))))


@operation
def table_exists(database: Database, name: str) -> Operation[bool]:
    """Return whether a table or view of that name can be seen."""
    sql, params = database.dialect.table_exists(name)
    table: Table = yield from perform(FetchTable(database, Statement(Template(sql), params, internal=True)))
    return bool(table.rows)


@operation
def table_columns(database: Database, name: str) -> Operation[list[dict[str, Any]]]:
    """Return the columns of a table in order: name, type, null, default, primary_key."""
    sql, params = database.dialect.table_columns(name)
    table: Table = yield from perform(FetchTable(database, Statement(Template(sql), params, internal=True)))
    keys = ("name", "type", "null", "default", "primary_key")
    return [
        {**dict(zip(keys, row, strict=True)), "null": bool(row[2]), "primary_key": bool(row[4])} for row in table.rows
    ]


# -- streaming ---------------------------------------------------------------------------------------------------


class RawStream:
    """An open SELECT of the user's: its lease and its cursor."""

    __slots__ = ("count", "cursor", "database", "lease")

    def __init__(self, database: Database, lease: Lease, cursor: Cursor) -> None:
        self.database = database
        self.lease = lease
        self.cursor = cursor
        self.count = 0


@operation
def opened(database: Database, sql: str, params: Any, chunk_size: int) -> Operation[RawStream]:
    """Send a SELECT whose rows are read in chunks."""
    if chunk_size <= 0:
        raise ValueError("chunk_size takes a number of rows, at least 1.")
    statement = statement_of(database, sql, params)
    if chain.active:
        chain.admit(StatementRequest(database, statement))
    lease: Lease
    if database.dialect.streams_in_transactions and not database.in_transaction:
        lease = yield from begun(database, Statement(database.dialect.begin(), (), internal=True))
    else:
        lease = yield from acquired(database)
    try:
        cursor = yield from perform(OpenCursor(database, statement, lease.connection, chunk_size), admitted=True)
    except BaseException:
        yield from given_back(database, lease)
        raise
    cursor.asks_ahead = lease.owned
    return RawStream(database, lease, cursor)


@operation
def chunk(stream: RawStream) -> Operation[list[Row]]:
    """Return the next rows; empty at the end."""
    rows = yield FetchChunk(stream.cursor, stream.lease.alias)
    stream.count += len(rows)
    if in_use.ever:
        check_rowcount(stream.count, stream.lease.alias)
    return named(stream.cursor.columns, rows)


@operation
def closed(stream: RawStream) -> Operation[None]:
    """Close the cursor and give the connection back."""
    try:
        yield CloseCursor(stream.cursor)
    finally:
        yield from given_back(stream.database, stream.lease)


# -- COPY --------------------------------------------------------------------------------------------------------


def _copies(database: Database) -> None:
    if not database.dialect.supports_copy:
        raise NotSupportedError(f"{database.vendor} has no COPY: use bulk_create() or execute_streaming().")


@operation
def copy_from(
    database: Database,
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]],
    binary: bool,
) -> Operation[int]:
    """Write *rows* into a table by COPY; return how many."""
    _copies(database)
    quote = database.dialect.quote
    listed = ", ".join(map(quote, columns))
    target = ".".join(map(quote, table.split(".")))
    template = Template(f"COPY {target} ({listed}) FROM STDIN{' (FORMAT BINARY)' if binary else ''}", natural=True)
    types: tuple[str, ...] = ()
    if binary:
        known = {each["name"]: each["type"] for each in (yield from table_columns(database, table))}
        missing = [name for name in columns if name not in known]
        if missing:
            raise ProgrammingError(f"table {table!r} has no column {missing[0]!r}.")
        types = tuple(str(known[name]).partition("(")[0] for name in columns)
    return (yield from perform(CopyIn(database, Statement(template), rows, types)))


@operation
def copy_opened(database: Database, sql: str, params: Any, binary: bool, chunk_size: int) -> Operation[RawStream]:
    """Send a COPY of a query whose rows are read in chunks."""
    _copies(database)
    statement = statement_of(database, sql, params)
    if chain.active:
        chain.admit(StatementRequest(database, statement))
    lease: Lease = yield from acquired(database)
    try:
        request = OpenCopy(database, statement, lease.connection, chunk_size, sql, params, binary)
        cursor = yield from perform(request, admitted=True)
    except BaseException:
        yield from given_back(database, lease)
        raise
    return RawStream(database, lease, cursor)


# -- notifications -----------------------------------------------------------------------------------------------


@operation
def notify(database: Database, channel: str, payload: str) -> Operation[None]:
    """Send a notification; inside a block it goes out with the commit."""
    sql = database.dialect.notify_sql()
    yield from perform(FetchTable(database, Statement(Template(sql, natural=True), (channel, payload))))


# -- one connection for a while ----------------------------------------------------------------------------------


@operation
def held(database: Database) -> Operation[Block]:
    """Keep one connection for the code running now, for what belongs to a session."""
    if not database.dialect.has_sessions:
        raise NotSupportedError(
            f"PGBOUNCER_MODE of {database.alias!r} hands a connection out for a transaction at most: nothing of a "
            "session can be kept on it."
        )
    block: Block | None = yield CurrentBlock(database)
    if block is not None:
        return block
    lease = yield from acquired(database, bare=True)
    block = Block(database.alias, lease.connection, current_owner(), lease.connection.face, kept=True)
    block.kept_lease = lease
    database.enter(block)
    return block


@operation
def let_go(database: Database, block: Block, entered: bool) -> Operation[None]:
    """Give the connection of `held` back."""
    if not entered:
        return
    if block.in_transaction:
        raise TransactionManagementError("a transaction is open on the connection: end it before you let it go.")
    lease, block.kept_lease, block.kept = block.kept_lease, None, False
    database.leave(block)
    if lease is not None:
        yield Release(database, lease)
