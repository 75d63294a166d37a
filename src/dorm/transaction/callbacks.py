"""``on_commit`` and ``on_rollback``: what is called when the outcome of a transaction is known."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from dorm.db.block import Block, Callback
from dorm.db.database import connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import CallUser
from dorm.exceptions import TransactionManagementError

_log = logging.getLogger("dorm.transaction")


@operation
def call(callbacks: list[Callback], where: str = "on_commit") -> Operation[None]:
    """Call callbacks of *where* in order; a robust one's error is logged, another's ends the row."""
    for callback in list(callbacks):
        is_async = _is_coroutine(callback.call)
        request: CallUser[Any] = CallUser(None if is_async else callback.call, callback.call if is_async else None)
        if not callback.robust:
            yield request
            continue
        try:
            yield request
        except Exception as exc:  # noqa: BLE001  # robust means just this; it is logged
            name = getattr(callback.call, "__qualname__", callback.call)
            _log.exception("Error calling %s in %s() (%s).", name, where, type(exc).__name__)


def _is_coroutine(fn: Any) -> bool:
    import inspect  # late: it takes long, and most transactions have no callbacks

    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


@operation
def _on_commit(callback: Callable[[], Any], using: str | None, robust: bool) -> Operation[None]:
    entry = Callback(_callable(callback, "on_commit"), robust)
    block: Block | None = connections[using or "default"].block_for_callbacks()
    if block is None or not block.in_transaction:
        yield from call([entry])
        return
    if not block.levels:
        raise TransactionManagementError("on_commit() cannot be used in manual transaction management")
    _check_face(block, entry)
    block.on_commit.append(entry)


def _callable(callback: Any, name: str) -> Callable[[], Any]:
    if not callable(callback):
        raise TypeError(f"{name}()'s callback must be a callable.")
    return cast("Callable[[], Any]", callback)


def _check_face(block: Block, entry: Callback) -> None:
    """Refuse now what could not be called at the end."""
    if block.face == "sync" and not block.pinned and _is_coroutine(entry.call):
        raise TypeError(
            "a coroutine function cannot be called at the end of a block of blocking code: give a plain function, or "
            "open the block with `async with`."
        )


def on_commit(callback: Callable[[], Any], using: str | None = "default", robust: bool = False) -> None:
    """Call *callback* after the outermost commit; at once outside a block; never if its level is rolled back.

    A coroutine function needs a block of asyncio code. What it raises propagates after the commit, unless *robust*.
    """
    run(_on_commit(callback, using, robust))


async def aon_commit(callback: Callable[[], Any], using: str | None = "default", robust: bool = False) -> None:
    """Async twin of `on_commit`."""
    await arun(_on_commit(callback, using, robust))


def on_rollback(callback: Callable[[], Any], using: str | None = "default") -> None:
    """Call *callback* when the enclosing level is rolled back; outside a block it is dropped.

    What it raises is logged: the error that caused the rollback goes on.
    """
    entry = Callback(_callable(callback, "on_rollback"), robust=True)
    block = connections[using or "default"].block_for_callbacks()
    if block is not None and block.levels:
        _check_face(block, entry)
        block.on_rollback.append(entry)


async def aon_rollback(callback: Callable[[], Any], using: str | None = "default") -> None:
    """Async twin of `on_rollback`."""
    on_rollback(callback, using)
