"""One connection for the statements of one task, and an early error where ``gather`` would share it.

A session keeps what belongs to it, temporary tables, settings, session locks, only as long as the statements go to one
connection. `pinned_connection` holds one for a block; the pool serves everybody else. Tasks that are started in the
block inherit its context and would use the same connection at the same time: they get an error, from
`assert_no_concurrent_gather` before they begin, else at their first statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from dorm.db.connection import AsyncConnectionHandle, get_async_connection
from dorm.exceptions import TransactionManagementError


@dataclass(frozen=True, slots=True)
class _Pin:
    handle: AsyncConnectionHandle
    task: asyncio.Task[Any] | None


_pins: ContextVar[dict[str, _Pin]] = ContextVar("dorm_task_pins", default={})  # noqa: B039  # replaced, never changed


@asynccontextmanager
async def pinned_connection(*, using: str = "default") -> AsyncGenerator[AsyncConnectionHandle]:
    """Hold one connection of *using* for the statements of this task; the block gets its handle.

    Raises: NotSupportedError: PgBouncer hands connections out for less than a session.
    """
    handle = get_async_connection(using)
    async with handle.pin():
        before = _pins.get()
        _pins.set({**before, using: _Pin(handle, asyncio.current_task())})
        try:
            yield handle
        finally:
            _pins.set(before)


def get_pinned_connection(*, using: str = "default") -> AsyncConnectionHandle | None:
    """Return the handle of the pinned connection in force, None without.

    Raises: TransactionManagementError: another task pinned it.
    """
    pin = _pins.get().get(using)
    if pin is None:
        return None
    assert_no_concurrent_gather(using=using)
    return pin.handle


def assert_no_concurrent_gather(*, using: str = "default") -> None:
    """Raise in a task that runs beside the one whose pinned connection it inherited, before anything is sent.

    Raises: TransactionManagementError: the message names the task that pinned the connection.
    """
    pin = _pins.get().get(using)
    task = asyncio.current_task()
    if pin is not None and pin.task is not task:
        owner = pin.task.get_name() if pin.task is not None else "no task"
        raise TransactionManagementError(
            f"the connection of {using!r} is pinned to task {owner}, and one connection sends one statement at a time: "
            "await the work there, one after another, or start it in a fresh context: "
            "asyncio.create_task(work(), context=contextvars.Context())."
        )
