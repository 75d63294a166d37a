"""What is below ``atomic``: savepoints by hand, the rollback flag, and transactions without autocommit."""

from __future__ import annotations

from dorm.db.block import Block, Mark, current_owner
from dorm.db.database import Database, connections
from dorm.db.lease import Commit, CurrentBlock, Release, Rollback, begun
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.statement import Template
from dorm.exceptions import TransactionManagementError
from dorm.transaction.blocks import (
    controlled,
    internal,
    release_savepoint,
    rollback_to_savepoint,
    set_savepoint,
)
from dorm.transaction.callbacks import call

_COMMIT = internal(Template("COMMIT"))
_ROLLBACK = internal(Template("ROLLBACK"))


def _database(using: str | None) -> Database:
    return connections[using or "default"]


# -- savepoints --------------------------------------------------------------------------------------------------


@operation
def _savepoint(using: str | None) -> Operation[str | None]:
    database = _database(using)
    block: Block | None = yield CurrentBlock(database)
    if block is None or not block.in_transaction:
        return None
    if block.needs_rollback:
        raise block.broken()
    mark: Mark = yield from set_savepoint(database, block)
    return mark.name


@operation
def _savepoint_end(sid: str | None, using: str | None, keeps: bool) -> Operation[None]:
    database = _database(using)
    block: Block | None = yield CurrentBlock(database)
    if sid is None and (block is None or not block.in_transaction):
        return
    mark = block.mark_of(sid) if block is not None else None
    if block is None or mark is None:
        raise ValueError(
            f"{sid!r} is no savepoint of the open transaction on {database.alias!r}: give what savepoint() returned, "
            "once and in the same block."
        )
    if keeps:
        if block.needs_rollback:
            raise block.broken()
        yield from release_savepoint(database, block, mark)
    else:
        yield from rollback_to_savepoint(database, block, mark)
        block.heal()


def savepoint(using: str | None = "default") -> str | None:
    """Set a savepoint in the open transaction and return its id; None outside of one, where nothing is sent."""
    return run(_savepoint(using))


async def asavepoint(using: str | None = "default") -> str | None:
    """Async twin of `savepoint`."""
    return await arun(_savepoint(using))


def savepoint_commit(sid: str | None, using: str | None = "default") -> None:
    """Release a savepoint: what was done since stays part of the transaction.

    Raises: ValueError: *sid* is no id of `savepoint`, or its savepoint is gone.
    """
    run(_savepoint_end(sid, using, keeps=True))


async def asavepoint_commit(sid: str | None, using: str | None = "default") -> None:
    """Async twin of `savepoint_commit`."""
    await arun(_savepoint_end(sid, using, keeps=True))


def savepoint_rollback(sid: str | None, using: str | None = "default") -> None:
    """Undo what was done since a savepoint, an error of the database included; the savepoint stays.

    Raises: ValueError: *sid* is no id of `savepoint`, or its savepoint is gone.
    """
    run(_savepoint_end(sid, using, keeps=False))


async def asavepoint_rollback(sid: str | None, using: str | None = "default") -> None:
    """Async twin of `savepoint_rollback`."""
    await arun(_savepoint_end(sid, using, keeps=False))


def clean_savepoints(using: str | None = "default") -> None:
    """Count the ids of savepoints from the start again; only while none is set."""
    block = _database(using).block_for_callbacks()
    if block is not None and not block.savepoints:
        block.names = 0


# -- the rollback flag -------------------------------------------------------------------------------------------


def _atomic_block(using: str | None) -> Block:
    block = _database(using).block_for_callbacks()
    if block is None or not block.levels:
        raise TransactionManagementError("The rollback flag doesn't work outside of an 'atomic' block.")
    return block


def get_rollback(using: str | None = "default") -> bool:
    """Return whether the innermost block of *using* will roll back at its end."""
    return _atomic_block(using).needs_rollback


async def aget_rollback(using: str | None = "default") -> bool:
    """Async twin of `get_rollback`."""
    return get_rollback(using)


def set_rollback(rollback: bool, using: str | None = "default") -> None:
    """Make the innermost block of *using* roll back at its end, or take that back.

    Taking it back is right only after a rollback to a savepoint in which nothing had failed yet.
    """
    block = _atomic_block(using)
    if rollback:
        block.needs_rollback = block.asked_to_roll_back = True
    else:
        block.heal()


async def aset_rollback(rollback: bool, using: str | None = "default") -> None:
    """Async twin of `set_rollback`."""
    set_rollback(rollback, using)


# -- without autocommit ------------------------------------------------------------------------------------------


def _not_atomic(block: Block | None) -> None:
    if block is not None and block.levels:
        raise TransactionManagementError("This is forbidden when an 'atomic' block is active.")


@operation
def _set_autocommit(autocommit: bool, using: str | None) -> Operation[None]:
    database = _database(using)
    block: Block | None = yield CurrentBlock(database)
    _not_atomic(block)
    if not autocommit and (block is None or not block.manual):
        lease = yield from begun(database, internal(database.dialect.begin()))
        if block is None:
            block = Block(database.alias, lease.connection, current_owner(), lease.connection.face)
            database.enter(block)
        block.manual_lease, block.manual = lease, True
        block.path, block.sets_path = lease.path, lease.path is not None
    elif autocommit and block is not None and block.manual:
        committed = False
        try:
            yield from controlled(database, Commit(block.connection), _COMMIT)
            committed = True
        finally:
            held, block.manual_lease, block.manual = block.manual_lease, None, False
            block.settings_gone()
            if not block.holds:
                database.leave(block)
            if held is not None:
                yield Release(database, held)
            yield from _settled(block, True, committed)
            waiting, block.waiting = block.waiting, []
            yield from call(waiting)


@operation
def _finish(using: str | None, commits: bool) -> Operation[None]:
    """Commit or roll back, and let the next statement begin another transaction."""
    database = _database(using)
    block: Block | None = yield CurrentBlock(database)
    _not_atomic(block)
    if block is None or not block.manual:
        return
    connection, committed = block.connection, False
    try:
        if commits:
            yield from controlled(database, Commit(connection), _COMMIT)
            committed = True
        else:
            yield from controlled(database, Rollback(connection), _ROLLBACK)
    finally:
        # A COMMIT that fails ends the transaction on most backends: what follows must not be on its own.
        if not connection.in_transaction:
            block.savepoints.clear()
            block.settings_gone()
            connection.begin(internal(database.dialect.begin()))
            yield from _settled(block, commits, committed)


@operation
def _settled(block: Block, commits: bool, committed: bool) -> Operation[None]:
    """Call the callbacks of the outcome; those of a commit that may send statements wait for autocommit.

    A statement of theirs would begin the next transaction, and leave it open.
    """
    block.touched.clear()
    block.writes = 0
    at_once, on_commit, on_rollback = block.take_callbacks()
    if not committed:
        if commits:
            yield from call(at_once)
        yield from call(on_rollback, "on_rollback")
        return
    block.waiting += on_commit
    yield from call(at_once)


@operation
def _get_autocommit(using: str | None) -> Operation[bool]:
    block: Block | None = yield CurrentBlock(_database(using))
    return block is None or not block.in_transaction


def get_autocommit(using: str | None = "default") -> bool:
    """Return whether each statement is a transaction of its own here: False inside a block."""
    return run(_get_autocommit(using))


async def aget_autocommit(using: str | None = "default") -> bool:
    """Async twin of `get_autocommit`."""
    return await arun(_get_autocommit(using))


def set_autocommit(autocommit: bool, using: str | None = "default") -> None:
    """Turn autocommit off for this thread, or on again.

    Off, the first statement begins a transaction, which lasts until `commit` or `rollback`; ``atomic`` blocks are
    savepoints in it. The connection stays with this thread (task) until autocommit is turned on, which commits.
    Raises: TransactionManagementError: inside an ``atomic`` block.
    """
    run(_set_autocommit(autocommit, using))


async def aset_autocommit(autocommit: bool, using: str | None = "default") -> None:
    """Async twin of `set_autocommit`."""
    await arun(_set_autocommit(autocommit, using))


def commit(using: str | None = "default") -> None:
    """Commit what was done since autocommit was turned off, or since the last commit or rollback.

    With autocommit on there is nothing to do. Raises: TransactionManagementError: inside an ``atomic`` block.
    """
    run(_finish(using, commits=True))


async def acommit(using: str | None = "default") -> None:
    """Async twin of `commit`."""
    await arun(_finish(using, commits=True))


def rollback(using: str | None = "default") -> None:
    """Undo what was done since autocommit was turned off, or since the last commit or rollback.

    With autocommit on there is nothing to do. Raises: TransactionManagementError: inside an ``atomic`` block.
    """
    run(_finish(using, commits=False))


async def arollback(using: str | None = "default") -> None:
    """Async twin of `rollback`."""
    await arun(_finish(using, commits=False))
