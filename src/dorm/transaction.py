"""Transactions: ``atomic``, savepoints, ``on_commit``; one object for blocking code, asyncio code and decoration."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast, overload

from dorm.db.block import Block, Callback, Level, current_owner
from dorm.db.connection import Database, connections
from dorm.db.dialect import IsolationLevel
from dorm.db.lease import Commit, CurrentBlock, Release, Rollback, begun
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import CallUser, Execute, StatementRequest
from dorm.db.statement import Statement, Template
from dorm.exceptions import TransactionManagementError

T = TypeVar("T")
P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("dorm.transaction")


@dataclass(frozen=True, slots=True)
class Options:
    """What an ``atomic`` asks for."""

    using: str = "default"
    durable: bool = False
    savepoint: bool = True
    isolation: IsolationLevel | None = None
    read_only: bool = False


class Handle:
    """One entry into an ``atomic``: its block, its level, and whether it shall roll back."""

    def __init__(self, database: Database, block: Block, level: Level) -> None:
        self.database = database
        self.block = block
        self.level = level
        self.rolls_back = False

    @property
    def is_outermost(self) -> bool:
        """True for the level that BEGIN and COMMIT belong to."""
        return self.block.levels[0] is self.level

    def set_rollback(self, flag: bool = True) -> None:
        """Roll back at the end of this level although nothing was raised (or take that back)."""
        self.rolls_back = flag


# -- operations --------------------------------------------------------------------------------------------------


@operation
def enter(options: Options) -> Operation[Handle]:
    """Open a transaction, or a savepoint inside the open one."""
    database = connections[options.using]
    block: Block | None = yield CurrentBlock(database)
    if block is None or not block.levels:
        return (yield from _begin(database, options, block))
    if options.durable:
        raise RuntimeError("A durable atomic block cannot be nested within another atomic block.")
    if options.isolation is not None or options.read_only:
        raise TransactionManagementError(
            "isolation and read_only belong to the outermost atomic block: a savepoint cannot change them."
        )
    if block.needs_rollback:
        raise broken(block)
    name = None
    if options.savepoint:
        block.names += 1
        name = f"dorm_{block.names}"
        yield Execute(database, _internal(database.dialect.savepoint(name)), block.own_connection)
    level = Level(name, len(block.on_commit), len(block.on_rollback))
    block.levels.append(level)
    return Handle(database, block, level)


def _begin(database: Database, options: Options, pinned: Block | None) -> Operation[Handle]:
    begin = database.dialect.begin(options.isolation, options.read_only)
    lease = yield from begun(database, _internal(begin))
    block = pinned or Block(database.alias, lease.connection, current_owner(), lease.connection.face)
    block.lease = lease
    level = Level(None, 0, 0)
    block.levels.append(level)
    database.enter(block)
    return Handle(database, block, level)


@operation
def leave(handle: Handle, error: BaseException | None) -> Operation[None]:
    """End a level: commit or release, roll back where something was raised; run the callbacks of the outcome."""
    block, database = handle.block, handle.database
    if handle.is_outermost:
        yield from _end(handle, error)
        return
    block.levels.remove(handle.level)
    name = handle.level.savepoint
    failed = error is not None or handle.rolls_back
    if name is None:
        block.needs_rollback = block.needs_rollback or failed
        return
    if failed or block.needs_rollback:
        undone = block.on_rollback[handle.level.rollback_mark :]
        del block.on_commit[handle.level.commit_mark :], block.on_rollback[handle.level.rollback_mark :]
        block.needs_rollback = False
        dialect = database.dialect
        yield from _savepoint(handle, dialect.rollback_to_savepoint(name), dialect.release_savepoint(name))
        yield from _call(undone)
        return
    yield from _savepoint(handle, database.dialect.release_savepoint(name))


def _savepoint(handle: Handle, *templates: Template) -> Operation[None]:
    """Send the end of a savepoint; when that fails, the block can only be rolled back."""
    block = handle.block
    try:
        for template in templates:
            yield Execute(handle.database, _internal(template), block.own_connection)
    except BaseException:
        block.needs_rollback = True
        raise


def _end(handle: Handle, error: BaseException | None) -> Operation[None]:
    """End the outermost level."""
    block, database = handle.block, handle.database
    lease = block.lease
    assert lease is not None, "an outermost level holds its connection"
    committed = False
    try:
        if error is None and not handle.rolls_back and not block.needs_rollback:
            yield Commit(block.connection)
            committed = True
        else:
            yield Rollback(block.connection)
    except BaseException:
        if error is None:
            try:
                yield Rollback(block.connection)
            finally:
                block.needs_rollback = False
        raise
    finally:
        block.levels.clear()
        database.leave(block)
        yield Release(database, lease)
    if not committed and error is None and block.needs_rollback and not handle.rolls_back:
        yield from _call(block.on_rollback)
        raise TransactionManagementError(
            f"the transaction on {block.alias!r} was rolled back: an inner block without a savepoint had failed."
        )
    yield from _call(block.on_commit if committed else block.on_rollback)


def _call(callbacks: list[Callback]) -> Operation[None]:
    """Call callbacks in order; a robust one's error is logged, another's ends the row."""
    for callback in list(callbacks):
        is_async = inspect.iscoroutinefunction(callback.call)
        request: CallUser[Any] = CallUser(None if is_async else callback.call, callback.call if is_async else None)
        if not callback.robust:
            yield request
            continue
        try:
            yield request
        except Exception:  # noqa: BLE001  # robust means just this; it is logged
            _log.exception("a robust transaction callback raised")


def _internal(template: Template) -> Statement:
    return Statement(template, (), internal=True)


def broken(block: Block) -> TransactionManagementError:
    """Return the error of a transaction that can only be rolled back."""
    return TransactionManagementError(
        "An error occurred in the current transaction. You can't execute queries until the end of the 'atomic' block "
        f"on {block.alias!r}."
    )


@operation
def in_transaction(op: Operation[T], using: str) -> Operation[T]:
    """Drive *op* in the open block, or in a transaction of its own where there is none."""
    database = connections[using]
    block: Block | None = yield CurrentBlock(database)
    if block is None or not block.levels:
        return (yield from _inside(op, Options(using)))
    return (yield from _whole(op, block))


def _whole(op: Operation[T], block: Block) -> Operation[T]:
    """Drive *op*; when it fails after it wrote something, the block can only be rolled back."""
    wrote = False
    try:
        request = op.send(None)
        while True:
            try:
                reply = yield request
            except BaseException as exc:  # noqa: BLE001  # the operation gets it, whatever it is
                request = op.throw(exc)
            else:
                wrote = wrote or (isinstance(request, StatementRequest) and not request.statement.template.reads)
                request = op.send(reply)
    except StopIteration as stop:
        value: T = stop.value
        return value
    except BaseException:
        block.needs_rollback = block.needs_rollback or wrote
        raise


@operation
def spoil(database: Database) -> Operation[None]:
    """Let the open block, if there is one, only be rolled back: a write in it failed."""
    block: Block | None = yield CurrentBlock(database)
    if block is not None and block.levels:
        block.needs_rollback = True


@operation
def in_savepoint(op: Operation[T], using: str) -> Operation[T]:
    """Drive *op* in a savepoint of the open block, or in a transaction of its own where there is none."""
    return (yield from _inside(op, Options(using)))


@operation
def reading(op: Operation[T], using: str) -> Operation[T]:
    """Drive *op* in a transaction that refuses writes; inside an open block in that one, as it is."""
    block = yield CurrentBlock(connections[using])
    return (yield from (op if block is not None else _inside(op, Options(using, read_only=True))))


def _inside(op: Operation[T], options: Options) -> Operation[T]:
    handle = yield from enter(options)
    try:
        result = yield from op
    except BaseException as exc:
        yield from leave(handle, exc)
        raise
    yield from leave(handle, None)
    return result


# -- the public object -------------------------------------------------------------------------------------------


class Atomic:
    """What `atomic` gives: a context manager, an async one, and a decorator of functions of both kinds.

    It may be entered several times, also by several tasks at once: each entry has a handle of its own.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._handles: list[tuple[object, Handle]] = []

    def _taken(self) -> Handle:
        """Return the latest handle of this task or thread; of a fixture that leaves elsewhere, the latest one."""
        owner = current_owner()
        for number in range(len(self._handles) - 1, -1, -1):
            if self._handles[number][0] == owner:
                return self._handles.pop(number)[1]
        return self._handles.pop()[1]

    def __enter__(self) -> Handle:
        handle = run(enter(self._options))
        self._handles.append((current_owner(), handle))
        return handle

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run(leave(self._taken(), error))

    async def __aenter__(self) -> Handle:
        handle = await arun(enter(self._options))
        self._handles.append((current_owner(), handle))
        return handle

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await arun(leave(self._taken(), error))

    def __call__(self, fn: F) -> F:
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise TypeError(
                f"atomic cannot decorate the generator {fn.__qualname__}: its body would run outside the block. "
                "Open the block inside it."
            )
        options = self._options
        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def acall(*args: Any, **kwargs: Any) -> Any:
                async with Atomic(options):
                    return await fn(*args, **kwargs)

            return cast("F", acall)

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            with Atomic(options):
                return fn(*args, **kwargs)

        return cast("F", call)


@overload
def atomic(using: F) -> F: ...
@overload
def atomic(
    using: str = ...,
    *,
    durable: bool = ...,
    savepoint: bool = ...,
    isolation: IsolationLevel | None = ...,
    read_only: bool = ...,
) -> Atomic: ...
def atomic(
    using: Any = "default",
    *,
    durable: bool = False,
    savepoint: bool = True,
    isolation: IsolationLevel | None = None,
    read_only: bool = False,
) -> Any:
    """Run a block, or a function, in a transaction; inside another block in a savepoint. ``aatomic`` is the same.

    Args:
        using: alias of the database.
        durable: refuse (RuntimeError) to be inside another block: leaving it means that the data is committed.
        savepoint: False joins the outer block without a savepoint; an error then dooms the outer block.
        isolation: ``"read committed"``, ``"repeatable read"``, ``"serializable"``; of the outermost block.
        read_only: refuse writes; of the outermost block.
    Whatever is raised, cancellation and Ctrl-C included, rolls the block back.
    """
    if callable(using):
        return Atomic(Options())(using)
    return Atomic(Options(using, durable, savepoint, isolation, read_only))


aatomic = atomic


# -- callbacks ---------------------------------------------------------------------------------------------------


@operation
def _on_commit(callback: Callable[[], Any], using: str, robust: bool) -> Operation[None]:
    entry = Callback(_callable(callback), robust)
    block: Block | None = connections[using].block_for_callbacks()
    if block is None:
        yield from _call([entry])
    else:
        block.on_commit.append(entry)


def _callable(callback: Any) -> Callable[[], Any]:
    if not callable(callback):
        raise TypeError("on_commit()'s callback must be a callable.")
    return cast("Callable[[], Any]", callback)


def on_commit(callback: Callable[[], Any], using: str = "default", robust: bool = False) -> None:
    """Call *callback* after the outermost commit; at once outside a block; never if its level is rolled back.

    A coroutine function needs a block of asyncio code. What it raises propagates after the commit, unless *robust*.
    """
    run(_on_commit(callback, using, robust))


async def aon_commit(callback: Callable[[], Any], using: str = "default", robust: bool = False) -> None:
    """Async twin of `on_commit`."""
    await arun(_on_commit(callback, using, robust))


def on_rollback(callback: Callable[[], Any], using: str = "default") -> None:
    """Call *callback* when the enclosing level is rolled back; outside a block it is dropped."""
    block = connections[using].block_for_callbacks()
    if block is not None:
        block.on_rollback.append(Callback(_callable(callback), robust=True))


async def aon_rollback(callback: Callable[[], Any], using: str = "default") -> None:
    """Async twin of `on_rollback`."""
    on_rollback(callback, using)


def set_rollback(rollback: bool, using: str = "default") -> None:
    """Make the innermost block of *using* roll back at its end, or take that back."""
    block = connections[using].block_for_callbacks()
    if block is None:
        raise TransactionManagementError("The rollback flag doesn't work outside of an 'atomic' block.")
    block.needs_rollback = rollback


def get_rollback(using: str = "default") -> bool:
    """Return whether the block of *using* will roll back."""
    block = connections[using].block_for_callbacks()
    if block is None:
        raise TransactionManagementError("The rollback flag doesn't work outside of an 'atomic' block.")
    return block.needs_rollback
