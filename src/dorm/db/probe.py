"""Looking at a database from the middle of a user's work: one statement that leaves nothing behind."""

from __future__ import annotations

from dorm.db.block import Block, Lease
from dorm.db.database import Database
from dorm.db.lease import Acquire, Begin, CurrentBlock, Release, Rollback
from dorm.db.limits import deadline
from dorm.db.operation import Operation, operation
from dorm.db.request import Connection, Execute, FetchTable
from dorm.db.statement import Statement, Table, Template

_SAVEPOINT = "dorm_probe"


@operation
def probe(
    database: Database, statement: Statement, timeout_ms: int, connection: Connection | None = None
) -> Operation[Table]:
    """Send *statement* and undo whatever it did; return its rows.

    In an open block it goes to the block's connection, inside a savepoint that is rolled back; else to a read-only
    transaction of its own, rolled back. Time, waits for locks and writes are limited where the backend can, and so is
    the wait for a connection.
    It passes no hooks.

    Args:
        connection: one with an open transaction, that of a stream; the statement goes there then.
    """
    if connection is not None:
        return (yield from _in_savepoint(database, connection, statement, timeout_ms))
    block: Block | None = yield CurrentBlock(database)
    if block is not None:
        return (yield from _in_savepoint(database, block.own_connection, statement, timeout_ms))
    with deadline(timeout_ms / 1000):
        lease: Lease = yield Acquire(database)
    try:
        yield Begin(lease.connection, Statement(database.dialect.begin(read_only=True), (), internal=True))
        try:
            for sql in database.dialect.probe_limits(timeout_ms):
                yield FetchTable(database, _internal(sql), lease.connection)
            found: Table = yield FetchTable(database, statement, lease.connection)
        finally:
            yield Rollback(lease.connection)
    finally:
        yield Release(database, lease)
    return found


def _in_savepoint(
    database: Database, connection: Connection | None, statement: Statement, timeout_ms: int
) -> Operation[Table]:
    dialect = database.dialect
    yield Execute(database, Statement(dialect.savepoint(_SAVEPOINT), (), internal=True), connection)
    try:
        for sql in dialect.probe_limits(timeout_ms):
            yield FetchTable(database, _internal(sql), connection)
        found: Table = yield FetchTable(database, statement, connection)
    finally:
        yield Execute(database, Statement(dialect.rollback_to_savepoint(_SAVEPOINT), (), internal=True), connection)
        yield Execute(database, Statement(dialect.release_savepoint(_SAVEPOINT), (), internal=True), connection)
    return found


def _internal(sql: str) -> Statement:
    return Statement(Template(sql, prepare=False), (), internal=True)
