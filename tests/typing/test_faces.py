"""A driver or connection of the wrong face is refused by type checkers: each ignored error below has to be one.

mypy (``warn_unused_ignores``) and pyright both complain about a ``type: ignore`` that hides nothing.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import assert_type

from dorm.db.driver import AsyncConnection, SyncConnection
from dorm.db.operation import ASYNCIO, BLOCKING, AsyncIO, Operation, SyncIO, adrive, arun, ask, drive, run
from dorm.db.request import CallUser, Query, Request
from dorm.db.statement import Row


def read(request: Query) -> Operation[list[Row]]:
    return (yield from ask(request))


def replies(request: Query, io: SyncIO, aio: AsyncIO) -> None:
    assert_type(io.perform(request), list[Row])
    assert_type(aio.perform(request), Awaitable[list[Row]])
    assert_type(run(read(request)), list[Row])
    assert_type(arun(read(request)), Awaitable[list[Row]])


async def drivers_of_the_wrong_face(request: Query) -> None:
    assert_type(drive(read(request), BLOCKING), list[Row])
    assert_type(await adrive(read(request), ASYNCIO), list[Row])
    drive(read(request), ASYNCIO)  # type: ignore[arg-type]  # an awaitable is no reply
    await adrive(read(request), BLOCKING)  # type: ignore[arg-type]  # a reply can't be awaited


async def connections_of_the_wrong_face(request: Query, sync: SyncConnection, asynchronous: AsyncConnection) -> None:
    assert_type(request.on(sync), list[Row])
    assert_type(await request.aon(asynchronous), list[Row])
    request.on(asynchronous)  # type: ignore[arg-type]
    await request.aon(sync)  # type: ignore[arg-type]


def what_is_no_operation(request: Request[int]) -> None:
    run(request)  # type: ignore[arg-type]  # a request is asked for within an operation
    user = CallUser(lambda: 1, None)
    assert_type(run(ask(user)), int)


def test_the_two_drivers_are_a_function_and_a_coroutine_function() -> None:
    assert inspect.iscoroutinefunction(adrive)
    assert not inspect.iscoroutinefunction(drive)
