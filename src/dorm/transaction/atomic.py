"""``atomic``: one object for blocking code, asyncio code and decoration."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast, overload

from dorm.conf.settings import settings
from dorm.db.block import Block, current_owner
from dorm.db.database import connections
from dorm.db.dialect import IsolationLevel
from dorm.db.lease import CurrentBlock
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import CallUser, Sleep
from dorm.exceptions import DatabaseError, TransactionManagementError
from dorm.transaction.blocks import Handle, Options, enter, leave

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("dorm.transaction")

_LONGEST_PAUSE = 2.0
"""Most seconds between two tries of a function with ``retry``."""


class Atomic:
    """What `atomic` gives: a context manager, an async one, and a decorator of functions of both kinds.

    It may be entered several times, also by several tasks at once: each entry has a handle of its own.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._handles: list[tuple[object, Handle]] = []

    def _position(self) -> int:
        """Return where the latest handle of this task or thread is; of a fixture that leaves elsewhere, the latest."""
        owner = current_owner()
        for number in range(len(self._handles) - 1, -1, -1):
            if self._handles[number][0] == owner:
                return number
        return len(self._handles) - 1

    def _entered(self, handle: Handle) -> Handle:
        self._handles.append((current_owner(), handle))
        return handle

    def _left(self) -> Handle:
        """Return the handle of the block that is left."""
        if not self._handles:
            raise TransactionManagementError("this atomic block is left without having been entered.")
        return self._handles.pop(self._position())[1]

    def set_rollback(self, flag: bool = True) -> None:
        """Roll the block that was entered last back at its end although nothing was raised (or take that back)."""
        if not self._handles:
            raise TransactionManagementError("set_rollback() belongs inside the block: nothing was entered.")
        self._handles[self._position()][1].set_rollback(flag)

    def _check_no_retry(self) -> None:
        if self._options.retry:
            raise TypeError("retry belongs to a decorated function: the body of a with block cannot be run again.")

    def __enter__(self) -> Handle:
        self._check_no_retry()
        return self._entered(run(enter(self._options)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run(leave(self._left(), error))

    async def __aenter__(self) -> Handle:
        self._check_no_retry()
        return self._entered(await arun(enter(self._options)))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await arun(leave(self._left(), error))

    def __call__(self, fn: F) -> F:
        import inspect  # late: it takes long, and blocks that decorate nothing don't need it

        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise TypeError(
                f"atomic cannot decorate the generator {fn.__qualname__}: its body would run outside the block. "
                "Open the block inside it."
            )
        options = self._options
        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def acall(*args: Any, **kwargs: Any) -> Any:
                if options.retry:
                    return await arun(_tries(options, CallUser(None, fn, *args, **kwargs), fn))
                async with Atomic(options):
                    return await fn(*args, **kwargs)

            return cast("F", acall)

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            if options.retry:
                return run(_tries(options, CallUser(fn, None, *args, **kwargs), fn))
            with Atomic(options):
                return fn(*args, **kwargs)

        return cast("F", call)


@operation
def _tries(options: Options, work: CallUser[Any], fn: Callable[..., Any]) -> Operation[Any]:
    """Do *work* in a transaction; again, when that could be why it failed and nothing around it is lost."""
    block: Block | None = yield CurrentBlock(connections[options.using])
    outermost = block is None or not block.in_transaction
    for number in range(options.retry + 1):
        try:
            return (yield from _once(options, work))
        except DatabaseError as exc:
            if not exc.retryable or not outermost or number == options.retry:
                raise
            _log.warning("%s is run again after %s (%s)", fn.__qualname__, type(exc).__name__, exc.sqlstate or "busy")
        import random

        pause = settings.current_knobs().retry_backoff * 2**number * random.uniform(0.5, 1.5)
        yield Sleep(min(pause, _LONGEST_PAUSE))
    raise AssertionError("the last try returns or raises")


def _once(options: Options, work: CallUser[Any]) -> Operation[Any]:
    handle = yield from enter(options)
    try:
        result = yield work
    except BaseException as exc:
        yield from leave(handle, exc)
        raise
    yield from leave(handle, None)
    return result


@overload
def atomic(using: F) -> F: ...
@overload
def atomic(
    using: str | None = ...,
    savepoint: bool = ...,
    durable: bool = ...,
    *,
    isolation: IsolationLevel | None = ...,
    read_only: bool = ...,
    retry: int = ...,
) -> Atomic: ...
def atomic(
    using: Any = "default",
    savepoint: bool = True,
    durable: bool = False,
    *,
    isolation: IsolationLevel | None = None,
    read_only: bool = False,
    retry: int = 0,
) -> Any:
    """Run a block, or a function, in a transaction; inside another block in a savepoint. ``aatomic`` is the same.

    Args:
        using: alias of the database.
        savepoint: False joins the outer block without a savepoint; an error then dooms the outer block.
        durable: refuse (RuntimeError) to be inside another block: leaving it means that the data is committed.
        isolation: ``"read committed"``, ``"repeatable read"``, ``"serializable"``; of the outermost block.
        read_only: refuse writes; of the outermost block.
        retry: how often a decorated function is run again, when its transaction was the victim of others (SQLSTATE
            40001 and 40P01, a busy SQLite file). Inside another block it is run once: the outermost one is to be
            repeated. Callbacks of failed tries are dropped.
    Whatever is raised, cancellation and Ctrl-C included, rolls the block back.
    """
    if callable(using):
        return Atomic(Options())(using)
    if not isinstance(retry, int) or retry < 0:
        raise ValueError("retry takes a number of times, not negative.")
    return Atomic(Options(using or "default", durable, savepoint, isolation, read_only, retry))


aatomic = atomic


class mark_for_rollback_on_error:  # noqa: N801  # the name is Django's
    """Let an exception inside doom the open ``atomic`` block of *using*; a context manager of both kinds.

    For code that sends several statements and has no savepoint of its own.
    """

    def __init__(self, using: str | None = "default") -> None:
        self._using = using or "default"

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        block = connections[self._using].block_for_callbacks()
        if block is not None and block.levels:
            block.spoil(error)

    async def __aenter__(self) -> None:
        return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)
