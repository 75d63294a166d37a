"""The operations behind ``atomic``: entering and leaving a level, and driving other operations inside one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from typing import Any, ParamSpec, TypeVar

from dorm.db.block import Block, Level, Mark, current_owner
from dorm.db.database import Database, connections
from dorm.db.dialect import IsolationLevel
from dorm.db.hooks import Observation, chain
from dorm.db.lease import (
    Commit,
    CurrentBlock,
    Release,
    ReleaseSavepoint,
    Rollback,
    RollbackToSavepoint,
    SetSavepoint,
    begun,
)
from dorm.db.operation import Operation, operation
from dorm.db.request import Request, Sleep
from dorm.db.statement import Statement, Template
from dorm.exceptions import DatabaseError, TransactionManagementError
from dorm.record import Record
from dorm.transaction.callbacks import call

T = TypeVar("T")
P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("dorm.transaction")
_COMMIT = Template("COMMIT")
_ROLLBACK = Template("ROLLBACK")
_UNKNOWN = "The connection was {} during COMMIT: whether the transaction took place is not known."


class Options(Record):
    """What an ``atomic`` asks for."""

    using: str = "default"
    durable: bool = False
    savepoint: bool = True
    isolation: IsolationLevel | None = None
    read_only: bool = False
    retry: int = 0
    of_test: bool = False
    """It is the transaction around a test: within it an ``atomic`` counts as the outermost."""


_within: ContextVar[Level | None] = ContextVar("dorm_level", default=None)
"""The innermost level of a pinned block that the code running now is in."""
_PAUSE = 0.005


class Handle:
    """One entry into an ``atomic``: its block, its level, and whether it shall roll back."""

    def __init__(self, database: Database, block: Block, level: Level) -> None:
        self.database = database
        self.block = block
        self.level = level
        self.rolls_back = False
        self.around = _within.get() if block.pinned else None

    def set_rollback(self, flag: bool = True) -> None:
        """Roll back at the end of this level although nothing was raised (or take that back)."""
        self.rolls_back = flag


def internal(template: Template) -> Statement:
    """Return the statement of something that dorm sends for itself."""
    return Statement(template, (), internal=True)


@operation
def controlled(database: Database, request: Request[None], statement: Statement) -> Operation[None]:
    """Perform transaction control, and tell the observers of statements."""
    start = perf_counter()
    error: BaseException | None = None
    try:
        yield request
    except BaseException as exc:
        error = exc
        raise
    finally:
        if chain.active:
            spent = perf_counter() - start
            chain.tell(Observation(statement, database.alias, database.vendor, spent, error, kind="control"))


# -- entering ----------------------------------------------------------------------------------------------------


@operation
def enter(options: Options) -> Operation[Handle]:
    """Open a transaction, or a savepoint inside the open one."""
    database = connections[options.using]
    block: Block | None = yield CurrentBlock(database)
    if block is None or not block.in_transaction:
        return (yield from _begin(database, options, block))
    if block.pinned:
        yield from _turn(database, block)
    if options.durable and block.is_nested:
        raise RuntimeError("A durable atomic block cannot be nested within another atomic block.")
    if (options.isolation is not None or options.read_only) and (block.is_nested or not block.levels):
        raise TransactionManagementError(
            "isolation and read_only belong to the outermost atomic block: a savepoint cannot change them."
        )
    marks = (options.savepoint or not block.levels) and not block.needs_rollback
    level = Level(None, outermost=False, of_test=options.of_test)
    handle = Handle(database, block, level)
    if block.pinned:
        level.owner = current_owner()
        _within.set(level)
    block.levels.append(level)
    if marks:
        try:
            level.mark = yield from set_savepoint(database, block)
        except BaseException:
            _out_of(handle)
            raise
    return handle


def _out_of(handle: Handle) -> None:
    """The code running now is out of a level."""
    if handle.level in handle.block.levels:
        handle.block.levels.remove(handle.level)
    if handle.block.pinned:
        _within.set(handle.around)


def _turn(database: Database, block: Block) -> Operation[None]:
    """Wait while a task beside this one is in a level of its own: on the one connection of a test levels have to nest.

    Raises: TransactionManagementError: it waits for this task in turn, as far as the time limit of the pool tells.
    """
    waited = 0.0
    while _is_beside(block):
        if waited >= database.config.pool_timeout:
            raise TransactionManagementError(
                f"another task has been in an atomic block on {database.alias!r} for {waited:.0f} s. Both run in the "
                "one transaction of a test, where blocks have to nest: open this one in that block, or after it."
            )
        yield Sleep(_PAUSE)
        waited += _PAUSE


def _is_beside(block: Block) -> bool:
    """True when the innermost level belongs to a living task of this loop that neither is this one nor started it."""
    if not block.is_nested or block.levels[-1] is _within.get():
        return False
    theirs: Any = block.levels[-1].owner
    ours: Any = current_owner()
    if theirs is ours or theirs is None or isinstance(theirs, int) or isinstance(ours, int):
        # Threads wait for one another (a client for tests and its server): nobody can tell who started whom.
        return False
    return theirs.get_loop() is ours.get_loop() and not theirs.done()


def _begin(database: Database, options: Options, held: Block | None) -> Operation[Handle]:
    """Begin a transaction on the connection of *held* (a pinned one), or on one of the pool."""
    statement = internal(database.dialect.begin(options.isolation, options.read_only))
    lease = yield from begun(database, statement)
    block = held or Block(database.alias, lease.connection, current_owner(), lease.connection.face)
    block.lease = lease
    block.path, block.sets_path = lease.path, lease.path is not None
    block.touched.clear()
    block.writes = 0
    block.sees_snapshot = options.read_only or options.isolation in ("repeatable read", "serializable")
    if chain.active:
        chain.tell(Observation(statement, database.alias, database.vendor, 0.0, kind="control"))
    level = Level(None, outermost=True, of_test=options.of_test)
    block.levels.append(level)
    if held is None:
        database.enter(block)
    return Handle(database, block, level)


@operation
def set_savepoint(database: Database, block: Block) -> Operation[Mark]:
    """Set a savepoint under a name of its own."""
    block.names += 1
    mark = Mark(f"dorm_{block.names}", len(block.on_commit), len(block.on_rollback))
    statement = internal(database.dialect.savepoint(mark.name))
    yield from controlled(database, SetSavepoint(database, block, mark.name, statement), statement)
    block.savepoints.append(mark)
    return mark


@operation
def release_savepoint(database: Database, block: Block, mark: Mark) -> Operation[None]:
    """Keep what was done since *mark*; it and what was set after it are gone."""
    statement = internal(database.dialect.release_savepoint(mark.name))
    yield from controlled(database, ReleaseSavepoint(database, block, mark.name, statement), statement)
    block.forget(mark)


@operation
def rollback_to_savepoint(database: Database, block: Block, mark: Mark) -> Operation[None]:
    """Undo what was done since *mark*, which stays; callbacks of the undone part are dropped or called."""
    statement = internal(database.dialect.rollback_to_savepoint(mark.name))
    yield from controlled(database, RollbackToSavepoint(database, block, mark.name, statement), statement)
    undone = block.on_rollback[mark.rollback_mark :]
    del block.on_commit[mark.commit_mark :], block.on_rollback[mark.rollback_mark :]
    block.forget(mark)
    block.savepoints.append(mark)
    block.undone(mark)
    block.settings_unknown()
    yield from call(undone, "on_rollback")


# -- leaving -----------------------------------------------------------------------------------------------------


@operation
def leave(handle: Handle, error: BaseException | None) -> Operation[None]:
    """End a level: commit or release, roll back where something was raised; run the callbacks of the outcome."""
    block = handle.block
    if handle.level.outermost:
        yield from _end(handle, error)
        return
    if block.pinned:
        # Nobody else may come in before the savepoint is released.
        try:
            yield from _leave_level(handle, error)
        finally:
            _out_of(handle)
        return
    _out_of(handle)
    yield from _leave_level(handle, error)


def _leave_level(handle: Handle, error: BaseException | None) -> Operation[None]:
    block, mark = handle.block, handle.level.mark
    if block.pinned and mark is not None and mark not in block.savepoints:
        raise TransactionManagementError(
            f"an atomic block on {block.alias!r} was left after the one around it, which another thread had opened. "
            "Both run in the one transaction of a test, where blocks have to nest."
        ) from error
    if error is None and not handle.rolls_back and not block.needs_rollback:
        if mark is not None:
            yield from _kept(handle.database, block, mark)
        return
    if mark is None:
        block.spoil(error)
        return
    block.heal()
    try:
        yield from _undone(handle.database, block, mark)
    except DatabaseError as exc:
        # What was raised in the block says more; the outer levels find that only a rollback is possible.
        if error is None:
            raise
        block.untold = exc


def _kept(database: Database, block: Block, mark: Mark) -> Operation[None]:
    try:
        yield from release_savepoint(database, block, mark)
    except DatabaseError:
        yield from _undone(database, block, mark)
        raise


def _undone(database: Database, block: Block, mark: Mark) -> Operation[None]:
    """Roll back to a savepoint; when that fails, the block can only be rolled back."""
    try:
        yield from rollback_to_savepoint(database, block, mark)
        yield from release_savepoint(database, block, mark)
    except BaseException as exc:
        block.spoil(exc)
        raise


def _end(handle: Handle, error: BaseException | None) -> Operation[None]:
    """End the outermost level."""
    block, database = handle.block, handle.database
    lease = block.lease
    assert lease is not None, "an outermost level holds its connection"
    broken = block.needs_rollback or block.connection.is_doomed
    commits = error is None and not handle.rolls_back and not broken
    committed = False
    failed: BaseException | None = None
    try:
        if commits:
            yield from _commit(database, block)
            committed = True
        else:
            yield from controlled(database, Rollback(block.connection), internal(_ROLLBACK))
    except DatabaseError as exc:
        if error is None:
            failed = exc
        else:
            block.connection.abort()
    except BaseException as exc:  # noqa: BLE001  # raised again once the callbacks have run
        failed = exc
        if block.connection.in_transaction:
            block.connection.abort()
    finally:
        block.levels.clear()
        block.savepoints.clear()
        block.lease = None
        block.settings_gone()
        if not block.holds:
            database.leave(block)
        yield Release(database, lease)
    at_once, on_commit, on_rollback = block.take_callbacks()
    if failed is not None:
        # Nothing was committed, whatever ended ROLLBACK; a COMMIT that failed has told so already.
        block.heal()
        yield from call(on_rollback, "on_rollback")
        try:
            raise failed
        finally:
            del failed  # its traceback leads to this frame: a circle that only the garbage collector would end
    unexpected = broken and error is None and not handle.rolls_back and not block.asked_to_roll_back
    untold = block.untold
    block.heal()
    if unexpected and untold is None:
        _log.warning("the transaction on %r was rolled back at its end: an error in it had been caught", database.alias)
    # What does not wait comes first: an error of another one would keep it from being called.
    yield from call(at_once + on_commit) if committed else call(on_rollback, "on_rollback")
    if unexpected and untold is not None:
        # Whoever caught what was raised in the inner block believes that only this one was undone.
        raise untold


def _commit(database: Database, block: Block) -> Operation[None]:
    try:
        yield from controlled(database, Commit(block.connection), internal(_COMMIT))
    except BaseException as exc:
        connection = block.connection
        if not isinstance(exc, Exception) and connection.has_committed:
            # Interrupted while COMMIT was on its way, and it took place: the driver of the operation raises the
            # interrupt once the callbacks have run.
            return
        note = _open_question(exc, connection.usable)
        if note:
            exc.add_note(note)
        yield Rollback(block.connection)
        at_once, _, on_rollback = block.take_callbacks()
        yield from call(at_once)
        yield from call(on_rollback, "on_rollback")
        raise


def _open_question(exc: BaseException, usable: bool) -> str:
    """Return what is to be said beside an error or interrupt that fell into COMMIT."""
    if isinstance(exc, DatabaseError):
        return _UNKNOWN.format("lost") if exc.connection_lost else ""
    if isinstance(exc.__cause__, DatabaseError):
        return f"COMMIT failed ({type(exc.__cause__).__name__}): the transaction was rolled back."
    return "" if usable else _UNKNOWN.format("given up")


# -- operations inside a level -----------------------------------------------------------------------------------


@operation
def in_transaction(op: Operation[T], using: str) -> Operation[T]:
    """Drive *op* in the open block, or in a transaction of its own where there is none.

    What it raises after it has written something dooms the open block: half of its work is done.
    """
    block: Block | None = yield from _block_for(op, using)
    if block is None or not block.in_transaction:
        return (yield from _inside(op, Options(using)))
    before = block.writes
    try:
        return (yield from op)
    except BaseException as exc:
        if block.writes != before and block.levels:
            block.spoil(exc)
        raise


@operation
def in_savepoint(op: Operation[T], using: str) -> Operation[T]:
    """Drive *op* in a savepoint of the open block, or in a transaction of its own where there is none."""
    return (yield from _inside(op, Options(using)))


@operation
def reading(op: Operation[T], using: str) -> Operation[T]:
    """Drive *op* in a transaction that refuses writes; inside an open block in that one, as it is."""
    block = yield from _block_for(op, using)
    within = block is not None and block.in_transaction
    return (yield from (op if within else _inside(op, Options(using, read_only=True))))


@operation
def spoil(database: Database) -> Operation[None]:
    """Let the open block, if there is one, only be rolled back: a write in it failed."""
    block: Block | None = yield CurrentBlock(database)
    if block is not None and block.levels:
        block.spoil(None)


def _block_for(op: Operation[Any], using: str) -> Operation[Block | None]:
    """Return the block in force; *op*, which will not be driven when that fails, is closed then."""
    try:
        block: Block | None = yield CurrentBlock(connections[using])
    except BaseException:
        op.close()
        raise
    return block


def _inside(op: Operation[T], options: Options) -> Operation[T]:
    try:
        handle = yield from enter(options)
    except BaseException:
        op.close()
        raise
    try:
        result = yield from op
    except BaseException as exc:
        yield from leave(handle, exc)
        raise
    yield from leave(handle, None)
    return result
